//! Finds the flow that has been idle the longest. Each of two classes of flows has a ring of 4096
//! buckets by the time of the last packet. A bucket is 2^30 ns wide (about a second); flows older
//! than the ring share its oldest bucket. A packet writes only its flow's time. When the search
//! meets a flow that is younger than its bucket, it moves the flow on. So the answer is exact to a
//! bucket.
//!
//! Invariants: every live flow is in exactly one list, a list of its class. A list is circular and
//! closed by a node that stands for its bucket, so that a flow can leave a list without knowing
//! which. No step costs more than a few look-ups. (Rejected: a list in the order of last packets;
//! each packet then touches two cold neighbours.)
//!
//! The clock is the table's, not a packet's: one packet from the far future moves nothing. A flow
//! more than [`AHEAD`] buckets ahead of the clock counts as the longest idle.

use super::entry::Entry;
use crate::memory::{NoMemory, list};

/// log2 of a bucket's width in nanoseconds.
const WIDTH: u32 = 30;
const SPAN: usize = 4096;
/// Number of buckets ahead of the clock.
const AHEAD: i64 = 64;
const WORDS: usize = SPAN / 64;

/// `Young` flows are evicted first when the table is full; `Settled` flows are kept longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Young,
    Settled,
}

#[derive(Debug, Clone)]
pub(super) struct IdleBuckets {
    /// The nodes of both rings, each with the numbers of its next and previous member.
    nodes: Vec<[u32; 2]>,
    rings: [BucketBitmap; 2],
    /// The number of the oldest bucket.
    base: i64,
    /// The number of the bucket that the clock is in.
    clock: i64,
    /// The number of the first node; numbers below it are flows.
    flows: u32,
}

/// Which buckets may hold flows: a bit for each bucket, and a bit for each word of buckets.
#[derive(Debug, Clone)]
struct BucketBitmap {
    busy: [u64; WORDS],
    words: u64,
}

impl BucketBitmap {
    const EMPTY: BucketBitmap = BucketBitmap { busy: [0; WORDS], words: 0 };

    fn set(&mut self, slot: usize) {
        self.busy[slot / 64] |= 1 << (slot % 64);
        self.words |= 1 << (slot / 64);
    }

    fn clear(&mut self, slot: usize) {
        self.busy[slot / 64] &= !(1 << (slot % 64));
        if self.busy[slot / 64] == 0 {
            self.words &= !(1 << (slot / 64));
        }
    }

    /// The first busy bucket at or after this one, around the ring.
    fn first(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let here = self.busy[word] & (u64::MAX << (from % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        let behind = self.words.rotate_right(word as u32 + 1);
        if behind == 0 {
            return None;
        }
        let word = (word + 1 + behind.trailing_zeros() as usize) % WORDS;
        Some(word * 64 + self.busy[word].trailing_zeros() as usize)
    }
}

fn bucket(time: i64) -> i64 {
    time >> WIDTH
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(SPAN as i64) as usize
}

impl IdleBuckets {
    /// Bytes of memory, whatever the number of flows.
    pub(crate) const MEMORY: usize = size_of::<IdleBuckets>() + 2 * SPAN * size_of::<[u32; 2]>();

    /// Buckets for at most this number of flows.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new(flows: usize) -> Result<IdleBuckets, NoMemory> {
        let flows = flows as u32;
        let mut nodes = list(2 * SPAN)?;
        nodes.extend((0..2 * SPAN as u32).map(|i| [flows + i; 2]));
        let rings = [BucketBitmap::EMPTY; 2];
        Ok(IdleBuckets { nodes, rings, base: 0, clock: 0, flows })
    }

    /// Memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<IdleBuckets>() + self.nodes.len() * size_of::<[u32; 2]>()
    }

    fn next(&self, flows: &[Entry], id: u32) -> u32 {
        if id < self.flows { flows[id as usize].next() } else { self.nodes[(id - self.flows) as usize][0] }
    }

    fn prev(&self, flows: &[Entry], id: u32) -> u32 {
        if id < self.flows { flows[id as usize].prev() } else { self.nodes[(id - self.flows) as usize][1] }
    }

    /// Makes two members of a list neighbours.
    fn join(&mut self, flows: &mut [Entry], before: u32, after: u32) {
        if before < self.flows {
            flows[before as usize].set_next(after);
        } else {
            self.nodes[(before - self.flows) as usize][0] = after;
        }
        if after < self.flows {
            flows[after as usize].set_prev(before);
        } else {
            self.nodes[(after - self.flows) as usize][1] = before;
        }
    }

