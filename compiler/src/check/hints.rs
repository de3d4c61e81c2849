//! Names of Wireshark and tcpdump that have another meaning here, or none: the table says what to
//! write for each. The invariant: no name that this table recommends is itself unknown (a test
//! checks every name). (Rejected: an alias for each; a filter that means something slightly
//! different is worse than an error that says what to write.)

/// What to write for a name that Wireshark knows and this language does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    /// The name, or the beginning of several names when it ends in `.` or `_`.
    name: &'static str,
    /// What to write.
    pub help: &'static str,
    /// A name that can replace it without other changes, or an empty text.
    pub replacement: &'static str,
}

const fn say(name: &'static str, help: &'static str) -> Hint {
    Hint { name, help, replacement: "" }
}

const fn write(name: &'static str, replacement: &'static str, help: &'static str) -> Hint {
    Hint { name, help, replacement }
}

const RELATIVE: &str = "it is relative to the start of the stream there; the number in the header is";
const NO_STATE: &str = "it needs the history of the stream, which Wireshark gathers; test header fields instead, \
    such as `tcp.flags.reset == 1`";
const NO_NUMBERS: &str = "streams have no numbers here; to sample whole flows, write `flow.hash % 100 == 0`; to follow one, write a \
    trigger by flow";
const NO_TIME: &str =
    "rules see one packet at a time and not its time of day; cut the capture by time with `editcap -A -B`";
const NO_NUMBER: &str =
    "rules see one packet at a time and not its number; to sample, write `packet.hash % 100 == 0`";
const NO_SEGMENTS: &str = "`tcp.payload` is the payload of this packet; to look across segments, write \
    `stream contains \"x\"`";
const NO_NAMES: &str = "addresses are not resolved to names; write the address, or keep the names in a table";
const NO_CHECK: &str = "checksums are not verified; the field itself is there without `.status`";

const NO_WLAN: &str = "there are no fields of 802.11 and its radio headers; of frames that are bridged to Ethernet, test \
    `eth.addr`, `ip` and what is above them";
const NO_ERSPAN: &str =
    "the headers of ERSPAN have no fields here; `gre.proto in {0x88be, 0x22eb}` is every packet with ERSPAN";

