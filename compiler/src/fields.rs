//! The field table: a row has the name of a field, its type, the place of its bytes and a line of
//! documentation. Name lookup and "did you mean", type rules, both engines' loads, `mirrorc
//! fields`, the docs page and the random program generator derive from it. A field whose bytes a
//! presence bit promises needs only a row in `table`. Outside of the table stands only which
//! numbers are shown in hexadecimal (`HEX` in `render/value.rs`). The invariant (V3): a field's
//! bytes lie within the bytes its presence bit promises; the const loop at the end fails the build
//! otherwise. (Rejected: registration at start-up, and one accessor function per field, which the
//! JIT could not read.)

use crate::abi::{Stack, bit};
use std::mem::offset_of;

mod flow;
mod table;
pub use flow::{App, Facet, FlowSlot};
pub use table::FIELDS;

/// The packet of a field: the outer or the inner packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The outermost IP packet and its link headers.
    Outer,
    /// The packet inside the first tunnel.
    Inner,
}

/// A number of a [`Stack`]: an offset that loads start from, or a value by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// [`Stack::l2`]
    L2,
    /// [`Stack::l3`]
    L3,
    /// [`Stack::l4`]
    L4,
    /// [`Stack::payload`]
    Payload,
    /// [`Stack::payload_end`]
    PayloadEnd,
    /// [`Stack::headers_end`]
    HeadersEnd,
    /// [`Stack::l3_end`]
    L3End,
    /// [`Stack::proto`]
    Proto,
    /// [`Stack::tcp_len`]
    TcpLen,
    /// [`Stack::vlan`]
    Vlan,
    /// [`Stack::vlans`]
    Vlans,
    /// [`Stack::mpls`]
    Mpls,
    /// [`Stack::labels`]
    Labels,
    /// [`Stack::tunnel`]
    Tunnel,
}

impl Slot {
    /// Reads the slot.
    pub fn get(self, stack: &Stack) -> u32 {
        match self {
            Slot::L2 => stack.l2,
            Slot::L3 => stack.l3,
            Slot::L4 => stack.l4,
            Slot::Payload => stack.payload,
            Slot::PayloadEnd => stack.payload_end,
            Slot::HeadersEnd => stack.headers_end,
            Slot::L3End => stack.l3_end,
            Slot::Proto => stack.proto,
            Slot::TcpLen => stack.tcp_len,
            Slot::Vlan => stack.vlan,
            Slot::Vlans => stack.vlans,
            Slot::Mpls => stack.mpls,
            Slot::Labels => stack.labels,
            Slot::Tunnel => stack.tunnel,
        }
    }

    /// Its offset in a [`Stack`], for generated code.
    pub fn offset(self) -> i32 {
        (match self {
            Slot::L2 => offset_of!(Stack, l2),
            Slot::L3 => offset_of!(Stack, l3),
            Slot::L4 => offset_of!(Stack, l4),
            Slot::Payload => offset_of!(Stack, payload),
            Slot::PayloadEnd => offset_of!(Stack, payload_end),
            Slot::HeadersEnd => offset_of!(Stack, headers_end),
            Slot::L3End => offset_of!(Stack, l3_end),
            Slot::Proto => offset_of!(Stack, proto),
            Slot::TcpLen => offset_of!(Stack, tcp_len),
            Slot::Vlan => offset_of!(Stack, vlan),
            Slot::Vlans => offset_of!(Stack, vlans),
            Slot::Mpls => offset_of!(Stack, mpls),
            Slot::Labels => offset_of!(Stack, labels),
            Slot::Tunnel => offset_of!(Stack, tunnel),
        }) as i32
    }
}

/// The type of a field. Users see the text of [`Ty::describe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ty {
    /// A flag: compared with 0, 1, true, false.
    Bool,
    /// An unsigned number of this many bits.
    Uint(u8),
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A MAC address.
    Mac,
    /// Bytes.
    Bytes,
    /// Text.
    String,
    /// A protocol: its name alone tests presence; its bytes can be sliced and searched.
    Protocol,
    /// A time span, in nanoseconds.
    Duration,
    /// An application protocol, one of [`App::NAMES`]; its value is the place in that list.
    App,
}

