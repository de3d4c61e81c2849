//! Judges from outside: tshark, tcpdump, editcap, and what all comparisons with them need. A tool
//! that is not there skips its test with a line on standard error that the test harness does not
//! swallow.

use crate::compile_text;
use crate::frames::Frame;
use crate::run::{ENGINES, run_engine};
use mrule_compiler::abi::{MAX_STATIONS, Packet};
use mrule_compiler::engine::Engine;
use mrule_compiler::environment::Environment;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
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

/// For each station, by its name: the number of each frame that it is sent, and which bytes of it.
pub type Copies<'a> = BTreeMap<&'a str, Vec<(usize, Range<usize>)>>;

/// One program in both engines.
pub struct Engines {
    environment: Environment,
    engines: [Arc<Engine>; 2],
}

impl Engines {
    /// Compiles rules; the errors one to a line.
    pub fn of(rules: &str) -> Result<Engines, String> {
        let program = Arc::new(compile_text(rules)?);
        let environment = Environment::new(&program).map_err(|e| e.to_string())?;
        let engine =
            |kind| Engine::new(kind, program.clone(), &environment).map(Arc::new).map_err(|e| e.to_string());
        let [first, second] = ENGINES.map(engine);
        Ok(Engines { engines: [first?, second?], environment })
    }

    /// What each of [`ENGINES`] sends.
    pub fn copies(&self, frames: &[Frame]) -> [Copies<'_>; 2] {
        let packets: Vec<Packet> = frames.iter().map(Frame::packet).collect();
        self.engines.each_ref().map(|engine| {
            let stations = &engine.program().stations;
            let mut copies: Copies = stations.iter().map(|s| (s.name.as_str(), Vec::new())).collect();
            let told = run_engine(engine, &self.environment, &packets, 256);
            for (i, verdicts) in told.verdicts.into_iter().enumerate() {
                for (station, verdict) in verdicts {
                    let range = verdict.start as usize..verdict.end as usize;
                    copies.get_mut(&*stations[station].name).expect("a station").push((i + 1, range));
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
    /// Compiles filters, as many in a program as it may have stations; the error is all that is
    /// wrong with them.
    pub fn of<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<Filters, String> {
        let filters: Vec<&str> = filters.into_iter().collect();
        let rule = |(i, filter): (usize, &&str)| {
            format!(
                "station s{i} {{ pcapng \"{i}\" }}\nrule r{i} {{ match {filter}  snaplen full  to s{i} }}\n"
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

/// What tshark says of a capture.
pub struct Selected {
    /// Frames with several IP or Ethernet layers.
    pub layers: Numbers,
    /// For each filter, the frames that it selects.
    pub frames: Vec<Numbers>,
}

/// Which frames tshark selects by each of these filters, in one pass (tests/oracle/tshark.lua),
/// with these options. It puts no fragments together.
pub fn selected(capture: &Path, filters: &[&str], options: &[&str]) -> Selected {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/tshark.lua");
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("filters");
    std::fs::write(&list, filters.iter().map(|f| format!("{f}\n")).collect::<String>()).expect("a list");
    let output = Command::new("tshark")
        .args(["-n", "-q", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"])
        .args(options)
        .args(["-X", &format!("lua_script:{}", script.display()), "-r"])
        .arg(capture)
        .env("ORACLE_FILTERS", list)
        .output()
        .expect("tshark");
    let (mut layers, mut frames) = (None, vec![None; filters.len()]);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("layers") => layers = Some(words.map(|n| n.parse().expect("a number")).collect()),
            Some("match") => {
                let filter: usize = words.next().and_then(|n| n.parse().ok()).expect("a number");
                frames[filter - 1] = Some(words.map(|n| n.parse().expect("a number")).collect());
            }
            _ => panic!("{}: {line}", capture.display()),
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Selected {
        layers: layers.unwrap_or_else(|| panic!("{}: {said}", capture.display())),
        frames: frames.into_iter().map(|s| s.expect("an answer to every filter")).collect(),
    }
}

/// Asks `job` about every item, on all cores; the answers in the order of the items.
pub fn ask<T: Sync, A: Send>(items: &[T], job: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut answers: Vec<(usize, A)> = std::thread::scope(|scope| {
        let work = || {
            let mut answers = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { return answers };
                answers.push((i, job(item)));
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("an answer")).collect()
    });
    answers.sort_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The name of a capture without its folder and extension.
pub fn stem(capture: &Path) -> &str {
    capture.file_stem().and_then(|s| s.to_str()).expect("a name")
}
