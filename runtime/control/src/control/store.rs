//! What outlives the process: policies with their versions, and what was changed in them from
//! outside, in a directory that one mirrorc has at a time. The invariants: a change is acknowledged
//! after it is on the disk; a kill at any moment leaves the state before or after a change; each
//! transaction has a number, the next one a larger number, and may be carried out twice. A change
//! is kept as the object that made it, with its time, so that restoring is making the changes
//! again. What cannot be read stays, and is told. (Rejected: a file of our own that is written anew
//! each time; a table of a million rows changes a row at a time.)

mod read;
mod refused;
#[cfg(test)]
mod tests;

use super::marker::{self, Marker};
use super::mutation::Mutation;
use super::saved::{Content, Kind, RefusedRow, RowLocation, SavedChange, SavedTableRow};
use super::{Version, owner, schema};
use mrule_dataplane::patience::LOCKED;
use mrule_dataplane::privilege::private;
use refused::is_change;
use rusqlite::{Connection, params};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    /// Rows that could not be read, by policy.
    refused: BTreeMap<String, Vec<RefusedRow>>,
    /// Where those of them stood that are not in the way any more, then.
    moved: Vec<RowLocation>,
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
    /// In the order in which they are made again.
    pub(super) changes: Vec<SavedChange>,
    /// Rows of it that cannot be read.
    pub(super) refused: Vec<RefusedRow>,
}

/// What the store says of a policy's last version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AtWork {
    /// It is at work.
    Yes,
    /// It was, until the policy was unloaded.
    Unloaded,
    /// It cannot be read or is not there, for this reason: whether it was binding is not known.
    Lost(String),
}

/// What restoring the changes of a policy gave.
#[derive(Debug, Default)]
pub(super) struct Reapplied {
    pub changed: super::Changed,
    /// Why changes could not be made again; at most eight.
    pub refused: Vec<String>,
    /// The first one without which more is copied than was allowed before: anything but a raise
    /// that only adds copies.
    pub weaker: Option<String>,
}

/// How many unloaded policies are kept with their versions, to be rolled back to.
pub(super) const UNLOADED: usize = 32;

/// The tables that live on in a next version, and their rows, where the store asks for them.
pub(super) struct Tables<'a> {
    pub names: &'a BTreeSet<String>,
    pub rows: &'a dyn Fn(&str) -> Option<Vec<SavedTableRow>>,
}

/// A store that cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub why: String,
    /// Nothing was kept before, so nothing is missing.
    pub is_new: bool,
}

