//! One mistake at a time: its code, the text under its caret, and that its fix, if it has one,
//! makes the text correct.

use crate::common::{mistakes, read};
use mrule_grammar::diagnostic::Diagnostic;

/// Each text has exactly these mistakes: the code and the text under the caret.
fn each(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let parsed = read(text);
        assert_eq!(mistakes(text, &parsed.diagnostics), *expected, "in {text}");
        for diagnostic in &parsed.diagnostics {
            assert!(diagnostic.help.is_some(), "{text}: no help: {diagnostic:?}");
            speaks_to_users(diagnostic);
            if let Some(fix) = &diagnostic.fix {
                let mut mended = text.to_string();
                mended.replace_range(fix.span.range(), &fix.replacement);
                let left = read(&mended).diagnostics;
                assert!(left.len() < parsed.diagnostics.len(), "{text}: the fix gives {mended}: {left:?}");
            }
        }
    }
}

/// A message is in lower case, has no full stop, and names no rule of the grammar.
fn speaks_to_users(diagnostic: &Diagnostic) {
    let message = &diagnostic.message;
    assert!(!message.ends_with('.') && !message.is_empty(), "{message}");
    assert!(!message.starts_with(|c: char| c.is_uppercase()), "{message}");
    for inner in [
        "kw_",
        "_clause",
        "type_expr",
        "bare_word",
        "one_",
        "EOI",
        "name_char",
        "infix",
        "postfix",
        "primary",
    ] {
        let texts = [Some(message), diagnostic.help.as_ref()];
        let labels = diagnostic.labels.iter().map(|l| Some(&l.text));
        for text in texts.into_iter().chain(labels).flatten() {
            assert!(!text.contains(inner), "{text}");
        }
    }
}

/// The help of the only mistake of a text.
fn help(text: &str) -> String {
    let parsed = read(text);
    let [diagnostic] = parsed.diagnostics.as_slice() else { panic!("{text}: {:?}", parsed.diagnostics) };
    format!("{}: {}", diagnostic.message, diagnostic.help.clone().unwrap())
}

#[test]
fn something_missing() {
    each(&[
        ("let a = ", &["E0001 ="]),
        ("let a", &["E0001 a"]),
        ("let", &["E0001 let"]),
        ("let = 5", &["E0001 ="]),
        ("let a = tcp and\nlet b = 1", &["E0001 and"]),
        ("rule r { match }", &["E0001 match"]),
        ("rule r { match tcp.port == snaplen full }", &["E0001 =="]),
        ("rule r { match a and and b }", &["E0001 and"]),
        ("rule r { match a in snaplen full }", &["E0001 in"]),
        ("rule r { snaplen to ids }", &["E0001 snaplen"]),
        ("rule r { snaplen full when to ids }", &["E0001 when"]),
        ("rule r { to }", &["E0001 to"]),
        ("rule r { to ids, }", &["E0001 ,"]),
        ("rule { match a }", &["E0001 rule"]),
        ("rule r", &["E0001 r"]),
        ("trigger t by { when a }", &["E0001 by"]),
        ("trigger t { hold when a }", &["E0001 hold"]),
        ("param p : uint", &["E0001 uint"]),
        ("param p : uint = 5 in 5", &["E0001 5"]),
        ("param p : uint = 5 in 0..", &["E0001 .."]),
        ("table t : set<ip", &["E0001 ip"]),
        ("table t : map<ip, uint> = { 1.2.3.4 -> }", &["E0001 }"]),
        ("table t : set<ip> from", &["E0001 from"]),
        ("include", &["E0001 include"]),
        ("let a = f(x, )", &["E0001 )"]),
        ("let a = ()", &["E0001 )"]),
    ]);
}

#[test]
fn something_that_does_not_fit() {
    each(&[
        ("let a == 5", &["E0001 =="]),
        ("let a : uint = 5", &["E0001 :"]),
        ("let a = 5 5", &["E0001 5"]),
        ("let a = b c", &["E0001 c"]),
        ("let a = b @ c", &["E0008 @"]),
        ("let a = b => c", &["E0001 =>"]),
        ("let a = b =< c", &["E0001 =<"]),
        ("let a = b <> c", &["E0001 <>"]),
        ("let a = tcp, udp", &["E0001 ,"]),
        ("param p = 5", &["E0001 ="]),
        ("table t = { 1 }", &["E0001 ="]),
        ("table t : map<ip, uint> = { ::1: 5 }", &["E0025 ::1:", "E0014 5"]),
        ("table t : map<string, uint> = { \"a\": 5 }", &["E0001 :"]),
        ("table t : set<uint> = { 1..5 }", &["E0001 .."]),
        ("station s vxlan", &["E0001 vxlan"]),
        ("rule r = { match a }", &["E0001 ="]),
        ("rule \"r\" { match a }", &["E0001 \"r\""]),
        ("include common.mrule", &["E0001 common.mrule"]),
        ("trigger t by a, b { when c }", &["E0001 ,"]),
        ("rule r { match a containz \"x\" }", &["E0001 containz"]),
        ("rule r { snaplen payload 64 }", &["E0001 64"]),
        ("rule r { snaplen bytes 64 }", &["E0001 64"]),
        ("rule r { snaplen 0..64 }", &["E0001 .."]),
        ("rule r { snaplen headers 32 }", &["E0001 32"]),
        ("rule r { snaplen stream 5 when x }", &["E0001 when"]),
    ]);
}

