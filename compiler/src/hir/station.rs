//! The destinations of copies: plain data, within the limits of each protocol. The text of a
//! station is its source text, with all default values. (Rejected: trait objects for the kinds;
//! this crate opens nothing.)

use std::fmt;
use std::net::IpAddr;

/// A destination of copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// Its name.
    pub name: String,
    /// The place of its declaration.
    pub span: mrule_grammar::span::Span,
    /// Its kind and the kind's settings.
    pub target: Target,
    /// The greatest rate of its copies.
    pub limit: Option<Rate>,
}

/// The kinds of station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Copies are sent unchanged on an interface.
    Interface {
        /// Its name.
        name: String,
    },
    /// Copies are sent to a host, in packets of a tunnel.
    Tunnel {
        /// The remote end.
        host: IpAddr,
        /// The headers before each copy.
        encap: Encap,
        /// Whether packets longer than the path's MTU are fragmented. If not, their copies are cut
        /// to fit.
        fragment: bool,
    },
    /// A pcapng file.
    Pcapng {
        /// Its path; `%` starts a conversion of strftime(3).
        path: String,
        /// When a new file begins.
        rotate: Rotate,
        /// How many files are kept.
        keep: Option<u64>,
    },
    /// A stream of pcapng.
    Pipe {
        /// The path of the FIFO. `None`: standard output.
        path: Option<String>,
    },
}

/// Tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encap {
    /// VXLAN (RFC 7348).
    Vxlan {
        /// The UDP port, 4789 by default.
        port: u16,
        /// The network identifier, 24 bits.
        vni: u32,
    },
    /// GENEVE (RFC 8926).
    Geneve {
        /// The UDP port, 6081 by default.
        port: u16,
        /// The network identifier, 24 bits.
        vni: u32,
    },
    /// GRE with Ethernet frames (RFC 2784, RFC 2890).
    Gre {
        /// The key, if there is one.
        key: Option<u32>,
    },
    /// ERSPAN type II (draft-foschiano-erspan).
    Erspan2 {
        /// The session, 10 bits.
        session: u16,
    },
    /// TaZmen Sniffer Protocol.
    Tzsp {
        /// The UDP port, 37008 by default.
        port: u16,
    },
}

/// When a file is full: by size, time, both, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotate {
    /// In bytes.
    pub size: Option<u64>,
    /// In nanoseconds.
    pub time: Option<u64>,
}

/// The greatest rate of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The greatest number per second.
    pub per_second: u64,
    /// The greatest number at once.
    pub burst: u64,
    /// What is counted.
    pub of: RateOf,
}

/// What a [`Rate`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateOf {
    /// Bytes, with the headers of tunnels.
    Bytes,
    /// Copies.
    Copies,
}

/// The conversions of strftime(3) that a path can have. Conversions that make directories, or signs
/// that a shell interprets, are not among them.
pub const CONVERSIONS: &str = "YmdHMSjsyFbBaAIpzZ%";

/// The words between the braces.
impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.target)?;
        match &self.limit {
            Some(Rate { per_second, burst, of: RateOf::Bytes }) => {
                write!(f, " limit {per_second}B burst {burst}B")
            }
            Some(Rate { per_second, burst, of: RateOf::Copies }) => {
                write!(f, " limit {per_second} burst {burst}")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Interface { name } => write!(f, "interface {name:?}"),
            Target::Tunnel { host, encap, fragment } => {
                match encap {
                    Encap::Vxlan { port, vni } => write!(f, "vxlan {host} port {port} vni {vni}")?,
                    Encap::Geneve { port, vni } => write!(f, "geneve {host} port {port} vni {vni}")?,
                    Encap::Gre { key: None } => write!(f, "gre {host}")?,
                    Encap::Gre { key: Some(key) } => write!(f, "gre {host} key {key}")?,
                    Encap::Erspan2 { session } => write!(f, "erspan2 {host} session {session}")?,
                    Encap::Tzsp { port } => write!(f, "tzsp {host} port {port}")?,
                }
                f.write_str(if *fragment { " fragment" } else { "" })
            }
            Target::Pcapng { path, rotate, keep } => {
                write!(f, "pcapng {path:?}")?;
                rotate.size.map_or(Ok(()), |size| write!(f, " rotate {size}B"))?;
                rotate.time.map_or(Ok(()), |time| write!(f, " rotate {time}ns"))?;
                keep.map_or(Ok(()), |keep| write!(f, " keep {keep}"))
            }
            Target::Pipe { path: Some(path) } => write!(f, "pipe {path:?}"),
            Target::Pipe { path: None } => f.write_str("pipe stdout"),
        }
    }
}
