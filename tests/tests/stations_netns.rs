//! Stations on the wire, in network namespaces: what the kernel's own VXLAN device hands up is, byte for byte, what a replay
//! writes; what tcpdump hears of the others says the same in tshark's words. And faults: peers that are gone, links that go down.
//! (Rejected: a socket of ours at the other end, which would share our mistakes.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mrule_tests::feed::Feed;
use mrule_tests::frames::{Frame, captures, read};
use mrule_tests::mirrored;
use mrule_tests::netns::{Pair, with_pair};
use std::path::{Path, PathBuf};

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
    with_pair("the_kernels_vxlan_hands_up_what_a_replay_writes", |pair| {
        pair.ip_b(&["link", "add", "vx4", "type", "vxlan", "id", "77", "dstport", "4789", "local", "10.9.0.2"]);
        pair.ip_b(&["link", "set", "vx4", "up", "mtu", "8900"]);
        for file in ["web.pcap", "demo.pcapng", "vlan.pcap"] {
            through_device(pair, "vxlan 10.9.0.2 vni 77", "vx4", file);
        }
        pair.ip_b(&["link", "add", "vx6", "type", "vxlan", "id", "5", "dstport", "4790", "local", "fd00:9::2"]);
        pair.ip_b(&["link", "set", "vx6", "up", "mtu", "8900"]);
        for file in ["web.pcap", "ipv6.pcap"] {
            through_device(pair, "vxlan fd00:9::2 port 4790 vni 5", "vx6", file);
        }
    });
}

#[test]
fn an_interface_gets_the_bytes_that_a_replay_writes() {
    with_pair("an_interface_gets_the_bytes_that_a_replay_writes", |pair| {
        for file in ["web.pcap", "demo.pcapng", "qinq.pcap"] {
            through_device(pair, "interface a1", "b1", file);
        }
    });
}
