//! A short cut to the longest IPv4 prefix, for large tables. It has the value for each /24, and for
//! each /12 without a longer prefix, so a look-up is one or two independent loads. It is built from
//! the trie when a table has grown large, and follows its changes. It leaves to the trie what it
//! cannot store: longer prefixes, and rows that end. The invariant: a change touches at most 4,096
//! places, and a place holds the longest prefix of its own lengths. (Rejected: one table of /24s
//! alone, of which a /0 touches 16 million places; places for each address of a /24.)

use super::chunks::Chunks;
use super::prefixes::Net;

/// A table with this many IPv4 prefixes gets a short cut, of 64 MiB.
pub(super) const MANY: usize = if cfg!(test) { 8 } else { 1 << 17 };
/// A table with fewer than this many loses it.
pub(super) const FEW: usize = MANY / 2;

/// Prefixes of at most this many bits are stored by /12.
const SHORT: u8 = 12;
/// A flag of a place: a prefix of more than 24 bits lies in this /24.
const BELOW: u32 = 1 << 31;
/// A flag of a place: the row ends.
const ENDS: u32 = 1 << 30;
/// The lowest bit of the length plus one. The bits below are the number of the value.
const LEN: u32 = 25;

/// A row: its prefix, its value's number, whether it ends.
pub(super) type Entry = (Net, u32, bool);

/// The result of a look-up.
pub(super) enum Found {
    /// The number of the value, if a row covers it.
    Value(Option<u32>),
    /// The trie must be asked.
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) struct Direct {
    short: Chunks<u32, 12>,
    long: Chunks<u32, 14>,
}

impl Direct {
    pub fn new() -> Direct {
        let mut direct = Direct { short: Chunks::new(), long: Chunks::new() };
        direct.short.grow(1 << SHORT);
        direct.long.grow(1 << 24);
        direct
    }

    #[inline]
    pub fn find(&self, ip: u32) -> Found {
        let mut place = self.long.get((ip >> 8) as usize).copied().unwrap_or(BELOW);
        if place == 0 {
            place = self.short.get((ip >> 20) as usize).copied().unwrap_or(BELOW);
        }
        if place & (BELOW | ENDS) != 0 {
            return Found::Unknown;
        }
        Found::Value((place != 0).then_some(place & ((1 << LEN) - 1)))
    }

    /// A row was inserted, or its value or end has changed.
    pub fn insert(&mut self, entry: Entry) {
        let net = entry.0;
        if net.len > 24 {
            self.long.set(at(net, 24), self.long.get(at(net, 24)).map_or(0, |place| place | BELOW));
            return;
        }
        for place in self.places(net) {
            if *place >> LEN & 31 <= u32::from(net.len) + 1 {
                *place = *place & BELOW | word(entry);
            }
        }
    }

    /// A row was removed. `shorter`: the longest remaining prefix that covers it. `below`: a prefix
    /// of more than 24 bits remains in its /24.
    pub fn remove(&mut self, net: Net, shorter: Option<Entry>, below: bool) {
        if net.len > 24 {
            if !below {
                self.long.set(at(net, 24), self.long.get(at(net, 24)).map_or(0, |place| place & !BELOW));
            }
            return;
        }
        let left = shorter.filter(|left| net.len <= SHORT || left.0.len > SHORT).map_or(0, word);
        for place in self.places(net) {
            if *place >> LEN & 31 == u32::from(net.len) + 1 {
                *place = *place & BELOW | left;
            }
        }
    }

    pub fn memory(&self) -> usize {
        self.short.memory() + self.long.memory()
    }

    /// The places that a prefix of at most 24 bits covers. They are in one chunk.
    fn places(&mut self, net: Net) -> impl Iterator<Item = &mut u32> {
        let (places, bits) = if net.len <= SHORT {
            (self.short.tail_mut(at(net, SHORT)), SHORT)
        } else {
            (self.long.tail_mut(at(net, 24)), 24)
        };
        places.iter_mut().take(1 << (bits - net.len))
    }
}

/// The first place of a prefix, among places of this many bits.
fn at(net: Net, bits: u8) -> usize {
    (net.address >> (128 - u32::from(bits))) as usize
}

fn word((net, value, ends): Entry) -> u32 {
    (u32::from(net.len) + 1) << LEN | value | if ends { ENDS } else { 0 }
}
