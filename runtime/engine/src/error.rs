//! Why a program cannot be made ready to run. The invariant: each is found before the first packet.
//! (Rejected: one error for the whole runtime; this crate has no files, no sockets and no
//! interfaces.)

use crate::memory::NoMemory;

/// Why a program cannot be made ready to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system has no memory for a program.
    #[error(transparent)]
    Memory(#[from] NoMemory),
    /// What streams are searched for is too much.
    #[error("cannot search streams: {0}")]
    Streams(String),
}
