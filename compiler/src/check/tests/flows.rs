//! Fields of flows and messages, applications, searches in streams, triggers by flow: what is
//! accepted, its typed form, and what is refused.

use super::{STATION, about, about_with, build, findings, pred, pred_with, program, refused, wrong};
use crate::abi::bit;
use crate::fields::{Facet, FlowSlot, Layer};
use crate::hir::{
    CompareOp, DEFAULT_DEPTH, Key, Length, MAX_DEPTH, MAX_FLOW_TRIGGERS, Num, NumKind, Pred, PredKind, Scope,
    StreamId, StreamKind, StreamPattern, TextTest, ValueTy,
};
use crate::sets::Intervals;

fn slot(slot: FlowSlot) -> Num {
    Num::flow(0, slot)
}

fn is(of: FlowSlot, value: u64) -> Pred {
    Pred::test(slot(of), Intervals::one(value))
}

fn text(facet: Facet, op: CompareOp, text: &str) -> Pred {
    Pred::facet_text(facet, TextTest::Compare(op, text.as_bytes().into()))
}

#[test]
fn numbers_of_flows() {
    assert_eq!(pred("flow.packets <= 10"), Pred::test(slot(FlowSlot::Packets), Intervals::range(0, 10)));
    assert_eq!(
        pred("flow.bytes < 1MiB"),
        Pred::test(slot(FlowSlot::Bytes), Intervals::range(0, (1 << 20) - 1))
    );
    assert_eq!(
        pred("flow.age < 30s"),
        Pred::test(slot(FlowSlot::Age), Intervals::range(0, 30_000_000_000 - 1))
    );
    assert_eq!(pred("flow.is_new"), is(FlowSlot::IsNew, 1));
    assert_eq!(pred("not flow.established"), Pred::not(is(FlowSlot::Established, 1)));
    assert_eq!(
        pred("stream.midstream"),
        Pred::test(Num::flow(bit::STREAM, FlowSlot::Midstream), Intervals::one(1))
    );
    for expr in [
        "flow.idle in {1s..5s, 1h}",
        "flow.idle > flow.age",
        "flow.client.packets > flow.server.packets",
        "flow.client.bytes + flow.server.bytes == flow.bytes",
        "flow.is_new == 1",
        "flow.established != true",
        "tcp.isn % 2 == 0",
        "tcp.isn",
        "stream.offset >= 1MiB and stream.len == 5",
        "stream.offset & 0xff",
        "flow.age",
    ] {
        pred(expr);
    }
    pred_with("param most : duration = 30s", "flow.age < most");
    pred_with("param most : size = 1MiB", "flow.bytes <= most");
    refused("flow.age < 30", "E0107", "30");
    refused("flow.bytes < 30s", "E0107", "30s");
    refused("flow.age + 1 > 5s", "E0118", "flow.age");
    refused("flow.is_new > 0", "E0114", "flow.is_new > 0");
    refused("flow.pakets > 0", "E0101", "flow.pakets");
    assert!(refused("flow", "E0101", "flow").contains("`by flow`"));
    assert!(refused("stream", "E0101", "stream").contains("stream contains"));
    assert!(refused("inner.flow.age > 5s", "E0101", "inner.flow.age").contains("`flow.age`"));
}

#[test]
fn ends_of_flows_are_those_of_the_packet_by_its_direction() {
    let NumKind::Load(source) = *(match crate::fields::find("l4.srcport").unwrap().0.source {
        crate::fields::Source::Load(load) => Num::load(load),
        _ => panic!(),
    })
    .kind() else {
        panic!()
    };
    let from = |direction, at| Num::load(crate::fields::Load { bits: source.bits | direction, at, ..source });
    let either = |set: &dyn Fn() -> Intervals<u64>| {
        Pred::or([Pred::test(from(bit::FROM_CLIENT, 0), set()), Pred::test(from(bit::FROM_SERVER, 2), set())])
    };
    assert_eq!(pred("flow.client.port == 80"), either(&|| Intervals::one(80)));
    assert_eq!(pred("flow.client.port != 80"), either(&|| Intervals::one(80).complement()));
    for expr in [
        "flow.client.addr == 10.0.0.0/8",
        "flow.client.addr in {10.0.0.0/8, 2001:db8::/32}",
        "flow.server.addr != net.src",
        "flow.client.addr",
        "flow.server.port in {80, 443}",
        "flow.client.port > flow.server.port",
        "flow.client.port % 2 == 0",
    ] {
        pred(expr);
    }
    pred_with("table t : set<ip>", "flow.client.addr in t");
    pred_with("table t : set<(ip, uint)>", "(flow.server.addr, flow.server.port) in t");
    pred_with("trigger g by flow.client.addr { external hold 1h }", "g or g[flow.server.addr]");
    refused("flow.client.addr[0:2] == 0a:00", "E0301", "flow.client.addr[0:2]");
}

