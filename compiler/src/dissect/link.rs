//! The headers below the network packet: Ethernet, LLC and SNAP, Linux cooked captures, BSD
//! loopback, and the VLAN, MPLS and PPPoE headers between them and IP, in any order. The invariant:
//! `headers_end` is the end of the last of these headers, whatever follows. (Rejected: one parser
//! for each nesting order in use; a loop over types reads them all.)

use super::{Content, MAX_NESTING, Network, Rest, be16, ethertype};
use crate::abi::{Stack, bit};

/// The largest 802.3 length. A number above it and below [`LEAST_TYPE`] is neither a length nor a
/// type (IEEE 802.3, 3.2.6).
const MOST_LENGTH: u16 = 1500;
const LEAST_TYPE: u16 = 0x0600;

/// Reads link headers up to the network packet.
#[inline(always)]
pub(super) fn read(content: Content, rest: &mut Rest, stack: &mut Stack) -> Network {
    stack.l3_end = rest.captured_end();
    match content {
        Content::Ethernet => ethernet(rest, stack),
        other => not_ethernet(other, rest, stack),
    }
}

#[inline(never)]
fn not_ethernet(content: Content, rest: &mut Rest, stack: &mut Stack) -> Network {
    match content {
        Content::Ethernet => ethernet(rest, stack),
        Content::Cooked => cooked(rest, stack),
        Content::Cooked2 => cooked2(rest, stack),
        Content::Loopback => loopback(rest, stack),
        Content::Type(kind @ LEAST_TYPE..) => typed(kind, rest, stack),
        Content::Type(_) => {
            reached(rest, stack);
            Network::Opaque
        }
        Content::Ip => {
            reached(rest, stack);
            by_version(rest)
        }
    }
}

/// The network packet of raw IP: only its version tells its family.
fn by_version(rest: &Rest) -> Network {
    match rest.peek::<1>() {
        Some([0x40..=0x4f]) => Network::Ip4,
        Some([0x60..=0x6f]) => Network::Ip6,
        _ => Network::Opaque,
    }
}

/// Records that the link headers extend to this place.
#[inline(always)]
fn reached(rest: &Rest, stack: &mut Stack) {
    stack.headers_end = rest.at.min(rest.end) as u32;
}

/// Ends the dissection: the next `header` bytes would be a link header that is cut.
#[cold]
fn cut(header: usize, rest: &mut Rest, stack: &mut Stack) -> Network {
    rest.skip(header);
    reached(rest, stack);
    Network::Opaque
}

#[inline(always)]
fn ethernet(rest: &mut Rest, stack: &mut Stack) -> Network {
    let Some(header) = rest.peek::<14>() else { return cut(14, rest, stack) };
    let kind = be16(header[12], header[13]);
    let is_type = kind >= LEAST_TYPE || kind == 0;
    stack.bits = if is_type { bit::ETH | bit::ETH_TYPE } else { bit::ETH };
    stack.l2 = rest.here();
    rest.skip(14);
    stack.headers_end = rest.here();
    match kind {
        ethertype::IP4 => Network::Ip4,
        ethertype::IP6 => Network::Ip6,
        _ => typed(kind, rest, stack),
    }
}

/// Linux cooked v1 (libpcap, LINKTYPE_LINUX_SLL): packet type, ARPHRD, address length, address,
/// protocol.
fn cooked(rest: &mut Rest, stack: &mut Stack) -> Network {
    let Some(header) = rest.peek::<16>() else { return cut(16, rest, stack) };
    rest.skip(16);
    cooked_protocol(be16(header[14], header[15]), rest, stack)
}

/// Linux cooked v2 (libpcap, LINKTYPE_LINUX_SLL2): protocol, reserved, interface, ARPHRD, packet
/// type, address length, address.
fn cooked2(rest: &mut Rest, stack: &mut Stack) -> Network {
    let Some(header) = rest.peek::<20>() else { return cut(20, rest, stack) };
    rest.skip(20);
    cooked_protocol(be16(header[0], header[1]), rest, stack)
}

/// The protocol of a Linux cooked capture: an Ethernet type, or a smaller number of
/// `linux/if_ether.h`.
fn cooked_protocol(kind: u16, rest: &mut Rest, stack: &mut Stack) -> Network {
    const LLC: u16 = 4;
    reached(rest, stack);
    match kind {
        LLC => llc(rest).map_or(Network::Opaque, |kind| typed(kind, rest, stack)),
        LEAST_TYPE.. => typed(kind, rest, stack),
        _ => Network::Opaque,
    }
}

/// BSD loopback: the address family in the byte order of the capturing host; for some hosts, an
/// Ethernet type.
fn loopback(rest: &mut Rest, stack: &mut Stack) -> Network {
    let Some(&header) = rest.peek::<4>() else { return cut(4, rest, stack) };
    rest.skip(4);
    reached(rest, stack);
    let family = u32::from_be_bytes(header);
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    match family {
        2 => by_version(rest),
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 24 | 28 | 30 => Network::Ip6,
        0x0600..=0xffff => typed(family as u16, rest, stack),
        _ => Network::Opaque,
    }
}

