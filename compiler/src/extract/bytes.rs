//! Byte strings of a packet: where each begins and ends, and the bytes of its slices. Ends follow
//! the headers' own lengths and are clipped to the captured bytes. The invariant: a byte string
//! that exists has at least one byte. (Rejected: empty byte strings; the checker writes out what
//! Wireshark does with an empty slice.)

use super::stack;
use crate::abi::{Head, Packet, bit};
use crate::fields::{BytesSource, Layer, Proto};
use crate::hir::{Bytes, Slice};

/// The bytes. `None`: the packet lacks them, or the slice is not wholly within them.
pub fn bytes<'a>(packet: &Packet<'a>, head: &Head, bytes: &Bytes) -> Option<&'a [u8]> {
    let whole = source(packet, head, bytes.layer, bytes.source)?;
    let part = match bytes.slice {
        Some(part) => slice(whole, part)?,
        None => whole,
    };
    (!part.is_empty()).then_some(part)
}

/// The presence bits without which a source has no bytes.
pub(crate) fn needs(source: BytesSource) -> u64 {
    match source {
        BytesSource::Frame | BytesSource::InterfaceName => 0,
        BytesSource::Header(Proto::Eth) | BytesSource::From(Proto::Eth) => bit::ETH,
        BytesSource::Header(Proto::Ip) | BytesSource::From(Proto::Ip) => bit::IP,
        BytesSource::Header(Proto::Ip6) | BytesSource::From(Proto::Ip6) => bit::IP6,
        BytesSource::Header(Proto::Icmp) | BytesSource::From(Proto::Icmp) => bit::ICMP_HDR,
        BytesSource::Header(Proto::Icmp6) | BytesSource::From(Proto::Icmp6) => bit::ICMP6_HDR,
        BytesSource::Header(Proto::Tcp) | BytesSource::From(Proto::Tcp) => bit::TCP_PORTS,
        BytesSource::Header(Proto::Udp) | BytesSource::From(Proto::Udp) => bit::UDP_PORTS,
        BytesSource::TcpPayload => bit::TCP_PAYLOAD,
        BytesSource::UdpPayload => bit::UDP_PAYLOAD,
        BytesSource::Payload => bit::PAYLOAD,
    }
}

fn source<'a>(packet: &Packet<'a>, head: &Head, layer: Layer, source: BytesSource) -> Option<&'a [u8]> {
    let at = stack(head, layer);
    let frame = packet.frame();
    let needed = needs(source);
    if at.bits & needed != needed {
        return None;
    }
    // A header's length in 4-byte words, in the byte at `offset`.
    let words = |offset: u32, shift: u32| {
        frame.get(offset as usize).map_or(0, |byte| u32::from(byte >> shift & 0xf) * 4)
    };
    let (start, end) = match source {
        BytesSource::Frame => return Some(frame),
        BytesSource::InterfaceName => return Some(packet.interface_name().as_bytes()),
        BytesSource::Header(Proto::Eth) => (at.l2, at.l2.saturating_add(14)),
        BytesSource::Header(Proto::Ip) => (at.l3, at.l3.saturating_add(words(at.l3, 0))),
        // In Wireshark the extension headers belong to the header, except in a fragment that is not
        // the first.
        BytesSource::Header(Proto::Ip6) => {
            let transport = bit::TCP | bit::UDP | bit::SCTP | bit::ICMP | bit::ICMP6;
            let end = match at.bits {
                bits if bits & bit::IP6_HDR == 0 || bits & bit::FRAGMENT != 0 => at.l3.saturating_add(40),
                bits if bits & transport != 0 => at.l4,
                _ => at.headers_end,
            };
            (at.l3, end)
        }
        // As in Wireshark, a header with a wrong length, or cut before its length, extends to the
        // packet's end.
        BytesSource::Header(Proto::Tcp) => match words(at.l4.saturating_add(12), 4) {
            0..20 => (at.l4, at.l3_end),
            length => (at.l4, at.l4.saturating_add(length)),
        },
        BytesSource::Header(Proto::Udp) => (at.l4, at.l4.saturating_add(8)),
        // Wireshark's ICMP is the whole message.
        BytesSource::Header(Proto::Icmp | Proto::Icmp6) => (at.l4, at.l3_end),
        BytesSource::From(Proto::Eth) => {
            let link_end = match layer {
                Layer::Outer => packet.cap_len(),
                Layer::Inner => head.outer.l3_end,
            };
            (at.l2, link_end)
        }
        BytesSource::From(Proto::Ip | Proto::Ip6) => (at.l3, at.l3_end),
        BytesSource::From(Proto::Tcp | Proto::Udp | Proto::Icmp | Proto::Icmp6) => (at.l4, at.l3_end),
        BytesSource::TcpPayload | BytesSource::UdpPayload | BytesSource::Payload => {
            (at.payload, at.payload_end)
        }
    };
    frame.get(start as usize..(end as usize).min(frame.len()))
}

/// A part of some bytes, with Wireshark's offsets: offsets below zero count from the end. `None`:
/// the part is not wholly within the bytes. It may be empty.
pub fn slice(bytes: &[u8], slice: Slice) -> Option<&[u8]> {
    let length = bytes.len() as u64;
    let from_start = |offset: i64| match u64::try_from(offset) {
        Ok(offset) => Some(offset),
        Err(_) => length.checked_sub(offset.unsigned_abs()),
    };
    let (start, end) = match slice {
        Slice::OffsetLength(offset, count) => {
            let start = from_start(offset)?;
            (start, start.checked_add(count)?)
        }
        Slice::FirstLast(first, last) => (from_start(first)?, from_start(last)?.checked_add(1)?),
        Slice::From(offset) => (from_start(offset)?, length),
        Slice::To(count) => (0, count),
        Slice::At(offset) => {
            let start = from_start(offset)?;
            (start, start.checked_add(1)?)
        }
    };
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
