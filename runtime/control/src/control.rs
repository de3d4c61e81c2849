//! The control plane of a run: policies by name with their texts and earlier versions, and the
//! operations on them. All callers (the command line, signals, the API) use it. The invariants: a
//! refused request changes nothing; programs are compiled before anything is locked; changes are
//! made one after another, so an answer describes one state. (Rejected: each caller using the
//! runtime directly; two loads at once would mix.)

mod backlog;
mod binding_intent;
pub mod bundle;
mod changes;
pub mod dataplane;
mod flows;
mod full_triggers;
mod health;
mod load;
mod locked;
mod marker;
pub mod memory;
mod mutation;
mod opening;
mod owner;
mod persistence;
mod plan;
mod principal;
mod reapply;
pub mod report;
mod restore;
mod row_key;
mod rows;
mod saved;
mod schema;
mod stations;
mod store;
mod store_thread;
mod values;
mod versions;

pub use bundle::{Bundle, Unreadable};
pub use changes::{Page, RowText, TableState, TriggerState};
pub use flows::{EndState, FlowState, MOST_FLOWS, Measure, SuppressionState};
pub use health::{Health, Reason, ReasonKind};
pub use load::cut_others;
pub(crate) use load::{Prepared, prepare};
pub use memory::Memory;
pub use mrule_engine::policy::Origin;
pub use plan::{Fates, Plan};
use principal::binds;
pub use principal::{OF_CLIENT, OF_OWNER, Principal};
pub use report::{Report, Subscribers};
pub use restore::{BindingFailure, Start};
pub use rows::Rows;
pub use stations::SetStation;
pub use store::{Kept, Store};

use crate::compile_queue::CompileQueue;
use crate::event::output::EventWriter;
use crate::event::verb::{UnknownName, VerbError};
use crate::history::History;
use dataplane::Dataplane;
use mrule_compiler::compile::Compiled;
use mrule_compiler::engine::EngineKind;
use mrule_dataplane::clock::now;
use mrule_dataplane::error::Error;
use mrule_dataplane::live::Swap;
use mrule_engine::policy::Policy;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The number of earlier versions of a policy that are kept.
pub const HISTORY: usize = 16;

/// The largest size of their texts together, in addition to the newest of them.
const HISTORY_BYTES: usize = 64 << 20;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The named thing does not exist.
    #[error("{0}")]
    Unknown(String),
    /// The request is invalid.
    #[error("{0}")]
    Bad(String),
    /// The program has errors, with the output of the compiler.
    #[error("the program has errors; nothing was loaded")]
    Program(Box<Compiled>),
    /// The current state does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// The policy is not at the version in the request.
    #[error("{0}")]
    Stale(String),
    /// Other versions were loaded meanwhile.
    #[error("other versions were loaded meanwhile, again and again; try again")]
    Moved,
    /// The token was revoked meanwhile.
    #[error("invalid or revoked token; nothing was changed")]
    Revoked,
    /// The caller does not have the right.
    #[error("{0}")]
    Forbidden(String),
    /// Too many requests wait.
    #[error("{0}")]
    Busy(String),
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
}

impl From<UnknownName> for Refusal {
    fn from(unknown: UnknownName) -> Refusal {
        Refusal::Unknown(unknown.to_string())
    }
}

impl From<VerbError> for Refusal {
    fn from(error: VerbError) -> Refusal {
        match error {
            VerbError::Unknown(unknown) => unknown.into(),
            other => Refusal::Bad(other.to_string()),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error {
            Error::NotGranted { .. } => Refusal::Forbidden(error.to_string()),
            _ => Refusal::Conflict(error.to_string()),
        }
    }
}

impl From<mrule_engine::Error> for Refusal {
    fn from(error: mrule_engine::Error) -> Refusal {
        Refusal::Conflict(error.to_string())
    }
}

/// A precondition, so that nobody overwrites an unseen version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No policy of this name.
    Nothing,
    /// This version of the policy; with a time, the version that was loaded at that time, in
    /// nanoseconds since the Unix epoch.
    Version(u64, Option<i64>),
}

/// The circumstances of a load.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The precondition.
    pub expect: Option<Expect>,
    /// Whether it is a dry run: nothing is loaded, only the plan is returned.
    pub dry: bool,
    /// The caller.
    pub by: Principal,
}

