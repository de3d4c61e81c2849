//! Why a program cannot be prepared to run. Invariant: each error is found before the first packet.
//! (Rejected: one error type for the whole runtime; this crate has no files, no sockets and no
//! interfaces.)

use crate::memory::NoMemory;

/// Why a program cannot be prepared to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system has no memory for the program.
    #[error(transparent)]
    Memory(#[from] NoMemory),
    /// The patterns that streams are searched for exceed a limit.
    #[error("cannot search streams: {0}")]
    Streams(String),
}
