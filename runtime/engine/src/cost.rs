//! What a program takes: bytes of each trigger, table, of flows, streams, workers and stations, and
//! how much state a packet touches. The figures are computed from the program before any of its
//! state exists, and budgets enforce them. Invariant: each size is the formula of the object that
//! allocates it, and stands beside that object; a test compares the sum with the memory of a
//! process. (Rejected: to build the objects and ask them; then the memory is already in use.)

use crate::decider::{Decider, Limits};
use crate::error::Error;
use crate::flow::FlowTable;
use crate::policy;
use crate::stream::Streams;
use crate::trigger::TriggerStore;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{NumKind, PredKind, Program, Scope, TableId};
use mrule_grammar::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One part of a program's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostItem {
    /// The kind: `trigger`, `table`, `flows`, `streams`, `program`, `workers`, `stations`.
    pub what: &'static str,
    /// The part's name; empty where there is only one part of its kind.
    pub name: String,
    /// The number of entries that it has room for: keys, rows, flows.
    pub room: u64,
    /// Bytes when it is full. For a table: bytes of its present rows.
    pub bytes: u64,
    /// The maximum number of its 64-byte cache lines that a packet touches.
    pub lines: u64,
    /// Where the rule file says the size: `keys` of a trigger, or the part's name.
    pub place: Option<Span>,
    /// The clause that makes the part this large, as written: `keys 16777216`.
    pub clause: Option<String>,
}

impl CostItem {
    /// The part in words.
    pub fn text(&self) -> String {
        let clause = self.clause.as_ref().map(|clause| format!(" (`{clause}`)")).unwrap_or_default();
        match self.name.as_str() {
            "" => format!("{}{clause}", self.what),
            name => format!("{} `{name}`{clause}", self.what),
        }
    }
}

/// What a run provides for each policy.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Limits of flows and streams, for all workers together.
    pub limits: Limits,
    /// The number of workers.
    pub workers: usize,
    /// The maximum number of packets that a worker decides at a time.
    pub batch: usize,
    /// Bytes of a station's threads and queues; 0 where copies are written synchronously.
    pub station_bytes: u64,
}

/// What a whole program takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Triggers, tables, flows, and so on.
    pub parts: Vec<CostItem>,
    /// The number of trigger keys that each packet is converted to.
    pub keys: u64,
    /// The number of windows that may count each packet.
    pub windows: u64,
    /// The maximum number of look-ups of tables and trigger keys by a packet's conditions.
    pub look_ups: u64,
    /// The number of patterns that streams are searched for.
    pub patterns: u64,
}

impl Cost {
    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of all parts but tables, which change while the program runs.
    pub fn bytes_without_tables(&self) -> u64 {
        self.bytes().saturating_sub(self.bytes_of("table"))
    }

    /// Bytes of the parts of one kind.
    pub fn bytes_of(&self, what: &str) -> u64 {
        let parts = self.parts.iter().filter(|part| part.what == what);
        parts.map(|part| part.bytes).fold(0, u64::saturating_add)
    }

    /// The maximum number of 64-byte cache lines of state that a packet touches.
    pub fn lines(&self) -> u64 {
        self.parts.iter().map(|part| part.lines).sum()
    }

    /// The cost without the triggers whose state exists in `old` and goes on.
    pub fn beside(mut self, program: &Program, environment: &Environment, old: &TriggerStore) -> Cost {
        let shapes = policy::shapes(program, environment);
        for part in self.parts.iter_mut().filter(|part| part.what == "trigger") {
            if shapes.iter().any(|shape| shape.name == part.name && old.has(shape)) {
                part.bytes = 0;
            }
        }
        self
    }
}

/// Cache lines of a flow's entry, its index slot, and its neighbours in the idle buckets.
const FLOW_LINES: u64 = 4;
/// Cache lines of a row's index slot and the row.
const ROW_LINES: u64 = 2;
/// Bytes of a node of a program: in the typed program, as code or as what helpers evaluate.
const NODE: u64 = 1200;
/// How often a set of the rules is held: in the typed program, and for the engine's search.
const SETS: u64 = 2;
/// Bytes of a rule or limit beside its conditions: its name, its lines, its place in tables.
const RULE: u64 = 3000;

