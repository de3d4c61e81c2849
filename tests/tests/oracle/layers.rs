//! Headers before IP and tunnels, against tshark: a filter selects the same frames there and in
//! both engines, and a frame in which it finds nothing, though there is something, is
//! `frame.unparsed`. The frames are those of tests/pcap/make/layers.py. (Rejected: to list the
//! frames that each header must have; the judge itself is asked.)

use mrule_tests::frames::read;
use mrule_tests::oracle::{Filters, Numbers, installed, selected};
use mrule_tests::run::ENGINES;
use std::path::PathBuf;

fn capture(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/pcap/layers/{name}.pcap", env!("CARGO_MANIFEST_DIR")))
}

/// The frames of a capture that each filter selects, the same in both engines; and how many there
/// are.
fn ours(name: &str, filters: &[&str]) -> (Vec<Numbers>, usize) {
    let frames = read(&capture(name));
    let [first, second] =
        Filters::of(filters.iter().copied()).unwrap_or_else(|e| panic!("{e}")).selected(&frames);
    assert_eq!(first, second, "{name}: {ENGINES:?}");
    (first, frames.len())
}

/// Filters of a capture, ours and Wireshark's.
const CASES: &[(&str, &[(&str, &str)])] = &[
    (
        "before",
        &[
            ("tcp.dstport == 80", "tcp.dstport == 80"),
            ("ip.src == 10.1.0.1 and tcp", "ip.src == 10.1.0.1 and tcp"),
            ("ipv6.dst == 2001:db8::2", "ipv6.dst == 2001:db8::2"),
            ("vlan.id == 101", "vlan.id == 101"),
            ("mpls.label == 100", "mpls.label == 100"),
            ("pppoes", "pppoes"),
        ],
    ),
    (
        "tunnels",
        &[
            ("inner.tcp.dstport == 80", "tcp.dstport == 80"),
            ("inner.ip.src == 10.1.0.1 and inner.tcp", "ip.src == 10.1.0.1 and tcp"),
            ("inner.ipv6.dst == 2001:db8::2", "ipv6.dst == 2001:db8::2"),
            ("inner.vlan.id == 10", "vlan.id == 10"),
            ("inner.mpls", "mpls"),
            ("gre", "gre"),
            ("vxlan", "vxlan"),
            ("vxlan.vni == 7", "vxlan.vni == 7"),
            ("geneve", "geneve"),
        ],
    ),
    ("leaves", &[("esp", "esp"), ("arp", "arp"), ("vxlan", "vxlan"), ("tcp", "tcp and not vxlan")]),
];

#[test]
fn filters_select_what_tshark_selects() {
    if !installed("tshark") {
        return;
    }
    for (name, filters) in CASES {
        let theirs: Vec<&str> = filters.iter().map(|f| f.1).collect();
        let judge = selected(&capture(name), &theirs, &["-o", "tcp.desegment_tcp_streams:FALSE"]);
        let (ours, _) = ours(name, &filters.iter().map(|f| f.0).collect::<Vec<_>>());
        for ((filter, ours), theirs) in filters.iter().zip(ours).zip(judge.frames) {
            assert!(!ours.is_empty(), "{name}: {} selects nothing", filter.0);
            assert_eq!(ours, theirs, "{name}: {}", filter.0);
        }
    }
}

#[test]
fn what_is_not_found_is_unparsed() {
    for (name, filter) in [("before", "tcp.dstport == 80"), ("tunnels", "inner.tcp.dstport == 80")] {
        let (told, count) = ours(name, &[filter, "frame.unparsed", "not frame.unparsed"]);
        let all: Numbers = (1..=count).collect();
        assert_eq!(&told[1] | &told[2], all);
        assert_eq!(told[0], told[2], "{name}: either TCP is found, or the frame is not parsed");
        assert!(told[0].len() > told[1].len(), "most are found");
    }
    let (told, count) = ours("unread", &["frame.unparsed"]);
    assert_eq!(told[0], (1..=count).collect(), "Wireshark may look behind these");
    let (told, _) = ours("leaves", &["frame.unparsed"]);
    assert_eq!(told[0], Numbers::new(), "nothing is behind these");
}
