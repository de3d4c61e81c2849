//! What a daemon says, drawn: notes and warnings on standard error, counts as a table, as lines or
//! as JSON. The invariant: what is quiet says only what a user must know. (Rejected: text in the
//! daemon; colours and widths are the terminal's.)

use super::live::Ports;
use crate::format::Format;
use crate::live_summary::{self, Last};
use crate::live_table::Display;
use crate::report::{Report, text};
use crate::screen::{self, BAD, DOUBT, GOOD, Screen, printable};
use mrule_compiler::compile::Compiled;
use mrule_control::control::{self, Done, Fates};
use mrule_control::daemon::{Notice, Observer};
use mrule_dataplane::privilege::User;
use mrule_grammar::diagnostic::Severity;
use std::fmt::Display as Text;
use std::io;

/// A terminal, or two files.
pub(super) struct View<'v, 's> {
    pub screen: &'v mut Screen<'s>,
    pub display: Display,
    pub args: &'v Ports,
    /// How counts are printed; none: not at all.
    pub stats: Option<Format>,
    /// Warnings are shown.
    pub warn: bool,
}

impl Observer for View<'_, '_> {
    fn notice(&mut self, notice: Notice<'_>) -> io::Result<()> {
        self.display.clear(self.screen.err)?;
        let look = self.screen.err_look;
        let (note, doubt) = (look.paint(DOUBT, "note:"), look.paint(DOUBT, "warning:"));
        let (bad, error) = (look.paint(BAD, "warning:"), look.paint(BAD, "error:"));
        let loaded = look.paint(GOOD, "loaded:");
        match notice {
            Notice::Privileges(what) => self.warn(&doubt, what),
            Notice::NoLandlock => self.warn(
                &note,
                "this kernel has no Landlock: what clients' stations may write is checked by mirrorc alone",
            ),
            Notice::HandedOver(what) => self.warn(&note, what),
            Notice::NotRestored(what) | Notice::History(what) => self.warn(&bad, what),
            Notice::Started { workers, user } => self.started(workers, user),
            Notice::Listening(address) if self.stats.is_some() => {
                writeln!(self.screen.err, "listening at https://{address}")
            }
            Notice::Note(what) => self.say(&note, what),
            Notice::Reloaded(done) => {
                self.findings(&done.compiled)?;
                self.warn(&loaded, told(done))?;
                done.unkept.as_ref().map_or(Ok(()), |why| self.warn(&doubt, printable(why)))
            }
            Notice::NotReloaded(why) => self.not_reloaded(why),
            Notice::Errors(compiled) => {
                self.findings(compiled)?;
                let counts = Report::new(&compiled.diagnostics, &compiled.sources).counts();
                self.not_reloaded(&look.paint(DOUBT, &counts.to_string()))
            }
            Notice::Tokens { count, file } => {
                let file = file.map(|file| file.display().to_string()).unwrap_or_default();
                self.warn(&loaded, format!("read {count} tokens from `{}` again", printable(&file)))
            }
            Notice::NoTokens(why) => self.say(&error, format!("{why}; the tokens stay as they were")),
            Notice::NoCertificate(why) => {
                self.say(&error, format!("{why}; the certificate and its key stay as they were"))
            }
            Notice::NotRenewed(why) => {
                self.say(&error, format!("{why}; certificate and tokens stay as they were"))
            }
            _ => Ok(()),
        }
    }
}

impl View<'_, '_> {
    fn say(&mut self, kind: &str, what: impl Text) -> io::Result<()> {
        writeln!(self.screen.err, "{kind} {what}")
    }

    /// The same, unless it is to be quiet.
    fn warn(&mut self, kind: &str, what: impl Text) -> io::Result<()> {
        if self.warn { self.say(kind, what) } else { Ok(()) }
    }

    fn started(&mut self, workers: usize, user: Option<&User>) -> io::Result<()> {
        if self.stats.is_none() {
            return Ok(());
        }
        let workers = match workers {
            1 => "1 worker".to_owned(),
            n => format!("{n} workers"),
        };
        let bridges = self.args.bridge.iter().map(|(a, b)| format!("bridging {a} and {b}"));
        let taps = self.args.tap.iter().map(|name| format!("reading {name}"));
        let what: Vec<String> = taps.chain(bridges).collect();
        let as_user = user.map(|user| format!(", as {}", user.name)).unwrap_or_default();
        writeln!(self.screen.err, "{} with {workers}{as_user}; Ctrl-C ends", what.join(", "))
    }

    /// What the compiler found, as `check` shows it.
    fn findings(&mut self, compiled: &Compiled) -> io::Result<()> {
        let shown = compiled.diagnostics.iter().filter(|d| self.warn || d.severity() == Severity::Error);
        let shown: Vec<_> = shown.cloned().collect();
        let report = Report::new(&shown, &compiled.sources);
        write!(self.screen.err, "{}", text::render(&report, self.screen.err_look))
    }

    fn not_reloaded(&mut self, why: &str) -> io::Result<()> {
        let error = self.screen.err_look.paint(BAD, "error:");
        self.say(&error, format!("the rules were not loaded again: {why}; the program at work goes on"))
    }

    /// What was counted so far: as a line after the `last` one, without it as a table.
    pub fn counts(
        &mut self,
        format: Format,
        report: &control::Report,
        last: Option<&mut Last>,
    ) -> io::Result<()> {
        let Screen { out, err, err_look, .. } = &mut *self.screen;
        match (format, last) {
            (Format::Text, None) => {
                let (look, height) = screen::err_size(*err_look);
                self.display.draw(report, look, height, err)
            }
            (Format::Text, Some(last)) => last.line(report, *err_look, err),
            (Format::Json, _) => {
                writeln!(out, "{}", live_summary::json(report, false))?;
                out.flush()
            }
        }
    }
}

/// What was done, in a line.
fn told(done: &Done) -> String {
    let mut told = format!("version {} of the rules, in {} ms", done.version, done.all.as_millis());
    let plan = &done.plan;
    for (what, Fates { new, lost, .. }) in [
        ("rules", &plan.rules),
        ("limits", &plan.limits),
        ("stations", &plan.stations),
        ("triggers", &plan.triggers),
    ] {
        for (names, how) in [(new, "new"), (lost, "gone")] {
            match names.as_slice() {
                [] => {}
                names @ [_, _, _, _, _, ..] => told.push_str(&format!("; {} {what} {how}", names.len())),
                names => told.push_str(&format!("; {what} {how}: {}", names.join(", "))),
            }
        }
    }
    told
}
