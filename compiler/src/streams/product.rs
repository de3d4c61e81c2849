//! Automata as tables of states, for multiplication: a state of the product is a state of each
//! factor, and reports the matches of both. Only states that bytes lead to are made. The invariant:
//! a factor has no more states and classes than its product, so a product that is too large is
//! detected as soon as it is. (Rejected: products of all factors at once, whose states are as long
//! as there are patterns.)

use super::skip::Skip;
use super::{Dfa, Says, StreamId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Up to this many transitions, the states of a single pattern are minimised.
const MINIMISED: usize = 1 << 15;

/// An automaton.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The class of each byte. Its patterns do not distinguish bytes of a class.
    pub(super) classes: [u8; 256],
    /// The number of classes.
    pub(super) stride: usize,
    /// For each state and class, the next state.
    pub(super) next: Vec<u32>,
    /// The state at the beginning of a stream.
    pub(super) text_start: u32,
    /// The state after bytes that were not seen.
    pub(super) middle: u32,
    /// For each state, the index of its report in `told`.
    pub(super) says: Vec<u32>,
    /// The first report is empty.
    pub(super) told: Vec<StateMatches>,
}

/// The report of a state.
#[derive(Debug, Clone, Default)]
pub(super) struct StateMatches {
    /// Patterns with a match that ends here, whatever follows.
    pub(super) sure: Vec<StreamId>,
    /// Patterns with a match that ended before the last byte and depended on it.
    pub(super) late: Vec<StreamId>,
}

impl StateMatches {
    fn and(&self, other: &StateMatches) -> StateMatches {
        StateMatches {
            sure: [self.sure.as_slice(), &other.sure].concat(),
            late: [self.late.as_slice(), &other.late].concat(),
        }
    }

    fn len(&self) -> usize {
        self.sure.len() + self.late.len()
    }
}

/// Numbers values in the order in which they are met.
struct Numbers<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T: Copy + Eq + std::hash::Hash> Numbers<T> {
    fn new() -> Self {
        Numbers { numbers: HashMap::new(), things: Vec::new() }
    }

    fn of(&mut self, thing: T) -> u32 {
        match self.numbers.entry(thing) {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(place) => {
                self.things.push(thing);
                *place.insert(self.things.len() as u32 - 1)
            }
        }
    }
}

impl Table {
    /// The approximate bytes of the table for scanning.
    pub(super) fn size(&self) -> usize {
        self.next.len() * 4 + self.told.iter().map(|told| told.len() * 4).sum::<usize>()
    }

    /// One of its patterns.
    pub(super) fn some_id(&self) -> Option<StreamId> {
        self.told.iter().flat_map(|told| told.sure.iter().chain(&told.late)).next().copied()
    }

    /// The same automaton with equivalent states merged (Moore's algorithm). Unchanged if that
    /// would take long.
    pub(super) fn minimal(self) -> Table {
        if self.next.len() > MINIMISED {
            return self;
        }
        let mut blocks = self.says.clone();
        let mut count = 0;
        loop {
            let mut numbers = HashMap::new();
            let block = |to: &u32| blocks.get(*to as usize).copied().unwrap_or(0);
            let rows = self.next.chunks_exact(self.stride).zip(&blocks);
            let next: Vec<u32> = rows
                .map(|(row, &own)| {
                    let key: Vec<u32> = std::iter::once(own).chain(row.iter().map(block)).collect();
                    let number = numbers.len() as u32;
                    *numbers.entry(key).or_insert(number)
                })
                .collect();
            let found = numbers.len();
            blocks = next;
            if found == count {
                break;
            }
            count = found;
        }
        let (mut next, mut says) = (Vec::new(), Vec::new());
        let states = self.next.chunks_exact(self.stride).zip(&self.says).zip(&blocks);
        for ((row, &say), &block) in states {
            // Blocks are numbered in the order of their first states.
            if block as usize == says.len() {
                says.push(say);
                next.extend(row.iter().filter_map(|&to| blocks.get(to as usize)));
            }
        }
        let [text_start, middle] =
            [self.text_start, self.middle].map(|at| blocks.get(at as usize).copied().unwrap_or(0));
        Table { next, says, text_start, middle, ..self }
    }

