//! Changes stations of a loaded policy: target, limit, drain. The invariants: a change is the text
//! between the braces of a station, checked by the compiler; the program and all its state go on;
//! the next version of the program keeps the change if it has a station of that name. (Rejected:
//! stations outside of programs; a rule could not name them.)

use super::changes::retry;
use super::dataplane::Stations;
use super::{Control, Principal, Refusal, now};
use crate::control::mutation::Mutation;
use crate::control::saved::{Content, Kind, SavedChange};
use crate::event::verb;
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::{Compiled, MemoryLoader, compile};
use mrule_compiler::engine::Engine;
use mrule_compiler::hir::{Program, Station};
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::live::Swap;
use mrule_engine::policy::Origin;
use mrule_engine::policy::Policy;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A station as a command or client has set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetStation {
    /// The words between its braces.
    pub words: String,
    /// Who wrote its target.
    pub origin: Origin,
}

/// The station that these words define.
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

/// A policy with its stations changed by these words; invalid words are left out.
pub(super) fn changed(policy: Policy, stations: &BTreeMap<String, SetStation>) -> Policy {
    let set = set_in(policy.program(), stations);
    set.into_iter().fold(policy, |policy, (at, station, origin)| policy.with_station(at, station, origin))
}

/// Checks that these words define a station.
///
/// # Errors
/// Why they do not.
pub(super) fn check(name: &str, words: &str) -> Result<(), String> {
    station(name, words).map(drop).map_err(|why| format!("station `{name}` cannot be `{words}`: {why}"))
}

/// The same for an engine before it is a policy, and for the writers of its stations.
pub(super) fn changed_engine(
    engine: Arc<Engine>,
    origins: &mut [Origin],
    stations: &BTreeMap<String, SetStation>,
) -> Arc<Engine> {
    set_in(engine.program(), stations).into_iter().fold(engine, |engine, (at, station, origin)| {
        if let Some(place) = origins.get_mut(at) {
            *place = origin;
        }
        Arc::new(engine.with_station(at, station))
    })
}

/// The changed stations of a program, with their settings and writers.
fn set_in(program: &Program, stations: &BTreeMap<String, SetStation>) -> Vec<(usize, Station, Origin)> {
    let set = |(name, set): (&String, &SetStation)| {
        let at = program.stations.iter().position(|station| station.name == *name)?;
        Some((at, station(name, &set.words).ok()?, set.origin.clone()))
    };
    stations.iter().filter_map(set).collect()
}

/// Removes settings that are no longer granted; returns which.
pub(super) fn keep_granted(
    policy: &Policy,
    stations: &mut BTreeMap<String, SetStation>,
    confinement: &Confinement,
) -> Vec<String> {
    let mut refused = Vec::new();
    for (_, station, origin) in set_in(policy.program(), stations) {
        if let Err(error) = confinement.check(&station, &origin) {
            stations.remove(&station.name);
            refused.push(error.to_string());
        }
    }
    refused
}

/// The stations of a policy, and who wrote each.
pub(super) fn written(policy: &Policy) -> Vec<(Station, Origin)> {
    policy.program().stations.iter().cloned().zip(policy.origins()).collect()
}

