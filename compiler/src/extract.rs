//! The values of a packet alone: numbers, addresses, byte strings, options, tags, hashes. This
//! module knows no tables, patterns or flows. The invariant: each function is total, safe, and
//! allocates nothing. A value that the packet lacks is `None` or `false`, whatever a [`Head`]
//! claims. (Rejected: letting each engine read payloads, options and tags in its own way.)

use crate::abi::{Head, Packet, Stack};
use crate::fields::{Layer, Load, Slot};
use crate::hir::Address;

mod bytes;
mod hash;
mod parts;

pub(crate) use bytes::needs;
pub use bytes::{bytes, slice};
pub use hash::{flow_hash, packet_hash};
pub use parts::{tags_any, tcp_option};

/// The stack of a layer.
pub fn stack(head: &Head, layer: Layer) -> &Stack {
    match layer {
        Layer::Outer => &head.outer,
        Layer::Inner => &head.inner,
    }
}

/// `N` captured bytes at `slot + at`, if all of `bits` are present.
fn bytes_at<const N: usize>(
    packet: &Packet,
    head: &Head,
    layer: Layer,
    bits: u64,
    slot: Slot,
    at: u16,
) -> Option<[u8; N]> {
    let stack = stack(head, layer);
    if stack.bits & bits != bits {
        return None;
    }
    let start = slot.get(stack) as usize + usize::from(at);
    packet.frame().get(start..)?.first_chunk().copied()
}

/// A number in a header; `None` if its presence bits are not all set.
pub fn load(packet: &Packet, head: &Head, load: &Load) -> Option<u64> {
    let &Load { layer, bits, slot, at, width, shift, mask } = load;
    let value = match width {
        1 => u64::from(u8::from_be_bytes(bytes_at(packet, head, layer, bits, slot, at)?)),
        2 => u64::from(u16::from_be_bytes(bytes_at(packet, head, layer, bits, slot, at)?)),
        4 => u64::from(u32::from_be_bytes(bytes_at(packet, head, layer, bits, slot, at)?)),
        _ => u64::from_be_bytes(bytes_at(packet, head, layer, bits, slot, at)?),
    };
    let distance = u32::from(shift.unsigned_abs());
    let shifted = if shift < 0 { value.checked_shl(distance) } else { value.checked_shr(distance) };
    Some(shifted.unwrap_or(0) & mask)
}

/// A 128-bit address in a header; `None` if its presence bits are not all set.
pub fn address(packet: &Packet, head: &Head, address: &Address) -> Option<u128> {
    let &Address { layer, bits, slot, at } = address;
    bytes_at(packet, head, layer, bits, slot, at).map(u128::from_be_bytes)
}

#[cfg(test)]
mod tests;