#[test]
fn words() {
    each(&[
        ("rul web { match a }", &["E0009 rul"]),
        ("tcp.port == 80", &["E0009 tcp.port"]),
        ("match tcp", &["E0009 match"]),
        ("RULE web { match a }", &["E0013 RULE"]),
        ("rule r { mach a }", &["E0010 mach"]),
        ("rule r { match a snapln full to s }", &["E0010 snapln"]),
        ("rule r { hold 5m }", &["E0010 hold"]),
        ("rule r { when a }", &["E0010 when"]),
        ("trigger t { match a }", &["E0010 match"]),
        ("trigger t { hld 5m }", &["E0010 hld"]),
        ("rule r { MATCH a }", &["E0013 MATCH"]),
        ("rule r { match a TO s }", &["E0013 TO"]),
        ("rule r { snaplen full WHEN a }", &["E0013 WHEN"]),
        ("let a = b AND c Or NOT d", &["E0013 AND", "E0013 Or", "E0013 NOT"]),
        ("let a = b EQ c", &["E0013 EQ"]),
        ("let a = TRUE", &["E0013 TRUE"]),
        ("let match = 5", &["E0011 match"]),
        ("rule limit { match a }", &["E0011 limit"]),
        ("let and = 5", &["E0011 and"]),
        ("table flow : set<ip>", &["E0011 flow"]),
        ("rule r { to rule }", &["E0011 rule"]),
        ("rule WebServers { match a }", &["E0012 WebServers"]),
        ("rule web-servers { match a }", &["E0012 web-servers"]),
        ("let a.b = 5", &["E0012 a.b"]),
        ("let 5a = 5", &["E0012 5a"]),
        ("rule r { to my-ids }", &["E0012 my-ids"]),
        ("let a = Tcp.Port == 80", &["E0012 Tcp.Port"]),
    ]);
    assert_eq!(help("rul web { match a }"), "`rul` starts no item: did you mean `rule`?");
    assert_eq!(help("rule r { mach a }"), "`mach` is no clause of a rule or limit: did you mean `match`?");
    assert_eq!(help("rule SynFlood { match a }"), "`SynFlood` is not snake_case: write `syn_flood`");
}

#[test]
fn brackets() {
    each(&[
        ("rule r { match a", &["E0004 {"]),
        ("rule r { match (a to s }", &["E0004 ("]),
        ("rule r { match a in {80, 443 snaplen full to s }", &["E0004 {"]),
        ("rule r { match t[a snaplen full }", &["E0004 ["]),
        ("rule r { match ((((a }", &["E0004 ("]),
        ("let a = {80, 443\nlet b = 5", &["E0004 {"]),
        ("station s { vxlan 192.0.2.1\nrule r { match a }", &["E0004 {"]),
        ("rule r { match a) }", &["E0005 )"]),
        ("rule r { match a } }", &["E0005 }"]),
        ("}", &["E0005 }"]),
        ("let a = b]", &["E0005 ]"]),
        ("rule r match a }", &["E0005 }"]),
        ("rule r { match (a] ) }", &["E0005 ]"]),
    ]);
}

#[test]
fn separators_and_sets() {
    each(&[
        ("let a = {80 443}", &["E0014 443"]),
        ("let a = {80,}", &["E0014 ,"]),
        ("let a = {,80}", &["E0014 ,"]),
        ("let a = {80,,443}", &["E0014 ,"]),
        ("let a = {80;443}", &["E0014 ;"]),
        ("let a = {}", &["E0015 {}"]),
        ("let a = {80-90}", &["E0016 80-90"]),
        ("let a = {80 - 90, 5}", &["E0016 80 - 90"]),
        ("rule r { to a b }", &["E0014 b"]),
        ("rule r { match a; }", &["E0014 ;"]),
        ("rule r { to s; }", &["E0014 ;"]),
        ("let a = 5;", &["E0014 ;"]),
        ("table t : map<ip, uint> = { ::1 -> 1 ::2 -> 2 }", &["E0014 ::2 -> 2"]),
        ("station s { vxlan 192.0.2.1, vni 5 }", &["E0014 ,"]),
        ("let a = t[b, c]", &["E0014 [b, c]"]),
    ]);
    // A set without any commas has one mistake.
    assert!(help("let a = {80 443 8080}").starts_with("a comma is missing"));
}

