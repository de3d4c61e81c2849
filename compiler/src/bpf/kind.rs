//! The kinds of packets that a filter knows: Ethernet with at most one tag in the frame (and one
//! that the kernel took out), plain IPv4 or IPv6, not cut, not fragmented, with consistent lengths.
//! For each kind: which presence bits the dissector can set, and the places of numbers. The filter
//! keeps all other packets whole. The invariants: a bit that is never set here is never set by the
//! dissector for such a packet, for its head alone, or for a packet that is cut out of it as a
//! super-frame. A returned word lies within the bytes that the filter has checked, and is the same
//! in all of those. (Rejected: following headers to any offset; indirect loads are calls, and rare
//! packets cost little when kept.)

use super::code::meta;
use super::formula::{Formula, NO, Word, YES};
use crate::abi::bit;
use crate::fields::{Layer, Load, Slot};
use crate::sets::Intervals;

/// The payload of an Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Net {
    /// A payload that the dissector does not read.
    Other,
    Arp,
    Ip4(Carried),
    Ip6(Carried),
}

/// The payload of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Tcp,
    Udp,
    /// Another payload, which is not a further header.
    Rest,
}

/// Every network payload.
pub(super) const NETS: [Net; 8] = [
    Net::Other,
    Net::Arp,
    Net::Ip4(Carried::Tcp),
    Net::Ip4(Carried::Udp),
    Net::Ip4(Carried::Rest),
    Net::Ip6(Carried::Tcp),
    Net::Ip6(Carried::Udp),
    Net::Ip6(Carried::Rest),
];

/// A kind of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub net: Net,
    /// A tag is in the frame, besides a tag that the kernel may have taken out.
    pub tagged: bool,
    /// The lengths in the headers were checked and are consistent.
    pub sound: bool,
}

/// Bytes that every packet of a kind has: two addresses, a type, a tag, an IPv4 header, ports.
pub(super) const LEAST: u32 = 14 + 4 + 20 + 4;

/// Whether a presence bit is set.
enum Presence {
    Never,
    Always,
    Maybe,
    /// Set exactly if the first formula holds; the second formula is its opposite.
    Exactly(Formula, Formula),
    /// Set only if this holds.
    Within(Formula),
}

impl Kind {
    /// The offset of the network header.
    pub fn l3(self) -> u32 {
        if self.tagged { 18 } else { 14 }
    }

    /// The offset of the header after the network header.
    pub fn l4(self) -> u32 {
        self.l3() + if matches!(self.net, Net::Ip6(_)) { 40 } else { 20 }
    }

    pub fn carried(self) -> Option<Carried> {
        match self.net {
            Net::Ip4(carried) | Net::Ip6(carried) => Some(carried),
            Net::Other | Net::Arp => None,
        }
    }

    /// How many bytes every packet of this kind has.
    fn sure(self) -> u32 {
        match (self.carried(), self.sound) {
            (Some(Carried::Tcp), true) => self.l4() + 20,
            (Some(Carried::Udp), true) => self.l4() + 8,
            (Some(_), _) if matches!(self.net, Net::Ip6(_)) => self.l4() + 4,
            _ => LEAST,
        }
    }

    /// The condition under which all of these bits are set (`set`), or not all of them are (not
    /// `set`).
    pub fn bits(self, layer: Layer, bits: u64, set: bool) -> Formula {
        let each = (0..64).map(|i| bits & 1 << i).filter(|bit| *bit != 0);
        let each = each.map(|bit| match (self.presence(layer, bit), set) {
            (Presence::Never, true) => NO,
            (Presence::Never, false) => YES,
            (Presence::Always, _) => Formula::Const(set),
            (Presence::Maybe, _) | (Presence::Within(_), false) => YES,
            (Presence::Within(there), true) | (Presence::Exactly(there, _), true) => there,
            (Presence::Exactly(_, not), false) => not,
        });
        if set { Formula::and(each) } else { Formula::or(each) }
    }

