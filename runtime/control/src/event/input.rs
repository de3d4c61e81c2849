//! Reads changes with packet times from a file of JSON lines. Each line has a time, one verb with a
//! name, and the arguments of the verb:
//!
//! ```json
//! {"time": "2024-05-01T10:00:00Z", "raise": "attack", "key": "10.0.0.1", "for": "10m"}
//! {"time": 1714557600.25, "clear": "attack", "key": ["10.0.0.1"]}
//! {"time": "1714557600.250000001", "add": "users", "key": "10.0.0.1", "value": "alice"}
//! ```
//!
//! The invariant: the whole file is checked against the program before the first packet; a change
//! takes effect before the first packet with the same or a later time. (Rejected: packet numbers as
//! times; they mean nothing in a live run.)

use super::verb::{Verb, VerbError};
use mrule_compiler::hir::Program;
use mrule_engine::change::Timed;
use std::path::{Path, PathBuf};

/// Why a file of changes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("`{}`, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong, and what to write.
        what: Box<VerbError>,
    },
}

/// Reads a file of changes for a program, sorted by time; changes with the same time stay in file
/// order.
///
/// # Errors
/// [`InputError`]: an unreadable file, or the first line that is wrong.
pub fn read(path: &Path, program: &Program) -> Result<Vec<Timed>, InputError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| InputError::Read { path: path.to_owned(), source })?;
    parse(&text, program).map_err(|(line, what)| InputError::Line {
        path: path.to_owned(),
        line,
        what: Box::new(what),
    })
}

/// Reads changes from text.
///
/// # Errors
/// The first line that is wrong, from 1, and what is wrong with it.
pub fn parse(text: &str, program: &Program) -> Result<Vec<Timed>, (usize, VerbError)> {
    let mut events = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let read = Verb::from_line(text).and_then(|(time, verb)| Ok((time, verb.change(program)?)));
        let (time, change) = read.map_err(|what| (line, what))?;
        events.push(Timed { time, change, line });
    }
    events.sort_by_key(|event| event.time);
    Ok(events)
}
