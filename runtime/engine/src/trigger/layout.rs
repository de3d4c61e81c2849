//! How the memory of a trigger is divided: shards of rows, each with more buckets than rows, a
//! power of two; a row's first line has what every packet needs, further lines the other windows'
//! heads and parts of the key; rings, sketches, long texts and what only lists need lie apart. The
//! invariants: everything is chosen from the shape; a trigger of up to 4095 keys has one shard and
//! room for exactly so many; a larger one has room for `keys` spread by chance over its shards, and
//! a shard is full before that with a chance of about one in a thousand million. (Rejected: shards
//! that borrow rows from each other, which take locks in pairs.)

use super::cells::{HEAD, HEAD_WORDS, LINE};
use super::distinct::SKETCH_WORDS;
use super::key::TEXT_WORDS;
use super::lock_shards;
use super::shard_index::ShardIndex;
use super::window::RING_WORDS;
use super::{TriggerShape, WindowKind};
use mrule_compiler::abi::MAX_KEY;

/// Keys of a shard, before what chance adds.
const SHARD_KEYS: usize = 2048;
/// The most keys of a trigger.
pub const MAX_KEYS: usize = 1 << 26;
/// Words of a row that only lists need: since when it is active, how often it was raised.
pub(super) const COLD_WORDS: usize = 2;

/// Bytes of a shard beside its rows, about.
const SHARD_BYTES: usize = 256;

/// How the memory is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) parts: usize,
    pub(super) shards: usize,
    /// Rows of a shard.
    pub(super) rows: usize,
    /// Buckets of a shard.
    pub(super) buckets: usize,
    /// Lines of a row.
    pub(super) lines: usize,
    /// Where in a row's further words its parts of the key begin.
    pub(super) parts_at: usize,
    /// For each window, where its ring or sketch is in the row's.
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

/// Words of a further window's head, so that none lies across lines.
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

    /// Buckets of all shards, as many as there are locks at least: each has one.
    pub(super) fn all_buckets(&self) -> usize {
        self.shards * self.buckets
    }

    /// Bytes of all lines. Rows are at most some 2^27 and words of each some 2^12: nothing
    /// overflows 64 bits.
    pub(super) fn line_memory(&self) -> u64 {
        8 * LINE as u64 * self.all_rows() as u64 * self.lines as u64
    }

    /// Bytes of it all.
    pub(super) fn memory(&self) -> u64 {
        let words = (self.ring_words + self.text * self.parts + COLD_WORDS) as u64;
        let shards = self.shards as u64 * (ShardIndex::memory(self.rows) + SHARD_BYTES) as u64;
        self.line_memory() + 8 * self.all_buckets() as u64 + self.all_rows() as u64 * 8 * words + shards
    }
}

const _: () = assert!(HEAD + HEAD_WORDS == LINE && LINE.is_multiple_of(FURTHER_HEAD));
