//! The engine as a library: flows, streams, triggers, memory. The invariant: what is expected comes
//! from a model or from bytes made by hand. (Rejected: one executable for each file; every
//! executable links the engines again.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

mod feed;
mod flow;
mod memory;
mod stream_apps;
mod stream_messages;
mod stream_order;
mod triggers;
