//! Taking a packet's events into the windows of its key. The invariants: the common way and the general one do the same,
//! and the common one leaves everything as it is when it gives up; a packet without events writes nothing, but for a
//! sketch's number that was not known for its slice yet.
//! (Rejected: the general way alone, which costs three times as much.)

use super::cells::{HEAD, KINDS_AT, LINE, META, PART, SEEN, UNTIL, enter, get, glance, peek, set, try_enter};
use super::key::{LONG, Part, Probe};
use super::keyed::{CHAIN, KINDS, Keyed, Place, STRIKES_AT, holds};
use super::window::TooOld;
use super::{Spot, WindowKind};
use crate::sys::memory::prefetch;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::AtomicU64;

/// One packet too old for a window of the key.
const STRIKE: u64 = 1 << STRIKES_AT;
/// How many in a row of those say that the clock was set back.
const STRIKES: u64 = 16;
const STRUCK: u64 = (2 * STRIKES - 1) * STRIKE;

impl Keyed {
    #[inline(always)]
    pub(super) fn spot(&self, key: &[KeyValue]) -> Spot {
        Spot(Probe::new(self.seed, key).hash)
    }

    #[inline(always)]
    pub(super) fn seek(&self, spot: Spot) {
        prefetch(self.bucket(self.bucket_at(spot.0)));
    }

    #[inline(always)]
    pub(super) fn hint(&self, spot: Spot) {
        let first = (get(self.bucket(self.bucket_at(spot.0))) >> 32) as usize;
        if let Some(row) = first.checked_sub(1) {
            prefetch(self.line(row));
        }
    }

    #[inline]
    pub(super) fn observe(
        &self,
        spot: Spot,
        key: &[KeyValue],
        now: i64,
        events: &[Option<u64>],
        values: &mut [u64],
    ) -> bool {
        debug_assert!(!self.fits(key) || spot == self.spot(key), "of another key");
        if self.common
            && let ([part], [event], [value]) = (key, events, &mut *values)
            && let Some((told, active)) = self.observe_common(spot, part, now, *event)
        {
            *value = told;
            return active;
        }
        self.observe_any(key, now, events, values)
    }

    /// The most common case, in a straight line: what the window says, and whether the key is active. None when it is another
    /// case, or somebody is in the way.
    #[inline(always)]
    fn observe_common(
        &self,
        spot: Spot,
        part: &KeyValue,
        now: i64,
        event: Option<u64>,
    ) -> Option<(u64, bool)> {
        let (window, part) = (self.windows.first()?, Part::of(part));
        let slice = window.clock.slice(now);
        let word = self.bucket(self.bucket_at(spot.0));
        let Some(amount) = event else {
            return glance(word, |first| {
                let Some((row, line)) = self.find_common(first, part)? else { return Some((0, false)) };
                let (newest, sum) = (get(&line[HEAD]) as i64, get(&line[HEAD + 1]));
                let later = sum != 0 && newest < slice;
                let told = if later { self.sum(row, 0, window).read_later(slice) } else { sum };
                Some((told, holds(get(&line[UNTIL]) as i64, now)))
            });
        };
        let inside = try_enter(word)?;
        let (_, line) = self.find_common(inside.first, part)??;
        let (newest, sum, open) = (get(&line[HEAD]) as i64, get(&line[HEAD + 1]), get(&line[HEAD + 2]));
        let amount = amount_of(window.kind, amount);
        if newest != slice || amount == 0 || get(&line[META]) & STRUCK != 0 {
            return None;
        }
        let sum = sum.saturating_add(amount);
        set(&line[HEAD + 1], sum);
        set(&line[HEAD + 2], open.saturating_add(amount));
        set(&line[SEEN], self.ticks.at(now));
        Some((sum, holds(get(&line[UNTIL]) as i64, now)))
    }

    /// The row of a key of one part in a chain, if it has one; none when that takes more than a look at its first line.
    #[inline(always)]
    pub(super) fn find_common(&self, first: u32, part: Part) -> Option<Option<(usize, &[AtomicU64; LINE])>> {
        if part.kind == LONG {
            return None;
        }
        let mut next = first;
        for _ in 0..CHAIN {
            if next == 0 {
                return Some(None);
            }
            let row = next as usize - 1;
            let line = self.line(row);
            let meta = get(&line[META]);
            let other = (meta >> KINDS_AT & KINDS ^ part.kind)
                | (get(&line[PART]) ^ part.low)
                | (get(&line[PART + 1]) ^ part.high);
            if other == 0 {
                return Some(Some((row, line)));
            }
            next = meta as u32;
        }
        None
    }

    #[inline(never)]
    fn observe_any(&self, key: &[KeyValue], now: i64, events: &[Option<u64>], values: &mut [u64]) -> bool {
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
    fn take(&self, row: usize, now: i64, events: &[Option<u64>], values: &mut [u64]) -> bool {
        let line = self.line(row);
        set(&line[SEEN], self.ticks.at(now));
        let late = self.take_events(row, now, events, values);
        let meta = get(&line[META]);
        if late {
            self.strike(row, now, events, values);
        } else if meta & STRUCK != 0 {
            set(&line[META], meta & !STRUCK);
        }
        holds(get(&line[UNTIL]) as i64, now)
    }

    /// Takes events into windows; whether one was too old.
    fn take_events(&self, row: usize, now: i64, events: &[Option<u64>], values: &mut [u64]) -> bool {
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
}

#[inline(always)]
fn amount_of(kind: WindowKind, amount: u64) -> u64 {
    if kind == WindowKind::Count { 1 } else { amount }
}
