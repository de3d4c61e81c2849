//! Taps between two hosts: copies are what the wire carries (super-frames cut, checksums complete,
//! tags in place), the verdicts are those of a replay of the same packets, and under more than can
//! be taken the counters still add up. (Rejected: comparing with what a tap program of ours says;
//! tshark and etherparse judge the copies.)

use crate::MIRRORC;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mrule_tests::cli::mirrorc;
use mrule_tests::frames::read;
use mrule_tests::wire::{odd_frames, with_wire, write_rules};
use serde_json::Value;
use std::process::Command;

/// Whether all checksums of a frame are right, by etherparse; fragments have none of their own.
fn checksums_are_right(frame: &[u8]) -> bool {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return false };
    let transport = |source: &[u8], destination: &[u8]| match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let right = match (<[u8; 4]>::try_from(source), <[u8; 4]>::try_from(destination)) {
                (Ok(a), Ok(b)) => header.calc_checksum_ipv4_raw(a, b, tcp.payload()),
                _ => header.calc_checksum_ipv6_raw(
                    source.try_into().unwrap(),
                    destination.try_into().unwrap(),
                    tcp.payload(),
                ),
            };
            right.unwrap() == tcp.checksum()
        }
        Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
            let header = udp.to_header();
            let right = match (<[u8; 4]>::try_from(source), <[u8; 4]>::try_from(destination)) {
                (Ok(a), Ok(b)) => header.calc_checksum_ipv4_raw(a, b, udp.payload()),
                _ => header.calc_checksum_ipv6_raw(
                    source.try_into().unwrap(),
                    destination.try_into().unwrap(),
                    udp.payload(),
                ),
            };
            right.unwrap() == udp.checksum()
        }
        _ => true,
    };
    match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            header.to_header().calc_header_checksum() == header.header_checksum()
                && transport(&header.source(), &header.destination())
        }
        Some(NetSlice::Ipv6(ip)) => transport(&ip.header().source(), &ip.header().destination()),
        _ => true,
    }
}

#[test]
fn copies_are_what_the_wire_carries() {
    with_wire("copies_are_what_the_wire_carries", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen full  to lake }\n";
        let rules = write_rules(dir.path(), text);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--workers", "1"]);
        assert!(wire.pings(&["-s", "20000", "10.1.0.2"]));
        wire.say(&odd_frames());
        wire.tcp("3M", &[]);
        wire.tcp("3M", &["-R"]);
        wire.tcp("1M", &["-6", "-c", "fd01::2"]);
        wire.tcp("300K", &["-u", "-b", "0"]);
        let sums = run.stop();
        let ports = sums["ports"].as_array().unwrap();
        assert!(
            ports.iter().all(|p| p["super_frames"].as_u64() > Some(0) && p["unsegmented"] == 0),
            "{sums}"
        );
        assert!(
            ports.iter().all(|p| p["checksums_completed"].as_u64() > Some(0) && p["kernel_drops"] == 0),
            "{sums}"
        );
        let lake = dir.path().join("lake.pcapng");
        let copies = read(&lake);
        assert_eq!(Some(copies.len() as u64), sums["packets"].as_u64());
        let (mtu, odd) = (9000 + 14 + 4, odd_frames());
        for (i, copy) in copies.iter().enumerate() {
            assert!(copy.bytes.len() == copy.len as usize && copy.len <= mtu, "copy {}: {}", i + 1, copy.len);
            assert!(odd.contains(&copy.bytes) || checksums_are_right(&copy.bytes), "copy {}", i + 1);
        }
        let found: Vec<&Vec<u8>> =
            copies.iter().map(|c| &c.bytes).filter(|bytes| odd.contains(bytes)).collect();
        assert_eq!(found, odd.iter().collect::<Vec<_>>(), "tags and all, in order");
        // The kernel itself swaps what two processors hand over at once, by some microseconds.
        let swapped = copies.windows(2).filter(|pair| pair[0].time > pair[1].time);
        let swapped: Vec<i64> = swapped.map(|pair| pair[0].time - pair[1].time).collect();
        assert!(swapped.iter().all(|by| *by < 1_000_000), "in the order of time: {swapped:?}");
        // What tshark finds odd in streams whose packets are all there: nothing.
        let wrong = "tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment \
                   or tcp.analysis.out_of_order or tcp.checksum.status == 0";
        let mut judged = lake.clone();
        if !swapped.is_empty() {
            judged = dir.path().join("ordered.pcapng");
            let ordered = Command::new("reordercap").arg(&lake).arg(&judged).status();
            assert!(ordered.unwrap().success(), "reordercap");
        }
        let judge = Command::new("tshark")
            .args(["-o", "tcp.check_checksum:TRUE", "-r"])
            .arg(&judged)
            .args(["-Y", wrong])
            .output();
        match judge {
            Ok(judge) => assert_eq!(String::from_utf8_lossy(&judge.stdout), ""),
            Err(_) => eprintln!("SKIPPED: tshark is not installed"),
        }
    });
}

