//! The interpreter on hand-made programs: how ranges combine, which rule is named, and each form of
//! condition.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{Link, Stack, bit};
use crate::batch::Batch;
use crate::engine::{Engine, EngineKind};
use crate::fields::{BytesSource, Layer, Load, Slot, Tags};
use crate::hir::{
    self, Length, NeedleId, ParamId, RegexId, Rule, Slice, TagPart, TcpOption, TriggerId, Value, ValueTy,
};
use crate::sets::Intervals;
use mrule_grammar::span::Span;

fn n(value: u64) -> Num {
    Num::constant(value)
}

fn ask(length: Length) -> Ask {
    Ask { when: Pred::always(), length, span: Span::default() }
}

fn rule(stations: u64, asks: Vec<Ask>) -> Rule {
    Rule {
        name: "r".into(),
        span: Span::default(),
        matches: Pred::always(),
        asks,
        stations,
        everywhere: false,
    }
}

fn program(rules: Vec<Rule>, limits: Vec<Rule>) -> Program {
    let station = |name: &str| hir::Station {
        name: name.into(),
        span: Span::default(),
        target: hir::Target::Interface { name: name.into() },
        limit: None,
    };
    Program { rules, limits, stations: vec![station("a"), station("b")], ..Program::default() }
}

/// The verdicts for a frame of 100 bytes, by station; and the counts.
fn verdicts(program: &Program) -> (Vec<Option<Verdict>>, Vec<u64>) {
    let environment = Environment::new(program).unwrap();
    let frame = [0; 100];
    let packet = Packet::new(&frame, 100, Link::Ethernet);
    let head = Head { outer: Stack { headers_end: 40, l3_end: 90, ..Stack::default() }, ..Head::default() };
    let mut out = vec![Verdict { start: 9, end: 9, rule: 9, limit: 9 }; program.stations.len()];
    let mut counters = vec![0; program.rules.len() + program.limits.len()];
    let asked = Eval::new(
        &environment,
        &mut Scratch::default(),
        &packet,
        &head,
        crate::context::PacketContext::nothing(),
    )
    .decide(program, &mut out, &mut counters);
    let told = out.iter().enumerate().map(|(s, v)| (asked >> s & 1 == 1).then_some(*v)).collect();
    (told, counters)
}

fn verdict(start: u32, end: u32, rule: u32, limit: u32) -> Option<Verdict> {
    Some(Verdict { start, end, rule, limit })
}

#[test]
fn rules_raise_and_the_longest_single_range_is_named() {
    let bytes = |m, e| ask(Length::Slice(n(m), n(e)));
    let rules = vec![
        rule(1, vec![ask(Length::Bytes(n(20)))]),
        rule(3, vec![bytes(50, 60), bytes(20, 45)]),
        rule(1, vec![bytes(10, 35)]),
        rule(2, vec![ask(Length::None), bytes(30, 30)]),
    ];
    let (told, counters) = verdicts(&program(rules, vec![]));
    assert_eq!(told, [verdict(0, 60, 1, NO_LIMIT), verdict(20, 60, 1, NO_LIMIT)]);
    assert_eq!(counters, [1, 1, 1, 1]);
    let equal = vec![rule(1, vec![bytes(0, 10)]), rule(1, vec![bytes(5, 15)])];
    assert_eq!(
        verdicts(&program(equal, vec![])).0,
        [verdict(0, 15, 0, NO_LIMIT), None],
        "a tie goes to the first"
    );
    let cut = vec![rule(1, vec![ask(Length::Bytes(n(100)))]), rule(1, vec![ask(Length::Bytes(n(900)))])];
    assert_eq!(
        verdicts(&program(cut, vec![])).0[0],
        verdict(0, 100, 0, NO_LIMIT),
        "clipped before comparing"
    );
}

#[test]
fn whens_and_matches_are_asked_each() {
    let mut never = rule(1, vec![ask(Length::Full)]);
    never.matches = Pred::never();
    let mut some = rule(1, vec![ask(Length::Full), ask(Length::Bytes(n(7)))]);
    some.asks[0].when = Pred::never();
    let limit_of_another = rule(2, vec![ask(Length::None)]);
    let mut idle = rule(3, vec![ask(Length::None)]);
    idle.asks[0].when = Pred::never();
    let (told, counters) = verdicts(&program(vec![never, some], vec![limit_of_another, idle]));
    assert_eq!(told, [verdict(0, 7, 1, NO_LIMIT), None]);
    assert_eq!(counters, [0, 1, 1, 1]);
    let (told, counters) =
        verdicts(&program(vec![rule(1, vec![ask(Length::None)])], vec![rule(3, vec![ask(Length::None)])]));
    assert_eq!(
        (told, counters),
        (vec![None, None], vec![1, 0]),
        "limits are not tried where nothing is asked"
    );
}

