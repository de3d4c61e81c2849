//! The health of a run: each problem has a reason and a start time. The invariants: `ok` means that
//! there is no reason; `failing` means that the run does not do its work (a bridge does not
//! forward, a worker died, nothing is loaded, copies are withheld); a reason keeps its start time
//! until it is resolved. (Rejected: a flag in each part that can fail; a user wants to know the
//! reason.)

use super::Report;
use super::restore::{BindingFailure, STATE, withhold};
use super::{Control, Principal, Refusal, State, no_policy, now};
use crate::event::{Kind, Record, time_text};
use mrule_dataplane::live::{Trouble, TroubleKind};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a failed restore means for copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// It may have been binding for all policies.
    All,
    /// The policy is loaded and would copy more than it should.
    Policy,
    /// No unwanted copies are made.
    Nothing,
}

/// Something that was saved and cannot be restored.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub what: String,
    pub scope: Scope,
    since: i64,
}

impl Failure {
    pub fn new(what: String, scope: Scope) -> Failure {
        Failure { what, scope, since: now() }
    }

    /// The state cannot be read.
    pub fn unknown(why: &str) -> Failure {
        Failure::new(format!("{why}; whether a policy was binding is not known"), Scope::All)
    }
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// A problem of an interface or a worker.
    Live(TroubleKind),
    /// A station does not accept copies.
    StationDown,
    /// No policy is loaded.
    NoPolicy,
    /// A binding policy, or a change in one, cannot be restored.
    BindingMissing,
    /// Changes of a policy cannot be restored, and more would be copied without them.
    ChangesMissing,
    /// A saved policy cannot be restored.
    PolicyMissing,
    /// The rule files were read again and refused.
    ReloadRefused,
    /// The token file was read again and refused.
    TokensRefused,
    /// The certificate or its key were read again and refused.
    CertificateRefused,
    /// A limit uses a trigger that has reached its capacity.
    LimitFull,
    /// Rows of the state cannot be read.
    StateRows,
    /// The state is not saved.
    State,
    /// The history is not written.
    History,
    /// A receiver does not accept alarms.
    AlarmReceiver,
    /// There are too many drops.
    Drops,
}

impl ReasonKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ReasonKind::Live(TroubleKind::InterfaceDown) => "interface_down",
            ReasonKind::Live(TroubleKind::InterfaceGone) => "interface_gone",
            ReasonKind::Live(TroubleKind::NoCarrier) => "no_carrier",
            ReasonKind::Live(TroubleKind::NotForwarding) => "not_forwarding",
            ReasonKind::Live(TroubleKind::ForeignFilter) => "foreign_filter",
            ReasonKind::Live(TroubleKind::WorkerDied) => "worker_died",
            ReasonKind::Live(TroubleKind::WorkerStalled) => "worker_stalled",
            ReasonKind::StationDown => "station_down",
            ReasonKind::NoPolicy => "no_policy",
            ReasonKind::BindingMissing => "binding_missing",
            ReasonKind::ChangesMissing => "changes_missing",
            ReasonKind::PolicyMissing => "policy_missing",
            ReasonKind::ReloadRefused => "reload_refused",
            ReasonKind::TokensRefused => "tokens_refused",
            ReasonKind::CertificateRefused => "certificate_refused",
            ReasonKind::LimitFull => "limit_full",
            ReasonKind::StateRows => "state_rows",
            ReasonKind::State => "state",
            ReasonKind::History => "history",
            ReasonKind::AlarmReceiver => "alarm_receiver",
            ReasonKind::Drops => "drops",
        }
    }

    /// Whether an event of another kind already reports it.
    fn has_events(self) -> bool {
        matches!(
            self,
            ReasonKind::Live(
                TroubleKind::InterfaceDown | TroubleKind::InterfaceGone | TroubleKind::NotForwarding
            ) | ReasonKind::StationDown
                | ReasonKind::ReloadRefused
                | ReasonKind::AlarmReceiver
                | ReasonKind::Drops
        )
    }
}

/// A problem of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Its kind.
    pub kind: ReasonKind,
    /// The subject: an interface, a policy, a station; empty for the run itself.
    pub subject: String,
    /// The description.
    pub what: String,
    /// The start time, in nanoseconds since the Unix epoch.
    pub since: i64,
    /// Whether the run does not do its work because of it.
    pub failing: bool,
}