/// What must be the same, however the packets came.
fn decided(sums: &Value) -> Vec<Value> {
    let stations = sums["stations"].as_array().unwrap().iter();
    let stations =
        stations.map(|s| [&s["name"], &s["copies"], &s["withheld"], &s["bytes"]].map(Clone::clone));
    let names = ["packets", "wire_bytes", "mirrored", "rules", "limits", "triggers"];
    let mut same: Vec<Value> = names.iter().map(|name| sums[name].clone()).collect();
    same.extend(stations.map(|station| Value::from(station.to_vec())));
    let flows = &sums["tracked"]["flows"];
    same.extend([flows["created"].clone(), flows["packets"].clone()]);
    same.push(sums["tracked"]["streams"]["delivered"].clone());
    same
}

#[test]
fn tap_bridge_and_replay_decide_alike() {
    with_wire("tap_bridge_and_replay_decide_alike", |wire| {
        for ways in [&["--bridge", "in0:out0"][..], &["--bridge", "in0:out0", "--forward", "userspace"], &[]]
        {
            let dir = tempfile::tempdir().unwrap();
            let text = r#"
                station lake { pcapng "DIR/lake.pcapng" }
                station ids  { pcapng "DIR/ids.pcapng" }
                trigger talks by flow { when stream contains "client_version"  hold flow }
                rule all     { match any  snaplen full  to lake }
                rule heads   { match tcp  snaplen stream 0..20KB  to ids }
                rule talks   { match talks and flow.packets < 30  snaplen full  to ids }
                rule pings   { match icmp or icmpv6  snaplen headers + 8  to ids }
                limit quiet  { match tcp.srcport == 5201 and stream.offset > 5000  snaplen none  to ids }
            "#;
            let rules = write_rules(dir.path(), text);
            let taps = ["--tap", "in0", "--tap", "out0"];
            let live = if ways.is_empty() { &taps[..] } else { ways };
            // Taps alone see nothing unless somebody forwards.
            let tc = |port: &str, to: &str| {
                let add = ["tc", "qdisc", "add", "dev", port, "clsact"];
                wire.run(&wire.here, &add);
                let redirect = format!(
                    "tc filter add dev {port} ingress protocol all u32 match u8 0 0 action mirred egress redirect dev {to}"
                );
                wire.run(&wire.here, &redirect.split(' ').collect::<Vec<_>>());
            };
            if ways.is_empty() {
                tc("in0", "out0");
                tc("out0", "in0");
            }
            let run = wire.mirrorc(MIRRORC, &[&[&rules, "--workers", "1"], live].concat());
            assert!(wire.pings(&["10.1.0.2"]) && wire.pings(&["fd01::2"]));
            wire.tcp("1M", &[]);
            wire.tcp("1M", &["-R"]);
            let sums = run.stop();
            assert!(sums["ports"].as_array().unwrap().iter().all(|port| port["kernel_drops"] == 0), "{sums}");
            let lake = dir.path().join("lake.pcapng");
            let replayed = mirrorc(&["run", &rules, "--read", lake.to_str().unwrap(), "--stats", "json"]);
            let replayed: Value = serde_json::from_str(&replayed.stdout).unwrap();
            assert_eq!(decided(&sums), decided(&replayed), "{ways:?}");
            assert!(sums["triggers"][0]["raised"].as_u64() > Some(0), "{sums}");
            let stations = sums["stations"].as_array().unwrap();
            assert!(
                stations.iter().all(|s| s["copies"].as_u64() > Some(0))
                    && sums["packets"] != stations[0]["copies"]
            );
        }
    });
}

#[test]
fn under_overload_the_sums_hold() {
    with_wire("under_overload_the_sums_hold", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let text = "station lake { pcapng \"DIR/lake.pcapng\" rotate 10MB keep 2 }\n\
                    station mon { interface m0  limit 8Mbit }\n\
                    rule all { match any  snaplen full  to lake, mon }\n";
        let rules = write_rules(dir.path(), text);
        // The interpreter is slow enough to be overrun.
        let run =
            wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--workers", "2", "--engine", "interp"]);
        wire.tcp("400M", &[]);
        let sums = run.stop();
        // `stop` has found that they add up; here, that something was to be added.
        let lost: u64 =
            sums["ports"].as_array().unwrap().iter().map(|p| p["kernel_drops"].as_u64().unwrap()).sum();
        let stations = sums["stations"].as_array().unwrap();
        let dropped = |station: &Value| -> u64 {
            station["dropped"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
        };
        let total: u64 = stations.iter().map(dropped).sum();
        assert!(total > 0, "nothing was dropped: {sums}");
        assert!(sums["packets"].as_u64() > Some(0));
        eprintln!("lost by the kernel {lost}, copies dropped {total}");
    });
}
