//! What a change that was made leaves in the state: a saved change under a key, or nothing under it
//! any more. The invariant: what takes back a change has its key. (Rejected: a log of all changes;
//! it would grow without end.)

use super::row_key::encode;
use super::saved::{Content, Kind, SavedChange};
use crate::event::verb::Verb;
use mrule_compiler::hir::{TableId, Value};
use mrule_engine::change::{Change, Effect};
use mrule_engine::policy::Policy;
use mrule_engine::trigger::Outcome;

/// What a change leaves in the state.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    /// This, in place of what was saved under the same kind, name and key.
    Put(SavedChange),
    /// Nothing under this key; without one, nothing of this name.
    Drop { kind: Kind, name: String, key: Option<String> },
}

impl Mutation {
    /// Its key; none where it is about all keys.
    pub fn key(&self) -> Option<&str> {
        match self {
            Mutation::Put(change) => Some(&change.key),
            Mutation::Drop { key, .. } => key.as_deref(),
        }
    }
}

/// What a change that was made leaves in the state; none if nothing of it is to be saved. `verb` is
/// how it was written.
pub(super) fn mutation(
    policy: &Policy,
    change: &Change,
    effect: Effect,
    verb: &Verb,
    now: i64,
) -> Option<Mutation> {
    let program = policy.program();
    let trigger = |at: &usize| program.triggers.get(*at).map(|t| t.name.clone()).unwrap_or_default();
    let table = |id: &TableId| program.tables.get(id.index()).map(|t| t.name.clone()).unwrap_or_default();
    let row = |id: &TableId, key: &[Value]| {
        encode(key, policy.environment().table(*id).is_some_and(|table| table.form().unordered))
    };
    let put = |kind, name, key, time: &Option<i64>| {
        let until = time.map(|time| now.saturating_add(time));
        let content = Content::Change(Box::new(verb.clone()));
        Some(Mutation::Put(SavedChange { kind, name, key, time: now, until, content }))
    };
    match change {
        _ if effect == Effect::Nothing => None,
        // Flows end with the process.
        Change::Flow { .. } => None,
        Change::Raise { trigger: at, key, time } => match effect {
            Effect::Raised(Outcome::Raised | Outcome::Extended) => {
                put(Kind::Raise, trigger(at), encode(key, false), time)
            }
            _ => None,
        },
        Change::Clear { trigger: at, key } => {
            let key = key.as_ref().map(|key| encode(key, false));
            Some(Mutation::Drop { kind: Kind::Raise, name: trigger(at), key })
        }
        Change::Suppress { trigger: at, key, time, .. } => {
            put(Kind::Suppress, trigger(at), encode(key, false), time)
        }
        Change::Unsuppress { trigger: at, key } => {
            let key = Some(encode(key, false));
            Some(Mutation::Drop { kind: Kind::Suppress, name: trigger(at), key })
        }
        Change::Add { table: id, key, time, .. } => put(Kind::Row, table(id), row(id, key), time),
        Change::Remove { table: id, key } => {
            let start =
                program.tables.get(id.index()).and_then(|table| table.start.number(key).ok().flatten());
            match start {
                // The program says it: that it was removed must be known.
                Some(_) => put(Kind::Row, table(id), row(id, key), &None),
                None => Some(Mutation::Drop { kind: Kind::Row, name: table(id), key: Some(row(id, key)) }),
            }
        }
        Change::Set { param, .. } => {
            let name = program.params.get(param.index()).map(|p| p.name.clone()).unwrap_or_default();
            put(Kind::Param, name, String::new(), &None)
        }
    }
}
