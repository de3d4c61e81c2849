//! The automaton compared with plain searches over the whole history, however the stream is cut.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::hir::Program;
use crate::pattern;
use proptest::prelude::*;
use regex_automata::{Input, MatchKind, dfa::Automaton as _, dfa::dense, util::start};
use std::collections::BTreeSet;

fn contains(bytes: &[u8]) -> StreamKind {
    StreamKind::Contains(bytes.into())
}

fn matches(text: &str) -> StreamKind {
    StreamKind::Matches(pattern::translate(text).unwrap())
}

fn automaton(kinds: Vec<StreamKind>) -> Automaton {
    build(&kinds, LIMIT).unwrap()
}

/// The matches that each chunk reports.
fn chunks(automaton: &Automaton, at_start: bool, chunks: &[&[u8]]) -> Vec<BTreeSet<(u32, u64)>> {
    let mut state = automaton.start(at_start);
    let mut offset = 0;
    let scan = |chunk: &&[u8]| {
        let mut found = BTreeSet::new();
        automaton.scan(&mut state, chunk, offset, &mut |id, end| {
            found.insert((id.0, end));
        });
        offset += chunk.len() as u64;
        found
    };
    chunks.iter().map(scan).collect()
}

fn all(automaton: &Automaton, at_start: bool, bytes: &[u8]) -> BTreeSet<(u32, u64)> {
    chunks(automaton, at_start, &[bytes]).concat_sets()
}

trait Concat {
    fn concat_sets(self) -> BTreeSet<(u32, u64)>;
}

impl Concat for Vec<BTreeSet<(u32, u64)>> {
    fn concat_sets(self) -> BTreeSet<(u32, u64)> {
        self.into_iter().flatten().collect()
    }
}

/// All ends of matches. Each end is tried by itself on the whole history: a match ends at `end` if
/// the library's automaton of this pattern alone says so, after the bytes before `end` and one more
/// byte.
fn plain(kind: &StreamKind, at_start: bool, bytes: &[u8]) -> BTreeSet<u64> {
    match kind {
        StreamKind::Contains(needle) => (needle.len()..=bytes.len())
            .filter(|&end| bytes[..end].ends_with(needle))
            .map(|end| end as u64)
            .collect(),
        StreamKind::Matches(text) => {
            let dfa = dense::Builder::new()
                .syntax(pattern::syntax())
                .thompson(regex_automata::nfa::thompson::Config::new().utf8(false))
                .configure(dense::Config::new().match_kind(MatchKind::All))
                .build(text)
                .unwrap();
            let mut ends = BTreeSet::new();
            for from in 0..=bytes.len() {
                let before = match from {
                    0 if at_start => None,
                    0 => Some(0),
                    _ => Some(bytes[from - 1]),
                };
                let config = start::Config::new()
                    .look_behind(before)
                    .anchored(Input::new("").anchored(regex_automata::Anchored::Yes).get_anchored());
                let mut state = dfa.start_state(&config).unwrap();
                for (at, &byte) in bytes.iter().enumerate().skip(from) {
                    state = dfa.next_state(state, byte);
                    if dfa.is_match_state(state) {
                        ends.insert(at as u64);
                    }
                }
                // At the end of the history: whether it matches whatever follows.
                if (0..=255).all(|byte| dfa.is_match_state(dfa.next_state(state, byte))) {
                    ends.insert(bytes.len() as u64);
                }
            }
            ends
        }
    }
}

fn expected(kinds: &[StreamKind], at_start: bool, bytes: &[u8]) -> BTreeSet<(u32, u64)> {
    let of = |(i, kind): (usize, &StreamKind)| {
        plain(kind, at_start, bytes).into_iter().map(move |end| (i as u32, end)).collect::<Vec<_>>()
    };
    kinds.iter().enumerate().flat_map(of).collect()
}

#[test]
fn last_byte_reports() {
    let automaton = automaton(vec![contains(b"session=evil"), matches("cookie: [a-z]+;")]);
    let text = b"Cookie: abc; session=evil";
    let cuts: Vec<&[u8]> = text.chunks(1).collect();
    let found = chunks(&automaton, true, &cuts);
    assert_eq!(found[11], BTreeSet::from([(1, 12)]));
    assert_eq!(found[24], BTreeSet::from([(0, 25)]));
    assert_eq!(found.concat_sets().len(), 2);
}

#[test]
fn look_ahead_waits_for_the_next_byte() {
    let automaton = automaton(vec![matches(r"evil\b"), matches(r"(?m)evil$"), matches(r"\bevil")]);
    let found = chunks(&automaton, true, &[b"evil", b"\n", b"evil"]);
    assert_eq!(found[0], BTreeSet::from([(2, 4)]));
    assert_eq!(found[1], BTreeSet::from([(0, 4), (1, 4)]));
    assert_eq!(found[2], BTreeSet::from([(2, 9)]));
}

