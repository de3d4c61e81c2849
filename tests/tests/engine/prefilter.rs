//! The filter that the kernel gets: what it keeps of packets by hand, that the kernel takes it and
//! runs it as the tests' interpreter does, and that it stays short. That it keeps what is wanted is
//! held for random programs by `differential.rs`, and on interfaces by `live_prefilter.rs`.
//! (Rejected: recording listings of many programs; they change with every improvement.)

use mrule_compiler::abi::Link;
use mrule_compiler::bpf::{self, Filter};
use mrule_dataplane::sys::packet::attach;
use mrule_tests::choices::Choices;
use mrule_tests::palette::Palette;
use mrule_tests::prefilter::{Shown, filter, is_unfinished};
use mrule_tests::{compile_text, generate, mangle, packet_text};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

fn rules(lines: &str) -> Filter {
    filter(&format!("station s {{ pcapng \"s\" }}\n{lines}"))
}

fn rule(condition: &str) -> Filter {
    rules(&format!("rule r {{ match {condition}  snaplen full  to s }}"))
}

fn frame(packet: &str) -> Vec<u8> {
    packet_text::build(packet).unwrap().bytes
}

/// How many bytes of a packet are kept; none for all.
fn kept(filter: &Filter, packet: &str) -> Option<u32> {
    let shown = Shown::entering(&frame(packet));
    let kept = shown.run(filter.code());
    ((kept as usize) < shown.bytes.len()).then_some(kept)
}

const NOTHING: Option<u32> = Some(0);
const WHOLE: Option<u32> = None;

const PLAIN: [&str; 9] = [
    "eth/ip/tcp(dport=80)/\"GET\"",
    "eth/ip(src=192.0.2.1)/udp(dport=53)/\"ask\"",
    "eth/ip6/tcp(dport=80)/\"GET\"",
    "eth/ip6/udp(dport=53)/\"ask\"",
    "eth/ip/icmp/count(56)",
    "eth/arp(op=1) | pad=18",
    "eth/vlan(10)/ip/tcp(dport=80)/\"GET\"",
    "eth/vlan(10)/vlan(20)/ip/udp(dport=53)/\"ask\"",
    "eth/vlan(20)/arp(op=1) | pad=18",
];

