//! What is wrong with ports, redirects and workers now. Invariants: the death of a worker is known
//! within a moment, without any lock that a load may hold. The run then ends, because flows that no
//! worker decides would look like flows without packets. Where the kernel forwards, it continues.
//! (Rejected: to restart the worker; what it had locked or half changed is not known.)

use super::Live;
use super::bridge::Condition;
use super::worker::Counts;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the other workers may take to end after one has died: it may hold what they wait for.
const ENDS: Duration = Duration::from_secs(2);

/// How long an interface may be without a carrier before this is a trouble.
const CARRIER: Duration = Duration::from_secs(1);

/// Kinds of troubles with ports and workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// An interface that is read is down.
    InterfaceDown,
    /// An interface that is read is gone.
    InterfaceGone,
    /// An interface that is read has no carrier.
    NoCarrier,
    /// What enters by an end of a bridge is not forwarded.
    NotForwarding,
    /// A filter of another program may take frames before they are redirected.
    ForeignFilter,
    /// A worker has died.
    WorkerDied,
    /// A worker does not move.
    WorkerStalled,
}

/// A trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of trouble.
    pub kind: TroubleKind,
    /// The interface or worker.
    pub subject: String,
    /// A description in words.
    pub what: String,
    /// Whether the run fails its task: a bridge does not forward, or a worker is missing.
    pub failing: bool,
}

impl Live {
    /// All troubles with ports and workers, as last seen.
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut add = |kind, subject: &str, what: String, failing| {
            troubles.push(Trouble { kind, subject: subject.to_owned(), what, failing });
        };
        for (at, port) in self.ports.iter().enumerate() {
            let (name, is_end) = (port.name.as_str(), self.bridges.peer(at).is_some());
            let then = if is_end { ": nothing is forwarded there" } else { ": nothing is read there" };
            match port.state {
                None => {
                    add(TroubleKind::InterfaceGone, name, format!("interface {name} is gone{then}"), is_end)
                }
                Some(state) if !state.up => {
                    add(TroubleKind::InterfaceDown, name, format!("interface {name} is down{then}"), is_end);
                }
                // An interface that was just set up has no carrier for a moment.
                Some(_) if port.silent.is_some_and(|since| since.elapsed() > CARRIER) => {
                    add(TroubleKind::NoCarrier, name, format!("interface {name} has no carrier"), false);
                }
                Some(_) => {}
            }
            let what = match self.bridges.condition(at) {
                Condition::Well => continue,
                Condition::Beside(found) => {
                    let what = format!("{name} has a filter of another program beside the redirect: {found}");
                    add(TroubleKind::ForeignFilter, name, what, false);
                    continue;
                }
                Condition::Missing => format!("the redirect of {name} is missing"),
                Condition::Diverted => format!("the redirect of {name} leads to another interface"),
                Condition::Foreign(found) => {
                    format!("{name} has a filter of another program in place of the redirect: {found}")
                }
            };
            add(
                TroubleKind::NotForwarding,
                name,
                format!("{what}: what enters there is not forwarded"),
                true,
            );
        }
        for (worker, handle) in self.workers.iter().enumerate() {
            let Some(still) = handle.watcher.stalled() else { continue };
            let what = format!(
                "worker {worker} has not moved for {} s: its flows are not decided; end mirrorc and start it again",
                still.as_secs()
            );
            add(TroubleKind::WorkerStalled, &worker.to_string(), what, true);
        }
        if let Some(worker) = self.died.worker() {
            let what = format!("worker {worker} has died: its flows are not decided");
            add(TroubleKind::WorkerDied, &worker.to_string(), what, true);
        }
        troubles
    }
}

/// Each worker calls it with its number, ten times a second. Nothing in the shipped program sets
/// it.
static FAULT: OnceLock<fn(usize)> = OnceLock::new();

/// Makes each worker call this function with its number, ten times a second, so that tests can make
/// a worker die. Only code of the same process can do this.
#[doc(hidden)]
pub fn inject(fault: fn(usize)) {
    let _once = FAULT.set(fault);
}

/// Calls the function that a test has injected.
pub(super) fn fault(worker: usize) {
    if let Some(fault) = FAULT.get() {
        fault(worker);
    }
}

/// The worker that has died. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Died(Arc<AtomicUsize>);

impl Died {
    /// The number of the first worker that died, from 0.
    pub fn worker(&self) -> Option<usize> {
        self.0.load(Ordering::SeqCst).checked_sub(1)
    }

    /// Waits for a worker to end. Returns `None` when it died or hangs, or when it does not end
    /// because another worker died.
    pub(super) fn join(&self, thread: JoinHandle<Counts>, number: usize, is_stalled: bool) -> Option<Counts> {
        let begun = Instant::now();
        while !thread.is_finished() {
            if (is_stalled || self.worker().is_some()) && begun.elapsed() > ENDS {
                let _another_was_first =
                    self.0.compare_exchange(0, number + 1, Ordering::SeqCst, Ordering::SeqCst);
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        thread.join().ok()
    }
}

/// A worker's thread holds this; it reports the worker's death.
#[derive(Debug)]
pub(super) struct Death {
    pub worker: usize,
    pub of: Died,
}

impl Drop for Death {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let first = self.of.0.compare_exchange(0, self.worker + 1, Ordering::SeqCst, Ordering::SeqCst);
            let _not_the_first = first;
        }
    }
}
