//! `contains` and `matches`, many at a time. One pass searches the same bytes for all needles,
//! another for all regular expressions; the answers are kept for the rest of the packet. The
//! invariant: once each search of an environment has run on a thread, its [`Scratch`] allocates
//! nothing, and threads share no memory that is written. (Rejected: one search per condition, whose
//! cost grows with the number of rules.)

use super::EnvironmentError;
use crate::abi::{Head, Packet};
use crate::extract;
use crate::hir::{Bytes, NeedleId, PredKind, Program, RegexId, TextTest};
use crate::pattern;
use aho_corasick::AhoCorasick;
use memchr::memmem;
use regex_automata::{Input, PatternID, PatternSet, meta};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// A pattern and the bytes that are searched for it. Numbered from 0 in the order in which a
/// program first names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SearchId(pub u32);

/// All searches of a program, compiled.
#[derive(Debug)]
pub struct Searches {
    id: u64,
    groups: Vec<Group>,
    /// For each search, its group and its number in it.
    places: Vec<(u32, u32)>,
    needles: HashMap<Bytes, HashMap<NeedleId, SearchId>>,
    regexes: HashMap<Bytes, HashMap<RegexId, SearchId>>,
    /// The needles of message texts, searched one by one: these texts are short, and there are few.
    text_needles: HashMap<NeedleId, Box<memmem::Finder<'static>>>,
    text_regexes: HashMap<RegexId, meta::Regex>,
}

/// Patterns that are searched in the same bytes together.
#[derive(Debug)]
struct Group {
    bytes: Bytes,
    patterns: usize,
    finder: Finder,
}

#[derive(Debug)]
enum Finder {
    Needle(Box<memmem::Finder<'static>>),
    Needles(AhoCorasick),
    Regexes(meta::Regex),
}

/// A worker's working memory for searches. It serves one program at a time: the environment of
/// another program resets it.
#[derive(Debug, Default)]
pub struct Scratch {
    environment: u64,
    packet: u64,
    memos: Vec<Memo>,
}

/// The result of a group in the packet with serial number `packet`.
#[derive(Debug)]
struct Memo {
    packet: u64,
    found: PatternSet,
    cache: Option<meta::Cache>,
}

impl Scratch {
    /// Forgets the results of the previous packet. Called once before each packet is decided.
    pub fn begin(&mut self) {
        self.packet += 1;
    }
}

impl Searches {
    /// Compiles the patterns of a program.
    pub(super) fn new(program: &Program) -> Result<Searches, EnvironmentError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut made = Searches {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            groups: Vec::new(),
            places: Vec::new(),
            needles: HashMap::new(),
            regexes: HashMap::new(),
            text_needles: HashMap::new(),
            text_regexes: HashMap::new(),
        };
        let (mut needles, mut regexes) = (Wanted::default(), Wanted::default());
        let (mut text_needles, mut text_regexes) = (HashSet::new(), HashSet::new());
        program.visit_preds(&mut |pred| match pred.kind() {
            PredKind::FacetText(_, TextTest::Contains(needle)) => {
                text_needles.insert(*needle);
            }
            PredKind::FacetText(_, TextTest::Matches(regex)) => {
                text_regexes.insert(*regex);
            }
            PredKind::Contains(bytes, needle) => needles.add(bytes, *needle, &mut made.places),
            PredKind::Matches(bytes, regex) => regexes.add(bytes, *regex, &mut made.places),
            _ => {}
        });
        for (bytes, wanted) in needles.groups {
            let text = |id: NeedleId| program.needles.get(id.index()).map_or(&[][..], |n| n);
            let finder = match wanted.as_slice() {
                [(one, _)] => Finder::Needle(Box::new(memmem::Finder::new(text(*one)).into_owned())),
                many => AhoCorasick::new(many.iter().map(|&(id, _)| text(id)))
                    .map(Finder::Needles)
                    .map_err(|e| EnvironmentError::Needles(e.to_string()))?,
            };
            made.add(bytes.clone(), finder, wanted.iter().map(|&(_, search)| search));
            made.needles.insert(bytes, wanted.into_iter().collect());
        }
        for (bytes, wanted) in regexes.groups {
            let texts: Vec<&str> = wanted
                .iter()
                .map(|(regex, _)| program.regexes.get(regex.index()).map_or("", |r| r.pattern.as_str()))
                .collect();
            made.add_regexes(&bytes, &wanted, &texts)?;
            made.regexes.insert(bytes, wanted.into_iter().collect());
        }
        for id in text_needles {
            let text = program.needles.get(id.index()).map_or(&[][..], |n| n);
            made.text_needles.insert(id, Box::new(memmem::Finder::new(text).into_owned()));
        }
        for regex in text_regexes {
            let text = program.regexes.get(regex.index()).map_or("", |r| r.pattern.as_str());
            let compiled = pattern::compile(&[text])
                .map_err(|error| EnvironmentError::Regex { regex, message: error.to_string() })?;
            made.text_regexes.insert(regex, compiled);
        }
        Ok(made)
    }

    /// Whether a text of a message contains a needle.
    pub fn text_contains(&self, needle: NeedleId, text: &[u8]) -> bool {
        self.text_needles.get(&needle).is_some_and(|finder| finder.find(text).is_some())
    }

