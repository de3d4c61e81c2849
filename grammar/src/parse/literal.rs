//! Literals: the characters of one token to its value or its mistake. Pure functions over text. The
//! invariant: a literal that Wireshark reads differently is refused, never read in another sense.

use crate::ast::Literal;
use crate::codes::{Code, literals};
use crate::units::UNITS;
use crate::{units, words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// What is wrong with a token.
#[derive(Debug, PartialEq)]
pub(super) struct Mistake {
    pub code: Code,
    pub message: String,
    pub label: String,
    pub help: String,
    /// The wrong part of the token, in bytes of the token. `None`: all of it.
    pub part: Option<Range<usize>>,
    /// The replacement for that part.
    pub fix: Option<String>,
}

/// Boxed, because a mistake is large and rare.
pub(super) type Refused = Box<Mistake>;

fn refused(
    code: Code,
    message: impl Into<String>,
    label: impl Into<String>,
    help: impl Into<String>,
) -> Refused {
    let (message, label, help) = (message.into(), label.into(), help.into());
    Box::new(Mistake { code, message, label, help, part: None, fix: None })
}

impl Mistake {
    fn part(mut self: Box<Self>, part: Range<usize>) -> Refused {
        self.part = Some(part);
        self
    }

    fn fix(mut self: Box<Self>, better: impl Into<String>) -> Refused {
        self.fix = Some(better.into());
        self
    }
}

// ---- numbers ------------------------------------------------------------------------------------

/// A token that starts with a digit.
pub(super) fn number(text: &str) -> Result<Literal, Refused> {
    let prefix = text.get(..2).unwrap_or("");
    if matches!(prefix, "0x" | "0X") {
        return hexadecimal(text);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits);
    if unit.contains('_') && text.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        let plain = text.replace('_', "");
        let help = format!("write `{plain}`");
        return Err(refused(literals::NUMBER, "digits are not grouped", "a `_` in a number", help).fix(plain));
    }
    if matches!(prefix, "0b" | "0B")
        && text.len() > 2
        && text.bytes().skip(2).all(|b| matches!(b, b'0' | b'1'))
    {
        let better =
            u64::from_str_radix(text.get(2..).unwrap_or(""), 2).map_or("0x..".into(), |n| format!("{n:#x}"));
        let help = format!("write it in hexadecimal: `{better}`");
        return Err(refused(literals::NUMBER, "there are no binary numbers", "binary", help).fix(better));
    }
    let is_bytes =
        !unit.is_empty() && units::unit(unit).is_none() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_bytes && text.len().is_multiple_of(2) {
        return Err(bare_bytes(text));
    }
    if digits.len() > 1 && digits.starts_with('0') {
        let plain = digits.trim_start_matches('0');
        let plain = if plain.is_empty() { "0" } else { plain };
        let help = format!(
            "write `{plain}`; Wireshark reads a leading 0 as octal, or as bytes beside a slice (here with colons: `00:50`)"
        );
        return Err(refused(literals::NUMBER, "a number has no leading zeros", "leading zero", help)
            .part(0..digits.len())
            .fix(plain));
    }
    let scale = if unit.is_empty() { 1 } else { unit_scale(unit, digits.len())? };
    let too_large = || {
        let help = format!("the largest number is {}", u64::MAX);
        refused(literals::NUMBER_TOO_LARGE, "this number does not fit in 64 bits", "too large", help)
    };
    let value: u64 = digits.parse().map_err(|_| too_large())?;
    value.checked_mul(scale).ok_or_else(too_large)?;
    Ok(Literal::Number { value, unit: unit.to_string(), hex: false })
}

fn hexadecimal(text: &str) -> Result<Literal, Refused> {
    let digits = text.get(2..).unwrap_or("");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        let help = "after `0x` come hexadecimal digits, 0-9 and a-f, and no unit";
        return Err(refused(
            literals::NUMBER,
            format!("`{text}` is no hexadecimal number"),
            "malformed",
            help,
        ));
    }
    match u64::from_str_radix(digits, 16) {
        Ok(value) => Ok(Literal::Number { value, unit: String::new(), hex: true }),
        Err(_) => {
            let help = "at most 16 hexadecimal digits; longer ones are bytes: `47:45:54:20`";
            Err(refused(literals::NUMBER_TOO_LARGE, "this number does not fit in 64 bits", "too large", help))
        }
    }
}

fn unit_scale(unit: &str, digits: usize) -> Result<u64, Refused> {
    if let Some(unit) = units::unit(unit) {
        return Ok(unit.scale);
    }
    let message = format!("`{unit}` is no unit");
    let near = words::nearest(unit, UNITS.iter().map(|u| u.name));
    let mistake = match near {
        Some(near) => {
            refused(literals::UNKNOWN_UNIT, message, "unknown unit", format!("did you mean `{near}`?"))
                .fix(near)
        }
        None => {
            let help =
                "sizes: B kB KB MB GB TB KiB MiB GiB TiB, kbit Mbit Gbit Tbit; durations: ns us ms s m h d";
            refused(literals::UNKNOWN_UNIT, message, "unknown unit", help)
        }
    };
    Err(mistake.part(digits..digits + unit.len()))
}

