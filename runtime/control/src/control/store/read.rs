//! What a start reads from the database. The invariant: each row is read into its type, or its
//! policy has it as refused; of a version at work that cannot be read it is not known whether it
//! bound others. (Rejected: an error at the first row that cannot be read; all others are good.)

use super::super::saved::{self, RefusedRow, SavedAtWork, SavedChange, SavedVersion};
use super::{AtWork, Kept, Store};
use rusqlite::Row;

impl Store {
    pub(super) fn read_all(&self, now: i64) -> rusqlite::Result<Vec<Kept>> {
        let mut kept: Vec<Kept> = Vec::new();
        let mut query = self.connection.prepare(
            "SELECT policy, version, loaded, bundle, at_work FROM versions
             ORDER BY policy, at_work, version",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let name = saved::policy_of(row)?;
            if kept.last().is_none_or(|last| last.name != name) {
                kept.push(Kept::lost(name, "its version at work is missing".to_owned()));
            }
            let Some(policy) = kept.last_mut() else { continue };
            policy.take_version(row)?;
        }
        // What makes a table empty comes before its rows.
        let mut query = self.connection.prepare(
            "SELECT policy, kind, name, key, time, until, object FROM changes
             WHERE until IS NULL OR until >= ?1 ORDER BY policy, kind != 'whole', time",
        )?;
        let mut rows = query.query([now])?;
        let mut at = 0;
        while let Some(row) = rows.next()? {
            let name = saved::policy_of(row)?;
            if kept.get(at).is_none_or(|policy| policy.name != name) {
                at = kept.iter().position(|policy| policy.name == name).unwrap_or_else(|| {
                    let why = "its versions are missing, what was changed in it is there";
                    kept.push(Kept::lost(name, why.to_owned()));
                    kept.len() - 1
                });
            }
            let Some(policy) = kept.get_mut(at) else { continue };
            match SavedChange::read(row)? {
                Ok(change) => policy.changes.push(change),
                Err(refused) => policy.refused.push(refused),
            }
        }
        Ok(kept)
    }
}

impl Kept {
    fn take_version(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        match SavedVersion::read(row)? {
            Ok(SavedVersion { version, at_work }) => {
                self.versions.push(version);
                match at_work {
                    SavedAtWork::Older => {}
                    SavedAtWork::Yes => self.at_work = AtWork::Yes,
                    SavedAtWork::Unloaded => self.at_work = AtWork::Unloaded,
                }
            }
            Err(refused) => {
                match saved::at_work(row) {
                    Ok(SavedAtWork::Older) => {}
                    Ok(SavedAtWork::Unloaded) => self.at_work = AtWork::Unloaded,
                    Ok(SavedAtWork::Yes) | Err(_) => self.at_work = AtWork::Lost(lost(&refused)),
                }
                self.refused.push(refused);
            }
        }
        Ok(())
    }
}

fn lost(refused: &RefusedRow) -> String {
    format!("its version at work cannot be read ({refused})")
}
