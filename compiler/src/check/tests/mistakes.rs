//! Mistakes in names, types and expressions: each is reported once, at its cause, with what to
//! write.

use super::{STATION, about, about_with, build, findings, refused, wrong};

#[test]
fn names_are_told_with_what_is_near() {
    assert_eq!(refused("tcp.prot == 80", "E0101", "tcp.prot"), "did you mean `tcp.port`?");
    assert_eq!(about("tcp.prot == 80").0.fix.unwrap().replacement, "tcp.port");
    assert_eq!(refused("inner.tcp.prot == 80", "E0101", "inner.tcp.prot"), "did you mean `inner.tcp.port`?");
    assert_eq!(refused("inner.frame.len > 5", "E0101", "inner.frame.len"), "write `frame.len`");
    assert_eq!(refused("eth.vlan.id == 5", "E0101", "eth.vlan.id"), "did you mean `vlan.id`?");
    let (finding, caret) = about_with("let web_ports = {80}", "tcp.port in web_port");
    assert_eq!((finding.code.id(), caret.as_str()), ("E0101", "web_port"));
    assert_eq!(finding.help.unwrap(), "did you mean `web_ports`? text stands in quotes: `\"web_port\"`");
    let help = refused("frame.interface_name == eth0", "E0101", "eth0");
    assert!(help.contains("\"eth0\""), "{help}");
}

#[test]
fn what_users_bring_from_other_tools_is_explained() {
    assert!(refused("tcp.seq > 5", "E0102", "tcp.seq").contains("`tcp.seq_raw`"));
    assert!(refused("inner.tcp.seq > 5", "E0102", "inner.tcp.seq").contains("`inner.tcp.seq_raw`"));
    assert!(refused("tcp.analysis.flags", "E0102", "tcp.analysis.flags").contains("history"));
    assert_eq!(about("ieee8021ad.id == 5").0.fix.unwrap().replacement, "vlan.id");
    assert_eq!(about("tcp.flags.rst == 1").0.fix.unwrap().replacement, "tcp.flags.reset");
    assert!(refused("sip", "E0110", "sip").contains("`app == sip`"));
    assert!(refused("sip.method", "E0102", "sip.method").contains("`app == sip`"));
    assert_eq!(about("ssl").0.fix.unwrap().replacement, "app == tls");
    assert!(refused("telnet", "E0102", "telnet").contains("`tcp.port == 23`"));
    assert_eq!(about("port == 80").0.fix.unwrap().replacement, "l4.port");
    assert_eq!(about("host == 192.0.2.1").0.code.id(), "E0103");
}

#[test]
fn one_mistake_is_told_once() {
    let text = format!(
        "{STATION}let bad = tcp.prot == 80\nlet other = bad and bad\n\
         rule a {{ match other or not bad  snaplen full  to ids }}\n\
         rule b {{ match bad == 1 and tcp[bad] == 5  snaplen bad  to ids }}"
    );
    wrong(&text, &[("E0101", "tcp.prot"), ("E0122", "tcp")]);
    // A broken item is declared, and its uses are not reported.
    wrong(
        &format!("{STATION}let x = = 5\nrule a {{ match x  snaplen full  to ids }}"),
        &[("E0001", findings(&build("let x = = 5"))[0].1.as_str())],
    );
}

#[test]
fn duplicates_point_at_both_places() {
    let built = wrong(
        &format!("{STATION}let a = tcp\nparam a : uint = 5\nrule a {{ match a snaplen full to ids }}"),
        &[("E0104", "a")],
    );
    let labels = &built.diagnostics[0].labels;
    assert_eq!(labels.len(), 2);
    assert!(labels[0].span.start > labels[1].span.start);
    // Stations, rules and limits have their own name spaces.
    assert!(
        build(&format!(
            "{STATION}let ids = tcp\nrule ids {{ match ids snaplen full to ids }}\nlimit ids {{ match udp snaplen none }}"
        ))
        .program
        .is_some()
    );
    wrong(&format!("{STATION}{STATION}"), &[("E0104", "ids")]);
    wrong(
        &format!(
            "{STATION}rule a {{ match tcp snaplen full to ids }} rule a {{ match udp snaplen full to ids }}"
        ),
        &[("E0104", "a")],
    );
}

