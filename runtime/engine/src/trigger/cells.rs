//! The memory of a trigger's keys: flat arrays of words with a fixed size. A bucket is one word:
//! the first row of its chain, and some bits of that row's hash. Invariants: only the holder of the
//! lock of the bucket whose chain a row is in writes the row's words; a row in no chain belongs to
//! the thread that prepares it. All words are atomics. (Rejected: rows as structs behind a lock,
//! which no thread can read or prefetch without taking the lock.)

use super::key::KIND_BITS;
use crate::memory::NoMemory;
use crate::memory::{Pages, prefer_huge_pages};
use mrule_compiler::abi::MAX_KEY;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number of words in a cache line.
pub(super) const LINE: usize = 8;

/// The next row of the chain plus 1, the kinds of the key's parts, flags.
pub(super) const META: usize = 0;
/// The bit positions in `META` where the kinds begin and where the flags begin.
pub(super) const KINDS_AT: usize = 32;
pub(super) const FLAGS_AT: usize = KINDS_AT + KIND_BITS * MAX_KEY;
/// The number of the moment at which the key was last seen.
pub(super) const SEEN: usize = 1;
/// The last moment at which the key is active.
pub(super) const UNTIL: usize = 2;
/// The first part of the key: low word, high word.
pub(super) const PART: usize = 3;
/// The head of the first window.
pub(super) const HEAD: usize = 5;

/// The number of words in the head of a window.
pub(super) const HEAD_WORDS: usize = 3;

/// `count` words, all 0. The kernel provides memory for them when they are first written.
///
/// # Errors
/// [`NoMemory`]
pub(super) fn words(count: usize) -> Result<Box<[AtomicU64]>, NoMemory> {
    if count.checked_mul(8).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(NoMemory::of(count, 8));
    }
    bytemuck::try_zeroed_slice_box(count).map_err(|()| NoMemory::of(count, 8))
}

/// A cache line.
pub(super) type Line = [AtomicU64; LINE];

/// Cache lines, all 0 at first.
#[derive(Debug)]
pub(super) struct Lines(Pages<Line>);

impl Lines {
    /// Allocates `count` lines.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn new(count: usize) -> Result<Lines, NoMemory> {
        Ok(Lines(Pages::new(count)?))
    }

    /// Memory, in bytes.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// Asks the kernel to back the lines with huge pages.
    pub(super) fn prefer_huge_pages(&self) {
        prefer_huge_pages(&self.0);
    }

    /// A line, if it exists.
    #[inline(always)]
    pub(super) fn get(&self, line: usize) -> Option<&Line> {
        self.0.get(line)
    }

    /// Some lines; empty where they do not exist.
    #[inline(always)]
    pub(super) fn some(&self, lines: Range<usize>) -> &[Line] {
        self.0.get(lines).unwrap_or(&[])
    }

    /// A line that exists.
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

/// Adds 1.
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