    /// The node of a bucket.
    fn node(&self, class: Class, slot: usize) -> u32 {
        self.flows + (class as usize * SPAN + slot) as u32
    }

    /// The slot for a flow whose last packet came at this time.
    fn home(&self, last: i64) -> usize {
        let bucket = bucket(last);
        if bucket > self.clock + AHEAD { slot(self.base) } else { slot(bucket.max(self.base)) }
    }

    /// Adds a flow that is in no list.
    pub(crate) fn link(&mut self, flows: &mut [Entry], id: u32, class: Class) {
        let slot = self.home(flows[id as usize].last());
        let node = self.node(class, slot);
        let tail = self.prev(flows, node);
        self.join(flows, tail, id);
        self.join(flows, id, node);
        self.rings[class as usize].set(slot);
    }

    /// Takes a flow out of its list.
    pub(crate) fn unlink(&mut self, flows: &mut [Entry], id: u32) {
        let (before, after) = (self.prev(flows, id), self.next(flows, id));
        self.join(flows, before, after);
    }

    /// The flow of a class that has been idle the longest. The flow stays where it is. The search
    /// moves at most `meetings` flows that are younger than their bucket. If there are more such
    /// flows in front, the answer is the longest idle of the flows that it moved.
    pub(crate) fn idlest(&mut self, flows: &mut [Entry], class: Class, meetings: usize) -> Option<u32> {
        let mut best = None;
        for _ in 0..meetings {
            let Some((id, slot)) = self.oldest(flows, class) else { break };
            let last = flows[id as usize].last();
            if self.home(last) == slot {
                return Some(id);
            }
            self.unlink(flows, id);
            self.link(flows, id, class);
            best = best.min(Some((last, id))).or(Some((last, id)));
        }
        best.map(|(_, id)| id)
    }

    /// The first flow of the oldest bucket.
    fn oldest(&mut self, flows: &[Entry], class: Class) -> Option<(u32, usize)> {
        loop {
            let slot = self.rings[class as usize].first(slot(self.base))?;
            let id = self.next(flows, self.node(class, slot));
            if id < self.flows {
                return Some((id, slot));
            }
            self.rings[class as usize].clear(slot);
        }
    }

    /// Sets the clock for the first time.
    pub(crate) fn start(&mut self, time: i64) {
        self.clock = bucket(time);
        self.base = self.clock + AHEAD - SPAN as i64 + 1;
    }

    /// Sets the clock.
    pub(crate) fn tick(&mut self, flows: &mut [Entry], time: i64) {
        let clock = bucket(time);
        if clock == self.clock {
            return;
        }
        self.clock = clock;
        let base = clock + AHEAD - SPAN as i64 + 1;
        if base > self.base {
            let passed = usize::try_from(base - self.base).unwrap_or(SPAN).min(SPAN);
            self.merge(flows, passed, base);
        } else if clock < self.base {
            self.merge(flows, SPAN, base);
        }
    }

    /// Makes `base` the oldest bucket, and moves into it what is in the `passed` oldest buckets.
    fn merge(&mut self, flows: &mut [Entry], passed: usize, base: i64) {
        let from = slot(self.base);
        let to = slot(base);
        for class in [Class::Young, Class::Settled] {
            let into = self.node(class, to);
            let mut ring = std::mem::replace(&mut self.rings[class as usize], BucketBitmap::EMPTY);
            while let Some(slot) = ring.first(from) {
                if (slot + SPAN - from) % SPAN >= passed {
                    break;
                }
                ring.clear(slot);
                if slot != to {
                    self.splice(flows, self.node(class, slot), into);
                }
            }
            ring.set(to);
            self.rings[class as usize] = ring;
        }
        self.base = base;
    }

    /// Moves a whole list to the end of another.
    fn splice(&mut self, flows: &mut [Entry], node: u32, into: u32) {
        let (first, last) = (self.next(flows, node), self.prev(flows, node));
        if first == node {
            return;
        }
        let tail = self.prev(flows, into);
        self.join(flows, tail, first);
        self.join(flows, last, into);
        self.join(flows, node, node);
    }
}

#[cfg(test)]
#[path = "idle_buckets_tests.rs"]
mod tests;
