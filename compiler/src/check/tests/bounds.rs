//! Texts that could take long or much memory: each takes time linear in its length, and text that
//! would multiply is refused.

use super::{STATION, build, findings, program};
use std::time::{Duration, Instant};

/// Generous: these tests run unoptimised, in parallel, on machines that may be busy. They guard
/// against quadratic time, which would take many minutes.
const PATIENCE: Duration = Duration::from_secs(120);

fn codes(text: &str) -> Vec<&'static str> {
    let begin = Instant::now();
    let built = build(text);
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    let mut codes: Vec<_> = findings(&built).into_iter().map(|f| f.0).collect();
    // A rule with this many terms has no native code. The warning about it is expected.
    codes.retain(|code| *code != "W0961");
    codes.dedup();
    codes
}

#[test]
fn ten_thousand_rules() {
    let rules: String = (0..10_000)
        .map(|i| {
            let (a, b) = (i >> 8, i & 255);
            format!("rule r{i} {{ match ip.src == 10.{a}.{b}.0/24 and tcp.dstport == {i} snaplen headers + {b} to ids }}\n")
        })
        .collect();
    let begin = Instant::now();
    let program = program(&format!("{STATION}{rules}"));
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(program.rules.len(), 10_000);
}

#[test]
fn long_chains() {
    let and: String = (0..20_000).map(|i| format!(" and tcp.payload contains \"a{i}\"")).collect();
    assert!(codes(&format!("{STATION}rule r {{ match tcp{and} snaplen full to ids }}")).is_empty());
    let or: String = (0..20_000).map(|i| format!(" or tcp.payload contains \"a{i}\" and udp")).collect();
    assert!(codes(&format!("{STATION}rule r {{ match tcp{or} snaplen full to ids }}")).is_empty());
    let set: Vec<String> = (0..60_000).map(|i| i.to_string()).collect();
    assert!(
        codes(&format!("{STATION}rule r {{ match tcp.port in {{{}}} snaplen full to ids }}", set.join(",")))
            .is_empty()
    );
}

#[test]
fn lets_that_multiply() {
    let double: String = (1..60)
        .map(|i| format!("let a{i} = (a{p} and udp.port == {i}) or (a{p} and tcp.port == {i})\n", p = i - 1))
        .collect();
    let found = codes(&format!("let a0 = tcp\n{double}"));
    assert!(found.iter().all(|c| *c == "E0123") && !found.is_empty(), "{found:?}");
    let deep: String =
        (1..20_000).map(|i| format!("let a{i} = not (a{p} and udp.port == {i})\n", p = i - 1)).collect();
    assert_eq!(codes(&format!("let a0 = tcp\n{deep}")), ["E0123"]);
    let sets: String = (1..20_000).map(|i| format!("let s{i} = {{s{p}, {i}}}\n", p = i - 1)).collect();
    assert_eq!(codes(&format!("let s0 = {{1}}\n{sets}")), ["E0123"]);
    let circle: String = (0..20_000).map(|i| format!("let a{i} = a{} and tcp\n", (i + 1) % 20_000)).collect();
    assert_eq!(codes(&circle), ["E0106"]);
}

#[test]
fn many_mistakes() {
    let rules: String = (0..5_000)
        .map(|i| {
            format!("rule r{i} {{ match ipx.src{i} == 1 and tcp.portt == {i} snaplen headers to idss{i} }}\n")
        })
        .collect();
    let found = codes(&format!("{STATION}{rules}"));
    assert!(found.contains(&"E0101") && found.contains(&"E0132"));
}

#[test]
fn combinations_are_bounded() {
    let many = ["net.addr"; 8].join(", ");
    let types = ["ip"; 8].join(", ");
    let text =
        format!("{STATION}table t : set<({types})>\nrule r {{ match ({many}) in t snaplen full to ids }}");
    assert_eq!(codes(&text), ["E0122"]);
    let sum = ["tcp.port"; 10].join(" + ");
    assert_eq!(codes(&format!("{STATION}rule r {{ match {sum} > 5 snaplen full to ids }}")), ["E0118"]);
}
