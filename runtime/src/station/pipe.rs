//! A stream of pcapng into a FIFO or standard output, for Wireshark, tshark and whatever reads captures. The invariants: a
//! reader gets a section header and interfaces first and then only whole blocks, until it goes; the pipe is written
//! without waiting in the system, so a reader that stops is noticed, and the end of the run too; without a reader copies are
//! dropped and counted, and the next reader begins anew.
//! (Rejected: blocking writes, which end when the reader wants; O_RDWR on the FIFO, which would hide that nobody reads.)

use super::blocks::{self, About};
use super::counts::{Amount, Cause};
use super::lane::{Sink, TICK, Taken, Tally};
use crate::capture::Interface;
use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, mkfifoat, open, stat};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is gathered before it is written, in bytes; less when no copies come.
const WRITE: usize = 64 << 10;

/// How long a reader may not read before that is told.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Pipe {
    /// None: standard output.
    path: Option<PathBuf>,
    end: Option<OwnedFd>,
    header: Vec<u8>,
    interfaces: usize,
    /// Whole blocks, of which `written` bytes are gone already.
    buffer: Vec<u8>,
    written: usize,
    /// The copies in it.
    gathered: Amount,
}

impl Pipe {
    pub fn open(
        station: &str,
        path: Option<&str>,
        interfaces: &[Interface],
        tally: &Tally,
    ) -> Result<Pipe, Error> {
        let mut header = Vec::new();
        blocks::section_header(&mut header);
        for interface in interfaces {
            blocks::interface(&mut header, interface);
        }
        let mut pipe = Pipe {
            path: path.map(PathBuf::from),
            end: None,
            header,
            interfaces: interfaces.len(),
            buffer: Vec::with_capacity(2 * WRITE),
            written: 0,
            gathered: Amount::default(),
        };
        let refuse = |reason: String| Error::Station { station: station.to_owned(), reason };
        match &pipe.path {
            Some(path) => {
                fifo(path).map_err(refuse)?;
                pipe.try_open(tally);
            }
            None => {
                pipe.end = Some(standard_output().map_err(refuse)?);
                pipe.begin();
            }
        }
        Ok(pipe)
    }

    /// Opens the FIFO if somebody reads it.
    fn try_open(&mut self, tally: &Tally) {
        let Some(path) = &self.path else { return };
        match open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(end) => {
                self.end = Some(end);
                self.begin();
                self.push(tally);
            }
            Err(Errno::NXIO) => tally.down(format!("nobody reads `{}`", path.display())),
            Err(error) => tally.down(format!("cannot open `{}`: {error}", path.display())),
        }
    }

    fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.header);
        self.written = 0;
    }

    /// The reader went.
    fn gone(&mut self, tally: &Tally) {
        self.end = None;
        self.buffer.clear();
        self.written = 0;
        tally.dropped(Cause::NoReader, std::mem::take(&mut self.gathered));
        match &self.path {
            Some(path) => tally.down(format!("the reader of `{}` has gone", path.display())),
            None => tally.down("the reader of standard output has gone"),
        }
    }

    /// Writes all that was gathered, however long the reader takes, while the run goes on.
    fn push(&mut self, tally: &Tally) {
        let begun = Instant::now();
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            let Some(end) = &self.end else { return };
            match write(end, rest) {
                Ok(length) => self.written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if tally.late() {
                        tally.dropped(Cause::Stopped, std::mem::take(&mut self.gathered));
                        self.buffer.clear();
                        self.written = 0;
                        return;
                    }
                    if begun.elapsed() >= PATIENCE {
                        tally.down("its reader does not read");
                    }
                    wait(end, PollFlags::OUT, TICK);
                }
                Err(_) => return self.gone(tally),
            }
        }
        self.buffer.clear();
        self.written = 0;
        tally.sent(std::mem::take(&mut self.gathered));
        tally.up();
    }
}

/// Waits until something happens or the time is over; says what.
fn wait(end: &OwnedFd, what: PollFlags, time: Duration) -> PollFlags {
    let mut watched = [PollFd::from_borrowed_fd(end.as_fd(), what)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut watched, Some(&time)) {
        Ok(_) => watched.first().map_or(PollFlags::empty(), PollFd::revents),
        Err(_) => PollFlags::empty(),
    }
}

/// Makes the FIFO if nothing is there.
fn fifo(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match stat(path) {
        Ok(about) if FileType::from_raw_mode(about.st_mode) == FileType::Fifo => Ok(()),
        Ok(_) => Err(format!("`{shown}` is no FIFO; for a file write `pcapng \"{shown}\"`")),
        Err(Errno::NOENT) => {
            let made = mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR | Mode::RGRP);
            made.map_err(|e| format!("cannot make the FIFO `{shown}`: {}", io::Error::from(e)))
        }
        Err(error) => Err(format!("cannot look at `{shown}`: {}", io::Error::from(error))),
    }
}

/// Standard output, for us alone: a pipe is opened anew, so that not waiting is no matter of whoever shares it.
fn standard_output() -> Result<OwnedFd, String> {
    let stdout = std::io::stdout();
    let kind = fstat(&stdout).map(|about| FileType::from_raw_mode(about.st_mode));
    if matches!(kind, Ok(FileType::Fifo)) {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(end) = open("/proc/self/fd/1", flags, Mode::empty()) {
            return Ok(end);
        }
    }
    if std::io::IsTerminal::is_terminal(&stdout) {
        return Err("standard output is a terminal; pipe it into a reader: `| tshark -i -`".to_owned());
    }
    stdout.as_fd().try_clone_to_owned().map_err(|e| format!("standard output cannot be used: {e}"))
}

impl Sink for Pipe {
    fn send(&mut self, copy: Taken<'_>, tally: &Tally) {
        let held = copy.held;
        let one = Amount::one(copy.bytes.len());
        if held.interface as usize >= self.interfaces {
            return tally.dropped(Cause::Unfit, one);
        }
        if self.end.is_none() {
            return tally.dropped(Cause::NoReader, one);
        }
        let about =
            About { interface: held.interface, time: held.time, len: held.len, verdict: held.verdict };
        blocks::packet(&mut self.buffer, copy.names, &about, copy.bytes);
        self.gathered.add(one);
        if self.buffer.len() >= WRITE {
            self.push(tally);
        }
    }

    fn rest(&mut self, tally: &Tally) {
        if !self.buffer.is_empty() {
            self.push(tally);
        }
    }

    fn tick(&mut self, _now: Instant, tally: &Tally) {
        match &self.end {
            None => self.try_open(tally),
            // A reader that goes while there is nothing to write: the next one begins anew.
            Some(end) if wait(end, PollFlags::empty(), Duration::ZERO).contains(PollFlags::ERR) => {
                self.gone(tally);
            }
            Some(_) => {}
        }
    }

    fn finish(&mut self, tally: &Tally) {
        self.push(tally);
    }
}
