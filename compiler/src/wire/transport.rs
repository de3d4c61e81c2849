//! What IP carries: TCP, UDP, SCTP, ICMP, ESP; and by them, where the payload is. The invariant: `payload..payload_end` is
//! captured, belongs to the IP packet, and is not empty where `PAYLOAD` is set. Ports need four bytes, as in Wireshark, so
//! that a cut header still says whose it is; the rest of a header needs the whole header.
//! (Rejected: looking into the packet that an ICMP error quotes, whose ports are not this packet's.)

use super::{Content, Inside, Rest, be16, tunnel};
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
        1 => icmp(bit::ICMP, bit::ICMP_HDR, rest, stack),
        58 => icmp(bit::ICMP6, bit::ICMP6_HDR, rest, stack),
        132 => sctp(rest, stack),
        50 => stack.bits |= bit::ESP,
        4 => return Some(Inside { content: Content::Type(0x0800), rest }),
        41 => return Some(Inside { content: Content::Type(0x86dd), rest }),
        47 => return tunnel::gre(rest, stack),
        _ => {}
    }
    None
}

/// TCP (RFC 9293, 3.1).
#[inline(always)]
fn tcp(rest: Rest, stack: &mut Stack) {
    const RST: u8 = 4;
    stack.bits |= bit::TCP;
    stack.l4 = rest.here();
    let Some(header) = rest.peek::<20>() else {
        if rest.peek::<4>().is_some() {
            stack.bits |= bit::TCP_PORTS | bit::PORTS;
        }
        let length = rest.frame.get(rest.at + 12).map_or(20, |b| usize::from(b >> 4) * 4);
        if length >= 20 && rest.left() >= 20 {
            stack.headers_end = rest.behind(length);
        }
        return;
    };
    stack.bits |= bit::TCP_PORTS | bit::PORTS;
    let length = usize::from(header[12] >> 4) * 4;
    if length < 20 {
        return;
    }
    stack.bits |= bit::TCP_HDR;
    stack.headers_end = (rest.at + length).min(rest.end) as u32;
    if !rest.partial && length <= rest.left() {
        stack.bits |= bit::TCP_LEN;
        stack.tcp_len = (rest.left() - length) as u32;
    }
    if payload(length, rest, stack) && header[13] & RST == 0 {
        stack.bits |= bit::TCP_PAYLOAD;
    }
}

/// UDP (RFC 768). Its length field does not end the payload: the datagram does, as in Wireshark.
#[inline]
fn udp<'a>(rest: Rest<'a>, stack: &mut Stack) -> Option<Inside<'a>> {
    stack.bits |= bit::UDP;
    stack.l4 = rest.here();
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    let Some(header) = rest.peek::<8>() else {
        if rest.peek::<4>().is_some() {
            stack.bits |= bit::UDP_PORTS | bit::PORTS;
        }
        return None;
    };
    stack.bits |= bit::UDP_PORTS | bit::UDP_HDR | bit::PORTS;
    if payload(8, rest, stack) {
        stack.bits |= bit::UDP_PAYLOAD;
    }
    match be16(header[2], header[3]) {
        tunnel::VXLAN_PORT => tunnel::vxlan(rest.skip(8), stack),
        tunnel::GENEVE_PORT => tunnel::geneve(rest.skip(8), stack),
        _ => None,
    }
}

/// SCTP (RFC 9260, 3.1).
fn sctp(rest: Rest, stack: &mut Stack) {
    stack.bits |= bit::SCTP;
    stack.l4 = rest.here();
    stack.headers_end = rest.behind(12).max(stack.headers_end);
    if rest.peek::<4>().is_some() {
        stack.bits |= bit::SCTP_PORTS | bit::PORTS;
    }
    if rest.peek::<12>().is_some() {
        payload(12, rest, stack);
    }
}

/// ICMP (RFC 792) and ICMPv6 (RFC 4443, 2.1).
fn icmp(found: u64, header: u64, rest: Rest, stack: &mut Stack) {
    stack.bits |= found;
    stack.l4 = rest.here();
    stack.headers_end = rest.behind(8).max(stack.headers_end);
    if rest.peek::<2>().is_some() {
        stack.bits |= header;
    }
    payload(8, rest, stack);
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
