//! TCP: the offset of a segment, when a SYN begins another flow, and when a flow is established or
//! closed. A SYN with another initial sequence number ends no open flow by itself (RFC 9293,
//! 3.10.7; RFC 5961): see `restart`. Invariants: a retransmitted byte has the same offset again.
//! Offsets are unwrapped against the greatest offset seen, so that streams go on beyond 4 GiB as
//! long as each gap is below 2 GiB. A flow stays sound whatever its segments say. (Rejected:
//! windows and acknowledgments to judge what is in the window; a mirror sees packets late, twice or
//! never.)

use super::entry::{Entry, flag};
use mrule_compiler::abi::{Packet, Stack, bit};

/// The protocol number.
pub(super) const PROTO: u8 = 6;

/// A segment that begins further ahead than this, in bytes, does not move the greatest offset.
pub(super) const GARBAGE: i64 = 1 << 30;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tcp {
    seq: u32,
    ack: u32,
    flags: u8,
}

/// A connection that a SYN (or a SYN and ACK, an `answer`) may have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Candidate {
    /// The end that sent the SYN.
    pub from: usize,
    pub answer: bool,
    /// The sequence number behind the SYN.
    pub base: u32,
    /// The length of the payload beside the SYN, which may be acknowledged with it or not.
    pub length: u32,
    /// The sequence number that an answer acknowledges.
    pub next: u32,
}

impl Candidate {
    /// Notes in the new flow what its SYN has said.
    pub(crate) fn open(&self, flow: &mut Entry) {
        flow.set_base(self.from, self.base);
        flow.set(flag::OPENED | flag::of(flag::BASE | flag::ISN, self.from));
        flow.set_client(if self.answer { 1 - self.from } else { self.from });
    }
}

/// Where a packet's payload lies in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamPosition {
    /// The stream offset; below 0 before the start.
    pub start: i64,
    /// The payload's length; 0 for bytes outside the stream, as the text of a RST.
    pub length: u32,
    pub known: bool,
}

impl StreamPosition {
    pub(crate) const UNKNOWN: StreamPosition = StreamPosition { start: 0, length: 0, known: false };
}

/// What a header says beside the payload's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Control {
    /// The offset in the other direction up to which bytes are acknowledged.
    pub ack: Option<u64>,
    pub fin: bool,
    pub rst: bool,
}

impl Tcp {
    /// The header, if it was captured up to its flags and is sound.
    #[inline(always)]
    pub(crate) fn read(packet: &Packet, stack: &Stack) -> Option<Tcp> {
        if stack.bits & bit::TCP_FLAGS == 0 {
            return None;
        }
        let header: &[u8; 16] = packet.frame().get(stack.l4 as usize..)?.first_chunk()?;
        let &[_, _, _, _, a, b, c, d, e, f, g, h, _, flags, ..] = header;
        let (seq, ack) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Some(Tcp { seq, ack, flags })
    }

