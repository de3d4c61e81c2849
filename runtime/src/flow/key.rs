//! Which flow a packet is of: the addresses, ports and protocol of its outermost IP packet, the ids of its two outermost VLAN
//! tags, and what tells apart the flows that one tunnel carries. The invariant: the whole key is kept and compared, and
//! both directions have the same one, its ends in order of address and port. IPv4 and IPv6 never meet. A
//! priority tag (id 0) is no VLAN. (Rejected: a fingerprint in place of the key; two flows that collide would be one.)

use mrule_compiler::abi::{Packet, Stack, bit};

/// What is compared, as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Key {
    /// The lower end's address (high, low), then the higher end's; IPv4 as `::ffff:a.b.c.d`.
    pub addresses: [u64; 4],
    /// The lower end's port, the higher end's (16 bits each), the tunnel's or echo's id (32 bits).
    pub ports: u64,
    /// Two VLAN ids (12 bits each), the protocol number (8 bits), [`IPV6`], [`IDENTIFIED`]; nothing from [`TAGS`] on.
    pub tags: u64,
}

/// How many bits of [`Key::tags`] are used.
pub(super) const TAGS: u32 = 34;
const IPV6: u64 = 1 << 32;
/// There is a tunnel's or echo's id.
const IDENTIFIED: u64 = 1 << 33;

/// What a packet is to the flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// No IP packet.
    #[default]
    Foreign,
    /// A whole IP packet.
    Whole,
    /// The first fragment of one.
    First,
    /// A fragment that is not the first: it does not say its ports.
    Later,
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    pub key: Key,
    /// Which end sends: 0 the lower, 1 the higher.
    pub from: usize,
    pub kind: Kind,
}

/// The seeds of a table's hashes, so that nobody outside can choose keys that collide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeds([u64; 7]);

impl Seeds {
    /// Other ones in each process.
    pub fn random() -> Seeds {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        Seeds(std::array::from_fn(|i| state.hash_one(i) | 1))
    }

    /// Hashes six words.
    #[inline(always)]
    pub fn hash(&self, words: [u64; 6]) -> u64 {
        let [a, b, c, d, e, f] = words;
        let s = &self.0;
        let one = fold(a ^ s[0], b ^ s[1]);
        let two = fold(c ^ s[2], d ^ s[3]);
        let three = fold(e ^ s[4], f ^ s[5]);
        fold(one ^ two.rotate_left(21) ^ three.rotate_left(42), s[6])
    }
}

/// Both halves of a product, as in wyhash.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Key {
    /// Its words.
    #[inline(always)]
    pub fn words(&self) -> [u64; 6] {
        let [a, b, c, d] = self.addresses;
        [a, b, c, d, self.ports, self.tags]
    }
}

/// The source and destination addresses, each as (high, low), with [`IPV6`] if they are that.
#[inline(always)]
pub(super) fn addresses(packet: &Packet, stack: &Stack) -> Option<([u64; 4], u64)> {
    let ip = packet.frame().get(stack.l3 as usize..)?;
    if stack.bits & bit::IP_HDR != 0 {
        const MAPPED: u64 = 0xffff << 32;
        let header: &[u8; 20] = ip.first_chunk()?;
        let [.., a, b, c, d, e, f, g, h] = *header;
        let source = u32::from_be_bytes([a, b, c, d]);
        let destination = u32::from_be_bytes([e, f, g, h]);
        return Some(([0, MAPPED | u64::from(source), 0, MAPPED | u64::from(destination)], 0));
    }
    let header: &[u8; 40] = ip.first_chunk()?;
    let word = |at: usize| header.get(at..)?.first_chunk().map(|&bytes| u64::from_be_bytes(bytes));
    Some(([word(8)?, word(16)?, word(24)?, word(32)?], IPV6))
}

/// The ids of the two outermost VLAN tags.
#[inline(always)]
pub(super) fn vlans(packet: &Packet, stack: &Stack) -> u64 {
    if stack.bits & bit::VLAN == 0 {
        return 0;
    }
    let id = |at: u32| u64::from(be16(packet, at).unwrap_or(0) & 0xfff);
    let inner = if stack.vlans > 1 { id(stack.vlan + 4) } else { 0 };
    id(stack.vlan) | inner << 12
}

