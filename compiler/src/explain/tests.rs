//! The explanation of a packet.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{Link, bit};
use crate::context::BatchContext;
use crate::fields::{App, BytesSource, Facet, FlowSlot, find};
use crate::hir::{self, Length, NeedleId};
use crate::sets::Intervals;
use mrule_grammar::span::Span;

fn load(name: &str) -> Num {
    match find(name).unwrap().0.source {
        Source::Load(load) => Num::load(load),
        other => panic!("{name}: {other:?}"),
    }
}

fn is(name: &str, value: u64) -> Pred {
    Pred::test(load(name), Intervals::one(value))
}

fn rule(name: &str, matches: Pred, length: Length) -> Rule {
    let ask = Ask { when: Pred::always(), length, span: Span::default() };
    Rule {
        name: name.into(),
        span: Span::default(),
        matches,
        asks: vec![ask],
        stations: 1,
        everywhere: false,
    }
}

/// A UDP packet to port 53 from 10.0.0.1, without a link header.
fn told(program: Program) -> Explanation {
    told_of(program, 0, &BatchContext::default())
}

/// The same packet, with these bits and this context.
fn told_of(mut program: Program, bits: u64, context: &BatchContext) -> Explanation {
    program.stations = vec![hir::Station {
        name: "ids".into(),
        span: Span::default(),
        target: hir::Target::Interface { name: "x".into() },
        limit: None,
    }];
    let mut frame = vec![0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    frame.extend([0, 99, 0, 53, 0, 10, 0, 0, b'h', b'i']);
    use bit::{IP, IP_HDR, NET, PAYLOAD, PORTS, UDP, UDP_HDR, UDP_PAYLOAD, UDP_PORTS};
    let outer = Stack {
        bits: bits | IP | IP_HDR | NET | UDP | UDP_PORTS | UDP_HDR | PORTS | UDP_PAYLOAD | PAYLOAD,
        l4: 20,
        payload: 28,
        payload_end: 30,
        l3_end: 30,
        headers_end: 28,
        proto: 17,
        ..Stack::default()
    };
    let packet = Packet::new(&frame, 30, Link::RawIp);
    let head = Head { outer, ..Head::default() };
    explain(&program, &Environment::new(&program).unwrap(), &packet, &head, PacketContext::of(context, 0))
}

type Values = Vec<(String, Option<String>)>;

fn tests(matches: Pred, needles: &[&str]) -> (bool, Vec<(String, Values)>) {
    let needles = needles.iter().map(|n| n.as_bytes().into()).collect();
    let program = Program { rules: vec![rule("r", matches, Length::Full)], needles, ..Program::default() };
    let told = told(program).rules.remove(0);
    (told.held, told.tests.into_iter().map(|test| (test.text, test.values)).collect())
}

fn value(name: &str, value: &str) -> (String, Option<String>) {
    (name.into(), Some(value.into()))
}

fn absent(name: &str) -> (String, Option<String>) {
    (name.into(), None)
}

#[test]
fn the_first_test_that_failed_is_named_with_what_the_packet_had() {
    let (held, failed) =
        tests(Pred::and([is("udp.dstport", 53), is("ip.src", 0x0a00_0009), is("ip.ttl", 1)]), &[]);
    assert!(!held);
    assert_eq!(failed, [("ip.src == 10.0.0.9".into(), vec![value("ip.src", "10.0.0.1")])]);
    let (_, failed) = tests(Pred::or([is("tcp.dstport", 80), is("udp.dstport", 80)]), &[]);
    assert_eq!(
        failed,
        [
            ("tcp.dstport == 80".into(), vec![absent("tcp.dstport")]),
            ("udp.dstport == 80".into(), vec![value("udp.dstport", "53")]),
        ]
    );
    let (_, failed) = tests(Pred::bits(Layer::Outer, bit::TCP), &[]);
    assert_eq!(failed, [("tcp".into(), vec![])]);
    let (_, failed) = tests(Pred::not(is("udp.dstport", 53)), &[]);
    assert_eq!(failed, [("not udp.dstport == 53".into(), vec![value("udp.dstport", "53")])]);
    let (held, shown) = tests(Pred::not(Pred::or([is("udp.dstport", 80), is("ip.ttl", 1)])), &[]);
    let names: Vec<&str> = shown.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!((held, names), (true, vec!["not udp.dstport == 80", "not ip.ttl == 1"]));
    let payload = Bytes { layer: Layer::Outer, source: BytesSource::UdpPayload, slice: None };
    let (_, failed) = tests(Pred::contains(payload, NeedleId(0)), &["ho"]);
    assert_eq!(failed, [("udp.payload contains \"ho\"".into(), vec![value("udp.payload", "\"hi\"")])]);
    let (held, shown) = tests(Pred::or([is("udp.dstport", 80), is("udp.dstport", 53)]), &[]);
    assert!(held);
    assert_eq!(shown, [("udp.dstport == 53".into(), vec![value("udp.dstport", "53")])]);
}

#[test]
fn stations_say_who_asked_and_who_cut() {
    let n = Num::constant;
    let mut quiet = rule("quiet", is("udp.dstport", 53), Length::Headers(n(0)));
    quiet.asks.push(Ask { when: is("ip.ttl", 1), length: Length::None, span: Span::default() });
    let program = Program {
        rules: vec![
            rule("all", Pred::always(), Length::Bytes(n(20))),
            rule("dns", is("udp.dstport", 53), Length::Full),
        ],
        limits: vec![quiet],
        ..Program::default()
    };
    let told = told(program);
    assert_eq!(
        told.stations,
        [StationExplanation {
            station: StationId(0),
            name: "ids".into(),
            requested: (0, 30),
            rule: "dns".into(),
            range: (0, 28),
            limit: Some("quiet".into()),
        }]
    );
    let limit = &told.limits[0];
    assert!(limit.held && limit.asks[0].held && !limit.asks[1].held);
    assert_eq!((limit.asks[0].length.as_str(), limit.asks[0].range), ("headers", (0, 28)));
    assert_eq!(limit.asks[1].tests[0].values, [value("ip.ttl", "64")]);
    assert_eq!(told.rules[0].tests, [], "`any` needs no explanation");
    assert_eq!(told.rules[0].to, "ids");
}

#[test]
fn headers_in_words() {
    let outer = Stack { bits: bit::IP | bit::IP_HDR | bit::NET | bit::UDP, ..Stack::default() };
    let head = Head { outer, inner: Stack { bits: bit::ETH | bit::ARP, ..Stack::default() } };
    assert_eq!(
        headers(&head),
        [(Layer::Outer, "ip and udp".into()), (Layer::Inner, "inner.eth and inner.arp".into())]
    );
}

#[test]
fn flows_are_told_with_their_values() {
    let flow = |slot, set: Intervals<u64>| Pred::test(Num::flow(0, slot), set);
    let host = |text: &str| {
        let test = hir::TextTest::Compare(hir::CompareOp::Eq, text.as_bytes().into());
        Pred::facet_text(Facet::HttpHost, test)
    };
    let port = |bits: u64, at| match load("l4.srcport").kind() {
        NumKind::Load(of) => {
            Pred::test(Num::load(crate::fields::Load { bits: of.bits | bits, at, ..*of }), Intervals::one(80))
        }
        _ => panic!(),
    };
    let program = |matches| Program {
        rules: vec![rule("r", matches, Length::Full)],
        triggers: vec![hir::Trigger {
            name: "evil".into(),
            span: Span::default(),
            scope: hir::Scope::Flow(0),
            hold: None,
            when: Some(Pred::never()),
            unless: Pred::never(),
            own: Vec::new(),
            capacity: hir::DEFAULT_KEYS,
            keys_at: None,
            external: false,
        }],
        streams: vec![hir::StreamPattern {
            kind: hir::StreamKind::Contains(b"x".as_slice().into()),
            depth: Num::constant(65536),
        }],
        ..Program::default()
    };
    let mut context = BatchContext::new(&program(Pred::always()), 1);
    context.flows[0] =
        crate::abi::FlowView { app: App::Dns as u64, age: 1_500_000_000, ..Default::default() };
    context.say_text(0, Facet::HttpHost, b"a.example");
    context.say_text(0, Facet::HttpHost, b"b.example");
    let tests = |matches: Pred, bits| {
        let told = told_of(program(matches), bits, &context).rules.remove(0);
        (told.held, told.tests.into_iter().map(|test| (test.text, test.values)).collect::<Vec<_>>())
    };
    let (ours, known) = (bit::FLOW | bit::FROM_CLIENT, |name: &str, v: &str| vec![value(name, v)]);
    let app = || flow(FlowSlot::App, Intervals::one(App::Http as u64));
    assert_eq!(tests(app(), ours), (false, vec![("app == http".into(), known("app", "dns"))]));
    assert_eq!(tests(app(), 0), (false, vec![("app == http".into(), vec![absent("app")])]));
    let age = flow(FlowSlot::Age, Intervals::range(0, 1_999_999_999));
    assert_eq!(tests(age, ours), (true, vec![("flow.age < 2s".into(), known("flow.age", "1500ms"))]));
    let says = "\"a.example\", \"b.example\"";
    assert_eq!(
        tests(host("c"), ours),
        (false, vec![("http.host == \"c\"".into(), known("http.host", says))])
    );
    let state = (false, vec![("evil".into(), known("evil", "not active"))]);
    assert_eq!(tests(Pred::flow_active(0), ours), state);
    assert_eq!(tests(Pred::flow_active(0), 0), state);
    let found = "stream contains \"x\" within 64KiB".to_owned();
    assert_eq!(
        tests(Pred::stream(hir::StreamId(0)), ours),
        (false, vec![(found, vec![absent("end of a match")])])
    );
    // Two fields may have the client's port. The explanation names the field of this packet.
    let client = Pred::or([port(bit::FROM_SERVER, 2), port(bit::FROM_CLIENT, 0)]);
    let expected = vec![("flow.client.port == 80".into(), known("flow.client.port", "99"))];
    assert_eq!(tests(client, ours), (false, expected));
}

#[test]
fn of_the_parts_of_a_line_the_one_that_holds_is_told() {
    let line = Span { start: 5, end: 9, ..Span::default() };
    let ask = |when: Pred, length| Ask { when, length, span: line };
    let mut program = Program { rules: vec![rule("r", Pred::always(), Length::Full)], ..Program::default() };
    let none = || is("ip.ttl", 1);
    program.rules[0].asks =
        vec![ask(none(), Length::Full), ask(Pred::always(), Length::Bytes(Num::constant(9)))];
    let asks = told(program.clone()).rules.remove(0).asks;
    assert_eq!(asks.iter().map(|a| (a.held, a.range)).collect::<Vec<_>>(), [(true, (0, 9))]);
    program.rules[0].asks = vec![ask(none(), Length::Full), ask(none(), Length::None)];
    let asks = told(program).rules.remove(0).asks;
    assert_eq!(asks.iter().map(|a| (a.held, a.length.as_str())).collect::<Vec<_>>(), [(false, "full")]);
}