#[test]
fn applications_are_named() {
    assert_eq!(pred("app == http"), is(FlowSlot::App, 2));
    assert_eq!(pred("http == app"), is(FlowSlot::App, 2));
    assert_eq!(pred("app in {http, tls}"), Pred::test(slot(FlowSlot::App), Intervals::new([(2, 2), (4, 4)])));
    assert_eq!(pred("app not in {http, undecided}"), Pred::not(pred("app in {undecided, http}")));
    assert_eq!(pred("app != other"), Pred::test(slot(FlowSlot::App), Intervals::one(1).complement()));
    assert_eq!(pred_with("let web = app in {http, http2}", "web"), pred("app in {http, http2}"));
    assert_eq!(pred_with("let web = {http, http2}", "app in web"), pred("app in {http, http2}"));
    assert_eq!(pred_with("let a = app\nlet s = ssh", "a == s"), pred("app == ssh"));
    // Beside `app`, a name is an application's; elsewhere it is the `let`.
    assert_eq!(pred_with("let ssh = tcp.port == 22", "app == ssh"), pred("app == ssh"));
    assert_eq!(pred_with("let ssh = tcp.port == 22", "ssh"), pred("tcp.port == 22"));
    assert_eq!(pred_with("let ssh = app == ssh", "ssh"), pred("app == ssh"));
    assert_eq!(pred("(app) == (http)"), pred("app == http"));

    let (finding, caret) = about("app == htpt");
    assert_eq!((finding.code.id(), caret.as_str()), ("E0101", "htpt"));
    let help = finding.help.unwrap();
    assert!(help.starts_with("did you mean `http`?") && help.contains("bittorrent"), "{help}");
    assert_eq!(about("app in {http, https}").0.fix.unwrap().replacement, "tls");
    assert_eq!(about("app == \"http\"").0.fix.unwrap().replacement, "http");
    assert_eq!(about("app == \"HTTPS\"").0.fix.unwrap().replacement, "tls");
    refused("app == 2", "E0107", "2");
    refused("app == true", "E0107", "true");
    refused("app < http", "E0114", "app < http");
    refused("app", "E0110", "app");
    refused("app contains \"http\"", "E0114", "app");
    refused("tcp.port == http", "E0107", "http");
    refused("app == http.host", "E0107", "app == http.host");
    assert_eq!(about("http").0.fix.unwrap().replacement, "app == http");
    assert_eq!(about("quic").0.fix.unwrap().replacement, "app == quic");
    wrong(
        &format!("{STATION}let http = tcp\nrule r {{ match http snaplen full to ids }}"),
        &[("E0105", "http")],
    );
}

