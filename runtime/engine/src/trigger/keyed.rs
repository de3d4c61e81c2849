//! One trigger's state: the layout of its memory, and how a key's row is found. Invariants: a
//! thread that needs a shard's index takes it before a lock, and holds one lock at a time, so
//! threads cannot deadlock. A row enters and leaves a chain only under the index and its bucket's
//! lock. A packet of a known key takes one lock; a packet that only reads takes none. (Rejected: to
//! take the index for each packet; the packets of all keys of a shard then wait for each other.)

use super::cells::{
    FLAGS_AT, HEAD, HEAD_WORDS, KINDS_AT, LINE, Line, Lines, META, PART, SEEN, count, get, set, words,
};
use super::distinct::{SKETCH_WORDS, Sketch};
use super::key::{KIND_BITS, KeyHash, KeyPart, LONG, PackedPart, same_text};
use super::layout::{COLD_WORDS, FURTHER_HEAD, Layout};
use super::lock_shards::{self, Inside, LockShards};
use super::shard_index::ShardIndex;
use super::suppress::Suppressions;
use super::visit::Moment;
use super::window::{Clock, MIN_PER, RING_WORDS, Sum};
use super::{AHEAD, TriggerShape, WindowKind};
use crate::memory::{NoMemory, list};
use crate::memory::{Pages, prefer_huge_pages};
use mrule_compiler::abi::MAX_KEY;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Flag: the row is among the active rows of its shard's index.
pub(super) const PARKED: u64 = 1 << FLAGS_AT;
/// Position of the counter of packets in a row that were too old for a window of the key.
pub(super) const STRIKES_AT: usize = FLAGS_AT + 1;
/// Flag: the row is in a chain.
pub(super) const LINKED: u64 = 1 << (STRIKES_AT + 5);
/// Flag: changes each time when the row enters a chain.
pub(super) const TURN: u64 = LINKED << 1;
pub(super) const KINDS: u64 = (1 << (KIND_BITS * MAX_KEY)) - 1;
/// No chain is longer than this. A longer walk means that a concurrent change has misled the
/// reader.
pub(super) const CHAIN: usize = 1 << 12;
/// A value that no number of parts has.
const NOT_COMMON: u8 = u8::MAX - 1;
/// Counters that need no lock of the shard's index.
#[derive(Debug, Clone, Copy)]
pub(super) enum CountedEvent {
    Raised,
    Extended,
    Vetoed,
    Suppressed,
    Full,
    Expired,
}

/// Counters of packets, then of raises from outside.
pub(super) type Tallies = [AtomicU64; 6];

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Shard {
    pub(super) counters: [Tallies; 2],
    shard_index: Mutex<ShardIndex>,
}

impl Shard {
    pub(super) fn shard_index(&self) -> MutexGuard<'_, ShardIndex> {
        self.shard_index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, outside: bool, what: CountedEvent) {
        count(&self.counters[usize::from(outside)][what as usize]);
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
pub(super) struct LookupKey<'a> {
    pub(super) key_hash: KeyHash,
    /// The key, unless the hash contains all of it.
    pub(super) key: &'a [KeyValue<'a>],
    pub(super) bucket: usize,
}

/// The part of shared rows that belongs to one of several co-located triggers.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The line where the trigger's part of the first row begins.
    own: usize,
    /// The number of lines from one row to the next.
    stride: usize,
}

/// A trigger's state.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) seed: [u64; 2],
    pub(super) layout: Layout,
    pub(super) windows: Box<[Window]>,
    /// The number of parts of the key, where the fast path applies: at most one part, and one
    /// window that counts or sums. Else [`NOT_COMMON`].
    pub(super) common: u8,
    /// The number of buckets is 2 to the power of this.
    bits: u32,
    buckets: Pages<AtomicU64>,
    /// What each packet needs of this trigger and of the co-located ones: row by row, the lines of
    /// each trigger.
    lines: Arc<Lines>,
    at: At,
    rings: Box<[AtomicU64]>,
    cold: Box<[AtomicU64]>,
    texts: Box<[AtomicU64]>,
    pub(super) shards: Box<[Shard]>,
    /// No key is active after this moment.
    pub(super) latest: AtomicI64,
    /// A shard has fewer than [`super::AHEAD`] free rows: from now on new keys may evict others.
    pub(super) full: AtomicBool,
    pub(super) suppressions: Suppressions,
    pub(super) lock_shards: Arc<LockShards>,
    shape: TriggerShape,
}

