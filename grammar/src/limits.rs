//! Bounds for every text. The invariant: each bound is checked before the work that it bounds.
//! (Rejected: bounds in the crate's root; every module would import the root.)

/// The deepest nesting of expressions. Brackets, `not`s and arithmetic operators count together;
/// `and` and `or` do not count. Every tree that [`parse`](crate::parse()) returns is at most a
/// small multiple of this bound deep.
pub const MAX_NESTING: usize = 64;

/// The greatest length of a file, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// How many errors of one file are reported. The last error says that there are more.
pub const MAX_ERRORS: usize = 1000;
