//! Holds what filters mean against tshark: every filter of tests/oracle/filters.txt must select the same frames there and in
//! both engines, in every shipped capture (and those in `MRULE_CAPTURES`). tshark takes all filters in one pass over
//! a capture (tests/oracle/tshark.lua), without reassembly, as a mirror decides packet by packet.
//! (Rejected: expectations kept in a file; the judge itself is asked, so captures can be remade.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mrule_tests::frames::{captures, read};
use mrule_tests::oracle::{ENGINES, Filters, Numbers, complaints, installed, stem};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const FILTERS: &str = include_str!("../oracle/filters.txt");
const DIFFERENCES: &str = include_str!("../oracle/differences.txt");

/// A line of filters.txt.
struct Filter {
    line: usize,
    ours: String,
    theirs: String,
    /// The captures that it is for, where all their frames count; none: all captures.
    only: Option<Vec<String>>,
    selects_nothing: bool,
}

fn filters() -> Vec<Filter> {
    let lines = FILTERS.lines().enumerate().filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines
        .map(|(i, text)| {
            let (only, text) = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                Some((names, text)) => (Some(names.split(' ').map(str::to_owned).collect()), text),
                None => (None, text),
            };
            let (selects_nothing, text) = match text.strip_prefix("NONE ") {
                Some(text) => (true, text),
                None => (false, text),
            };
            let (ours, theirs) = text.split_once(" ~~ ").unwrap_or((text, text));
            Filter { line: i + 1, ours: ours.to_owned(), theirs: theirs.to_owned(), only, selects_nothing }
        })
        .collect()
}

/// A line of differences.txt.
struct Difference {
    text: &'static str,
    frames: Vec<(&'static str, usize)>,
    names: Vec<&'static str>,
    used: AtomicBool,
}

impl Difference {
    /// Takes the frames that this line is about out of those where a filter does not select the same.
    fn set_aside(&self, capture: &str, filter: &Filter, differ: &mut Numbers) {
        let named =
            |name: &&str| *name == "*" || filter.ours.split([' ', '(', '!']).any(|w| w.starts_with(name));
        if self.names.iter().any(named) {
            for (_, number) in self.frames.iter().filter(|f| f.0 == capture) {
                if differ.remove(number) {
                    self.used.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}

fn differences() -> Vec<Difference> {
    let lines = DIFFERENCES.lines().filter(|text| !text.is_empty() && !text.starts_with('#'));
    lines
        .map(|text| {
            let [frames, names, _] = text.split(" | ").collect::<Vec<_>>()[..] else { panic!("{text}") };
            let frame =
                |f: &'static str| f.split_once(':').map(|(name, n)| (name, n.parse().unwrap())).unwrap();
            Difference {
                text,
                frames: frames.split(' ').map(frame).collect(),
                names: names.split(' ').collect(),
                used: AtomicBool::new(false),
            }
        })
        .collect()
}

/// What tshark says of a capture.
struct Tshark {
    /// Frames with several IP or Ethernet layers.
    layers: Numbers,
    /// For each filter, the frames it selects.
    selected: Vec<Numbers>,
}

fn tshark(capture: &Path, filters: &Path, count: usize) -> Tshark {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/tshark.lua");
    let output = Command::new("tshark")
        .args(["-n", "-q", "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "ip.defragment:FALSE"])
        .args(["-o", "ipv6.defragment:FALSE", "-X", &format!("lua_script:{}", script.display()), "-r"])
        .arg(capture)
        .env("ORACLE_FILTERS", filters)
        .output()
        .expect("tshark");
    let (mut layers, mut selected) = (None, vec![None; count]);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("layers") => layers = Some(words.map(|n| n.parse().unwrap()).collect()),
            Some("match") => {
                let filter: usize = words.next().unwrap().parse().unwrap();
                selected[filter - 1] = Some(words.map(|n| n.parse().unwrap()).collect());
            }
            _ => panic!("{}: {line}", capture.display()),
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Tshark {
        layers: layers.unwrap_or_else(|| panic!("{}: {said}", capture.display())),
        selected: selected.into_iter().map(|s| s.expect("an answer to every filter")).collect(),
    }
}

#[test]
fn filters_select_what_tshark_selects() {
    if !installed("tshark") {
        return;
    }
    let filters = filters();
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("filters");
    std::fs::write(&theirs, filters.iter().map(|f| f.theirs.clone() + "\n").collect::<String>()).unwrap();
    let ours = Filters::of(filters.iter().map(|f| &*f.ours)).unwrap_or_else(|e| panic!("{e}"));
    let differences = differences();
    let ever = Mutex::new(BTreeSet::new());
    let lines = complaints(&captures(), |capture| {
        let judge = tshark(capture, &theirs, filters.len());
        let engines = ours.selected(&read(capture));
        let mut lines = Vec::new();
        for (i, filter) in filters.iter().enumerate() {
            if filter.only.as_ref().is_some_and(|only| !only.iter().any(|name| name == stem(capture))) {
                continue;
            }
            let aside = if filter.only.is_some() { &Numbers::new() } else { &judge.layers };
            let wanted: Numbers = judge.selected[i].difference(aside).copied().collect();
            if !wanted.is_empty() {
                ever.lock().unwrap().insert(filter.line);
            }
            for (engine, selected) in ENGINES.iter().zip(&engines) {
                let got: Numbers = selected[i].difference(aside).copied().collect();
                let mut differ: Numbers = got.symmetric_difference(&wanted).copied().collect();
                for difference in &differences {
                    difference.set_aside(stem(capture), filter, &mut differ);
                }
                if !differ.is_empty() {
                    let (here, there): (Vec<usize>, Vec<usize>) =
                        differ.iter().copied().take(20).partition(|n| got.contains(n));
                    let (name, line, text) = (stem(capture), filter.line, &filter.ours);
                    lines.push(format!("{name}: line {line}, {engine}: `{text}`: only here {here:?}, only in tshark {there:?}"));
                }
            }
        }
        lines
    });
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
    let ever = ever.into_inner().unwrap();
    let idle: Vec<_> =
        filters.iter().filter(|f| ever.contains(&f.line) == f.selects_nothing).map(|f| &f.ours).collect();
    assert!(idle.is_empty(), "select nothing in any capture, or something against their word: {idle:#?}");
    let unused: Vec<_> =
        differences.iter().filter(|d| !d.used.load(Ordering::Relaxed)).map(|d| d.text).collect();
    assert!(unused.is_empty(), "differences that are none any more: {unused:#?}");
}

#[test]
fn every_field_of_wiresharks_is_compared() {
    // Fields of our own are spelt in Wireshark's terms there; hashes have none.
    let texts: Vec<String> = filters().into_iter().map(|f| format!(" {} ", f.ours)).collect();
    let named = |name: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        texts.iter().any(|t| {
            t.match_indices(name)
                .any(|(at, _)| !t[..at].ends_with(word) && !t[at + name.len()..].starts_with(word))
        })
    };
    let missing: Vec<_> = mrule_compiler::fields::FIELDS
        .iter()
        .map(|f| f.name)
        .filter(|n| !n.ends_with(".hash") && !named(n))
        .collect();
    assert!(missing.is_empty(), "no filter of tests/oracle/filters.txt has {missing:?}");
}

#[test]
fn captures_ship() {
    let total: u64 = captures().iter().map(|c: &PathBuf| c.metadata().unwrap().len()).sum();
    assert!(total < 3 << 20 || std::env::var_os("MRULE_CAPTURES").is_some(), "{total} bytes of captures");
}
