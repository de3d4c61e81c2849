//! Rules, limits, lengths, stations, params and triggers.

use super::{STATION, build, build_with, findings, program, wrong};
use crate::hir::{Encap, Length, Num, Rate, RateOf, Rotate, Target, Value, ValueTy};

/// The length in a rule with one line.
fn length(items: &str, text: &str) -> Length {
    let rule = format!("{STATION}{items}\nrule r {{ match any  snaplen {text}  to ids }}");
    program(&rule).rules[0].asks[0].length.clone()
}

#[track_caller]
fn length_wrong(items: &str, text: &str, code: &str, caret: &str) {
    let rule = format!("{STATION}{items}\nrule r {{ match any  snaplen {text}  to ids }}");
    wrong(&rule, &[(code, caret)]);
}

#[test]
fn lengths() {
    let n = Num::constant;
    assert_eq!(length("", "full"), Length::Full);
    assert_eq!(length("", "128"), Length::Bytes(n(128)));
    assert_eq!(length("let head = 1KiB", "head"), Length::Bytes(n(1024)));
    assert_eq!(length("", "50%"), Length::Percent(n(50)));
    assert_eq!(length("", "headers"), Length::Headers(n(0)));
    assert_eq!(length("", "headers + 32"), Length::Headers(n(32)));
    assert_eq!(length("", "payload ..64"), Length::Headers(n(64)));
    assert_eq!(length("", "bytes 14..34"), Length::Slice(n(14), n(34)));
    let program = program(&format!(
        "{STATION}param head : size = 64 in 0..1KiB\nrule r {{ match any  snaplen headers + head  snaplen 0 when tcp  to ids }}"
    ));
    let Length::Headers(head) = &program.rules[0].asks[0].length else { panic!() };
    assert_eq!((head, head.max()), (&Num::param(crate::hir::ParamId(0), 1024), 1024));
    assert_eq!(program.params[0].bounds, (0, 1024));
}

#[test]
fn lengths_that_are_none() {
    length_wrong("", "5m", "E0133", "5m");
    length_wrong("", "tcp.hdr_len + 20", "E0133", "tcp.hdr_len + 20");
    length_wrong("", "\"x\"", "E0133", "\"x\"");
    length_wrong("let web = tcp", "web", "E0133", "web");
    length_wrong("param d : duration = 5s", "d", "E0133", "d");
    length_wrong("", "150%", "E0134", "150");
    length_wrong("param p : uint = 5", "p%", "E0134", "p");
    length_wrong("", "bytes 64..14", "E0135", "bytes 64..14");
    length_wrong("", "bytes 14..14", "E0135", "bytes 14..14");
    length_wrong("", "none", "W0906", "snaplen none");
    length_wrong("", "0%", "W0906", "snaplen 0%");
    length_wrong("", "stream 0..0", "E0135", "stream 0..0");
    length_wrong("", "stream 8KiB..1KiB", "E0135", "stream 8KiB..1KiB");
    length_wrong("", "stream 0..frame.len", "E0133", "frame.len");
    let limit = format!(
        "{STATION}rule r {{ match any  snaplen full  to ids }}\nlimit l {{ match tcp  snaplen none }}"
    );
    assert!(build(&limit).diagnostics.is_empty());
}

#[test]
fn rules_are_complete() {
    wrong(&format!("{STATION}rule r {{ }}"), &[("E0130", "r"), ("E0130", "r"), ("E0130", "r")]);
    wrong(&format!("{STATION}limit l {{ }}"), &[("E0130", "l"), ("E0130", "l")]);
    wrong(
        &format!("{STATION}rule r {{ match tcp match udp snaplen full to ids }}"),
        &[("E0131", "match udp")],
    );
    wrong(&format!("{STATION}rule r {{ match tcp snaplen full to ids to ids }}"), &[("E0131", "to ids")]);
    wrong(&format!("{STATION}rule r {{ match tcp snaplen full to idss }}"), &[("E0132", "idss")]);
    wrong(&format!("{STATION}rule r {{ match tcp snaplen full to ids, ids }}"), &[("W0954", "ids")]);
    // The clause that could not be read may be the missing clause.
    let built = build(&format!("{STATION}rule r {{ match tcp == == 5 snaplen full to ids }}"));
    assert!(findings(&built).iter().all(|(code, _)| *code < "E0050"), "{:#?}", built.diagnostics);
}