impl Keyed {
    /// Co-located states of triggers with the same key and number of rows: a packet finds all
    /// states of its key in one place.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn colocated(
        shapes: &[&TriggerShape],
        seed: [u64; 2],
        lock_shards: &Arc<LockShards>,
    ) -> Result<Vec<Keyed>, NoMemory> {
        let layouts: Vec<Layout> = shapes.iter().map(|shape| Layout::new(shape)).collect();
        let stride = layouts.iter().map(|layout| layout.lines).sum();
        let rows = layouts.first().map_or(0, Layout::all_rows);
        let lines = Arc::new(Lines::new(rows.saturating_mul(stride))?);
        let mut at = At { own: 0, stride };
        let made = |(shape, layout): (&&TriggerShape, Layout)| {
            let here = at;
            at.own += layout.lines;
            Keyed::new(shape, layout, seed, lock_shards, (&lines, here))
        };
        shapes.iter().zip(layouts).map(made).collect()
    }

    fn new(
        shape: &TriggerShape,
        layout: Layout,
        seed: [u64; 2],
        lock_shards: &Arc<LockShards>,
        (lines, at): (&Arc<Lines>, At),
    ) -> Result<Keyed, NoMemory> {
        let mut shards = list(layout.shards)?;
        for _ in 0..layout.shards {
            let shard_index = Mutex::new(ShardIndex::new(layout.rows)?);
            shards.push(Shard { counters: Default::default(), shard_index });
        }
        let window = |(window, ring): (&super::WindowShape, &usize)| Window {
            kind: window.kind,
            clock: Clock::new(window.per),
            per: AtomicI64::new(window.per.max(MIN_PER)),
            ring: *ring,
        };
        let (rows, buckets) = (layout.all_rows(), layout.all_buckets());
        Ok(Keyed {
            seed,
            windows: shape.windows.iter().zip(&layout.rings).map(window).collect(),
            common: match &*shape.windows {
                [one] if one.kind != WindowKind::Distinct && layout.parts <= 1 => layout.parts as u8,
                _ => NOT_COMMON,
            },
            bits: buckets.ilog2(),
            buckets: Pages::new(buckets)?,
            lines: lines.clone(),
            at,
            rings: words(rows.saturating_mul(layout.ring_words))?,
            cold: words(rows.saturating_mul(COLD_WORDS))?,
            texts: words(rows.saturating_mul(layout.parts * layout.text))?,
            shards: shards.into(),
            latest: AtomicI64::new(i64::MIN),
            full: AtomicBool::new(layout.parts > 0 && layout.rows < AHEAD),
            suppressions: Suppressions::new(shape.keys),
            lock_shards: lock_shards.clone(),
            shape: shape.clone(),
            layout,
        })
    }

    /// The number of rows of a trigger of this shape.
    pub(super) fn rows_of(shape: &TriggerShape) -> usize {
        Layout::new(shape).all_rows()
    }

    /// The lines that this trigger shares with co-located triggers, and their bytes.
    pub(super) fn shared(&self) -> (*const Lines, usize) {
        (Arc::as_ptr(&self.lines), self.lines.memory())
    }

    pub(super) fn name(&self) -> &str {
        &self.shape.name
    }

    /// Memory that belongs to this trigger alone, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.layout.memory().saturating_sub(self.layout.line_memory()) as usize
    }

    pub(super) fn capacity(&self) -> u64 {
        self.rows() as u64
    }

    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.layout.all_rows()
    }

    /// Whether a trigger of this shape can continue with this state.
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

    pub(super) fn suits(&self, hash: &KeyHash) -> bool {
        usize::from(hash.parts) == self.layout.parts
    }

    /// Where a key belongs.
    pub(super) fn place<'a>(&self, key: &'a [KeyValue<'a>]) -> LookupKey<'a> {
        self.place_of(KeyHash::new(self.seed, key), key)
    }

    /// Where a key with a known hash belongs.
    pub(super) fn place_of<'a>(&self, hash: KeyHash, key: &'a [KeyValue<'a>]) -> LookupKey<'a> {
        LookupKey { key_hash: hash, key, bucket: self.bucket_at(hash.hash) }
    }

    /// The row of a key.
    pub(super) fn row_of(&self, place: &LookupKey) -> Option<usize> {
        self.find(place.bucket, &place.key_hash, place.key)
    }

    /// The bucket of a hash.
    #[inline(always)]
    pub(super) fn bucket_at(&self, hash: u64) -> usize {
        (hash >> (u64::BITS - self.bits)) as usize
    }

    /// Takes the lock of a bucket.
    #[inline(always)]
    pub(super) fn enter(&self, bucket: usize) -> Inside<'_> {
        self.lock_shards.enter(bucket >> (self.bits - lock_shards::BITS))
    }

    /// The first row of a bucket plus 1; 0 for none.
    #[inline(always)]
    pub(super) fn first(&self, bucket: usize) -> u32 {
        get(self.bucket(bucket)) as u32
    }

    /// The shard of a key's bucket.
    pub(super) fn shard(&self, place: &LookupKey) -> usize {
        place.bucket / self.layout.buckets
    }

    #[inline(always)]
    pub(super) fn bucket(&self, bucket: usize) -> &AtomicU64 {
        &self.buckets[bucket]
    }

    /// The lines of a row, for all co-located triggers.
    #[inline(always)]
    pub(super) fn lines_of(&self, row: usize) -> &[Line] {
        self.lines.some(row * self.at.stride..(row + 1) * self.at.stride)
    }

    /// Asks the kernel to put what each packet needs into huge pages.
    #[cold]
    pub(super) fn prefer_huge_pages(&self) {
        self.lines.prefer_huge_pages();
        prefer_huge_pages(&self.buckets);
    }

    /// The first line of a row.
    #[inline(always)]
    pub(super) fn line(&self, row: usize) -> &Line {
        self.lines.at(row * self.at.stride + self.at.own)
    }

    /// The first line of a row. Returns `None` when there is no such row.
    #[inline(always)]
    pub(super) fn own_line(&self, row: usize) -> Option<&Line> {
        self.lines.get(row * self.at.stride + self.at.own)
    }

    fn further(&self, row: usize, word: usize) -> &AtomicU64 {
        &self.lines.at(row * self.at.stride + self.at.own + 1 + word / LINE)[word % LINE]
    }

    /// The words that only lists of keys need.
    pub(super) fn cold(&self, row: usize) -> &[AtomicU64] {
        &self.cold[row * COLD_WORDS..][..COLD_WORDS]
    }

    /// The bucket of a row that is taken.
    pub(super) fn bucket_of(&self, shard_index: &ShardIndex, shard: usize, local: u32) -> usize {
        let home = shard_index.homes.get(local as usize).copied().unwrap_or(0);
        shard * self.layout.buckets + home as usize
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

    /// The row of a key in a bucket.
    #[inline(always)]
    pub(super) fn find(&self, bucket: usize, hash: &KeyHash, key: &[KeyValue]) -> Option<usize> {
        let mut next = self.first(bucket);
        let mut steps = 0;
        while next != 0 && steps < CHAIN {
            let row = next as usize - 1;
            let line = self.line(row);
            let meta = get(&line[META]);
            if meta >> KINDS_AT & KINDS == u64::from(hash.kinds) && self.is_key(row, line, hash, key) {
                return Some(row);
            }
            next = meta as u32;
            steps += 1;
        }
        None
    }

    /// Whether a row's key equals this key, given that kinds and first part are equal.
    fn is_rest(&self, row: usize, key: &[KeyValue]) -> bool {
        key.iter().enumerate().all(|(i, value)| {
            let (part, [low, high]) = (PackedPart::of(value), self.part_words(row, i));
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
            KeyPart::new(PackedPart { kind, low, high }, self.text(row, i))
        };
        (0..self.layout.parts).map(part).collect()
    }

    pub(super) fn row(&self, shard: usize, local: u32) -> usize {
        shard * self.layout.rows + local as usize
    }

    /// The number of a row within its shard.
    pub(super) fn local(&self, place: &LookupKey, row: usize) -> u32 {
        (row - self.shard(place) * self.layout.rows) as u32
    }

    /// The first line of this row, if the key is in it. The caller holds the lock of the row's
    /// bucket, or checks afterwards that no other thread held it.
    #[inline(always)]
    pub(super) fn line_of(&self, row: usize, hash: &KeyHash, key: &[KeyValue]) -> Option<&Line> {
        let line = self.own_line(row)?;
        // Another thread may change the row's key meanwhile. The row has this key if it was in the
        // same chain before and after its key was read.
        let (mask, wanted) = (LINKED | KINDS << KINDS_AT, LINKED | u64::from(hash.kinds) << KINDS_AT);
        let before = line[META].load(Acquire) & (mask | TURN);
        let is = before & mask == wanted && self.is_key(row, line, hash, key);
        fence(Acquire);
        (is && get(&line[META]) & (mask | TURN) == before).then_some(line)
    }

    /// Whether a row's key, which has the same kinds of parts, equals this key.
    #[inline(always)]
    fn is_key(&self, row: usize, line: &Line, hash: &KeyHash, key: &[KeyValue]) -> bool {
        let [low, high] = hash.first;
        (get(&line[PART]) ^ low) | (get(&line[PART + 1]) ^ high) == 0
            && (hash.is_whole() || self.is_rest(row, key))
    }

    pub(super) fn clear_window(&self, row: usize, at: usize, window: &Window) {
        match window.kind {
            WindowKind::Count | WindowKind::Sum => self.sum(row, at, window).clear(),
            WindowKind::Distinct => self.sketch(row, at, window).clear(),
        }
    }

    /// The lengths of the chains that are not empty.
    #[cfg(test)]
    pub(super) fn chains(&self) -> Vec<usize> {
        let length = |bucket: usize| {
            let (mut next, mut length) = (self.first(bucket), 0);
            while let Some(row) = next.checked_sub(1) {
                next = get(&self.line(row as usize)[META]) as u32;
                length += 1;
            }
            length
        };
        (0..1 << self.bits).map(length).filter(|length| *length > 0).collect()
    }

    /// Notes when a row was seen. Workers may come out of order.
    #[inline(always)]
    pub(super) fn touch(&self, line: &Line, moment: &Moment) {
        set(&line[SEEN], get(&line[SEEN]).max(moment.number));
    }

    pub(super) fn set_per(&self, window: usize, per: i64) {
        let Some(changed) = self.windows.get(window) else { return };
        let per = per.max(MIN_PER);
        if changed.per.swap(per, Relaxed) == per {
            return;
        }
        // A thread that takes a bucket's lock afterwards sees the new length. What threads did
        // before with the old length is forgotten here.
        changed.clock.set_per(per);
        for bucket in 0..1 << self.bits {
            let _inside = self.enter(bucket);
            let mut next = self.first(bucket);
            while let Some(row) = next.checked_sub(1) {
                self.clear_window(row as usize, window, changed);
                next = get(&self.line(row as usize)[META]) as u32;
            }
        }
    }
}

/// Whether a key that is active until `until` is active now.
#[inline(always)]
pub(super) fn holds(until: i64, now: i64) -> bool {
    until >= now && until != i64::MIN
}
