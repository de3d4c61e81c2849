//! Texts and trees: what is read, what each mistake is called, how texts are formatted. The
//! invariant: what is expected was written by hand. (Rejected: one executable for each file; fewer
//! link faster.)
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