impl Control {
    /// Changes a station's target and limit by the words between its braces; without words, resets
    /// it to the program. Copies that wait for the old target are still sent. The caller becomes
    /// the writer of another target; with `retarget` false, the target must stay the same.
    ///
    /// # Errors
    /// No such policy or station; the compiler's for the words; a station that cannot be opened; a
    /// target that may not be changed, or that clients may not have. Then nothing has changed.
    pub fn set_station(
        &self,
        policy: &str,
        name: &str,
        words: Option<&str>,
        by: &Principal,
        retarget: bool,
        budget: &CompileBudget,
    ) -> Result<Swap, Refusal> {
        let turn = self.turn(format!("a change of station `{name}` of policy `{policy}`"))?;
        let (old, bundle) = {
            let state = self.lock();
            by.check()?;
            let plane = state.plane.as_ref().ok_or(Refusal::Ended)?;
            let (Some(old), Some(entry)) = (plane.policy(policy), state.policies.get(policy)) else {
                return Err(super::no_policy(policy, &state));
            };
            (old, entry.now.bundle.clone())
        };
        let at = find(&old, name)?;
        let (now_is, now_by) = written(&old).swap_remove(at);
        let (next, origin) = match words {
            Some(words) => {
                let next = station(name, words)?;
                let origin = if next.target == now_is.target { now_by } else { by.origin().clone() };
                (next, origin)
            }
            None => own(&bundle, name, budget)?,
        };
        if next.target != now_is.target && !retarget {
            return Err(Refusal::Forbidden(format!(
                "an operator changes a station's `limit` and `burst`, and drains it; another target needs author: \
                 `{name}` is `{}`",
                now_is.target
            )));
        }
        let wanted = Policy::clone(&old).with_station(at, next.clone(), origin.clone());
        let open = {
            let state = self.lock();
            let plane = state.plane.as_ref().ok_or(Refusal::Ended)?;
            let (program, origins) = (wanted.program().clone(), wanted.origins());
            let label = old.label().cloned();
            plane.open(Stations { policy: policy.to_owned(), program, origins, label })?
        };
        // Without the lock: the system may take a long time.
        let opened = open()?;
        let mut state = self.lock();
        by.check()?;
        let super::State { plane, policies, persistence, .. } = &mut *state;
        let plane = plane.as_mut().ok_or(Refusal::Ended)?;
        // Tables and params may have changed meanwhile, stations have not.
        let (Some(old), Some(entry)) = (plane.policy(policy), policies.get_mut(policy)) else {
            return Err(super::no_policy(policy, &state));
        };
        let wanted = Policy::clone(&old).with_station(at, next, origin.clone());
        let swap = plane.load(policy, Arc::new(wanted), opened)?;
        let mutation = match words {
            Some(words) => {
                let set = SetStation { words: words.to_owned(), origin };
                entry.changed.stations.insert(name.to_owned(), set.clone());
                put(Kind::Station, name, Content::Station(set))
            }
            None => {
                entry.changed.stations.remove(name);
                Mutation::Drop { kind: Kind::Station, name: name.to_owned(), key: None }
            }
        };
        persistence.changed(policy, mutation, true);
        // The rest does not wait for the disk.
        drop(turn);
        Ok(swap)
    }

    /// Drains or resumes a station; waiting copies are still sent. A drain lasts until the station
    /// is resumed: over loads, other targets and, with a state directory, restarts.
    ///
    /// # Errors
    /// No such policy or station.
    pub fn drain_station(&self, policy: &str, name: &str, drained: bool) -> Result<(), Refusal> {
        retry(|| {
            find(&*self.policy(policy)?, name)?;
            let mut state = self.lock();
            let super::State { plane, policies, persistence, .. } = &mut *state;
            let plane = plane.as_mut().ok_or(Refusal::Ended)?;
            let Some(entry) = policies.get_mut(policy).filter(|_| plane.drain(policy, name, drained)) else {
                return Err(Refusal::Moved);
            };
            let mutation = if drained {
                entry.changed.drained.insert(name.to_owned());
                put(Kind::Drain, name, Content::Drain)
            } else {
                entry.changed.drained.remove(name);
                Mutation::Drop { kind: Kind::Drain, name: name.to_owned(), key: None }
            };
            persistence.changed(policy, mutation, true);
            Ok(())
        })
    }

    /// The changed stations of a policy, with their settings.
    pub fn changed_stations(&self, policy: &str) -> BTreeMap<String, SetStation> {
        self.lock().policies.get(policy).map(|entry| entry.changed.stations.clone()).unwrap_or_default()
    }
}

/// What is saved of a change of a station.
fn put(kind: Kind, name: &str, content: Content) -> Mutation {
    let (name, key) = (name.to_owned(), String::new());
    Mutation::Put(SavedChange { kind, name, key, time: now(), until: None, content })
}

/// A station as its program defines it, and its writer.
fn own(bundle: &super::Bundle, name: &str, budget: &CompileBudget) -> Result<(Station, Origin), Refusal> {
    let program = bundle.compile(budget).program;
    let found = program.and_then(|program| {
        let mut all = program.stations.iter().cloned().zip(bundle.origins(&program));
        all.find(|(station, _)| station.name == name)
    });
    found.ok_or_else(|| Refusal::Conflict("the program's own station cannot be found".to_owned()))
}

fn find(policy: &Policy, name: &str) -> Result<usize, Refusal> {
    Ok(verb::find("station", name, &policy.program().stations, |station| &station.name)?.0)
}
