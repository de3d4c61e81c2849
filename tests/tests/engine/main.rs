//! What is decided about a packet: dissection, both engines, the kernel's filter, random programs
//! and damaged packets. The invariant: no test here needs a network or a privilege. (Rejected: one
//! executable for each file; every executable links the whole product again.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod attacks;
mod differential;
mod dissect;
mod dissect_etherparse;
mod dissect_odd;
mod dissect_properties;
mod dissect_tunnels;
mod flows_outside;
mod fuzz;
mod prefilter;
mod server_first;
