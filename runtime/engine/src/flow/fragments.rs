//! The flows of fragments that carry no ports. The table remembers the first fragments of datagrams
//! for 30 seconds, by addresses, protocol, VLANs and identification. Invariant: memory is fixed;
//! eight datagrams share a set, and in a full set the newest replaces the oldest. A record holds
//! the flow's key, not its place: another flow may have taken the place meanwhile. (Rejected:
//! reassembly; a mirror copies fragments as they are.)

use super::key::{Key, Seeds, addresses, be16, vlans};
use crate::memory::{NoMemory, list};
use mrule_compiler::abi::{Packet, Stack, bit};

const WAYS: usize = 8;
const LIFE: i64 = 30_000_000_000;

/// A datagram, as its fragments identify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Datagram([u64; 6]);

/// A fragment of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment {
    pub datagram: Datagram,
    /// Offset of the fragment's bytes in the datagram.
    pub offset: u32,
    /// Offset of the fragment's bytes in the frame.
    pub start: u32,
}

/// What a first fragment said about its datagram.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct First {
    pub key: Key,
    pub from: usize,
    /// TCP: the sequence number that byte 0 of the datagram would have.
    pub seq: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    datagram: Datagram,
    first: First,
    time: i64,
    used: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Fragments {
    records: Vec<Record>,
    sets: usize,
    /// Datagrams that were forgotten before their time.
    pub forgotten: u64,
}

impl Fragments {
    /// Room for about this number of datagrams.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new(datagrams: usize) -> Result<Fragments, NoMemory> {
        let sets = datagrams.div_ceil(WAYS).max(1);
        Ok(Fragments { records: list(sets.saturating_mul(WAYS))?, sets, forgotten: 0 })
    }

    /// Memory for about this number of datagrams, in bytes.
    pub(crate) fn memory_of(datagrams: usize) -> u64 {
        datagrams.div_ceil(WAYS).max(1) as u64 * (WAYS * size_of::<Record>()) as u64
    }

    /// Memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.sets * WAYS * size_of::<Record>()
    }

    fn set(&mut self, datagram: &Datagram, seeds: &Seeds) -> &mut [Record] {
        if self.records.is_empty() {
            self.records.resize(self.sets * WAYS, Record::default());
        }
        let set = (((seeds.words(datagram.0) >> 32) * self.sets as u64) >> 32) as usize;
        &mut self.records[set * WAYS..][..WAYS]
    }

    /// Remembers a first fragment.
    pub(crate) fn remember(&mut self, datagram: Datagram, first: First, time: i64, seeds: &Seeds) {
        let set = self.set(&datagram, seeds);
        let same = set.iter().position(|r| r.used && r.datagram == datagram);
        let free = || set.iter().position(|r| !r.used || is_over(r, time));
        let oldest = || (0..WAYS).min_by_key(|&i| set[i].time).unwrap_or(0);
        let (at, forgotten) = match same.or_else(free) {
            Some(at) => (at, 0),
            None => (oldest(), 1),
        };
        set[at] = Record { datagram, first, time, used: true };
        self.forgotten += forgotten;
    }

    /// What the first fragment of a datagram said.
    pub(crate) fn find(&mut self, datagram: &Datagram, time: i64, seeds: &Seeds) -> Option<First> {
        if self.records.is_empty() {
            return None;
        }
        let set = self.set(datagram, seeds);
        set.iter().find(|r| r.used && r.datagram == *datagram && !is_over(r, time)).map(|r| r.first)
    }
}

fn is_over(record: &Record, time: i64) -> bool {
    time.saturating_sub(record.time) > LIFE
}

/// Reads a fragment's datagram and its place in it.
pub(super) fn read(packet: &Packet, stack: &Stack) -> Option<Fragment> {
    let (addresses, family) = addresses(packet, stack)?;
    let (id, offset, start) = if stack.bits & bit::IP_HDR != 0 {
        let header: &[u8; 20] = packet.frame().get(stack.l3 as usize..)?.first_chunk()?;
        let id = u64::from(u16::from_be_bytes([header[4], header[5]]));
        let offset = u32::from(u16::from_be_bytes([header[6], header[7]]) & 0x1fff) * 8;
        let start = stack.l3 + u32::from(header[0] & 0xf) * 4;
        (id | u64::from(header[9]) << 32, offset, start)
    } else {
        let at = fragment_header(packet, stack)?;
        let &[_, _, a, b, c, d, e, f] = packet.frame().get(at as usize..)?.first_chunk()?;
        let id = u64::from(u32::from_be_bytes([c, d, e, f]));
        (id, u32::from(u16::from_be_bytes([a, b]) & 0xfff8), at + 8)
    };
    let [a, b, c, d] = addresses;
    Some(Fragment { datagram: Datagram([a, b, c, d, id, vlans(packet, stack) | family]), offset, start })
}

/// Offset of the fragment header of an IPv6 packet.
fn fragment_header(packet: &Packet, stack: &Stack) -> Option<u32> {
    const FRAGMENT: u8 = 44;
    const AH: u8 = 51;
    let frame = packet.frame();
    let mut next = *frame.get(stack.l3 as usize + 6)?;
    let mut at = stack.l3 + 40;
    for _ in 0..mrule_compiler::dissect::MAX_NESTING {
        if next == FRAGMENT {
            return Some(at);
        }
        if !matches!(next, 0 | 43 | AH | 60 | 135 | 139 | 140) {
            return None;
        }
        let [following, length] = be16(packet, at)?.to_be_bytes();
        at += if next == AH { (u32::from(length) + 2) * 4 } else { (u32::from(length) + 1) * 8 };
        next = following;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    fn datagram(i: u64) -> Datagram {
        Datagram([i, 0, 0, 0, 0, 0])
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let seeds = Seeds::random();
        let mut fragments = Fragments::new(8).unwrap();
        let memory = fragments.memory();
        for i in 0..8 {
            fragments.remember(datagram(i), First { from: i as usize, ..First::default() }, i as i64, &seeds);
        }
        fragments.remember(datagram(3), First { from: 33, ..First::default() }, 9, &seeds);
        assert_eq!(fragments.forgotten, 0);
        fragments.remember(datagram(8), First::default(), 10, &seeds);
        assert_eq!(fragments.forgotten, 1);
        assert!(fragments.find(&datagram(0), 10, &seeds).is_none());
        assert_eq!(fragments.find(&datagram(3), 10, &seeds).map(|f| f.from), Some(33));
        assert!(fragments.find(&datagram(1), LIFE + 1, &seeds).is_some());
        assert!(fragments.find(&datagram(1), LIFE + 2, &seeds).is_none());
        fragments.remember(datagram(9), First::default(), LIFE + 2, &seeds);
        assert_eq!((fragments.forgotten, fragments.memory()), (1, memory));
    }
}
