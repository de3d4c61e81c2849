//! The flow that a packet belongs to. A key holds the addresses, ports and protocol of the
//! outermost IP packet and the ids of the two outermost VLAN tags. It also holds the id that
//! separates the flows in one tunnel. Invariant: the table keeps and compares whole keys. Both
//! directions have the same key, because its ends are in the order of address and port. IPv4 and
//! IPv6 never share a key. A priority tag (id 0) is no VLAN. (Rejected: a fingerprint instead of
//! the key; two flows that collide would become one.)

use mrule_compiler::abi::{Packet, Stack, bit};
use std::cmp::Ordering;

/// Packets that may have an id beside or instead of ports.
const IDS: u64 = bit::ICMP_HDR | bit::ICMP6_HDR | bit::GRE | bit::VXLAN | bit::GENEVE;
/// IPv4: more fragments follow (RFC 791, section 3.1), in the header's byte 6.
const MORE: u8 = 0x20;

/// The key, as words to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Key {
    /// The lower end's address (high, low), then the higher end's; IPv4 as `::ffff:a.b.c.d`.
    pub addresses: [u64; 4],
    /// The ports of the lower and the higher end (16 bits each), the tunnel's or echo's id (32
    /// bits).
    pub ports: u64,
    /// Two VLAN ids (12 bits each), the protocol number (8 bits), [`IPV6`], [`IDENTIFIED`]. Bits
    /// from [`TAGS`] on are 0.
    pub tags: u64,
}

/// Number of bits of [`Key::tags`] in use.
pub(super) const TAGS: u32 = 34;
const IPV6: u64 = 1 << 32;
/// The key has the id of a tunnel or an echo.
const IDENTIFIED: u64 = 1 << 33;

impl Key {
    /// A key of these ends, the lower one first, without tags and ids.
    pub(crate) fn of([low, high]: [u128; 2], ports: [u16; 2], proto: u8, v6: bool) -> Key {
        let word = |at: u128, shift: u32| (at >> shift) as u64;
        Key {
            addresses: [word(low, 64), word(low, 0), word(high, 64), word(high, 0)],
            ports: u64::from(ports[0]) | u64::from(ports[1]) << 16,
            tags: u64::from(proto) << 24 | if v6 { IPV6 } else { 0 },
        }
    }

    /// The key with these VLAN ids and the id of an echo or a tunnel.
    pub(crate) fn tagged(self, [outer, inner]: [u16; 2], id: Option<u32>) -> Key {
        let vlans = u64::from(outer & 0xfff) | u64::from(inner & 0xfff) << 12;
        let identified = if id.is_some() { IDENTIFIED } else { 0 };
        Key {
            ports: self.ports | u64::from(id.unwrap_or(0)) << 32,
            tags: self.tags | vlans | identified,
            ..self
        }
    }

    /// The end that is taken for the client while no SYN and no content shows it, in a flow whose
    /// first packet `from` sent. A first packet of TCP without SYN shows nothing, so the ports
    /// count: a server's is well known, or at least not ephemeral. (Rejected: ports of UDP; its
    /// first packet is the first one sent, except at the start of a capture.)
    pub(crate) fn client(&self, from: usize) -> usize {
        let class = |end: u32| match self.ports >> (16 * end) & 0xffff {
            0..1024 => 0,
            1024..32768 => 1,
            _ => 2,
        };
        match class(0).cmp(&class(1)) {
            Ordering::Less if self.proto() == super::tcp::PROTO => 1,
            Ordering::Greater if self.proto() == super::tcp::PROTO => 0,
            _ => from,
        }
    }

    /// The protocol number.
    pub(crate) fn proto(&self) -> u8 {
        (self.tags >> 24) as u8
    }

    /// Whether the addresses are IPv6.
    pub(crate) fn is_v6(&self) -> bool {
        self.tags & IPV6 != 0
    }

    /// The ids of the two VLAN tags.
    pub(crate) fn vlans(&self) -> [u16; 2] {
        [(self.tags & 0xfff) as u16, (self.tags >> 12 & 0xfff) as u16]
    }

    /// The id of an echo or a tunnel.
    pub(crate) fn id(&self) -> Option<u32> {
        (self.tags & IDENTIFIED != 0).then_some((self.ports >> 32) as u32)
    }
}

