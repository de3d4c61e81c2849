//! Constants: most of them values that the packets have, or next to one. The invariant: a constant
//! fits the type it is made for. (Rejected: constants of any width; what is too wide is refused
//! before any engine sees it.)

use super::{Generator, Kind};
use crate::palette::FieldValue;
use mrule_compiler::fields::{App, Ty, max_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Generator<'_, '_> {
    fn seen(&mut self, name: &str) -> Option<FieldValue> {
        let palette = self.palette;
        if self.choices.chance(15) {
            return None;
        }
        self.choices.pick(palette.get(name)).cloned()
    }

    /// A number near one that this field has, at most `most`.
    pub(super) fn number(&mut self, name: &str, most: u64) -> u64 {
        let near = match self.seen(name) {
            Some(FieldValue::Num(value)) => value,
            _ => {
                let bits = 64 - most.leading_zeros();
                let bits = if self.choices.chance(50) { bits } else { bits.min(8) };
                self.choices.bits(bits.max(1))
            }
        };
        let near = match self.choices.below(8) {
            6 => near.saturating_add(1),
            7 => near.saturating_sub(1),
            _ => near,
        };
        near.min(most)
    }

    /// A number as it may be written.
    pub(super) fn written(&mut self, value: u64, hex: bool) -> String {
        if hex || self.choices.chance(20) { format!("{value:#x}") } else { value.to_string() }
    }

    /// A constant that a field of this name and type is compared with.
    pub(super) fn literal(&mut self, name: &str, ty: Ty) -> String {
        match ty {
            Ty::Bool => self.choices.word_of(&["1", "0", "true", "false"]).to_owned(),
            Ty::Uint(bits) => {
                let value = self.number(name, max_of(bits));
                self.written(value, false)
            }
            Ty::Ipv4 | Ty::Ipv6 | Ty::Ip => self.address(name, ty).to_string(),
            Ty::Mac => {
                let mac = match self.seen(name) {
                    Some(FieldValue::Mac(mac)) => mac,
                    _ => self.choices.bits(48),
                };
                colons(&mac.to_be_bytes()[2..])
            }
            Ty::App => self.choices.pick(App::NAMES).copied().unwrap_or("other").to_owned(),
            Ty::Duration => self.duration(name),
            Ty::Bytes | Ty::String | Ty::Protocol => {
                let bytes = self.bytes(name);
                self.bytes_written(&bytes)
            }
        }
    }

    /// A time span near one that this field has.
    pub(super) fn duration(&mut self, name: &str) -> String {
        if self.choices.chance(30) {
            return self.choices.word_of(&["0s", "100ms", "30s", "5m", "1h", "10us"]).to_owned();
        }
        format!("{}ns", self.number(name, 0xffff))
    }

    /// An address near one that this field has.
    pub(super) fn address(&mut self, name: &str, ty: Ty) -> IpAddr {
        let seen = match self.seen(name) {
            Some(FieldValue::V4(ip)) => Some(IpAddr::V4(Ipv4Addr::from(ip))),
            Some(FieldValue::V6(ip)) => Some(IpAddr::V6(Ipv6Addr::from(ip))),
            _ => None,
        };
        let v4 = match ty {
            Ty::Ipv4 => true,
            Ty::Ipv6 => false,
            _ => self.choices.chance(60),
        };
        let mut ip = seen.unwrap_or_else(|| match v4 {
            true => IpAddr::V4(Ipv4Addr::from(self.choices.bits(32) as u32)),
            false => {
                let (high, low) = (self.choices.bits(64), self.choices.bits(64));
                IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)))
            }
        });
        if self.choices.chance(15) {
            ip = match ip {
                IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) ^ 1 << self.choices.below(32))),
                IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) ^ 1 << self.choices.below(128))),
            };
        }
        ip
    }

    /// A network around an address.
    pub(super) fn network(&mut self, name: &str, ty: Ty) -> String {
        let ip = self.address(name, ty);
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match self.choices.below(6) {
            0 => bits,
            1 => bits / 4,
            2 => bits / 2,
            3 => bits * 3 / 4,
            _ => self.choices.below(bits + 1),
        };
        format!("{ip}/{prefix}")
    }

    /// A part of the bytes that a field has, or a few others.
    pub(super) fn bytes(&mut self, name: &str) -> Vec<u8> {
        let mut bytes = match self.seen(name) {
            Some(FieldValue::Bytes(bytes)) if !bytes.is_empty() => {
                let start = if self.choices.chance(50) { 0 } else { self.choices.below(bytes.len()) };
                let length = 1 + self.choices.below(6);
                bytes[start..].iter().copied().take(length).collect()
            }
            _ => {
                let length = 1 + self.choices.below(4);
                (0..length).map(|_| self.choices.bits(8) as u8).collect::<Vec<_>>()
            }
        };
        if self.choices.chance(10)
            && let Some(byte) = bytes.first_mut()
        {
            *byte ^= 0x20;
        }
        bytes
    }

    /// Bytes as they may be written.
    pub(super) fn bytes_written(&mut self, bytes: &[u8]) -> String {
        // Six or eight bytes with colons are a MAC or an IPv6 address where one can stand; both are
        // bytes here.
        if bytes.len() > 1 && self.choices.chance(50) { colons(bytes) } else { quoted(bytes) }
    }

    /// A constant of a table or param.
    pub(super) fn constant(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Uint => {
                let name = self.choices.word_of(&[
                    "l4.port",
                    "tcp.port",
                    "udp.port",
                    "net.proto",
                    "vlan.id",
                    "frame.len",
                    "ip.ttl",
                ]);
                let value = self.number(name, 0xffff_ffff);
                self.written(value, false)
            }
            Kind::Size => self.choices.word_of(&["64", "0", "100", "1KiB", "1500", "60B"]).to_owned(),
            Kind::Ip => self.address("net.addr", Ty::Ip).to_string(),
            Kind::Cidr => self.network("net.addr", Ty::Ip),
            Kind::Mac => self.literal("eth.addr", Ty::Mac),
            Kind::Word => self.choices.word_of(&["red", "green", "blue"]).to_owned(),
            Kind::String if self.choices.chance(40) => {
                let name = self.choices.word_of(&["tcp.payload", "l4.payload", "frame", "tcp"]);
                let bytes = self.bytes(name);
                quoted(&bytes)
            }
            Kind::String => format!("\"{}\"", self.choices.word_of(&["lan0", "wan0", "eth1", "alice", "x"])),
            Kind::Duration => self.duration("flow.age"),
            Kind::Bool => self.choices.word_of(&["true", "false"]).to_owned(),
        }
    }
}

/// Bytes as `47:45:54`.
pub(super) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// Bytes in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

/// A pattern of a regular expression that finds exactly these bytes.
pub(super) fn pattern(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(one).collect()
}
