//! What a row of the field table says of a packet, read in the plainest way from the row, the head
//! and the bytes. It shares no code with either engine, so that tests of the dissector and of the
//! engines have a third opinion. (Rejected: asking the reference interpreter, which would hide a
//! mistake that it shares with the dissector.)

use mrule_compiler::abi::{Head, Packet, Stack};
use mrule_compiler::fields::{BytesSource, Field, Layer, Load, Source, Tags};

/// What a packet has for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Absent,
    /// A protocol, which has no value of its own.
    Present,
    /// Numbers, flags or addresses; several for tags.
    Numbers(Vec<u128>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The value of `field` in `layer`; `None` for rows that are defined by other rows (`tcp.port`), or
/// that are not about headers.
pub fn value(field: &Field, layer: Layer, packet: &Packet, head: &Head) -> Option<Value> {
    let stack = match layer {
        Layer::Outer => &head.outer,
        Layer::Inner => &head.inner,
    };
    let frame = packet.frame();
    let has = |bits: u64| stack.bits & bits == bits;
    let number = |present: bool, number: u128| match present {
        true => Value::Numbers(vec![number]),
        false => Value::Absent,
    };
    Some(match field.source {
        Source::Load(load) if has(load.bits) => Value::Numbers(vec![loaded(frame, stack, load)]),
        Source::Load(_) => Value::Absent,
        Source::Slot { bits, slot, .. } => number(has(bits), u128::from(slot.get(stack))),
        Source::Ipv6 { bits, slot, at, .. } => match has(bits) {
            true => Value::Numbers(vec![big_endian(frame, slot.get(stack) as usize + usize::from(at), 16)]),
            false => Value::Absent,
        },
        Source::Tag { tags, at, width, shift, mask } => {
            let (first, count) = match tags {
                Tags::Vlan => (stack.vlan, stack.vlans),
                Tags::Mpls => (stack.mpls, stack.labels),
            };
            let part = |i: u32| {
                let raw = big_endian(frame, (first + 4 * i) as usize + usize::from(at), usize::from(width));
                (raw >> shift) & u128::from(mask)
            };
            let is_type = field.name == "vlan.etype";
            let parts: Vec<_> = (0..count).map(part).filter(|&p| !is_type || p > 1500).collect();
            if parts.is_empty() { Value::Absent } else { Value::Numbers(parts) }
        }
        Source::FrameLen => Value::Numbers(vec![u128::from(packet.len)]),
        Source::FrameCapLen => Value::Numbers(vec![u128::from(packet.cap_len())]),
        Source::Protocol { bits, .. } if has(bits) => Value::Present,
        Source::Protocol { .. } => Value::Absent,
        Source::Bytes(source) => {
            use mrule_compiler::abi::bit;
            let bits = match source {
                BytesSource::TcpPayload => bit::TCP_PAYLOAD,
                BytesSource::UdpPayload => bit::UDP_PAYLOAD,
                BytesSource::Payload => bit::PAYLOAD,
                _ => return None,
            };
            match has(bits) {
                true => Value::Bytes(frame[stack.payload as usize..stack.payload_end as usize].to_vec()),
                false => Value::Absent,
            }
        }
        _ => return None,
    })
}

fn loaded(frame: &[u8], stack: &Stack, load: Load) -> u128 {
    let at = load.slot.get(stack) as usize + usize::from(load.at);
    let raw = big_endian(frame, at, usize::from(load.width));
    let shifted = if load.shift < 0 { raw << -load.shift } else { raw >> load.shift };
    shifted & u128::from(load.mask)
}

fn big_endian(frame: &[u8], at: usize, width: usize) -> u128 {
    frame[at..at + width].iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))
}
