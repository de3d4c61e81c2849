//! Prefetches for a batch before its packets are observed, so that their memory accesses overlap.
//! Invariant: nothing here decides anything; the table compares a guess with the whole key before
//! it uses the guess. There are two loops. The first prefetches index slots. The second, when the
//! slots have arrived, prefetches entries and does not wait for them. (Rejected: one packet at a
//! time; each load that misses then waits for the load before it.)

use super::entry::Entry;
use super::index::Index;
use super::key::{NOWHERE, PacketKey, Seeds};
use mrule_compiler::abi::{Head, Packet};

/// Computes the keys of these packets and prefetches their index slots and entries.
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
