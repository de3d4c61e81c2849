//! Tables: types, rows inline and from files, and look-ups.

use super::{STATION, build, build_with, findings, pred_with, program, wrong};
use crate::hir::{Key, Pred, TableId, Value, ValueTy};
use std::sync::Arc;

fn text(text: &str) -> Value {
    Value::Text(Arc::from(text.as_bytes()))
}

fn ip(text: &str, prefix: u8) -> Value {
    Value::Ip(text.parse().unwrap(), prefix)
}

fn rows_of(table: &crate::hir::Table) -> Vec<(Vec<Value>, Option<Value>)> {
    table.start.rows().map(|(key, value, _)| (key, value)).collect()
}

#[test]
fn inline_rows() {
    let program = program(
        "let one = 192.0.2.9\ntable a : set<cidr> = { 10.1.2.3/8, 2001:db8::/32, one }\n\
         table b : map<(ip, uint), string> = { (10.0.0.1, 80) -> \"web\", (2001:db8::1, 0x35) -> \"dns\" }\n\
         table c : set<mac> = { 00:26:0b:31:07:33 }\ntable d : set<string> = { \"alice\" }\ntable e : map<ip, duration> = { 10.0.0.1 -> 5m }",
    );
    let rows = |i: usize| rows_of(&program.tables[i]);
    assert_eq!(
        rows(0),
        [
            (vec![ip("10.0.0.0", 8)], None),
            (vec![ip("2001:db8::", 32)], None),
            (vec![ip("192.0.2.9", 32)], None)
        ]
    );
    assert_eq!(
        rows(1),
        [
            (vec![ip("10.0.0.1", 32), Value::Num(80)], Some(text("web"))),
            (vec![ip("2001:db8::1", 128), Value::Num(0x35)], Some(text("dns")))
        ]
    );
    assert_eq!(rows(2), [(vec![Value::Num(0x00260b310733)], None)]);
    assert_eq!(program.tables[1].start.form().key, [ValueTy::Ip, ValueTy::Uint]);
    assert_eq!(rows(4)[0].1, Some(Value::Num(300_000_000_000)));
}

#[test]
fn types_and_rows_that_cannot_be() {
    wrong("table t : set<ipv4>", &[("E0201", "ipv4")]);
    wrong("table t : set<duration>", &[("E0202", "duration")]);
    wrong("table t : map<ip, cidr>", &[("E0202", "cidr")]);
    wrong("table t : ip", &[("E0202", "ip")]);
    wrong(
        "table t : set<(ip, ip, ip, ip, ip, ip, ip, ip, ip)>",
        &[("E0202", "(ip, ip, ip, ip, ip, ip, ip, ip, ip)")],
    );
    wrong("table t : set<ip> = { 10.0.0.0/8 }", &[("E0203", "10.0.0.0/8")]);
    wrong("table t : set<ip> = { 10.0.0.1 -> 5 }", &[("E0203", "5")]);
    wrong("table t : map<ip, uint> = { 10.0.0.1 }", &[("E0203", "10.0.0.1")]);
    wrong("table t : set<(ip, ip)> = { 10.0.0.1 }", &[("E0203", "10.0.0.1")]);
    wrong("table t : set<ip> = { net.src }", &[("E0203", "net.src")]);
    wrong("table t : set<uint> = { 5, 5 }", &[("W0953", "5")]);
    wrong("table t : map<uint, uint> = { 5 -> 1, 5 -> 1 }", &[("W0953", "5")]);
    wrong("table t : map<uint, uint> = { 5 -> 1, 5 -> 2 }", &[("E0204", "5")]);
    // The uses of a table with an error in its type are not reported.
    wrong(
        &format!("{STATION}table t : set<ipv4>\nrule r {{ match net.src in t snaplen full to ids }}"),
        &[("E0201", "ipv4")],
    );
}

fn csv(ty: &str, file: &str) -> crate::compile::Compiled {
    build_with(&format!("table t : {ty} from \"rows.csv\""), &[("rows.csv", file)], &[])
}

