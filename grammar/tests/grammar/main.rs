//! Texts and trees: the tree of a text, the code of each mistake, the format of a text. The
//! invariant: expectations are written by hand. (Rejected: one executable for each file; fewer
//! executables link faster.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod codes;
mod common;
mod format;
mod hostile;
mod mistakes;
mod page_grammar;
mod pages;
mod recovery;
mod runs;
mod valid;
