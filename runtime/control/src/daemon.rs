//! A run on interfaces as one value: policies at work, the control socket and the remote API,
//! state, history and alarms, reloading, taking over from another process, and an orderly end. The
//! command line, examples and tests start the same daemon. The invariants: what is refused at the
//! start leaves nothing behind and everybody else at work; the sums that [`Daemon::stop`] gives
//! speak of everything that was received; signals and terminals are the caller's. (Rejected: a
//! function that runs until a signal comes; nobody could ask it anything, nor start two.)
//!
//! - `options`: what it is told; `program`: the rules made ready; `notice`: what it says.
//! - `privileged`: what needs privileges, before they are given up; `claim`: what only one process
//!   can have.
//! - `notifier`, `receivers`: who is told of events; `reload`: the rules, tokens and certificate
//!   once more.

mod claim;
mod error;
mod notice;
mod notifier;
mod options;
mod privileged;
mod program;
mod receivers;
mod reload;

pub use error::DaemonError;
pub use notice::{Notice, Observer, Silent};
pub use options::{ALARM_DROPS, EXTENDED, Events, Granted, Listen, Options, Privileges, Receivers, Rules};
pub use privileged::Privileged;
pub use program::Program;

use crate::api::{Server, TlsListener};
use crate::control::{Control, Report, Start};
use crate::event::output::{EventWriter, Written};
use crate::event::{Kind, Record};
use claim::{Claimed, claim};
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::live::{self, Died, Event, Live, Ownership};
use mrule_engine::decider;
use notifier::{Notifier, process};
use reload::Reload;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How often interfaces are looked at.
const WATCH: Duration = Duration::from_millis(200);

/// How often what has ended is forgotten in the directory of the state.
const SWEEP: Duration = Duration::from_secs(60);

/// How many events wait to be told.
const EVENTS: usize = 1024;

/// A run on interfaces. It reads and forwards as long as the value is there; [`Daemon::tick`] is to
/// be called all the time.
#[derive(Debug)]
pub struct Daemon {
    server: Option<Server>,
    run: Run,
    reload: Reload,
    notifier: Notifier,
    writer: Option<Arc<EventWriter>>,
    events: Receiver<Event>,
    died: Died,
    ownership: Arc<Ownership>,
    stop: Arc<AtomicBool>,
    address: Option<SocketAddr>,
    swept: Instant,
}

/// Why a daemon is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody has set [`Options::stop`].
    Requested,
    /// Another process takes over: its number, 0 for one of another PID namespace.
    TakenOver(i32),
    /// A worker has died: its number, from 0.
    Died(usize),
}

/// What a daemon did.
#[derive(Debug)]
pub struct Finished {
    /// The final sums.
    pub report: Report,
    /// What became of the lines of events.
    pub events: Written,
}

/// The control plane with the run. Dropped before it was stopped, the run ends all the same.
#[derive(Debug)]
struct Run(Arc<Control>);

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(plane) = self.0.take_dataplane() {
            let _nobody_asks = plane.finish();
        }
    }
}

impl Daemon {
    /// Starts by these options.
    ///
    /// # Errors
    /// [`DaemonError`]; then nothing of it is left.
    pub fn start(options: Options, observer: &mut dyn Observer) -> Result<Daemon, DaemonError> {
        let program = Program::of(&options)?;
        Daemon::start_with(Privileged::open(options, observer)?, program, observer)
    }

