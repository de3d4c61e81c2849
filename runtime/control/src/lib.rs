//! The control plane: clients load and change policies, state survives restarts, and events reach
//! their subscribers.
//!
//! ```
//! let document = mrule_control::api::openapi();
//! let load = &document["paths"]["/v1/policies/{policy}"]["put"];
//! assert_eq!(load["x-mirrorc-role"], "author");
//! ```
//!
//! - [`control`]: policies by name, which callers read and change; [`api`]: the same over HTTP.
//! - [`compile_queue`]: one compilation at a time; [`budget`]: how much memory programs may take.
//! - [`event`]: events as lines of text; [`history`]: recorded events; [`alarm`]: events sent by
//!   webhooks and syslog.
//! - [`daemon`]: all of it as one value: a run on interfaces that is started, asked and stopped.
//!
//! The invariant: nothing here touches a packet, and no failure here disturbs forwarding.
//! (Rejected: one crate with the data plane; it would link HTTP, TLS and SQL where packets are
//! decided.)

pub mod alarm;
pub mod api;
pub mod budget;
pub mod compile_queue;
pub mod control;
pub mod daemon;
pub mod event;
pub mod history;
