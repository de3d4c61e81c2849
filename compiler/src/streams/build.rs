//! From patterns to the tables that streams are scanned with. The library builds an automaton of
//! each pattern, in which a state tells the matches before the last byte. This module determines
//! which matches are certain whatever byte comes next, so that the last byte of a match reports it.
//! Then it multiplies the automata, the smallest first, until there is one, or as few as the limit
//! allows. The invariant: nothing is larger than its limit. An automaton that is too large is
//! refused with the pattern that made it so. (Rejected: the library's own automaton of many
//! patterns, which visits the starts of all patterns for each state and byte: seconds instead of a
//! tenth of a second. Rejected: its own search for overlapping matches, which is one byte late:
//! another packet than the one that completes a match would report it.)

use super::product::{StateMatches, Table};
use super::{Automaton, PARTS, StreamId, StreamKind, TooLarge};
use crate::pattern;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;
use std::collections::{BTreeMap, HashMap};

/// The byte before the first byte, in the middle of a stream: neither a letter nor the end of a
/// line.
const UNSEEN: u8 = 0;

/// How many limits the automata of single patterns may take. Automata whose product fits the limit
/// take far less.
const SINGLES: usize = 4;
/// Into how many groups patterns are joined before they are spread over the parts. Trying a part
/// takes time in proportion to its size.
const GROUPS: usize = 32;

/// Why a pattern has no automaton.
enum Failure {
    TooLarge,
    Other(String),
}

/// Builds the automaton of these patterns, in the order of their numbers, of at most `limit` bytes.
///
/// # Errors The automaton would be larger.
pub fn build<'k>(
    patterns: impl IntoIterator<Item = &'k StreamKind>,
    limit: usize,
) -> Result<Automaton, TooLarge> {
    let mut ids = BTreeMap::<&StreamKind, Vec<StreamId>>::new();
    for (i, kind) in patterns.into_iter().enumerate() {
        ids.entry(kind).or_default().push(StreamId(i as u32));
    }
    let mut singles = Vec::with_capacity(ids.len());
    let mut size = 0;
    for (kind, ids) in &ids {
        let single =
            single(kind, ids, limit).map_err(|failure| refuse(failure, ids.first().copied(), limit))?;
        size += single.size();
        singles.push(single);
        if size > SINGLES * limit {
            break;
        }
    }
    let tables = if size > SINGLES * limit {
        None
    } else {
        multiply(&singles, 1, limit).or_else(|| {
            (1..).map(|i| 1 << i).take_while(|&n| n <= PARTS).find_map(|n| spread(&singles, n, limit / n))
        })
    };
    if let Some(tables) = tables {
        return Ok(Automaton { parts: tables.iter().map(Table::arrange).collect() });
    }
    let largest = singles.iter().max_by_key(|single| single.size());
    let mib = limit >> 20;
    let message = format!(
        "the stream patterns together need an automaton of more than {mib} MiB, though each alone fits: `.*` and repeated \
         classes multiply with all other patterns; this one is the largest by itself, with {} KiB",
        largest.map_or(0, Table::size).div_ceil(1024)
    );
    Err(TooLarge { pattern: largest.and_then(Table::some_id), size: limit, limit, message })
}

fn refuse(failure: Failure, pattern: Option<StreamId>, limit: usize) -> TooLarge {
    let mib = limit >> 20;
    let (size, message) = match failure {
        Failure::TooLarge => (
            limit,
            format!(
                "this stream pattern needs an automaton of more than {mib} MiB: write smaller repetitions, and fewer of them"
            ),
        ),
        Failure::Other(message) => (0, message),
    };
    TooLarge { pattern, size, limit, message }
}

