//! Keeps the sums when one program replaces another. Sums of what both programs have go on; all
//! others are kept as one sum, so that a thousand programs take no more room than one. Invariant:
//! no count is lost; the checks of [`Totals::check`] hold over all programs of a policy. (Rejected:
//! sums per program, which grow with each load.)

use super::{Totals, TriggerTotal};
use crate::decider::{Decider, Migration};
use mrule_compiler::hir::Program;

crate::counters! {
    /// Sums of the rules, limits and stations of earlier programs.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct RetiredTotals {
        /// Copies to stations.
        pub copies: u64,
        /// Bytes of these copies.
        pub bytes: u64,
        /// Verdicts for stations of which limits left nothing.
        pub withheld: u64,
        /// Verdicts that rules decided.
        pub decided: u64,
        /// Bytes of the copies of these verdicts.
        pub rule_bytes: u64,
        /// Verdicts of which limits left nothing, by limits.
        pub limited: u64,
        /// The greatest number of stations that one of the programs had.
        pub stations: u64 as most,
    }
}

impl RetiredTotals {
    /// All sums of `summary` as sums of an earlier program.
    pub fn all_of(summary: &Totals) -> RetiredTotals {
        let mut gone = summary.gone;
        gone.stations = gone.stations.max(summary.stations.len() as u64);
        for at in 0..summary.stations.len() {
            gone.station(summary, at);
        }
        for at in 0..summary.rules.len() {
            gone.rule(summary, at);
        }
        gone.limited += summary.bound_withheld;
        gone.limited += summary.limits.iter().map(|limit| limit.withheld).sum::<u64>();
        gone
    }

    fn station(&mut self, summary: &Totals, at: usize) {
        if let Some(station) = summary.stations.get(at) {
            self.copies += station.copies;
            self.bytes += station.bytes;
            self.withheld += station.withheld;
        }
    }

    fn rule(&mut self, summary: &Totals, at: usize) {
        if let Some(rule) = summary.rules.get(at) {
            self.decided += rule.decided;
            self.rule_bytes += rule.bytes;
        }
    }
}

impl Totals {
    /// Seeds the counters of a decider of this program.
    pub fn seed(&self, decider: &mut Decider) {
        decider.count_from(
            self.rules.iter().map(|rule| rule.matched),
            self.limits.iter().map(|limit| limit.matched),
            self.triggers.iter().map(|trigger| trigger.packets),
        );
    }

    /// The sums with which `program` starts when it replaces this one.
    pub fn succeed(&self, program: &Program, migration: &Migration) -> Totals {
        let Totals { stations, rules, limits, triggers, changes, refused, tracked, .. } =
            Totals::new(program);
        // All sums go on that are not of a rule, a limit, a station or a trigger.
        let mut next =
            Totals { stations, rules, limits, triggers, changes, refused, tracked, ..self.clone() };
        next.gone.stations = next.gone.stations.max(self.stations.len() as u64);
        carry(&mut next.stations, &self.stations, &migration.stations, |at| next.gone.station(self, at));
        carry(&mut next.rules, &self.rules, &migration.rules, |at| next.gone.rule(self, at));
        carry(&mut next.limits, &self.limits, &migration.limits, |at| {
            next.gone.limited += self.limits.get(at).map_or(0, |limit| limit.withheld);
        });
        carry(&mut next.triggers, &self.triggers, &migration.triggers, |_| {});
        for trigger in &mut next.triggers {
            *trigger = TriggerTotal { keys: None, ..std::mem::take(trigger) };
        }
        next
    }
}

/// Moves the entries that go on to their new places, and calls `gone` for the others.
fn carry<T: Clone>(new: &mut [T], old: &[T], was: &[Option<usize>], mut gone: impl FnMut(usize)) {
    let mut kept = vec![false; old.len()];
    for (place, was) in new.iter_mut().zip(was) {
        if let Some((old, kept)) = was.and_then(|was| Some((old.get(was)?, kept.get_mut(was)?))) {
            place.clone_from(old);
            *kept = true;
        }
    }
    for at in kept.iter().enumerate().filter(|(_, kept)| !**kept).map(|(at, _)| at) {
        gone(at);
    }
}
