//! Which warnings are given, which are not, and that no warning is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::bit;
use crate::fields::{BytesSource, Layer, Load, Source, find};
use crate::hir::{self, Ask, Bytes, CompareOp, Length, Num, Pred, Rule, Slice, TagPart, TcpOption};
use crate::sets::Intervals;
use mrule_grammar::codes::lints;

mod properties;
mod texts;

fn lint(program: &Program, files: &[(FileId, File)]) -> Vec<Diagnostic> {
    super::lint(program, files, &CompileBudget::default()).unwrap()
}

fn num(name: &str) -> Num {
    let (field, layer) = find(name).unwrap();
    match field.source {
        Source::Load(load) => Num::load(Load { layer, ..load }),
        Source::Slot { bits, slot, .. } => Num::slot(layer, bits, slot, 32),
        Source::FrameLen => Num::frame_len(),
        other => panic!("{name}: {other:?}"),
    }
}

fn within(name: &str, low: u64, high: u64) -> Pred {
    Pred::test(num(name), Intervals::range(low, high))
}

fn is(name: &str, value: u64) -> Pred {
    within(name, value, value)
}

fn has(bits: u64) -> Pred {
    Pred::bits(Layer::Outer, bits)
}

fn span(at: u32) -> Span {
    Span { start: at, end: at + 1, ..Span::default() }
}

/// A rule to the stations. Its number is also its place.
fn rule(at: u32, matches: Pred, lengths: Vec<(Length, Pred)>, stations: u64) -> Rule {
    let asks = lengths.into_iter().zip(1..);
    Rule {
        name: format!("r{at}"),
        span: span(at),
        matches,
        asks: asks.map(|((length, when), i)| Ask { when, length, span: span(at + i) }).collect(),
        stations,
        everywhere: false,
    }
}

fn simple(at: u32, matches: Pred, length: Length) -> Rule {
    rule(at, matches, vec![(length, Pred::always())], 1)
}

fn n(value: u64) -> Num {
    Num::constant(value)
}

fn program(rules: Vec<Rule>, limits: Vec<Rule>) -> Program {
    let station = |name: &str| hir::Station {
        name: name.into(),
        span: Span::default(),
        target: hir::Target::Pipe { path: Some(name.into()) },
        limit: None,
    };
    Program { rules, limits, stations: vec![station("a"), station("b")], ..Program::default() }
}

/// The codes and main places of the warnings.
fn said(program: &Program) -> Vec<(&'static str, u32)> {
    lint(program, &[]).iter().map(|d| (d.code.id(), d.labels[0].span.start)).collect()
}

/// The label of the only warning about this `match`.
fn why_never(matches: Pred) -> Option<String> {
    let found = lint(&program(vec![simple(0, matches, Length::Full)], vec![]), &[]);
    let finding = found.iter().find(|d| d.code == lints::NEVER)?;
    Some(finding.labels[0].text.clone())
}

