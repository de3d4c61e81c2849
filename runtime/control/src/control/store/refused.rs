//! Rows that could not be read, in the way of rows that are written. The invariants: a refused row
//! stays where it is until somebody resolves its policy or replaces what it is about; then it moves
//! as it is into a table of its own, in the same transaction. (Rejected: to move it at once; the
//! next start would not know that something is missing. To delete it; a later mirrorc may read it.)

use super::super::saved::{RefusedRow, RowLocation};
use super::Store;
use rusqlite::params;
use rusqlite::types::Value;

impl Store {
    /// Moves the refused rows of a policy that are at such places out of the way.
    pub(super) fn set_aside(
        &mut self,
        policy: &str,
        is_in_way: impl Fn(&RowLocation) -> bool,
    ) -> rusqlite::Result<()> {
        let Some(refused) = self.refused.get(policy) else { return Ok(()) };
        let mut moved = Vec::new();
        for row in refused.iter().filter(|row| is_in_way(&row.place)) {
            self.move_row(row)?;
            moved.push(row.place.clone());
        }
        self.moved.extend(moved);
        Ok(())
    }

    fn move_row(&self, RefusedRow { place, why }: &RefusedRow) -> rusqlite::Result<()> {
        let now = super::super::now();
        match place {
            RowLocation::Version { policy, version } => {
                let at = "FROM versions WHERE policy IS ?1 AND version IS ?2";
                let copied = format!(
                    "INSERT INTO refused_versions SELECT ?3, ?4, policy, version, loaded, at_work, bundle {at}"
                );
                self.connection.execute(&copied, params![policy, version, now, why])?;
                self.connection.execute(&format!("DELETE {at}"), params![policy, version])?;
            }
            RowLocation::Change { policy, kind, name, key } => {
                let at = "FROM changes WHERE policy IS ?1 AND kind IS ?2 AND name IS ?3 AND key IS ?4";
                let copied = format!(
                    "INSERT INTO refused_changes
                     SELECT ?5, ?6, policy, kind, name, key, time, until, object {at}"
                );
                self.connection.execute(&copied, params![policy, kind, name, key, now, why])?;
                self.connection.execute(&format!("DELETE {at}"), params![policy, kind, name, key])?;
            }
        }
        Ok(())
    }

    /// What was set aside is on the disk there: it is in nobody's way any more.
    pub(super) fn moved(&mut self) {
        let moved = std::mem::take(&mut self.moved);
        for rows in self.refused.values_mut().filter(|_| !moved.is_empty()) {
            rows.retain(|row| !moved.contains(&row.place));
        }
    }
}

/// Whether a place is that of a change of this kind and name, with this key; of any kind, name or
/// key where none is given.
pub(super) fn is_change(place: &RowLocation, of: &str, called: &str, at: Option<&str>) -> bool {
    let is = |value: &Value, text: &str| matches!(value, Value::Text(other) if other == text);
    match place {
        RowLocation::Version { .. } => false,
        RowLocation::Change { kind, name, key, .. } => {
            is(kind, of) && is(name, called) && at.is_none_or(|at| is(key, at))
        }
    }
}
