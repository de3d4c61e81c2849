//! Alarms: what happens is told to others, by webhooks and syslog. The invariants: who tells does
//! not wait; each receiver has a bounded queue of its own and delays no other;
//! `told = sent + failed + dropped + waiting`; one that does not take alarms is told of once, and
//! tried again until it does. (Rejected: an agent beside mirrorc that follows `/v1/events`; it
//! would be one more thing to keep alive, and loses what happens while it is not.)
//!
//! - `webhook`, `syslog`: the receivers. `drops`: when losses are an alarm.

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

/// How many alarms wait for a receiver, at most.
pub const QUEUE: usize = 1024;

/// How many are handed over at a time, at most.
const BATCH: usize = 100;

/// How long a receiver may take for a batch, or to be reached.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what waits may take when the run ends.
const FINISH: Duration = Duration::from_secs(5);

/// How long the first pause is after a failure, and the longest. Each is twice the one before, less
/// up to a half by chance.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Who is told.
#[derive(Debug)]
pub enum Target {
    /// By HTTP.
    Webhook(Box<Webhook>),
    /// By syslog.
    Syslog(Syslog),
}

/// Why a batch was not taken whole.
#[derive(Debug, PartialEq, Eq)]
enum Failed {
    /// It will never be: the receiver says that it is wrong.
    Refused(String),
    /// After so many; the others may be later.
    Later(usize, String),
}

/// What became of alarms for one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The receiver, without what may be secret in its address.
    pub to: String,
    /// Alarms for it.
    pub notified: u64,
    /// Taken by it; with UDP, only handed to the network.
    pub sent: u64,
    /// Refused by it.
    pub failed: u64,
    /// Not sent, because too many waited, or the run ended.
    pub dropped: u64,
    /// Waiting: `told - sent - failed - dropped`.
    pub waiting: u64,
    /// Why it takes none at the moment.
    pub down: Option<String>,
}

/// What is counted for a receiver.
#[derive(Debug, Default)]
struct Tally {
    to: String,
    notified: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    down: Mutex<Option<String>>,
    /// Its queue was full, and that was told.
    full: AtomicBool,
}

/// A function that is told what a user should know of receivers, in words. It should not wait.
type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// Everybody who is told.
pub struct Alarms {
    lines: Mutex<Vec<mpsc::Sender<Arc<Record>>>>,
    tallies: Vec<Arc<Tally>>,
    stop: watch::Sender<bool>,
    /// Hangs up when the thread is done.
    done: Mutex<Receiver<()>>,
    tell: Tell,
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarms").field("tallies", &self.tallies).finish_non_exhaustive()
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
    /// Tells these, from a thread of its own. `tell` is told when one of them takes no alarms, and
    /// when it does again.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(targets: Vec<Target>, tell: impl Fn(String) + Send + Sync + 'static) -> io::Result<Alarms> {
        let tell: Tell = Arc::new(tell);
        let (stop, stopped) = watch::channel(false);
        let (mut lines, mut tallies, mut drives) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            let (line, queue) = mpsc::channel(QUEUE);
            let tally = Arc::new(Tally { to: target.name(), ..Tally::default() });
            let drive =
                Drive { target, queue, tally: tally.clone(), stop: stopped.clone(), tell: tell.clone() };
            lines.push(line);
            tallies.push(tally);
            drives.push(drive);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, is_done) = sync_channel(0);
        let mut stopped = stopped;
        std::thread::Builder::new().name("alarms".into()).spawn(move || {
            let all: Vec<_> = drives.into_iter().map(|drive| runtime.spawn(drive.run())).collect();
            runtime.block_on(async {
                // Also when nobody is there any more who could say so.
                let _ended = stopped.wait_for(|stop| *stop).await;
                let all = async {
                    for drive in all {
                        let _ended = drive.await;
                    }
                };
                let _in_vain = tokio::time::timeout(FINISH, all).await;
            });
            // Looking up a name may take for ever.
            runtime.shutdown_background();
            drop::<std::sync::mpsc::SyncSender<()>>(done);
        })?;
        Ok(Alarms { lines: Mutex::new(lines), tallies, stop, done: Mutex::new(is_done), tell })
    }

    /// What became of alarms, by receiver.
    pub fn counts(&self) -> Vec<Counts> {
        self.tallies.iter().map(|tally| tally.counts()).collect()
    }
}