#[test]
fn limits_lower_and_the_shortest_cut_is_named() {
    let full = || vec![rule(3, vec![ask(Length::Full)])];
    let headers = |more| ask(Length::Headers(n(more)));
    let limits = vec![
        rule(1, vec![headers(20)]),
        rule(3, vec![headers(10)]),
        rule(1, vec![headers(10)]),
        rule(3, vec![ask(Length::Full)]),
    ];
    let (told, counters) = verdicts(&program(full(), limits));
    assert_eq!(told, [verdict(0, 50, 0, 1), verdict(0, 50, 0, 1)]);
    assert_eq!(counters, [1, 1, 1, 1, 1]);
    let (told, _) = verdicts(&program(full(), vec![rule(1, vec![ask(Length::Bytes(n(100)))])]));
    assert_eq!(told[0], verdict(0, 100, 0, NO_LIMIT), "allowed as much as was asked");
    let (told, _) =
        verdicts(&program(full(), vec![rule(1, vec![ask(Length::None)]), rule(1, vec![headers(0)])]));
    assert_eq!(told[0], verdict(0, 0, 0, 0), "nothing is left, and it is still told who asked");
    let slices = vec![
        rule(1, vec![ask(Length::Slice(n(10), n(30)))]),
        rule(1, vec![ask(Length::Slice(n(20), n(60))), ask(Length::Slice(n(0), n(25)))]),
    ];
    assert_eq!(verdicts(&program(full(), slices)).0[0], verdict(20, 25, 0, 0));
    let apart =
        vec![rule(1, vec![ask(Length::Slice(n(50), n(60)))]), rule(1, vec![ask(Length::Bytes(n(10)))])];
    assert_eq!(verdicts(&program(full(), apart)).0[0], verdict(0, 0, 0, 0));
    let two = program(vec![rule(1, vec![ask(Length::Bytes(n(30)))])], vec![rule(1, vec![headers(0)])]);
    assert_eq!(verdicts(&two).0[0], verdict(0, 30, 0, NO_LIMIT), "headers are more than was asked");
}

/// Ethernet, IPv4 192.0.2.1 to 10.0.0.9, TCP 1000 to 80 with an MSS option, payload `GET /x`.
fn http() -> (Vec<u8>, Head) {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 10, 0, 0, 9]);
    frame.extend([1000u16.to_be_bytes(), 80u16.to_be_bytes()].concat());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x18, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4]);
    frame.extend(b"GET /x");
    use bit::{ETH, IP, IP_HDR, IP_IHL, IP_LEN, IP_VERSION, NET};
    use bit::{PORTS, TCP, TCP_FLAGS, TCP_HDR, TCP_PAYLOAD, TCP_PORTS, TCP_SEQ};
    let ip = IP | IP_VERSION | IP_IHL | IP_LEN | IP_HDR | NET;
    let outer = Stack {
        bits: ETH | ip | TCP | TCP_PORTS | PORTS | TCP_SEQ | TCP_FLAGS | TCP_HDR | TCP_PAYLOAD,
        l3: 14,
        l4: 34,
        payload: 58,
        payload_end: 64,
        l3_end: 64,
        headers_end: 58,
        proto: 6,
        ..Stack::default()
    };
    (frame, Head { outer, ..Head::default() })
}

fn load(name: &str) -> Num {
    match crate::fields::find(name).unwrap().0.source {
        crate::fields::Source::Load(load) => Num::load(load),
        other => panic!("{name}: {other:?}"),
    }
}

fn bytes(source: BytesSource, slice: Option<Slice>) -> Bytes {
    Bytes { layer: Layer::Outer, source, slice }
}

