//! Tests of captures and files: the reader, replay, memory. Invariant: expectations come from bytes
//! made by hand or from another program. (Rejected: one executable for each file; each executable
//! links the whole product again.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

mod common;
mod mangled;
mod memory;
mod reader;
mod replay;
mod tools;
