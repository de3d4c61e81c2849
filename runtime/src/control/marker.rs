//! The file `binding` beside the store: which policies are binding, and at which version. The
//! invariants: it is on the disk before a load or unload is answered; it is made after the store's
//! tables, so a store without tables beside it was damaged; a version that it names and the store
//! does not give back is missing. (Rejected: to trust the store alone; SQLite takes an emptied file,
//! or one whose WAL is lost, for a new database.)

use super::store::{AtWork, Kept};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Binding policies with their versions, as they are on the disk.
#[derive(Debug)]
pub(super) struct Marker {
    directory: PathBuf,
    policies: BTreeMap<String, u64>,
}

/// Whether no state was kept in a directory.
pub(super) fn is_new(directory: &Path) -> bool {
    let is_missing = |name: &str| {
        let found = std::fs::symlink_metadata(directory.join(name)).map_err(|error| error.kind());
        matches!(found, Err(ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    ["state.sqlite", "state.sqlite-wal", "binding"].into_iter().all(is_missing)
}

impl Marker {
    /// Reads it; none when no state was kept in this directory.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read(directory: &Path) -> Result<Option<Marker>, String> {
        let path = directory.join("binding");
        let failed = |why: String| format!("`{}` cannot be read: {why}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let policies = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
                Ok(Some(Marker { directory: directory.to_owned(), policies }))
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
        let marker = Marker { directory: directory.to_owned(), policies: BTreeMap::new() };
        marker.write()?;
        Ok(marker)
    }

    /// A policy is binding at this version, or not any more.
    ///
    /// # Errors
    /// The system's.
    pub fn set(&mut self, policy: &str, version: Option<u64>) -> io::Result<()> {
        let before = match version {
            Some(version) => self.policies.insert(policy.to_owned(), version),
            None => self.policies.remove(policy),
        };
        if before == version { Ok(()) } else { self.write() }
    }

    /// Marks what is missing in what the store gave back, and notes what is binding.
    ///
    /// # Errors
    /// The system's.
    pub fn compare(&mut self, kept: &mut Vec<Kept>) -> io::Result<()> {
        const MISSING: &str = "the binding version that was loaded last is missing";
        for (name, version) in &self.policies {
            match kept.iter_mut().find(|policy| policy.name == *name) {
                None => kept.push(Kept::lost(name.clone(), MISSING)),
                Some(policy) if matches!(policy.at_work, AtWork::Lost(_)) => {}
                Some(policy) if policy.versions.iter().any(|kept| kept.version >= *version) => {}
                Some(policy) => policy.at_work = AtWork::Lost(MISSING),
            }
        }
        let before = self.policies.clone();
        for policy in kept {
            let last = policy.versions.last();
            match policy.at_work {
                // Until somebody resolves it.
                AtWork::Lost(_) => {}
                AtWork::Yes if last.is_some_and(|last| last.bundle.is_binding()) => {
                    self.policies.extend(last.map(|last| (policy.name.clone(), last.version)));
                }
                AtWork::Yes | AtWork::Unloaded => drop(self.policies.remove(&policy.name)),
            }
        }
        if before == self.policies { Ok(()) } else { self.write() }
    }

    fn write(&self) -> io::Result<()> {
        let next = self.directory.join("binding.new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = options.custom_flags(no_link).open(&next)?;
        file.write_all(&serde_json::to_vec(&self.policies)?)?;
        file.sync_all()?;
        std::fs::rename(&next, self.directory.join("binding"))?;
        File::open(&self.directory)?.sync_all()
    }
}
