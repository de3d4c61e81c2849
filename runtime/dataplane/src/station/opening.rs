//! Opens stations on their own threads. Invariants: the caller waits for a bounded time, however
//! long the system takes (a hung mount, a slow disk). A station that hangs is refused, and its
//! thread ends when the system answers; at most [`MOST_STUCK`] such threads exist at once. No
//! station takes copies before all stations of its program are open. (Rejected: opening in the
//! calling thread, which would block the control plane.)

use super::producer::{CopyBatch, QueueState};
use super::queue::{self, Sink, SinkStatus};
use super::rate::Bucket;
use super::scope::Scope;
use super::unopened::Unopened;
use super::{Options, Refusal, sink};
use crate::confine::{Confinement, Holder, MOST_STUCK};
use crate::error::Error;
use crate::privilege;
use mrule_compiler::hir::{Station, Target};
use mrule_engine::policy::Origin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the waiting thread checks whether the run ends.
const LOOK: Duration = Duration::from_millis(50);

/// A station that is open, and not yet running. Dropping it ends the station.
#[derive(Debug)]
pub(super) struct Opened {
    pub status: Arc<SinkStatus>,
    pub queue: SyncSender<CopyBatch>,
    /// Disconnects when the thread has ended.
    pub done: Receiver<()>,
    go: SyncSender<()>,
}

impl Opened {
    /// Lets the station take copies.
    pub fn start(self) -> (Arc<SinkStatus>, SyncSender<CopyBatch>, Receiver<()>) {
        // The thread waits for this message only.
        let _waits = self.go.send(());
        (self.status, self.queue, self.done)
    }
}

/// Whether the opening thread has answered, and whether its caller has given up waiting.
#[derive(Debug, Default)]
struct Ticket {
    answered: bool,
    abandoned: bool,
}

/// Opens a station by a deadline. It may take over files and names from stations that end when the
/// program takes effect.
///
/// # Errors
/// [`Error::NotGranted`]; [`Error::Station`]: the station cannot be opened, or not in time, or the
/// run ends.
pub(super) fn open(
    station: &Station,
    origin: &Origin,
    ending: &[(&Target, &Holder)],
    options: &Options,
    deadline: Instant,
) -> Result<Opened, Error> {
    let confinement = options.confinement.clone();
    let refused = |reason: String| Error::Station { station: station.name.clone(), reason, denied: false };
    let lenient = matches!(options.refusal, Refusal::Down(_));
    let mut barred = match &options.refusal {
        Refusal::Down(barred) => barred.get(&station.name).cloned(),
        Refusal::Error => None,
    };
    match confinement.check(station, origin) {
        Err(error) if lenient => barred = Some(error.to_string()),
        checked => checked?,
    }
    let stdout = Target::Pipe { path: None };
    let had = ending.iter().any(|(target, _)| **target == stdout);
    if station.target == stdout && !options.standard_output && !had {
        let why =
            "only the program that a run starts with may write to standard output; give the pipe a path";
        match lenient {
            true => barred = Some(why.to_owned()),
            false => return Err(refused(why.to_owned())),
        }
    }
    if !lenient && confinement.stuck() >= MOST_STUCK {
        return Err(refused(format!(
            "{MOST_STUCK} stations hang while they are opened; nothing more is opened until the system answers"
        )));
    }
    let policy = options.label.as_ref().map_or("", |label| &label.policy);
    let shown = match policy {
        "" => format!("station `{}`", station.name),
        policy => format!("station `{}` of policy `{policy}`", station.name),
    };
    let holder = Holder::new(shown, ending.iter().map(|(_, holder)| *holder));
    let scope = Scope::new(confinement.clone(), origin.clone(), holder.clone(), policy, &station.name);
    let status = Arc::new(SinkStatus {
        station: station.name.clone(),
        queue_state: Arc::new(QueueState::new(options.queue_bytes, options.queue_copies)),
        down: Mutex::new(None),
        events: options.events.clone(),
        holder,
    });
    status.queue_state.drained.store(options.drained.contains(&station.name), Relaxed);
    let (queue, batches) = sync_channel(status.queue_state.batches());
    let (alive, done) = sync_channel(0);
    let (go, wait) = sync_channel(1);
    let (answer, answered) = sync_channel(1);
    let ticket = Arc::new(Mutex::new(Ticket::default()));
    let rate = station.limit.map(|rate| Bucket::new(rate, Instant::now()));
    let body = {
        let (station, interfaces, client) = (station.clone(), options.interfaces.clone(), !origin.is_owner());
        let (status, ticket, confinement) = (status.clone(), ticket.clone(), confinement.clone());
        move || {
            if client {
                // The kernel refuses in addition to the checks here; without Landlock, only these
                // checks apply.
                let _not_enforced = privilege::only_write_beneath(confinement.grants().handles());
            }
            let opened = match barred {
                Some(reason) => {
                    Ok(Box::new(Unopened::barred(&station, interfaces, scope, reason, &status))
                        as Box<dyn Sink>)
                }
                None => match sink::open(&station, &interfaces, &scope, &status) {
                    Err(error) if lenient => {
                        let reason = error.to_string();
                        Ok(Box::new(Unopened::retried(&station, interfaces, scope, reason, &status)) as _)
                    }
                    opened => opened,
                },
            };
            settle(&ticket, &confinement);
            let (opened, sink) = match opened {
                Ok(sink) => (Ok(()), Some(sink)),
                Err(error) => (Err(error), None),
            };
            let told = answer.send(opened).is_ok();
            // The caller has given up, or another station of the program was refused.
            let wanted = told || lenient;
            let Some(sink) = sink.filter(|_| wanted && wait.recv().is_ok()) else { return };
            if !told {
                // Opening took long, and the station was down meanwhile.
                status.up();
            }
            queue::run(&batches, sink, rate, &status);
            // The order matters: the caller still counts copies that are sent until the queue is
            // gone.
            drop(batches);
            drop::<SyncSender<()>>(alive);
        }
    };
    // Linux shows 15 bytes of a thread's name.
    let thread = std::thread::Builder::new().name(format!("to {}", station.name));
    thread.spawn(body).map_err(|source| refused(format!("no thread to be had: {source}")))?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match answered.recv_timeout(left.min(LOOK)) {
            Ok(opened) => return opened.map(|()| Opened { status, queue, done, go }),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(refused("its thread died; please report this".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() && lenient => {
                status.down(format!("opening `{}` takes long", station.target));
                return Ok(Opened { status, queue, done, go });
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() || confinement.is_stopping() => {
                if abandon(&ticket, &confinement) {
                    let seconds = options.patience.as_secs_f64();
                    return Err(refused(match confinement.is_stopping() {
                        true => "the run ends while it is opened".to_owned(),
                        false => format!(
                            "opening it took longer than {seconds} s; `{}` may be on a file system that hangs",
                            station.target
                        ),
                    }));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Notes that the thread has opened the station, or failed to.
fn settle(ticket: &Mutex<Ticket>, confinement: &Confinement) {
    let mut ticket = ticket.lock().unwrap_or_else(PoisonError::into_inner);
    ticket.answered = true;
    if ticket.abandoned {
        confinement.add_stuck(false);
    }
}

/// Notes that the caller gives up. Returns false when there is an answer after all.
fn abandon(ticket: &Mutex<Ticket>, confinement: &Confinement) -> bool {
    let mut ticket = ticket.lock().unwrap_or_else(PoisonError::into_inner);
    if !ticket.answered {
        ticket.abandoned = true;
        confinement.add_stuck(true);
    }
    ticket.abandoned
}
