//! From a frame's bytes to the offsets that both engines load from. It is in the compiler and not
//! in the runtime: native code skips it for simple programs and calls it for every other packet, so
//! it is part of the language's meaning. That meaning is Wireshark's unless the language says
//! otherwise. The invariant (V2): a presence bit is set only after the bytes that it promises were
//! seen within the captured frame, and within the lengths of the enclosing headers. Total on any
//! bytes: no panic, no allocation, and every loop has a bounded count. One pass per packet, at most
//! two per frame: the outer packet, and the packet in its first tunnel. (Rejected: header structs
//! or an iterator over layers, which cost a copy or a dispatch per layer and still leave the order
//! of checks to each caller.)

mod link;
mod net;
mod shim;
mod transport;
mod tunnel;
mod unparsed;

pub use tunnel::PORTS as TUNNEL_PORTS;
pub use unparsed::{Family, Unparsed, unparsed};

use crate::abi::{Head, Link, Packet, Stack, bit};

/// The greatest number of VLAN tags, MPLS labels or extension headers that are read. The bytes
/// after more of them are not read, and `UNPARSED` is set.
pub const MAX_NESTING: u32 = 64;

/// The Ethernet types whose header is read, besides IP, ARP and VLAN tags.
pub const SHIMS: &[u16] = shim::TYPES;

/// IP protocols that carry a packet which is read as `inner`.
pub const TUNNELS: &[u8] = &[4, 41, 47, 97, 137, 143];

/// Finds a packet's headers.
pub fn dissect(packet: &Packet) -> Head {
    let mut head = Head::default();
    dissect_into(packet, &mut head);
    head
}

/// Finds a packet's headers; overwrites the whole of `head`.
pub fn dissect_into(packet: &Packet, head: &mut Head) {
    *head = Head::default();
    let frame = packet.frame();
    let mut rest = Rest { frame, at: 0, end: frame.len().max(packet.len as usize), partial: false };
    let content = match packet.link() {
        Link::Ethernet => Content::Ethernet,
        Link::RawIp => Content::Ip,
        Link::LinuxSll => Content::Cooked,
        Link::LinuxSll2 => Content::Cooked2,
        Link::Null => Content::Loopback,
    };
    if let Some(content) = read(content, &mut rest, &mut head.outer) {
        enter(content, rest, head);
    }
}

/// Ethernet types.
mod ethertype {
    pub const IP4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const RARP: u16 = 0x8035;
    pub const VLAN: u16 = 0x8100;
    pub const IP6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_SESSION: u16 = 0x8864;
    pub const QINQ: u16 = 0x88a8;
    pub const QINQ_OLD: u16 = 0x9100;
}

/// The type of the next bytes, according to the previous header.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// An Ethernet frame.
    Ethernet,
    /// Linux cooked capture v1.
    Cooked,
    /// Linux cooked capture v2.
    Cooked2,
    /// BSD loopback.
    Loopback,
    /// The content of this Ethernet type.
    Type(u16),
    /// IPv4 or IPv6, by the version in its first byte.
    Ip,
    /// PPP, with or without its address and control bytes.
    Ppp,
}

/// The network packet that a link layer carries.
#[derive(Debug, Clone, Copy)]
enum Network {
    Ip4,
    Ip6,
    Arp,
    Opaque,
}

/// Reads a packet, from its link header (if any) through its transport header. Returns the content
/// of a tunnel, which begins at `rest`. After inlining, the common path is one function, so that
/// `rest` stays in registers.
#[inline(always)]
fn read(content: Content, rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    let protocol = match link::read(content, rest, stack) {
        Network::Ip4 => net::ipv4(rest, stack)?,
        Network::Ip6 => net::ipv6(rest, stack)?,
        Network::Arp => {
            net::arp(rest, stack);
            return None;
        }
        Network::Opaque => return None,
    };
    transport::read(protocol, rest, stack)
}

/// Reads the packet in a tunnel. `UNPARSED` speaks of the frame, so it moves to the outer packet;
/// what is not read stays in the inner packet's `proto`.
#[cold]
fn enter(content: Content, mut rest: Rest, head: &mut Head) {
    read(content, &mut rest, &mut head.inner);
    head.outer.bits |= head.inner.bits & bit::UNPARSED;
    head.inner.bits &= !bit::UNPARSED;
}

/// The bytes that are not yet read.
#[derive(Debug, Clone, Copy)]
struct Rest<'a> {
    /// The captured bytes, from the start of the frame up to `end`.
    frame: &'a [u8],
    /// The offset of the next header.
    at: usize,
    /// The end of the enclosing packet on the wire: `frame.len() <= end`.
    end: usize,
    /// The packet is a first fragment: lengths that a transport header implies are not known.
    partial: bool,
}

impl<'a> Rest<'a> {
    /// The next `N` bytes, if all of them were captured.
    #[inline(always)]
    fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.frame.get(self.at..)?.first_chunk()
    }

    /// Advances by `n` bytes.
    #[inline(always)]
    fn skip(&mut self, n: usize) {
        self.at = self.at.saturating_add(n);
    }

    /// Limits the rest to the next `n` bytes.
    #[inline(always)]
    fn take(&mut self, n: usize) {
        self.end = self.end.min(self.at.saturating_add(n));
        self.frame = self.frame.get(..self.end).unwrap_or(self.frame);
    }

    /// How many bytes are left, on the wire.
    #[inline(always)]
    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// The end of a header of `n` bytes, whether or not all of it was captured. If the header is
    /// longer than the rest of the packet, its declared length is wrong: the result is its start.
    #[inline(always)]
    fn behind(&self, n: usize) -> u32 {
        (if n <= self.left() { self.at + n } else { self.at.min(self.end) }) as u32
    }

    /// The end of the captured bytes.
    #[inline(always)]
    fn captured_end(&self) -> u32 {
        self.frame.len() as u32
    }

    /// The offset of the next header, as a slot.
    #[inline(always)]
    fn here(&self) -> u32 {
        self.at as u32
    }
}

/// Big-endian 16 bits.
#[inline(always)]
fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}
