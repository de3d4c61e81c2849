//! The grammar of the `.mrule` language: text to syntax tree with spans, syntax tree to canonical text, and
//! diagnostics as data. It knows the shape of the language and no field name, no type, no protocol.
pub mod ast;
pub mod codes;
pub mod diagnostic;
mod parse;
mod print;
pub mod span;
pub mod units;
pub mod words;

pub use parse::{Parsed, parse};
pub use print::format;

/// How deep expressions may nest: brackets, `not`s and arithmetic operators, counted together. `and` and `or` do not
/// count. Every tree that [`parse`](parse()) returns is at most a small multiple of it deep.
pub const MAX_NESTING: usize = 64;

/// How long a file may be, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// How many errors of one file are reported; the last one says that there are more.
pub const MAX_ERRORS: usize = 1000;
