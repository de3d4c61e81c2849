//! The locks of a store: one for all keys whose hashes begin alike, whatever their trigger, so that
//! a packet takes one for all triggers that have the same key of it. A lock is a version, odd while
//! somebody is inside. The invariants: nobody goes into a second one while inside the first, nor
//! waits for a shard's index there; what stands in a chain is written only by whoever is inside the
//! lock of its bucket; whoever reads without going in looks at the version before and after, and
//! begins anew when it has changed. All words are atomics, so a race is at worst a wrong number
//! that is thrown away. (Rejected: `std::sync::Mutex`, which costs twice as much, as letting go of
//! it is a locked instruction, too, and lets nobody read beside a writer; a lock in each bucket, of
//! which a packet took one for each trigger.)

use crate::memory::prefetch_to_write;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Duration;

/// Bits of a hash that choose a lock: so few that the locks stay in a near cache, so many that
/// workers seldom meet.
pub(super) const BITS: u32 = 12;

const COUNT: usize = 1 << BITS;

/// The locks, and how many moments there were.
#[derive(Debug)]
pub(super) struct LockShards {
    locks: [AtomicU64; COUNT],
    moments: Alone,
}

/// In a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone(AtomicU64);

/// Somebody inside a lock.
pub(super) struct Inside<'a> {
    word: &'a AtomicU64,
    version: u64,
}

/// Waits for somebody who is inside: they are there for some nanoseconds, unless the system has
/// taken their processor.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    #[cold]
    #[inline(never)]
    fn wait(&mut self) {
        self.0 = self.0.saturating_add(1);
        match self.0 {
            0..64 => std::hint::spin_loop(),
            64..256 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

impl LockShards {
    pub(super) fn new() -> LockShards {
        LockShards { locks: std::array::from_fn(|_| AtomicU64::new(0)), moments: Alone::default() }
    }

    #[inline(always)]
    fn word(&self, lock_shard: usize) -> &AtomicU64 {
        &self.locks[lock_shard % COUNT]
    }

    /// The number of the first of so many moments that come next, from 1.
    pub(super) fn moments(&self, count: usize) -> u64 {
        self.moments.0.fetch_add(count as u64, Relaxed) + 1
    }

    /// Asks for a lock that will be taken, and does not wait for it.
    #[inline(always)]
    pub(super) fn prefetch(&self, lock_shard: usize) {
        prefetch_to_write(self.word(lock_shard));
    }

    /// Goes in.
    #[inline(always)]
    pub(super) fn enter(&self, lock_shard: usize) -> Inside<'_> {
        let word = self.word(lock_shard);
        let mut patience = Patience::default();
        loop {
            let version = word.load(Relaxed);
            if version & 1 == 0 && word.compare_exchange_weak(version, version | 1, Acquire, Relaxed).is_ok()
            {
                // Whoever sees what is written from here on sees the odd version, too.
                fence(Release);
                return Inside { word, version };
            }
            patience.wait();
        }
    }

    /// As [`LockShards::peek`], but none when somebody is in the way.
    #[inline(always)]
    pub(super) fn glance<R>(&self, lock_shard: usize, read: impl FnOnce() -> Option<R>) -> Option<R> {
        let word = self.word(lock_shard);
        let before = word.load(Acquire);
        if before & 1 != 0 {
            return None;
        }
        let answer = read();
        fence(Acquire);
        if word.load(Relaxed) == before { answer } else { None }
    }

    /// Reads what is there at one moment: `read` may see rows in the midst of a change, and its
    /// answer is thrown away then.
    #[inline(always)]
    pub(super) fn peek<R>(&self, lock_shard: usize, mut read: impl FnMut() -> R) -> R {
        let word = self.word(lock_shard);
        let mut patience = Patience::default();
        loop {
            let before = word.load(Acquire);
            if before & 1 == 0 {
                let answer = read();
                fence(Acquire);
                if word.load(Relaxed) == before {
                    return answer;
                }
            }
            patience.wait();
        }
    }
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.word.store(self.version.wrapping_add(2), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::{get, set, words};
    use super::*;

    #[test]
    fn nobody_sees_half_a_change() {
        let (lock_shards, pair) = (LockShards::new(), words(2).unwrap_or_default());
        let (lock_shards, pair) = (&lock_shards, &pair);
        let rounds = if cfg!(miri) { 50 } else { 100_000 };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let _inside = lock_shards.enter(5);
                        for cell in pair {
                            set(cell, get(cell) + 1);
                        }
                    }
                });
            }
            scope.spawn(move || {
                for _ in 0..rounds {
                    let (a, b) = lock_shards.peek(5, || (get(&pair[0]), get(&pair[1])));
                    assert_eq!(a, b);
                    let seen = lock_shards.glance(5, || Some((get(&pair[0]), get(&pair[1]))));
                    assert!(seen.is_none_or(|(a, b)| a == b));
                }
            });
        });
        assert_eq!(get(&pair[0]), 2 * rounds);
        assert_eq!(get(lock_shards.word(5)), 4 * rounds);
    }
}
