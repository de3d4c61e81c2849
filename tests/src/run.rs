//! One way to run packets through an engine, for all tests that compare what engines say. The invariant: what is returned
//! depends on nothing that an earlier run left. (Rejected: a harness for each engine; they have one face.)

use mrule_compiler::abi::{Packet, Verdict};
use mrule_compiler::batch::Batch;
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::hir::Program;
use mrule_compiler::sight::{Fired, Seen, Sight};
use mrule_compiler::world::{Scratch, World};
use mrule_runtime::decider::{Decider, Limits, TriggerCount};
use std::sync::Arc;

/// Every engine.
pub const ENGINES: [EngineKind; 2] = [EngineKind::Interp, EngineKind::Jit];

/// What an engine said of some packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// For each packet and each station that was asked for, by the station's index: the verdict.
    pub verdicts: Vec<Vec<(usize, Verdict)>>,
    /// For each rule, how many packets its conditions held for.
    pub matched: Vec<u64>,
    /// For each limit, how many packets it was tried and held for.
    pub limited: Vec<u64>,
    /// What became of each trigger's conditions.
    pub triggers: Vec<TriggerCount>,
}

/// Compiles rule files; the errors one to a line.
pub fn compile_files(files: &[(&str, &str)], sets: &[(String, String)]) -> Result<Program, String> {
    let mut loader = MemoryLoader::new(files.iter().copied());
    let rules = files.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name.ends_with(".mrule"));
    let compiled = compile(&rules.collect::<Vec<_>>(), &mut loader, sets);
    let errors = || {
        let errors = compiled
            .diagnostics
            .iter()
            .filter(|d| d.severity() == mrule_grammar::diagnostic::Severity::Error);
        let lines = errors.map(|d| {
            let at = d.labels.first().map_or("", |label| compiled.sources.text(label.span));
            format!("{} {}: `{at}`", d.code.id(), d.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let errors = errors();
    compiled.program.ok_or(errors)
}

/// Runs packets through an engine, so many at a time.
pub fn run(
    kind: EngineKind,
    program: &Arc<Program>,
    world: &World,
    packets: &[Packet],
    batch_size: usize,
) -> Result<Told, String> {
    let engine = Engine::new(kind, program.clone(), world).map_err(|e| e.to_string())?;
    Ok(run_engine(&engine, world, packets, batch_size))
}

/// Runs packets through an engine that is there already, with a memory of flows of its own.
pub fn run_engine(engine: &Engine, world: &World, packets: &[Packet], batch_size: usize) -> Told {
    let mut told = Told::default();
    let mut decider =
        Decider::new(engine.program(), &Limits::default(), batch_size).expect("a memory of flows");
    for chunk in packets.chunks(batch_size.max(1)) {
        let batch = decider.decide(engine, world, chunk);
        for i in 0..chunk.len() {
            told.verdicts
                .push(batch.verdicts(i).map(|(station, verdict)| (station.index(), verdict)).collect());
        }
    }
    told.matched = decider.batch().matched().to_vec();
    told.limited = decider.batch().limited().to_vec();
    told.triggers = decider.triggers().to_vec();
    told
}

/// Runs packets through an engine with a sight that is given: all at once, then each by itself; what fired of each.
pub fn run_sighted(
    engine: &Engine,
    world: &World,
    packets: &[Packet],
    sight: &Sight,
    one_by_one: bool,
) -> (Told, Vec<Vec<Fired>>) {
    let (mut scratch, mut batch) = (Scratch::default(), Batch::new(engine.program(), packets.len()));
    let (mut told, mut fired) = (Told::default(), Vec::new());
    if !one_by_one {
        engine.decide(world, &mut scratch, packets, sight, &mut batch);
    }
    for (i, packet) in packets.iter().enumerate() {
        if one_by_one {
            engine.decide_part(world, &mut scratch, packets, i..i + 1, sight, &mut batch);
        }
        told.verdicts.push(batch.verdicts(i).map(|(station, verdict)| (station.index(), verdict)).collect());
        let mut all = vec![Fired::No; engine.program().triggers.len()];
        engine.fire(world, &mut scratch, packet, Seen { sight, at: i }, &mut all);
        fired.push(all);
    }
    told.matched = batch.matched().to_vec();
    told.limited = batch.limited().to_vec();
    (told, fired)
}
