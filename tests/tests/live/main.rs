//! The running product: bridge, tap, stations, control API, history and alarms, each in network
//! namespaces of its own. The invariant: a test starts a real process and asks it from outside, and
//! tests run side by side. (Rejected: one executable for each file; every executable links the
//! whole product again.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod alarms;
mod api;
mod api_random;
mod bridge;
mod control;
mod daemon;
mod demo;
mod examples;
mod faults;
mod flows;
mod geneve;
mod history;
mod prefilter;
mod privileges;
mod programs;
mod reload;
mod remote;
mod state;
mod stations_faults;
mod stations_files;
mod stations_netns;
mod tap;

/// The program that is tested.
const MIRRORC: &str = env!("CARGO_BIN_EXE_mirrorc_live");