/// Refuses hexadecimal digits without `0x`: Wireshark reads them as bytes.
fn bare_bytes(text: &str) -> Refused {
    let pairs: Vec<&str> = text.as_bytes().chunks(2).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    let (better, help) = match pairs.as_slice() {
        [one] => (
            format!("0x{one}"),
            format!("write the number `0x{one}`, or the byte as a string: `\"\\x{one}\"`"),
        ),
        _ => (pairs.join(":"), format!("write bytes with colons: `{}`", pairs.join(":"))),
    };
    refused(literals::COLONS, format!("`{text}` is neither a number nor bytes"), "malformed", help)
        .fix(better)
}

// ---- addresses ----------------------------------------------------------------------------------

/// Digits joined by dots.
pub(super) fn dotted(text: &str) -> Result<Literal, Refused> {
    let (address, prefix) = split_prefix(text);
    let address = ipv4(address)?;
    let Some((at, prefix)) = prefix else { return Ok(Literal::Ipv4(address)) };
    if let Ok(mask) = ipv4(prefix) {
        let mask = u32::from(mask);
        let length = mask.leading_ones();
        let contiguous = mask.checked_shl(length).unwrap_or(0) == 0;
        let mistake = if contiguous {
            let help = format!("write `/{length}`");
            refused(literals::CIDR, "a prefix is a number of bits", "a netmask", help).fix(length.to_string())
        } else {
            let help = "a network is a prefix; name the networks one by one";
            refused(literals::CIDR, "this netmask is no prefix", "a netmask", help)
        };
        return Err(mistake.part(at..text.len()));
    }
    let length = prefix_length(prefix, 32).map_err(|m| m.part(at..text.len()))?;
    Ok(Literal::Cidr(IpAddr::V4(address), length))
}

fn split_prefix(text: &str) -> (&str, Option<(usize, &str)>) {
    match text.split_once('/') {
        Some((address, prefix)) => (address, Some((address.len() + 1, prefix))),
        None => (text, None),
    }
}

fn prefix_length(text: &str, most: u8) -> Result<u8, Refused> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    match text.parse::<u8>() {
        Ok(length) if length <= most && plain => Ok(length),
        _ => {
            let family = if most == 32 { "IPv4" } else { "IPv6" };
            let help = format!("a prefix of {family} has 0 to {most} bits");
            Err(refused(literals::CIDR, format!("`/{text}` is no prefix length"), "not possible", help))
        }
    }
}

fn ipv4(text: &str) -> Result<Ipv4Addr, Refused> {
    let groups: Vec<&str> = text.split('.').collect();
    if groups.len() == 3 && groups.iter().all(|g| g.len() == 4 && g.bytes().all(|b| b.is_ascii_hexdigit())) {
        let better = joined_bytes(&groups.concat());
        let help = format!("write a MAC with colons: `{better}`");
        return Err(refused(literals::COLONS, "a MAC is written with colons", "dots", help).fix(better));
    }
    if groups.len() == 2 {
        let help = "numbers are whole; take a smaller unit: `1536B` for 1.5 KiB, `1500ms` for 1.5 s";
        return Err(refused(literals::NUMBER, "numbers have no fraction", "a fraction", help));
    }
    let mut octets = [0u8; 4];
    let mut at = 0;
    for (n, group) in groups.iter().enumerate() {
        let part = at..at + group.len();
        at = part.end + 1;
        let plain = group.bytes().all(|b| b.is_ascii_digit());
        let message = match group.parse::<u8>() {
            Ok(octet) if plain && (group.len() == 1 || !group.starts_with('0')) => {
                if let Some(slot) = octets.get_mut(n) {
                    *slot = octet;
                }
                continue;
            }
            Ok(_) => format!("`{group}` in an IPv4 address has a leading zero"),
            Err(_) if plain => format!("`{group}` in an IPv4 address is larger than 255"),
            Err(_) => format!("`{group}` in an IPv4 address is no number"),
        };
        let help = "an IPv4 address has four numbers from 0 to 255, as in `192.0.2.1`";
        return Err(refused(literals::IPV4, message, "this part", help).part(part));
    }
    if groups.len() != 4 {
        let message = format!("an IPv4 address has four numbers, this one has {}", groups.len());
        let help = "write all four, as in `192.0.2.1`; a network is `192.0.2.0/24`";
        return Err(refused(literals::IPV4, message, "not four numbers", help).part(0..text.len()));
    }
    Ok(Ipv4Addr::from(octets))
}