impl Ty {
    /// A description in the user's terms.
    pub fn describe(self) -> String {
        match self {
            Ty::Bool => "a flag (0 or 1)".into(),
            Ty::Uint(bits) => format!("a number from 0 to {}", max_of(bits)),
            Ty::Ipv4 => "an IPv4 address".into(),
            Ty::Ipv6 => "an IPv6 address".into(),
            Ty::Ip => "an IP address".into(),
            Ty::Mac => "a MAC address".into(),
            Ty::Bytes => "bytes".into(),
            Ty::String => "text".into(),
            Ty::Protocol => "a protocol".into(),
            Ty::Duration => "a duration".into(),
            Ty::App => "an application such as http or tls".into(),
        }
    }
}

/// The largest number of this many bits.
pub const fn max_of(bits: u8) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// A number in a header: big-endian bytes `at..at+width` from `slot`, shifted by `shift`, then
/// masked. The load is allowed only if all of `bits` are present (V2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Load {
    /// The outer or the inner packet.
    pub layer: Layer,
    /// The presence bits that must all be set.
    pub bits: u64,
    /// The slot from which `at` counts.
    pub slot: Slot,
    /// First byte.
    pub at: u16,
    /// 1, 2, 4 or 8 bytes.
    pub width: u8,
    /// Right shift after the load; below zero, left.
    pub shift: i8,
    /// Mask after the shift.
    pub mask: u64,
}

/// A protocol whose header can be sliced and searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proto {
    /// Ethernet
    Eth,
    /// IPv4
    Ip,
    /// IPv6
    Ip6,
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// ICMP
    Icmp,
    /// ICMPv6
    Icmp6,
}

/// Bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BytesSource {
    /// The captured frame.
    Frame,
    /// A protocol's header with its options (the bytes of a slice, as in Wireshark).
    Header(Proto),
    /// A protocol's header and all bytes after it in its packet (the bytes of `contains` and
    /// `matches`, as in Wireshark).
    From(Proto),
    /// `tcp.payload`
    TcpPayload,
    /// `udp.payload`
    UdpPayload,
    /// `l4.payload`
    Payload,
    /// `frame.interface_name`
    InterfaceName,
}

/// A kind of repeated tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tags {
    /// VLAN tags: 4 bytes, TCI then the next type.
    Vlan,
    /// MPLS label entries: 4 bytes.
    Mpls,
}

/// A kind of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// `packet.hash`
    Packet,
    /// `flow.hash`
    Flow,
}

/// The source of a field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// A number (or flag, IPv4 address, MAC) in a header.
    Load(Load),
    /// A slot's own value, if the bits are present.
    Slot {
        /// The outer or the inner packet.
        layer: Layer,
        /// The presence bits.
        bits: u64,
        /// The slot.
        slot: Slot,
    },
    /// 16 bytes at `slot + at`: an IPv6 address.
    Ipv6 {
        /// The outer or the inner packet.
        layer: Layer,
        /// The presence bits.
        bits: u64,
        /// The slot from which `at` counts.
        slot: Slot,
        /// First byte.
        at: u16,
    },
    /// Stands for several fields: a comparison holds if it holds for any of them.
    Any(&'static [&'static str]),
    /// The field that the packet has, of several (it has at most one).
    Either(&'static [&'static str]),
    /// A part of each of a run of tags: bytes `at..at+width` of the tag, shifted, masked.
    Tag {
        /// The kind of tags.
        tags: Tags,
        /// First byte in the tag.
        at: u16,
        /// 1, 2 or 4 bytes.
        width: u8,
        /// Right shift.
        shift: u8,
        /// Mask after the shift.
        mask: u64,
    },
    /// `frame.len`
    FrameLen,
    /// `frame.cap_len`
    FrameCapLen,
    /// Bytes.
    Bytes(BytesSource),
    /// A protocol: present if all bits are. It has bytes if its header can be sliced.
    Protocol {
        /// The presence bits.
        bits: u64,
        /// Its header's bytes.
        header: Option<Proto>,
    },
    /// Presence of a TCP option.
    TcpOption {
        /// Its kind.
        kind: u8,
    },
    /// A number in a TCP option: big-endian bytes `at..at+width` from its kind byte.
    TcpOptionValue {
        /// Its kind.
        kind: u8,
        /// First byte, from the kind byte.
        at: u8,
        /// 1, 2 or 4 bytes.
        width: u8,
    },
    /// A hash of the packet or its flow key.
    Hash(Hash),
    /// A number of the packet's flow, if the bits are present in the outer stack.
    Flow {
        /// The presence bits.
        bits: u64,
        /// Which number.
        slot: FlowSlot,
    },
    /// The field that the packet has, of several, each only if its bits (the direction) are also
    /// present.
    Sided(&'static [(&'static str, u64)]),
    /// A field of an application's message. A packet that completes several messages has several
    /// values.
    Facet(Facet),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Ty,
    /// The source of its value.
    pub source: Source,
    /// One line: its meaning, its unit, its RFC.
    pub doc: &'static str,
    /// Whether it is Wireshark's field of this name.
    pub wireshark: bool,
}

