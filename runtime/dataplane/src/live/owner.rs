//! Ensures that one process forwards between interfaces, for each interface that is an end of a
//! bridge. The sign of ownership is a Unix socket in the abstract name space, named by the
//! interface's index. The kernel keeps such names per network namespace, for all users, and frees
//! them when their process dies in any way. A process that connects learns the owner's process
//! number from the kernel (SO_PEERCRED), and may take its place: the owner gives up without
//! removing a redirect, and ends. Invariants: a second owner never touches a redirect; only root
//! and the owner's user can take over. (Rejected: a file with a lock; two containers that share a
//! network have different files.) See unix(7).

mod handover;
mod peer;
mod succession;

use crate::error::{Error, Owner};
use crate::sys::interface::Interfaces;
use crate::sys::socket;
use handover::ListenerStatus;
use peer::{Holder, reach};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr as TcpAddress, TcpListener};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use succession::Succession;

/// How long an owner may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a start waits for a held name: its process may just be ending.
const HELD: Duration = Duration::from_secs(2);

/// How long the owner reads a request, in total.
const REQUEST: Duration = Duration::from_secs(1);

/// How long a read waits before it checks whether it must stop.
const SLICE: Duration = Duration::from_millis(50);

/// How long the end of a run waits for the answering thread.
const JOIN: Duration = Duration::from_secs(2);

/// How long an owner that gives up may take to end: its stations have 5 s, its alarms another 5 s.
const ENDS: Duration = Duration::from_secs(30);

/// How often the owner checks whether it must stop listening.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The longest line of a request, in bytes.
const LINE: usize = 4096;

/// How many characters of an answer a message shows.
const SHOWN: usize = 200;

/// The interfaces that this process owns, until it ends or another process takes over.
#[derive(Debug)]
pub struct Ownership {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    told: Vec<String>,
    /// The listener that the previous owner handed over.
    handed: Option<TcpListener>,
}

#[derive(Debug, Default)]
struct Shared {
    signs: Mutex<Vec<Sign>>,
    stop: AtomicBool,
    /// The process that takes over.
    succession: Mutex<Succession>,
    /// The listener of the API, for the process that takes over.
    offer: Mutex<Option<TcpListener>>,
}

/// The sign of one interface.
#[derive(Debug, Clone)]
struct Sign {
    index: u32,
    listener: Arc<UnixListener>,
    /// The interface was gone at the last check. The answering thread then frees the name.
    given_up: bool,
}

fn sign(index: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("mirrorc/bridge/{index}"))
}

