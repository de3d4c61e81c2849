//! Texts without mistakes, and the syntax trees that the parser makes of them.

use crate::common::{TOUR, dump, good, read, value};
use mrule_grammar::ast::{ExprKind, Item};

/// One line of the expected tree and the text it comes from.
fn trees(cases: &[(&str, &str)]) {
    for (text, tree) in cases {
        assert_eq!(value(text), *tree, "of {text}");
    }
}

#[test]
fn the_tour() {
    let file = good(TOUR);
    assert_eq!(file.comments.len(), 7);
    let expected = r#"let web_ports {80 443 8000..8080}
param head size 8KiB in 0..64KiB
table web_servers set<cidr> {10.0.0.0/24 2001:db8::/48}
table authenticated set<ip>
table forbidden set<(ip,ip)> from "forbidden.csv"
table users map<ip,string>
station ids vxlan 192.0.2.10 vni 77
station lake pcapng "captures/lake.pcapng" rotate 1GiB keep 10
trigger syn_flood by net.src [when (Gt (per (count! (and (Eq tcp.flags.syn 1) (Eq tcp.flags.ack 0))) 5m) 200)][unless (in net.src known_scanners)][hold 10m]
trigger evil_cookie by flow [when (contains stream "session=evil")][hold flow]
trigger attack by net.dst [external][hold 1h]
rule rest [match any][snaplen headers+32][to ids]
rule web [match (and (in tcp.port web_ports) (in net.addr web_servers))][snaplen stream 0..head when (Eq app http)][snaplen full when (or syn_flood evil_cookie (index attack net.addr))][to ids]
rule strangers [match (in (tuple net.src net.dst) forbidden)][snaplen full][to ids,lake]
limit quiet [match (in net.src authenticated)][snaplen none]
limit privacy [match (and (Eq tcp.port 8443) (not (index attack net.addr)))][snaplen headers][to ids]"#;
    assert_eq!(dump(&file), expected);
}

#[test]
fn numbers_and_units() {
    trees(&[
        ("0", "0"),
        ("18446744073709551615", "18446744073709551615"),
        ("0x1F", "0x1f"),
        ("0X1f", "0x1f"),
        ("0xffffffffffffffff", "0xffffffffffffffff"),
        ("8KiB", "8KiB"),
        (
            "{1B, 1kB, 1KB, 1MB, 1GB, 1TB, 1KiB, 1MiB, 1GiB, 1TiB}",
            "{1B 1kB 1KB 1MB 1GB 1TB 1KiB 1MiB 1GiB 1TiB}",
        ),
        ("{1ns, 1us, 1ms, 1s, 1m, 1h, 1d}", "{1ns 1us 1ms 1s 1m 1h 1d}"),
        ("true or True or false or False", "(or true true false false)"),
    ]);
}

