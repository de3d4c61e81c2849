//! Packets in and copies out: captures, interfaces, stations, and the control plane. What decides is `mrule_engine`.
//!
//! - [`capture`]: pcap and pcapng files, as batches of packets; [`source`]: rule files and tables.
//! - [`station`]: where copies go; [`confine`]: what a station may reach on this host.
//! - [`live`]: a program on interfaces, by [`sys`], the packet interface of the kernel; [`privilege`]: what it may still do.
//! - [`replay`]: a program over captures; [`links`]: interfaces made for a demonstration.
//! - [`control`]: policies by name, asked and changed at work; [`api`]: over HTTP; [`compile_queue`]: one compilation at a
//!   time; [`budget`]: how much memory programs may take.
//! - [`event`]: what happens, as lines of text; [`history`]: for those who ask later; [`alarm`]: by webhooks and syslog.
//! - [`clock`]: the time now; [`error`]: what can go wrong outside of the packets; [`patience`]: what the system may never answer.

pub mod alarm;
pub mod api;
pub mod budget;
pub mod capture;

pub mod clock;
pub mod compile_queue;
pub mod confine;
pub mod control;

pub mod error;
pub mod event;

pub mod history;
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
