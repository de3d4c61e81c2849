//! What the end-to-end tests share: packets and cases written by hand, random programs and damaged
//! packets, the laws that hold for all of them, the bodies of the fuzz targets, and what asks other
//! programs. The invariant: what is expected is never taken from what the tested code says.
//! (Rejected: helpers beside each test; tests, fuzz targets and benchmarks compile and run programs
//! the same way.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub mod capture;
pub mod case;
pub mod choices;
pub mod cli;
pub mod contexts;
pub mod control;
pub mod copies;
pub mod differ;
pub mod feed;
pub mod frames;
pub mod fuzz;
pub mod generate;
pub mod http;
pub mod mangle;
pub mod memory;
pub mod minimise;
pub mod mirrored;
pub mod netns;
pub mod oracle;
pub mod packet_text;
pub mod packets;
pub mod pages;
pub mod palette;
pub mod prefilter;
pub mod reader;
pub mod receiver;
pub mod recut;
pub mod run;
pub mod streams;
pub mod syslog;
pub mod tshark;
pub mod wire;

use mrule_compiler::hir::Program;

/// Compiles one text; the errors one to a line.
pub fn compile_text(text: &str) -> Result<Program, String> {
    run::compile_files(&[("a.mrule", text)], &[])
}