#[test]
fn rows_from_a_file() {
    let file = "\u{feff}# comment\naddress, name\n\n10.0.0.1, alice\n 10.0.0.2 ,\"bob, jr.\"\r\n   \n# 10.0.0.3, x\n2001:db8::1,\"say \"\"hi\"\"\"\n";
    let built = csv("map<ip, string>", file);
    assert!(built.diagnostics.is_empty(), "{:#?}", built.diagnostics);
    let rows = rows_of(&built.program.unwrap().tables[0]);
    assert_eq!(
        rows,
        [
            (vec![ip("10.0.0.1", 32)], Some(text("alice"))),
            (vec![ip("10.0.0.2", 32)], Some(text("bob, jr."))),
            (vec![ip("2001:db8::1", 128)], Some(text("say \"hi\""))),
        ]
    );
    let many = csv("map<(uint, mac), size>", "0x10,00-26-0b-31-07-33,8KiB\n17,0026.0b31.0733,5\n");
    let rows = rows_of(&many.program.unwrap().tables[0]);
    assert_eq!(rows[0], (vec![Value::Num(16), Value::Num(0x00260b310733)], Some(Value::Num(8192))));
    assert_eq!(
        csv("set<string>", "name\nalice\n").program.unwrap().tables[0].start.len(),
        2,
        "text has no header"
    );
    assert_eq!(csv("set<ip>", "").program.unwrap().tables[0].start.len(), 0);
}

#[test]
fn bad_rows_are_told_by_line_and_column() {
    let built = csv(
        "map<ip, uint>",
        "# x\n10.0.0.1,1\n10.0.0.300, 2\n10.0.0.3 , x\n10.0.0.4\n10.0.0.1,2\n\"10.0.0.5\",\"six\"\n",
    );
    let found = findings(&built);
    let found: Vec<_> = found.iter().map(|(c, t)| (*c, t.as_str())).collect();
    assert_eq!(
        found,
        [
            ("E0203", "10.0.0.300"),
            ("E0203", "x"),
            ("E0203", "10.0.0.4"),
            ("E0204", "10.0.0.1,2"),
            ("E0203", "\"six\"")
        ]
    );
    let place = built.diagnostics[1].labels[0].span;
    assert_eq!(built.sources.line_column(place.file, place.start), (4, 12));
    assert_eq!(built.sources.get(place.file).unwrap().name, "rows.csv");
}

#[test]
fn many_bad_rows_are_counted() {
    let file: String = (0..100).map(|i| format!("host{i}.x\n")).collect();
    let built = csv("set<ip>", &file);
    assert_eq!(built.diagnostics.len(), 21);
    let last = built.diagnostics.last().unwrap();
    assert_eq!((last.code.id(), last.message.as_str()), ("E0206", "table `t`: 80 more rows are like these"));
    let twice: String = (0..100).map(|_| "10.0.0.1\n").collect();
    let built = csv("set<ip>", &twice);
    assert!(built.program.is_some(), "rows that are there twice are warnings, however many");
    assert_eq!(built.diagnostics.len(), 21);
    let inline: String = (0..100).map(|i| format!("\"{i}\", ")).collect();
    assert_eq!(
        build(&format!("table t : set<ip> = {{ {} }}", inline.trim_end_matches(", "))).diagnostics.len(),
        21
    );
}

#[test]
fn a_file_that_is_not_there() {
    let built = wrong("table t : set<ip> from \"none.csv\"", &[("E0050", "\"none.csv\"")]);
    assert!(built.diagnostics[0].message.starts_with("cannot read `none.csv`: "));
}

const TABLES: &str = "table hosts : set<ip>\ntable nets : set<cidr>\ntable pairs : set<(ip, ip)>\n\
    table users : map<ip, string>\ntable levels : map<ip, uint>\ntable flags : map<ip, bool>\ntable ids : set<uint>\n\
    table macs : map<mac, mac>\ntable names : set<string>\ntable gates : map<ip, ip>\n";

