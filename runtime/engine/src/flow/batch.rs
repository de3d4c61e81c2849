//! A look at a batch before its turn, so that what it needs comes from memory side by side. The
//! invariant: nothing here decides anything; a guess is held against the whole key before it is
//! used. Two loops: the first asks for slots of the index, the second, when those have come, for
//! entries, which nobody waits for here. (Rejected: one packet at a time, in which each load that
//! misses waits for the one before.)

use super::entry::Entry;
use super::index::Index;
use super::key::{NOWHERE, PacketKey, Seeds};
use mrule_compiler::abi::{Head, Packet};

/// Looks at these packets.
pub(super) fn prepare(
    keys: &mut Vec<PacketKey>,
    packets: &[Packet],
    heads: &[Head],
    seeds: &Seeds,
    index: &Index,
    flows: &[Entry],
) {
    keys.resize(packets.len().min(heads.len()), PacketKey::FOREIGN);
    for (key_of, (packet, head)) in keys.iter_mut().zip(packets.iter().zip(heads)) {
        key_of.set(packet, &head.outer, seeds);
        index.prefetch(key_of.hash);
    }
    for key_of in keys.iter_mut() {
        key_of.guess = index.guess(key_of.hash, index.first(key_of.hash)).unwrap_or(NOWHERE);
        if let Some(flow) = flows.get(key_of.guess as usize) {
            flow.prefetch();
        }
    }
}
