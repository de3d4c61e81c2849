//! No warning is ever wrong: random programs against random packets, decided by the reference interpreter.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::eval::Eval;
use crate::lint::packets::frame;
use crate::world::{Scratch, World};
use proptest::prelude::*;

/// Conditions over few fields and values, so that they often contradict, imply or repeat each other.
fn pred() -> impl Strategy<Value = Pred> {
    const FIELDS: &[&str] = &[
        "tcp.dstport",
        "udp.dstport",
        "l4.dstport",
        "tcp.srcport",
        "ip.src",
        "ip.ttl",
        "ip.proto",
        "net.proto",
        "ip.frag_offset",
        "ip.version",
        "ipv6.nxt",
        "eth.type",
        "vlan.etype?",
        "icmp.type",
        "tcp.flags.syn",
        "frame.len",
        "inner.ip.src",
        "inner.tcp.dstport",
        "inner.net.proto",
        "tcp.hdr_len",
    ];
    const VALUES: &[u64] =
        &[0u64, 1, 4, 6, 17, 20, 47, 51, 53, 64, 80, 0x800, 0x806, 0x86dd, 0x0a00_0001, 0x0a00_0003];
    let number = (prop::sample::select(FIELDS), prop::sample::select(VALUES), prop::sample::select(VALUES))
        .prop_map(|(name, a, b)| match name {
            "vlan.etype?" => Pred::tag_in(
                TagPart {
                    layer: Layer::Outer,
                    tags: crate::fields::Tags::Vlan,
                    at: 0,
                    width: 2,
                    shift: 0,
                    mask: 0xfff,
                },
                Intervals::range(a.min(b), a.max(b)),
            ),
            _ => within(name, a.min(b), a.max(b)),
        });
    const BITS: &[u64] = &[
        bit::TCP,
        bit::UDP,
        bit::IP,
        bit::IP6,
        bit::NET,
        bit::ARP,
        bit::FRAGMENT,
        bit::PAYLOAD,
        bit::VLAN,
        bit::GRE,
        bit::VXLAN,
        bit::ICMP,
        bit::EXT_HOPOPTS,
    ];
    let presence = (prop::sample::select(BITS), any::<bool>())
        .prop_map(|(bits, inner)| Pred::bits(if inner { Layer::Inner } else { Layer::Outer }, bits));
    const SOURCES: &[BytesSource] = &[BytesSource::TcpPayload, BytesSource::UdpPayload, BytesSource::Payload];
    let bytes = (prop::sample::select(SOURCES), 1u64..4, prop::sample::select(&["G", "GE", "x"][..]))
        .prop_map(|(source, length, text)| {
            let bytes = Bytes { layer: Layer::Outer, source, slice: Some(Slice::To(length)) };
            Pred::bytes_compare(CompareOp::Eq, bytes, text.as_bytes().into())
        });
    let compared = (prop::sample::select(&FIELDS[..4]), prop::sample::select(&FIELDS[4..8]), any::<bool>())
        .prop_map(|(a, b, less)| {
            Pred::compare(if less { CompareOp::Lt } else { CompareOp::Eq }, num(a), num(b))
        });
    let address = (any::<bool>(), 0u128..4).prop_map(|(src, host)| {
        let at = if src { 8 } else { 24 };
        let address =
            hir::Address { layer: Layer::Outer, bits: bit::IP6_HDR, slot: crate::fields::Slot::L3, at };
        Pred::address_in(address, Intervals::range(0, (0x2001_0db8u128 << 96) | host))
    });
    let leaf = prop_oneof![6 => number, 3 => presence, 1 => bytes, 1 => compared, 1 => address];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Pred::and),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Pred::or),
            inner.prop_map(Pred::not),
        ]
    })
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        Just(Length::Full),
        Just(Length::None),
        (0u64..3).prop_map(|i| Length::Bytes(n(i * 40))),
        (0u64..3).prop_map(|i| Length::Percent(n(i * 50))),
        (0u64..3).prop_map(|i| Length::Headers(n(i * 4))),
        (0u64..3, 0u64..4).prop_map(|(a, b)| Length::Slice(n(a * 20), n(b * 20))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn what_is_said_is_true_of_every_packet(
        rules in prop::collection::vec((pred(), prop::collection::vec((length(), pred()), 1..3), 1u64..4), 1..4),
        limit in (pred(), prop::collection::vec((length(), pred()), 1..3), 1u64..4),
        related in any::<bool>(),
        frames in prop::collection::vec(frame(), 40),
    ) {
        let place = |i: usize, (matches, asks, stations): (Pred, Vec<(Length, Pred)>, u64)| {
            rule(i as u32 * 10, matches, asks, stations)
        };
        let mut rules: Vec<Rule> = rules.into_iter().enumerate().map(|(i, r)| place(i, r)).collect();
        // Often one rule is a part of another.
        if let (true, [first, .., last]) = (related, rules.as_mut_slice()) {
            last.matches = Pred::and([last.matches.clone(), first.matches.clone()]);
            last.stations = first.stations;
        }
        let program = program(rules, vec![place(9, limit)]);
        let findings = lint(&program, &[]);
        let world = World::new(&program).unwrap();
        let mut scratch = Scratch::default();
        for frame in &frames {
            let packet = frame.packet();
            let head = crate::wire::dissect(&packet);
            for finding in &findings {
                let at = finding.labels[0].span.start;
                let owner = &program.rules.iter().chain(&program.limits).find(|r| r.span.start == at / 10 * 10).unwrap();
                let mut eval = Eval::new(&world, &mut scratch, &packet, &head, crate::sight::Seen::nothing());
                let matched = eval.holds(&owner.matches);
                let line = (at % 10).checked_sub(1).map(|i| &owner.asks[i as usize]);
                match (finding.code.id(), line) {
                    ("W0903", None) => prop_assert!(!matched, "{finding:?}"),
                    ("W0903", Some(ask)) => prop_assert!(!(matched && eval.holds(&ask.when)), "{finding:?}"),
                    ("W0904", Some(ask)) => prop_assert!(!matched || eval.holds(&ask.when), "{finding:?}"),
                    _ => {}
                }
            }
        }
        // What adds nothing can be taken out, and no copy changes.
        for finding in &findings {
            let at = finding.labels[0].span.start;
            let mut without = program.clone();
            match finding.code.id() {
                "W0903" | "W0905" | "W0906" | "W0907" => {
                    for r in without.rules.iter_mut().chain(&mut without.limits) {
                        if r.span.start == at {
                            r.asks.clear();
                        }
                        r.asks.retain(|ask| ask.span.start != at);
                    }
                }
                _ => continue,
            }
            for frame in &frames {
                let packet = frame.packet();
                prop_assert_eq!(ranges(&program, &packet), ranges(&without, &packet), "{:?}", finding);
            }
        }
    }
}

/// The bytes that each station is sent.
fn ranges(program: &Program, packet: &crate::abi::Packet) -> Vec<Option<(u32, u32)>> {
    let world = World::new(program).unwrap();
    let head = crate::wire::dissect(packet);
    let mut scratch = Scratch::default();
    let mut out = vec![crate::abi::Verdict::default(); program.stations.len()];
    let mut tally = vec![0; program.rules.len() + program.limits.len()];
    let asked = Eval::new(&world, &mut scratch, packet, &head, crate::sight::Seen::nothing())
        .decide(program, &mut out, &mut tally);
    let told = out
        .iter()
        .enumerate()
        .map(|(s, v)| (asked >> s & 1 == 1 && v.end > v.start).then_some((v.start, v.end)));
    told.collect()
}