    #[inline(always)]
    fn is(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The sequence number of the first payload byte.
    #[inline(always)]
    fn data(&self) -> u32 {
        self.seq.wrapping_add(u32::from(self.is(SYN)))
    }

    /// The sequence number of the first payload byte, if the payload is part of the stream.
    pub(crate) fn stream(&self) -> Option<u32> {
        (!self.is(RST)).then(|| self.data())
    }

    /// What the header says beside the payload's place, for a segment of this flow.
    pub(super) fn control(&self, flow: &Entry, from: usize) -> Control {
        let other = 1 - from;
        let known = self.is(ACK) && !self.is(RST) && flow.has(flag::of(flag::BASE, other));
        Control {
            ack: known.then(|| offset(flow, other, self.ack)).and_then(|ack| ack.try_into().ok()),
            fin: self.is(FIN),
            rst: self.is(RST),
        }
    }

    /// What the segment says about another connection of the same ends that it may begin.
    pub(crate) fn candidate(&self, from: usize, length: u32) -> Candidate {
        Candidate { from, answer: self.is(ACK), base: self.data(), length, next: self.ack }
    }

    /// Whether the segment shows that a candidate has become a connection: the other end answers
    /// it. Where the other end is not seen, the same end must go on with it.
    pub(crate) fn confirms(&self, candidate: &Candidate, from: usize, other_is_seen: bool) -> bool {
        let Candidate { from: opener, answer, base, length, next } = *candidate;
        if from == opener {
            return !other_is_seen && !self.is(SYN | RST) && self.is(ACK) && self.seq == base;
        }
        let answers = self.is(ACK) && !self.is(RST) && self.ack.wrapping_sub(base) <= length;
        answers && self.is(SYN) != answer && (!answer || self.seq == next)
    }

    /// Whether the segment begins another flow than this one with the same key.
    #[inline(always)]
    pub(crate) fn is_another(&self, flow: &Entry, from: usize) -> bool {
        self.is(SYN) && self.syn_of_another(flow, from)
    }

    #[inline(never)]
    fn syn_of_another(&self, flow: &Entry, from: usize) -> bool {
        if self.is(RST) {
            return false;
        }
        if flow.has(flag::of(flag::BASE, from)) {
            return self.data() != flow.base(from);
        }
        let other = 1 - from;
        let other_in_midstream =
            flow.has(flag::of(flag::BASE, other)) && !flow.has(flag::of(flag::ISN, other));
        !self.is(ACK) && (closed(flow) || other_in_midstream)
    }

    /// Whether the segment is an ordinary one in mid-stream, which can only move the greatest
    /// offset.
    #[inline(always)]
    pub(crate) fn is_plain(&self, flow: &Entry, from: usize) -> bool {
        const ONGOING: u64 = flag::BASE | flag::DATA;
        !self.is(SYN | FIN | RST)
            && flow.tags(flag::ESTABLISHED | flag::RESET | flag::CANDIDATE) == flag::ESTABLISHED
            && flow.end(from) & (ONGOING | flag::FIN) == ONGOING
    }

    /// Updates the flow by a plain segment, and returns where the payload lies. `length` is its
    /// length on the wire.
    #[inline(always)]
    pub(crate) fn follow(&self, flow: &mut Entry, from: usize, length: u32) -> StreamPosition {
        let top = flow.top(from) as i64;
        let ahead = i64::from(self.seq.wrapping_sub(flow.base(from).wrapping_add(top as u32)) as i32);
        let start = top + ahead;
        let end = start + i64::from(length);
        if end > top && ahead <= GARBAGE {
            flow.set_top(from, end as u64);
        }
        StreamPosition { start, length, known: true }
    }

    /// Like [`follow`](Self::follow), for any segment.
    pub(crate) fn update(&self, flow: &mut Entry, from: usize, length: u32) -> StreamPosition {
        let base = flag::of(flag::BASE, from);
        if self.is(SYN | RST) && !self.opens_or_goes_on(flow, from) {
            return StreamPosition { start: self.reset(flow, from), length: 0, known: true };
        }
        if !flow.has(base) {
            flow.set(base);
            flow.set_base(from, self.data());
        } else if self.is_behind_keep_alive(flow, from) {
            flow.set_base(from, self.data());
        }
        let start = offset(flow, from, self.data());
        advance(flow, from, start, length);
        if self.is(FIN) {
            flow.set(flag::of(flag::FIN, from));
        }
        if !flow.has(flag::ESTABLISHED) {
            self.establish(flow, from);
        }
        StreamPosition { start, length, known: true }
    }

    /// Whether all that was seen of the direction was a keep-alive without payload: its sequence
    /// number is that of the byte before the next, which will never come.
    fn is_behind_keep_alive(&self, flow: &Entry, from: usize) -> bool {
        const SPOKEN: u64 = flag::ISN | flag::DATA | flag::FIN;
        let silent = flow.end(from) & SPOKEN == 0 && flow.top(from) == 0;
        silent && self.data() == flow.base(from).wrapping_add(1)
    }

    /// Notes what a SYN says about its flow. Returns false for a RST.
    #[cold]
    fn opens_or_goes_on(&self, flow: &mut Entry, from: usize) -> bool {
        if self.is(RST) {
            return false;
        }
        flow.set_base(from, self.data());
        flow.set(flag::of(flag::BASE | flag::ISN, from));
        if !flow.has(flag::OPENED) {
            flow.set_client(if self.is(ACK) { 1 - from } else { from });
            flow.set(flag::OPENED);
        }
        if flow.has(flag::RESET) && !flow.has(flag::ESTABLISHED) {
            // The first attempt was refused, and the client tries again.
            flow.clear(flag::RESET);
        }
        true
    }

    /// Notes a RST. It has an offset where its stream's base is known, and adds nothing to the
    /// stream.
    #[cold]
    fn reset(&self, flow: &mut Entry, from: usize) -> i64 {
        flow.set(flag::RESET);
        if flow.has(flag::of(flag::BASE, from)) { offset(flow, from, self.data()) } else { 0 }
    }

    fn establish(&self, flow: &mut Entry, from: usize) {
        let server = 1 - flow.client();
        let answered = from != server
            && self.is(ACK)
            && flow.has(flag::of(flag::ISN, server))
            && self.ack.wrapping_sub(flow.base(server)) as i32 >= 0;
        if answered || both(flow, flag::DATA) {
            flow.set(flag::ESTABLISHED | flag::SETTLED);
        } else if both(flow, flag::BASE) && !flow.has(flag::OPENED) {
            flow.set(flag::SETTLED);
        }
    }
}

/// The offset of a sequence number, relative to the greatest offset seen.
fn offset(flow: &Entry, from: usize, seq: u32) -> i64 {
    let top = flow.top(from);
    let edge = flow.base(from).wrapping_add(top as u32);
    top as i64 + i64::from(seq.wrapping_sub(edge) as i32)
}

/// Moves the greatest offset. A byte that could not have been sent after a FIN is the FIN itself.
/// New data after a RST shows that the receiver ignored the RST.
fn advance(flow: &mut Entry, from: usize, start: i64, length: u32) {
    let top = flow.top(from);
    let end = start.saturating_add(i64::from(length)).max(0) as u64;
    let counts = length > 0 || !flow.has(flag::of(flag::FIN, from));
    if end > top && counts && start - top as i64 <= GARBAGE {
        flow.set_top(from, end);
        if length > 0 {
            flow.clear(flag::RESET);
        }
    }
    if length > 0 {
        flow.set(flag::of(flag::DATA, from));
    }
}

/// The bytes of a segment in a later fragment, if the base of its stream is still known.
#[cold]
pub(super) fn continuation(flow: &mut Entry, from: usize, seq: u32, length: u32) -> StreamPosition {
    if !flow.has(flag::of(flag::BASE, from)) {
        return StreamPosition::UNKNOWN;
    }
    let start = offset(flow, from, seq);
    advance(flow, from, start, length);
    if both(flow, flag::DATA) {
        flow.set(flag::ESTABLISHED | flag::SETTLED);
    }
    StreamPosition { start, length, known: true }
}

fn both(flow: &Entry, bit: u64) -> bool {
    flow.has(flag::of(bit, 0) | flag::of(bit, 1))
}

/// Whether a SYN alone does not end the flow: it is open, or was found in mid-stream.
pub(super) fn is_protected(flow: &Entry) -> bool {
    let spoken = flow.any(flag::ESTABLISHED | flag::SETTLED | flag::DATA | flag::of(flag::DATA, 1));
    spoken && !closed(flow)
}

/// Whether the flow was reset, or both ends have sent FIN.
#[inline(always)]
pub(super) fn closed(flow: &Entry) -> bool {
    flow.has(flag::RESET) || both(flow, flag::FIN)
}
