//! The runtime as a library: the reader of captures, replay, flows, streams, triggers, memory. The invariant: what is
//! expected comes from a model, from bytes made by hand or from another program. (Rejected: one executable for each
//! file; every executable links the whole product again.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

mod common;
mod feed;
mod flow;
mod mangled;
mod memory;
mod reader;
mod replay;
mod stream_apps;
mod stream_messages;
mod stream_order;
mod tools;
mod triggers;
