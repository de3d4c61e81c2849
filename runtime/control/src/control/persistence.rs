//! Between the control plane and its store: what a run starts with, and what is kept of each
//! change. The invariants: each change says whether more would be copied without it; before a
//! policy binds all others, the file `binding` says so, or who asks is told that it does not;
//! health and answers say when nothing is kept. (Rejected: refusing all changes then; whoever has
//! to act on an attack has no use for a reason why not.)

use super::marker::Mark;
use super::mutation::Mutation;
use super::row_key;
use super::saved::{Content, Kind, SavedTableRow};
use super::store::{Store, Tables};
use super::store_thread::{Marked, Pending, StoreThread};
use super::values::{key_json, value_json};
use super::{Plan, PolicyEntry, now};
use crate::event::verb::Verb;
use mrule_compiler::hir::TableId;
use mrule_compiler::table::{Form, Row, Table};
use mrule_engine::policy::Policy;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The store and how it is.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    store: Option<StoreThread>,
    /// Why there is no store, when there should be one.
    trouble: Option<String>,
    /// The last job that whoever made a change waits for.
    pending: Option<Pending>,
    /// Policies that are about to bind all others: how many loads of each.
    intended: BTreeMap<String, usize>,
}

/// What becomes of what is missing of a policy, when a version of it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Somebody loaded it: nothing is missing any more.
    Resolved,
    /// A start loaded it: what was missing is.
    Again,
    /// A start loaded it, and a binding version of it is missing until somebody resolves it.
    Missing,
}

impl Persistence {
    /// By this store, or by none, for this reason.
    pub fn new(store: Result<StoreThread, String>) -> Persistence {
        match store {
            Ok(store) => Persistence { store: Some(store), ..Persistence::default() },
            Err(why) => Persistence { trouble: Some(why), ..Persistence::default() },
        }
    }

    /// Looks whether the store is where it was: one that was moved or removed, or hangs, is not
    /// written to any more. It does not wait.
    pub fn look(&mut self) {
        if let Some(store) = &mut self.store {
            store.look();
        }
    }

    /// The last job that must be on the disk before an answer is given; to be waited for without
    /// the lock.
    pub fn take_pending(&mut self) -> Option<Pending> {
        self.pending.take()
    }
}

impl Persistence {
    /// Whether changes are kept: none when that was not asked for.
    pub fn is_keeping(&self) -> Option<bool> {
        match (&self.store, self.trouble()) {
            (_, Some(_)) => Some(false),
            (Some(_), None) => Some(true),
            (None, None) => None,
        }
    }

