//! What IP carries: TCP, UDP, SCTP, ICMP, ESP; and by them, where the payload is. The invariant: `payload..payload_end` is
//! captured, belongs to the IP packet, and is not empty where `PAYLOAD` is set. Ports need four bytes, as in Wireshark, so
//! that a cut header still says whose it is; the rest of a header needs the whole header.
//! (Rejected: looking into the packet that an ICMP error quotes, whose ports are not this packet's.)

use super::{Content, Inside, Rest, be16, ethertype, tunnel};
use crate::abi::{Stack, bit};

/// Reads the header that `protocol` (IANA) names.
#[inline]
pub(super) fn read<'a>(protocol: u8, rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    if rest.at > rest.frame.len() {
        return None;
    }
    match protocol {
        6 => tcp(rest, stack),
        17 => return udp(rest, stack),
        1 => icmp(rest, stack),
        58 => icmp6(rest, stack),
        132 => sctp(rest, stack),
        50 if rest.at < rest.frame.len() => stack.bits |= bit::ESP,
        4 => return Some(Inside { content: Content::Type(ethertype::IP4), rest }),
        41 => return Some(Inside { content: Content::Type(ethertype::IP6), rest }),
        47 => return tunnel::gre(rest, stack),
        _ => {}
    }
    None
}

/// TCP (RFC 9293, 3.1).
#[inline(always)]
fn tcp(rest: Rest, stack: &mut Stack) {
    const RST: u8 = 4;
    let Some(header) = rest.peek::<20>() else { return cut_tcp(rest, stack) };
    stack.l4 = rest.here();
    stack.bits |= bit::TCP | bit::TCP_PORTS | bit::PORTS | bit::TCP_SEQ;
    let length = usize::from(header[12] >> 4) * 4;
    segment(length, rest, stack);
    if length >= 20 {
        stack.bits |= bit::TCP_FLAGS | bit::TCP_HDR;
        stack.headers_end = (rest.at + length).min(rest.end) as u32;
        if payload(length, rest, stack) && header[13] & RST == 0 {
            stack.bits |= bit::TCP_PAYLOAD;
        }
    }
}

/// A TCP header of which fewer than 20 bytes are there. Wireshark reads its first 16 at once, but for the ports.
#[cold]
fn cut_tcp(rest: Rest, stack: &mut Stack) {
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
        stack.bits |= bit::TCP_SEQ;
        segment(length, rest, stack);
        if length >= 20 {
            stack.bits |= bit::TCP_FLAGS;
        }
    }
}

/// The segment's length behind a header of so many bytes. That of a fragment is not known.
#[inline(always)]
fn segment(header: usize, rest: Rest, stack: &mut Stack) {
    if !rest.partial && header <= rest.left() {
        stack.bits |= bit::TCP_LEN;
        stack.tcp_len = (rest.left() - header) as u32;
    }
}

/// UDP (RFC 768). Its length field does not end the payload: the datagram does, as in Wireshark; but a length that leaves
/// no room for data hides `udp.payload`.
#[inline]
fn udp<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    rest.peek::<4>()?;
    stack.l4 = rest.here();
    stack.bits |= bit::UDP | bit::UDP_PORTS | bit::PORTS;
    let header = rest.peek::<8>()?;
    stack.bits |= bit::UDP_HDR;
    let length = be16(header[4], header[5]);
    // RFC 2675, 4: 0 in a jumbogram.
    let jumbo = length == 0 && stack.bits & bit::IP6_HDR != 0;
    if !payload(8, rest, stack) || length <= 8 && !jumbo {
        return None;
    }
    stack.bits |= bit::UDP_PAYLOAD;
    let data = || match jumbo {
        true => rest.skip(8),
        false => rest.take(usize::from(length)).skip(8),
    };
    match be16(header[2], header[3]) {
        tunnel::VXLAN_PORT => tunnel::vxlan(data(), stack),
        tunnel::GENEVE_PORT => tunnel::geneve(data(), stack),
        _ => None,
    }
}

/// SCTP (RFC 9260, 3.1).
fn sctp(rest: Rest, stack: &mut Stack) {
    stack.headers_end = rest.behind(12).max(stack.headers_end);
    if rest.peek::<12>().is_some() {
        stack.l4 = rest.here();
        stack.bits |= bit::SCTP | bit::SCTP_PORTS | bit::PORTS;
        payload(12, rest, stack);
    }
}

/// ICMP (RFC 792), of which Wireshark needs 6 bytes before it says anything.
fn icmp(rest: Rest, stack: &mut Stack) {
    control(bit::ICMP | bit::ICMP_HDR, rest.peek::<6>().is_some(), rest, stack);
}

/// ICMPv6 (RFC 4443, 2.1).
fn icmp6(rest: Rest, stack: &mut Stack) {
    control(bit::ICMP6 | bit::ICMP6_HDR, rest.peek::<2>().is_some(), rest, stack);
}

fn control(bits: u64, enough: bool, rest: Rest, stack: &mut Stack) {
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    if enough {
        stack.l4 = rest.here();
        stack.bits |= bits;
        payload(8, rest, stack);
    }
}

/// Marks what lies behind a header of `length` bytes as payload, if any of it was captured.
#[inline(always)]
fn payload(length: usize, rest: Rest, stack: &mut Stack) -> bool {
    let (start, end) = (rest.at + length, rest.frame.len());
    if start >= end {
        return false;
    }
    stack.bits |= bit::PAYLOAD;
    stack.payload = start as u32;
    stack.payload_end = end as u32;
    true
}
