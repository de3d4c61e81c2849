//! Compares random traffic through a program with all kinds of triggers with a model that keeps the
//! whole history. It uses both engines, any batch size, and times that go back a little. Invariant:
//! the model follows only the language page. (Rejected: comparing engines only; both read the same
//! state.)

use mrule_compiler::abi::{Link, Packet};
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_engine::cost::{Setting, cost};
use mrule_engine::decider::{Decider, Limits, TriggerEvent};
use mrule_engine::policy::Policy;
use mrule_engine::trigger::TriggerStore;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

const RULES: &str = r#"
station s { pcapng "s" }
param hold_it : duration = 30ms
trigger counted by net.src               { when count(udp.dstport == 1) per 160ms > 3  hold hold_it  keys 64 }
trigger summed  by (net.src, net.dst)    { when sum(frame.len) per 80ms > 300  unless udp.dstport == 3  hold 50ms  keys 64 }
trigger spread                           { when distinct(net.src) per 40ms >= 3 and not count(udp.dstport == 2) per 16ms > 2  hold 5ms }
trigger reader  by net.src               { when counted[net.dst] and count(any) per 1s > 4  hold 1s  keys 64 }
rule a { match counted          snaplen 1  to s }
rule b { match summed           snaplen 2  to s }
rule c { match spread           snaplen 4  to s }
rule d { match reader           snaplen 8  to s }
"#;

const MS: i64 = 1_000_000;

#[derive(Debug, Clone)]
struct Sent {
    time: i64,
    source: u8,
    target: u8,
    port: u16,
    payload: usize,
}

fn frame(sent: &Sent) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let length = 28 + sent.payload as u16;
    bytes.extend([0x45, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, sent.source, 10, 0, 0, sent.target]);
    bytes.extend([0x30, 0x39]);
    bytes.extend(sent.port.to_be_bytes());
    bytes.extend((8 + sent.payload as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.resize(bytes.len() + sent.payload, 7);
    bytes
}

/// A window that keeps all it ever counted: the slice of each event, and its amount or value.
#[derive(Default)]
struct History(Vec<(i64, u64)>);

impl History {
    fn top(&self, now: i64) -> i64 {
        self.0.iter().map(|(slice, _)| *slice).fold(now, i64::max)
    }

    fn add(&mut self, time: i64, per: i64, what: u64) {
        let slice = (time * 16).div_euclid(per);
        if slice > self.top(slice) - 16 {
            self.0.push((slice, what));
        }
    }

    fn inside(&self, time: i64, per: i64) -> impl Iterator<Item = u64> {
        let top = self.top((time * 16).div_euclid(per));
        self.0.iter().filter(move |(slice, _)| *slice > top - 16).map(|(_, what)| *what)
    }

    fn count(&self, time: i64, per: i64) -> u64 {
        self.inside(time, per).count() as u64
    }
}

#[derive(Default)]
struct Model {
    histories: BTreeMap<(&'static str, u8, u8), History>,
    until: BTreeMap<(&'static str, u8, u8), i64>,
}

impl Model {
    fn active(&self, name: &'static str, source: u8, target: u8, now: i64) -> bool {
        self.until.get(&(name, source, target)).is_some_and(|until| now <= *until)
    }

    fn window(
        &mut self,
        name: &'static str,
        key: (u8, u8),
        event: Option<u64>,
        at: i64,
        per: i64,
    ) -> &History {
        let history = self.histories.entry((name, key.0, key.1)).or_default();
        if let Some(what) = event {
            history.add(at, per, what);
        }
        history
    }

    /// The rules that hold for the packet, one bit each.
    fn step(&mut self, sent: &Sent) -> u32 {
        let (s, t, now) = (sent.source, sent.target, sent.time);
        let when = |holds: bool, what: u64| holds.then_some(what);
        let length = 42 + sent.payload as u64;
        let counted =
            self.window("counted", (s, 0), when(sent.port == 1, 1), now, 160 * MS).count(now, 160 * MS);
        let summed: u64 =
            self.window("summed", (s, t), Some(length), now, 80 * MS).inside(now, 80 * MS).sum();
        let spread = self.window("spread", (0, 0), Some(u64::from(s)), now, 40 * MS);
        let spread = spread.inside(now, 40 * MS).collect::<BTreeSet<_>>().len();
        let twos = self.window("twos", (0, 0), when(sent.port == 2, 1), now, 16 * MS).count(now, 16 * MS);
        let any = self.window("any", (s, 0), Some(1), now, 1000 * MS).count(now, 1000 * MS);
        let raised = [
            ("counted", (s, 0), counted > 3, 30),
            ("summed", (s, t), summed > 300 && sent.port != 3, 50),
            ("spread", (0, 0), spread >= 3 && twos <= 2, 5),
            ("reader", (s, 0), self.active("counted", t, 0, now) && any > 4, 1000),
        ];
        for (name, key, holds, hold) in raised {
            if holds {
                let until = self.until.entry((name, key.0, key.1)).or_insert(i64::MIN);
                *until = (*until).max(now + hold * MS);
            }
        }
        let active = [("counted", (s, 0)), ("summed", (s, t)), ("spread", (0, 0)), ("reader", (s, 0))];
        active
            .iter()
            .rev()
            .fold(0, |bits, (name, key)| bits << 1 | u32::from(self.active(name, key.0, key.1, now)))
    }
}

fn engines() -> &'static [Arc<Engine>; 2] {
    static ENGINES: OnceLock<[Arc<Engine>; 2]> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let mut loader = MemoryLoader::new([("a.mrule", RULES)]);
        let program = Arc::new(compile(&["a.mrule".to_owned()], &mut loader, &[]).program.unwrap());
        let environment = Environment::new(&program).unwrap();
        [EngineKind::Interp, EngineKind::Jit]
            .map(|kind| Arc::new(Engine::new(kind, program.clone(), &environment).unwrap()))
    })
}