#[test]
fn names_of_fields_are_taken() {
    for name in ["tcp", "net", "inner", "http", "frame"] {
        wrong(&format!("let {name} = 5"), &[("E0105", name)]);
    }
}

#[test]
fn circles_are_told_once_whatever_their_length() {
    wrong("let a = a or tcp", &[("E0106", "a")]);
    let built = wrong("let a = b\nlet b = c\nlet c = a\nlet d = a and tcp", &[("E0106", "a")]);
    assert_eq!(built.diagnostics[0].message, "these refer to each other: `a` -> `b` -> `c` -> `a`");
    wrong("param a : uint = b\nlet b = a + 1", &[("E0106", "b")]);
}

#[test]
fn comparisons_of_different_types() {
    refused("tcp.port == 10.0.0.1", "E0107", "10.0.0.1");
    refused("tcp.port == true", "E0107", "true");
    refused("tcp.port == 00:50", "E0107", "00:50");
    assert_eq!(about("eth.type == 08:00").0.fix.unwrap().replacement, "0x0800");
    refused("ip.src == 80", "E0107", "80");
    refused("ip.src == \"example.com\"", "E0107", "\"example.com\"");
    refused("eth.src == 00:26:0b", "E0107", "00:26:0b");
    assert_eq!(about("eth.src == \"00-26-0b-31-07-33\"").0.fix.unwrap().replacement, "00:26:0b:31:07:33");
    refused("tcp.payload == 192.0.2.1", "E0107", "192.0.2.1");
    refused("tcp == 5", "E0107", "5");
    refused("ip.src == ipv6.src", "E0107", "ip.src == ipv6.src");
    refused("tcp.flags.syn == tcp.srcport", "E0107", "tcp.flags.syn == tcp.srcport");
    refused("(tcp.port == 80) == 1", "E0107", "(tcp.port == 80)");
    refused("tcp.flags.syn == \"x\"", "E0107", "\"x\"");
    refused("tcp.flags.syn == 2", "E0108", "2");
    refused("tcp.flags.syn < 1", "E0114", "tcp.flags.syn < 1");
    refused("ip.src > 10.0.0.0/8", "E0114", "10.0.0.0/8");
    refused("tcp > 5", "E0114", "tcp > 5");
    refused("frame.len > 10s", "E0107", "10s");
    refused("tcp.port in {80, \"443\"}", "E0107", "\"443\"");
    refused("tcp.port in {80, 70000}", "E0108", "70000");
    refused("tcp.port in {60000..70000}", "E0108", "70000");
    refused("ip.src in {2001:db8::/32}", "E0107", "2001:db8::/32");
    refused("net.src in {10.0.0.1..2001:db8::1}", "E0120", "10.0.0.1..2001:db8::1");
    refused("net.src in {10.0.0.0/8..11.0.0.0/8}", "E0120", "10.0.0.0/8..11.0.0.0/8");
}

#[test]
fn a_mistake_in_a_let_points_at_its_use_as_well() {
    let filler = "# far away\n".repeat(300);
    let text = format!(
        "let ports = {{80, 70000}}\n{filler}{STATION}rule r {{ match tcp.port in ports snaplen full to ids }}"
    );
    let built = wrong(&text, &[("E0108", "70000")]);
    assert_eq!(built.sources.text(built.diagnostics[0].labels[1].span), "tcp.port");
}

#[test]
fn sets_where_one_value_must_stand_and_the_other_way_round() {
    let (finding, _) = about("tcp.port == {80, 443}");
    assert_eq!((finding.code.id(), finding.fix.unwrap().replacement.as_str()), ("E0120", " in "));
    let (finding, _) = about("ip.src in 10.0.0.0/8");
    assert_eq!((finding.code.id(), finding.fix.unwrap().replacement.as_str()), ("E0120", "{10.0.0.0/8}"));
    refused("tcp.port in 80", "E0120", "80");
    refused("tcp.port in tcp.srcport", "E0120", "tcp.srcport");
    refused("80 in {80, 443}", "E0119", "80 in {80, 443}");
    refused("(ip.src, ip.dst) in {10.0.0.1}", "E0120", "(ip.src, ip.dst) in {10.0.0.1}");
    refused("tcp.port in {80, tcp.srcport}", "E0120", "tcp.srcport");
    refused("1 == 1", "E0119", "1 == 1");
}

