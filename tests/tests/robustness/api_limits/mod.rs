//! What one client of the API can take from others: connections, bodies, audit entries, event
//! streams. Each bound is reached by a real client while another client still gets its answer.
//! (Rejected: unit tests of counters alone; the shared threads are what fails.)

mod audit;
mod roles;
mod slow;
mod small;
mod streams;
mod take_over;

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::Wire;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program of which every route has something to say.
const RULES: &str = "
    param head : size = 40 in 10..100
    table quiet : set<ip>
    trigger attack by net.dst { external  hold 1h }
    trigger keep by flow { external  hold flow }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule heads  { match icmp  snaplen head  to lake }
    rule attack { match attack[net.addr]  snaplen full  to lake }
    rule keep   { match keep  snaplen full  to lake }
    limit quiet { match net.src in quiet  snaplen none }\n";

/// Where the API is listened at, in the namespace of the machine: a port that needs a privilege
/// which is gone after the start.
const ADDRESS: &str = "10.2.0.1:443";

/// A mirrorc that can be asked remotely, with the secrets of its tokens.
struct RemoteRun {
    place: ControlledRun,
}

impl RemoteRun {
    /// Starts one with tokens: name, role, policy or nothing.
    fn start(wire: &Wire, tokens: &[(&str, &str, &str)], more: &[&str]) -> RemoteRun {
        let dir = tempfile::tempdir().unwrap();
        let files = RemoteRun::files(wire, dir.path(), tokens);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let place = ControlledRun::start_in(
            dir,
            wire,
            MIRRORC,
            RULES,
            &[&["--listen", ADDRESS], &files[..], more].concat(),
        );
        RemoteRun { place }
    }

    /// Makes a certificate, a key and tokens; the options that name them.
    fn files(wire: &Wire, dir: &Path, tokens: &[(&str, &str, &str)]) -> [String; 6] {
        wire.ip(&wire.here, &["addr", "add", "10.2.0.1/24", "dev", "m0"]);
        wire.ip(&wire.right, &["addr", "add", "10.2.0.2/24", "dev", "mon"]);
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let [cert, key, file] = ["cert", "key", "tokens"].map(path);
        let subject = ["-subj", "/CN=mirrorc", "-addext", "subjectAltName=IP:10.2.0.1"];
        let how = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-nodes", "-days", "2"];
        let files = ["-keyout", &key, "-out", &cert];
        wire.run(&wire.here, &[&how[..], &subject, &leaf, &files].concat());
        for (name, role, policy) in tokens {
            let of: &[&str] = match (*role, policy.is_empty()) {
                ("station", _) => &["--policy", policy, "--param", "head"],
                (_, true) => &[],
                _ => &["--policy", policy],
            };
            let made = [&[MIRRORC, "token", name, "--role", role, "--file", &file][..], of].concat();
            std::fs::write(path(name), wire.run(&wire.here, &made)).unwrap();
        }
        ["--tls-cert".into(), cert, "--tls-key".into(), key, "--tokens".into(), file]
    }

    fn path(&self, name: &str) -> String {
        self.place.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// What a request with a token is answered; an empty name shows none.
    fn ask(&self, wire: &Wire, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let token =
            if token.is_empty() { String::new() } else { std::fs::read_to_string(self.path(token)).unwrap() };
        let (ca, url) = (self.path("cert"), format!("https://{ADDRESS}{path}"));
        let shows = format!("Authorization: Bearer {}", token.trim());
        let mut all = vec!["curl", "-s", "-m", "20", "--cacert", &ca, "-H", &shows, "-X", method];
        if !body.is_empty() {
            all.extend(["-H", "Content-Type: application/json", "-d", body]);
        }
        all.extend(["-w", "\n%{http_code}", &url]);
        let said = wire.try_run(&wire.right, &all);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap_or(("", "0"));
        (status.parse().unwrap_or(0), body.to_owned())
    }

    /// A stream of events of a token, as curl shows it in a file.
    fn events(&self, wire: &Wire, token: &str, query: &str, to: &Path) -> Stream {
        let shows =
            format!("Authorization: Bearer {}", std::fs::read_to_string(self.path(token)).unwrap().trim());
        let url = format!("https://{ADDRESS}/v1/events{query}");
        let out = std::fs::File::create(to).unwrap();
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &wire.right,
                "curl",
                "-sN",
                "--cacert",
                &self.path("cert"),
                "-H",
                &shows,
                &url,
            ])
            .stdout(Stdio::from(out))
            .spawn()
            .unwrap();
        Stream { child, to: to.to_owned() }
    }
}

/// A client that listens.
struct Stream {
    child: Child,
    to: std::path::PathBuf,
}

impl Stream {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.to).unwrap_or_default()
    }

    /// Whether the other side ended it.
    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _over_already = self.child.kill();
        let _over_already = self.child.wait();
    }
}

/// Connects to the API from the right and says nothing.
fn silent(wire: &Wire, many: usize) -> Vec<TcpStream> {
    wire.inside(&wire.right, || (0..many).filter_map(|_| TcpStream::connect(ADDRESS).ok()).collect())
}

/// Whether the other side has closed a connection, or closes it within a moment.
fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    !matches!(stream.read(&mut [0]), Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

/// Begins a request at the socket and leaves it there.
fn begun(socket: &Path, said: &str) -> std::os::unix::net::UnixStream {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.write_all(said.as_bytes()).unwrap();
    stream
}
