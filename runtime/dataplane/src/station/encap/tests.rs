//! Tests packets of tunnels: tshark reads them back, with IP headers by etherparse in front. Where
//! tshark shows less, headers are compared bit by bit. (Rejected: reading them back with our own
//! dissector, which would share our mistakes.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test stops")]

use super::*;
use crate::station::producer::{Copy, CopyMeta};
use crate::station::{Names, blocks};
use etherparse::{IpNumber, Ipv4Header, Ipv6Header};
use mrule_compiler::abi::{BOUND, NO_LIMIT, Packet, Verdict};
use mrule_compiler::hir::Program;
use mrule_engine::policy::Label;
use std::process::Command;

const V4: (IpAddr, IpAddr) =
    (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));
const V6: (IpAddr, IpAddr) = (
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
);

/// A frame with VLAN 20, priority 5, and some payload.
fn frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0x00, 0xa0, 0x14, 0x88, 0xb5];
    frame.extend(0..101_u8);
    frame
}

/// What follows the IP header of a packet for bytes `range` of the frame. The packet's original
/// length is 1500.
fn written(encap: Encap, ends: (IpAddr, IpAddr), range: std::ops::Range<u32>) -> (u8, Vec<u8>) {
    let frame = frame();
    let packet = Packet::new(&frame, 1500, Link::Ethernet);
    let verdict = Verdict { start: range.start, end: range.end, rule: 3, limit: NO_LIMIT };
    let copy = Copy { packet: &packet, verdict, number: 0x1_0000_0007, flow_hash: 0x1234_5678_9abc_def0 };
    let held = CopyMeta::new(&copy, 0..0);
    let bytes = &frame[range.start as usize..range.end as usize];
    let names = Names::new(&Program::default());
    let mut writer = Writer::new(encap);
    let mut out = Vec::new();
    for _ in 0..2 {
        writer.write(&CopyRef { held: &held, bytes, names: &names }, bytes.len(), ends, &mut out);
    }
    assert!(out.len() <= writer.most() + bytes.len() && out.ends_with(bytes), "{encap:?}");
    (writer.protocol(), out)
}

/// Asks tshark for fields of a packet.
fn tshark(encap: Encap, ends: (IpAddr, IpAddr), fields: &[&str]) -> Option<Vec<String>> {
    let (protocol, payload) = written(encap, ends, 0..60);
    let mut packet = Vec::new();
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = payload.len() as u16;
            let header = Ipv4Header::new(length, 64, IpNumber(protocol), from.octets(), to.octets());
            header.unwrap().write(&mut packet).unwrap();
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                payload_length: payload.len() as u16,
                next_header: IpNumber(protocol),
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            };
            header.write(&mut packet).unwrap();
        }
        _ => unreachable!("one family"),
    }
    packet.extend(payload);
    let mut capture = Vec::new();
    blocks::section_header(&mut capture, None);
    let raw_ip = crate::capture::LinkType(101);
    blocks::interface(&mut capture, &crate::capture::Interface::live("x", raw_ip));
    let verdict = Verdict { start: 0, end: packet.len() as u32, rule: 0, limit: NO_LIMIT };
    let about = blocks::About { interface: 0, time: 0, len: packet.len() as u32, verdict };
    blocks::packet(&mut capture, &Names::new(&Program::default()), &about, &packet);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), capture).unwrap();
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "udp.check_checksum:TRUE", "-r"]).arg(file.path()).args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        println!("SKIPPED: there is no tshark");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.trim_end_matches('\n').split('\t').map(str::to_owned).collect())
}

#[test]
fn tshark_reads_what_is_written() {
    let cases: &[(Encap, &[(&str, &str)])] = &[
        (
            Encap::Vxlan { port: 4789, vni: 0xabcdef },
            &[
                ("vxlan.vni", "11259375"),
                ("vxlan.flags", "0x0800"),
                ("vlan.id", "20"),
                ("eth.type", "0x8100"),
            ],
        ),
        (
            Encap::Geneve { port: 6081, vni: 77 },
            &[
                ("geneve.vni", "0x00004d"),
                ("geneve.proto_type", "0x6558"),
                ("geneve.option.class", "0xff6d,0xff6d,0xff6d,0xff6d"),
                ("geneve.option.unknown.data", "000005dc,00000003,ffffffff,0000000100000007"),
                ("vlan.id", "20"),
            ],
        ),
        (Encap::Gre { key: None }, &[("gre.proto", "0x6558"), ("gre.key", ""), ("vlan.id", "20")]),
        (
            Encap::Gre { key: Some(7) },
            &[("gre.proto", "0x6558"), ("gre.key", "0x00000007"), ("vlan.id", "20")],
        ),
        (
            Encap::Erspan2 { session: 1023 },
            &[
                ("gre.proto", "0x88be"),
                ("gre.sequence_number", "1"),
                ("erspan.version", "1"),
                ("erspan.spanid", "1023"),
                ("erspan.vlan", "20"),
                ("erspan.cos", "5"),
                ("erspan.encap", "3"),
                ("erspan.truncated", "1"),
                ("erspan.index", "0"),
                ("vlan.id", "20"),
            ],
        ),
        (
            Encap::Tzsp { port: 37_008 },
            &[
                ("tzsp.version", "1"),
                ("tzsp.type", "0"),
                ("tzsp.encap", "1"),
                ("tzsp.original_length", "1500"),
                ("tzsp.packet_id", "7"),
                ("vlan.id", "20"),
            ],
        ),
    ];
    for (encap, expected) in cases {
        for ends in [V4, V6] {
            let names: Vec<_> =
                expected.iter().map(|(name, _)| *name).chain(["udp.checksum.status"]).collect();
            let Some(found) = tshark(*encap, ends, &names) else { return };
            for ((name, value), found) in expected.iter().zip(&found) {
                assert_eq!(found, value, "{name} of {encap:?}");
            }
            // 1: good; 3: none.
            let status = match (Writer::new(*encap).protocol(), ends.0.is_ipv4()) {
                (UDP, true) => "3",
                (UDP, false) => "1",
                _ => "",
            };
            assert_eq!(found.last().unwrap(), status, "checksum of {encap:?}");
        }
    }
}

