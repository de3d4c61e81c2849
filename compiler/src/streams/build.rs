//! From patterns to the table that streams are scanned with. The library builds an automaton of all patterns at once, in
//! which a state tells what has matched before the last byte; here its states are put into three runs (see
//! [`Automaton`]), and for each it is worked out which patterns match whatever byte comes next, so that the last byte of
//! a match can report it. The invariant: nothing is larger than its limit, and what is too large is refused with the
//! pattern that made it so. (Rejected: the library's own search for overlapping matches, which is one byte late: the packet
//! that completes a match would not be the one that reports it.)

use super::skip::Skip;
use super::{Automaton, Says, TooLarge};
use crate::hir::{Program, StreamId, StreamKind};
use crate::pattern;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;
use std::collections::HashMap;

/// What is before the first byte, in the middle of a stream: neither a letter nor the end of a line.
const UNSEEN: u8 = 0;

/// Why there is no automaton, and of what size it would at least be.
enum Failure {
    TooLarge(usize),
    Other(String),
}

/// Builds the automaton of these patterns, of at most `limit` bytes.
pub(super) fn build(program: &Program, limit: usize) -> Result<Automaton, TooLarge> {
    let kinds: Vec<&StreamKind> = program.streams.iter().map(|pattern| &pattern.kind).collect();
    compile(&kinds, limit).map_err(|failure| blame(&kinds, failure, limit))
}

/// Finds the pattern to speak of: one that is too large by itself, or else the largest. (Rejected: to search for the first
/// with which those before are too many; each try takes as long as the failure did.)
fn blame(kinds: &[&StreamKind], failure: Failure, limit: usize) -> TooLarge {
    let mib = limit >> 20;
    let refused = |pattern, size, message| TooLarge { pattern, size, limit, message };
    let mut largest = (0, None);
    for (i, &kind) in kinds.iter().enumerate() {
        let at = Some(StreamId(i as u32));
        match compile(&[kind], limit) {
            Ok(alone) => largest = largest.max((alone.next.len() * 4, at)),
            Err(Failure::TooLarge(size)) => {
                let message = format!(
                    "this stream pattern needs an automaton of more than {mib} MiB: write smaller repetitions, and fewer of them"
                );
                return refused(at, size, message);
            }
            Err(Failure::Other(message)) => return refused(at, 0, message),
        }
    }
    let size = match failure {
        Failure::TooLarge(size) => size,
        Failure::Other(message) => return refused(None, 0, message),
    };
    let (bytes, pattern) = largest;
    let message = format!(
        "the stream patterns together need an automaton of more than {mib} MiB, though each alone fits: `.*` and repeated \
         classes multiply with all other patterns; this one is the largest by itself, with {} KiB",
        bytes.div_ceil(1024)
    );
    refused(pattern, size, message)
}

/// Patterns as the library takes them; equal ones once.
fn parse(kinds: &[&StreamKind]) -> Result<(Vec<Hir>, Vec<Vec<StreamId>>), Failure> {
    let (mut parsed, mut ids) = (Vec::new(), Vec::<Vec<StreamId>>::new());
    let mut seen = HashMap::new();
    for (i, &kind) in kinds.iter().enumerate() {
        let at = *seen.entry(kind).or_insert(parsed.len());
        if at == parsed.len() {
            parsed.push(match kind {
                StreamKind::Contains(bytes) => Hir::literal(bytes.to_vec()),
                StreamKind::Matches(text) => syntax::parse_with(text, &pattern::syntax())
                    .map_err(|error| Failure::Other(error.to_string()))?,
            });
            ids.push(Vec::new());
        }
        if let Some(ids) = ids.get_mut(at) {
            ids.push(StreamId(i as u32));
        }
    }
    Ok((parsed, ids))
}

fn compile(kinds: &[&StreamKind], limit: usize) -> Result<Automaton, Failure> {
    let (parsed, ids) = parse(kinds)?;
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(limit));
    let nfa =
        thompson::Compiler::new().configure(config).build_many_from_hir(&parsed).map_err(
            |error| match error.size_limit() {
                Some(_) => Failure::TooLarge(limit),
                None => Failure::Other(error.to_string()),
            },
        )?;
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .accelerate(false)
        .dfa_size_limit(Some(limit))
        .determinize_size_limit(Some(4 * limit));
    let dfa = dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|error| {
        match error.is_size_limit_exceeded() {
            true => Failure::TooLarge(limit),
            false => Failure::Other(error.to_string()),
        }
    })?;
    arrange(&dfa, &ids)
}

/// A state while states are put in order.
struct Old {
    id: StateID,
    /// What has matched before the last byte.
    matched: Vec<u32>,
    /// What matches whatever comes next.
    sure: Vec<u32>,
}

