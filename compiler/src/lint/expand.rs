//! A condition as a few conjunctions: packets pass it exactly if they pass one of them. Only
//! possible conjunctions are kept; if none is left, the condition never holds. The invariant: the
//! result is `None` if there would be too many, and then nothing is reported. (Rejected: decision
//! diagrams; conditions that people write have a handful of cases.)

use super::cube::{Conflict, Cube};
use crate::hir::{Pred, PredKind};

/// The greatest number of conjunctions.
const CUBES: usize = 64;

/// The greatest number of tests that are added to conjunctions for one condition.
const WORK: usize = 20_000;

/// The greatest depth of a condition.
const DEPTH: usize = 64;

/// The conjunctions of a condition, and the first contradiction.
#[derive(Debug)]
pub(super) struct Expansion<'p> {
    /// The possible conjunctions.
    pub cubes: Vec<Cube<'p>>,
    /// Why a conjunction is impossible.
    pub conflict: Option<Conflict<'p>>,
}

/// The conjunctions of the packets for which `pred` has the value `holds` and one of `given` holds.
pub(super) fn expand<'p>(given: &[Cube<'p>], pred: &'p Pred, holds: bool) -> Option<Expansion<'p>> {
    let mut walk = Walk { conflict: None, work: WORK };
    let cubes = walk.add(given.to_vec(), pred, holds, DEPTH)?;
    let mut left = Vec::with_capacity(cubes.len());
    for mut cube in cubes {
        match cube.settle() {
            Ok(()) => left.push(cube),
            Err(conflict) => walk.note(conflict),
        }
    }
    Some(Expansion { cubes: left, conflict: walk.conflict })
}

struct Walk<'p> {
    conflict: Option<Conflict<'p>>,
    work: usize,
}

impl<'p> Walk<'p> {
    /// Keeps the first contradiction. A contradiction about a header alone is replaced by a later
    /// one: it is mostly from a guard.
    fn note(&mut self, conflict: Conflict<'p>) {
        match self.conflict {
            Some(Conflict::Absent(..)) | None => self.conflict = Some(conflict),
            Some(_) => {}
        }
    }

    fn add(
        &mut self,
        cubes: Vec<Cube<'p>>,
        pred: &'p Pred,
        holds: bool,
        depth: usize,
    ) -> Option<Vec<Cube<'p>>> {
        let depth = depth.checked_sub(1)?;
        match (pred.kind(), holds) {
            (PredKind::Not(inner), _) => self.add(cubes, inner, !holds, depth),
            (PredKind::And(parts), true) | (PredKind::Or(parts), false) => {
                let branches = |part: &Pred| {
                    matches!(part.kind(), PredKind::And(_) | PredKind::Or(_) | PredKind::Not(_))
                };
                // Plain tests come first: they may end a conjunction before it is multiplied.
                let (late, early): (Vec<&Pred>, Vec<&Pred>) = parts.iter().partition(|part| branches(part));
                early
                    .into_iter()
                    .chain(late)
                    .try_fold(cubes, |cubes, part| self.add(cubes, part, holds, depth))
            }
            (PredKind::And(parts), false) | (PredKind::Or(parts), true) => {
                let mut out = Vec::new();
                for (i, part) in parts.iter().enumerate() {
                    let mut start = cubes.clone();
                    // In the case that a number's test fails, its header is present. The header's
                    // absence is another case.
                    let bits = |p: &&Pred| !holds && matches!(p.kind(), PredKind::Bits { .. });
                    // Presence bits stand first in an `and`.
                    for guard in parts.iter().take(i).take_while(bits) {
                        start = self.add(start, guard, true, depth)?;
                    }
                    out.append(&mut self.add(start, part, holds, depth)?);
                    if out.len() > CUBES {
                        return None;
                    }
                }
                Some(out)
            }
            _ => {
                self.work = self.work.checked_sub(cubes.len())?;
                let mut left = cubes;
                left.retain_mut(|cube| match cube.assume(pred, holds) {
                    Ok(()) => true,
                    Err(conflict) => {
                        self.note(conflict);
                        false
                    }
                });
                Some(left)
            }
        }
    }
}
