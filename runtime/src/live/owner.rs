//! Which process forwards between interfaces: one, for each interface that is an end of a bridge. The
//! sign is a Unix socket in the abstract name space, named by the interface's index: the kernel keeps
//! such names by network namespace, whoever the users are, and frees them when their process dies,
//! however it dies. Who connects learns the owner's process number from the kernel (SO_PEERCRED), and may
//! take its place: the owner gives up without removing a redirect, and ends. The invariants: a second
//! owner never touches a redirect; only root and the owner's user can take over. (Rejected: a file with a
//! lock; two containers that share a network have different files.) unix(7).

use crate::error::Error;
use crate::sys::interface::Interfaces;
use crate::sys::socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the other side may take for a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an owner that gives up may take to end: its stations have 5 s, its alarms another 5.
const ENDS: Duration = Duration::from_secs(30);

/// How often the owner looks whether it is to stop listening.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The longest line of a request, in bytes.
const LINE: usize = 4096;

/// CAP_NET_RAW, as a bit of `/proc/PID/status`: without it nobody forwards.
const NET_RAW: u32 = 13;

/// Who owns an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Its process; none when that is in another PID namespace.
    pub pid: Option<i32>,
    uid: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "a process of another PID namespace, with user {}", self.uid),
        }
    }
}

/// The interfaces that this process owns, until it ends or somebody takes over.
#[derive(Debug)]
pub struct Ownership {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    told: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    signs: Mutex<Vec<(u32, Arc<UnixListener>)>>,
    stop: AtomicBool,
    taken: AtomicBool,
    /// Who took over.
    by: AtomicI32,
    /// Its connection: it sees this process end.
    successor: Mutex<Option<UnixStream>>,
}

fn sign(index: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("mirrorc/bridge/{index}"))
}

