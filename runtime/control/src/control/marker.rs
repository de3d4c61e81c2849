//! The file `binding` beside the store: the binding policies with their versions, and the policies
//! with changes that the database lacks. The invariants: it is on the disk before a load, unload or
//! change is answered, also if the database cannot be written; it is created after the store's
//! tables, so a store without tables beside it is damaged; a database with a smaller sequence
//! number than the file is an older copy. It is written in the directory that was opened, into a
//! file with reserved space, so a full disk does not prevent writing it. (Rejected: trusting only
//! the store; SQLite accepts an emptied file, or one without its WAL, as a new database. A number
//! for each change; the file would be synced for each, and only missing changes matter.)

use super::store::{AtWork, Kept};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Its name, and the name of the file that replaces it.
const NAMES: [&str; 2] = ["binding", "binding.new"];

/// The length of the file is a multiple of this.
const ROOM: usize = 4096;

/// Replaces a sequence number: missing until somebody resolves it.
const UNRESOLVED: u64 = u64::MAX;

/// The contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// The sequence number of the database when this was written.
    sequence: u64,
    /// Binding policies with their versions.
    binding: BTreeMap<String, u64>,
    /// Policies with answered changes that may not be in the database: the number of the last
    /// change.
    missing: BTreeMap<String, u64>,
}

/// The file and its contents.
#[derive(Debug)]
pub(super) struct Marker {
    directory: OwnedFd,
    contents: Contents,
    /// The current sequence number of the database.
    committed: u64,
    /// Policies that are about to bind: no change removes their marks.
    intended: BTreeSet<String>,
    /// The last change of each mark: no earlier change removes the mark.
    numbers: BTreeMap<String, u64>,
    /// Whether changes were given up: what is missing stays missing, at least until the next start.
    has_lost: bool,
}

/// What to record of a policy that binds, or will bind, whatever the state of the database.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// The policy is about to bind at this version.
    Intended(u64),
    /// The load has ended, and the mark stays.
    Stays,
    /// The load has ended; after this change the current version binds with this number, or does
    /// not.
    Over(Option<u64>, u64),
}

