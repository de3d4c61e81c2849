//! The commands, one file each: their arguments, and a `run` that reads them and prints. The
//! invariant: a command's result goes to standard output and everything else to standard error.
//! (Rejected: a trait for commands; they share nothing but their signature.)

pub mod bridge;
pub mod check;
pub mod completions;
pub mod control;
pub mod demo;
pub mod emit;
pub mod explain;
pub mod fields;
pub mod flows;
pub mod fmt;
pub mod man;
pub mod run;
pub mod station;
pub mod token;
