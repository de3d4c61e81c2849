//! The memory budget of a run's policies: what is taken, what one more may take, and how a refusal
//! is told. The invariant: old and new version of a policy count both while one takes the other's
//! place. (Rejected: counting what the process takes; most of a trigger's rows are not yet written
//! when the next program is loaded.)

use super::Refusal;
use super::dataplane::Dataplane;
use crate::budget::{MemoryLimits, OverBudget};
use mrule_compiler::compile::Compiled;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_dataplane::live::MAIN;
use mrule_engine::cost::{Cost, Setting};
use mrule_engine::policy::Origin;
use mrule_grammar::codes::budgets;
use mrule_grammar::diagnostic::Diagnostic;

/// What programs may take, and what each is given.
#[derive(Debug, Clone)]
pub struct Memory {
    /// What they may take.
    pub limits: MemoryLimits,
    /// What each is given.
    pub setting: Setting,
}

impl Memory {
    /// What a program takes, and whether that is within the budget beside what is taken already.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]: no automaton for its streams; else what is over the budget.
    pub(crate) fn admit(
        &self,
        program: &Program,
        environment: &Environment,
        plane: Option<&dyn Dataplane>,
        name: &str,
        of: &Origin,
    ) -> Result<Result<Cost, OverBudget>, Refusal> {
        let cost = mrule_engine::cost::cost(program, environment, &self.setting)?;
        let new = match plane.and_then(|plane| plane.policy(name)) {
            Some(old) => cost.clone().beside(program, environment, old.triggers()),
            None => cost.clone(),
        };
        let taken = plane.map_or(0, taken);
        Ok(self.limits.admit(&new, taken, is_bounded(name, of)).map(|()| cost))
    }
}

/// Whether a policy may take no more than one may: not the rule files of the command line and what
/// the owner puts in their place.
pub(super) fn is_bounded(name: &str, of: &Origin) -> bool {
    name != MAIN || !of.is_owner()
}

/// What all policies and rings of a run take.
fn taken(plane: &dyn Dataplane) -> u64 {
    let policies = plane.policies().into_iter().map(|(_, policy)| policy.memory());
    policies.fold(plane.ring_memory(), u64::saturating_add)
}

/// How many bytes more the tables of a policy may take.
pub(super) fn room_of(memory: &Memory, plane: &dyn Dataplane, name: &str, of: &Origin) -> u64 {
    let left = memory.limits.all.saturating_sub(taken(plane));
    let own = plane.policy(name).map_or(0, |policy| policy.memory());
    if !is_bounded(name, of) { left } else { left.min(memory.limits.policy.saturating_sub(own)) }
}

/// A program that is refused because of its memory, as the compiler would refuse it.
pub fn refused(compiled: &mut Compiled, over: &OverBudget) {
    let place = over.parts.first().and_then(|part| part.place.map(|place| (place, part)));
    let finding = Diagnostic::new(budgets::MEMORY, over.to_string()).help(over.help());
    let finding = match place {
        Some((place, part)) => finding
            .at(place, format!("{} takes {}", part.text(), mrule_engine::memory::size_text(part.bytes))),
        None => finding,
    };
    compiled.program = None;
    compiled.diagnostics.push(finding);
}
