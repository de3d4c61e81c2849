//! Raises, extends and clears keys, and counts the outcomes. Invariants: a raised key whose end was
//! not yet noted is marked and in the heap of active rows of its index, so that an extension needs
//! no index. Each raise that was not an extension is active, or is later counted once as expired or
//! cleared. (Rejected: a timer for each hold; it would run in another time than packets.)

use super::cells::{META, UNTIL, get, set};
use super::keyed::{CountedEvent, Keyed, LookupKey, PARKED, holds};
use super::suppress::Suppressed;
use super::visit::Moment;
use super::{ActiveKey, Outcome, TriggerCounts};
use mrule_compiler::table::KeyValue;
use std::sync::atomic::Ordering::Relaxed;

/// The low bits of time that are set in the mark of the latest end: about a second.
const COARSE: i64 = (1 << 30) - 1;

impl Keyed {
    pub(super) fn veto(&self, key: &[KeyValue]) -> Outcome {
        if !self.fits(key) {
            return Outcome::Nothing;
        }
        self.shards[self.shard(&self.place(key))].count(false, CountedEvent::Vetoed);
        Outcome::Vetoed
    }

    pub(super) fn raise(&self, key: &[KeyValue], moment: &Moment, until: i64, outside: bool) -> Outcome {
        let now = moment.now;
        if !self.fits(key) {
            return Outcome::Nothing;
        }
        let place = self.place(key);
        let shard = &self.shards[self.shard(&place)];
        if self.suppressions.hit(place.key_hash.hash, key, now) {
            shard.count(outside, CountedEvent::Suppressed);
            return Outcome::Suppressed;
        }
        // Set before the key is raised, so that a thread that learns of the raise finds the mark.
        if self.latest.load(Relaxed) < until {
            self.latest.fetch_max(until | COARSE, Relaxed);
        }
        let outcome = self.raise_marked(&place, moment, until).unwrap_or_else(|| {
            let mut shard_index = shard.shard_index();
            let raised = self.admit(&mut shard_index, &place, None, moment, |shard_index, row| {
                let line = self.line(row);
                let meta = get(&line[META]);
                if meta & PARKED == 0 {
                    if holds(get(&line[UNTIL]) as i64, now) {
                        // Its end had been noted, but the time has gone back.
                        shard.counters[0][CountedEvent::Expired as usize].fetch_sub(1, Relaxed);
                    } else {
                        set(&line[UNTIL], i64::MIN as u64);
                    }
                    set(&line[META], meta | PARKED);
                    let outcome = self.prolong(&place, row, moment, until);
                    shard_index.activate(get(&line[UNTIL]) as i64, self.local(&place, row));
                    outcome
                } else {
                    self.prolong(&place, row, moment, until)
                }
            });
            raised.unwrap_or(Outcome::Full)
        });
        let event = match outcome {
            Outcome::Raised => CountedEvent::Raised,
            Outcome::Extended => CountedEvent::Extended,
            _ => CountedEvent::Full,
        };
        shard.count(outside, event);
        outcome
    }

    /// Raises a key that is marked already. Returns `None` when it is not marked.
    #[inline(always)]
    fn raise_marked(&self, place: &LookupKey, moment: &Moment, until: i64) -> Option<Outcome> {
        let _inside = self.enter(place.bucket);
        let row = self.row_of(place)?;
        (get(&self.line(row)[META]) & PARKED != 0).then(|| self.prolong(place, row, moment, until))
    }

    /// Makes a marked row active until `until`, unless it already is for longer. The caller holds
    /// the bucket's lock.
    #[inline(always)]
    fn prolong(&self, place: &LookupKey, row: usize, moment: &Moment, until: i64) -> Outcome {
        let now = moment.now;
        let (line, cold) = (self.line(row), self.cold(row));
        let (was, raises) = (get(&line[UNTIL]) as i64, get(&cold[1]));
        self.touch(line, moment);
        if holds(was, now) {
            if until > was {
                set(&line[UNTIL], until as u64);
            }
            set(&cold[1], raises.saturating_add(1));
            return Outcome::Extended;
        }
        if was != i64::MIN {
            self.shards[self.shard(place)].count(false, CountedEvent::Expired);
        }
        set(&line[UNTIL], until as u64);
        set(&cold[0], now as u64);
        set(&cold[1], 1);
        Outcome::Raised
    }

    #[inline]
    pub(super) fn active(&self, key: &[KeyValue], now: i64) -> bool {
        if !holds(self.latest.load(Relaxed), now) || !self.fits(key) {
            return false;
        }
        let place = self.place(key);
        let until = self.lock_shards.peek(place.key_hash.lock_shard(), || {
            self.row_of(&place).map(|row| get(&self.line(row)[UNTIL]) as i64)
        });
        until.is_some_and(|until| holds(until, now))
    }

    pub(super) fn clear(&self, key: &[KeyValue], now: i64) -> bool {
        if !self.fits(key) {
            return false;
        }
        let place = self.place(key);
        let shard = self.shard(&place);
        let mut shard_index = self.shards[shard].shard_index();
        let inside = self.enter(place.bucket);
        let Some(row) = self.row_of(&place) else { return false };
        let (was, marked) = self.end(row, now);
        drop(inside);
        self.note_end(shard, &mut shard_index, self.local(&place, row), was, marked);
        was
    }

