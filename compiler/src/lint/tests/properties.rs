//! No warning is wrong: random programs against random packets, decided by the reference
//! interpreter.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{FlowView, Head};
use crate::context::{BatchContext, PacketContext};
use crate::environment::{Environment, Scratch};
use crate::eval::Eval;
use crate::fields::{App, Facet, FlowSlot};
use crate::hir::{ArithOp, Scope, StreamId, StreamKind, StreamPattern, TextTest};
use crate::lint::packets::frame;
use proptest::prelude::*;

/// Conditions over few fields and values, so that they often contradict, imply or repeat each
/// other.
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
    let leaf = prop_oneof![6 => number, 3 => presence, 1 => bytes, 1 => compared, 1 => address, 5 => flow()];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Pred::and),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Pred::or),
            inner.prop_map(Pred::not),
        ]
    })
}

/// Conditions on flows, streams and messages.
fn flow() -> impl Strategy<Value = Pred> {
    const SLOTS: &[(FlowSlot, u64)] = &[
        (FlowSlot::Packets, 0),
        (FlowSlot::App, 0),
        (FlowSlot::IsNew, 0),
        (FlowSlot::Age, 0),
        (FlowSlot::Offset, bit::STREAM),
        (FlowSlot::End, bit::STREAM),
        (FlowSlot::Isn, bit::ISN),
    ];
    let range = (0u64..6, 0u64..6).prop_map(|(a, b)| Intervals::range(a.min(b), a.max(b)));
    let number = (prop::sample::select(SLOTS), range.clone())
        .prop_map(|((slot, bits), set)| Pred::test(Num::flow(bits, slot), set));
    const BITS: &[u64] = &[bit::FLOW, bit::FROM_CLIENT, bit::FROM_SERVER, bit::STREAM, bit::ISN];
    let presence = prop::sample::select(BITS).prop_map(|bits| Pred::bits(Layer::Outer, bits));
    let end = (any::<bool>(), any::<bool>(), prop::sample::select(&[53u64, 80, 1000][..])).prop_map(
        |(client, source, port)| {
            let direction = if client { bit::FROM_CLIENT } else { bit::FROM_SERVER };
            let (field, _) = find(if source { "l4.srcport" } else { "l4.dstport" }).unwrap();
            let Source::Load(load) = field.source else { panic!() };
            Pred::test(Num::load(Load { bits: load.bits | direction, ..load }), Intervals::one(port))
        },
    );
    let state = (any::<bool>(), 0u32..2)
        .prop_map(|(trigger, i)| if trigger { Pred::flow_active(i) } else { Pred::stream(StreamId(i)) });
    let facet = (0u8..3, range).prop_map(|(form, set)| match form {
        0 => Pred::has_facet(Facet::HttpCode),
        1 => Pred::facet_in(Facet::HttpCode, set),
        _ => Pred::facet_text(
            Facet::HttpHost,
            TextTest::Compare(CompareOp::Lt, vec![set.parts()[0].0 as u8].into()),
        ),
    });
    prop_oneof![4 => number, 2 => presence, 1 => end, 2 => state, 2 => facet]
}

/// The context of a packet besides its bytes: its bits, its numbers, the patterns that it
/// completes, its messages.
type Around = (u64, FlowView, u8, Vec<u8>);

fn around() -> impl Strategy<Value = Around> {
    let bits = (any::<[bool; 4]>()).prop_map(|[flow, client, stream, isn]| {
        let direction = if client { bit::FROM_CLIENT } else { bit::FROM_SERVER };
        let on = |bits, on| if on { bits } else { 0 };
        on(bit::FLOW | direction | on(bit::STREAM, stream) | on(bit::ISN, isn), flow)
    });
    let view =
        (0u64..4, prop::array::uniform6(0u64..7), 0u64..2).prop_map(|(active, [a, b, c, d, e, f], new)| {
            FlowView {
                active,
                offset: a,
                end: a + b,
                lead: if a == 0 { c % 2 } else { 0 },
                isn: c,
                app: d.min(App::NAMES.len() as u64 - 1),
                packets: e,
                age: f,
                is_new: new,
                ..FlowView::default()
            }
        });
    (bits, view, 0u8..4, prop::collection::vec(0u8..6, 0..3))
}

