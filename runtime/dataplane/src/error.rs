//! The errors of the data plane: one enum of system failures, each with the path and the cause, and
//! [`Break`], a place in a capture behind which nothing can be read. A break is a result, not an
//! [`Error`]: it comes beside what was readable, never instead of it. Invariant: each error names
//! the file, interface or station that it is about. (Rejected: `io::Error` everywhere, which loses
//! the path; text, which a caller cannot tell apart.)

use crate::link_type::LinkType;
use mrule_compiler::environment::ChangeError;
use mrule_engine::memory::NoMemory;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of the system, or of what it was told to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A capture could not be opened, or its first bytes could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Open {
        /// The path as given; `-` is standard input.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A capture is a directory.
    #[error(
        "`{path}` is a directory, not a capture; name its files, `--read FILE` for each, in their order, or pipe them: \
         `mergecap -w - {path}/* | mirrorc ... --read -`",
        path = path.display()
    )]
    Directory {
        /// The path as given.
        path: PathBuf,
    },
    /// The file is no known kind of capture.
    #[error("`{}` is not a pcap or pcapng capture: {found}", path.display())]
    NotACapture {
        /// The path as given.
        path: PathBuf,
        /// What the file begins with, or looks like.
        found: String,
    },
    /// The only link type of a capture is not supported.
    #[error("`{}` has link type {link_type}, which is not supported; supported are {}{}", path.display(), LinkType::SUPPORTED, link_type.advice())]
    UnsupportedLink {
        /// The path as given.
        path: PathBuf,
        /// The link type.
        link_type: LinkType,
    },
    /// A program cannot be prepared to run.
    #[error(transparent)]
    Prepare(#[from] mrule_engine::Error),
    /// The output directory could not be created.
    #[error("cannot create the directory `{}`: {source}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An output file could not be created.
    #[error("cannot create `{}`: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An output file is the capture that is being read.
    #[error("`{}` is the capture that is being read; choose another output directory", path.display())]
    WouldOverwrite {
        /// The file.
        path: PathBuf,
    },
    /// A change at its time in a replay was refused.
    #[error("line {line} of the events: {why}")]
    Change {
        /// The line that asks for the change, from 1.
        line: usize,
        /// The reason.
        why: ChangeError,
    },
    /// The control socket cannot be opened.
    #[error("cannot listen at `{}`: {source}", path.display())]
    Control {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The remote API cannot listen.
    #[error("cannot listen at `{address}`: {source}")]
    Listen {
        /// The address as given.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A station cannot be opened.
    #[error("cannot open station `{station}`: {reason}")]
    Station {
        /// The station's name.
        station: String,
        /// The reason, and what to do.
        reason: String,
        /// Whether the system denied permission.
        denied: bool,
    },
    /// A client's station would reach more than clients are granted.
    #[error("station `{station}` is a client's and not allowed: {reason}")]
    NotGranted {
        /// The station's name.
        station: String,
        /// What the station would reach, what is granted, and which option grants it.
        reason: String,
    },
    /// A directory cannot be granted to clients.
    #[error("`--allow-directory {}` cannot be used: {source}", path.display())]
    Grant {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A port is not an interface of this machine.
    #[error("there is no interface `{name}`; there are: {there}")]
    NoInterface {
        /// The name as given.
        name: String,
        /// The names of the interfaces of this machine.
        there: String,
    },
    /// An interface is given twice.
    #[error("`{name}` is given twice; an interface is read once")]
    InterfaceTwice {
        /// The interface.
        name: String,
    },
    /// An interface is down.
    #[error("`{name}` is down; `ip link set {name} up` brings it up")]
    InterfaceDown {
        /// The interface.
        name: String,
    },
    /// The frames of an interface cannot be read as packets.
    #[error(
        "`{name}` has hardware type {hardware}; supported are Ethernet and interfaces that carry bare IP packets"
    )]
    Hardware {
        /// The interface.
        name: String,
        /// The hardware type, as Linux numbers it.
        hardware: u16,
    },
    /// An end of a bridge carries no Ethernet frames.
    #[error("`{name}` carries no Ethernet frames: it cannot be bridged; read it with `--tap {name}`")]
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// Workers cannot be pinned to a processor.
    #[error("workers cannot be pinned to processor {processor}; there are: {there}")]
    NoProcessor {
        /// The processor, from 0.
        processor: usize,
        /// The processors that the process may use.
        there: String,
    },
    /// A station would send copies to where packets come from.
    #[error(
        "station `{station}` sends into `{name}`, which is read: copies would go to where packets come from"
    )]
    Echo {
        /// The station's name.
        station: String,
        /// The interface.
        name: String,
    },
    /// There are too many policies.
    #[error("there are {limit} policies already; unload one")]
    TooManyPolicies {
        /// The largest number of policies.
        limit: usize,
    },
    /// Stations were opened by another data plane than the one that gets them.
    #[error("the stations were opened by another data plane: a fault of mirrorc, please report it")]
    OtherDataplane,
    /// Privileges cannot be given up, because other threads would keep them.
    #[error("privileges cannot be given up by one of {threads} threads")]
    Threads {
        /// The number of threads of the process.
        threads: usize,
    },
    /// A secret or a file of permissions is accessible to others; the text has the command that
    /// fixes it.
    #[error("{0}")]
    NotPrivate(String),
    /// Another process listens at an address, or the address cannot be taken over.
    #[error("cannot listen at `{address}`: {why}; nothing was taken over")]
    AddressTaken {
        /// The address.
        address: SocketAddr,
        /// The reason, and what to do.
        why: String,
    },
    /// The path of the control socket cannot be used.
    #[error("`{}` {why}", path.display())]
    SocketPath {
        /// The path as given.
        path: PathBuf,
        /// The reason, and what to do.
        why: &'static str,
    },
    /// A certificate, a key or a file of tokens cannot be used.
    #[error("`{}`: {why}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// There is no token for the remote API.
    #[error("`{}` has no token, so no client could connect; create a token with `mirrorc token`", path.display())]
    NoToken {
        /// The file of the tokens.
        path: PathBuf,
    },
    /// The user does not exist, or the process cannot run as this user.
    #[error("cannot run as `{name}`: {why}")]
    User {
        /// The name as given.
        name: String,
        /// The reason.
        why: String,
    },
    /// The process lacks a privilege.
    #[error("{doing} needs {needs}")]
    Privilege {
        /// The operation.
        doing: String,
        /// The capability that it needs (capabilities(7)).
        needs: &'static str,
    },
    /// An operation on an interface failed.
    #[error("{doing}: {source}")]
    Interface {
        /// The operation, and the interface.
        doing: String,
        /// The cause.
        source: io::Error,
    },
    /// Filters of other programs are where mirrorc's filters would be.
    #[error("`{name}` already has a filter that is not mirrorc's: {found}")]
    ForeignFilter {
        /// The interface.
        name: String,
        /// The filters that were found.
        found: String,
    },
    /// Another process forwards between interfaces.
    #[error("`{name}` is bridged by another mirrorc, {owner}: {why}")]
    Owned {
        /// The interface.
        name: String,
        /// The process that forwards there.
        owner: Owner,
        /// What that process answered, or what is wrong.
        why: String,
    },
    /// A worker died because of a fault of mirrorc.
    #[error("worker {worker} died or hangs: a fault of mirrorc, please report what is above")]
    Died {
        /// The worker's number, from 0.
        worker: usize,
    },
    /// A copy could not be written. The file ends with a whole block.
    #[error("cannot write to `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The place where a capture stops being readable. All packets before it were delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct Break {
    /// Where the unreadable record or block begins, or where reading failed: bytes from the start
    /// of the decompressed stream.
    pub offset: u64,
    /// What is wrong there.
    pub reason: BreakReason,
}

