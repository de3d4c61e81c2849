//! Policies at work: who may load and change them, what outlives the process, and who is told of
//! what happens.
//!
//! - [`control`]: policies by name, asked and changed at work; [`api`]: the same over HTTP.
//! - [`compile_queue`]: one compilation at a time; [`budget`]: how much memory programs may take.
//! - [`event`]: what happens, as lines of text; [`history`]: for those who ask later; [`alarm`]: by
//!   webhooks and syslog.
//!
//! The invariant: nothing here touches a packet; what fails here disturbs no forwarding. (Rejected:
//! one crate with the data plane; HTTP, TLS and SQL would be linked where packets are decided.)

pub mod alarm;
pub mod api;
pub mod budget;
pub mod compile_queue;
pub mod control;
pub mod event;
pub mod history;
