//! The grammar of the `.mrule` language: text to syntax tree with spans, syntax tree to canonical
//! text, and diagnostics as data. It knows the form of the language; it knows no field name, no
//! type and no protocol.
//!
//! ```
//! use mrule_grammar::format;
//! use mrule_grammar::span::FileId;
//!
//! let text = "rule web { match tcp.port==80 snaplen headers to ids }";
//! assert!(mrule_grammar::parse(FileId(0), text).diagnostics.is_empty());
//! let formatted = "rule web { match tcp.port == 80  snaplen headers  to ids }\n";
//! assert_eq!(format(text).as_deref(), Ok(formatted));
//! ```
//!
//! - [`parse`]: text to [`ast`], with diagnostics; [`format()`]: text to canonical text.
//! - [`diagnostic`]: what is wrong, as data; [`codes`]: every code and its page.
//! - [`render`]: a diagnostic as plain text with its source lines.
//!
//! The invariant: any text gives a tree and diagnostics. (Rejected: a tree with resolved names; the
//! editor and `fmt` need trees of texts that do not compile.)

pub mod ast;
pub mod codes;
pub mod diagnostic;
mod limits;
mod parse;
mod print;
pub mod printable;
pub mod render;
pub mod span;
pub mod units;
pub mod words;

pub use limits::{MAX_ERRORS, MAX_FILE, MAX_NESTING};
pub use parse::{Parsed, parse};
pub use print::format;
