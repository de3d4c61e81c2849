//! Where the state of a trigger's keys lies: flat arrays of words, chosen once, and one lock a bucket. A bucket is a word:
//! a version, which is odd while somebody is inside, and the first row of the bucket's chain. The invariants: words of a
//! row are written only by whoever is inside the bucket whose chain it is in, or before it is in one; whoever reads
//! without going in looks at the version before and after, and begins anew when it has changed. All words are atomics,
//! so a race is at worst a wrong number that is thrown away.
//! (Rejected: `std::sync::Mutex` around a shard, which costs twice as much, as letting go of it is a locked instruction,
//! too; and it lets nobody read beside a writer, nor ask for the memory of many keys before the first is needed.)

use super::key::KIND_BITS;
use crate::sys::memory::prefer_huge_pages;
use mrule_compiler::abi::MAX_KEY;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Duration;

/// Words of a line.
pub(super) const LINE: usize = 8;

/// The next row of the chain plus 1, the kinds of the key's parts, flags.
pub(super) const META: usize = 0;
/// Where in it the kinds begin, and the flags.
pub(super) const KINDS_AT: usize = 32;
pub(super) const FLAGS_AT: usize = KINDS_AT + KIND_BITS * MAX_KEY;
/// When the key was last seen, in ticks of its trigger.
pub(super) const SEEN: usize = 1;
/// The last moment at which it is active.
pub(super) const UNTIL: usize = 2;
/// The first part of the key: low word, high word.
pub(super) const PART: usize = 3;
/// The head of the first window.
pub(super) const HEAD: usize = 5;

/// How many words the head of a window has.
pub(super) const HEAD_WORDS: usize = 3;

/// So many words, all 0. The kernel gives memory for them when they are first written.
pub(super) fn words(count: usize) -> Box<[AtomicU64]> {
    bytemuck::zeroed_slice_box(count)
}

/// Lines of the cache, all 0 at first.
#[derive(Debug)]
pub(super) struct Lines {
    words: Box<[AtomicU64]>,
    /// Where the first line begins.
    first: usize,
}

impl Lines {
    /// So many.
    pub(super) fn new(count: usize) -> Lines {
        let words = words((count + 1) * LINE);
        let beyond = words.as_ptr().addr() % (LINE * size_of::<AtomicU64>());
        let first = (LINE - beyond / size_of::<AtomicU64>()) % LINE;
        Lines { words, first }
    }

    /// Has the kernel put them together in huge pages, in its own time.
    pub(super) fn prefer_huge_pages(&self) {
        prefer_huge_pages(&self.words);
    }

    /// A line.
    #[inline(always)]
    pub(super) fn get(&self, line: usize) -> &[AtomicU64; LINE] {
        &self.words[self.first..].as_chunks().0[line]
    }
}

/// Reads a word.
#[inline(always)]
pub(super) fn get(word: &AtomicU64) -> u64 {
    word.load(Relaxed)
}

/// Writes a word.
#[inline(always)]
pub(super) fn set(word: &AtomicU64, value: u64) {
    word.store(value, Relaxed);
}

/// Counts.
#[inline(always)]
pub(super) fn count(word: &AtomicU64) {
    word.fetch_add(1, Relaxed);
}

/// Waits for somebody who is inside: they are there for some nanoseconds, unless the system has taken their processor.
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

/// Somebody inside a bucket.
pub(super) struct Inside<'a> {
    word: &'a AtomicU64,
    version: u32,
    /// The first row of the chain plus 1; 0 for none.
    pub(super) first: u32,
}

/// Goes into a bucket.
#[inline(always)]
pub(super) fn enter(word: &AtomicU64) -> Inside<'_> {
    let mut patience = Patience::default();
    loop {
        let value = word.load(Relaxed);
        if value & 1 == 0 && word.compare_exchange_weak(value, value | 1, Acquire, Relaxed).is_ok() {
            // Whoever sees what is written from here on sees the odd version, too.
            fence(Release);
            return Inside { word, version: value as u32, first: (value >> 32) as u32 };
        }
        patience.wait();
    }
}

/// Goes into a bucket if nobody is there.
#[inline(always)]
pub(super) fn try_enter(word: &AtomicU64) -> Option<Inside<'_>> {
    let value = word.load(Relaxed);
    if value & 1 != 0 || word.compare_exchange(value, value | 1, Acquire, Relaxed).is_err() {
        return None;
    }
    fence(Release);
    Some(Inside { word, version: value as u32, first: (value >> 32) as u32 })
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let version = self.version.wrapping_add(2);
        self.word.store(u64::from(self.first) << 32 | u64::from(version), Release);
    }
}

/// As [`peek`], but none when somebody is in the way.
#[inline(always)]
pub(super) fn glance<R>(word: &AtomicU64, read: impl FnOnce(u32) -> Option<R>) -> Option<R> {
    let before = word.load(Acquire);
    if before & 1 != 0 {
        return None;
    }
    let answer = read((before >> 32) as u32);
    fence(Acquire);
    if word.load(Relaxed) == before { answer } else { None }
}

/// Reads from a bucket what is there at one moment: `read` is given the first row of the chain plus 1. It may see rows in
/// the midst of a change, and its answer is thrown away then.
#[inline(always)]
pub(super) fn peek<R>(word: &AtomicU64, mut read: impl FnMut(u32) -> R) -> R {
    let mut patience = Patience::default();
    loop {
        let before = word.load(Acquire);
        if before & 1 == 0 {
            let answer = read((before >> 32) as u32);
            fence(Acquire);
            if word.load(Relaxed) == before {
                return answer;
            }
        }
        patience.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_line() {
        for count in [1, 2, 1000] {
            let lines = Lines::new(count);
            assert!((0..count).all(|line| lines.get(line).as_ptr().addr().is_multiple_of(64)), "{count}");
        }
    }

    #[test]
    fn nobody_sees_half_a_change() {
        let (word, pair) = (AtomicU64::new(0), words(2));
        let (word, pair) = (&word, &pair);
        let rounds = if cfg!(miri) { 50 } else { 100_000 };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let _inside = enter(word);
                        for cell in pair {
                            set(cell, get(cell) + 1);
                        }
                    }
                });
            }
            scope.spawn(move || {
                for _ in 0..rounds {
                    let (a, b) = peek(word, |_| (get(&pair[0]), get(&pair[1])));
                    assert_eq!(a, b);
                }
            });
        });
        assert_eq!(get(&pair[0]), 2 * rounds);
        assert_eq!(get(word), 4 * rounds);
    }
}
