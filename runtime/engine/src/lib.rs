//! The decision about packets as a library: flows, streams, triggers, and what a program makes of them.
//!
//! - [`policy`]: a program made ready to run; [`change`]: what may be changed in it from outside.
//! - [`decider`]: from packets to verdicts, with [`flow`]s and what their [`stream`]s contain.
//! - [`trigger`]: for which keys triggers are active, and the windows that raise them.
//! - [`totals`]: what was decided, as sums; [`cost`]: what a program takes; [`memory`]: where that comes from.
//!
//! The invariant: nothing here reads, writes, waits, looks at a clock or starts a thread; times are those of packets.
//! (Rejected: one crate with the sockets; whoever embeds the engine would link them.)

pub mod change;
pub mod cost;
pub mod decider;
pub mod error;
pub mod flow;
pub mod memory;
pub mod policy;
pub mod stream;
pub mod totals;
pub mod trigger;

pub use error::Error;
