//! The kinds of packets that a filter knows: Ethernet with at most one tag in the frame (and one
//! that the kernel took out), plain IPv4 or IPv6, nothing cut, fragmented or lying; for each, which
//! presence bits the dissector can set, and where numbers are. All other packets are kept whole.
//! The invariants: a bit that is never set here is set by no dissection of such a packet, of its
//! head alone, or of a packet cut out of it where it is a super-frame; a word that is given out
//! lies within the bytes that the filter made sure of, and is the same in all of those. (Rejected:
//! following headers to wherever they lie; indirect loads are calls, and what is rare costs little
//! when kept.)

use super::code::meta;
use super::formula::{Formula, NO, Word, YES};
use crate::abi::bit;
use crate::fields::{Layer, Load, Slot};
use crate::sets::Intervals;

/// What an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Net {
    /// Nothing that the dissector looks into.
    Other,
    Arp,
    Ip4(Carried),
    Ip6(Carried),
}

/// What IP carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Tcp,
    Udp,
    /// Neither these nor another header that leads on.
    Rest,
}

/// Every net.
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
    /// There is a tag in the frame, beside one that the kernel may have taken out.
    pub tagged: bool,
    /// The lengths in the headers were looked at: the headers are sound.
    pub sound: bool,
}

/// Bytes that every packet of a kind has: two addresses, a type, a tag, an IPv4 header, ports.
pub(super) const LEAST: u32 = 14 + 4 + 20 + 4;

/// Whether a presence bit is set.
enum Presence {
    Never,
    Always,
    Maybe,
    /// Where this holds, and nowhere else: it, and its opposite.
    Exactly(Formula, Formula),
    /// Only where this holds.
    Within(Formula),
}

impl Kind {
    /// Where the network header begins.
    pub fn l3(self) -> u32 {
        if self.tagged { 18 } else { 14 }
    }

    /// Where the header behind it begins.
    pub fn l4(self) -> u32 {
        self.l3() + if matches!(self.net, Net::Ip6(_)) { 40 } else { 20 }
    }

    pub fn carried(self) -> Option<Carried> {
        match self.net {
            Net::Ip4(carried) | Net::Ip6(carried) => Some(carried),
            Net::Other | Net::Arp => None,
        }
    }

    /// How many bytes are there for sure.
    fn sure(self) -> u32 {
        match (self.carried(), self.sound) {
            (Some(Carried::Tcp), true) => self.l4() + 20,
            (Some(Carried::Udp), true) => self.l4() + 8,
            (Some(_), _) if matches!(self.net, Net::Ip6(_)) => self.l4() + 4,
            _ => LEAST,
        }
    }

    /// What must hold where all of these bits are set, or where they are not all set.
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
            // What follows a tag is a type here, never a length.
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
            bit::FLOW | bit::FROM_CLIENT | bit::FROM_SERVER | bit::STREAM | bit::ISN => maybe(ip4 || ip6),
            // Labels, PPPoE, fragments, extension headers, tunnels: other kinds.
            _ => Presence::Never,
        }
    }

    /// The protocol number behind the IP header.
    pub fn protocol(self) -> Option<Word> {
        let at = match self.net {
            Net::Ip4(_) => 9,
            Net::Ip6(_) => 6,
            Net::Other | Net::Arp => return None,
        };
        Some(Word { at: self.l3() + at, width: 1, shift: 0, mask: 0xff })
    }

    /// Where a number is that a load speaks of; none where a filter does not look.
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

    /// Whether a number of a packet may be another in the super-frame that it is cut from, or
    /// before its checksum is complete.
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
/// Priority and number in it.
pub(super) const TAG: Word = Word { at: meta::VLAN_TCI, width: 4, shift: 0, mask: u32::MAX };
/// The same of the tag in the frame.
pub(super) const FRAME_TAG: Word = Word { at: 14, width: 2, shift: 0, mask: 0xffff };
/// The type in the Ethernet header.
pub(super) const FRAME_TYPE: Word = Word { at: 12, width: 2, shift: 0, mask: 0xffff };
