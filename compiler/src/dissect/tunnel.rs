//! Tunnels: the place of their header, and its content. The invariant: a tunnel's presence bit
//! promises its fixed header. The inner packet is returned, to be read into its own `Stack`; this
//! module never reads it, so a frame full of tunnels costs two packets. A known tunnel whose
//! content is not read is `UNPARSED`, unless the content is no packet (an echo, a keep-alive, a key
//! exchange). (Rejected: tunnels on ports that Wireshark does not know either.)

use super::ethertype::{ARP, IP4, IP6, MPLS, MPLS_MULTICAST};
use super::{Content, Rest, be16};
use crate::abi::{Stack, bit};

const LAYER2_TUNNELING: u16 = 1701;
const GTP: u16 = 2152;
const MULTICAST_TUNNELING: u16 = 2268;
const TEREDO: u16 = 3544;
const LISP: u16 = 4341;
const ESP: u16 = 4500;
const VXLAN: u16 = 4789;
const VXLAN_GPE: u16 = 4790;
const CAPWAP_DATA: u16 = 5247;
const GENEVE: u16 = 6081;
const MPLS_IN_UDP: u16 = 6635;
const SCTP_IN_UDP: u16 = 9899;
const TZSP: u16 = 37_008;

/// The UDP ports of tunnels. Either end may have them, as in Wireshark.
pub const PORTS: &[u16] = &[
    LAYER2_TUNNELING,
    GTP,
    MULTICAST_TUNNELING,
    TEREDO,
    LISP,
    ESP,
    VXLAN,
    VXLAN_GPE,
    CAPWAP_DATA,
    GENEVE,
    MPLS_IN_UDP,
    SCTP_IN_UDP,
    TZSP,
];

/// Lower ports of other protocols. Whoever talks to them from a tunnel's port is no tunnel: the
/// lower port decides, as in Wireshark.
const OTHERS: &[u16] = &[53, 67, 68, 69, 88, 123, 137, 138, 161, 162, 389, 500, 514, 520, 521, 546, 547];

/// Transparent Ethernet bridging (RFC 1701): an Ethernet frame.
const BRIDGED: u16 = 0x6558;
const NSH: u16 = 0x894f;
const WCCP: u16 = 0x883e;
const ERSPAN: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
const PPP: u16 = 0x880b;

/// The port that decides which tunnel a datagram is.
#[inline(always)]
pub(super) fn port(source: u16, destination: u16) -> Option<u16> {
    let (low, high) = (source.min(destination), source.max(destination));
    if high < LAYER2_TUNNELING {
        return None;
    }
    [low, high].into_iter().find(|port| PORTS.contains(port)).filter(|_| !OTHERS.contains(&low))
}

/// A tunnel whose content is not read.
#[cold]
fn refuse(stack: &mut Stack) -> Option<Content> {
    stack.bits |= bit::UNPARSED;
    None
}

/// Skips `n` bytes, if they were captured.
fn skip(n: usize, rest: &mut Rest) -> Option<()> {
    rest.skip(n);
    (rest.at <= rest.frame.len()).then_some(())
}

/// IPv4 or IPv6 by the version; anything else is not read.
fn by_version(rest: &Rest, stack: &mut Stack) -> Option<Content> {
    match rest.peek::<1>()?[0] >> 4 {
        4 | 6 => Some(Content::Ip),
        _ => refuse(stack),
    }
}

