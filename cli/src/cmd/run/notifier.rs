//! Who is told of what happens while a run lasts: listeners, the history, receivers of alarms. The
//! invariant: a run without any of them makes no events. (Rejected: in the loop of the run, which
//! has enough to do.)

use super::live::Ports;
use crate::alarms;
use crate::exit::Failure;
use crate::screen::{BAD, Screen};
use mrule_control::alarm::{Drops, Target};
use mrule_control::control::{Control, ReasonKind, Report, Subscribers};
use mrule_control::event::{Hub, Kind, LossMonitor};
use mrule_control::history::History;
use mrule_dataplane::live::{self, Event};
use std::io;
use std::sync::atomic::AtomicBool;
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
const AT_START: [&str; 5] = ["state", "history", "binding_missing", "changes_missing", "policy_missing"];

impl Notifier {
    /// As the arguments say. What a user should know of receivers goes to `tell`.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        args: &Ports,
        targets: Vec<Target>,
        tell: &SyncSender<Event>,
        stop: &AtomicBool,
    ) -> Result<Notifier, Failure> {
        let tell = tell.clone();
        let alarms = alarms::start(targets, move |what| {
            let _full = tell.try_send(Event::Alarms(what));
        })?;
        let asked = args.control.is_some() || args.listen.is_wanted();
        let history = asked.then(|| History::open(args.state.as_deref(), stop));
        let anybody = alarms.is_some() || history.is_some();
        let subscribers = Subscribers::new(history, alarms);
        let drops = Drops::new(args.alarms.drops());
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

    /// The run has started; `warn`: what is wrong with the history is shown.
    ///
    /// # Errors
    /// Standard error cannot be written to.
    pub fn started(&mut self, warn: bool, screen: &mut Screen<'_>) -> io::Result<()> {
        self.subscribers.hub.note(concat!("mirrorc ", env!("CARGO_PKG_VERSION"), " has started"));
        match self.subscribers.history_counts().and_then(|counts| counts.trouble).filter(|_| warn) {
            Some(what) => writeln!(screen.err, "{} {what}", screen.err_look.paint(BAD, "warning:")),
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

    /// The run ends, by a signal or because another process has taken over: what waits is written
    /// down and sent, and what came of it is added to the report.
    pub fn finish(self, report: live::Report, successor: Option<i32>) -> Report {
        match successor {
            Some(pid) => {
                self.subscribers.hub.note(&format!("mirrorc has ended: {} has taken over", process(pid)))
            }
            None => self.subscribers.hub.note("a signal ends mirrorc"),
        }
        self.subscribers.hub.finish();
        Report::new(report, &self.subscribers)
    }
}
