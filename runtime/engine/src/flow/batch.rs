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
    packet_keys: &mut Vec<PacketKey>,
    packets: &[Packet],
    heads: &[Head],
    seeds: &Seeds,
    index: &Index,
    flows: &[Entry],
) {
    packet_keys.resize(packets.len().min(heads.len()), PacketKey::FOREIGN);
    for (packet_key, (packet, head)) in packet_keys.iter_mut().zip(packets.iter().zip(heads)) {
        packet_key.set(packet, &head.outer, seeds);
        index.prefetch(packet_key.hash);
    }
    for packet_key in packet_keys.iter_mut() {
        packet_key.guess = index.guess(packet_key.hash, index.first(packet_key.hash)).unwrap_or(NOWHERE);
        if let Some(flow) = flows.get(packet_key.guess as usize) {
            flow.prefetch();
        }
    }
}
