//! Packets in and copies out: captures, interfaces, stations. What decides is `mrule_engine`.
//!
//! - [`capture`]: pcap and pcapng files, as batches of packets; [`source`]: rule files and tables.
//! - [`station`]: where copies go; [`confine`]: what a station may reach on this host.
//! - [`live`]: a program on interfaces, by [`sys`], the packet interface of the kernel.
//! - [`replay`]: a program over captures; [`links`]: interfaces made for a demonstration.
//! - [`privilege`]: what a run may still do; [`patience`]: what the system may never answer.
//! - [`link_type`]: how frames begin; [`clock`]: the time now; [`error`]: what can go wrong.
//!
//! The invariant: a worker waits for nobody but the kernel. (Rejected: one crate with the control
//! plane; HTTP, TLS and SQL would be linked where packets are decided.)

pub mod capture;
pub mod clock;
pub mod confine;
pub mod error;
pub mod link_type;
pub mod links;
pub mod live;
pub mod patience;
pub mod privilege;
pub mod replay;
pub mod source;
pub mod station;
pub mod sys;

pub use error::{Break, BreakReason, Error};