/// What a program takes in this setting, with its tables as they are in this environment.
///
/// # Errors
/// [`Error::Streams`]: the patterns that streams are searched for exceed a limit together.
pub fn cost(program: &Program, environment: &Environment, setting: &Setting) -> Result<Cost, Error> {
    let mut cost = Cost { patterns: program.streams.len() as u64, ..Cost::default() };
    let (mut tables, mut active) = (vec![0u64; program.tables.len()], vec![0u64; program.triggers.len()]);
    let (mut nodes, mut sets) = (0u64, BTreeMap::new());
    let count = |list: &mut Vec<u64>, at: usize| {
        if let Some(uses) = list.get_mut(at) {
            *uses += 1;
        }
    };
    program.visit_preds(&mut |pred| {
        nodes += 1;
        // A set that several conditions name exists once.
        let set = match pred.kind() {
            PredKind::In(_, set) | PredKind::TagIn(_, set) | PredKind::FacetIn(_, set) => {
                Some((Arc::as_ptr(set).addr(), size_of_val(set.parts())))
            }
            PredKind::AddressIn(_, set) => Some((Arc::as_ptr(set).addr(), size_of_val(set.parts()))),
            _ => None,
        };
        sets.extend(set);
        match pred.kind() {
            PredKind::InTable { table, .. } | PredKind::LookupIs { table, .. } => {
                count(&mut tables, table.index())
            }
            PredKind::Active { trigger, .. } => count(&mut active, trigger.index()),
            PredKind::Compare(_, a, b) => {
                for num in [a, b] {
                    if let NumKind::Lookup { table, .. } = num.kind() {
                        count(&mut tables, table.index());
                    }
                }
            }
            _ => {}
        }
    });
    triggers(&mut cost, program, environment, setting, &active);
    for (at, table) in program.tables.iter().enumerate() {
        let Some(of) = environment.table(TableId(at as u32)) else { continue };
        let uses = tables.get(at).copied().unwrap_or(0);
        cost.look_ups += uses;
        cost.parts.push(CostItem {
            name: table.name.clone(),
            room: of.capacity() as u64,
            bytes: of.memory() as u64,
            lines: ROW_LINES * uses,
            place: Some(table.span),
            ..part("table")
        });
    }
    flows(&mut cost, program, setting)?;
    let rules = (program.rules.len() + program.limits.len()) as u64;
    let sets = sets.into_values().map(|bytes| bytes as u64).sum::<u64>() * SETS;
    cost.parts.push(CostItem { room: rules, bytes: nodes * NODE + rules * RULE + sets, ..part("program") });
    let each = Decider::fixed_memory(program, setting.batch);
    let workers = setting.workers as u64;
    cost.parts.push(CostItem { room: workers, bytes: workers.saturating_mul(each), ..part("workers") });
    let stations = program.stations.len() as u64;
    let bytes = stations.saturating_mul(setting.station_bytes);
    cost.parts.push(CostItem { room: stations, bytes, ..part("stations") });
    Ok(cost)
}

fn part(what: &'static str) -> CostItem {
    CostItem { what, name: String::new(), room: 0, bytes: 0, lines: 0, place: None, clause: None }
}

fn triggers(
    cost: &mut Cost,
    program: &Program,
    environment: &Environment,
    setting: &Setting,
    active: &[u64],
) {
    for (at, (trigger, shape)) in
        program.triggers.iter().zip(policy::shapes(program, environment)).enumerate()
    {
        let windows = shape.windows.len() as u64;
        let raised = u64::from(trigger.when.is_some());
        cost.windows += windows;
        cost.keys += raised;
        let uses = active.get(at).copied().unwrap_or(0);
        cost.look_ups += uses;
        let by_flow = matches!(trigger.scope, Scope::Flow(_)) && trigger.own.is_empty();
        let keyed = !by_flow && !trigger.key().is_empty() || !trigger.own.is_empty();
        cost.parts.push(CostItem {
            name: trigger.name.clone(),
            room: match by_flow {
                true => setting.limits.flows.flows as u64,
                false => TriggerStore::capacity_of(&shape),
            },
            bytes: TriggerStore::memory_of(&shape) + TriggerStore::suppressed_memory_of(&shape),
            // The key's bucket and row, and a cache line of each window's ring.
            lines: if by_flow { 0 } else { (2 + windows) * raised + 2 * uses },
            place: Some(trigger.keys_at.unwrap_or(trigger.span)),
            clause: keyed.then(|| format!("keys {}", trigger.capacity)),
            ..part("trigger")
        });
    }
}

fn flows(cost: &mut Cost, program: &Program, setting: &Setting) -> Result<(), Error> {
    if !program.uses().flows {
        return Ok(());
    }
    let workers = setting.workers.max(1);
    let mut limits = setting.limits.flows;
    limits.flows = limits.flows.div_ceil(workers);
    let bytes = FlowTable::memory_of(&limits).saturating_mul(workers as u64);
    let room = setting.limits.flows.flows as u64;
    cost.parts.push(CostItem { room, bytes, lines: FLOW_LINES, ..part("flows") });
    if Streams::looks(program) {
        let automaton = program.automaton().map_err(|too_large| Error::Streams(too_large.to_string()))?;
        let mut streams = setting.limits.streams;
        streams.pool = streams.pool.div_ceil(workers);
        let each = Streams::memory_of(&streams, limits.flows);
        let bytes = each.saturating_mul(workers as u64).saturating_add(automaton.memory() as u64);
        cost.parts.push(CostItem { room, bytes, ..part("streams") });
    }
    Ok(())
}
