//! Rows that are to take the place of all rows of a table: read part by part, as they come, and put
//! in at once. The invariant: no lock is held while rows are read. (Rejected: an iterator that
//! waits for the network; it holds a thread.)

use super::changes::{Touched, refused, table_of};
use super::persistence::kept_rows;
use super::{Control, Refusal, now};
use crate::event::input;
use mrule_compiler::hir::TableId;
use mrule_compiler::table::Row;
use mrule_engine::change::Change;
use mrule_engine::policy::Policy;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Rows of a table that is to have no others.
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
    /// How many rows were read.
    pub fn len(&self) -> usize {
        self.read.len()
    }

    /// Whether none was read.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// How many lines were read.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Reads whole lines, each a JSON object with `key`, `value` in a map, and `for`; empty ones
    /// are passed over.
    ///
    /// # Errors
    /// Which line is wrong, and what with it; the table has no room for so many.
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
        let mut row: Map<String, Json> = serde_json::from_slice(line).map_err(|error| {
            format!(
                "{error}; a row is like {{\"key\": [\"10.0.0.1\"], \"value\": \"alice\", \"for\": \"10m\"}}"
            )
        })?;
        row.insert("add".to_owned(), Json::from(self.table.as_str()));
        match input::change(row, self.seen.program())? {
            Change::Add { key, value, time, .. } => {
                Ok((key, value, time.map(|time| self.now.saturating_add(time))))
            }
            _ => Err("a row has `key`, `value` and `for`".to_owned()),
        }
    }
}

impl Control {
    /// Rows that are to come for a table.
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

    /// Gives a table these rows and no others, all at once; how many it has then.
    ///
    /// # Errors
    /// No such policy or table any more, or one of another shape.
    pub fn replace_rows(&self, rows: Rows) -> Result<usize, Refusal> {
        let Rows { policy: name, table, seen, id, read, .. } = rows;
        // What is kept is made before anything is locked.
        let own = seen.environment().table(id).filter(|_| self.has_store());
        let kept = own.map(|own| kept_rows(own.form(), &table, read.iter().cloned()));
        let form = |policy: &Policy, id| policy.environment().table(id).map(|table| table.form().clone());
        self.change_by(&name, |policy, keeping| {
            let now = table_of(policy, &table)?;
            if form(policy, now) != form(&seen, id) {
                let why =
                    format!("table `{table}` is of another shape since a version that was loaded meanwhile");
                return Err(Refusal::Conflict(why));
            }
            policy.environment_mut().replace(now, read).map_err(|error| refused(&error))?;
            policy.check_tables().map_err(|error| refused(&error))?;
            keeping.replaced(&name, &table, kept.unwrap_or_default());
            // Rows with the same key are one.
            let count = policy.environment().table(now).map_or(0, |table| table.len());
            Ok((count, Touched::Table(now)))
        })
    }
}
