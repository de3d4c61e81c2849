//! Between the control plane and its store: what a run starts with, what is kept of each change, and what happens when
//! nothing can be kept any more. The invariant: a store that has failed once is not written to again, so that it never has
//! half of what happened; health and answers say that nothing is kept. (Rejected: refusing changes then; whoever has to act
//! on an attack has no use for a reason why not.)

use super::store::{DRAIN, KeptRow, Object, Store, Tables, Trace, key_text};
use super::{Held, Plan, changes, now, stations};
use crate::policy::Policy;
use mrule_compiler::hir::TableId;
use mrule_compiler::table::{Form, Row};
use serde_json::{Value as Json, json};

/// The store and how it is.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    store: Option<Store>,
    /// Why nothing is kept, when it should be.
    trouble: Option<String>,
}

impl Keeping {
    /// By this store, or by none, for this reason.
    pub fn new(store: Result<Store, String>) -> Keeping {
        match store {
            Ok(store) => Keeping { store: Some(store), trouble: None },
            Err(why) => Keeping { store: None, trouble: Some(why) },
        }
    }

    /// Whether the store is where it was; one that was moved or removed is not written to any more.
    pub fn look(&mut self) {
        if let Some(Err(why)) = self.store.as_ref().map(Store::is_there) {
            self.store = None;
            self.trouble = Some(why);
        }
    }
}

impl Keeping {
    /// Whether changes are kept: none when that was not asked for.
    pub fn is_keeping(&self) -> Option<bool> {
        match (&self.store, &self.trouble) {
            (_, Some(_)) => Some(false),
            (Some(_), None) => Some(true),
            (None, None) => None,
        }
    }

    /// Why nothing is kept.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Tells the store something. When that fails, it is the last thing it is told.
    pub fn tell<T>(&mut self, what: impl FnOnce(&mut Store) -> rusqlite::Result<T>) {
        if let Some(store) = &mut self.store
            && let Err(error) = what(store)
        {
            self.store = None;
            self.trouble =
                Some(format!("the state cannot be written: {error}; changes are not kept any more"));
        }
    }

    /// A version was loaded, with what lives on by this plan.
    pub fn loaded(&mut self, name: &str, held: &Held, policy: &Policy, plan: &Plan) {
        let lives_on = |kind: &str, name: &str| {
            let of = |names: &[String]| names.iter().any(|kept| kept == name);
            match kind {
                "row" | "whole" => of(&plan.tables.kept),
                "param" => of(&plan.params.kept),
                stations::KIND => of(&plan.targets.kept),
                DRAIN => policy.drained().contains(name),
                _ => of(&plan.triggers.kept),
            }
        };
        self.wrote(name, held, policy, &lives_on);
    }

    pub fn wrote(&mut self, name: &str, held: &Held, policy: &Policy, lives_on: &dyn Fn(&str, &str) -> bool) {
        if self.store.is_none() {
            return;
        }
        let oldest = held.older.front().map_or(held.now.version, |oldest| oldest.version);
        let tables = Tables { names: &held.changed.tables, rows: &|table| rows(policy, table) };
        self.tell(|store| store.loaded(name, &held.now, oldest, &tables, lives_on, now()));
    }

    /// A change was made.
    pub fn changed(&mut self, policy: &str, trace: &Trace, object: &Object, now: i64) {
        self.tell(|store| store.changed(policy, trace, object, now));
    }

    /// A table was given other rows.
    pub fn replaced(&mut self, name: &str, table: &str, rows: &[KeptRow]) {
        self.tell(|store| store.replaced(name, table, rows, now()));
    }
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
