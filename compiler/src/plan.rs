//! Finds the rules that can hold from the packet's own values. Rules whose conditions fix header
//! numbers (`ip.src` in a prefix, a port) are grouped by the fixed numbers and masks. Each group is
//! one hash table from the masked numbers to its rules, as in a tuple-space classifier (Srinivasan
//! et al., SIGCOMM 1999; Open vSwitch). The cost grows with the number of groups and hardly with
//! the number of rules. The rest of a condition is the rule's residual. Rules that do not fit stay
//! in a chain. The invariant: a rule's match holds for a packet if and only if its chain condition
//! holds, or one of its entries with the packet's key has a residual that holds. (Rejected: a
//! decision tree over all rules, which becomes too large with overlapping prefixes and is slow to
//! build.)

use crate::budget::{CompileBudget, Stop};
use crate::fields::{Layer, Load};
use crate::hir::{Length, Num, NumKind, Pred, PredKind, Rule};
use std::collections::HashMap;

pub mod cost;

/// Fewer rules than this with one signature get no table.
const MIN_GROUP: usize = 8;
/// The greatest number of conjunctions into which one rule is split.
const MAX_CONJUNCTIONS: usize = 16;
/// The greatest number of table entries of one conjunction.
const MAX_ENTRIES: usize = 256;
/// The greatest number of table entries of all rules: more would take more memory than their code.
const MAX_TOTAL: usize = 1 << 19;
/// A narrow field's set is listed number by number up to this size.
const MAX_LISTED: u64 = 128;
/// The greatest number of aligned blocks of a set.
const MAX_BLOCKS: usize = 16;
/// Groups with more keys than this have a bitmap before the table.
const FILTER_FROM: usize = 64;
/// A group with more classes of rules than this stores the constants of their lengths beside its
/// entries. Code for each class would take seconds to generate if a thousand rules ask for a
/// thousand lengths.
const MAX_CLASSES: usize = 16;

/// The plan of a program's rules (or limits) for fast decision.
#[derive(Debug, Default)]
pub struct Plan {
    /// Rules tested one after the other: indexes into the program's rules.
    pub chain: Vec<u32>,
    /// Rules found by key.
    pub groups: Vec<Group>,
    /// Rules tested one after the other that get no code and are interpreted.
    pub rest: Vec<u32>,
}

/// A header number under a mask: a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaskedLoad {
    /// The number.
    pub load: Load,
    /// The mask of the bits that count.
    pub mask: u64,
}

/// The structure of a group's keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Signature {
    /// Presence bits of the outer packet that every rule of the group needs.
    pub outer: u64,
    /// Presence bits of the inner packet.
    pub inner: u64,
    /// The parts, packed into words in this order by [`Signature::places`].
    pub parts: Vec<MaskedLoad>,
}

impl Signature {
    /// For each part, its word and its shift in that word.
    pub fn places(&self) -> Vec<(usize, u32)> {
        let (mut word, mut used) = (0, 0);
        let place = |part: &MaskedLoad| {
            let width = 64 - part.load.mask.leading_zeros();
            if used + width > 64 {
                word += 1;
                used = 0;
            }
            let at = (word, used);
            used += width;
            at
        };
        self.parts.iter().map(place).collect()
    }

    /// How many words a key has.
    pub fn words(&self) -> usize {
        self.places().last().map_or(0, |&(word, _)| word + 1)
    }
}

/// The parts of a rule besides its key and constants. Rules with the same class share their code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    /// The part of the condition that the key does not decide.
    pub residual: Pred,
    /// The rule's asks.
    pub asks: Vec<(Pred, Length)>,
    /// The rule's stations.
    pub stations: u64,
    /// Whether several entries of a rule can hold for the same packet, so that it must be counted
    /// once.
    pub once: bool,
}

/// Rules found by one key.
#[derive(Debug)]
pub struct Group {
    /// The structure of its keys.
    pub signature: Signature,
    /// The classes of its rules.
    pub classes: Vec<Class>,
    /// How many classes get code; rules of the others are interpreted.
    pub native: usize,
    /// Entries of [`Group::stride`] words, in runs with the same key: `class << 32 | rule`, then
    /// the given constants.
    pub entries: Vec<u64>,
    /// The number of given constants after the first word of each entry. They are the constants of
    /// its rule's lengths, in the order of [`Class::asks`], which has 0 in their place. 0: the
    /// classes have the constants.
    pub given: usize,
    /// An open-addressed table of `words + 1` words a slot: the key, then
    /// `count << 32 | first entry`; count 0 is empty.
    pub table: Vec<u64>,
    /// log2 of the number of slots.
    pub slots_log2: u32,
    /// A bitmap over the top `filter_log2` bits of the hash; empty if the group is small.
    pub filter: Vec<u64>,
    /// log2 of the bitmap's size in bits.
    pub filter_log2: u32,
}

