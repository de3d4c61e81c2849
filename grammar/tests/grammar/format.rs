//! Canonical text: its layout, that it means the same as the original, that it keeps comments, and
//! that it is its own canonical form.

use crate::common::{TOUR, dump, good, mistakes, read};
use mrule_grammar::format;
use proptest::prelude::*;

/// Formats a text without mistakes and checks the properties that hold for all of them.
pub fn formatted(text: &str) -> String {
    let before = good(text);
    let result = format(text).unwrap();
    let parsed = read(&result);
    assert_eq!(mistakes(&result, &parsed.diagnostics), Vec::<String>::new(), "{text}\n became\n{result}");
    assert_eq!(dump(&parsed.file), dump(&before), "{text}\n became\n{result}");
    let comments = |text: &str, file: &mrule_grammar::ast::File| -> Vec<String> {
        file.comments.iter().map(|c| text[c.range()].trim_end().to_string()).collect()
    };
    assert_eq!(comments(&result, &parsed.file), comments(text, &before), "{text}\n became\n{result}");
    assert_eq!(format(&result).unwrap(), result, "a second time, after\n{text}");
    assert!(result.lines().all(|l| l == l.trim_end()), "blanks at the end of a line:\n{result}");
    assert!(result.is_empty() || (result.ends_with('\n') && !result.ends_with("\n\n")), "{result:?}");
    assert!(!result.contains("\n\n\n") && !result.starts_with('\n'), "{result}");
    result
}

/// The text is its own canonical form.
pub fn is_canonical(text: &str) {
    assert_eq!(formatted(text), text);
}

#[test]
fn the_tour() {
    let expected = r#"let web_ports = {80, 443, 8000..8080}  # a named constant or predicate

param head : size = 8KiB in 0..64KiB  # changed through the API while it runs, within its bounds

table web_servers   : set<cidr>     = {10.0.0.0/24, 2001:db8::/48}
table authenticated : set<ip>  # empty here; filled through the API
table forbidden     : set<(ip, ip)> from "forbidden.csv"
table users         : map<ip, string>

station ids  { vxlan 192.0.2.10 vni 77 }  # where copies go
station lake { pcapng "captures/lake.pcapng" rotate 1GiB keep 10 }

trigger syn_flood by net.src {  # a keyed switch with memory
    when   count(tcp.flags.syn == 1 and tcp.flags.ack == 0) per 5m > 200
    unless net.src in known_scanners  # the filter after the trigger
    hold   10m
}
trigger evil_cookie by flow    { when stream contains "session=evil"  hold flow }
trigger attack      by net.dst { external  hold 1h }  # raised and cleared through the API

rule rest { match any  snaplen headers + 32  to ids }
rule web {
    match   tcp.port in web_ports and net.addr in web_servers
    snaplen stream 0..head  when app == http
    snaplen full            when syn_flood or evil_cookie or attack[net.addr]
    to      ids
}
rule strangers { match (net.src, net.dst) in forbidden  snaplen full  to ids, lake }

limit quiet   { match net.src in authenticated                   snaplen none }
limit privacy { match tcp.port == 8443 and not attack[net.addr]  snaplen headers  to ids }
"#;
    assert_eq!(formatted(TOUR), expected);
}

#[test]
fn operators_have_one_spelling() {
    let text = "let a=b&&c||!d and e eq 1 or f ne 2 or g any_eq 3 or h bitand 4==5 or i  all_ne 6";
    let result = "let a = b and c or not d and e == 1 or f != 2 or g == 3 or h & 4 == 5 or i != 6\n";
    assert_eq!(formatted(text), result);
    let (text, result) = ("let a=b not  in{1}and not c in{2}", "let a = b not in {1} and not c in {2}\n");
    assert_eq!(formatted(text), result);
}

#[test]
fn literals_stay_as_written() {
    is_canonical(
        "let a = {0x1F, 8KiB, 100ms, 2001:DB8::1, 10.0.0.0/8, 47:45:54, AA:bb:cc:dd:ee:ff, \"\\x41\\n\", r\"\\d\", True}\n",
    );
    is_canonical(
        "let a = x[0x10:4] == y[-2:2] and z[1-3] == 1 and w[4:] contains \"a\" and t[(b, c)] else 5 > 4\n",
    );
    is_canonical("station s { interface br-lan mtu 9KiB to eth0.100 pcapng \"x-%Y\" }\n");
}

#[test]
fn broken_lines_stay_broken() {
    is_canonical(
        "let a = b == 1
    and c == 2
    or d in {
        1, 2, 3,
        4
    }
    or (e
        and f)
table t : set<ip> = {
    192.0.2.1, 192.0.2.2,

    192.0.2.3,
}
rule r {
    match   a
            and b in {
                1,
                2
            }
    snaplen full when x
                 or y
    to      s
}
"
        .replace(
            "    snaplen full when x
                 or y
",
            "    snaplen full  when x
            or y
",
        )
        .as_str(),
    );
}