impl Store {
    /// Opens the store in a directory, which is made if it is not there. `goes_on` is called now
    /// and then while a database of an earlier schema is migrated.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub(super) fn open(directory: &Path, goes_on: &dyn Fn()) -> Result<Store, Unusable> {
        let path = directory.join("state.sqlite");
        let is_new = marker::is_new(directory);
        let why = match Store::open_at(directory, path, goes_on) {
            Ok(store) => return Ok(store),
            Err(why) => {
                let why = owner::told(&directory.join("state.owner"), &*why);
                format!("the state in `{}` cannot be used: {why}", directory.display())
            }
        };
        Err(Unusable { why, is_new })
    }

    fn open_at(
        directory: &Path,
        path: PathBuf,
        goes_on: &dyn Fn(),
    ) -> Result<Store, Box<dyn std::error::Error>> {
        private::directory(directory)?;
        let marker = Marker::read(directory)?;
        let damaged = |why: &str| format!("{why}; to begin with no state, move the directory away");
        let (is_gone, log) = (!path.try_exists()?, directory.join("state.sqlite-wal"));
        if is_gone && (marker.is_some() || log.try_exists()?) {
            return Err(damaged("`state.sqlite` is gone, and there was one").into());
        }
        // What SQLite makes beside it has the same mode.
        private::database(&path)?;
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(LOCKED)?;
        let from = schema::check(&connection)?;
        let tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('versions', 'changes')";
        if marker.is_some() && connection.query_row(tables, [], |row| row.get::<_, i64>(0))? < 2 {
            return Err(damaged("`state.sqlite` is empty or lost its `-wal` file").into());
        }
        schema::migrate(&mut connection, from, goes_on)?;
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
        let (bound, resolved, refused, moved) = Default::default();
        Ok(Store { connection, marker, number: 0, bound, resolved, refused, moved, path, file })
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
        self.moved.clear();
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
        self.moved();
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
        let refused = kept.iter().filter(|policy| !policy.refused.is_empty());
        self.refused = refused.map(|policy| (policy.name.clone(), policy.refused.clone())).collect();
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
    pub(super) fn resolve(&mut self, policy: &str) -> rusqlite::Result<()> {
        self.resolved.push(policy.to_owned());
        self.set_aside(policy, |_| true)
    }

    /// A version was loaded: it is at work, these older versions are kept, and of what was changed
    /// from outside this: tables as they are now, params and triggers by name.
    pub(super) fn loaded(
        &mut self,
        policy: &str,
        version: &Version,
        older: &[u64],
        tables: &Tables<'_>,
        lives_on: &dyn Fn(Kind, &str) -> bool,
        now: i64,
    ) -> rusqlite::Result<()> {
        self.mark(policy, version.bundle.is_binding().then_some(version.version))?;
        self.set_aside(policy, |place| matches!(place, RowLocation::Version { .. }))?;
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
        // What is of no kind that is known here was refused, and stays.
        let known = names.iter().filter_map(|(kind, name)| Some((Kind::named(kind)?, name)));
        for (kind, name) in known.filter(|(kind, name)| !lives_on(*kind, name)) {
            let gone = "DELETE FROM changes WHERE policy = ?1 AND kind = ?2 AND name = ?3";
            change.execute(gone, params![policy, kind.name(), name])?;
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
        self.resolve(policy)?;
        for other in forgotten {
            self.set_aside(other, |_| true)?;
        }
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
        self.mark(policy, None)
    }

    /// A table has these rows now, and no others.
    pub(super) fn replaced(
        &mut self,
        policy: &str,
        table: &str,
        rows: &[SavedTableRow],
        now: i64,
    ) -> rusqlite::Result<()> {
        self.set_aside(policy, |place| {
            [Kind::Row, Kind::Whole].iter().any(|kind| is_change(place, kind.name(), table, None))
        })?;
        whole(&self.connection, policy, table, rows, now)
    }

    /// A change was made.
    pub(super) fn changed(&mut self, policy: &str, mutation: &Mutation) -> rusqlite::Result<()> {
        let (Mutation::Put(SavedChange { kind, name, .. }) | Mutation::Drop { kind, name, .. }) = mutation;
        let (kind, key) = (kind.name(), mutation.key());
        self.set_aside(policy, |place| is_change(place, kind, name, key))?;
        match mutation {
            Mutation::Put(SavedChange { key, time, until, content, .. }) => {
                self.connection.execute(
                    "INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![policy, kind, name, key, time, until, content.to_json(name)],
                )?;
            }
            Mutation::Drop { key: Some(key), .. } => {
                let gone = "DELETE FROM changes WHERE policy = ?1 AND kind = ?2 AND name = ?3 AND key = ?4";
                self.connection.execute(gone, params![policy, kind, name, key])?;
            }
            Mutation::Drop { key: None, .. } => {
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

fn whole(
    change: &Connection,
    policy: &str,
    table: &str,
    rows: &[SavedTableRow],
    now: i64,
) -> rusqlite::Result<()> {
    let [whole, row] = [Kind::Whole.name(), Kind::Row.name()];
    let gone = "DELETE FROM changes WHERE policy = ?1 AND kind IN (?2, ?3) AND name = ?4";
    change.execute(gone, params![policy, whole, row, table])?;
    let mut put = change.prepare("INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    put.execute(params![policy, whole, table, "", now, None::<i64>, Content::Whole.to_json(table)])?;
    for SavedTableRow { key, until, object } in rows {
        put.execute(params![policy, row, table, key, now, until, object])?;
    }
    Ok(())
}