/// The table.
const HINTS: &[Hint] = &[
    write("tcp.seq", "tcp.seq_raw", RELATIVE),
    write("tcp.ack", "tcp.ack_raw", RELATIVE),
    say(
        "tcp.nxtseq",
        "`stream.offset` counts from the start of the stream; `tcp.seq_raw` and `tcp.len` are what the packet itself says",
    ),
    say("tcp.stream", NO_NUMBERS),
    say("udp.stream", NO_NUMBERS),
    write(
        "tcp.window_size",
        "tcp.window_size_value",
        "it is scaled by the handshake there; the number in the header is",
    ),
    say("tcp.window_size_scalefactor", "it needs the handshake; in a SYN, `tcp.options.wscale.shift` has it"),
    say("tcp.analysis.", NO_STATE),
    say("tcp.analysis", NO_STATE),
    say("tcp.completeness", "write `flow.established`, or test flags: `tcp.flags.reset == 1`"),
    say("tcp.time_delta", "write `flow.idle`: the time since the packet before, in either direction"),
    say("tcp.time_relative", "write `flow.age`: the time since the first packet of the flow"),
    say("tcp.time_", NO_TIME),
    say(
        "tcp.connection.",
        "write `flow.is_new` or `flow.established`, or test flags: `tcp.flags.syn == 1` and `tcp.flags.ack == 0`",
    ),
    say("tcp.checksum.", NO_CHECK),
    say("tcp.checksum_", NO_CHECK),
    say("tcp.reassembled", NO_SEGMENTS),
    say("tcp.segment", NO_SEGMENTS),
    say("tcp.segments", NO_SEGMENTS),
    write("tcp.segment_data", "tcp.payload", "the bytes of this segment are"),
    write("tcp.flags.rst", "tcp.flags.reset", "the flag is called"),
    write("tcp.flags.psh", "tcp.flags.push", "the flag is called"),
    write("tcp.flags.ns", "tcp.flags.ae", "the flag is now called"),
    write("tcp.flags.ecn", "tcp.flags.ece", "the flag is called"),
    say("tcp.flags.str", "compare the flags themselves: `tcp.flags == 0x012` is SYN and ACK"),
    say(
        "tcp.options",
        "name the option: `tcp.options.mss`, `tcp.options.wscale`, `tcp.options.timestamp`; or take the bytes: `tcp[20:4]`",
    ),
    say(
        "tcp.option_kind",
        "name the option: `tcp.options.mss`, `tcp.options.wscale`, `tcp.options.timestamp`",
    ),
    say(
        "tcp.option_len",
        "name the option: `tcp.options.mss`, `tcp.options.wscale`, `tcp.options.timestamp`",
    ),
    write("tcp.options.wscale.multiplier", "tcp.options.wscale.shift", "the number in the option is"),
    write("tcp.data", "tcp.payload", "the bytes after the TCP header are"),
    write("data.data", "l4.payload", "the bytes after the L4 header are"),
    write("data", "l4.payload", "the bytes after the L4 header are"),
    say("data.len", "write `len(l4.payload)`"),
    say("udp.checksum.", NO_CHECK),
    say("udp.time_", NO_TIME),
    say("udp.possible_traceroute", "write what it tests: `udp.dstport in {33434..33523} and ip.ttl < 10`"),
    write("udp.len", "udp.length", "the field is called"),
    say("ip.checksum.", NO_CHECK),
    say("ip.checksum_", NO_CHECK),
    say("ip.host", NO_NAMES),
    say("ip.src_host", NO_NAMES),
    say("ip.dst_host", NO_NAMES),
    say("ipv6.host", NO_NAMES),
    say("ipv6.src_host", NO_NAMES),
    say("ipv6.dst_host", NO_NAMES),
    say("ip.geoip.", "addresses are not looked up in databases; put the networks in a table: `net.src in t`"),
    say(
        "ipv6.geoip.",
        "addresses are not looked up in databases; put the networks in a table: `net.src in t`",
    ),
    write("ip.tos", "ip.dsfield", "the field is now called"),
    write("ip.dscp", "ip.dsfield.dscp", "the field is called"),
    write("ip.ecn", "ip.dsfield.ecn", "the field is called"),
    say("ip.fragment", "write `ip.flags.mf == 1 or ip.frag_offset > 0`"),
    say("ip.fragments", "write `ip.flags.mf == 1 or ip.frag_offset > 0`"),
    say(
        "ip.reassembled_in",
        "fragments are not put together; write `ip.flags.mf == 1 or ip.frag_offset > 0`",
    ),
    say("ip.opt.", "take the bytes: `ip[20:1]` is the first option's type"),
    say("ip.stream", NO_NUMBERS),
    write("ip.length", "ip.len", "the field is called"),
    write("ip.protocol", "ip.proto", "the field is called"),
    write("ipv6.hop_limit", "ipv6.hlim", "the field is called"),
    write("ipv6.hoplimit", "ipv6.hlim", "the field is called"),
    write("ipv6.ttl", "ipv6.hlim", "the field is called"),
    write("ipv6.next_header", "ipv6.nxt", "the field is called"),
    write("ipv6.proto", "net.proto", "the protocol after all extension headers is"),
    write("ipv6.flowlabel", "ipv6.flow", "the field is called"),
    write("ipv6.class", "ipv6.tclass", "the field is called"),
    write("ipv6.len", "ipv6.plen", "the length after the header is"),
    write("ipv6.fragment", "ipv6.fraghdr", "the fragment header is"),
    write("ipv6.dst_opts", "ipv6.dstopts", "the field is called"),
    write("ipv6.hop_opt", "ipv6.hopopts", "the field is called"),
    say("ipv6.addr_", NO_NAMES),
    say("eth.src_resolved", NO_NAMES),
    say("eth.dst_resolved", NO_NAMES),
    say("eth.addr_resolved", NO_NAMES),
    say("eth.src.oui", "compare the first three bytes: `eth.src[0:3] == 00:26:0b`"),
    say("eth.dst.oui", "compare the first three bytes: `eth.dst[0:3] == 00:26:0b`"),
    say("eth.addr.oui", "compare the first three bytes: `eth.addr[0:3] == 00:26:0b`"),
    say("eth.src_", NO_NAMES),
    say("eth.dst_", NO_NAMES),
    say("eth.addr_", NO_NAMES),
    say("eth.lg", "take the bit: `eth[0] & 0x02`"),
    say("eth.ig", "take the bit: `eth[0] & 0x01`"),
    say("eth.len", "802.3 length fields have no name here; `not eth.type` is every frame without a type"),
    say("llc", "frames with an 802.3 length instead of a type are `eth and not eth.type`"),
    say("eth.padding", "padding has no name here; `frame.len` counts it"),
    say("eth.trailer", "padding has no name here; `frame.len` counts it"),
    say("eth.fcs", "the frame check sequence is not captured"),
    write("eth.proto", "eth.type", "the field is called"),
    write("ieee8021ad.id", "vlan.id", "tags of 802.1Q and 802.1ad are alike here: any of them is"),
    write("ieee8021ad.svid", "vlan.id", "tags of 802.1Q and 802.1ad are alike here: any of them is"),
    write("ieee8021ad.cvid", "vlan.id", "tags of 802.1Q and 802.1ad are alike here: any of them is"),
    write(
        "ieee8021ad.priority",
        "vlan.priority",
        "tags of 802.1Q and 802.1ad are alike here: any of them is",
    ),
    write("ieee8021ad.dei", "vlan.dei", "tags of 802.1Q and 802.1ad are alike here: any of them is"),
    write("ieee8021ad", "vlan", "tags of 802.1Q and 802.1ad are alike here"),
    write("vlan.cfi", "vlan.dei", "the field is now called"),
    write("vlan.tci", "vlan.id", "the parts are `vlan.priority`, `vlan.dei` and"),
    say("arp.isgratuitous", "write what it tests: `arp.src.proto_ipv4 == arp.dst.proto_ipv4`"),
    write("arp.src.proto", "arp.src.proto_ipv4", "the field is called"),
    write("arp.dst.proto", "arp.dst.proto_ipv4", "the field is called"),
    write("arp.src.hw", "arp.src.hw_mac", "the field is called"),
    write("arp.dst.hw", "arp.dst.hw_mac", "the field is called"),
    say("arp.duplicate-address-detected", "it needs the history of the network, which Wireshark gathers"),
    write("pppoe", "pppoes", "the session protocol is called"),
    say("frame.number", NO_NUMBER),
    say("frame.time", NO_TIME),
    say("frame.time_", NO_TIME),
    say("frame.protocols", "name the protocol: `tcp`, `vlan and ipv6`"),
    say("frame.interface_id", "write `frame.interface_name == \"eth0\"`"),
    say("frame.comment", "comments of the capture are not read"),
    say("frame.marked", "marks are Wireshark's own"),
    say("frame.ignored", "marks are Wireshark's own"),
    say("frame.coloring_rule.", "colours are Wireshark's own"),
    write("frame.caplen", "frame.cap_len", "the field is called"),
    write("frame.pkt_len", "frame.len", "the field is called"),
    say("wlan", NO_WLAN),
    say("wlan.", NO_WLAN),
    say("wlan_", NO_WLAN),
    say("radiotap", NO_WLAN),
    say("radiotap.", NO_WLAN),
    say("ppi", NO_WLAN),
    say("ppi.", NO_WLAN),
    say("erspan", NO_ERSPAN),
    say("erspan.", NO_ERSPAN),
    write("icmp.proto", "icmp", "the protocol is called"),
    write("icmp6", "icmpv6", "the protocol is called"),
    write("ip6", "ipv6", "the protocol is called"),
    write("ipv4", "ip", "the protocol is called"),
    write("mac", "eth.addr", "either MAC address is"),
    write("ethernet", "eth", "the protocol is called"),
    write(
        "fragment",
        "ip.frag_offset",
        "fragments are `ip.flags.mf == 1 or ip.frag_offset > 0`; the offset alone is",
    ),
    write("port", "l4.port", "either port of TCP, UDP or SCTP is"),
    write("srcport", "l4.srcport", "the source port of TCP, UDP or SCTP is"),
    write("dstport", "l4.dstport", "the destination port of TCP, UDP or SCTP is"),
    write("host", "net.addr", "either address, of either family, is"),
    write("src", "net.src", "the source address, of either family, is"),
    write("dst", "net.dst", "the destination address, of either family, is"),
    write("net", "net.addr", "either address, of either family, is"),
    write("addr", "net.addr", "either address, of either family, is"),
    write("proto", "net.proto", "the protocol after the IP headers is"),
    write("ttl", "net.ttl", "time to live or hop limit is"),
    write("len", "frame.len", "the length of the frame is"),
    write("length", "frame.len", "the length of the frame is"),
    write("greater", "frame.len", "write `frame.len >= 1000`; the length of the frame is"),
    write("less", "frame.len", "write `frame.len <= 1000`; the length of the frame is"),
    write("payload", "l4.payload", "the bytes after the L4 header are"),
    say("broadcast", "write `eth.dst == ff:ff:ff:ff:ff:ff`"),
    say("multicast", "write `eth.dst[0] & 0x01`"),
    write("net.port", "l4.port", "either port of TCP, UDP or SCTP is"),
    write("net.srcport", "l4.srcport", "the source port of TCP, UDP or SCTP is"),
    write("net.dstport", "l4.dstport", "the destination port of TCP, UDP or SCTP is"),
    write("l4.proto", "net.proto", "the protocol after the IP headers is"),
];