#[test]
fn comments_stay_where_they_are() {
    is_canonical(
        "# The head of the file.

# Of a.
let a = {  # after the brace
    # on its own
    80,  # http
    443  # https
    # at the end
}  # after a

rule r {  # after the brace
    # on its own
    match   tcp  # trailing
            and udp  # in a condition
            # on its own in a condition
            or icmp

    # before to
    to      s,  # the first
            t
    # at the end
}

# At the end of the file.
",
    );
}

#[test]
fn comments_in_odd_places() {
    for text in [
        "let # a\n b # c\n = # d\n 5 # e",
        "param # a\n b # c\n : # d\n size # e\n = # f\n 5 # g\n in # h\n 0 # i\n .. # j\n 9 # k",
        "table # a\n b # c {\n : # d\n map # e\n < # f\n ( # g\n ip # h\n , # i\n ip # j\n ) # k\n , # l\n ip # m\n > # n\n = # o\n { # p\n } # q",
        "table b : map<ip, ip> = { # a\n ::1 # b\n -> # c\n ::2 # d\n , # e\n ::3 -> ::4 # f\n , # g\n }",
        "table b : set<ip> # a\n from # b\n \"c\" # d",
        "include # a\n \"b\" # c",
        "station # a\n b # c\n { # d\n x # e\n \"y\" # f\n } # g",
        "station b { # a\n }",
        "rule # a\n b # {\n { # c\n match # d\n e # f\n snaplen # g\n headers # h\n + # i\n 5 # j\n when # k\n l # m\n to # n\n o # p\n , # q\n r # s\n } # t",
        "rule b { snaplen 50 # a\n % # b\n snaplen payload # c\n .. # d\n 5 # e\n snaplen bytes # f\n 1 # g\n .. # h\n 2 }",
        "trigger # a\n b # c\n by # {\n d # e\n { # f\n when # g\n h # i\n external # j\n hold # k\n 5m # l\n keys # m\n 5 # n\n }",
        "rule r { # only a comment\n }",
        "let a = f # a\n [ # b\n 1 # c\n : # d\n 0x2 # e\n ]",
        "let a = f # a\n ( # b\n c # d\n , # e\n g # f\n ) # h\n [0:4] # i\n [ # j\n k # l\n ]",
        "let a = not # a\n ! # b\n ( # c\n d # e\n ) # f\n and # g\n h # i\n == # j\n 5 # k\n or # l\n m # n\n in # o\n { # p\n 1 # q\n .. # r\n 2 # s\n , # t\n 3 # u\n }",
        "let a = count(b) # a\n per # b\n 5m # c\n > # d\n t[e] # f\n else # g\n 5 # h\n and stream # i\n contains # j\n \"x\" # k\n within # l\n 5",
        "\u{feff}# a\r\nlet a = 5 # b\r\n\r\n\r\n# c",
        "#",
        "#a\n#b\n\n\n#c",
        "let a = 1 let b = 2 # c\n let c = 3",
    ] {
        formatted(text);
    }
}

#[test]
fn columns() {
    is_canonical(
        "param a     : size        = 1
param a_bc  : duration    = 1s in 0s..5s
param a_bcd : uint        = 5

param x : size = 1
# Between.
param long : size = 1
let a   = 5
let b_c = {
    1
}
let a_long_name = 5
"
        .replace("size        =", "size     =")
        .replace("duration    =", "duration =")
        .replace("uint        =", "uint     =")
        .as_str(),
    );
}

#[test]
fn one_line_stays_one_line_if_it_fits() {
    is_canonical("rule r { match a  to b }\nrule s {}\ntrigger t {}\nstation u {}\nlet v = f()\n");
    let long = format!("rule r {{ match {}  to b }}\n", ["a == 1"; 12].join(" and "));
    assert_eq!(formatted(&long).lines().count(), 4);
    assert_eq!(formatted("rule r { match a\nto b }"), "rule r {\n    match   a\n    to      b\n}\n");
    assert_eq!(formatted("rule r {\n}"), "rule r {\n}\n");
}

#[test]
fn a_text_with_mistakes_is_left_alone() {
    let mistakes = format("let a = {80 443}\nlet b = 010").unwrap_err();
    assert_eq!(mistakes.len(), 2);
}

#[test]
fn blank_texts() {
    assert_eq!(formatted(""), "");
    assert_eq!(formatted(" \n\n\t\r\n"), "");
    assert_eq!(formatted("\n\n# a\n\n\n\n# b\n\n"), "# a\n\n# b\n");
}

