//! How the memory of a trigger is divided. A shard has rows, and more buckets than rows, a power of
//! two. A row's first line has what each packet needs; further lines have the heads of the other
//! windows and parts of the key. Rings, sketches, long texts and what only lists need lie apart.
//! Invariants: the shape determines everything. A trigger of up to 4095 keys has one shard and room
//! for exactly its keys. A larger trigger has room for `keys` keys that hash randomly to its
//! shards; a shard fills up earlier with a probability of about 1e-9. (Rejected: shards that borrow
//! rows from each other, which take locks in pairs.)

use super::cells::{HEAD, HEAD_WORDS, LINE};
use super::distinct::SKETCH_WORDS;
use super::key::TEXT_WORDS;
use super::lock_shards;
use super::shard_index::ShardIndex;
use super::window::RING_WORDS;
use super::{TriggerShape, WindowKind};
use mrule_compiler::abi::MAX_KEY;

/// Keys of a shard, before the margin for uneven distribution.
const SHARD_KEYS: usize = 2048;
/// The greatest number of keys of a trigger.
pub const MAX_KEYS: usize = 1 << 26;
/// Words of a row that only lists need: since when the key is active, how often it was raised.
pub(super) const COLD_WORDS: usize = 2;

/// Approximate bytes of a shard beside its rows.
const SHARD_BYTES: usize = 256;

/// How the memory is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) parts: usize,
    pub(super) shards: usize,
    /// Rows per shard.
    pub(super) rows: usize,
    /// Buckets per shard.
    pub(super) buckets: usize,
    /// Lines per row.
    pub(super) lines: usize,
    /// Where the parts of the key begin in a row's further words.
    pub(super) parts_at: usize,
    /// For each window, where its ring or sketch begins in the row's.
    pub(super) rings: Vec<usize>,
    /// Words of a row's rings and sketches.
    pub(super) ring_words: usize,
    /// Words of text for each part.
    pub(super) text: usize,
}

/// Words of a window's ring or sketch.
pub(super) fn ring_words(kind: WindowKind) -> usize {
    match kind {
        WindowKind::Count | WindowKind::Sum => RING_WORDS,
        WindowKind::Distinct => SKETCH_WORDS,
    }
}

/// Words of a further window's head, a size with which no head crosses a line.
pub(super) const FURTHER_HEAD: usize = (HEAD_WORDS + 1).next_power_of_two();

impl Layout {
    pub(super) fn new(shape: &TriggerShape) -> Layout {
        let parts = shape.parts.min(MAX_KEY);
        let keys = if parts == 0 { 1 } else { shape.keys.clamp(1, MAX_KEYS) };
        let mut shards = (keys / SHARD_KEYS).next_power_of_two();
        if shards * SHARD_KEYS > keys && shards > 1 {
            shards /= 2;
        }
        let fair = keys.div_ceil(shards);
        let rows = if shards == 1 { fair } else { fair + 6 * fair.isqrt() };
        let parts_at = FURTHER_HEAD * shape.windows.len().saturating_sub(1);
        let further = parts_at + 2 * parts.saturating_sub(1);
        let mut rings = Vec::with_capacity(shape.windows.len());
        let mut words = 0usize;
        for window in &shape.windows {
            rings.push(words);
            words += ring_words(window.kind).next_multiple_of(LINE);
        }
        Layout {
            parts,
            shards,
            rows,
            buckets: (rows + rows / 2).next_power_of_two().max((1 << lock_shards::BITS) / shards),
            lines: 1 + further.div_ceil(LINE),
            parts_at,
            rings,
            ring_words: words,
            text: if shape.text { TEXT_WORDS } else { 0 },
        }
    }

    /// Rows of all shards.
    pub(super) fn all_rows(&self) -> usize {
        self.shards * self.rows
    }

    /// Buckets of all shards. There are at least as many as locks, so each bucket has one lock.
    pub(super) fn all_buckets(&self) -> usize {
        self.shards * self.buckets
    }

    /// Bytes of all lines. There are at most about 2^27 rows and 2^12 words per row, so 64 bits do
    /// not overflow.
    pub(super) fn line_memory(&self) -> u64 {
        8 * LINE as u64 * self.all_rows() as u64 * self.lines as u64
    }

    /// All memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        let words = (self.ring_words + self.text * self.parts + COLD_WORDS) as u64;
        let shards = self.shards as u64 * (ShardIndex::memory(self.rows) + SHARD_BYTES) as u64;
        self.line_memory() + 8 * self.all_buckets() as u64 + self.all_rows() as u64 * 8 * words + shards
    }
}

const _: () = assert!(HEAD + HEAD_WORDS == LINE && LINE.is_multiple_of(FURTHER_HEAD));
