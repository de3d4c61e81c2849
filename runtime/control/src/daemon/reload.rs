//! The rules are read again, and their program takes the place of the one at work; so are the
//! certificate and the tokens. The invariants: what is wrong with them is said as an error at the
//! start would be, and then nothing has changed; it is done on threads of their own, so that no
//! file that hangs keeps anything else waiting. (Rejected: ending with an error; who edits rules on
//! a running bridge makes mistakes.)

use super::options::Rules;
use super::{DaemonError, Notice, Observer};
use crate::api::{Renewed, TlsReload};
use crate::compile_queue::Ticket;
use crate::control::{Control, Done, LoadRequest, ReasonKind, Refusal};
use crate::event::{Hub, Kind, Record};
use mrule_compiler::budget::CompileBudget;
use mrule_dataplane::live::MAIN;
use mrule_grammar::diagnostic::FindingCounts;
use mrule_grammar::printable::printable;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What came of reading the rules.
type Outcome = Result<Result<Box<Done>, Refusal>, DaemonError>;

/// Reads the rules again, one time after the other; and beside that the certificate and the tokens,
/// so that a token that is taken back does not wait for rules.
#[derive(Debug)]
pub(super) struct Reload {
    rules: Rules,
    renewal: Option<Arc<TlsReload>>,
    at_work: Option<JoinHandle<Outcome>>,
    /// Reads certificate and tokens.
    renewing: Option<JoinHandle<Renewed>>,
    /// They are to be read once more, as somebody asked meanwhile.
    renew_again: bool,
}

impl Reload {
    pub fn new(rules: Rules, renewal: Option<TlsReload>) -> Reload {
        let renewal = renewal.map(Arc::new);
        Reload { rules, renewal, at_work: None, renewing: None, renew_again: false }
    }

    /// Begins, on a thread of its own: a file that hangs, a long compile and stations that hang
    /// keep no signal waiting.
    ///
    /// # Errors
    /// The observer's.
    pub fn start(
        &mut self,
        control: &Arc<Control>,
        hub: &Hub,
        observer: &mut dyn Observer,
    ) -> io::Result<()> {
        let by = json!({ "by": { "signal": "SIGHUP" }, "request": "read the rule files again" });
        hub.tell(Record::now(Kind::Change, by));
        self.renew(control, observer)?;
        if self.at_work.is_some() {
            let why = "the last SIGHUP is still at work";
            return self.refused(control, hub, why, observer);
        }
        let (rules, of_thread) = (self.rules.clone(), control.clone());
        let body = move || {
            let to = of_thread.clone();
            let load = move |budget: &CompileBudget| {
                rules.read_again(budget).map(|(compiled, bundle)| {
                    let bundle = bundle.binding(to.is_binding(MAIN));
                    to.load_over(budget, LoadRequest::by_owner(false), MAIN, compiled, bundle).map(Box::new)
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
            Err(error) => self.refused(control, hub, &format!("no thread to be had: {error}"), observer)?,
        }
        Ok(())
    }

    /// Begins to read certificate and tokens; every signal is followed by a reading that began
    /// after it.
    fn renew(&mut self, control: &Control, observer: &mut dyn Observer) -> io::Result<()> {
        let Some(renewal) = self.renewal.clone() else { return Ok(()) };
        self.renew_again = self.renewing.is_some();
        if self.renew_again {
            return Ok(());
        }
        match std::thread::Builder::new().name("renew".into()).spawn(move || renewal.renew()) {
            Ok(thread) => self.renewing = Some(thread),
            Err(error) => not_renewed(control, &format!("no thread to be had: {error}"), observer)?,
        }
        Ok(())
    }

    /// Says and tells what came of it, if something has.
    ///
    /// # Errors
    /// The observer's.
    pub fn show(&mut self, control: &Control, hub: &Hub, observer: &mut dyn Observer) -> io::Result<()> {
        if let Some(renewing) = self.renewing.take_if(|thread| thread.is_finished()) {
            match renewing.join() {
                Ok(renewed) => self.show_renewed(control, renewed, observer)?,
                Err(_) => not_renewed(control, "their thread died; please report this", observer)?,
            }
            if std::mem::take(&mut self.renew_again) {
                self.renew(control, observer)?;
            }
        }
        let Some(outcome) = self.at_work.take_if(|thread| thread.is_finished()) else { return Ok(()) };
        let Ok(rules) = outcome.join() else {
            return self.refused(control, hub, "its thread died; please report this", observer);
        };
        match rules {
            Err(error) => self.refused(control, hub, &error.to_string(), observer)?,
            Ok(Ok(done)) => {
                hub.loaded(MAIN, done.version);
                observer.notice(Notice::Reloaded(&done))?;
            }
            Ok(Err(Refusal::Program(compiled))) => {
                let counts = FindingCounts::of(compiled.diagnostics.iter()).to_string();
                not_loaded(control, hub, &counts);
                observer.notice(Notice::Errors(&compiled))?;
            }
            Ok(Err(Refusal::Ended)) => {}
            Ok(Err(why)) => self.refused(control, hub, &why.to_string(), observer)?,
        }
        Ok(())
    }

    /// What came of certificate and tokens, each by itself.
    fn show_renewed(
        &self,
        control: &Control,
        renewed: Renewed,
        observer: &mut dyn Observer,
    ) -> io::Result<()> {
        let said = |why: mrule_dataplane::Error| printable(&why.plain()).into_owned();
        let certificate = renewed.certificate.err().map(said);
        if let Some(why) = &certificate {
            observer.notice(Notice::NoCertificate(why))?;
        }
        let refused = certificate.map(|why| format!("the certificate was read again and refused: {why}"));
        control.note(ReasonKind::CertificateRefused, "", refused);
        let tokens = match renewed.tokens {
            Ok(count) => {
                let file = self.renewal.as_ref().map(|renewal| renewal.tokens());
                observer.notice(Notice::Tokens { count, file })?;
                None
            }
            Err(why) => {
                let why = said(why);
                observer.notice(Notice::NoTokens(&why))?;
                Some(format!("the tokens were read again and refused: {why}; those of before are known"))
            }
        };
        control.note(ReasonKind::TokensRefused, "", tokens);
        Ok(())
    }

    fn refused(
        &self,
        control: &Control,
        hub: &Hub,
        why: &str,
        observer: &mut dyn Observer,
    ) -> io::Result<()> {
        not_loaded(control, hub, why);
        observer.notice(Notice::NotReloaded(why))
    }
}

/// Tells that the rules were not loaded again.
fn not_loaded(control: &Control, hub: &Hub, why: &str) {
    hub.refused(MAIN, &printable(why));
    let what = format!("the rules were read again and not loaded: {}", printable(why));
    control.note(ReasonKind::ReloadRefused, MAIN, Some(what));
}

/// Neither could be read.
fn not_renewed(control: &Control, why: &str, observer: &mut dyn Observer) -> io::Result<()> {
    control.note(ReasonKind::TokensRefused, "", Some(format!("the tokens were not read again: {why}")));
    observer.notice(Notice::NotRenewed(why))
}
