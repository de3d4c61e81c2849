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
//! - [`session`]: one program, ready to decide packets: the way in for embedders.
//! - [`policy`]: a program made ready to run; [`change`]: what may be changed in it from outside.
//! - [`decider`]: from packets to verdicts, with [`flow`]s and what their [`stream`]s contain.
//! - [`trigger`]: for which keys triggers are active, and the windows that raise them.
//! - [`totals`]: what was decided, as sums; [`cost`]: what a program takes; [`memory`]: where that
//!   comes from.
//!
//! The invariant: nothing here reads, writes, waits, looks at a clock or starts a thread; times are
//! those of packets. (Rejected: one crate with the sockets; whoever embeds the engine would link
//! them.)

pub mod change;
pub mod cost;
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
