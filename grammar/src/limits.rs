//! What a text may take, whatever it holds. The invariant: each bound is checked before the work
//! that it bounds. (Rejected: bounds in the crate's root, which every module would then import.)

/// How deep expressions may nest: brackets, `not`s and arithmetic operators, counted together.
/// `and` and `or` do not count. Every tree that [`parse`](crate::parse()) returns is at most a
/// small multiple of it deep.
pub const MAX_NESTING: usize = 64;

/// How long a file may be, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// How many errors of one file are reported; the last one says that there are more.
pub const MAX_ERRORS: usize = 1000;
