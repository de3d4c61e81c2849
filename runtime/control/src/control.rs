//! The control plane of a run: policies by name with their texts and older versions, and what may
//! be asked and changed while they are at work. Whoever asks (the command line, signals, the API)
//! asks here. The invariants: what is refused changes nothing; programs are compiled before
//! anything is locked; one change follows the other, so that an answer speaks of one state.
//! (Rejected: to let each way of asking hold the runtime itself; two loads at once would mix.)

mod asker;
mod backlog;
pub mod bundle;
mod changes;
mod flows;
mod full;
mod health;
mod intent;
mod keeper;
mod load;
mod locked;
mod marker;
pub mod memory;
mod opening;
mod owner;
mod persistence;
mod plan;
mod remake;
pub mod report;
mod restore;
mod rows;
mod stations;
mod store;
mod trace;
mod versions;

use asker::binds;
pub use asker::{Asker, OF_CLIENT, OF_OWNER};
pub use bundle::Bundle;
pub use changes::{Page, RowText, TableState, TriggerState};
pub use flows::{EndState, FlowState, MOST_FLOWS, Measure, SuppressionState};
pub use health::{Health, Reason, ReasonKind};
pub use load::cut_others;
pub use memory::Memory;
pub use mrule_engine::policy::Origin;
pub use plan::{Fates, Plan};
pub use report::{Report, Subscribers};
pub use restore::{BindingFailure, Start};
pub use rows::Rows;
pub use stations::SetStation;
pub use store::{Kept, Store};

use crate::compile_queue::CompileQueue;
use crate::event::output::EventWriter;
use crate::history::History;
use mrule_compiler::compile::Compiled;
use mrule_compiler::engine::EngineKind;
use mrule_dataplane::clock::now;
use mrule_dataplane::error::Error;
use mrule_dataplane::live::{Live, Swap};
use mrule_engine::policy::Policy;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many older versions of a policy are kept.
pub const HISTORY: usize = 16;

/// How many bytes of text they may have together, beside the newest of them.
const HISTORY_BYTES: usize = 64 << 20;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It is not what it should be.
    #[error("{0}")]
    Bad(String),
    /// The program has errors: what the compiler says.
    #[error("the program has errors; nothing was loaded")]
    Program(Box<Compiled>),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// It is not the version that was spoken of.
    #[error("{0}")]
    Stale(String),
    /// Another version took the policy's place meanwhile.
    #[error("other versions were loaded meanwhile, again and again; try again")]
    Moved,
    /// The token of whoever asks was taken back meanwhile.
    #[error("invalid or revoked token; nothing was changed")]
    Revoked,
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// Too much waits.
    #[error("{0}")]
    Busy(String),
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
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

/// What must be there, so that nobody overwrites what they have not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No policy of this name.
    Nothing,
    /// This version of it; with a time, the one that was loaded then, in nanoseconds since the Unix
    /// epoch.
    Version(u64, Option<i64>),
}

/// What whoever loads a policy says beside the program.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What must be there.
    pub expect: Option<Expect>,
    /// Nothing is loaded: only say what would be.
    pub dry: bool,
    /// Who asks.
    pub by: Asker,
}

impl Asked {
    /// As the owner asks.
    pub fn by_owner(dry: bool) -> Asked {
        Asked { expect: None, dry, by: Asker::owner() }
    }
}

impl Expect {
    fn check(self, name: &str, held: Option<&Held>) -> Result<(), Refusal> {
        let now = held.map(|held| (held.now.version, held.now.loaded));
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

/// What was done by loading.
#[derive(Debug)]
pub struct Done {
    /// The version at work; for a dry run, the one that would be.
    pub version: u64,
    /// Its limits without `to` bind all policies.
    pub binding: bool,
    /// What lives on and what does not.
    pub plan: Plan,
    /// Warnings, with the texts they speak of.
    pub compiled: Compiled,
    /// How long compiling to native code took.
    pub compiling: Duration,
    /// From the text to all workers deciding by it.
    pub all: Duration,
    /// What it took the workers; none for a dry run.
    pub swap: Option<Swap>,
    /// Why it is not kept though that was asked for, and what follows of it.
    pub unkept: Option<String>,
}

/// A version of a policy.
#[derive(Debug, Clone)]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// When it was loaded: nanoseconds since the Unix epoch.
    pub loaded: i64,
    /// Its texts.
    pub bundle: Bundle,
}

/// Names of what was changed from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed {
    pub tables: BTreeSet<String>,
    pub params: BTreeSet<String>,
    /// Stations, and what they are now.
    pub stations: BTreeMap<String, SetStation>,
    /// Stations that get no copies until somebody resumes them.
    pub drained: BTreeSet<String>,
}

