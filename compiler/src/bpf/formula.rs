//! The conditions of a filter: sets of numbers joined by `and` and `or`, without `not`. A formula
//! may always be replaced by a wider one. A formula that is too long is widened: sets lose their
//! smallest gaps, and many alternatives become their bounding box. The invariant: a simplified
//! formula holds for every packet for which the original holds. (Rejected: conditions of the typed
//! program, whose `not` makes a wider condition narrower.)

use super::code::{Assembler, Label, op};
use crate::sets::Intervals;

/// The place of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    /// The offset in the frame as the kernel shows it, in bytes, or a constant of
    /// [`super::code::meta`].
    pub at: u32,
    /// 1, 2 or 4 bytes.
    pub width: u8,
    /// Right shift, in bits.
    pub shift: u8,
    /// Mask, applied after the shift.
    pub mask: u32,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Formula {
    Const(bool),
    In(Word, Intervals<u32>),
    /// Two or more parts.
    And(Vec<Formula>),
    /// Two or more parts.
    Or(Vec<Formula>),
}

pub(super) const YES: Formula = Formula::Const(true);
pub(super) const NO: Formula = Formula::Const(false);

impl Formula {
    /// The number is in the set.
    pub fn test(word: Word, set: &Intervals<u32>) -> Formula {
        let set = set.intersect(&Intervals::range(0, word.mask));
        match set.parts() {
            [] => NO,
            [(0, high)] if *high == word.mask => YES,
            _ => Formula::In(word, set),
        }
    }

    /// The number has this value.
    pub fn is(word: Word, value: u32) -> Formula {
        Formula::test(word, &Intervals::one(value))
    }

    /// All parts hold. Sets of one number become their intersection.
    pub fn and(parts: impl IntoIterator<Item = Formula>) -> Formula {
        let mut all: Vec<Formula> = Vec::new();
        for part in flat(parts, |part| match part {
            Formula::And(parts) => Ok(parts),
            other => Err(other),
        }) {
            match part {
                YES => {}
                NO => return NO,
                Formula::In(word, set) => match same(&mut all, word) {
                    Some(before) => {
                        let both = before.intersect(&set);
                        if both.is_empty() {
                            return NO;
                        }
                        *before = both;
                    }
                    None => all.push(Formula::In(word, set)),
                },
                other if all.len() < 64 && all.contains(&other) => {}
                other => all.push(other),
            }
        }
        one_or(all, YES, Formula::And)
    }

    /// At least one part holds. Sets of one number become their union.
    pub fn or(parts: impl IntoIterator<Item = Formula>) -> Formula {
        let mut all: Vec<Formula> = Vec::new();
        let mut sets: Vec<(Word, Vec<(u32, u32)>)> = Vec::new();
        for part in flat(parts, |part| match part {
            Formula::Or(parts) => Ok(parts),
            other => Err(other),
        }) {
            match part {
                NO => {}
                YES => return YES,
                Formula::In(word, set) => match sets.iter_mut().find(|(at, _)| *at == word) {
                    Some((_, before)) => before.extend_from_slice(set.parts()),
                    None => sets.push((word, set.parts().to_vec())),
                },
                other if all.len() < 64 && all.contains(&other) => {}
                other => all.push(other),
            }
        }
        let sets = sets.into_iter().map(|(word, ranges)| Formula::test(word, &Intervals::new(ranges)));
        let mut whole: Vec<Formula> = sets.collect();
        if whole.contains(&YES) {
            return YES;
        }
        whole.append(&mut all);
        one_or(whole, NO, Formula::Or)
    }

    /// A wider formula with at most `width` alternatives in an `or` and at most `ranges` ranges in
    /// a set.
    pub fn coarsen(self, width: usize, ranges: usize) -> Formula {
        match self {
            Formula::Const(value) => Formula::Const(value),
            Formula::In(word, set) => Formula::test(word, &fewer(&set, ranges)),
            Formula::And(parts) => Formula::and(parts.into_iter().map(|part| part.coarsen(width, ranges))),
            Formula::Or(parts) if parts.len() > width => hull(&parts).coarsen(width, ranges),
            Formula::Or(parts) => Formula::or(parts.into_iter().map(|part| part.coarsen(width, ranges))),
        }
    }

    /// Adds the test before its two targets. Once the program has more than `most` instructions,
    /// the test is left out and taken to hold.
    pub fn ask(&self, code: &mut Assembler, most: usize, holds: Label, fails: Label) -> Label {
        if holds == fails || code.len() > most {
            return holds;
        }
        match self {
            Formula::Const(value) => {
                if *value {
                    holds
                } else {
                    fails
                }
            }
            Formula::And(parts) => {
                parts.iter().rev().fold(holds, |next, part| part.ask(code, most, next, fails))
            }
            Formula::Or(parts) => {
                parts.iter().rev().fold(fails, |next, part| part.ask(code, most, holds, next))
            }
            Formula::In(word, set) => {
                let found = search(code, set.parts(), (0, word.mask), holds, fails);
                load(code, *word, found)
            }
        }
    }
}

fn one_or(mut all: Vec<Formula>, none: Formula, many: fn(Vec<Formula>) -> Formula) -> Formula {
    match (all.pop(), all.is_empty()) {
        (None, _) => none,
        (Some(only), true) => only,
        (Some(last), false) => {
            all.push(last);
            many(all)
        }
    }
}