/// Why a capture stops being readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakReason {
    /// The capture has no bytes.
    #[error("the capture is empty (0 bytes)")]
    Empty,
    /// The stream ends too early.
    #[error("the capture is cut short: {what} needs {needs} bytes, {left} are left")]
    Cut {
        /// What is cut.
        what: &'static str,
        /// Bytes that it needs.
        needs: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// Reading or decompressing failed.
    #[error("reading failed: {0}")]
    Read(String),
    /// A version that this reader does not know.
    #[error("{what} version {major}.{minor} is not known")]
    Version {
        /// The format.
        what: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// A record claims more bytes than any packet has.
    #[error(
        "the record is damaged: it says that {length} bytes were captured, no packet is longer than {most}"
    )]
    PacketTooLong {
        /// Bytes that the record claims.
        length: u32,
        /// The upper limit.
        most: usize,
    },
    /// A block has an impossible length.
    #[error("the block is damaged: its length is {length}, {what} has at least {least} and a multiple of 4")]
    BlockLength {
        /// The kind of block.
        what: &'static str,
        /// The length that the block claims.
        length: u32,
        /// The lower limit.
        least: u32,
    },
    /// A block that must be held in memory is too long.
    #[error("the block is damaged or too long: its length is {length}, {what} may have {most}")]
    BlockTooLong {
        /// The kind of block.
        what: &'static str,
        /// The length that the block claims.
        length: u32,
        /// The upper limit.
        most: usize,
    },
    /// The two lengths of a block differ.
    #[error("the block is damaged: it begins with length {head} and ends with length {tail}")]
    BlockEnd {
        /// The length at the start.
        head: u32,
        /// The length at the end.
        tail: u32,
    },
    /// A section header does not show its byte order.
    #[error("the section header is damaged: its byte-order mark is 0x{mark:08x}")]
    ByteOrder {
        /// The bytes at its place, read as little-endian.
        mark: u32,
    },
    /// A packet claims more bytes than its block has.
    #[error("the block is damaged: it says that {captured} bytes were captured, but has room for {room}")]
    PacketOutside {
        /// Bytes that the packet claims.
        captured: u32,
        /// Bytes that the block has.
        room: u32,
    },
    /// A packet of an interface that the section has not described.
    #[error("a packet of interface {interface}, but the section has described {described}")]
    NoInterface {
        /// The interface's number in the section.
        interface: u32,
        /// The number of described interfaces.
        described: usize,
    },
    /// There are more interfaces than are kept.
    #[error("more than {most} interfaces")]
    TooManyInterfaces {
        /// The upper limit.
        most: usize,
    },
}