/// Hexadecimal digits joined by colons: bytes, a MAC or an IPv6 address, which may have a prefix
/// length.
pub(super) fn colons(text: &str) -> Result<Literal, Refused> {
    let (address, prefix) = split_prefix(text);
    let groups: Vec<&str> = address.split(':').collect();
    let hex = |g: &&str| g.bytes().all(|b| b.is_ascii_hexdigit());
    if prefix.is_none() && groups.iter().all(|g| g.len() == 2 && hex(g)) {
        return Ok(Literal::Bytes(groups.iter().filter_map(|g| u8::from_str_radix(g, 16).ok()).collect()));
    }
    if let Ok(ip) = address.parse::<Ipv6Addr>() {
        let Some((at, prefix)) = prefix else { return Ok(Literal::Ipv6(ip)) };
        let length = prefix_length(prefix, 128).map_err(|m| m.part(at..text.len()))?;
        return Ok(Literal::Cidr(IpAddr::V6(ip), length));
    }
    if let [byte, ""] = groups.as_slice() {
        let help = format!("write one byte as a number, `0x{byte}`, or as a string: `\"\\x{byte}\"`");
        return Err(refused(literals::COLONS, "bytes do not end in a colon", "one byte", help));
    }
    if groups.iter().all(|g| matches!(g.len(), 1 | 2) && hex(g)) && groups.len() < 8 {
        let better = groups.iter().map(|g| format!("{g:0>2}")).collect::<Vec<_>>().join(":");
        let help = format!("write `{better}`");
        return Err(refused(literals::COLONS, "each byte has two digits", "one digit", help).fix(better));
    }
    let help =
        "bytes are pairs of digits, `47:45:54`; an IPv6 address has eight groups, or `::` for those left out";
    Err(refused(
        literals::COLONS,
        format!("`{text}` is neither an IPv6 address nor bytes"),
        "malformed",
        help,
    ))
}

/// Bytes joined by dashes.
pub(super) fn dashed(text: &str) -> Refused {
    let better = text.replace('-', ":");
    let help = format!("write `{better}`; for a difference, put blanks around the `-`");
    refused(literals::COLONS, "bytes and MACs are written with colons", "dashes", help).fix(better)
}

fn joined_bytes(digits: &str) -> String {
    let pairs: Vec<&str> = digits.as_bytes().chunks(2).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    pairs.join(":")
}

// ---- strings ------------------------------------------------------------------------------------

/// A string with its quotes, as found by the grammar. `regex`: its bytes are the text of a regex,
/// see [`Literal::String`]. Each mistake goes to `refuse` at once, because a hostile string can
/// have millions.
pub(super) fn string(text: &str, regex: bool, mut refuse: impl FnMut(Refused)) -> Vec<u8> {
    let raw = text.starts_with(['r', 'R']);
    let open = if raw { 2 } else { 1 };
    let inside = text.get(open..text.len().saturating_sub(1)).unwrap_or("");
    if raw {
        return inside.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(inside.len());
    let mut at = 0;
    while let Some(rest) = inside.get(at..).filter(|r| !r.is_empty()) {
        let plain = rest.find('\\').unwrap_or(rest.len());
        bytes.extend_from_slice(rest.as_bytes().get(..plain).unwrap_or_default());
        at += plain;
        let Some(escape) = rest.get(plain..).filter(|r| !r.is_empty()) else { break };
        let length = match resolve(escape, regex, &mut bytes) {
            Ok(length) => length,
            Err((length, mistake)) => {
                refuse(mistake.part(open + at..open + at + length));
                length
            }
        };
        at += length;
    }
    bytes
}

/// Resolves the escape at the start of `text` and returns its length.
fn resolve(text: &str, regex: bool, bytes: &mut Vec<u8>) -> Result<usize, (usize, Refused)> {
    let c = text.chars().nth(1).unwrap_or('\\');
    let length = 1 + c.len_utf8();
    let digit = |n: usize| text.as_bytes().get(n).copied();
    let escape = text.get(..length).unwrap_or("");
    let mistake = |message: String, help: &str| refused(literals::ESCAPE, message, "this escape", help);
    let byte = match c {
        '\\' => b'\\',
        '"' => b'"',
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'x' => {
            let value = text.get(2..4).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(value) = value.and_then(|t| u8::from_str_radix(t, 16).ok()) else {
                return Err((length, mistake("`\\x` takes two hexadecimal digits".into(), "write `\\x0a`")));
            };
            if regex && value >= 0x80 {
                bytes.extend_from_slice(text.as_bytes().get(..4).unwrap_or_default());
            } else {
                bytes.push(value);
            }
            return Ok(4);
        }
        '0' if !digit(2).is_some_and(|d| d.is_ascii_digit()) => 0,
        '0'..='9' => {
            let help = "write the byte in hexadecimal: `\\x0a`; Wireshark reads these digits as octal";
            return Err((length, mistake(format!("`{escape}` and digits after it are no escape"), help)));
        }
        'b' | 'u' | 'U' if regex => {
            let help = "for a regex, write a raw string: `r\"\\bword\"`; Wireshark reads this escape before the regex does";
            return Err((length, mistake(format!("`{escape}` is ambiguous"), help)));
        }
        _ if regex => {
            bytes.extend_from_slice(escape.as_bytes());
            return Ok(length);
        }
        _ => {
            let help = "the escapes are \\n \\r \\t \\\\ \\\" \\0 \\xHH; a backslash itself is written `\\\\`, or use a raw string: `r\"...\"`";
            return Err((length, mistake(format!("`{escape}` is no escape"), help)));
        }
    };
    bytes.push(byte);
    Ok(length)
}
