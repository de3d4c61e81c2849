//! Values and sets as text, by the type of the field that they are compared with: an address as an
//! address, a range of addresses as a prefix if it is one, an Ethernet type in hexadecimal.
//! (Rejected: printing the intervals unchanged, which users do not recognise.)

use super::SET_ELEMENTS;
use crate::fields::{App, Ty};
use crate::sets::{Intervals, Point};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Fields whose numbers are usually written in hexadecimal.
const HEX: &[&str] = &[
    "eth.type",
    "vlan.etype",
    "gre.proto",
    "arp.proto.type",
    "tcp.flags",
    "ip.checksum",
    "tcp.checksum",
    "udp.checksum",
    "ip.id",
    "ipv6.flow",
];

/// A number as its field shows it.
pub(crate) fn num_text(field: Option<(&str, Ty)>, value: u64) -> String {
    match field {
        Some((_, Ty::Ipv4)) => Ipv4Addr::from(value as u32).to_string(),
        Some((_, Ty::Mac)) => {
            let [_, _, bytes @ ..] = value.to_be_bytes();
            bytes.map(|byte| format!("{byte:02x}")).join(":")
        }
        Some((_, Ty::App)) => match usize::try_from(value).ok().and_then(|at| App::NAMES.get(at)) {
            Some(name) => (*name).into(),
            None => value.to_string(),
        },
        Some((_, Ty::Duration)) => duration(value),
        Some((name, _)) if HEX.contains(&name) => format!("{value:#06x}"),
        _ => value.to_string(),
    }
}

/// A time span in the largest unit in which it is an integer: `30s`, `1500ms`.
pub(super) fn duration(nanoseconds: u64) -> String {
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    match units.into_iter().find(|(_, scale)| nanoseconds != 0 && nanoseconds.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", nanoseconds / scale),
        None if nanoseconds == 0 => "0s".into(),
        None => format!("{nanoseconds}ns"),
    }
}

/// A number of bytes in the largest unit in which it is an integer: `64KiB`, `1500`.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1u64 << 10)];
    match units.into_iter().find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => bytes.to_string(),
    }
}

/// `name` tested against a set of numbers up to `max`.
pub(super) fn number_set(name: &str, field: Option<(&str, Ty)>, max: u64, set: &Intervals<u64>) -> String {
    if let (Some((_, Ty::Duration)), &[(low, high)]) = (field, set.parts()) {
        // The author most likely wrote the rounder of the two.
        let rounder = |a: u64, b: Option<u64>| b.filter(|b| duration(*b).len() < duration(a).len());
        if low == 0
            && high != max
            && let Some(end) = rounder(high, high.checked_add(1))
        {
            return format!("{name} < {}", duration(end));
        }
        if low != 0
            && high == max
            && let Some(start) = rounder(low, low.checked_sub(1))
        {
            return format!("{name} > {}", duration(start));
        }
    }
    let bits = matches!(field, Some((_, Ty::Ipv4))).then_some(32);
    tested(
        name,
        (0, max),
        set,
        |v| num_text(field, v),
        |low, high| {
            Some(format!("{}/{}", num_text(field, low), prefix(u128::from(low), u128::from(high), bits?)?))
        },
    )
}

/// `name` tested against a set of IPv6 addresses.
pub(super) fn v6_set(name: &str, set: &Intervals<u128>) -> String {
    let text = |v| Ipv6Addr::from(v).to_string();
    tested(name, (0, u128::MAX), set, text, |low, high| {
        Some(format!("{}/{}", text(low), prefix(low, high, 128)?))
    })
}

/// The prefix length of `low..=high`, if it is one prefix of an address of `bits` bits.
fn prefix(low: u128, high: u128, bits: u32) -> Option<u32> {
    let size = high - low;
    let host = 128 - size.leading_zeros();
    let one_block = size.checked_add(1).is_none_or(u128::is_power_of_two) && low & size == 0;
    (one_block && host <= bits && host > 0).then(|| bits - host)
}

fn tested<T: Point>(
    name: &str,
    (least, most): (T, T),
    set: &Intervals<T>,
    text: impl Fn(T) -> String,
    block: impl Fn(T, T) -> Option<String>,
) -> String {
    let element = |&(low, high): &(T, T)| match block(low, high) {
        _ if low == high => text(low),
        Some(block) => block,
        None => format!("{}..{}", text(low), text(high)),
    };
    let left_out = set.complement().intersect(&Intervals::range(least, most));
    match (set.parts(), left_out.parts()) {
        (&[(low, high)], _) if low == high => format!("{name} == {}", text(low)),
        (_, &[(low, high)]) if low == high && low != least && high != most => {
            format!("{name} != {}", text(low))
        }
        (&[(low, high)], _) if block(low, high).is_none() && low == least => {
            format!("{name} <= {}", text(high))
        }
        (&[(low, high)], _) if block(low, high).is_none() && high == most => {
            format!("{name} >= {}", text(low))
        }
        (parts, _) => {
            let mut elements: Vec<String> = parts.iter().take(SET_ELEMENTS).map(element).collect();
            if parts.len() > SET_ELEMENTS {
                elements.push(format!("... {} more", parts.len() - SET_ELEMENTS));
            }
            format!("{name} in {{{}}}", elements.join(", "))
        }
    }
}

/// Bytes as a string literal.
pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Bytes of a packet, shortened: as text if they are text, else in hexadecimal.
pub(crate) fn bytes_text(bytes: &[u8]) -> String {
    const MOST: usize = 32;
    let shown = bytes.get(..MOST).unwrap_or(bytes);
    let readable = shown.iter().filter(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t')).count();
    let text = if readable * 4 >= shown.len() * 3 {
        quoted(shown)
    } else {
        shown.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    };
    if bytes.len() > MOST { format!("{text}... ({} bytes)", bytes.len()) } else { text }
}