/// The network packet of an Ethernet type; smaller numbers are 802.3 lengths. Every step reads one
/// header (or one MPLS stack).
#[inline(never)]
fn typed(mut kind: u16, rest: &mut Rest, stack: &mut Stack) -> Network {
    for _ in 0..=MAX_NESTING {
        reached(rest, stack);
        let next = match kind {
            ethertype::IP4 => return Network::Ip4,
            ethertype::IP6 => return Network::Ip6,
            ethertype::ARP | ethertype::RARP => return Network::Arp,
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => vlan(rest, stack),
            ethertype::MPLS | ethertype::MPLS_MULTICAST => mpls(rest, stack),
            ethertype::PPPOE_SESSION => pppoe(rest, stack),
            1..=MOST_LENGTH => {
                rest.take(usize::from(kind));
                stack.l3_end = rest.captured_end();
                llc(rest)
            }
            _ => None,
        };
        let Some(next) = next else { break };
        kind = next;
    }
    Network::Opaque
}

/// A VLAN tag: priority, drop eligible, id; then the next type (IEEE 802.1Q, 9.6).
fn vlan(rest: &mut Rest, stack: &mut Stack) -> Option<u16> {
    stack.headers_end = rest.behind(4);
    let tag = rest.peek::<4>()?;
    if stack.bits & bit::VLAN == 0 {
        stack.bits |= bit::VLAN;
        stack.vlan = rest.here();
    }
    let next = be16(tag[2], tag[3]);
    if stack.vlan + 4 * stack.vlans == rest.here() {
        stack.vlans += 1;
        if next > MOST_LENGTH {
            stack.bits |= bit::VLAN_ETYPE;
        }
    }
    rest.skip(4);
    Some(next)
}

/// A label stack (RFC 3032), up to the entry with the bottom bit. Only the first half byte of the
/// following packet tells its type.
fn mpls(rest: &mut Rest, stack: &mut Stack) -> Option<u16> {
    // RFC 5586 and RFC 3429: management, not traffic.
    const ASSOCIATED_CHANNEL: [u32; 2] = [13, 14];
    let first = rest.here();
    for _ in 0..MAX_NESTING {
        stack.headers_end = rest.behind(4);
        let entry = rest.peek::<4>()?;
        stack.bits |= bit::MPLS;
        stack.mpls = first;
        stack.labels += 1;
        rest.skip(4);
        if entry[2] & 1 == 1 {
            let label = u32::from_be_bytes(*entry) >> 12;
            return match rest.peek::<1>()?[0] >> 4 {
                _ if ASSOCIATED_CHANNEL.contains(&label) => None,
                4 => Some(ethertype::IP4),
                6 => Some(ethertype::IP6),
                _ => None,
            };
        }
    }
    None
}

/// A PPPoE session header (RFC 2516) and the following PPP protocol, which may be compressed to one
/// byte (RFC 1661, 6.5).
fn pppoe(rest: &mut Rest, stack: &mut Stack) -> Option<u16> {
    stack.headers_end = rest.behind(6);
    let header = rest.peek::<6>()?;
    stack.bits |= bit::PPPOE;
    rest.skip(6);
    rest.take(usize::from(be16(header[4], header[5])));
    stack.l3_end = rest.captured_end();
    let &[first] = rest.peek()?;
    let protocol = match first & 1 {
        1 => u16::from(first),
        _ => u16::from_be_bytes(*rest.peek()?),
    };
    rest.skip(if first & 1 == 1 { 1 } else { 2 });
    stack.headers_end = rest.here();
    match protocol {
        0x0021 => Some(ethertype::IP4),
        0x0057 => Some(ethertype::IP6),
        0x0281 => Some(ethertype::MPLS),
        0x0283 => Some(ethertype::MPLS_MULTICAST),
        _ => None,
    }
}

/// LLC (IEEE 802.2), and SNAP if it carries Ethernet types: with organisation code 0, or Cisco's
/// 0x0000f8 (RFC 1042).
fn llc(rest: &mut Rest) -> Option<u16> {
    const UNNUMBERED: u8 = 0x03;
    match *rest.peek::<3>()? {
        [0xaa, 0xaa, UNNUMBERED] => {
            let snap = rest.peek::<8>()?;
            rest.skip(8);
            matches!(snap[3..6], [0, 0, 0] | [0, 0, 0xf8]).then_some(be16(snap[6], snap[7]))
        }
        [0x06, _, UNNUMBERED] => {
            rest.skip(3);
            Some(ethertype::IP4)
        }
        _ => None,
    }
}
