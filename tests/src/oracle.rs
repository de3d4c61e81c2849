//! Judges from outside: tshark, tcpdump, editcap, and what all comparisons with them need. A tool that is not there skips its test
//! with a line on standard error that the test harness does not swallow.

use crate::frames::Frame;
use mrule_compiler::abi::{MAX_STATIONS, Packet};
use mrule_compiler::batch::Batch;
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::world::{Scratch, World};
use mrule_grammar::diagnostic::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The engines, in the order in which all functions here answer.
pub const ENGINES: [&str; 2] = ["interp", "jit"];

/// Frame numbers, counting from 1.
pub type Numbers = BTreeSet<usize>;

/// Whether a program can be run; says aloud when not.
pub fn installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a comparison with {tool}, which is not installed");
    }
    found
}

/// One program in both engines.
pub struct Engines {
    world: World,
    engines: [Engine; 2],
}

impl Engines {
    /// Compiles rules; the errors one to a line.
    pub fn of(rules: &str) -> Result<Engines, String> {
        let mut loader = MemoryLoader::new([("oracle.mrule", rules)]);
        let compiled = compile(&["oracle.mrule".to_owned()], &mut loader, &[]);
        let errors = compiled.diagnostics.iter().filter(|d| d.severity() == Severity::Error);
        let errors: Vec<String> = errors.map(|d| format!("{} {}", d.code.id(), d.message)).collect();
        let program = Arc::new(compiled.program.ok_or(errors.join("\n"))?);
        let world = World::new(&program).map_err(|e| e.to_string())?;
        let engine = |kind| Engine::new(kind, program.clone(), &world).map_err(|e| e.to_string());
        Ok(Engines { engines: [engine(EngineKind::Interp)?, engine(EngineKind::Jit)?], world })
    }

    /// For each engine and each station, by its name: the frames that it is sent, and which bytes of them.
    pub fn copies(&self, frames: &[Frame]) -> [BTreeMap<&str, Vec<(usize, Range<usize>)>>; 2] {
        let packets: Vec<Packet> = frames.iter().map(Frame::packet).collect();
        self.engines.each_ref().map(|engine| {
            let stations = &engine.program().stations;
            let mut copies: BTreeMap<_, _> = stations.iter().map(|s| (s.name.as_str(), Vec::new())).collect();
            let (mut scratch, mut batch) = (Scratch::default(), Batch::new(engine.program(), packets.len()));
            engine.decide(&self.world, &mut scratch, &packets, &mut batch);
            for i in 0..packets.len() {
                for (station, verdict) in batch.verdicts(i) {
                    let range = verdict.start as usize..verdict.end as usize;
                    copies.get_mut(&*stations[station.index()].name).expect("a station").push((i + 1, range));
                }
            }
            copies
        })
    }
}

/// Filters, each with a rule and a station of its own.
pub struct Filters {
    programs: Vec<Engines>,
    count: usize,
}

impl Filters {
    /// Compiles filters, as many in a program as it may have stations; the error is all that is wrong with them.
    pub fn of<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<Filters, String> {
        let filters: Vec<&str> = filters.into_iter().collect();
        let rule = |(i, filter): (usize, &&str)| {
            format!(
                "station s{i} {{ pcapng \"s\" }}\nrule r{i} {{ match {filter}  snaplen full  to s{i} }}\n"
            )
        };
        let mut errors: Vec<String> = Vec::new();
        for one in filters.iter().enumerate() {
            errors.extend(Engines::of(&rule(one)).err().map(|e| format!("`{}`: {e}", one.1)));
        }
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        let text = |chunk: &[&str]| chunk.iter().enumerate().map(rule).collect::<String>();
        let programs = filters.chunks(MAX_STATIONS).map(|chunk| Engines::of(&text(chunk)));
        Ok(Filters { programs: programs.collect::<Result<_, _>>()?, count: filters.len() })
    }

    /// For each engine and filter, the frames that it selects.
    pub fn selected(&self, frames: &[Frame]) -> [Vec<Numbers>; 2] {
        let mut all = [Vec::new(), Vec::new()];
        for (p, program) in self.programs.iter().enumerate() {
            let count = (self.count - p * MAX_STATIONS).min(MAX_STATIONS);
            for (copies, all) in program.copies(frames).iter().zip(&mut all) {
                let numbers = |i| copies[&*format!("s{i}")].iter().map(|copy| copy.0).collect();
                all.extend((0..count).map(numbers));
            }
        }
        all
    }
}

/// Runs `job` for every item on all cores and gathers the lines that it complains in.
pub fn complaints<T: Sync>(items: &[T], job: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let mut lines = Vec::new();
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                lines.extend(job(item));
            }
            lines
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a comparison")).collect()
    })
}

/// The name of a capture without its folder and extension.
pub fn stem(capture: &Path) -> &str {
    capture.file_stem().and_then(|s| s.to_str()).expect("a name")
}
