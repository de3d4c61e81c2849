//! A station's own thread: it takes batches from the queue, checks copies against the rate, and
//! gives them to the sink. Invariants: only this thread waits for the station. The sink is called
//! when the queue is empty and at least ten times a second, so that gathered copies are written and
//! a failed target is retried. There is one event per change, not per copy. (Rejected: one thread
//! for all stations; the slowest would delay the others.)

use super::blocks::Names;
use super::counts::{Amount, Cause};
use super::producer::{CopyBatch, CopyMeta, QueueState};
use super::rate::Bucket;
use super::{Event, Events, State};
use crate::confine::Holder;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a sink is told that time passes.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A copy for a sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyRef<'a> {
    pub held: &'a CopyMeta,
    pub bytes: &'a [u8],
    pub names: &'a Names,
}

/// Takes a station's copies. For each copy given to [`send`](Self::send), the sink calls
/// [`SinkStatus::sent`] or [`SinkStatus::dropped`]: immediately or later, at the latest in
/// [`finish`](Self::finish).
pub(super) trait Sink: Send {
    /// Takes one copy.
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus);

    /// The queue is empty for now.
    fn rest(&mut self, _tally: &SinkStatus) {}

    /// Time has passed: [`TICK`] or a little more.
    fn tick(&mut self, _now: Instant, _tally: &SinkStatus) {}

    /// No more copies come.
    fn finish(&mut self, _tally: &SinkStatus) {}

    /// Bytes that the sink puts in front of each copy, for the rate.
    fn overhead(&self) -> usize {
        0
    }
}

/// Where a sink reports what it did.
#[derive(Debug)]
pub(super) struct SinkStatus {
    pub station: String,
    pub queue_state: Arc<QueueState>,
    pub down: Mutex<Option<String>>,
    pub events: Events,
    /// The holder of the station's files.
    pub holder: Holder,
}

impl SinkStatus {
    pub fn sent(&self, amount: Amount) {
        self.queue_state.counters.unless_closed(|counters| counters.sent(amount));
    }

    pub fn dropped(&self, cause: Cause, amount: Amount) {
        self.queue_state.counters.unless_closed(|counters| counters.dropped(cause, amount));
    }

    /// A sent copy lost this number of bytes at its end.
    pub fn cut(&self, bytes: usize) {
        self.queue_state.counters.unless_closed(|counters| counters.cut(bytes));
    }

    /// The last sent copy went to a next hop that has not answered.
    pub fn unanswered(&self) {
        self.queue_state.counters.unanswered();
    }

    /// The network reported that a copy did not arrive.
    pub fn network_error(&self) {
        self.queue_state.counters.network_error();
    }

    /// The interface did not send this number of packets.
    pub fn link_drops(&self, packets: u64) {
        self.queue_state.counters.link_drops(packets);
    }

    /// Reports a fact that a user should know, while the station takes copies.
    pub fn note(&self, what: String) {
        self.tell(State::Note { what });
    }

    /// Marks the station as down. Reported once until it is up again.
    pub fn down(&self, reason: impl Into<String>) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.is_none() {
            let reason = reason.into();
            *down = Some(reason.clone());
            drop(down);
            self.tell(State::Down { reason });
        }
    }

    /// Marks the station as up.
    pub fn up(&self) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.take().is_some() {
            drop(down);
            self.tell(State::Up);
        }
    }

    /// A status with the same counters that reports no events.
    pub fn probe(&self) -> SinkStatus {
        SinkStatus {
            station: self.station.clone(),
            queue_state: self.queue_state.clone(),
            down: Mutex::new(None),
            events: Events::default(),
            holder: self.holder.clone(),
        }
    }

    /// Why the station is down.
    pub fn into_reason(self) -> Option<String> {
        self.down.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates a station that was down: it is up, or still down for this reason, which is not
    /// reported again.
    pub fn now_down_for(&self, reason: Option<String>) {
        match reason {
            None => self.up(),
            reason => *self.down.lock().unwrap_or_else(PoisonError::into_inner) = reason,
        }
    }

    pub fn is_down(&self) -> bool {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the run is over.
    pub fn stopping(&self) -> bool {
        self.queue_state.deadline.get().is_some()
    }

    /// Whether the run is over and no time is left for waiting copies.
    pub fn late(&self) -> bool {
        self.queue_state.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    fn tell(&self, state: State) {
        self.events.tell(&Event { station: self.station.clone(), state });
    }
}

/// The main loop of a station's thread.
pub(super) fn run(
    queue: &Receiver<CopyBatch>,
    mut sink: Box<dyn Sink>,
    mut rate: Option<Bucket>,
    status: &SinkStatus,
) {
    let mut ticked = Instant::now();
    loop {
        let batch = match queue.try_recv() {
            Ok(batch) => Some(batch),
            Err(_) => {
                sink.rest(status);
                if status.stopping() {
                    break;
                }
                match queue.recv_timeout(TICK) {
                    Ok(batch) => Some(batch),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        };
        if status.late() {
            break;
        }
        if let Some(batch) = batch {
            take(batch, sink.as_mut(), &mut rate, status);
        }
        let now = Instant::now();
        if now.duration_since(ticked) >= TICK {
            ticked = now;
            sink.tick(now, status);
        }
    }
    sink.finish(status);
}

fn take(batch: CopyBatch, sink: &mut dyn Sink, rate: &mut Option<Bucket>, status: &SinkStatus) {
    if let Some(rate) = rate {
        rate.refill(Instant::now());
    }
    let overhead = sink.overhead();
    for (held, bytes) in batch.copies() {
        if let Some(rate) = rate
            && !rate.take(bytes.len() + overhead)
        {
            status.dropped(Cause::Rate, Amount::one(bytes.len()));
            continue;
        }
        sink.send(CopyRef { held, bytes, names: &batch.names }, status);
    }
    status.queue_state.leave(batch.amount());
    batch.done();
}
