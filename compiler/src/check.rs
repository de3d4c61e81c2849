//! Syntax tree to typed program: names, types, and the meaning of every expression. All errors are
//! collected: a wrong part becomes poison, which fits everywhere and is never reported again. The
//! invariant: any tree gives a program and diagnostics in time linear in the text (times the
//! expansion of `let`s, which is bounded by [`MAX_EXPANSION`]). Without errors, the program means
//! what the text says. (Rejected: a typed copy of the syntax tree; the typed program is small
//! enough to be built directly.)

use crate::budget::CompileBudget;
use crate::fields::{FIELDS, Field};
use crate::hir::{self, NeedleId, Program, RegexId, StreamId, StreamPattern, TriggerId};
use mrule_grammar::ast;
use mrule_grammar::codes::syntax;
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::{FileId, SourceMap, Span};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

mod addresses;
mod apps;
mod arith;
mod budget;
mod bytes;
mod clauses;
mod compare;
mod constant;
mod definitions;
mod expr;
mod hints;
mod keys;
mod later;
mod lengths;
mod misfit;
mod names;
mod params;
pub(crate) mod paths;
mod resolve;
mod rows;
mod sets;
mod settings;
mod slices;
mod stations;
mod streams;
mod suggest;
mod tables;
mod terms;
mod triggers;
mod value;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use budget::stopped;
pub use names::MAX_RULES;
pub use rows::MAX_ROWS;

/// The greatest number of nodes that all uses of `let`s may copy together: conditions, set elements
/// and the like.
pub const MAX_EXPANSION: u64 = 2_000_000;

/// How many errors of names and types are reported; the rest are counted.
pub const MAX_ERRORS: usize = 1000;

/// The greatest depth of a `let`'s condition.
pub const MAX_LET_DEPTH: usize = 64;

/// The input of a check.
pub(crate) struct Input<'a> {
    /// All texts.
    pub sources: &'a SourceMap,
    /// The trees of the rule files.
    pub files: &'a [(FileId, ast::File)],
    /// The files of the tables' rows, by the place of their path.
    pub tables: &'a HashMap<Span, FileId>,
    /// `--set NAME=VALUE`
    pub sets: &'a [(String, String)],
    /// The budget.
    pub budget: &'a CompileBudget,
}

/// Checks a program. The result is meaningful only if no error was added to `diagnostics`.
pub(crate) fn check(input: &Input, diagnostics: &mut Vec<Diagnostic>) -> Program {
    let mut checker = Checker {
        sources: input.sources,
        names: names::Names::default(),
        fields: FIELDS.iter().map(|f| (f.name, f)).collect(),
        lets: Vec::new(),
        params: Vec::new(),
        tables: Vec::new(),
        triggers: Vec::new(),
        needles: HashMap::new(),
        regexes: HashMap::new(),
        streams: HashMap::new(),
        stream_places: Vec::new(),
        windows: Vec::new(),
        window_texts: Vec::new(),
        counting: None,
        named_sets: HashSet::new(),
        sets: HashMap::new(),
        expansion: 0,
        errors: 0,
        tainted: false,
        spent: budget::Spent::new(input.budget),
        diagnostics,
    };
    checker.collect(input.files);
    checker.table_types();
    checker.definitions(input.sets);
    let tables = checker.table_rows(input.tables);
    let stations = checker.stations();
    let (rules, limits) = checker.clauses();
    checker.count_errors();
    checker.tell_spent();
    let (errors, places) = (checker.errors, std::mem::take(&mut checker.stream_places));
    let program = Program {
        rules,
        limits,
        stations,
        tables,
        params: checker.params.into_iter().map(|p| p.hir).collect(),
        texts: hir::Texts {
            when: checker.triggers.iter().map(|t| t.when.clone()).collect(),
            unless: checker.triggers.iter().map(|t| t.unless.clone()).collect(),
            windows: checker.window_texts,
        },
        triggers: checker.triggers.into_iter().map(|t| t.hir).collect(),
        needles: by_id(checker.needles.into_iter().map(|(text, id)| (id, text))),
        regexes: by_id(checker.regexes.into_values().map(|(id, pattern)| (id, hir::Regex { pattern }))),
        streams: by_id(checker.streams.into_iter().map(|(pattern, id)| (id, pattern))),
        windows: checker.windows,
        automaton: Default::default(),
        uses: Default::default(),
    };
    if errors == 0 {
        diagnostics.extend(streams::check_automaton(&program, &places));
    }
    program
}

/// Values in the order of their ids.
fn by_id<I: Ord, T>(things: impl Iterator<Item = (I, T)>) -> Vec<T> {
    let mut all: Vec<(I, T)> = things.collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, thing)| thing).collect()
}

/// The state of a check.
struct Checker<'a> {
    sources: &'a SourceMap,
    names: names::Names<'a>,
    fields: HashMap<&'static str, &'static Field>,
    /// The value of each `let`; poison until it is evaluated.
    lets: Vec<definitions::LetValue>,
    params: Vec<params::ParamInfo>,
    /// The types of the tables.
    tables: Vec<tables::TableType>,
    triggers: Vec<triggers::TriggerInfo>,
    needles: HashMap<Arc<[u8]>, NeedleId>,
    /// Patterns: the text as written, and the engines' form.
    regexes: HashMap<Arc<str>, (RegexId, String)>,
    streams: HashMap<StreamPattern, StreamId>,
    /// The windows of all triggers.
    windows: Vec<hir::Window>,
    /// The source text of each window.
    window_texts: Vec<Arc<str>>,
    /// The trigger whose `when` is being checked: windows are allowed only there.
    counting: Option<TriggerId>,
    /// The place where each stream pattern is first written.
    stream_places: Vec<Span>,
    /// The elements of the sets of `let`s, by their address, which the `let`s keep alive.
    named_sets: HashSet<*const value::Element>,
    /// Sets of `let`s, converted to a type.
    sets: HashMap<sets::CacheKey, Option<Arc<sets::Wanted>>>,
    /// The nodes that uses of `let`s have copied so far.
    expansion: u64,
    /// The number of errors.
    errors: usize,
    /// A `let` with an error was used.
    tainted: bool,
    spent: budget::Spent<'a>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Checker<'_> {
    fn report(&mut self, finding: Diagnostic) {
        if finding.severity() == Severity::Error {
            self.errors += 1;
            if self.errors > MAX_ERRORS {
                return;
            }
        }
        self.diagnostics.push(finding);
    }

    /// Reports how many errors are not shown.
    fn count_errors(&mut self) {
        let Some(untold) = self.errors.checked_sub(MAX_ERRORS).filter(|n| *n > 0) else { return };
        let message = format!("there are {untold} more errors of names and types");
        self.diagnostics.push(Diagnostic::new(syntax::TOO_MANY, message).help("mend those above first"));
    }

    /// The text under a span, cut for messages.
    fn text(&self, span: Span) -> String {
        let text = self.sources.text(span);
        let line = text.split('\n').next().unwrap_or("").trim_end();
        if line.len() == text.len() && line.chars().count() <= 60 {
            return line.to_owned();
        }
        let mut short: String = line.chars().take(57).collect();
        short.push_str("...");
        short
    }
}
