//! Where readers of messages say what they read, and what they need to do it. (Rejected: readers
//! that return what they read; it would have to be copied.)

use super::counts::StreamCounts;
use super::pool::{Part, Pool};
use mrule_compiler::context::BatchContext;
use mrule_compiler::fields::Facet;

/// The greatest message that is read, in bytes.
pub(super) const MAX_MESSAGE: usize = 64 << 10;

/// What a reader works with.
pub(super) struct Out<'a> {
    pub(super) i: usize,
    pub(super) sight: &'a mut BatchContext,
    pub(super) counts: &'a mut StreamCounts,
    pub(super) pool: &'a mut Pool,
    pub(super) scratch: &'a mut Vec<u8>,
    /// What is read came with earlier packets: this one does not say it.
    pub(super) late: bool,
}

/// How reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    On,
    /// This direction has nothing more to say.
    Over,
    /// The flow carries something else from here on.
    Tunnel,
}

impl Out<'_> {
    pub(super) fn num(&mut self, facet: Facet, value: u64) {
        if self.late || !self.sight.say_num(self.i, facet, value) {
            self.counts.facets_dropped += 1;
        }
    }

    pub(super) fn text(&mut self, facet: Facet, text: &[u8]) {
        if self.late || !self.sight.say_text(self.i, facet, text) {
            self.counts.facets_dropped += 1;
        }
    }

    /// Keeps a part of a message for later; false when that is not possible, which is counted.
    pub(super) fn keep(&mut self, part: &mut Part, bytes: &[u8]) -> bool {
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

    /// The whole of a message of which a part was kept, and `bytes` are the rest. The buffer is to
    /// be given back.
    pub(super) fn whole(&mut self, part: &mut Part, bytes: &[u8]) -> Vec<u8> {
        let mut whole = std::mem::take(self.scratch);
        whole.clear();
        part.copy(&mut whole);
        whole.extend_from_slice(bytes);
        part.clear(self.pool);
        whole
    }
}