#[test]
fn order_never_matters() {
    let items = [
        "station b { interface eth2 }",
        "station a { interface eth1 }",
        "rule y { match port_80 snaplen full to b, a }",
        "rule x { match host == host2 snaplen full to a }",
        "limit l { match tcp snaplen headers to b }",
        "limit k { match udp snaplen headers }",
        "let port_80 = tcp.port in some",
        "let some = {80}",
        "param host2 : ip = 10.0.0.1",
        "let host = net.src",
        "table t2 : set<ip>",
        "table t1 : set<ip>",
    ];
    let forward = program(&items.join("\n"));
    let names: Vec<_> = forward.rules.iter().chain(&forward.limits).map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["x", "y", "k", "l"]);
    assert_eq!(forward.stations[0].name, "a");
    assert_eq!((forward.rules[0].stations, forward.rules[1].stations), (1, 3));
    assert_eq!((forward.limits[0].stations, forward.limits[1].stations), (3, 2));
    let mut backward = items;
    backward.reverse();
    let backward = program(&backward.join("\n"));
    for (a, b) in forward.rules.iter().zip(&backward.rules) {
        assert_eq!((&a.name, &a.matches, a.stations), (&b.name, &b.matches, b.stations));
    }
    assert_eq!(forward.tables[0].name, backward.tables[0].name);
}

#[test]
fn stations() {
    let target = |text: &str| program(&format!("station s {{ {text} }}")).stations[0].target.clone();
    assert_eq!(target("interface eth0"), Target::Interface { name: "eth0".into() });
    assert_eq!(target("interface \"br-lan\""), Target::Interface { name: "br-lan".into() });
    let host = "192.0.2.10".parse().unwrap();
    let host6 = "2001:db8::1".parse().unwrap();
    let tunnel = |host, encap| Target::Tunnel { host, encap, fragment: false };
    let tunnels = [
        ("vxlan 192.0.2.10 vni 77", host, Encap::Vxlan { port: 4789, vni: 77 }),
        ("vxlan 192.0.2.10 vni 77 port 8472", host, Encap::Vxlan { port: 8472, vni: 77 }),
        ("geneve 2001:db8::1 port 6082 vni 0", host6, Encap::Geneve { port: 6082, vni: 0 }),
        ("gre 192.0.2.10", host, Encap::Gre { key: None }),
        ("gre 2001:db8::1 key 4294967295", host6, Encap::Gre { key: Some(u32::MAX) }),
        ("erspan2 192.0.2.10 session 1023", host, Encap::Erspan2 { session: 1023 }),
        ("tzsp ::ffff:192.0.2.10", host, Encap::Tzsp { port: 37_008 }),
    ];
    for (text, host, encap) in tunnels {
        assert_eq!(target(text), tunnel(host, encap), "{text}");
    }
    let cut = Target::Tunnel { host, encap: Encap::Tzsp { port: 9 }, fragment: true };
    assert_eq!(target("tzsp 192.0.2.10 fragment port 9"), cut);
    let from_let = program("let id = 5\nlet collector = 192.0.2.10\nstation s { vxlan collector vni id }");
    assert_eq!(from_let.stations[0].target, tunnel(host, Encap::Vxlan { port: 4789, vni: 5 }));
    let file = |path: &str, size, time, keep| Target::Pcapng {
        path: path.into(),
        rotate: Rotate { size, time },
        keep,
    };
    let mixed = target("pcapng \"a/b.pcapng\" rotate 1GiB keep 10 rotate 5m");
    assert_eq!(mixed, file("a/b.pcapng", Some(1 << 30), Some(300_000_000_000), Some(10)));
    assert_eq!(target("pcapng \"%Y/%%.pcapng\""), file("%Y/%%.pcapng", None, None, None));
    assert_eq!(target("pipe \"/run/x\""), Target::Pipe { path: Some("/run/x".into()) });
    assert_eq!(target("pipe stdout"), Target::Pipe { path: None });
    assert_eq!(target("pipe \"-\""), Target::Pipe { path: None });
}

