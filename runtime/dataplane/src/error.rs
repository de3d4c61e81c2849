//! What can go wrong outside of the packets: one enum of system failures, each with the path and
//! the cause, and the [`Break`], which is no failure of ours but a place in a capture behind which
//! nothing can be read. A break is an outcome (it comes beside what was readable, never instead of
//! it), so it is not an [`Error`]. (Rejected: `io::Error` everywhere, which loses the path; text,
//! which a caller cannot tell apart.)

use crate::link_type::LinkType;
use mrule_compiler::environment::ChangeError;
use mrule_engine::memory::NoMemory;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of the system or of what it was told to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A capture could not be opened or its first bytes not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Open {
        /// As given; `-` is standard input.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A capture is a directory.
    #[error(
        "`{path}` is a directory, not a capture; name its files, `--read FILE` for each, in their order, or pipe them: \
         `mergecap -w - {path}/* | mirrorc ... --read -`",
        path = path.display()
    )]
    Directory {
        /// As given.
        path: PathBuf,
    },
    /// The file is no capture that we know.
    #[error("`{}` is not a pcap or pcapng capture: {found}", path.display())]
    NotACapture {
        /// As given.
        path: PathBuf,
        /// What it begins with, or looks like.
        found: String,
    },
    /// A capture with one link type, and that one is not supported.
    #[error("`{}` has link type {link_type}, which is not supported; supported are {}", path.display(), LinkType::SUPPORTED)]
    UnsupportedLink {
        /// As given.
        path: PathBuf,
        /// The link type.
        link_type: LinkType,
    },
    /// A program cannot be made ready to run.
    #[error(transparent)]
    Prepare(#[from] mrule_engine::Error),
    /// The output directory could not be made.
    #[error("cannot create the directory `{}`: {source}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An output file could not be made.
    #[error("cannot create `{}`: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An output file is the capture that is being read.
    #[error("`{}` is the capture that is being read; choose another output directory", path.display())]
    WouldOverwrite {
        /// The file.
        path: PathBuf,
    },
    /// A change that was to be made while the packets ran was refused.
    #[error("line {line} of the events: {why}")]
    Change {
        /// The line that says so, from 1.
        line: usize,
        /// Why.
        why: ChangeError,
    },
    /// The control socket cannot be had.
    #[error("cannot listen at `{}`: {source}", path.display())]
    Control {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The remote API cannot be had.
    #[error("cannot listen at `{address}`: {source}")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A station cannot be opened.
    #[error("cannot open station `{station}`: {reason}")]
    Station {
        /// Its name.
        station: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A client's station would reach what clients are not granted.
    #[error("station `{station}` is a client's and not allowed: {reason}")]
    NotGranted {
        /// Its name.
        station: String,
        /// What it would reach, what is granted, which option grants it.
        reason: String,
    },
    /// A directory cannot be granted to clients.
    #[error("`--allow-directory {}` cannot be used: {source}", path.display())]
    Grant {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A port is no interface of this machine.
    #[error("there is no interface `{name}`; there are: {there}")]
    NoInterface {
        /// As given.
        name: String,
        /// The names of those that are there.
        there: String,
    },
    /// Ports cannot be used as given.
    #[error("{0}")]
    Ports(String),
    /// There is no such user, or it cannot be run as.
    #[error("cannot run as `{name}`: {why}")]
    User {
        /// As given.
        name: String,
        /// Why.
        why: String,
    },
    /// The system does not let us.
    #[error("{doing} needs {needs}")]
    Privilege {
        /// What was to be done.
        doing: String,
        /// A capability (capabilities(7)).
        needs: &'static str,
    },
    /// The system could not do something with an interface.
    #[error("{doing}: {source}")]
    Interface {
        /// What was to be done, and with which interface.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// Filters of others are where ours would be.
    #[error("`{name}` already has a filter that is not mirrorc's: {found}")]
    ForeignFilter {
        /// The interface.
        name: String,
        /// What was found.
        found: String,
    },
    /// Another process forwards between interfaces.
    #[error("`{name}` is bridged by another mirrorc, {owner}: {why}")]
    Owned {
        /// The interface.
        name: String,
        /// Who forwards there.
        owner: Owner,
        /// What it says, or what is wrong.
        why: String,
    },
    /// A worker died of a fault of mirrorc.
    #[error("worker {worker} died or hangs: a fault of mirrorc, please report what is above")]
    Died {
        /// Its number, from 0.
        worker: usize,
    },
    /// A copy could not be written. What was written before ends at a whole block.
    #[error("cannot write to `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The place where a capture stops being readable. Everything before it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct Break {
    /// Where the record or block begins that could not be read, or where reading failed: bytes from
    /// the start of the decompressed stream.
    pub offset: u64,
    /// What is wrong there.
    pub reason: BreakReason,
}

/// Why a capture stops being readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakReason {
    /// Not a single byte.
    #[error("the capture is empty (0 bytes)")]
    Empty,
    /// The stream ends too early.
    #[error("the capture is cut short: {what} needs {needs} bytes, {left} are left")]
    Cut {
        /// What is cut.
        what: &'static str,
        /// Its length.
        needs: u64,
        /// What there is of it.
        left: u64,
    },
    /// Reading or decompressing failed.
    #[error("reading failed: {0}")]
    Read(String),
    /// A version that this reader does not know.
    #[error("{what} version {major}.{minor} is not known")]
    Version {
        /// Of what.
        what: &'static str,
        /// Major.
        major: u16,
        /// Minor.
        minor: u16,
    },
    /// A packet longer than any packet is.
    #[error(
        "the record is damaged: it says that {length} bytes were captured, no packet is longer than {most}"
    )]
    PacketTooLong {
        /// What it says.
        length: u32,
        /// The most there can be.
        most: usize,
    },
    /// A block whose length cannot be one.
    #[error("the block is damaged: its length is {length}, {what} has at least {least} and a multiple of 4")]
    BlockLength {
        /// Which block.
        what: &'static str,
        /// What it says.
        length: u32,
        /// The least there can be.
        least: u32,
    },
    /// A block that must be held in memory and is too long for that.
    #[error("the block is damaged or too long: its length is {length}, {what} may have {most}")]
    BlockTooLong {
        /// Which block.
        what: &'static str,
        /// What it says.
        length: u32,
        /// The most that is read.
        most: usize,
    },
    /// The two lengths of a block differ.
    #[error("the block is damaged: it begins with length {head} and ends with length {tail}")]
    BlockEnd {
        /// The first.
        head: u32,
        /// The second.
        tail: u32,
    },
    /// A section header that does not tell its byte order.
    #[error("the section header is damaged: its byte-order mark is 0x{mark:08x}")]
    ByteOrder {
        /// What stands there, read as little-endian.
        mark: u32,
    },
    /// A packet says it is longer than its block.
    #[error("the block is damaged: it says that {captured} bytes were captured, but has room for {room}")]
    PacketOutside {
        /// What it says.
        captured: u32,
        /// What there is.
        room: u32,
    },
    /// A packet of an interface that the section has not described.
    #[error("a packet of interface {interface}, but the section has described {described}")]
    NoInterface {
        /// Its number in the section.
        interface: u32,
        /// How many are described.
        described: usize,
    },
    /// More interfaces than are kept.
    #[error("more than {most} interfaces")]
    TooManyInterfaces {
        /// The most that are kept.
        most: usize,
    },
}

impl From<NoMemory> for Error {
    fn from(none: NoMemory) -> Error {
        Error::Prepare(none.into())
    }
}

/// Who owns an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Its process; none when that is in another PID namespace.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "a process of another PID namespace, with user {}", self.uid),
        }
    }
}