impl Subscriber for Alarms {
    fn offer(&self, record: Arc<Record>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, tally) in lines.iter().zip(&self.tallies) {
            tally.notified.fetch_add(1, Relaxed);
            if line.try_send(record.clone()).is_err() {
                tally.dropped.fetch_add(1, Relaxed);
                if !tally.full.swap(true, Relaxed) {
                    (self.tell)(format!(
                        "the queue of {QUEUE} alarms for {} is full; further alarms are dropped and counted",
                        tally.to
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
        for tally in &self.tallies {
            tally.dropped.fetch_add(tally.counts().waiting, Relaxed);
        }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        // A run that failed tells nothing more; without this, pauses would end at once and for
        // ever.
        self.stop.send_replace(true);
    }
}

impl Tally {
    fn counts(&self) -> Counts {
        // Told last, so that it is not less than its parts.
        let [sent, failed, dropped] = [&self.sent, &self.failed, &self.dropped].map(|n| n.load(Relaxed));
        let notified = self.notified.load(Relaxed);
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waiting = notified.saturating_sub(sent + failed + dropped);
        Counts { to: self.to.clone(), notified, sent, failed, dropped, waiting, down }
    }

    /// Sets why it takes no alarms; gives whether that was otherwise before.
    fn turns(&self, down: Option<String>) -> bool {
        let mut now = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = now.is_none() != down.is_none();
        *now = down;
        turned
    }
}

/// One receiver's work.
struct Drive {
    target: Target,
    queue: mpsc::Receiver<Arc<Record>>,
    tally: Arc<Tally>,
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
            if self.queue.is_empty() && self.tally.full.swap(false, Relaxed) {
                let counts = self.tally.counts();
                (self.tell)(format!(
                    "the queue of alarms for {} is empty again; {} were dropped",
                    counts.to, counts.dropped
                ));
            }
        }
    }

    /// Hands a batch over, however often that takes; false when the run ends meanwhile.
    async fn hand_over(&mut self, mut batch: &[Arc<Record>]) -> bool {
        let mut pause = PAUSES.0;
        while !batch.is_empty() {
            let ended = *self.stop.borrow();
            let failed = match self.target.send(batch).await {
                Ok(()) => {
                    self.tally.sent.fetch_add(batch.len() as u64, Relaxed);
                    if self.tally.turns(None) {
                        (self.tell)(format!("{} accepts alarms again", self.tally.to));
                    }
                    return true;
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Refused(why) => {
                    self.tally.failed.fetch_add(batch.len() as u64, Relaxed);
                    if self.tally.turns(Some(why.clone())) {
                        (self.tell)(format!("{} refuses alarms: {why}", self.tally.to));
                    }
                    return true;
                }
                Failed::Later(sent, why) => {
                    self.tally.sent.fetch_add(sent as u64, Relaxed);
                    batch = batch.get(sent..).unwrap_or_default();
                    if self.tally.turns(Some(why.clone())) {
                        (self.tell)(format!(
                            "{} does not accept alarms: {why}; mirrorc tries again",
                            self.tally.to
                        ));
                    }
                }
            }
            if ended {
                return false;
            }
            let wait = pause.mul_f64(1.0 - fastrand::f64() / 2.0);
            pause = (pause * 2).min(PAUSES.1);
            // The end of the run is waited for as well: then it is tried once more.
            let _either = tokio::time::timeout(wait, self.stop.wait_for(|stop| *stop)).await;
        }
        true
    }
}

/// Something that is waited for, but not for long.
async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
