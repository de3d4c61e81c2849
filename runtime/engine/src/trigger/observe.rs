//! Takes a packet's events into the windows of its key. Invariants: the fast path and the general
//! path have the same effect, and the fast path changes nothing when it gives up. A packet without
//! events writes nothing, except a sketch's number that was not yet computed for its slice.
//! (Rejected: the general path alone, which costs three times as much.)

use super::WindowKind;
use super::cells::{HEAD, Line, META, UNTIL, get, set};
use super::key::KeyHash;
use super::keyed::{Keyed, STRIKES_AT, holds};
use super::visit::{Moment, Visit};
use super::window::TooOld;
use crate::memory::prefetch;
use mrule_compiler::abi::WindowEvent;
use mrule_compiler::hir::MAX_WINDOW;

/// One packet too old for a window of the key.
const STRIKE: u64 = 1 << STRIKES_AT;
/// This number of old packets in a row means that the clock was set back.
const STRIKES: u64 = 16;
/// How many lines of a key are prefetched.
const MOST_LINES: usize = 16;
const STRUCK: u64 = (2 * STRIKES - 1) * STRIKE;

impl Keyed {
    #[inline(always)]
    pub(super) fn prefetch_bucket(&self, hash: &KeyHash) {
        self.lock_shards.prefetch(hash.lock_shard());
        prefetch(self.bucket(self.bucket_at(hash.hash)));
    }

    /// Guesses that the key is in the first row of its bucket, unless the hash shows another key.
    #[inline(always)]
    pub(super) fn guess_row(&self, hash: &mut KeyHash) {
        let word = get(self.bucket(self.bucket_at(hash.hash)));
        if word >> 32 == 0 || (word >> 32) as u32 == hash.hash as u32 {
            hash.row = word as u32;
        }
    }

    #[inline(always)]
    pub(super) fn prefetch_row(&self, hash: &KeyHash) {
        // The row may be of another trigger, which has more rows.
        if let Some(row) = (hash.row as usize).checked_sub(1)
            && let Some(line) = self.own_line(row)
        {
            prefetch(line);
        }
    }

    /// Prefetches the row for all co-located triggers.
    #[inline(always)]
    pub(super) fn prefetch_rows(&self, hash: &KeyHash) {
        if let Some(row) = (hash.row as usize).checked_sub(1) {
            self.lines_of(row).iter().take(MOST_LINES).for_each(prefetch);
        }
    }

    #[inline(always)]
    pub(super) fn observe(
        &self,
        visit: &mut Visit,
        moment: &mut Moment,
        events: &[WindowEvent],
        values: &mut [u64],
    ) -> bool {
        if self.common == visit.key_hash.whole
            && let ([event], [value]) = (events, &mut *values)
        {
            let common = if event.counts == 0 {
                self.look_common(visit, moment)
            } else {
                self.add_common(visit, moment, event)
            };
            if let Some((told, active)) = common {
                *value = told.min(MAX_WINDOW);
                return active;
            }
        }
        let active = self.observe_any(visit, moment, events, values);
        at_most(values);
        active
    }

    /// The fast path: returns the window's value and whether the key is active. Returns `None` in
    /// all other cases.
    #[inline(always)]
    fn add_common(&self, visit: &mut Visit, moment: &mut Moment, event: &WindowEvent) -> Option<(u64, bool)> {
        let window = self.windows.first()?;
        let slice = moment.slice(&window.clock);
        visit.enter();
        let (_, line) = self.locate(visit)?;
        let (newest, sum, open) = (get(&line[HEAD]) as i64, get(&line[HEAD + 1]), get(&line[HEAD + 2]));
        let amount = amount_of(window.kind, event.amount);
        if newest != slice || amount == 0 || get(&line[META]) & STRUCK != 0 {
            return None;
        }
        let sum = sum.saturating_add(amount);
        set(&line[HEAD + 1], sum);
        set(&line[HEAD + 2], open.saturating_add(amount));
        self.touch(line, moment);
        Some((sum, holds(get(&line[UNTIL]) as i64, moment.now)))
    }

