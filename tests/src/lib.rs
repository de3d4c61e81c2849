//! What the end-to-end tests share: packets and cases written by hand, and what asks other programs. The invariant: what is
//! expected is never taken from what the tested code says. (Rejected: helpers beside each test.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub mod capture;
pub mod case;
pub mod packet_text;
pub mod packets;
pub mod reader;
pub mod run;
pub mod tshark;

use mrule_compiler::hir::Program;

/// Compiles one text; the errors one to a line.
pub fn compile_text(text: &str) -> Result<Program, String> {
    run::compile_files(&[("a.mrule", text)], &[])
}
