//! The names of values, found in the field table by their source; `has(...)` for values without a
//! name. The invariant: a value of a row has the row's name; an end of a flow has the flow's name.
//! (Rejected: a second list of names.)

use crate::abi::bit;
use crate::fields::{BytesSource, FIELDS, Facet, Field, FlowSlot, Layer, Load, Slot, Source, Ty};
use crate::hir::{Address, Bytes, Slice, TagPart, TcpOption};

/// The bits of the direction of a packet in its flow.
const DIRECTION: u64 = bit::FROM_CLIENT | bit::FROM_SERVER;

pub(super) fn layered(layer: Layer, name: &str) -> String {
    match layer {
        Layer::Outer => name.to_owned(),
        Layer::Inner => format!("inner.{name}"),
    }
}

/// The field of a load, whatever the packet's direction.
pub(super) fn load_field(load: &Load) -> Option<(&'static Field, Layer)> {
    let outer = Load { layer: Layer::Outer, bits: load.bits & !DIRECTION, ..*load };
    let field = FIELDS.iter().find(|f| matches!(f.source, Source::Load(l) if l == outer))?;
    Some((field, load.layer))
}

/// The name of the flow's end that a field has in a packet of this direction.
fn end_of_flow(field: &Field, bits: u64) -> Option<&'static str> {
    let direction = bits & DIRECTION;
    let side = |f: &&Field| match f.source {
        Source::Sided(sides) => sides.contains(&(field.name, direction)),
        _ => false,
    };
    if direction == 0 { None } else { FIELDS.iter().find(side).map(|f| f.name) }
}

/// The name of a load.
pub(super) fn load_name(load: &Load) -> Option<(&'static str, Layer)> {
    let (field, layer) = load_field(load)?;
    Some((end_of_flow(field, load.bits).unwrap_or(field.name), layer))
}

pub(super) fn slot_name(bits: u64, slot: Slot) -> &'static str {
    let same = |source| matches!(source, Source::Slot { bits: b, slot: s, .. } if b == bits && s == slot);
    FIELDS.iter().find(|f| same(f.source)).map_or("?", |f| f.name)
}

/// The name of an address.
pub(crate) fn address_name(address: &Address) -> String {
    let same =
        |source| matches!(source, Source::Ipv6 { slot, at, .. } if slot == address.slot && at == address.at);
    let field = FIELDS.iter().find(|f| same(f.source));
    let name = field.map_or("?", |f| end_of_flow(f, address.bits).unwrap_or(f.name));
    layered(address.layer, name)
}

/// The name of a tag's part.
pub(crate) fn tag_name(part: &TagPart) -> String {
    let name = FIELDS.iter().find(|f| match f.source {
        Source::Tag { tags, at, width, shift, mask } => {
            (tags, at, width, shift, mask) == (part.tags, part.at, part.width, part.shift, part.mask)
        }
        _ => false,
    });
    layered(part.layer, name.map_or("?", |f| f.name))
}

/// The name of a TCP option, or of its value.
pub(crate) fn option_name(option: &TcpOption) -> String {
    let name = FIELDS.iter().find(|f| match f.source {
        Source::TcpOption { kind } => kind == option.kind && option.width == 0,
        Source::TcpOptionValue { kind, at, width } => {
            (kind, at, width) == (option.kind, option.at, option.width)
        }
        _ => false,
    });
    match name {
        Some(field) => layered(option.layer, field.name),
        None => format!("tcp.option({}, {}, {})", option.kind, option.at, option.width),
    }
}

/// The name of a byte string. A search and a slice of a protocol read different bytes; both have
/// one name.
pub(crate) fn bytes_name(bytes: &Bytes) -> String {
    let name = FIELDS.iter().find(|f| match (f.source, bytes.source) {
        (Source::Bytes(mine), theirs) => mine == theirs,
        (
            Source::Protocol { header: Some(mine), .. },
            BytesSource::Header(proto) | BytesSource::From(proto),
        ) => mine == proto,
        _ => false,
    });
    let name = layered(bytes.layer, name.map_or("?", |f| f.name));
    match bytes.slice {
        None => name,
        Some(Slice::OffsetLength(offset, length)) => format!("{name}[{offset}:{length}]"),
        Some(Slice::FirstLast(first, last)) => format!("{name}[{first}-{last}]"),
        Some(Slice::From(offset)) => format!("{name}[{offset}:]"),
        Some(Slice::To(length)) => format!("{name}[:{length}]"),
        Some(Slice::At(offset)) => format!("{name}[{offset}]"),
    }
}

/// Presence bits as the names of protocols, and `has(...)` for bits without a protocol.
pub(crate) fn presence(layer: Layer, bits: u64) -> String {
    let each = (0..64).map(|i| 1u64 << i).filter(|one| bits & one != 0);
    let names: Vec<String> = each.map(|one| bit_name(layer, one)).collect();
    names.join(" and ")
}

fn bit_name(layer: Layer, one: u64) -> String {
    let protocol = FIELDS
        .iter()
        .find(|f| f.ty == Ty::Protocol && matches!(f.source, Source::Protocol { bits, .. } if bits == one));
    if let Some(field) = protocol {
        return layered(layer, field.name);
    }
    let name = match one {
        bit::ETH_TYPE => "eth.type",
        bit::ARP_HDR => "arp header",
        bit::ARP_ADDR => "arp addresses",
        bit::IP_VERSION => "ip.version",
        bit::IP_IHL => "ip.hdr_len",
        bit::IP_LEN => "ip.len",
        bit::IP_HDR => "ip header",
        bit::IP6_HDR => "ipv6 header",
        bit::NET => "net",
        bit::FRAGMENT => "fragment",
        bit::ICMP_HDR => "icmp.type",
        bit::ICMP6_HDR => "icmpv6.type",
        bit::TCP_PORTS => "tcp.port",
        bit::TCP_SEQ => "tcp.seq_raw",
        bit::TCP_FLAGS => "tcp.flags",
        bit::TCP_HDR => "tcp header",
        bit::TCP_LEN => "tcp.len",
        bit::TCP_PAYLOAD => "tcp.payload",
        bit::UDP_PORTS => "udp.port",
        bit::UDP_HDR => "udp header",
        bit::UDP_PAYLOAD => "udp.payload",
        bit::SCTP_PORTS => "sctp.port",
        bit::PORTS => "l4.port",
        bit::PAYLOAD => "l4.payload",
        bit::VLAN_ETYPE => "vlan.etype",
        bit::FLOW => "flow",
        bit::FROM_CLIENT => "flow from the client",
        bit::FROM_SERVER => "flow from the server",
        bit::STREAM => "stream.offset",
        bit::ISN => "tcp.isn",
        _ => return format!("has(bit {})", one.trailing_zeros()),
    };
    format!("has({})", layered(layer, name))
}

/// The row of a number of flows.
pub(super) fn flow_field(slot: FlowSlot) -> Option<&'static Field> {
    FIELDS.iter().find(|f| matches!(f.source, Source::Flow { slot: s, .. } if s == slot))
}

/// The name of a number of flows.
pub(super) fn flow_name(slot: FlowSlot) -> String {
    match flow_field(slot) {
        Some(field) => field.name.into(),
        None if slot == FlowSlot::Id => "flow".into(),
        None => format!("stream.{}", format!("{slot:?}").to_lowercase()),
    }
}

/// The name of a message field.
pub(crate) fn facet_name(facet: Facet) -> &'static str {
    FIELDS.iter().find(|f| f.source == Source::Facet(facet)).map_or("?", |f| f.name)
}
