//! Where the state of a trigger's keys lies: flat arrays of words, chosen once. A bucket is a word:
//! the first row of its chain, and some bits of that row's hash. The invariants: words of a row are
//! written only by whoever is inside the lock of the bucket whose chain it is in, or before it is
//! in one; all words are atomics. (Rejected: rows as structs behind a lock, which nobody can read,
//! or ask the memory for, without taking it.)

use super::key::KIND_BITS;
use crate::memory::NoMemory;
use crate::memory::{Pages, prefer_huge_pages};
use mrule_compiler::abi::MAX_KEY;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Words of a line.
pub(super) const LINE: usize = 8;

/// The next row of the chain plus 1, the kinds of the key's parts, flags.
pub(super) const META: usize = 0;
/// Where in it the kinds begin, and the flags.
pub(super) const KINDS_AT: usize = 32;
pub(super) const FLAGS_AT: usize = KINDS_AT + KIND_BITS * MAX_KEY;
/// At which moment the key was last seen, by its number.
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
///
/// # Errors
/// [`NoMemory`]
pub(super) fn words(count: usize) -> Result<Box<[AtomicU64]>, NoMemory> {
    if count.checked_mul(8).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(NoMemory::of(count, 8));
    }
    bytemuck::try_zeroed_slice_box(count).map_err(|()| NoMemory::of(count, 8))
}

/// A line of the cache.
pub(super) type Line = [AtomicU64; LINE];

/// Lines of the cache, all 0 at first.
#[derive(Debug)]
pub(super) struct Lines(Pages<Line>);

impl Lines {
    /// So many.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn new(count: usize) -> Result<Lines, NoMemory> {
        Ok(Lines(Pages::new(count)?))
    }

    /// Bytes of them.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// Has the kernel put them together in huge pages, in its own time.
    pub(super) fn prefer_huge_pages(&self) {
        prefer_huge_pages(&self.0);
    }

    /// A line.
    #[inline(always)]
    pub(super) fn get(&self, line: usize) -> Option<&Line> {
        self.0.get(line)
    }

    /// Some of them, as far as there are any.
    #[inline(always)]
    pub(super) fn some(&self, lines: Range<usize>) -> &[Line] {
        self.0.get(lines).unwrap_or(&[])
    }

    /// A line that there is.
    #[inline(always)]
    pub(super) fn at(&self, line: usize) -> &Line {
        &self.0[line]
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

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn a_line_is_a_line() {
        for count in [1, 2, 1000] {
            let lines = Lines::new(count).unwrap_or_else(|error| panic!("{error}"));
            assert!((0..count).all(|line| lines.at(line).as_ptr().addr().is_multiple_of(64)), "{count}");
            assert!(lines.get(count).is_none());
        }
    }
}