impl LoadRequest {
    /// A load by the owner.
    pub fn by_owner(dry: bool) -> LoadRequest {
        LoadRequest { expect: None, dry, by: Principal::owner() }
    }
}

impl Expect {
    fn check(self, name: &str, entry: Option<&PolicyEntry>) -> Result<(), Refusal> {
        let now = entry.map(|entry| (entry.now.version, entry.now.loaded));
        let is = now.map_or_else(|| "is not there".to_owned(), |(now, _)| format!("is at version {now}"));
        match (self, now) {
            (Expect::Version(version, loaded), Some((now, then)))
                if version == now && loaded.is_none_or(|loaded| loaded == then) =>
            {
                Ok(())
            }
            (Expect::Nothing, None) => Ok(()),
            (Expect::Version(version, Some(_)), Some((now, _))) if version == now => Err(Refusal::Stale(
                format!("policy `{name}` {is}, but this one was loaded at another time; look at it again"),
            )),
            (Expect::Version(version, _), _) => Err(Refusal::Stale(format!(
                "policy `{name}` {is}, not at version {version}; look at it again"
            ))),
            (Expect::Nothing, _) => Err(Refusal::Stale(format!("policy `{name}` {is} already"))),
        }
    }
}

/// The result of a load.
#[derive(Debug)]
pub struct Done {
    /// The new version; for a dry run, the version that it would be.
    pub version: u64,
    /// Whether its limits without `to` bind all policies.
    pub binding: bool,
    /// What is kept, new and removed.
    pub plan: Plan,
    /// Warnings, with the texts that they refer to.
    pub compiled: Compiled,
    /// The time to compile to native code.
    pub compiling: Duration,
    /// The time from the text until all workers use the new version.
    pub all: Duration,
    /// The cost for the workers; none for a dry run.
    pub swap: Option<Swap>,
    /// Why the policy is not saved although there is a state directory, and what follows.
    pub unkept: Option<String>,
}

/// A version of a policy.
#[derive(Debug, Clone)]
pub struct Version {
    /// The version number, from 1.
    pub version: u64,
    /// The load time, in nanoseconds since the Unix epoch.
    pub loaded: i64,
    /// Its texts.
    pub bundle: Bundle,
}

/// The names of what commands and clients have changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed {
    pub tables: BTreeSet<String>,
    pub params: BTreeSet<String>,
    /// Changed stations, with their current targets and settings.
    pub stations: BTreeMap<String, SetStation>,
    /// Drained stations.
    pub drained: BTreeSet<String>,
}

/// A policy with its versions and changes.
#[derive(Debug)]
struct PolicyEntry {
    now: Version,
    older: VecDeque<Version>,
    changed: Changed,
}

/// The state behind the lock.
#[derive(Debug)]
struct State {
    /// The data plane; none after the run has ended.
    plane: Option<Box<dyn Dataplane>>,
    policies: BTreeMap<String, PolicyEntry>,
    /// Unloaded policies, and policies that could not be restored, for a rollback.
    unloaded: BTreeMap<String, PolicyEntry>,
    /// Policies that could not be restored.
    failures: BTreeMap<String, health::Failure>,
    on_failure: BindingFailure,
    watch: health::Watch,
    full: full_triggers::FullTriggers,
    persistence: persistence::Persistence,
}

impl State {
    /// The data plane, unless the run has ended.
    fn plane(&mut self) -> Result<&mut dyn Dataplane, Refusal> {
        match &mut self.plane {
            Some(plane) => Ok(&mut **plane),
            None => Err(Refusal::Ended),
        }
    }
}

/// A policy by name, and its versions.
pub type Listed = (String, Arc<Policy>, Vec<Version>);

/// The control plane.
#[derive(Debug)]
pub struct Control {
    state: Mutex<State>,
    /// Held while stations change: they are opened while the state is not locked.
    turn: Mutex<()>,
    /// The last operation with this lock, and its start time.
    doing: Mutex<Option<(String, Instant)>>,
    kind: EngineKind,
    lines: Option<Arc<EventWriter>>,
    subscribers: Subscribers,
    queue: CompileQueue,
    memory: Memory,
}

