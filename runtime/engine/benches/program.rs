//! What ten triggers cost a program: the time of a packet in a decider, with and without them.
//!
//! ```text
//! cargo bench -p mrule-engine --bench program [-- WORD...]   # rows with a word in the name
//! ```
//!
//! Method. 100,000 TCP flows, each with a frame of 70 bytes in memory, come in random order, 1 us
//! apart and 64 at a time, as in a worker. One program tracks flows and has a rule that uses them.
//! The other programs have ten more triggers, each with a window of 10 s that counts each packet
//! and never reaches its threshold, in native code. All programs decide the same 65,536 packets,
//! one program after the other, in one pass each. A figure is the minimum over the rounds, which a
//! busy machine disturbs least. "On top" is the time of a program beyond the program without
//! triggers.

// - *one address*: ten triggers by `net.src`, 100,000 sources in total.
// - *ten keys*: ten triggers by ten fields, each with 10,000 independently chosen values: 100,000
//   keys in total.
// - *few*: the same two over the first 1,000 flows, which fit in caches.
//
// All flows, keys and pages exist before the first measurement.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark may stop")]

use mrule_compiler::abi::{Link, Packet};
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_engine::decider::{Decider, Limits};
use mrule_engine::policy::Policy;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const FLOWS: u32 = 100_000;
const VALUES: u32 = 10_000;
const PACKETS: usize = 1 << 16;
const BATCH: usize = 64;
const ROUNDS: usize = 30;
const SIZE: usize = 70;
/// Fields that have 10,000 different values in the frames.
const FIELDS: [&str; 10] = [
    "net.src",
    "net.dst",
    "eth.src",
    "eth.dst",
    "tcp.srcport",
    "tcp.dstport",
    "ip.id",
    "tcp.window_size_value",
    "tcp.ack_raw",
    "tcp.urgent_pointer",
];

/// A pseudo-random number below 2^32 for each pair of numbers.
fn mixed(a: u32, b: u32) -> u32 {
    let mut z = (u64::from(a) << 32 | u64::from(b)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 32) as u32
}

/// The frame of a flow. With `wide`, each flow has its own source; otherwise each field has 10,000
/// values.
fn frame(flow: u32, wide: bool) -> Vec<u8> {
    let value = |field: u32| mixed(flow, field) % VALUES;
    let source = if wide { flow } else { value(0) };
    let mut frame = Vec::with_capacity(SIZE);
    frame.extend([2, 0]);
    frame.extend(value(3).to_be_bytes());
    frame.extend([2, 1]);
    frame.extend(value(2).to_be_bytes());
    frame.extend([8, 0, 0x45, 0, 0, 56]);
    frame.extend((value(6) as u16).to_be_bytes());
    frame.extend([0, 0, 64, 6, 0, 0]);
    frame.extend((10 << 24 | source).to_be_bytes());
    frame.extend((172 << 24 | value(1)).to_be_bytes());
    frame.extend((1024 + value(4) as u16).to_be_bytes());
    frame.extend((1024 + value(5) as u16).to_be_bytes());
    frame.extend(7u32.to_be_bytes());
    frame.extend(value(8).to_be_bytes());
    frame.extend([0x50, 16]);
    frame.extend((value(7) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend((value(9) as u16).to_be_bytes());
    frame.extend([1; 16]);
    frame
}

/// A program whose triggers have these keys.
fn program(keys: &[&str]) -> String {
    let mut text = "station s { pcapng \"s.pcapng\" }\n".to_owned();
    for (i, key) in keys.iter().enumerate() {
        let _ = writeln!(
            text,
            "trigger t{i} by {key} {{ when count(any) per 10s > 1000000000  hold 10s  keys {FLOWS} }}"
        );
    }
    let any: Vec<String> = (0..keys.len()).map(|i| format!("t{i}")).collect();
    let full =
        if keys.is_empty() { String::new() } else { format!("snaplen full when {}", any.join(" or ")) };
    let _ = writeln!(text, "rule r {{ match flow.bytes > 1TB  snaplen headers  {full}  to s }}");
    text
}

/// A program with its decider and clock.
struct Run {
    policy: Policy,
    decider: Decider,
    now: i64,
}

impl Run {
    fn new(keys: &[&str]) -> Run {
        let text = program(keys);
        let compiled = compile(&["a".into()], &mut MemoryLoader::new([("a", text.as_str())]), &[]);
        let Some(program) = compiled.program else { panic!("{text}{:?}", compiled.diagnostics) };
        let program = Arc::new(program);
        let environment = Environment::new(&program).expect("tables");
        let engine = Engine::new(EngineKind::Jit, program, &environment).expect("native code");
        let policy = Policy::new(Arc::new(engine), environment);
        let decider = Decider::new(&policy, &Limits::default(), BATCH).expect("no patterns");
        Run { policy, decider, now: 1_700_000_000_000_000_000 }
    }

    /// Nanoseconds per packet.
    fn pass(&mut self, frames: &[u8], order: &[u32]) -> f64 {
        let mut packets = Vec::with_capacity(BATCH);
        let begun = Instant::now();
        for few in order.chunks(BATCH) {
            packets.clear();
            for at in few {
                self.now += 1000;
                let bytes = &frames[*at as usize * SIZE..][..SIZE];
                packets.push(Packet::new(bytes, SIZE as u32, Link::Ethernet).at(self.now));
            }
            black_box(self.decider.decide(&self.policy, &packets));
        }
        begun.elapsed().as_nanos() as f64 / order.len() as f64
    }
}

fn measure(name: &str, keys: &[&str], flows: u32, wide: bool) {
    let frames: Vec<u8> = (0..flows).flat_map(|flow| frame(flow, wide)).collect();
    let all: Vec<u32> = (0..flows).collect();
    let order: Vec<u32> = (0..PACKETS as u32).map(|i| mixed(i, 77) % flows).collect();
    let mut runs = [Run::new(&[]), Run::new(keys)];
    let mut least = [f64::MAX; 2];
    for run in &mut runs {
        run.pass(&frames, &all);
        run.pass(&frames, &order);
    }
    for _ in 0..ROUNDS {
        for (run, least) in runs.iter_mut().zip(&mut least) {
            *least = least.min(run.pass(&frames, &order));
        }
    }
    for (i, trigger) in runs[1].decider.triggers().iter().enumerate() {
        assert_eq!(trigger.held, 0, "{i}");
        let counts = runs[1].policy.triggers().counts(i, 0);
        assert!(counts.keys > u64::from(flows.min(VALUES)) * 9 / 10 && counts.unkept == 0, "{i}: {counts:?}");
    }
    let [without, with] = least;
    println!("{name:<24} {without:>9.1} {with:>9.1} {:>9.1} ns a packet on top", with - without);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("{:<24} {:>9} {:>9}", "", "without", "with");
    let same = ["net.src"; 10];
    let cases: [(&str, &[&str], u32, bool); 4] = [
        ("one address, few", &same, 1000, true),
        ("one address", &same, FLOWS, true),
        ("ten keys, few", &FIELDS, 1000, false),
        ("ten keys", &FIELDS, FLOWS, false),
    ];
    for (name, keys, flows, wide) in cases {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            measure(name, keys, flows, wide);
        }
    }
}
