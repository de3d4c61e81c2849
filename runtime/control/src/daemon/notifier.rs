//! Who is told of what happens while a daemon runs: listeners, the history, receivers of alarms.
//! The invariant: a daemon without any of them makes no events. (Rejected: in the daemon's tick,
//! which has enough to do.)

use super::options::Options;
use super::{DaemonError, Ending, Notice, Observer, receivers};
use crate::alarm::{Drops, Target};
use crate::control::{Control, ReasonKind, Report, Subscribers};
use crate::event::{Hub, Kind, LossMonitor};
use crate::history::History;
use mrule_dataplane::live::{self, Event};
use std::io;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// What to call the process that takes over.
pub(super) fn process(pid: i32) -> String {
    match pid {
        0 => "a process of another PID namespace".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// Who is told.
#[derive(Debug)]
pub(super) struct Notifier {
    subscribers: Subscribers,
    /// Somebody is.
    anybody: bool,
    losses: LossMonitor,
    drops: Drops,
    /// It was looked how the run is.
    looked: bool,
}

/// Reasons that are shown when a run starts.
const AT_START: [&str; 6] =
    ["state", "state_rows", "history", "binding_missing", "changes_missing", "policy_missing"];

impl Notifier {
    /// As the options say. What a user should know of receivers goes to `tell`.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        options: &Options,
        targets: Vec<Target>,
        tell: &SyncSender<Event>,
    ) -> Result<Notifier, DaemonError> {
        let tell = tell.clone();
        let alarms = receivers::start(targets, move |what| {
            let _full = tell.try_send(Event::Alarms(what));
        })?;
        let asked = options.control.is_some() || options.listen.is_some();
        let history = asked.then(|| History::open(options.state.as_deref(), &options.stop));
        let anybody = alarms.is_some() || history.is_some();
        let subscribers = Subscribers::new(history, alarms);
        let drops = Drops::new(options.receivers.drops);
        Ok(Notifier { subscribers, anybody, losses: LossMonitor::default(), drops, looked: false })
    }

    /// Where to tell.
    pub fn hub(&self) -> &Hub {
        &self.subscribers.hub
    }

    /// The same, with where events are kept and sent.
    pub fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The hub, if anybody is told.
    pub fn wanted(&self) -> Option<&Hub> {
        Some(&self.subscribers.hub).filter(|_| self.anybody)
    }

    /// The run has started.
    ///
    /// # Errors
    /// The observer's.
    pub fn started(&self, observer: &mut dyn Observer) -> io::Result<()> {
        self.subscribers.hub.note(concat!("mirrorc ", env!("CARGO_PKG_VERSION"), " has started"));
        match self.subscribers.history_counts().and_then(|counts| counts.trouble) {
            Some(what) => observer.notice(Notice::History(&what)),
            None => Ok(()),
        }
    }

    /// Looks for what should be told, and gives what a user should know; to be called several times
    /// a second.
    pub fn watch(&mut self, control: &Control) -> Vec<String> {
        let now = Instant::now();
        if !self.drops.is_due(now) {
            return Vec::new();
        }
        let lost = self.subscribers.hub.watch(&mut self.losses);
        let Ok(report) = control.report() else { return Vec::new() };
        let drops = self.drops.look(&report, now).filter(|_| self.anybody).inspect(|record| {
            let what = record.word("note").unwrap_or_default().to_owned();
            control.note(ReasonKind::Drops, "", (record.kind == Kind::Drops).then_some(what));
        });
        let (hub, begins) = (&self.subscribers.hub, !std::mem::replace(&mut self.looked, true));
        let found = drops.into_iter().chain(control.look_after(&report)).filter_map(|record| {
            let note = record.word("note").unwrap_or_default().to_owned();
            // What was wrong at the start has been shown already.
            let shown = begins && record.word("reason").is_some_and(|reason| AT_START.contains(&reason));
            hub.tell(record);
            (!shown).then_some(note)
        });
        let found: Vec<String> = found.collect();
        lost.into_iter().chain(found).collect()
    }

    /// The run ends, by whoever stops it or because another process has taken over: what waits is
    /// written down and sent, and what came of it is added to the report.
    pub fn finish(self, report: live::Report, ending: Option<Ending>) -> Report {
        let hub = &self.subscribers.hub;
        match ending {
            Some(Ending::TakenOver(pid)) => {
                hub.note(&format!("mirrorc has ended: {} has taken over", process(pid)))
            }
            Some(_) => hub.note("a signal ends mirrorc"),
            None => hub.note("mirrorc has been stopped"),
        }
        self.subscribers.hub.finish();
        Report::new(report, &self.subscribers)
    }
}