/// Whether a directory never had a state.
pub(super) fn is_new(directory: &Path) -> bool {
    let is_missing = |name: &str| {
        let found = std::fs::symlink_metadata(directory.join(name)).map_err(|error| error.kind());
        matches!(found, Err(ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    ["state.sqlite", "state.sqlite-wal", NAMES[0]].into_iter().all(is_missing)
}

impl Marker {
    /// Reads the file; none if the directory never had a state.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(directory: &Path) -> Result<Option<Marker>, String> {
        let path = directory.join(NAMES[0]);
        let failed = |why: String| format!("`{}` cannot be read: {why}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let contents = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
                let directory = opened(directory).map_err(|error| failed(error.to_string()))?;
                Ok(Some(Marker::of(directory, contents)))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Creates an empty file.
    ///
    /// # Errors
    /// The system's.
    pub fn new(directory: &Path) -> io::Result<Marker> {
        let directory = opened(directory)?;
        let marker = Marker::of(directory, Contents::default());
        marker.write()?;
        Ok(marker)
    }

    fn of(directory: OwnedFd, contents: Contents) -> Marker {
        let (intended, numbers) = (BTreeSet::new(), BTreeMap::new());
        Marker { directory, contents, committed: 0, intended, numbers, has_lost: false }
    }

    /// The sequence number that the database had at least.
    pub fn sequence(&self) -> u64 {
        self.contents.sequence
    }

    /// Records the sequence number of the database.
    pub fn committed(&mut self, number: u64) {
        self.committed = number;
    }

    /// Marks a policy before or after a load, without a change in the database.
    ///
    /// # Errors
    /// The system's.
    pub fn mark(&mut self, policy: &str, mark: Mark) -> io::Result<()> {
        match mark {
            Mark::Intended(version) => {
                self.intended.insert(policy.to_owned());
                self.raise(policy, version)
            }
            Mark::Stays => {
                self.intended.remove(policy);
                Ok(())
            }
            Mark::Over(version, number) => {
                self.intended.remove(policy);
                match version {
                    Some(_) => drop(self.numbers.insert(policy.to_owned(), number)),
                    None => drop(self.numbers.remove(policy)),
                }
                self.set(policy, version)
            }
        }
    }

    /// Records that the next change makes a policy binding at this version, or at a later version
    /// that the file already has.
    ///
    /// # Errors
    /// The system's.
    pub fn before(&mut self, policy: &str, version: u64, number: u64) -> io::Result<()> {
        let last = self.numbers.entry(policy.to_owned()).or_default();
        *last = number.max(*last);
        self.raise(policy, version)
    }

    /// Records that after a written change a policy binds at this version, or does not. The mark of
    /// a later change stays.
    ///
    /// # Errors
    /// The system's.
    pub fn after(&mut self, policy: &str, version: Option<u64>, number: u64) -> io::Result<()> {
        let is_later = self.numbers.get(policy).is_some_and(|last| *last > number);
        if is_later || self.intended.contains(policy) {
            return Ok(());
        }
        self.set(policy, version)
    }

    fn raise(&mut self, policy: &str, version: u64) -> io::Result<()> {
        self.change(|contents| {
            let last = contents.binding.entry(policy.to_owned()).or_default();
            *last = version.max(*last);
        })
    }

    /// Sets the version at which a policy binds, if any.
    fn set(&mut self, policy: &str, version: Option<u64>) -> io::Result<()> {
        self.change(|contents| {
            match version {
                Some(version) => contents.binding.insert(policy.to_owned(), version),
                None => contents.binding.remove(policy),
            };
        })
    }

    /// Records that a change of a policy is not in the database: the change with this number, or
    /// one that never will be.
    ///
    /// # Errors
    /// The system's.
    pub fn miss(&mut self, policy: &str, number: Option<u64>) -> io::Result<()> {
        let number = number.unwrap_or(UNRESOLVED);
        self.change(|contents| {
            let last = contents.missing.entry(policy.to_owned()).or_default();
            *last = number.max(*last);
        })
    }

    /// Records that what the database lacks of a policy is resolved: it was loaded, unloaded or
    /// released.
    ///
    /// # Errors
    /// The system's.
    pub fn resolve(&mut self, policy: &str) -> io::Result<()> {
        let (committed, has_lost) = (self.committed, self.has_lost);
        let waits = |number: u64| match number {
            UNRESOLVED => has_lost,
            number => number > committed,
        };
        self.change(|contents| contents.missing.retain(|name, number| name != policy || waits(*number)))
    }

    /// Records that changes were given up: no change that was waiting before resolves what is
    /// missing.
    pub fn lose(&mut self) {
        self.has_lost = true;
    }

    /// Writes the database's sequence number into the file, so that an older copy of the database
    /// is recognised.
    ///
    /// # Errors
    /// The system's.
    pub fn note(&mut self) -> io::Result<()> {
        let before = self.contents.sequence;
        if before == self.committed {
            return Ok(());
        }
        self.contents.sequence = self.committed;
        self.write().inspect_err(|_| self.contents.sequence = before)
    }

    /// Records that all waiting changes are in the database.
    ///
    /// # Errors
    /// The system's.
    pub fn caught_up(&mut self) -> io::Result<()> {
        self.change(|contents| contents.missing.retain(|_, number| *number == UNRESOLVED))
    }

    /// Marks missing policies in what the store has read, and records the binding policies.
    ///
    /// # Errors
    /// The system's.
    pub fn compare(&mut self, kept: &mut Vec<Kept>) -> io::Result<()> {
        const MISSING: &str = "the binding version that was loaded last is missing";
        let mut next = self.contents.clone();
        next.missing.retain(|_, number| *number > self.committed);
        next.missing.values_mut().for_each(|number| *number = UNRESOLVED);
        for (name, version) in &self.contents.binding {
            match kept.iter_mut().find(|policy| policy.name == *name) {
                None => kept.push(Kept::lost(name.clone(), MISSING.to_owned())),
                Some(policy) if matches!(policy.at_work, AtWork::Lost(_)) => {}
                Some(policy) if policy.versions.iter().any(|kept| kept.version >= *version) => {}
                Some(policy) => policy.at_work = AtWork::Lost(MISSING.to_owned()),
            }
        }
        for name in next.missing.keys() {
            match kept.iter_mut().find(|policy| policy.name == *name) {
                Some(policy) => policy.is_behind = true,
                None => kept.push(Kept { is_behind: true, ..Kept::unloaded(name.clone()) }),
            }
        }
        for policy in kept {
            let last = policy.versions.last();
            match policy.at_work {
                // It stays until somebody resolves it.
                AtWork::Lost(_) => {}
                _ if policy.is_behind => {}
                AtWork::Yes if last.is_some_and(|last| last.bundle.is_binding()) => {
                    next.binding.extend(last.map(|last| (policy.name.clone(), last.version)));
                }
                AtWork::Yes | AtWork::Unloaded => drop(next.binding.remove(&policy.name)),
            }
        }
        self.change(|contents| *contents = next)?;
        self.note()?;
        // Reserves the file for the next write: there may be no space when it is needed.
        self.next().map(drop)
    }

    fn change(&mut self, how: impl FnOnce(&mut Contents)) -> io::Result<()> {
        let before = self.contents.clone();
        how(&mut self.contents);
        if before == self.contents {
            return Ok(());
        }
        self.contents.sequence = self.committed;
        // A failed write is repeated with the next change.
        self.write().inspect_err(|_| self.contents = before)
    }

    /// The file that replaces the current file, with its reserved space.
    fn next(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(openat(&self.directory, NAMES[1], flags, mode)?);
        if file.metadata()?.len() < ROOM as u64 {
            file.write_all(&[b' '; ROOM])?;
            file.sync_all()?;
        }
        Ok(file)
    }

    fn write(&self) -> io::Result<()> {
        use std::io::Seek;
        let mut text = serde_json::to_vec(&self.contents)?;
        let mut file = self.next()?;
        // Overwrites the existing blocks: they are available also on a full disk.
        let length = text.len().next_multiple_of(ROOM);
        text.resize(length, b' ');
        file.rewind()?;
        file.write_all(&text)?;
        file.set_len(length as u64)?;
        file.sync_all()?;
        let exchanged =
            renameat_with(&self.directory, NAMES[1], &self.directory, NAMES[0], RenameFlags::EXCHANGE);
        if exchanged.is_err() {
            // There is no other file yet, or the file system cannot exchange files.
            renameat(&self.directory, NAMES[1], &self.directory, NAMES[0])?;
        }
        Ok(rustix::fs::fsync(&self.directory)?)
    }
}

fn opened(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, directory, flags, Mode::empty())?)
}
