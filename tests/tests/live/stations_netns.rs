//! Stations on the wire, in network namespaces: what the kernel's own VXLAN device hands up is,
//! byte for byte, what a replay writes; what tcpdump hears of the others says the same in tshark's
//! words. And faults: peers that are gone, links that go down. (Rejected: a socket of ours at the
//! other end, which would share our mistakes.)

use mrule_tests::feed::Feed;
use mrule_tests::frames::{Frame, captures, read};
use mrule_tests::mirrored;
use mrule_tests::netns::{Pair, with_listener};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = "rule all { match any  snaplen headers + 20  to s }\n\
    rule web { match tcp.port in {80, 8080}  snaplen full  to s }\n\
    rule dns { match udp.port == 53  snaplen payload ..12  to s }\n\
    limit fits { match any  snaplen 8800 }\n";

fn capture(name: &str) -> PathBuf {
    captures().into_iter().find(|c| c.file_name().is_some_and(|n| n == name)).expect("a capture")
}

fn rules(station: &str) -> String {
    format!("station s {{ {station} }}\n{RULES}")
}

/// What a replay writes for the same packets.
fn replayed(station: &str, capture: &Path) -> Vec<Frame> {
    let copies = mirrored::copies(&rules(station), capture, "jit", &["s".to_owned()]).unwrap();
    copies.into_iter().next().unwrap()
}

/// The same bytes in the same order.
fn same(heard: &[Frame], expected: &[Frame], what: &str) {
    for (i, (a, b)) in heard.iter().zip(expected).enumerate() {
        assert_eq!(a.bytes, b.bytes, "{what}: copy {i}");
    }
    assert_eq!(heard.len(), expected.len(), "{what}");
}

/// Sends a capture's copies through a device of the receiver's kernel, and compares.
fn through_device(pair: &Pair, station: &str, device: &str, file: &str) {
    let heard = tempfile::tempdir().unwrap();
    let heard = heard.path().join("heard.pcap");
    let capture = capture(file);
    let tcpdump = pair.listen(device, &heard, "");
    let feed = Feed::open(&rules(station), &capture).unwrap();
    feed.run();
    let told = feed.told();
    let counts = feed.finish();
    tcpdump.stop();
    let expected = replayed(station, &capture);
    assert!(expected.len() > 20, "{file} has too few copies to say anything");
    assert_eq!((counts[0].sent, counts[0].cut), (expected.len() as u64, 0), "{told:?} {:?}", counts[0]);
    let heard = read(&heard);
    same(&heard, &expected, &format!("{station} {file}"));
}

#[test]
fn the_kernels_vxlan_hands_up_what_a_replay_writes() {
    with_listener("the_kernels_vxlan_hands_up_what_a_replay_writes", |pair| {
        pair.ip_b(&[
            "link", "add", "vx4", "type", "vxlan", "id", "77", "dstport", "4789", "local", "10.9.0.2",
        ]);
        pair.ip_b(&["link", "set", "vx4", "up", "mtu", "8900"]);
        for file in ["web.pcap", "demo.pcapng", "vlan.pcap"] {
            through_device(pair, "vxlan 10.9.0.2 vni 77", "vx4", file);
        }
        pair.ip_b(&[
            "link",
            "add",
            "vx6",
            "type",
            "vxlan",
            "id",
            "5",
            "dstport",
            "4790",
            "local",
            "fd00:9::2",
        ]);
        pair.ip_b(&["link", "set", "vx6", "up", "mtu", "8900"]);
        for file in ["web.pcap", "ipv6.pcap"] {
            through_device(pair, "vxlan fd00:9::2 port 4790 vni 5", "vx6", file);
        }
    });
}

#[test]
fn an_interface_gets_the_bytes_that_a_replay_writes() {
    with_listener("an_interface_gets_the_bytes_that_a_replay_writes", |pair| {
        for file in ["web.pcap", "demo.pcapng", "qinq.pcap"] {
            through_device(pair, "interface a1", "b1", file);
        }
    });
}