/// The owner of the interface with this name. `None`: there is no owner, or no such interface.
///
/// # Errors
/// Errors of the kernel; `WouldBlock` when the holder of the name accepts no connection.
pub fn owner(name: &str) -> io::Result<Option<Owner>> {
    let index = match Interfaces::new()?.get(name) {
        Ok(state) => state.index,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match reach(index)? {
        Holder::Owner(_, owner) => Ok(Some(owner)),
        Holder::Nobody | Holder::Stranger(_) => Ok(None),
        Holder::Silent => {
            Err(io::Error::new(ErrorKind::WouldBlock, "a process holds its name and answers nobody"))
        }
    }
}

impl Ownership {
    /// Claims the interfaces with these names. With `take_over`, their owner gives up and ends.
    /// `listen` is an address in use that may be the owner's ([`Ownership::handed`]).
    ///
    /// # Errors
    /// [`Error::Owned`]: an interface has an owner that must not be, or could not be, replaced.
    /// [`Error::AddressTaken`]: another process listens at the address; nothing was taken over
    /// then.
    pub fn claim(names: &[String], take_over: bool, listen: Option<TcpAddress>) -> Result<Ownership, Error> {
        let failed = |source| Error::Interface { doing: "claiming interfaces".to_owned(), source };
        let interfaces = Interfaces::new().map_err(failed)?;
        // A missing interface is reported when it is opened.
        let found = names.iter().filter_map(|name| Some((name.clone(), interfaces.get(name).ok()?.index)));
        let found: Vec<(String, u32)> = found.collect();
        let mut ownership =
            Ownership { shared: Arc::default(), thread: None, told: Vec::new(), handed: None };
        if take_over {
            ownership.take_over(&found, listen)?;
        }
        for (name, index) in &found {
            ownership.add(name, *index)?;
        }
        let shared = ownership.shared.clone();
        let thread = std::thread::Builder::new().name("owner".into()).spawn(move || shared.serve());
        ownership.thread = Some(thread.map_err(failed)?);
        Ok(ownership)
    }

    /// Claims one more interface.
    ///
    /// # Errors
    /// [`Error::Owned`].
    pub fn add(&mut self, name: &str, index: u32) -> Result<(), Error> {
        if let Some(what) = self.shared.add(name, index, HELD)? {
            self.told.push(what);
        }
        Ok(())
    }

    /// Claims an interface that has come back under another index. Does not wait. Returns a note
    /// for the user.
    ///
    /// # Errors
    /// [`Error::Owned`].
    pub fn renew(&self, name: &str, index: u32) -> Result<Option<String>, Error> {
        self.shared.add(name, index, Duration::ZERO)
    }

    /// Frees the name of an interface that is gone. The kernel may give its index to another
    /// interface, and a process that takes over cannot name it.
    pub fn give_up(&self, index: u32) {
        let mut signs = self.shared.signs.lock().unwrap_or_else(PoisonError::into_inner);
        signs.iter_mut().filter(|sign| sign.index == index).for_each(|sign| sign.given_up = true);
    }

    /// Notes for the user.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// The listener that the previous owner handed over. Without one, the address has been free
    /// since that owner ended.
    pub fn handed(&mut self) -> Option<TcpListener> {
        self.handed.take()
    }

    /// Offers the API's listener to a process that takes over.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn offer(&self, listener: &TcpListener) -> io::Result<()> {
        *self.shared.offer() = Some(listener.try_clone()?);
        Ok(())
    }

    /// The process that takes over, 0 for a process in another PID namespace. A process that has
    /// hung up no longer takes over.
    pub fn taken_over(&self) -> Option<i32> {
        self.shared.succession().taken_over()
    }

    /// Concludes the run: no process can take over from now on, and without a successor clients are
    /// refused. Returns the process that has taken over by now.
    pub fn conclude(&self) -> Option<i32> {
        let successor = self.shared.succession().conclude();
        if successor.is_none() {
            *self.shared.offer() = None;
        }
        successor
    }

    /// Asks the owner of these interfaces to end, and waits until it has ended.
    fn take_over(&mut self, interfaces: &[(String, u32)], listen: Option<TcpAddress>) -> Result<(), Error> {
        handover::is_one(interfaces)?;
        let held = listen.map(|wanted| handover::ask(interfaces, wanted)).transpose()?;
        let wanted = listen.filter(|_| held == Some(ListenerStatus::Same));
        let words = interfaces.iter().map(|(_, index)| index.to_string());
        let words = words.chain(wanted.map(|wanted| format!("{}{wanted}", handover::LISTEN)));
        let request = format!("take-over {}\n", words.collect::<Vec<_>>().join(" "));
        for (name, index) in interfaces {
            let failed = |source| Error::Interface { doing: format!("taking over `{name}`"), source };
            // A process that may not forward owns nothing.
            let Holder::Owner(mut stream, owner) = reach(*index).map_err(failed)? else { continue };
            let refused = |why: String| Error::Owned { name: name.clone(), owner, why };
            stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
            // An owner that refuses the request may have hung up already; its answer can still be
            // read.
            let _hung_up = stream.write_all(request.as_bytes());
            let (answer, handed) = handover::take(&stream, wanted)
                .map_err(|error| refused(format!("it does not answer: {error}")))?;
            self.handed = self.handed.take().or(handed);
            match (answer.as_str(), answer.strip_prefix("no ")) {
                ("yes", _) => {}
                ("", _) => return Err(refused("it hung up without an answer".to_owned())),
                (_, Some(why)) => return Err(refused(shown(why))),
                (other, None) => {
                    let shown = shown(other);
                    return Err(refused(format!("its answer is not that of a mirrorc: \"{shown}\"")));
                }
            }
            if !has_ended(&mut stream, ENDS).map_err(failed)? {
                return Err(refused(format!("it gave up and has not ended after {} s", ENDS.as_secs())));
            }
            self.told.push(format!("{owner} has handed `{name}` over and ended"));
        }
        Ok(())
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let begun = Instant::now();
            while !thread.is_finished() && begun.elapsed() < JOIN {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() {
                let _ended = thread.join();
            }
        }
    }
}

impl Shared {
    /// The signs of present interfaces. Call it when no copy of an earlier result is held: a name
    /// that was given up is then free.
    fn signs(&self) -> Vec<Sign> {
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        signs.retain(|sign| !sign.given_up);
        signs.clone()
    }

