//! Texts for users.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::bit;
use crate::fields::{App, BytesSource, Facet, Slot, Source, find};
use crate::hir::{
    self, Address, Bytes, NeedleId, ParamId, RegexId, Slice, StreamId, StreamPattern, TableId, TcpOption,
    TriggerId,
};
use crate::sets::Intervals;

fn load(name: &str) -> Num {
    let (field, layer) = find(name).unwrap();
    match field.source {
        Source::Load(load) => Num::load(Load { layer, ..load }),
        Source::Slot { bits, slot, .. } => Num::slot(layer, bits, slot, 32),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn numbers_read_as_their_fields_do() {
    let empty = Program::default();
    let render = Render::new(&empty);
    let text = |name: &str, set: &[(u64, u64)]| {
        let pred = Pred::test(load(name), Intervals::new(set.iter().copied()));
        render.pred(&pred).rsplit_once(" and ").unwrap().1.to_owned()
    };
    assert_eq!(text("tcp.dstport", &[(80, 80)]), "tcp.dstport == 80");
    assert_eq!(text("inner.tcp.dstport", &[(80, 80)]), "inner.tcp.dstport == 80");
    assert_eq!(text("tcp.dstport", &[(0, 79), (81, 65535)]), "tcp.dstport != 80");
    assert_eq!(text("tcp.dstport", &[(0, 1023)]), "tcp.dstport <= 1023");
    assert_eq!(text("tcp.dstport", &[(1024, 65535)]), "tcp.dstport >= 1024");
    assert_eq!(text("tcp.dstport", &[(80, 80), (8000, 8080)]), "tcp.dstport in {80, 8000..8080}");
    assert_eq!(text("ip.src", &[(0x0a00_0000, 0x0aff_ffff)]), "ip.src in {10.0.0.0/8}");
    assert_eq!(text("ip.src", &[(0, 0x7fff_ffff)]), "ip.src in {0.0.0.0/1}");
    assert_eq!(text("ip.src", &[(0x0a00_0001, 0x0a00_0002)]), "ip.src in {10.0.0.1..10.0.0.2}");
    assert_eq!(text("eth.src", &[(0x0200_0000_00ff, 0x0200_0000_00ff)]), "eth.src == 02:00:00:00:00:ff");
    assert_eq!(text("eth.type", &[(0x800, 0x800)]), "eth.type == 0x0800");
    assert_eq!(text("net.proto", &[(6, 6)]), "net.proto == 6");
    assert!(
        text("tcp.dstport", &(0..30).map(|n| (n * 2, n * 2)).collect::<Vec<_>>()).ends_with(", ... 6 more}")
    );
}

#[test]
fn every_form_has_a_text() {
    let named = |name: &str| hir::Table {
        name: name.into(),
        span: Default::default(),
        start: crate::table::Table::new(&[], None, 0).unwrap(),
    };
    let program = Program {
        tables: vec![named("users")],
        triggers: vec![hir::Trigger {
            name: "attack".into(),
            span: Default::default(),
            scope: crate::hir::Scope::Keys(vec![]),
            when: None,
            unless: crate::hir::Pred::never(),
            own: Vec::new(),
            capacity: hir::DEFAULT_KEYS,
            keys_at: None,
            external: false,
            hold: None,
        }],
        params: vec![hir::Param {
            name: "head".into(),
            span: Default::default(),
            ty: hir::ValueTy::Size,
            value: hir::Value::Num(1),
            bounds: (0, 9),
        }],
        needles: vec![b"a\xff\"".as_slice().into()],
        regexes: vec![hir::Regex { pattern: "^x".into() }],
        ..Program::default()
    };
    let render = Render::new(&program);
    let payload = |slice| Bytes { layer: Layer::Outer, source: BytesSource::TcpPayload, slice };
    let v6 = Address { layer: Layer::Inner, bits: bit::IP6_HDR, slot: Slot::L3, at: 8 };
    let head = Num::param(ParamId(0), 9);
    let db8 = 0x2001_0db8u128 << 96;
    let sum = Num::arith(ArithOp::Add, Num::len(payload(None)), head.clone()).unwrap();
    let share = Num::arith(ArithOp::Rem, sum, Num::constant(7)).unwrap();
    let users = || vec![Key::Ipv4(load("ip.src")), Key::Text(b"x".as_slice().into())];
    for (pred, text) in [
        (Pred::bits(Layer::Inner, bit::TCP | bit::TCP_HDR), "inner.tcp and has(inner.tcp header)"),
        (Pred::test(share, Intervals::one(3)), "has(tcp.payload) and (len(tcp.payload) + head) % 7 == 3"),
        (
            Pred::address_in(v6, Intervals::range(db8, db8 + (1 << 96) - 1)),
            "has(inner.ipv6 header) and inner.ipv6.src in {2001:db8::/32}",
        ),
        (Pred::contains(payload(None), NeedleId(0)), r#"tcp.payload contains "a\xff\"""#),
        (
            Pred::not(Pred::or([
                Pred::matches(payload(Some(Slice::From(-4))), RegexId(0)),
                Pred::has_bytes(payload(Some(Slice::At(3)))),
            ])),
            r#"not (tcp.payload[-4:] matches "^x" or has(tcp.payload[3]))"#,
        ),
        (
            Pred::lookup_is(TableId(0), users(), b"bob".as_slice().into()),
            r#"has(ip header) and users[(ip.src, "x")] == "bob""#,
        ),
        (Pred::active(TriggerId(0), vec![]), "attack"),
        (
            Pred::has_option(TcpOption { layer: Layer::Outer, kind: 2, at: 0, width: 0 }),
            "has(tcp header) and tcp.options.mss",
        ),
        (
            Pred::bytes_compare(
                CompareOp::Gt,
                payload(Some(Slice::FirstLast(1, 2))),
                b"ab".as_slice().into(),
            ),
            r#""ab" < tcp.payload[1-2]"#,
        ),
    ] {
        assert_eq!(render.pred(&pred), text);
    }
    assert_eq!(render.length(&Length::Headers(Num::constant(0))), "headers");
    assert_eq!(render.length(&Length::Headers(head.clone())), "headers + head");
    assert_eq!(render.length(&Length::Slice(Num::constant(3), head)), "bytes 3..head");
}

#[test]
fn every_field_is_found_again_by_where_it_loads_from() {
    let empty = Program::default();
    let render = Render::new(&empty);
    for field in FIELDS {
        if matches!(field.source, Source::Load(_) | Source::Slot { .. }) {
            let (found, _) = render.field(&load(field.name)).unwrap();
            assert_eq!(found.source, field.source, "{}", field.name);
        }
    }
}

#[test]
fn flows_and_streams() {
    let program = Program {
        triggers: vec![hir::Trigger {
            name: "evil".into(),
            span: Default::default(),
            scope: Scope::Flow(3),
            when: Some(Pred::stream(StreamId(0))),
            unless: Pred::never(),
            own: Vec::new(),
            capacity: hir::DEFAULT_KEYS,
            keys_at: None,
            external: false,
            hold: None,
        }],
        streams: vec![
            StreamPattern {
                kind: StreamKind::Contains(b"evil".as_slice().into()),
                depth: Num::constant(65536),
            },
            StreamPattern { kind: StreamKind::Matches("^get".into()), depth: Num::constant(1000) },
        ],
        ..Program::default()
    };
    let render = Render::new(&program);
    let flow = |slot, set| Pred::test(Num::flow(0, slot), set);
    let end = |bits: u64, at| match load("l4.srcport").kind() {
        NumKind::Load(load) => Num::load(Load { bits: load.bits | bits, at, ..*load }),
        _ => panic!(),
    };
    let sent = "has(l4.port) and has(flow from the client)";
    for (pred, text) in [
        (Pred::stream(StreamId(0)), "has(flow) and stream contains \"evil\" within 64KiB"),
        (Pred::stream(StreamId(1)), "has(flow) and stream matches \"^get\" within 1000"),
        (Pred::flow_active(3), "has(flow) and evil"),
        (flow(FlowSlot::App, Intervals::one(App::Tls as u64)), "has(flow) and app == tls"),
        (flow(FlowSlot::App, Intervals::one(App::Http as u64).complement()), "has(flow) and app != http"),
        (flow(FlowSlot::Age, Intervals::range(0, 29_999_999_999)), "has(flow) and flow.age < 30s"),
        (flow(FlowSlot::Age, Intervals::range(0, 30_000_000_000)), "has(flow) and flow.age <= 30s"),
        (
            flow(FlowSlot::Idle, Intervals::range(1_500_000_000, u64::MAX)),
            "has(flow) and flow.idle >= 1500ms",
        ),
        (flow(FlowSlot::Idle, Intervals::range(1_000_001, u64::MAX)), "has(flow) and flow.idle > 1ms"),
        (flow(FlowSlot::IsNew, Intervals::one(1)), "has(flow) and flow.is_new == 1"),
        (
            Pred::test(end(bit::FROM_CLIENT, 0), Intervals::one(80)),
            &format!("{sent} and flow.client.port == 80"),
        ),
        (
            Pred::test(end(bit::FROM_CLIENT, 2), Intervals::one(80)),
            &format!("{sent} and flow.server.port == 80"),
        ),
        (Pred::has_facet(Facet::HttpHost), "http.host"),
        (Pred::facet_in(Facet::HttpCode, Intervals::range(500, u64::MAX)), "http.response.code >= 500"),
        (
            Pred::facet_text(Facet::DnsName, TextTest::Compare(CompareOp::Eq, b"a.b".as_slice().into())),
            "dns.qry.name == \"a.b\"",
        ),
    ] {
        assert_eq!(render.pred(&pred), text);
    }
    let behind =
        Num::arith(ArithOp::Sub, Num::constant(8192), Num::flow(bit::STREAM, FlowSlot::Offset)).unwrap();
    let bytes = Num::arith(ArithOp::Add, behind, Num::flow(bit::STREAM, FlowSlot::Lead)).unwrap();
    assert_eq!(render.length(&Length::Headers(bytes)), "stream ..8192");
    let text = super::program(&program);
    assert!(
        text.contains(
            "trigger evil by flow when has(flow) and stream contains \"evil\" within 64KiB hold flow"
        ),
        "{text}"
    );
}

#[test]
fn bytes_of_packets_are_shortened() {
    assert_eq!(bytes_text(b"GET /\r\n"), r#""GET /\r\n""#);
    assert_eq!(bytes_text(&[0, 1, 0xfe]), "00:01:fe");
    assert_eq!(bytes_text(&[b'a'; 40]), format!("\"{}\"... (40 bytes)", "a".repeat(32)));
}