#[test]
fn what_messages_say() {
    use CompareOp::{Eq, Ge, Gt, Lt};
    let code = |low, high| Pred::facet_in(Facet::HttpCode, Intervals::range(low, high));
    let has = Pred::has_facet;
    assert_eq!(pred("http.response.code in {400..499}"), code(400, 499));
    assert_eq!(pred("http.response.code >= 500"), code(500, u64::MAX));
    assert_eq!(
        pred("http.response.code != 200"),
        Pred::and([has(Facet::HttpCode), Pred::not(code(200, 200))])
    );
    assert_eq!(pred("dns.flags.response == 1"), Pred::facet_in(Facet::DnsResponse, Intervals::one(1)));
    assert_eq!(pred("dns.flags.rcode == 3"), Pred::facet_in(Facet::DnsRcode, Intervals::one(3)));
    assert_eq!(pred("http.host"), has(Facet::HttpHost));
    assert_eq!(pred("http.host == \"a\""), text(Facet::HttpHost, Eq, "a"));
    assert_eq!(
        pred("http.host != \"a\""),
        Pred::and([has(Facet::HttpHost), Pred::not(text(Facet::HttpHost, Eq, "a"))])
    );
    let differs = Pred::or([text(Facet::HttpHost, Lt, "a"), text(Facet::HttpHost, Gt, "a")]);
    assert_eq!(pred("http.host !== \"a\""), differs);
    assert_eq!(pred("http.host === \"a\""), Pred::and([has(Facet::HttpHost), Pred::not(differs)]));
    assert_eq!(pred("dns.qry.name >= \"m\""), text(Facet::DnsName, Ge, "m"));
    assert_eq!(
        pred("http.request.method in {\"GET\", \"HEAD\"}"),
        Pred::or([text(Facet::HttpMethod, Eq, "GET"), text(Facet::HttpMethod, Eq, "HEAD")])
    );
    let found = program(&format!(
        "{STATION}table bad : set<string>\ntable types : set<uint>\nrule r {{ match http.user_agent contains \"curl\" \
         and http.request.uri matches r\"\\.cab$\" and dns.qry.name in bad and dns.qry.type in types snaplen full to ids }}"
    ));
    let PredKind::And(parts) = found.rules[0].matches.kind() else { panic!() };
    let kinds: Vec<_> = parts.iter().map(|p| std::mem::discriminant(p.kind())).collect();
    let of = |pred: &Pred| std::mem::discriminant(pred.kind());
    let table = of(&Pred::facet_in_table(Facet::DnsName, crate::hir::TableId(0)));
    assert_eq!(kinds, [of(&text(Facet::HttpHost, Eq, "")), of(&text(Facet::HttpHost, Eq, "")), table, table]);
    for expr in
        ["tls.handshake.version == 0x0303", "tls.handshake.extensions_alpn_str == \"h2\"", "http.cookie"]
    {
        pred(expr);
    }
    assert_eq!(about("http.response.code == 70000").0.code.id(), "E0108");
    refused("http.host == 5", "E0112", "5");
    refused("http.response.code contains \"4\"", "E0114", "http.response.code");
    refused("dns.flags.response", "E0109", "dns.flags.response");
    refused("http.hots == \"a\"", "E0101", "http.hots");
    assert!(refused("http.referer == \"a\"", "E0302", "http.referer").contains("`http.user_agent`"));
    assert!(refused("quic.spin_bit", "E0302", "quic.spin_bit").contains("`app == quic`"));
    for (items, expr, caret) in [
        ("param p : uint = 5", "http.response.code == p", "http.response.code == p"),
        ("param p : uint = 5", "http.response.code in {200, p}", "p"),
        ("table t : set<(ip, string)>", "(net.src, http.host) in t", "http.host"),
        ("table t : map<string, uint>", "t[http.host] == 5", "http.host"),
        ("trigger g by frame.interface_name { external hold 1h }", "g[http.host]", "http.host"),
    ] {
        let (finding, found) = about_with(items, expr);
        assert_eq!((finding.code.id(), found.as_str()), ("E0302", caret), "{expr}");
    }
}

#[test]
fn what_messages_say_is_a_trigger_s_own_key() {
    let found = program(&format!(
        "{STATION}trigger g by (net.src, http.host) {{ when count(tcp) per 1m > 5 hold 1h }}
         trigger t by dns.qry.type {{ external hold 1h }}
         rule r {{ match g or t[28] snaplen full to ids }}"
    ));
    let [g, t] = found.triggers.as_slice() else { panic!() };
    assert_eq!(g.key(), [ValueTy::Ip, ValueTy::String]);
    assert_eq!(t.key(), [ValueTy::Uint]);
    let facets = g.own.iter().map(|form| form.key.last());
    assert!(facets.eq([Some(&Key::Facet(Facet::HttpHost)); 2]), "{:?}", g.own);
    assert!(found.uses().http && found.uses().dns && found.uses().keyed);
}