/// What tshark says of a field of each frame of a capture; of the outermost occurrence.
fn tshark(capture: &Path, options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(capture).args(["-T", "fields", "-E", "occurrence=f"]).args(options);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The first occurrence of a field in each frame is what was expected for each copy.
fn expect(rows: &[Vec<String>], column: usize, what: &str, expected: impl IntoIterator<Item = String>) {
    let column: Vec<_> = rows.iter().map(|row| row[column].clone()).collect();
    assert_eq!(column, expected.into_iter().collect::<Vec<_>>(), "{what}");
}

#[test]
fn tshark_reads_every_tunnel() {
    if !mrule_tests::tshark::is_installed() {
        eprintln!("SKIPPED: there is no tshark");
        return;
    }
    with_listener("tshark_reads_every_tunnel", |pair| {
        let capture = capture("vlan.pcap");
        let originals = read(&capture);
        let _takers = pair.takers(&[4789, 6081, 37_008]);
        for (host, network) in [("10.9.0.2", "ip"), ("fd00:9::2", "ipv6")] {
            let heard_in = |station: &str| {
                let directory = tempfile::tempdir().unwrap();
                let heard = directory.path().join("heard.pcap");
                let tcpdump =
                    pair.listen("b0", &heard, &format!("dst host {host} and not icmp6 and not arp"));
                let feed = Feed::open(&rules(station), &capture).unwrap();
                feed.run();
                let counts = feed.finish();
                tcpdump.stop();
                assert_eq!((counts[0].sent, counts[0].cut), (originals.len() as u64, 0), "{station}");
                (directory, heard)
            };
            let copies = replayed("interface x", &capture);
            let n = copies.len();
            assert!(n > 100 && n == originals.len());
            let all = |text: &str| vec![text.to_owned(); n];
            let check = |heard: &Path, options: &[&str], expected: &[(&str, Vec<String>)]| {
                let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
                let rows = tshark(heard, options, &names);
                for (column, (name, values)) in expected.iter().enumerate() {
                    expect(&rows, column, &format!("{name} over {network}"), values.clone());
                }
            };
            let checksums = ["-o", "udp.check_checksum:TRUE"];

            let (_kept, heard) = heard_in(&format!("vxlan {host} vni 77"));
            check(&heard, &checksums, &[("vxlan.vni", all("77")), ("udp.dstport", all("4789"))]);
            let rows = tshark(&heard, &checksums, &["udp.srcport", "udp.checksum.status", "ip.flags.df"]);
            let ports: BTreeSet<u16> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
            assert!(
                ports.len() > 5 && *ports.first().unwrap() >= 49_152,
                "one port for each flow: {ports:?}"
            );
            // 1: good, over IPv6; 3: there is none, over IPv4.
            let (status, df) = if network == "ip" { ("3", "1") } else { ("1", "1") };
            expect(&rows, 1, "checksum", all(status));
            if network == "ip" {
                let df_is = |value: &str| matches!(value, "1" | "True") == (df == "1");
                assert!(rows.iter().all(|row| df_is(&row[2])), "DF");
            }

            let (_kept, heard) = heard_in(&format!("geneve {host} vni 78"));
            check(
                &heard,
                &checksums,
                &[
                    ("geneve.vni", all("0x00004e")),
                    ("geneve.proto_type", all("0x6558")),
                    ("geneve.option.class", all("0xff6d")),
                    ("udp.dstport", all("6081")),
                ],
            );
            let data = tshark(&heard, &["-E", "occurrence=a"], &["geneve.option.unknown.data"]);
            for (i, (row, original)) in data.iter().zip(&originals).enumerate() {
                let values: Vec<_> = row[0].split(',').collect();
                // Rules by name: all, dns, web.
                let rule = u32::from_str_radix(values[1], 16).unwrap();
                assert_eq!(values[0], format!("{:08x}", original.len), "original length");
                assert!(rule <= 2, "rule {rule}");
                assert_eq!(values[2], "ffffffff", "no limit cuts these");
                assert_eq!(values[3], format!("{:016x}", i + 1), "packet number");
            }

            let (_kept, heard) = heard_in(&format!("gre {host} key 9"));
            check(&heard, &[], &[("gre.proto", all("0x6558")), ("gre.key", all("0x00000009"))]);

            let (_kept, heard) = heard_in(&format!("erspan2 {host} session 513"));
            let names = [
                "gre.proto",
                "gre.sequence_number",
                "erspan.version",
                "erspan.spanid",
                "erspan.truncated",
                "erspan.vlan",
            ];
            let rows = tshark(&heard, &[], &names);
            assert_eq!(rows.len(), n);
            for (i, row) in rows.iter().enumerate() {
                let truncated = u32::from((copies[i].bytes.len() as u32) < copies[i].len);
                let tag = &copies[i].bytes[12..16];
                let vlan =
                    if tag[..2] == [0x81, 0] { u16::from_be_bytes([tag[2], tag[3]]) & 0xfff } else { 0 };
                let expected = [
                    "0x88be".to_owned(),
                    i.to_string(),
                    "1".into(),
                    "513".into(),
                    truncated.to_string(),
                    vlan.to_string(),
                ];
                assert_eq!(row[..], expected, "copy {i}");
            }

            let (_kept, heard) = heard_in(&format!("tzsp {host}"));
            let lengths = originals.iter().map(|frame| frame.len.to_string()).collect();
            check(&heard, &checksums, &[("tzsp.encap", all("1")), ("tzsp.original_length", lengths)]);
        }
    });
}
