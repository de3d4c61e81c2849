//! What the end-to-end tests share: captures, an independent reader of them, tshark, and `mirrorc` run in place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub mod capture;
pub mod cli;
pub mod frames;
pub mod oracle;
pub mod packets;
pub mod reader;
pub mod tshark;
