//! Where message readers write what they read, and what they need for it. Invariant: each value is
//! written to the packet's record or counted as dropped. (Rejected: readers that return what they
//! read; it would have to be copied.)

use super::counts::StreamCounts;
use super::pool::{MessageBuffer, Pool};
use mrule_compiler::context::BatchContext;
use mrule_compiler::fields::Facet;

/// The largest message that is read, in bytes.
pub(super) const MAX_MESSAGE: usize = 64 << 10;

/// What a reader works with.
pub(super) struct Out<'a> {
    pub(super) i: usize,
    pub(super) context: &'a mut BatchContext,
    pub(super) counts: &'a mut StreamCounts,
    pub(super) pool: &'a mut Pool,
    pub(super) scratch: &'a mut Vec<u8>,
    /// The bytes came with earlier packets, so this packet does not report what they say.
    pub(super) late: bool,
}

/// How reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParserState {
    Continue,
    /// The reading of this direction ends.
    Done,
    /// The flow carries something else from here on.
    Tunnel,
}

impl Out<'_> {
    pub(super) fn num(&mut self, facet: Facet, value: u64) {
        if self.late || !self.context.say_num(self.i, facet, value) {
            self.counts.facets_dropped += 1;
        }
    }

    pub(super) fn text(&mut self, facet: Facet, text: &[u8]) {
        if self.late || !self.context.say_text(self.i, facet, text) {
            self.counts.facets_dropped += 1;
        }
    }

    /// Keeps a part of a message for later. Returns false when that is not possible, and counts it.
    pub(super) fn keep(&mut self, part: &mut MessageBuffer, bytes: &[u8]) -> bool {
        if part.len() + bytes.len() > MAX_MESSAGE {
            self.counts.messages.too_large += 1;
            return false;
        }
        let kept = part.push(self.pool, bytes);
        if !kept {
            self.counts.messages.pool_full += 1;
        }
        kept
    }

    /// The whole message: the part that was kept, and `bytes`, which are the rest. The caller gives
    /// the buffer back.
    pub(super) fn whole(&mut self, part: &mut MessageBuffer, bytes: &[u8]) -> Vec<u8> {
        let mut whole = std::mem::take(self.scratch);
        whole.clear();
        part.copy(&mut whole);
        whole.extend_from_slice(bytes);
        part.clear(self.pool);
        whole
    }
}
