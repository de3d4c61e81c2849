//! All stream patterns of a program in one automaton. A direction of a flow keeps a [`State`] of a
//! few bytes and passes its bytes in order, cut in any way. The module knows patterns and no
//! program. The invariants: the reports do not depend on the cuts. A match is reported with its
//! last byte, or, if it depends on the next byte (`\b`, `(?m)$`), with that byte. The end of a
//! stream is never seen, so `$` and `\z` hold nowhere. (Rejected: a lazily built automaton, whose
//! cache every worker would fill, and which a sender can make thrash. Rejected: searching each
//! packet together with the tail of the previous packet; there is no bound to the tail of a regular
//! expression.)

use std::sync::Arc;

mod build;
mod product;
mod skip;

pub use build::build;

/// A pattern of a search in streams (`stream contains`, `stream matches`): its number in its
/// program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The pattern of a search in streams.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// These bytes.
    Contains(Arc<[u8]>),
    /// A regular expression, as translated by [`crate::pattern`].
    Matches(String),
}

/// The greatest memory of the automaton of a program's stream patterns, in bytes. It also bounds
/// the time to build it.
pub const LIMIT: usize = 16 << 20;

/// Why there is no automaton for a program's patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TooLarge {
    /// The pattern that is too large by itself. If only all together are too large: the largest.
    pub pattern: Option<StreamId>,
    /// The bytes that it takes: a lower bound, as building stops there.
    pub size: usize,
    /// The bytes that it may take.
    pub limit: usize,
    /// The message in the user's terms.
    pub message: String,
}

/// The greatest number of parts of an automaton. Patterns whose product is too large are searched
/// for one part after the other. A power of two.
const PARTS: usize = 4;

/// The progress of the search in one direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The state of each part.
    at: [u32; PARTS],
    /// No byte was seen yet: matches of the empty text are still to be reported.
    fresh: bool,
}

/// The automaton of all stream patterns of a program: one table, or a few if one would be too
/// large.
#[derive(Debug)]
pub struct Automaton {
    parts: Vec<Dfa>,
}

/// States are numbers of rows in one table, multiplied by the length of a row. They form three
/// runs: the *shallow* states, which are one byte after the start; the *quiet* states; and the
/// states that *report* matches.
#[derive(Debug)]
struct Dfa {
    /// The class of each byte. No pattern distinguishes bytes of a class.
    classes: [u8; 256],
    /// The number of classes.
    stride: u32,
    /// For each state and class, the next state.
    next: Vec<u32>,
    /// States below this are shallow; 0 if nothing can be skipped.
    shallow: u32,
    /// States from this on report matches.
    says_from: u32,
    says: Vec<Says>,
    ids: Vec<StreamId>,
    /// The state at the beginning of a stream.
    text_start: u32,
    /// The state after bytes that were not seen.
    middle: u32,
    /// For each byte, the next state of `middle`.
    first: [u32; 256],
    skip: Option<skip::Skip>,
}

/// The report of a state: ranges of `ids`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Says {
    from: u32,
    /// From here on: matches that ended before the last byte and depended on it. Before: matches
    /// that end with the last byte, whatever follows.
    late: u32,
    to: u32,
}

impl Automaton {
    /// The state before the first byte: of a stream whose start was seen, or of a stream from the
    /// middle on or after a gap. In the latter, the byte before the first counts as neither a
    /// letter nor the end of a line, and `^` does not hold.
    pub fn start(&self, at_stream_start: bool) -> State {
        let mut at = [0; PARTS];
        for (at, part) in at.iter_mut().zip(&self.parts) {
            *at = if at_stream_start { part.text_start } else { part.middle };
        }
        State { at, fresh: true }
    }

    /// The bytes that it takes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.parts.iter().map(Dfa::memory).sum::<usize>()
    }

    /// The number of states of each part.
    pub fn states(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.next.len() / (part.stride as usize).max(1)).collect()
    }

    /// Takes the next bytes of a stream; `offset` is the offset of the first. Calls `found` with
    /// each pattern that has a complete match now and with the offset of the match's end, in no
    /// order. A pattern may be reported several times for one end.
    pub fn scan(&self, state: &mut State, bytes: &[u8], offset: u64, found: &mut impl FnMut(StreamId, u64)) {
        if bytes.is_empty() {
            return;
        }
        for (part, at) in self.parts.iter().zip(&mut state.at) {
            if state.fresh {
                part.sure(*at).iter().for_each(|&id| found(id, offset));
            }
            *at = part.scan(*at, bytes, offset, found);
        }
        state.fresh = false;
    }
}

impl Dfa {
    fn memory(&self) -> usize {
        self.next.len() * 4
            + self.says.len() * size_of::<Says>()
            + self.ids.len() * size_of::<StreamId>()
            + self.skip.as_ref().map_or(0, skip::Skip::memory)
            + size_of::<Self>()
    }

    /// The state after these bytes.
    fn scan(&self, from: u32, bytes: &[u8], offset: u64, found: &mut impl FnMut(StreamId, u64)) -> u32 {
        let quiet = self.says_from - self.shallow;
        let (mut at, mut i) = (from, 0);
        // Before this place, the walk continues even if it could skip.
        let mut walk = skip::GRAM;
        let mut penalty = 0;
        while let Some(&byte) = bytes.get(i) {
            let before = at;
            at = self.step(at, byte);
            i += 1;
            if at.wrapping_sub(self.shallow) < quiet {
                continue;
            }
            if at >= self.says_from {
                self.report(before, at, offset + i as u64, found);
            } else if i >= walk
                && self.first[byte as usize] == at
                && let Some(skip) = &self.skip
            {
                // The result is the same as if `middle` had been the state before this byte.
                let from = i - 1;
                let hit = skip.find(bytes, from);
                if hit > from {
                    at = self.middle;
                    i = hit;
                }
                penalty = if hit - from < 4 { (penalty * 2 + 4).min(64) } else { 0 };
                walk = hit + skip::GRAM + penalty;
            }
        }
        at
    }

    #[inline(always)]
    fn step(&self, at: u32, byte: u8) -> u32 {
        let place = at as usize + self.classes[byte as usize] as usize;
        // The entry always exists: rows are whole.
        self.next.get(place).copied().unwrap_or(0)
    }

    fn says(&self, at: u32) -> Option<Says> {
        let row = at.checked_sub(self.says_from)? / self.stride;
        self.says.get(row as usize).copied()
    }

    /// The patterns with a match that ends here, whatever follows.
    fn sure(&self, at: u32) -> &[StreamId] {
        let said = self.says(at).and_then(|says| self.ids.get(says.from as usize..says.late as usize));
        said.unwrap_or(&[])
    }

    /// Reports the matches of the state `at`, which was entered from `before` with the byte before
    /// `end`.
    #[cold]
    #[inline(never)]
    fn report(&self, before: u32, at: u32, end: u64, found: &mut impl FnMut(StreamId, u64)) {
        let Some(says) = self.says(at) else { return };
        let late = self.ids.get(says.late as usize..says.to as usize).unwrap_or(&[]);
        if !late.is_empty() {
            let told = self.sure(before);
            late.iter().filter(|id| !told.contains(id)).for_each(|&id| found(id, end - 1));
        }
        self.sure(at).iter().for_each(|&id| found(id, end));
    }
}

#[cfg(test)]
mod tests;
