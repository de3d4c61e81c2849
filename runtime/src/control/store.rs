//! What outlives the process: policies with their versions, and what was changed in them from outside, in a directory that
//! one mirrorc has at a time. The invariants: a change is acknowledged after it is on the disk; a kill at any moment
//! leaves the state before or after a change; a store that fails is told loudly, and the run goes on from memory. A
//! change is kept as the object that made it, with its time, so that restoring is making the changes again.
//! (Rejected: a file of our own that is written anew each time; a table of a million rows changes a row at a time.)

use super::bundle::Bundle;
use super::marker::{self, Marker};
use super::{Version, stations};
use crate::event::input;
use crate::patience::LOCKED;
use crate::privilege::private;
use mrule_compiler::hir::{Program, TableId, Value};
use mrule_engine::change::{Change, Effect};
use mrule_engine::policy::Policy;
use mrule_engine::trigger::Outcome;
use rusqlite::{Connection, Transaction, params};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A change as it is kept.
pub(super) type Object = Map<String, Json>;

/// The store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    marker: Marker,
    path: PathBuf,
    /// Its device and inode.
    file: (u64, u64),
}

/// A policy as it was kept.
#[derive(Debug)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its versions, the one at work last.
    pub(super) versions: Vec<Version>,
    pub(super) at_work: AtWork,
    /// Changes with their times; none in place of one that cannot be read.
    changes: Vec<(i64, Option<Object>)>,
}

/// What the store says of a policy's last version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AtWork {
    /// It is at work.
    Yes,
    /// It was, until the policy was unloaded.
    Unloaded,
    /// It cannot be read or is not there, for this reason: whether it was binding is not known.
    Lost(&'static str),
}

/// What restoring the changes of a policy gave.
#[derive(Debug, Default)]
pub(super) struct Remade {
    pub changed: super::Changed,
    /// Why changes could not be made again; at most eight.
    pub refused: Vec<String>,
    /// The first one without which more is copied than was allowed before: anything but a raise
    /// that only adds copies.
    pub weaker: Option<String>,
}

/// How many unloaded policies are kept with their versions, to be rolled back to.
pub(super) const UNLOADED: usize = 32;

/// The kind of change under which a drained station is kept.
pub(super) const DRAIN: &str = "drain";

/// A row of a table as it is kept.
#[derive(Debug)]
pub(super) struct KeptRow {
    pub key: String,
    pub until: Option<i64>,
    /// The change that adds it, as text.
    pub object: String,
}

/// The tables that live on in a next version, and their rows, where the store asks for them.
pub(super) struct Tables<'a> {
    pub names: &'a BTreeSet<String>,
    pub rows: &'a dyn Fn(&str) -> Option<Vec<KeptRow>>,
}