    /// Whether the name is held. A name that was given up is then held again.
    fn holds(&self, index: u32) -> bool {
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        let held = signs.iter_mut().find(|sign| sign.index == index);
        held.map(|sign| sign.given_up = false).is_some()
    }

    /// Whether a request names all bridged interfaces.
    fn are_all(&self, wanted: &[u32]) -> bool {
        let signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        signs.iter().all(|sign| sign.given_up || wanted.contains(&sign.index))
    }

    fn succession(&self) -> MutexGuard<'_, Succession> {
        self.succession.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, name: &str, index: u32, patience: Duration) -> Result<Option<String>, Error> {
        let failed = |source| Error::Interface { doing: format!("claiming `{name}`"), source };
        if self.holds(index) {
            return Ok(None);
        }
        let address = sign(index).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match UnixListener::bind_addr(&address) {
                Ok(listener) => {
                    listener.set_nonblocking(true).map_err(failed)?;
                    let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
                    signs.push(Sign { index, listener: Arc::new(listener), given_up: false });
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(failed(error)),
            }
            match reach(index).map_err(failed)? {
                Holder::Owner(_, owner) if begun.elapsed() >= patience / 4 => {
                    let why = "it forwards what enters there".to_owned();
                    return Err(Error::Owned { name: name.to_owned(), owner, why });
                }
                holder if begun.elapsed() >= patience => {
                    return Ok(Some(format!(
                        "{} holds the sign of `{name}`: mirrorc forwards all the same, and another mirrorc \
                         would not notice it",
                        holder.told()
                    )));
                }
                // The holder may just be ending.
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn serve(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let signs = self.signs();
            let mut polled: Vec<PollFd<'_>> =
                signs.iter().map(|sign| PollFd::new(&*sign.listener, PollFlags::IN)).collect();
            if !matches!(poll(&mut polled, Some(&TICK)), Ok(1..)) {
                continue;
            }
            for sign in &signs {
                if let Ok((stream, _)) = sign.listener.accept() {
                    // A client that says nothing, or hangs up, only wanted to know the owner.
                    let _hung_up = self.answer(stream);
                }
            }
        }
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        // The user is checked first: a stranger costs no time.
        let (pid, uid) = socket::peer(stream.as_fd())?;
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            stream.set_nonblocking(true)?;
            return stream.write_all(b"no it is another user's: run as that user, or as root\n");
        }
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(REQUEST))?;
        let request = line(&mut stream, REQUEST, &self.stop)?;
        let own = self.offer().as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(wanted) = request.strip_prefix(handover::LISTENS) {
            return stream.write_all(handover::told(own, wanted).as_bytes());
        }
        let Some(words) = request.strip_prefix("take-over ") else { return Ok(()) };
        let wanted: Vec<u32> = words.split(' ').filter_map(|index| index.parse().ok()).collect();
        let listen = words.split(' ').find_map(|word| word.strip_prefix(handover::LISTEN)?.parse().ok());
        if !self.are_all(&wanted) {
            let why = b"no it bridges other interfaces, too: name all of its bridges, or end it\n";
            return stream.write_all(why);
        }
        let mut succession = self.succession();
        if let Err(why) = succession.may_begin() {
            return stream.write_all(format!("no {why}\n").as_bytes());
        }
        handover::give(&stream, self.offer().as_ref().filter(|_| listen.is_some() && listen == own))?;
        succession.begin(pid, stream);
        Ok(())
    }
}

/// An answer in the form for messages: its beginning, without control characters.
fn shown(answer: &str) -> String {
    answer.chars().take(SHOWN).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether the process at the other end ends in time; the kernel then closes the connection.
fn has_ended(stream: &mut UnixStream, patience: Duration) -> io::Result<bool> {
    stream.set_read_timeout(Some(SLICE))?;
    let (begun, mut bytes) = (Instant::now(), [0; LINE]);
    while begun.elapsed() < patience {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
            // It sends data, so it is still running.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// One line, without its end; empty when the other side hung up. `patience` is for the whole line.
fn line(stream: &mut UnixStream, patience: Duration, stop: &AtomicBool) -> io::Result<String> {
    stream.set_read_timeout(Some(SLICE))?;
    let (begun, mut held, mut byte) = (Instant::now(), Vec::new(), [0; 1]);
    while held.len() < LINE {
        if begun.elapsed() >= patience || stop.load(Ordering::SeqCst) {
            return Err(ErrorKind::TimedOut.into());
        }
        match stream.read(&mut byte) {
            Ok(1) if byte != *b"\n" => held.extend_from_slice(&byte),
            Ok(_) => break,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&held).into_owned())
}
