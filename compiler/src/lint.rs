//! Warnings about programs that are sound but cannot mean what was meant: names that nothing uses, conditions that never or
//! always hold, rules and lines that add nothing, limits that never cut. The invariant: a finding is never wrong, whatever
//! packets come and whatever is changed while the program runs; where the question is too hard, nothing is said.
//! (Rejected: heuristics on the text, which cry wolf.)

use crate::hir::Program;
use crate::render::Render;
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
mod unused;

/// Warnings about a program without errors; `files` are its syntax trees.
pub fn lint(program: &Program, files: &[(FileId, File)]) -> Vec<Diagnostic> {
    let trees = files.iter().flat_map(|(_, file)| &file.items).filter_map(|item| match item {
        Item::Rule(rule) | Item::Limit(rule) => Some((rule.name.span, rule)),
        _ => None,
    });
    let mut lint = Lint { program, render: Render::new(program), trees: trees.collect(), out: Vec::new() };
    unused::unused(files, &mut lint.out);
    let rules: Vec<_> =
        program.rules.iter().map(|rule| conditions::conditions(&mut lint, "rule", rule)).collect();
    let limits: Vec<_> =
        program.limits.iter().map(|limit| conditions::conditions(&mut lint, "limit", limit)).collect();
    program.triggers.iter().for_each(|trigger| conditions::trigger(&mut lint, trigger));
    overlap::rules(&mut lint, &rules);
    overlap::limits(&mut lint, &rules, &limits);
    lint.out
}

/// What all lints see.
struct Lint<'p> {
    program: &'p Program,
    render: Render<'p>,
    /// The trees of rules and limits, by where their names stand.
    trees: HashMap<Span, &'p ast::Rule>,
    out: Vec<Diagnostic>,
}

#[cfg(test)]
mod packets;
#[cfg(test)]
mod tests;
