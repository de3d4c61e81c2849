//! One flow in 120 bytes. The invariant: what is packed is exact up to what the fields promise, 48 bits of packets, bytes and
//! stream offsets, and stops there instead of wrapping. A flow's age and the time of its last packet are exact for 416
//! days. (Rejected: 64 bits for each number, half a cache line more for every flow.)

use super::key::{Key, TAGS};
use mrule_compiler::fields::App;

/// Counts and offsets stop here.
pub(super) const MOST: u64 = (1 << 48) - 1;

/// What is known of a flow: bits of [`Entry::tags`] above the key's.
pub(super) mod flag {
    use super::TAGS;
    /// The place is in use.
    pub const ALIVE: u64 = 1 << TAGS;
    /// The higher end is the client.
    pub const HIGHER: u64 = 1 << (TAGS + 1);
    /// Both ends have spoken, as `flow.established` says it.
    pub const ESTABLISHED: u64 = 1 << (TAGS + 2);
    /// It is worth keeping when the table is full: established, or found in mid-stream with both ends alive.
    pub const SETTLED: u64 = 1 << (TAGS + 3);
    /// TCP: it was reset.
    pub const RESET: u64 = 1 << (TAGS + 4);
    /// TCP: a SYN has said which end is the client.
    pub const OPENED: u64 = 1 << (TAGS + 5);
    /// TCP: the lower end has sent FIN.
    pub const FIN: u64 = 1 << (TAGS + 6);
    /// TCP: it is known which sequence number is offset 0 of what the lower end sends.
    pub const BASE: u64 = 1 << (TAGS + 8);
    /// TCP: and that is by its SYN.
    pub const ISN: u64 = 1 << (TAGS + 10);
    /// The lower end has sent payload.
    pub const DATA: u64 = 1 << (TAGS + 12);

    /// A bit of the lower end as that of this end.
    #[inline(always)]
    pub const fn of(bit: u64, end: usize) -> u64 {
        bit << end
    }
}

const KEY: u64 = (1 << TAGS) - 1;
const APP: u32 = 48;
const TIME: u32 = 56;

/// A flow, or a place for one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    addresses: [u64; 4],
    ports: u64,
    /// Triggers that are active.
    pub active: u64,
    /// When its first packet came.
    pub first: i64,
    /// The key's tags, flags, the application (8 bits), 8 bits of `prev`.
    tags: u64,
    /// When its last packet came, after `first` (56 bits, signed), 8 bits of `next`.
    last: u64,
    /// What each end sent.
    sides: [Side; 2],
}

/// One direction. The high 16 bits of the words are pieces of `next`, `prev`, and the two bases, in this order.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    bytes: u64,
    packets: u64,
    top: u64,
}

const _: () = assert!(size_of::<Entry>() == 120);

/// Replaces the low 48 bits.
#[inline(always)]
fn low(word: &mut u64, value: u64) {
    *word = *word & !MOST | value.min(MOST);
}

/// Replaces the high 16 bits.
#[inline(always)]
fn high(word: &mut u64, value: u16) {
    *word = *word & MOST | u64::from(value) << 48;
}

impl Entry {
    /// A flow that begins; it is not linked.
    pub fn new(key: &Key, from: usize, time: i64) -> Entry {
        let client = if from == 1 { flag::HIGHER } else { 0 };
        let tags = key.tags & KEY | flag::ALIVE | client;
        Entry { addresses: key.addresses, ports: key.ports, tags, first: time, ..Entry::default() }
    }

    /// Whether it is the flow of this key.
    #[inline(always)]
    pub fn is(&self, key: &Key) -> bool {
        self.addresses == key.addresses
            && self.ports == key.ports
            && self.tags & (KEY | flag::ALIVE) == key.tags | flag::ALIVE
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key { addresses: self.addresses, ports: self.ports, tags: self.tags & KEY }
    }

    /// Words of every cache line that it lies in.
    #[inline(always)]
    pub fn touch(&self) -> u64 {
        self.addresses[0] ^ self.tags ^ self.sides[1].top
    }

