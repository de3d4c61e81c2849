//! The headers between a link header and IP that have an Ethernet type of their own: tags of
//! switches, MPLS with pseudowires, PPPoE, backbone bridges, overlays. The invariant: a header is
//! skipped only if its bytes were captured, and what follows is what Wireshark 4.0 looks for.
//! (Rejected: reading what Wireshark leaves alone, such as Ethernet in MPLS without a control word
//! whose first half byte is not 0; a filter would mean something else here.)

use super::link::llc;
use super::unparsed::{Family, is_leaf, number};
use super::{MAX_NESTING, Rest, be16, ethertype};
use crate::abi::{Stack, bit};

/// What follows a header.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// The content of this Ethernet type; smaller numbers are 802.3 lengths.
    Type(u16),
    /// A MAC header.
    Mac,
    /// A type that is not read.
    Unread(Family, u16),
    /// Nothing: the header is cut, or no packet follows it.
    Cut,
}

/// Ethernet types of headers that are read here.
mod types {
    pub const TRILL: u16 = 0x22f3;
    pub const BATMAN: u16 = 0x4305;
    pub const BRIDGED: u16 = 0x6558;
    pub const LONG_LLC: u16 = 0x8870;
    pub const MACSEC: u16 = 0x88e5;
    pub const BACKBONE: u16 = 0x88e7;
    pub const FABRICPATH: u16 = 0x8903;
    pub const CISCO_METADATA: u16 = 0x8909;
    pub const VN_TAG: u16 = 0x8926;
    pub const HSR: u16 = 0x892f;
    pub const E_TAG: u16 = 0x893f;
    pub const NSH: u16 = 0x894f;
    pub const TIME_TAG: u16 = 0x8988;
    pub const R_TAG: u16 = 0xf1c1;
}

/// All of them.
pub(super) const TYPES: &[u16] = &[
    ethertype::MPLS,
    ethertype::MPLS_MULTICAST,
    ethertype::PPPOE_SESSION,
    types::TRILL,
    types::BATMAN,
    types::BRIDGED,
    types::LONG_LLC,
    types::MACSEC,
    types::BACKBONE,
    types::FABRICPATH,
    types::CISCO_METADATA,
    types::VN_TAG,
    types::HSR,
    types::E_TAG,
    types::NSH,
    types::TIME_TAG,
    types::R_TAG,
];

/// Headers of a fixed length whose last two bytes are the next type.
const TAGS: &[(u16, usize)] = &[
    (types::VN_TAG, 6),
    (types::CISCO_METADATA, 8),
    (types::TIME_TAG, 8),
    (types::E_TAG, 8),
    (types::R_TAG, 6),
    (types::HSR, 6),
];

/// Reads the header of this Ethernet type.
pub(super) fn read(kind: u16, rest: &mut Rest, stack: &mut Stack) -> Next {
    match kind {
        ethertype::MPLS | ethertype::MPLS_MULTICAST => mpls(kind, rest, stack),
        ethertype::PPPOE_SESSION => pppoe(rest, stack),
        types::BRIDGED => Next::Mac,
        types::LONG_LLC => llc(rest),
        types::MACSEC => macsec(rest, stack),
        types::BACKBONE => before_mac(4, rest, stack),
        types::FABRICPATH => before_mac(2, rest, stack),
        types::TRILL => trill(rest, stack),
        types::BATMAN => batman(rest, stack),
        types::NSH => nsh(rest, stack),
        _ => match TAGS.iter().find(|tag| tag.0 == kind) {
            Some(&(_, length)) => tag(length, rest, stack),
            None => Next::Unread(Family::EtherType, kind),
        },
    }
}

/// Skips a header of `length` bytes, if all of it was captured.
fn skip(length: usize, rest: &mut Rest, stack: &mut Stack) -> Option<()> {
    stack.headers_end = rest.behind(length);
    let end = rest.at.checked_add(length)?;
    if end > rest.frame.len() {
        return None;
    }
    rest.at = end;
    Some(())
}

