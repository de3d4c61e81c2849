//! Makes the changes of a saved policy again, each with its own time. The invariant: a change that
//! cannot be made again is reported, with whether more is copied without it. (Rejected: stopping at
//! the first; the others are still valid.)

use super::saved::{Content, Kind, RowLocation, SavedChange};
use super::stations;
use super::store::{AtWork, Kept, Reapplied};
use mrule_compiler::hir::{Program, TableId};
use mrule_engine::policy::Policy;

impl Kept {
    pub(super) fn lost(name: String, why: String) -> Kept {
        Kept { at_work: AtWork::Lost(why), ..Kept::unloaded(name) }
    }

    /// An unloaded policy, without saved versions and changes.
    pub(super) fn unloaded(name: String) -> Kept {
        let (versions, changes, refused) = Default::default();
        Kept { name, versions, at_work: AtWork::Unloaded, is_behind: false, changes, refused }
    }

    /// What is missing of it, for messages.
    pub(super) fn behind(&self) -> String {
        let name = &self.name;
        format!("policy {name}: what was changed last could not be kept, and is missing in the state")
    }

    /// Makes the changes again, each with its own time; returns which failed, and what was changed.
    pub(super) fn restore(&self, policy: &mut Policy) -> Reapplied {
        let mut reapplied = Reapplied::default();
        let program = policy.program().clone();
        for change in &self.changes {
            let Err(why) = reapply(policy, &program, change, &mut reapplied.changed) else { continue };
            let may_lessen = change.kind != Kind::Raise || program.raises_may_lessen();
            self.refuse(&mut reapplied, &why, may_lessen);
        }
        for row in self.refused.iter().filter(|row| matches!(row.place, RowLocation::Change { .. })) {
            self.refuse(&mut reapplied, &format!("a change cannot be read: {row}"), true);
        }
        reapplied
    }

    fn refuse(&self, reapplied: &mut Reapplied, why: &str, may_lessen: bool) {
        let why = format!("policy {}: {why}", self.name);
        if may_lessen {
            reapplied.weaker.get_or_insert_with(|| why.clone());
        }
        if reapplied.refused.len() < 8 {
            reapplied.refused.push(why);
        }
    }
}

/// Makes a change again.
fn reapply(
    policy: &mut Policy,
    program: &Program,
    change: &SavedChange,
    changed: &mut super::Changed,
) -> Result<(), String> {
    let name = &change.name;
    let has_station = || {
        let known = program.stations.iter().any(|other| other.name == *name);
        if known { Ok(()) } else { Err(format!("there is no station `{name}` any more")) }
    };
    match &change.content {
        Content::Whole => {
            let at = program.tables.iter().position(|other| other.name == *name);
            let at = at.ok_or_else(|| format!("there is no table `{name}` any more"))?;
            let emptied = policy.environment_mut().replace(TableId(at as u32), Vec::new());
            emptied.map_err(|error| error.to_string())?;
            changed.tables.insert(name.clone());
        }
        Content::Drain => {
            has_station()?;
            changed.drained.insert(name.clone());
        }
        Content::Station(set) => {
            has_station()?;
            stations::check(name, &set.words)?;
            changed.stations.insert(name.clone(), set.clone());
        }
        Content::Change(verb) => {
            let made = verb.change(program).map_err(|error| error.to_string())?;
            policy.change(change.time, &made).map_err(|error| error.to_string())?;
            match change.kind {
                Kind::Row => drop(changed.tables.insert(name.clone())),
                Kind::Param => drop(changed.params.insert(name.clone())),
                _ => {}
            }
        }
    }
    Ok(())
}
