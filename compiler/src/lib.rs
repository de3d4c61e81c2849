//! The compiler of the `.mrule` language: syntax tree to typed program, typed program to verdicts,
//! by a reference interpreter and by native code. It does no I/O and reads no clock.
//!
//! ```
//! use mrule_compiler::compile::{MemoryLoader, compile};
//!
//! let text = "\
//! station ids { pcapng \"ids.pcapng\" }
//! rule web { match tcp.prt == 80  snaplen headers  to ids }
//! ";
//! let mut loader = MemoryLoader::new([("site.mrule", text)]);
//! let compiled = compile(&["site.mrule".to_owned()], &mut loader, &[]);
//! assert!(compiled.program.is_none());
//! let found = &compiled.diagnostics[0];
//! assert_eq!(found.code.id(), "E0101");
//! assert!(found.render(&compiled.sources).contains(" --> site.mrule:2:18\n"));
//! ```
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