/// The parts. A part of the same kind is replaced by its own parts.
fn flat(
    parts: impl IntoIterator<Item = Formula>,
    open: fn(Formula) -> Result<Vec<Formula>, Formula>,
) -> Vec<Formula> {
    let mut flat = Vec::new();
    for part in parts {
        match open(part) {
            Ok(parts) => flat.extend(parts),
            Err(part) => flat.push(part),
        }
    }
    flat
}

fn same(all: &mut [Formula], word: Word) -> Option<&mut Intervals<u32>> {
    all.iter_mut().find_map(|part| match part {
        Formula::In(at, set) if *at == word => Some(set),
        _ => None,
    })
}

/// The bounding box of alternatives: for each number that all of them test, the union of the sets.
fn hull(alternatives: &[Formula]) -> Formula {
    let asked = |part: &Formula| -> Vec<(Word, Intervals<u32>)> {
        let sets = |part: &Formula| match part {
            Formula::In(word, set) => Some((*word, set.clone())),
            _ => None,
        };
        match part {
            Formula::And(parts) => parts.iter().filter_map(sets).collect(),
            other => sets(other).into_iter().collect(),
        }
    };
    let Some((first, rest)) = alternatives.split_first() else { return NO };
    let mut sides: Vec<(Word, Vec<(u32, u32)>)> =
        asked(first).into_iter().map(|(word, set)| (word, set.parts().to_vec())).collect();
    for part in rest {
        let asked = asked(part);
        sides.retain_mut(|(word, ranges)| {
            let set = asked.iter().find(|(at, _)| at == word);
            ranges.extend(set.iter().flat_map(|(_, set)| set.parts()));
            set.is_some()
        });
    }
    Formula::and(sides.into_iter().map(|(word, ranges)| Formula::test(word, &Intervals::new(ranges))))
}

/// The set with its smallest gaps filled, so that it has at most `ranges` ranges.
fn fewer(set: &Intervals<u32>, ranges: usize) -> Intervals<u32> {
    let parts = set.parts();
    if parts.len() <= ranges {
        return set.clone();
    }
    let gap = |at: usize| match (parts.get(at), parts.get(at + 1)) {
        (Some((_, end)), Some((start, _))) => start - end,
        _ => 0,
    };
    let mut gaps: Vec<usize> = (0..parts.len() - 1).collect();
    gaps.sort_by_key(|at| (std::cmp::Reverse(gap(*at)), *at));
    let filled = gaps.into_iter().skip(ranges.saturating_sub(1));
    let filled = filled.filter_map(|at| Some((parts.get(at)?.0, parts.get(at + 1)?.1)));
    Intervals::new(parts.iter().copied().chain(filled))
}

/// Tests by binary search whether the accumulator, which is within `bounds`, is in a range.
fn search(
    code: &mut Assembler,
    ranges: &[(u32, u32)],
    bounds: (u32, u32),
    holds: Label,
    fails: Label,
) -> Label {
    match ranges {
        [] => fails,
        [(low, high)] if low == high && bounds != (*low, *high) => code.jump(op::JEQ, *low, holds, fails),
        [(low, high)] => {
            let above = match *high < bounds.1 {
                true => code.jump(op::JGT, *high, fails, holds),
                false => holds,
            };
            match *low > bounds.0 {
                true => code.jump(op::JGE, *low, above, fails),
                false => above,
            }
        }
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let middle = right.first().map_or(0, |range| range.0);
            let right = search(code, right, (middle, bounds.1), holds, fails);
            let left = search(code, left, (bounds.0, middle.saturating_sub(1)), holds, fails);
            code.jump(op::JGE, middle, right, left)
        }
    }
}

/// Loads a number before the instructions that test it.
pub(super) fn load(code: &mut Assembler, word: Word, mut next: Label) -> Label {
    let width_mask = u32::MAX >> (32 - 8 * u32::from(word.width.clamp(1, 4)));
    if word.mask != width_mask >> word.shift.min(31) {
        next = code.op(op::AND, word.mask, next);
    }
    if word.shift > 0 {
        next = code.op(op::RSH, word.shift.into(), next);
    }
    let size = match word.width {
        1 => op::LD_ABS_BYTE,
        2 => op::LD_ABS_HALF,
        _ => op::LD_ABS_WORD,
    };
    code.op(size, word.at, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_with_fewer_ranges_are_wider(
            ranges in prop::collection::vec((any::<u32>(), 0u32..100_000), 1..60),
            most in 1usize..20,
        ) {
            let set = Intervals::new(ranges.into_iter().map(|(at, more)| (at, at.saturating_add(more))));
            let wider = fewer(&set, most);
            prop_assert!(set.is_subset(&wider));
            prop_assert!(wider.parts().len() <= most.max(1));
        }
    }

    #[test]
    fn alternatives_become_the_box_around_them() {
        let word = |at| Word { at, width: 2, shift: 0, mask: 0xffff };
        let pair = |a, b| Formula::and([Formula::is(word(0), a), Formula::is(word(2), b)]);
        let many = Formula::or((0..40).map(|i| pair(i, i + 100)));
        let hull = many.coarsen(8, 64);
        let range = |at, low, high| Formula::test(word(at), &Intervals::range(low, high));
        assert_eq!(hull, Formula::and([range(0, 0, 39), range(2, 100, 139)]));
        // A number that not all alternatives test is not tested.
        let some = (0..40).map(|i| pair(i, 7)).chain([Formula::is(word(2), 9)]);
        let hull = Formula::or(some).coarsen(8, 64);
        assert_eq!(hull, Formula::test(word(2), &Intervals::new([(7, 7), (9, 9)])));
    }
}
