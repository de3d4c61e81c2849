//! Stations of a policy at work: sent elsewhere, given another limit, drained. The invariants: a station is changed by the words that
//! stand between its braces, checked by the compiler; the program, and all that it knows, goes on; the next version of the program
//! keeps the change where it has a station of that name. (Rejected: stations that are in no program; a rule could not name
//! them.)

use super::changes::retry;
use super::{Control, Refusal, now};
use crate::control::store::{Object, Trace};
use crate::event::input;
use crate::live::Swap;
use crate::policy::Policy;
use mrule_compiler::compile::{Compiled, MemoryLoader, compile};
use mrule_compiler::hir::Station;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kind of change under which the store keeps one.
pub(super) const KIND: &str = "station";

/// The station that these words make.
///
/// # Errors
/// [`Refusal::Program`]: what the compiler says of them.
fn station(name: &str, words: &str) -> Result<Station, Refusal> {
    let text = format!("station {name} {{ {words} }}\n");
    let mut compiled: Compiled =
        compile(&["station".into()], &mut MemoryLoader::new([("station", text)]), &[]);
    let program = compiled.program.take();
    let alone = |program: &mrule_compiler::hir::Program| {
        program.stations.len() == 1
            && program.rules.len() + program.limits.len() + program.triggers.len() + program.tables.len() == 0
    };
    match program {
        Some(program) if alone(&program) => {
            program.stations.into_iter().next().ok_or_else(|| Refusal::Bad("no station".to_owned()))
        }
        Some(_) => Err(Refusal::Bad(
            "write the words between the braces of one station, and nothing else".to_owned(),
        )),
        None => Err(Refusal::Program(Box::new(compiled))),
    }
}

/// A policy whose stations are as these words say, where it has them; words that are no good any more are left out.
pub(super) fn changed(mut policy: Policy, stations: &BTreeMap<String, String>) -> Policy {
    for (name, words) in stations {
        if let (Some(at), Ok(station)) = (place(&policy, name), station(name, words)) {
            policy = policy.with_station(at, station);
        }
    }
    policy
}

fn place(policy: &Policy, name: &str) -> Option<usize> {
    policy.program().stations.iter().position(|station| station.name == name)
}

impl Control {
    /// Gives a station another target and limit, as the words between its braces say; without words, those of the program. What
    /// waits for the old target is still sent.
    ///
    /// # Errors
    /// No such policy or station; the compiler's for the words; a station that cannot be opened. Then nothing has changed.
    pub fn set_station(&self, policy: &str, name: &str, words: Option<&str>) -> Result<Swap, Refusal> {
        let mut state = self.lock();
        let super::State { live, policies, keeping } = &mut *state;
        let live = live.as_mut().ok_or(Refusal::Ended)?;
        let (Some(old), Some(held)) = (live.policy(policy).cloned(), policies.get_mut(policy)) else {
            return Err(super::no_policy(policy, &state));
        };
        let at = find(&old, name)?;
        let next = match words {
            Some(words) => station(name, words)?,
            None => {
                let whole = held.now.bundle.compile().program;
                let own = whole.and_then(|program| program.stations.into_iter().find(|s| s.name == name));
                own.ok_or_else(|| Refusal::Conflict("the program's own station cannot be found".to_owned()))?
            }
        };
        let swap = live.load(policy, Arc::new(Policy::clone(&old).with_station(at, next)))?;
        let (station, key) = (name.to_owned(), String::new());
        let (trace, object) = match words {
            Some(words) => {
                held.changed.stations.insert(station.clone(), words.to_owned());
                let mut object = Object::new();
                object.insert(KIND.to_owned(), Json::from(name));
                object.insert("is".to_owned(), Json::from(words));
                (Trace::Put { kind: KIND, name: station, key, until: None }, object)
            }
            None => {
                held.changed.stations.remove(name);
                (Trace::Drop { kind: KIND, name: station, key: None }, Object::new())
            }
        };
        keeping.changed(policy, &trace, &object, now());
        Ok(swap)
    }

    /// Gives a station no more copies, or copies again; what waits for it is sent. It holds until the station gets another
    /// target, or the run ends.
    ///
    /// # Errors
    /// No such policy or station.
    pub fn drain_station(&self, policy: &str, name: &str, drained: bool) -> Result<(), Refusal> {
        retry(|| {
            find(&*self.policy(policy)?, name)?;
            let found = self.with_live(|live| live.drain(policy, name, drained)).ok_or(Refusal::Ended)?;
            if found { Ok(()) } else { Err(Refusal::Moved) }
        })
    }

    /// The stations of a policy that were changed, and to what.
    pub fn changed_stations(&self, policy: &str) -> BTreeMap<String, String> {
        self.lock().policies.get(policy).map(|held| held.changed.stations.clone()).unwrap_or_default()
    }
}

fn find(policy: &Policy, name: &str) -> Result<usize, Refusal> {
    let names = policy.program().stations.iter().map(|station| station.name.as_str());
    input::find("station", name, names).map_err(Refusal::Unknown)
}
