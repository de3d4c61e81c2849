//! A short description of a packet, printed above its explanation: time, interface and headers. The
//! invariant: it reads only where the dissector found headers, and leaves out what it cannot read.
//! (Rejected: a dump of all fields; Wireshark does that, and the explanation names the fields that
//! mattered.)

use mrule_compiler::abi::{Head, Packet, Stack, bit};
use mrule_compiler::dissect::unparsed;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A line about the frame, a line about its headers, and a line about the packet inside a tunnel.
pub fn describe(packet: &Packet<'_>, head: &Head) -> Vec<String> {
    let mut first = format!("{} bytes", packet.len);
    if packet.cap_len() < packet.len {
        first.push_str(&format!(", {} captured", packet.cap_len()));
    }
    first.push_str(&format!(", {}", utc(packet.stamp)));
    if !packet.interface_name().is_empty() {
        first.push_str(&format!(", from {}", packet.interface_name()));
    }
    let mut lines = vec![first];
    for (stack, prefix) in [(&head.outer, ""), (&head.inner, "inside the tunnel: ")] {
        let words = headers(packet.frame(), stack);
        if !words.is_empty() {
            lines.push(format!("{prefix}{}", words.join(", ")));
        }
    }
    lines.extend(unparsed(head).map(|kind| format!("not looked behind: {kind}")));
    lines
}

fn headers(frame: &[u8], stack: &Stack) -> Vec<String> {
    let has = |bits: u64| stack.bits & bits == bits;
    let l3 = stack.l3 as usize;
    let mut words = Vec::new();
    if has(bit::ETH) {
        let mac = |at: usize| frame.get(at..at + 6).map(hex).unwrap_or_default();
        let l2 = stack.l2 as usize;
        words.push(format!("eth {} > {}", mac(l2 + 6), mac(l2)));
    }
    if has(bit::VLAN) {
        let tags = (0..stack.vlans as usize).filter_map(|i| number(frame, stack.vlan as usize + 4 * i, 2));
        words.extend(tags.map(|tci| format!("vlan {}", tci & 0xfff)));
    }
    if has(bit::MPLS) {
        let labels = (0..stack.labels as usize).filter_map(|i| number(frame, stack.mpls as usize + 4 * i, 4));
        words.extend(labels.map(|entry| format!("mpls {}", entry >> 12)));
    }
    if has(bit::PPPOE) {
        words.push("pppoes".into());
    }
    if has(bit::ARP) {
        words.push("arp".into());
    } else if has(bit::IP_HDR) {
        let address = |at| number(frame, at, 4).map_or_else(String::new, |a| Ipv4Addr::from(a).to_string());
        words.push(format!("ip {} > {}", address(l3 + 12), address(l3 + 16)));
    } else if has(bit::IP6_HDR) {
        let address = |at: usize| {
            let bytes = frame.get(at..at + 16).and_then(|b| <[u8; 16]>::try_from(b).ok());
            bytes.map_or_else(String::new, |b| Ipv6Addr::from(b).to_string())
        };
        words.push(format!("ipv6 {} > {}", address(l3 + 8), address(l3 + 24)));
    } else if has(bit::IP) {
        words.push("a malformed ip header".into());
    } else if has(bit::IP6) {
        words.push("a malformed ipv6 header".into());
    }
    words.extend(transport(frame, stack));
    words
}

/// The headers after the IP header.
fn transport(frame: &[u8], stack: &Stack) -> Vec<String> {
    let has = |bits: u64| stack.bits & bits == bits;
    let l4 = stack.l4 as usize;
    let mut words = Vec::new();
    if has(bit::FRAGMENT) {
        words.push(format!("a later fragment (protocol {})", stack.proto));
    }
    for (name, known) in [("tcp", bit::TCP), ("udp", bit::UDP), ("sctp", bit::SCTP)] {
        if has(known) {
            let ports = number(frame, l4, 2).zip(number(frame, l4 + 2, 2));
            let ports =
                ports.filter(|_| has(bit::PORTS)).map_or_else(String::new, |(s, d)| format!(" {s} > {d}"));
            let flags = if has(bit::TCP_HDR) { flags(frame, l4 + 13) } else { String::new() };
            words.push(format!("{name}{ports}{flags}"));
        }
    }
    for (name, known, header) in [("icmp", bit::ICMP, bit::ICMP_HDR), ("icmpv6", bit::ICMP6, bit::ICMP6_HDR)]
    {
        if has(known) {
            let kind = number(frame, l4, 1).zip(number(frame, l4 + 1, 1)).filter(|_| has(header));
            words.push(kind.map_or_else(|| name.into(), |(t, c)| format!("{name} type {t} code {c}")));
        }
    }
    for (name, known) in [("ah", bit::AH), ("esp", bit::ESP), ("gre", bit::GRE)] {
        if has(known) {
            words.push(name.into());
        }
    }
    let vni = number(frame, stack.tunnel as usize + 4, 4).map_or(0, |word| word >> 8);
    for (name, known) in [("vxlan", bit::VXLAN), ("geneve", bit::GENEVE)] {
        if has(known) {
            words.push(format!("{name} vni {vni}"));
        }
    }
    if has(bit::PAYLOAD) {
        let bytes = stack.payload_end.saturating_sub(stack.payload);
        words.push(format!("{bytes} bytes of payload"));
    }
    words
}

fn flags(frame: &[u8], at: usize) -> String {
    let Some(bits) = frame.get(at) else { return String::new() };
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, n)| *n).collect();
    if set.is_empty() { " [no flags]".into() } else { format!(" [{}]", set.join(" ")) }
}

/// `width` bytes at `at` as a big-endian number.
fn number(frame: &[u8], at: usize, width: usize) -> Option<u32> {
    let bytes = frame.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

/// Nanoseconds since the Unix epoch as a date and time in UTC.
pub fn utc(time: i64) -> String {
    let (seconds, nanos) = (time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant, "chrono-compatible low-level date algorithms": civil_from_days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}.{nanos:09} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mrule_compiler::abi::Link;
    use mrule_compiler::dissect::dissect;

    #[test]
    fn dates() {
        for (time, text) in [
            (0, "1970-01-01 00:00:00.000000000 UTC"),
            (951_782_400_000_000_001, "2000-02-29 00:00:00.000000001 UTC"),
            (1_709_251_199_999_999_999, "2024-02-29 23:59:59.999999999 UTC"),
            (-1, "1969-12-31 23:59:59.999999999 UTC"),
            (i64::MAX, "2262-04-11 23:47:16.854775807 UTC"),
        ] {
            assert_eq!(utc(time), text);
        }
    }

    #[test]
    fn any_cut_of_a_packet_is_described() {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 7, 8, 0];
        frame.extend([0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0xc0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x12, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        let whole = Packet::new(&frame, 62, Link::Ethernet).at(1).on(0, "eth0");
        assert_eq!(
            describe(&whole, &dissect(&whole)),
            [
                "62 bytes, 1970-01-01 00:00:00.000000001 UTC, from eth0",
                "eth 02:00:00:00:00:02 > 02:00:00:00:00:01, vlan 7, ip 10.0.0.1 > 10.0.0.2, \
                 tcp 49152 > 80 [SYN ACK], 4 bytes of payload",
            ]
        );
        for cut in 0..frame.len() {
            let packet = Packet::new(&frame[..cut], 62, Link::Ethernet);
            let lines = describe(&packet, &dissect(&packet));
            assert!(lines[0].starts_with(&format!("62 bytes, {cut} captured")), "{lines:?}");
        }
    }
}
