//! The versions of a policy: show, compare, roll back, also after an unload. The invariants: a
//! version number is never used twice; an unloaded policy keeps its versions, within bounds, so
//! that `rollback` restores it. (Rejected: deleting an unloaded policy; one wrong command would
//! lose it.)

use super::health::Scope;
use super::{
    Changed, Control, Done, HISTORY, HISTORY_BYTES, LoadRequest, PolicyEntry, Principal, Refusal, State,
    Version, no_policy,
};
use mrule_compiler::budget::CompileBudget;
use mrule_dataplane::live::Swap;
use std::collections::VecDeque;

impl Control {
    /// Loads an earlier version again, as a new version. If the policy was unloaded or could not be
    /// restored, and no version is named, loads its last version.
    ///
    /// # Errors
    /// As [`load_over`](Self::load_over); no such policy or version.
    pub fn roll_back(
        &self,
        budget: &CompileBudget,
        name: &str,
        version: Option<u64>,
        request: LoadRequest,
    ) -> Result<Done, Refusal> {
        let bundle = self.lock().goes_back_to(name, version)?.bundle.clone();
        self.load_over(budget, request, name, bundle.compile(budget), bundle)
    }

    /// Unloads a policy. Its versions are kept, the changes of its tables, params and triggers are
    /// not.
    ///
    /// # Errors
    /// There is none of this name; [`Refusal::Forbidden`]: it is binding; [`Refusal::Revoked`].
    pub fn unload(&self, name: &str, by: &Principal) -> Result<Swap, Refusal> {
        let turn = self.turn(format!("the end of policy `{name}`"))?;
        let mut state = self.lock();
        by.check()?;
        if !by.may_bind() && state.is_binding(name) {
            return Err(Refusal::Forbidden(super::binds(name)));
        }
        if !state.policies.contains_key(name) && state.failures.remove(name).is_none() {
            return Err(no_policy(name, &state));
        }
        let swap = state.plane()?.unload(name).unwrap_or_default();
        state.failures.remove(name);
        state.watch.resolved(name);
        if let Some(entry) = state.policies.remove(name) {
            state.unloaded.insert(name.to_owned(), PolicyEntry { changed: Changed::default(), ..entry });
        }
        let forgotten = state.forget();
        forgotten.iter().for_each(|name| state.watch.resolved(name));
        state.persistence.unloaded(name, forgotten);
        state.apply();
        // The rest does not wait for the disk.
        drop(turn);
        Ok(swap)
    }

    /// Whether the version that [`roll_back`](Self::roll_back) would load binds all policies.
    ///
    /// # Errors
    /// No such policy or version.
    pub fn binds_after(&self, name: &str, version: Option<u64>) -> Result<bool, Refusal> {
        Ok(self.lock().goes_back_to(name, version)?.bundle.is_binding())
    }

    /// Whether a policy of this name is binding, or could not be restored and may have been
    /// binding.
    pub fn is_binding(&self, name: &str) -> bool {
        self.lock().is_binding(name)
    }

    /// A version of a policy; by default the current version.
    ///
    /// # Errors
    /// No such policy or version.
    pub fn version(&self, name: &str, version: Option<u64>) -> Result<Version, Refusal> {
        let state = self.lock();
        let entry = state.entry(name)?;
        let found = version.map_or(Some(&entry.now), |version| entry.version(version));
        found.cloned().ok_or_else(|| entry.no_version(name, version))
    }

    /// The differences between two versions, in the format of `diff -u`; by default between the
    /// previous and the current version.
    ///
    /// # Errors
    /// No such policy or version.
    pub fn diff(&self, name: &str, from: Option<u64>, to: Option<u64>) -> Result<String, Refusal> {
        let to = self.version(name, to)?;
        let from = match from {
            Some(_) => self.version(name, from)?,
            None => {
                let state = self.lock();
                let entry = state.entry(name)?;
                let before = entry.older.iter().rfind(|older| older.version < to.version);
                before.cloned().ok_or_else(|| entry.no_version(name, None))?
            }
        };
        let names = [&from, &to].map(|version| format!("version {}", version.version));
        Ok(to.bundle.diff(&from.bundle, &names[0], &names[1]))
    }
}

impl State {
    pub(super) fn is_binding(&self, name: &str) -> bool {
        let failed = self.failures.get(name).is_some_and(|failure| failure.scope == Scope::All);
        failed || self.policies.get(name).is_some_and(|entry| entry.now.bundle.is_binding())
    }

    /// A policy, loaded or not.
    fn entry(&self, name: &str) -> Result<&PolicyEntry, Refusal> {
        let entry = self.policies.get(name).or_else(|| self.unloaded.get(name));
        entry.ok_or_else(|| no_policy(name, self))
    }

    fn goes_back_to(&self, name: &str, version: Option<u64>) -> Result<&Version, Refusal> {
        match (self.policies.get(name), self.unloaded.get(name), version) {
            (Some(entry), ..) => entry.older_version(name, version),
            (None, Some(entry), None) => Ok(&entry.now),
            (None, Some(entry), Some(_)) => entry.older_version(name, version),
            (None, None, _) => Err(no_policy(name, self)),
        }
    }
}

impl PolicyEntry {
    pub(super) fn new(now: Version) -> PolicyEntry {
        PolicyEntry { now, older: VecDeque::new(), changed: Changed::default() }
    }

    /// Continues the versions of an unloaded policy.
    pub(super) fn follow(&mut self, before: PolicyEntry) {
        let next = std::mem::replace(&mut self.now, before.now);
        self.older = before.older;
        self.replace(next);
    }

    fn version(&self, version: u64) -> Option<&Version> {
        self.older.iter().chain([&self.now]).find(|other| other.version == version)
    }

    /// The version for a rollback: this version, or the previous one.
    fn older_version(&self, name: &str, version: Option<u64>) -> Result<&Version, Refusal> {
        let older = match version {
            Some(version) => self.version(version),
            None => self.older.back(),
        };
        older.ok_or_else(|| self.no_version(name, version))
    }

    fn no_version(&self, name: &str, version: Option<u64>) -> Refusal {
        let kept: Vec<String> = self.older.iter().chain([&self.now]).map(|v| v.version.to_string()).collect();
        let what = match version {
            Some(version) => format!("version {version} of policy `{name}` is not kept"),
            None => format!("policy `{name}` has no older version"),
        };
        Refusal::Unknown(format!("{what}; there are: {}", kept.join(", ")))
    }

    pub(super) fn replace(&mut self, next: Version) {
        self.older.push_back(std::mem::replace(&mut self.now, next));
        // The newest version stays, whatever its size, and so does the owner's newest, whatever
        // clients load over it; shared texts count each time.
        let size = |older: &VecDeque<Version>| older.iter().map(|v| v.bundle.size()).sum::<usize>();
        while self.older.len() > HISTORY || (self.older.len() > 1 && size(&self.older) > HISTORY_BYTES) {
            let of_owner = self.older.iter().rposition(|version| version.bundle.origin().is_owner());
            let first = usize::from(of_owner == Some(0));
            if first + 1 >= self.older.len() {
                return;
            }
            self.older.remove(first);
        }
    }
}
