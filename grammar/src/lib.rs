//! The grammar of the `.mrule` language: text to syntax tree with spans, syntax tree to canonical text, and
//! diagnostics as data. It knows the shape of the language and no field name, no type, no protocol.
pub mod ast;
pub mod codes;
pub mod diagnostic;
pub mod span;

/// How deep expressions and types may nest.
pub const MAX_NESTING: usize = 64;
