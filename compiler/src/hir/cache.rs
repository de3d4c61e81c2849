//! What follows from a whole program and is worked out once, when it is first asked for. The
//! invariant: what is kept is what a walk or a build would give now: nobody changes the conditions
//! or patterns of a program after it was asked. Programs are compared without it. (Rejected: a walk
//! at each question; the control plane asks the same of large programs many times.)

use super::{Program, Uses};
use crate::streams::{self, Automaton, LIMIT, TooLarge};
use std::sync::{Arc, OnceLock};

/// The automaton of a program's stream patterns.
#[derive(Debug, Clone, Default)]
pub struct AutomatonCache(OnceLock<Result<Arc<Automaton>, TooLarge>>);

/// What a program wants to know beside the packet. A clone of the program finds it out anew, since
/// a clone is what gets changed.
#[derive(Debug, Default)]
pub struct UsesCache(OnceLock<Uses>);

impl Clone for UsesCache {
    fn clone(&self) -> UsesCache {
        UsesCache::default()
    }
}

impl PartialEq for AutomatonCache {
    fn eq(&self, _: &AutomatonCache) -> bool {
        true
    }
}

impl PartialEq for UsesCache {
    fn eq(&self, _: &UsesCache) -> bool {
        true
    }
}

impl Program {
    /// The automaton of its patterns, which is built once: patterns that are added after that are
    /// not in it.
    ///
    /// # Errors
    /// The automaton would be larger than [`LIMIT`].
    pub fn automaton(&self) -> Result<Arc<Automaton>, TooLarge> {
        let kinds = || self.streams.iter().map(|pattern| &pattern.kind);
        self.automaton.0.get_or_init(|| streams::build(kinds(), LIMIT).map(Arc::new)).clone()
    }

    /// What has to be tracked for it, which is found out once: conditions that are added after that
    /// do not count.
    pub fn uses(&self) -> &Uses {
        self.uses.0.get_or_init(|| self.find_uses())
    }
}
