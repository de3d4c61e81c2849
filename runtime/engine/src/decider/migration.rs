//! What a program takes over from its predecessor: the rules, stations and triggers that both have,
//! and what a worker knows about flows. Invariant: what both programs have keeps its counters and
//! all else begins at 0, so that sums add up over all programs; a worker moves state and allocates
//! nothing. (Rejected: a new flow table for each program, which would forget each connection.)

use super::{Decider, Tracker, TriggerCount};
use crate::policy::Policy;
use crate::stream::Streams;
use mrule_compiler::hir::{Program, Scope};

/// What continues from one program to the next: for each item of the new program its place in the
/// old one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// Rules, by name.
    pub rules: Vec<Option<usize>>,
    /// Limits, by name.
    pub limits: Vec<Option<usize>>,
    /// Stations whose queue and thread continue.
    pub stations: Vec<Option<usize>>,
    /// Triggers whose state continues.
    pub triggers: Vec<Option<usize>>,
    /// Triggers with the key `flow`: the old and the new bit of each.
    pub bits: Vec<(u32, u32)>,
    /// At least one of these bits has changed its meaning.
    pub renumbered: bool,
}

impl Migration {
    /// The migration between two policies of which the second succeeds the first. The caller runs
    /// the stations and knows which of them continue.
    pub fn new(old: &Policy, new: &Policy, stations: Vec<Option<usize>>) -> Migration {
        let (was, is) = (old.program(), new.program());
        let (triggers, bits) = (triggers(old, new), bits(was, is));
        let by_flow =
            |program: &Program| program.triggers.iter().filter(|t| matches!(t.scope, Scope::Flow(_))).count();
        let renumbered = bits.len() < by_flow(was) || bits.iter().any(|(was, is)| was != is);
        let names = |rules: &[mrule_compiler::hir::Rule], others: &[mrule_compiler::hir::Rule]| {
            let others: std::collections::HashMap<&str, usize> =
                others.iter().enumerate().map(|(at, rule)| (rule.name.as_str(), at)).collect();
            rules.iter().map(|rule| others.get(rule.name.as_str()).copied()).collect()
        };
        Migration {
            rules: names(&is.rules, &was.rules),
            limits: names(&is.limits, &was.limits),
            stations,
            triggers,
            bits,
            renumbered,
        }
    }
}

/// Triggers with keys continue where their store says so; triggers with the key `flow` where both
/// have that key.
fn triggers(old: &Policy, new: &Policy) -> Vec<Option<usize>> {
    let by_flow = |policy: &Policy, at: usize| {
        policy.program().triggers.get(at).is_some_and(|t| matches!(t.scope, Scope::Flow(_)))
    };
    let was = |(at, trigger): (usize, &mrule_compiler::hir::Trigger)| {
        let was = old.program().triggers.iter().position(|other| other.name == trigger.name)?;
        let same = match (by_flow(old, was), by_flow(new, at)) {
            (true, true) => true,
            (false, false) => new.triggers().shares(at, old.triggers(), was),
            _ => false,
        };
        same.then_some(was)
    };
    new.program().triggers.iter().enumerate().map(was).collect()
}

/// The bits of the triggers with the key `flow` that have the same name in both programs.
fn bits(was: &Program, is: &Program) -> Vec<(u32, u32)> {
    let bit = |program: &Program, name: &str| {
        program.triggers.iter().find(|t| t.name == name).and_then(|t| match t.scope {
            Scope::Flow(bit) => Some(bit),
            Scope::Keys(_) => None,
        })
    };
    is.triggers.iter().filter_map(|t| Some((bit(was, &t.name)?, bit(is, &t.name)?))).collect()
}

impl Decider {
    /// Seeds the counters of rules, limits and triggers, each in the order of the program.
    pub(crate) fn count_from(
        &mut self,
        rules: impl Iterator<Item = u64>,
        limits: impl Iterator<Item = u64>,
        triggers: impl Iterator<Item = TriggerCount>,
    ) {
        self.batch.count_from(rules, limits);
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.count_from(triggers);
        }
    }

    /// Takes over what the decider of another program knows; do not use that decider afterwards.
    /// `packets` is the number of packets that all programs of this policy decided before.
    pub fn take_over(&mut self, other: &mut Decider, migration: &Migration, packets: u64) {
        let Some(Tracker { flows, streams, suppressions, before }) = &mut self.tracker else { return };
        *before = packets;
        let Some(other) = &mut other.tracker else { return };
        *before = other.before;
        std::mem::swap(flows, &mut other.flows);
        flows.tell_as(&other.flows);
        suppressions.take_over(&mut other.suppressions, &migration.bits);
        if migration.renumbered {
            flows.renumber(&migration.bits);
        }
        match (streams, &mut other.streams) {
            (Some(mine), Some(its)) => {
                mine.take_over(its);
            }
            (Some(mine), None) => mine.begin_late(),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;

/// Whether the search of existing streams begins anew when `new` takes the place of `old`, because
/// it looks for something else.
pub fn streams_begin_anew(old: &Program, new: &Program) -> bool {
    let kinds = |program: &Program| program.streams.iter().map(|p| p.kind.clone()).collect::<Vec<_>>();
    let what = |program: &Program| {
        let uses = program.uses();
        (uses.app, uses.http, uses.tls, uses.dns, uses.quic, uses.streams)
    };
    Streams::looks(new) && (kinds(old) != kinds(new) || what(old) != what(new))
}