/// What a packet is to the flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// The packet has no IP header.
    #[default]
    Foreign,
    /// A whole IP packet.
    Whole,
    /// The first fragment of an IP packet.
    First,
    /// A fragment other than the first: it carries no ports.
    Later,
}

/// A packet's flow, as far as the packet itself says it. The record fills one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct PacketKey {
    pub key: Key,
    pub hash: u64,
    /// The place where the flow may be.
    pub guess: u32,
    from: u8,
    pub kind: Kind,
}

const _: () = assert!(size_of::<PacketKey>() == 64);

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The seeds of a table's hashes. They keep outsiders from choosing keys that collide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeds([u64; 7]);

impl Seeds {
    /// Fixed seeds. Their hashes are the same in each run, and anyone who knows them can choose
    /// keys that collide.
    pub(crate) const KNOWN: Seeds = Seeds([
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7345,
        0xa409_3822_299f_31d1,
        0x082e_fa98_ec4e_6c89,
        0x4528_21e6_38d0_1377,
        0xbe54_66cf_34e9_0c6d,
        0xc0ac_29b7_c97c_50dd,
    ]);

    /// Seeds that differ in each process.
    pub(crate) fn random() -> Seeds {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        Seeds(std::array::from_fn(|i| state.hash_one(i) | 1))
    }

    /// Hashes six words.
    #[inline(always)]
    pub(crate) fn words(&self, words: [u64; 6]) -> u64 {
        let [a, b, c, d, e, f] = words;
        let s = &self.0;
        let one = fold(a ^ s[0], b ^ s[1]);
        let two = fold(c ^ s[2], d ^ s[3]);
        let three = fold(e ^ s[4], f ^ s[5]);
        fold(one ^ two.rotate_left(21) ^ three.rotate_left(42), s[6])
    }

    /// Hashes a key.
    #[inline(always)]
    pub(crate) fn key(&self, key: &Key) -> u64 {
        let [a, b, c, d] = key.addresses;
        match key.tags & IPV6 {
            0 => self.v4(b << 32 | d & 0xffff_ffff, key.ports, key.tags),
            _ => self.words([a, b, c, d, key.ports, key.tags]),
        }
    }

    /// A number for the flow with this key that began at `first`.
    pub(crate) fn flow(&self, key: &Key, first: i64) -> u64 {
        let [a, b, c, d] = key.addresses;
        let ends = self.words([a, b, c, d, key.ports, key.tags]);
        fold(ends ^ self.0[0], first as u64 ^ self.0[1])
    }

    /// Hashes an IPv4 key, whose addresses fit in one word.
    #[inline(always)]
    fn v4(&self, addresses: u64, ports: u64, tags: u64) -> u64 {
        let s = &self.0;
        fold(fold(addresses ^ s[0], ports ^ s[1]) ^ tags, s[6])
    }
}

/// Both halves of a product, as in wyhash.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The source and destination addresses, each as (high, low), with [`IPV6`] for IPv6 addresses.
pub(super) fn addresses(packet: &Packet, stack: &Stack) -> Option<([u64; 4], u64)> {
    let ip = packet.frame().get(stack.l3 as usize..)?;
    if stack.bits & bit::IP_HDR != 0 {
        let [source, destination] = v4(ip)?;
        return Some(([0, MAPPED | source, 0, MAPPED | destination], 0));
    }
    Some((v6(ip)?, IPV6))
}

const MAPPED: u64 = 0xffff << 32;

/// The source and destination addresses.
#[inline(always)]
fn v4(ip: &[u8]) -> Option<[u64; 2]> {
    let header: &[u8; 20] = ip.first_chunk()?;
    let [.., a, b, c, d, e, f, g, h] = *header;
    let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Some([both >> 32, both & 0xffff_ffff])
}

/// The source and destination addresses, each as high and low word.
#[inline(always)]
fn v6(ip: &[u8]) -> Option<[u64; 4]> {
    let header: &[u8; 40] = ip.first_chunk()?;
    let word = |at: usize| header.get(at..)?.first_chunk().map(|&bytes| u64::from_be_bytes(bytes));
    Some([word(8)?, word(16)?, word(24)?, word(32)?])
}

