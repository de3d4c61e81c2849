//! What holds of the dissector on any bytes: on every prefix of real and crafted frames, on mangled
//! ones, and on noise, for every link type. Engines load without further checks by these promises
//! (V2).

use mrule_compiler::abi::bit::*;
use mrule_compiler::abi::{Head, Link, Packet, Stack};
use mrule_compiler::dissect::{dissect, unparsed};
use mrule_compiler::fields::{Slot, promised};
use mrule_tests::capture::{self, Captured};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const LINKS: [Link; 5] = [Link::Ethernet, Link::RawIp, Link::LinuxSll, Link::LinuxSll2, Link::Null];

/// Of the captures that ship, frames of every kind: a few of each set of presence bits.
static SAMPLES: LazyLock<Vec<Captured>> = LazyLock::new(|| {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap"));
    let list = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = list(folder.into()).chain(list(folder.join("layers"))).collect();
    paths.sort();
    let mut kinds = BTreeMap::<[u64; 2], Vec<Captured>>::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "pcap")) {
        for packet in capture::read(path) {
            let Some(link) = packet.link else { continue };
            let head = dissect(&Packet::new(&packet.bytes, packet.len, link));
            let kind = kinds.entry([head.outer.bits, head.inner.bits]).or_default();
            if kind.len() < 3 {
                kind.push(packet);
            }
        }
    }
    kinds.into_values().flatten().collect()
});

/// Everything that is promised of any head.
fn check(packet: &Packet) -> Head {
    let head = dissect(packet);
    promises(packet, &head.outer);
    promises(packet, &head.inner);
    let (outer, inner) = (&head.outer, &head.inner);
    assert_eq!(inner.bits & UNPARSED, 0, "it speaks of the frame");
    assert_eq!(outer.bits & UNPARSED != 0, unparsed(&head).is_some());
    for stack in [outer, inner] {
        assert!(stack.proto == 0 || (stack.bits & NET | outer.bits & UNPARSED) != 0, "{stack:?}");
    }
    if *inner != Stack::default() {
        let carrier = if outer.bits & (GRE | VXLAN | GENEVE) != 0 { outer.tunnel } else { outer.l3 };
        assert!(outer.bits & NET != 0, "only IP carries tunnels");
        assert!(inner.l3_end <= outer.l3_end, "inside");
        assert!([inner.l2, inner.l3, inner.headers_end].iter().all(|&at| at == 0 || at > carrier), "behind");
    }
    head
}

fn promises(packet: &Packet, stack: &Stack) {
    let bits = stack.bits;
    let has = |any: u64| bits & any != 0;
    let (cap_len, len) = (packet.cap_len(), packet.len.max(packet.cap_len()));
    let implies = |one: u64, all: u64| assert!(!has(one) || bits & all == all, "{one:#x} without {all:#x}");
    for slot in [Slot::L2, Slot::L3, Slot::L4, Slot::Tunnel] {
        assert!(slot.get(stack) + u32::from(promised(bits, slot)) <= cap_len, "{slot:?} of {bits:#x}");
    }
    for (tag, first, count) in [(VLAN, stack.vlan, stack.vlans), (MPLS, stack.mpls, stack.labels)] {
        assert_eq!(has(tag), count > 0);
        assert!(first + 4 * count <= cap_len);
    }
    assert!(stack.l3_end <= cap_len && stack.headers_end <= len);
    if has(PAYLOAD) {
        assert!(stack.payload < stack.payload_end && stack.payload_end <= stack.l3_end);
        assert_eq!(stack.payload, stack.headers_end);
    }
    // A slot whose bit is not set is 0.
    let zero =
        |any: u64, slots: &[u32]| assert!(has(any) || slots.iter().all(|&s| s == 0), "{any:#x} {stack:?}");
    zero(ETH, &[stack.l2]);
    zero(ARP | IP | IP6, &[stack.l3]);
    zero(TCP | UDP | SCTP | ICMP | ICMP6, &[stack.l4]);
    zero(PAYLOAD, &[stack.payload, stack.payload_end]);
    zero(TCP_LEN, &[stack.tcp_len]);
    zero(VLAN, &[stack.vlan]);
    zero(MPLS, &[stack.mpls]);
    zero(GRE | VXLAN | GENEVE, &[stack.tunnel]);
    // What one bit says of others.
    implies(ETH_TYPE, ETH);
    implies(VLAN_ETYPE, VLAN);
    implies(ARP_ADDR, ARP_HDR);
    implies(ARP_HDR, ARP);
    implies(IP_HDR, IP | IP_VERSION | IP_IHL | IP_LEN | NET);
    implies(IP6_HDR, IP6 | IP_VERSION | NET);
    assert_eq!(has(NET), has(IP_HDR) != has(IP6_HDR));
    implies(TCP | UDP | SCTP | ICMP | ICMP6 | GRE | ESP | AH | FRAGMENT, NET);
    assert!((bits & (TCP | UDP | SCTP | ICMP | ICMP6 | GRE | FRAGMENT)).count_ones() <= 1);
    assert!((bits & (TCP | SCTP | ICMP | ICMP6 | GRE | ESP | FRAGMENT)).count_ones() <= 1);
    assert_eq!(has(PORTS), has(TCP_PORTS | UDP_PORTS | SCTP_PORTS));
    assert_eq!(has(TCP), has(TCP_PORTS));
    assert_eq!(has(UDP), has(UDP_PORTS));
    implies(TCP_HDR, TCP | TCP_SEQ | TCP_FLAGS);
    implies(TCP_LEN, TCP_SEQ);
    implies(TCP_PAYLOAD, TCP_HDR | PAYLOAD);
    implies(UDP_PAYLOAD, UDP_HDR | PAYLOAD);
    implies(VXLAN | GENEVE, UDP_HDR);
}

