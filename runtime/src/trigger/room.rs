//! Room for new keys: a free row, or that of the idlest key. The invariant: everything here is done under the shard's ledger;
//! the idlest is so in truth, as every row that comes first and was seen meanwhile is put in its place and the next looked
//! at. That is paid for by those who saw it: a flood of keys costs each of them O(log rows), whatever is active.
//! (Rejected: to look at a few rows only; the keys of a busy network are then pushed out by a flood.)

use super::cells::{Inside, KINDS_AT, META, SEEN, UNTIL, enter, get, set};
use super::key::{Part, put_text};
use super::keyed::{Keyed, PARKED, Place, Tally, holds};
use super::ledger::Ledger;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::Ordering::Relaxed;

/// Huge pages are worth their memory when one row in so many is taken.
const WORTH: usize = 8;
/// How many holds' ends are noted when room is made.
const ENDS: usize = 8;

impl Keyed {
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
        // All shards fill alike. In huge pages from the start, a few keys would take all the memory, and a packet wait for it.
        if shard == 0 && ledger.free.len() == self.layout.rows - self.layout.rows / WORTH {
            self.prefer_huge_pages();
        }
        if ledger.free.is_empty() {
            self.full.store(true, Relaxed);
        }
        let row = self.row(shard, local);
        ledger.idle.push(&mut ledger.places, self.ticks.step() as i64, local);
        ledger.entered += 1;
        if let Some(home) = ledger.homes.get_mut(local as usize) {
            *home = (place.bucket - shard * self.layout.buckets) as u32;
        }
        self.prepare(row, place);
        let mut inside = enter(self.bucket(place.bucket));
        let line = self.line(row);
        set(&line[META], place.probe.kinds << KINDS_AT | u64::from(inside.first));
        set(&line[SEEN], get(&self.ticks.tick));
        inside.first = row as u32 + 1;
        Some(act(ledger, row))
    }

    /// Writes a row that is in no chain.
    fn prepare(&self, row: usize, place: &Place) {
        set(&self.line(row)[UNTIL], i64::MIN as u64);
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

    /// Takes the idlest row out of its chain; none when all are active.
    fn evict(&self, shard: usize, ledger: &mut Ledger, now: i64) -> Option<u32> {
        self.end_holds(shard, ledger, now, ENDS);
        while let Some((noted, local)) = ledger.idle.first() {
            let row = self.row(shard, local);
            let line = self.line(row);
            let mut inside = enter(self.bucket_of(ledger, shard, local));
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
            let inside = enter(self.bucket_of(ledger, shard, local));
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
}