#[test]
fn streams_are_looked_into() {
    let found = program(&format!(
        "{STATION}param deep : size = 1MiB in 1..2MiB\nrule r {{ match stream contains \"evil\" or stream contains 65:76:69:6c \
         or (stream) contains \"evil\" within 64KiB or stream contains \"evil\" within 4GiB or stream contains \"evil\" within deep \
         or stream matches \"^get \" within 1KiB snaplen full to ids }}"
    ));
    let kind = || StreamKind::Contains(b"evil".as_slice().into());
    let expected = [
        StreamPattern { kind: kind(), depth: Num::constant(DEFAULT_DEPTH) },
        StreamPattern { kind: kind(), depth: Num::constant(MAX_DEPTH) },
        StreamPattern { kind: kind(), depth: Num::param(crate::hir::ParamId(0), 2 << 20) },
        StreamPattern { kind: StreamKind::Matches("^get ".into()), depth: Num::constant(1 << 10) },
    ];
    assert_eq!(found.streams, expected);
    assert_eq!(found.rules[0].matches, Pred::or((0..4).map(|i| Pred::stream(StreamId(i)))));
    assert!(found.uses().streams);
    for expr in [
        "not stream contains \"x\" within 5",
        "stream matches r\"(?m)^Host: evil$\"",
        "stream matches r\"\\bevil\\b\"",
        "tcp and (stream contains \"x\") within 5",
    ] {
        pred(expr);
    }
    refused("stream contains \"\"", "E0115", "\"\"");
    refused("stream contains 5", "E0115", "5");
    refused("stream matches \"(\"", "E0116", "(");
    refused("stream contains \"x\" within 0", "E0125", "0");
    refused("stream contains \"x\" within 5GiB", "E0125", "5GiB");
    refused("stream contains \"x\" within 5s", "E0125", "5s");
    refused("stream contains \"x\" within frame.len", "E0125", "frame.len");
    refused("stream contains \"evil\" within 3", "E0125", "\"evil\"");
    refused("stream matches \"ab+c\" within 2", "E0125", "\"ab+c\"");
    refused("stream matches \"a*\"", "E0125", "\"a*\"");
    refused("stream matches \"^\"", "E0125", "\"^\"");
    refused("stream matches r\"a$\"", "E0125", "$");
    refused("stream matches r\"(a\\z|b)\"", "E0125", "\\z");
    refused("stream matches r\"a\\Z\"", "E0125", "\\Z");
    refused("tcp.payload contains \"x\" within 5", "E0114", "tcp.payload contains \"x\" within 5");
    refused("stream[0:4] == \"evil\"", "E0101", "stream");
    let (finding, caret) = about_with("param p : size = 5", "stream contains \"x\" within p");
    assert_eq!((finding.code.id(), caret.as_str()), ("E0125", "p"));
    let (finding, _) = about_with("param p : duration = 5s", "stream contains \"x\" within p");
    assert_eq!(finding.code.id(), "E0125");
}

#[test]
fn lengths_by_stream_offset() {
    let asks =
        |items: &str, clauses: &str| program(&format!("{STATION}{items}\n{clauses}")).rules.remove(0).asks;
    let offset = || Num::flow(bit::STREAM, FlowSlot::Offset);
    let end = || Num::flow(bit::STREAM, FlowSlot::End);
    let upto = |to: Num| {
        let behind = Num::arith(crate::hir::ArithOp::Sub, to, offset()).unwrap();
        let lead = Num::flow(bit::STREAM, FlowSlot::Lead);
        Length::Headers(Num::arith(crate::hir::ArithOp::Add, behind, lead).unwrap())
    };
    let [ask] = asks("", "rule r { match any snaplen stream 0..8KiB to ids }").try_into().unwrap();
    assert_eq!(ask.when, Pred::test(offset(), Intervals::range(0, 8191)));
    assert_eq!(ask.length, upto(Num::constant(8192)));
    let [ask] = asks("", "rule r { match any snaplen stream 10..20 when tcp to ids }").try_into().unwrap();
    let expected = Pred::and([
        Pred::bits(Layer::Outer, bit::TCP),
        Pred::test(offset(), Intervals::range(0, 19)),
        Pred::or([
            Pred::compare(CompareOp::Gt, end(), Num::constant(10)),
            Pred::compare(CompareOp::Ge, offset(), Num::constant(10)),
        ]),
    ]);
    assert_eq!(ask.when, expected);
    // An end beyond all offsets stands for the end of every stream.
    let [ask] =
        asks("", "rule r { match any snaplen stream 0..0xffffffffffffffff to ids }").try_into().unwrap();
    assert_eq!(ask.length, upto(Num::constant(1 << 48)));
    let items = "param head : size = 8KiB in 0..64KiB\nparam free : size = 8KiB";
    let [ask, _] = asks(
        items,
        "rule r { match any snaplen stream 0..head snaplen stream 1..1KiB when frame.len < free to ids }",
    )
    .try_into()
    .unwrap();
    assert_eq!(ask.length, upto(Num::param(crate::hir::ParamId(1), 64 << 10)));
    let both = asks(items, "rule r { match any snaplen stream head..free to ids }");
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!(both[1].length, upto(Num::constant(1 << 48)));
    // A limit applies to every packet.
    let limits = program(&format!(
        "{STATION}rule r {{ match any snaplen full to ids }}\nlimit l {{ match any snaplen stream 0..10 when tcp }}"
    ));
    let [cut, rest] = limits.limits[0].asks.as_slice() else { panic!() };
    assert_eq!(cut.length, upto(Num::constant(10)));
    let tcp = Pred::bits(Layer::Outer, bit::TCP);
    assert_eq!(rest.when, Pred::and([tcp, Pred::not(Pred::test(offset(), Intervals::range(0, 9)))]));
    assert_eq!(rest.length, Length::Headers(Num::constant(0)));
}

