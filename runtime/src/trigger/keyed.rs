//! One trigger's state: how its memory is laid out, and how a key's row is found. The invariants: whoever needs a shard's
//! ledger takes it before going into a bucket, and is inside one bucket at a time, so nobody waits in a circle; a row comes
//! into a chain and leaves it only under the ledger; a packet of a known key takes one lock, one that only looks none.
//! (Rejected: taking the ledger for every packet, as then the packets of all keys of a shard wait for each other.)

use super::cells::{
    FLAGS_AT, HEAD, HEAD_WORDS, KINDS_AT, LINE, Lines, META, PART, SEEN, count, enter, get, set, words,
};
use super::distinct::{SKETCH_WORDS, Sketch};
use super::key::{KIND_BITS, KeyPart, LONG, Part, Probe, same_text};
use super::layout::{COLD_WORDS, FURTHER_HEAD, Layout};
use super::ledger::Ledger;
use super::suppress::{Suppressed, Suppressions};
use super::window::{Clock, MIN_PER, RING_WORDS, Sum};
use super::{TriggerShape, WindowKind};
use mrule_compiler::abi::MAX_KEY;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether the row is among the active ones of its ledger.
pub(super) const PARKED: u64 = 1 << FLAGS_AT;
/// Where packets in a row that were too old for a window of the key are counted.
pub(super) const STRIKES_AT: usize = FLAGS_AT + 1;
pub(super) const KINDS: u64 = (1 << (KIND_BITS * MAX_KEY)) - 1;
/// No chain is longer than this; whoever walks further has been led astray by a change.
pub(super) const CHAIN: usize = 1 << 12;
/// Packet time that makes a tick, as a shift: about a millisecond.
const TICK: u32 = 20;

/// What is counted without the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tally {
    Raised,
    Extended,
    Vetoed,
    Suppressed,
    Full,
    Expired,
}

/// Counters for packets, then for what comes from outside.
pub(super) type Tallies = [AtomicU64; 6];

/// Counts how idle keys are: a step for each new key, and for each millisecond of packet time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Ticks {
    time: AtomicI64,
    pub(super) tick: AtomicU64,
}

impl Ticks {
    #[inline(always)]
    pub(super) fn at(&self, now: i64) -> u64 {
        let (time, last) = (now >> TICK, self.time.load(Relaxed));
        // What comes a little late, by another worker perhaps, is of the same tick.
        if time > last || time < last - 1024 {
            self.time.store(time, Relaxed);
            self.tick.fetch_add(1, Relaxed);
        }
        get(&self.tick)
    }

    pub(super) fn step(&self) -> u64 {
        self.tick.fetch_add(1, Relaxed) + 1
    }
}

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Shard {
    pub(super) tallies: [Tallies; 2],
    ledger: Mutex<Ledger>,
}

impl Shard {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, outside: bool, what: Tally) {
        count(&self.tallies[usize::from(outside)][what as usize]);
    }
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) kind: WindowKind,
    pub(super) clock: Clock,
    per: AtomicI64,
    ring: usize,
}

/// A key, and where it belongs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) probe: Probe<'a>,
    pub(super) bucket: usize,
}

/// A trigger's state.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) ticks: Ticks,
    pub(super) seed: [u64; 2],
    pub(super) layout: Layout,
    pub(super) windows: Box<[Window]>,
    /// Whether the common way does for most: a key of one part, one window that counts or adds.
    pub(super) common: bool,
    /// How many buckets there are.
    buckets: usize,
    /// Buckets, then, from line `first` on, rows: what every packet needs, side by side, so that it is large enough for huge pages.
    lines: Lines,
    first: usize,
    rings: Box<[AtomicU64]>,
    cold: Box<[AtomicU64]>,
    texts: Box<[AtomicU64]>,
    pub(super) shards: Box<[Shard]>,
    /// Nobody is active after this.
    pub(super) latest: AtomicI64,
    /// A shard has given away its last free row: from then on a new key may push out another.
    pub(super) full: AtomicBool,
    pub(super) suppressions: Suppressions,
    shape: TriggerShape,
}

