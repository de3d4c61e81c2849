//! A look at a batch before its turn, so that what it needs comes from memory side by side. The invariant: nothing here
//! decides anything; a guess is held against the whole key before it is used. Three loops instead of one: a processor looks
//! ahead over so many instructions, and the fewer lie between two loads that miss, the more of them are under way at once.
//! (Rejected: prefetch instructions, which safe Rust does not have.)

use super::entry::Entry;
use super::index::Index;
use super::key::{Seeds, Way};
use mrule_compiler::abi::{Head, Packet, Stack};
use std::hint::black_box;

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A packet's flow, as far as the packet says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    pub way: Way,
    pub hash: u64,
    /// Where the flow may be.
    pub guess: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Batch {
    ways: Vec<Way>,
    hashes: Vec<u64>,
    guesses: Vec<u32>,
}

impl Batch {
    pub fn new(packets: usize) -> Batch {
        Batch {
            ways: Vec::with_capacity(packets),
            hashes: Vec::with_capacity(packets),
            guesses: Vec::with_capacity(packets),
        }
    }

    /// In bytes.
    pub fn memory(&self) -> usize {
        self.ways.capacity() * size_of::<Way>() + self.hashes.capacity() * 8 + self.guesses.capacity() * 4
    }

    /// Looks at these packets.
    pub fn prepare(
        &mut self,
        packets: &[Packet],
        heads: &[Head],
        seeds: &Seeds,
        index: &Index,
        flows: &[Entry],
    ) {
        self.ways.clear();
        self.ways.extend(packets.iter().zip(heads).map(|(packet, head)| Way::read(packet, &head.outer)));
        self.hashes.clear();
        self.hashes.extend(self.ways.iter().map(|way| seeds.hash(way.key.words())));
        black_box(self.hashes.iter().fold(0, |seen, &hash| seen ^ index.touch(hash)));
        self.guesses.clear();
        let guess = |&hash: &u64| index.guess(hash).unwrap_or(NOWHERE);
        self.guesses.extend(self.hashes.iter().map(guess));
        let touch = |&id: &u32| flows.get(id as usize).map_or(0, Entry::touch);
        black_box(self.guesses.iter().fold(0, |seen, id| seen ^ touch(id)));
    }

    /// Packet `i` of the batch; one that was not prepared is looked at now.
    #[inline(always)]
    pub fn get(&self, i: usize, packet: &Packet, stack: &Stack, seeds: &Seeds) -> Prepared {
        match (self.ways.get(i), self.hashes.get(i), self.guesses.get(i)) {
            (Some(&way), Some(&hash), Some(&guess)) => Prepared { way, hash, guess },
            _ => unprepared(packet, stack, seeds),
        }
    }
}

#[cold]
fn unprepared(packet: &Packet, stack: &Stack, seeds: &Seeds) -> Prepared {
    let way = Way::read(packet, stack);
    Prepared { way, hash: seeds.hash(way.key.words()), guess: NOWHERE }
}