#[test]
fn operators() {
    each(&[
        ("let a = b = c", &["E0017 ="]),
        ("let a = 1 < b < 3", &["E0018 <"]),
        ("let a = b == c == d == e", &["E0018 ==", "E0018 =="]),
        ("let a = b in c contains d", &["E0018 contains"]),
        ("let a = tcp xor udp", &["E0020 xor"]),
        ("let a = tcp ^^ udp", &["E0020 ^^"]),
        ("let a = b ^ 5", &["E0020 ^"]),
        ("let a = b ~ \"x\"", &["E0020 ~"]),
        ("let a = ~b", &["E0020 ~"]),
        ("let a = any b == 5", &["E0020 any"]),
        ("let a = all(b) == 5", &["E0020 all"]),
        ("rule r { match any tcp.port == 80 snaplen full }", &["E0020 any"]),
        ("rule r { match any snapln full }", &["E0010 snapln"]),
        ("let a = b == -1", &["E0020 -"]),
        ("let a = +1", &["E0020 +"]),
        ("let a = b == not c", &["E0020 not"]),
        ("let a = b + !c", &["E0020 !"]),
    ]);
}

#[test]
fn layers() {
    each(&[
        ("let a = ip.src#1 == 192.0.2.1", &["E0019 #1"]),
        ("let a = ip.src#12", &["E0019 #12"]),
        ("let a = ip.src#-1 == b", &["E0019 #-1"]),
        ("let a = ip.src#[1-2] == b", &["E0019 #[1-2]"]),
        ("rule r { match a#1 to s } # 1", &["E0019 #1"]),
        // These are comments.
        ("let a = ip.src #1", &[]),
        ("let a = ip.src#x", &[]),
        ("let a = 5#1", &[]),
        ("let a = (b)#1", &[]),
        ("let a = ip.src#[1", &[]),
    ]);
    assert!(help("let a = ip.src#1").contains("`ip.src` for the outermost packet, or `inner.ip.src`"));
}

#[test]
fn numbers() {
    each(&[
        ("let a = 010", &["E0021 010"]),
        ("let a = 00", &["E0021 00"]),
        ("let a = 1.5", &["E0021 1.5"]),
        ("let a = 1.5KiB", &["E0021 1.5KiB"]),
        ("let a = 0b101", &["E0021 0b101"]),
        ("let a = 1_000", &["E0021 1_000"]),
        ("let a = 0x", &["E0021 0x"]),
        ("let a = 0xfg", &["E0021 0xfg"]),
        ("let a = 18446744073709551616", &["E0022 18446744073709551616"]),
        ("let a = 0x10000000000000000", &["E0022 0x10000000000000000"]),
        ("let a = 18446744073709552kB", &["E0022 18446744073709552kB"]),
        ("let a = 8kib", &["E0023 kib"]),
        ("let a = 5min", &["E0023 min"]),
        ("let a = 5 KiB", &["E0023 KiB"]),
    ]);
    assert!(help("let a = 8kib").ends_with("did you mean `KiB`?"));
}

#[test]
fn addresses_and_bytes() {
    each(&[
        ("let a = 300.1.1.1", &["E0024 300"]),
        ("let a = 1.2.3.256", &["E0024 256"]),
        ("let a = 1.2.3", &["E0024 1.2.3"]),
        ("let a = 1.2.3.4.5", &["E0024 1.2.3.4.5"]),
        ("let a = 1.2.3.04", &["E0024 04"]),
        ("let a = 1.2.3.x", &["E0024 x"]),
        ("let a = 1.2.3/24", &["E0024 1.2.3"]),
        ("let a = 10.0.0.0/33", &["E0026 33"]),
        ("let a = 10.0.0.0/08", &["E0026 08"]),
        ("let a = 10.0.0.0/x", &["E0026 x"]),
        ("let a = 10.0.0.0/255.0.0.0", &["E0026 255.0.0.0"]),
        ("let a = 10.0.0.0/255.0.255.0", &["E0026 255.0.255.0"]),
        ("let a = 2001:db8::/129", &["E0026 129"]),
        ("let a = 2001::db8::1", &["E0025 2001::db8::1"]),
        ("let a = 12345::1", &["E0025 12345::1"]),
        ("let a = 1:2:3", &["E0025 1:2:3"]),
        ("let a = 0a:", &["E0025 0a:"]),
        ("let a = 0a", &["E0025 0a"]),
        ("let a = 4745542f", &["E0025 4745542f"]),
        ("let a = 00-11-22-33-44-55", &["E0025 00-11-22-33-44-55"]),
        ("let a = aa-bb-cc", &["E0025 aa-bb-cc"]),
        ("let a = 0011.2233.4455", &["E0025 0011.2233.4455"]),
    ]);
    assert!(help("let a = 10.0.0.0/255.0.0.0").ends_with("write `/8`"));
    assert!(help("let a = 300.1.1.1").starts_with("`300` in an IPv4 address is larger than 255"));
}

