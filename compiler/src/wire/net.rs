//! IPv4, IPv6 with its extension headers, and ARP. The invariant: `IP_HDR`, `IP6_HDR` and `NET` mean a header whose
//! version and lengths can be believed, and from then on nothing past the packet's declared end is looked at, so that
//! Ethernet padding is never taken for a header or a payload.
//! (Rejected: following upper layers of a header whose lengths contradict each other.)

use super::{Inside, MAX_NESTING, Rest, be16, transport};
use crate::abi::{Stack, bit};

/// IPv4 (RFC 791, 3.1).
#[inline]
pub(super) fn ipv4<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    let Some(header) = rest.peek::<20>() else { return cut(rest, stack) };
    stack.l3 = rest.here();
    stack.bits |= bit::IP | bit::IP_VERSION;
    let header_len = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || header_len < 20 {
        return lying(header[0], rest, stack);
    }
    stack.bits |= bit::IP_IHL | bit::IP_LEN;
    let total = match usize::from(be16(header[2], header[3])) {
        // Segmentation offload: the network card would have filled it in.
        0 => rest.left(),
        total => total,
    };
    if total < header_len {
        return None;
    }
    let mut rest = rest.take(total);
    stack.bits |= bit::IP_HDR | bit::NET;
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
    rest.at += header_len;
    behind(header[9], rest, stack)
}

/// An IPv4 header of which fewer than 20 bytes are there.
#[cold]
fn cut<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    let &[first] = rest.peek()?;
    stack.l3 = rest.here();
    stack.bits |= bit::IP | bit::IP_VERSION;
    let header_len = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header_len < 20 {
        return lying(first, rest, stack);
    }
    stack.bits |= bit::IP_IHL;
    stack.headers_end = rest.behind(header_len);
    if let Some(&[_, _, high, low]) = rest.peek() {
        stack.bits |= bit::IP_LEN;
        let total = usize::from(be16(high, low));
        if total != 0 && total < header_len {
            stack.headers_end = rest.here();
        }
    }
    None
}

/// What an IPv4 header with another version, or with an impossible header length, really is.
#[cold]
fn lying<'a>(first: u8, rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    match first >> 4 {
        4 => stack.bits |= bit::IP_IHL,
        // As Wireshark: IPv6 by the type of IPv4 is read as IPv6.
        6 => return ipv6(rest, stack),
        _ => {}
    }
    None
}

/// IPv6 (RFC 8200, 3).
#[inline]
pub(super) fn ipv6<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    let &[first] = rest.peek()?;
    stack.l3 = rest.here();
    stack.bits |= bit::IP6 | bit::IP_VERSION;
    if first >> 4 != 6 {
        return None;
    }
    stack.headers_end = rest.behind(40);
    let header = rest.peek::<40>()?;
    stack.bits |= bit::IP6_HDR | bit::NET;
    let next = header[6];
    stack.proto = u32::from(next);
    let rest = match usize::from(be16(header[4], header[5])) {
        0 => unbounded(next, rest.skip(40)),
        payload => rest.skip(40).take(payload),
    };
    stack.l3_end = rest.captured_end();
    behind(next, rest, stack)
}

#[inline(always)]
fn behind<'a>(next: u8, rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    match next {
        protocol::TCP | protocol::UDP => transport::read(next, rest, stack),
        _ => extensions(next, rest, stack),
    }
}

/// What an IPv6 packet whose payload length is 0 holds: the length of its jumbo option (RFC 2675); more than 65535 bytes,
/// which the field cannot say (segmentation offload); else really nothing.
fn unbounded(next: u8, rest: Rest) -> Rest {
    const JUMBO: u8 = 0xc2;
    match rest.peek::<8>() {
        Some(&[_, _, JUMBO, 4, a, b, c, d]) if next == protocol::HOPOPTS => {
            rest.take(u32::from_be_bytes([a, b, c, d]) as usize)
        }
        _ if rest.left() > 0xffff => rest,
        _ => rest.take(0),
    }
}

/// Protocol numbers of headers that lead to another (IANA).
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

/// Extension headers (RFC 8200, 4), to the transport header. IPv4 has only the authentication header, but one protocol
/// number means one thing, so that others are read behind IPv4 too, as in Wireshark.
fn extensions<'a>(mut next: u8, mut rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    for _ in 0..MAX_NESTING {
        let seen = match next {
            protocol::HOPOPTS => bit::EXT_HOPOPTS,
            protocol::ROUTING => bit::EXT_ROUTING,
            protocol::FRAGMENT => bit::EXT_FRAGMENT,
            protocol::DSTOPTS => bit::EXT_DSTOPTS,
            protocol::AH => bit::AH,
            protocol::MOBILITY | protocol::HIP | protocol::SHIM6 => 0,
            _ => return transport::read(next, rest, stack),
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
        next = following;
        rest = rest.skip(length);
        if rest.at > rest.frame.len() {
            return None;
        }
    }
    None
}

/// ARP (RFC 826), and RARP, which has its form.
pub(super) fn arp<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    stack.headers_end = rest.behind(8);
    rest.peek::<2>()?;
    stack.l3 = rest.here();
    stack.bits |= bit::ARP;
    let header = rest.peek::<8>()?;
    stack.bits |= bit::ARP_HDR;
    let (hardware, network) = (header[4], header[5]);
    let length = 8 + 2 * (usize::from(hardware) + usize::from(network));
    let rest = rest.take(length);
    stack.l3_end = rest.captured_end();
    stack.headers_end = rest.behind(length);
    // Ethernet or IEEE 802 addresses of IPv4.
    if matches!(*header, [0, 1 | 6, 0x08, 0x00, 6, 4, ..]) && rest.peek::<28>().is_some() {
        stack.bits |= bit::ARP_ADDR;
    }
    None
}
