//! The policies that a run starts with: those of the command line, those of the state directory,
//! and a list of what cannot be restored. The invariants: saved policies decide, with all their
//! changes, before the first packet; binding policies are loaded first; memory is admitted in the
//! order of names, and a policy without room counts as missing; a missing policy that may have
//! bound copies is a [`Failure`], and copies stop until a user resolves it, unless an option of the
//! run says otherwise; forwarding continues. (Rejected: to refuse to start, because nothing would
//! be forwarded either; to continue without the policy, because copies that the owner has
//! forbidden would go out after each restart.)

use super::dataplane::Dataplane;
use super::health::{Failure, Scope};
use super::load::{bounds, prepare};
use super::persistence::{Persistence, Wrote};
use super::store::{AtWork, Kept, Reapplied};
use super::store_thread::StoreThread;
use super::{Bundle, Memory, PolicyEntry, Refusal, Version, now, saved, stations};
use crate::compile_queue::CompileLimits;
use mrule_compiler::engine::EngineKind;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::live::MAIN;
use mrule_engine::cost::Cost;
use mrule_engine::policy::{Label, Policy};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// What happens to copies when a policy that may have bound them cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindingFailure {
    /// Copies are withheld.
    #[default]
    Closed,
    /// Copies are sent; the health report names what is missing.
    Open,
}

/// The policies, limits and notes that a run starts with.
#[derive(Debug)]
pub struct Start {
    /// The policy of the command line is the first.
    pub(super) policies: Vec<Restored>,
    pub(super) unloaded: BTreeMap<String, PolicyEntry>,
    pub(super) failures: BTreeMap<String, Failure>,
    pub(super) on_failure: BindingFailure,
    pub(super) persistence: Persistence,
    /// Notes for the user.
    pub(super) told: Vec<String>,
    /// Of which policies rows of the state cannot be read, in words.
    pub(super) refused: BTreeMap<String, String>,
    confinement: Arc<Confinement>,
    /// The budget of one compilation.
    pub(super) limits: CompileLimits,
    /// The memory budget of all policies together.
    pub(super) memory: Memory,
}

/// A policy that decides from the first packet.
#[derive(Debug)]
pub(super) struct Restored {
    pub name: String,
    pub policy: Arc<Policy>,
    pub entry: PolicyEntry,
}

/// The name of failures that concern the whole state. It is not a valid policy name.
pub(super) const STATE: &str = "(state)";

impl Start {
    /// Starts with the program of the command line, and with the saved policies if a state
    /// directory is given.
    pub fn new(
        kind: EngineKind,
        main: Policy,
        bundle: Bundle,
        directory: Option<&Path>,
        confinement: &Arc<Confinement>,
        limits: CompileLimits,
        memory: Memory,
    ) -> Start {
        let mut start = Start {
            policies: Vec::new(),
            unloaded: BTreeMap::new(),
            failures: BTreeMap::new(),
            on_failure: BindingFailure::default(),
            persistence: Persistence::default(),
            told: Vec::new(),
            refused: BTreeMap::new(),
            confinement: confinement.clone(),
            limits,
            memory,
        };
        let mut kept = directory.map(|directory| start.open(directory)).unwrap_or_default();
        start.report_refused(&kept);
        let of_main = kept.iter().position(|kept| kept.name == MAIN).map(|at| kept.remove(at));
        start.begin(kind, main, bundle, of_main.as_ref());
        for policy in kept {
            start.take(kind, policy);
        }
        start.settle();
        start
    }

    /// What becomes of copies when something that may have bound them cannot be restored.
    pub fn on_binding_failure(self, on_failure: BindingFailure) -> Start {
        Start { on_failure, ..self }
    }