#[test]
fn slices_and_bytes() {
    refused("frame.len[0] == 1", "E0113", "frame.len[0]");
    refused("tcp.payload[0:4][0:2] == 47:45", "E0113", "tcp.payload[0:4][0:2]");
    refused("eth.src[4:3] == 00:26:0b", "E0113", "eth.src[4:3]");
    refused("vlan[0:2] == 00:0a", "E0306", "vlan");
    refused("ip[8] < 64", "E0111", "64");
    refused("tcp[13] & 16", "E0111", "16");
    refused("tcp[13] & 0x10 == 16", "E0111", "16");
    refused("tcp[13] in {2, 16}", "E0111", "16");
    refused("tcp[0:2] == 80", "E0112", "80");
    assert_eq!(about("tcp[0:2] == 80").0.fix.unwrap().replacement, "00:50");
    refused("tcp.payload[0] == 0x4745", "E0112", "0x4745");
    refused("tcp.payload == 5", "E0112", "5");
    refused("tcp.payload[0:3] == 47:45:54:20", "W0951", "47:45:54:20");
    refused("tcp.payload[0:2] & 0x10", "E0118", "tcp.payload[0:2]");
    refused("tcp.payload contains \"\"", "E0115", "\"\"");
    refused("tcp.payload contains 80", "E0115", "80");
    refused("tcp.port contains \"8\"", "E0114", "tcp.port");
    refused("ip.len matches \"1\"", "E0114", "ip.len");
    refused("eth.src contains 00:26", "E0114", "eth.src");
    refused("tcp.payload matches 47", "E0116", "47");
    refused("len(tcp.port) > 5", "E0121", "tcp.port");
    refused("len(tcp.payload, 5) > 5", "E0121", "len(tcp.payload, 5)");
    refused("upper(tcp.payload) contains \"GET\"", "E0121", "upper");
    refused("lenn(tcp.payload) > 5", "E0121", "lenn");
}