#[test]
fn conditions_that_never_hold_say_why() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(why_never(Pred::never()), some("no packet passes"));
    assert_eq!(why_never(has(bit::TCP | bit::UDP)), some("no packet has `tcp` and `udp` at once"));
    assert_eq!(
        why_never(Pred::and([is("tcp.dstport", 80), is("udp.dstport", 53)])),
        some("no packet has `tcp` and `udp` at once")
    );
    assert_eq!(
        why_never(Pred::and([within("ip.src", 0x0a00_0000, 0x0aff_ffff), is("ip.src", 0xc000_0201)])),
        some("no value of `ip.src` passes")
    );
    assert_eq!(
        why_never(Pred::and([has(bit::TCP), Pred::not(has(bit::TCP))])),
        some("`tcp` must be present and absent")
    );
    assert_eq!(
        why_never(Pred::and([within("ip.frag_offset", 1, 0x1fff), is("tcp.dstport", 80)])),
        some("only the first fragment of a packet has tcp")
    );
    assert_eq!(
        why_never(Pred::and([is("ip.version", 6), is("ip.src", 1)])),
        some("no value of `ip.version` passes")
    );
    assert_eq!(
        why_never(Pred::and([is("net.proto", 17), is("tcp.dstport", 1)])),
        some("no value of `net.proto` passes")
    );
    assert_eq!(
        why_never(Pred::and([is("ip.src", 1), Pred::bits(Layer::Outer, bit::IP6_HDR)])),
        some("no packet has `ip` and `ipv6` at once")
    );
    assert_eq!(
        why_never(Pred::and([is("inner.tcp.dstport", 80), is("tcp.dstport", 80)])),
        some("a packet with `tcp` carries no packet inside")
    );
    let udp_payload =
        Bytes { layer: Layer::Outer, source: BytesSource::UdpPayload, slice: Some(Slice::To(2)) };
    let text = |t: &str| std::sync::Arc::from(t.as_bytes());
    let starts = |t| Pred::bytes_compare(CompareOp::Eq, udp_payload.clone(), text(t));
    assert_eq!(
        why_never(starts("abc")),
        some("`udp.payload[:2] == \"abc\"`: the slice never has that many bytes")
    );
    assert_eq!(
        why_never(Pred::and([starts("ab"), starts("cd")])),
        some("`udp.payload[:2] == \"cd\"` contradicts the rest")
    );
    assert_eq!(
        why_never(Pred::and([starts("ab"), has(bit::TCP)])),
        some("no packet has `tcp` and `udp` at once")
    );
    let vid = |low, high| {
        let part = TagPart {
            layer: Layer::Outer,
            tags: crate::fields::Tags::Vlan,
            at: 0,
            width: 2,
            shift: 0,
            mask: 0xfff,
        };
        Pred::tag_in(part, Intervals::range(low, high))
    };
    assert_eq!(
        why_never(Pred::and([vid(5, 6), Pred::not(vid(0, 10))])),
        some("`vlan.id <= 10` contradicts the rest")
    );
    assert_eq!(why_never(Pred::and([vid(5, 6), vid(7, 8)])), None, "one tag each");
    assert_eq!(why_never(Pred::compare(CompareOp::Lt, num("tcp.dstport"), num("ip.ttl"))), None, "possible");
    let mss = Num::option(TcpOption { layer: Layer::Outer, kind: 2, at: 2, width: 2 });
    let large = Num::arith(hir::ArithOp::Mul, num("tcp.dstport"), n(2)).unwrap();
    assert_eq!(
        why_never(Pred::and([
            Pred::test(mss.clone(), Intervals::range(0xff00, 0xffff)),
            Pred::test(num("ip.ttl"), Intervals::range(0, 9)),
            Pred::compare(CompareOp::Lt, mss, num("ip.ttl")),
        ])),
        some("`tcp.options.mss_val < ip.ttl` contradicts the rest")
    );
    assert_eq!(why_never(Pred::test(large, Intervals::one(131_069))), None, "odd, but too hard");
}

#[test]
fn every_case_of_an_or_is_tried() {
    let port = |v| Pred::or([is("tcp.srcport", v), is("tcp.dstport", v)]);
    assert_eq!(why_never(Pred::and([port(80), port(81)])), None, "one each");
    assert!(why_never(Pred::and([port(80), port(81), port(82)])).is_some());
    assert!(why_never(Pred::and([port(80), Pred::not(port(80))])).is_some());
    let many = |name| Pred::or((0..20u64).map(|i| is(name, 2 * i)));
    let never = Pred::and([many("ip.id"), many("ip.ttl"), is("ip.len", 1), is("ip.len", 2)]);
    assert!(why_never(never).is_some(), "plain tests come first");
    let never = Pred::and([many("ip.id"), many("ip.ttl"), Pred::not(many("ip.id"))]);
    assert_eq!(why_never(never), None, "too many cases: nothing is said");
    assert_eq!(why_never(Pred::or([has(bit::TCP | bit::UDP), has(bit::ARP)])), None);
}

#[test]
fn conditions_that_always_hold_are_told_where_they_are_written() {
    let text = "rule r0 { match ip or not ip  snaplen full when tcp  to a }";
    let files = [(FileId(0), mrule_grammar::parse(FileId(0), text).file)];
    let Item::Rule(tree) = &files[0].1.items[0] else { panic!("a rule") };
    let mut all = simple(0, Pred::or([has(bit::IP), Pred::not(has(bit::IP))]), Length::Full);
    all.span = tree.name.span;
    let found = lint(&program(vec![all.clone()], vec![]), &files);
    let told: Vec<_> = found.iter().map(|d| (d.code.id(), d.labels[0].span.range())).collect();
    assert_eq!(told, [("W0904", 16..28)]);
    all.matches = has(bit::TCP);
    all.asks[0].when = has(bit::TCP);
    let at = text.find("full").unwrap() as u32;
    all.asks[0].span = Span { start: at, end: at + 4, ..Span::default() };
    let found = lint(&program(vec![all.clone()], vec![]), &files);
    let told: Vec<_> = found.iter().map(|d| (d.code.id(), &text[d.labels[0].span.range()])).collect();
    assert_eq!(told, [("W0904", "tcp")]);
    all.asks[0].when = has(bit::UDP);
    let found = lint(&program(vec![all], vec![]), &files);
    let told: Vec<_> = found.iter().map(|d| (d.code.id(), &text[d.labels[0].span.range()])).collect();
    assert_eq!(told, [("W0903", "tcp")]);
    let any = simple(0, Pred::always(), Length::Full);
    assert_eq!(said(&program(vec![any], vec![])), []);
}

