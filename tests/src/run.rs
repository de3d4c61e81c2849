//! One way to run packets through an engine, for all tests that compare what engines say. The
//! invariant: what is returned depends on nothing that an earlier run left. (Rejected: a harness
//! for each engine; they have one face.)

use mrule_compiler::abi::{Packet, Verdict};
use mrule_compiler::batch::Batch;
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::context::{BatchContext, Fired, PacketContext, Probe};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::{Environment, Scratch};
use mrule_compiler::hir::Program;
use mrule_engine::change::Timed;
use mrule_engine::decider::{Decider, Limits, TriggerCount, TriggerEvent};
use mrule_engine::policy::Policy;
use mrule_engine::trigger::{key_parts, key_text};
use std::sync::Arc;

/// Every engine.
pub const ENGINES: [EngineKind; 2] = [EngineKind::Interp, EngineKind::Jit];

/// What an engine said of some packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// For each packet and each station that was asked for, by the station's index: the verdict.
    pub verdicts: Vec<Vec<(usize, Verdict)>>,
    /// For each rule, how many packets its conditions held for.
    pub matched: Vec<u64>,
    /// For each limit, how many packets it was tried and held for.
    pub limited: Vec<u64>,
    /// What became of each trigger's conditions.
    pub triggers: Vec<TriggerCount>,
    /// What packets did to triggers, as `TRIGGER raised`, `TRIGGER[KEY] raised`: the packet's
    /// place, then that.
    pub events: Vec<(usize, String)>,
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
    environment: &Environment,
    packets: &[Packet],
    batch_size: usize,
) -> Result<Decided, String> {
    let engine = Arc::new(Engine::new(kind, program.clone(), environment).map_err(|e| e.to_string())?);
    Ok(run_engine(&engine, environment, packets, batch_size))
}

/// Runs packets through an engine that is there already, with a memory of flows of its own.
pub fn run_engine(
    engine: &Arc<Engine>,
    environment: &Environment,
    packets: &[Packet],
    batch_size: usize,
) -> Decided {
    let mut told = Decided::default();
    let policy = Policy::repeatable(engine.clone(), environment.clone());
    let mut decider = Decider::new(&policy, &Limits::default(), batch_size).expect("a memory of flows");
    for chunk in packets.chunks(batch_size.max(1)) {
        let (first, names) = (told.verdicts.len(), &engine.program().triggers);
        let events = &mut told.events;
        let mut hear = |event: &TriggerEvent<'_>| {
            let key = event.key.filter(|key| !key.is_empty());
            let key = key.map_or_else(String::new, |key| format!("[{}]", key_text(&key_parts(key))));
            let outcome = format!("{:?}", event.outcome).to_lowercase();
            events.push((first + event.at, format!("{}{key} {outcome}", names[event.trigger].name)));
        };
        let batch = decider.decide_and_tell(&policy, chunk, Some(&mut hear));
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

/// Runs packets through an engine while changes are made, each before the first packet that is not
/// earlier.
pub fn run_with_changes(
    kind: EngineKind,
    program: &Arc<Program>,
    packets: &[Packet],
    changes: &[Timed],
) -> Decided {
    let environment = Environment::new(program).expect("an environment");
    let engine = Arc::new(Engine::new(kind, program.clone(), &environment).expect("an engine"));
    let mut policy = Policy::repeatable(engine, environment);
    let mut decider = Decider::new(&policy, &Limits::default(), 1).expect("a memory of flows");
    let (mut told, mut rest) = (Decided::default(), changes);
    for packet in packets {
        let due = rest.iter().take_while(|change| change.time <= packet.time).count();
        for change in &rest[..due] {
            decider.change(&mut policy, change.time, &change.change).expect("a change that can be made");
        }
        rest = &rest[due..];
        let batch = decider.decide(&policy, std::slice::from_ref(packet));
        told.verdicts.push(batch.verdicts(0).map(|(s, verdict)| (s.index(), verdict)).collect());
    }
    told
}

/// What a packet is to triggers, and which it raises.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// Keys, and what windows count.
    pub probe: Probe,
    /// What fires.
    pub fired: Vec<Fired>,
}

/// Runs packets through an engine with a context that is given: all at once, then each by itself;
/// what each is to triggers.
pub fn run_with_context(
    engine: &Engine,
    environment: &Environment,
    packets: &[Packet],
    context: &BatchContext,
    one_by_one: bool,
) -> (Decided, Vec<Raised>) {
    let (mut scratch, mut batch) = (Scratch::default(), Batch::new(engine.program(), packets.len()));
    let (mut told, mut raised) = (Decided::default(), Vec::new());
    if !one_by_one {
        engine.decide(environment, &mut scratch, packets, context, &mut batch);
    }
    for (i, packet) in packets.iter().enumerate() {
        if one_by_one {
            engine.decide_part(environment, &mut scratch, packets, i..i + 1, context, &mut batch);
        }
        told.verdicts.push(batch.verdicts(i).map(|(station, verdict)| (station.index(), verdict)).collect());
        let program = engine.program();
        let (mut probe, mut fired) = (Probe::new(program, 1), vec![Fired::No; program.triggers.len()]);
        engine.probe(
            environment,
            &mut scratch,
            std::slice::from_ref(packet),
            PacketContext::of(context, i),
            &mut probe,
        );
        // Numbers that windows could say, the same for both engines.
        let said: Vec<u64> = (0..program.windows.len()).map(|w| ((i + 3) * (w + 5) % 7) as u64).collect();
        let seen = PacketContext::of(context, i).with_windows(&said);
        engine.fire(environment, &mut scratch, std::slice::from_ref(packet), seen, &mut fired);
        raised.push(Raised { probe, fired });
    }
    told.matched = batch.matched().to_vec();
    told.limited = batch.limited().to_vec();
    (told, raised)
}
