//! The bytes of each layer, from the last to the first, so that lengths and types are known when
//! they are written. The invariant: every argument is used or refused. (Rejected: etherparse's
//! writers, which cannot lie; it reads what is built here instead, in the tests.)

use super::{Layer, hex, number};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

type Result<T> = std::result::Result<T, String>;

/// What a layer says that it carries, in the numbers that the layer before it may need.
struct Inner {
    ethertype: Option<u16>,
    protocol: Option<u8>,
    ppp: Option<u16>,
    name: String,
    bytes: Vec<u8>,
}

/// The bytes of all layers.
pub(super) fn encode(layers: &mut [Layer]) -> Result<Vec<u8>> {
    let mut inner = Inner { ethertype: None, protocol: None, ppp: None, name: String::new(), bytes: vec![] };
    for layer in layers.iter_mut().rev() {
        let name = layer.name.clone();
        let mut bytes = header(layer, &inner).map_err(|e| format!("{name}: {e}"))?;
        bytes.extend(&inner.bytes);
        if let Some(arg) = layer.args.iter().find(|a| !a.used) {
            return Err(format!("{name}: no argument `{}{}`", arg.key, arg.value));
        }
        let ethertype = match name.as_str() {
            "ip" => Some(0x0800),
            "ip6" => Some(0x86dd),
            "arp" => Some(0x0806),
            "vlan" => Some(layer.number("tpid", 0x8100)?),
            "mpls" => Some(0x8847),
            "pppoe" => Some(0x8864),
            "eth" => Some(0x6558),
            _ => None,
        };
        let protocol = match name.as_str() {
            "hopopts" => Some(0),
            "icmp" => Some(1),
            "ip" => Some(4),
            "tcp" => Some(6),
            "udp" => Some(17),
            "ip6" => Some(41),
            "routing" => Some(43),
            "frag" => Some(44),
            "gre" => Some(47),
            "esp" => Some(50),
            "ah" => Some(51),
            "icmp6" => Some(58),
            "dstopts" => Some(60),
            "sctp" => Some(132),
            _ => None,
        };
        let ppp = match name.as_str() {
            "ip" => Some(0x0021),
            "ip6" => Some(0x0057),
            "mpls" => Some(0x0281),
            _ => None,
        };
        inner = Inner { ethertype, protocol, ppp, name, bytes };
    }
    Ok(inner.bytes)
}