impl Way {
    /// The flow that a packet is of; of a fragment that is not the first, only its addresses.
    #[inline(always)]
    pub fn read(packet: &Packet, stack: &Stack) -> Way {
        if stack.bits & bit::NET == 0 {
            return Way::default();
        }
        let Some((addresses, family)) = addresses(packet, stack) else { return Way::default() };
        let mut tags = vlans(packet, stack) | u64::from(stack.proto as u8) << 24 | family;
        let (mut source, mut destination, mut id) = (0, 0, 0);
        if stack.bits & bit::PORTS != 0
            && let Some(&[a, b, c, d]) = packet.frame().get(stack.l4 as usize..).and_then(<[u8]>::first_chunk)
        {
            source = u64::from(u16::from_be_bytes([a, b]));
            destination = u64::from(u16::from_be_bytes([c, d]));
        }
        const IDS: u64 = bit::ICMP_HDR | bit::ICMP6_HDR | bit::GRE | bit::VXLAN | bit::GENEVE;
        if stack.bits & IDS != 0
            && let Some(found) = identifier(packet, stack)
        {
            id = found;
            tags |= IDENTIFIED;
        }
        // Without jumps: which end is the lower is as good as chance.
        let [a, b, c, d] = addresses;
        let (x, y) = (u128::from(a) << 64 | u128::from(b), u128::from(c) << 64 | u128::from(d));
        let higher = (x > y) | (x == y) & (source > destination);
        let swap = u64::from(higher).wrapping_neg();
        let (p, q, r) = ((a ^ c) & swap, (b ^ d) & swap, (source ^ destination) & swap);
        let ports = (source ^ r) | (destination ^ r) << 16 | u64::from(id) << 32;
        let key = Key { addresses: [a ^ p, b ^ q, c ^ p, d ^ q], ports, tags };
        Way { key, from: usize::from(higher), kind: kind(packet, stack) }
    }
}

/// What a packet with an IP header is.
#[inline(always)]
fn kind(packet: &Packet, stack: &Stack) -> Kind {
    if stack.bits & bit::FRAGMENT != 0 {
        return Kind::Later;
    }
    let more = match packet.frame().get(stack.l3 as usize + 6) {
        Some(flags) => stack.bits & bit::IP_HDR != 0 && flags & 0x20 != 0,
        None => false,
    };
    if more || stack.bits & bit::EXT_FRAGMENT != 0 { Kind::First } else { Kind::Whole }
}

/// The id of an echo (or another query that is answered), of a VXLAN or GENEVE network, of a GRE tunnel with a key.
#[cold]
fn identifier(packet: &Packet, stack: &Stack) -> Option<u32> {
    let frame = packet.frame();
    if stack.bits & (bit::ICMP_HDR | bit::ICMP6_HDR) != 0 {
        let kind = *frame.get(stack.l4 as usize)?;
        let query = match stack.bits & bit::ICMP_HDR {
            // Echo, timestamp, information, address mask, extended echo (RFC 792, RFC 950, RFC 8335).
            0 => matches!(kind, 128 | 129 | 160 | 161),
            _ => matches!(kind, 0 | 8 | 13..=18 | 42 | 43),
        };
        let inside = stack.l4 + 6 <= stack.l3_end;
        return (query && inside).then(|| be16(packet, stack.l4 + 4).map(u32::from)).flatten();
    }
    let at = stack.tunnel as usize;
    if stack.bits & (bit::VXLAN | bit::GENEVE) != 0 {
        let &[a, b, c] = frame.get(at + 4..)?.first_chunk()?;
        return Some(u32::from_be_bytes([0, a, b, c]));
    }
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const VERSION: u16 = 0x0007;
    let flags = be16(packet, stack.tunnel)?;
    if flags & KEY == 0 || flags & VERSION != 0 {
        return None;
    }
    let at = at + if flags & CHECKSUM != 0 { 8 } else { 4 };
    frame.get(at..stack.l3_end as usize)?.first_chunk().map(|&bytes| u32::from_be_bytes(bytes))
}

/// Two bytes of the frame, big-endian.
#[inline(always)]
pub(super) fn be16(packet: &Packet, at: u32) -> Option<u16> {
    packet.frame().get(at as usize..)?.first_chunk().map(|&bytes| u16::from_be_bytes(bytes))
}

/// Where the IP packet ends on the wire, by its declared length, within the frame.
#[inline]
pub(super) fn wire_end(packet: &Packet, stack: &Stack) -> u32 {
    if stack.l3_end < packet.cap_len() {
        return stack.l3_end;
    }
    let declared = if stack.bits & bit::IP_HDR != 0 {
        match be16(packet, stack.l3 + 2) {
            None | Some(0) => packet.len,
            Some(total) => stack.l3 + u32::from(total),
        }
    } else {
        match be16(packet, stack.l3 + 4) {
            None | Some(0) => jumbo_end(packet, stack),
            Some(length) => stack.l3 + 40 + u32::from(length),
        }
    };
    declared.min(packet.len).max(stack.l3_end)
}

/// The same of an IPv6 packet whose payload length is 0 (RFC 2675; segmentation offload).
#[cold]
fn jumbo_end(packet: &Packet, stack: &Stack) -> u32 {
    const JUMBO: [u8; 2] = [0xc2, 4];
    let frame = packet.frame();
    let start = stack.l3 + 40;
    if stack.bits & bit::EXT_HOPOPTS != 0
        && let Some(&[_, _, a, b, c, d, e, f]) = frame.get(start as usize..).and_then(<[u8]>::first_chunk)
        && [a, b] == JUMBO
    {
        return start.saturating_add(u32::from_be_bytes([c, d, e, f]));
    }
    if packet.len.saturating_sub(start) > 0xffff { packet.len } else { stack.l3_end }
}
