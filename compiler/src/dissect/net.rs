//! IPv4, IPv6 with its extension headers, and ARP. The invariant: `IP_HDR`, `IP6_HDR` and `NET`
//! mean a header whose version and lengths are consistent. After such a header, no byte beyond the
//! packet's declared end is read, so Ethernet padding is never taken for a header or a payload.
//! (Rejected: reading upper layers of a header whose lengths contradict each other.)

use super::{MAX_NESTING, Rest, be16};
use crate::abi::{Stack, bit};

/// IPv4 (RFC 791, 3.1). Returns the protocol of its payload.
#[inline(always)]
pub(super) fn ipv4(rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    let Some(header) = rest.peek::<20>() else { return unsound(rest, stack) };
    let header_len = usize::from(header[0] & 0xf) * 4;
    let total = match usize::from(be16(header[2], header[3])) {
        // Segmentation offload: the network card fills the length in.
        0 => rest.left(),
        total => total,
    };
    if header[0] >> 4 != 4 || header_len < 20 || total < header_len {
        return unsound(rest, stack);
    }
    stack.bits |= bit::IP | bit::IP_VERSION | bit::IP_IHL | bit::IP_LEN | bit::IP_HDR | bit::NET;
    stack.l3 = rest.here();
    rest.take(total);
    stack.l3_end = rest.captured_end();
    stack.headers_end = rest.behind(header_len);
    stack.proto = u32::from(header[9]);
    let fragment = be16(header[6], header[7]);
    let (offset, more) = (fragment & 0x1fff, fragment & 0x2000 != 0);
    if offset != 0 {
        stack.bits |= bit::FRAGMENT;
        return None;
    }
    rest.partial |= more;
    rest.skip(header_len);
    carried(header[9], rest, stack)
}

/// An IPv4 header that is cut or inconsistent: the parts that can still be read. A version of 6 is
/// read as IPv6, as in Wireshark.
#[cold]
fn unsound(rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    let &[first] = rest.peek()?;
    stack.l3 = rest.here();
    stack.bits |= bit::IP | bit::IP_VERSION;
    let header_len = usize::from(first & 0xf) * 4;
    match first >> 4 {
        4 => stack.bits |= bit::IP_IHL,
        6 => return ipv6(rest, stack),
        _ => return None,
    }
    if header_len < 20 {
        return None;
    }
    let total = rest.peek().map(|&[_, _, high, low]| usize::from(be16(high, low)));
    if total.is_some() {
        stack.bits |= bit::IP_LEN;
    }
    let lies = total.is_some_and(|total| total != 0 && total < header_len);
    if !lies {
        stack.headers_end = rest.behind(header_len);
    }
    None
}

/// IPv6 (RFC 8200, 3). Returns the protocol after its extension headers.
#[inline(always)]
pub(super) fn ipv6(rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    let Some(header) = rest.peek::<40>().filter(|header| header[0] >> 4 == 6) else {
        return unsound6(rest, stack);
    };
    let next = header[6];
    stack.bits |= bit::IP6 | bit::IP_VERSION | bit::IP6_HDR | bit::NET;
    stack.l3 = rest.here();
    stack.headers_end = rest.behind(40);
    stack.proto = u32::from(next);
    rest.skip(40);
    match usize::from(be16(header[4], header[5])) {
        0 => unbounded(next, rest),
        payload => rest.take(payload),
    }
    stack.l3_end = rest.captured_end();
    carried(next, rest, stack)
}

/// An IPv6 header that is cut or has another version.
#[cold]
fn unsound6(rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    let &[first] = rest.peek()?;
    stack.bits |= bit::IP6 | bit::IP_VERSION;
    stack.l3 = rest.here();
    if first >> 4 == 6 {
        stack.headers_end = rest.behind(40);
    }
    None
}

#[inline(always)]
fn carried(next: u8, rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    match next {
        protocol::TCP | protocol::UDP => within(next, rest),
        _ => extensions(next, rest, stack),
    }
}

