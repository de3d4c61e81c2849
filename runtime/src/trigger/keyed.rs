//! One trigger's state: finding a key's row, taking events into it, making room for a new key. The invariants: whoever needs
//! a shard's ledger takes it before going into a bucket, and is inside one bucket at a time, so nobody waits in a circle; a
//! row comes into a chain and leaves it only under the ledger; a packet of a known key takes one lock, one that only
//! looks none.
//! (Rejected: taking the ledger for every packet, as then the packets of all keys of a shard wait for each other.)

use super::cells::{
    FLAGS_AT, HEAD, HEAD_WORDS, Inside, KINDS_AT, LINE, Line, META, PART, SEEN, UNTIL, count, enter, get, lines,
    peek, set, words,
};
use super::distinct::{SKETCH_WORDS, Sketch};
use super::key::{KIND_BITS, KeyPart, LONG, Part, Probe, put_text, same_text};
use super::layout::{COLD_WORDS, FURTHER_HEAD, Layout};
use super::ledger::Ledger;
use super::suppress::{Suppressed, Suppressions};
use super::window::{Clock, MIN_PER, RING_WORDS, Sum, TooOld};
use super::{TriggerShape, WindowKind};
use mrule_compiler::abi::MAX_KEY;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether the row is among the active ones of its ledger.
pub(super) const PARKED: u64 = 1 << FLAGS_AT;
/// One packet too old for a window of the key.
const STRIKE: u64 = PARKED << 1;
/// How many in a row of those say that the clock was set back.
const STRIKES: u64 = 16;
const STRUCK: u64 = (2 * STRIKES - 1) * STRIKE;
const KINDS: u64 = (1 << (KIND_BITS * MAX_KEY)) - 1;
/// No chain is longer than this; whoever walks further has been led astray by a change.
const CHAIN: usize = 1 << 12;
/// How many holds' ends are noted when room is made.
const ENDS: usize = 8;
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
struct Ticks {
    time: AtomicI64,
    tick: AtomicU64,
}

impl Ticks {
    #[inline(always)]
    fn at(&self, now: i64) -> u64 {
        let (time, last) = (now >> TICK, self.time.load(Relaxed));
        // What comes a little late, by another worker perhaps, is of the same tick.
        if time > last || time < last - 1024 {
            self.time.store(time, Relaxed);
            self.tick.fetch_add(1, Relaxed);
        }
        get(&self.tick)
    }

