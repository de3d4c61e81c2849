//! A stream of pcapng into a FIFO or standard output, for Wireshark, tshark and other readers of
//! captures. Invariants: a reader gets a section header and interfaces first, and then only whole
//! blocks until it closes. Writes to the pipe do not block, so that the thread notices a reader
//! that stops reading and the end of the run. Without a reader, copies are dropped and counted, and
//! the next reader gets a new stream. (Rejected: blocking writes, which end when the reader wants.
//! Rejected: O_RDWR on the FIFO, which would hide that there is no reader.)

use super::blocks::{self, About};
use super::counts::{Amount, Cause};
use super::queue::{CopyRef, Sink, SinkStatus, TICK};
use super::scope::Scope;
use crate::capture::Interface;
use crate::confine::location::{id, is, kind};
use crate::confine::{Claim, FileLocation, Key};
use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes that are gathered before they are written; fewer when no copies come.
const WRITE: usize = 64 << 10;

/// How long a reader may not read before this is reported.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Pipe {
    /// `None`: standard output.
    place: Option<FileLocation>,
    scope: Scope,
    end: Option<OwnedFd>,
    /// Keeps other stations from writing there.
    claim: Option<Claim>,
    header: Vec<u8>,
    interfaces: usize,
    /// Whole blocks, of which `written` bytes are already written.
    buffer: Vec<u8>,
    written: usize,
    /// The copies in the buffer.
    gathered: Amount,
}

impl Pipe {
    pub fn open(
        station: &str,
        path: Option<&str>,
        interfaces: &[Interface],
        scope: &Scope,
        status: &SinkStatus,
    ) -> Result<Pipe, Error> {
        let mut header = Vec::new();
        blocks::section_header(&mut header, None);
        for interface in interfaces {
            blocks::interface(&mut header, interface);
        }
        let refuse = |reason: String| Error::Station { station: station.to_owned(), reason, denied: false };
        let failed = |error: io::Error| Error::Station {
            station: station.to_owned(),
            reason: error.to_string(),
            denied: error.kind() == io::ErrorKind::PermissionDenied,
        };
        let place = path.map(|path| scope.place(path)).transpose().map_err(failed)?;
        let mut pipe = Pipe {
            place,
            scope: scope.clone(),
            end: None,
            claim: None,
            header,
            interfaces: interfaces.len(),
            buffer: Vec::with_capacity(2 * WRITE),
            written: 0,
            gathered: Amount::default(),
        };
        let key = match &pipe.place {
            Some(place) => fifo(place).map_err(failed)?,
            None => {
                let (end, key) = standard_output().map_err(refuse)?;
                pipe.end = Some(end);
                key
            }
        };
        pipe.claim = Some(scope.claim(key).map_err(failed)?);
        if pipe.place.is_some() {
            pipe.try_open(status);
        } else {
            pipe.begin();
        }
        Ok(pipe)
    }

    /// Opens the FIFO if it has a reader.
    fn try_open(&mut self, status: &SinkStatus) {
        let Some(place) = &self.place else { return };
        let path = place.shown().display();
        match place.open_fifo() {
            // Another FIFO may be at this path by now.
            Ok((end, id)) => match self.scope.claim(Key::File(id)) {
                Ok(claim) => {
                    self.claim = Some(claim);
                    self.end = Some(end);
                    self.begin();
                    self.push(status);
                }
                Err(taken) => status.down(format!("`{path}`: {taken}")),
            },
            Err(Errno::NXIO) => status.down(format!("nobody reads `{path}`")),
            Err(Errno::NOTSUP) => status.down(format!("`{path}` is no FIFO any more")),
            Err(error) => status.down(format!("cannot open `{path}`: {error}")),
        }
    }

    fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.header);
        self.written = 0;
    }

    /// Handles a reader that has closed.
    fn gone(&mut self, status: &SinkStatus) {
        self.end = None;
        self.buffer.clear();
        self.written = 0;
        status.dropped(Cause::NoReader, std::mem::take(&mut self.gathered));
        match &self.place {
            Some(place) => status.down(format!("the reader of `{}` has gone", place.shown().display())),
            None => status.down("the reader of standard output has gone"),
        }
    }

    /// Writes all that was gathered, however long the reader takes, while the run goes on.
    fn push(&mut self, status: &SinkStatus) {
        let begun = Instant::now();
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            let Some(end) = &self.end else { return };
            match write(end, rest) {
                Ok(length) => self.written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if status.late() {
                        status.dropped(Cause::Stopped, std::mem::take(&mut self.gathered));
                        self.buffer.clear();
                        self.written = 0;
                        return;
                    }
                    if begun.elapsed() >= PATIENCE {
                        status.down("its reader does not read");
                    }
                    wait(end, PollFlags::OUT, TICK);
                }
                Err(_) => return self.gone(status),
            }
        }
        self.buffer.clear();
        self.written = 0;
        status.sent(std::mem::take(&mut self.gathered));
        status.up();
    }
}

/// Waits until one of `what` happens or the time is over. Returns what happened.
fn wait(end: &OwnedFd, what: PollFlags, time: Duration) -> PollFlags {
    let mut watched = [PollFd::from_borrowed_fd(end.as_fd(), what)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut watched, Some(&time)) {
        Ok(_) => watched.first().map_or(PollFlags::empty(), PollFd::revents),
        Err(_) => PollFlags::empty(),
    }
}

/// Creates the FIFO if nothing is at the path. Returns the key to claim.
fn fifo(place: &FileLocation) -> io::Result<Key> {
    let shown = place.shown().display();
    let failed =
        |doing, error: io::Error| io::Error::new(error.kind(), format!("cannot {doing} `{shown}`: {error}"));
    let unusable = |why| Err(io::Error::other(why));
    if place.look().map_err(|error| failed("look at", error))?.is_none() {
        place.make_fifo().map_err(|error| failed("make the FIFO", error))?;
    }
    match place.look().map_err(|error| failed("look at", error))? {
        Some(about) if is(&about, FileType::Fifo) => Ok(Key::File(id(&about))),
        Some(about) if is(&about, FileType::RegularFile) => {
            unusable(format!("`{shown}` is no FIFO; for a file write `pcapng \"{shown}\"`"))
        }
        Some(about) => unusable(format!("`{shown}` is {}; a pipe station writes into a FIFO", kind(&about))),
        None => unusable(format!(
            "`{shown}` was removed meanwhile; keep other programs from it, or give the pipe another path"
        )),
    }
}

/// A descriptor of standard output that belongs to this process alone: a pipe is opened again, so
/// that non-blocking mode does not affect other processes that share it.
fn standard_output() -> Result<(OwnedFd, Key), String> {
    let stdout = std::io::stdout();
    let about = fstat(&stdout).map_err(|error| format!("standard output cannot be used: {error}"))?;
    let key = Key::File(id(&about));
    if is(&about, FileType::Fifo) {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(end) = open("/proc/self/fd/1", flags, Mode::empty()) {
            return Ok((end, key));
        }
    }
    if std::io::IsTerminal::is_terminal(&stdout) {
        return Err("standard output is a terminal; pipe it into a reader: `| tshark -i -`".to_owned());
    }
    let end = stdout.as_fd().try_clone_to_owned();
    end.map(|end| (end, key)).map_err(|e| format!("standard output cannot be used: {e}"))
}

impl Sink for Pipe {
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus) {
        let held = copy.held;
        let one = Amount::one(copy.bytes.len());
        if held.interface as usize >= self.interfaces {
            return status.dropped(Cause::Unfit, one);
        }
        if self.end.is_none() {
            return status.dropped(Cause::NoReader, one);
        }
        let about =
            About { interface: held.interface, time: held.time, len: held.len, verdict: held.verdict };
        blocks::packet(&mut self.buffer, copy.names, &about, copy.bytes);
        self.gathered.add(one);
        if self.buffer.len() >= WRITE {
            self.push(status);
        }
    }

    fn rest(&mut self, status: &SinkStatus) {
        if !self.buffer.is_empty() {
            self.push(status);
        }
    }

    fn tick(&mut self, _now: Instant, status: &SinkStatus) {
        match &self.end {
            None => self.try_open(status),
            // The reader closed while there was nothing to write: the next reader gets a new
            // stream.
            Some(end) if wait(end, PollFlags::empty(), Duration::ZERO).contains(PollFlags::ERR) => {
                self.gone(status);
            }
            Some(_) => {}
        }
    }

    fn finish(&mut self, status: &SinkStatus) {
        self.push(status);
    }
}
