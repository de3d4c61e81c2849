//! The schema of the history's database, its version, and the migration of earlier versions. The
//! invariants: a migration is one transaction, so a kill or an error leaves the old database or the
//! new one; a database of a newer version is refused and not touched; events of unknown kinds stay
//! as they are and are reported. (Rejected: an unknown kind read as a note; the answer would claim
//! an event that did not happen.)

use crate::event::Kind;
use rusqlite::{Connection, params_from_iter};
use std::path::Path;

/// The version that this mirrorc reads and writes.
pub(super) const VERSION: i64 = 3;

/// A kill loses nothing that was written, because the kernel has it. A power failure may lose the
/// last seconds, but not the database.
const MODES: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        id INTEGER PRIMARY KEY, time INTEGER, kind TEXT, class INTEGER, client TEXT, policy TEXT, line TEXT);
    CREATE INDEX IF NOT EXISTS events_by_share ON events (class, client);";

/// From version 1, which had a flag instead of the class, and kinds with blanks.
const FROM_1: &str = "
    ALTER TABLE events RENAME COLUMN of_packets TO class;
    ALTER TABLE events ADD COLUMN client TEXT;
    ALTER TABLE events ADD COLUMN policy TEXT;
    UPDATE events SET kind = replace(kind, ' ', '_');
    DROP INDEX IF EXISTS events_of;";

/// From version 2. A database of version 1 has other positions of the columns, and a mirrorc of
/// version 2 wrote by position: such rows have their line as the policy. Version 2 had `drops_over`
/// for `drops_cleared`, also in the lines, as answers give them.
const FROM_2: &str = r#"
    UPDATE events SET line = policy, client = line, policy = client WHERE policy LIKE '{%';
    UPDATE events SET kind = 'drops_cleared',
        line = replace(replace(line, '"event":"drops_over"', '"event":"drops_cleared"'),
            '"event":"drops over"', '"event":"drops_cleared"')
        WHERE kind = 'drops_over';"#;

/// Why a database has no schema that this mirrorc can use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A later mirrorc wrote it.
    #[error("it has version {0}, a newer mirrorc's; this mirrorc knows version {VERSION} and earlier ones")]
    Newer(i64),
    /// The number is of no mirrorc.
    #[error("it has version {0}, which no mirrorc writes: it is another program's")]
    Unknown(i64),
    /// The error of SQLite.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// Creates the tables, or migrates them from an earlier version.
///
/// # Errors
/// [`SchemaError`]; the database is unchanged then.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), SchemaError> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    let steps: &[&str] = match version {
        0 | VERSION => &[],
        1 => &[FROM_1, FROM_2],
        2 => &[FROM_2],
        newer if newer > VERSION => return Err(SchemaError::Newer(newer)),
        other => return Err(SchemaError::Unknown(other)),
    };
    connection.execute_batch(MODES)?;
    let change = connection.transaction()?;
    for step in steps {
        change.execute_batch(step)?;
    }
    change.execute_batch(TABLES)?;
    change.execute_batch(&format!("PRAGMA user_version = {VERSION};"))?;
    change.commit()?;
    Ok(())
}

/// Says which events have a kind that this mirrorc does not know; none if there are no such events.
///
/// # Errors
/// The error of SQLite.
pub(super) fn unknown_kinds(connection: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    let known = Kind::ALL.map(Kind::name);
    let text = format!(
        "SELECT coalesce(kind, 'NULL'), count(*) FROM events WHERE kind IS NULL OR kind NOT IN ({}) GROUP BY 1",
        vec!["?"; known.len()].join(", ")
    );
    let mut query = connection.prepare(&text)?;
    let kind = |row: &rusqlite::Row<'_>| {
        Ok(format!("`{}` ({} events)", row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    };
    let unknown: Vec<String> =
        query.query_map(params_from_iter(known), kind)?.collect::<rusqlite::Result<_>>()?;
    Ok((!unknown.is_empty()).then(|| {
        format!(
            "the history in `{}` has kinds of events that this mirrorc does not know: {}; answers leave these events \
             out, they stay in the file; move the file away to begin with no history",
            path.display(),
            unknown.join(", ")
        )
    }))
}