/// Checks the name of a policy: like a name in rule files, also with `-` and `.`.
fn check_name(name: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) || name.starts_with('.') {
        return Err(Refusal::Bad(format!(
            "`{name}` cannot name a policy: letters, digits, `_`, `-` and `.`, at most 64"
        )));
    }
    Ok(())
}

impl Control {
    /// A control plane for a run after [`Start::restore`] has loaded the policies. Returns messages
    /// about what could not be restored.
    pub fn new(
        plane: Box<dyn Dataplane>,
        kind: EngineKind,
        start: Start,
        lines: Option<Arc<EventWriter>>,
    ) -> (Control, Vec<String>) {
        let Start { policies, unloaded, failures, on_failure, persistence, told, refused, .. } = start;
        let mut state = State {
            plane: None,
            policies: BTreeMap::new(),
            unloaded,
            failures,
            on_failure,
            watch: health::Watch::of_rows(refused),
            full: full_triggers::FullTriggers::default(),
            persistence,
        };
        for restored in policies {
            let is_loaded = plane.policy(&restored.name).is_some();
            let of = if is_loaded { &mut state.policies } else { &mut state.unloaded };
            of.insert(restored.name, restored.entry);
        }
        state.plane = Some(plane);
        let (queue, memory, state) = (CompileQueue::new(start.limits), start.memory, Mutex::new(state));
        (
            Control {
                state,
                turn: Mutex::new(()),
                doing: Mutex::new(None),
                kind,
                lines,
                subscribers: Subscribers::default(),
                queue,
                memory,
            },
            told,
        )
    }

    /// Adds subscribers, whose counts are then part of reports.
    pub fn with_subscribers(self, subscribers: Subscribers) -> Control {
        Control { subscribers, ..self }
    }

    /// The event history, if there is one.
    pub fn history(&self) -> Option<&History> {
        self.subscribers.history.as_ref()
    }

    /// Locks the state. Dropping the guard releases the lock and then waits until the changes are
    /// on the disk.
    fn lock(&self) -> locked::Locked<'_> {
        locked::Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the data plane look after its interfaces, unless the run has ended; to be called several
    /// times a second.
    pub fn watch(&self) {
        self.lock().plane.iter_mut().for_each(|plane| plane.watch());
    }

    /// The counts so far.
    ///
    /// # Errors
    /// The run has ended.
    pub fn report(&self) -> Result<Report, Refusal> {
        let report = self.lock().plane()?.report();
        Ok(Report::new(report, &self.subscribers))
    }

    /// Takes the data plane out of the state, to end it.
    pub fn take_dataplane(&self) -> Option<Box<dyn Dataplane>> {
        self.queue.end();
        self.lock().plane.take()
    }

    /// The policies: each with its current version and its earlier versions, the newest last.
    ///
    /// # Errors
    /// The run has ended.
    pub fn list(&self) -> Result<Vec<Listed>, Refusal> {
        let state = self.lock();
        let plane = state.plane.as_ref().ok_or(Refusal::Ended)?;
        let about = |(name, entry): (&String, &PolicyEntry)| {
            let versions = entry.older.iter().chain([&entry.now]).cloned().collect();
            Some((name.clone(), plane.policy(name)?, versions))
        };
        Ok(state.policies.iter().filter_map(about).collect())
    }

    /// A policy; if there is none with this name, the error lists the names.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn policy(&self, name: &str) -> Result<Arc<Policy>, Refusal> {
        let state = self.lock();
        let plane = state.plane.as_ref().ok_or(Refusal::Ended)?;
        plane.policy(name).ok_or_else(|| no_policy(name, &state))
    }
}

fn no_policy(name: &str, state: &State) -> Refusal {
    if let Some(failure) = state.failures.get(name) {
        return Refusal::Conflict(format!(
            "policy `{name}` is not at work: {}; load it again, unload it, or say `mirrorc release {name}`",
            failure.what
        ));
    }
    let there: Vec<&str> = state.policies.keys().map(String::as_str).collect();
    let there = match there.as_slice() {
        [] => "and no other".to_owned(),
        there => format!("there are: {}", there.join(", ")),
    };
    Refusal::Unknown(match state.unloaded.contains_key(name) {
        true => format!("policy `{name}` was unloaded; `rollback` loads it again; {there}"),
        false if state.policies.is_empty() => format!("there is no policy `{name}`, and no other"),
        false => format!("there is no policy `{name}`; {there}"),
    })
}