#[test]
fn patterns_are_told_where_they_go_wrong() {
    refused(r#"tcp.payload matches "^GET (?=/)""#, "E0116", "(?=");
    refused(r#"tcp.payload matches r"x(a)\1""#, "E0116", r"\1");
    refused(r#"tcp.payload matches "a++""#, "E0116", "++");
    refused(r#"tcp.payload matches "[a""#, "E0116", "[");
    refused(r#"tcp.payload matches "a$b""#, "E0116", "$");
    refused(r#"tcp.payload matches r"\Kx""#, "E0116", r"\K");
    refused(r#"tcp.payload matches "(?:x{1000}){1000}""#, "E0117", "(?:x{1000}){1000}");
    // A string with escapes is not the pattern, byte for byte: the caret is on all of it.
    refused(r#"tcp.payload matches "\x41(?=b)""#, "E0116", r#""\x41(?=b)""#);
}

#[test]
fn arithmetic() {
    refused("frame.len / 0 > 1", "E0118", "0");
    refused("frame.len % 0 == 1", "E0118", "0");
    refused("flow.hash * 2 > 5", "E0118", "flow.hash * 2");
    refused("ip.src & 0xff00 == 5", "E0118", "ip.src");
    refused("tcp.flags.syn + 1 == 2", "E0118", "tcp.flags.syn");
    refused("frame.len + 5s > 10", "E0118", "5s");
    refused("tcp and flow.hash % 100", "E0110", "flow.hash % 100");
    refused("vlan.id + 1 == 5", "E0305", "vlan.id + 1");
    wrong("let a = 5 - 10", &[("E0118", "5 - 10")]);
    wrong("let a = 5s + 1KiB", &[("E0118", "5s + 1KiB")]);
    wrong("let a = 20000000000TiB", &[("E0022", "20000000000TiB")]);
    let (finding, _) = about_with("param most : uint = 5", "frame.len > most * 2");
    assert_eq!(finding.code.id(), "E0118");
    assert!(build(&format!("{STATION}param most : uint = 5 in 0..100\nrule r {{ match frame.len > most * 2 snaplen full to ids }}")).program.is_some());
}

#[test]
fn what_stands_alone_must_be_a_condition() {
    refused("80", "E0110", "80");
    refused("\"x\"", "E0110", "\"x\"");
    refused("{80, 443}", "E0110", "{80, 443}");
    refused("tcp and 10.0.0.1", "E0110", "10.0.0.1");
    refused("tcp.flags.syn", "E0109", "tcp.flags.syn");
    refused("not vlan.dei", "E0109", "vlan.dei");
    refused("len(tcp.payload)", "E0110", "len(tcp.payload)");
    for (items, expr) in [
        ("table t : set<ip>", "t"),
        ("param p : uint = 5", "p"),
        ("let n = 5", "tcp or n"),
        ("table t : map<ip, uint>", "t[ip.src]"),
    ] {
        assert_eq!(about_with(items, expr).0.code.id(), "E0110", "{expr}");
    }
}

#[test]
fn what_is_to_come_says_so() {
    for (expr, code) in [
        ("flow.client.addr[0:2] == 0a:00", "E0301"),
        ("http.referer contains \"x\"", "E0302"),
        ("inner.dns", "E0302"),
        ("tls.handshake.ciphersuite == 1", "E0302"),
        ("quic.spin_bit == 1", "E0302"),
        ("http.host == frame.interface_name", "E0302"),
        ("http.response.code == dns.qry.type", "E0302"),
        ("http.host[0:3] == \"www\"", "E0302"),
        ("len(http.cookie) > 100", "E0302"),
        ("http.response.code / 100 == 4", "E0302"),
        ("mpls contains \"x\"", "E0306"),
        ("len(sctp) > 5", "E0306"),
    ] {
        let (finding, _) = about(expr);
        assert_eq!(finding.code.id(), code, "{expr}");
        assert!(finding.message.ends_with("is not available yet"), "{}", finding.message);
        assert!(finding.help.is_some());
    }
}

#[test]
fn a_name_of_wireshark_is_one_error_in_any_spelling() {
    refused("radius.User_Name == \"x\"", "E0102", "radius.User_Name");
    refused("Tcp.Port == 80", "E0012", "Tcp.Port");
    refused("Tcp.Prot == 80", "E0101", "Tcp.Prot");
}

/// The help of the only finding about a condition.
#[track_caller]
fn advice(expr: &str) -> String {
    let built = build(&format!("{STATION}rule r {{ match {expr}\n snaplen full to ids }}"));
    assert_eq!(built.diagnostics.len(), 1, "{expr}\n{:#?}", built.diagnostics);
    built.diagnostics[0].help.clone().unwrap()
}

#[test]
fn unknown_fields_get_the_advice_of_their_protocol() {
    assert!(advice("vxlan.flags == 1").contains("its protocol has `vxlan`, `vxlan.vni`;"));
    assert!(advice("gre.key == 1").contains("`gre.proto`; other bytes are slices, such as `frame"));
    assert!(advice("esp.spi == 1").contains("its protocol has `esp`"));
    assert!(advice("icmp.ident == 1").contains("`icmp[4:2]`"));
    assert!(advice("erspan.vlan == 1").contains("`gre.proto in {0x88be, 0x22eb}`"));
    for wireless in
        ["wlan", "wlan.addr == 00:11:22:33:44:55", "wlan_radio.channel == 1", "radiotap.length == 1"]
    {
        assert!(advice(wireless).contains("no fields of 802.11"), "{wireless}");
    }
    assert!(advice("vxlan.vnid == 1").contains("did you mean `vxlan.vni`?"));
    assert!(advice("capwap.header").contains("udp.port in {5246, 5247}"));
}
