//! Memory, code size and compile time that one program can take. Each budget is exceeded on
//! purpose; the process lives on, the answer names the budget and the clause, and what was at work
//! goes on. Numbers of rules are small enough for a debug build. The invariant: what must not end a
//! process runs in a process of its own. (Rejected: limits of the operating system; they end the
//! process.)

mod compile;
mod memory;

use crate::MIRRORC;
use std::path::Path;
use std::process::{Command, Output};

/// A rule file in a directory: a station and these rules.
fn rules(dir: &Path, name: &str, rules: &str) -> String {
    let path = dir.join(name);
    let station = format!("station s {{ pcapng \"{}\" }}\n", dir.join(format!("{name}.pcapng")).display());
    std::fs::write(&path, station + rules).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A run of mirrorc to its end.
fn mirrorc(words: &[&str]) -> Output {
    Command::new(MIRRORC).args(words).output().unwrap()
}

/// What it printed, and its exit code; a signal fails the test.
fn told(output: &Output) -> (String, i32) {
    let code = output.status.code();
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (text.clone(), code.unwrap_or_else(|| panic!("ended by a signal: {text}")))
}

/// A trigger of 16 windows that remembers so many keys.
fn trigger(name: &str, keys: usize) -> String {
    let windows: Vec<String> = (1..=16).map(|i| format!("count(tcp) per {i}s > 1000000")).collect();
    format!("trigger {name} by net.src {{ when {}  hold 1s\n  keys {keys} }}\n", windows.join(" or "))
}
