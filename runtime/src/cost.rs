//! What a program's state takes: bytes of each trigger, table and of flows, and how much of it a packet touches. The
//! invariant: bytes are asked of the very objects that a run would have. (Rejected: formulas kept beside them, which
//! would be wrong after the next change.)

use crate::decider::{Decider, Limits};
use crate::error::Error;
use crate::policy::Policy;
use crate::trigger::TriggerStore;
use mrule_compiler::hir::{NumKind, PredKind, Scope};

/// What something remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCost {
    /// What it is: `trigger`, `table`, `flows`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// How many entries it has room for: keys, rows, flows.
    pub room: u64,
    /// Bytes when it is full. Of a table: what its rows take now, for as many as it has room for.
    pub bytes: u64,
    /// Bytes that it takes now.
    pub now: u64,
    /// Lines of 64 bytes of it that a packet touches, at most.
    pub lines: u64,
}

/// What all of a program's state takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Triggers, tables, flows.
    pub states: Vec<StateCost>,
    /// Keys of triggers that are made of each packet.
    pub keys: u64,
    /// Windows that each packet may be counted in.
    pub windows: u64,
    /// Look-ups in tables and of triggers' keys that conditions may make for a packet.
    pub look_ups: u64,
    /// Patterns that streams are searched for.
    pub patterns: u64,
}

impl Cost {
    /// Bytes of all states when they are full.
    pub fn bytes(&self) -> u64 {
        self.states.iter().map(|state| state.bytes).sum()
    }

    /// Lines of 64 bytes of state that a packet touches, at most.
    pub fn lines(&self) -> u64 {
        self.states.iter().map(|state| state.lines).sum()
    }
}

/// Lines of a flow's entry, its place in the index, and its neighbours in the order of expiry.
const FLOW_LINES: u64 = 4;
/// Lines of a row's place and the row.
const ROW_LINES: u64 = 2;

/// What a policy's state takes.
///
/// # Errors
/// [`Error::Streams`]: the patterns that streams are searched for are too large together.
pub fn cost(policy: &Policy, limits: &Limits) -> Result<Cost, Error> {
    let program = policy.program();
    let mut cost = Cost { patterns: program.streams.len() as u64, ..Cost::default() };
    let (mut tables, mut active) = (vec![0u64; program.tables.len()], vec![0u64; program.triggers.len()]);
    let count = |list: &mut Vec<u64>, at: usize| {
        if let Some(uses) = list.get_mut(at) {
            *uses += 1;
        }
    };
    program.visit_preds(&mut |pred| match pred.kind() {
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
    });
    for (at, (trigger, shape)) in program.triggers.iter().zip(policy.shapes()).enumerate() {
        let windows = shape.windows.len() as u64;
        let raised = u64::from(trigger.when.is_some());
        cost.windows += windows;
        cost.keys += raised;
        let uses = active.get(at).copied().unwrap_or(0);
        cost.look_ups += uses;
        let by_flow = matches!(trigger.scope, Scope::Flow(_)) && trigger.own.is_empty();
        let bytes = if by_flow { 0 } else { TriggerStore::memory_of(&shape) as u64 };
        cost.states.push(StateCost {
            what: "trigger",
            name: trigger.name.clone(),
            room: if by_flow { limits.flows.flows as u64 } else { shape.keys as u64 },
            bytes,
            now: bytes,
            // The key's bucket and row, a line of each window's ring.
            lines: if by_flow { 0 } else { (2 + windows) * raised + 2 * uses },
        });
    }
    for (at, table) in program.tables.iter().enumerate() {
        let Some(of) = policy.world().table(mrule_compiler::hir::TableId(at as u32)) else { continue };
        let (rows, room, now) = (of.len() as u64, of.capacity() as u64, of.memory() as u64);
        let uses = tables.get(at).copied().unwrap_or(0);
        cost.look_ups += uses;
        let row = if rows == 0 { ROW } else { now.div_ceil(rows) };
        cost.states.push(StateCost {
            what: "table",
            name: table.name.clone(),
            room,
            bytes: row.saturating_mul(room).max(now),
            now,
            lines: ROW_LINES * uses,
        });
    }
    if let Some(tracked) = Decider::new(policy, limits, 1)?.tracked() {
        let bytes = tracked.memory as u64;
        let room = limits.flows.flows as u64;
        let name = if cost.patterns > 0 { "and what their streams contain" } else { "" }.to_owned();
        cost.states.push(StateCost { what: "flows", name, room, bytes, now: bytes, lines: FLOW_LINES });
    }
    Ok(cost)
}

/// Bytes of a row of a table that has none yet, about.
const ROW: u64 = 64;