/// GRE (RFC 2784, RFC 2890; version 1: RFC 2637, 4.1).
pub(super) fn gre(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;
    const VERSION: u16 = 0x0007;
    const KEEPALIVE: u16 = 0;
    const RESOLUTION: u16 = 0x2001;
    const OSI: u16 = 0x00fe;
    let header = rest.peek::<4>()?;
    stack.bits |= bit::GRE;
    stack.tunnel = rest.here();
    let (flags, kind) = (be16(header[0], header[1]), be16(header[2], header[3]));
    let point_to_point = flags & VERSION == 1 && kind == PPP;
    if flags & ROUTING != 0 || flags & VERSION != 0 && !point_to_point {
        return refuse(stack);
    }
    let fields: &[u16] =
        if point_to_point { &[KEY, SEQUENCE, ACKNOWLEDGMENT] } else { &[CHECKSUM, KEY, SEQUENCE] };
    rest.skip(4 + 4 * fields.iter().filter(|&field| flags & field != 0).count());
    match kind {
        BRIDGED | IP4 | IP6 | ARP | MPLS | MPLS_MULTICAST | NSH => typed(kind, rest),
        // An acknowledgment alone carries nothing.
        PPP if point_to_point && flags & SEQUENCE == 0 => None,
        PPP => Some(Content::Ppp),
        // Type I has neither a sequence number nor a header (draft-foschiano-erspan).
        ERSPAN if flags & SEQUENCE == 0 => typed(BRIDGED, rest),
        ERSPAN | ERSPAN_3 => erspan(rest, stack),
        WCCP => {
            // Version 2 of the protocol has a redirect header.
            if rest.peek::<1>()?[0] >> 4 != 4 {
                skip(4, rest)?;
            }
            typed(IP4, rest)
        }
        KEEPALIVE | RESOLUTION | OSI => None,
        _ => refuse(stack),
    }
}

/// ERSPAN (draft-foschiano-erspan): type II has 8 bytes; type III has 12, and 8 more with its last
/// bit, and may carry other frames than Ethernet.
fn erspan(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const FRAME_TYPE: u8 = 0x7c;
    const SUBHEADER: u8 = 0x01;
    match rest.peek::<1>()?[0] >> 4 {
        1 => skip(8, rest)?,
        2 => {
            let header = rest.peek::<12>()?;
            if header[10] & FRAME_TYPE != 0 {
                return refuse(stack);
            }
            skip(if header[11] & SUBHEADER == 0 { 12 } else { 20 }, rest)?;
        }
        _ => return refuse(stack),
    }
    Some(Content::Ethernet)
}

/// Ethernet in IP (RFC 3378).
pub(super) fn etherip(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    match rest.peek::<2>()?[0] >> 4 {
        3 => skip(2, rest).map(|()| Content::Ethernet),
        _ => refuse(stack),
    }
}

/// The tunnel of a UDP port.
#[inline(never)]
pub(super) fn over_udp(port: u16, rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    match port {
        LAYER2_TUNNELING => layer2(rest, stack),
        GTP => gtp(rest, stack),
        TEREDO => teredo(rest, stack),
        LISP => {
            skip(8, rest)?;
            by_version(rest, stack)
        }
        ESP => esp(rest, stack),
        VXLAN => vxlan(rest, stack),
        VXLAN_GPE => vxlan_gpe(rest, stack),
        GENEVE => geneve(rest, stack),
        MPLS_IN_UDP => typed(MPLS, rest),
        TZSP => tzsp(rest, stack),
        _ => refuse(stack),
    }
}

/// VXLAN (RFC 7348, 5). As in Wireshark, the flag that says that the VNI is valid decides nothing.
fn vxlan(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    rest.peek::<8>()?;
    stack.bits |= bit::VXLAN;
    stack.tunnel = rest.here();
    rest.skip(8);
    Some(Content::Ethernet)
}

/// VXLAN with a type (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const HAS_TYPE: u8 = 0x04;
    let header = rest.peek::<8>()?;
    stack.bits |= bit::VXLAN;
    stack.tunnel = rest.here();
    rest.skip(8);
    match (header[0] & HAS_TYPE, header[3]) {
        (HAS_TYPE, 1) => typed(IP4, rest),
        (HAS_TYPE, 2) => typed(IP6, rest),
        (HAS_TYPE, 3) => typed(BRIDGED, rest),
        (HAS_TYPE, 4) => typed(NSH, rest),
        (HAS_TYPE, 5) => typed(MPLS, rest),
        _ => refuse(stack),
    }
}

