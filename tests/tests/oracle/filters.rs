//! Holds what filters mean against tshark: every filter of tests/oracle/filters.txt must select the
//! same frames there and in both engines, in every shipped capture (and those in `MRULE_CAPTURES`).
//! tshark takes all filters in one pass over a capture (tests/oracle/tshark.lua), without
//! reassembly, as a mirror decides packet by packet. (Rejected: expectations kept in a file; the
//! judge itself is asked, so captures can be remade.)

use mrule_compiler::fields::{FIELDS, Field, Source};
use mrule_tests::frames::{captures, read, ships};
use mrule_tests::oracle::{Filters, Numbers, ask, installed, selected, stem};
use mrule_tests::run::ENGINES;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

const FILTERS: &str = include_str!("../../oracle/filters.txt");
const DIFFERENCES: &str = include_str!("../../oracle/differences.txt");

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
    used: Cell<bool>,
}

impl Difference {
    /// Takes the frames that this line is about out of those where a filter does not select the
    /// same.
    fn set_aside(&self, capture: &str, filter: &Filter, differ: &mut Numbers) {
        let named =
            |name: &&str| *name == "*" || filter.ours.split([' ', '(', '!']).any(|w| w.starts_with(name));
        if self.names.iter().any(named) {
            for (_, number) in self.frames.iter().filter(|f| f.0 == capture) {
                if differ.remove(number) {
                    self.used.set(true);
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
                used: Cell::new(false),
            }
        })
        .collect()
}

/// Which of `filter`'s frames differ in an engine from what tshark says, those set aside apart; as
/// text for a failure.
fn compare(
    filter: &Filter,
    capture: &str,
    got: &Numbers,
    wanted: &Numbers,
    differences: &[Difference],
) -> Option<String> {
    let mut differ: Numbers = got.symmetric_difference(wanted).copied().collect();
    for difference in differences {
        difference.set_aside(capture, filter, &mut differ);
    }
    let (here, there): (Vec<usize>, Vec<usize>) =
        differ.iter().copied().take(20).partition(|n| got.contains(n));
    let text =
        format!("line {}: `{}`: only here {here:?}, only in tshark {there:?}", filter.line, filter.ours);
    (!differ.is_empty()).then_some(text)
}

#[test]
fn filters_select_what_tshark_selects() {
    if !installed("tshark") {
        return;
    }
    let (filters, differences) = (filters(), differences());
    let theirs: Vec<&str> = filters.iter().map(|f| &*f.theirs).collect();
    let ours = Filters::of(filters.iter().map(|f| &*f.ours)).unwrap_or_else(|e| panic!("{e}"));
    let captures = captures();
    let judged =
        ask(&captures, |capture| selected(capture, &theirs, &["-o", "tcp.desegment_tcp_streams:FALSE"]));
    let (mut lines, mut ever) = (Vec::new(), BTreeSet::new());
    for (capture, judge) in captures.iter().zip(judged) {
        let (name, shipped) = (stem(capture), ships(capture));
        let engines = ours.selected(&read(capture));
        for (i, filter) in filters.iter().enumerate() {
            if filter.only.as_ref().is_some_and(|only| !only.iter().any(|n| n == name)) {
                continue;
            }
            let aside = if filter.only.is_some() { &Numbers::new() } else { &judge.layers };
            let wanted = &judge.frames[i] - aside;
            if shipped && !wanted.is_empty() {
                ever.insert(filter.line);
            }
            for (engine, selected) in ENGINES.iter().zip(&engines) {
                let got = &selected[i] - aside;
                lines.extend(
                    compare(filter, name, &got, &wanted, &differences)
                        .map(|l| format!("{name}, {engine:?}, {l}")),
                );
            }
        }
    }
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
    let idle = filters.iter().filter(|f| ever.contains(&f.line) == f.selects_nothing).map(|f| &f.ours);
    let idle: Vec<_> = idle.collect();
    assert!(
        idle.is_empty(),
        "select nothing in any capture that ships, or something against their word: {idle:#?}"
    );
    let unused = differences.iter().filter(|d| !d.used.get()).map(|d| d.text);
    let unused: Vec<_> = unused.collect();
    assert!(unused.is_empty(), "differences that are none any more: {unused:#?}");
}

#[test]
fn every_field_of_wiresharks_is_compared() {
    // Fields of our own are spelt in Wireshark's terms there; hashes have none, and `layers` holds
    // what is not parsed.
    let texts: Vec<String> = filters().into_iter().map(|f| format!(" {} ", f.ours)).collect();
    let named = |name: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        texts.iter().any(|t| {
            t.match_indices(name)
                .any(|(at, _)| !t[..at].ends_with(word) && !t[at + name.len()..].starts_with(word))
        })
    };
    // What flows and messages say is held against tshark by the tests of applications and streams.
    let alone = |f: &&Field| !matches!(f.source, Source::Flow { .. } | Source::Sided(_) | Source::Facet(_));
    let missing: Vec<_> = FIELDS
        .iter()
        .filter(alone)
        .map(|f| f.name)
        .filter(|n| !n.ends_with(".hash") && *n != "frame.unparsed" && !named(n))
        .collect();
    assert!(missing.is_empty(), "no filter of tests/oracle/filters.txt has {missing:?}");
}

#[test]
fn captures_ship() {
    let total: u64 = captures().iter().map(|c: &PathBuf| c.metadata().unwrap().len()).sum();
    assert!(total < 4 << 20 || std::env::var_os("MRULE_CAPTURES").is_some(), "{total} bytes of captures");
}