    /// Whether there is a store that changes are given to, though they may wait there.
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Why nothing is kept.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone().or_else(|| self.store.as_ref()?.trouble())
    }

    /// Tells the store something of a policy, which would copy more if that were missing, or not.
    fn tell(
        &mut self,
        (rows, size): (usize, usize),
        lessens: Option<&str>,
        what: impl FnMut(&mut Store) -> rusqlite::Result<()> + Send + 'static,
    ) {
        if let Some(store) = &mut self.store {
            self.pending = store.send(rows, size, lessens.map(str::to_owned), what).or(self.pending.take());
        }
    }

    /// Forgets what has ended. Nobody waits for it.
    pub fn expire(&mut self) {
        if let Some(store) = &mut self.store {
            let _nobody_waits = store.send(0, 0, None, |store| store.expire(now()).map(drop));
            store.note();
        }
    }

    /// A policy is to be binding at a version: the file `binding` says so before it is loaded. It
    /// does not wait.
    ///
    /// # Errors
    /// Why it cannot be kept. None, when that was not asked for.
    pub fn intend(&mut self, policy: &str, version: u64) -> Result<Option<Marked>, String> {
        match (&mut self.store, &self.trouble) {
            (Some(store), _) => match store.mark(policy, Mark::Intended(version)) {
                Some(marked) => {
                    *self.intended.entry(policy.to_owned()).or_default() += 1;
                    Ok(Some(marked))
                }
                None => Err(store.trouble().unwrap_or_default()),
            },
            (None, Some(why)) => Err(why.clone()),
            (None, None) => Ok(None),
        }
    }

    /// What was intended is over: the file says what is at work; without a version, nothing. What
    /// cannot be restored stays in it.
    pub fn intended(&mut self, policy: &str, now: Option<u64>, is_missing: bool) {
        let left = self.intended.get_mut(policy).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left > 0 {
            return;
        }
        self.intended.remove(policy);
        let Some(store) = &mut self.store else { return };
        let _nobody_waits = match is_missing {
            true => store.mark(policy, Mark::Stays),
            false => store.over(policy, now),
        };
    }

    /// A policy was unloaded, and versions of these unloaded ones are not kept any more.
    pub fn unloaded(&mut self, name: &str, forgotten: Vec<String>) {
        let policy = name.to_owned();
        self.tell((0, 0), Some(name), move |store| store.unloaded(&policy, &forgotten));
    }

    /// A policy binds at this version, or does not; nothing of it is missing any more.
    pub fn released(&mut self, name: &str, version: Option<u64>) {
        let policy = name.to_owned();
        self.tell((0, 0), Some(name), move |store| {
            store.resolve(&policy)?;
            store.mark(&policy, version)
        });
    }

    /// A version was loaded, with what lives on by this plan.
    pub fn loaded(&mut self, name: &str, entry: &PolicyEntry, policy: &Arc<Policy>, plan: &Plan) {
        let [tables, params, targets, triggers] =
            [&plan.tables, &plan.params, &plan.targets, &plan.triggers].map(|fates| fates.kept.clone());
        let drained = policy.drained().clone();
        self.wrote(name, entry, policy, Wrote::Resolved, move |kind: Kind, name: &str| {
            let of = |names: &[String]| names.iter().any(|kept| kept == name);
            match kind {
                Kind::Row | Kind::Whole => of(&tables),
                Kind::Param => of(&params),
                Kind::Station => of(&targets),
                Kind::Drain => drained.contains(name),
                Kind::Raise | Kind::Suppress => of(&triggers),
            }
        });
    }

    /// A version was loaded; `lives_on` says by kind and name what is kept of the changes.
    pub fn wrote(
        &mut self,
        name: &str,
        entry: &PolicyEntry,
        policy: &Arc<Policy>,
        wrote: Wrote,
        lives_on: impl Fn(Kind, &str) -> bool + Send + 'static,
    ) {
        if self.store.is_none() {
            return;
        }
        let versions: Vec<u64> = entry.older.iter().map(|older| older.version).collect();
        let names = entry.changed.tables.clone();
        // Not the policy: what waits would keep the memory of an old one.
        let there = names.iter().filter_map(|name| Some((name.clone(), table(policy, name)?.clone())));
        let there: BTreeMap<String, Table> = there.collect();
        let most: usize = there.values().map(Table::len).sum();
        let (policy_name, version) = (name.to_owned(), entry.now.clone());
        let size = version.bundle.size() + most * ROW;
        self.tell((most, size), Some(name), move |store| {
            if wrote == Wrote::Resolved {
                store.resolve(&policy_name)?;
            }
            let tables = Tables { names: &names, rows: &|table| rows(there.get(table)?, table) };
            store.loaded(&policy_name, &version, &versions, &tables, &lives_on, now())?;
            match wrote {
                Wrote::Missing => store.mark(&policy_name, Some(version.version + 1)),
                Wrote::Resolved | Wrote::Again => Ok(()),
            }
        });
    }

    /// A change was made; without it more would be copied, or not.
    pub fn changed(&mut self, policy: &str, mutation: Mutation, lessens: bool) {
        let size = match &mutation {
            Mutation::Put(change) => change.content.to_json(&change.name).len(),
            Mutation::Drop { .. } => 0,
        };
        let name = policy.to_owned();
        let lessens = Some(policy).filter(|_| lessens);
        self.tell((0, ROW + size), lessens, move |store| store.changed(&name, &mutation));
    }

    /// A table was given other rows.
    pub fn replaced(&mut self, name: &str, table: &str, rows: Vec<SavedTableRow>) {
        let (policy, table) = (name.to_owned(), table.to_owned());
        let count = rows.len();
        self.tell((count, count * ROW), Some(name), move |store| {
            store.replaced(&policy, &table, &rows, now())
        });
    }
}

/// About how many bytes a row takes while it waits to be kept.
const ROW: usize = 256;

/// A table by its name; its copy shares its rows.
fn table<'a>(policy: &'a Policy, name: &str) -> Option<&'a Table> {
    let at = policy.program().tables.iter().position(|other| other.name == name)?;
    policy.environment().table(TableId(at as u32))
}

/// The rows of a table as they are kept.
fn rows(there: &Table, name: &str) -> Option<Vec<SavedTableRow>> {
    Some(kept_rows(there.form(), name, there.rows()))
}

/// Rows as they are kept, in the order of their keys, so that each is written behind the one
/// before. Of several with one key the last one counts.
pub(super) fn kept_rows(form: &Form, table: &str, rows: impl Iterator<Item = Row>) -> Vec<SavedTableRow> {
    let now = now();
    let kept = |(key, value, until): Row| {
        let verb = Verb::Add {
            table: table.to_owned(),
            key: Some(key_json(form, &key).into()),
            value: value.zip(form.value).map(|(value, ty)| value_json(ty, &form.words, &value)),
            lasts: until.map(|until| format!("{}ns", until.saturating_sub(now).max(0))),
        };
        let key = row_key::encode(&key, form.unordered);
        SavedTableRow { key, until, object: Content::Change(Box::new(verb)).to_json(table) }
    };
    let mut kept: Vec<SavedTableRow> = rows.map(kept).collect();
    kept.sort_by(|a, b| a.key.cmp(&b.key));
    kept
}

/// What answers say of it.
pub(super) fn about(persistence: &Persistence) -> Json {
    json!({ "kept": persistence.is_keeping(), "trouble": persistence.trouble() })
}