/// Protocols that Wireshark dissects by content, and a filter for their usual ports. Applications
/// that `app` names are not in this list.
const APPLICATIONS: &[(&str, &str)] = &[
    ("bgp", "tcp.port == 179"),
    ("dcerpc", "tcp.port == 135"),
    ("dhcpv6", "udp.port in {546, 547}"),
    ("dnp3", "tcp.port == 20000"),
    ("gtp", "udp.port == 2152"),
    ("isakmp", "udp.port in {500, 4500}"),
    ("kerberos", "l4.port == 88"),
    ("llmnr", "udp.port == 5355"),
    ("mbtcp", "tcp.port == 502"),
    ("mdns", "udp.port == 5353"),
    ("modbus", "tcp.port == 502"),
    ("nbns", "udp.port == 137"),
    ("nbss", "tcp.port == 139"),
    ("ospf", "net.proto == 89"),
    ("radius", "udp.port in {1812, 1813}"),
    ("rip", "udp.port == 520"),
    ("rtcp", "udp"),
    ("rtp", "udp"),
    ("ssdp", "udp.port == 1900"),
    ("syslog", "udp.port == 514"),
    ("telnet", "tcp.port == 23"),
    ("tftp", "udp.port == 69"),
    ("websocket", "tcp.port in {80, 443}"),
    ("wg", "udp.port == 51820"),
    ("igmp", "net.proto == 2"),
    ("pim", "net.proto == 103"),
    ("vrrp", "net.proto == 112"),
    ("eigrp", "net.proto == 88"),
    ("stp", "eth.dst == 01:80:c2:00:00:00"),
    ("lldp", "eth.type == 0x88cc"),
    ("cdp", "eth.dst == 01:00:0c:cc:cc:cc"),
    ("lacp", "eth.type == 0x8809"),
    ("eapol", "eth.type == 0x888e"),
    ("ptp", "eth.type == 0x88f7"),
    ("rarp", "eth.type == 0x8035"),
    ("amqp", "tcp.port == 5672"),
    ("bacnet", "udp.port == 47808"),
    ("bfd", "udp.port in {3784, 4784}"),
    ("capwap", "udp.port in {5246, 5247}"),
    ("cflow", "udp.port in {2055, 4739}"),
    ("coap", "udp.port in {5683, 5684}"),
    ("diameter", "l4.port == 3868"),
    ("enip", "l4.port == 44818"),
    ("gtpv2", "udp.port == 2123"),
    ("hsrp", "udp.port == 1985"),
    ("kafka", "tcp.port == 9092"),
    ("l2tp", "udp.port == 1701"),
    ("lisp", "udp.port == 4341"),
    ("mongo", "tcp.port == 27017"),
    ("nfs", "l4.port == 2049"),
    ("openvpn", "l4.port == 1194"),
    ("pptp", "tcp.port == 1723"),
    ("rpc", "l4.port == 111"),
    ("rsvp", "net.proto == 46"),
    ("s7comm", "tcp.port == 102"),
    ("sflow", "udp.port == 6343"),
    ("teredo", "udp.port == 3544"),
    ("tzsp", "udp.port == 37008"),
    ("xmpp", "tcp.port in {5222, 5269}"),
];