    /// Makes a row inactive. Returns whether it was active, and whether it was marked. The caller
    /// holds the bucket's lock.
    fn end(&self, row: usize, now: i64) -> (bool, bool) {
        let line = self.line(row);
        let meta = get(&line[META]);
        let was = holds(get(&line[UNTIL]) as i64, now);
        set(&line[META], meta & !PARKED);
        set(&line[UNTIL], i64::MIN as u64);
        (was, meta & PARKED != 0)
    }

    fn note_end(
        &self,
        shard: usize,
        shard_index: &mut super::shard_index::ShardIndex,
        local: u32,
        was: bool,
        marked: bool,
    ) {
        let expired = &self.shards[shard].counters[0][CountedEvent::Expired as usize];
        if marked {
            shard_index.rest(get(&self.line(self.row(shard, local))[super::cells::SEEN]) as i64, local);
        }
        match (was, marked) {
            (true, true) => shard_index.cleared += 1,
            (true, false) => {
                // Its end had been noted, but the time has gone back.
                shard_index.cleared += 1;
                expired.fetch_sub(1, Relaxed);
            }
            (false, true) => {
                expired.fetch_add(1, Relaxed);
            }
            (false, false) => {}
        }
    }

    pub(super) fn clear_all(&self, now: i64) -> u64 {
        let mut cleared = 0;
        for (i, shard) in self.shards.iter().enumerate() {
            let mut shard_index = shard.shard_index();
            let rows: Vec<u32> = shard_index.active.rows().chain(shard_index.idle.rows()).collect();
            for local in rows {
                let row = self.row(i, local);
                let inside = self.enter(self.bucket_of(&shard_index, i, local));
                let (was, marked) = self.end(row, now);
                drop(inside);
                self.note_end(i, &mut shard_index, local, was, marked);
                cleared += u64::from(was);
            }
        }
        cleared
    }

    pub(super) fn list(&self, now: i64) -> Vec<ActiveKey> {
        let mut list = Vec::new();
        for (i, shard) in self.shards.iter().enumerate() {
            let shard_index = shard.shard_index();
            for local in shard_index.active.rows().chain(shard_index.idle.rows()) {
                let row = self.row(i, local);
                let _inside = self.enter(self.bucket_of(&shard_index, i, local));
                let until = get(&self.line(row)[UNTIL]) as i64;
                if holds(until, now) {
                    let cold = self.cold(row);
                    list.push(ActiveKey {
                        key: self.key(row),
                        since: get(&cold[0]) as i64,
                        until: (until != i64::MAX).then_some(until),
                        raises: u32::try_from(get(&cold[1])).unwrap_or(u32::MAX),
                    });
                }
            }
        }
        list.sort_unstable_by(|a, b| (a.since, &a.key).cmp(&(b.since, &b.key)));
        list
    }

    pub(super) fn counts(&self, now: i64) -> TriggerCounts {
        let mut counts = TriggerCounts { capacity: self.capacity(), ..TriggerCounts::default() };
        for (i, shard) in self.shards.iter().enumerate() {
            let mut shard_index = shard.shard_index();
            self.end_holds(i, &mut shard_index, now, usize::MAX);
            let [packets, outside] = &shard.counters;
            let of = |event: CountedEvent| get(&packets[event as usize]);
            let outside = |event: CountedEvent| get(&outside[event as usize]);
            counts.raised += of(CountedEvent::Raised);
            counts.extended += of(CountedEvent::Extended);
            counts.vetoed += of(CountedEvent::Vetoed);
            counts.suppressed += of(CountedEvent::Suppressed);
            counts.full += of(CountedEvent::Full);
            counts.expired += of(CountedEvent::Expired);
            counts.external += outside(CountedEvent::Raised);
            counts.external_extended += outside(CountedEvent::Extended);
            counts.external_suppressed += outside(CountedEvent::Suppressed);
            counts.external_full += outside(CountedEvent::Full);
            counts.active += shard_index.active.len() as u64;
            counts.cleared += shard_index.cleared;
            counts.entered += shard_index.entered;
            counts.evicted += shard_index.evicted;
            counts.unkept += shard_index.unkept;
        }
        counts.held = counts.raised + counts.extended + counts.vetoed + counts.suppressed + counts.full;
        counts.keys = counts.entered - counts.evicted;
        counts
    }

    pub(super) fn suppress(&self, key: &[KeyValue], now: i64, reason: &str, until: Option<i64>) -> bool {
        self.fits(key) && self.suppressions.put(self.place(key).key_hash.hash, key, now, reason, until)
    }

    pub(super) fn unsuppress(&self, key: &[KeyValue]) -> bool {
        self.suppressions.remove(self.place(key).key_hash.hash, key)
    }

    pub(super) fn suppressed(&self, now: i64) -> Vec<Suppressed> {
        self.suppressions.list(now)
    }
}