#[test]
fn starts() {
    let automaton = automaton(vec![matches("^GET"), matches(r"\bGET"), matches("(?m)^GET"), matches("GET$")]);
    assert_eq!(all(&automaton, true, b"GET"), BTreeSet::from([(0, 3), (1, 3), (2, 3)]));
    assert_eq!(all(&automaton, false, b"GET"), BTreeSet::from([(1, 3)]));
    assert_eq!(all(&automaton, false, b"\nGET\n"), BTreeSet::from([(1, 4), (2, 4)]));
}

#[test]
fn anchored_only() {
    let automaton = automaton(vec![matches("^GET"), matches("^POST")]);
    assert_eq!(all(&automaton, true, b"POST GET POST GET POST GET POST GET"), BTreeSet::from([(1, 4)]));
    assert!(all(&automaton, false, b"POST GET POST GET POST GET POST GET").is_empty());
}

#[test]
fn empty_and_equal() {
    let automaton = automaton(vec![contains(b""), contains(b"a"), contains(b"a"), matches("^")]);
    assert_eq!(
        all(&automaton, true, b"ab"),
        BTreeSet::from([(0, 0), (0, 1), (0, 2), (1, 1), (2, 1), (3, 0)])
    );
    assert!(Program::default().automaton().is_ok());
}

#[test]
fn too_large() {
    let limit = 1 << 20;
    let refuse = |kinds: Vec<StreamKind>, limit| build(&kinds, limit).unwrap_err();
    let refused = refuse(vec![contains(b"a"), matches("a.{40}b.{40}c"), matches("a[^b]{200}c.{30}e")], limit);
    assert_eq!((refused.pattern, refused.limit), (Some(StreamId(1)), limit));
    assert!(refused.size >= limit, "{refused:?}");
    let letters = (b'a'..=b'z').map(char::from);
    let refused = refuse(letters.map(|c| matches(&format!("{c}x.*y{c}"))).collect(), 1 << 15);
    assert!(refused.pattern.is_some() && refused.message.contains("together"), "{refused:?}");
}

#[test]
fn in_parts() {
    let kinds: Vec<_> =
        ('a'..='l').map(|c| matches(&format!("{c}x.*y{c}"))).chain([contains(b"xy")]).collect();
    let mut state = 7_u32;
    let text: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefghijklxxxxxyyyyy\n"[(state >> 16) as usize % 23]
    })
    .take(600)
    .collect();
    let mut parts = BTreeSet::new();
    for limit in [16, 18, 23].map(|bits| 1 << bits) {
        let automaton = build(&kinds, limit).unwrap();
        assert!(automaton.parts.iter().all(|part| part.next.len() * 4 <= limit), "{limit}");
        let cuts: Vec<&[u8]> = text.chunks(7).collect();
        let found = chunks(&automaton, true, &cuts).concat_sets();
        assert_eq!(found, expected(&kinds, true, &text), "{limit}");
        assert!(found.iter().any(|(id, _)| *id == 12) && found.len() > 20);
        parts.insert(automaton.parts.len());
    }
    assert!(parts.len() > 1 && parts.contains(&PARTS), "{parts:?}");
}

fn kind() -> impl Strategy<Value = StreamKind> {
    let pieces = [
        "a", "b", ".", "[^a]", "\\b", "(?:ab|b)", "a+", "b*", "a{2,3}", "\\n", "ab", "abab", "(?m)^a",
        "(?m)$", "^", "$", "\\B", "a|b", "c",
    ];
    prop_oneof![
        proptest::collection::vec(proptest::sample::select(&b"abc \n"[..]), 1..6).prop_map(|b| contains(&b)),
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 1..5)
            .prop_filter_map("not a pattern", |p| pattern::translate(&p.concat())
                .ok()
                .map(StreamKind::Matches)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn as_plain_search(
        kinds in proptest::collection::vec(kind(), 1..5),
        bytes in proptest::collection::vec(proptest::sample::select(&b"aaabbbc \nxyzwv"[..]), 1..90),
        cuts in proptest::collection::vec(0usize..90, 0..6),
        at_start in any::<bool>(),
    ) {
        // A match of the empty text is reported with the first byte.
        let automaton = automaton(kinds.clone());
        let whole = all(&automaton, at_start, &bytes);
        prop_assert_eq!(&whole, &expected(&kinds, at_start, &bytes));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|c| &bytes[c[0]..c[1]]).collect();
        let found = chunks(&automaton, at_start, &parts);
        // Each chunk reports the matches of the history up to its end that the previous history
        // does not have.
        let mut told = expected(&kinds, at_start, b"");
        for (found, end) in found.into_iter().zip(&cuts[1..]) {
            let now = expected(&kinds, at_start, &bytes[..*end]);
            let new: BTreeSet<_> = now.difference(&told).copied().collect();
            let found: BTreeSet<_> = found.difference(&told).copied().collect();
            prop_assert_eq!(found, new);
            told = now;
        }
    }
}
