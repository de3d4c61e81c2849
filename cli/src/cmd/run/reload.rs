//! SIGHUP: the rule files of the command line are read again, and their program takes the place of
//! the one at work. The invariants: what is wrong with them is shown as `check` shows it, and then
//! nothing has changed; it is done on a thread of its own, so that no file that hangs keeps another
//! signal waiting. (Rejected: ending with an error; who edits rules on a running bridge makes
//! mistakes.)

use crate::exit::Failure;
use crate::report::{Report, text};
use crate::rules::Rules;
use crate::screen::{BAD, DOUBT, GOOD, Screen, printable};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::Compiled;
use mrule_control::api::{Renewed, TlsReload};
use mrule_control::compile_queue::Ticket;
use mrule_control::control::{Asked, Control, Done, Fates, ReasonKind, Refusal};
use mrule_control::event::{Hub, Kind, Record};
use mrule_dataplane::live::MAIN;
use mrule_grammar::diagnostic::Severity;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What came of reading the rules.
type Outcome = Result<Result<Box<Done>, Refusal>, Failure>;

/// Reads the rules again, one time after the other; and beside that the certificate and the tokens,
/// so that a token that is taken back does not wait for rules.
pub(super) struct Reloading {
    rules: Rules,
    renewal: Option<Arc<TlsReload>>,
    /// Show warnings.
    warn: bool,
    at_work: Option<JoinHandle<Outcome>>,
    /// Reads certificate and tokens.
    renewing: Option<JoinHandle<Renewed>>,
    /// They are to be read once more, as a signal came meanwhile.
    renew_again: bool,
}

impl Reloading {
    pub fn new(rules: Rules, renewal: Option<TlsReload>, warn: bool) -> Reloading {
        let renewal = renewal.map(Arc::new);
        Reloading { rules, renewal, warn, at_work: None, renewing: None, renew_again: false }
    }

    /// Begins, on a thread of its own: a file that hangs, a long compile and stations that hang
    /// keep no signal waiting.
    ///
    /// # Errors
    /// Standard error cannot be written to.
    pub fn start(&mut self, control: &Arc<Control>, hub: &Hub, screen: &mut Screen<'_>) -> io::Result<()> {
        let by = json!({ "by": { "signal": "SIGHUP" }, "request": "read the rule files again" });
        hub.tell(Record::now(Kind::Change, by));
        self.renew(control, screen)?;
        if self.at_work.is_some() {
            let why = "the last SIGHUP is still at work";
            return self.refused(control, hub, why, screen);
        }
        let (rules, of_thread) = (self.rules.clone(), control.clone());
        let body = move || {
            let to = of_thread.clone();
            let load = move |budget: &CompileBudget| {
                rules.read_again(budget).map(|(compiled, bundle)| {
                    let bundle = bundle.binding(to.is_binding(MAIN));
                    to.load_over(budget, Asked::by_owner(false), MAIN, compiled, bundle).map(Box::new)
                })
            };
            // In its turn, before those of the API's clients.
            match of_thread.compile(None, load).map(Ticket::wait) {
                Ok(Some(loaded)) => loaded,
                Ok(None) => Ok(Err(Refusal::Ended)),
                Err(why) => Ok(Err(why)),
            }
        };
        match std::thread::Builder::new().name("reload".into()).spawn(body) {
            Ok(thread) => self.at_work = Some(thread),
            Err(error) => self.refused(control, hub, &format!("no thread to be had: {error}"), screen)?,
        }
        Ok(())
    }

    /// Begins to read certificate and tokens; every signal is followed by a reading that began
    /// after it.
    fn renew(&mut self, control: &Control, screen: &mut Screen<'_>) -> io::Result<()> {
        let Some(renewal) = self.renewal.clone() else { return Ok(()) };
        self.renew_again = self.renewing.is_some();
        if self.renew_again {
            return Ok(());
        }
        match std::thread::Builder::new().name("renew".into()).spawn(move || renewal.renew()) {
            Ok(thread) => self.renewing = Some(thread),
            Err(error) => not_renewed(control, &format!("no thread to be had: {error}"), screen)?,
        }
        Ok(())
    }