#[test]
fn stations_have_limits() {
    let limit = |text: &str| program(&format!("station s {{ interface x {text} }}")).stations[0].limit;
    let rate = |per_second, burst, of| Some(Rate { per_second, burst, of });
    assert_eq!(limit(""), None);
    assert_eq!(limit("limit 100Mbit"), rate(12_500_000, 1_250_000, RateOf::Bytes));
    assert_eq!(limit("limit 1kB"), rate(1000, 65_536, RateOf::Bytes));
    assert_eq!(limit("burst 1MiB limit 1Gbit"), rate(125_000_000, 1 << 20, RateOf::Bytes));
    assert_eq!(limit("limit 5000 burst 100"), rate(5000, 100, RateOf::Copies));
    assert_eq!(limit("limit 5"), rate(5, 1, RateOf::Copies));
}

#[test]
fn a_station_is_shown_as_it_is_written() {
    let all = [
        "interface \"br-lan\" limit 5 burst 1",
        "vxlan 192.0.2.10 port 4789 vni 77 fragment limit 12500000B burst 65536B",
        "geneve 2001:db8::1 port 6081 vni 5",
        "gre 192.0.2.10",
        "gre 192.0.2.10 key 0 fragment",
        "erspan2 192.0.2.10 session 7",
        "tzsp 192.0.2.10 port 37008",
        "pcapng \"a b/%Y\" rotate 4096B rotate 1000000000ns keep 3",
        "pipe \"/run/x\"",
        "pipe stdout",
    ];
    for text in all {
        assert_eq!(program(&format!("station s {{ {text} }}")).stations[0].to_string(), text);
    }
}

#[test]
fn stations_that_cannot_be() {
    let bad = |text: &str, code: &str, caret: &str| {
        wrong(&format!("station s {{ {text} }}"), &[(code, caret)]);
    };
    bad("", "E0222", "s");
    bad("vxlann 192.0.2.10 vni 77", "E0220", "vxlann");
    bad("erspan 192.0.2.10 session 7", "E0220", "erspan");
    bad("erspan3 192.0.2.10", "E0304", "erspan3");
    bad("pool a b", "E0304", "pool");
    bad("vxlan 192.0.2.10", "E0222", "}");
    bad("vxlan", "E0222", "}");
    bad("vxlan example vni 7", "E0221", "example");
    bad("vxlan 0.0.0.0 vni 7", "E0221", "0.0.0.0");
    bad("vxlan 192.0.2.10 vni 16777216", "E0221", "16777216");
    bad("vxlan 192.0.2.10 vni 7 port 0", "E0221", "0");
    bad("vxlan 192.0.2.10 vni 7 vni 8", "E0221", "vni");
    bad("vxlan 192.0.2.10 vni 7 mtu 9000", "E0221", "mtu");
    bad("vxlan 192.0.2.10 vni 7 fragment fragment", "E0221", "fragment");
    bad("vxlan 192.0.2.10 id 7", "E0221", "id");
    bad("vxlan 192.0.2.10 vni 7KiB", "E0221", "7KiB");
    bad("gre 192.0.2.10 key 4294967296", "E0221", "4294967296");
    bad("gre 192.0.2.10 port 5", "E0221", "port");
    bad("erspan2 192.0.2.10", "E0222", "}");
    bad("erspan2 192.0.2.10 session 1024", "E0221", "1024");
    bad("interface", "E0222", "}");
    bad("interface \"a name that is too long\"", "E0221", "\"a name that is too long\"");
    bad("interface eth0 eth1", "E0221", "eth1");
    bad("interface eth0 fragment", "E0221", "fragment");
    bad("pcapng \"x\" keep 5", "E0222", "}");
    bad("pcapng \"x\" rotate 5ms", "E0221", "5ms");
    bad("pcapng \"x\" rotate 1KiB", "E0221", "1KiB");
    bad("pcapng x", "E0221", "x");
    bad("pcapng \"%T.pcapng\"", "E0221", "\"%T.pcapng\"");
    bad("pcapng \"100%\"", "E0221", "\"100%\"");
    bad("pipe", "E0222", "}");
    bad("pipe fifo", "E0221", "fifo");
    bad("interface x limit 0", "E0221", "0");
    bad("interface x limit 5m", "E0221", "5m");
    bad("interface x burst 5", "E0222", "}");
    bad("interface x limit 5Mbit burst 5", "E0221", "}");
    wrong("station a { pcapng \"x\" }\nstation b { pcapng \"x\" }", &[("E0224", "b")]);
    wrong("station a { pipe \"x\" }\nstation b { pcapng \"x\" }", &[("E0224", "b")]);
    wrong("station a { pipe stdout }\nstation b { pipe \"-\" }", &[("E0224", "b")]);
    let many: String = (0..65).map(|i| format!("station s{i:02} {{ interface eth{i} }}\n")).collect();
    wrong(&many, &[("E0223", "s64")]);
}

