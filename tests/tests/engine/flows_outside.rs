//! Triggers by flow that are raised from outside, for flows that are named by their ends: the same
//! with both engines and batches of any size. (Rejected: only the live case; there, nobody knows
//! between which packets a change falls.)

use mrule_compiler::abi::Packet;
use mrule_compiler::engine::Engine;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_control::event::input;
use mrule_engine::change::Timed;
use mrule_engine::decider::{Decider, Limits};
use mrule_engine::policy::Policy;
use mrule_tests::packet_text::{BuiltPacket, build};
use mrule_tests::run::{ENGINES, compile_files};
use std::sync::Arc;

const MS: i64 = 1_000_000;

/// The length of each packet's copy (0: none), and what became of each change.
fn run(
    program: &Arc<Program>,
    engine: usize,
    packets: &[Packet],
    changes: &[Timed],
    batch: usize,
) -> (Vec<u32>, Vec<String>) {
    let environment = Environment::new(program).unwrap();
    let engine = Arc::new(Engine::new(ENGINES[engine], program.clone(), &environment).unwrap());
    let mut policy = Policy::repeatable(engine, environment);
    let mut decider = Decider::new(&policy, &Limits::default(), batch).unwrap();
    let (mut lengths, mut effects, mut rest, mut changes) = (Vec::new(), Vec::new(), packets, changes);
    while let Some(first) = rest.first() {
        while let Some((change, later)) =
            changes.split_first().filter(|(change, _)| change.time <= first.time)
        {
            effects.push(match decider.change(&mut policy, change.time, &change.change) {
                Ok(effect) => format!("{effect:?}"),
                Err(refused) => refused.to_string(),
            });
            changes = later;
        }
        let next = changes.first().map_or(i64::MAX, |change| change.time);
        let end = rest.iter().position(|packet| packet.time >= next).unwrap_or(rest.len()).min(batch);
        let (now, later) = rest.split_at(end);
        rest = later;
        let verdicts = decider.decide(&policy, now);
        lengths
            .extend((0..now.len()).map(|i| verdicts.verdicts(i).next().map_or(0, |(_, v)| v.end - v.start)));
    }
    (lengths, effects)
}

/// Runs packets (one each 10 ms) while changes are made, each way; what all say.
fn outcome(rules: &str, packets: &[&str], changes: &str) -> (Vec<u32>, Vec<String>) {
    let program = Arc::new(compile_files(&[("a.mrule", rules)], &[]).unwrap());
    let built: Vec<BuiltPacket> = packets.iter().map(|text| build(text).unwrap()).collect();
    let packets: Vec<Packet> =
        (0i64..).zip(&built).map(|(i, built)| built.packet().at(i * 10 * MS)).collect();
    let changes = input::parse(changes, &program).unwrap();
    let expected = run(&program, 0, &packets, &changes, 1);
    for (engine, batch) in [(0, 2), (0, 64), (1, 1), (1, 3), (1, 64)] {
        assert_eq!(run(&program, engine, &packets, &changes, batch), expected, "{batch} at once");
    }
    expected
}

const KEEP: &str = "station s { pcapng \"s\" }
trigger keep by flow { external  hold flow }
rule r { match any   snaplen 20    to s }
rule k { match keep  snaplen full  to s }\n";

const ONE: &str = "eth/ip/tcp(sport=1000)/\"0123456789\"";
const BACK: &str = "eth/ip(src=10.0.0.2,dst=10.0.0.1)/tcp(sport=80,dport=1000)/\"0123456789\"";
const OTHER: &str = "eth/ip/tcp(sport=1001)/\"0123456789\"";