/// A policy as it is known here.
#[derive(Debug)]
struct Held {
    now: Version,
    older: VecDeque<Version>,
    changed: Changed,
}

/// Everything behind the lock.
#[derive(Debug)]
struct State {
    /// None when the run has ended.
    live: Option<Live>,
    policies: BTreeMap<String, Held>,
    /// Those that were unloaded, and those that could not be restored: to go back to.
    unloaded: BTreeMap<String, Held>,
    /// What could not be restored, by policy.
    failures: BTreeMap<String, health::Failure>,
    on_failure: BindingFailure,
    watch: health::Watch,
    full: full::Full,
    keeping: persistence::Persistence,
}

/// A policy by name, and its versions.
pub type Listed = (String, Arc<Policy>, Vec<Version>);

/// The control plane.
#[derive(Debug)]
pub struct Control {
    state: Mutex<State>,
    /// Held by whoever changes which stations there are: they are opened while the state is not
    /// locked.
    turn: Mutex<()>,
    /// What was done by whoever had it last, and since when.
    doing: Mutex<Option<(String, Instant)>>,
    kind: EngineKind,
    lines: Option<Arc<EventWriter>>,
    subscribers: Subscribers,
    queue: CompileQueue,
    memory: Memory,
}

/// Whether a name can be a policy's: as the names in rule files, also with `-` and `.`.
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
    /// Of a run into which [`Start::restore`] has loaded the policies. What cannot be is told.
    pub fn new(
        live: Live,
        kind: EngineKind,
        start: Start,
        lines: Option<Arc<EventWriter>>,
    ) -> (Control, Vec<String>) {
        let Start { policies, unloaded, failures, on_failure, keeping, told, .. } = start;
        let mut state = State {
            live: None,
            policies: BTreeMap::new(),
            unloaded,
            failures,
            on_failure,
            watch: health::Watch::default(),
            full: full::Full::default(),
            keeping,
        };
        for restored in policies {
            let is_loaded = live.policy(&restored.name).is_some();
            let of = if is_loaded { &mut state.policies } else { &mut state.unloaded };
            of.insert(restored.name, restored.held);
        }
        state.live = Some(live);
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

    /// Its reports also say what became of what these were told.
    pub fn with_subscribers(self, subscribers: Subscribers) -> Control {
        Control { subscribers, ..self }
    }

    /// The history; none without one.
    pub fn history(&self) -> Option<&History> {
        self.subscribers.history.as_ref()
    }

    /// Locks the state. When the guard is dropped, it releases the lock and then waits until what
    /// was changed meanwhile is on the disk.
    fn lock(&self) -> locked::Locked<'_> {
        locked::Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the run, unless it has ended.
    pub fn with_live<T>(&self, body: impl FnOnce(&mut Live) -> T) -> Option<T> {
        self.lock().live.as_mut().map(body)
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// The run has ended.
    pub fn report(&self) -> Result<Report, Refusal> {
        let report = self.with_live(Live::report).ok_or(Refusal::Ended)?;
        Ok(Report::new(report, &self.subscribers))
    }

    /// Takes the run out, to end it.
    pub fn take_live(&self) -> Option<Live> {
        self.queue.end();
        self.lock().live.take()
    }

    /// The policies: each with its version at work and the older ones that are kept, the newest
    /// last.
    ///
    /// # Errors
    /// The run has ended.
    pub fn list(&self) -> Result<Vec<Listed>, Refusal> {
        let state = self.lock();
        let live = state.live.as_ref().ok_or(Refusal::Ended)?;
        let about = |(name, held): (&String, &Held)| {
            let versions = held.older.iter().chain([&held.now]).cloned().collect();
            Some((name.clone(), live.policy(name)?.clone(), versions))
        };
        Ok(state.policies.iter().filter_map(about).collect())
    }

    /// One policy; none of this name is an error that says which there are.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn policy(&self, name: &str) -> Result<Arc<Policy>, Refusal> {
        let state = self.lock();
        let live = state.live.as_ref().ok_or(Refusal::Ended)?;
        live.policy(name).cloned().ok_or_else(|| no_policy(name, &state))
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
