//! Between the control plane and its store: what a run starts with, what is kept of each change, and what happens when
//! nothing can be kept any more. The invariant: a store that has failed once is not written to again, so that it never has
//! half of what happened; health and answers say that nothing is kept. (Rejected: refusing changes then; whoever has to act
//! on an attack has no use for a reason why not.)

use super::store::{Object, Store, Trace, key_text};
use super::{Held, Kept, Plan, Version, changes, make, now, stations};
use crate::confine::Confinement;
use crate::live::MAIN;
use crate::policy::{Label, Policy};
use mrule_compiler::engine::EngineKind;
use mrule_compiler::hir::TableId;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// The store and how it is.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    store: Option<Store>,
    /// Why nothing is kept, when it should be.
    trouble: Option<String>,
}

/// What a run starts with.
#[derive(Debug)]
pub struct Start {
    pub(super) policies: Vec<(String, Arc<Policy>, Held)>,
    pub(super) keeping: Keeping,
    /// What a user should know.
    pub(super) told: Vec<String>,
}

impl Start {
    /// With the program of the command line, and what was kept in a directory, if one is given; what clients set stations to
    /// is not restored where they are not granted it any more.
    pub fn new(
        kind: EngineKind,
        main: Policy,
        bundle: super::Bundle,
        directory: Option<&Path>,
        confinement: &Confinement,
    ) -> Start {
        let (mut told, mut keeping) = (Vec::new(), Keeping::default());
        let mut kept = Vec::new();
        if let Some(directory) = directory {
            let read = Store::open(directory).and_then(|store| Ok((store.read(now())?, store)));
            match read {
                Ok((read, store)) => (kept, keeping.store) = (read, Some(store)),
                Err(why) => {
                    told.push(format!("{why}; nothing will be kept"));
                    keeping.trouble = Some(why);
                }
            }
        }
        let mut policies = Vec::new();
        let of_main = kept.iter().position(|kept| kept.name == MAIN).map(|at| kept.remove(at));
        policies.push(begin(main, bundle, of_main.as_ref(), confinement, &mut keeping, &mut told));
        for policy in kept {
            match restore(kind, &policy, confinement, &mut told) {
                Ok(restored) => policies.push(restored),
                Err(why) => told.push(format!("policy {} was not restored: {why}", policy.name)),
            }
        }
        Start { policies, keeping, told }
    }

    /// The policy of the command line, to start the run with.
    pub fn first(&self) -> Vec<(String, Arc<Policy>)> {
        self.policies.first().map(|(name, policy, _)| (name.clone(), policy.clone())).into_iter().collect()
    }
}

/// The program of the command line takes the place of what was kept under its name.
fn begin(
    mut policy: Policy,
    bundle: super::Bundle,
    kept: Option<&Kept>,
    confinement: &Confinement,
    keeping: &mut Keeping,
    told: &mut Vec<String>,
) -> (String, Arc<Policy>, Held) {
    let at_work = kept.and_then(|kept| kept.versions.last());
    let (version, loaded) = match at_work {
        Some(before) if before.bundle == bundle => (before.version, before.loaded),
        before => (before.map_or(1, |before| before.version + 1), now()),
    };
    let mut held = Held::new(Version { version, loaded, bundle });
    if let Some(kept) = kept {
        held.older = kept.versions.iter().filter(|older| older.version != version).cloned().collect();
        let (mut changed, mut refused) = kept.restore(&mut policy);
        refused.extend(stations::keep_granted(&policy, &mut changed.stations, confinement));
        policy = stations::changed(policy, &changed.stations);
        held.changed = changed;
        told.extend(refused.into_iter().map(|what| format!("not restored: {what}")));
    }
    let policy = Arc::new(policy.labelled(Label { policy: MAIN.into(), version }));
    if at_work.is_none_or(|before| before.version != version) {
        keeping.wrote(MAIN, &held, &policy, &|_, _| true);
    }
    (MAIN.to_owned(), policy, held)
}

fn restore(
    kind: EngineKind,
    kept: &Kept,
    confinement: &Confinement,
    told: &mut Vec<String>,
) -> Result<(String, Arc<Policy>, Held), String> {
    let mut older: VecDeque<Version> = kept.versions.iter().cloned().collect();
    let now = older.pop_back().ok_or("no version of it was kept")?;
    let mut compiled = now.bundle.compile();
    let Some(program) = compiled.program.take() else {
        let first = compiled.diagnostics.first().map(|d| d.message.clone()).unwrap_or_default();
        return Err(format!("its program has errors for this mirrorc: {first}"));
    };
    let made = make(kind, program, now.bundle.is_binding()).map_err(|refusal| refusal.to_string())?;
    let origins = now.bundle.origins(made.engine.program());
    let mut policy = Policy::new(made.engine, made.world).binding(made.bounds).written_by(origins);
    let (mut changed, mut refused) = kept.restore(&mut policy);
    refused.extend(stations::keep_granted(&policy, &mut changed.stations, confinement));
    told.extend(refused.into_iter().map(|what| format!("not restored: {what}")));
    let policy = stations::changed(policy, &changed.stations);
    let label = Label { policy: kept.name.as_str().into(), version: now.version };
    let held = Held { now, older, changed };
    Ok((kept.name.clone(), Arc::new(policy.labelled(label)), held))
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
                _ => of(&plan.triggers.kept),
            }
        };
        self.wrote(name, held, policy, &lives_on);
    }

    fn wrote(&mut self, name: &str, held: &Held, policy: &Policy, lives_on: &dyn Fn(&str, &str) -> bool) {
        if self.store.is_none() {
            return;
        }
        let oldest = held.older.front().map_or(held.now.version, |oldest| oldest.version);
        let tables: Vec<(String, Vec<Object>)> = held
            .changed
            .tables
            .iter()
            .filter_map(|table| Some((table.clone(), rows(policy, table)?)))
            .collect();
        self.tell(|store| store.loaded(name, &held.now, oldest, &tables, lives_on, now()));
    }

    /// A change was made.
    pub fn changed(&mut self, policy: &str, trace: &Trace, object: &Object, now: i64) {
        self.tell(|store| store.changed(policy, trace, object, now));
    }

    /// A table was given other rows.
    pub fn replaced(&mut self, name: &str, policy: &Policy, table: &str) {
        if self.store.is_some()
            && let Some(rows) = rows(policy, table)
        {
            self.tell(|store| store.replaced(name, table, &rows, now()));
        }
    }
}

/// The rows of a table as changes that add them, with their keys in the store.
fn rows(policy: &Policy, table: &str) -> Option<Vec<Object>> {
    let at = policy.program().tables.iter().position(|other| other.name == table)?;
    let table_now = policy.world().table(TableId(at as u32))?;
    let form = table_now.form();
    let now = now();
    let object = |(key, value, until): mrule_compiler::table::Row| {
        let mut object = Object::new();
        object.insert("add".into(), table.into());
        object.insert("\u{0}key".into(), key_text(&key, form.unordered).into());
        object.insert("key".into(), changes::key_json(form, &key).into());
        if let Some((value, ty)) = value.zip(form.value) {
            object.insert("value".into(), changes::value_json(ty, &form.words, &value));
        }
        if let Some(until) = until {
            object.insert("\u{0}until".into(), until.into());
            object.insert("for".into(), Json::from(format!("{}ns", until.saturating_sub(now).max(0))));
        }
        object
    };
    Some(table_now.rows().map(object).collect())
}

/// What answers say of it.
pub(super) fn about(keeping: &Keeping) -> Json {
    json!({ "kept": keeping.is_keeping(), "trouble": keeping.trouble() })
}
