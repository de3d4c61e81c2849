//! Packets in and copies out: reads captures, has an engine decide every packet, writes what the stations get.
//!
//! - [`capture`]: pcap and pcapng files, as batches of packets.
//! - [`station`]: where copies go.
//! - [`decider`]: from packets to verdicts, with [`flow`]s and what their [`stream`]s contain.
//! - [`replay`]: a program over a capture; [`stats`]: what it counted.
//! - [`stream`]: the contents of flows: patterns, applications, messages.
//! - [`source`]: rule files and tables from the file system.
//! - [`error`]: what can go wrong outside of the packets.
pub mod capture;
pub mod decider;
pub mod error;
pub mod flow;
pub mod replay;
pub mod source;
pub mod station;
pub mod stats;
pub mod stream;
mod sys;

pub use error::{Break, BreakReason, Error};
