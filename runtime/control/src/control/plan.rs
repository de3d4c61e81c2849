//! What a new program keeps, adds and removes when it replaces another: shown before (a dry run)
//! and after the load. The invariant: the plan comes from the same functions that make the change.
//! (Rejected: only a description in the documentation; a user wants to know it for a certain
//! program.)

use super::Changed;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{ParamId, Program, TableId};
use mrule_engine::decider::{Migration, streams_begin_anew};
use mrule_engine::policy::Policy;
use serde::Serialize;

/// What is kept, new and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Rules.
    pub rules: Fates,
    /// Limits.
    pub limits: Fates,
    /// Stations; kept stations keep their queues, files and counts.
    pub stations: Fates,
    /// Triggers; kept triggers keep their active keys, windows and suppressions.
    pub triggers: Fates,
    /// Tables that commands or clients changed; kept tables keep these rows, whatever the new
    /// program's file contains.
    pub tables: Fates,
    /// Params that commands or clients changed; kept params keep their value.
    pub params: Fates,
    /// Stations that commands or clients changed; kept stations keep their target and limit.
    pub targets: Fates,
    /// The flow table: `kept`, `begun` (no program used it before), `dropped` (no program uses it
    /// any more) or `none`.
    pub flows: &'static str,
    /// Whether the searched patterns change: existing flows are then searched from their next byte
    /// on.
    pub streams_begin_anew: bool,
}

/// The names that are kept, new (or start again), and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// Kept.
    pub kept: Vec<String>,
    /// New, or with the same name and another structure.
    pub new: Vec<String>,
    /// Removed.
    pub lost: Vec<String>,
}

impl Fates {
    fn of<'n>(
        new: impl Iterator<Item = &'n String> + Clone,
        old: impl Iterator<Item = &'n String> + Clone,
        kept: &[Option<usize>],
    ) -> Fates {
        let mut fates = Fates::default();
        for (name, kept) in new.clone().zip(kept) {
            (if kept.is_some() { &mut fates.kept } else { &mut fates.new }).push(name.clone());
        }
        let names: std::collections::HashSet<&String> = new.collect();
        fates.lost = old.filter(|name| !names.contains(name)).cloned().collect();
        fates
    }
}

impl Plan {
    /// The plan for a policy that replaces another; `changed`: what commands or clients changed in
    /// the old policy.
    pub(super) fn new(old: Option<&Policy>, new: &Policy, changed: &Changed) -> Plan {
        let program = new.program();
        let none = |count: usize| vec![None; count];
        let Some(old) = old else {
            let empty = std::iter::empty::<&String>;
            let fates = |names: Vec<&String>| Fates::of(names.iter().copied(), empty(), &none(names.len()));
            return Plan {
                rules: fates(program.rules.iter().map(|r| &r.name).collect()),
                limits: fates(program.limits.iter().map(|l| &l.name).collect()),
                stations: fates(program.stations.iter().map(|s| &s.name).collect()),
                triggers: fates(program.triggers.iter().map(|t| &t.name).collect()),
                flows: if program.uses().flows { "begun" } else { "none" },
                ..Plan::default()
            };
        };
        let was = old.program();
        let stations: Vec<Option<usize>> = program
            .stations
            .iter()
            .map(|s| {
                was.stations
                    .iter()
                    .position(|o| o.name == s.name && o.target == s.target && o.limit == s.limit)
            })
            .collect();
        let migration = Migration::new(old, new, stations);
        let mut trial = new.environment().clone();
        Plan {
            rules: Fates::of(
                program.rules.iter().map(|r| &r.name),
                was.rules.iter().map(|r| &r.name),
                &migration.rules,
            ),
            limits: Fates::of(
                program.limits.iter().map(|l| &l.name),
                was.limits.iter().map(|l| &l.name),
                &migration.limits,
            ),
            stations: Fates::of(
                program.stations.iter().map(|s| &s.name),
                was.stations.iter().map(|s| &s.name),
                &migration.stations,
            ),
            triggers: Fates::of(
                program.triggers.iter().map(|t| &t.name),
                was.triggers.iter().map(|t| &t.name),
                &migration.triggers,
            ),
            flows: match (was.uses().flows, program.uses().flows) {
                (true, true) => "kept",
                (false, true) => "begun",
                (true, false) => "dropped",
                (false, false) => "none",
            },
            streams_begin_anew: was.uses().flows && streams_begin_anew(was, program),
            ..keep(old, program, changed, &mut trial)
        }
    }
}

/// Applies changes by commands and clients in the old program to the environment of the new
/// program, as far as they fit; returns which did.
pub(super) fn keep(old: &Policy, new: &Program, changed: &Changed, environment: &mut Environment) -> Plan {
    let mut plan = Plan::default();
    for name in &changed.tables {
        let was = old.program().tables.iter().position(|table| table.name == *name);
        let is = new.tables.iter().position(|table| table.name == *name);
        let kept = was.zip(is).is_some_and(|(was, is)| {
            environment.keep_table(TableId(is as u32), old.environment(), TableId(was as u32))
        });
        (if kept { &mut plan.tables.kept } else { &mut plan.tables.lost }).push(name.clone());
    }
    for name in &changed.params {
        let was = old.program().params.iter().position(|param| param.name == *name);
        let is = new.params.iter().position(|param| param.name == *name);
        let kept = was.zip(is).is_some_and(|(was, is)| {
            environment.keep_param(ParamId(is as u32), old.environment(), ParamId(was as u32))
        });
        (if kept { &mut plan.params.kept } else { &mut plan.params.lost }).push(name.clone());
    }
    for name in changed.stations.keys() {
        let kept = new.stations.iter().any(|station| station.name == *name);
        (if kept { &mut plan.targets.kept } else { &mut plan.targets.lost }).push(name.clone());
    }
    plan
}