#[test]
fn params() {
    let program = program(
        "param a : uint = 5 in 1..10\nparam b : size = 8KiB\nparam c : duration = 5m in 1s..1h\n\
         param d : bool = true\nparam e : ip = 2001:db8::1\nparam f : mac = 00:26:0b:31:07:33\nlet base = 2\nparam g : uint = base * 3",
    );
    let values: Vec<_> = program.params.iter().map(|p| (p.ty, p.value.clone(), p.bounds)).collect();
    let num = Value::Num;
    let all = (0, u64::MAX);
    assert_eq!(
        values,
        [
            (ValueTy::Uint, num(5), (1, 10)),
            (ValueTy::Size, num(8192), all),
            (ValueTy::Duration, num(300_000_000_000), (1_000_000_000, 3_600_000_000_000)),
            (ValueTy::Bool, num(1), (0, 1)),
            (ValueTy::Ip, Value::Ip("2001:db8::1".parse().unwrap(), 128), all),
            (ValueTy::Mac, num(0x00260b310733), (0, (1 << 48) - 1)),
            (ValueTy::Uint, num(6), all),
        ]
    );
}

#[test]
fn params_that_cannot_be() {
    wrong("param a : uint = 20 in 1..10", &[("E0211", "20")]);
    wrong("param a : uint = 5 in 10..1", &[("E0211", "10..1")]);
    wrong("param a : bool = true in 0..1", &[("E0211", "0..1")]);
    wrong("param a : uint = 5s", &[("E0210", "5s")]);
    wrong("param a : duration = 5", &[("E0210", "5")]);
    wrong("param a : uint = frame.len", &[("E0210", "frame.len")]);
    wrong("param a : ip = ::ffff:192.0.2.1", &[("E0210", "::ffff:192.0.2.1")]);
    wrong("param a : int = 5", &[("E0201", "int")]);
    wrong("param a : string = \"x\"", &[("E0202", "string")]);
    wrong("param a : set<ip> = 5", &[("E0202", "set<ip>")]);
}

#[test]
fn params_set_for_a_run() {
    let text = "param head : size = 8KiB in 0..64KiB\nparam host : ip = 192.0.2.1\nparam on : bool = true";
    let set = |name: &str, value: &str| build_with(text, &[], &[(name, value)]);
    let built = set("head", "1KiB");
    assert_eq!(built.program.unwrap().params[0].value, Value::Num(1024));
    assert_eq!(set("on", "false").program.unwrap().params[2].value, Value::Num(0));
    for (name, value, code) in [
        ("heat", "1KiB", "E0212"),
        ("head", "65KiB", "E0213"),
        ("head", "5m", "E0213"),
        ("head", "", "E0213"),
        ("head", "1 let y = 2", "E0213"),
        ("head", "frame.len", "E0213"),
        ("head", "99999999999TiB", "E0213"),
        ("host", "::ffff:192.0.2.1", "E0213"),
        ("host", "example", "E0213"),
    ] {
        let built = set(name, value);
        assert_eq!(findings(&built), [(code, String::new())], "{name}={value}");
    }
    assert_eq!(set("heat", "1").diagnostics[0].help.as_deref(), Some("did you mean `head`?"));
}