impl Keyed {
    pub(super) fn new(shape: &TriggerShape, seed: u64) -> Keyed {
        let layout = Layout::new(shape);
        let shard = || Shard { tallies: Default::default(), ledger: Mutex::new(Ledger::new(layout.rows)) };
        let window = |(window, ring): (&super::WindowShape, &usize)| Window {
            kind: window.kind,
            clock: Clock::new(window.per),
            per: AtomicI64::new(window.per.max(MIN_PER)),
            ring: *ring,
        };
        let (rows, buckets) = (layout.all_rows(), layout.shards * layout.buckets);
        let first = buckets.div_ceil(LINE);
        let seed = [0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db]
            .map(|odd| Probe::new([odd, !odd | 1], &[KeyValue::Num(seed)]).hash | 1);
        Keyed {
            ticks: Ticks::default(),
            seed,
            windows: shape.windows.iter().zip(&layout.rings).map(window).collect(),
            common: layout.parts == 1 && matches!(&*shape.windows, [one] if one.kind != WindowKind::Distinct),
            buckets,
            lines: Lines::new(first + rows * layout.lines),
            first,
            rings: words(rows * layout.ring_words),
            cold: words(rows * COLD_WORDS),
            texts: words(rows * layout.parts * layout.text),
            shards: (0..layout.shards).map(|_| shard()).collect(),
            latest: AtomicI64::new(i64::MIN),
            full: AtomicBool::new(false),
            suppressions: Suppressions::new(shape.keys.max(1)),
            shape: shape.clone(),
            layout,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.shape.name
    }

    pub(super) fn memory(&self) -> usize {
        self.layout.memory()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.layout.all_rows() as u64
    }

    /// Whether a trigger of this shape can go on with this state.
    pub(super) fn is_of(&self, shape: &TriggerShape) -> bool {
        let lengths =
            |(mine, its): (&Window, &super::WindowShape)| mine.per.load(Relaxed) == its.per.max(MIN_PER);
        let kinds = |shape: &TriggerShape| shape.windows.iter().map(|w| w.kind).collect::<Vec<_>>();
        (&self.shape.name, self.shape.parts, self.shape.text, self.shape.keys)
            == (&shape.name, shape.parts, shape.text, shape.keys)
            && kinds(&self.shape) == kinds(shape)
            && self.windows.iter().zip(&shape.windows).all(lengths)
    }

    pub(super) fn fits(&self, key: &[KeyValue]) -> bool {
        key.len() == self.layout.parts
    }

    /// Where a key belongs.
    #[inline(always)]
    pub(super) fn place<'a>(&self, key: &'a [KeyValue<'a>]) -> Place<'a> {
        let probe = Probe::new(self.seed, key);
        Place { probe, bucket: self.bucket_at(probe.hash) }
    }

    /// The bucket of a hash.
    #[inline(always)]
    pub(super) fn bucket_at(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets as u128) >> 64) as usize
    }

    /// The shard of a bucket.
    pub(super) fn shard(&self, place: &Place) -> usize {
        place.bucket / self.layout.buckets
    }

    #[inline(always)]
    pub(super) fn bucket(&self, bucket: usize) -> &AtomicU64 {
        &self.lines.get(bucket / LINE)[bucket % LINE]
    }

    /// Has what every packet needs put in huge pages.
    #[cold]
    pub(super) fn prefer_huge_pages(&self) {
        self.lines.prefer_huge_pages();
    }

    /// The first line of a row.
    #[inline(always)]
    pub(super) fn line(&self, row: usize) -> &[AtomicU64; LINE] {
        self.lines.get(self.first + row * self.layout.lines)
    }

    fn further(&self, row: usize, word: usize) -> &AtomicU64 {
        &self.lines.get(self.first + row * self.layout.lines + 1 + word / LINE)[word % LINE]
    }

    /// The words that only lists need.
    pub(super) fn cold(&self, row: usize) -> &[AtomicU64] {
        &self.cold[row * COLD_WORDS..][..COLD_WORDS]
    }

    /// The bucket of a row that is taken.
    pub(super) fn bucket_of(&self, ledger: &Ledger, shard: usize, local: u32) -> &AtomicU64 {
        let home = ledger.homes.get(local as usize).copied().unwrap_or(0);
        self.bucket(shard * self.layout.buckets + home as usize)
    }

    pub(super) fn text(&self, row: usize, part: usize) -> &[AtomicU64] {
        let len = self.layout.text;
        &self.texts[(row * self.layout.parts + part) * len..][..len]
    }

    pub(super) fn part_words(&self, row: usize, part: usize) -> [&AtomicU64; 2] {
        if part == 0 {
            let line = self.line(row);
            return [&line[PART], &line[PART + 1]];
        }
        let word = self.layout.parts_at + 2 * (part - 1);
        [self.further(row, word), self.further(row, word + 1)]
    }

    #[inline(always)]
    fn head(&self, row: usize, window: usize) -> [&AtomicU64; HEAD_WORDS] {
        if window == 0 {
            let line = self.line(row);
            return [&line[HEAD], &line[HEAD + 1], &line[HEAD + 2]];
        }
        let word = FURTHER_HEAD * (window - 1);
        [self.further(row, word), self.further(row, word + 1), self.further(row, word + 2)]
    }

    #[inline(always)]
    pub(super) fn ring(&self, row: usize, window: &Window, len: usize) -> &[AtomicU64] {
        &self.rings[row * self.layout.ring_words + window.ring..][..len]
    }

