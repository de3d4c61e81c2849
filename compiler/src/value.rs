//! The constants of tables and params, and their types. They are below the typed program, so a
//! table knows rows and no program. The invariant: a value fits several types; its owner checks it
//! against one type. (Rejected: a value that carries its type; the tables hold millions.)

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
    /// A word of the list in a table's type, by its number.
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
