//! Alarms: sends events to webhooks and syslog receivers. The invariants: sending an alarm never
//! blocks; each receiver has its own bounded queue and delays no other receiver; `notified = sent +
//! failed + dropped + waiting`; a receiver that does not accept alarms is reported once, and tried
//! again until it does. (Rejected: a separate agent that follows `/v1/events`; it would be one more
//! process to run, and would lose events while it does not run.)
//!
//! - `webhook`, `syslog`: the receivers. `drops`: the alarm for drops.

mod drops;
mod syslog;
mod webhook;

pub use drops::Drops;
pub use syslog::Syslog;
pub use webhook::Webhook;

use crate::event::{Record, Subscriber};
use serde::Serialize;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The largest number of alarms that wait for a receiver.
pub const QUEUE: usize = 1024;

/// The largest number of alarms in a batch.
const BATCH: usize = 100;

/// The longest time for a batch, and for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest time for waiting alarms when the run ends.
const FINISH: Duration = Duration::from_secs(5);

/// The first and the longest pause after a failure. Each pause is twice the one before, shortened
/// by a random part of up to a half.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A receiver of alarms.
#[derive(Debug)]
pub enum Target {
    /// By HTTP.
    Webhook(Box<Webhook>),
    /// By syslog.
    Syslog(Syslog),
}

/// Why a batch was not accepted completely.
#[derive(Debug, PartialEq, Eq)]
enum Failed {
    /// The receiver refuses it for good.
    Refused(String),
    /// Some alarms were accepted; the others may be accepted later.
    Later(usize, String),
}

/// The counts of alarms for one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The receiver, without parts of its address that may be secret.
    pub to: String,
    /// All alarms for the receiver.
    pub notified: u64,
    /// Accepted alarms; with UDP, alarms passed to the network.
    pub sent: u64,
    /// Refused alarms.
    pub failed: u64,
    /// Alarms that were not sent, because the queue was full or the run ended.
    pub dropped: u64,
    /// Waiting alarms: `notified - sent - failed - dropped`.
    pub waiting: u64,
    /// Why the receiver does not accept alarms at the moment.
    pub down: Option<String>,
}

/// The counters of a receiver.
#[derive(Debug, Default)]
struct ReceiverCounters {
    to: String,
    notified: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    down: Mutex<Option<String>>,
    /// Whether its queue was full, which was reported.
    full: AtomicBool,
}

/// A function for notes to the user about receivers. It should not block.
type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// All receivers.
pub struct Alarms {
    lines: Mutex<Vec<mpsc::Sender<Arc<Record>>>>,
    receivers: Vec<Arc<ReceiverCounters>>,
    stop: watch::Sender<bool>,
    /// Disconnects when the thread ends.
    done: Mutex<Receiver<()>>,
    tell: Tell,
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarms").field("tallies", &self.receivers).finish_non_exhaustive()
    }
}

impl Target {
    fn name(&self) -> String {
        match self {
            Target::Webhook(webhook) => webhook.to_string(),
            Target::Syslog(syslog) => syslog.to_string(),
        }
    }

    async fn send(&mut self, batch: &[Arc<Record>]) -> Result<(), Failed> {
        match self {
            Target::Webhook(webhook) => webhook.send(batch).await,
            Target::Syslog(syslog) => syslog.send(batch).await,
        }
    }
}

impl Alarms {
    /// Starts a thread that sends alarms to these receivers. `tell` gets a note when a receiver
    /// does not accept alarms, and when it does again.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(targets: Vec<Target>, tell: impl Fn(String) + Send + Sync + 'static) -> io::Result<Alarms> {
        let tell: Tell = Arc::new(tell);
        let (stop, stopped) = watch::channel(false);
        let (mut lines, mut receivers, mut drives) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            let (line, queue) = mpsc::channel(QUEUE);
            let counters = Arc::new(ReceiverCounters { to: target.name(), ..ReceiverCounters::default() });
            let drive = Drive {
                target,
                queue,
                counters: counters.clone(),
                stop: stopped.clone(),
                tell: tell.clone(),
            };
            lines.push(line);
            receivers.push(counters);
            drives.push(drive);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, is_done) = sync_channel(0);
        let mut stopped = stopped;
        std::thread::Builder::new().name("alarms".into()).spawn(move || {
            let all: Vec<_> = drives.into_iter().map(|drive| runtime.spawn(drive.run())).collect();
            runtime.block_on(async {
                // The wait also ends if the sender no longer exists.
                let _ended = stopped.wait_for(|stop| *stop).await;
                let all = async {
                    for drive in all {
                        let _ended = drive.await;
                    }
                };
                let _in_vain = tokio::time::timeout(FINISH, all).await;
            });
            // A name lookup may block for ever.
            runtime.shutdown_background();
            drop::<std::sync::mpsc::SyncSender<()>>(done);
        })?;
        Ok(Alarms { lines: Mutex::new(lines), receivers, stop, done: Mutex::new(is_done), tell })
    }

    /// The counts of alarms, by receiver.
    pub fn counts(&self) -> Vec<Counts> {
        self.receivers.iter().map(|counters| counters.counts()).collect()
    }
}

