//! The station's own thread: takes batches from the queue, holds copies against the rate, gives
//! them to the sink. The invariants: only this thread waits for the station; the sink is told when
//! the queue is empty and at least ten times a second, so that what was gathered is written and
//! what is down is tried again; events come once a change, not once a copy. (Rejected: one thread
//! for all stations, where the slowest would hold up the others.)

use super::blocks::Names;
use super::counts::{Amount, Cause};
use super::producer::{CopyBatch, Held, QueueState};
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
    pub held: &'a Held,
    pub bytes: &'a [u8],
    pub names: &'a Names,
}

/// What takes a station's copies. Each copy given to [`send`](Self::send) ends as sent or dropped
/// in the tally, at once or later, through [`finish`](Self::finish) at the latest.
pub(super) trait Sink: Send {
    /// Takes one copy.
    fn send(&mut self, copy: CopyRef<'_>, tally: &Tally);

    /// The queue is empty for now.
    fn rest(&mut self, _tally: &Tally) {}

    /// Time has passed: [`TICK`] or a little more.
    fn tick(&mut self, _now: Instant, _tally: &Tally) {}

    /// No more copies come.
    fn finish(&mut self, _tally: &Tally) {}

    /// How many bytes it puts in front of each copy, for the rate.
    fn overhead(&self) -> usize {
        0
    }
}

/// Where a sink tells what it did.
#[derive(Debug)]
pub(super) struct Tally {
    pub station: String,
    pub queue_state: Arc<QueueState>,
    pub down: Mutex<Option<String>>,
    pub events: Events,
    /// As which it holds files.
    pub holder: Holder,
}

impl Tally {
    pub fn sent(&self, amount: Amount) {
        self.queue_state.counters.unless_closed(|counters| counters.sent(amount));
    }

    pub fn dropped(&self, cause: Cause, amount: Amount) {
        self.queue_state.counters.unless_closed(|counters| counters.dropped(cause, amount));
    }

    /// A copy that was sent lost so many bytes of its end.
    pub fn cut(&self, bytes: usize) {
        self.queue_state.counters.unless_closed(|counters| counters.cut(bytes));
    }

    /// The copy that was sent last went to a next hop that has not answered.
    pub fn unanswered(&self) {
        self.queue_state.counters.unanswered();
    }

    /// The network said that a copy did not arrive.
    pub fn network_error(&self) {
        self.queue_state.counters.network_error();
    }

    /// The interface did not send so many packets.
    pub fn link_drops(&self, packets: u64) {
        self.queue_state.counters.link_drops(packets);
    }

    /// Something that a user should know of, while copies are taken.
    pub fn note(&self, what: String) {
        self.tell(State::Note { what });
    }

    /// The station does not take copies; told once until it does again.
    pub fn down(&self, reason: impl Into<String>) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.is_none() {
            let reason = reason.into();
            *down = Some(reason.clone());
            drop(down);
            self.tell(State::Down { reason });
        }
    }

    /// It takes copies.
    pub fn up(&self) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.take().is_some() {
            drop(down);
            self.tell(State::Up);
        }
    }

    /// Another one with the same counters, which reports to nobody.
    pub fn probe(&self) -> Tally {
        Tally {
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

    /// A station that was down: up, or still down, for this reason, which is not reported again.
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

    /// Whether it is, and there is no time left for what waits.
    pub fn late(&self) -> bool {
        self.queue_state.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    fn tell(&self, state: State) {
        self.events.tell(&Event { station: self.station.clone(), state });
    }
}

/// The thread's life.
pub(super) fn run(
    queue: &Receiver<CopyBatch>,
    mut sink: Box<dyn Sink>,
    mut rate: Option<Bucket>,
    tally: &Tally,
) {
    let mut ticked = Instant::now();
    loop {
        let batch = match queue.try_recv() {
            Ok(batch) => Some(batch),
            Err(_) => {
                sink.rest(tally);
                if tally.stopping() {
                    break;
                }
                match queue.recv_timeout(TICK) {
                    Ok(batch) => Some(batch),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        };
        if tally.late() {
            break;
        }
        if let Some(batch) = batch {
            take(batch, sink.as_mut(), &mut rate, tally);
        }
        let now = Instant::now();
        if now.duration_since(ticked) >= TICK {
            ticked = now;
            sink.tick(now, tally);
        }
    }
    sink.finish(tally);
}

fn take(batch: CopyBatch, sink: &mut dyn Sink, rate: &mut Option<Bucket>, tally: &Tally) {
    if let Some(rate) = rate {
        rate.refill(Instant::now());
    }
    let overhead = sink.overhead();
    for (held, bytes) in batch.copies() {
        if let Some(rate) = rate
            && !rate.take(bytes.len() + overhead)
        {
            tally.dropped(Cause::Rate, Amount::one(bytes.len()));
            continue;
        }
        sink.send(CopyRef { held, bytes, names: &batch.names }, tally);
    }
    tally.queue_state.leave(batch.amount());
    batch.done();
}