    /// Adds another policy of the command line, whose limits bind all other policies. It replaces
    /// the saved policy of this name.
    ///
    /// # Errors
    /// Each limit of the program has a `to`, so none binds other policies.
    pub fn with_binding(
        mut self,
        name: &str,
        kind: EngineKind,
        policy: Policy,
        bundle: Bundle,
    ) -> Result<Start, super::Refusal> {
        let bound = bounds(kind, policy.program(), policy.environment(), &self.limits.budget())?;
        let before = self.policies.iter().position(|restored| restored.name == name);
        let before = before.map(|at| self.policies.remove(at).entry).or_else(|| self.unloaded.remove(name));
        self.failures.remove(name);
        self.refused.remove(name);
        let version = before.as_ref().map_or(1, |entry| entry.now.version + 1);
        let mut entry = PolicyEntry::new(Version { version, loaded: now(), bundle: bundle.binding(true) });
        if let Some(before) = before {
            entry.older = before.older;
            entry.older.push_back(before.now);
        }
        let label = Label { policy: name.into(), version };
        let policy = Arc::new(policy.binding(Some(bound)).labelled(label));
        self.persistence.wrote(name, &entry, &policy, Wrote::Resolved, |_, _| false);
        self.policies.push(Restored { name: name.to_owned(), policy, entry });
        self.settle();
        Ok(self)
    }

    /// Waits, for a bounded time, until all writes are on the disk.
    fn settle(&mut self) {
        if let Some(pending) = self.persistence.take_pending() {
            pending.wait();
        }
    }

    /// The policy of the command line, to start the run with.
    pub fn first(&self) -> Vec<(String, Arc<Policy>)> {
        self.policies.first().map(|first| (first.name.clone(), first.policy.clone())).into_iter().collect()
    }

    /// Loads all other policies, and withholds the copies that failures concern. The caller calls
    /// it before the first packet is read.
    pub fn restore(&mut self, plane: &mut dyn Dataplane) {
        let mut order: Vec<&Restored> = self.policies.iter().collect();
        order.sort_by_key(|restored| restored.policy.bounds().is_none());
        for Restored { name, policy, .. } in order {
            if plane.policy(name).is_some() {
                continue;
            }
            if let Err(error) = plane.restore(name, policy.clone()) {
                let why = format!("policy {name} was not restored: {error}");
                let scope = if policy.bounds().is_some() { Scope::All } else { Scope::Nothing };
                self.told.push(why.clone());
                self.failures.insert(name.clone(), Failure::new(why, scope));
            }
        }
        withhold(plane, &self.failures, false, self.on_failure);
        if self.on_failure == BindingFailure::Closed {
            let all = self.failures.values().any(|failure| failure.scope == Scope::All);
            let which = self.failures.iter().filter(|(_, failure)| failure.scope == Scope::Policy);
            let which: Vec<&str> = which.map(|(name, _)| name.as_str()).collect();
            match (all, which.as_slice()) {
                (true, _) => self.told.push(WITHHELD.to_owned()),
                (false, []) => {}
                (false, which) => self.told.push(format!("the copies of {} are withheld", which.join(", "))),
            }
        }
    }

    fn open(&mut self, directory: &Path) -> Vec<Kept> {
        let (kept, store) = match StoreThread::open(directory, &self.confinement) {
            Ok((store, kept)) => (kept, Ok(store)),
            Err(unusable) => {
                // A directory that does not answer may hold a binding policy.
                if !unusable.is_new {
                    self.failures.insert(STATE.to_owned(), Failure::unknown(&unusable.why));
                }
                (Vec::new(), Err(unusable.why))
            }
        };
        self.persistence = Persistence::new(store);
        self.told.extend(self.persistence.trouble().map(|why| format!("{why}; nothing will be kept")));
        kept
    }

    fn report_refused(&mut self, kept: &[Kept]) {
        for policy in kept {
            let Some(what) = saved::refused_text(&policy.name, &policy.refused) else { continue };
            self.told.push(what.clone());
            self.refused.insert(policy.name.clone(), what);
        }
    }

    fn fail(&mut self, name: &str, why: String, scope: Scope) {
        self.told.push(why.clone());
        self.failures.insert(name.to_owned(), Failure::new(why, scope));
    }