#[test]
fn params_in_expressions() {
    let items = "param web : uint = 80 in 1..65535\nparam host : ip = 192.0.2.1\nparam on : bool = true\nparam who : mac = 00:26:0b:31:07:33";
    let good = |expr: &str| {
        let text = format!("{STATION}{items}\nrule r {{ match {expr} snaplen full to ids }}");
        // each condition uses one param: warnings that the others are unused are expected
        let mut found = build(&text).diagnostics;
        found.retain(|d| d.code.id() != "W0901");
        assert!(found.is_empty(), "{expr}: {found:#?}");
    };
    for expr in [
        "tcp.port == web",
        "tcp.port != web",
        "tcp.dstport < web",
        "tcp.port in {22, web, 8000..9000}",
        "tcp.port in {web..60000}",
        "frame.len > web * 2",
        "ip.src == host",
        "net.addr == host",
        "net.addr != host",
        "ipv6.dst == host",
        "net.addr in {10.0.0.0/8, host}",
        "not (net.src === host)",
        "net.addr !== host",
        "on and tcp",
        "tcp.flags.syn == on",
        "eth.addr == who",
        "who == eth.src",
        "web > 80",
    ] {
        good(expr);
    }
    let bad = |expr: &str, code: &str| {
        let text = format!("{STATION}{items}\nrule r {{ match {expr} snaplen full to ids }}");
        let codes: Vec<_> = findings(&build(&text)).into_iter().map(|f| f.0).collect();
        assert_eq!(codes, [code], "{expr}");
    };
    bad("tcp.port == host", "E0107");
    bad("ip.src == web", "E0107");
    bad("ip.src in {host, web}", "E0107");
    bad("ip.src < host", "E0114");
    bad("tcp.port in {host}", "E0107");
    bad("vlan.id == web", "E0305");
    bad("vlan.id in {5, web}", "E0305");
}

#[test]
fn triggers() {
    let items = "trigger attack by net.dst { external hold 1h }\ntrigger switch { external hold 10s }\ntrigger pair by (ip.src, tcp.dstport) { hold 1m external }";
    let program = program(&format!(
        "{STATION}{items}\nrule r {{ match attack or switch or pair or attack[net.addr] or pair[(net.src, 80)] or attack[10.0.0.1]\n snaplen full when attack to ids }}"
    ));
    let [attack, pair, switch] = program.triggers.as_slice() else { panic!() };
    assert_eq!(
        (attack.key(), attack.hold.clone()),
        ([ValueTy::Ip].as_slice(), Some(Num::constant(3_600_000_000_000)))
    );
    assert_eq!(pair.key(), [ValueTy::Ip, ValueTy::Uint]);
    assert!(switch.key().is_empty());
    let shown = format!("{:?}", program.rules[0].matches);
    // attack: both families; switch; pair; attack[net.addr]: two more; pair[(..)]: both families;
    // attack[10.0.0.1]
    assert_eq!(shown.matches("Active").count(), 2 + 1 + 1 + 2 + 2 + 1, "{shown}");
}

