//! Programs made by hand, without the language: rules that match by the frame's length.

use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{Ask, Length, Num, Pred, Program, Rule, Station, Target};
use mrule_compiler::sets::Intervals;
use mrule_dataplane::Error;
use mrule_dataplane::replay::Summary;
use mrule_dataplane::replay::{Options, replay};
use mrule_engine::policy::Policy;
use mrule_grammar::span::Span;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A rule or limit for frames whose length on the wire is in `lengths`.
pub fn rule(name: &str, lengths: (u64, u64), asks: Length, stations: u64) -> Rule {
    Rule {
        name: name.to_owned(),
        span: Span::default(),
        matches: Pred::test(Num::frame_len(), Intervals::range(lengths.0, lengths.1)),
        asks: vec![Ask { when: Pred::always(), length: asks, span: Span::default() }],
        stations,
        everywhere: false,
    }
}

/// A rule or limit for frames of any length.
pub fn any(name: &str, asks: Length, stations: u64) -> Rule {
    Rule { matches: Pred::always(), ..rule(name, (0, 0), asks, stations) }
}

pub fn bytes(n: u64) -> Length {
    Length::Bytes(Num::constant(n))
}

pub fn slice(m: u64, n: u64) -> Length {
    Length::Slice(Num::constant(m), Num::constant(n))
}

/// A program with these stations.
pub fn program(stations: &[&str], rules: Vec<Rule>, limits: Vec<Rule>) -> Arc<Program> {
    let station = |name: &&str| Station {
        name: (*name).to_owned(),
        span: Span::default(),
        target: Target::Interface { name: "none".to_owned() },
        limit: None,
    };
    Arc::new(Program {
        rules,
        limits,
        stations: stations.iter().map(station).collect(),
        ..Program::default()
    })
}

/// Runs the program over a capture, with an engine of this kind, and checks the sums.
pub fn run_with(
    kind: EngineKind,
    program: &Arc<Program>,
    read: &Path,
    out: Option<&Path>,
) -> Result<Summary, Error> {
    let environment = Environment::new(program).unwrap();
    let engine = Engine::new(kind, program.clone(), &environment).unwrap();
    let options = Options { read: vec![read.to_owned()], out: out.map(Path::to_owned), ..Options::default() };
    let mut packets = 0;
    let mut policy = Policy::repeatable(Arc::new(engine), environment);
    let summary = replay(&options, &mut policy, None, &mut |progress| {
        assert!(progress.packets >= packets && progress.length.is_none_or(|length| progress.read <= length));
        packets = progress.packets;
    })?;
    assert_eq!(packets, summary.totals.packets);
    summary.totals.check().unwrap();
    Ok(summary)
}

/// Runs the program over a capture with the reference interpreter.
pub fn run(program: &Arc<Program>, read: &Path, out: Option<&Path>) -> Result<Summary, Error> {
    run_with(EngineKind::Interp, program, read, out)
}

/// The captures of real clients and servers that ship with the project, or the captures in the
/// directory `MRULE_CAPTURES`.
pub fn real_captures() -> Vec<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pcap");
    let directory = std::env::var_os("MRULE_CAPTURES").map_or(shipped, PathBuf::from);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|name| name == "pcap" || name == "pcapng"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no captures in {}", directory.display());
    files
}
