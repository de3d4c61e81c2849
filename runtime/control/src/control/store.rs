//! What outlives the process: policies with their versions, and what was changed in them from
//! outside, in a directory that one mirrorc has at a time. The invariants: a change is acknowledged
//! after it is on the disk; a kill at any moment leaves the state before or after a change; each
//! transaction has a number, the next one a larger number, and may be carried out twice. A change
//! is kept as the object that made it, with its time, so that restoring is making the changes
//! again. (Rejected: a file of our own that is written anew each time; a table of a million rows
//! changes a row at a time.)

use super::Version;
use super::bundle::Bundle;
use super::marker::{self, Marker};
use super::owner;
use super::trace::Trace;
use mrule_dataplane::patience::LOCKED;
use mrule_dataplane::privilege::private;
use rusqlite::{Connection, params};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The number of the transaction.
    number: u64,
    /// At which versions policies are binding, or that they are not, once it is on the disk.
    bound: BTreeMap<String, Option<u64>>,
    /// Policies of which nothing is missing any more, then.
    resolved: Vec<String>,
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
    /// Changes that were answered are not here.
    pub(super) is_behind: bool,
    /// Changes with their times; none in place of one that cannot be read.
    pub(super) changes: Vec<(i64, Option<Object>)>,
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
    CREATE TABLE IF NOT EXISTS sequence (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER);
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
            Err(why) => {
                let why = owner::told(&directory.join("state.owner"), &*why);
                format!("the state in `{}` cannot be used: {why}", directory.display())
            }
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
        owner::note(&directory.join("state.owner"));
        // After the tables: a kill before leaves a state that is new.
        let mut marker = marker.map_or_else(|| Marker::new(directory), Ok)?;
        let sequence = sequence(&connection)?;
        if sequence < marker.sequence() {
            let noted = marker.sequence();
            let older =
                format!("`state.sqlite` is older than `binding` says: change {sequence}, not {noted}");
            return Err(damaged(&older).into());
        }
        marker.committed(sequence);
        let file = identity(&path)?;
        let (bound, resolved) = (BTreeMap::new(), Vec::new());
        Ok(Store { connection, marker, number: 0, bound, resolved, path, file })
    }

    /// The file that says what is binding, and what is missing here.
    pub(super) fn marker(&mut self) -> &mut Marker {
        &mut self.marker
    }

    /// Carries out a transaction with its number: all of it or nothing.
    ///
    /// # Errors
    /// Why it is not on the disk, in words.
    pub(super) fn commit(
        &mut self,
        number: u64,
        work: &mut dyn FnMut(&mut Store) -> rusqlite::Result<()>,
    ) -> Result<(), String> {
        self.is_there()?;
        self.transact(number, work).map_err(|error| format!("the state cannot be written: {error}"))
    }

    fn transact(
        &mut self,
        number: u64,
        work: &mut dyn FnMut(&mut Store) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.number = number;
        self.bound.clear();
        self.resolved.clear();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let counted = "INSERT OR REPLACE INTO sequence VALUES (1, ?1)";
        let done = work(self)
            .and_then(|()| self.connection.execute(counted, [number as i64]))
            .and_then(|_| self.connection.execute_batch("COMMIT"));
        if let Err(error) = done {
            // Some errors have ended it already.
            let _none = self.connection.execute_batch("ROLLBACK");
            return Err(error);
        }
        self.marker.committed(number);
        for (policy, version) in std::mem::take(&mut self.bound) {
            self.marker.after(&policy, version, number).map_err(of_file)?;
        }
        for policy in std::mem::take(&mut self.resolved) {
            self.marker.resolve(&policy).map_err(of_file)?;
        }
        Ok(())
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// Says that it is not, in words.
    pub(super) fn is_there(&self) -> Result<(), String> {
        let path = self.path.display();
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err(format!("`{path}` was replaced by another file")),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!("`{path}` was removed")),
            Err(error) => Err(format!("`{path}` cannot be found: {error}")),
        }
    }

    /// All that was kept and has not ended by a time, and the number of the last transaction.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn read(&mut self, now: i64) -> Result<(Vec<Kept>, u64), String> {
        let unread = |error: rusqlite::Error| format!("the state cannot be read: {error}");
        let mut kept = self.read_all(now).map_err(unread)?;
        let compared = self.marker.compare(&mut kept);
        compared.map_err(|error| format!("the file `binding` of the state cannot be written: {error}"))?;
        Ok((kept, sequence(&self.connection).map_err(unread)?))
    }

    /// A policy is binding at this version, before what is written now; or not any more, after it.
    /// The last word of a transaction counts.
    pub(super) fn mark(&mut self, policy: &str, version: Option<u64>) -> rusqlite::Result<()> {
        self.bound.insert(policy.to_owned(), version);
        let before = version.map(|version| self.marker.before(policy, version, self.number));
        before.unwrap_or(Ok(())).map_err(of_file)
    }

    /// A policy was loaded, unloaded or released: nothing of it is missing any more.
    pub(super) fn resolve(&mut self, policy: &str) {
        self.resolved.push(policy.to_owned());
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

    /// A version was loaded: it is at work, these older versions are kept, and of what was changed
    /// from outside this: tables as they are now, params and triggers by name.
    pub(super) fn loaded(
        &mut self,
        policy: &str,
        version: &Version,
        older: &[u64],
        tables: &Tables<'_>,
        lives_on: &dyn Fn(&str, &str) -> bool,
        now: i64,
    ) -> rusqlite::Result<()> {
        self.mark(policy, version.bundle.is_binding().then_some(version.version))?;
        let change = &self.connection;
        change.execute(
            "DELETE FROM versions WHERE policy = ?1 AND version NOT IN (SELECT value FROM json_each(?2))",
            params![policy, Json::from(older).to_string()],
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
                whole(change, policy, table, &rows, now)?;
            }
        }
        Ok(())
    }

    /// A policy was unloaded: its versions are kept, to go back to; not what was changed in it, nor
    /// the versions of those that are forgotten.
    pub(super) fn unloaded(&mut self, policy: &str, forgotten: &[String]) -> rusqlite::Result<()> {
        let change = &self.connection;
        change.execute(
            "UPDATE versions SET at_work = 2 WHERE policy = ?1
             AND version = (SELECT max(version) FROM versions WHERE policy = ?1)",
            [policy],
        )?;
        change.execute("DELETE FROM changes WHERE policy = ?1", [policy])?;
        for other in forgotten {
            change.execute("DELETE FROM versions WHERE policy = ?1", [other])?;
        }
        self.resolve(policy);
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
        whole(&self.connection, policy, table, rows, now)
    }

    /// A change was made.
    pub(super) fn changed(
        &mut self,
        policy: &str,
        trace: &Trace,
        object: &str,
        now: i64,
    ) -> rusqlite::Result<()> {
        match trace {
            Trace::Nothing => {}
            Trace::Put { kind, name, key, until } => {
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

/// An error of the file `binding`, as the database's are told.
fn of_file(error: std::io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(format!("the file `binding`: {error}").into())
}

fn sequence(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT coalesce(max(number), 0) FROM sequence";
    connection.query_row(query, [], |row| Ok(row.get::<_, i64>(0)? as u64))
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

fn whole(change: &Connection, policy: &str, table: &str, rows: &[KeptRow], now: i64) -> rusqlite::Result<()> {
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