#[test]
fn triggers_that_cannot_be() {
    let bad = |text: &str, expected: &[(&str, &str)]| {
        wrong(&format!("{STATION}{text}"), expected);
    };
    bad("trigger t by net.dst { external }", &[("E0230", "t")]);
    bad("trigger t by net.dst { hold 5m }", &[("E0230", "t")]);
    bad("trigger t by net.dst { external hold 5 }", &[("E0230", "5")]);
    bad("trigger t by net.dst { external external hold 5s }", &[("E0230", "external")]);
    bad("trigger t by net.addr { external hold 5s }", &[("E0122", "net.addr")]);
    bad("trigger t by flow { when tcp hold 5 }", &[("E0230", "5")]);
    bad("trigger t by flow { when tcp keys 5 hold flow }", &[("E0230", "5")]);
    bad("trigger t by flow { when tcp }", &[("E0230", "t")]);
    bad("trigger t by flow { hold flow }", &[("E0230", "t")]);
    bad("trigger t by net.src { external hold flow }", &[("E0230", "flow")]);
    bad("trigger t { external unless tcp hold 5s }", &[("E0230", "unless tcp")]);
    bad("trigger t by net.src { external hold 5s keys 0 }", &[("E0230", "0")]);
    bad("trigger t by net.src { external hold 5s keys 17000000 }", &[("E0230", "17000000")]);
    bad("trigger t by net.src { external hold 5s keys 5s }", &[("E0230", "5s")]);
    let when = |expr: &str, caret: &str| {
        bad(&format!("trigger t by net.src {{ when {expr} > 5 hold 5s }}"), &[("E0231", caret)]);
    };
    when("count(tcp)", "count(tcp)");
    when("sum(tcp.port) per 5m", "tcp.port");
    when("sum(net.src) per 5m", "net.src");
    when("distinct(net.addr) per 5m", "net.addr");
    when("distinct(80) per 5m", "80");
    when("count(tcp, udp) per 5m", "count");
    when("count(tcp) per 5", "5");
    when("count(tcp) per 1us", "1us");
    when("count(tcp) per 367d", "367d");
    when("frame.len per 5m", "frame.len");
    when("count(count(tcp) per 5m > 2) per 5m", "count(tcp) per 5m");
    bad("rule r { match count(tcp) per 5m > 5 snaplen full to ids }", &[("E0231", "count(tcp) per 5m")]);
    bad("param d : duration = 5m\ntrigger t { when count(tcp) per d > 5 hold 5m }", &[("E0231", "d")]);
    let with = |expr: &str, code: &str, caret: &str| {
        bad(
            &format!(
                "trigger t by net.src {{ external hold 5s }}\ntrigger g {{ external hold 5s }}\nrule r {{ match {expr} snaplen full to ids }}"
            ),
            &[(code, caret)],
        );
    };
    with("t[tcp.port]", "E0122", "tcp.port");
    with("t[(net.src, net.dst)]", "E0122", "(net.src, net.dst)");
    with("g[net.src]", "E0122", "net.src");
    with("net.src in t", "E0120", "t");
    with("t == 1", "E0107", "t");
    with("t[2001:db8::1]", "E0305", "2001:db8::1");
}

#[test]
fn paths_that_a_shell_would_expand_and_compressed_names_are_warned_of() {
    let told = |station: &str| {
        findings(&build(&format!("station s {{ {station} }}\nrule r {{ match any snaplen full to s }}")))
    };
    for path in
        ["\"$HOME/a.pcapng\"", "\"~/a.pcapng\"", "\"/var/${NAME}/a.pcapng\"", "\"a.pcapng.gz\"", "\"~/a.gz\""]
    {
        assert_eq!(told(&format!("pcapng {path}")), [("W0955", path.to_owned())]);
    }
    assert_eq!(told("pipe \"~/copies\""), [("W0955", "\"~/copies\"".to_owned())]);
    for path in
        ["\"./~a/b.pcapng\"", "\"a~/b.pcapng\"", "\"cost$.pcapng\"", "\"a.gz.pcapng\"", "\"$5.pcapng\""]
    {
        assert_eq!(told(&format!("pcapng {path}")), []);
    }
    assert_eq!(told("pipe \"a.gz\""), [], "the reader may expect anything");
}

#[test]
fn link_local_hosts_need_a_link() {
    for host in ["fe80::1", "fe80::1%eth1", "\"fe80::1%eth1\""] {
        let text = format!("station s {{ gre {host} }}\nrule r {{ match any snaplen full to s }}");
        let built = wrong(&text, &[("E0221", host)]);
        assert!(built.diagnostics[0].help.as_deref().unwrap().contains("`interface eth1`"));
    }
    assert!(
        build("station s { gre fd00::1 }\nrule r { match any snaplen full to s }").diagnostics.is_empty()
    );
}