    /// Whether a regular expression matches somewhere in a text of a message.
    pub fn text_matches(&self, regex: RegexId, text: &[u8]) -> bool {
        self.text_regexes.get(&regex).is_some_and(|regex| regex.is_match(text))
    }

    /// The search for a needle in these bytes.
    pub fn contains(&self, bytes: &Bytes, needle: NeedleId) -> Option<SearchId> {
        self.needles.get(bytes)?.get(&needle).copied()
    }

    /// The search for a regular expression in these bytes.
    pub fn matches(&self, bytes: &Bytes, regex: RegexId) -> Option<SearchId> {
        self.regexes.get(bytes)?.get(&regex).copied()
    }

    /// Whether a search finds its pattern in this packet. It does not if the packet lacks the
    /// bytes.
    pub fn finds(&self, scratch: &mut Scratch, packet: &Packet, head: &Head, search: SearchId) -> bool {
        let Some(&(group, pattern)) = self.places.get(search.0 as usize) else { return false };
        if scratch.environment != self.id {
            scratch.memos = self.groups.iter().map(Group::memo).collect();
            scratch.environment = self.id;
        }
        let (Some(memo), Some(group)) =
            (scratch.memos.get_mut(group as usize), self.groups.get(group as usize))
        else {
            return false;
        };
        if memo.packet != scratch.packet {
            memo.packet = scratch.packet;
            memo.found.clear();
            if let Some(bytes) = extract::bytes(packet, head, &group.bytes) {
                group.run(bytes, memo);
            }
        }
        memo.found.contains(PatternID::new_unchecked(pattern as usize))
    }

    fn add(&mut self, bytes: Bytes, finder: Finder, searches: impl ExactSizeIterator<Item = SearchId>) {
        let patterns = searches.len();
        for (i, search) in searches.enumerate() {
            if let Some(place) = self.places.get_mut(search.0 as usize) {
                *place = (self.groups.len() as u32, i as u32);
            }
        }
        self.groups.push(Group { bytes, patterns, finder });
    }

    /// Adds the expressions as one group, or as two groups of half the size if they are too large
    /// for one.
    fn add_regexes(
        &mut self,
        bytes: &Bytes,
        wanted: &[(RegexId, SearchId)],
        texts: &[&str],
    ) -> Result<(), EnvironmentError> {
        match (pattern::compile(texts), wanted) {
            (Ok(regex), _) => {
                let searches = wanted.iter().map(|&(_, search)| search);
                self.add(bytes.clone(), Finder::Regexes(regex), searches);
                Ok(())
            }
            (Err(error), &[(regex, _)]) => Err(EnvironmentError::Regex { regex, message: error.to_string() }),
            (Err(_), _) => {
                let half = wanted.len() / 2;
                let ((left, right), (left_texts, right_texts)) =
                    (wanted.split_at(half), texts.split_at(half));
                self.add_regexes(bytes, left, left_texts)?;
                self.add_regexes(bytes, right, right_texts)
            }
        }
    }
}

impl Group {
    fn memo(&self) -> Memo {
        let cache = match &self.finder {
            Finder::Regexes(regex) => Some(regex.create_cache()),
            Finder::Needle(_) | Finder::Needles(_) => None,
        };
        Memo { packet: u64::MAX, found: PatternSet::new(self.patterns), cache }
    }

    fn run(&self, bytes: &[u8], memo: &mut Memo) {
        match &self.finder {
            Finder::Needle(finder) => {
                if finder.find(bytes).is_some() {
                    memo.found.insert(PatternID::ZERO);
                }
            }
            Finder::Needles(finder) => {
                for found in finder.find_overlapping_iter(bytes) {
                    memo.found.insert(PatternID::new_unchecked(found.pattern().as_usize()));
                    if memo.found.is_full() {
                        break;
                    }
                }
            }
            Finder::Regexes(regex) => {
                let Some(cache) = &mut memo.cache else { return };
                let input = Input::new(bytes);
                if self.patterns > 1 {
                    regex.which_overlapping_matches_with(cache, &input, &mut memo.found);
                } else if regex.search_half_with(cache, &input.earliest(true)).is_some() {
                    memo.found.insert(PatternID::ZERO);
                }
            }
        }
    }
}

/// Patterns by the bytes that are searched, in the order in which they were met.
struct Wanted<Id> {
    groups: Vec<(Bytes, Vec<(Id, SearchId)>)>,
    at: HashMap<Bytes, usize>,
    seen: std::collections::HashSet<(usize, Id)>,
}

impl<Id> Default for Wanted<Id> {
    fn default() -> Self {
        Wanted { groups: Vec::new(), at: HashMap::new(), seen: Default::default() }
    }
}

impl<Id: Copy + Eq + std::hash::Hash> Wanted<Id> {
    fn add(&mut self, bytes: &Bytes, id: Id, places: &mut Vec<(u32, u32)>) {
        let at = *self.at.entry(bytes.clone()).or_insert_with(|| {
            self.groups.push((bytes.clone(), Vec::new()));
            self.groups.len() - 1
        });
        if self.seen.insert((at, id))
            && let Some((_, wanted)) = self.groups.get_mut(at)
        {
            wanted.push((id, SearchId(places.len() as u32)));
            places.push((0, 0));
        }
    }
}