    /// The program of the command line replaces the saved policy of its name. If the saved policy
    /// was binding, the program is binding, too.
    fn begin(&mut self, kind: EngineKind, mut policy: Policy, bundle: Bundle, kept: Option<&Kept>) {
        let lost = match kept.map(|kept| &kept.at_work) {
            Some(AtWork::Lost(why)) => Some(why.as_str()),
            _ => None,
        };
        let at_work = kept.and_then(|kept| kept.versions.last());
        let was_loaded = kept.is_some_and(|kept| kept.at_work == AtWork::Yes);
        let binds = was_loaded && at_work.is_some_and(|before| before.bundle.is_binding());
        let bundle = bundle.binding(binds);
        if let Some(why) = lost {
            let why = format!("policy {MAIN}: {why}; whether it was binding is not known");
            self.fail(MAIN, why, Scope::All);
        }
        if binds {
            match bounds(kind, policy.program(), policy.environment(), &self.limits.budget()) {
                Ok(bound) => policy = policy.binding(Some(bound)),
                Err(why) => {
                    let why =
                        format!("policy {MAIN} was binding, and its rule files now bind nothing: {why}");
                    self.fail(MAIN, why, Scope::All);
                }
            }
        }
        let same = was_loaded && at_work.is_some_and(|before| before.bundle == bundle);
        let (version, loaded) = match at_work {
            Some(before) if same => (before.version, before.loaded),
            before => (before.map_or(1, |before| before.version + 1), now()),
        };
        let mut entry = PolicyEntry::new(Version { version, loaded, bundle });
        if let Some(kept) = kept {
            entry.older = kept.versions.iter().filter(|older| older.version != version).cloned().collect();
            let reapplied = kept.restore(&mut policy);
            // If the rule files changed meanwhile, saved values that no longer fit are dropped, as
            // in a load.
            policy = self.changed(MAIN, policy, reapplied, &mut entry, same);
            self.behind(kept, &policy);
        }
        let policy = Arc::new(policy.labelled(Label { policy: MAIN.into(), version }));
        if !same {
            let wrote = if lost.is_some() { Wrote::Missing } else { Wrote::Again };
            self.persistence.wrote(MAIN, &entry, &policy, wrote, |_, _| true);
        }
        self.policies.push(Restored { name: MAIN.to_owned(), policy, entry });
    }

    /// Withholds the copies of a policy whose latest changes are not in the state.
    fn behind(&mut self, kept: &Kept, policy: &Policy) {
        if kept.is_behind && !self.failures.contains_key(&kept.name) {
            let scope = if policy.bounds().is_some() { Scope::All } else { Scope::Policy };
            self.fail(&kept.name, kept.behind(), scope);
        }
    }

    /// The policy with its saved changes applied.
    fn changed(
        &mut self,
        name: &str,
        policy: Policy,
        mut reapplied: Reapplied,
        entry: &mut PolicyEntry,
        same: bool,
    ) -> Policy {
        let set = &mut reapplied.changed.stations;
        reapplied.refused.extend(stations::keep_granted(&policy, set, &self.confinement));
        self.told.extend(reapplied.refused.into_iter().map(|what| format!("not restored: {what}")));
        if let Some(what) = reapplied.weaker.filter(|_| same) {
            let scope = if policy.bounds().is_some() { Scope::All } else { Scope::Policy };
            self.failures.entry(name.to_owned()).or_insert_with(|| Failure::new(what, scope));
        }
        let policy = stations::changed(policy, &reapplied.changed.stations);
        let policy = policy.draining(reapplied.changed.drained.clone());
        entry.changed = reapplied.changed;
        policy
    }

