//! Comparisons with tshark, tcpdump and editcap on the shipped captures, and on those of
//! `MRULE_CAPTURES`. The invariant: what is expected comes from another program, and a tool that is
//! missing is reported as skipped. (Rejected: one executable for each file; every executable links
//! the whole product again.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod app;
mod cut;
mod fields;
mod filters;
mod layers;
mod markers;
mod slices;
mod streams;