#[test]
fn a_rule_that_a_wider_one_covers_adds_nothing() {
    let ten = || within("ip.src", 0x0a00_0000, 0x0aff_ffff);
    let one = || is("ip.src", 0x0a01_0203);
    let headers = || Length::Headers(n(0));
    let pair = |a: Rule, b: Rule| said(&program(vec![a, b], vec![]));
    assert_eq!(pair(simple(0, ten(), Length::Full), simple(10, one(), headers())), [("W0905", 10)]);
    assert_eq!(pair(simple(0, one(), headers()), simple(10, ten(), Length::Full)), [("W0905", 0)]);
    assert_eq!(pair(simple(0, ten(), headers()), simple(10, one(), Length::Full)), [], "asks for more");
    assert_eq!(pair(simple(0, ten(), Length::Full), simple(10, one(), Length::Full)), [("W0905", 10)]);
    assert_eq!(
        pair(simple(0, one(), Length::Full), simple(10, one(), Length::Full)),
        [("W0905", 10)],
        "twins: the later"
    );
    let elsewhere = rule(10, one(), vec![(Length::Full, Pred::always())], 2);
    assert_eq!(pair(simple(0, ten(), Length::Full), elsewhere), []);
    let both = rule(0, ten(), vec![(Length::Full, Pred::always())], 3);
    assert_eq!(pair(both, simple(10, one(), Length::Full)), [("W0905", 10)]);
    let sometimes =
        |when| rule(0, ten(), vec![(Length::Full, when), (Length::Bytes(n(64)), Pred::always())], 1);
    assert_eq!(pair(sometimes(is("ip.ttl", 1)), simple(10, one(), Length::Full)), []);
    assert_eq!(pair(sometimes(is("ip.ttl", 1)), simple(10, one(), Length::Bytes(n(64)))), [("W0905", 10)]);
    assert_eq!(
        pair(sometimes(is("ip.ttl", 1)), simple(10, Pred::and([one(), is("ip.ttl", 1)]), Length::Full)),
        [("W0905", 10)]
    );
    let any = simple(0, Pred::always(), Length::Full);
    assert_eq!(pair(any, simple(10, has(bit::TCP), headers())), [("W0905", 10)]);
    let either = || Pred::or([is("tcp.srcport", 80), is("tcp.dstport", 80)]);
    assert_eq!(
        pair(
            simple(0, either(), Length::Full),
            simple(10, Pred::and([either(), is("ip.ttl", 9)]), Length::Full)
        ),
        [("W0905", 10)]
    );
    assert_eq!(
        pair(simple(0, is("tcp.srcport", 80), Length::Full), simple(10, either(), Length::Full)),
        [("W0905", 0)]
    );
}

#[test]
fn lines_and_limits_that_do_nothing() {
    let lines = |lengths| said(&program(vec![rule(0, has(bit::TCP), lengths, 1)], vec![]));
    let syn = || is("tcp.flags.syn", 1);
    assert_eq!(lines(vec![(Length::None, Pred::always())]), [("W0906", 1)]);
    assert_eq!(lines(vec![(Length::Bytes(n(0)), Pred::always()), (Length::Full, syn())]), [("W0906", 1)]);
    assert_eq!(lines(vec![(Length::Full, Pred::always()), (Length::Headers(n(9)), syn())]), [("W0906", 2)]);
    assert_eq!(lines(vec![(Length::Full, syn()), (Length::Full, syn())]), [("W0906", 2)]);
    assert_eq!(lines(vec![(Length::Full, syn()), (Length::Headers(n(9)), Pred::always())]), []);
    assert_eq!(lines(vec![(Length::Slice(n(9), n(9)), Pred::always())]), [("W0906", 1)]);

    let limited = |limit: Rule| {
        let rules = vec![
            simple(0, has(bit::TCP), Length::Bytes(n(128))),
            simple(10, is("udp.dstport", 53), Length::Slice(n(20), n(90))),
        ];
        said(&program(rules, vec![limit]))
    };
    assert_eq!(limited(simple(20, has(bit::TCP), Length::Bytes(n(127)))), []);
    assert_eq!(limited(simple(20, has(bit::TCP), Length::Bytes(n(128)))), [("W0907", 20)]);
    assert_eq!(limited(simple(20, has(bit::TCP), Length::Full)), [("W0907", 20)]);
    assert_eq!(limited(simple(20, has(bit::TCP), Length::Headers(n(0)))), []);
    assert_eq!(limited(simple(20, has(bit::ARP), Length::None)), [("W0907", 20)], "never with a rule");
    assert_eq!(limited(simple(20, has(bit::UDP), Length::None)), []);
    let elsewhere = rule(20, has(bit::TCP), vec![(Length::None, Pred::always())], 2);
    assert_eq!(limited(elsewhere), [("W0907", 20)]);
    let lines = vec![(Length::Full, syn()), (Length::None, Pred::always())];
    assert_eq!(limited(rule(20, has(bit::TCP), lines, 1)), [("W0907", 21)]);
}

