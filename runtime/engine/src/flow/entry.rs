//! One flow in 120 bytes. Invariant: packed numbers are exact up to what the fields promise (48
//! bits for packets, bytes and stream offsets), and stop there instead of wrapping. A flow's age
//! and the time of its last packet are exact for 416 days. (Rejected: 64 bits for each number,
//! which takes half a cache line more per flow.)

use super::key::{Key, TAGS};
use crate::memory::prefetch;
use mrule_compiler::fields::App;

/// Upper limit of counts and offsets.
pub(super) const MOST: u64 = (1 << 48) - 1;

/// What is known about a flow: bits of [`Entry::tags`] above the key's bits.
pub(super) mod flag {
    use super::TAGS;
    /// The place is in use.
    pub(crate) const ALIVE: u64 = 1 << TAGS;
    /// The higher end is the client.
    pub(crate) const HIGHER: u64 = 1 << (TAGS + 1);
    /// Both ends have spoken, as in the field `flow.established`.
    pub(crate) const ESTABLISHED: u64 = 1 << (TAGS + 2);
    /// The flow is worth keeping when the table is full: it is established, or was found in
    /// mid-stream with both ends alive.
    pub(crate) const SETTLED: u64 = 1 << (TAGS + 3);
    /// TCP: the flow was reset.
    pub(crate) const RESET: u64 = 1 << (TAGS + 4);
    /// TCP: a SYN has shown which end is the client.
    pub(crate) const OPENED: u64 = 1 << (TAGS + 5);
    /// TCP: the lower end has sent FIN.
    pub(crate) const FIN: u64 = 1 << (TAGS + 6);
    /// TCP: the sequence number at offset 0 of the lower end's stream is known.
    pub(crate) const BASE: u64 = 1 << (TAGS + 8);
    /// TCP: the base in `BASE` comes from the lower end's SYN.
    pub(crate) const ISN: u64 = 1 << (TAGS + 10);
    /// The lower end has sent payload.
    pub(crate) const DATA: u64 = 1 << (TAGS + 12);
    /// Content has shown which end is the client.
    pub(crate) const CONTENT: u64 = 1 << 54;
    /// TCP: a SYN may have begun another connection (see `restart`).
    pub(crate) const CANDIDATE: u64 = 1 << 55;

    /// Shifts a bit of the lower end to the same bit of this end.
    #[inline(always)]
    pub(crate) const fn of(bit: u64, end: usize) -> u64 {
        bit << end
    }
}

const KEY: u64 = (1 << TAGS) - 1;
const APP: u32 = 48;
const APP_BITS: u64 = 0x3f;
const _: () = assert!(App::NAMES.len() <= APP_BITS as usize + 1);
const PREV: u32 = 56;
const LINK: u64 = 0xff;
const LINK_BITS: u32 = 8;

/// A flow, or a free place for a flow. The order of the members places three words in different
/// cache lines, so that [`Entry::prefetch`] reaches all of the entry.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Entry {
    addresses: [u64; 4],
    ports: u64,
    /// Triggers that are active for the flow, one bit each.
    pub active: u64,
    /// Time of the first packet, in nanoseconds since the Unix epoch.
    pub first: i64,
    /// From the low bits: the key's tags, flags, the application (6 bits), 2 more flags, 8 bits of
    /// `prev`.
    tags: u64,
    /// Time of the last packet relative to `first` (the high 56 bits, signed), and 8 bits of
    /// `next`.
    last: u64,
    /// What each end sent: the lower end, the higher end.
    sides: [Side; 2],
}

/// One direction. Each word holds a number of 48 bits in its high bits. The low 16 bits hold pieces
/// of `next`, `prev` and the two bases, in this order.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    bytes: u64,
    packets: u64,
    top: u64,
}

const _: () = assert!(size_of::<Entry>() == 120);

const PIECE: u64 = 0xffff;
const PIECE_BITS: u32 = 16;

/// The number in a word.
#[inline(always)]
fn number(word: u64) -> u64 {
    word >> PIECE_BITS
}

/// Adds to the number in a word, up to 48 bits.
#[inline(always)]
fn add(word: &mut u64, more: u64) {
    *word = word.checked_add(more << PIECE_BITS).unwrap_or(*word | !PIECE);
}

/// Replaces the piece in a word.
#[inline(always)]
fn set_piece(word: &mut u64, piece: u32) {
    *word = *word & !PIECE | u64::from(piece) & PIECE;
}

/// Joins two pieces to a number of up to 32 bits.
#[inline(always)]
fn pieces(upper: u64, lower: u64) -> u32 {
    ((upper & PIECE) << PIECE_BITS | lower & PIECE) as u32
}

impl Entry {
    /// A flow at its first packet. It is in no list yet.
    pub(crate) fn new(key: &Key, from: usize, time: i64) -> Entry {
        let client = if key.client(from) == 1 { flag::HIGHER } else { 0 };
        let tags = key.tags & KEY | flag::ALIVE | client;
        Entry { addresses: key.addresses, ports: key.ports, tags, first: time, ..Entry::default() }
    }

    /// Whether the entry is the flow of this key.
    #[inline(always)]
    pub(crate) fn is(&self, key: &Key) -> bool {
        let alive = self.tags & (KEY | flag::ALIVE) == key.tags | flag::ALIVE;
        alive && self.ports == key.ports && self.addresses == key.addresses
    }

    /// The flow's key.
    pub(crate) fn key(&self) -> Key {
        Key { addresses: self.addresses, ports: self.ports, tags: self.tags & KEY }
    }

