//! GRE, VXLAN and GENEVE: the place of their header, and its content. The invariant: a tunnel's
//! presence bit promises its fixed header. The inner packet is returned, to be read into its own
//! `Stack`; this module never reads it, so a frame full of tunnels costs two packets. (Rejected:
//! other tunnels by port, such as GTP or Teredo, whose ports prove too little.)

use super::ethertype::{ARP, IP4, IP6, MPLS, MPLS_MULTICAST};
use super::{Content, Rest, be16};
use crate::abi::{Stack, bit};

/// UDP destination ports (IANA).
pub(super) const VXLAN_PORT: u16 = 4789;
pub(super) const GENEVE_PORT: u16 = 6081;

/// Transparent Ethernet bridging (RFC 1701): an Ethernet frame.
const BRIDGED: u16 = 0x6558;

/// GRE (RFC 2784, RFC 2890).
pub(super) fn gre(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    let header = rest.peek::<4>()?;
    stack.bits |= bit::GRE;
    stack.tunnel = rest.here();
    let flags = be16(header[0], header[1]);
    if flags & (VERSION | ROUTING) != 0 {
        return None;
    }
    let options = [CHECKSUM, KEY, SEQUENCE].iter().filter(|&flag| flags & flag != 0).count();
    rest.skip(4 + 4 * options);
    match be16(header[2], header[3]) {
        kind @ (BRIDGED | IP4 | IP6 | ARP | MPLS | MPLS_MULTICAST) => typed(kind, rest),
        _ => None,
    }
}

/// The tunnel of a UDP destination port.
#[inline(never)]
pub(super) fn over_udp(port: u16, rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    match port {
        VXLAN_PORT => vxlan(rest, stack),
        GENEVE_PORT => geneve(rest, stack),
        _ => None,
    }
}

/// VXLAN (RFC 7348, 5).
fn vxlan(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const VALID_VNI: u8 = 0x08;
    let header = rest.peek::<8>()?;
    if header[0] & VALID_VNI == 0 {
        return None;
    }
    stack.bits |= bit::VXLAN;
    stack.tunnel = rest.here();
    rest.skip(8);
    Some(Content::Ethernet)
}

/// GENEVE (RFC 8926, 3.4).
fn geneve(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const VERSION_0: u8 = 0;
    let header = rest.peek::<8>()?;
    if header[0] >> 6 != VERSION_0 {
        return None;
    }
    stack.bits |= bit::GENEVE;
    stack.tunnel = rest.here();
    rest.skip(8 + usize::from(header[0] & 0x3f) * 4);
    typed(be16(header[2], header[3]), rest)
}

fn typed(kind: u16, rest: &Rest) -> Option<Content> {
    let content = if kind == BRIDGED { Content::Ethernet } else { Content::Type(kind) };
    (rest.at <= rest.frame.len()).then_some(content)
}
