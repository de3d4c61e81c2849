//! A worker's end of a station: it gathers copies in a batch, and passes whole batches through a
//! bounded queue to the station's own thread. Invariants: nothing here waits for a lock, for the
//! station, or for unbounded memory; a queue holds at most its limit and one more batch for each
//! worker. Full batches come back and are reused. Of a nearly empty batch only the contents are
//! passed on, so that many of them take no more memory than a few. (Rejected: a queue of copies,
//! with one atomic operation and one allocation each. Rejected: a ring of bytes shared with the
//! station, which is the same with more `unsafe`.)

use super::blocks::Names;
use super::counts::{Amount, Cause, Counters};
use mrule_compiler::abi::{Link, Packet, Verdict};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Bytes that a batch gathers; a single copy may be longer.
const BATCH_BYTES: usize = 64 << 10;

/// Number of copies that a batch gathers.
const BATCH_COPIES: usize = 512;

/// Number of a worker's batches that are kept for reuse.
const SPARE: usize = 8;

/// Bytes of a copy's metadata.
pub(super) const COPY_BYTES: usize = size_of::<CopyMeta>();

/// Bytes of the batches that a worker fills and keeps for a station.
pub(super) const WORKER_BYTES: u64 = ((SPARE + 1) * (BATCH_BYTES + BATCH_COPIES * COPY_BYTES)) as u64;

/// One copy for a station.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    /// The packet.
    pub packet: &'a Packet<'a>,
    /// Which bytes of the packet to copy, and the rule and limit that decided.
    pub verdict: Verdict,
    /// The packet's number in the order of its worker, from 1.
    pub number: u64,
    /// The hash of the packet's flow ([`mrule_compiler::helpers::flow_hash`]), 0 without a flow.
    /// Only stations for which [`Stations::hashes`](super::Stations::hashes) holds use it.
    pub flow_hash: u64,
}

/// A waiting copy's metadata.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyMeta {
    /// The range of the copy's bytes in the batch.
    start: usize,
    end: usize,
    pub verdict: Verdict,
    /// The packet's length on the wire.
    pub len: u32,
    pub interface: u32,
    pub link: Link,
    pub time: i64,
    pub number: u64,
    pub flow_hash: u64,
}

impl CopyMeta {
    /// The metadata of a copy whose bytes are at `bytes` in a batch.
    pub fn new(copy: &Copy<'_>, bytes: Range<usize>) -> CopyMeta {
        let Copy { packet, verdict, number, flow_hash } = *copy;
        CopyMeta {
            start: bytes.start,
            end: bytes.end,
            verdict,
            len: packet.len,
            interface: packet.interface,
            link: packet.link(),
            time: packet.stamp,
            number,
            flow_hash,
        }
    }
}

/// Copies on their way to a station.
#[derive(Debug)]
pub(super) struct CopyBatch {
    bytes: Vec<u8>,
    copies: Vec<CopyMeta>,
    /// The names of the program that asked for the copies.
    pub names: Names,
    /// The worker that reuses the batch; a small batch has none.
    home: Option<SyncSender<CopyBatch>>,
}

impl CopyBatch {
    /// The copies and their bytes.
    pub fn copies(&self) -> impl Iterator<Item = (&CopyMeta, &[u8])> {
        self.copies.iter().map(|held| (held, self.bytes.get(held.start..held.end).unwrap_or(&[])))
    }

    pub fn amount(&self) -> Amount {
        Amount { copies: self.copies.len() as u64, bytes: self.bytes.len() as u64 }
    }

    /// Gives the memory back to its worker, unless one long copy made the batch large.
    pub fn done(mut self) {
        self.clear();
        if let Some(home) = self.home.clone()
            && self.bytes.capacity() <= 2 * BATCH_BYTES
        {
            // A worker that has enough batches, or has ended, drops this one.
            let _: Result<(), TrySendError<CopyBatch>> = home.try_send(self);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.copies.clear();
    }

    /// Whether the batch takes much more memory than its copies need.
    fn is_small(&self) -> bool {
        self.bytes.len() < BATCH_BYTES / 4 && self.copies.len() < BATCH_COPIES / 4
    }
}

/// State that a station's thread and its producers share.
#[derive(Debug)]
pub(super) struct QueueState {
    pub counters: Counters,
    /// The bytes and the copies that wait in the queue.
    pub bytes: AtomicUsize,
    pub copies: AtomicUsize,
    most_bytes: usize,
    most_copies: usize,
    /// The station gets no more copies.
    pub drained: AtomicBool,
    /// Set when the run ends: the thread empties its queue until this time at most, and ends.
    pub deadline: OnceLock<Instant>,
}

impl QueueState {
    pub fn new(most_bytes: usize, most_copies: usize) -> QueueState {
        QueueState {
            counters: Counters::default(),
            bytes: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            most_bytes,
            most_copies,
            drained: AtomicBool::new(false),
            deadline: OnceLock::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Relaxed) >= self.most_bytes || self.copies.load(Relaxed) >= self.most_copies
    }

