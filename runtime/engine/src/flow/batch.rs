//! A look at a batch before its turn, so that what it needs comes from memory side by side. The invariant: nothing here
//! decides anything; a guess is held against the whole key before it is used. Two loops: the first asks for slots of the index, the
//! second, when those have come, for entries, which nobody waits for here.
//! (Rejected: one packet at a time, in which each load that misses waits for the one before.)

use super::entry::Entry;
use super::index::Index;
use super::key::{NOWHERE, Seeds, Way};
use mrule_compiler::abi::{Head, Packet};

/// Looks at these packets.
pub(super) fn prepare(
    ways: &mut Vec<Way>,
    packets: &[Packet],
    heads: &[Head],
    seeds: &Seeds,
    index: &Index,
    flows: &[Entry],
) {
    ways.resize(packets.len().min(heads.len()), Way::FOREIGN);
    for (way, (packet, head)) in ways.iter_mut().zip(packets.iter().zip(heads)) {
        way.set(packet, &head.outer, seeds);
        index.prefetch(way.hash);
    }
    for way in ways.iter_mut() {
        way.guess = index.guess(way.hash, index.first(way.hash)).unwrap_or(NOWHERE);
        if let Some(flow) = flows.get(way.guess as usize) {
            flow.prefetch();
        }
    }
}