#[test]
fn keys_of_several_values_ask_for_each() {
    let tables = |pred: &Pred| format!("{pred:?}").matches("InTable").count();
    assert_eq!(tables(&pred_with(TABLES, "ip.src in hosts")), 1);
    assert_eq!(tables(&pred_with(TABLES, "net.src in hosts")), 2);
    assert_eq!(tables(&pred_with(TABLES, "net.addr in nets")), 4);
    assert_eq!(tables(&pred_with(TABLES, "(net.src, net.dst) in pairs")), 4);
    assert_eq!(tables(&pred_with(TABLES, "(ip.src, 10.0.0.1) in pairs")), 1);
    assert_eq!(tables(&pred_with(TABLES, "tcp.port in ids")), 2);
    assert!(format!("{:?}", pred_with(TABLES, "vlan.id in ids")).contains("TagInTable"));
    assert_eq!(tables(&pred_with(TABLES, "frame.interface_name in names")), 1);
    let ids = pred_with("table t : set<uint>", "frame.len in t");
    assert_eq!(ids, Pred::in_table(TableId(0), vec![Key::Num(crate::hir::Num::frame_len())]));
}

#[test]
fn look_ups() {
    for expr in [
        "users[net.src] == \"alice\"",
        "users[net.src] != \"alice\"",
        "users[net.addr] in {\"alice\", \"bob\"}",
        "levels[ip.src] > 5",
        "levels[net.addr] in {1..5}",
        "levels[ip.src] & 4",
        "levels[ip.src] == tcp.dstport",
        "flags[net.src]",
        "not flags[net.src] == 1",
        "macs[eth.src] == eth.dst",
        "macs[eth.src] == 00:26:0b:31:07:33",
        "levels[10.0.0.1] > 5",
    ] {
        pred_with(TABLES, expr);
    }
    let bad = |expr: &str, code: &str, caret: &str| {
        wrong(&format!("{STATION}{}rule r {{ match {expr} snaplen full to ids }}", TABLES), &[(code, caret)]);
    };
    bad("net.src in pairs", "E0122", "net.src");
    bad("(net.src, net.dst) in hosts", "E0122", "(net.src, net.dst)");
    bad("tcp.port in hosts", "E0122", "tcp.port");
    bad("hosts[net.src] == 1", "E0122", "hosts[net.src]");
    bad("users[tcp.port] == \"x\"", "E0122", "tcp.port");
    bad("users[net.src] == 5", "E0112", "5");
    bad("users[net.src] == frame.interface_name", "E0305", "users[net.src] == frame.interface_name");
    bad("users[net.src] contains \"x\"", "E0305", "users[net.src]");
    bad("users[net.src] < \"x\"", "E0114", "users[net.src] < \"x\"");
    bad("gates[net.src] == net.dst", "E0305", "gates[net.src]");
    bad("(users[net.src] else 0) == 5", "E0305", "users[net.src] else 0");
    pred_with(TABLES, "(levels[net.src] else 0) > 5");
    bad("hosts[0:4] == 5", "E0113", "hosts[0:4]");
    bad("tcp.port[net.src] == 5", "E0122", "tcp.port");
    bad("hosts == 5", "E0107", "hosts");
    bad("net.src in hosts[net.src]", "E0122", "hosts[net.src]");
}

const ROLES: &str = "table roles : map<ip, {admin, user, guest}> = { 10.0.0.1 -> admin, 10.0.0.2 -> guest }\n\
    table other : map<ip, {admin, user}>\nlet user = 5\nlet role = roles[net.src]\n";