    #[inline(always)]
    pub(super) fn sum(&self, row: usize, at: usize, window: &Window) -> Sum<'_> {
        Sum { head: self.head(row, at), ring: self.ring(row, window, RING_WORDS) }
    }

    pub(super) fn sketch(&self, row: usize, at: usize, window: &Window) -> Sketch<'_> {
        Sketch { head: self.head(row, at), cells: self.ring(row, window, SKETCH_WORDS) }
    }

    /// The row of a key in a chain.
    #[inline(always)]
    pub(super) fn find(&self, first: u32, probe: &Probe) -> Option<usize> {
        let mut next = first;
        let mut steps = 0;
        while next != 0 && steps < CHAIN {
            let row = next as usize - 1;
            let line = self.line(row);
            let meta = get(&line[META]);
            let same = meta >> KINDS_AT & KINDS == probe.kinds
                && get(&line[PART]) == probe.first[0]
                && get(&line[PART + 1]) == probe.first[1];
            if same && (probe.simple || self.is_rest(row, probe.key)) {
                return Some(row);
            }
            next = meta as u32;
            steps += 1;
        }
        None
    }

    /// Whether a row's key is this one; kinds and first part are.
    fn is_rest(&self, row: usize, key: &[KeyValue]) -> bool {
        key.iter().enumerate().all(|(i, value)| {
            let (part, [low, high]) = (Part::of(value), self.part_words(row, i));
            let same = part.low == get(low) && part.high == get(high);
            match value {
                KeyValue::Bytes(text) if same && part.kind == LONG => same_text(self.text(row, i), text),
                _ => same,
            }
        })
    }

    /// A row's key.
    pub(super) fn key(&self, row: usize) -> Vec<KeyPart> {
        let kinds = get(&self.line(row)[META]) >> KINDS_AT;
        let part = |i| {
            let kind = kinds >> (KIND_BITS * i) & ((1 << KIND_BITS) - 1);
            let [low, high] = self.part_words(row, i).map(get);
            KeyPart::new(Part { kind, low, high }, self.text(row, i))
        };
        (0..self.layout.parts).map(part).collect()
    }

    pub(super) fn row(&self, shard: usize, local: u32) -> usize {
        shard * self.layout.rows + local as usize
    }

    /// The number of a row within its shard.
    pub(super) fn local(&self, place: &Place, row: usize) -> u32 {
        (row - self.shard(place) * self.layout.rows) as u32
    }

    pub(super) fn clear_window(&self, row: usize, at: usize, window: &Window) {
        match window.kind {
            WindowKind::Count | WindowKind::Sum => self.sum(row, at, window).clear(),
            WindowKind::Distinct => self.sketch(row, at, window).clear(),
        }
    }

    /// The lengths of the chains that have a row.
    #[cfg(test)]
    pub(super) fn chains(&self) -> Vec<usize> {
        let length = |bucket: &AtomicU64| {
            let (mut next, mut length) = ((get(bucket) >> 32) as u32, 0);
            while let Some(row) = next.checked_sub(1) {
                next = get(&self.line(row as usize)[META]) as u32;
                length += 1;
            }
            length
        };
        (0..self.buckets).map(|bucket| length(self.bucket(bucket))).filter(|length| *length > 0).collect()
    }

    #[cfg(test)]
    pub(super) fn ticks_step(&self) {
        self.ticks.step();
    }

    pub(super) fn touch(&self, row: usize, now: i64) {
        set(&self.line(row)[SEEN], self.ticks.at(now));
    }

    pub(super) fn suppress(&self, key: &[KeyValue], now: i64, reason: &str, until: Option<i64>) -> bool {
        self.fits(key) && self.suppressions.put(self.place(key).probe.hash, key, now, reason, until)
    }

    pub(super) fn unsuppress(&self, key: &[KeyValue]) -> bool {
        self.suppressions.remove(self.place(key).probe.hash, key)
    }

    pub(super) fn suppressed(&self, now: i64) -> Vec<Suppressed> {
        self.suppressions.list(now)
    }

    pub(super) fn set_per(&self, window: usize, per: i64) {
        let Some(changed) = self.windows.get(window) else { return };
        let per = per.max(MIN_PER);
        if changed.per.swap(per, Relaxed) == per {
            return;
        }
        // Whoever goes into a bucket after us sees the new length; what they did before with the old one is forgotten.
        changed.clock.set_per(per);
        for bucket in 0..self.buckets {
            let inside = enter(self.bucket(bucket));
            let mut next = inside.first;
            while let Some(row) = next.checked_sub(1) {
                self.clear_window(row as usize, window, changed);
                next = get(&self.line(row as usize)[META]) as u32;
            }
        }
    }
}

/// Whether a key is active that is active until then.
#[inline(always)]
pub(super) fn holds(until: i64, now: i64) -> bool {
    until >= now && until != i64::MIN
}