// ---- random programs ----------------------------------------------------------------------------

/// Tokens of a program. Any blanks and comments may stand between them.
pub type Tokens = Vec<&'static str>;

fn one_of(list: &[&'static str]) -> impl Strategy<Value = Tokens> + use<> {
    prop::sample::select(list.to_vec()).prop_map(|t| vec![t])
}

fn join(parts: Vec<Tokens>, separator: &'static str) -> Tokens {
    let mut tokens = Vec::new();
    for (n, part) in parts.into_iter().enumerate() {
        if n > 0 {
            tokens.extend(separator.split_whitespace());
        }
        tokens.extend(part);
    }
    tokens
}

fn wrapped(open: &'static str, inner: Tokens, close: &'static str) -> Tokens {
    join(vec![vec![open], inner, vec![close]], "")
}

fn leaf() -> impl Strategy<Value = Tokens> {
    one_of(&[
        "80",
        "0x1F",
        "8KiB",
        "5m",
        "192.0.2.1",
        "10.0.0.0/8",
        "::1",
        "2001:db8::/32",
        "47:45:54",
        "\"a # b\"",
        "\"\\\"{\"",
        "r\"\\d\"",
        "true",
        "False",
        "tcp.port",
        "inner.ip.src",
        "web_ports",
        "head",
        "any",
        "keys",
        "x[0:4]",
        "y[-1]",
        "z[1-3]",
    ])
}

fn value() -> impl Strategy<Value = Tokens> {
    leaf().prop_recursive(2, 8, 3, |inner| {
        let op = prop::sample::select(vec!["+", "-", "*", "/", "%", "&", "|", "bitand", "per", "else"]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 2..4), op).prop_map(|(parts, op)| join(parts, op)),
            inner.clone().prop_map(|t| wrapped("(", t, ")")),
            prop::collection::vec(inner.clone(), 2..3).prop_map(|parts| wrapped("(", join(parts, ","), ")")),
            prop::collection::vec(inner, 0..3).prop_map(|parts| [
                vec!["f"],
                wrapped("(", join(parts, ","), ")")
            ]
            .concat()),
        ]
    })
}

fn set() -> impl Strategy<Value = Tokens> {
    let element = prop_oneof![leaf(), (leaf(), leaf()).prop_map(|(a, b)| join(vec![a, b], ".."))];
    prop::collection::vec(element, 1..5).prop_map(|parts| wrapped("{", join(parts, ","), "}"))
}

fn condition() -> impl Strategy<Value = Tokens> {
    let comparisons = ["==", "!=", "===", "!==", "<", "<=", ">", ">=", "eq", "ne", "contains", "in"];
    let op = prop::sample::select(comparisons.to_vec());
    let comparison = prop_oneof![
        leaf(),
        (value(), op, value()).prop_map(|(a, op, b)| join(vec![a, b], op)),
        (value(), set()).prop_map(|(a, b)| join(vec![a, b], "in")),
        (value(), set()).prop_map(|(a, b)| [a, vec!["not", "in"], b].concat()),
        leaf().prop_map(|a| join(vec![vec!["stream"], vec!["\"x\""], a], "matches")
            .into_iter()
            .take(3)
            .collect()),
        value().prop_map(|a| [vec!["stream", "contains", "\"x\"", "within"], a].concat()),
    ];
    comparison.prop_recursive(4, 24, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            (many, prop::sample::select(vec!["and", "or", "&&", "||"]))
                .prop_map(|(parts, op)| join(parts, op)),
            (inner.clone(), prop::sample::select(vec!["not", "!"]))
                .prop_map(|(t, not)| [vec![not], t].concat()),
            inner.clone().prop_map(|t| wrapped("(", t, ")")),
            (inner.clone(), leaf())
                .prop_map(|(t, key)| join(vec![t, [vec!["t"], wrapped("[", key, "]")].concat()], "and")),
        ]
    })
}

fn length() -> impl Strategy<Value = Tokens> {
    prop_oneof![
        one_of(&["none", "full", "headers", "1500", "head"]),
        one_of(&["50", "share"]).prop_map(|t| [t, vec!["%"]].concat()),
        value().prop_map(|v| [vec!["headers", "+"], v].concat()),
        value().prop_map(|v| [vec!["payload", ".."], v].concat()),
        (value(), value()).prop_map(|(a, b)| [vec!["bytes"], a, vec![".."], b].concat()),
        (value(), value()).prop_map(|(a, b)| [vec!["stream"], a, vec![".."], b].concat()),
    ]
}