/// The multiplier of the key hash.
pub const HASH_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// The rotation between the words of a key.
pub const HASH_ROTATE: u32 = 23;

/// The hash of a key; generated code computes the same.
pub fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0u64, |h, &w| (h.rotate_left(HASH_ROTATE) ^ w).wrapping_mul(HASH_MULTIPLIER))
}

/// A way for a rule to hold: a key and the residual.
struct Entry {
    signature: Signature,
    key: Vec<u64>,
    residual: Pred,
}

/// A set as aligned blocks: the numbers that are `.1` under the mask `.0`.
type Blocks = Vec<(u64, u64)>;

/// How many parts of a conjunction become parts of keys.
#[derive(Clone, Copy, PartialEq)]
enum Depth {
    All,
    Best,
}

impl Group {
    /// The number of words of an entry.
    pub fn stride(&self) -> usize {
        1 + self.given
    }
}

impl Class {
    /// The class with 0 instead of the constants of its lengths, and these constants.
    fn without_constants(mut self) -> (Class, Vec<u64>) {
        let mut given = Vec::new();
        let mut give = |num: &mut Num| {
            if let NumKind::Const(value) = num.kind() {
                // As in generated code: all greater lengths mean the same.
                given.push((*value).min(u64::from(u32::MAX)));
                *num = Num::constant(0);
            }
        };
        for (_, length) in &mut self.asks {
            match length {
                Length::None | Length::Full => {}
                Length::Bytes(n) | Length::Percent(n) | Length::Headers(n) => give(n),
                Length::Slice(m, n) => {
                    give(m);
                    give(n);
                }
            }
        }
        (self, given)
    }
}

impl Plan {
    /// Plans rules; all of them get code.
    ///
    /// # Errors The compilation must stop.
    pub fn new(rules: &[Rule], budget: &CompileBudget) -> Result<Plan, Stop> {
        let mut chain: Vec<u32> = (0..rules.len() as u32).collect();
        let mut groups = Vec::new();
        for depth in [Depth::All, Depth::Best] {
            if chain.len() < MIN_GROUP {
                break;
            }
            let (rest, mut made) = arrange(rules, &chain, depth, budget)?;
            groups.append(&mut made);
            chain = rest;
        }
        Ok(Plan { chain, groups, rest: Vec::new() })
    }
}

fn arrange(
    rules: &[Rule],
    which: &[u32],
    depth: Depth,
    budget: &CompileBudget,
) -> Result<(Vec<u32>, Vec<Group>), Stop> {
    let mut rest = Vec::new();
    let mut candidates: Vec<(u32, bool, Vec<Entry>)> = Vec::new();
    let mut total = 0;
    for &rule in which {
        budget.stopped().map_or(Ok(()), Err)?;
        match rules.get(rule as usize).and_then(|r| entries_of(&r.matches, depth)) {
            Some((once, entries)) if total + entries.len() <= MAX_TOTAL => {
                total += entries.len();
                candidates.push((rule, once, entries));
            }
            _ => rest.push(rule),
        }
    }
    // A rule stays only if enough rules use each of its signatures. Dropping a rule can leave too
    // few for another.
    loop {
        let mut users: HashMap<&Signature, usize> = HashMap::new();
        for (_, _, entries) in &candidates {
            let mut own: Vec<&Signature> = entries.iter().map(|e| &e.signature).collect();
            own.sort_unstable();
            own.dedup();
            own.into_iter().for_each(|s| *users.entry(s).or_default() += 1);
        }
        let enough = |entries: &[Entry]| {
            entries.iter().all(|e| users.get(&e.signature).is_some_and(|&n| n >= MIN_GROUP))
        };
        let keep: Vec<bool> = candidates.iter().map(|(_, _, entries)| enough(entries)).collect();
        if keep.iter().all(|&k| k) {
            break;
        }
        let mut keep = keep.into_iter();
        candidates.retain(|(rule, ..)| {
            let stays = keep.next().unwrap_or(false);
            if !stays {
                rest.push(*rule);
            }
            stays
        });
    }
    rest.sort_unstable();
    let mut by_signature: HashMap<Signature, Vec<(Vec<u64>, Class, u32)>> = HashMap::new();
    for (rule, once, entries) in candidates {
        let Some(shape) = rules.get(rule as usize) else { continue };
        let asks: Vec<(Pred, Length)> =
            shape.asks.iter().map(|a| (a.when.clone(), a.length.clone())).collect();
        for entry in entries {
            let class =
                Class { residual: entry.residual, asks: asks.clone(), stations: shape.stations, once };
            by_signature.entry(entry.signature).or_default().push((entry.key, class, rule));
        }
    }
    let mut groups: Vec<Group> = by_signature.into_iter().map(|(s, entries)| build(s, entries)).collect();
    groups.sort_by(|a, b| a.signature.cmp(&b.signature));
    Ok((rest, groups))
}

