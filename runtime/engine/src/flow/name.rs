//! Names of flows, as people and programs write them: `tcp 10.0.0.1:1234 10.0.0.2:80`. The ends
//! come in either order. `vlan 10` (`vlan 10.20` for two tags) and `id 77` (of an echo, a VXLAN,
//! GENEVE or GRE network) follow where the flow has them. Invariant: the printed name of a flow
//! parses as the name of that flow and of no other live flow. (Rejected: numbers of flows; nobody
//! outside knows them, and they tell nothing about the flow.)

use super::key::Key;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The end's address.
    pub addr: IpAddr,
    /// The end's port; 0 for protocols without ports.
    pub port: u16,
}

/// A flow by its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowName {
    /// The protocol number.
    pub proto: u8,
    /// The flow's ends, in either order.
    pub ends: [End; 2],
    /// The ids of the two outermost VLAN tags, 0 where there is no tag. `None`: the name does not
    /// say.
    pub vlans: Option<[u16; 2]>,
    /// The id of an echo or of the tunnel's network. `None`: the name does not say.
    pub id: Option<u32>,
}

/// Protocols that have names here; all others are numbers.
const PROTOCOLS: &[(&str, u8)] = &[
    ("tcp", 6),
    ("udp", 17),
    ("sctp", 132),
    ("icmp", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
];

/// The form of a name, for messages.
const LOOKS: &str = "a flow is named by its ends: `tcp 10.0.0.1:1234 10.0.0.2:80`, `udp [2001:db8::1]:53 [2001:db8::2]:53`, \
                     `icmp 10.0.0.1 10.0.0.2 id 7`; behind that `vlan 10` where it has tags";

/// The name of a protocol, or its number.
pub fn protocol(proto: u8) -> String {
    let name = PROTOCOLS.iter().find(|(_, number)| *number == proto);
    name.map_or_else(|| proto.to_string(), |(name, _)| (*name).to_owned())
}

fn has_ports(proto: u8) -> bool {
    matches!(proto, 6 | 17 | 132)
}

impl FlowName {
    pub(super) fn of(key: &Key, client: usize) -> FlowName {
        let [a, b, c, d] = key.addresses;
        let end = |high: u64, low: u64, port: u64| {
            let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
            let v4 = if key.is_v6() { None } else { ip.to_ipv4_mapped() };
            End { addr: v4.map_or(ip.into(), IpAddr::V4), port: port as u16 }
        };
        let mut ends = [end(a, b, key.ports), end(c, d, key.ports >> 16)];
        if client == 1 {
            ends.reverse();
        }
        let vlans = key.vlans();
        FlowName { proto: key.proto(), ends, vlans: (vlans != [0; 2]).then_some(vlans), id: key.id() }
    }

    /// The name's key. Parts that the name does not say are absent in the key.
    pub(super) fn key(&self) -> Key {
        let [a, b] = self.ends;
        let order = |end: End| (words(end.addr), end.port);
        let [low, high] = if order(a) <= order(b) { [a, b] } else { [b, a] };
        let v6 = low.addr.is_ipv6();
        Key::of([words(low.addr), words(high.addr)], [low.port, high.port], self.proto, v6)
            .tagged(self.vlans.unwrap_or_default(), self.id)
    }

    /// Whether both names are equal, with the ends in either order.
    pub fn is(&self, other: &FlowName) -> bool {
        self.key() == other.key()
    }

    /// Whether the name may mean the flow of this key: parts that the name does not say match
    /// anything.
    pub(super) fn may_be(&self, key: &Key) -> bool {
        let full =
            FlowName { vlans: Some(self.vlans.unwrap_or(key.vlans())), id: self.id.or(key.id()), ..*self };
        full.key() == *key
    }
}

fn words(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", protocol(self.proto))?;
        for End { addr, port } in self.ends {
            match (has_ports(self.proto), addr) {
                (false, _) => write!(f, " {addr}")?,
                (true, IpAddr::V4(_)) => write!(f, " {addr}:{port}")?,
                (true, IpAddr::V6(_)) => write!(f, " [{addr}]:{port}")?,
            }
        }
        match self.vlans {
            Some([outer, 0]) => write!(f, " vlan {outer}")?,
            Some([outer, inner]) => write!(f, " vlan {outer}.{inner}")?,
            None => {}
        }
        match self.id {
            Some(id) => write!(f, " id {id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for FlowName {
    type Err = String;

    /// Reads a name. Ports may also stand as separate words (`tcp 10.0.0.1 1234 10.0.0.2 80`), as
    /// in the parts of a list.
    fn from_str(text: &str) -> Result<FlowName, String> {
        let mut words = text.split_ascii_whitespace().peekable();
        let wrong = |what: String| format!("{what}; {LOOKS}");
        let first = words.next().ok_or_else(|| wrong("a flow without a name".to_owned()))?;
        let known = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(first));
        let proto = match known {
            Some((_, number)) => *number,
            None => first.parse().map_err(|_| wrong(format!("`{first}` is no protocol")))?,
        };
        let mut end = || -> Result<End, String> {
            let word = words.next().ok_or_else(|| wrong("a flow has two ends".to_owned()))?;
            let (addr, mut port) = match word.parse::<IpAddr>() {
                Ok(addr) => (addr, None),
                Err(_) => address_and_port(word).ok_or_else(|| wrong(format!("`{word}` is no end")))?,
            };
            if port.is_none() && has_ports(proto) {
                port = words.next_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
            }
            match (port, has_ports(proto)) {
                (None, false) => Ok(End { addr, port: 0 }),
                (Some(port), true) => {
                    let port = port.parse().map_err(|_| wrong(format!("`{port}` is no port")))?;
                    Ok(End { addr, port })
                }
                (Some(_), false) => Err(wrong(format!("{} has no ports", protocol(proto)))),
                (None, true) => Err(wrong(format!("the port of `{word}` is missing"))),
            }
        };
        let ends = [end()?, end()?];
        if ends[0].addr.is_ipv4() != ends[1].addr.is_ipv4() {
            return Err(wrong("one end is of IPv4, the other of IPv6".to_owned()));
        }
        let mut name = FlowName { proto, ends, vlans: None, id: None };
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word {
                "vlan" if name.vlans.is_none() => {
                    let (outer, inner) = value.split_once('.').unwrap_or((value, "0"));
                    let tag = |text: &str| text.parse().ok().filter(|tag| *tag < 4096);
                    let tags = tag(outer).zip(tag(inner));
                    let (outer, inner) = tags.ok_or_else(|| wrong(format!("`{value}` is no VLAN")))?;
                    name.vlans = Some([outer, inner]);
                }
                "id" if name.id.is_none() => {
                    name.id = Some(value.parse().map_err(|_| wrong(format!("`{value}` is no id")))?);
                }
                _ => return Err(wrong(format!("`{word}` says nothing here"))),
            }
        }
        Ok(name)
    }
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`
fn address_and_port(word: &str) -> Option<(IpAddr, Option<&str>)> {
    let (addr, port) = word.rsplit_once(':')?;
    let addr = match addr.strip_prefix('[') {
        Some(inner) => IpAddr::V6(inner.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(addr.parse().ok()?),
    };
    Some((addr, Some(port)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a failed test stops")]
    use super::*;

    fn key(text: &str) -> Key {
        text.parse::<FlowName>().expect(text).key()
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for name in [
            "tcp 10.0.0.1:1234 10.0.0.2:80",
            "udp [2001:db8::1]:53 [2001:db8::2]:53 vlan 10",
            "sctp 10.0.0.2:1 10.0.0.1:2 vlan 10.20 id 4294967295",
            "icmp 10.0.0.1 10.0.0.2 id 7",
            "icmpv6 fe80::1 ff02::1",
            "89 10.0.0.1 224.0.0.5",
            "tcp [::ffff:10.0.0.1]:1 [::ffff:10.0.0.2]:2",
        ] {
            let read: FlowName = name.parse().expect(name);
            assert_eq!(read.to_string(), name);
            let key = read.key();
            let swapped = FlowName { ends: [read.ends[1], read.ends[0]], ..read };
            assert_eq!(swapped.key(), key, "{name}: either order");
            let named = [0, 1].map(|client| FlowName::of(&key, client));
            assert!(named.contains(&read), "{name}: {named:?}");
            assert!(read.may_be(&key));
        }
    }

    #[test]
    fn ways_to_write_it() {
        let one = key("tcp 10.0.0.1:1234 10.0.0.2:80");
        assert_eq!(key("6 10.0.0.2 80 10.0.0.1 1234"), one);
        assert_eq!(key("  TCP\t10.0.0.2:80   10.0.0.1 1234 "), one);
        assert_ne!(key("tcp 10.0.0.1:80 10.0.0.2:1234"), one);
        assert_ne!(key("tcp ::ffff:10.0.0.1 1234 ::ffff:10.0.0.2 80"), one);
        let tagged = key("tcp 10.0.0.1:1234 10.0.0.2:80 vlan 7");
        let plain: FlowName = "tcp 10.0.0.1:1234 10.0.0.2:80".parse().expect("a name");
        assert!(plain.may_be(&tagged) && plain.may_be(&one));
        let other: FlowName = "tcp 10.0.0.1:1234 10.0.0.2:80 vlan 8".parse().expect("a name");
        assert!(!other.may_be(&tagged) && !other.may_be(&one));
    }

    #[test]
    fn what_is_no_name() {
        for (text, what) in [
            ("", "without a name"),
            ("ftp 10.0.0.1:1 10.0.0.2:2", "no protocol"),
            ("256 10.0.0.1 10.0.0.2", "no protocol"),
            ("tcp 10.0.0.1:1", "two ends"),
            ("tcp 10.0.0.1 10.0.0.2", "port of `10.0.0.1` is missing"),
            ("tcp 10.0.0.1:1 10.0.0.2:65536", "no port"),
            ("tcp 10.0.0.1:1 example.com:2", "no end"),
            ("tcp 2001:db8::1:80:x 10.0.0.2:1", "no end"),
            ("icmp 10.0.0.1:1 10.0.0.2:1", "no ports"),
            ("tcp 10.0.0.1:1 [::1]:1", "IPv6"),
            ("tcp 10.0.0.1:1 10.0.0.2:2 vlan 4096", "no VLAN"),
            ("tcp 10.0.0.1:1 10.0.0.2:2 vlan", "no VLAN"),
            ("tcp 10.0.0.1:1 10.0.0.2:2 id -1", "no id"),
            ("tcp 10.0.0.1:1 10.0.0.2:2 10.0.0.3:3", "says nothing"),
            ("tcp 10.0.0.1:1 10.0.0.2:2 vlan 1 vlan 1", "says nothing"),
        ] {
            let error = text.parse::<FlowName>().expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
