//! New rows that will replace all rows of a table: read in parts as they arrive, and applied in one
//! step. The invariant: no lock is held while rows are read. (Rejected: an iterator that waits for
//! the network; it blocks a thread.)

use super::changes::{Touched, refused, table_of};
use super::persistence::kept_rows;
use super::{Control, Refusal, now};
use crate::event::verb::Verb;
use mrule_compiler::hir::TableId;
use mrule_compiler::table::Row;
use mrule_engine::change::Change;
use mrule_engine::policy::Policy;
use serde::Deserialize;
use serde_json::Value as Json;
use std::sync::Arc;

/// A row as the client writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowLine {
    key: Option<Json>,
    value: Option<Json>,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

/// The new rows of a table.
#[derive(Debug)]
pub struct Rows {
    policy: String,
    table: String,
    seen: Arc<Policy>,
    id: TableId,
    capacity: usize,
    now: i64,
    read: Vec<Row>,
    lines: usize,
}

impl Rows {
    /// The number of rows that were read.
    pub fn len(&self) -> usize {
        self.read.len()
    }

    /// Whether no row was read.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// The number of lines that were read.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Reads complete lines, each a JSON object with `key`, `value` if the table is a map, and
    /// `for`; skips empty lines.
    ///
    /// # Errors
    /// The wrong line and what is wrong, or the table is too small for the rows.
    pub fn read(&mut self, lines: &[u8]) -> Result<(), Refusal> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let row = self.row(line).map_err(|what| Refusal::Bad(format!("row {}: {what}", self.lines)))?;
            self.read.push(row);
            if self.read.len() > self.capacity {
                let (table, capacity) = (&self.table, self.capacity);
                return Err(Refusal::Conflict(format!("table `{table}` has room for {capacity} rows")));
            }
        }
        Ok(())
    }

    fn row(&self, line: &[u8]) -> Result<Row, String> {
        let RowLine { key, value, lasts } = serde_json::from_slice(line).map_err(|error| {
            format!(
                "{error}; a row is like {{\"key\": [\"10.0.0.1\"], \"value\": \"alice\", \"for\": \"10m\"}}"
            )
        })?;
        let verb = Verb::Add { table: self.table.clone(), key, value, lasts };
        match verb.change(self.seen.program()).map_err(|error| error.to_string())? {
            Change::Add { key, value, time, .. } => {
                Ok((key, value, time.map(|time| self.now.saturating_add(time))))
            }
            _ => Err("a row has `key`, `value` and `for`".to_owned()),
        }
    }
}

impl Control {
    /// Prepares to read new rows of a table.
    ///
    /// # Errors
    /// No such policy or table.
    pub fn rows_to_come(&self, policy: &str, table: &str) -> Result<Rows, Refusal> {
        let seen = self.policy(policy)?;
        let id = table_of(&seen, table)?;
        let capacity = seen.environment().table(id).map_or(0, |table| table.capacity());
        let (policy, table) = (policy.to_owned(), table.to_owned());
        Ok(Rows { policy, table, seen, id, capacity, now: now(), read: Vec::new(), lines: 0 })
    }

    /// Replaces all rows of a table in one step; returns the number of rows.
    ///
    /// # Errors
    /// No such policy or table any more, or one of another shape.
    pub fn replace_rows(&self, rows: Rows) -> Result<usize, Refusal> {
        let Rows { policy: name, table, seen, id, read, .. } = rows;
        // The entries for the store are made before anything is locked.
        let own = seen.environment().table(id).filter(|_| self.has_store());
        let kept = own.map(|own| kept_rows(own.form(), &table, read.iter().cloned()));
        let form = |policy: &Policy, id| policy.environment().table(id).map(|table| table.form().clone());
        self.change_by(&name, |policy, persistence| {
            let now = table_of(policy, &table)?;
            if form(policy, now) != form(&seen, id) {
                let why =
                    format!("table `{table}` is of another shape since a version that was loaded meanwhile");
                return Err(Refusal::Conflict(why));
            }
            policy.environment_mut().replace(now, read).map_err(|error| refused(&error))?;
            policy.check_tables().map_err(|error| refused(&error))?;
            persistence.replaced(&name, &table, kept.unwrap_or_default());
            // Rows with the same key count once.
            let count = policy.environment().table(now).map_or(0, |table| table.len());
            Ok((count, Touched::Table(now)))
        })
    }
}
