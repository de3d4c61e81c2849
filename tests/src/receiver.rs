//! A receiver of webhooks: HTTP by hand, in a namespace of a test. It remembers what is posted and
//! answers as it is told. The invariant: it reads what is sent byte for byte, and knows nothing of
//! who sends. (Rejected: a server library; it would mend what is wrong before a test sees it.)

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// What was posted.
#[derive(Debug, Clone)]
pub struct Post {
    /// Method, path and version.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// What was answered; none: nothing.
    pub status: Option<u16>,
}

impl Post {
    /// The events in it.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        body["events"].as_array().expect("events").clone()
    }
}

#[derive(Debug, Default)]
struct Shared {
    posts: Vec<Post>,
    /// What is answered to the next ones; 200 to all others. None: nothing, for ever.
    answers: VecDeque<Option<u16>>,
    /// Nobody is answered.
    hangs: bool,
}

/// A receiver at work.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

/// What bytes are read from and written to.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Receiver {
    /// Listens here; it was made in the namespace of whoever posts.
    pub fn on(listener: TcpListener) -> Receiver {
        Receiver::behind(listener, |stream| Box::new(stream))
    }

    /// The same behind something that is put around each connection.
    pub fn behind(
        listener: TcpListener,
        wrap: impl Fn(std::net::TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
    ) -> Receiver {
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver { address, shared: Arc::default() };
        let shared = receiver.shared.clone();
        let wrap = Arc::new(wrap);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, wrap) = (shared.clone(), wrap.clone());
                std::thread::spawn(move || serve(wrap(stream), &shared));
            }
        });
        receiver
    }

    /// Answers so to the next ones.
    pub fn answers(&self, statuses: &[u16]) {
        self.lock().answers.extend(statuses.iter().map(|status| Some(*status)));
    }

    /// Answers nobody from now on.
    pub fn hangs(&self) {
        self.lock().hangs = true;
    }

    /// What was posted so far.
    pub fn posts(&self) -> Vec<Post> {
        self.lock().posts.clone()
    }

    /// The events that were taken so far.
    pub fn taken(&self) -> Vec<serde_json::Value> {
        self.posts().iter().filter(|post| post.status == Some(200)).flat_map(Post::events).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("a receiver")
    }
}

fn serve(stream: Box<dyn Stream>, shared: &Mutex<Shared>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(1..) if line.trim_end().is_empty() => break,
                Ok(1..) => lines.push(line.trim_end().to_owned()),
                _ => return,
            }
        }
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        let headers: BTreeMap<String, String> =
            headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).expect("a length");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a body");
        let status = {
            let mut shared = shared.lock().expect("a receiver");
            let status = if shared.hangs { None } else { shared.answers.pop_front().unwrap_or(Some(200)) };
            shared.posts.push(Post { line: lines[0].clone(), headers, body, status });
            status
        };
        let Some(status) = status else {
            std::thread::park();
            return;
        };
        let answer = format!("HTTP/1.1 {status} Decided\r\ncontent-length: 2\r\n\r\nok");
        let _gone = stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush());
    }
}