/// A layer's own bytes.
fn header(layer: &mut Layer, inner: &Inner) -> Result<Vec<u8>> {
    let inside = inner.bytes.len();
    // IEEE 802, local experimental; IANA, for experiments: nobody's protocol.
    let ethertype = inner.ethertype.unwrap_or(0x88b5);
    let protocol = inner.protocol.unwrap_or(253);
    Ok(match layer.name.as_str() {
        "\"" | "hex" | "zeros" | "count" => std::mem::take(&mut layer.bytes),
        "eth" => {
            let mut bytes = layer.mac("dst", [2, 0, 0, 0, 0, 2])?.to_vec();
            bytes.extend(layer.mac("src", [2, 0, 0, 0, 0, 1])?);
            let kind = if inner.name == "llc" { inside as u16 } else { ethertype };
            bytes.extend(layer.number::<u16>("type", kind)?.to_be_bytes());
            bytes
        }
        // IEEE 802.2 with SNAP: an Ethernet type inside an 802.3 length.
        "llc" => {
            let mut bytes = vec![0xaa, 0xaa, 3, 0, 0, 0];
            bytes.extend(layer.number::<u16>("type", ethertype)?.to_be_bytes());
            bytes
        }
        "vlan" => {
            let id: u16 = layer.first(0)?;
            let (priority, dei): (u16, u16) = (layer.number("prio", 0)?, layer.number("dei", 0)?);
            layer.number("tpid", 0)?;
            let kind = if inner.name == "llc" { inside as u16 } else { ethertype };
            let tag = priority << 13 | dei << 12 | id;
            [tag, layer.number("type", kind)?].map(u16::to_be_bytes).concat()
        }
        "mpls" => {
            let (label, exp, ttl): (u32, u32, u32) =
                (layer.first(16)?, layer.number("exp", 0)?, layer.number("ttl", 64)?);
            let bottom = layer.number("bottom", u32::from(inner.name != "mpls"))?;
            (label << 12 | exp << 9 | bottom << 8 | ttl).to_be_bytes().to_vec()
        }
        "pppoe" => {
            let mut bytes = vec![0x11, layer.number("code", 0)?];
            bytes.extend(layer.number::<u16>("session", 1)?.to_be_bytes());
            bytes.extend(layer.number("len", inside as u16 + 2)?.to_be_bytes());
            bytes.extend(layer.number::<u16>("ppp", inner.ppp.unwrap_or(0xc021))?.to_be_bytes());
            bytes
        }
        "sll" => {
            let mut bytes = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            bytes.extend(layer.number::<u16>("type", ethertype)?.to_be_bytes());
            bytes
        }
        "sll2" => {
            let mut bytes = layer.number::<u16>("type", ethertype)?.to_be_bytes().to_vec();
            bytes.extend([0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
            bytes
        }
        "null" => {
            let family = layer.number("family", if inner.name == "ip6" { 30u32 } else { 2 })?;
            let little = layer.number("le", 1u8)? == 1;
            if little { family.to_le_bytes().to_vec() } else { family.to_be_bytes().to_vec() }
        }
        "arp" => {
            let mut bytes =
                [layer.number("hw", 1u16)?, layer.number("type", 0x0800u16)?].map(u16::to_be_bytes).concat();
            bytes.extend([6, 4]);
            bytes.extend(layer.number("op", 1u16)?.to_be_bytes());
            bytes.extend(layer.mac("sha", [2, 0, 0, 0, 0, 1])?);
            bytes.extend(layer.parse("spa", Ipv4Addr::new(10, 0, 0, 1))?.octets());
            bytes.extend(layer.mac("tha", [0; 6])?);
            bytes.extend(layer.parse("tpa", Ipv4Addr::new(10, 0, 0, 2))?.octets());
            bytes
        }
        "ip" => ipv4(layer, protocol, inside)?,
        "ip6" => {
            let words = 6 << 28 | layer.number("tc", 0u32)? << 20 | layer.number("flow", 0u32)?;
            let mut bytes = words.to_be_bytes().to_vec();
            bytes.extend(layer.number("plen", inside as u16)?.to_be_bytes());
            bytes.extend([layer.number("nxt", protocol)?, layer.number("hlim", 64)?]);
            bytes.extend(layer.parse("src", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))?.octets());
            bytes.extend(layer.parse("dst", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2))?.octets());
            bytes
        }
        // A header of 8 bytes times `words`, filled with PadN.
        "hopopts" | "dstopts" => {
            let words: u8 = layer.number("words", 1)?;
            let mut bytes = vec![layer.number("nxt", protocol)?, layer.number("len", words - 1)?];
            let body = layer.hex("opt")?.unwrap_or_else(|| vec![1, words * 8 - 4]);
            bytes.extend(body);
            bytes.resize(usize::from(words) * 8, 0);
            bytes
        }
        "routing" => vec![
            layer.number("nxt", protocol)?,
            layer.number("len", 0)?,
            layer.number("type", 0)?,
            0,
            0,
            0,
            0,
            0,
        ],
        "frag" => {
            let (offset, more): (u16, u16) = (layer.number("off", 0)?, layer.number("mf", 0)?);
            let mut bytes = vec![layer.number("nxt", protocol)?, 0];
            bytes.extend((offset << 3 | more).to_be_bytes());
            bytes.extend(layer.number("id", 1u32)?.to_be_bytes());
            bytes
        }
        // 12 bytes of ICV behind the fixed 12: length 4 in words minus 2.
        "ah" => {
            let mut bytes = vec![layer.number("nxt", protocol)?, layer.number("len", 4)?];
            bytes.resize(24, 0);
            bytes
        }
        "esp" => vec![0, 0, 0, 7, 0, 0, 0, 1],
        "icmp" | "icmp6" => {
            let echo = if layer.name == "icmp" { 8 } else { 128 };
            vec![layer.number("type", echo)?, layer.number("code", 0)?, 0, 0, 0, 1, 0, 1]
        }
        "tcp" => tcp(layer)?,
        "udp" => {
            let port = match inner.name.as_str() {
                "vxlan" => 4789,
                "geneve" => 6081,
                _ => 53,
            };
            [
                layer.number("sport", 40000u16)?,
                layer.number("dport", port)?,
                layer.number("len", inside as u16 + 8)?,
                layer.number("sum", 0)?,
            ]
            .map(u16::to_be_bytes)
            .concat()
        }
        "sctp" => {
            let mut bytes = [layer.number("sport", 40000u16)?, layer.number("dport", 2905)?]
                .map(u16::to_be_bytes)
                .concat();
            bytes.resize(12, 0);
            bytes
        }
        "gre" => {
            let (key, sum, seq) = (
                layer.parse_opt::<u32>("key")?,
                layer.parse_opt::<u32>("sum")?,
                layer.parse_opt::<u32>("seq")?,
            );
            let flags = u16::from(sum.is_some()) << 15
                | u16::from(key.is_some()) << 13
                | u16::from(seq.is_some()) << 12;
            let mut bytes = layer.number("flags", flags)?.to_be_bytes().to_vec();
            bytes.extend(layer.number("type", ethertype)?.to_be_bytes());
            for word in [sum, key, seq].into_iter().flatten() {
                bytes.extend(word.to_be_bytes());
            }
            bytes
        }
        "vxlan" => {
            let vni: u32 = layer.first(1)?;
            let flags: u8 = layer.number("flags", 8)?;
            [[flags, 0, 0, 0], (vni << 8).to_be_bytes()].concat()
        }
        "geneve" => {
            let vni: u32 = layer.first(1)?;
            let options = layer.hex("opt")?.unwrap_or_default();
            let mut bytes = vec![layer.number("ver", 0u8)? << 6 | (options.len() / 4) as u8, 0];
            bytes.extend(layer.number("type", ethertype)?.to_be_bytes());
            bytes.extend((vni << 8).to_be_bytes());
            bytes.extend(options);
            bytes
        }
        _ => return Err("no such layer".into()),
    })
}

