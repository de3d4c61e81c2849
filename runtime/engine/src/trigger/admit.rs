//! Finds a row for a new key: a free row, or the row of the longest idle key. Invariant: all work
//! is done under the lock of the shard's index. The evicted key is truly the longest idle: a row at
//! the front that was seen meanwhile is moved to its right place, and the next row is tried. The
//! packets that saw such keys pay for these moves: a flood of keys costs O(log rows) per key,
//! whatever is active. (Rejected: to look at a few rows only; a flood then evicts the keys of a
//! busy network.)

use super::AHEAD;
use super::cells::{KINDS_AT, META, PART, SEEN, UNTIL, get, set};
use super::key::{PackedPart, put_text};
use super::keyed::{CountedEvent, Keyed, LINKED, LookupKey, PARKED, TURN, holds};
use super::shard_index::ShardIndex;
use super::visit::Moment;
use mrule_compiler::table::KeyValue;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

/// Huge pages are worth their memory when one row in this number is taken.
const WORTH: usize = 8;
/// How many ended holds are noted when room is made.
const ENDS: usize = 8;

impl Keyed {
    /// Calls `act` with the row of a key. A key without a row gets one: the row `near`, if that is
    /// free. Returns `None` when there is no room.
    pub(super) fn admit<R>(
        &self,
        shard_index: &mut ShardIndex,
        place: &LookupKey,
        near: Option<usize>,
        moment: &Moment,
        act: impl FnOnce(&mut ShardIndex, usize) -> R,
    ) -> Option<R> {
        let inside = self.enter(place.bucket);
        if let Some(row) = self.row_of(place) {
            return Some(act(shard_index, row));
        }
        drop(inside);
        let shard = self.shard(place);
        let near = near.and_then(|row| u32::try_from(row.checked_sub(shard * self.layout.rows)?).ok());
        let local = match shard_index.take(near) {
            Some(local) => local,
            None => self.evict(shard, shard_index, moment.now)?,
        };
        // All shards fill at the same rate. With huge pages from the start, a few keys would take
        // all the memory, and a packet would wait for it.
        if shard == 0 && shard_index.free.len() == self.layout.rows - self.layout.rows / WORTH {
            self.prefer_huge_pages();
        }
        if shard_index.free.len() < AHEAD && self.layout.parts > 0 {
            self.full.store(true, Relaxed);
        }
        let row = self.row(shard, local);
        shard_index.idle.push(&mut shard_index.places, moment.number as i64, local);
        shard_index.entered += 1;
        if let Some(home) = shard_index.homes.get_mut(local as usize) {
            *home = (place.bucket - shard * self.layout.buckets) as u32;
        }
        self.prepare(row, place);
        let _inside = self.enter(place.bucket);
        let line = self.line(row);
        set(&line[SEEN], moment.number);
        self.link(place, row);
        Some(act(shard_index, row))
    }

    /// Writes a row that is in no chain.
    fn prepare(&self, row: usize, place: &LookupKey) {
        // A reader that sees the new key also sees that the row has left the chain of the old key.
        fence(Release);
        set(&self.line(row)[UNTIL], i64::MIN as u64);
        let [low, high] = place.key_hash.first;
        set(&self.line(row)[PART], low);
        set(&self.line(row)[PART + 1], high);
        for (i, value) in place.key.iter().enumerate() {
            let (part, [low, high]) = (PackedPart::of(value), self.part_words(row, i));
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

    /// Takes the longest idle row out of its chain. Returns `None` when all rows are active.
    fn evict(&self, shard: usize, shard_index: &mut ShardIndex, now: i64) -> Option<u32> {
        self.end_holds(shard, shard_index, now, ENDS);
        while let Some((noted, local)) = shard_index.idle.first() {
            let row = self.row(shard, local);
            let line = self.line(row);
            let bucket = self.bucket_of(shard_index, shard, local);
            let inside = self.enter(bucket);
            let (seen, until) = (get(&line[SEEN]) as i64, get(&line[UNTIL]) as i64);
            if holds(until, now) {
                // The end of its hold was noted, but the time has gone back.
                set(&line[META], get(&line[META]) | PARKED);
                drop(inside);
                self.shards[shard].counters[0][CountedEvent::Expired as usize].fetch_sub(1, Relaxed);
                shard_index.activate(until, local);
            } else if seen == noted {
                self.unlink(bucket, row);
                drop(inside);
                shard_index.idle.remove(&mut shard_index.places, local);
                shard_index.evicted += 1;
                return Some(local);
            } else {
                drop(inside);
                shard_index.idle.update(&mut shard_index.places, seen, local);
            }
        }
        None
    }

    /// Puts a row at the beginning of its chain. The caller holds the bucket's lock.
    fn link(&self, place: &LookupKey, row: usize) {
        let first = self.first(place.bucket);
        let turn = get(&self.line(row)[META]) & TURN ^ TURN;
        let meta = turn | LINKED | u64::from(place.key_hash.kinds) << KINDS_AT | u64::from(first);
        // A reader that sees the row in the chain also sees its key.
        self.line(row)[META].store(meta, Release);
        let hash = place.key_hash.hash as u32;
        set(self.bucket(place.bucket), u64::from(hash) << 32 | (row as u64 + 1));
    }

    /// Takes a row out of its chain. The caller holds the bucket's lock.
    fn unlink(&self, bucket: usize, row: usize) {
        let meta = get(&self.line(row)[META]);
        set(&self.line(row)[META], meta & !LINKED);
        let (gone, after) = (row as u32 + 1, u64::from(meta as u32));
        let mut next = self.first(bucket);
        if next == gone {
            // The hash of the row that is first now is not known.
            set(self.bucket(bucket), after);
            return;
        }
        while let Some(at) = next.checked_sub(1) {
            let meta = get(&self.line(at as usize)[META]);
            next = meta as u32;
            if next == gone {
                set(&self.line(at as usize)[META], meta & !u64::from(u32::MAX) | after);
                return;
            }
        }
    }

    /// Notes the end of at most `most` holds that ended before `now`.
    pub(super) fn end_holds(&self, shard: usize, shard_index: &mut ShardIndex, now: i64, most: usize) {
        let mut ended = 0;
        while let Some((noted, local)) = shard_index.active.first()
            && noted < now
            && ended < most
        {
            let row = self.row(shard, local);
            let line = self.line(row);
            let inside = self.enter(self.bucket_of(shard_index, shard, local));
            let (until, seen) = (get(&line[UNTIL]) as i64, get(&line[SEEN]) as i64);
            let over = until < now;
            if over {
                set(&line[META], get(&line[META]) & !PARKED);
            }
            drop(inside);
            if over {
                self.shards[shard].count(false, CountedEvent::Expired);
                shard_index.rest(seen, local);
                ended += 1;
            } else {
                shard_index.active.update(&mut shard_index.places, until, local);
            }
        }
    }
}