#[test]
fn each_form_of_condition() {
    let (frame, head) = http();
    let packet = Packet::new(&frame, 64, Link::Ethernet);
    let table = |name: &str, key: Vec<ValueTy>, value, rows: Vec<(Vec<Value>, Option<Value>)>| {
        let mut start = crate::table::Table::new(&key, value, 100).unwrap();
        for (key, value) in rows {
            start.insert(&key, value).unwrap();
        }
        hir::Table { name: name.into(), span: Span::default(), start }
    };
    let cidr = |text: &str, len| Value::Ip(text.parse().unwrap(), len);
    let text = |text: &str| Value::Text(text.as_bytes().into());
    let payload = |slice| bytes(BytesSource::TcpPayload, slice);
    let udp = bytes(BytesSource::UdpPayload, None);
    let searched = Pred::or([
        Pred::contains(payload(None), NeedleId(0)),
        Pred::contains(payload(None), NeedleId(1)),
        Pred::matches(payload(None), RegexId(0)),
        Pred::contains(udp.clone(), NeedleId(0)),
    ]);
    let mut with_searches = rule(1, vec![]);
    with_searches.matches = searched;
    let program = Program {
        tables: vec![
            table(
                "nets",
                vec![ValueTy::Cidr],
                Some(ValueTy::Uint),
                vec![(vec![cidr("192.0.2.0", 24)], Some(Value::Num(7)))],
            ),
            table(
                "verbs",
                vec![ValueTy::String],
                Some(ValueTy::String),
                vec![(vec![text("GET")], Some(text("read")))],
            ),
            table("ports", vec![ValueTy::Uint], None, vec![(vec![Value::Num(5)], None)]),
        ],
        triggers: vec![hir::Trigger {
            name: "t".into(),
            span: Span::default(),
            scope: crate::hir::Scope::Keys(vec![ValueTy::Ip]),
            when: None,
            unless: crate::hir::Pred::never(),
            own: Vec::new(),
            capacity: hir::DEFAULT_KEYS,
            keys_at: None,
            external: false,
            hold: None,
        }],
        params: vec![hir::Param {
            name: "p".into(),
            span: Span::default(),
            ty: ValueTy::Uint,
            value: Value::Num(80),
            bounds: (0, 65535),
        }],
        needles: vec![b"ET".as_slice().into(), b"et".as_slice().into()],
        regexes: vec![hir::Regex { pattern: "^get".into() }],
        ..program(vec![with_searches], vec![])
    };
    let mut environment = Environment::new(&program).unwrap();
    environment.raise(TriggerId(0), &[cidr("10.0.0.9", 32)]).unwrap();
    let mut scratch = Scratch::default();
    let mut eval =
        Eval::new(&environment, &mut scratch, &packet, &head, crate::context::PacketContext::nothing());
    let mut check = |pred: Pred, expected: bool| {
        assert_eq!(eval.holds(&pred), expected, "{pred:?}");
        assert_eq!(eval.holds(&Pred::not(pred.clone())), !expected, "not {pred:?}");
    };
    let one = Intervals::one;
    let port = || load("tcp.dstport");
    check(Pred::test(port(), one(80)), true);
    check(Pred::test(port(), one(81)), false);
    check(Pred::test(load("udp.dstport"), one(80)), false);
    check(Pred::test(load("tcp.hdr_len"), one(24)), true);
    check(Pred::test(load("ip.hdr_len"), one(20)), true);
    let p = || Num::param(ParamId(0), 65535);
    check(Pred::compare(CompareOp::Eq, port(), p()), true);
    check(Pred::compare(CompareOp::Lt, load("tcp.srcport"), p()), false);
    check(Pred::compare(CompareOp::Ge, load("tcp.srcport"), p()), true);
    check(Pred::compare(CompareOp::Ne, load("udp.srcport"), p()), false);
    check(Pred::test(Num::param_high(ParamId(0)), one(0)), true);
    let sub = |a, b| Num::arith(hir::ArithOp::Sub, a, b).unwrap();
    check(Pred::test(sub(port(), n(79)), one(1)), true);
    check(Pred::test(sub(port(), n(81)), Intervals::all()), false);
    let rem = |b| Num::arith(hir::ArithOp::Rem, port(), b).unwrap();
    check(Pred::test(rem(n(7)), one(3)), true);
    check(Pred::compare(CompareOp::Le, rem(load("ip.id")), n(9)), false);
    check(Pred::test(Num::frame_len(), one(64)), true);
    check(Pred::test(Num::frame_cap_len(), one(64)), true);
    check(Pred::test(Num::slot(Layer::Outer, bit::NET, Slot::Proto, 8), one(6)), true);
    check(Pred::test(Num::slot(Layer::Inner, bit::NET, Slot::Proto, 8), one(6)), false);
    check(Pred::test(Num::byte(payload(Some(Slice::At(-1)))), one(u64::from(b'x'))), true);
    check(Pred::test(Num::byte(payload(Some(Slice::At(6)))), Intervals::all()), false);
    check(Pred::test(Num::len(payload(None)), one(6)), true);
    check(Pred::test(Num::len(udp.clone()), one(0)), false);
    let mss = TcpOption { layer: Layer::Outer, kind: 2, at: 2, width: 2 };
    check(Pred::has_option(mss), true);
    check(Pred::has_option(TcpOption { kind: 8, ..mss }), false);
    check(Pred::test(Num::option(mss), one(1460)), true);
    check(Pred::test(Num::hash(Hash::Flow), one(helpers::flow_hash(&packet, &head).unwrap())), true);
    check(Pred::test(Num::hash(Hash::Packet), one(helpers::packet_hash(&packet))), true);
    let v6 = Address { layer: Layer::Outer, bits: bit::IP6_HDR, slot: Slot::L3, at: 8 };
    check(Pred::address_in(v6, Intervals::all()), false);
    check(Pred::address_compare(CompareOp::Ne, v6, v6), false);
    let vid = TagPart { layer: Layer::Outer, tags: Tags::Vlan, at: 0, width: 2, shift: 0, mask: 0xfff };
    check(Pred::tag_in(vid, Intervals::all()), false);
    check(Pred::tag_in_table(vid, TableId(2)), false);
    check(Pred::has_bytes(payload(Some(Slice::To(6)))), true);
    check(Pred::has_bytes(payload(Some(Slice::To(7)))), false);
    let to = |len| payload(Some(Slice::To(len)));
    let constant = |text: &str| std::sync::Arc::from(text.as_bytes());
    check(Pred::bytes_compare(CompareOp::Eq, to(3), constant("GET")), true);
    check(Pred::bytes_compare(CompareOp::Eq, to(3), constant("GETT")), false);
    check(Pred::bytes_compare(CompareOp::Lt, to(3), constant("GETT")), true);
    check(Pred::bytes_compare(CompareOp::Ge, to(4), constant("GET")), true);
    check(Pred::bytes_compare(CompareOp::Gt, to(3), constant("GET")), false);
    check(Pred::bytes_compare(CompareOp::Ne, to(9), constant("GET")), false);
    check(Pred::bytes_bytes(CompareOp::Lt, to(3), to(4)), true);
    check(Pred::bytes_bytes(CompareOp::Gt, to(3), to(4)), false);
    check(Pred::bytes_bytes(CompareOp::Ne, to(3), udp.clone()), false);
    check(Pred::contains(payload(None), NeedleId(0)), true);
    check(Pred::contains(payload(None), NeedleId(1)), false);
    check(Pred::contains(udp, NeedleId(0)), false);
    check(Pred::matches(payload(None), RegexId(0)), true);
    let src = || vec![Key::Ipv4(load("ip.src"))];
    check(Pred::in_table(TableId(0), src()), true);
    check(Pred::in_table(TableId(0), vec![Key::Ipv4(load("ip.dst"))]), false);
    check(Pred::in_table(TableId(0), vec![Key::Ipv6(v6)]), false);
    check(Pred::test(Num::lookup(TableId(0), src()), one(7)), true);
    check(Pred::in_table(TableId(1), vec![Key::Bytes(to(3))]), true);
    check(Pred::lookup_is(TableId(1), vec![Key::Bytes(to(3))], constant("read")), true);
    check(Pred::lookup_is(TableId(1), vec![Key::Text(constant("GET"))], constant("write")), false);
    check(Pred::lookup_is(TableId(1), vec![Key::Text(constant("PUT"))], constant("read")), false);
    check(Pred::in_table(TableId(9), src()), false);
    check(Pred::active(TriggerId(0), src()), false);
    check(Pred::active(TriggerId(0), vec![Key::Ipv4(load("ip.dst"))]), true);
    check(Pred::in_table(TableId(2), vec![Key::Num(n(5)); MAX_KEY + 1]), false);
    let past =
        Load { layer: Layer::Outer, bits: bit::ETH, slot: Slot::L4, at: 60, width: 4, shift: 0, mask: 0xff };
    check(Pred::test(Num::load(past), Intervals::range(0, 254)), false);
}

