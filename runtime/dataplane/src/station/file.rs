//! A pcapng station: files on a disk, each with its own section header. Invariants: only whole
//! blocks go to the system, at least once a second, so a killed process leaves readable files.
//! After a failed write, the file is cut back to its last whole block, the copies count as dropped,
//! and writing is retried. If a user deletes the file, the station begins a new one. (Rejected:
//! fsync, which would make a station as slow as its disk for the case of a power failure. Rejected:
//! a temporary name until a file is full, which would hide the newest packets.)

use super::blocks::{self, About};
use super::counts::{Amount, Cause};
use super::queue::{CopyRef, Sink, SinkStatus};
use super::rotation::{FileRotation, OpenedFile};
use super::scope::Scope;
use crate::capture::Interface;
use crate::confine::Claim;
use crate::error::Error;
use mrule_compiler::hir::Rotate;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes that are gathered before they are written.
const WRITE: usize = 256 << 10;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How long writing must succeed after a failure before the station is up. On a full disk, small
/// pieces fit now and then.
const PROBATION: Duration = Duration::from_secs(2);

/// How often the station checks whether the file still exists.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Files {
    rotation: FileRotation,
    rotate: Rotate,
    current: Option<Current>,
    /// Bytes of the section header and the interfaces at the start of each file.
    header: u64,
    interfaces: usize,
    /// Whole blocks, not yet written.
    buffer: Vec<u8>,
    /// The copies in the buffer.
    gathered: Amount,
    /// After a failure: the time of the next attempt.
    retry: Option<Instant>,
    /// After a failure: since when writing succeeds.
    well: Option<Instant>,
    looked: Instant,
}

struct Current {
    path: PathBuf,
    file: File,
    /// Keeps other stations from writing the file.
    _claim: Claim,
    written: u64,
    begun: Instant,
    /// The file has a packet, written or gathered.
    used: bool,
}

impl Files {
    pub fn open(
        station: &str,
        path: &str,
        rotate: Rotate,
        keep: Option<u64>,
        interfaces: &[Interface],
        scope: &Scope,
        status: &SinkStatus,
    ) -> Result<Files, Error> {
        let mut header = Vec::new();
        blocks::section_header(&mut header, Some(scope.mark()));
        for interface in interfaces {
            blocks::interface(&mut header, interface);
        }
        let refused = |error: io::Error| {
            let reason = format!("cannot create `{path}`: {error}");
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            Error::Station { station: station.to_owned(), reason, denied }
        };
        let length = header.len() as u64;
        let mut files = Files {
            rotation: FileRotation::new(path, rotate, keep, header, scope.clone()).map_err(refused)?,
            rotate,
            current: None,
            header: length,
            interfaces: interfaces.len(),
            buffer: Vec::with_capacity(WRITE + (64 << 10)),
            gathered: Amount::default(),
            retry: None,
            well: None,
            looked: Instant::now(),
        };
        match files.begin() {
            Ok(()) => {}
            // There may be space later.
            Err(error) if is_full(&error) => files.cannot_begin(&error, status),
            Err(error) => return Err(refused(error)),
        }
        Ok(files)
    }

    /// Begins the next file.
    fn begin(&mut self) -> io::Result<()> {
        let OpenedFile { path, file, claim } = self.rotation.next()?;
        let (written, begun) = (self.header, Instant::now());
        self.current = Some(Current { path, file, _claim: claim, written, begun, used: false });
        Ok(())
    }

    /// Begins the next file, or reports why it cannot.
    fn begin_or_tell(&mut self, status: &SinkStatus) {
        if let Err(error) = self.begin() {
            self.cannot_begin(&error, status);
        }
    }

    fn cannot_begin(&mut self, error: &io::Error, status: &SinkStatus) {
        self.current = None;
        self.retry = Some(Instant::now() + PAUSE);
        self.well = None;
        status.down(format!("cannot begin a file: {error}"));
    }