    /// The fast path for a packet that does not count. Also returns `None` when another thread
    /// holds the lock.
    #[inline(always)]
    fn look_common(&self, visit: &mut Visit, moment: &mut Moment) -> Option<(u64, bool)> {
        let window = self.windows.first()?;
        let slice = moment.slice(&window.clock);
        let (inside, lock_shard) = (visit.is_inside(), visit.key_hash.lock_shard());
        let mut look = || {
            let Some((row, line)) = self.locate(visit) else { return Some((0, false)) };
            let (newest, sum) = (get(&line[HEAD]) as i64, get(&line[HEAD + 1]));
            let later = sum != 0 && newest < slice;
            let told = if later { self.sum(row, 0, window).read_later(slice) } else { sum };
            Some((told, holds(get(&line[UNTIL]) as i64, moment.now)))
        };
        if inside { look() } else { self.lock_shards.glance(lock_shard, look) }
    }

    /// The row of a visit's key: the expected row, or else the row found in its chain.
    #[inline(always)]
    fn locate(&self, visit: &mut Visit) -> Option<(usize, &Line)> {
        if let Some(row) = visit.row()
            && let Some(line) = self.line_of(row, visit.key_hash, visit.key)
        {
            visit.is_right();
            return Some((row, line));
        }
        let row = self.search(visit)?;
        Some((row, self.line(row)))
    }

    #[inline(never)]
    fn search(&self, visit: &mut Visit) -> Option<usize> {
        let row = self.find(self.bucket_at(visit.key_hash.hash), visit.key_hash, visit.key)?;
        visit.found(row);
        Some(row)
    }

    #[inline(never)]
    fn observe_any(
        &self,
        visit: &mut Visit,
        moment: &mut Moment,
        events: &[WindowEvent],
        values: &mut [u64],
    ) -> bool {
        let windows = self.windows.len();
        if !self.suits(visit.key_hash) || events.len() != windows || values.len() != windows {
            values.fill(0);
            return false;
        }
        let now = moment.now;
        if events.iter().all(|event| event.counts == 0) {
            return self.look(visit, now, values);
        }
        visit.enter();
        let Some((row, _)) = self.locate(visit) else {
            // The shard's index must be taken before the lock.
            visit.leave();
            self.take_new(visit, moment, events, values);
            return false;
        };
        self.take(row, moment, events, values)
    }

    /// Takes events into the row of a key that had no row.
    #[inline(never)]
    fn take_new(&self, visit: &mut Visit, moment: &Moment, events: &[WindowEvent], values: &mut [u64]) {
        let place = self.place_of(*visit.key_hash, visit.key);
        let mut shard_index = self.shards[self.shard(&place)].shard_index();
        let taken = self.admit(&mut shard_index, &place, visit.row(), moment, |_, row| {
            self.take(row, moment, events, values);
            row
        });
        if let Some(row) = taken {
            visit.found(row);
            return;
        }
        shard_index.unkept += 1;
        for ((value, event), window) in values.iter_mut().zip(events).zip(&self.windows) {
            let alone = if window.kind == WindowKind::Sum { event.amount } else { 1 };
            *value = if event.counts == 0 { 0 } else { alone };
        }
    }

    /// Reads the values of a key's windows. Returns whether the key is active.
    fn look(&self, visit: &mut Visit, now: i64, values: &mut [u64]) -> bool {
        if !visit.is_inside() {
            let lock_shard = visit.key_hash.lock_shard();
            let active = self.lock_shards.peek(lock_shard, || {
                let Some((row, _)) = self.locate(visit) else {
                    values.fill(0);
                    return Some(false);
                };
                for (i, (window, value)) in self.windows.iter().zip(&mut *values).enumerate() {
                    let slice = window.clock.slice_of(now);
                    *value = match window.kind {
                        WindowKind::Count | WindowKind::Sum => self.sum(row, i, window).read(slice),
                        WindowKind::Distinct => self.sketch(row, i, window).peek(slice)?,
                    };
                }
                Some(holds(get(&self.line(row)[UNTIL]) as i64, now))
            });
            if let Some(active) = active {
                return active;
            }
            visit.enter();
        }
        let Some((row, _)) = self.locate(visit) else {
            values.fill(0);
            return false;
        };
        self.read(row, now, values);
        holds(get(&self.line(row)[UNTIL]) as i64, now)
    }