/// What a change leaves to be kept.
#[derive(Debug, Clone)]
pub(super) enum Trace {
    /// This, in place of what was kept under the same key.
    Put { kind: &'static str, name: String, key: String, until: Option<i64> },
    /// Nothing under this key; without one, nothing of this name.
    Drop { kind: &'static str, name: String, key: Option<String> },
    /// Nothing happened.
    Nothing,
}

const SCHEMA: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS versions (
        policy TEXT, version INTEGER, loaded INTEGER, at_work INTEGER, bundle TEXT,
        PRIMARY KEY (policy, version)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS changes (
        policy TEXT, kind TEXT, name TEXT, key TEXT, time INTEGER, until INTEGER, object TEXT,
        PRIMARY KEY (policy, kind, name, key)) WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// A store that cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub why: String,
    /// Nothing was kept before, so nothing is missing.
    pub is_new: bool,
}

impl Store {
    /// Opens the store in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub(super) fn open(directory: &Path) -> Result<Store, Unusable> {
        let path = directory.join("state.sqlite");
        let is_new = marker::is_new(directory);
        let why = match Store::open_at(directory, path) {
            Ok(store) => return Ok(store),
            Err(why) => format!("the state in `{}` cannot be used: {why}", directory.display()),
        };
        Err(Unusable { why, is_new })
    }

    fn open_at(directory: &Path, path: PathBuf) -> Result<Store, Box<dyn std::error::Error>> {
        private::directory(directory)?;
        let marker = Marker::read(directory)?;
        let damaged = |why: &str| format!("{why}; to begin with no state, move the directory away");
        let (is_gone, log) = (!path.try_exists()?, directory.join("state.sqlite-wal"));
        if is_gone && (marker.is_some() || log.try_exists()?) {
            return Err(damaged("`state.sqlite` is gone, and there was one").into());
        }
        // What SQLite makes beside it has the same mode.
        private::database(&path)?;
        let connection = Connection::open(&path)?;
        connection.busy_timeout(LOCKED)?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 | 1 => {}
            other => return Err(format!("it has version {other}, a newer mirrorc's").into()),
        }
        let tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('versions', 'changes')";
        if marker.is_some() && connection.query_row(tables, [], |row| row.get::<_, i64>(0))? < 2 {
            return Err(damaged("`state.sqlite` is empty or lost its `-wal` file").into());
        }
        connection.execute_batch(SCHEMA)?;
        // After the tables: a kill before leaves a state that is new.
        let marker = marker.map_or_else(|| Marker::new(directory), Ok)?;
        let file = identity(&path)?;
        Ok(Store { connection, marker, path, file })
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// Says that it is not, in words.
    pub(super) fn is_there(&self) -> Result<(), String> {
        let path = self.path.display();
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err(format!("`{path}` was replaced by another file; changes are not kept any more")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(format!("`{path}` was removed; changes are not kept any more"))
            }
            Err(error) => Err(format!("`{path}` cannot be found: {error}; changes are not kept any more")),
        }
    }

