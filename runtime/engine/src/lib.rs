//! Decides about packets by `.mrule` programs: which stations get a copy, and how many bytes of it.
//!
//! ```
//! use mrule_compiler::abi::{Link, Packet};
//! use mrule_engine::Session;
//!
//! let rules = r#"
//!     station ids { pcapng "ids.pcapng" }
//!     rule web    { match tcp.port == 80  snaplen headers  to ids }
//! "#;
//! let mut session: Session = rules.parse()?;
//!
//! // Ethernet, IPv4, TCP to port 80, and three bytes of payload.
//! let mut frame = vec![0; 57];
//! frame[12..14].copy_from_slice(&[0x08, 0x00]);
//! frame[14..24].copy_from_slice(&[0x45, 0, 0, 43, 0, 0, 0, 0, 64, 6]);
//! frame[34..38].copy_from_slice(&[0x12, 0x34, 0, 80]);
//! frame[46..48].copy_from_slice(&[0x50, 0x18]);
//!
//! let packet = Packet::new(&frame, 57, Link::Ethernet);
//! let copies = session.decide(&packet);
//! assert_eq!((copies[0].station, copies[0].bytes.clone(), copies[0].rule), ("ids", 0..54, "web"));
//! # Ok::<(), mrule_engine::session::Refused>(())
//! ```
//!
//! - [`session`]: one program, ready to decide packets: the entry point for embedders.
//! - [`policy`]: a program prepared to run; [`change`]: its parts that can be changed from outside.
//! - [`decider`]: from packets to verdicts, with [`flow`]s and what their [`stream`]s contain.
//! - [`trigger`]: the keys for which triggers are active, and the windows that raise triggers.
//! - [`totals`]: sums of what was decided; [`cost`]: what a program takes; [`memory`]: memory for
//!   tables; [`mod@counters`]: how sums are added.
//!
//! Invariant: this crate does no I/O, does not block, reads no clock and starts no thread; all
//! times are packet times. (Rejected: one crate with the sockets; a program that embeds the engine
//! would then link them.)
//!
//! Items are `pub(crate)` unless another crate needs them; a test counts the public items.

#![warn(unreachable_pub)]

pub mod change;
pub mod cost;
pub mod counters;
pub mod decider;
pub mod error;
pub mod flow;
pub mod memory;
pub mod policy;
pub mod session;
pub mod stream;
pub mod totals;
pub mod trigger;

pub use error::Error;
pub use session::Session;
