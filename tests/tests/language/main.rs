//! What a user writes and reads: rule texts, the corpus of cases, diagnostics, the commands that
//! need no packets of an interface, and the pages. The invariant: what is expected was written by
//! hand or recorded and read. (Rejected: one executable for each file; every executable links the
//! whole product again.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod architecture;
mod cases;
mod cases_tshark;
mod cli_emit;
mod cli_events;
mod cli_explain;
mod cli_fmt;
mod cli_formats;
mod cli_manual;
mod cli_messages;
mod cli_report;
mod cli_run;
mod docs;
mod rules;
mod tidy;
mod ui;
mod walkthroughs;
mod words;
