//! Hashes for sampling. Their values are part of the language and never change, so samples of
//! different machines, versions and years fit together; the tests compare them with fixed values.
//! (Rejected: Toeplitz, as network cards compute it: its low bits are weak for `% 100`.)

use crate::abi::{Head, Packet, bit};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// `packet.hash`: XXH3-64 of the first 128 captured bytes (fewer if the frame is shorter), seeded
/// with the frame's length on the wire.
pub fn packet_hash(packet: &Packet) -> u64 {
    let frame = packet.frame();
    xxh3_64_with_seed(frame.get(..128).unwrap_or(frame), u64::from(packet.len))
}

/// `flow.hash`: XXH3-64, without a seed, of 37 bytes: the lower end's address (16 bytes, IPv4 as
/// `::ffff:a.b.c.d`), the higher end's, the lower end's port (2 bytes, big-endian), the higher
/// end's, the protocol number (1 byte). An end is an address and its port; ends are ordered by
/// address, then by port, so both directions give the same value. The ports are 0 for protocols
/// without ports, and in a fragment that is not the first. `None`: the outermost IP packet, which
/// the hash describes, has no consistent IP header.
pub fn flow_hash(packet: &Packet, head: &Head) -> Option<u64> {
    let at = &head.outer;
    let ip = packet.frame().get(at.l3 as usize..)?;
    let v4 = |at: usize| {
        let octets: [u8; 4] = *ip.get(at..)?.first_chunk()?;
        Some(std::net::Ipv4Addr::from(octets).to_ipv6_mapped().octets())
    };
    let v6 = |at: usize| ip.get(at..)?.first_chunk::<16>().copied();
    let (source, destination) = match at.bits & (bit::NET | bit::IP_HDR | bit::IP6_HDR) {
        bits if bits == bit::NET | bit::IP_HDR => (v4(12)?, v4(16)?),
        bits if bits == bit::NET | bit::IP6_HDR => (v6(8)?, v6(24)?),
        _ => return None,
    };
    let ports = (at.bits & bit::PORTS != 0)
        .then(|| packet.frame().get(at.l4 as usize..)?.first_chunk::<4>().copied())
        .flatten()
        .unwrap_or_default();
    let [a, b, c, d] = ports;
    let ends = [(source, [a, b]), (destination, [c, d])];
    let [low, high] = if ends[0] <= ends[1] { ends } else { [ends[1], ends[0]] };
    let mut key = [0; 37];
    key[..16].copy_from_slice(&low.0);
    key[16..32].copy_from_slice(&high.0);
    key[32..34].copy_from_slice(&low.1);
    key[34..36].copy_from_slice(&high.1);
    key[36] = at.proto as u8;
    Some(xxh3_64(&key))
}
