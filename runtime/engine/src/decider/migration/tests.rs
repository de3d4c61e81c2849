//! Tests one program after the other on the packets of one connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test stops")]

use super::*;
use crate::decider::Limits;
use crate::totals::{Intake, Totals};
use etherparse::PacketBuilder;
use mrule_compiler::abi::{Link, Packet};
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use std::sync::Arc;

/// A policy with its decider and its sums.
struct Run {
    policy: Policy,
    decider: Decider,
    summary: Totals,
}

fn made(text: &str) -> (Arc<Engine>, Environment) {
    let compiled = compile(&["a".into()], &mut MemoryLoader::new([("a", text)]), &[]);
    let program = Arc::new(compiled.program.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)));
    let environment = Environment::new(&program).unwrap();
    (Arc::new(Engine::new(EngineKind::Interp, program, &environment).unwrap()), environment)
}

impl Run {
    fn new(text: &str) -> Run {
        let (engine, environment) = made(text);
        let policy = Policy::repeatable(engine, environment);
        let summary = Totals::new(policy.program());
        Run { decider: Decider::new(&policy, &Limits::default(), 64).unwrap(), policy, summary }
    }

    /// Replaces the program; stations of the same name continue.
    fn succeed(&mut self, text: &str) {
        let (engine, environment) = made(text);
        let policy = self.policy.try_succeed(engine, environment).unwrap();
        let was = &self.policy.program().stations;
        let stations = policy.program().stations.iter().map(|s| was.iter().position(|o| o.name == s.name));
        let migration = Migration::new(&self.policy, &policy, stations.collect());
        let mut decider = Decider::new(&policy, &Limits::default(), 64).unwrap();
        self.summary.end(&self.decider);
        self.summary = self.summary.succeed(policy.program(), &migration);
        self.summary.seed(&mut decider);
        decider.take_over(&mut self.decider, &migration, self.summary.packets);
        (self.decider, self.policy) = (decider, policy);
    }

    /// Decides a packet of a connection. Returns the length of its copy.
    fn says(&mut self, seq: u32, payload: &[u8]) -> u32 {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let builder = builder.tcp(4000, 80, seq, 1024);
        let builder = if payload.is_empty() { builder.syn() } else { builder.ack(1) };
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        let packet = Packet::new(&frame, frame.len() as u32, Link::Ethernet).at(i64::from(seq) * 1_000_000);
        let batch = self.decider.decide(&self.policy, &[packet]);
        let mut length = 0;
        for (station, verdict) in batch.verdicts(0) {
            self.summary.verdict(station, &verdict);
            length = length.max(verdict.end);
        }
        let mut intake = Intake::default();
        intake.take(&packet);
        self.summary.intake(&intake, u64::from(length > 0));
        length
    }

    fn check(&mut self) {
        self.summary.end(&self.decider);
        self.summary.keys(&self.policy, 0);
        self.summary.check().unwrap();
    }
}

const STATION: &str = "station s { pcapng \"s\" }\n";

#[test]
fn flows_and_their_offsets_live_on() {
    let rule = |name: &str| {
        format!("{STATION}rule {name} {{ match flow.packets > 2  snaplen stream 0..1000  to s }}")
    };
    let mut run = Run::new(&rule("a"));
    assert_eq!(run.says(100, b""), 0);
    assert_eq!(run.says(101, b"0123456789"), 0);
    run.succeed(&rule("b"));
    // Headers are 54 bytes. Offset 10 is known from before.
    assert_eq!(run.says(111, &[1; 1000]), 54 + 990);
    run.succeed(STATION);
    run.says(1111, b"x");
    run.succeed(&rule("a"));
    assert_eq!(run.says(1112, b"x"), 0, "nobody asked for flows meanwhile: it is a new one");
    run.check();
    assert_eq!(run.summary.tracked.as_ref().unwrap().before, 4);
}