#[test]
fn words_as_values() {
    let table = &program(ROLES).tables[1];
    assert_eq!(table.start.form().words.join(" "), "admin user guest");
    assert_eq!(rows_of(table)[1].1, Some(Value::Num(2)));
    let plain = format!("{:?}", pred_with(ROLES, "roles[ip.src] == user"));
    assert!(plain.contains("(1, 1)"), "the table's word, not the `let`: {plain}");
    for expr in [
        "roles[net.src] in {admin, user}",
        "roles[net.src] not in {guest}",
        "admin == roles[net.src]",
        "role != guest",
        "(roles[net.src]) == (admin)",
        "roles[net.src] == roles[net.dst]",
    ] {
        pred_with(ROLES, expr);
    }
    let bad = |expr: &str, code: &str, caret: &str| {
        wrong(&format!("{STATION}{ROLES}rule r {{ match {expr} snaplen full to ids }}"), &[(code, caret)])
    };
    let near = bad("roles[net.src] == gest", "E0101", "gest");
    assert!(near.diagnostics[0].fix.is_some(), "{:#?}", near.diagnostics);
    bad("roles[net.src] in {admin, root}", "E0101", "root");
    bad("roles[net.src] == \"admin\"", "E0107", "\"admin\"");
    bad("roles[net.src] == 1", "E0107", "1");
    bad("roles[net.src] < user", "E0114", "roles[net.src] < user");
    bad("roles[net.src] == other[net.src]", "E0107", "roles[net.src] == other[net.src]");
    bad("roles[net.src] & 1 == 1", "E0118", "roles[net.src]");
    wrong("table t : map<ip, {a, b, a}>", &[("E0202", "a")]);
    wrong("table t : map<ip, {a, none}>", &[("E0202", "none")]);
    wrong("table t : set<{a, b}>", &[("E0202", "{a, b}")]);
    wrong("table t : map<ip, {a, b}> = { 10.0.0.1 -> c }", &[("E0101", "c")]);
    wrong("table t : map<ip, {a, b}> = { 10.0.0.1 -> \"a\" }", &[("E0107", "\"a\"")]);
}

#[test]
fn words_from_a_file() {
    let built = csv("map<ip, {admin, user}>", "address,role\n10.0.0.1,admin\n10.0.0.2,user\n");
    assert_eq!(rows_of(&built.program.unwrap().tables[0])[1].1, Some(Value::Num(1)));
    let built = csv("map<ip, {admin, user}>", "10.0.0.1,Admin\n");
    assert_eq!(findings(&built), [("E0203", "Admin".to_owned())]);
    assert!(built.diagnostics[0].help.as_deref().unwrap_or("").contains("one of admin, user"));
}

#[test]
fn pairs_without_order() {
    let one = program("table t : set<unordered (ip, ip)> = { (10.0.0.2, 10.0.0.1) }");
    assert!(one.tables[0].start.form().unordered);
    wrong(
        "table t : set<unordered (ip, ip)> = { (10.0.0.2, 10.0.0.1), (10.0.0.1, 10.0.0.2) }",
        &[("W0953", "(10.0.0.1, 10.0.0.2)")],
    );
    wrong("table t : map<unordered (ip, mac), uint>", &[("E0202", "(ip, mac)")]);
    wrong("table t : set<unordered (ip, ip, ip)>", &[("E0202", "(ip, ip, ip)")]);
}

#[test]
fn products_with_windows_and_map_values_say_how_to_compare_a_share() {
    let with = |when: &str| {
        let text = format!(
            "{STATION}table quota : map<ip, size>\ntrigger t by net.src {{ when {when}  hold 1h }}\n\
             rule r {{ match t snaplen full to ids }}"
        );
        build(&text)
    };
    let wrong = with("sum(frame.len) per 1h * 100 > quota[net.src] * 80");
    let help: Vec<_> = wrong.diagnostics.iter().map(|d| d.help.clone().unwrap()).collect();
    assert_eq!(
        help,
        [
            "leave `sum(frame.len) per 1h` as it is, and compare it with a share: `> quota[net.src] / 100 * 80` is 80 %",
            "divide first: `quota[net.src] / 100 * 80` is 80 %",
        ]
    );
    let right = with("sum(frame.len) per 1h > quota[net.src] / 100 * 80");
    assert!(right.diagnostics.is_empty(), "{:#?}", right.diagnostics);
}
