//! What a daemon says while it starts, runs and ends, to one observer. The invariant: a notice is
//! data, and its observer chooses what is shown and how. (Rejected: writing to standard error; a
//! library has none of its own.)

use crate::control::Done;
use mrule_compiler::compile::Compiled;
use mrule_dataplane::privilege::User;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// What a daemon says.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// Something of the process could not be given up, and that does no harm.
    Privileges(&'a str),
    /// The kernel has no Landlock: what stations of clients may write is checked by this process
    /// alone.
    NoLandlock,
    /// What another process has handed over.
    HandedOver(&'a str),
    /// It runs: packets are read and decided.
    Started {
        /// How many workers decide.
        workers: usize,
        /// As whom the process runs, where it has changed that.
        user: Option<&'a User>,
    },
    /// What could not be restored of the state.
    NotRestored(&'a str),
    /// What is wrong with the history.
    History(&'a str),
    /// The API is reached at this address.
    Listening(SocketAddr),
    /// What happened.
    Note(&'a str),
    /// The rules were loaded again.
    Reloaded(&'a Done),
    /// The rules were not loaded again; those of before go on.
    NotReloaded(&'a str),
    /// The same, because they have errors.
    Errors(&'a Compiled),
    /// The tokens were read again.
    Tokens {
        /// How many there are.
        count: usize,
        /// Their file.
        file: Option<&'a Path>,
    },
    /// The tokens were not read again; those of before are known.
    NoTokens(&'a str),
    /// The certificate was not read again; that of before serves.
    NoCertificate(&'a str),
    /// Neither was.
    NotRenewed(&'a str),
}

/// Who is told what a daemon says.
pub trait Observer {
    /// Is told.
    ///
    /// # Errors
    /// It could not be said; the daemon ends then.
    fn notice(&mut self, notice: Notice<'_>) -> io::Result<()>;
}

/// An observer that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn notice(&mut self, _: Notice<'_>) -> io::Result<()> {
        Ok(())
    }
}