    fn read(&self, row: usize, now: i64, values: &mut [u64]) {
        for (i, (window, value)) in self.windows.iter().zip(values).enumerate() {
            let slice = window.clock.slice_of(now);
            *value = match window.kind {
                WindowKind::Count | WindowKind::Sum => self.sum(row, i, window).read(slice),
                WindowKind::Distinct => self.sketch(row, i, window).read(slice),
            };
        }
    }

    /// Takes events into a row. Returns whether the key is active. The caller holds the bucket's
    /// lock.
    fn take(&self, row: usize, moment: &Moment, events: &[WindowEvent], values: &mut [u64]) -> bool {
        let (line, now) = (self.line(row), moment.now);
        self.touch(line, moment);
        let late = self.take_events(row, now, events, values);
        let meta = get(&line[META]);
        if late {
            self.strike(row, now, events, values);
        } else if meta & STRUCK != 0 {
            set(&line[META], meta & !STRUCK);
        }
        holds(get(&line[UNTIL]) as i64, now)
    }

    /// Takes events into windows. Returns whether an event was too old.
    fn take_events(&self, row: usize, now: i64, events: &[WindowEvent], values: &mut [u64]) -> bool {
        let mut late = false;
        for (i, ((window, value), event)) in self.windows.iter().zip(values).zip(events).enumerate() {
            let slice = window.clock.slice_of(now);
            *value = match (window.kind, *event) {
                (WindowKind::Count | WindowKind::Sum, WindowEvent { counts: 0, .. }) => {
                    self.sum(row, i, window).read(slice)
                }
                (WindowKind::Count | WindowKind::Sum, WindowEvent { amount, .. }) => {
                    let sum = self.sum(row, i, window);
                    let told = sum.add(slice, amount_of(window.kind, amount));
                    late |= told.is_err();
                    told.unwrap_or_else(|TooOld| sum.read(slice))
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

    /// Takes a value into a sketch. Returns the sketch's number, and whether the value was too old.
    #[inline(never)]
    fn take_value(&self, row: usize, at: usize, slice: i64, event: WindowEvent) -> (u64, bool) {
        let sketch = self.sketch(row, at, &self.windows[at]);
        let too_old = event.counts != 0 && sketch.add(slice, event.amount) == Err(TooOld);
        (sketch.read(slice), too_old)
    }

    /// Notes that an event was too old for a window. The last of many in a row makes such windows
    /// begin anew.
    #[cold]
    fn strike(&self, row: usize, now: i64, events: &[WindowEvent], values: &mut [u64]) {
        let word = &self.line(row)[META];
        let meta = get(word);
        if meta & STRUCK < (STRIKES - 1) * STRIKE {
            set(word, meta + STRIKE);
            return;
        }
        set(word, meta & !STRUCK);
        for (i, (window, event)) in self.windows.iter().zip(events).enumerate() {
            let (slice, WindowEvent { counts, amount }) = (window.clock.slice_of(now), *event);
            if counts == 0 {
                continue;
            }
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
}

/// Limits values to the greatest value of a window.
#[inline(never)]
fn at_most(values: &mut [u64]) {
    for value in values {
        *value = (*value).min(MAX_WINDOW);
    }
}

#[inline(always)]
fn amount_of(kind: WindowKind, amount: u64) -> u64 {
    if kind == WindowKind::Count { 1 } else { amount }
}