    /// Restores a saved policy.
    fn take(&mut self, kind: EngineKind, kept: Kept) {
        let mut older: VecDeque<Version> = kept.versions.iter().cloned().collect();
        let name = kept.name.clone();
        let last = older.pop_back();
        let at_work = match (&kept.at_work, last) {
            (AtWork::Unloaded, Some(now)) => {
                if kept.is_behind {
                    self.fail(&name, kept.behind(), Scope::Nothing);
                }
                self.unloaded.insert(name, PolicyEntry { older, ..PolicyEntry::new(now) });
                return;
            }
            (AtWork::Unloaded, None) if kept.is_behind => {
                return self.fail(&name, kept.behind(), Scope::Nothing);
            }
            (AtWork::Unloaded, None) => return,
            (AtWork::Yes, Some(now)) => now,
            (AtWork::Lost(why), last) => {
                let why = format!("policy {name}: {why}; whether it was binding is not known");
                self.fail(&name, why, Scope::All);
                // A user can still read its texts, and its version numbers continue.
                self.unloaded.extend(last.map(|now| (name, PolicyEntry { older, ..PolicyEntry::new(now) })));
                return;
            }
            (AtWork::Yes, None) => return,
        };
        let binds = at_work.bundle.is_binding();
        let mut entry = PolicyEntry { older, ..PolicyEntry::new(at_work) };
        let budget = self.limits.budget();
        let mut compiled = entry.now.bundle.compile(&budget);
        let taken = self.policies.iter().map(|kept| kept.policy.memory()).fold(0, u64::saturating_add);
        let (memory, mut cost) = (self.memory.clone(), Cost::default());
        let bounded = super::memory::is_bounded(&name, entry.now.bundle.origin());
        let admit = |program: &Program, environment: &Environment| {
            cost = mrule_engine::cost::cost(program, environment, &memory.setting)?;
            let admitted = memory.limits.admit(&cost, taken, bounded);
            admitted.map_err(|over| Refusal::Conflict(format!("{over}; {}", over.help())))
        };
        let made = match compiled.program.take() {
            Some(program) => {
                prepare(kind, program, binds, &budget, admit).map_err(|refusal| refusal.to_string())
            }
            None => {
                let first = compiled.diagnostics.first().map(|d| d.message.clone()).unwrap_or_default();
                Err(format!("its program has errors for this mirrorc: {first}"))
            }
        };
        let made = made.and_then(|made| {
            let policy = Policy::try_new(made.engine, made.environment).map_err(|none| none.to_string())?;
            Ok(policy.binding(made.bounds).counted(cost.bytes_without_tables()))
        });
        match made {
            Ok(policy) => {
                let origins = entry.now.bundle.origins(policy.program());
                let mut policy = policy.written_by(origins);
                let reapplied = kept.restore(&mut policy);
                let policy = self.changed(&name, policy, reapplied, &mut entry, true);
                self.behind(&kept, &policy);
                let label = Label { policy: name.as_str().into(), version: entry.now.version };
                self.policies.push(Restored { name, policy: Arc::new(policy.labelled(label)), entry });
            }
            Err(why) => {
                let scope = if binds { Scope::All } else { Scope::Nothing };
                self.fail(&name, format!("policy {name} was not restored: {why}"), scope);
                // A user can still read its texts, roll it back and unload it.
                self.unloaded.insert(name, entry);
            }
        }
    }
}

/// The note for the user when the copies of all policies are withheld.
const WITHHELD: &str = "copies of all policies are withheld, forwarding goes on: load what is missing again, \
                        unload it, or say `mirrorc release`";

/// Withholds the copies that failures concern, and releases all other copies.
pub(super) fn withhold(
    plane: &mut dyn Dataplane,
    failures: &BTreeMap<String, Failure>,
    is_full: bool,
    on_failure: BindingFailure,
) {
    let closed = on_failure == BindingFailure::Closed;
    let all = is_full || failures.values().any(|failure| failure.scope == Scope::All);
    plane.withhold(None, closed && all);
    for (name, _) in plane.policies() {
        let own = failures.get(&name).is_some_and(|failure| failure.scope == Scope::Policy);
        plane.withhold(Some(&name), closed && own);
    }
}
