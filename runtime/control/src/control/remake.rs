//! Makes the changes of a saved policy again, each with its own time. The invariant: a change that
//! cannot be made again is reported, with whether more is copied without it. (Rejected: stopping at
//! the first; the others are still valid.)

use super::stations;
use super::store::{AtWork, DRAIN, Kept, Object, Remade};
use crate::event::input;
use mrule_compiler::hir::{Program, TableId};
use mrule_engine::policy::Policy;
use serde_json::Value as Json;

impl Kept {
    pub(super) fn lost(name: String, why: &'static str) -> Kept {
        Kept { at_work: AtWork::Lost(why), ..Kept::unloaded(name) }
    }

    /// An unloaded policy, without saved versions and changes.
    pub(super) fn unloaded(name: String) -> Kept {
        let (versions, changes) = (Vec::new(), Vec::new());
        Kept { name, versions, at_work: AtWork::Unloaded, is_behind: false, changes }
    }

    /// What is missing of it, for messages.
    pub(super) fn behind(&self) -> String {
        let name = &self.name;
        format!("policy {name}: what was changed last could not be kept, and is missing in the state")
    }

    /// Makes the changes again, each with its own time; returns which failed, and what was changed.
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
        let emptied = policy.environment_mut().replace(TableId(at as u32), Vec::new());
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
