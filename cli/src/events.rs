//! `--events` and `--events-out`: the changes to make during a run, and the file of trigger events.
//! The invariant: a file of changes with any error is refused before the first packet. (Rejected:
//! reading the file while packets are processed; an error in its last line would appear after an
//! hour.)

use crate::exit::Failure;
use crate::memory;
use crate::screen::{BAD, DOUBT, Look};
use crate::table::grouped;
use mrule_compiler::hir::Program;
use mrule_control::daemon;
use mrule_control::event::input;
use mrule_control::event::output::{EventWriter, Written};
use mrule_engine::change::Timed;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The options for events.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Events")]
pub struct Events {
    /// Make the changes in FILE during the run: JSON lines that raise, clear or suppress triggers,
    /// add or remove table rows, or set params, each at a packet time
    #[arg(long, value_name = "FILE", requires = "read", conflicts_with_all = ["tap", "bridge"])]
    events: Option<PathBuf>,
    /// Write trigger events to FILE, one JSON object on each line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    events_out: Option<PathBuf>,
    /// Write at most one event in this time for extensions of a trigger for the same key, with
    /// their number; 0s writes each extension
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = pause)]
    events_extended: Duration,
}

/// A time, or `0s`.
fn pause(text: &str) -> Result<Duration, String> {
    if text == "0s" {
        Ok(Duration::ZERO)
    } else {
        memory::duration(text).map_err(|why| format!("{why}, or `0s`"))
    }
}

impl Events {
    /// The changes to make.
    ///
    /// # Errors
    /// A file that cannot be read, or says what the program does not have.
    pub fn changes(&self, program: &Program) -> Result<Vec<Timed>, Failure> {
        match &self.events {
            None => Ok(Vec::new()),
            Some(path) => input::read(path, program).map_err(|e| Failure::usage(e.to_string())),
        }
    }

    /// The writer of a replay's events, if any. It blocks the decider while its reader is slow.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn writer(&self) -> Result<Option<EventWriter>, Failure> {
        let name = self.events_out.as_ref().map_or("events".into(), |path| path.display().to_string());
        let failed = |e: io::Error| Failure::usage(format!("cannot create `{name}`: {e}"));
        let writer = EventWriter::open(self.events_out.as_deref(), None, true).map_err(failed)?;
        Ok(writer.map(|writer| writer.extended_every(self.events_extended)))
    }

    /// The events of a daemon.
    pub fn options(&self) -> daemon::Events {
        daemon::Events { to: self.events_out.clone(), extended: self.events_extended }
    }

    /// Whether events go to standard output.
    pub fn on_stdout(&self) -> bool {
        self.events_out.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Reports events that were not written; true if all were written.
    ///
    /// # Errors
    /// Standard error cannot be written to.
    pub fn written(&self, done: &Written, look: Look, err: &mut dyn Write) -> io::Result<bool> {
        let Some(path) = &self.events_out else { return Ok(true) };
        let name = path.display();
        if let Some(error) = &done.error {
            writeln!(err, "{} cannot write to `{name}`: {error}", look.paint(BAD, "error:"))?;
        }
        if done.dropped > 0 {
            let (dropped, told) = (grouped(done.dropped), grouped(done.emitted));
            writeln!(err, "{} {dropped} of {told} events were not written", look.paint(DOUBT, "warning:"))?;
        }
        Ok(done.error.is_none() && done.dropped == 0)
    }
}
