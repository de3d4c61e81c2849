//! A look at a batch before its turn, so that what it needs comes from memory side by side. The invariant: nothing here
//! decides anything; a guess is held against the whole key before it is used. Three loops instead of one: a processor looks
//! ahead over so many instructions, and the fewer lie between two loads that miss, the more of them are under way at once.
//! (Rejected: prefetch instructions, which safe Rust does not have.)

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
