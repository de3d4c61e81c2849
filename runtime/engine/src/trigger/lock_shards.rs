//! The locks of a store. Keys whose hashes begin alike share a lock, whatever their trigger, so a
//! packet takes one lock for all triggers with the same key. A lock is a version number that is odd
//! while a thread is inside. Invariants: a thread inside a lock takes no second lock and waits for
//! no shard's index. Only the thread inside a bucket's lock writes what is in the bucket's chain. A
//! reader without the lock compares the version before and after, and starts again when it has
//! changed. All words are atomics, so the worst result of a race is a wrong number that is
//! discarded. (Rejected: `std::sync::Mutex`, which costs twice as much, because releasing it is
//! also a locked instruction, and which allows no read beside a writer. Rejected: a lock in each
//! bucket; a packet took one for each trigger.)

use crate::memory::prefetch_to_write;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, fence};

/// Number of hash bits that choose a lock: few enough for the locks to stay in a near cache, many
/// enough for workers to collide seldom.
pub(super) const BITS: u32 = if cfg!(loom) { 1 } else { 12 };

const COUNT: usize = 1 << BITS;

/// The locks, and the number of moments so far.
#[derive(Debug)]
pub(super) struct LockShards {
    locks: [AtomicU64; COUNT],
    moments: Alone,
}

/// A counter in its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone(AtomicU64);

/// A held lock. Dropping it releases the lock.
pub(super) struct Inside<'a> {
    word: &'a AtomicU64,
    version: u64,
}

/// Waits for another thread that holds a lock. That takes some nanoseconds, unless the system has
/// taken the thread's processor.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    #[cold]
    #[inline(never)]
    fn wait(&mut self) {
        self.0 = self.0.saturating_add(1);
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        match self.0 {
            0..64 => std::hint::spin_loop(),
            64..256 => std::thread::yield_now(),
            _ => std::thread::sleep(std::time::Duration::from_micros(50)),
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

    /// The number of the first of the next `count` moments, from 1.
    pub(super) fn moments(&self, count: usize) -> u64 {
        self.moments.0.fetch_add(count as u64, Relaxed) + 1
    }

    /// Prefetches a lock that will be taken, and does not wait for it.
    #[inline(always)]
    pub(super) fn prefetch(&self, lock_shard: usize) {
        prefetch_to_write(self.word(lock_shard));
    }

    /// Takes a lock.
    #[inline(always)]
    pub(super) fn enter(&self, lock_shard: usize) -> Inside<'_> {
        let word = self.word(lock_shard);
        let mut patience = Patience::default();
        loop {
            let version = word.load(Relaxed);
            if version & 1 == 0 && word.compare_exchange_weak(version, version | 1, Acquire, Relaxed).is_ok()
            {
                // A reader that sees a later write also sees the odd version.
                fence(Release);
                return Inside { word, version };
            }
            patience.wait();
        }
    }

    /// Like [`LockShards::peek`], but returns `None` when another thread holds the lock.
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

    /// Reads a consistent state. `read` may see rows in the middle of a change; its answer is then
    /// discarded.
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

// `tests/loom` compiles this file, too, and has models of it.
#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cells::{get, set, words};
    use super::*;

    #[test]
    fn a_panic_inside_leaves_the_lock_free() {
        let lock_shards = LockShards::new();
        let panic = std::panic::catch_unwind(|| {
            let _inside = lock_shards.enter(5);
            assert_eq!(lock_shards.glance(5, || Some(())), None);
            std::panic::resume_unwind(Box::new("a fault inside"));
        });
        assert!(panic.is_err());
        assert_eq!(get(lock_shards.word(5)), 2, "one version later");
        assert_eq!(lock_shards.glance(5, || Some(())), Some(()));
        drop(lock_shards.enter(5));
        assert_eq!(get(lock_shards.word(5)), 4);
    }

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