fn ipv4(layer: &mut Layer, protocol: u8, inside: usize) -> Result<Vec<u8>> {
    let options = layer.hex("opt")?.unwrap_or_default();
    let header = 20 + options.len();
    let version: u8 = layer.number("ver", 4)?;
    let mut bytes = vec![version << 4 | layer.number("ihl", (header / 4) as u8)?, layer.number("tos", 0)?];
    bytes.extend(layer.number("len", (header + inside) as u16)?.to_be_bytes());
    bytes.extend(layer.number("id", 0u16)?.to_be_bytes());
    let flags: u16 =
        layer.number("rb", 0u16)? << 15 | layer.number("df", 0u16)? << 14 | layer.number("mf", 0u16)? << 13;
    bytes.extend((flags | layer.number("off", 0u16)?).to_be_bytes());
    bytes.extend([layer.number("ttl", 64)?, layer.number("proto", protocol)?, 0, 0]);
    bytes.extend(layer.parse("src", Ipv4Addr::new(10, 0, 0, 1))?.octets());
    bytes.extend(layer.parse("dst", Ipv4Addr::new(10, 0, 0, 2))?.octets());
    bytes.extend(options);
    let sum = bytes.chunks(2).fold(0u32, |sum, pair| sum + u32::from(pair[0]) * 256 + u32::from(pair[1]));
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[10..12].copy_from_slice(&layer.number("sum", sum)?.to_be_bytes());
    Ok(bytes)
}

fn tcp(layer: &mut Layer) -> Result<Vec<u8>> {
    let mut options = layer.hex("opt")?.unwrap_or_default();
    options.resize(options.len().next_multiple_of(4), 0);
    let mut bytes =
        [layer.number("sport", 40000u16)?, layer.number("dport", 80)?].map(u16::to_be_bytes).concat();
    bytes.extend(layer.number("seq", 1u32)?.to_be_bytes());
    bytes.extend(layer.number("ack", 0u32)?.to_be_bytes());
    let letters = layer.take("flags").unwrap_or_else(|| "A".into());
    let mut flags = 0u16;
    for letter in letters.chars() {
        // In the order of the bits: FIN is 1, AE (NS) is 0x100, the reserved bits above it.
        let at = "FSRPAUECN".find(letter).ok_or_else(|| format!("no flag `{letter}`"))?;
        flags |= 1 << at;
    }
    flags |= layer.number("res", 0u16)? << 9;
    let offset = layer.number("off", (5 + options.len() / 4) as u16)?;
    bytes.extend((offset << 12 | flags).to_be_bytes());
    for (key, default) in [("win", 65535u16), ("sum", 0), ("urg", 0)] {
        bytes.extend(layer.number(key, default)?.to_be_bytes());
    }
    bytes.extend(options);
    Ok(bytes)
}

impl Layer {
    fn take(&mut self, key: &str) -> Option<String> {
        let arg = self.args.iter_mut().find(|a| a.key == key)?;
        arg.used = true;
        Some(arg.value.clone())
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &str, default: T) -> Result<T> {
        self.take(key).map_or(Ok(default), |value| number(&value))
    }

    /// The argument without a name.
    fn first<T: TryFrom<u64>>(&mut self, default: T) -> Result<T> {
        self.number("", default)
    }

    fn parse_opt<T: FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        let value = self.take(key);
        value.map(|v| v.parse().map_err(|_| format!("`{v}` is no {key}"))).transpose()
    }

    fn parse<T: FromStr>(&mut self, key: &str, default: T) -> Result<T> {
        Ok(self.parse_opt(key)?.unwrap_or(default))
    }

    fn mac(&mut self, key: &str, default: [u8; 6]) -> Result<[u8; 6]> {
        let bytes = self.hex(key)?.unwrap_or_else(|| default.to_vec());
        bytes.try_into().map_err(|_| format!("{key} is not 6 bytes"))
    }

    fn hex(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.take(key).map(|value| hex(&value)).transpose()
    }
}
