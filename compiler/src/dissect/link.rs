//! The headers below the network packet: Ethernet, LLC and SNAP, Linux cooked captures, BSD
//! loopback, and the headers between them and IP (`shim`), in any order. The invariants:
//! `headers_end` is the end of the last of these headers, whatever follows; a packet that ends here
//! has `UNPARSED` unless its last type is a leaf or its bytes are cut. (Rejected: one parser for
//! each nesting order in use; a loop over types reads them all.)

use super::shim::{self, Next};
use super::unparsed::{Family, number, refuse};
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
        Content::Type(kind) => {
            reached(rest, stack);
            refuse(number(Family::EtherType, kind), stack);
            Network::Opaque
        }
        Content::Ip => {
            reached(rest, stack);
            by_version(rest)
        }
        Content::Ppp => {
            reached(rest, stack);
            let next = match rest.peek() {
                Some([0xff, 0x03]) => {
                    rest.skip(2);
                    shim::ppp(rest, stack)
                }
                Some(_) => shim::ppp(rest, stack),
                None => Next::Cut,
            };
            follow(next, rest, stack)
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
    if kind <= MOST_LENGTH && matches!(header[..5], [0x01 | 0x0c, 0, 0x0c, 0, 0]) {
        return inter_switch(rest, stack);
    }
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

/// Cisco's inter-switch link: 26 bytes before the Ethernet frame, whose header is the outermost, as
/// in Wireshark.
#[cold]
fn inter_switch(rest: &mut Rest, stack: &mut Stack) -> Network {
    rest.skip(26);
    follow(Next::Mac, rest, stack)
}

/// A further MAC header. The fields of `eth` are those of the first.
fn mac(rest: &mut Rest, stack: &mut Stack) -> Next {
    stack.headers_end = rest.behind(14);
    let Some(header) = rest.peek::<14>() else { return Next::Cut };
    let kind = be16(header[12], header[13]);
    if stack.bits & bit::ETH == 0 {
        let is_type = kind >= LEAST_TYPE || kind == 0;
        stack.bits |= if is_type { bit::ETH | bit::ETH_TYPE } else { bit::ETH };
        stack.l2 = rest.here();
    }
    rest.skip(14);
    Next::Type(kind)
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
        LLC => {
            let next = llc(rest);
            follow(next, rest, stack)
        }
        LEAST_TYPE.. => typed(kind, rest, stack),
        _ => follow(Next::Unread(Family::Cooked, kind), rest, stack),
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
        _ => follow(Next::Unread(Family::Loopback, family as u16), rest, stack),
    }
}

/// The network packet of an Ethernet type; smaller numbers are 802.3 lengths.
#[inline(never)]
fn typed(kind: u16, rest: &mut Rest, stack: &mut Stack) -> Network {
    follow(Next::Type(kind), rest, stack)
}

/// Reads headers until the network packet. Every step reads one header (or one MPLS stack).
fn follow(mut next: Next, rest: &mut Rest, stack: &mut Stack) -> Network {
    for _ in 0..=MAX_NESTING {
        // A header that is cut has set its own end.
        if matches!(next, Next::Type(_) | Next::Mac) {
            reached(rest, stack);
        }
        next = match next {
            Next::Mac => mac(rest, stack),
            Next::Cut => return Network::Opaque,
            Next::Unread(family, kind) => {
                refuse(number(family, kind), stack);
                return Network::Opaque;
            }
            Next::Type(kind) => match kind {
                ethertype::IP4 => return Network::Ip4,
                ethertype::IP6 => return Network::Ip6,
                ethertype::ARP | ethertype::RARP => return Network::Arp,
                ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => vlan(rest, stack),
                1..=MOST_LENGTH => {
                    rest.take(usize::from(kind));
                    stack.l3_end = rest.captured_end();
                    llc(rest)
                }
                _ => shim::read(kind, rest, stack),
            },
        };
    }
    // Too many headers.
    let kind = match next {
        Next::Type(kind) => kind,
        _ => 0,
    };
    refuse(number(Family::EtherType, kind), stack);
    Network::Opaque
}

/// A VLAN tag: priority, drop eligible, id; then the next type (IEEE 802.1Q, 9.6).
fn vlan(rest: &mut Rest, stack: &mut Stack) -> Next {
    stack.headers_end = rest.behind(4);
    let Some(tag) = rest.peek::<4>() else { return Next::Cut };
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
    Next::Type(next)
}

/// LLC (IEEE 802.2), and SNAP if it carries Ethernet types (organisation code 0, or Cisco's
/// 0x0000f8; RFC 1042) or Ethernet frames (RFC 2684, 5.2).
pub(super) fn llc(rest: &mut Rest) -> Next {
    const UNNUMBERED: u8 = 0x03;
    const CISCO: [u8; 3] = [0, 0, 0x0c];
    const BRIDGED: [u8; 3] = [0, 0x80, 0xc2];
    let Some(header) = rest.peek::<3>() else { return Next::Cut };
    match *header {
        [0xaa, 0xaa, UNNUMBERED] => {
            let Some(snap) = rest.peek::<8>() else { return Next::Cut };
            rest.skip(8);
            let kind = be16(snap[6], snap[7]);
            match [snap[3], snap[4], snap[5]] {
                [0, 0, 0 | 0xf8] => Next::Type(kind),
                BRIDGED if matches!(kind, 1 | 7) => {
                    rest.skip(2);
                    Next::Mac
                }
                CISCO => Next::Cut,
                _ => Next::Unread(Family::Llc, 0xaa),
            }
        }
        [0x06, _, UNNUMBERED] => {
            rest.skip(3);
            Next::Type(ethertype::IP4)
        }
        [sap, ..] => Next::Unread(Family::Llc, sap.into()),
    }
}
