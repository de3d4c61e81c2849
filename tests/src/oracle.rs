//! Judges from outside: tshark, tcpdump, editcap, and what all comparisons with them need. A tool that is not there skips its test
//! with a line on standard error that the test harness does not swallow.

use crate::frames::Frame;
use crate::run::{ENGINES, compile_files, run};
use mrule_compiler::abi::{MAX_STATIONS, Packet};
use mrule_compiler::world::World;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Which frames each filter selects in each engine: `selected(..)[engine][filter]`.
pub fn selected(filters: &[String], frames: &[Frame]) -> Vec<Vec<Numbers>> {
    let packets: Vec<Packet> = frames.iter().map(Frame::packet).collect();
    let mut all = vec![Vec::new(); ENGINES.len()];
    for filters in filters.chunks(MAX_STATIONS) {
        let mut text = String::new();
        for (i, filter) in filters.iter().enumerate() {
            let _ = writeln!(text, "station s{i} {{ pcapng \"s{i}.pcapng\" }}");
            let _ = writeln!(text, "rule r{i} {{ match {filter}  snaplen full  to s{i} }}");
        }
        let program = compile_files(&[("oracle.mrule", &text)], &[]).unwrap_or_else(|e| panic!("{e}\nin\n{text}"));
        let program = Arc::new(program);
        let station = |i: usize| program.stations.iter().position(|s| s.name == format!("s{i}")).expect("a station");
        let stations: Vec<usize> = (0..filters.len()).map(station).collect();
        let world = World::new(&program).expect("a world");
        for (engine, all) in ENGINES.iter().zip(&mut all) {
            let told = run(*engine, &program, &world, &packets, 256).expect("an engine");
            let mut numbers = vec![Numbers::new(); program.stations.len()];
            for (i, verdicts) in told.verdicts.iter().enumerate() {
                for (station, _) in verdicts {
                    numbers[*station].insert(i + 1);
                }
            }
            all.extend(stations.iter().map(|&s| numbers[s].clone()));
        }
    }
    all
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