    /// Prefetches each cache line of the entry.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.addresses);
        prefetch(&self.tags);
        prefetch(&self.sides[1].top);
    }

    /// Which of these flags are set.
    #[inline(always)]
    pub(crate) fn tags(&self, flags: u64) -> u64 {
        self.tags & flags
    }

    /// Whether all of these flags are set.
    #[inline(always)]
    pub(crate) fn has(&self, flags: u64) -> bool {
        self.tags & flags == flags
    }

    /// The flags of one end at the lower end's bits, so that callers need no [`flag::of`].
    #[inline(always)]
    pub(crate) fn end(&self, from: usize) -> u64 {
        self.tags >> from
    }

    /// Whether at least one of these flags is set.
    #[inline(always)]
    pub(crate) fn any(&self, flags: u64) -> bool {
        self.tags & flags != 0
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, flags: u64) {
        self.tags |= flags;
    }

    #[inline(always)]
    pub(crate) fn clear(&mut self, flags: u64) {
        self.tags &= !flags;
    }

    /// Which end is the client: 0 the lower, 1 the higher.
    #[inline(always)]
    pub(crate) fn client(&self) -> usize {
        usize::from(self.has(flag::HIGHER))
    }

    /// Makes an end the client.
    pub(crate) fn set_client(&mut self, end: usize) {
        self.clear(flag::HIGHER);
        self.set(if end == 1 { flag::HIGHER } else { 0 });
    }

    /// The protocol number.
    #[inline(always)]
    pub(crate) fn proto(&self) -> u8 {
        (self.tags >> 24) as u8
    }

    /// The number of the application.
    #[inline(always)]
    pub(crate) fn app(&self) -> u8 {
        (self.tags >> APP & APP_BITS) as u8
    }

    pub(crate) fn set_app(&mut self, app: App) {
        self.tags = self.tags & !(APP_BITS << APP) | (app as u64) << APP;
    }

    /// Time of the last packet.
    pub(crate) fn last(&self) -> i64 {
        self.first.saturating_add(self.last_after())
    }

    /// Time of the last packet relative to the first.
    #[inline(always)]
    pub(crate) fn last_after(&self) -> i64 {
        self.last as i64 >> LINK_BITS
    }

    /// A time relative to the first packet, as exactly as an entry can keep it.
    #[inline(always)]
    pub(crate) fn after(&self, time: i64) -> i64 {
        match time.checked_sub(self.first) {
            Some(after) if after << LINK_BITS >> LINK_BITS == after => after,
            _ => self.years_after(time),
        }
    }

    #[cold]
    fn years_after(&self, time: i64) -> i64 {
        const MOST: i64 = i64::MAX >> LINK_BITS;
        time.saturating_sub(self.first).clamp(-MOST, MOST)
    }

    /// Notes a packet at this time relative to the first packet. A packet that is earlier than the
    /// last one does not move the time back.
    #[inline(always)]
    pub(crate) fn touch(&mut self, after: i64) {
        self.set_last(after.max(self.last_after()));
    }

    /// Sets the time of the last packet relative to the first.
    #[inline(always)]
    pub(crate) fn set_last(&mut self, after: i64) {
        self.last = (after << LINK_BITS) as u64 | self.last & LINK;
    }

    /// Counts a packet of `bytes` bytes from this end.
    #[inline(always)]
    pub(crate) fn count(&mut self, from: usize, bytes: u32) {
        let side = &mut self.sides[from & 1];
        add(&mut side.packets, 1);
        add(&mut side.bytes, u64::from(bytes));
    }

    /// Packets and bytes from this end.
    #[inline(always)]
    pub(crate) fn counted(&self, from: usize) -> (u64, u64) {
        let side = &self.sides[from & 1];
        (number(side.packets), number(side.bytes))
    }

    /// The length of this end's stream, in bytes.
    #[inline(always)]
    pub(crate) fn top(&self, from: usize) -> u64 {
        number(self.sides[from & 1].top)
    }

    #[inline(always)]
    pub(crate) fn set_top(&mut self, from: usize, top: u64) {
        let word = &mut self.sides[from & 1].top;
        *word = *word & PIECE | top.min(MOST) << PIECE_BITS;
    }

    /// The sequence number at offset 0 of this end's stream.
    #[inline(always)]
    pub(crate) fn base(&self, from: usize) -> u32 {
        let [a, b] = &self.sides;
        if from == 0 { pieces(a.top, b.bytes) } else { pieces(b.packets, b.top) }
    }

    pub(crate) fn set_base(&mut self, from: usize, base: u32) {
        let [a, b] = &mut self.sides;
        let (upper, lower) =
            if from == 0 { (&mut a.top, &mut b.bytes) } else { (&mut b.packets, &mut b.top) };
        set_piece(upper, base >> PIECE_BITS);
        set_piece(lower, base);
    }

    /// The next place in the flow's list (24 bits).
    #[inline(always)]
    pub(crate) fn next(&self) -> u32 {
        pieces(self.last & LINK, self.sides[0].bytes)
    }

    #[inline(always)]
    pub(crate) fn set_next(&mut self, id: u32) {
        self.last = self.last & !LINK | u64::from(id >> PIECE_BITS) & LINK;
        set_piece(&mut self.sides[0].bytes, id);
    }

    /// The previous place in the flow's list (24 bits).
    #[inline(always)]
    pub(crate) fn prev(&self) -> u32 {
        pieces(self.tags >> PREV, self.sides[0].packets)
    }

    #[inline(always)]
    pub(crate) fn set_prev(&mut self, id: u32) {
        self.tags = self.tags & ((1 << PREV) - 1) | u64::from(id >> PIECE_BITS) << PREV;
        set_piece(&mut self.sides[0].packets, id);
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