#[test]
fn triggers_by_flow_keep_their_flows_whatever_their_number() {
    let trigger =
        |name: &str| format!("trigger {name} by flow {{ when stream contains \"{name}\"  hold flow }}\n");
    let rule = |name: &str, length: u32| format!("rule {name} {{ match {name}  snaplen {length}  to s }}\n");
    let text = |names: &[(&str, u32)]| {
        let parts = names.iter().map(|(name, length)| trigger(name) + &rule(name, *length));
        STATION.to_owned() + &parts.collect::<String>()
    };
    let mut run = Run::new(&text(&[("mmm", 60), ("zzz", 70)]));
    run.says(100, b"");
    assert_eq!(run.says(101, b"..zzz"), 59, "as long as it is");
    // A new trigger before, one less behind; the number of `zzz` belongs to another trigger now.
    run.succeed(&text(&[("aaa", 61), ("zzz", 56)]));
    assert_eq!(run.says(106, b"....."), 56);
    run.succeed(&text(&[("aaa", 61), ("mmm", 57)]));
    assert_eq!(run.says(111, b"....."), 0, "`zzz` is no more, and no other has its flows");
    run.succeed(&text(&[("zzz", 56)]));
    assert_eq!(run.says(116, b"....."), 0, "and it does not come back");
    run.check();
}

#[test]
fn a_search_goes_on_where_patterns_stay_and_begins_anew_where_not() {
    let text = |pattern: &str, more: &str| {
        format!("{STATION}rule r {{ match stream contains \"{pattern}\"  snaplen full  to s }}\n{more}")
    };
    let mut run = Run::new(&text("evil", ""));
    run.says(100, b"");
    assert_eq!(run.says(101, b"..ev"), 0);
    run.succeed(&text("evil", "rule other { match udp  snaplen 9  to s }"));
    assert!(run.says(105, b"il..") > 0, "a match that lies across the change");
    run.says(109, b"..go");
    run.succeed(&text("good", ""));
    assert_eq!(run.says(113, b"od.."), 0, "what began before the pattern was looked for");
    assert!(run.says(117, b".good") > 0, "the flow is searched from where it stands");
    // Repeated bytes are not searched again, and a gap is waited for as usual.
    assert_eq!(run.says(117, b".good"), 0);
    assert_eq!(run.says(124, b"od"), 0);
    assert!(run.says(122, b"go") > 0);
    run.check();
    assert_eq!(run.summary.rules[0].name, "r");
}

#[test]
fn what_is_known_of_an_application_lives_on() {
    let text = |more: &str| format!("{STATION}rule web {{ match app == http  snaplen full  to s }}\n{more}");
    let mut run = Run::new(&text(""));
    run.says(100, b"");
    assert!(run.says(101, b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n") > 0);
    run.succeed(&text("rule hosts { match http.host == \"y\"  snaplen 20  to s }"));
    assert!(run.says(129, b"GET /b HTTP/1.1\r\nhost: y\r\n\r\n") > 20, "it is still HTTP");
    run.check();
    assert_eq!(
        run.summary.rules.iter().find(|r| r.name == "hosts").unwrap().matched,
        0,
        "its messages are not read"
    );
}

#[test]
fn sums_hold_over_programs_that_share_nothing() {
    let text = |name: &str| {
        format!(
            "station {name} {{ pcapng \"{name}\" }}\nrule {name} {{ match tcp  snaplen 10  to {name} }}\nlimit l{name} {{ match tcp.len > 3  snaplen none }}"
        )
    };
    let mut run = Run::new(&text("a"));
    for (round, name) in (0..).zip(["b", "c", "a", "a"]) {
        run.says(100 + round, b"");
        run.says(200 + round, b"12345");
        run.succeed(&text(name));
    }
    run.says(300, b"1");
    run.check();
    let gone = run.summary.gone;
    assert_eq!((gone.copies, gone.withheld, gone.decided, gone.limited), (3, 3, 6, 3));
    assert_eq!((run.summary.packets, run.summary.stations[0].copies), (9, 2));
}