    /// Whether all of these are set.
    #[inline(always)]
    pub fn has(&self, flags: u64) -> bool {
        self.tags & flags == flags
    }

    /// Whether one of these is set.
    #[inline(always)]
    pub fn any(&self, flags: u64) -> bool {
        self.tags & flags != 0
    }

    #[inline(always)]
    pub fn set(&mut self, flags: u64) {
        self.tags |= flags;
    }

    #[inline(always)]
    pub fn clear(&mut self, flags: u64) {
        self.tags &= !flags;
    }

    /// Which end is the client.
    #[inline(always)]
    pub fn client(&self) -> usize {
        usize::from(self.has(flag::HIGHER))
    }

    /// The protocol number.
    #[inline(always)]
    pub fn proto(&self) -> u8 {
        (self.tags >> 24) as u8
    }

    /// The application, as its number.
    #[inline(always)]
    pub fn app(&self) -> u8 {
        (self.tags >> APP) as u8
    }

    pub fn set_app(&mut self, app: App) {
        self.tags = self.tags & !(0xff << APP) | (app as u64) << APP;
    }

    /// When its last packet came.
    #[inline(always)]
    pub fn last(&self) -> i64 {
        self.first.saturating_add((self.last << (64 - TIME)) as i64 >> (64 - TIME))
    }

    #[inline(always)]
    pub fn set_last(&mut self, time: i64) {
        const MOST: i64 = (1 << (TIME - 1)) - 1;
        let after = time.saturating_sub(self.first).clamp(-MOST, MOST) as u64;
        self.last = self.last >> TIME << TIME | after & ((1 << TIME) - 1);
    }

    /// Counts a packet of so many bytes from this end.
    #[inline(always)]
    pub fn count(&mut self, from: usize, bytes: u32) {
        let side = &mut self.sides[from & 1];
        let (packets, sum) = (side.packets & MOST, side.bytes & MOST);
        low(&mut side.packets, packets + 1);
        low(&mut side.bytes, sum + u64::from(bytes));
    }

    /// Packets and bytes from this end.
    #[inline(always)]
    pub fn counted(&self, from: usize) -> (u64, u64) {
        let side = &self.sides[from & 1];
        (side.packets & MOST, side.bytes & MOST)
    }

    /// The length of this end's stream.
    #[inline(always)]
    pub fn top(&self, from: usize) -> u64 {
        self.sides[from & 1].top & MOST
    }

    #[inline(always)]
    pub fn set_top(&mut self, from: usize, top: u64) {
        low(&mut self.sides[from & 1].top, top);
    }

    /// The sequence number that is offset 0 of this end's stream.
    #[inline(always)]
    pub fn base(&self, from: usize) -> u32 {
        let [a, b] = &self.sides;
        let (upper, lower) = if from == 0 { (a.top, b.bytes) } else { (b.packets, b.top) };
        (upper >> 48 << 16 | lower >> 48) as u32
    }

    pub fn set_base(&mut self, from: usize, base: u32) {
        let [a, b] = &mut self.sides;
        let (upper, lower) =
            if from == 0 { (&mut a.top, &mut b.bytes) } else { (&mut b.packets, &mut b.top) };
        high(upper, (base >> 16) as u16);
        high(lower, base as u16);
    }

    /// The place after it in its list (24 bits).
    #[inline(always)]
    pub fn next(&self) -> u32 {
        ((self.last >> TIME) << 16 | self.sides[0].bytes >> 48) as u32
    }

    #[inline(always)]
    pub fn set_next(&mut self, id: u32) {
        self.last = self.last << (64 - TIME) >> (64 - TIME) | u64::from(id >> 16) << TIME;
        high(&mut self.sides[0].bytes, id as u16);
    }

    /// The place before it in its list (24 bits).
    #[inline(always)]
    pub fn prev(&self) -> u32 {
        ((self.tags >> TIME) << 16 | self.sides[0].packets >> 48) as u32
    }

    #[inline(always)]
    pub fn set_prev(&mut self, id: u32) {
        self.tags = self.tags << (64 - TIME) >> (64 - TIME) | u64::from(id >> 16) << TIME;
        high(&mut self.sides[0].packets, id as u16);
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
