//! Packets in and copies out: captures, interfaces, stations. `mrule_engine` decides.
//!
//! ```
//! use mrule_dataplane::capture::Reader;
//!
//! let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pcap/demo.pcapng");
//! let mut reader = Reader::open(capture.as_ref())?;
//! let mut packets = 0;
//! while let Some(batch) = reader.next_batch() {
//!     packets += batch.packets.len();
//! }
//! assert_eq!(packets, 626);
//! # Ok::<(), mrule_dataplane::Error>(())
//! ```
//!
//! - [`capture`]: pcap and pcapng files, as batches of packets; [`source`]: rule files and tables.
//! - [`station`]: where copies go; [`confine`]: what a station may reach on this host.
//! - [`live`]: a program on interfaces, by [`sys`], the kernel's packet interface.
//! - [`replay`]: a program over captures; [`links`]: interfaces for a demonstration.
//! - [`privilege`]: what a run may still do; [`patience`]: calls that may never return.
//! - [`link_type`]: how frames begin; [`clock`]: the present time; [`error`]: errors of this crate.
//!
//! Invariant: a worker waits for nothing but the kernel. (Rejected: one crate with the control
//! plane; the code that decides packets would link HTTP, TLS and SQL.)

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