    /// Whether there is something to show.
    pub fn is_done(&self) -> bool {
        let renewed = self.renewing.as_ref().is_some_and(JoinHandle::is_finished);
        renewed || self.at_work.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Shows and tells what came of it.
    ///
    /// # Errors
    /// Standard error cannot be written to.
    pub fn show(&mut self, control: &Control, hub: &Hub, screen: &mut Screen<'_>) -> io::Result<()> {
        if let Some(renewing) = self.renewing.take_if(|thread| thread.is_finished()) {
            match renewing.join() {
                Ok(renewed) => self.show_renewed(control, renewed, screen)?,
                Err(_) => not_renewed(control, "their thread died; please report this", screen)?,
            }
            if std::mem::take(&mut self.renew_again) {
                self.renew(control, screen)?;
            }
        }
        let Some(outcome) = self.at_work.take_if(|thread| thread.is_finished()) else { return Ok(()) };
        let Ok(rules) = outcome.join() else {
            return self.refused(control, hub, "its thread died; please report this", screen);
        };
        let look = screen.err_look;
        match rules {
            Err(failure) => self.refused(control, hub, &failure.message, screen)?,
            Ok(Ok(done)) => {
                hub.loaded(MAIN, done.version);
                show(&done.compiled, self.warn, screen)?;
                if self.warn {
                    writeln!(screen.err, "{} {}", look.paint(GOOD, "loaded:"), told(&done))?;
                }
                if let Some(why) = &done.unkept {
                    writeln!(screen.err, "{} {}", look.paint(DOUBT, "warning:"), printable(why))?;
                }
            }
            Ok(Err(Refusal::Program(compiled))) => {
                show(&compiled, self.warn, screen)?;
                let counts = Report::new(&compiled.diagnostics, &compiled.sources).counts().to_string();
                self.refused(control, hub, &look.paint(DOUBT, &counts), screen)?;
            }
            Ok(Err(Refusal::Ended)) => {}
            Ok(Err(why)) => self.refused(control, hub, &why.to_string(), screen)?,
        }
        Ok(())
    }

    /// What came of certificate and tokens, each by itself.
    fn show_renewed(&self, control: &Control, renewed: Renewed, screen: &mut Screen<'_>) -> io::Result<()> {
        let (bad, look) = (screen.err_look.paint(BAD, "error:"), screen.err_look);
        let said = |why| printable(&Failure::from(why).message).into_owned();
        let certificate = renewed.certificate.err().map(said);
        if let Some(why) = &certificate {
            writeln!(screen.err, "{bad} {why}; the certificate and its key stay as they were")?;
        }
        let refused = certificate.map(|why| format!("the certificate was read again and refused: {why}"));
        control.note(ReasonKind::CertificateRefused, "", refused);
        let tokens = match renewed.tokens {
            Ok(count) => {
                let file = self.renewal.as_ref().map(|renewal| renewal.tokens().display().to_string());
                let (loaded, file) = (look.paint(GOOD, "loaded:"), file.unwrap_or_default());
                if self.warn {
                    writeln!(screen.err, "{loaded} read {count} tokens from `{}` again", printable(&file))?;
                }
                None
            }
            Err(why) => {
                let why = said(why);
                writeln!(screen.err, "{bad} {why}; the tokens stay as they were")?;
                Some(format!("the tokens were read again and refused: {why}; those of before are known"))
            }
        };
        control.note(ReasonKind::TokensRefused, "", tokens);
        Ok(())
    }

    fn refused(&self, control: &Control, hub: &Hub, why: &str, screen: &mut Screen<'_>) -> io::Result<()> {
        hub.refused(MAIN, &printable(why));
        let what = format!("the rules were read again and not loaded: {}", printable(why));
        control.note(ReasonKind::ReloadRefused, MAIN, Some(what));
        let bad = screen.err_look.paint(BAD, "error:");
        writeln!(screen.err, "{bad} the rules were not loaded again: {why}; the program at work goes on")
    }
}

fn show(compiled: &Compiled, warn: bool, screen: &mut Screen<'_>) -> io::Result<()> {
    let shown = compiled.diagnostics.iter().filter(|d| warn || d.severity() == Severity::Error);
    let shown: Vec<_> = shown.cloned().collect();
    write!(screen.err, "{}", text::render(&Report::new(&shown, &compiled.sources), screen.err_look))
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

/// Neither could be read.
fn not_renewed(control: &Control, why: &str, screen: &mut Screen<'_>) -> io::Result<()> {
    control.note(ReasonKind::TokensRefused, "", Some(format!("the tokens were not read again: {why}")));
    let bad = screen.err_look.paint(BAD, "error:");
    writeln!(screen.err, "{bad} {why}; certificate and tokens stay as they were")
}