fn arrange(dfa: &dense::DFA<Vec<u32>>, ids: &[Vec<StreamId>]) -> Result<Automaton, Failure> {
    let classes: [u8; 256] = std::array::from_fn(|byte| dfa.byte_classes().get(byte as u8));
    let stride = classes.iter().max().map_or(1, |&class| usize::from(class) + 1);
    let mut sample = vec![0u8; stride];
    for byte in 0..=255u8 {
        sample[usize::from(classes[usize::from(byte)])] = byte;
    }
    let start = |before: Option<u8>| {
        let config = start::Config::new().look_behind(before).anchored(Anchored::No);
        dfa.start_state(&config).map_err(|error| Failure::Other(error.to_string()))
    };
    let (text_start, middle) = (start(None)?, start(Some(UNSEEN))?);

    // All states that bytes lead to, by breadth.
    let mut order = HashMap::new();
    let mut states: Vec<Old> = Vec::new();
    let mut edges: Vec<u32> = Vec::new();
    let mut number = |id: StateID, states: &mut Vec<Old>| {
        *order.entry(id).or_insert_with(|| {
            let matched = if dfa.is_match_state(id) {
                (0..dfa.match_len(id)).map(|i| dfa.match_pattern(id, i).as_u32()).collect()
            } else {
                Vec::new()
            };
            states.push(Old { id, matched, sure: Vec::new() });
            states.len() as u32 - 1
        })
    };
    let (text_start, middle) = (number(text_start, &mut states), number(middle, &mut states));
    let mut done = 0;
    while let Some(id) = states.get(done).map(|state| state.id) {
        for &byte in &sample {
            edges.push(number(dfa.next_state(id, byte), &mut states));
        }
        done += 1;
    }

    // What matches whatever comes next, and which patterns ever depend on that.
    let mut looks_ahead = vec![false; ids.len()];
    for (i, row) in edges.chunks_exact(stride).enumerate() {
        let matched = |&to: &u32| states.get(to as usize).map_or(&[][..], |state| state.matched.as_slice());
        let mut sure = row.first().map(matched).unwrap_or(&[]).to_vec();
        for to in row {
            sure.retain(|pattern| matched(to).contains(pattern));
        }
        for pattern in row.iter().flat_map(matched).filter(|pattern| !sure.contains(pattern)) {
            looks_ahead[*pattern as usize] = true;
        }
        if let Some(state) = states.get_mut(i) {
            state.sure = sure;
        }
    }
    for state in &mut states {
        state.matched.retain(|&pattern| looks_ahead[pattern as usize]);
    }

    // The three runs.
    let says = |at: u32| {
        states.get(at as usize).is_some_and(|state| !state.sure.is_empty() || !state.matched.is_empty())
    };
    let first: Vec<u32> = edges.iter().skip(middle as usize * stride).take(stride).copied().collect();
    let run = |at: u32| if says(at) { 2 } else { u8::from(at != middle && !first.contains(&at)) };
    let mut old: Vec<u32> = (0..states.len() as u32).collect();
    old.sort_by_key(|&at| run(at));
    let count = |wanted: u8| old.iter().filter(|&&at| run(at) < wanted).count() * stride;
    let (shallow, says_from) = (count(1) as u32, count(2) as u32);
    let mut new = vec![0; states.len()];
    for (place, &at) in old.iter().enumerate() {
        new[at as usize] = (place * stride) as u32;
    }
    let mut next = Vec::with_capacity(edges.len());
    let (mut all, mut list) = (Vec::new(), Vec::new());
    for &at in &old {
        let row = edges.iter().skip(at as usize * stride).take(stride);
        next.extend(row.map(|&to| new[to as usize]));
        if let Some(state) = states.get(at as usize).filter(|_| says(at)) {
            let from = list.len() as u32;
            let ids = |pattern: &u32| ids.get(*pattern as usize).into_iter().flatten();
            list.extend(state.sure.iter().flat_map(ids));
            let late = list.len() as u32;
            list.extend(state.matched.iter().flat_map(ids));
            all.push(Says { from, late, to: list.len() as u32 });
        }
    }
    let middle = new[middle as usize];
    let rows = Rows { map: &classes, classes: stride, table: &next, middle, says_from };
    let skip = Skip::new(&rows);
    let first = classes.map(|class| rows.next(middle, usize::from(class)));
    Ok(Automaton {
        classes,
        stride: stride as u32,
        shallow: if skip.is_some() { shallow } else { 0 },
        says_from,
        says: all,
        ids: list,
        text_start: new[text_start as usize],
        middle,
        first,
        skip,
        next,
    })
}

/// The finished table, for looking around in it.
pub(super) struct Rows<'t> {
    pub(super) map: &'t [u8; 256],
    /// How many classes there are.
    pub(super) classes: usize,
    table: &'t [u32],
    /// The start in the middle of a stream.
    pub(super) middle: u32,
    says_from: u32,
}

impl Rows<'_> {
    pub(super) fn next(&self, at: u32, class: usize) -> u32 {
        self.table.get(at as usize + class).copied().unwrap_or(0)
    }

    pub(super) fn says(&self, at: u32) -> bool {
        at >= self.says_from
    }

    pub(super) fn class(&self, byte: u8) -> usize {
        usize::from(self.map[usize::from(byte)])
    }
}
