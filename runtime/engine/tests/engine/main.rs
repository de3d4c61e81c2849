//! Tests of the engine as a library: flows, streams, triggers, memory. Invariant: expectations come
//! from a model or from bytes made by hand. (Rejected: one executable for each file; each
//! executable links the engines again.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

mod feed;
mod flow;
mod memory;
mod stream_apps;
mod stream_gaps;
mod stream_messages;
mod stream_order;
mod stream_quic;
mod triggers;
