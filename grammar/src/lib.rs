//! The grammar of the `.mrule` language: text to syntax tree with spans, syntax tree to canonical
//! text, and diagnostics as data. It knows the form of the language; it knows no field name, no
//! type and no protocol.
pub mod ast;
pub mod codes;
pub mod diagnostic;
mod limits;
mod parse;
mod print;
pub mod printable;
pub mod span;
pub mod units;
pub mod words;

pub use limits::{MAX_ERRORS, MAX_FILE, MAX_NESTING};
pub use parse::{Parsed, parse};
pub use print::format;