#[test]
fn plain_packets_are_kept_by_what_is_asked() {
    let cases = [
        ("tcp.port == 80", [1, 0, 1, 0, 0, 0, 1, 0, 0]),
        ("tcp.port == 81", [0; 9]),
        ("udp", [0, 1, 0, 1, 0, 0, 0, 1, 0]),
        ("not udp", [1, 0, 1, 0, 1, 1, 1, 0, 1]),
        ("ip.src == 192.0.2.0/24", [0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("not net.src == 192.0.2.0/24", [1, 0, 1, 1, 1, 1, 1, 1, 1]),
        ("ipv6.src == 2001::/16", [0, 0, 1, 1, 0, 0, 0, 0, 0]),
        ("ipv6.dst == 2001:db8:ffff::1", [0; 9]),
        ("vlan", [0, 0, 0, 0, 0, 0, 1, 1, 1]),
        ("vlan.id == 20", [0, 0, 0, 0, 0, 0, 0, 1, 1]),
        ("vlan.id == 10 and tcp", [0, 0, 0, 0, 0, 0, 1, 0, 0]),
        ("not vlan", [1, 1, 1, 1, 1, 1, 0, 0, 0]),
        ("arp.opcode == 1", [0, 0, 0, 0, 0, 1, 0, 0, 1]),
        ("arp.opcode == 2", [0; 9]),
        ("icmp.type == 8 or l4.port == 53", [0, 1, 0, 1, 1, 0, 0, 1, 0]),
        ("eth.type == 0x8100", [0, 0, 0, 0, 0, 0, 1, 1, 1]),
        ("eth.type == 0x0806", [0, 0, 0, 0, 0, 1, 0, 0, 0]),
        ("tcp.flags.syn == 1", [0; 9]),
        ("tcp.flags.push == 1", [1, 0, 1, 0, 0, 0, 1, 0, 0]),
        ("mpls", [0; 9]),
        ("vxlan.vni == 7", [0; 9]),
        ("frame contains \"x\"", [1; 9]),
        ("udp contains \"x\"", [0, 1, 0, 1, 0, 0, 0, 1, 0]),
    ];
    for (condition, wanted) in cases {
        let filter = rule(condition);
        for (packet, wanted) in PLAIN.iter().zip(wanted) {
            let kept = kept(&filter, packet);
            let expected = if wanted == 1 { WHOLE } else { NOTHING };
            assert_eq!(kept, expected, "{condition}: {packet}\n{}", filter.listing());
        }
    }
}

#[test]
fn what_is_not_plain_is_kept() {
    let filter = rule("tcp.port == 80");
    let odd = [
        "eth/ip(mf=1,id=7)/udp/count(64)",
        "eth/ip(proto=6,off=9,id=7)/count(64)",
        "eth/ip(opt=94040000)/udp/count(64)",
        "eth/ip6/frag(off=9,nxt=6)/count(64)",
        "eth/ip6/hopopts/tcp(dport=80)/\"x\"",
        "eth/ip/ah/tcp(dport=80)/\"x\"",
        "eth/mpls(16)/ip/tcp(dport=80)/\"x\"",
        "eth/pppoe/ip/tcp(dport=80)/\"x\"",
        "eth/llc/ip/tcp(dport=80)",
        "eth/vlan(1)/vlan(2)/vlan(3)/ip/tcp(dport=80)",
    ];
    for packet in odd {
        assert_eq!(kept(&filter, packet), WHOLE, "{packet}");
    }
    // Tunnels are looked into where the program does.
    let tunnel = "eth/ip/udp/vxlan(77)/eth/ip6/tcp(dport=80)/\"inner\"";
    assert_eq!(kept(&filter, tunnel), NOTHING);
    assert_eq!(kept(&rule("inner.tcp.port == 80"), tunnel), WHOLE);
    assert_eq!(kept(&rule("inner.tcp.port == 80"), "eth/ip/udp(dport=53)/\"ask\""), NOTHING);
    let gre = "eth/ip/gre(key=7)/ip/tcp(dport=80)/\"inner\"";
    assert_eq!((kept(&filter, gre), kept(&rule("inner.tcp.port == 80"), gre)), (NOTHING, WHOLE));
}

#[test]
fn a_program_that_asks_for_nothing_keeps_nothing() {
    for lines in ["", "limit l { match any  snaplen 64 }", "rule r { match any  snaplen none  to s }"] {
        let Ok(program) = compile_text(&format!("station s {{ pcapng \"s\" }}\n{lines}")) else { continue };
        for link in [Link::Ethernet, Link::RawIp] {
            let filter = bpf::compile(&program, link, bpf::MOST);
            assert_eq!(filter.listing(), "(000) ret      #0\n", "{lines}");
        }
    }
    let all = rule("any");
    assert!(all.is_everything() && all == Filter::everything(), "{}", all.listing());
    let program =
        compile_text("station s { pcapng \"s\" }\nrule r { match tcp  snaplen full  to s }").unwrap();
    assert!(bpf::compile(&program, Link::RawIp, bpf::MOST).is_everything());
}

#[test]
fn what_changes_while_it_runs_is_not_asked() {
    let lines =
        "param p : uint = 80 in 1..65535\n table t : set<ip>\n trigger g by net.src { external hold 1h }\n";
    for condition in ["tcp.port == p", "tcp and net.src in t", "tcp and g"] {
        let filter = rules(&format!("{lines} rule r {{ match {condition}  snaplen full  to s }}"));
        let wanted = PLAIN.map(|packet| if packet.contains("tcp") { WHOLE } else { NOTHING });
        assert_eq!(PLAIN.map(|packet| kept(&filter, packet)), wanted, "{condition}");
    }
}

#[test]
fn flows_and_windows_get_their_packets() {
    let flows = rule("tcp.port == 9 and flow.packets > 3");
    let wanted = PLAIN.map(|packet| if packet.contains("arp") { NOTHING } else { WHOLE });
    assert_eq!(PLAIN.map(|packet| kept(&flows, packet)), wanted);
    // Whoever sent enough is held by any packet, counted or not.
    let counts = rules(
        "trigger g by net.src { when count(tcp.flags.syn == 1) per 1m > 9  hold 1h }\n\
         rule r { match udp.port == 9 and g  snaplen full  to s }",
    );
    assert!(kept(&counts, PLAIN[0]) != NOTHING && kept(&counts, PLAIN[1]) != NOTHING);
}

#[test]
fn heads_are_enough_where_nothing_asks_for_more() {
    let tcp = |more: &str| format!("eth/ip/tcp(dport=80{more})/count(1400)");
    let udp = "eth/ip/udp(dport=53)/count(1400)";
    let cases = [
        ("rule r { match any  snaplen headers  to s }", Some(128), Some(128)),
        ("rule r { match any  snaplen headers + 72  to s }", Some(200), WHOLE),
        ("rule r { match any  snaplen 500  to s }", Some(500), WHOLE),
        ("rule r { match any  snaplen 20  to s }", Some(128), Some(128)),
        ("rule r { match any  snaplen 10%  to s }", WHOLE, WHOLE),
        (
            "rule r { match udp  snaplen full  to s }\n rule t { match tcp  snaplen headers  to s }",
            Some(128),
            WHOLE,
        ),
        ("rule r { match tcp contains \"x\"  snaplen headers  to s }", WHOLE, NOTHING),
        (
            "rule r { match any  snaplen headers  to s }\n limit l { match frame contains \"x\"  snaplen 20 }",
            WHOLE,
            WHOLE,
        ),
        (
            "rule r { match any  snaplen headers  to s }\n limit l { match udp contains \"x\"  snaplen 20 }",
            Some(128),
            WHOLE,
        ),
        ("rule r { match packet.hash % 10 == 0  snaplen headers  to s }", WHOLE, WHOLE),
        ("rule r { match frame.cap_len > 100  snaplen headers  to s }", WHOLE, WHOLE),
        ("rule r { match tcp.checksum == 7  snaplen headers  to s }", WHOLE, NOTHING),
        ("rule r { match tcp.options.mss_val > 7  snaplen headers  to s }", Some(128), NOTHING),
    ];
    for (lines, of_tcp, of_udp) in cases {
        let filter = rules(lines);
        assert_eq!((kept(&filter, &tcp("")), kept(&filter, udp)), (of_tcp, of_udp), "{lines}");
    }
}

#[test]
fn what_a_network_card_would_finish_is_kept_whole() {
    let filter = rules("rule r { match any  snaplen headers  to s }");
    let packets = [
        ("eth/ip/tcp(dport=80)/count(1400)", 34 + 16),
        ("eth/ip6/tcp(dport=80)/count(1400)", 54 + 16),
        ("eth/ip/udp(dport=53)/count(1400)", 34 + 6),
        ("eth/ip6/udp(dport=53)/count(1400)", 54 + 6),
        ("eth/vlan(5)/vlan(6)/ip6/udp(dport=53)/count(1400)", 58 + 6),
    ];
    for (packet, sum) in packets {
        let mut shown = Shown::entering(&frame(packet));
        let mut unfinished = 0;
        for value in 0..=u16::MAX {
            shown.bytes[sum..sum + 2].copy_from_slice(&value.to_be_bytes());
            let kept = shown.run(filter.code());
            let is = kept == u32::MAX;
            assert!(is || kept == 128, "{packet}: {kept}");
            assert_eq!(is, is_unfinished(&shown.head(u32::MAX)), "{packet}: {value:#x}");
            unfinished += u32::from(is);
        }
        assert!(unfinished == 1 || unfinished == 2, "{packet}: {unfinished} sums of one header");
    }
}

#[test]
fn large_programs_have_short_filters() {
    let hosts: String = (0..10_000)
        .map(|i| {
            let (a, b) = (i / 250, i % 250);
            format!(
                "rule r{i} {{ match ip.dst == 10.7.{a}.{b} and tcp.dstport == {}  snaplen full  to s }}\n",
                1000 + i % 50
            )
        })
        .collect();
    let filter = rules(&hosts);
    assert!(filter.code().len() <= bpf::MOST && !filter.is_everything(), "{}", filter.code().len());
    assert_eq!(kept(&filter, "eth/ip(dst=10.7.3.4)/tcp(dport=1004)"), WHOLE);
    assert_eq!(kept(&filter, "eth/ip(dst=10.99.3.4)/tcp(dport=1004)"), NOTHING);
    assert_eq!(kept(&filter, "eth/ip(dst=10.7.3.4)/tcp(dport=2000)"), NOTHING);
    assert_eq!(kept(&filter, "eth/ip(dst=10.7.3.4)/udp(dport=1004)"), NOTHING);
    let many: Vec<String> = (0..3000).map(|i| format!("2001:db8:{:x}::/48", i * 5)).collect();
    let filter = rule(&format!("ipv6.src in {{{}}}", many.join(", ")));
    assert!(filter.code().len() <= bpf::MOST && !filter.is_everything(), "{}", filter.code().len());
    assert_eq!(kept(&filter, "eth/ip6(src=2001:db8:5::1)/udp"), WHOLE);
    assert_eq!(kept(&filter, "eth/ip6(src=2001:db9::1)/udp"), NOTHING);
}

/// The kernel runs a socket's filter on any socket's packets, also those between two ends of one
/// process.
#[test]
fn the_kernel_keeps_as_much() {
    let (from, to) = UnixDatagram::pair().unwrap();
    to.set_nonblocking(true).unwrap();
    let (mut dropped, mut cut, mut longest) = (0, 0, 0);
    for seed in 0..150 {
        let mut choices = Choices::of_seed(seed);
        let packets = mangle::packets(&mut choices, 40);
        let palette = Palette::of(&mangle::views(&packets));
        let text = match seed % 5 {
            0 => generate::large(&mut choices, &palette, 200),
            1 => generate::small(&mut choices, &palette),
            _ => generate::narrow(&mut choices, &palette),
        };
        let Ok(program) = compile_text(&text) else { continue };
        let filter = bpf::compile(&program, Link::Ethernet, bpf::MOST);
        longest = longest.max(filter.code().len());
        attach(&to, filter.code()).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", filter.listing()));
        for packet in packets.iter().filter(|packet| !packet.bytes.is_empty()) {
            let shown = Shown { bytes: packet.bytes.clone(), tag: None, outgoing: false };
            from.send(&shown.bytes).unwrap();
            let mut buffer = vec![0; shown.bytes.len()];
            let read = match to.recv(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => panic!("{error}"),
            };
            let expected = shown.bytes.len().min(shown.run(filter.code()) as usize);
            assert_eq!(read, expected, "seed {seed}: {:02x?}\n{}", shown.bytes, filter.listing());
            dropped += u32::from(expected == 0);
            cut += u32::from(expected > 0 && expected < shown.bytes.len());
        }
    }
    assert!(
        dropped > 500 && cut > 5 && longest > 255,
        "{dropped} dropped, {cut} cut, {longest} instructions"
    );
}
