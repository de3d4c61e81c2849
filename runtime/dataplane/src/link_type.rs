//! Link types: the number of a capture file in the registry, and the frame layout that it means.
//! Invariant: a number is kept as it was found, so that an output file has the same number as its
//! source. (Rejected: a closed enum, which would lose unsupported numbers and could then not name
//! them.) Numbers: www.tcpdump.org/linktypes.html.

use mrule_compiler::abi::Link;
use std::fmt;

/// A number in the link-type registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

impl LinkType {
    /// The supported link types, in words for a user.
    pub const SUPPORTED: &str = "Ethernet (1), raw IP (101, 12, 14, 228, 229), Linux cooked v1 (113) and v2 (276), and BSD loopback (0, 108)";

    /// The layout of frames with this link type. `None`: it is not supported.
    pub fn link(self) -> Option<Link> {
        Some(match self.0 {
            1 => Link::Ethernet,
            // Some systems wrote 12 and 14 for raw IP before 101 was registered.
            12 | 14 | 101 | 228 | 229 => Link::RawIp,
            113 => Link::LinuxSll,
            276 => Link::LinuxSll2,
            0 | 108 => Link::Null,
            _ => return None,
        })
    }

    /// What to do about a capture with this link type, if there is a way. It begins with `; `.
    pub fn advice(self) -> &'static str {
        match self.0 {
            50 | 104 => {
                "; to read the IP packets in it, cut the link header off: `editcap -C 4 -L -T rawip IN OUT`"
            }
            9 => {
                "; to read the IP packets in it, cut the link header off: `editcap -C 4 -L -T rawip IN OUT` \
                 (`-C 2` where frames do not begin with ff:03)"
            }
            105 | 119 | 127 | 163 | 192 => {
                "; these are 802.11 frames: capture on the wired side of the access point, or turn them into Ethernet \
                 (`airdecap-ng -b BSSID FILE`)"
            }
            239 | 258 => "; each frame has a header of its own length: capture on the interface itself",
            _ => "",
        }
    }

    /// The link type's name in the registry, for common link types.
    pub fn name(self) -> Option<&'static str> {
        let found = NAMES.binary_search_by_key(&self.0, |&(number, _)| number).ok()?;
        NAMES.get(found).map(|&(_, name)| name)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Sorted by number.
const NAMES: &[(u16, &str)] = &[
    (0, "NULL"),
    (1, "ETHERNET"),
    (3, "AX25"),
    (6, "IEEE802_5"),
    (7, "ARCNET_BSD"),
    (8, "SLIP"),
    (9, "PPP"),
    (10, "FDDI"),
    (12, "RAW"),
    (14, "RAW"),
    (50, "PPP_HDLC"),
    (51, "PPP_ETHER"),
    (100, "ATM_RFC1483"),
    (101, "RAW"),
    (104, "C_HDLC"),
    (105, "IEEE802_11"),
    (107, "FRELAY"),
    (108, "LOOP"),
    (113, "LINUX_SLL"),
    (114, "LTALK"),
    (117, "PFLOG"),
    (119, "IEEE802_11_PRISM"),
    (122, "IP_OVER_FC"),
    (123, "SUNATM"),
    (127, "IEEE802_11_RADIOTAP"),
    (129, "ARCNET_LINUX"),
    (138, "APPLE_IP_OVER_IEEE1394"),
    (139, "MTP2_WITH_PHDR"),
    (140, "MTP2"),
    (141, "MTP3"),
    (143, "DOCSIS"),
    (144, "LINUX_IRDA"),
    (147, "USER0"),
    (163, "IEEE802_11_AVS"),
    (166, "PPP_PPPD"),
    (177, "LINUX_LAPD"),
    (187, "BLUETOOTH_HCI_H4"),
    (189, "USB_LINUX"),
    (192, "PPI"),
    (195, "IEEE802_15_4_WITHFCS"),
    (197, "ERF"),
    (201, "BLUETOOTH_HCI_H4_WITH_PHDR"),
    (220, "USB_LINUX_MMAPPED"),
    (224, "FC_2"),
    (226, "IPNET"),
    (227, "CAN_SOCKETCAN"),
    (228, "IPV4"),
    (229, "IPV6"),
    (230, "IEEE802_15_4_NOFCS"),
    (231, "DBUS"),
    (239, "NFLOG"),
    (242, "IP_OVER_INFINIBAND"),
    (247, "INFINIBAND"),
    (249, "USBPCAP"),
    (251, "BLUETOOTH_LE_LL"),
    (252, "WIRESHARK_UPPER_PDU"),
    (253, "NETLINK"),
    (256, "BLUETOOTH_LE_LL_WITH_PHDR"),
    (265, "EPON"),
    (271, "VSOCK"),
    (272, "NORDIC_BLE"),
    (274, "ETHERNET_MPACKET"),
    (276, "LINUX_SLL2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_every_supported_type_has_one() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        let supported: Vec<u16> = (0..u16::MAX).filter(|&n| LinkType(n).link().is_some()).collect();
        assert_eq!(supported, [0, 1, 12, 14, 101, 108, 113, 228, 229, 276]);
        for n in supported {
            assert!(LinkType(n).name().is_some(), "{n}");
            assert!(LinkType::SUPPORTED.contains(&n.to_string()), "{n}");
        }
    }

    #[test]
    fn advice_is_for_unsupported_types_that_can_be_converted() {
        for n in (0..u16::MAX).filter(|&n| LinkType(n).link().is_some()) {
            assert_eq!(LinkType(n).advice(), "", "{n}");
        }
        assert!(LinkType(104).advice().starts_with("; ") && LinkType(104).advice().contains("editcap -C 4"));
        assert!(LinkType(9).advice().contains("-C 2"));
        assert!(LinkType(127).advice().contains("802.11"));
        assert_eq!(LinkType(147).advice(), "");
    }

    #[test]
    fn shows_number_and_name() {
        assert_eq!(LinkType(127).to_string(), "127 (IEEE802_11_RADIOTAP)");
        assert_eq!(LinkType(9999).to_string(), "9999");
    }
}
