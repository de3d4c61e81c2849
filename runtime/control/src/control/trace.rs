//! What the store saves of a change: an object under a key, or the removal of that key. The
//! invariant: a change that undoes another has the same key. (Rejected: a log of all changes; it
//! would grow without end.)

use mrule_compiler::hir::{TableId, Value};
use mrule_engine::change::{Change, Effect};
use mrule_engine::policy::Policy;
use mrule_engine::trigger::Outcome;

/// What the store saves of a change.
#[derive(Debug, Clone)]
pub(super) enum Trace {
    /// Replace the object under this key.
    Put { kind: &'static str, name: String, key: String, until: Option<i64> },
    /// Remove this key; without a key, all objects of this name.
    Drop { kind: &'static str, name: String, key: Option<String> },
    /// Nothing changed.
    Nothing,
}

/// The text of a key by which the store finds its object.
pub(super) fn key_text(key: &[Value], unordered: bool) -> String {
    let mut parts: Vec<String> = key.iter().map(|part| format!("{part:?}")).collect();
    if unordered {
        parts.sort_unstable();
    }
    parts.join(", ")
}

/// What a change that was made leaves to be kept.
pub(super) fn trace(policy: &Policy, change: &Change, effect: Effect, now: i64) -> Trace {
    let program = policy.program();
    let until = |time: &Option<i64>| time.map(|time| now.saturating_add(time));
    let trigger = |at: &usize| program.triggers.get(*at).map(|t| t.name.clone()).unwrap_or_default();
    let table = |id: &TableId| program.tables.get(id.index()).map(|t| t.name.clone()).unwrap_or_default();
    let row = |id: &TableId, key: &[Value]| {
        key_text(key, policy.environment().table(*id).is_some_and(|table| table.form().unordered))
    };
    match change {
        _ if effect == Effect::Nothing => Trace::Nothing,
        // Flows end with the process.
        Change::Flow { .. } => Trace::Nothing,
        Change::Raise { trigger: at, key, time } => match effect {
            Effect::Raised(Outcome::Raised | Outcome::Extended) => {
                Trace::Put { kind: "raise", name: trigger(at), key: key_text(key, false), until: until(time) }
            }
            _ => Trace::Nothing,
        },
        Change::Clear { trigger: at, key } => {
            let key = key.as_ref().map(|key| key_text(key, false));
            Trace::Drop { kind: "raise", name: trigger(at), key }
        }
        Change::Suppress { trigger: at, key, time, .. } => {
            Trace::Put { kind: "suppress", name: trigger(at), key: key_text(key, false), until: until(time) }
        }
        Change::Unsuppress { trigger: at, key } => {
            Trace::Drop { kind: "suppress", name: trigger(at), key: Some(key_text(key, false)) }
        }
        Change::Add { table: id, key, time, .. } => {
            Trace::Put { kind: "row", name: table(id), key: row(id, key), until: until(time) }
        }
        Change::Remove { table: id, key } => {
            let start =
                program.tables.get(id.index()).and_then(|table| table.start.number(key).ok().flatten());
            match start {
                // The program defines the row, so its removal must be saved.
                Some(_) => Trace::Put { kind: "row", name: table(id), key: row(id, key), until: None },
                None => Trace::Drop { kind: "row", name: table(id), key: Some(row(id, key)) },
            }
        }
        Change::Set { param, .. } => {
            let name = program.params.get(param.index()).map(|p| p.name.clone()).unwrap_or_default();
            Trace::Put { kind: "param", name, key: String::new(), until: None }
        }
    }
}
