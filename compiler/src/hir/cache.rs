//! Properties of a whole program that are computed once, at the first call. The invariant: a stored
//! property is what a walk or a build would give now. No code changes the conditions or patterns of
//! a program after the first call. Comparisons of programs ignore the cache. (Rejected: a walk at
//! each call; the control plane asks for the same properties of large programs many times.)

use super::{Program, Uses};
use crate::streams::{self, Automaton, LIMIT, TooLarge};
use std::sync::{Arc, OnceLock};

/// The automaton of a program's stream patterns.
#[derive(Debug, Clone, Default)]
pub struct AutomatonCache(OnceLock<Result<Arc<Automaton>, TooLarge>>);

/// The data that a program needs besides the packet. A clone of the program computes it again, as
/// clones are made to be changed.
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
    /// The automaton of its patterns, which is built once: it lacks patterns that are added later.
    ///
    /// # Errors The automaton would be larger than [`LIMIT`].
    pub fn automaton(&self) -> Result<Arc<Automaton>, TooLarge> {
        let kinds = || self.streams.iter().map(|pattern| &pattern.kind);
        self.automaton.0.get_or_init(|| streams::build(kinds(), LIMIT).map(Arc::new)).clone()
    }

    /// The data that must be tracked for it, computed once: conditions that are added later do not
    /// count.
    pub fn uses(&self) -> &Uses {
        self.uses.0.get_or_init(|| self.find_uses())
    }
}
