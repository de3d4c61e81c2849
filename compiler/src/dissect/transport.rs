//! The headers after IP: TCP, UDP, SCTP, ICMP, ESP, and the place of the payload. The invariant: if
//! `PAYLOAD` is set, `payload..payload_end` is captured, belongs to the IP packet, and is not
//! empty. Ports need four bytes, as in Wireshark, so that a cut header still has its ports; the
//! other fields need the whole header. (Rejected: reading the packet that an ICMP error quotes,
//! whose ports are not this packet's.)

use super::unparsed::refuse_protocol;
use super::{Content, Rest, be16, ethertype, tunnel};
use crate::abi::{Stack, bit};

/// Reads the header of `protocol` (IANA).
#[inline(always)]
pub(super) fn read(protocol: u8, rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    match protocol {
        6 => tcp(rest, stack),
        17 => return udp(rest, stack),
        _ => return other(protocol, rest, stack),
    }
    None
}

#[inline(never)]
fn other(protocol: u8, rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    match protocol {
        1 => icmp(rest, stack),
        58 => icmp6(rest, stack),
        132 => sctp(rest, stack),
        50 if rest.at < rest.frame.len() => stack.bits |= bit::ESP,
        4 => return Some(Content::Type(ethertype::IP4)),
        41 => return Some(Content::Type(ethertype::IP6)),
        47 => return tunnel::gre(rest, stack),
        97 => return tunnel::etherip(rest, stack),
        137 => return Some(Content::Type(ethertype::MPLS)),
        // Segment routing (RFC 8986, 4.9).
        143 => return Some(Content::Ethernet),
        _ => refuse_protocol(protocol, stack),
    }
    None
}

/// TCP (RFC 9293, 3.1).
#[inline(always)]
fn tcp(rest: &Rest, stack: &mut Stack) {
    const RST: u8 = 4;
    let Some(header) = rest.peek::<20>().filter(|header| header[12] >> 4 >= 5) else {
        return unsound(rest, stack);
    };
    let length = usize::from(header[12] >> 4) * 4;
    stack.l4 = rest.here();
    stack.headers_end = (rest.at + length).min(rest.end) as u32;
    let sound = bit::TCP | bit::TCP_PORTS | bit::PORTS | bit::TCP_SEQ | bit::TCP_FLAGS | bit::TCP_HDR;
    let text = match payload(length, rest, stack) {
        0 => 0,
        some if header[13] & RST != 0 => some,
        some => some | bit::TCP_PAYLOAD,
    };
    stack.bits |= sound | text | segment(length, rest, stack);
}

/// A TCP header that is cut or whose data offset is wrong. As in Wireshark, its first 16 bytes are
/// read all together or, except for the ports, not at all.
#[cold]
fn unsound(rest: &Rest, stack: &mut Stack) {
    if rest.peek::<4>().is_none() {
        stack.headers_end = rest.behind(20).max(stack.headers_end);
        return;
    }
    stack.l4 = rest.here();
    stack.bits |= bit::TCP | bit::TCP_PORTS | bit::PORTS;
    let length = rest.peek::<13>().map_or(20, |header| usize::from(header[12] >> 4) * 4);
    if length >= 20 && rest.left() >= 13 {
        stack.headers_end = (rest.at + length).min(rest.end) as u32;
    }
    if rest.peek::<16>().is_some() {
        stack.bits |= bit::TCP_SEQ | segment(length, rest, stack);
        if length >= 20 {
            stack.bits |= bit::TCP_FLAGS;
        }
    }
}

/// The length of the segment after a header of `header` bytes, and its bit. For a fragment, the
/// length is not known.
#[inline(always)]
fn segment(header: usize, rest: &Rest, stack: &mut Stack) -> u64 {
    if rest.partial || header > rest.left() {
        return 0;
    }
    stack.tcp_len = (rest.left() - header) as u32;
    bit::TCP_LEN
}

/// UDP (RFC 768). As in Wireshark, the payload ends with the datagram, not by the length field. A
/// length that leaves no room for data hides `udp.payload`.
#[inline(always)]
fn udp(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    let Some(header) = rest.peek::<8>() else {
        rest.peek::<4>()?;
        stack.l4 = rest.here();
        stack.bits |= bit::UDP | bit::UDP_PORTS | bit::PORTS;
        return None;
    };
    stack.l4 = rest.here();
    let length = be16(header[4], header[5]);
    // RFC 2675, 4: 0 in a jumbogram. Also 0 in a super-frame that no length field can describe.
    let jumbo = length == 0 && (stack.bits & bit::IP6_HDR != 0 || rest.left() > 0xffff);
    let text = payload(8, rest, stack);
    let shown = text != 0 && (length > 8 || jumbo);
    let whole = bit::UDP | bit::UDP_PORTS | bit::PORTS | bit::UDP_HDR;
    stack.bits |= whole | text | if shown { bit::UDP_PAYLOAD } else { 0 };
    if !shown {
        return None;
    }
    let port = tunnel::port(be16(header[0], header[1]), be16(header[2], header[3]))?;
    if !jumbo {
        rest.take(usize::from(length));
    }
    rest.skip(8);
    tunnel::over_udp(port, rest, stack)
}

/// SCTP (RFC 9260, 3.1).
fn sctp(rest: &Rest, stack: &mut Stack) {
    stack.headers_end = rest.behind(12).max(stack.headers_end);
    if rest.peek::<12>().is_some() {
        stack.l4 = rest.here();
        stack.bits |= bit::SCTP | bit::SCTP_PORTS | bit::PORTS | payload(12, rest, stack);
    }
}

/// ICMP (RFC 792). As in Wireshark, all its fields need 6 bytes.
fn icmp(rest: &Rest, stack: &mut Stack) {
    control(bit::ICMP | bit::ICMP_HDR, rest.peek::<6>().is_some(), rest, stack);
}

/// ICMPv6 (RFC 4443, 2.1).
fn icmp6(rest: &Rest, stack: &mut Stack) {
    control(bit::ICMP6 | bit::ICMP6_HDR, rest.peek::<2>().is_some(), rest, stack);
}

fn control(bits: u64, enough: bool, rest: &Rest, stack: &mut Stack) {
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    if enough {
        stack.l4 = rest.here();
        stack.bits |= bits | payload(8, rest, stack);
    }
}

/// The bytes after a header of `length` bytes are the payload: its bit, if any of it was captured.
#[inline(always)]
fn payload(length: usize, rest: &Rest, stack: &mut Stack) -> u64 {
    let (start, end) = (rest.at + length, rest.frame.len());
    if start >= end {
        return 0;
    }
    stack.payload = start as u32;
    stack.payload_end = end as u32;
    bit::PAYLOAD
}
