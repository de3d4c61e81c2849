//! Packets in and copies out: reads captures, has an engine decide every packet, writes what the stations get.
//!
//! - [`capture`]: pcap and pcapng files, as batches of packets.
//! - [`station`]: where copies go; [`confine`]: what a station may reach on this host.
//! - [`decider`]: from packets to verdicts, with [`flow`]s and what their [`stream`]s contain.
//! - [`policy`]: a program made ready to run; [`change`]: what may be changed in it from outside; [`event`]: changes and what
//!   becomes of triggers, as lines of text.
//! - [`control`]: policies by name, asked and changed at work; [`api`]: over HTTP; [`compile_queue`]: one compilation at a time.
//! - [`history`]: what happened, for those who ask later; [`alarm`]: told to others, by webhooks and syslog.
//! - [`cost`]: what a program takes; [`budget`]: how much of it is allowed; [`links`]: interfaces made for a demonstration.
//! - [`live`]: a program on interfaces, by [`sys`], the packet interface of the kernel; [`privilege`]: what it may still do.
//! - [`replay`]: a program over a capture; [`stats`]: what it counted.
//! - [`stream`]: the contents of flows: patterns, applications, messages.
//! - [`trigger`]: for which keys triggers are active, and the windows that raise them.
//! - [`source`]: rule files and tables from the file system.
//! - [`error`]: what can go wrong outside of the packets; [`patience`]: what the system may never answer.
pub mod alarm;
pub mod api;
pub mod budget;
pub mod capture;
pub mod change;
pub mod compile_queue;
pub mod confine;
pub mod control;
pub mod cost;
pub mod decider;
pub mod error;
pub mod event;
pub mod flow;
pub mod history;
pub mod links;
pub mod live;
pub mod patience;
pub mod policy;
pub mod privilege;
pub mod replay;
pub mod source;
pub mod station;
pub mod stats;
pub mod stream;
pub mod sys;
pub mod trigger;

pub use error::{Break, BreakReason, Error};
