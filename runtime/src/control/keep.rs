//! Between the control plane and its store: what a run starts with, what is kept of each change, and what happens when
//! nothing can be kept any more. The invariant: a store that has failed once is not written to again, so that it never has
//! half of what happened; health and answers say that nothing is kept. (Rejected: refusing changes then; whoever has to act
//! on an attack has no use for a reason why not.)

use super::keeper::{Keeper, Pending};
use super::store::{DRAIN, KeptRow, Object, Store, Tables, Trace, key_text};
use super::{Held, Plan, changes, now, stations};
use mrule_compiler::hir::TableId;
use mrule_compiler::table::{Form, Row};
use mrule_engine::policy::Policy;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The store and how it is.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    store: Option<Keeper>,
    /// Why there is no store, when there should be one.
    trouble: Option<String>,
    /// The last job that whoever made a change waits for.
    pending: Option<Pending>,
}

impl Keeping {
    /// By this store, or by none, for this reason.
    pub fn new(store: Result<Keeper, String>) -> Keeping {
        match store {
            Ok(store) => Keeping { store: Some(store), ..Keeping::default() },
            Err(why) => Keeping { trouble: Some(why), ..Keeping::default() },
        }
    }

    /// Looks whether the store is where it was: one that was moved or removed, or hangs, is not written to
    /// any more. It does not wait.
    pub fn look(&mut self) {
        if let Some(store) = &mut self.store {
            store.look();
        }
    }

    /// The last job that must be on the disk before an answer is given; to be waited for without the lock.
    pub fn take_pending(&mut self) -> Option<Pending> {
        self.pending.take()
    }
}

impl Keeping {
    /// Whether changes are kept: none when that was not asked for.
    pub fn is_keeping(&self) -> Option<bool> {
        match (&self.store, self.trouble()) {
            (_, Some(_)) => Some(false),
            (Some(_), None) => Some(true),
            (None, None) => None,
        }
    }

    /// Why nothing is kept.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone().or_else(|| self.store.as_ref()?.trouble())
    }

    /// Tells the store something. When that fails, or takes too long, it is the last thing it is told.
    pub fn tell(&mut self, what: impl FnOnce(&mut Store) -> rusqlite::Result<()> + Send + 'static) {
        self.tell_rows(0, what);
    }

    /// Tells the store something that writes this number of rows.
    fn tell_rows(
        &mut self,
        rows: usize,
        what: impl FnOnce(&mut Store) -> rusqlite::Result<()> + Send + 'static,
    ) {
        if let Some(store) = &mut self.store {
            self.pending = store.send(rows, what).or(self.pending.take());
        }
    }

    /// Forgets what has ended. Nobody waits for it.
    pub fn expire(&mut self) {
        if let Some(store) = &mut self.store {
            let _nobody_waits = store.send(0, |store| store.expire(now()).map(drop));
        }
    }

    /// A version was loaded, with what lives on by this plan.
    pub fn loaded(&mut self, name: &str, held: &Held, policy: &Arc<Policy>, plan: &Plan) {
        let [tables, params, targets, triggers] =
            [&plan.tables, &plan.params, &plan.targets, &plan.triggers].map(|fates| fates.kept.clone());
        let loaded = policy.clone();
        self.wrote(name, held, policy, move |kind: &str, name: &str| {
            let of = |names: &[String]| names.iter().any(|kept| kept == name);
            match kind {
                "row" | "whole" => of(&tables),
                "param" => of(&params),
                stations::KIND => of(&targets),
                DRAIN => loaded.drained().contains(name),
                _ => of(&triggers),
            }
        });
    }

    /// A version was loaded; `lives_on` says by kind and name what is kept of the changes.
    pub fn wrote(
        &mut self,
        name: &str,
        held: &Held,
        policy: &Arc<Policy>,
        lives_on: impl Fn(&str, &str) -> bool + Send + 'static,
    ) {
        if self.store.is_none() {
            return;
        }
        let oldest = held.older.front().map_or(held.now.version, |oldest| oldest.version);
        let names = held.changed.tables.clone();
        let most = names.iter().map(|table| count(policy, table)).sum();
        let (name, version, policy) = (name.to_owned(), held.now.clone(), policy.clone());
        self.tell_rows(most, move |store| {
            let tables = Tables { names: &names, rows: &|table| rows(&policy, table) };
            store.loaded(&name, &version, oldest, &tables, &lives_on, now())
        });
    }

    /// A change was made.
    pub fn changed(&mut self, policy: &str, trace: &Trace, object: &Object, now: i64) {
        let (policy, trace, object) = (policy.to_owned(), trace.clone(), object.clone());
        self.tell(move |store| store.changed(&policy, &trace, &object, now));
    }

    /// A table was given other rows.
    pub fn replaced(&mut self, name: &str, table: &str, rows: Vec<KeptRow>) {
        let (name, table) = (name.to_owned(), table.to_owned());
        self.tell_rows(rows.len(), move |store| store.replaced(&name, &table, &rows, now()));
    }
}

/// How many rows a table has.
fn count(policy: &Policy, table: &str) -> usize {
    let at = policy.program().tables.iter().position(|other| other.name == table);
    let table = at.and_then(|at| policy.world().table(TableId(at as u32)));
    table.map_or(0, |table| table.len())
}

/// The rows of a table as they are kept.
fn rows(policy: &Policy, table: &str) -> Option<Vec<KeptRow>> {
    let at = policy.program().tables.iter().position(|other| other.name == table)?;
    let there = policy.world().table(TableId(at as u32))?;
    Some(kept_rows(there.form(), table, there.rows()))
}

/// Rows as they are kept, in the order of their keys, so that each is written behind the one before. Of several with one
/// key the last one counts.
pub(super) fn kept_rows(form: &Form, table: &str, rows: impl Iterator<Item = Row>) -> Vec<KeptRow> {
    let now = now();
    let kept = |(key, value, until): Row| {
        let mut object = Object::new();
        object.insert("add".into(), table.into());
        object.insert("key".into(), changes::key_json(form, &key).into());
        if let Some((value, ty)) = value.zip(form.value) {
            object.insert("value".into(), changes::value_json(ty, &form.words, &value));
        }
        if let Some(until) = until {
            object.insert("for".into(), Json::from(format!("{}ns", until.saturating_sub(now).max(0))));
        }
        KeptRow { key: key_text(&key, form.unordered), until, object: Json::Object(object).to_string() }
    };
    let mut kept: Vec<KeptRow> = rows.map(kept).collect();
    kept.sort_by(|a, b| a.key.cmp(&b.key));
    kept
}

/// What answers say of it.
pub(super) fn about(keeping: &Keeping) -> Json {
    json!({ "kept": keeping.is_keeping(), "trouble": keeping.trouble() })
}