/// What to write for this name.
pub(super) fn hint(name: &str) -> Option<Hint> {
    let name = name.strip_prefix("inner.").unwrap_or(name);
    HINTS.iter().find(|h| h.name == name).copied().or_else(|| {
        let prefix = |h: &&Hint| h.name.ends_with(['.', '_']) && name.starts_with(h.name);
        HINTS.iter().filter(prefix).max_by_key(|h| h.name.len()).copied()
    })
}

/// A protocol that Wireshark dissects and this language does not, and a filter that comes close to
/// it.
pub(super) fn application(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.strip_prefix("inner.").unwrap_or(name);
    let protocol = name.split('.').next()?;
    APPLICATIONS.iter().find(|(p, _)| *p == protocol).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::fields::find;

    #[test]
    fn every_replacement_is_a_field_and_no_hint_hides_one() {
        for hint in HINTS {
            assert!(hint.replacement.is_empty() || find(hint.replacement).is_some(), "{hint:?}");
            assert!(find(hint.name).is_none(), "{hint:?} is a field");
            let in_ticks = hint.help.split('`').skip(1).step_by(2);
            for code in in_ticks.filter(|code| !code.starts_with("editcap") && !code.starts_with('.')) {
                let path: String =
                    code.chars().take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c)).collect();
                let known = find(&path).is_some() || ["not", "len", "stream"].contains(&path.as_str());
                assert!(known, "{hint:?} recommends {path}");
            }
        }
        for (name, filter) in APPLICATIONS {
            assert!(find(name).is_none(), "{name} is a field");
            assert_eq!(super::super::apps::meant(name), None, "{name} is recognised");
            assert!(find(filter.split(' ').next().unwrap()).is_some(), "{filter}");
        }
    }

    #[test]
    fn exact_names_win_over_beginnings() {
        assert_eq!(hint("tcp.seq").unwrap().replacement, "tcp.seq_raw");
        assert_eq!(hint("inner.tcp.seq").unwrap().replacement, "tcp.seq_raw");
        assert_eq!(hint("tcp.analysis.retransmission").unwrap().name, "tcp.analysis.");
        assert_eq!(hint("tcp.segment_data").unwrap().replacement, "tcp.payload");
        assert_eq!(hint("tcp.port"), None);
        assert_eq!(application("radius.code").unwrap().0, "radius");
    }
}