/// Multiplies automata until there are at most `most`, each of at most `limit` bytes. It always
/// takes the two smallest, so that most products are small.
fn multiply(singles: &[Table], most: usize, limit: usize) -> Option<Vec<Table>> {
    let mut waiting: BTreeMap<(usize, usize), Table> =
        singles.iter().enumerate().map(|(i, single)| ((single.size(), i), single.clone())).collect();
    let mut serial = singles.len();
    while waiting.len() > most {
        let (_, small) = waiting.pop_first()?;
        let (_, large) = waiting.pop_first()?;
        let both = small.times(&large, limit)?;
        serial += 1;
        waiting.insert((both.size(), serial), both);
    }
    Some(waiting.into_values().collect())
}

/// Multiplies automata into `parts` automata, each of at most `limit` bytes. It joins them into
/// groups and multiplies each group into the smallest part that has room.
fn spread(singles: &[Table], parts: usize, limit: usize) -> Option<Vec<Table>> {
    let mut done: Vec<Table> = Vec::with_capacity(parts);
    for group in multiply(singles, GROUPS, limit)? {
        if done.len() < parts {
            done.push(group);
            continue;
        }
        done.sort_by_key(Table::size);
        let (place, both) =
            done.iter().enumerate().find_map(|(i, part)| Some((i, part.times(&group, limit)?)))?;
        done[place] = both;
    }
    done.iter().all(|part| part.size() <= limit).then_some(done)
}

fn parse(kind: &StreamKind) -> Result<Hir, Failure> {
    match kind {
        StreamKind::Contains(bytes) => Ok(Hir::literal(bytes.to_vec())),
        StreamKind::Matches(text) => {
            syntax::parse_with(text, &pattern::syntax()).map_err(|error| Failure::Other(error.to_string()))
        }
    }
}

/// The automaton of one pattern.
fn single(kind: &StreamKind, ids: &[StreamId], limit: usize) -> Result<Table, Failure> {
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(limit));
    let nfa =
        thompson::Compiler::new().configure(config).build_from_hir(&parse(kind)?).map_err(
            |error| match error.size_limit() {
                Some(_) => Failure::TooLarge,
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
            true => Failure::TooLarge,
            false => Failure::Other(error.to_string()),
        }
    })?;
    read(&dfa, ids)
}

/// All states that bytes lead to, and the matches that each reports.
fn read(dfa: &dense::DFA<Vec<u32>>, ids: &[StreamId]) -> Result<Table, Failure> {
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
    let mut order = HashMap::new();
    let mut states: Vec<StateID> = Vec::new();
    let mut next: Vec<u32> = Vec::new();
    let mut number = |id: StateID, states: &mut Vec<StateID>| {
        *order.entry(id).or_insert_with(|| {
            states.push(id);
            states.len() as u32 - 1
        })
    };
    let (text_start, middle) = (number(text_start, &mut states), number(middle, &mut states));
    let mut done = 0;
    while let Some(&id) = states.get(done) {
        for &byte in &sample {
            next.push(number(dfa.next_state(id, byte), &mut states));
        }
        done += 1;
    }

    // In which states a pattern matches whatever comes next, and whether any match depends on the
    // next byte.
    let matched = |at: &u32| states.get(*at as usize).is_some_and(|&id| dfa.is_match_state(id));
    let sure: Vec<bool> = next.chunks_exact(stride).map(|row| row.iter().all(matched)).collect();
    let mut rows = next.chunks_exact(stride).zip(&sure);
    let looks_ahead = rows.any(|(row, &sure)| !sure && row.iter().any(matched));
    let told = |sure: bool, late: bool| StateMatches {
        sure: if sure { ids.to_vec() } else { Vec::new() },
        late: if late { ids.to_vec() } else { Vec::new() },
    };
    let told = vec![told(false, false), told(true, false), told(false, true), told(true, true)];
    let says = sure.iter().enumerate().map(|(at, &sure)| {
        let late = looks_ahead && matched(&(at as u32));
        u32::from(sure) | u32::from(late) << 1
    });
    let says = says.collect();
    Ok(Table { classes, stride, next, text_start, middle, says, told }.minimal())
}