fn clause() -> impl Strategy<Value = Tokens> {
    prop_oneof![
        condition().prop_map(|c| [vec!["match"], c].concat()),
        length().prop_map(|l| [vec!["snaplen"], l].concat()),
        (length(), condition()).prop_map(|(l, c)| [vec!["snaplen"], l, vec!["when"], c].concat()),
        prop::collection::vec(one_of(&["ids", "lake", "full"]), 1..3).prop_map(|n| [
            vec!["to"],
            join(n, ",")
        ]
        .concat()),
    ]
}

fn trigger_clause() -> impl Strategy<Value = Tokens> {
    prop_oneof![
        condition().prop_map(|c| [vec!["when"], c].concat()),
        condition().prop_map(|c| [vec!["unless"], c].concat()),
        value().prop_map(|v| [vec!["hold"], v].concat()),
        value().prop_map(|v| [vec!["keys"], v].concat()),
        Just(vec!["external"]),
    ]
}

pub fn item() -> impl Strategy<Value = Tokens> {
    let name = || prop::sample::select(vec!["a", "b_1", "a_rather_long_name", "external"]);
    let types: Vec<Tokens> = vec![
        vec!["uint"],
        vec!["set", "<", "cidr", ">"],
        vec!["map", "<", "(", "ip", ",", "ip", ")", ",", "string", ">"],
    ];
    let ty = || prop::sample::select(types.clone());
    let row = prop_oneof![value(), (value(), value()).prop_map(|(k, v)| join(vec![k, v], "->"))];
    let rows = (prop::collection::vec(row, 0..5), any::<bool>()).prop_map(|(rows, trail)| {
        let comma = if trail && !rows.is_empty() { vec![","] } else { vec![] };
        wrapped("{", [join(rows, ","), comma].concat(), "}")
    });
    let word =
        one_of(&["vxlan", "192.0.2.1", "vni", "77", "br-lan", "eth0.100", "\"x-%Y\"", "1GiB", "to", "rule"]);
    let words = prop::collection::vec(word, 0..5).prop_map(|w| wrapped("{", w.concat(), "}"));
    let clauses = || prop::collection::vec(clause(), 0..5).prop_map(|c| wrapped("{", c.concat(), "}"));
    let triggers = prop::collection::vec(trigger_clause(), 0..4).prop_map(|c| wrapped("{", c.concat(), "}"));
    let key = prop_oneof![Just(vec![]), value().prop_map(|v| [vec!["by"], v].concat())];
    prop_oneof![
        Just(vec!["include", "\"a.mrule\""]),
        (name(), condition()).prop_map(|(n, c)| [vec!["let", n, "="], c].concat()),
        (name(), set()).prop_map(|(n, c)| [vec!["let", n, "="], c].concat()),
        (name(), ty(), value()).prop_map(|(n, t, v)| [vec!["param", n, ":"], t, vec!["="], v].concat()),
        (name(), value(), value(), value()).prop_map(|(n, v, a, b)| [
            vec!["param", n, ":", "size", "="],
            v,
            vec!["in"],
            a,
            vec![".."],
            b
        ]
        .concat()),
        (name(), ty()).prop_map(|(n, t)| [vec!["table", n, ":"], t].concat()),
        (name(), ty()).prop_map(|(n, t)| [vec!["table", n, ":"], t, vec!["from", "\"a.csv\""]].concat()),
        (name(), ty(), rows).prop_map(|(n, t, r)| [vec!["table", n, ":"], t, vec!["="], r].concat()),
        (name(), words).prop_map(|(n, w)| [vec!["station", n], w].concat()),
        (name(), clauses()).prop_map(|(n, c)| [vec!["rule", n], c].concat()),
        (name(), clauses()).prop_map(|(n, c)| [vec!["limit", n], c].concat()),
        (name(), key, triggers).prop_map(|(n, k, c)| [vec!["trigger", n], k, c].concat()),
    ]
}

/// A program with any blanks and comments between its tokens; `often` of 100 gaps are more than one
/// blank.
fn program() -> impl Strategy<Value = String> {
    let items = prop::collection::vec(item(), 0..6);
    let gaps = prop::collection::vec(
        prop::sample::select(vec![
            "\n",
            "\n",
            "\n\n",
            "\n\n\n\n",
            "  ",
            " # c\n",
            "\n# { d\n",
            "\r\n",
            "\n\n  # e\n\n",
            " #\n",
        ]),
        1..40,
    );
    (items, gaps, 0usize..100, any::<u64>()).prop_map(|(items, gaps, often, seed)| {
        let mut text = String::new();
        let mut state = seed;
        for token in items.concat() {
            text.push_str(token);
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let roll = (state >> 33) as usize;
            text.push_str(if roll % 100 < often { gaps[roll / 100 % gaps.len()] } else { " " });
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program(text in program()) {
        formatted(&text);
    }
}