/// A tag whose last two bytes are the next type.
fn tag(length: usize, rest: &mut Rest, stack: &mut Stack) -> Next {
    if skip(length, rest, stack).is_none() {
        return Next::Cut;
    }
    match rest.frame.get(rest.at - 2..rest.at) {
        Some(&[high, low]) => Next::Type(be16(high, low)),
        _ => Next::Cut,
    }
}

fn before_mac(length: usize, rest: &mut Rest, stack: &mut Stack) -> Next {
    skip(length, rest, stack).map_or(Next::Cut, |()| Next::Mac)
}

/// A SecTAG (IEEE 802.1AE, 9): the next type follows it, unless the packet is encrypted.
fn macsec(rest: &mut Rest, stack: &mut Stack) -> Next {
    const SECURE_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08 | 0x04;
    let Some(&[control]) = rest.peek() else { return Next::Cut };
    let length = if control & SECURE_CHANNEL == 0 { 6 } else { 14 };
    if control & ENCRYPTED != 0 {
        let _ = skip(length, rest, stack);
        return Next::Cut;
    }
    tag(length + 2, rest, stack)
}

/// TRILL (RFC 6325, 3.2): 6 bytes and options, then Ethernet.
fn trill(rest: &mut Rest, stack: &mut Stack) -> Next {
    let Some(&[high, low]) = rest.peek() else { return Next::Cut };
    let options = usize::from(be16(high, low) >> 6 & 0x1f);
    before_mac(6 + 4 * options, rest, stack)
}

/// batman-adv, versions 14 and 15: packets to one or all nodes carry Ethernet.
fn batman(rest: &mut Rest, stack: &mut Stack) -> Next {
    match rest.peek() {
        Some([0x40, 15] | [0x03, 14]) => before_mac(10, rest, stack),
        Some([0x01, 15]) => before_mac(14, rest, stack),
        Some([0x42, 15]) => before_mac(18, rest, stack),
        // Announcements of nodes.
        Some([0x00 | 0x02 | 0x04, _]) | None => Next::Cut,
        _ => Next::Unread(Family::EtherType, types::BATMAN),
    }
}

/// A network service header (RFC 8300, 2).
fn nsh(rest: &mut Rest, stack: &mut Stack) -> Next {
    let Some(header) = rest.peek::<8>() else { return Next::Cut };
    let words = usize::from(header[1] & 0x3f);
    let (kind, protocol) = (header[2] & 0xf, header[3]);
    // Metadata of type 1 has a fixed length.
    let sound = words >= 2 && (kind != 1 || words == 6);
    if !sound {
        return Next::Unread(Family::EtherType, types::NSH);
    }
    if skip(4 * words, rest, stack).is_none() {
        return Next::Cut;
    }
    match protocol {
        1 => Next::Type(ethertype::IP4),
        2 => Next::Type(ethertype::IP6),
        3 => Next::Mac,
        4 => Next::Type(types::NSH),
        5 => Next::Type(ethertype::MPLS),
        _ => Next::Unread(Family::EtherType, types::NSH),
    }
}

/// A label stack (RFC 3032), up to the entry with the bottom bit. Only the first half byte of the
/// following packet tells its type.
fn mpls(kind: u16, rest: &mut Rest, stack: &mut Stack) -> Next {
    // RFC 5586 and RFC 3429: management, whose packets are not read.
    const ASSOCIATED_CHANNEL: [u32; 2] = [13, 14];
    for _ in 0..MAX_NESTING {
        stack.headers_end = rest.behind(4);
        let Some(entry) = rest.peek::<4>() else { return Next::Cut };
        // Of several stacks, the fields show the first: the run must lie within the frame (V2).
        if stack.bits & bit::MPLS == 0 {
            stack.bits |= bit::MPLS;
            stack.mpls = rest.here();
        }
        if stack.mpls + 4 * stack.labels == rest.here() {
            stack.labels += 1;
        }
        rest.skip(4);
        if entry[2] & 1 == 1 {
            let label = u32::from_be_bytes(*entry) >> 12;
            let Some(&[byte]) = rest.peek() else { return Next::Cut };
            return match byte >> 4 {
                _ if ASSOCIATED_CHANNEL.contains(&label) => Next::Unread(Family::EtherType, kind),
                4 => Next::Type(ethertype::IP4),
                6 => Next::Type(ethertype::IP6),
                0 => pseudowire(rest, stack),
                _ => Next::Unread(Family::EtherType, kind),
            };
        }
    }
    Next::Unread(Family::EtherType, kind)
}