#[test]
fn strings_and_characters() {
    each(&[
        ("let a = \"b", &["E0006 \"b"]),
        ("let a = \"b\nlet c = 5", &["E0006 \"b"]),
        ("let a = \"b\\\"\nlet c = 5", &["E0006 \"b\\\""]),
        ("let a = r\"b\\\"\n", &["E0006 r\"b\\\""]),
        ("rule r { match \"abc }", &["E0006 \"abc }"]),
        ("rule r { match \"abc", &["E0004 {", "E0006 \"abc"]),
        ("let a = 'GET'", &["E0007 'GET'"]),
        ("let a = \u{201c}GET\u{201d}", &["E0007 \u{201c}GET\u{201d}"]),
        ("let a = 'b", &["E0008 '"]),
        ("let gr\u{f6}sse = 5", &["E0008 \u{f6}"]),
        ("let a =\u{a0}5", &["E0008 \u{a0}"]),
        ("let a = 5\0", &["E0008 \0"]),
        ("let a = 5\0\0\x01\x02", &["E0008 \0"]),
        ("let a = \"\x01\"", &["E0008 \x01"]),
        ("let a = 5 # \x07", &["E0008 \x07"]),
        ("let a = \"\\d\"", &["E0027 \\d"]),
        ("let a = \"\\x4\"", &["E0027 \\x"]),
        ("let a = \"\\012\"", &["E0027 \\0"]),
        ("let a = \"\\1 \\q\"", &["E0027 \\1", "E0027 \\q"]),
        ("let a = b matches \"\\bx\"", &["E0027 \\b"]),
        ("let a = b matches \"\\1\"", &["E0027 \\1"]),
        ("let a = b matches \"\\xg\"", &["E0027 \\x"]),
    ]);
}

#[test]
fn slices_types_and_stations() {
    each(&[
        ("let a = b[0,4]", &["E0028 [0,4]"]),
        ("let a = b[0:-1]", &["E0028 [0:-1]"]),
        ("let a = b[9999999999999999999]", &["E0028 [9999999999999999999]"]),
        ("let a = b[]", &["E0028 ]"]),
        ("let a = b[:]", &["E0028 :"]),
        ("table t : set<ip, ip>", &["E0029 set<ip, ip>"]),
        ("table t : map<ip>", &["E0029 map<ip>"]),
        ("table t : list<ip>", &["E0029 list<ip>"]),
        ("table t : set<set<ip>>", &["E0029 <"]),
        ("station s { pcapng a/b.pcapng }", &["E0030 a/b.pcapng"]),
        ("station s { interface eth0:1 }", &["E0030 eth0:1"]),
        ("station s { pcapng %Y }", &["E0030 %Y"]),
        ("station s { vxlan 192.0.2.300 }", &["E0024 300"]),
    ]);
}

#[test]
fn nesting() {
    let deep = format!("let a = {}b{}", "(".repeat(100), ")".repeat(100));
    each(&[(&deep, &["E0003 ("])]);
    let nots = format!("let a = {}b", "not ".repeat(65));
    assert_eq!(read(&nots).diagnostics.len(), 1);
    assert_eq!(read(&nots).diagnostics[0].code.id(), "E0003");
    assert_eq!(read(&format!("let a = {}b", "not ".repeat(64))).diagnostics, []);
    let sum = |n: usize| format!("let a = 1{}", " + 1".repeat(n));
    assert_eq!(read(&sum(64)).diagnostics, []);
    assert_eq!(read(&sum(65)).diagnostics[0].code.id(), "E0003");
    let indices = format!("let a = b{}", "[c]".repeat(65));
    assert_eq!(read(&indices).diagnostics[0].code.id(), "E0003");
}

#[test]
fn a_file_that_is_too_large() {
    let text = " ".repeat(mrule_grammar::MAX_FILE + 1);
    let parsed = read(&text);
    assert_eq!(mistakes(&text, &parsed.diagnostics), ["E0002 "]);
    assert_eq!(read(&text[1..]).diagnostics, []);
}

#[test]
fn too_many_errors() {
    let text = "let a = 010\n".repeat(5000);
    let diagnostics = read(&text).diagnostics;
    assert_eq!(diagnostics.len(), mrule_grammar::MAX_ERRORS);
    assert_eq!(diagnostics.last().unwrap().code.id(), "E0031");
    assert_eq!(diagnostics[998].code.id(), "E0021");
}
