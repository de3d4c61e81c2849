//! Runs of items: which columns the items share, and which they do not. The invariant: a run of
//! random items is its own canonical form, and each of its lines is at most as wide as the printer
//! allows. (Rejected: these cases in `format`; its file is long.)

use crate::format::{formatted, is_canonical, item};
use proptest::prelude::*;

#[test]
fn rules_of_a_run_share_columns() {
    is_canonical(
        r#"rule record { match any                    snaplen headers        to ids }
rule web    { match tcp.port in web_ports  snaplen payload ..256  to ids, lake }
limit quiet    { match net.addr in hosts  snaplen none }
limit requests { match tcp.port == 80     snaplen headers + 64  to ids }
limit rest     { match any                snaplen full }
"#,
    );
}

#[test]
fn only_clauses_in_one_place_share_a_column() {
    is_canonical(
        r#"rule a      { match udp  snaplen 128           to s }
rule longer { match tcp  snaplen headers + 16  snaplen full when tcp.flags.syn == 1  to s }
rule b      { match any or tcp }

rule c  { snaplen full  match any  to s }
rule de { match tcp.port == 80  snaplen full  to s }

rule f  {}
rule gh { match any  snaplen full }
"#,
    );
}

#[test]
fn triggers_and_stations_of_a_run_share_columns() {
    is_canonical(
        r#"trigger keep    by flow               { external  hold flow }
trigger wanted                        { external  hold 10m }
trigger talkers by (net.src, net.dst) { external  unless tcp  hold 1h }

trigger scan by net.src { when distinct(net.dst) per 1m > 100             hold 1h }
trigger busy by flow    { when sum(frame.len) per 1s > rate and not scan  hold 30s  keys 1000 }

station ids  { vxlan 192.0.2.10 vni 77 }
station lake { pcapng "captures/lake.pcapng" rotate 1GiB keep 10 }
"#,
    );
}

#[test]
fn comments_at_the_ends_of_lines_share_a_column() {
    is_canonical(
        r#"param fast : uint = 50 in 2..10000  # in a minute
param slow : uint = 20 in 2..1000   # in a day

station ids  { vxlan 192.0.2.10 vni 77 }  # a line without a comment takes no part
station lake { pcapng "captures/lake.pcapng" rotate 1GiB keep 10 }
station nas  { gre 192.0.2.11 key 9 }     # größe
rule a { match "größe"  snaplen full     to ids }  # one
rule b { match "g"      snaplen headers  to ids }  # two

include "a.mrule"         # one
include "b_longer.mrule"  # two

let a = 1  # the brace below is another line
let b = {
    1,  # its own comment
    10  # another
}  # after it
"#,
    );
}

#[test]
fn what_ends_a_run() {
    is_canonical(
        r#"rule a { match any  to s }

rule after_a_blank_line { match any or tcp  to s }
# A comment.
rule b { match any  to s }
limit another_kind { match any  to s }
rule c { match any  to s }
rule of_many_lines {
    match   any or tcp
    to      s
}
rule d { match any  to s }
"#,
    );
}

#[test]
fn a_run_whose_lines_would_be_too_long_aligns_its_names_only() {
    // With aligned clauses, the second rule has 110 columns; with the longer length it would have
    // 111.
    let long = ["a == 1"; 6].join(" and ");
    let blanks = " ".repeat(long.len() - "any".len());
    for (length, gap) in [("bytes 1..234567", blanks.as_str()), ("bytes 1..2345678", "")] {
        let a = format!("rule ab {{ match {long}  to s }}");
        let b = format!("rule c  {{ match any{gap}  snaplen {length}  to s }}");
        is_canonical(&format!("{a}\n{b}\n"));
    }
    // If the names had one width, the second line would be too long.
    let text = "x".repeat(110 - "rule c { match \"\"  to s }".len());
    is_canonical(&format!("rule ab {{ to s }}\nrule c {{ match \"{text}\"  to s }}\n"));
}

#[test]
fn the_width_of_a_run_is_counted_in_letters() {
    is_canonical("rule a { match \"äöü\"  to s }\nrule b { match \"aou\"  to s }\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run(mut items in prop::collection::vec(item(), 0..10), gaps in prop::collection::vec(0..8usize, 10)) {
        items.sort_by_key(|tokens| tokens[0]);
        let mut text = String::new();
        for (item, gap) in items.iter().zip(gaps) {
            text += &item.join(" ");
            text += ["\n", "\n", "\n", " # c\n", " # longer\n", "\n\n", "\n# own\n", " "][gap];
        }
        let result = formatted(&text);
        let code = |line: &str| line.split("  #").next().unwrap_or("").chars().count();
        let braces = ["rule", "limit", "trigger", "station"];
        for line in result.lines().filter(|l| braces.iter().any(|b| l.starts_with(b)) && l.contains('}')) {
            prop_assert!(code(line) <= 110 || !line.contains("   "), "{line}");
        }
    }
}