/// What is seen of a part of a frame is also seen of the whole frame, at the same place.
fn less(part: &Stack, whole: &Stack) {
    assert_eq!(part.bits & !whole.bits, 0, "the cut adds {:#x}", part.bits & !whole.bits);
    let slots = |s: &Stack| [s.l2, s.l3, s.l4, s.payload, s.tunnel, s.vlan, s.mpls];
    for (part, whole) in slots(part).into_iter().zip(slots(whole)) {
        assert!(part == 0 || part == whole);
    }
    let one = part.bits & TCP_LEN == 0 || part.tcp_len == whole.tcp_len;
    assert!(one, "tcp.len is the wire's");
}

#[test]
fn there_are_samples_of_every_kind() {
    let all = SAMPLES.iter().fold(0, |bits, packet| {
        let head = dissect(&Packet::new(&packet.bytes, packet.len, packet.link.unwrap()));
        bits | head.outer.bits | head.inner.bits
    });
    let every = ((1 << 46) - 1) | UNPARSED;
    assert_eq!(all, every, "every presence bit, missing {:#x}", all ^ every);
}

#[test]
fn every_prefix_of_a_frame() {
    for packet in SAMPLES.iter() {
        for link in LINKS {
            let frame = &packet.bytes[..packet.bytes.len().min(300)];
            let whole = check(&Packet::new(frame, packet.len, link));
            for end in 0..frame.len() {
                let cut = check(&Packet::new(&frame[..end], packet.len, link));
                less(&cut.outer, &whole.outer);
                less(&cut.inner, &whole.inner);
                check(&Packet::new(&frame[..end], end as u32, link));
            }
        }
    }
}

fn link() -> impl Strategy<Value = Link> {
    proptest::sample::select(LINKS.to_vec())
}

/// A sample with some bytes changed, mostly those of headers.
fn mangled() -> impl Strategy<Value = Captured> {
    let place = prop_oneof![12usize..24, 12usize..60, 0usize..200];
    let byte = prop_oneof![Just(0u8), Just(255), any::<u8>()];
    (0..SAMPLES.len(), prop::collection::vec((place, byte), 0..5)).prop_map(|(sample, changes)| {
        let mut packet = SAMPLES[sample].clone();
        for (at, byte) in changes {
            if let Some(place) = packet.bytes.get_mut(at) {
                *place = byte;
            }
        }
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mangled_frames(packet in mangled(), other in link(), cut in 0usize..200, more in 0u32..100) {
        for link in [packet.link.unwrap(), other] {
            let whole = check(&Packet::new(&packet.bytes, packet.len + more, link));
            let part = &packet.bytes[..packet.bytes.len() - cut.min(packet.bytes.len())];
            let cut = check(&Packet::new(part, packet.len + more, link));
            less(&cut.outer, &whole.outer);
            less(&cut.inner, &whole.inner);
        }
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..200), link in link(), len in any::<u32>()) {
        check(&Packet::new(&bytes, len, link));
    }

    #[test]
    fn a_length_below_the_captured_bytes_is_not_believed(packet in mangled(), len in 0u32..100) {
        let mut lying = Packet::new(&packet.bytes, packet.len, packet.link.unwrap());
        lying.len = len;
        check(&lying);
    }
}
