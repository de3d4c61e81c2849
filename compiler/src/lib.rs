//! The compiler of the `.mrule` language: syntax tree to typed program, typed program to verdicts, by a reference
//! interpreter and by native code. It does no I/O and reads no clock.
pub mod abi;
pub mod batch;
pub mod bpf;
pub mod budget;
pub mod check;
pub mod compile;
pub mod engine;
pub mod eval;
pub mod explain;
pub mod extract;
pub mod fields;
pub mod helpers;
pub mod hir;
pub mod jit;
pub mod length;
pub mod lint;
pub mod pattern;
pub mod render;
pub mod sets;
pub mod sight;
pub mod streams;
pub mod table;
pub mod value;
pub mod wire;
pub mod world;