impl Subscriber for Alarms {
    fn offer(&self, record: Arc<Record>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, counters) in lines.iter().zip(&self.receivers) {
            counters.notified.fetch_add(1, Relaxed);
            if line.try_send(record.clone()).is_err() {
                counters.dropped.fetch_add(1, Relaxed);
                if !counters.full.swap(true, Relaxed) {
                    (self.tell)(format!(
                        "the queue of {QUEUE} alarms for {} is full; further alarms are dropped and counted",
                        counters.to
                    ));
                }
            }
        }
    }

    fn finish(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let _nobody_there = self.stop.send(true);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _hung_up = done.recv_timeout(FINISH + Duration::from_secs(1));
        for counters in &self.receivers {
            counters.dropped.fetch_add(counters.counts().waiting, Relaxed);
        }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        // A run that failed sends nothing more; without this, pauses would end at once, again and
        // again.
        self.stop.send_replace(true);
    }
}

impl ReceiverCounters {
    fn counts(&self) -> Counts {
        // `notified` is read last, so that it is not less than its parts.
        let [sent, failed, dropped] = [&self.sent, &self.failed, &self.dropped].map(|n| n.load(Relaxed));
        let notified = self.notified.load(Relaxed);
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waiting = notified.saturating_sub(sent + failed + dropped);
        Counts { to: self.to.clone(), notified, sent, failed, dropped, waiting, down }
    }

    /// Sets why the receiver does not accept alarms; returns whether its state changed.
    fn turns(&self, down: Option<String>) -> bool {
        let mut now = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = now.is_none() != down.is_none();
        *now = down;
        turned
    }
}

/// The task of one receiver.
struct Drive {
    target: Target,
    queue: mpsc::Receiver<Arc<Record>>,
    counters: Arc<ReceiverCounters>,
    stop: watch::Receiver<bool>,
    tell: Tell,
}

impl Drive {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            if !self.hand_over(&batch).await {
                return;
            }
            batch.clear();
            if self.queue.is_empty() && self.counters.full.swap(false, Relaxed) {
                let counts = self.counters.counts();
                (self.tell)(format!(
                    "the queue of alarms for {} is empty again; {} were dropped",
                    counts.to, counts.dropped
                ));
            }
        }
    }

    /// Sends a batch until it is accepted or refused; false if the run ends first.
    async fn hand_over(&mut self, mut batch: &[Arc<Record>]) -> bool {
        let mut pause = PAUSES.0;
        while !batch.is_empty() {
            let ended = *self.stop.borrow();
            let failed = match self.target.send(batch).await {
                Ok(()) => {
                    self.counters.sent.fetch_add(batch.len() as u64, Relaxed);
                    if self.counters.turns(None) {
                        (self.tell)(format!("{} accepts alarms again", self.counters.to));
                    }
                    return true;
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Refused(why) => {
                    self.counters.failed.fetch_add(batch.len() as u64, Relaxed);
                    if self.counters.turns(Some(why.clone())) {
                        (self.tell)(format!("{} refuses alarms: {why}", self.counters.to));
                    }
                    return true;
                }
                Failed::Later(sent, why) => {
                    self.counters.sent.fetch_add(sent as u64, Relaxed);
                    batch = batch.get(sent..).unwrap_or_default();
                    if self.counters.turns(Some(why.clone())) {
                        (self.tell)(format!(
                            "{} does not accept alarms: {why}; mirrorc tries again",
                            self.counters.to
                        ));
                    }
                }
            }
            if ended {
                return false;
            }
            let wait = pause.mul_f64(1.0 - fastrand::f64() / 2.0);
            pause = (pause * 2).min(PAUSES.1);
            // The wait also ends when the run ends: then the batch is sent once more.
            let _either = tokio::time::timeout(wait, self.stop.wait_for(|stop| *stop)).await;
        }
        true
    }
}

/// Waits for a future, with a time limit.
async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