#[test]
fn a_flow_is_kept_from_there_on_both_ways() {
    let changes = r#"
{"time": 0.025, "raise": "keep", "key": ["tcp", "10.0.0.2", 80, "10.0.0.1", 1000]}
{"time": 0.026, "raise": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80"}
{"time": 0.055, "clear": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80"}
{"time": 0.056, "clear": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80"}
{"time": 0.057, "raise": "keep", "key": "tcp 10.0.0.1:7 10.0.0.2:80"}"#;
    let (lengths, effects) = outcome(KEEP, &[ONE, BACK, OTHER, ONE, OTHER, BACK, ONE], changes);
    assert_eq!(lengths, [20, 20, 20, 64, 20, 64, 20]);
    let gone = "there is no flow `tcp 10.0.0.1:7 10.0.0.2:80` now";
    assert_eq!(effects, ["Raised(Raised)", "Raised(Extended)", "Cleared(1)", "Cleared(0)", gone]);
}

#[test]
fn a_time_to_hold_and_a_condition_beside_it() {
    let rules = "station s { pcapng \"s\" }
trigger keep by flow { external  when udp.dstport == 9  hold 15ms }
rule r { match any   snaplen 20    to s }
rule k { match keep  snaplen full  to s }\n";
    let changes = r#"
{"time": 0.005, "raise": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80"}
{"time": 0.035, "raise": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80", "for": "5ms"}
{"time": 0.055, "raise": "keep", "key": "tcp 10.0.0.1:1000 10.0.0.2:80", "for": "1h"}
{"time": 0.065, "clear": "keep"}"#;
    let ping = "eth/ip/udp(dport=9)/\"0123456789\"";
    let (lengths, effects) = outcome(rules, &[ONE, ONE, ping, ONE, ONE, ONE, ONE, ONE], changes);
    assert_eq!(lengths, [20, 64, 52, 20, 64, 20, 64, 20]);
    assert_eq!(effects[3], "Cleared(1)", "that of the other flow had ended");
}

#[test]
fn what_is_suppressed_is_not_raised() {
    let rules = "station s { pcapng \"s\" }
trigger keep by flow { external  when tcp.len > 8  hold flow }
trigger brief by flow { external  when tcp.len > 8  hold 1h }
rule r { match any    snaplen 20  to s }
rule k { match keep   snaplen 30  to s }
rule b { match brief  snaplen 40  to s }\n";
    let syn = "eth/ip/tcp(sport=1000,flags=S)";
    let of = |verb: &str, time: f64, trigger: &str, more: &str| {
        format!(
            "{{\"time\": {time}, \"{verb}\": \"{trigger}\", \"key\": \"tcp 10.0.0.1:1000 10.0.0.2:80\"{more}}}\n"
        )
    };
    let changes = [
        of("suppress", 0.001, "keep", ", \"reason\": \"ours\""),
        of("suppress", 0.002, "brief", ", \"for\": \"20ms\""),
        of("raise", 0.003, "keep", ""),
        of("raise", 0.004, "brief", ""),
        of("unsuppress", 0.035, "keep", ""),
        of("unsuppress", 0.036, "keep", ""),
    ];
    let (lengths, effects) = outcome(rules, &[syn, ONE, ONE, ONE, ONE, OTHER], &changes.concat());
    assert_eq!(lengths, [20, 20, 20, 40, 40, 40]);
    let told = ["Done", "Done", "Raised(Suppressed)", "Raised(Suppressed)", "Done", "Nothing"];
    assert_eq!(effects, told);
}

#[test]
fn a_name_without_tags_means_the_one_flow_that_it_can() {
    let tagged = "eth/vlan(7)/ip/tcp(sport=1000)/\"0123456789\"";
    let raise = |time: f64, more: &str| {
        format!(
            "{{\"time\": {time}, \"raise\": \"keep\", \"key\": \"tcp 10.0.0.1:1000 10.0.0.2:80{more}\"}}\n"
        )
    };
    let (lengths, _) = outcome(KEEP, &[tagged, tagged], &raise(0.005, ""));
    assert_eq!(lengths, [20, 68], "there is no other");
    let other = "eth/vlan(8)/ip/tcp(sport=1000)/\"0123456789\"";
    let (lengths, effects) = outcome(KEEP, &[tagged, other, tagged, other], &raise(0.015, ""));
    assert_eq!(lengths, [20; 4]);
    for name in ["vlan 7`", "vlan 8`", "may mean several flows"] {
        assert!(effects[0].contains(name), "{effects:?}");
    }
    let changes = raise(0.015, " vlan 8") + &raise(0.016, " vlan 9");
    let (lengths, effects) = outcome(KEEP, &[tagged, other, tagged, other], &changes);
    assert_eq!(lengths, [20, 20, 20, 68]);
    assert!(effects[1].starts_with("there is no flow"), "{effects:?}");
    // The one without tags is the one that is named without.
    let (lengths, _) = outcome(KEEP, &[tagged, ONE, tagged, ONE], &raise(0.015, ""));
    assert_eq!(lengths, [20, 20, 20, 64]);
}

#[test]
fn all_flows_are_cleared_and_one_that_is_over_is_not_there() {
    let raise = |time: f64, port: u16| {
        format!("{{\"time\": {time}, \"raise\": \"keep\", \"key\": \"tcp 10.0.0.1:{port} 10.0.0.2:80\"}}\n")
    };
    let clear = "{\"time\": 0.035, \"clear\": \"keep\"}\n";
    let changes = raise(0.015, 1000) + &raise(0.016, 1001) + clear + &raise(7200.0, 1000);
    let program = Arc::new(compile_files(&[("a.mrule", KEEP)], &[]).unwrap());
    let (lengths, effects) = outcome(KEEP, &[ONE, OTHER, ONE, OTHER, ONE, OTHER], &changes);
    assert_eq!(lengths, [20, 20, 64, 64, 20, 20]);
    assert_eq!(effects, ["Raised(Raised)", "Raised(Raised)", "Cleared(2)"]);
    let late = [build(ONE).unwrap(), build(ONE).unwrap()];
    let packets = [late[0].packet().at(0), late[1].packet().at(7300 * 1000 * MS)];
    let changes = input::parse(&raise(7200.0, 1000), &program).unwrap();
    let (lengths, effects) = run(&program, 1, &packets, &changes, 1);
    assert_eq!(lengths, [20, 20]);
    assert!(effects[0].starts_with("there is no flow"), "its time was over: {effects:?}");
}

#[test]
fn what_is_wrong_is_refused_before_anything() {
    let program = compile_files(&[("a.mrule", KEEP)], &[]).unwrap();
    for (line, what) in [
        (r#"{"time": 1, "raise": "keep"}"#, "without a name"),
        (r#"{"time": 1, "raise": "keep", "key": 5}"#, "two ends"),
        (r#"{"time": 1, "raise": "keep", "key": "10.0.0.1"}"#, "no protocol"),
        (r#"{"time": 1, "raise": "keep", "key": "tcp 10.0.0.1:1 10.0.0.2:2", "for": "5m"}"#, "remove `for`"),
    ] {
        let (_, error) = input::parse(line, &program).unwrap_err();
        assert!(error.to_string().contains(what), "{line}: {error}");
    }
}