    /// The number of batches in a full queue. Workers also pass on batches that are not full.
    pub fn batches(&self) -> usize {
        (self.most_bytes / 4096).clamp(16, 16_384)
    }

    fn enter(&self, amount: Amount) {
        self.bytes.fetch_add(amount.bytes as usize, Relaxed);
        self.copies.fetch_add(amount.copies as usize, Relaxed);
    }

    pub fn leave(&self, amount: Amount) {
        self.bytes.fetch_sub(amount.bytes as usize, Relaxed);
        self.copies.fetch_sub(amount.copies as usize, Relaxed);
    }
}

/// One worker's end of one station.
#[derive(Debug)]
pub struct StationProducer {
    queue_state: Arc<QueueState>,
    queue: SyncSender<CopyBatch>,
    batch: CopyBatch,
    spare: Receiver<CopyBatch>,
    /// Counted here, and not yet added to the shared counters.
    requested: Amount,
    refused: Amount,
    drained: Amount,
}

impl StationProducer {
    pub(super) fn new(
        queue_state: Arc<QueueState>,
        queue: SyncSender<CopyBatch>,
        names: Names,
    ) -> StationProducer {
        let (home, spare) = sync_channel(SPARE);
        let batch = fresh(names, Some(home));
        StationProducer {
            queue_state,
            queue,
            batch,
            spare,
            requested: Amount::default(),
            refused: Amount::default(),
            drained: Amount::default(),
        }
    }

    /// Takes a copy of the bytes that the verdict selects, or drops and counts it when the queue is
    /// full. Never blocks. A verdict of which limits left nothing makes no copy. Copies are passed
    /// on with a full batch or by [`flush`](Self::flush).
    pub fn offer(&mut self, copy: &Copy<'_>) {
        let Copy { packet, verdict, .. } = copy;
        let bytes = packet.frame().get(verdict.start as usize..verdict.end as usize).unwrap_or(&[]);
        if bytes.is_empty() {
            return;
        }
        let one = Amount::one(bytes.len());
        self.requested.add(one);
        if self.queue_state.drained.load(Relaxed) {
            self.drained.add(one);
            return;
        }
        if self.batch.bytes.len() + bytes.len() > BATCH_BYTES || self.batch.copies.len() >= BATCH_COPIES {
            self.pass();
        }
        if self.queue_state.is_full() {
            self.refused.add(one);
            return;
        }
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(bytes);
        self.batch.copies.push(CopyMeta::new(copy, start..self.batch.bytes.len()));
    }

    /// Passes on what was gathered and adds up the counters. Call it before the worker waits.
    pub fn flush(&mut self) {
        if self.requested.copies > 0 {
            self.pass();
        }
    }

    /// Puts the batch into the queue.
    fn pass(&mut self) {
        self.queue_state.counters.requested(std::mem::take(&mut self.requested));
        if self.drained.copies > 0 {
            self.queue_state.counters.dropped(Cause::Drained, std::mem::take(&mut self.drained));
        }
        if self.refused.copies > 0 {
            self.queue_state.counters.dropped(Cause::QueueFull, std::mem::take(&mut self.refused));
        }
        let amount = self.batch.amount();
        if amount.copies == 0 {
            return;
        }
        let names = self.batch.names.clone();
        let batch = if self.batch.is_small() {
            let (bytes, copies) = (self.batch.bytes.as_slice().into(), self.batch.copies.as_slice().into());
            self.batch.clear();
            CopyBatch { bytes, copies, names, home: None }
        } else {
            let home = self.batch.home.clone();
            let next = self.spare.try_recv().unwrap_or_else(|_| fresh(names.clone(), home));
            std::mem::replace(&mut self.batch, CopyBatch { names, ..next })
        };
        self.queue_state.enter(amount);
        match self.queue.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                self.queue_state.leave(amount);
                self.queue_state.counters.dropped(Cause::QueueFull, amount);
                batch.done();
            }
            // The station has ended; it may have counted these copies already.
            Err(TrySendError::Disconnected(_)) => self.queue_state.counters.close(),
        }
    }
}

impl Drop for StationProducer {
    fn drop(&mut self) {
        self.flush();
    }
}

fn fresh(names: Names, home: Option<SyncSender<CopyBatch>>) -> CopyBatch {
    CopyBatch {
        bytes: Vec::with_capacity(BATCH_BYTES),
        copies: Vec::with_capacity(BATCH_COPIES),
        names,
        home,
    }
}
