//! The constants of tables and params, and their types. They lie below the typed program, so that a
//! table knows rows and no program. The invariant: a value fits several types, and whoever keeps it
//! checks it against one. (Rejected: a value that carries its type; the tables keep millions.)

use std::sync::Arc;

/// The type of a table's key part or value, or of a param.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueTy {
    /// `bool`
    Bool,
    /// `uint`
    Uint,
    /// `size`, in bytes
    Size,
    /// `duration`, in nanoseconds
    Duration,
    /// `ip`
    Ip,
    /// `cidr`
    Cidr,
    /// `mac`
    Mac,
    /// `string`
    String,
    /// One of the words that a table's type lists, by its number.
    Word,
}

/// A constant of a table or param.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A flag, number, size, duration (ns) or MAC.
    Num(u64),
    /// An address with its prefix length.
    Ip(std::net::IpAddr, u8),
    /// Text.
    Text(Arc<[u8]>),
}
