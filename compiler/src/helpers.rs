//! What takes more than a few instructions, defined once: the interpreter calls these directly, native code through its
//! shims. The invariant: each is total, safe, and allocates nothing; what is not in the packet is `None` or `false`,
//! whatever a [`Head`] claims. (Rejected: letting each engine read payloads, options and tags in its own way.)

use crate::abi::{Head, Packet, Stack};
use crate::fields::{Layer, Load, Slot};
use crate::hir::{Address, Bytes, NeedleId, RegexId, TableId, TagPart, Value};
use crate::table::KeyValue;
use crate::world::{Scratch, World};

mod bytes;
mod facets;
mod hash;
mod parts;

pub use crate::world::SearchId;
pub(crate) use bytes::needs;
pub use bytes::{bytes, slice};
pub use facets::{facet_in, facet_in_table, facet_text, first_facet};
pub use hash::{flow_hash, packet_hash};
pub use parts::{tags_any, tcp_option};

/// The stack of a layer.
pub fn stack(head: &Head, layer: Layer) -> &Stack {
    match layer {
        Layer::Outer => &head.outer,
        Layer::Inner => &head.inner,
    }
}

/// `N` captured bytes at `slot + at`, where all of `bits` are present.
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

/// A number in a header; `None` where its presence bits are not all set.
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

/// A 128-bit address in a header; `None` where its presence bits are not all set.
pub fn address(packet: &Packet, head: &Head, address: &Address) -> Option<u128> {
    let &Address { layer, bits, slot, at } = address;
    bytes_at(packet, head, layer, bits, slot, at).map(u128::from_be_bytes)
}

/// Whether the bytes contain a needle of the program.
pub fn contains(
    world: &World,
    scratch: &mut Scratch,
    packet: &Packet,
    head: &Head,
    bytes: &Bytes,
    needle: NeedleId,
) -> bool {
    let search = world.searches().contains(bytes, needle);
    search.is_some_and(|search| finds(world, scratch, packet, head, search))
}

/// Whether a regular expression of the program matches somewhere in the bytes.
pub fn matches(
    world: &World,
    scratch: &mut Scratch,
    packet: &Packet,
    head: &Head,
    bytes: &Bytes,
    regex: RegexId,
) -> bool {
    let search = world.searches().matches(bytes, regex);
    search.is_some_and(|search| finds(world, scratch, packet, head, search))
}

/// Whether a search of [`Searches`](crate::world::Searches), resolved before, finds its pattern.
pub fn finds(world: &World, scratch: &mut Scratch, packet: &Packet, head: &Head, search: SearchId) -> bool {
    world.searches().finds(scratch, packet, head, search)
}

/// Whether a table holds a key at a time.
pub fn in_table(world: &World, table: TableId, key: &[KeyValue], now: i64) -> bool {
    world.table(table).is_some_and(|table| table.contains(key, now))
}

/// The number that a map gives for a key at a time; `None` without one.
pub fn lookup_num(world: &World, table: TableId, key: &[KeyValue], now: i64) -> Option<u64> {
    match world.table(table)?.get(key, now)? {
        Value::Num(n) => Some(*n),
        Value::Ip(..) | Value::Text(_) => None,
    }
}

/// Whether a map gives this text for a key at a time.
pub fn lookup_is(world: &World, table: TableId, key: &[KeyValue], text: &[u8], now: i64) -> bool {
    let value = world.table(table).and_then(|table| table.get(key, now));
    matches!(value, Some(Value::Text(value)) if value.as_ref() == text)
}

/// Whether a trigger is active for a key.
pub fn active(world: &World, trigger: crate::hir::TriggerId, key: &[KeyValue], now: i64) -> bool {
    world.active(trigger, key, now)
}

/// Whether some tag's part is a key of a table.
pub fn tag_in_table(world: &World, packet: &Packet, head: &Head, part: &TagPart, table: TableId) -> bool {
    let Some(table) = world.table(table) else { return false };
    tags_any(packet, head, part, |value| table.contains(&[KeyValue::Num(value)], packet.time))
}

#[cfg(test)]
mod tests;