    fn presence(self, layer: Layer, of: u64) -> Presence {
        let ip4 = matches!(self.net, Net::Ip4(_));
        let ip6 = matches!(self.net, Net::Ip6(_));
        let is = |there: bool| match there {
            true if self.sound => Presence::Always,
            true => Presence::Maybe,
            false => Presence::Never,
        };
        let maybe = |there: bool| if there { Presence::Maybe } else { Presence::Never };
        let protocols = |numbers: &[u32]| match (self.carried(), self.protocol()) {
            (Some(Carried::Rest), Some(word)) => {
                let all = Intervals::new(numbers.iter().map(|n| (*n, *n)));
                Presence::Within(Formula::test(word, &all))
            }
            _ => Presence::Never,
        };
        let carries = |what| self.carried() == Some(what);
        if layer == Layer::Inner {
            return Presence::Never;
        }
        match of {
            bit::ETH | bit::ETH_TYPE => is(true),
            // The number after a tag is a type here, never a length.
            bit::VLAN | bit::VLAN_ETYPE if self.tagged => is(true),
            bit::VLAN | bit::VLAN_ETYPE => {
                Presence::Exactly(Formula::is(TAG_TAKEN, 1), Formula::is(TAG_TAKEN, 0))
            }
            bit::ARP | bit::ARP_HDR => is(self.net == Net::Arp),
            bit::ARP_ADDR => maybe(self.net == Net::Arp),
            bit::IP | bit::IP_HDR | bit::IP_IHL | bit::IP_LEN => is(ip4),
            bit::IP6 | bit::IP6_HDR => is(ip6),
            bit::IP_VERSION | bit::NET => is(ip4 || ip6),
            bit::TCP | bit::TCP_PORTS | bit::TCP_HDR | bit::TCP_SEQ | bit::TCP_FLAGS => {
                is(carries(Carried::Tcp))
            }
            bit::TCP_LEN | bit::TCP_PAYLOAD => maybe(carries(Carried::Tcp)),
            bit::UDP | bit::UDP_PORTS | bit::UDP_HDR => is(carries(Carried::Udp)),
            bit::UDP_PAYLOAD => maybe(carries(Carried::Udp)),
            bit::PORTS if carries(Carried::Tcp) || carries(Carried::Udp) => is(true),
            bit::PORTS | bit::SCTP | bit::SCTP_PORTS => protocols(&[132]),
            bit::ICMP | bit::ICMP_HDR => protocols(&[1]),
            bit::ICMP6 | bit::ICMP6_HDR => protocols(&[58]),
            bit::ESP => protocols(&[50]),
            bit::PAYLOAD if carries(Carried::Rest) => protocols(&[1, 58, 132]),
            bit::PAYLOAD => maybe(ip4 || ip6),
            // A program that reads it keeps datagrams of tunnels whole.
            bit::UNPARSED => maybe(self.net == Net::Other || carries(Carried::Rest)),
            bit::FLOW | bit::FROM_CLIENT | bit::FROM_SERVER | bit::STREAM | bit::ISN => maybe(ip4 || ip6),
            // Labels, PPPoE, fragments, extension headers, tunnels belong to other kinds.
            _ => Presence::Never,
        }
    }

    /// The protocol number of the IP header.
    pub fn protocol(self) -> Option<Word> {
        let at = match self.net {
            Net::Ip4(_) => 9,
            Net::Ip6(_) => 6,
            Net::Other | Net::Arp => return None,
        };
        Some(Word { at: self.l3() + at, width: 1, shift: 0, mask: 0xff })
    }

    /// The word of a load; `None` if a filter does not read it.
    pub fn word(self, load: &Load) -> Option<Word> {
        let (at, width) = (u32::from(load.at), u32::from(load.width));
        let base = match load.slot {
            Slot::L2 if at + width <= 12 => 0,
            Slot::L3 if self.net != Net::Other => self.l3(),
            Slot::L4 if self.carried().is_some() => self.l4(),
            _ => return None,
        };
        let (shift, mask) = (u8::try_from(load.shift).ok()?, u32::try_from(load.mask).ok()?);
        let there = base + at + width <= self.sure();
        let known = load.layer == Layer::Outer && width <= 4 && there && !self.differs(load);
        known.then_some(Word { at: base + at, width: load.width, shift, mask })
    }

    /// Whether the super-frame from which a packet is cut may have another number, or the packet
    /// itself before its checksum is complete.
    fn differs(self, load: &Load) -> bool {
        const FIN_PSH_CWR: u64 = 0x01 | 0x08 | 0x80;
        let (at, end) = (load.at, load.at + u16::from(load.width));
        let meets = |from: u16, to: u16| at < to && from < end;
        match (load.slot, self.net) {
            (Slot::L3, Net::Ip4(_)) => meets(2, 6) || meets(10, 12),
            (Slot::L3, Net::Ip6(_)) => meets(4, 6),
            (Slot::L4, Net::Ip4(Carried::Udp) | Net::Ip6(Carried::Udp)) => meets(4, 8),
            (Slot::L4, Net::Ip4(Carried::Tcp) | Net::Ip6(Carried::Tcp)) => {
                let flags = match (end, u32::try_from(load.shift)) {
                    (14, Ok(shift)) => load.mask << shift & FIN_PSH_CWR != 0,
                    _ => meets(13, 14),
                };
                meets(4, 8) || meets(16, 18) || meets(13, 14) && flags
            }
            _ => false,
        }
    }
}

/// Whether the kernel took a tag out of the frame: 1 or 0.
pub(super) const TAG_TAKEN: Word = Word { at: meta::VLAN_AVAIL, width: 4, shift: 0, mask: u32::MAX };
/// The type of that tag.
pub(super) const TAG_TYPE: Word = Word { at: meta::VLAN_TPID, width: 4, shift: 0, mask: u32::MAX };
/// Priority and number of that tag.
pub(super) const TAG: Word = Word { at: meta::VLAN_TCI, width: 4, shift: 0, mask: u32::MAX };
/// Priority and number of the tag in the frame.
pub(super) const FRAME_TAG: Word = Word { at: 14, width: 2, shift: 0, mask: 0xffff };
/// The type in the Ethernet header.
pub(super) const FRAME_TYPE: Word = Word { at: 12, width: 2, shift: 0, mask: 0xffff };