/// Who owns the interface of this name; none when nobody does, or there is no such interface.
///
/// # Errors
/// The kernel's.
pub fn owner(name: &str) -> io::Result<Option<Owner>> {
    match Interfaces::new()?.get(name) {
        Ok(state) => Ok(reach(state.index)?.map(|(_, owner)| owner)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A connection to the owner of an interface.
fn reach(index: u32) -> io::Result<Option<(UnixStream, Owner)>> {
    let stream = match UnixStream::connect_addr(&sign(index)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error),
    };
    let (pid, uid) = socket::peer(stream.as_fd())?;
    let owner = Owner { pid: Some(pid).filter(|pid| *pid != 0), uid };
    Ok(Some((stream, owner)).filter(|(_, owner)| owner.may_forward()))
}

impl Owner {
    /// Whether it is a process that could forward. A name that somebody without that power holds is in
    /// the way and nothing else.
    fn may_forward(self) -> bool {
        let Some(pid) = self.pid else { return true };
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
        let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let held = held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok());
        held.is_none_or(|held| held & (1 << NET_RAW) != 0)
    }
}

impl Ownership {
    /// Claims the interfaces of these names. `take_over`: has who owns them give up and end.
    ///
    /// # Errors
    /// [`Error::Owned`]: somebody owns one of them, and is not to be, or could not be, replaced.
    pub fn claim(names: &[String], take_over: bool) -> Result<Ownership, Error> {
        let failed = |source| Error::Interface { doing: "claiming interfaces".to_owned(), source };
        let interfaces = Interfaces::new().map_err(failed)?;
        // One that is not there is told by who opens it.
        let found = names.iter().filter_map(|name| Some((name.clone(), interfaces.get(name).ok()?.index)));
        let found: Vec<(String, u32)> = found.collect();
        let mut ownership = Ownership { shared: Arc::default(), thread: None, told: Vec::new() };
        if take_over {
            ownership.take_over(&found)?;
        }
        for (name, index) in &found {
            ownership.add(name, *index)?;
        }
        let shared = ownership.shared.clone();
        let thread = std::thread::Builder::new().name("owner".into()).spawn(move || shared.serve());
        ownership.thread = Some(thread.map_err(failed)?);
        Ok(ownership)
    }

    /// Claims one interface more.
    ///
    /// # Errors
    /// [`Error::Owned`].
    pub fn add(&mut self, name: &str, index: u32) -> Result<(), Error> {
        if let Some(what) = self.shared.add(name, index)? {
            self.told.push(what);
        }
        Ok(())
    }

    /// The same for an interface that is there again, under another index.
    ///
    /// # Errors
    /// [`Error::Owned`].
    pub fn renew(&self, name: &str, index: u32) -> Result<(), Error> {
        self.shared.add(name, index).map(drop)
    }

    /// What a user should know.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// The process that has taken over, 0 for one of another PID namespace.
    pub fn taken_over(&self) -> Option<i32> {
        self.shared.taken.load(Ordering::SeqCst).then(|| self.shared.by.load(Ordering::SeqCst))
    }

    /// Asks each owner of these interfaces to end, and waits until it has.
    fn take_over(&mut self, interfaces: &[(String, u32)]) -> Result<(), Error> {
        let indices: Vec<String> = interfaces.iter().map(|(_, index)| index.to_string()).collect();
        let request = format!("take-over {}\n", indices.join(" "));
        for (name, index) in interfaces {
            let failed = |source| Error::Interface { doing: format!("taking over `{name}`"), source };
            let Some((mut stream, owner)) = reach(*index).map_err(failed)? else { continue };
            let refused = |why: String| Error::Owned { name: name.clone(), owner, why };
            stream.set_read_timeout(Some(PATIENCE * 2)).map_err(failed)?;
            stream.write_all(request.as_bytes()).map_err(failed)?;
            let answer =
                line(&mut stream).map_err(|error| refused(format!("it does not answer: {error}")))?;
            match answer.as_str() {
                "yes" => {}
                "" => return Err(refused("it hung up".to_owned())),
                why => return Err(refused(why.trim_start_matches("no ").to_owned())),
            }
            stream.set_read_timeout(Some(ENDS)).map_err(failed)?;
            // The kernel hangs up when the process has ended.
            match stream.read(&mut [0; 1]) {
                Ok(0) => self.told.push(format!("{owner} has handed `{name}` over and ended")),
                _ => {
                    return Err(refused(format!("it gave up and has not ended after {} s", ENDS.as_secs())));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn signs(&self) -> Vec<(u32, Arc<UnixListener>)> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, name: &str, index: u32) -> Result<Option<String>, Error> {
        let failed = |source| Error::Interface { doing: format!("claiming `{name}`"), source };
        if self.signs().iter().any(|(other, _)| *other == index) {
            return Ok(None);
        }
        let address = sign(index).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match UnixListener::bind_addr(&address) {
                Ok(listener) => {
                    listener.set_nonblocking(true).map_err(failed)?;
                    let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
                    signs.push((index, Arc::new(listener)));
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(failed(error)),
            }
            match reach(index).map_err(failed)? {
                Some((_, owner)) if begun.elapsed() > PATIENCE / 4 => {
                    let why = "it forwards what enters there".to_owned();
                    return Err(Error::Owned { name: name.to_owned(), owner, why });
                }
                None if begun.elapsed() > PATIENCE => {
                    return Ok(Some(format!(
                        "a process that cannot forward holds the sign of `{name}`: another mirrorc would not \
                         be noticed"
                    )));
                }
                // One that is just ending.
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn serve(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let signs = self.signs();
            let mut polled: Vec<PollFd<'_>> =
                signs.iter().map(|(_, sign)| PollFd::new(&**sign, PollFlags::IN)).collect();
            if !matches!(poll(&mut polled, Some(&TICK)), Ok(1..)) {
                continue;
            }
            for (_, sign) in &signs {
                if let Ok((stream, _)) = sign.accept() {
                    // One that says nothing, or hangs up, only wanted to know who we are.
                    let _hung_up = self.answer(stream);
                }
            }
        }
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        // Read first: what is not read would be an error at the other side.
        let request = line(&mut stream)?;
        let (pid, uid) = socket::peer(stream.as_fd())?;
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            return stream.write_all(b"no it is another user's: run as that user, or as root\n");
        }
        let Some(indices) = request.strip_prefix("take-over ") else { return Ok(()) };
        let wanted: Vec<u32> = indices.split(' ').filter_map(|index| index.parse().ok()).collect();
        if self.signs().iter().any(|(index, _)| !wanted.contains(index)) {
            let why = b"no it bridges other interfaces, too: name all of its bridges, or end it\n";
            return stream.write_all(why);
        }
        self.by.store(pid, Ordering::SeqCst);
        stream.write_all(b"yes\n")?;
        *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        self.taken.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// One line, without its end; empty when the other side hung up.
fn line(stream: &mut UnixStream) -> io::Result<String> {
    let (mut held, mut byte) = (Vec::new(), [0; 1]);
    while held.len() < LINE && stream.read(&mut byte)? == 1 && byte != *b"\n" {
        held.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&held).into_owned())
}