impl Error {
    /// Whether the system denied permission for a file, an address or an interface.
    pub fn is_denied(&self) -> bool {
        match self {
            Error::Open { source, .. }
            | Error::CreateDirectory { source, .. }
            | Error::Create { source, .. }
            | Error::Control { source, .. }
            | Error::Listen { source, .. }
            | Error::Grant { source, .. }
            | Error::Interface { source, .. }
            | Error::Write { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Error::Station { denied, .. } => *denied,
            _ => false,
        }
    }

    /// Its text, with what the system said in the words of the other messages.
    pub fn plain(&self) -> String {
        match self {
            Error::Open { path, source } => cannot("read", path.display(), source),
            Error::CreateDirectory { path, source } => cannot("create the directory", path.display(), source),
            Error::Control { path, source } => cannot("listen at", path.display(), source),
            Error::Listen { address, source } => cannot("listen at", address, source),
            Error::Create { path, source } => cannot("create", path.display(), source),
            Error::Write { path, source } => cannot("write to", path.display(), source),
            Error::Interface { doing, source } => format!("{doing}: {}", plain(source)),
            _ => self.to_string(),
        }
    }
}

/// What could not be done: `cannot read \`x\`: no such file or directory`.
pub fn cannot(verb: &str, what: impl fmt::Display, error: &io::Error) -> String {
    format!("cannot {verb} `{what}`: {}", plain(error))
}

/// An I/O error in the style of the messages: lower case, without the number that Rust appends.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        // `Is a directory` becomes `is a directory`; `I/O error` stays.
        Some(first) if chars.as_str().starts_with(|c: char| c.is_lowercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

impl From<NoMemory> for Error {
    fn from(none: NoMemory) -> Error {
        Error::Prepare(none.into())
    }
}

/// The process that owns an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The process id. `None`: the process is in another PID namespace.
    pub pid: Option<i32>,
    /// The process's user id.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_told_by_their_kind() {
        let error = |number| Error::Create { path: "x".into(), source: io::Error::from_raw_os_error(number) };
        // EACCES and EPERM; ENOENT is none.
        assert!(error(13).is_denied() && error(1).is_denied() && !error(2).is_denied());
        let text = io::Error::other("Permission denied");
        assert!(!Error::Open { path: "x".into(), source: text }.is_denied(), "the text does not count");
        let station = |denied| Error::Station { station: "s".into(), reason: "x".into(), denied };
        assert!(station(true).is_denied() && !station(false).is_denied());
    }

    #[test]
    fn io_errors_read_like_the_other_messages() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&missing), "no such file or directory");
        assert_eq!(plain(&io::Error::other("I/O trouble")), "I/O trouble");
        let unread = Error::Open { path: "x.mrule".into(), source: missing };
        assert_eq!(unread.plain(), "cannot read `x.mrule`: no such file or directory");
    }
}