#[test]
fn addresses_and_bytes() {
    trees(&[
        ("192.0.2.1", "192.0.2.1"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.1.2.3/8", "10.1.2.3/8"),
        ("::", "::"),
        ("::1", "::1"),
        ("::/0", "::/0"),
        ("2001:db8::", "2001:db8::"),
        ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
        ("FF01::101", "ff01::101"),
        ("0:0:0:0:0:FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        ("::13.1.68.3", "::d01:4403"),
        ("::ffff:1.2.3.4/96", "::ffff:1.2.3.4/96"),
        ("fe80::1", "fe80::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("47:45:54", "bytes[47, 45, 54]"),
        ("de:ad", "bytes[de, ad]"),
        ("00:11:22:aa:BB:ff", "bytes[00, 11, 22, aa, bb, ff]"),
        ("01:02:03:04:05:06:07:08", "bytes[01, 02, 03, 04, 05, 06, 07, 08]"),
        ("01:02:03:04:05:06:07:08/64", "1:2:3:4:5:6:7:8/64"),
        ("{10.0.0.1..10.0.0.9, ::1..::5, 1..2}", "{10.0.0.1..10.0.0.9 ::1..::5 1..2}"),
        ("{80 .. 90 , 443}", "{80..90 443}"),
    ]);
}

#[test]
fn strings() {
    trees(&[
        (r#""""#, r#""""#),
        (r#""a b # c""#, r#""a b # c""#),
        (r#""\n\r\t\\\"\0\x41\xff""#, r#""\n\r\t\\\"\x00A\xff""#),
        (r#"r"\d\"""#, r#""\\d\\\"""#),
        (r#"R"x""#, r#""x""#),
        ("\"tab\there\"", r#""tab\there""#),
        ("\"é\"", r#""\xc3\xa9""#),
    ]);
}

/// What tshark 4.0.17 reads in the same patterns; patterns that it refuses are added.
#[test]
fn strings_right_of_matches() {
    trees(&[
        (r#"x matches "\d+\.exe""#, r#"(matches x "\\d+\\.exe")"#),
        (r#"x matches "\\d+\\.exe""#, r#"(matches x "\\d+\\.exe")"#),
        (r#"x matches "GET\x2e""#, r#"(matches x "GET.")"#),
        (r#"x matches "^\x16\x03[\x00-\x03]""#, r#"(matches x "^\x16\x03[\x00-\x03]")"#),
        (r#"x matches "[\x80-\xff]""#, r#"(matches x "[\\x80-\\xff]")"#),
        (r#"x matches "a\"b""#, r#"(matches x "a\"b")"#),
        (r#"x matches r"\bGET\b""#, r#"(matches x "\\bGET\\b")"#),
        (r#"x matches "(?-i)a\s""#, r#"(matches x "(?-i)a\\s")"#),
        (r#"x contains "a\\s""#, r#"(contains x "a\\s")"#),
    ]);
}

#[test]
fn operators_and_their_spellings() {
    trees(&[
        ("a == 1 && b eq 1 and c any_eq 1", "(and (Eq a 1) (Eq b 1) (Eq c 1))"),
        ("a != 1 || b ne 1 or c all_ne 1", "(or (Ne a 1) (Ne b 1) (Ne c 1))"),
        ("a === 1 or b all_eq 1", "(or (AllEq a 1) (AllEq b 1))"),
        ("a !== 1 or b any_ne 1", "(or (AnyNe a 1) (AnyNe b 1))"),
        ("a < 1 or b lt 1 or c <= 1 or d le 1", "(or (Lt a 1) (Lt b 1) (Le c 1) (Le d 1))"),
        ("a > 1 or b gt 1 or c >= 1 or d ge 1", "(or (Gt a 1) (Gt b 1) (Ge c 1) (Ge d 1))"),
        (
            "a in {1} or b contains \"x\" or c matches \"y\"",
            "(or (in a {1}) (contains b \"x\") (matches c \"y\"))",
        ),
        ("a & 1 == 1 or b bitand 1 == 1", "(or (Eq (and a 1) 1) (Eq (and b 1) 1))"),
        ("a bitwise_and 1 == 1", "(Eq (and a 1) 1)"),
        ("a | 1 + 2 - 3 * 4 / 5 % 6", "(or a (sub (add 1 2) (rem (div (mul 3 4) 5) 6)))"),
        ("!a and ! b and not c and not not d", "(and (not a) (not b) (not c) (not (not d)))"),
        ("!a==1&&!b", "(and (not (Eq a 1)) (not b))"),
        (
            "flow.hash % 100 == 0 and flow.hash%100==0",
            "(and (Eq (rem flow.hash 100) 0) (Eq (rem flow.hash 100) 0))",
        ),
        ("ip.len-20 == a - b", "(Eq (sub ip.len 20) (sub a b))"),
    ]);
}

#[test]
fn precedence() {
    trees(&[
        ("a or b and c or d", "(or a (and b c) d)"),
        ("not tcp.port == 80 and x", "(and (not (Eq tcp.port 80)) x)"),
        ("not (a or b)", "(not (paren (or a b)))"),
        ("a not in {1} and b", "(and (not (in a {1})) b)"),
        ("a + 1 not\n  in b or not c in d", "(or (not (in (add a 1) b)) (not (in c d)))"),
        ("not a not in b", "(not (not (in a b)))"),
        ("a and (b and c) and d", "(and a (paren (and b c)) d)"),
        ("a & 1 | b & 2 == 3", "(Eq (or (and a 1) (and b 2)) 3)"),
        ("1 - 2 - 3", "(sub (sub 1 2) 3)"),
        ("1 + 2 & 3", "(and (add 1 2) 3)"),
        ("count(p) per 5m > 200", "(Gt (per (count! p) 5m) 200)"),
        ("a > t[b] else 5 and c", "(and (Gt a (else (index t b) 5)) c)"),
        ("a + t[b] else 5 * 2", "(add a (mul (else (index t b) 5) 2))"),
        (
            "stream contains \"x\" within 64KiB or stream matches \"y\" within n",
            "(or (within (contains stream \"x\") 64KiB) (within (matches stream \"y\") n))",
        ),
    ]);
}

#[test]
fn slices_and_indices() {
    trees(&[
        ("x[0:4]", "(slice x OffsetLength(0, 4))"),
        ("x[-2:2]", "(slice x OffsetLength(-2, 2))"),
        ("x[ 0x10 : 2 ]", "(slice x OffsetLength(16, 2))"),
        ("x[1-3]", "(slice x FirstLast(1, 3))"),
        ("x[-3--1]", "(slice x FirstLast(-3, -1))"),
        ("x[4:]", "(slice x From(4))"),
        ("x[:4]", "(slice x To(4))"),
        ("x[-1]", "(slice x At(-1))"),
        ("x\n[ # c\n 1\n - # d\n 3 ]", "(slice x FirstLast(1, 3))"),
        ("x[4:][:2]", "(slice (slice x From(4)) To(2))"),
        ("t[net.src]", "(index t net.src)"),
        ("t[(net.src, net.dst)]", "(index t (tuple net.src net.dst))"),
        ("t[192.0.2.1]", "(index t 192.0.2.1)"),
        ("t[::1]", "(index t ::1)"),
        ("t[00:11:22:33:44:55]", "(index t bytes[00, 11, 22, 33, 44, 55])"),
        ("t[\"a\"]", "(index t \"a\")"),
    ]);
}

#[test]
fn names_and_calls() {
    trees(&[
        ("inner.ip.src", "inner.ip.src"),
        ("tls.handshake.extensions_server_name", "tls.handshake.extensions_server_name"),
        ("ip.len", "ip.len"),
        ("len(x) + len (y)", "(add (len! x) (len! y))"),
        ("f()", "(f! )"),
        ("f(a, b == 1)", "(f! a (Eq b 1))"),
        // Words that start with a keyword, or that have a meaning elsewhere.
        ("inside or notes or order or android or match1", "(or inside notes order android match1)"),
        ("external or keys or from or by or any", "(or external keys from by any)"),
        ("x.match or x.to or x.in", "(or x.match x.to x.in)"),
    ]);
}

#[test]
fn lengths() {
    let text = "rule r {
        snaplen none snaplen full snaplen 1500 snaplen 50% snaplen share % snaplen headers snaplen headers+32
        snaplen payload ..64 snaplen payload..n snaplen bytes 14..34 snaplen stream 0..head * 2
        snaplen head / 2 when a and b snaplen 50 % 3 snaplen fullness snaplen headers.x
    }";
    let clauses = "[snaplen none][snaplen full][snaplen 1500][snaplen 50%][snaplen share%][snaplen headers]\
                   [snaplen headers+32][snaplen payload ..64][snaplen payload ..n][snaplen bytes 14..34]\
                   [snaplen stream 0..(mul head 2)][snaplen (div head 2) when (and a b)][snaplen (rem 50 3)]\
                   [snaplen fullness][snaplen headers.x]";
    assert_eq!(dump(&good(text)), format!("rule r {clauses}"));
}

#[test]
fn items() {
    let cases = [
        ("include \"a/b.mrule\"", "include \"a/b.mrule\""),
        ("param on:bool=true", "param on bool true"),
        (
            "param at : ip = 192.0.2.1 in 192.0.2.0..192.0.2.255",
            "param at ip 192.0.2.1 in 192.0.2.0..192.0.2.255",
        ),
        (
            "table t : set<(ip, uint)> = { (::1, 5), (::2, 6), }",
            "table t set<(ip,uint)> {(tuple ::1 5) (tuple ::2 6)}",
        ),
        (
            "table t : map<(ip,ip),string> = {(::1, ::2) -> \"a\"}",
            "table t map<(ip,ip),string> {(tuple ::1 ::2)->\"a\"}",
        ),
        ("table t : set<uint> = {}", "table t set<uint> {}"),
        ("station s { interface br-lan }", "station s interface br-lan"),
        ("station s { interface eth0.100 to rule when _x }", "station s interface eth0.100 to rule when _x"),
        (
            "station s { geneve 2001:db8::1 vni 0x10 mtu 9KiB }",
            "station s geneve 2001:db8::1 vni 0x10 mtu 9KiB",
        ),
        ("station s { pcapng \"x-%Y.pcapng\" }", "station s pcapng \"x-%Y.pcapng\""),
        ("station s{}", "station s "),
        ("rule matches { match a }", "rule matches [match a]"),
        ("rule full { to any, none }", "rule full [to any,none]"),
        (
            "trigger t by (net.src, net.dst) { when a keys 65536 hold d }",
            "trigger t by (tuple net.src net.dst) [when a][keys 65536][hold d]",
        ),
        ("trigger t { external external }", "trigger t [external][external]"),
        ("trigger t { when x in external external }", "trigger t [when (in x external)][external]"),
        ("let external = 5 let keys = 6", "let external 5\nlet keys 6"),
    ];
    for (text, tree) in cases {
        assert_eq!(dump(&good(text)), tree, "of {text}");
    }
}

#[test]
fn blanks_and_comments() {
    let text =
        "\u{feff}# first\r\nlet a=1#second\r\n\tlet\r\nb # third\n=\n2 # \u{e9}\nrule r{match a#x\nto s}";
    let file = good(text);
    assert_eq!(dump(&file), "let a 1\nlet b 2\nrule r [match a][to s]");
    let comments: Vec<&str> = file.comments.iter().map(|c| &text[c.range()]).collect();
    assert_eq!(comments, ["# first", "#second", "# third", "# \u{e9}", "#x"]);
    assert_eq!(dump(&good("")), "");
    assert_eq!(dump(&good("# only a comment")), "");
}

#[test]
fn spans_are_tight() {
    let text = "let a = (x == 1) and y # c\nparam p : uint = 5 \n table t : set<ip> # c\nrule r { snaplen headers + 32 # c\n to s } ";
    let file = good(text);
    let spans: Vec<&str> = file.items.iter().map(|i| &text[i.span().range()]).collect();
    assert_eq!(spans[0], "let a = (x == 1) and y");
    assert_eq!(spans[1], "param p : uint = 5");
    assert_eq!(spans[2], "table t : set<ip>");
    assert_eq!(spans[3], "rule r { snaplen headers + 32 # c\n to s }");
    let Item::Let(first) = &file.items[0] else { panic!("{file:?}") };
    assert_eq!(&text[first.value.span.range()], "(x == 1) and y");
    let ExprKind::And(parts) = &first.value.kind else { panic!("{first:?}") };
    assert_eq!(&text[parts[0].span.range()], "(x == 1)");
    let Item::Rule(rule) = &file.items[3] else { panic!("{file:?}") };
    let mrule_grammar::ast::Clause::Snaplen { span, length, .. } = &rule.clauses[0] else {
        panic!("{rule:?}")
    };
    assert_eq!(&text[span.range()], "snaplen headers + 32");
    assert_eq!(&text[length.span.range()], "headers + 32");
}

#[test]
fn ten_thousand_terms_are_flat() {
    let text = format!("let x = {}", vec!["a == 1"; 10_000].join(" or "));
    let file = good(&text);
    let Item::Let(item) = &file.items[0] else { panic!("{file:?}") };
    let ExprKind::Or(parts) = &item.value.kind else { panic!("not a chain") };
    assert_eq!(parts.len(), 10_000);
}

#[test]
fn nesting_up_to_the_limit() {
    let deep = |n: usize| format!("let x = {}a{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(read(&deep(mrule_grammar::MAX_NESTING)).diagnostics, []);
    assert_eq!(read(&deep(mrule_grammar::MAX_NESTING + 1)).diagnostics.len(), 1);
    let rule = |n: usize| format!("rule r {{ match {}a{} }}", "(".repeat(n), ")".repeat(n));
    assert_eq!(read(&rule(mrule_grammar::MAX_NESTING)).diagnostics, []);
    assert_eq!(read(&rule(mrule_grammar::MAX_NESTING + 1)).diagnostics.len(), 1);
}