/// The ids of the two outermost VLAN tags.
pub(super) fn vlans(packet: &Packet, stack: &Stack) -> u64 {
    if stack.bits & bit::VLAN == 0 {
        return 0;
    }
    let id = |at: u32| u64::from(be16(packet, at).unwrap_or(0) & 0xfff);
    let inner = if stack.vlans > 1 { id(stack.vlan + 4) } else { 0 };
    id(stack.vlan) | inner << 12
}

impl PacketKey {
    /// The flow that a packet belongs to. For a fragment other than the first, only the addresses
    /// are set.
    pub(crate) fn read(packet: &Packet, stack: &Stack, seeds: &Seeds) -> PacketKey {
        let mut packet_key = PacketKey::FOREIGN;
        packet_key.set(packet, stack, seeds);
        packet_key
    }

    /// Like [`PacketKey::read`], but writes in place. (A returned key is written twice.)
    #[inline(always)]
    pub(crate) fn set(&mut self, packet: &Packet, stack: &Stack, seeds: &Seeds) {
        const PLAIN: u64 = bit::NET | bit::PORTS;
        const NOT_PLAIN: u64 = IDS | bit::VLAN | bit::FRAGMENT | bit::EXT_FRAGMENT;
        let done = match stack.bits & (PLAIN | NOT_PLAIN | bit::IP_HDR) {
            bits if bits == PLAIN | bit::IP_HDR => self.set_v4(packet, stack, seeds),
            PLAIN => self.set_v6(packet, stack, seeds),
            _ => None,
        };
        if done.is_none() {
            *self = PacketKey::any(packet, stack, seeds);
        }
    }

    /// An IPv4 packet with ports and without tags: most packets. Returns `None` for a first
    /// fragment.
    #[inline(always)]
    fn set_v4(&mut self, packet: &Packet, stack: &Stack, seeds: &Seeds) -> Option<()> {
        let frame = packet.frame();
        let ip: &[u8; 20] = frame.get(stack.l3 as usize..)?.first_chunk()?;
        let ports = u64::from(u32::from_be_bytes(*frame.get(stack.l4 as usize..)?.first_chunk()?));
        let &[_, _, _, _, _, _, flags, .., a, b, c, d, e, f, g, h] = ip;
        if flags & MORE != 0 {
            return None;
        }
        let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let ([low, high, ports], from) =
            order_v4([both >> 32, both & 0xffff_ffff], ports >> 16, ports & 0xffff);
        let tags = u64::from(stack.proto as u8) << 24;
        self.hash = seeds.v4(low << 32 | high, ports, tags);
        self.key.addresses = [0, MAPPED | low, 0, MAPPED | high];
        self.key.ports = ports;
        self.key.tags = tags;
        self.from = from;
        self.kind = Kind::Whole;
        Some(())
    }

    /// Like `set_v4`, for IPv6.
    #[inline(always)]
    fn set_v6(&mut self, packet: &Packet, stack: &Stack, seeds: &Seeds) -> Option<()> {
        let ([addresses @ .., ports], from) = ends_of_v6(packet, stack)?;
        self.key = Key { addresses, ports, tags: u64::from(stack.proto as u8) << 24 | IPV6 };
        let [a, b, c, d] = addresses;
        self.hash = seeds.words([a, b, c, d, ports, self.key.tags]);
        self.from = from;
        self.kind = Kind::Whole;
        Some(())
    }

    /// The key of any packet.
    #[inline(never)]
    fn any(packet: &Packet, stack: &Stack, seeds: &Seeds) -> PacketKey {
        let mut ends = None;
        if stack.bits & bit::NET != 0 {
            ends = ends_of(packet, stack);
        }
        let Some(([addresses @ .., ports], from, more)) = ends else { return PacketKey::FOREIGN };
        let family = if stack.bits & bit::IP_HDR != 0 { 0 } else { IPV6 };
        let mut key = Key { addresses, ports, tags: u64::from(stack.proto as u8) << 24 | family };
        if stack.bits & (IDS | bit::VLAN) != 0 {
            key.tags |= vlans(packet, stack);
            if let Some(id) = (stack.bits & IDS != 0).then(|| identifier(packet, stack)).flatten() {
                key.tags |= IDENTIFIED;
                key.ports |= u64::from(id) << 32;
            }
        }
        let hash = seeds.key(&key);
        let kind = match stack.bits & (bit::FRAGMENT | bit::EXT_FRAGMENT) {
            0 if !more => Kind::Whole,
            bits if bits & bit::FRAGMENT != 0 => Kind::Later,
            _ => Kind::First,
        };
        PacketKey { key, hash, guess: NOWHERE, from, kind }
    }