/// The packet's headers with its flow, and the rest of its context.
fn seen(
    program: &Program,
    packet: &crate::abi::Packet,
    (bits, view, found, said): &Around,
) -> (Head, BatchContext) {
    let mut head = crate::dissect::dissect(packet);
    let mut context = BatchContext::new(program, 1);
    // Only IP packets have flows.
    if head.outer.bits & bit::NET != 0 {
        head.outer.bits |= bits;
        context.flows[0] = *view;
        (0..2).filter(|i| found >> i & 1 == 1).for_each(|i| context.mark(0, StreamId(i)));
        for value in said {
            context.say_num(0, Facet::HttpCode, u64::from(*value));
            context.say_text(0, Facet::HttpHost, &[*value]);
        }
    }
    context.heads[0] = head;
    (head, context)
}

/// A program with triggers by flow and patterns.
fn with_flows(rules: Vec<Rule>, limits: Vec<Rule>) -> Program {
    let mut made = program(rules, limits);
    made.triggers = (0..2)
        .map(|i| hir::Trigger {
            name: format!("t{i}"),
            span: Span::default(),
            scope: Scope::Flow(i),
            hold: None,
            when: Some(Pred::always()),
            unless: Pred::never(),
            own: Vec::new(),
            capacity: hir::DEFAULT_KEYS,
            keys_at: None,
            external: false,
        })
        .collect();
    made.streams = [b"a", b"b"]
        .map(|text| StreamPattern { kind: StreamKind::Contains(text.as_slice().into()), depth: n(100) })
        .into();
    made
}

/// `stream ..to`
fn stream(to: u64) -> Length {
    let behind = Num::arith(ArithOp::Sub, n(to), Num::flow(bit::STREAM, FlowSlot::Offset)).unwrap();
    Length::Headers(Num::arith(ArithOp::Add, behind, Num::flow(bit::STREAM, FlowSlot::Lead)).unwrap())
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        (1u64..5).prop_map(stream),
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
        joined in any::<bool>(),
        frames in prop::collection::vec((frame(), around()), 40),
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
        let mut limit = place(9, limit);
        // Several lines may come from one line of the text.
        for rule in rules.iter_mut().chain([&mut limit]).filter(|_| joined) {
            let place = rule.asks[0].span;
            rule.asks.iter_mut().for_each(|ask| ask.span = place);
        }
        let program = with_flows(rules, vec![limit]);
        let findings = lint(&program, &[]);
        let environment = Environment::new(&program).unwrap();
        let mut scratch = Scratch::default();
        for (frame, around) in &frames {
            let packet = frame.packet();
            let (head, context) = seen(&program, &packet, around);
            for finding in &findings {
                let at = finding.labels[0].span.start;
                let owner = &program.rules.iter().chain(&program.limits).find(|r| r.span.start == at / 10 * 10).unwrap();
                let mut eval = Eval::new(&environment, &mut scratch, &packet, &head, PacketContext::of(&context, 0));
                let matched = eval.holds(&owner.matches);
                let line = (at % 10 != 0).then(|| owner.asks.iter().filter(|ask| ask.span.start == at));
                let mut held = line.map(|asks| asks.map(|ask| eval.holds(&ask.when)).collect::<Vec<_>>());
                match (finding.code.id(), held.take()) {
                    ("W0903", None) => prop_assert!(!matched, "{finding:?}"),
                    ("W0903", Some(held)) => prop_assert!(!(matched && held.contains(&true)), "{finding:?}"),
                    ("W0904", Some(held)) => prop_assert!(!matched || !held.contains(&false), "{finding:?}"),
                    _ => {}
                }
            }
        }
        // A part that adds nothing can be removed without changing a copy.
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
            for (frame, around) in &frames {
                let packet = frame.packet();
                let (before, after) = (ranges(&program, &packet, around), ranges(&without, &packet, around));
                prop_assert_eq!(before, after, "{:?}", finding);
            }
        }
    }
}

/// The bytes that each station gets.
fn ranges(program: &Program, packet: &crate::abi::Packet, around: &Around) -> Vec<Option<(u32, u32)>> {
    let environment = Environment::new(program).unwrap();
    let (head, context) = seen(program, packet, around);
    let mut scratch = Scratch::default();
    let mut out = vec![crate::abi::Verdict::default(); program.stations.len()];
    let mut counters = vec![0; program.rules.len() + program.limits.len()];
    let asked = Eval::new(&environment, &mut scratch, packet, &head, PacketContext::of(&context, 0)).decide(
        program,
        &mut out,
        &mut counters,
    );
    let told = out
        .iter()
        .enumerate()
        .map(|(s, v)| (asked >> s & 1 == 1 && v.end > v.start).then_some((v.start, v.end)));
    told.collect()
}