impl Reason {
    pub(super) fn new(kind: ReasonKind, subject: &str, what: String, failing: bool) -> Reason {
        Reason { kind, subject: subject.to_owned(), what, since: now(), failing }
    }

    /// Whether it is about this policy, or one of its stations.
    pub fn is_of(&self, policy: &str) -> bool {
        self.subject.split('/').next() == Some(policy) && !matches!(self.kind, ReasonKind::Live(_))
    }

    /// The reason as JSON.
    pub fn json(&self) -> Json {
        json!({
            "kind": self.kind.name(),
            "subject": self.subject,
            "what": self.what,
            "since": time_text(self.since),
            "failing": self.failing,
        })
    }
}

/// The health of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The reasons, sorted by kind and subject.
    pub reasons: Vec<Reason>,
}

impl Health {
    /// `ok`, `degraded`, or `failing`.
    pub fn status(&self) -> &'static str {
        match self.reasons.iter().map(|reason| reason.failing).max() {
            None => "ok",
            Some(false) => "degraded",
            Some(true) => "failing",
        }
    }

    /// Whether the run does its work.
    pub fn is_ready(&self) -> bool {
        !self.reasons.iter().any(|reason| reason.failing)
    }
}

/// The reasons known between two checks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The start time of each reason.
    since: BTreeMap<(ReasonKind, String), i64>,
    /// Reasons that other parts reported: a reload, drops.
    noted: BTreeMap<(ReasonKind, String), String>,
    /// The reasons that were reported as events, with their descriptions.
    told: BTreeMap<(ReasonKind, String), String>,
}

impl Watch {
    /// At the start: of which policies rows of the state cannot be read, in words.
    pub fn of_rows(refused: BTreeMap<String, String>) -> Watch {
        let noted = refused.into_iter().map(|(policy, what)| ((ReasonKind::StateRows, policy), what));
        Watch { noted: noted.collect(), ..Watch::default() }
    }

    /// A policy was loaded, so its earlier refusal is resolved.
    pub fn loaded(&mut self, policy: &str) {
        self.noted.remove(&(ReasonKind::ReloadRefused, policy.to_owned()));
        self.resolved(policy);
    }

    /// A policy was loaded, unloaded or released: rows of it that cannot be read are set aside.
    pub fn resolved(&mut self, policy: &str) {
        self.noted.remove(&(ReasonKind::StateRows, policy.to_owned()));
    }
}

impl Control {
    /// Records a problem, or, without a description, that it is resolved.
    pub fn note(&self, kind: ReasonKind, subject: &str, what: Option<String>) {
        let mut state = self.lock();
        let key = (kind, subject.to_owned());
        match what {
            Some(what) => state.watch.noted.insert(key, what),
            None => state.watch.noted.remove(&key),
        };
    }

    /// The health of the run, by the current counts.
    pub fn health(&self, report: &Report) -> Health {
        self.lock().health(report)
    }

    /// Checks the health, and returns new and resolved reasons as events; to be called about once a
    /// second.
    pub fn look_after(&self, report: &Report) -> Vec<Record> {
        let mut state = self.lock();
        state.persistence.look();
        state.look_for_full(report);
        let reasons = state.health(report).reasons.into_iter().filter(|reason| !reason.kind.has_events());
        let now: BTreeMap<(ReasonKind, String), String> =
            reasons.map(|reason| ((reason.kind, reason.subject), reason.what)).collect();
        let before = std::mem::replace(&mut state.watch.told, now.clone());
        let record = |of, (kind, subject): &(ReasonKind, String), note: String| {
            Record::now(of, json!({ "reason": kind.name(), "subject": subject, "note": note }))
        };
        let new = now.iter().filter(|(key, _)| !before.contains_key(*key));
        let new = new.map(|(key, what)| record(Kind::Degraded, key, what.clone()));
        let over = before.iter().filter(|(key, _)| !now.contains_key(*key));
        let over = over.map(|(key, what)| record(Kind::Recovered, key, format!("over: {what}")));
        new.chain(over).collect()
    }

