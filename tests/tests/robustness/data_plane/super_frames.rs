//! Super-frames of more than 64 KiB (IPv6 BIG TCP): copies are the packets of the wire, without the
//! option that only super-frames have, and workers forward them so that they arrive. Judged by
//! etherparse, and by how often TCP had to send again.

use crate::MIRRORC;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mrule_tests::frames::read;
use mrule_tests::wire::{Wire, with_wire, write_rules};
use serde_json::Value;
use std::collections::BTreeMap;

/// Has all interfaces take super-frames of 190,000 bytes.
fn big(wire: &Wire) {
    let links = [(&wire.left, "l0"), (&wire.here, "in0"), (&wire.here, "out0"), (&wire.right, "r0")];
    for (ns, link) in links {
        wire.ip(ns, &["link", "set", link, "gso_max_size", "190000"]);
        wire.ip(ns, &["link", "set", link, "gro_max_size", "190000"]);
    }
}

/// Packets for each super-frame: 64 KiB are at most 7 of them at this MTU.
fn average(port: &Value) -> f64 {
    port["segments"].as_f64().unwrap() / port["super_frames"].as_f64().unwrap()
}

#[test]
fn copies_of_big_tcp_are_packets_of_the_wire() {
    with_wire("data_plane::super_frames::copies_of_big_tcp_are_packets_of_the_wire", |wire| {
        big(wire);
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(
            dir.path(),
            "station lake { pcapng \"DIR/lake.pcapng\" }\nstation m { interface m0 }\n\
             rule r { match tcp.dstport == 5201  snaplen full  to lake, m }\n",
        );
        let run = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--workers", "1"]);
        wire.tcp("4M", &["-6", "-c", "fd01::2"]);
        let sums = run.stop();
        let port = &sums["ports"][0];
        assert!(average(port) > 7.3 && port["long_lost"] == 0, "{port}");
        let copies = read(&dir.path().join("lake.pcapng"));
        // By source port: where each segment's bytes begin, and how many they are.
        let mut segments: BTreeMap<u16, Vec<(u32, u32)>> = BTreeMap::new();
        for copy in &copies {
            assert!(copy.bytes.len() == copy.len as usize && copy.len <= 9014, "{} bytes", copy.len);
            let packet = SlicedPacket::from_ethernet(&copy.bytes).unwrap();
            let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport)
            else {
                panic!("no TCP over IPv6: {:?}", packet.net)
            };
            assert_eq!(ip.header().next_header().0, 6, "no hop-by-hop header");
            assert_eq!(usize::from(ip.header().payload_length()) + 54, copy.bytes.len());
            let (source, destination) = (ip.header().source(), ip.header().destination());
            let sum = tcp.to_header().calc_checksum_ipv6_raw(source, destination, tcp.payload());
            assert_eq!(sum.unwrap(), tcp.checksum());
            let length = tcp.payload().len() as u32 + u32::from(tcp.syn()) + u32::from(tcp.fin());
            segments.entry(tcp.source_port()).or_default().push((tcp.sequence_number(), length));
        }
        let mut most = 0;
        for segments in segments.values() {
            let first = segments[0].0;
            let mut after: Vec<(u32, u32)> =
                segments.iter().map(|(at, length)| (at.wrapping_sub(first), *length)).collect();
            after.sort_unstable();
            let end = after.iter().fold(0, |end: u32, (at, length)| {
                assert!(*at <= end, "bytes {end} to {at} are missing");
                end.max(at + length)
            });
            most = most.max(end);
        }
        // What waits in sockets when iperf3 ends is not sent.
        assert!(most > 2 << 20, "{most} bytes");
        let stations = sums["stations"].as_array().unwrap();
        assert!(stations.iter().all(|station| station["cut"] == 0), "{sums}");
    });
}

#[test]
fn workers_forward_big_tcp_so_that_it_arrives() {
    with_wire("data_plane::super_frames::workers_forward_big_tcp_so_that_it_arrives", |wire| {
        big(wire);
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(
            dir.path(),
            "station s { pcapng \"DIR/s.pcapng\" rotate 10MB keep 1 }\nrule r { match tcp.dstport == 5201  snaplen headers  to s }\n",
        );
        let more = ["--bridge", "in0:out0", "--workers", "1", "--forward", "userspace"];
        let run = wire.mirrorc(MIRRORC, &[&[rules.as_str()], &more[..]].concat());
        wire.tcp("16M", &["-6", "-c", "fd01::2"]);
        let again = wire.run(&wire.left, &["nstat", "-az", "TcpRetransSegs"]);
        let again = again.lines().find(|line| line.starts_with("TcpRetransSegs")).unwrap();
        let again: u64 = again.split_whitespace().nth(1).unwrap().parse().unwrap();
        let sums = run.stop();
        let port = &sums["ports"][0];
        assert!(average(port) > 7.3, "{port}");
        assert_eq!(port["forward"]["sent"], port["frames"], "{port}");
        // 16 MiB are some 1,900 packets; where super-frames do not arrive, nearly all are sent
        // again.
        assert!(again < 300, "{again} packets were sent again: {port}");
    });
}
