//! The schema of the state's database, its version, and how databases of earlier versions become
//! ones of this version. The invariants: a migration is one transaction, so a kill leaves the old
//! database or the new one; it takes over rows that it cannot read as they are; a database of a
//! newer schema is refused and not touched. (Rejected: reading several schemas for good; each later
//! change would have to know them all.)
//!
//! - Schema 1: keys are the `Debug` text of values.
//! - Schema 2: keys as `row_key.rs` encodes them; tables for refused rows that were set aside.

use super::row_key;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

/// The schema of this mirrorc.
pub(super) const VERSION: i64 = 2;

/// After how many rows a migration says that it goes on.
const STEP: usize = 10_000;

const MODES: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS versions (
        policy TEXT, version INTEGER, loaded INTEGER, at_work INTEGER, bundle TEXT,
        PRIMARY KEY (policy, version)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS changes (
        policy TEXT, kind TEXT, name TEXT, key TEXT, time INTEGER, until INTEGER, object TEXT,
        PRIMARY KEY (policy, kind, name, key)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS sequence (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER);
    CREATE TABLE IF NOT EXISTS refused_versions (
        moved INTEGER, why TEXT, policy, version, loaded, at_work, bundle);
    CREATE TABLE IF NOT EXISTS refused_changes (
        moved INTEGER, why TEXT, policy, kind, name, key, time, until, object);";

/// Why a database has no schema that this mirrorc can use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A later mirrorc wrote it.
    #[error(
        "`state.sqlite` has schema {0}, a newer mirrorc's; this one knows schema {VERSION} and earlier ones, and leaves it \
         as it is: run the newer mirrorc, or move the directory away to begin with no state"
    )]
    Newer(i64),
    /// The number is of no mirrorc.
    #[error("`state.sqlite` has schema {0}, which no mirrorc writes: it is another program's")]
    Unknown(i64),
    /// SQLite's.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// The schema of a database; 0 where it has none yet.
///
/// # Errors
/// It is newer, or cannot be read.
pub(super) fn check(connection: &Connection) -> Result<i64, SchemaError> {
    match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
        known @ 0..=VERSION => Ok(known),
        newer if newer > VERSION => Err(SchemaError::Newer(newer)),
        other => Err(SchemaError::Unknown(other)),
    }
}

/// Brings a database from a schema to this one. `goes_on` is called now and then: a large table
/// takes seconds.
///
/// # Errors
/// SQLite's; then the database is as it was.
pub(super) fn migrate(connection: &mut Connection, from: i64, goes_on: &dyn Fn()) -> Result<(), SchemaError> {
    connection.execute_batch(MODES)?;
    let change = connection.transaction()?;
    if from == 1 {
        change.execute_batch("ALTER TABLE changes RENAME TO changes_1;")?;
    }
    change.execute_batch(TABLES)?;
    if from == 1 {
        encode_keys(&change, goes_on)?;
        change.execute_batch("DROP TABLE changes_1;")?;
    }
    change.execute_batch(&format!("PRAGMA user_version = {VERSION};"))?;
    Ok(change.commit()?)
}

/// From schema 1 to 2: a key that is none of schema 1 is taken over as it is, to be refused when it
/// is read.
fn encode_keys(change: &Connection, goes_on: &dyn Fn()) -> rusqlite::Result<()> {
    let mut old = change.prepare("SELECT policy, kind, name, key, time, until, object FROM changes_1")?;
    let mut new = change.prepare("INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut rows = old.query([])?;
    for count in 1.. {
        let Some(row) = rows.next()? else { break };
        let key = match row.get::<_, Value>(3)? {
            Value::Text(text) => {
                let key = row_key::decode_schema_1(&text);
                Value::Text(key.map_or(text, |key| row_key::encode(&key, false)))
            }
            other => other,
        };
        let any = |at: usize| row.get::<_, Value>(at);
        let (policy, kind, name) = (any(0)?, any(1)?, any(2)?);
        new.execute(params![policy, kind, name, key, any(4)?, any(5)?, any(6)?])?;
        if count % STEP == 0 {
            goes_on();
        }
    }
    Ok(())
}