    /// The key of a packet without an IP header.
    pub(crate) const FOREIGN: PacketKey = PacketKey {
        key: Key { addresses: [0; 4], ports: 0, tags: 0 },
        hash: 0,
        guess: NOWHERE,
        from: 0,
        kind: Kind::Foreign,
    };

    /// The key of a fragment other than the first, from what the first fragment said.
    pub(crate) fn later(key: Key, from: usize, seeds: &Seeds) -> PacketKey {
        let hash = seeds.key(&key);
        PacketKey { key, hash, guess: NOWHERE, from: from as u8, kind: Kind::Later }
    }

    /// Which end sends: 0 the lower, 1 the higher.
    #[inline(always)]
    pub(crate) fn from(&self) -> usize {
        usize::from(self.from & 1)
    }
}

/// The ends in their order, as addresses and ports; which end sends; whether an IPv4 header says
/// that more fragments follow. The code has no branches on the order, because such branches are
/// unpredictable.
fn ends_of(packet: &Packet, stack: &Stack) -> Option<([u64; 5], u8, bool)> {
    if stack.bits & bit::IP_HDR == 0 {
        let (ends, from) = ends_of_v6(packet, stack)?;
        return Some((ends, from, false));
    }
    let ip = packet.frame().get(stack.l3 as usize..)?;
    let (source, destination) = ports_of(packet, stack)?;
    let ([low, high, ports], from) = order_v4(v4(ip)?, source, destination);
    let more = ip.get(6).is_some_and(|flags| flags & MORE != 0);
    Some(([0, MAPPED | low, 0, MAPPED | high, ports], from, more))
}

/// The lower and the higher end of IPv4, with their ports in one word, and which end sends.
#[inline(always)]
fn order_v4([from, to]: [u64; 2], source: u64, destination: u64) -> ([u64; 3], u8) {
    let (x, y) = (from << 16 | source, to << 16 | destination);
    let (low, high) = (x.min(y), x.max(y));
    ([low >> 16, high >> 16, low & 0xffff | (high & 0xffff) << 16], u8::from(x > y))
}

/// Like `order_v4`, for IPv6.
#[inline(always)]
fn ends_of_v6(packet: &Packet, stack: &Stack) -> Option<([u64; 5], u8)> {
    let [a, b, c, d] = v6(packet.frame().get(stack.l3 as usize..)?)?;
    let (source, destination) = ports_of(packet, stack)?;
    let (x, y) = (u128::from(a) << 64 | u128::from(b), u128::from(c) << 64 | u128::from(d));
    let higher = (x > y) | (x == y) & (source > destination);
    let swap = u64::from(higher).wrapping_neg();
    let (p, q, r) = ((a ^ c) & swap, (b ^ d) & swap, (source ^ destination) & swap);
    Some(([a ^ p, b ^ q, c ^ p, d ^ q, (source ^ r) | (destination ^ r) << 16], u8::from(higher)))
}

/// The source and destination port, 0 where there are no ports.
#[inline(always)]
fn ports_of(packet: &Packet, stack: &Stack) -> Option<(u64, u64)> {
    let mut ports = [0; 4];
    if stack.bits & bit::PORTS != 0 {
        ports = *packet.frame().get(stack.l4 as usize..)?.first_chunk()?;
    }
    let ports = u64::from(u32::from_be_bytes(ports));
    Some((ports >> 16, ports & 0xffff))
}

/// The id of an echo or of another query that gets an answer, of a VXLAN or GENEVE network, or of a
/// GRE tunnel with a key.
#[cold]
fn identifier(packet: &Packet, stack: &Stack) -> Option<u32> {
    let frame = packet.frame();
    if stack.bits & (bit::ICMP_HDR | bit::ICMP6_HDR) != 0 {
        let kind = *frame.get(stack.l4 as usize)?;
        let query = match stack.bits & bit::ICMP_HDR {
            // Echo, timestamp, information, address mask, extended echo (RFC 792, RFC 950, RFC
            // 8335).
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

/// Where an IPv6 packet ends whose payload length is 0 (RFC 2675; segmentation offload).
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
