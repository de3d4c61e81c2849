//! What a decision costs: programs as native code, and as the interpreter runs them, beside
//! hand-written Rust for the same predicate (the floor) on the same packets in the same run.
//!
//! ```text
//! cargo bench -p mrule-tests --bench decision [-- [--interp] [CAPTURE...]]
//! ```
//!
//! Method. All packets lie in memory, read from the captures given, or else remixed from those that
//! ship: repeated with other IPv4 addresses until there are 320,000. "Cold" goes through all of
//! them in order, more than the caches hold; "hot" goes through the first 4096 again and again.
//! Floor and program take turns, round by round; a figure is the median over the rounds of
//! nanoseconds a packet, and the ratio is the median of the rounds' ratios. Dissection is included
//! on both sides. Both sides must select the same number of packets, or the run fails.

use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::{Environment, Scratch};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod floor;
mod trace;

use floor::{Flow, PairTable};
use trace::Trace;

/// How many packets an engine is given at once, as in a replay.
const BATCH: usize = 256;
const HOT: usize = 4096;

/// Counts the packets that a predicate selects.
type Floor = Box<dyn Fn(&[Packet]) -> u64>;

struct Row {
    name: String,
    rules: String,
    floor: Floor,
    /// The most that the ratio to the floor may be.
    target: f64,
}

/// A loop over packets around a predicate, compiled for that predicate alone.
fn counting(holds: impl Fn(&[u8]) -> bool + 'static) -> Floor {
    Box::new(move |packets| packets.iter().map(|p| u64::from(holds(p.frame()))).sum())
}

fn rows(trace: &Trace) -> Vec<Row> {
    let one = |rule: &str| {
        format!("station s {{ pcapng \"s\" }}\nrule r {{ match {rule} snaplen headers to s }}\n")
    };
    let mut rows = vec![
        Row {
            name: "tcp.dstport == 80".into(),
            rules: one("tcp.dstport == 80"),
            floor: counting(|f| Flow::tcp(f).is_some_and(|flow| flow.dstport == 80)),
            target: 1.5,
        },
        Row {
            name: "tcp, one /8, five ports".into(),
            rules: one("ip.src == 10.0.0.0/8 and tcp.dstport in {22, 53, 80, 443, 8080}"),
            floor: counting(|f| {
                Flow::tcp(f).is_some_and(|flow| {
                    flow.src >> 24 == 10 && flow.is_v4 && matches!(flow.dstport, 22 | 53 | 80 | 443 | 8080)
                })
            }),
            target: 1.5,
        },
    ];
    for (count, target) in [(100, 2.0), (1_000, 2.5), (10_000, 2.5)] {
        let pairs = trace.pairs(count);
        let mut rules = String::from("station s { pcapng \"s\" }\n");
        for (i, (net, port)) in pairs.iter().enumerate() {
            let [a, b, c, _] = (net << 8).to_be_bytes();
            rules += &format!(
                "rule r{i} {{ match ip.src == {a}.{b}.{c}.0/24 and tcp.dstport == {port} snaplen headers to s }}\n"
            );
        }
        let table = PairTable::new(&pairs);
        rows.push(Row {
            name: format!("{count} rules: a /24 and a port"),
            rules,
            floor: counting(move |f| {
                Flow::tcp(f)
                    .is_some_and(|flow| flow.is_v4 && table.find(flow.src >> 8, flow.dstport).is_some())
            }),
            target,
        });
    }
    rows
}

fn run(
    engine: &Engine,
    environment: &Environment,
    scratch: &mut Scratch,
    packets: &[Packet],
    batch: &mut Batch,
) -> u64 {
    let mut selected = 0;
    for chunk in packets.chunks(BATCH) {
        engine.decide(environment, scratch, chunk, &mrule_compiler::context::BatchContext::default(), batch);
        selected += (0..chunk.len()).map(|i| u64::from(batch.asked(i) != 0)).sum::<u64>();
    }
    selected
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = std::hint::black_box(f());
    (value, start.elapsed())
}

/// Nanoseconds a packet of the floor and of the program, and the ratio.
fn compare(
    row: &Row,
    packets: &[Packet],
    rounds: usize,
    mut program: impl FnMut(&[Packet]) -> u64,
) -> Result<(f64, f64, f64), String> {
    let (mut floors, mut programs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (wanted, floor) = timed(|| (row.floor)(std::hint::black_box(packets)));
        let (selected, own) = timed(|| program(std::hint::black_box(packets)));
        if wanted != selected {
            return Err(format!("{}: the floor selects {wanted} packets, the program {selected}", row.name));
        }
        if round > 0 {
            let each = |d: Duration| d.as_secs_f64() * 1e9 / packets.len() as f64;
            floors.push(each(floor));
            programs.push(each(own));
            ratios.push(own.as_secs_f64() / floor.as_secs_f64());
        }
    }
    Ok((median(floors), median(programs), median(ratios)))
}

fn main() -> Result<(), String> {
    let mut kind = EngineKind::Jit;
    let mut captures = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--interp" => kind = EngineKind::Interp,
            "--bench" | "--test" => {}
            capture => captures.push(capture.to_owned()),
        }
    }
    let trace = Trace::load(&captures)?;
    let packets = trace.packets();
    let hot = packets.get(..HOT).unwrap_or(&packets);
    println!("{} packets, {:.0} MB; hot: {}", packets.len(), trace.bytes() as f64 / 1e6, hot.len());
    println!("ns a packet (floor, program, ratio), dissection included; engine: {kind:?}\n");
    println!(
        "{:<30} {:>7} {:>7} {:>6}   {:>7} {:>7} {:>6}   {:>6} {:>9} {:>9}",
        "program", "cold", "", "", "hot", "", "", "target", "check ms", "code ms"
    );
    for row in rows(&trace) {
        let mut loader = MemoryLoader::new([("bench.mrule", row.rules.as_str())]);
        let (compiled, check) = timed(|| compile(&["bench.mrule".to_owned()], &mut loader, &[]));
        let program =
            Arc::new(compiled.program.ok_or_else(|| format!("{:?}", compiled.diagnostics.first()))?);
        let environment = Environment::new(&program).map_err(|e| e.to_string())?;
        let (engine, code) = timed(|| Engine::new(kind, program.clone(), &environment));
        let engine = engine.map_err(|e| e.to_string())?;
        let mut batch = Batch::new(&program, BATCH);
        let mut scratch = Scratch::default();
        let mut decide = |packets: &[Packet]| run(&engine, &environment, &mut scratch, packets, &mut batch);
        let cold = compare(&row, &packets, 11, &mut decide)?;
        let hot = compare(&row, hot, 401, &mut decide)?;
        println!(
            "{:<30} {:>7.1} {:>7.1} {:>5.2}x   {:>7.2} {:>7.2} {:>5.2}x   {:>5.1}x {:>9.1} {:>9.1}",
            row.name,
            cold.0,
            cold.1,
            cold.2,
            hot.0,
            hot.1,
            hot.2,
            row.target,
            check.as_secs_f64() * 1e3,
            code.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