    fn step(&self) -> u64 {
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
struct Window {
    kind: WindowKind,
    clock: Clock,
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
    ticks: Ticks,
    seed: [u64; 2],
    layout: Layout,
    windows: Box<[Window]>,
    buckets: Box<[AtomicU64]>,
    lines: Box<[Line]>,
    rings: Box<[AtomicU64]>,
    cold: Box<[AtomicU64]>,
    texts: Box<[AtomicU64]>,
    pub(super) shards: Box<[Shard]>,
    /// Nobody is active after this.
    pub(super) latest: AtomicI64,
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
        let rows = layout.all_rows();
        let seed = [0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db]
            .map(|odd| Probe::new([odd, !odd | 1], &[KeyValue::Num(seed)]).hash | 1);
        Keyed {
            ticks: Ticks::default(),
            seed,
            windows: shape.windows.iter().zip(&layout.rings).map(window).collect(),
            buckets: words(layout.shards * layout.buckets),
            lines: lines(rows * layout.lines),
            rings: words(rows * layout.ring_words),
            cold: words(rows * COLD_WORDS),
            texts: words(rows * layout.parts * layout.text),
            shards: (0..layout.shards).map(|_| shard()).collect(),
            latest: AtomicI64::new(i64::MIN),
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
        let lengths = |(mine, its): (&Window, &super::WindowShape)| mine.per.load(Relaxed) == its.per.max(MIN_PER);
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
        let bucket = ((u128::from(probe.hash) * self.buckets.len() as u128) >> 64) as usize;
        Place { probe, bucket }
    }

    /// The shard of a bucket.
    pub(super) fn shard(&self, place: &Place) -> usize {
        place.bucket / self.layout.buckets
    }

    #[inline(always)]
    pub(super) fn bucket(&self, bucket: usize) -> &AtomicU64 {
        &self.buckets[bucket]
    }

    /// The first line of a row.
    #[inline(always)]
    pub(super) fn line(&self, row: usize) -> &[AtomicU64; LINE] {
        &self.lines[row * self.layout.lines].0
    }

    fn further(&self, row: usize, word: usize) -> &AtomicU64 {
        &self.lines[row * self.layout.lines + 1 + word / LINE].0[word % LINE]
    }

    /// The words that only lists need.
    pub(super) fn cold(&self, row: usize) -> &[AtomicU64] {
        &self.cold[row * COLD_WORDS..][..COLD_WORDS]
    }

    pub(super) fn bucket_of(&self, row: usize) -> &AtomicU64 {
        self.bucket(get(&self.cold(row)[1]) as u32 as usize)
    }

    fn text(&self, row: usize, part: usize) -> &[AtomicU64] {
        let len = self.layout.text;
        &self.texts[(row * self.layout.parts + part) * len..][..len]
    }

    fn part_words(&self, row: usize, part: usize) -> [&AtomicU64; 2] {
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
    fn ring(&self, row: usize, window: &Window, len: usize) -> &[AtomicU64] {
        &self.rings[row * self.layout.ring_words + window.ring..][..len]
    }

    #[inline(always)]
    fn sum(&self, row: usize, at: usize, window: &Window) -> Sum<'_> {
        Sum { head: self.head(row, at), ring: self.ring(row, window, RING_WORDS) }
    }

    fn sketch(&self, row: usize, at: usize, window: &Window) -> Sketch<'_> {
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

    #[inline]
    pub(super) fn hint(&self, key: &[KeyValue]) {
        if self.fits(key) {
            let first = (get(self.bucket(self.place(key).bucket)) >> 32) as usize;
            if let Some(row) = first.checked_sub(1) {
                get(&self.line(row)[META]);
            }
        }
    }

    #[inline]
    pub(super) fn observe(
        &self,
        key: &[KeyValue],
        now: i64,
        events: &[Option<u64>],
        values: &mut [u64],
    ) -> bool {
        if !self.fits(key) || events.len() != self.windows.len() || values.len() != self.windows.len() {
            values.fill(0);
            return false;
        }
        let place = self.place(key);
        if events.iter().all(Option::is_none) {
            return self.look(&place, now, values);
        }
        let inside = enter(self.bucket(place.bucket));
        let Some(row) = self.find(inside.first, &place.probe) else {
            drop(inside);
            self.take_new(&place, now, events, values);
            return false;
        };
        self.take(row, now, events, values)
    }

    /// Takes events into the row of a key that had none.
    #[inline(never)]
    fn take_new(&self, place: &Place, now: i64, events: &[Option<u64>], values: &mut [u64]) {
        let mut ledger = self.shards[self.shard(place)].ledger();
        let taken = self.admit(&mut ledger, place, now, |_, row| {
            self.take(row, now, events, values);
        });
        if taken.is_none() {
            ledger.unkept += 1;
            for ((value, event), window) in values.iter_mut().zip(events).zip(&self.windows) {
                let alone = if window.kind == WindowKind::Sum { event.unwrap_or(0) } else { 1 };
                *value = event.map_or(0, |_| alone);
            }
        }
    }

    /// What a key's windows say; whether it is active.
    #[inline(always)]
    fn look(&self, place: &Place, now: i64, values: &mut [u64]) -> bool {
        let active = peek(self.bucket(place.bucket), |first| {
            let Some(row) = self.find(first, &place.probe) else {
                values.fill(0);
                return Some(false);
            };
            for (i, (window, value)) in self.windows.iter().zip(&mut *values).enumerate() {
                let slice = window.clock.slice(now);
                *value = match window.kind {
                    WindowKind::Count | WindowKind::Sum => self.sum(row, i, window).read(slice),
                    WindowKind::Distinct => self.sketch(row, i, window).peek(slice)?,
                };
            }
            Some(holds(get(&self.line(row)[UNTIL]) as i64, now))
        });
        active.unwrap_or_else(|| self.look_inside(place, now, values))
    }

    #[inline(never)]
    fn look_inside(&self, place: &Place, now: i64, values: &mut [u64]) -> bool {
        let inside = enter(self.bucket(place.bucket));
        let Some(row) = self.find(inside.first, &place.probe) else {
            values.fill(0);
            return false;
        };
        self.read(row, now, values);
        holds(get(&self.line(row)[UNTIL]) as i64, now)
    }

    fn read(&self, row: usize, now: i64, values: &mut [u64]) {
        for (i, (window, value)) in self.windows.iter().zip(values).enumerate() {
            let slice = window.clock.slice(now);
            *value = match window.kind {
                WindowKind::Count | WindowKind::Sum => self.sum(row, i, window).read(slice),
                WindowKind::Distinct => self.sketch(row, i, window).read(slice),
            };
        }
    }

    /// Takes events into a row; whether it is active. The caller is inside its bucket.
    #[inline(always)]
    fn take(&self, row: usize, now: i64, events: &[Option<u64>], values: &mut [u64]) -> bool {
        let line = self.line(row);
        set(&line[SEEN], self.ticks.at(now));
        let late = match (&*self.windows, events, &mut *values) {
            // Most triggers have one window.
            ([window], [Some(amount)], [value]) if window.kind != WindowKind::Distinct => {
                let slice = window.clock.slice(now);
                let head = [&line[HEAD], &line[HEAD + 1], &line[HEAD + 2]];
                let sum = Sum { head, ring: self.ring(row, window, RING_WORDS) };
                let told = sum.add(slice, amount_of(window.kind, *amount));
                *value = told.unwrap_or_else(|TooOld| sum.read(slice));
                told.is_err()
            }
            _ => self.take_several(row, now, events, values),
        };
        let meta = get(&line[META]);
        if late {
            self.strike(row, now, events, values);
        } else if meta & STRUCK != 0 {
            set(&line[META], meta & !STRUCK);
        }
        holds(get(&line[UNTIL]) as i64, now)
    }

    /// Takes events into windows; whether one was too old.
    fn take_several(&self, row: usize, now: i64, events: &[Option<u64>], values: &mut [u64]) -> bool {
        let mut late = false;
        for (i, ((window, value), event)) in self.windows.iter().zip(values).zip(events).enumerate() {
            let slice = window.clock.slice(now);
            *value = match (window.kind, *event) {
                (WindowKind::Count | WindowKind::Sum, event) => {
                    let sum = self.sum(row, i, window);
                    let told = event.map(|amount| sum.add(slice, amount_of(window.kind, amount)));
                    late |= told == Some(Err(TooOld));
                    told.and_then(Result::ok).unwrap_or_else(|| sum.read(slice))
                }
                (WindowKind::Distinct, _) => {
                    let (number, too_old) = self.take_value(row, i, slice, *event);
                    late |= too_old;
                    number
                }
            };
        }
        late
    }

    /// Takes a value into a sketch; what it says then, and whether the value was too old.
    #[inline(never)]
    fn take_value(&self, row: usize, at: usize, slice: i64, value: Option<u64>) -> (u64, bool) {
        let sketch = self.sketch(row, at, &self.windows[at]);
        let too_old = value.is_some_and(|value| sketch.add(slice, value) == Err(TooOld));
        (sketch.read(slice), too_old)
    }

    /// Notes that an event was too old for a window; the last of many in a row makes such windows begin anew.
    #[cold]
    fn strike(&self, row: usize, now: i64, events: &[Option<u64>], values: &mut [u64]) {
        let word = &self.line(row)[META];
        let meta = get(word);
        if meta & STRUCK < (STRIKES - 1) * STRIKE {
            set(word, meta + STRIKE);
            return;
        }
        set(word, meta & !STRUCK);
        for (i, (window, event)) in self.windows.iter().zip(events).enumerate() {
            let (slice, Some(amount)) = (window.clock.slice(now), *event) else { continue };
            match window.kind {
                WindowKind::Count | WindowKind::Sum => {
                    let (sum, amount) = (self.sum(row, i, window), amount_of(window.kind, amount));
                    if amount != 0 && sum.is_too_old(slice) {
                        sum.clear();
                        let _ = sum.add(slice, amount);
                    }
                }
                WindowKind::Distinct => {
                    let sketch = self.sketch(row, i, window);
                    if sketch.is_too_old(slice) {
                        sketch.clear();
                        let _ = sketch.add(slice, amount);
                    }
                }
            }
        }
        self.read(row, now, values);
    }

    /// Does something with the row of a key, which gets one if it has none; none when there is no room.
    pub(super) fn admit<R>(
        &self,
        ledger: &mut Ledger,
        place: &Place,
        now: i64,
        act: impl FnOnce(&mut Ledger, usize) -> R,
    ) -> Option<R> {
        let inside = enter(self.bucket(place.bucket));
        if let Some(row) = self.find(inside.first, &place.probe) {
            return Some(act(ledger, row));
        }
        drop(inside);
        let shard = self.shard(place);
        let local = match ledger.free.pop() {
            Some(local) => local,
            None => self.evict(shard, ledger, now)?,
        };
        let row = self.row(shard, local);
        ledger.idle.push(&mut ledger.places, self.ticks.step() as i64, local);
        ledger.entered += 1;
        self.prepare(row, place);
        let mut inside = enter(self.bucket(place.bucket));
        let line = self.line(row);
        set(&line[META], place.probe.kinds << KINDS_AT | u64::from(inside.first));
        set(&line[SEEN], get(&self.ticks.tick));
        inside.first = row as u32 + 1;
        Some(act(ledger, row))
    }

    pub(super) fn row(&self, shard: usize, local: u32) -> usize {
        shard * self.layout.rows + local as usize
    }

    /// The number of a row within its shard.
    pub(super) fn local(&self, place: &Place, row: usize) -> u32 {
        (row - self.shard(place) * self.layout.rows) as u32
    }

    /// Writes a row that is in no chain.
    fn prepare(&self, row: usize, place: &Place) {
        set(&self.line(row)[UNTIL], i64::MIN as u64);
        set(&self.cold(row)[1], place.bucket as u64);
        for (i, value) in place.probe.key.iter().enumerate() {
            let (part, [low, high]) = (Part::of(value), self.part_words(row, i));
            set(low, part.low);
            set(high, part.high);
            if let KeyValue::Bytes(text) = value {
                put_text(self.text(row, i), text);
            }
        }
        for (i, window) in self.windows.iter().enumerate() {
            self.clear_window(row, i, window);
        }
    }

    fn clear_window(&self, row: usize, at: usize, window: &Window) {
        match window.kind {
            WindowKind::Count | WindowKind::Sum => self.sum(row, at, window).clear(),
            WindowKind::Distinct => self.sketch(row, at, window).clear(),
        }
    }

    /// Takes the idlest row out of its chain; none when all are active.
    fn evict(&self, shard: usize, ledger: &mut Ledger, now: i64) -> Option<u32> {
        self.end_holds(shard, ledger, now, ENDS);
        while let Some((noted, local)) = ledger.idle.first() {
            let row = self.row(shard, local);
            let line = self.line(row);
            let mut inside = enter(self.bucket_of(row));
            let (seen, until) = (get(&line[SEEN]) as i64, get(&line[UNTIL]) as i64);
            if holds(until, now) {
                // The end of its hold was noted, but the time has gone back.
                set(&line[META], get(&line[META]) | PARKED);
                drop(inside);
                self.shards[shard].tallies[0][Tally::Expired as usize].fetch_sub(1, Relaxed);
                ledger.activate(until, local);
            } else if seen == noted {
                self.unlink(&mut inside, row);
                drop(inside);
                ledger.idle.remove(&mut ledger.places, local);
                ledger.evicted += 1;
                return Some(local);
            } else {
                drop(inside);
                ledger.idle.update(&mut ledger.places, seen, local);
            }
        }
        None
    }

    /// Takes a row out of the chain that the caller is inside of.
    fn unlink(&self, inside: &mut Inside, row: usize) {
        let after = get(&self.line(row)[META]) as u32;
        if inside.first == row as u32 + 1 {
            inside.first = after;
            return;
        }
        let mut next = inside.first;
        while let Some(at) = next.checked_sub(1) {
            let meta = get(&self.line(at as usize)[META]);
            next = meta as u32;
            if next == row as u32 + 1 {
                set(&self.line(at as usize)[META], meta & !u64::from(u32::MAX) | u64::from(after));
                return;
            }
        }
    }

    /// Notes the end of holds that ended before now, of at most so many.
    pub(super) fn end_holds(&self, shard: usize, ledger: &mut Ledger, now: i64, most: usize) {
        let mut ended = 0;
        while let Some((noted, local)) = ledger.active.first()
            && noted < now
            && ended < most
        {
            let row = self.row(shard, local);
            let line = self.line(row);
            let inside = enter(self.bucket_of(row));
            let (until, seen) = (get(&line[UNTIL]) as i64, get(&line[SEEN]) as i64);
            let over = until < now;
            if over {
                set(&line[META], get(&line[META]) & !PARKED);
            }
            drop(inside);
            if over {
                self.shards[shard].count(false, Tally::Expired);
                ledger.rest(seen, local);
                ended += 1;
            } else {
                ledger.active.update(&mut ledger.places, until, local);
            }
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
        self.buckets.iter().map(length).filter(|length| *length > 0).collect()
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
        for bucket in &self.buckets {
            let inside = enter(bucket);
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

fn amount_of(kind: WindowKind, amount: u64) -> u64 {
    if kind == WindowKind::Count { 1 } else { amount }
}