    /// Writes what was gathered.
    fn write_out(&mut self, status: &SinkStatus) {
        let Some(current) = &mut self.current else {
            self.drop_gathered(status);
            return;
        };
        let result = current.write(&self.buffer);
        if let Err(error) = result {
            let path = current.path.display();
            let reason = match error.kind() {
                io::ErrorKind::StorageFull => format!("no room for `{path}`"),
                io::ErrorKind::QuotaExceeded => format!("the quota for `{path}` is used up"),
                _ => format!("cannot write `{path}`: {error}"),
            };
            current.used = current.written > self.header;
            self.retry = Some(Instant::now() + PAUSE);
            self.well = None;
            self.drop_gathered(status);
            status.down(reason);
            return;
        }
        self.buffer.clear();
        status.sent(std::mem::take(&mut self.gathered));
        if status.is_down() && self.well.get_or_insert_with(Instant::now).elapsed() >= PROBATION {
            status.up();
        }
    }

    fn drop_gathered(&mut self, status: &SinkStatus) {
        self.buffer.clear();
        status.dropped(Cause::Write, std::mem::take(&mut self.gathered));
    }

    fn rotate(&mut self, status: &SinkStatus) {
        self.write_out(status);
        if self.retry.is_none() {
            self.begin_or_tell(status);
        }
        if self.retry.is_none() {
            self.write_out(status);
        }
    }

    /// Whether writing may be tried, after a failure.
    fn ready(&mut self, status: &SinkStatus) -> bool {
        if let Some(retry) = self.retry {
            if Instant::now() < retry {
                return false;
            }
            self.retry = None;
            if self.current.is_none() {
                self.begin_or_tell(status);
            }
        }
        self.retry.is_none()
    }
}

/// Whether the system had no space for a file.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

impl Current {
    fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        let end = self.written;
        if let Err(error) = self.file.write_all(blocks) {
            // Cut back to the last whole block. If that fails too, the reader of the file will
            // notice.
            let _: io::Result<u64> =
                self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)));
            return Err(error);
        }
        self.written += blocks.len() as u64;
        Ok(())
    }

    /// Whether the file was deleted.
    fn is_gone(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.nlink() == 0)
    }
}

impl Sink for Files {
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus) {
        let held = copy.held;
        let one = Amount::one(copy.bytes.len());
        if held.interface as usize >= self.interfaces {
            return status.dropped(Cause::Unfit, one);
        }
        if !self.ready(status) {
            return status.dropped(Cause::Write, one);
        }
        let start = self.buffer.len();
        let about =
            About { interface: held.interface, time: held.time, len: held.len, verdict: held.verdict };
        blocks::packet(&mut self.buffer, copy.names, &about, copy.bytes);
        if let Some(current) = &mut self.current {
            let length = current.written + self.buffer.len() as u64;
            if current.used && self.rotate.size.is_some_and(|most| length > most) {
                let block = self.buffer.split_off(start);
                self.rotate(status);
                if self.retry.is_some() {
                    return status.dropped(Cause::Write, one);
                }
                self.buffer.extend_from_slice(&block);
            }
        }
        if let Some(current) = &mut self.current {
            current.used = true;
        }
        self.gathered.add(one);
        if self.buffer.len() >= WRITE {
            self.write_out(status);
        }
    }

    fn tick(&mut self, now: Instant, status: &SinkStatus) {
        if self.retry.is_some() {
            // Nothing is gathered. The header of the next file, or the next copies, will show
            // whether there is space again.
            if self.ready(status) && self.current.as_ref().is_some_and(|c| !c.used) {
                self.write_out(status);
            }
            return;
        }
        if !self.buffer.is_empty() {
            self.write_out(status);
        }
        if now.duration_since(self.looked) >= LOOK {
            self.looked = now;
            if self.current.as_ref().is_some_and(Current::is_gone) {
                self.begin_or_tell(status);
                self.write_out(status);
            }
        }
        let over = |current: &Current| {
            let old =
                self.rotate.time.is_some_and(|most| current.begun.elapsed() >= Duration::from_nanos(most));
            old && current.used
        };
        if self.current.as_ref().is_some_and(over) {
            self.rotate(status);
        }
    }

    fn finish(&mut self, status: &SinkStatus) {
        self.write_out(status);
    }
}
