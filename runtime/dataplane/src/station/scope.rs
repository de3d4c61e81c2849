//! What one station may reach, and the mark that identifies its files. Invariant: each path of a
//! station goes through here. (Rejected: sinks that open paths directly; one of them would forget
//! the check.)

use crate::confine::{Claim, Confinement, FileId, FileLocation, Holder, Key};
use mrule_engine::policy::Origin;
use std::io;
use std::sync::Arc;

/// One station's view of what it may reach.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    confinement: Arc<Confinement>,
    origin: Origin,
    holder: Holder,
    /// The mark in the header of the station's files: the policy and station that made them.
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

    /// The mark that identifies the station's files.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether a file with this mark may be moved aside. The owner's stations may move each file
    /// that mirrorc made, a client's stations only files of the same policy.
    pub fn may_move(&self, maker: &str) -> bool {
        let policy = |mark: &str| mark.split(' ').next().map(str::to_owned);
        self.origin.is_owner() || policy(maker) == policy(&self.mark)
    }

    /// The place that a path leads to.
    ///
    /// # Errors
    /// The path leads where this station may not write.
    pub fn place(&self, path: &str) -> io::Result<FileLocation> {
        self.confinement.place(path, &self.origin).map_err(io::Error::other)
    }

    /// The directory that a path leads to; the path is empty or ends with a slash.
    ///
    /// # Errors
    /// The path leads where this station may not write.
    pub fn directory(&self, path: &str) -> io::Result<FileId> {
        let any_name = self.confinement.open(&format!("{path}x"), &self.origin);
        any_name.map_err(io::Error::other)?.directory_id()
    }

    /// Claims a key for this station.
    ///
    /// # Errors
    /// Another station holds the key.
    pub fn claim(&self, key: Key) -> io::Result<Claim> {
        self.confinement.claim(key, &self.holder).map_err(io::Error::other)
    }
}
