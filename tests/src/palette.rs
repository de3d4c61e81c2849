//! The values that fields have in some packets, so that random conditions on them often hold. Read
//! through the helpers that both engines share, which is no matter here: a wrong value only makes a
//! condition hold less often. (Rejected: random constants, with which nearly every comparison is
//! false.)

use mrule_compiler::abi::{Head, Packet};
use mrule_compiler::fields::{FIELDS, Field, Hash, Layer, Source, Tags, Ty, find};
use mrule_compiler::helpers;
use mrule_compiler::hir::{Address, Bytes, TagPart, TcpOption};
use mrule_compiler::{dissect, fields};
use std::collections::{BTreeMap, BTreeSet};

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldValue {
    /// A number or flag.
    Num(u64),
    /// A MAC.
    Mac(u64),
    /// An IPv4 address.
    V4(u32),
    /// An IPv6 address.
    V6(u128),
    /// Bytes or text.
    Bytes(Vec<u8>),
    /// A protocol.
    There,
}

/// Numbers that flows and messages have in tests. They are few and small, so that conditions on
/// them often hold.
pub const NUMBERS: &[u64] = &[0, 1, 2, 3, 4, 10, 28, 100, 200, 404];

/// Texts that messages say in tests.
pub const TEXTS: &[&str] =
    &["GET", "POST", "example.com", "www.example.com", "/", "/evil?x=1", "curl/8.0", "h2", ""];

/// The most values that are kept of one field.
const MOST: usize = 24;

/// What fields have in some packets, by the field's name, with `inner.` where it is there.
#[derive(Debug, Default, Clone)]
pub struct Palette {
    values: BTreeMap<String, Vec<FieldValue>>,
}

impl Palette {
    /// The values in these packets.
    pub fn of(packets: &[Packet]) -> Palette {
        let mut values: BTreeMap<String, BTreeSet<FieldValue>> = BTreeMap::new();
        for packet in packets {
            let head = dissect::dissect(packet);
            for layer in [Layer::Outer, Layer::Inner] {
                if layer == Layer::Inner && head.inner.bits == 0 {
                    continue;
                }
                for field in FIELDS.iter().filter(|f| layer == Layer::Outer || f.has_inner()) {
                    let mut seen = Vec::new();
                    collect(field, layer, packet, &head, &mut seen);
                    if seen.is_empty() {
                        continue;
                    }
                    let name = if layer == Layer::Inner {
                        format!("inner.{}", field.name)
                    } else {
                        field.name.to_owned()
                    };
                    let known = values.entry(name).or_default();
                    known.extend(seen.into_iter().take(MOST.saturating_sub(known.len())));
                }
            }
        }
        Palette {
            values: values.into_iter().map(|(name, seen)| (name, seen.into_iter().collect())).collect(),
        }
    }

    /// The values of a field.
    pub fn get(&self, name: &str) -> &[FieldValue] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The fields that some packet has, with their names.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'static Field)> {
        self.values.keys().filter_map(|name| find(name).map(|(field, _)| (name.as_str(), field)))
    }
}

fn collect(field: &Field, layer: Layer, packet: &Packet, head: &Head, seen: &mut Vec<FieldValue>) {
    let number = |value: u64| match field.ty {
        Ty::Ipv4 => FieldValue::V4(value as u32),
        Ty::Mac => FieldValue::Mac(value),
        _ => FieldValue::Num(value),
    };
    let bits = helpers::stack(head, layer).bits;
    match field.source {
        Source::Load(load) => {
            seen.extend(helpers::load(packet, head, &fields::Load { layer, ..load }).map(number))
        }
        Source::Slot { bits: needed, slot, .. } => {
            let value = number(u64::from(slot.get(helpers::stack(head, layer))));
            seen.extend((bits & needed == needed).then_some(value));
        }
        Source::Ipv6 { bits, slot, at, .. } => {
            let address = Address { layer, bits, slot, at };
            seen.extend(helpers::address(packet, head, &address).map(FieldValue::V6));
        }
        // Whoever tracks flows says more of a packet than its bytes do.
        Source::Flow { .. } => {
            let there = bits & mrule_compiler::abi::bit::NET != 0;
            seen.extend(NUMBERS.iter().filter(|_| there).map(|value| number(*value)));
        }
        Source::Facet(facet) if facet.is_number() => seen.extend(NUMBERS.iter().map(|value| number(*value))),
        Source::Facet(_) => seen.extend(TEXTS.iter().map(|text| FieldValue::Bytes(text.as_bytes().to_vec()))),
        Source::Sided(sides) => {
            for (part, _) in sides.iter().filter_map(|(name, _)| find(name)) {
                collect(part, layer, packet, head, seen);
            }
        }
        Source::Any(names) | Source::Either(names) => {
            for (part, _) in names.iter().filter_map(|name| find(name)) {
                collect(part, layer, packet, head, seen);
            }
        }
        Source::Tag { tags, at, width, shift, mask } => {
            let part = TagPart { layer, tags, at, width, shift, mask };
            debug_assert!(matches!(tags, Tags::Vlan | Tags::Mpls));
            helpers::tags_any(packet, head, &part, |value| {
                seen.push(number(value));
                false
            });
        }
        Source::FrameLen => seen.push(FieldValue::Num(u64::from(packet.len))),
        Source::FrameCapLen => seen.push(FieldValue::Num(u64::from(packet.cap_len()))),
        Source::Bytes(source) => {
            let bytes = helpers::bytes(packet, head, &Bytes { layer, source, slice: None });
            seen.extend(bytes.map(|b| FieldValue::Bytes(b[..b.len().min(160)].to_vec())));
        }
        Source::Protocol { bits: needed, header } => {
            let part =
                header.map(|proto| Bytes { layer, source: fields::BytesSource::Header(proto), slice: None });
            let bytes = part.and_then(|part| helpers::bytes(packet, head, &part));
            let there = bits & needed == needed;
            seen.extend(there.then(|| bytes.map_or(FieldValue::There, |b| FieldValue::Bytes(b.to_vec()))));
        }
        Source::TcpOption { kind } => {
            let option = helpers::tcp_option(packet, head, TcpOption { layer, kind, at: 0, width: 0 });
            seen.extend(option.map(|_| FieldValue::There));
        }
        Source::TcpOptionValue { kind, at, width } => {
            seen.extend(helpers::tcp_option(packet, head, TcpOption { layer, kind, at, width }).map(number));
        }
        Source::Hash(Hash::Packet) => seen.push(FieldValue::Num(helpers::packet_hash(packet))),
        Source::Hash(Hash::Flow) => seen.extend(helpers::flow_hash(packet, head).map(FieldValue::Num)),
    }
}