#[test]
fn params_count_with_all_their_values() {
    let param = |low, high| hir::Param {
        name: "head".into(),
        span: Span::default(),
        ty: hir::ValueTy::Size,
        value: hir::Value::Num(low),
        bounds: (low, high),
    };
    let head = |i| Length::Bytes(Num::param(hir::ParamId(i), 1 << 20));
    let with = |a: Length, b: Length| {
        let rules = vec![simple(0, has(bit::IP), a), simple(10, has(bit::TCP | bit::IP), b)];
        said(&Program { params: vec![param(64, 128), param(128, 256)], ..program(rules, vec![]) })
    };
    assert_eq!(with(head(1), head(0)), [("W0905", 10)]);
    assert_eq!(with(head(0), head(1)), []);
    assert_eq!(with(head(0), head(0)), [("W0905", 10)], "whatever it is, it is the same");
    assert_eq!(with(head(0), Length::Bytes(n(64))), [("W0905", 10)]);
    assert_eq!(with(Length::Bytes(n(127)), head(0)), []);
}

#[test]
fn unused_names_are_read_off_the_text() {
    let told = |texts: &[&str]| -> Vec<String> {
        let parse = |(i, text): (usize, &&str)| {
            let parsed = mrule_grammar::parse(FileId(i as u16), text);
            assert_eq!(parsed.diagnostics, [], "{text}");
            (FileId(i as u16), parsed.file)
        };
        let files: Vec<_> = texts.iter().enumerate().map(parse).collect();
        lint(&Program::default(), &files).into_iter().map(|d| format!("{} {}", d.code, d.message)).collect()
    };
    let all = r#"
        let ports = {80}  let unused_ports = ports  let _later = 5
        param head : size = 5 in 0..most  param idle : size = 5  let most = 9
        table users : map<ip, string>  table forgotten : set<ip>  table keys : set<uint> = { seven }  let seven = 7
        trigger attack by net.dst { external }  trigger never { external }
        station ids { interface eth1 }  station lake { pcapng "x" }  station cut { pcapng "y" }
        rule r { match users[net.src] == "bob" and tcp.port in keys snaplen full when attack[net.src] snaplen bytes 0..head to ids }
        limit l { match any snaplen none to cut }
    "#;
    assert_eq!(
        told(&[all]),
        [
            "W0901 let `unused_ports` is never used",
            "W0901 param `idle` is never used",
            "W0901 table `forgotten` is never used",
            "W0901 trigger `never` is never used",
            "W0902 no rule sends to station `lake`",
            "W0902 no rule sends to station `cut`",
        ]
    );
    let library = "let a = 1  let b = 2  station s { interface x }  station t { interface y }";
    let user = "rule r { match tcp.port == a snaplen full to s }";
    assert_eq!(told(&[library, user]), [] as [&str; 0], "a file without rules is a library");
}

#[test]
fn many_rules_are_compared_where_they_meet() {
    let port = |v| Pred::or([is("tcp.srcport", v), is("tcp.dstport", v)]);
    let rules = (0..2_000u64).map(|i| {
        let net = 0x0a00_0000 + (i << 8);
        let matches = Pred::and([within("ip.src", net, net + 255), port(i % 100)]);
        simple(i as u32 * 10, matches, Length::Headers(n(1 + i % 50)))
    });
    let mut rules: Vec<Rule> = rules.collect();
    let host = Pred::and([is("ip.src", 0x0a00_0000 + (1234 << 8) + 7), is("tcp.srcport", 34)]);
    rules.push(simple(200_000, host, Length::Headers(n(1))));
    rules.push(simple(200_010, has(bit::TCP), Length::Headers(n(0))));
    assert_eq!(said(&program(rules, vec![])), [("W0905", 200_000)]);
}