/// Ethernet in MPLS (RFC 4448). A control word begins with a half byte of 0, and so may a MAC
/// address. The known type tells them apart; if both are known, an address that begins with two
/// zeros is rare, and so is a control word that does not. (Wireshark looks the addresses up in its
/// list of vendors.)
fn pseudowire(rest: &mut Rest, stack: &mut Stack) -> Next {
    let kind = |at: usize| {
        let pair = rest.frame.get(rest.at + at + 12..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*pair))
    };
    let usual = rest.peek() == Some(&[0, 0]);
    match (kind(4), kind(0)) {
        // Cut before the end of a MAC header behind a control word.
        (None, _) => before_mac(4, rest, stack),
        (Some(with), Some(without)) if is_known(without) && !(usual && is_known(with)) => Next::Mac,
        _ => before_mac(4, rest, stack),
    }
}

fn is_known(kind: u16) -> bool {
    use ethertype::*;
    matches!(kind, IP4 | IP6 | ARP | RARP | VLAN | QINQ | QINQ_OLD)
        || TYPES.contains(&kind)
        || is_leaf(number(Family::EtherType, kind))
}

/// A PPPoE session header (RFC 2516) and PPP.
fn pppoe(rest: &mut Rest, stack: &mut Stack) -> Next {
    stack.headers_end = rest.behind(6);
    let Some(header) = rest.peek::<6>() else { return Next::Cut };
    stack.bits |= bit::PPPOE;
    rest.skip(6);
    rest.take(usize::from(be16(header[4], header[5])));
    stack.l3_end = rest.captured_end();
    ppp(rest, stack)
}

/// A PPP protocol number, which may be compressed to one byte (RFC 1661, 6.5).
pub(super) fn ppp(rest: &mut Rest, stack: &mut Stack) -> Next {
    let Some(&[first]) = rest.peek() else { return Next::Cut };
    let protocol = match (first & 1, rest.peek::<2>()) {
        (1, _) => u16::from(first),
        (_, Some(&[high, low])) => be16(high, low),
        _ => return Next::Cut,
    };
    rest.skip(if first & 1 == 1 { 1 } else { 2 });
    stack.headers_end = rest.here();
    match protocol {
        0x0021 => Next::Type(ethertype::IP4),
        0x0057 => Next::Type(ethertype::IP6),
        0x0281 => Next::Type(ethertype::MPLS),
        0x0283 => Next::Type(ethertype::MPLS_MULTICAST),
        0x0031 => bridged_ppp(rest, stack),
        // Control protocols.
        0x8000.. => Next::Cut,
        _ => Next::Unread(Family::Ppp, protocol),
    }
}

/// A bridged PDU (RFC 3518, 4.2): flags, the kind of MAC, perhaps a LAN id, then the frame.
fn bridged_ppp(rest: &mut Rest, stack: &mut Stack) -> Next {
    const LAN_ID: u8 = 0x40;
    match rest.peek() {
        Some(&[flags, 1]) => before_mac(if flags & LAN_ID == 0 { 2 } else { 6 }, rest, stack),
        Some(_) => Next::Unread(Family::Ppp, 0x0031),
        None => Next::Cut,
    }
}
