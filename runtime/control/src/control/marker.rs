//! The file `binding` beside the store: which policies are binding, at which version, and of which
//! policies changes are missing in the database. The invariants: it is on the disk before a load,
//! unload or change is answered, also when the database cannot be written; it is made after the
//! store's tables, so a store without tables beside it was damaged; a database with a smaller
//! sequence number than the file has is an older one. It is written in the directory that was
//! opened, into a file that has its room already, so a full disk does not keep it from being
//! written. (Rejected: to trust the store alone; SQLite takes an emptied file, or one whose WAL is
//! lost, for a new database. A number for each change; a file is synced for each then, and only
//! what is missing matters.)

use super::store::{AtWork, Kept};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Its name, and that of the file that takes its place.
const NAMES: [&str; 2] = ["binding", "binding.new"];

/// The length of the file is a multiple of this.
const ROOM: usize = 4096;

/// In place of a sequence number: missing until somebody resolves it.
const UNRESOLVED: u64 = u64::MAX;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// The sequence number that the database had when this was written.
    sequence: u64,
    /// Binding policies with their versions.
    binding: BTreeMap<String, u64>,
    /// Policies with changes that were answered and may not be in the database: the number of the
    /// last one.
    missing: BTreeMap<String, u64>,
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Marker {
    directory: OwnedFd,
    contents: Contents,
    /// The sequence number that the database has.
    committed: u64,
    /// Policies that are about to bind: no change takes their marks away.
    intended: BTreeSet<String>,
    /// The last change that a mark is of: no earlier one takes it away.
    numbers: BTreeMap<String, u64>,
    /// Changes were given up: what is missing is, until the next start at least.
    has_lost: bool,
}

/// What the file is to say of a policy that binds, or is to bind, whatever the database is like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// It is about to bind at this version.
    Intended(u64),
    /// That is over, and the mark stays.
    Stays,
    /// That is over, and what is at work after this change binds at this version, or does not.
    Over(Option<u64>, u64),
}

/// Whether no state was kept in a directory.
pub(super) fn is_new(directory: &Path) -> bool {
    let is_missing = |name: &str| {
        let found = std::fs::symlink_metadata(directory.join(name)).map_err(|error| error.kind());
        matches!(found, Err(ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    ["state.sqlite", "state.sqlite-wal", NAMES[0]].into_iter().all(is_missing)
}

impl Marker {
    /// Reads it; none when no state was kept in this directory.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
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

    /// Makes an empty one.
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

    /// The database has this sequence number.
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

    /// A change that is about to be written makes a policy binding at this version, or at a later
    /// one that the file says already.
    ///
    /// # Errors
    /// The system's.
    pub fn before(&mut self, policy: &str, version: u64, number: u64) -> io::Result<()> {
        let last = self.numbers.entry(policy.to_owned()).or_default();
        *last = number.max(*last);
        self.raise(policy, version)
    }

    /// A change was written after which a policy binds at this version, or does not. A mark of a
    /// later one stays.
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

    /// A policy is binding at this version, or not any more.
    fn set(&mut self, policy: &str, version: Option<u64>) -> io::Result<()> {
        self.change(|contents| {
            match version {
                Some(version) => contents.binding.insert(policy.to_owned(), version),
                None => contents.binding.remove(policy),
            };
        })
    }

    /// A change of a policy is not in the database: the one with this number, or one that never
    /// will be.
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

    /// What is missing in the database was resolved for a policy: it was loaded, unloaded or
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

    /// Changes were given up: none that waited before them resolves what is missing.
    pub fn lose(&mut self) {
        self.has_lost = true;
    }

    /// The file has the sequence number of the database, so that an older one is not believed.
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

    /// All changes that waited are in the database.
    ///
    /// # Errors
    /// The system's.
    pub fn caught_up(&mut self) -> io::Result<()> {
        self.change(|contents| contents.missing.retain(|_, number| *number == UNRESOLVED))
    }

    /// Marks what is missing in what the store gave back, and notes what is binding.
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
                None => kept.push(Kept::lost(name.clone(), MISSING)),
                Some(policy) if matches!(policy.at_work, AtWork::Lost(_)) => {}
                Some(policy) if policy.versions.iter().any(|kept| kept.version >= *version) => {}
                Some(policy) => policy.at_work = AtWork::Lost(MISSING),
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
                // Until somebody resolves it.
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
        // A file with room for what is written next: there may be none when it matters.
        self.next().map(drop)
    }

    fn change(&mut self, how: impl FnOnce(&mut Contents)) -> io::Result<()> {
        let before = self.contents.clone();
        how(&mut self.contents);
        if before == self.contents {
            return Ok(());
        }
        self.contents.sequence = self.committed;
        // What is not on the disk is tried again with the next change.
        self.write().inspect_err(|_| self.contents = before)
    }

    /// The file that takes the place of the other one, with its room.
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
        // Over what is there: blocks that it has already are not lacking on a full disk.
        let length = text.len().next_multiple_of(ROOM);
        text.resize(length, b' ');
        file.rewind()?;
        file.write_all(&text)?;
        file.set_len(length as u64)?;
        file.sync_all()?;
        let exchanged =
            renameat_with(&self.directory, NAMES[1], &self.directory, NAMES[0], RenameFlags::EXCHANGE);
        if exchanged.is_err() {
            // There is no other one yet, or the file system exchanges none.
            renameat(&self.directory, NAMES[1], &self.directory, NAMES[0])?;
        }
        Ok(rustix::fs::fsync(&self.directory)?)
    }
}

fn opened(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, directory, flags, Mode::empty())?)
}
