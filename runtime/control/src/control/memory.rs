//! The memory budget of a run's policies: the memory in use, the memory that one more policy may
//! use, and the text of a refusal. The invariant: while a new version replaces an old one, both
//! count. (Rejected: measuring the process; most rows of a trigger are not yet written when the
//! next program is loaded.)

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

/// The budget of all programs, and the limits of each.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The memory budget of all programs.
    pub limits: MemoryLimits,
    /// The limits of one program.
    pub setting: Setting,
}

impl Memory {
    /// The memory that a program needs, if it fits into the budget beside the memory in use.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]: its stream patterns make no automaton; else the program is over the
    /// budget.
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

/// Whether the limit of one policy applies. It does not apply to the rule files of the command
/// line, nor to the owner's replacement of them.
pub(super) fn is_bounded(name: &str, of: &Origin) -> bool {
    name != MAIN || !of.is_owner()
}

/// The memory that all policies and rings of a run use.
fn taken(plane: &dyn Dataplane) -> u64 {
    let policies = plane.policies().into_iter().map(|(_, policy)| policy.memory());
    policies.fold(plane.ring_memory(), u64::saturating_add)
}

/// How many more bytes the tables of a policy may use.
pub(super) fn room_of(memory: &Memory, plane: &dyn Dataplane, name: &str, of: &Origin) -> u64 {
    let left = memory.limits.all.saturating_sub(taken(plane));
    let own = plane.policy(name).map_or(0, |policy| policy.memory());
    if !is_bounded(name, of) { left } else { left.min(memory.limits.policy.saturating_sub(own)) }
}

/// The refusal of a program that needs too much memory, in the form of a compiler diagnostic.
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
