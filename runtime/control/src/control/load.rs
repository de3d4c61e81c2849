//! The steps from a checked program to a policy that decides: prepare it, count it against the
//! memory budget, replace the policy of its name. The invariants: slow steps are done before the
//! lock is taken; a refused load changes nothing; memory is counted before it is allocated, and
//! again under the lock. (Rejected: to count once, because two loads at the same time would both
//! find room.)

use super::{
    Changed, Control, Done, LoadRequest, PolicyEntry, Refusal, State, Version, check_name, memory, now, plan,
};
use crate::compile_queue::{Busy, Ticket};
use crate::control::{Bundle, Plan};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::Compiled;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_dataplane::error::Error;
use mrule_engine::policy::{Label, Policy};
use mrule_grammar::codes::lints::IDLE_LIMIT;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A prepared program: the slow part of a load, which needs no state of the run.
pub(crate) struct Prepared {
    pub engine: Arc<Engine>,
    pub bounds: Option<Arc<Engine>>,
    pub environment: Environment,
    pub compiling: Duration,
}

/// Prepares a program to run; `binding` says whether its limits bind all policies.
///
/// # Errors
/// [`Refusal`]. `admit` is called before each allocation whose size the program chooses.
pub(crate) fn prepare(
    kind: EngineKind,
    program: Program,
    binding: bool,
    budget: &CompileBudget,
    admit: impl FnOnce(&Program, &Environment) -> Result<(), Refusal>,
) -> Result<Prepared, Refusal> {
    let begun = Instant::now();
    let program = Arc::new(program);
    let environment = Environment::new(&program).map_err(|e| Refusal::Conflict(e.to_string()))?;
    admit(&program, &environment)?;
    go_on(budget)?;
    let engine = Engine::within(kind, program.clone(), &environment, budget);
    let engine = engine.map_err(|e| Refusal::Conflict(e.to_string()))?;
    if let Err(too_large) = program.automaton().map(drop) {
        return Err(Refusal::Conflict(too_large.to_string()));
    }
    let bounds = binding.then(|| bounds(kind, &program, &environment, budget)).transpose()?;
    go_on(budget)?;
    Ok(Prepared { engine: Arc::new(engine), bounds, environment, compiling: begun.elapsed() })
}

/// Stops the compilation when its budget is used up or it is cancelled.
fn go_on(budget: &CompileBudget) -> Result<(), Refusal> {
    budget.stopped().map_or(Ok(()), |stop| Err(Refusal::Conflict(format!("{stop}; nothing was loaded"))))
}

/// The engine that applies the limits of a binding policy to copies of other policies.
pub(super) fn bounds(
    kind: EngineKind,
    program: &Program,
    environment: &Environment,
    budget: &CompileBudget,
) -> Result<Arc<Engine>, Refusal> {
    let why = "no limit of the program is without `to`: there is nothing that could bind other policies";
    let bounds = program.bounds().ok_or_else(|| Refusal::Bad(why.to_owned()))?;
    let engine = Engine::within(kind, Arc::new(bounds), environment, budget);
    Ok(Arc::new(engine.map_err(|e| Refusal::Conflict(e.to_string()))?))
}

/// Removes the lint that limits without `to` never cut. It is wrong for a binding program, whose
/// limits also cut the copies of other policies.
pub fn cut_others(compiled: &mut Compiled) {
    let limits = compiled.program.iter().flat_map(|program| &program.limits).filter(|limit| limit.everywhere);
    let places: Vec<Span> =
        limits.flat_map(|limit| limit.asks.iter().map(|ask| ask.span).chain([limit.span])).collect();
    let is_theirs =
        |finding: &Diagnostic| finding.labels.first().is_some_and(|label| places.contains(&label.span));
    compiled.diagnostics.retain(|finding| finding.code != IDLE_LIMIT || !is_theirs(finding));
}

impl Control {
    /// Loads a policy, or replaces the policy of this name. A dry run reports what a load would
    /// change.
    ///
    /// # Errors
    /// [`Refusal`]: errors in the program, stations that cannot be opened. Nothing has changed
    /// then.
    pub fn load(&self, name: &str, compiled: Compiled, bundle: Bundle, dry: bool) -> Result<Done, Refusal> {
        self.load_over(&self.queue.limits().budget(), LoadRequest::by_owner(dry), name, compiled, bundle)
    }

