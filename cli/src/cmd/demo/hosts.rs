//! The hosts of the demonstration. Each is a thread in a network namespace of its own: it makes its
//! interfaces, reports that it is ready, and then serves, sends requests or listens. The invariant:
//! all traffic between hosts goes through the kernel's TCP and interfaces. (Rejected: curl and a
//! server in Python, which may not be installed.)

use super::watch::{Watch, watch};
use crate::exit::Failure;
use mrule_dataplane::links::Links;
use mrule_dataplane::sys::namespace;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The address of the client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of the server.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The address of the station that receives copies.
pub const STATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The one in the rules.
const VNI: u32 = 77;
/// The length of each answer, in bytes.
const ANSWER: usize = 200_000;
/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the demonstration waits for a host that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host: its namespace, and what tells its thread that its interface is there.
pub struct Host {
    pub namespace: File,
    go: SyncSender<()>,
    ready: Receiver<Result<Option<Watch>, Failure>>,
}

impl Host {
    /// Starts a thread in a new namespace. It waits for its interface before it does `work`, which
    /// gives what it watches.
    pub fn start(work: fn() -> Result<Option<Watch>, Failure>) -> Result<Host, Failure> {
        let (tell, namespace) = sync_channel(1);
        let (go, gone) = sync_channel::<()>(1);
        let (done, ready) = sync_channel(1);
        std::thread::spawn(move || {
            let made = namespace::enter_new().and_then(|()| namespace::current());
            // If this fails, a few more packets pass.
            let _written = namespace::without_ipv6();
            let _heard = tell.send(made);
            if gone.recv().is_ok() {
                let _heard = done.send(work());
                // The namespace exists as long as the thread.
                let _ended = gone.recv();
            }
        });
        let namespace = namespace.recv().map_err(|_| Failure::usage("a host's thread ended"))?;
        let namespace = namespace.map_err(|error| Failure::file("make", "a network namespace", &error))?;
        Ok(Host { namespace, go, ready })
    }

    /// Starts its work, once its interface exists.
    pub fn go(&self) -> Result<Option<Watch>, Failure> {
        let _told = self.go.send(());
        self.ready.recv().map_err(|_| Failure::usage("a host's thread ended"))?
    }

    /// Asks the server so many times from here, the last time with what the rules look for, or
    /// until `stopped`; gives how many bytes were answered.
    pub fn ask(&self, times: u16, stopped: impl Fn() -> bool + Sync) -> io::Result<u64> {
        let there = self.namespace.as_fd();
        let all = || {
            move_into_link_name_space(there, Some(LinkNameSpaceType::Network))?;
            let mut answered = 0;
            for n in (1..=times).take_while(|_| !stopped()) {
                answered += ask(&format!("/page/{n}"), if n == times { "evil" } else { "good" })? as u64;
                std::thread::sleep(PAUSE);
            }
            Ok(answered)
        };
        std::thread::scope(|scope| scope.spawn(all).join())
            .unwrap_or_else(|_| Err(io::Error::other("the client's thread ended")))
    }
}

fn address(of: Ipv4Addr, mtu: u32) -> Result<Links, Failure> {
    let links = Links::new()?;
    links.address("eth0", of)?;
    links.up("eth0", mtu)?;
    Ok(links)
}

/// Serves answers until the process ends, and watches the traffic.
pub fn server() -> Result<Option<Watch>, Failure> {
    address(SERVER, super::MTU)?;
    let watch = watch("eth0")?;
    let listener = TcpListener::bind((SERVER, 80))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that disconnects is not an error of the server.
            let _served = serve(stream);
        }
    });
    Ok(Some(watch))
}

fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(&stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = "All of this passes; only its beginning is copied. ".repeat(ANSWER / 50);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n";
    (&stream).write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// Waits for a request.
pub fn client() -> Result<Option<Watch>, Failure> {
    address(CLIENT, super::MTU)?;
    Ok(None)
}

/// Takes the copies out of the tunnel and watches them.
pub fn station() -> Result<Option<Watch>, Failure> {
    let links = address(STATION, super::STATION_MTU)?;
    links.vxlan("copies", VNI)?;
    links.up("copies", super::MTU)?;
    Ok(Some(watch("copies")?))
}

/// Sends one request; returns how many bytes the answer had.
fn ask(path: &str, cookie: &str) -> io::Result<usize> {
    let stream = TcpStream::connect_timeout(&SocketAddrV4::new(SERVER, 80).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {SERVER}\r\nCookie: session={cookie}\r\n\r\n");
    (&stream).write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    (&stream).read_to_end(&mut answer)?;
    let whole = answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() > ANSWER;
    if whole { Ok(answer.len()) } else { Err(io::Error::other("the answer is not whole")) }
}
