//! Parts of a header without a fixed place: TCP options and runs of tags. The walks are bounded by
//! the header's own length, the number of tags and the captured bytes. (Rejected: recording every
//! option while dissecting; each packet would pay for what few programs read.)

use super::stack;
use crate::abi::{Head, Packet, bit};
use crate::fields::Tags;
use crate::hir::{TagPart, TcpOption};

/// Kinds of options (RFC 9293, 3.2; RFC 7323).
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const TIMESTAMPS: u8 = 8;

/// The value of a TCP option; 0 if only its presence is read (`width` 0). The first option of the
/// kind counts. `None`: there is no such option, its length is wrong for its kind (for a value), it
/// extends beyond the header's end, or it was not captured. As in RFC 9293, 3.1 and Wireshark, kind
/// 0 ends the list and kind 1 is one byte. A length below 2 or beyond the header's end stops the
/// walk.
pub fn tcp_option(packet: &Packet, head: &Head, option: TcpOption) -> Option<u64> {
    let at = stack(head, option.layer);
    if at.bits & bit::TCP_HDR == 0 {
        return None;
    }
    let tcp = packet.frame().get(at.l4 as usize..)?;
    let declared = usize::from(*tcp.get(12)? >> 4) * 4;
    let (mut here, mut left) = (tcp.get(20..)?, declared.checked_sub(20)?);
    while left > 0 {
        let kind = *here.first()?;
        let length = match kind {
            0 | 1 => 1,
            _ => usize::from(*here.get(1)?),
        };
        if kind > 1 && length < 2 || length > left {
            return None;
        }
        if kind == option.kind {
            let (start, width) = (usize::from(option.at), usize::from(option.width));
            let right = match kind {
                MSS => 4,
                WINDOW_SCALE => 3,
                TIMESTAMPS => 10,
                _ => length,
            };
            if (width > 0 && length != right) || start + width > length {
                return None;
            }
            let value = here.get(start..start + width)?;
            return Some(value.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)));
        }
        if kind == 0 {
            return None;
        }
        here = here.get(length..)?;
        left -= length;
    }
    None
}

/// Whether the part of any tag satisfies `holds`. A part below [`TagPart::least`] does not exist.
pub fn tags_any(packet: &Packet, head: &Head, part: &TagPart, mut holds: impl FnMut(u64) -> bool) -> bool {
    let at = stack(head, part.layer);
    let (first, count) = match part.tags {
        Tags::Vlan => (at.vlan, at.vlans),
        Tags::Mpls => (at.mpls, at.labels),
    };
    if at.bits & part.present() == 0 {
        return false;
    }
    let tags = packet.frame().get(first as usize..).unwrap_or(&[]);
    tags.chunks_exact(4).take(count as usize).any(|tag| {
        let start = usize::from(part.at);
        let bytes = tag.get(start..start + usize::from(part.width)).unwrap_or(&[]);
        let value = bytes.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let value = value.checked_shr(u32::from(part.shift)).unwrap_or(0) & part.mask;
        value >= part.least() && holds(value)
    })
}
