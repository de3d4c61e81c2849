//! What one station may reach, and by which mark its files are known. The invariant: every path of
//! a station goes through here. (Rejected: paths that sinks open by themselves; one of them would
//! forget the check.)

use crate::confine::{Claim, Confinement, FileId, Holder, Key, Place};
use mrule_engine::policy::Origin;
use std::io;
use std::sync::Arc;

/// One station's view of what it may reach.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    confinement: Arc<Confinement>,
    origin: Origin,
    holder: Holder,
    /// In the header of its files: which policy's station made them.
    mark: Arc<str>,
}

impl Scope {
    pub fn new(
        confinement: Arc<Confinement>,
        origin: Origin,
        holder: Holder,
        policy: &str,
        station: &str,
    ) -> Scope {
        let mark = format!("policy={policy} station={station}").into();
        Scope { confinement, origin, holder, mark }
    }

    /// By which the files of this station are known.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether a file of this maker may be moved aside to make room: the owner's stations move
    /// every file that mirrorc made, a client's only those of the same policy.
    pub fn may_move(&self, maker: &str) -> bool {
        let policy = |mark: &str| mark.split(' ').next().map(str::to_owned);
        self.origin.is_owner() || policy(maker) == policy(&self.mark)
    }

    /// Where a path leads.
    ///
    /// # Errors
    /// It leads where this station may not write.
    pub fn place(&self, path: &str) -> io::Result<Place> {
        self.confinement.place(path, &self.origin).map_err(io::Error::other)
    }

    /// Which directory a path leads to that is empty or ends with a slash.
    ///
    /// # Errors
    /// It leads where this station may not write.
    pub fn directory(&self, path: &str) -> io::Result<FileId> {
        let any_name = self.confinement.open(&format!("{path}x"), &self.origin);
        any_name.map_err(io::Error::other)?.directory_id()
    }

    /// Claims something for this station.
    ///
    /// # Errors
    /// Another station has it.
    pub fn claim(&self, key: Key) -> io::Result<Claim> {
        self.confinement.claim(key, &self.holder).map_err(io::Error::other)
    }
}