/// Receivers decode by these bytes: they never mean anything else.
#[test]
fn options_of_geneve_are_pinned() {
    let frame = frame();
    let packet = Packet::new(&frame, 1500, Link::Ethernet);
    let label = Label { policy: "p".into(), version: 0x1_0000_0009 };
    let program = Program::default();
    let (plain, labelled) = (Names::new(&program), Names::labelled(&program, Some(&label)));
    let head = [0xff, 0x6d, 1, 1, 0, 0, 5, 0xdc, 0xff, 0x6d, 2, 1, 0, 0, 0, 3, 0xff, 0x6d, 3, 1];
    let number = [0xff, 0x6d, 4, 2, 0, 0, 0, 1, 0, 0, 0, 7];
    let version = [0xff, 0x6d, 6, 2, 0, 0, 0, 1, 0, 0, 0, 9];
    for (limit, value) in [(0, [0; 4]), (NO_LIMIT, [0xff; 4]), (BOUND, [0xff, 0xff, 0xff, 0xfe])] {
        for (start, slice) in [(0, vec![]), (14, vec![0xff, 0x6d, 5, 1, 0, 0, 0, 14])] {
            for (names, version) in [(&plain, &[][..]), (&labelled, &version)] {
                let verdict = Verdict { start, end: 60, rule: 3, limit };
                let copy = Copy { packet: &packet, verdict, number: 0x1_0000_0007, flow_hash: 0 };
                let held = CopyMeta::new(&copy, 0..0);
                let copy = CopyRef { held: &held, bytes: &frame, names };
                let mut out = Vec::new();
                geneve::header(&copy, ETHERNET, 77, &mut out);
                assert_eq!(out[8..], [&head, &value[..], &number, &slice, version].concat());
                assert_eq!(out[..8], [((out.len() - 8) / 4) as u8, 0, 0x65, 0x58, 0, 0, 77, 0]);
                assert!(out.len() <= geneve::LONGEST);
            }
        }
    }
}

#[test]
fn a_slice_says_where_it_begins() {
    let (_, geneve) = written(Encap::Geneve { port: 6081, vni: 77 }, V4, 14..42);
    // The fifth option, of 8 bytes, before the 28 bytes of the slice.
    assert_eq!(geneve[geneve.len() - 36..geneve.len() - 28], [0xff, 0x6d, 5, 1, 0, 0, 0, 14]);
    assert_eq!(usize::from(geneve[8] & 0x3f) * 4, geneve.len() - 8 - 8 - 28);
}

#[test]
fn source_ports_follow_the_flow_and_stay_ephemeral() {
    let port = |hash| {
        let mut out = vec![0; 16];
        udp(hash, 4789, V4, &mut out);
        u16::from_be_bytes([out[0], out[1]])
    };
    assert_eq!(port(0), 49_152);
    assert_eq!(port(u64::MAX >> 32), 65_535);
    let ports: std::collections::BTreeSet<u16> =
        (0..1000_u64).map(|n| port(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    assert!(ports.len() > 500 && ports.iter().all(|port| *port >= 49_152));
}

#[test]
fn what_is_no_ethernet_goes_where_it_can_be_told() {
    let carries = |encap, link, first| Writer::new(encap).carries(link, &[first; 20]);
    let (gre, vxlan) = (Encap::Gre { key: None }, Encap::Vxlan { port: 1, vni: 1 });
    assert!(carries(gre, Link::RawIp, 0x45) && carries(gre, Link::RawIp, 0x60));
    assert!(!carries(gre, Link::RawIp, 0x00) && !carries(gre, Link::LinuxSll, 0x45));
    assert!(carries(vxlan, Link::Ethernet, 0) && !carries(vxlan, Link::RawIp, 0x45));
}
