//! Where dissection ends before an IP packet or a transport header: the types that nobody looks
//! behind, as numbers and with names. The invariant: a type is a leaf only if neither an IP packet
//! nor a transport header can follow it in the clear. Every other type that is not read is
//! `frame.unparsed`. (Rejected: calling every unknown type a leaf; a `limit` would fail open.)

use crate::abi::{Head, Stack, bit};

/// The number space of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Ethernet types (IEEE), and numbers that are neither a type nor a length.
    EtherType,
    /// The destination SAP of LLC (IEEE 802.2).
    Llc,
    /// PPP protocols (IANA).
    Ppp,
    /// The protocol of a Linux cooked capture, below 0x0600.
    Cooked,
    /// The address family of BSD loopback.
    Loopback,
    /// IP protocols (IANA).
    Ip,
}

/// The type that dissection ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unparsed {
    /// Its number space.
    pub family: Family,
    /// Its number.
    pub kind: u16,
}

impl std::fmt::Display for Unparsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind;
        match self.family {
            Family::EtherType => write!(f, "EtherType {kind:#06x}"),
            Family::Llc => write!(f, "LLC SAP {kind:#04x}"),
            Family::Ppp => write!(f, "PPP protocol {kind:#06x}"),
            Family::Cooked => write!(f, "cooked protocol {kind:#06x}"),
            Family::Loopback => write!(f, "address family {kind}"),
            Family::Ip => write!(f, "IP protocol {kind}"),
        }
    }
}

/// A type as it stands in [`Stack::proto`] of a packet without `NET`.
pub(super) fn number(family: Family, kind: u16) -> u32 {
    (family as u32) << 16 | u32::from(kind)
}

/// Records that the packet ends with a type that is not read, unless it is a leaf.
#[cold]
pub(super) fn refuse(number: u32, stack: &mut Stack) {
    if !is_leaf(number) {
        stack.bits |= bit::UNPARSED;
        stack.proto = number;
    }
}

/// Records that an IP packet ends with a protocol that is not read, unless it is a leaf.
#[cold]
pub(super) fn refuse_protocol(protocol: u8, stack: &mut Stack) {
    if !is_leaf(number(Family::Ip, protocol.into())) {
        stack.bits |= bit::UNPARSED;
    }
}

/// Whether neither an IP packet nor a transport header follows a type, a [`number`].
pub(super) fn is_leaf(of: u32) -> bool {
    LEAVES.iter().any(|&(family, kind, _)| number(family, kind) == of)
}

/// What a frame ended with, if that is not read.
pub fn unparsed(head: &Head) -> Option<Unparsed> {
    if head.outer.bits & bit::UNPARSED == 0 {
        return None;
    }
    // The packet in a tunnel is the last one; `l3_end` is set in every packet that is read.
    let last = if head.inner.l3_end == 0 { &head.outer } else { &head.inner };
    let family = match (last.bits & bit::NET, last.proto >> 16) {
        (0, 0) => Family::EtherType,
        (0, 1) => Family::Llc,
        (0, 2) => Family::Ppp,
        (0, 3) => Family::Cooked,
        (0, 4) => Family::Loopback,
        _ => Family::Ip,
    };
    Some(Unparsed { family, kind: last.proto as u16 })
}

/// Types that no IP packet and no transport header follows, or only an encrypted one; of IP, the
/// protocols that are not read at all, and ESP without data.
const LEAVES: &[(Family, u16, &str)] = &[
    (Family::EtherType, 0x0842, "Wake-on-LAN"),
    (Family::EtherType, 0x6001, "DEC MOP"),
    (Family::EtherType, 0x6002, "DEC MOP remote console"),
    (Family::EtherType, 0x6003, "DECnet"),
    (Family::EtherType, 0x6004, "DEC LAT"),
    (Family::EtherType, 0x22ea, "SRP"),
    (Family::EtherType, 0x22f0, "AVTP"),
    (Family::EtherType, 0x22f4, "TRILL IS-IS"),
    (Family::EtherType, 0x80f3, "AARP"),
    (Family::EtherType, 0x809b, "AppleTalk"),
    (Family::EtherType, 0x8137, "IPX"),
    (Family::EtherType, 0x8808, "MAC control"),
    (Family::EtherType, 0x8809, "slow protocols (LACP, OAM)"),
    (Family::EtherType, 0x8863, "PPPoE discovery"),
    (Family::EtherType, 0x887b, "HomePlug"),
    (Family::EtherType, 0x888e, "EAPOL"),
    (Family::EtherType, 0x8892, "PROFINET"),
    (Family::EtherType, 0x88a2, "ATA over Ethernet"),
    (Family::EtherType, 0x88a4, "EtherCAT"),
    (Family::EtherType, 0x88ab, "POWERLINK"),
    (Family::EtherType, 0x88b4, "WAPI"),
    (Family::EtherType, 0x88b8, "GOOSE"),
    (Family::EtherType, 0x88b9, "GSE"),
    (Family::EtherType, 0x88ba, "sampled values"),
    (Family::EtherType, 0x88c7, "802.11 preauthentication"),
    (Family::EtherType, 0x88cc, "LLDP"),
    (Family::EtherType, 0x88cd, "SERCOS"),
    (Family::EtherType, 0x88d9, "LLTD"),
    (Family::EtherType, 0x88e1, "HomePlug AV"),
    (Family::EtherType, 0x88e3, "MRP"),
    (Family::EtherType, 0x88f5, "MVRP"),
    (Family::EtherType, 0x88f6, "MMRP"),
    (Family::EtherType, 0x88f7, "PTP"),
    (Family::EtherType, 0x88fb, "PRP and HSR supervision"),
    (Family::EtherType, 0x8902, "CFM"),
    (Family::EtherType, 0x8906, "FCoE"),
    (Family::EtherType, 0x8914, "FIP"),
    (Family::EtherType, 0x8915, "RoCE"),
    (Family::EtherType, 0x893a, "1905.1"),
    (Family::EtherType, 0x9000, "loopback (CTP)"),
    (Family::Llc, 0x42, "STP"),
    (Family::Llc, 0xe0, "IPX"),
    (Family::Llc, 0xf0, "NetBIOS"),
    (Family::Llc, 0xfe, "OSI (IS-IS)"),
    (Family::Llc, 0xff, "IPX"),
    (Family::Llc, 0x00, "null"),
    (Family::Cooked, 0x0001, "IPX"),
    (Family::Cooked, 0x000c, "CAN"),
    (Family::Cooked, 0x000d, "CAN FD"),
    (Family::Cooked, 0x000e, "CAN XL"),
    (Family::Loopback, 7, "OSI"),
    (Family::Loopback, 16, "AppleTalk"),
    (Family::Loopback, 23, "IPX"),
    (Family::Ip, 2, "IGMP"),
    (Family::Ip, 3, "GGP"),
    (Family::Ip, 8, "EGP"),
    (Family::Ip, 9, "IGP"),
    (Family::Ip, 46, "RSVP"),
    (Family::Ip, 50, "ESP"),
    (Family::Ip, 54, "NHRP"),
    (Family::Ip, 59, "no next header"),
    (Family::Ip, 88, "EIGRP"),
    (Family::Ip, 89, "OSPF"),
    (Family::Ip, 103, "PIM"),
    (Family::Ip, 112, "VRRP"),
    (Family::Ip, 113, "PGM"),
    (Family::Ip, 124, "IS-IS"),
];
