//! Facts about every packet: which presence bits imply or exclude which others, and which values
//! some fields have if a header is present. The invariant: a fact is guaranteed by the dissector or
//! by flow tracking; a test compares these tables with the dissector on random packets. (Rejected:
//! deriving them from the dissector's code, which has no form to derive from.)

use crate::abi::bit::*;
use crate::fields::{Layer, Load, Slot};
use crate::hir::{Num, NumKind};
use crate::sets::Intervals;

/// If any of the first bits is set, all of the second are set, in the same packet.
pub(super) const IMPLIES: &[(u64, u64)] = &[
    (ETH_TYPE, ETH),
    (VLAN_ETYPE, VLAN),
    (ARP_ADDR, ARP_HDR),
    (ARP_HDR, ARP),
    (VXLAN | GENEVE, UDP_PAYLOAD),
    (UDP_PAYLOAD, UDP_HDR | PAYLOAD),
    (UDP_HDR | UDP_PORTS, UDP),
    (UDP, UDP_PORTS | PORTS),
    (TCP_PAYLOAD, TCP_HDR | PAYLOAD),
    (TCP_HDR, TCP_FLAGS),
    (TCP_FLAGS | TCP_LEN, TCP_SEQ),
    (TCP_SEQ | TCP_PORTS, TCP),
    (TCP, TCP_PORTS | PORTS),
    (SCTP_PORTS, SCTP),
    (SCTP, SCTP_PORTS | PORTS),
    (ICMP | ICMP_HDR, ICMP | ICMP_HDR),
    (ICMP6 | ICMP6_HDR, ICMP6 | ICMP6_HDR),
    (FROM_CLIENT | FROM_SERVER | STREAM | ISN, FLOW),
    (TCP | UDP | SCTP | ICMP | ICMP6 | ESP | GRE | PORTS | PAYLOAD | FRAGMENT | FLOW, NET),
    (EXT_HOPOPTS | EXT_ROUTING | EXT_FRAGMENT | EXT_DSTOPTS | AH, NET),
    (IP_HDR, IP_LEN | NET),
    (IP_LEN, IP_IHL),
    (IP_IHL, IP | IP_VERSION),
    (IP6_HDR, IP6 | IP_VERSION | NET),
    (NET, IP_VERSION),
];

/// No packet has bits of two of these at once.
pub(super) const EXCLUDES: &[&[u64]] = &[
    &[TCP, UDP, SCTP, ICMP, ICMP6, GRE, FRAGMENT],
    &[PORTS, ICMP, ICMP6, GRE, FRAGMENT],
    // ESP may be in UDP.
    &[TCP, SCTP, ICMP, ICMP6, ESP, GRE, FRAGMENT],
    &[IP_IHL, IP6],
    &[IP_VERSION, ARP],
    &[IP, ARP],
    &[IP6, ARP],
    &[VXLAN, GENEVE],
    &[FROM_CLIENT, FROM_SERVER],
];

/// If any bit of the inner packet is set, the outer packet has none of these.
pub(super) const NO_TUNNEL: u64 = TCP | SCTP | ICMP | ICMP6 | ESP | FRAGMENT | ARP;

/// All bits that these imply.
pub(super) fn closure(mut bits: u64) -> u64 {
    // In the table's order, one pass is enough.
    for &(some, others) in IMPLIES {
        if bits & some != 0 {
            bits |= others;
        }
    }
    bits
}

/// Two of these bits that exclude each other.
pub(super) fn clash(bits: u64) -> Option<(u64, u64)> {
    EXCLUDES.iter().find_map(|group| {
        let mut present = group.iter().copied().filter(|one| bits & one != 0);
        Some((present.next()?, present.next()?))
    })
}

/// Bits that exclude any of these.
pub(super) fn excluded(bits: u64) -> u64 {
    EXCLUDES.iter().fold(0, |out, group| {
        let all = group.iter().fold(0, |all, one| all | one);
        match bits & all {
            0 => out,
            present if present.count_ones() == 1 => out | all & !present,
            _ => out | all,
        }
    })
}

/// Protocol numbers between an IP header and its transport header: extension headers, of either
/// family.
const EXTENSIONS: [u64; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// The protocol number of each of these headers.
const PROTOCOLS: &[(u64, u64)] = &[(TCP, 6), (UDP, 17), (SCTP, 132), (ICMP, 1), (ICMP6, 58), (GRE, 47)];

const fn load(slot: Slot, at: u16, width: u8, shift: i8, mask: u64) -> Load {
    Load { layer: Layer::Outer, bits: 0, slot, at, width, shift, mask }
}

const VERSION: Load = load(Slot::L3, 0, 1, 4, 0xf);
const IP_PROTO: Load = load(Slot::L3, 9, 1, 0, 0xff);
const IP6_NEXT: Load = load(Slot::L3, 6, 1, 0, 0xff);
const FRAG_OFFSET: Load = load(Slot::L3, 6, 2, 0, 0x1fff);
const ETHER_TYPE: Load = load(Slot::L2, 12, 2, 0, 0xffff);

/// The values that a number can have in a packet with these bits (of the number's own layer).
pub(super) fn values(num: &Num, bits: u64) -> Option<Intervals<u64>> {
    let behind = |also: &[u64]| {
        let &(_, protocol) = PROTOCOLS.iter().find(|(one, _)| bits & one != 0)?;
        Some(Intervals::new(also.iter().copied().chain([protocol]).map(|p| (p, p))))
    };
    match num.kind() {
        NumKind::Slot { slot: Slot::Proto, .. } => behind(&[]),
        NumKind::Load(of) => match (Load { layer: Layer::Outer, bits: 0, ..*of }) {
            VERSION if bits & IP_HDR != 0 => Some(Intervals::one(4)),
            VERSION if bits & IP6_HDR != 0 => Some(Intervals::one(6)),
            IP_PROTO if bits & IP_HDR != 0 => behind(&EXTENSIONS),
            IP6_NEXT if bits & IP6_HDR != 0 => behind(&EXTENSIONS),
            // IPv4 does not directly follow a link type of ARP or IPv6; a VLAN tag or a similar
            // header must be between them.
            ETHER_TYPE if bits & IP_HDR != 0 => {
                Some(Intervals::new([0x0806, 0x8035, 0x86dd].map(|t| (t, t))).complement())
            }
            ETHER_TYPE if bits & NET != 0 => {
                Some(Intervals::new([0x0806, 0x8035].map(|t| (t, t))).complement())
            }
            ETHER_TYPE if bits & ARP != 0 => {
                Some(Intervals::new([0x0800, 0x86dd].map(|t| (t, t))).complement())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Bits that are set if a number has one of these values.
pub(super) fn told_by(num: &Num, values: &Intervals<u64>) -> u64 {
    match num.kind() {
        NumKind::Load(of)
            if (Load { layer: Layer::Outer, bits: 0, ..*of }) == FRAG_OFFSET
                && of.bits & IP_HDR != 0
                && !values.contains(0) =>
        {
            FRAGMENT
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