    /// Releases what could not be restored, of one policy, or of all policies and the state: it no
    /// longer binds. A policy that is not loaded is unloaded. Returns the names.
    ///
    /// # Errors
    /// There is no such policy; [`Refusal::Forbidden`]: it bound all others, or may have;
    /// [`Refusal::Revoked`].
    pub fn release(&self, name: Option<&str>, by: &Principal) -> Result<Vec<String>, Refusal> {
        let mut state = self.lock();
        by.check()?;
        let of: Vec<String> = match name {
            None => state.unresolved(),
            Some(name) if state.unresolved().iter().any(|of| of == name) => vec![name.to_owned()],
            Some(name) if state.policies.contains_key(name) => Vec::new(),
            Some(name) => return Err(no_policy(name, &state)),
        };
        if let Some(name) = of.iter().find(|name| !by.may_bind() && state.is_binding(name)) {
            return Err(Refusal::Forbidden(super::binds(name)));
        }
        for name in &of {
            state.failures.remove(name);
            state.watch.resolved(name);
            let (at_work, name) = (state.policies.get(name), name.clone());
            match at_work.map(|entry| (entry.now.bundle.is_binding(), entry.now.version)) {
                _ if name == STATE => {}
                None => state.persistence.unloaded(&name, Vec::new()),
                Some((binding, version)) => state.persistence.released(&name, binding.then_some(version)),
            }
        }
        state.apply();
        Ok(of)
    }
}

impl State {
    /// Policies of which something cannot be restored, or of which rows cannot be read.
    fn unresolved(&self) -> Vec<String> {
        let rows = self.watch.noted.keys().filter(|(kind, _)| *kind == ReasonKind::StateRows);
        let of: BTreeSet<&String> = self.failures.keys().chain(rows.map(|(_, policy)| policy)).collect();
        of.into_iter().cloned().collect()
    }

    /// Withholds the copies that failures concern, and sends all others.
    pub(super) fn apply(&mut self) {
        if let Some(plane) = &mut self.plane {
            withhold(&mut **plane, &self.failures, self.full.is_open(), self.on_failure);
        }
    }

    fn health(&mut self, report: &Report) -> Health {
        let mut reasons = Vec::new();
        let troubles = self.plane.as_ref().map(|plane| plane.troubles()).unwrap_or_default();
        reasons.extend(troubles.into_iter().map(|Trouble { kind, subject, what, failing }| {
            Reason::new(ReasonKind::Live(kind), &subject, what, failing)
        }));
        let closed = self.on_failure == BindingFailure::Closed;
        for (name, failure) in &self.failures {
            let (kind, then) = match failure.scope {
                Scope::All => (ReasonKind::BindingMissing, "copies of all policies are withheld"),
                Scope::Policy => (ReasonKind::ChangesMissing, "copies of the policy are withheld"),
                Scope::Nothing => (ReasonKind::PolicyMissing, ""),
            };
            let withheld = closed && failure.scope != Scope::Nothing;
            let what = match withheld {
                true => format!("{}; {then}", failure.what),
                false => failure.what.clone(),
            };
            reasons.push(Reason { since: failure.since, ..Reason::new(kind, name, what, withheld) });
        }
        if self.policies.is_empty() {
            let what = "no policy is loaded: nothing is copied".to_owned();
            reasons.push(Reason::new(ReasonKind::NoPolicy, "", what, true));
        }
        for policy in &report.policies {
            for station in &policy.stations {
                let Some(why) = &station.down else { continue };
                let name = format!("{}/{}", policy.name, station.station);
                let what = format!("station {name} is down: {why}");
                reasons.push(Reason::new(ReasonKind::StationDown, &name, what, false));
            }
        }
        reasons.extend(self.full_reasons());
        let trouble = self.persistence.trouble();
        reasons.extend(trouble.map(|what| Reason::new(ReasonKind::State, "", what, false)));
        let trouble = report.history.as_ref().and_then(|history| history.trouble.clone());
        reasons.extend(trouble.map(|what| Reason::new(ReasonKind::History, "", what, false)));
        for receiver in &report.alarms {
            let Some(why) = &receiver.down else { continue };
            let what = format!("{} takes no alarms: {why}", receiver.to);
            reasons.push(Reason::new(ReasonKind::AlarmReceiver, &receiver.to, what, false));
        }
        let noted = self.watch.noted.iter();
        reasons.extend(noted.map(|((kind, subject), what)| Reason::new(*kind, subject, what.clone(), false)));
        reasons.sort_by(|a, b| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)));
        let before = std::mem::take(&mut self.watch.since);
        for reason in &mut reasons {
            let key = (reason.kind, reason.subject.clone());
            reason.since = before.get(&key).copied().unwrap_or(reason.since);
            self.watch.since.insert(key, reason.since);
        }
        Health { reasons }
    }
}
