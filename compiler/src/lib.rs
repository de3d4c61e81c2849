//! The compiler of the `.mrule` language: syntax tree to typed program, typed program to verdicts,
//! by a reference interpreter and by native code. It does no I/O and reads no clock.
//!
//! Native code is the feature `jit`, on by default. Without it, this crate does not need Cranelift,
//! and checks, `explain` and the interpreter are the same. (Rejected: two crates; both engines read
//! the same records.)
#![cfg_attr(not(feature = "jit"), allow(dead_code, reason = "what only native code reads and calls"))]

pub mod abi;
pub mod batch;
pub mod bpf;
pub mod budget;
pub mod check;
pub mod compile;
pub mod context;
pub mod dissect;
pub mod engine;
pub mod environment;
pub mod eval;
pub mod explain;
pub mod extract;
pub mod fields;
pub mod helpers;
pub mod hir;
#[cfg(feature = "jit")]
pub mod jit;
pub mod length;
pub mod lint;
#[cfg(not(feature = "jit"))]
mod no_jit;
pub mod pattern;
mod plan;
pub mod render;
pub mod sets;
pub mod streams;
pub mod table;
pub mod value;
