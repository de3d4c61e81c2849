//! Byte strings of a packet: where each begins and ends, and what a slice of it is. Ends follow the headers' own lengths
//! and are clipped to what was captured; the invariant: a byte string that exists has at least one byte.
//! (Rejected: empty byte strings, which Wireshark does not have either: there a comparison with one is false.)

use super::stack;
use crate::abi::{Head, Packet, bit};
use crate::fields::{BytesSource, Layer, Proto};
use crate::hir::{Bytes, Slice};

/// The bytes; `None` when the packet has none, or the slice is not wholly within them.
pub fn bytes<'a>(packet: &Packet<'a>, head: &Head, bytes: &Bytes) -> Option<&'a [u8]> {
    let whole = source(packet, head, bytes.layer, bytes.source)?;
    let part = match bytes.slice {
        Some(part) => slice(whole, part)?,
        None => whole,
    };
    (!part.is_empty()).then_some(part)
}

fn source<'a>(packet: &Packet<'a>, head: &Head, layer: Layer, source: BytesSource) -> Option<&'a [u8]> {
    let at = stack(head, layer);
    let frame = packet.frame();
    let behind = |bits: u64, start: u32, end: u32| {
        let end = (end as usize).min(frame.len());
        (at.bits & bits == bits).then(|| frame.get(start as usize..end)).flatten()
    };
    let payload = |bits| behind(bits, at.payload, at.payload_end);
    // Where the frame's, or the tunnel's, link layer ends.
    let link_end = match layer {
        Layer::Outer => packet.cap_len(),
        Layer::Inner => head.outer.l3_end,
    };
    // A header's length in 4-byte words, in the byte at `offset`.
    let words = |offset: u32, shift: u32| {
        frame.get(offset as usize).map_or(0, |byte| u32::from(byte >> shift & 0xf) * 4)
    };
    match source {
        BytesSource::Frame => Some(frame),
        BytesSource::InterfaceName => Some(packet.interface_name().as_bytes()),
        BytesSource::Header(Proto::Eth) => behind(bit::ETH, at.l2, at.l2.saturating_add(14)),
        BytesSource::Header(Proto::Ip) => behind(bit::IP_HDR, at.l3, at.l3.saturating_add(words(at.l3, 0))),
        BytesSource::Header(Proto::Ip6) => behind(bit::IP6_HDR, at.l3, at.l3.saturating_add(40)),
        BytesSource::Header(Proto::Tcp) => {
            let length = words(at.l4.saturating_add(12), 4);
            behind(bit::TCP_HDR, at.l4, at.l4.saturating_add(length))
        }
        BytesSource::Header(Proto::Udp) => behind(bit::UDP_HDR, at.l4, at.l4.saturating_add(8)),
        // Wireshark's ICMP is the whole message.
        BytesSource::Header(Proto::Icmp) | BytesSource::From(Proto::Icmp) => {
            behind(bit::ICMP_HDR, at.l4, at.l3_end)
        }
        BytesSource::Header(Proto::Icmp6) | BytesSource::From(Proto::Icmp6) => {
            behind(bit::ICMP6_HDR, at.l4, at.l3_end)
        }
        BytesSource::From(Proto::Eth) => behind(bit::ETH, at.l2, link_end),
        BytesSource::From(Proto::Ip) => behind(bit::IP_HDR, at.l3, at.l3_end),
        BytesSource::From(Proto::Ip6) => behind(bit::IP6_HDR, at.l3, at.l3_end),
        BytesSource::From(Proto::Tcp) => behind(bit::TCP_PORTS, at.l4, at.l3_end),
        BytesSource::From(Proto::Udp) => behind(bit::UDP_PORTS, at.l4, at.l3_end),
        BytesSource::TcpPayload => payload(bit::TCP_PAYLOAD),
        BytesSource::UdpPayload => payload(bit::UDP_PAYLOAD),
        BytesSource::Payload => payload(bit::PAYLOAD),
    }
}

/// A part of some bytes, as Wireshark cuts it: `None` when it is not wholly within them; offsets below zero count from
/// the end. It may be empty.
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
