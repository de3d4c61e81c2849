//! Captures in and files out: the reader, replay, memory. The invariant: what is expected comes
//! from bytes made by hand or from another program. (Rejected: one executable for each file; every
//! executable links the whole product again.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

mod common;
mod mangled;
mod memory;
mod reader;
mod replay;
mod tools;