    /// The same in two steps, for whoever has compiled the rules already, or listens to signals
    /// once privileges are given up.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        privileged: Privileged,
        program: Program,
        observer: &mut dyn Observer,
    ) -> Result<Daemon, DaemonError> {
        let Privileged { options, user, reservation, targets, spares, grants } = privileged;
        let Program { policy, bundle } = program;
        if options.take_over {
            // One that could not work leaves the old one at work.
            let live = &options.live;
            Live::check_start(&live.taps, &live.bridges, live.forward, &live.pin, policy.program())?;
        }
        let Claimed { socket, ownership, tls } = claim(&options, reservation, observer)?;
        let rules = bundle.texts().map(|(name, _)| (PathBuf::from(name), "a file of the rules"));
        let own = options.own_files().into_iter().chain(rules).collect();
        let confinement = Arc::new(Confinement::new(grants, own, options.stop.clone()));
        let of_live = live::Options {
            spares,
            confinement: confinement.clone(),
            ownership: Some(ownership.clone()),
            ..options.live.clone()
        };
        let reload = Reload::new(options.rules.clone(), tls.as_ref().map(TlsListener::renewal));
        let (tell, events) = sync_channel(EVENTS);
        let notifier = Notifier::start(&options, targets, &tell)?;
        let writer = writer(&options.events, &notifier)?;
        let kind = policy.engine().kind();
        let (state, memory) = (options.state.as_deref(), options.memory());
        let start = Start::new(kind, policy, bundle, state, &confinement, options.compile, memory);
        let mut start = start.on_binding_failure(options.on_binding_failure);
        // Files of the run that were made now are there.
        confinement.record_own_files();
        let first = start.first();
        let lines = writer.clone().map(|writer| writer as Arc<dyn decider::Observer>);
        let live = Live::start_with(first, &of_live, lines, tell, |live| start.restore(live))?;
        let (died, workers) = (live.died(), live.workers());
        let (control, not_restored) = Control::new(Box::new(live), kind, start, writer.clone());
        let run = Run(Arc::new(control.with_subscribers(notifier.subscribers().clone())));
        observer.notice(Notice::Started { workers, user: user.as_ref() })?;
        for what in not_restored {
            observer.notice(Notice::NotRestored(&what))?;
        }
        notifier.started(observer)?;
        let address = tls.as_ref().map(TlsListener::address).transpose().map_err(DaemonError::Address)?;
        if let Some(address) = address {
            observer.notice(Notice::Listening(address))?;
        }
        let serve = |hub| Server::start(socket, tls, run.0.clone(), hub, options.renderers, options.bounds);
        let is_asked = options.control.is_some() || options.listen.is_some();
        let server = is_asked.then(|| serve(notifier.hub().clone())).transpose()?;
        let (stop, swept) = (options.stop, Instant::now());
        Ok(Daemon { server, run, reload, notifier, writer, events, died, ownership, stop, address, swept })
    }

    /// The control plane: policies, and what is asked and changed while they are at work.
    pub fn control(&self) -> &Arc<Control> {
        &self.run.0
    }

    /// Where the API is reached remotely.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// [`DaemonError::Ended`].
    pub fn report(&self) -> Result<Report, DaemonError> {
        self.run.0.report().map_err(|_| DaemonError::Ended)
    }

    /// Why it is to be stopped; none while it goes on.
    pub fn ending(&self) -> Option<Ending> {
        let asked = || self.stop.load(Ordering::Relaxed).then_some(Ending::Requested);
        let died = || self.died.worker().map(Ending::Died);
        self.ownership.taken_over().map(Ending::TakenOver).or_else(died).or_else(asked)
    }

    /// Reads the rules, the certificate and the tokens again, beside what goes on; what comes of it
    /// is said in a tick.
    ///
    /// # Errors
    /// The observer's.
    pub fn reload(&mut self, observer: &mut dyn Observer) -> Result<(), DaemonError> {
        Ok(self.reload.start(&self.run.0, self.notifier.hub(), observer)?)
    }

    /// Waits for an event, no longer than this and at most 200 ms, and tells it; without one looks
    /// after interfaces, what expires, and who is to be told.
    ///
    /// # Errors
    /// The observer's.
    pub fn tick(&mut self, wait: Duration, observer: &mut dyn Observer) -> Result<(), DaemonError> {
        if let Ok(event) = self.events.recv_timeout(wait.min(WATCH)) {
            self.notifier.hub().tell(Record::from(&event));
            return Ok(observer.notice(Notice::Note(&event.to_string()))?);
        }
        let control = &self.run.0;
        self.reload.show(control, self.notifier.hub(), observer)?;
        control.watch();
        control.expire();
        for note in self.notifier.watch(control) {
            observer.notice(Notice::Note(&note))?;
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            control.expire_kept();
        }
        Ok(())
    }

    /// Ends it: decides what was received, sends what waits, and gives the final sums.
    ///
    /// # Errors
    /// A worker has died; redirects could not be removed; the observer's.
    pub fn stop(self, observer: &mut dyn Observer) -> Result<Finished, DaemonError> {
        let asked = self.stop.load(Ordering::Relaxed).then_some(Ending::Requested);
        let Daemon { server, run, reload, notifier, writer, events, died, ownership, .. } = self;
        let hub = notifier.hub().clone();
        // Once and for all: who comes from now on is told that this run ends.
        let successor = ownership.conclude();
        drop((server, reload));
        let mut plane = run.0.take_dataplane().ok_or(DaemonError::Ended)?;
        if let Some(pid) = successor {
            plane.keep_forwarding();
            let what =
                format!("{} takes over the bridges: they are forwarded on, and this run ends", process(pid));
            hub.note(&what);
            if let Err(error) = observer.notice(Notice::Note(&what)) {
                let _the_first_error_counts = plane.finish();
                return Err(error.into());
            }
        }
        drop(run);
        if let Some(worker) = died.worker() {
            let what =
                format!("worker {worker} died: mirrorc ends, and where the kernel forwards, it goes on");
            hub.tell(Record::now(Kind::Degraded, json!({ "reason": "worker_died", "note": what })));
        }
        let finished = plane.finish();
        if finished.is_err() {
            hub.finish();
        }
        let counted = finished?;
        let written = writer.and_then(Arc::into_inner).map(EventWriter::finish).unwrap_or_default();
        for event in events.try_iter() {
            hub.tell(Record::from(&event));
            observer.notice(Notice::Note(&event.to_string()))?;
        }
        let report = notifier.finish(counted, successor.map(Ending::TakenOver).or(asked));
        for event in events.try_iter() {
            observer.notice(Notice::Note(&event.to_string()))?;
        }
        Ok(Finished { report, events: written })
    }
}

/// Where events go, if anywhere.
fn writer(to: &Events, notifier: &Notifier) -> Result<Option<Arc<EventWriter>>, DaemonError> {
    let path = to.to.as_ref().map_or("events".into(), |path| path.display().to_string());
    let failed = |source| DaemonError::Events { path, source };
    let writer = EventWriter::open(to.to.as_deref(), notifier.wanted(), false).map_err(failed)?;
    Ok(writer.map(|writer| Arc::new(writer.extended_every(to.extended))))
}
