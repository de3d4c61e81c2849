//! What stations may reach on this host. The owner (command line, signals, control socket) may
//! write where the process may. A client (any token, also an admin's) writes beneath directories,
//! on interfaces and to networks that the options of `run` grant. Invariants: nothing is granted by
//! default. The writer of a station decides, not who loads it again. No station writes a file of
//! another station, or one of the run's own files. (Rejected: a check of the text of paths; other
//! spellings, hard links and symbolic links evade it.)
//!
//! - `grants`: what clients may reach. `place`: a file beneath a directory handle. `claims`: which
//!   station writes which file.
//! - `own`: the run's own files.

mod claims;
mod grants;
pub(crate) mod location;
mod own;

pub(crate) use claims::{Claim, Holder, Key};
pub use grants::{Grants, Network};
pub(crate) use location::{FileId, FileLocation};

use crate::error::Error;
use claims::Claims;
use mrule_compiler::hir::Station;
use mrule_engine::policy::Origin;
use own::OwnFile;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The number of stations that may hang while they are opened; more are refused. Each of them takes
/// a thread until the system answers.
pub const MOST_STUCK: usize = 8;

/// What stations may reach, and what they hold: one object for all policies of a run.
#[derive(Debug, Default)]
pub struct Confinement {
    grants: Grants,
    /// The run's own files. No station writes to them, nor into the directories among them.
    protected: Vec<OwnFile>,
    claims: Arc<Claims>,
    stuck: AtomicUsize,
    /// Set when the run is to end: no thread waits for a station any more.
    stop: Arc<AtomicBool>,
}

impl Confinement {
    /// A confinement with the grants of clients, and the run's own files and directories. Waiting
    /// ends when `stop` is set.
    pub fn new(
        grants: Grants,
        protected: Vec<(PathBuf, &'static str)>,
        stop: Arc<AtomicBool>,
    ) -> Confinement {
        let protected = protected.into_iter().map(|(path, what)| OwnFile::new(path, what)).collect();
        Confinement { grants, protected, stop, ..Confinement::default() }
    }

    /// Records the identities of the run's own files. Call it when they exist, before stations are
    /// opened. A file that hangs is recorded when the system answers.
    pub fn record_own_files(&self) {
        own::record(&self.protected, &self.stop);
    }

    /// The grants of clients.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether the definition of a station is allowed. Touches no file.
    ///
    /// # Errors
    /// [`Error::NotGranted`].
    pub fn check(&self, station: &Station, origin: &Origin) -> Result<(), Error> {
        match origin {
            Origin::Owner => Ok(()),
            Origin::Client(_) => self.grants.check(station),
        }
    }

    /// The place that a path of a station leads to. Creates missing directories.
    ///
    /// # Errors
    /// The error of the path, in words.
    pub(crate) fn place(&self, path: &str, origin: &Origin) -> Result<FileLocation, String> {
        let place = self.open(path, origin)?;
        place.keep_off(&self.protected)?;
        Ok(place)
    }

    /// Like `place`, but also for the run's own files, for reading.
    pub(crate) fn open(&self, path: &str, origin: &Origin) -> Result<FileLocation, String> {
        match origin {
            Origin::Owner => FileLocation::of_owner(path.as_ref(), &self.protected),
            Origin::Client(_) => {
                let (granted, rest) = self.grants.locate(path)?;
                FileLocation::beneath(granted.handle(), &rest, path.as_ref(), &self.protected)
            }
        }
    }

    /// Claims a key for a station, until the returned claim is dropped.
    ///
    /// # Errors
    /// The station that holds it.
    pub(crate) fn claim(&self, key: Key, holder: &Holder) -> Result<Claim, String> {
        self.claims.claim(key, holder)
    }

    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The number of stations that hang while they are opened.
    pub fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn add_stuck(&self, more: bool) {
        if more {
            self.stuck.fetch_add(1, Ordering::Relaxed);
        } else {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