fn traffic() -> impl Strategy<Value = Vec<Sent>> {
    let gap = prop_oneof![4 => 0i64..4, 2 => 4i64..30, 1 => -12i64..0, 1 => 100i64..400];
    let one = (gap, 1u8..5, 1u8..5, 1u16..5, 0usize..80);
    proptest::collection::vec(one, 1..150).prop_map(|all| {
        let mut time = 1_000_000 * MS;
        let sent = |(gap, source, target, port, payload)| {
            time += gap * MS + 1234;
            Sent { time, source, target, port, payload }
        };
        all.into_iter().map(sent).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn triggers_are_as_the_whole_history_says(sent in traffic(), size in 1usize..40) {
        let mut model = Model::default();
        let expected: Vec<u32> = sent.iter().map(|one| model.step(one)).collect();
        let frames: Vec<Vec<u8>> = sent.iter().map(frame).collect();
        let packets: Vec<Packet> = frames
            .iter()
            .zip(&sent)
            .map(|(bytes, sent)| Packet::new(bytes, bytes.len() as u32, Link::Ethernet).at(sent.time))
            .collect();
        for engine in engines() {
            let kind = engine.kind();
            let policy = Policy::new(engine.clone(), Environment::new(engine.program()).unwrap());
            let mut decider = Decider::new(&policy, &Limits::default(), size).unwrap();
            let mut matched = Vec::new();
            for chunk in packets.chunks(size) {
                let batch = decider.decide(&policy, chunk);
                let longest = |i| batch.verdicts(i).next().map_or(0, |(_, verdict)| verdict.end);
                matched.extend((0..chunk.len()).map(longest));
            }
            for (at, (got, bits)) in matched.iter().zip(&expected).enumerate() {
                // The longest copy that any rule asks for: 1, 2, 4, 8 in the order of the bits.
                let longest = if *bits == 0 { 0 } else { 1 << bits.ilog2() };
                prop_assert_eq!(*got, longest, "{:?}, packet {}: {:?}", kind, at, &sent[at]);
            }
        }
    }
}

/// Triggers with room for few keys. One of them is raised by packets that it does not count.
const FULL: &str = r#"
station s { pcapng "s" }
trigger seen    by net.src { when count(any) per 1h >= 1 and udp.dstport == 1               hold 1s     keys 16 }
trigger twice   by net.src { when count(udp.dstport == 2) per 1h > 1                       hold 300ms  keys 16 }
trigger seldom  by net.src { when count(udp.dstport == 3) per 1h < 2 and udp.dstport != 4  hold 10ms   keys 9 }
trigger plain   by net.dst { when udp.dstport == 4                                         hold 2s     keys 17 }
rule a { match seen or twice or seldom or plain   snaplen full  to s }
"#;

/// The effects of packets on triggers (packet, trigger, outcome), then the counters of each
/// trigger.
fn told(engine: &Arc<Engine>, packets: &[Packet], size: usize) -> Vec<String> {
    let policy = Policy::repeatable(engine.clone(), Environment::new(engine.program()).unwrap());
    let mut decider = Decider::new(&policy, &Limits::default(), size).unwrap();
    let mut told = Vec::new();
    for (turn, chunk) in packets.chunks(size).enumerate() {
        let mut hear = |event: &TriggerEvent| {
            told.push(format!("{} {} {:?}", turn * size + event.at, event.trigger, event.outcome));
        };
        let batch = decider.decide_and_tell(&policy, chunk, Some(&mut hear));
        let asked: Vec<usize> = (0..chunk.len()).filter(|i| batch.verdicts(*i).next().is_some()).collect();
        told.extend(asked.iter().map(|i| format!("{} asked", turn * size + i)));
    }
    told.sort_unstable();
    let last = packets.last().map_or(0, |packet| packet.time);
    told.extend((0..4).map(|trigger| format!("{:?}", policy.triggers().counts(trigger, last))));
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn which_key_goes_does_not_depend_on_batches(
        steps in proptest::collection::vec((0usize..4, 1u8..40, 1u8..30, 1u16..6), 1..300),
    ) {
        static ENGINES: OnceLock<[Arc<Engine>; 2]> = OnceLock::new();
        let engines = ENGINES.get_or_init(|| {
            let compiled = compile(&["f".into()], &mut MemoryLoader::new([("f", FULL)]), &[]);
            let program = Arc::new(compiled.program.expect("a program"));
            let environment = Environment::new(&program).unwrap();
            [EngineKind::Interp, EngineKind::Jit].map(|kind| Arc::new(Engine::new(kind, program.clone(), &environment).unwrap()))
        });
        let mut time = 1_000_000 * MS;
        let sent = |(gap, source, target, port): (usize, u8, u8, u16)| {
            time += [0, 1000, MS, 400 * MS][gap];
            Sent { time, source, target, port, payload: 0 }
        };
        let sent: Vec<Sent> = steps.into_iter().map(sent).collect();
        let frames: Vec<Vec<u8>> = sent.iter().map(frame).collect();
        let packets: Vec<Packet> = frames
            .iter()
            .zip(&sent)
            .map(|(bytes, sent)| Packet::new(bytes, bytes.len() as u32, Link::Ethernet).at(sent.time))
            .collect();
        let one_by_one = told(&engines[0], &packets, 1);
        for (engine, size) in [(1, 1), (0, 64), (1, 64), (1, 13)] {
            prop_assert_eq!(&told(&engines[engine], &packets, size), &one_by_one, "{} at once", size);
        }
    }
}

#[test]
fn what_it_costs_is_what_it_takes() {
    let policy = Policy::new(engines()[0].clone(), Environment::new(engines()[0].program()).unwrap());
    let cost = cost(
        policy.program(),
        policy.environment(),
        &Setting { limits: Limits::default(), workers: 1, batch: 256, station_bytes: 0 },
    )
    .unwrap();
    let suppressed: u64 = policy.shapes().iter().map(TriggerStore::suppressed_memory_of).sum();
    assert_eq!(cost.bytes_of("trigger"), policy.triggers().memory() as u64 + suppressed);
    assert_eq!((cost.keys, cost.windows), (4, 5));
    let triggers = || cost.parts.iter().filter(|part| part.what == "trigger");
    let rooms: Vec<(&str, u64)> = triggers().map(|s| (s.name.as_str(), s.room)).collect();
    let capacity = |at| policy.triggers().counts(at, 0).capacity;
    assert_eq!(rooms, [("counted", capacity(0)), ("reader", 64), ("spread", capacity(2)), ("summed", 64)]);
    // A window takes a line of its own; a condition on a trigger finds the trigger's row.
    assert!(triggers().all(|s| s.lines >= 3 && s.bytes > 0), "{cost:?}");
}