/// The entries of a rule's condition, and whether several can hold at once. `None`: a way for the
/// condition to hold has no key.
fn entries_of(pred: &Pred, depth: Depth) -> Option<(bool, Vec<Entry>)> {
    let conjunctions = split(pred);
    let once = conjunctions.len() > 1;
    let mut entries = Vec::new();
    for conjunction in conjunctions {
        entries.append(&mut keyed(conjunction, depth)?);
        if entries.len() > MAX_ENTRIES {
            return None;
        }
    }
    Some((once, entries))
}

/// The condition as an `or` of lists of conditions, as long as it stays small.
fn split(pred: &Pred) -> Vec<Vec<Pred>> {
    let mut done: Vec<Vec<Pred>> = vec![Vec::new()];
    let parts = if let PredKind::And(parts) = pred.kind() { parts.clone() } else { vec![pred.clone()] };
    for part in parts {
        match part.kind() {
            PredKind::Or(options) if done.len() * options.len() <= MAX_CONJUNCTIONS => {
                let with =
                    |(d, option): (&Vec<Pred>, &Pred)| [d.as_slice(), std::slice::from_ref(option)].concat();
                done = options
                    .iter()
                    .flat_map(|option| done.iter().map(move |d| (d, option)))
                    .map(with)
                    .collect();
            }
            _ => done.iter_mut().for_each(|d| d.push(part.clone())),
        }
    }
    done.into_iter()
        .map(|parts| match Pred::and(parts) {
            p if p.as_const() == Some(false) => Vec::new(),
            p => match p.kind() {
                PredKind::And(parts) => parts.clone(),
                _ => vec![p],
            },
        })
        .collect()
}

/// The table entries of a conjunction.
fn keyed(conjunction: Vec<Pred>, depth: Depth) -> Option<Vec<Entry>> {
    let (mut outer, mut inner, mut residual) = (0, 0, Vec::new());
    let mut keys: Vec<(Load, Blocks, Pred)> = Vec::new();
    for part in conjunction {
        match part.kind() {
            PredKind::Bits { layer: Layer::Outer, bits } => outer |= bits,
            PredKind::Bits { layer: Layer::Inner, bits } => inner |= bits,
            PredKind::In(Num { kind: NumKind::Load(load), .. }, set) => match blocks(load, set.parts()) {
                // A key may be loaded only after its bits, which come first in a conjunction.
                Some(blocks) if present(load, outer, inner) && !keys.iter().any(|(l, ..)| l == load) => {
                    keys.push((*load, blocks, part.clone()));
                }
                _ => residual.push(part),
            },
            _ => residual.push(part),
        }
    }
    keys.sort_by_key(|(load, blocks, _)| (std::cmp::Reverse(selectivity(load, blocks)), *load));
    let most = if depth == Depth::All { 4 } else { 1 };
    let mut total = 1usize;
    let mut used: Vec<(Load, Blocks)> = Vec::new();
    for (load, blocks, pred) in keys {
        if used.len() < most && total.saturating_mul(blocks.len()) <= MAX_ENTRIES {
            total *= blocks.len();
            used.push((load, blocks));
        } else {
            residual.push(pred);
        }
    }
    if used.is_empty() {
        return None;
    }
    used.sort_unstable();
    let residual = Pred::and(residual);
    let mut entries = vec![(Vec::new(), Vec::new())];
    for (load, blocks) in &used {
        let extend = |(parts, values): &(Vec<MaskedLoad>, Vec<u64>)| {
            let one = |&(mask, value): &(u64, u64)| {
                (
                    [parts.as_slice(), &[MaskedLoad { load: *load, mask }]].concat(),
                    [values.as_slice(), &[value]].concat(),
                )
            };
            blocks.iter().map(one).collect::<Vec<_>>()
        };
        entries = entries.iter().flat_map(extend).collect();
    }
    let entry = |(parts, values): (Vec<MaskedLoad>, Vec<u64>)| {
        let signature = Signature { outer, inner, parts };
        let mut key = vec![0; signature.words()];
        for (&(word, shift), value) in signature.places().iter().zip(&values) {
            if let Some(word) = key.get_mut(word) {
                *word |= value << shift;
            }
        }
        Entry { signature, key, residual: residual.clone() }
    };
    Some(entries.into_iter().map(entry).collect())
}