    /// Queues a compilation for a client; the owner has no client name. One compilation runs at a
    /// time.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: the queue is full.
    pub fn compile<T: Send + 'static>(
        &self,
        client: Option<&str>,
        work: impl FnOnce(&CompileBudget) -> T + Send + 'static,
    ) -> Result<Ticket<T>, Refusal> {
        self.queue.submit(client, work).map_err(|busy| match busy {
            Busy::Ended => Refusal::Ended,
            busy => Refusal::Busy(busy.to_string()),
        })
    }

    /// Loads a policy if the present version is the expected one and the caller may replace it.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Refusal::Stale`]; [`Refusal::Forbidden`].
    pub fn load_over(
        &self,
        budget: &CompileBudget,
        request: LoadRequest,
        name: &str,
        compiled: Compiled,
        bundle: Bundle,
    ) -> Result<Done, Refusal> {
        let begun = Instant::now();
        check_name(name)?;
        let mut compiled = compiled;
        let binding = bundle.is_binding();
        if binding {
            cut_others(&mut compiled);
        }
        let Some(program) = compiled.program.take() else {
            return Err(Refusal::Program(Box::new(compiled)));
        };
        let mut over = None;
        let admit = |program: &Program, environment: &Environment| {
            let state = self.lock();
            match self.memory.admit(program, environment, state.plane.as_deref(), name, bundle.origin())? {
                Ok(_cost) => Ok(()),
                Err(too_much) => {
                    over = Some(too_much);
                    Err(Refusal::Conflict(String::new()))
                }
            }
        };
        let made = prepare(self.kind, program, bundle.is_binding(), budget, admit);
        if let Some(over) = over {
            memory::refused(&mut compiled, &over);
            return Err(Refusal::Program(Box::new(compiled)));
        }
        let Prepared { engine, bounds, mut environment, compiling } = made?;
        let intent = self.intend(&request, name, &bundle)?;
        let turn = self.turn(format!("a load of policy `{name}`"))?;
        let mut bundle = bundle;
        let (engine, origins, open) = self.opening(&request, name, engine, &mut bundle)?;
        go_on(budget)?;
        // Not under the lock: these system calls can be slow.
        let opened = if request.dry { None } else { Some(open()?) };
        let mut state = self.lock();
        state.may_load(&request.by, name, &bundle)?;
        let State { plane, policies, unloaded, persistence, failures, .. } = &mut *state;
        let plane = plane.as_mut().ok_or(Refusal::Ended)?;
        let old = plane.policy(name);
        let entry = policies.get_mut(name);
        request.expect.map_or(Ok(()), |expect| expect.check(name, entry.as_deref()))?;
        let before = entry.as_deref().or_else(|| unloaded.get(name));
        let version = before.map_or(1, |before| before.now.version + 1);
        let nothing = Changed::default();
        let changed = entry.as_ref().map_or(&nothing, |entry| &entry.changed);
        let policy = match &old {
            Some(old) => {
                plan::keep(old, engine.program(), changed, &mut environment);
                Some(old)
            }
            None => None,
        };
        // Count again: another load may have ended meanwhile, and tables that the new version
        // takes over are not those of its text.
        let cost =
            match self.memory.admit(engine.program(), &environment, Some(&**plane), name, bundle.origin())? {
                Ok(cost) => cost,
                Err(over) => {
                    memory::refused(&mut compiled, &over);
                    return Err(Refusal::Program(Box::new(compiled)));
                }
            };
        let policy = match policy {
            Some(old) => old.try_succeed(engine, environment),
            None => Policy::try_new(engine, environment),
        };
        let policy = policy.map_err(Error::from)?.counted(cost.bytes_without_tables());
        let has = |station: &String| policy.program().stations.iter().any(|other| other.name == *station);
        let drained: BTreeSet<String> = changed.drained.iter().filter(|name| has(name)).cloned().collect();
        let policy = policy.written_by(origins).draining(drained.clone());
        let plan = Plan::new(old.as_deref(), &policy, changed);
        let Some(opened) = opened else {
            return Ok(Done {
                version,
                binding,
                plan,
                compiled,
                compiling,
                all: begun.elapsed(),
                swap: None,
                unkept: None,
            });
        };
        let policy = policy.labelled(Label { policy: name.into(), version });
        let policy = Arc::new(policy.binding(bounds));
        let swap = plane.load(name, policy.clone(), opened)?;
        let mut next = Version { version, loaded: now(), bundle };
        let entry = match entry {
            Some(entry) => {
                next.bundle.share(&entry.now.bundle);
                entry.replace(next);
                entry.changed.tables = plan.tables.kept.iter().cloned().collect();
                entry.changed.params = plan.params.kept.iter().cloned().collect();
                entry.changed.stations.retain(|name, _| plan.targets.kept.contains(name));
                entry.changed.drained = drained;
                entry
            }
            None => {
                let mut new = PolicyEntry::new(next);
                if let Some(before) = unloaded.remove(name) {
                    new.follow(before);
                }
                policies.entry(name.to_owned()).or_insert(new)
            }
        };
        persistence.loaded(name, entry, &policy, &plan);
        failures.remove(name);
        state.watch.loaded(name);
        state.apply();
        // The next step does not wait for the disk.
        drop(turn);
        drop(state);
        let unkept = intent.loaded();
        Ok(Done {
            version,
            binding,
            plan,
            compiled,
            compiling,
            all: begun.elapsed(),
            swap: Some(swap),
            unkept,
        })
    }
}
