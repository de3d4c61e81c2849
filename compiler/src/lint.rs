//! Warnings about programs without errors that cannot be what the author means: unused names,
//! conditions that never or always hold, rules and lines that add nothing, limits that never cut,
//! packets that a rule loses, slices that a receiver misreads.
//! The invariant: a finding is never wrong, whatever packets come and whatever is changed at run
//! time. If a question is too hard, nothing is reported. (Rejected: heuristics on the text, which
//! give false alarms.)

use crate::budget::{CompileBudget, Stop};
use crate::hir::{Program, Rule};
use crate::render::Render;
use conditions::Cases;
use mrule_grammar::ast::{self, File, Item};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, Span};
use std::collections::HashMap;

mod conditions;
mod cube;
mod expand;
mod facts;
mod lengths;
mod overlap;
mod recognition;
mod starts;
mod unused;

/// Warnings about a program without errors; `files` are its syntax trees.
///
/// # Errors The budget's time is over, or the compilation is cancelled.
pub fn lint(
    program: &Program,
    files: &[(FileId, File)],
    budget: &CompileBudget,
) -> Result<Vec<Diagnostic>, Stop> {
    let trees = files.iter().flat_map(|(_, file)| &file.items).filter_map(|item| match item {
        Item::Rule(rule) | Item::Limit(rule) => Some((rule.name.span, rule)),
        _ => None,
    });
    let trees = trees.collect();
    let mut lint = Lint { program, render: Render::new(program), trees, budget, out: Vec::new() };
    unused::unused(files, &mut lint.out);
    let rules = cases(&mut lint, "rule", &program.rules)?;
    let limits = cases(&mut lint, "limit", &program.limits)?;
    for trigger in &program.triggers {
        lint.go_on()?;
        conditions::trigger(&mut lint, trigger);
    }
    overlap::rules(&mut lint, &rules)?;
    overlap::limits(&mut lint, &rules, &limits)?;
    recognition::rules(&mut lint, &rules)?;
    starts::rules(&mut lint, &rules)?;
    Ok(lint.out)
}

/// The cases of the conditions of rules or limits (`word`).
fn cases<'p>(lint: &mut Lint<'p>, word: &str, rules: &'p [Rule]) -> Result<Vec<Cases<'p>>, Stop> {
    let mut cases = Vec::with_capacity(rules.len());
    for rule in rules {
        lint.go_on()?;
        cases.push(conditions::conditions(lint, word, rule));
    }
    Ok(cases)
}

/// The input and output of all lints.
struct Lint<'p> {
    program: &'p Program,
    budget: &'p CompileBudget,
    render: Render<'p>,
    /// The trees of rules and limits, by the place of their names.
    trees: HashMap<Span, &'p ast::Rule>,
    out: Vec<Diagnostic>,
}

impl Lint<'_> {
    /// Ends the lint if the compilation must stop.
    fn go_on(&self) -> Result<(), Stop> {
        self.budget.stopped().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod packets;
#[cfg(test)]
mod tests;