/// GENEVE (RFC 8926, 3.4).
fn geneve(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const VERSION_0: u8 = 0;
    let header = rest.peek::<8>()?;
    if header[0] >> 6 != VERSION_0 {
        return refuse(stack);
    }
    stack.bits |= bit::GENEVE;
    stack.tunnel = rest.here();
    rest.skip(8 + usize::from(header[0] & 0x3f) * 4);
    typed(be16(header[2], header[3]), rest)
}

/// GTP-U (3GPP TS 29.281, 5): user packets of version 1. Other messages carry none.
fn gtp(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const USER_PACKET: u8 = 0xff;
    const OPTIONAL: u8 = 0x07;
    const EXTENSION: u8 = 0x04;
    let header = rest.peek::<8>()?;
    // Version 1, and not GTP'.
    if header[0] >> 4 != 3 {
        return refuse(stack);
    }
    if header[1] != USER_PACKET {
        return None;
    }
    rest.skip(8);
    rest.take(usize::from(be16(header[2], header[3])));
    if header[0] & OPTIONAL != 0 {
        let mut next = rest.peek::<4>()?[3];
        rest.skip(4);
        // Each has at least 4 bytes; the datagram bounds them.
        while header[0] & EXTENSION != 0 && next != 0 {
            let length = usize::from(rest.peek::<1>()?[0]) * 4;
            if length == 0 {
                return refuse(stack);
            }
            next = *rest.frame.get(rest.at + length - 1)?;
            rest.skip(length);
        }
    }
    // An IPv4 header has at least five words; an Ethernet address can begin with 0x40 to 0x44.
    match rest.peek::<1>()?[0] {
        0x45..=0x4f | 0x60..=0x6f => Some(Content::Ip),
        _ => Some(Content::Ethernet),
    }
}

/// Teredo (RFC 4380, 5.1.1): IPv6 after an authentication and an origin indication.
fn teredo(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    if let &[0, 1, id, value] = rest.peek()? {
        skip(4 + usize::from(id) + usize::from(value) + 9, rest)?;
    }
    if let [0, 0] = rest.peek()? {
        skip(8, rest)?;
    }
    match rest.peek()? {
        [0x60..=0x6f] => Some(Content::Ip),
        _ => refuse(stack),
    }
}

/// ESP, a key exchange behind four zeros, or a keep-alive (RFC 3948, 2).
fn esp(rest: &Rest, stack: &mut Stack) -> Option<Content> {
    if *rest.peek::<4>()? != [0; 4] {
        stack.bits |= bit::ESP;
    }
    None
}

/// L2TP version 2 (RFC 2661, 3.1): data messages carry PPP. In version 3, only the ends know what
/// they carry.
fn layer2(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    let flags = u16::from_be_bytes(*rest.peek()?);
    if flags & CONTROL != 0 {
        return None;
    }
    if flags & 0xf != 2 {
        return refuse(stack);
    }
    skip(if flags & LENGTH == 0 { 6 } else { 8 }, rest)?;
    if flags & SEQUENCE != 0 {
        skip(4, rest)?;
    }
    if flags & OFFSET != 0 {
        let pad = u16::from_be_bytes(*rest.peek()?);
        skip(2 + usize::from(pad), rest)?;
    }
    Some(Content::Ppp)
}

/// TaZmen sniffer protocol: tags up to an end tag, then the frame.
fn tzsp(rest: &mut Rest, stack: &mut Stack) -> Option<Content> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let &[version, kind, high, low] = rest.peek()?;
    // Received packets and packets to send have content.
    if version != 1 || kind > 1 {
        return None;
    }
    rest.skip(4);
    // The datagram bounds them.
    loop {
        match rest.peek::<1>()?[0] {
            PADDING => rest.skip(1),
            END => break,
            _ => {
                let &[_, length] = rest.peek()?;
                rest.skip(2 + usize::from(length));
            }
        }
    }
    rest.skip(1);
    if be16(high, low) == 1 { typed(BRIDGED, rest) } else { refuse(stack) }
}

fn typed(kind: u16, rest: &Rest) -> Option<Content> {
    let content = if kind == BRIDGED { Content::Ethernet } else { Content::Type(kind) };
    (rest.at <= rest.frame.len()).then_some(content)
}
