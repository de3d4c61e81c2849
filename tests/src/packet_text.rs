//! Packets written as text, for hand-written cases: the layers from the outside in, then what is
//! wrong with them.
//!
//! ```text
//! eth/vlan(10)/ip(src=192.0.2.1)/tcp(dport=443,flags=SA)/"hello" | pad=4 cut=60
//! ```
//!
//! Types, protocol numbers and lengths follow from the layers; an argument overrides each of them,
//! and `OFFSET=HEX` behind the bar any byte. The invariant: text that is not understood to the last
//! argument is an error, so that no case tests something else than it says. (Rejected: hex alone,
//! which nobody can check by eye.)

use mrule_compiler::abi::{Link, Packet};

mod layers;

/// A packet that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPacket {
    /// How the frame begins.
    pub link: Link,
    /// The captured bytes.
    pub bytes: Vec<u8>,
    /// The length on the wire.
    pub len: u32,
    /// The interface it came from; empty when unknown.
    pub interface: String,
}

impl BuiltPacket {
    /// The packet as engines see it.
    pub fn packet(&self) -> Packet<'_> {
        Packet::new(&self.bytes, self.len, self.link).on(0, &self.interface)
    }
}

/// One layer: its name and arguments, or the bytes of a string.
#[derive(Debug)]
struct Layer {
    name: String,
    args: Vec<Arg>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Arg {
    key: String,
    value: String,
    used: bool,
}

/// Builds a packet from its text. Behind the bar, in any order: `pad=N` zero bytes behind the
/// packet, `OFFSET=HEX` other bytes there, `len=N` another length on the wire, `cut=N` only so many
/// bytes captured, `link=NAME` another link type (`eth raw sll sll2 null`), `on=NAME` an interface.
/// A packet of hexadecimal digits is `hex(..)`.
pub fn build(text: &str) -> Result<BuiltPacket, String> {
    let (layers, changes) = split(text)?;
    let mut layers = layers.iter().map(|t| layer(t)).collect::<Result<Vec<_>, _>>()?;
    let mut link = match layers.first().map(|l| l.name.as_str()) {
        Some("sll") => Link::LinuxSll,
        Some("sll2") => Link::LinuxSll2,
        Some("null") => Link::Null,
        Some("ip" | "ip6") => Link::RawIp,
        _ => Link::Ethernet,
    };
    let mut bytes = layers::encode(&mut layers)?;
    let (mut len, mut cut, mut interface) = (None, None, String::new());
    let mut patches = Vec::new();
    for change in changes.split_whitespace() {
        let (key, value) = change.split_once('=').ok_or_else(|| format!("`{change}` has no value"))?;
        match key {
            "pad" => bytes.resize(bytes.len() + number::<usize>(value)?, 0),
            "len" => len = Some(number(value)?),
            "cut" => cut = Some(number::<usize>(value)?),
            "on" => interface = value.to_owned(),
            "link" => link = link_named(value)?,
            _ => patches.push((number::<usize>(key)?, hex(value)?)),
        }
    }
    for (at, patch) in patches {
        let place = bytes.get_mut(at..at + patch.len());
        place.ok_or_else(|| format!("nothing at {at} to change"))?.copy_from_slice(&patch);
    }
    let whole = bytes.len();
    if cut.is_some_and(|cut| cut > whole) {
        return Err(format!("there are only {whole} bytes to cut"));
    }
    bytes.truncate(cut.unwrap_or(whole));
    Ok(BuiltPacket { link, bytes, len: len.unwrap_or(whole as u32), interface })
}

fn link_named(name: &str) -> Result<Link, String> {
    Ok(match name {
        "eth" => Link::Ethernet,
        "raw" => Link::RawIp,
        "sll" => Link::LinuxSll,
        "sll2" => Link::LinuxSll2,
        "null" => Link::Null,
        _ => return Err(format!("no link type `{name}`")),
    })
}

/// The texts of the layers, and what stands behind the bar.
fn split(text: &str) -> Result<(Vec<&str>, &str), String> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut depth) = (false, false, 0);
    let mut changes = "";
    let mut end = text.len();
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            '/' if depth == 0 => {
                parts.push(text[from..i].trim());
                from = i + 1;
            }
            '|' if depth == 0 => {
                (end, changes) = (i, &text[i + 1..]);
                break;
            }
            _ => {}
        }
    }
    if quoted || depth != 0 {
        return Err("a quote or parenthesis is not closed".into());
    }
    parts.push(text[from..end].trim());
    Ok((parts, changes))
}

fn layer(text: &str) -> Result<Layer, String> {
    let (name, args) = match text.split_once('(') {
        Some((name, rest)) if !text.starts_with('"') => {
            (name, rest.strip_suffix(')').ok_or_else(|| format!("`{text}` does not end in `)`"))?)
        }
        _ => (text, ""),
    };
    let no_args = || (name.to_owned(), Vec::new());
    let ((name, args), bytes) = match name {
        "" => return Err("an empty layer".into()),
        "hex" => (no_args(), hex(args)?),
        "zeros" => (no_args(), vec![0; number(args)?]),
        // Bytes that tell their own offset: 0, 1, .. 250, 0, 1, ..
        "count" => (no_args(), (0..number::<u32>(args)?).map(|i| (i % 251) as u8).collect()),
        _ if name.starts_with('"') => (("\"".to_owned(), Vec::new()), string(name)?),
        _ => ((name.to_owned(), arguments(args)), Vec::new()),
    };
    Ok(Layer { name, args, bytes })
}

fn arguments(text: &str) -> Vec<Arg> {
    let written = text.split(',').map(str::trim).filter(|t| !t.is_empty());
    written
        .map(|arg| {
            let (key, value) = arg.split_once('=').unwrap_or(("", arg));
            Arg { key: key.to_owned(), value: value.to_owned(), used: false }
        })
        .collect()
}

fn string(text: &str) -> Result<Vec<u8>, String> {
    let inside = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).ok_or("a string without quotes")?;
    let (mut bytes, mut rest) = (Vec::new(), inside);
    while let Some(c) = rest.chars().next() {
        let escape = if c == '\\' { rest.chars().nth(1) } else { None };
        let (byte, used) = match escape {
            Some('n') => (b'\n', 2),
            Some('r') => (b'\r', 2),
            Some('x') => (hex(rest.get(2..4).ok_or("a short `\\x`")?)?[0], 4),
            Some(other @ ('\\' | '"')) => (other as u8, 2),
            Some(other) => return Err(format!("no escape `\\{other}`")),
            None if c.is_ascii() => (c as u8, 1),
            None => return Err("strings are ASCII".into()),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Ok(bytes)
}

/// Hexadecimal digits, with or without colons or blanks between bytes.
pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, ':' | ' ' | '\n')).collect();
    if digits.len() % 2 == 1 {
        return Err(format!("half a byte in `{text}`"));
    }
    let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
    bytes.collect::<Result<_, _>>().map_err(|e| format!("`{text}`: {e}"))
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.map_err(|e| format!("`{text}`: {e}"))?;
    T::try_from(value).map_err(|_| format!("`{text}` is too large"))
}

#[cfg(test)]
mod tests;