#[test]
fn a_batch_is_overwritten_as_far_as_it_is_used() {
    let mut full = rule(2, vec![ask(Length::Full)]);
    full.matches = Pred::test(Num::frame_len(), Intervals::range(3, 9));
    let program = program(vec![full], vec![]);
    let environment = Environment::new(&program).unwrap();
    let mut batch = Batch::new(&program, 2);
    let engine = Engine::new(EngineKind::Interp, program.into(), &environment).unwrap();
    let mut scratch = Scratch::default();
    let long = Packet::new(b"abc", 0, Link::RawIp);
    let short = Packet::new(b"a", 0, Link::RawIp);
    engine.decide(
        &environment,
        &mut scratch,
        &[long, long, short],
        &crate::context::BatchContext::default(),
        &mut batch,
    );
    assert_eq!((batch.asked(0), batch.asked(1), batch.matched()), (2, 2, [2].as_slice()), "as many as fit");
    engine.decide(&environment, &mut scratch, &[short], &crate::context::BatchContext::default(), &mut batch);
    assert_eq!((batch.asked(0), batch.asked(1), batch.matched()), (0, 2, [2].as_slice()));
    engine.decide(
        &environment,
        &mut scratch,
        &[short, long],
        &crate::context::BatchContext::default(),
        &mut batch,
    );
    let all: Vec<_> = batch.verdicts(1).collect();
    assert_eq!(all, [(hir::StationId(1), Verdict { start: 0, end: 3, rule: 0, limit: NO_LIMIT })]);
}