    /// The product of both; `None` if it takes more than `limit` bytes.
    pub(super) fn times(&self, other: &Table, limit: usize) -> Option<Table> {
        let mut pairs = Numbers::new();
        // 256 bytes have at most 256 classes.
        let classes = std::array::from_fn(|byte| pairs.of((self.classes[byte], other.classes[byte])) as u8);
        let pairs: Vec<(usize, usize)> =
            pairs.things.iter().map(|&(a, b)| (usize::from(a), usize::from(b))).collect();
        let mut states = Numbers::new();
        let text_start = states.of((self.text_start, other.text_start));
        let middle = states.of((self.middle, other.middle));
        let mut tells = Numbers::new();
        tells.of((0, 0));
        let (mut next, mut says, mut told) = (Vec::new(), Vec::new(), vec![StateMatches::default()]);
        let mut size = 0;
        while let Some(&(a, b)) = states.things.get(says.len()) {
            let a_row = self.next.get(a as usize * self.stride..)?;
            let b_row = other.next.get(b as usize * other.stride..)?;
            for &(x, y) in &pairs {
                next.push(states.of((*a_row.get(x)?, *b_row.get(y)?)));
            }
            let tell = (*self.says.get(a as usize)?, *other.says.get(b as usize)?);
            let place = tells.of(tell);
            if place as usize == told.len() {
                let both = self.told.get(tell.0 as usize)?.and(other.told.get(tell.1 as usize)?);
                size += both.len() * 4;
                told.push(both);
            }
            says.push(place);
            if next.len() * 4 + size > limit {
                return None;
            }
        }
        Some(Table { classes, stride: pairs.len(), next, text_start, middle, says, told })
    }

    /// The automaton in the form for scanning: its states in three runs (see [`Dfa`]).
    pub(super) fn arrange(&self) -> Dfa {
        let stride = self.stride;
        let first: Vec<u32> =
            self.next.iter().skip(self.middle as usize * stride).take(stride).copied().collect();
        let said = |at: u32| self.says.get(at as usize).and_then(|&place| self.told.get(place as usize));
        let says = |at: u32| said(at).is_some_and(|told| told.len() > 0);
        let run = |at: u32| if says(at) { 2 } else { u8::from(at != self.middle && !first.contains(&at)) };
        let runs: Vec<u8> = (0..self.says.len() as u32).map(run).collect();
        let mut old: Vec<u32> = (0..self.says.len() as u32).collect();
        old.sort_by_key(|&at| runs[at as usize]);
        let count = |wanted: u8| runs.iter().filter(|&&run| run < wanted).count() * stride;
        let (shallow, says_from) = (count(1) as u32, count(2) as u32);
        let mut new = vec![0; old.len()];
        for (place, &at) in old.iter().enumerate() {
            new[at as usize] = (place * stride) as u32;
        }
        let mut next = Vec::with_capacity(self.next.len());
        let (mut all, mut ids) = (Vec::new(), Vec::new());
        // States with the same report share it.
        let mut shared = HashMap::new();
        for &at in &old {
            let row = self.next.iter().skip(at as usize * stride).take(stride);
            next.extend(row.map(|&to| new[to as usize]));
            if let Some(told) = said(at).filter(|told| told.len() > 0) {
                all.push(*shared.entry(self.says[at as usize]).or_insert_with(|| {
                    let from = ids.len() as u32;
                    ids.extend(&told.sure);
                    let late = ids.len() as u32;
                    ids.extend(&told.late);
                    Says { from, late, to: ids.len() as u32 }
                }));
            }
        }
        let middle = new[self.middle as usize];
        let rows = Rows { map: &self.classes, classes: stride, table: &next, middle, says_from };
        let skip = Skip::new(&rows);
        let first = self.classes.map(|class| rows.next(middle, usize::from(class)));
        Dfa {
            classes: self.classes,
            stride: stride as u32,
            shallow: if skip.is_some() { shallow } else { 0 },
            says_from,
            says: all,
            ids,
            text_start: new[self.text_start as usize],
            middle,
            first,
            skip,
            next,
        }
    }
}

/// The finished table, for reading.
pub(super) struct Rows<'t> {
    pub(super) map: &'t [u8; 256],
    /// The number of classes.
    pub(super) classes: usize,
    table: &'t [u32],
    /// The start state in the middle of a stream.
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