fn present(load: &Load, outer: u64, inner: u64) -> bool {
    load.bits & !(if load.layer == Layer::Outer { outer } else { inner }) == 0
}

/// How many bits of choice the blocks exclude: more is more selective.
fn selectivity(load: &Load, blocks: &[(u64, u64)]) -> u32 {
    let narrowest = blocks.iter().map(|(mask, _)| mask.count_ones()).min().unwrap_or(0);
    narrowest.saturating_sub((blocks.len() as u64).ilog2().min(load.mask.count_ones()))
}

/// A set as blocks `value` under `mask`, if it is small enough.
fn blocks(load: &Load, parts: &[(u64, u64)]) -> Option<Blocks> {
    if load.mask & load.mask.wrapping_add(1) != 0 {
        return None;
    }
    let size = parts.iter().try_fold(0u64, |n, &(low, high)| n.checked_add(high - low)?.checked_add(1))?;
    if load.mask <= 0xffff && size <= MAX_LISTED {
        return Some(parts.iter().flat_map(|&(low, high)| low..=high).map(|v| (load.mask, v)).collect());
    }
    let mut out = Vec::new();
    for &(low, high) in parts {
        let mut from = low;
        loop {
            // The largest aligned block that starts here and ends by `high`.
            let fits = (high - from).checked_add(1).map_or(63, u64::ilog2);
            let free = if from == 0 { fits } else { from.trailing_zeros().min(fits) };
            let last = from + ((1u64 << free) - 1);
            out.push((load.mask & !((1u64 << free) - 1), from));
            if out.len() > MAX_BLOCKS {
                return None;
            }
            match last.checked_add(1) {
                Some(next) if next <= high => from = next,
                _ => break,
            }
        }
    }
    Some(out)
}

fn build(signature: Signature, mut list: Vec<(Vec<u64>, Class, u32)>) -> Group {
    list.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
    let words = signature.words();
    let kinds: std::collections::HashSet<&Class> = list.iter().map(|(_, class, _)| class).collect();
    let many = kinds.len() > MAX_CLASSES;
    let divided = |(key, class, rule): (Vec<u64>, Class, u32)| match many {
        true => (key, class.without_constants(), rule),
        false => (key, (class, Vec::new()), rule),
    };
    let list: Vec<_> = list.into_iter().map(divided).collect();
    let given = list.iter().map(|(_, (_, given), _)| given.len()).max().unwrap_or(0);
    let (mut classes, mut class_ids) = (Vec::new(), HashMap::new());
    let mut entries = Vec::with_capacity(list.len() * (1 + given));
    let mut keys: Vec<(Vec<u64>, u64, u64)> = Vec::new();
    for (number, (key, (class, constants), rule)) in (0..).zip(list) {
        let id = *class_ids.entry(class.clone()).or_insert_with(|| {
            classes.push(class);
            classes.len() as u64 - 1
        });
        match keys.last_mut() {
            Some((last, _, count)) if *last == key => *count += 1,
            _ => keys.push((key, number, 1)),
        }
        entries.push(id << 32 | u64::from(rule));
        let missing = given - constants.len();
        entries.extend(constants);
        entries.extend(std::iter::repeat_n(0, missing));
    }
    let slots_log2 = (keys.len() * 2).next_power_of_two().trailing_zeros().max(1);
    let slots = 1usize << slots_log2;
    let filter_log2 =
        if keys.len() < FILTER_FROM { 0 } else { (keys.len() * 16).next_power_of_two().trailing_zeros() };
    let mut filter = vec![0u64; if filter_log2 == 0 { 0 } else { 1 << (filter_log2 - 6) }];
    let mut table = vec![0u64; slots * (words + 1)];
    for (key, first, count) in keys {
        let h = hash(&key);
        if filter_log2 > 0 {
            let at = h >> (64 - filter_log2);
            if let Some(word) = filter.get_mut((at >> 6) as usize) {
                *word |= 1 << (at & 63);
            }
        }
        let mut slot = (h >> (64 - slots_log2)) as usize;
        // The table is at most half full, so there is an empty slot.
        while table.get(slot * (words + 1) + words).is_some_and(|&payload| payload != 0) {
            slot = (slot + 1) & (slots - 1);
        }
        if let Some(place) = table.get_mut(slot * (words + 1)..(slot + 1) * (words + 1)) {
            let (head, tail) = place.split_at_mut(words);
            head.copy_from_slice(&key);
            tail.copy_from_slice(&[count << 32 | first]);
        }
    }
    let native = classes.len();
    Group { signature, classes, native, entries, given, table, slots_log2, filter, filter_log2 }
}

#[cfg(test)]
mod tests;
