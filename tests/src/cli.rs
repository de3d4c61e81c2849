//! Runs `mirrorc` in place, through the same call that the binary makes, and compares output with
//! recordings. The invariant: what a run prints depends on its arguments and files only: no
//! colours, a fixed width. (Rejected: starting the binary, which a test of another crate cannot
//! find.)

use mirrorc::{Exit, Look, Screen};
use std::path::Path;

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs `mirrorc` with these arguments.
pub fn mirrorc(args: &[&str]) -> Run {
    mirrorc_with(args, b"", Look::PLAIN)
}

/// Runs `mirrorc` with these arguments, this standard input, and streams that look so.
pub fn mirrorc_with(args: &[&str], input: &[u8], look: Look) -> Run {
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input);
    let mut screen =
        Screen { input: &mut input, out: &mut out, err: &mut err, out_look: look, err_look: look };
    let words = std::iter::once("mirrorc").chain(args.iter().copied());
    let exit = mirrorc::run(words.map(Into::into), &mut screen);
    Run {
        exit,
        stdout: String::from_utf8(out).expect("standard output is text"),
        stderr: String::from_utf8(err).expect("standard error is text"),
    }
}

/// What to do about a recording that is missing or differs.
const RECORD: &str = "if the output below is right, record it by \
                      `UPDATE=1 cargo test --workspace --test language`, and read the difference";

/// Compares a text with its recording, or writes the recording where `UPDATE` is set.
pub fn compare(recording: &Path, now: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some() {
        let then = std::fs::read_to_string(recording).unwrap_or_default();
        if then != now {
            std::fs::write(recording, now)
                .map_err(|e| format!("cannot write {}: {e}", recording.display()))?;
        }
        return Ok(());
    }
    let then = std::fs::read_to_string(recording)
        .map_err(|e| format!("cannot read {}: {e}; {RECORD}\n+++ now\n{now}", recording.display()))?;
    if then == now {
        return Ok(());
    }
    let difference = similar::TextDiff::from_lines(then.as_str(), now);
    let difference = difference.unified_diff().header("recorded", "now").to_string();
    Err(format!("{} differs; {RECORD}\n{difference}", recording.display()))
}

/// Panics where [`compare`] finds a difference, and shows it.
#[track_caller]
pub fn assert_recorded(recording: impl AsRef<Path>, now: &str) {
    if let Err(difference) = compare(recording.as_ref(), now) {
        panic!("{difference}");
    }
}