/// The protocol of the payload, unless the IP headers themselves are cut.
#[inline(always)]
fn within(next: u8, rest: &Rest) -> Option<u8> {
    (rest.at <= rest.frame.len()).then_some(next)
}

/// Limits the rest of an IPv6 packet with payload length 0. Its length is that of its jumbo option
/// (RFC 2675). Without that option, more than 65535 bytes are segmentation offload, as the field
/// cannot hold their number; fewer bytes are not part of the packet.
fn unbounded(next: u8, rest: &mut Rest) {
    const JUMBO: u8 = 0xc2;
    match rest.peek::<8>() {
        Some(&[_, _, JUMBO, 4, a, b, c, d]) if next == protocol::HOPOPTS => {
            rest.take(u32::from_be_bytes([a, b, c, d]) as usize)
        }
        _ if rest.left() > 0xffff => {}
        _ => rest.take(0),
    }
}

/// Protocol numbers of headers that are followed by another header (IANA).
mod protocol {
    pub const HOPOPTS: u8 = 0;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AH: u8 = 51;
    pub const DSTOPTS: u8 = 60;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// Extension headers (RFC 8200, 4), up to the transport header. IPv4 has only the authentication
/// header. A protocol number has one meaning, so the others are also read after IPv4, as in
/// Wireshark.
#[inline(never)]
fn extensions(mut next: u8, rest: &mut Rest, stack: &mut Stack) -> Option<u8> {
    for _ in 0..MAX_NESTING {
        let seen = match next {
            protocol::HOPOPTS => bit::EXT_HOPOPTS,
            protocol::ROUTING => bit::EXT_ROUTING,
            protocol::FRAGMENT => bit::EXT_FRAGMENT,
            protocol::DSTOPTS => bit::EXT_DSTOPTS,
            protocol::AH => bit::AH,
            protocol::MOBILITY | protocol::HIP | protocol::SHIM6 => 0,
            _ => return within(next, rest),
        };
        stack.headers_end = rest.behind(8);
        let &[following, length] = rest.peek()?;
        if next != protocol::FRAGMENT {
            stack.bits |= seen;
        }
        let length = match next {
            protocol::FRAGMENT => 8,
            // RFC 4302, 2.2: in units of 4 bytes, minus 2.
            protocol::AH => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        stack.headers_end = rest.behind(length);
        stack.proto = u32::from(following);
        if next == protocol::FRAGMENT {
            let header = rest.peek::<8>()?;
            stack.bits |= seen;
            let fragment = be16(header[2], header[3]);
            if fragment & 0xfff8 != 0 {
                stack.bits |= bit::FRAGMENT;
                return None;
            }
            rest.partial |= fragment & 1 != 0;
        }
        rest.skip(length);
        next = within(following, rest)?;
    }
    // What follows was not read, even if it is TCP.
    stack.bits |= bit::UNPARSED;
    None
}

/// ARP (RFC 826), and RARP, which has the same form.
pub(super) fn arp(rest: &mut Rest, stack: &mut Stack) -> Option<()> {
    stack.headers_end = rest.behind(8);
    rest.peek::<2>()?;
    stack.l3 = rest.here();
    stack.bits |= bit::ARP;
    let header = rest.peek::<8>()?;
    stack.bits |= bit::ARP_HDR;
    let (hardware, network) = (header[4], header[5]);
    let length = 8 + 2 * (usize::from(hardware) + usize::from(network));
    rest.take(length);
    stack.l3_end = rest.captured_end();
    stack.headers_end = rest.behind(length);
    // Ethernet or IEEE 802 addresses of IPv4.
    if matches!(*header, [0, 1 | 6, 0x08, 0x00, 6, 4, ..]) && rest.peek::<28>().is_some() {
        stack.bits |= bit::ARP_ADDR;
    }
    None
}