    /// All that was kept and has not ended by a time.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn read(&mut self, now: i64) -> Result<Vec<Kept>, String> {
        let mut kept = self.read_all(now).map_err(|error| format!("the state cannot be read: {error}"))?;
        let compared = self.marker.compare(&mut kept);
        compared.map_err(|error| format!("the file `binding` of the state cannot be written: {error}"))?;
        Ok(kept)
    }

    /// Notes on the disk that a policy is binding at this version, or not any more.
    pub(super) fn mark(&mut self, policy: &str, version: Option<u64>) -> rusqlite::Result<()> {
        let marked = self.marker.set(policy, version);
        marked.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }

    fn read_all(&self, now: i64) -> rusqlite::Result<Vec<Kept>> {
        let mut kept: Vec<Kept> = Vec::new();
        let mut query = self.connection.prepare(
            "SELECT policy, version, loaded, bundle, at_work FROM versions
             ORDER BY policy, at_work, version",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (name, text): (String, String) = (row.get(0)?, row.get(3)?);
            let (version, loaded) = (row.get::<_, i64>(1)? as u64, row.get(2)?);
            if kept.last().is_none_or(|last| last.name != name) {
                kept.push(Kept::lost(name, "its version at work is missing"));
            }
            let Some(policy) = kept.last_mut() else { continue };
            let bundle = Bundle::from_json(&text);
            policy.at_work = match (row.get::<_, i64>(4)?, &bundle) {
                (1, Some(_)) => AtWork::Yes,
                (1, None) => AtWork::Lost("its version at work cannot be read"),
                (2, _) => AtWork::Unloaded,
                _ => policy.at_work.clone(),
            };
            policy.versions.extend(bundle.map(|bundle| Version { version, loaded, bundle }));
        }
        let mut query = self.connection.prepare(
            "SELECT DISTINCT policy FROM changes WHERE policy NOT IN (SELECT policy FROM versions)",
        )?;
        for name in query.query_map([], |row| row.get::<_, String>(0))? {
            kept.push(Kept::lost(name?, "its versions are missing, what was changed in it is there"));
        }
        // What makes a table empty comes before its rows.
        let mut query = self.connection.prepare(
            "SELECT time, object FROM changes WHERE policy = ?1 AND (until IS NULL OR until >= ?2)
             ORDER BY kind != 'whole', time",
        )?;
        for policy in &mut kept {
            let mut rows = query.query(params![policy.name, now])?;
            while let Some(row) = rows.next()? {
                let (time, text): (i64, String) = (row.get(0)?, row.get(1)?);
                policy.changes.push((time, serde_json::from_str(&text).ok()));
            }
        }
        Ok(kept)
    }

    /// A version was loaded: it is at work, these versions are kept, and of what was changed from outside this: tables as
    /// they are now, params and triggers by name.
    pub(super) fn loaded(
        &mut self,
        policy: &str,
        version: &Version,
        oldest: u64,
        tables: &Tables<'_>,
        lives_on: &dyn Fn(&str, &str) -> bool,
        now: i64,
    ) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        change.execute(
            "DELETE FROM versions WHERE policy = ?1 AND version < ?2",
            params![policy, oldest as i64],
        )?;
        change.execute("UPDATE versions SET at_work = 0 WHERE policy = ?1", [policy])?;
        change.execute(
            "INSERT OR REPLACE INTO versions VALUES (?1, ?2, ?3, 1, ?4)",
            params![policy, version.version as i64, version.loaded, version.bundle.to_json()],
        )?;
        let names: Vec<(String, String)> = change
            .prepare("SELECT DISTINCT kind, name FROM changes WHERE policy = ?1")?
            .query_map([policy], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (kind, name) in names.iter().filter(|(kind, name)| !lives_on(kind, name)) {
            let gone = "DELETE FROM changes WHERE policy = ?1 AND kind = ?2 AND name = ?3";
            change.execute(gone, params![policy, kind, name])?;
        }
        for table in tables.names {
            // One that is here whole is as it was: each change of it was written when it was made.
            let is_whole = "SELECT count(*) FROM changes WHERE policy = ?1 AND kind = 'whole' AND name = ?2";
            if change.query_row(is_whole, [policy, table], |row| row.get::<_, i64>(0))? == 0
                && let Some(rows) = (tables.rows)(table)
            {
                whole(&change, policy, table, &rows, now)?;
            }
        }
        change.commit()?;
        self.mark(policy, version.bundle.is_binding().then_some(version.version))
    }

    /// A policy was unloaded: its versions are kept, to go back to; not what was changed in it.
    pub(super) fn unloaded(&mut self, policy: &str) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        change.execute(
            "UPDATE versions SET at_work = 2 WHERE policy = ?1
             AND version = (SELECT max(version) FROM versions WHERE policy = ?1)",
            [policy],
        )?;
        change.execute("DELETE FROM changes WHERE policy = ?1", [policy])?;
        change.execute(
            "DELETE FROM versions WHERE policy IN (SELECT policy FROM versions WHERE at_work = 2
             ORDER BY loaded DESC LIMIT -1 OFFSET ?1)",
            [UNLOADED as i64],
        )?;
        change.commit()?;
        self.mark(policy, None)
    }

    /// A table has these rows now, and no others.
    pub(super) fn replaced(
        &mut self,
        policy: &str,
        table: &str,
        rows: &[KeptRow],
        now: i64,
    ) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        whole(&change, policy, table, rows, now)?;
        change.commit()
    }

    /// A change was made.
    pub(super) fn changed(
        &mut self,
        policy: &str,
        trace: &Trace,
        object: &Object,
        now: i64,
    ) -> rusqlite::Result<()> {
        match trace {
            Trace::Nothing => {}
            Trace::Put { kind, name, key, until } => {
                let object = Json::Object(object.clone()).to_string();
                self.connection.execute(
                    "INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![policy, kind, name, key, now, until, object],
                )?;
            }
            Trace::Drop { kind, name, key: Some(key) } => {
                let gone = "DELETE FROM changes WHERE policy = ?1 AND kind = ?2 AND name = ?3 AND key = ?4";
                self.connection.execute(gone, params![policy, kind, name, key])?;
            }
            Trace::Drop { kind, name, key: None } => {
                let gone = "DELETE FROM changes WHERE policy = ?1 AND kind = ?2 AND name = ?3";
                self.connection.execute(gone, params![policy, kind, name])?;
            }
        }
        Ok(())
    }

    /// Forgets what has ended.
    pub(super) fn expire(&mut self, now: i64) -> rusqlite::Result<usize> {
        self.connection.execute("DELETE FROM changes WHERE until < ?1", [now])
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

fn whole(
    change: &Transaction<'_>,
    policy: &str,
    table: &str,
    rows: &[KeptRow],
    now: i64,
) -> rusqlite::Result<()> {
    let gone = "DELETE FROM changes WHERE policy = ?1 AND kind IN ('row', 'whole') AND name = ?2";
    change.execute(gone, params![policy, table])?;
    let mut put = change.prepare("INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let marker = serde_json::json!({ "whole": table }).to_string();
    put.execute(params![policy, "whole", table, "", now, None::<i64>, marker])?;
    for KeptRow { key, until, object } in rows {
        put.execute(params![policy, "row", table, key, now, until, object])?;
    }
    Ok(())
}

/// A key as what is kept is found by.
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
        key_text(key, policy.world().table(*id).is_some_and(|table| table.form().unordered))
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
                // The program says it: that it was removed must be known.
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

impl Kept {
    pub(super) fn lost(name: String, why: &'static str) -> Kept {
        Kept { name, versions: Vec::new(), at_work: AtWork::Lost(why), changes: Vec::new() }
    }

    /// Makes the changes again, each at its own time; says which could not be, and what was changed.
    pub(super) fn restore(&self, policy: &mut Policy) -> Remade {
        let mut remade = Remade::default();
        let program = policy.program().clone();
        for (time, object) in &self.changes {
            let made = match object {
                Some(object) => remake(policy, &program, *time, object, &mut remade.changed),
                None => Err("a change cannot be read".to_owned()),
            };
            let Err(why) = made else { continue };
            let why = format!("policy {}: {why}", self.name);
            if object
                .as_ref()
                .is_none_or(|object| !object.contains_key("raise") || program.raises_may_lessen())
            {
                remade.weaker.get_or_insert_with(|| why.clone());
            }
            if remade.refused.len() < 8 {
                remade.refused.push(why);
            }
        }
        remade
    }
}

/// Makes a change again.
fn remake(
    policy: &mut Policy,
    program: &Program,
    time: i64,
    object: &Object,
    changed: &mut super::Changed,
) -> Result<(), String> {
    let name = |verb: &str| object.get(verb).and_then(Json::as_str).map(str::to_owned);
    let has = |station: &str| {
        let known = program.stations.iter().any(|other| other.name == station);
        if known { Ok(()) } else { Err(format!("there is no station `{station}` any more")) }
    };
    if let Some(table) = name("whole") {
        let at = program.tables.iter().position(|other| other.name == table);
        let at = at.ok_or_else(|| format!("there is no table `{table}` any more"))?;
        let emptied = policy.world_mut().replace(TableId(at as u32), Vec::new());
        emptied.map_err(|error| error.to_string())?;
        changed.tables.insert(table);
        return Ok(());
    }
    if let Some(station) = name(DRAIN) {
        has(&station)?;
        changed.drained.insert(station);
        return Ok(());
    }
    if let Some((station, set)) = stations::SetStation::from_object(object) {
        has(&station)?;
        stations::check(&station, &set.words)?;
        changed.stations.insert(station, set);
        return Ok(());
    }
    let change = input::change(object.clone(), program)?;
    policy.change(time, &change).map_err(|error| error.to_string())?;
    changed.tables.extend(name("add").or_else(|| name("remove")));
    changed.params.extend(name("set"));
    Ok(())
}