/// Finds a field by its name. `inner.` before the name of a header field gives that field of the
/// packet inside the first tunnel.
pub fn find(name: &str) -> Option<(&'static Field, Layer)> {
    let (base, layer) = match name.strip_prefix("inner.") {
        Some(base) => (base, Layer::Inner),
        None => (name, Layer::Outer),
    };
    let field = FIELDS.iter().find(|f| f.name == base)?;
    (layer == Layer::Outer || field.has_inner()).then_some((field, layer))
}

impl Field {
    /// Whether `inner.` may precede it.
    pub fn has_inner(&self) -> bool {
        match self.source {
            Source::FrameLen | Source::FrameCapLen | Source::Hash(_) => false,
            Source::Flow { .. } | Source::Sided(_) | Source::Facet(_) => false,
            Source::Bytes(b) => !matches!(b, BytesSource::Frame | BytesSource::InterfaceName),
            Source::Protocol { bits, .. } => bits != 0 && bits != bit::UNPARSED,
            _ => true,
        }
    }

    /// Whether it has several values, so that comparisons mean "any".
    pub fn is_many(&self) -> bool {
        matches!(self.source, Source::Any(_) | Source::Tag { .. } | Source::Facet(_))
    }
}

/// How many bytes from its slot a presence bit promises (rule V2 in the head of [`crate::abi`]).
pub const fn promised(bits: u64, slot: Slot) -> u16 {
    let rows: &[(u64, Slot, u16)] = &[
        (bit::ETH, Slot::L2, 14),
        (bit::ARP_HDR, Slot::L3, 8),
        (bit::ARP_ADDR, Slot::L3, 28),
        (bit::IP_VERSION, Slot::L3, 1),
        (bit::IP_IHL, Slot::L3, 1),
        (bit::IP_LEN, Slot::L3, 4),
        (bit::IP_HDR, Slot::L3, 20),
        (bit::IP6_HDR, Slot::L3, 40),
        (bit::NET, Slot::L3, 20),
        (bit::ICMP_HDR, Slot::L4, 2),
        (bit::ICMP6_HDR, Slot::L4, 2),
        (bit::TCP_PORTS, Slot::L4, 4),
        (bit::TCP_SEQ, Slot::L4, 16),
        (bit::TCP_FLAGS, Slot::L4, 16),
        (bit::TCP_HDR, Slot::L4, 20),
        (bit::UDP_PORTS, Slot::L4, 4),
        (bit::UDP_HDR, Slot::L4, 8),
        (bit::SCTP_PORTS, Slot::L4, 4),
        (bit::PORTS, Slot::L4, 4),
        (bit::GRE, Slot::Tunnel, 4),
        (bit::VXLAN, Slot::Tunnel, 8),
        (bit::GENEVE, Slot::Tunnel, 8),
    ];
    let mut i = 0;
    let mut most = 0;
    while i < rows.len() {
        if bits & rows[i].0 != 0 && slot as u8 == rows[i].1 as u8 && rows[i].2 > most {
            most = rows[i].2;
        }
        i += 1;
    }
    most
}

const _: () = {
    let mut i = 0;
    while i < FIELDS.len() {
        match FIELDS[i].source {
            Source::Load(l) => {
                assert!(l.at + l.width as u16 <= promised(l.bits, l.slot), "a field reads past its header");
                assert!(matches!(l.width, 1 | 2 | 4 | 8));
            }
            Source::Ipv6 { bits, slot, at, .. } => assert!(at + 16 <= promised(bits, slot)),
            Source::Tag { at, width, .. } => assert!(at + width as u16 <= 4),
            _ => {}
        }
        i += 1;
    }
};