#[test]
fn triggers_by_flow() {
    let built = program(&format!(
        "{STATION}trigger b_evil by flow {{ when stream contains \"evil\" or a_seen unless net.src == 10.0.0.1 hold flow }}\n\
         trigger a_seen by flow {{ when b_evil and app == http hold flow }}\n\
         trigger ext by net.src {{ external hold 1h }}\n\
         let both = b_evil and not a_seen\n\
         rule r {{ match both or ext snaplen full to ids }}"
    ));
    let scopes: Vec<_> = built.triggers.iter().map(|t| (t.name.as_str(), t.scope.clone())).collect();
    let keys = Scope::Keys(vec![crate::hir::ValueTy::Ip]);
    assert_eq!(scopes, [("a_seen", Scope::Flow(0)), ("b_evil", Scope::Flow(1)), ("ext", keys)]);
    let evil = &built.triggers[1];
    assert_eq!(evil.hold, None);
    assert_eq!(evil.when, Some(Pred::or([Pred::stream(StreamId(0)), Pred::flow_active(0)])));
    assert!(matches!(evil.unless.kind(), PredKind::And(_)), "{:?}", evil.unless);
    assert!(built.triggers[2].when.is_none());
    let both = Pred::and([Pred::flow_active(1), Pred::not(Pred::flow_active(0))]);
    assert!(matches!(built.rules[0].matches.kind(), PredKind::Or(parts) if parts[0] == both));
    assert!(built.uses().triggers);

    let (finding, caret) = about_with("trigger t by flow { when tcp hold flow }", "t[net.src]");
    assert_eq!((finding.code.id(), caret.as_str()), ("E0122", "net.src"));
    assert_eq!(finding.fix.unwrap().replacement, "t");
    let (finding, _) = about_with("trigger t by flow { when tcp hold flow }", "t[80]");
    assert_eq!(finding.code.id(), "E0122");
    let many = |n: usize| -> String {
        (0..n).map(|i| format!("trigger t{i:02} by flow {{ when tcp.port == {i} hold flow }}\n")).collect()
    };
    assert!(findings(&build(&many(MAX_FLOW_TRIGGERS))).is_empty());
    let built = build(&many(MAX_FLOW_TRIGGERS + 3));
    assert_eq!(findings(&built), [("E0230", "flow".to_owned())]);
}

#[test]
fn lints_of_flows_are_about_what_is_written() {
    let free = "param free : size = 8KiB";
    for good in [
        "rule r { match any snaplen stream 0..8KiB to ids }",
        "rule r { match any snaplen stream 1..free to ids }",
        "rule r { match tcp snaplen headers snaplen stream 0..8KiB to ids }",
        "rule r { match any snaplen full to ids }\nlimit l { match any snaplen stream 0..free }",
        "rule r { match flow.is_new or not flow.is_new and http.host == \"a\" snaplen full to ids }",
        "rule r { match http.host == \"a\" and http.host == \"b\" snaplen full to ids }",
        "rule r { match http.response.code == 1 and http.response.code == 2 snaplen full to ids }",
        "rule r { match stream contains \"a\" and stream contains \"b\" snaplen full to ids }",
        "rule r { match flow.client.port == 80 and flow.server.port == 80 snaplen full to ids }",
        "rule r { match tcp.srcport == 80 and flow.client.port == 81 snaplen full to ids }",
    ] {
        let found = findings(&build(&format!("{STATION}{free}\n{good}")));
        assert!(found.iter().all(|(code, _)| *code == "W0901"), "{good}: {found:?}");
    }
    for (text, code, caret) in [
        ("rule r { match arp snaplen stream 0..10 to ids }", "W0903", "snaplen stream 0..10"),
        ("rule r { match arp and app == http snaplen full to ids }", "W0903", "arp and app == http"),
        (
            "rule r { match app == http and app == tls snaplen full to ids }",
            "W0903",
            "app == http and app == tls",
        ),
        (
            "rule r { match flow.age < 5s and flow.age > 6s snaplen full to ids }",
            "W0903",
            "flow.age < 5s and flow.age > 6s",
        ),
        (
            "rule r { match any snaplen full snaplen stream 0..free to ids }",
            "W0906",
            "snaplen stream 0..free",
        ),
        (
            "rule r { match any snaplen headers to ids }\nlimit l { match any snaplen stream 0..free }",
            "W0907",
            "l",
        ),
        (
            "trigger t by flow { when arp and app == http hold flow }\nrule r { match t snaplen full to ids }",
            "W0903",
            "t",
        ),
    ] {
        let found = findings(&build(&format!("{STATION}{free}\n{text}")));
        let found: Vec<_> = found.iter().filter(|(code, _)| *code != "W0901").collect();
        assert_eq!(found, [&(code, caret.to_owned())], "{text}");
    }
}
