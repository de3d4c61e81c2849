//! What stations may reach on this host. The owner (command line, signals, control socket) may
//! write where the process may; a client (every token, also an admin's) writes beneath directories,
//! on interfaces and to networks that the options of `run` grant. The invariants: nothing is
//! granted by default; who wrote a station decides, not who loads it again; a file of another
//! station and the run's own files are written by nobody. (Rejected: a check of the text of paths;
//! two spellings, hard links and symbolic links pass it.)
//!
//! - `grants`: what clients may reach. `place`: a file beneath a directory handle. `claims`: who
//!   writes what.
//! - `own`: the run's own files.

mod claims;
mod grants;
mod own;
pub(crate) mod place;

pub(crate) use claims::{Claim, Holder, Key};
pub use grants::{Grants, Network};
pub(crate) use place::{FileId, Place};

use crate::error::Error;
use claims::Claims;
use mrule_compiler::hir::Station;
use mrule_engine::policy::Origin;
use own::OwnFile;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many stations may hang while they are opened; more are refused. Each takes a thread until
/// the system answers.
pub const MOST_STUCK: usize = 8;

/// What stations may reach, and what they hold: one for all policies of a run.
#[derive(Debug, Default)]
pub struct Confinement {
    grants: Grants,
    /// The run's own files. No station writes them, nor into the directories among them.
    protected: Vec<OwnFile>,
    claims: Arc<Claims>,
    stuck: AtomicUsize,
    /// Set when the run is to end: nobody waits for a station any more.
    stop: Arc<AtomicBool>,
}

impl Confinement {
    /// With what clients are granted, and the run's own files and directories. Waiting ends when
    /// `stop` is set.
    pub fn new(
        grants: Grants,
        protected: Vec<(PathBuf, &'static str)>,
        stop: Arc<AtomicBool>,
    ) -> Confinement {
        let protected = protected.into_iter().map(|(path, what)| OwnFile::new(path, what)).collect();
        Confinement { grants, protected, stop, ..Confinement::default() }
    }

    /// Records which files the run's own ones are; to be called once they are there, before
    /// stations are opened. What hangs is recorded when the system answers.
    pub fn record_own_files(&self) {
        own::record(&self.protected, &self.stop);
    }

    /// What clients are granted.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether a station may be what it is, as far as its words tell; touches no file.
    ///
    /// # Errors
    /// [`Error::NotGranted`].
    pub fn check(&self, station: &Station, origin: &Origin) -> Result<(), Error> {
        match origin {
            Origin::Owner => Ok(()),
            Origin::Client(_) => self.grants.check(station),
        }
    }

    /// Where a path of a station leads; makes missing directories.
    ///
    /// # Errors
    /// What is wrong with the path, in words.
    pub(crate) fn place(&self, path: &str, origin: &Origin) -> Result<Place, String> {
        let place = self.open(path, origin)?;
        place.keep_off(&self.protected)?;
        Ok(place)
    }

    /// The same, also for the run's own files: to look at.
    pub(crate) fn open(&self, path: &str, origin: &Origin) -> Result<Place, String> {
        match origin {
            Origin::Owner => Place::of_owner(path.as_ref(), &self.protected),
            Origin::Client(_) => {
                let (granted, rest) = self.grants.locate(path)?;
                Place::beneath(granted.handle(), &rest, path.as_ref(), &self.protected)
            }
        }
    }

    /// Claims something for a station, until what comes back is dropped.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) fn claim(&self, key: Key, holder: &Holder) -> Result<Claim, String> {
        self.claims.claim(key, holder)
    }

    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How many stations hang while they are opened.
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
