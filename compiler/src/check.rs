//! Syntax tree to typed program: names, types, and the meaning of every expression. All errors are
//! collected: what is wrong becomes poison, which fits everywhere and is never reported again. The
//! invariant: a tree of any content gives a program and diagnostics in time linear in the text
//! (times what `let`s write out, which is bounded by [`MAX_EXPANSION`]); when there are no errors,
//! the program means what the text says. (Rejected: a typed copy of the syntax tree; the typed
//! program is small enough to be built directly.)

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

/// How many conditions, set elements and the like all uses of `let`s may write out together.
pub const MAX_EXPANSION: u64 = 2_000_000;

/// How many errors of names and types are told; the rest are counted.
pub const MAX_ERRORS: usize = 1000;

/// How deep the condition of a `let` may nest.
pub const MAX_LET_DEPTH: usize = 64;

/// What is checked.
pub(crate) struct Input<'a> {
    /// All texts.
    pub sources: &'a SourceMap,
    /// The trees of the rule files.
    pub files: &'a [(FileId, ast::File)],
    /// The files that tables are filled from, by the place of their path.
    pub tables: &'a HashMap<Span, FileId>,
    /// `--set NAME=VALUE`
    pub sets: &'a [(String, String)],
    /// How much it may take.
    pub budget: &'a CompileBudget,
}

/// Checks a program. It means something only when no error was added to `diagnostics`.
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

/// Things in the order of their ids.
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
    /// What each `let` stands for; poison until it is its turn.
    lets: Vec<definitions::LetValue>,
    params: Vec<params::ParamInfo>,
    /// The types of the tables.
    tables: Vec<tables::TableType>,
    triggers: Vec<triggers::TriggerInfo>,
    needles: HashMap<Arc<[u8]>, NeedleId>,
    /// Patterns as written, and as the engines read them.
    regexes: HashMap<Arc<str>, (RegexId, String)>,
    streams: HashMap<StreamPattern, StreamId>,
    /// The windows of all triggers.
    windows: Vec<hir::Window>,
    /// What the source says of each.
    window_texts: Vec<Arc<str>>,
    /// The trigger whose `when` is being checked: only there are windows.
    counting: Option<TriggerId>,
    /// Where each pattern of streams is written first.
    stream_places: Vec<Span>,
    /// The elements of the sets of `let`s, by their place in memory, which the `let`s keep.
    named_sets: HashSet<*const value::Element>,
    /// Sets of `let`s, made for a type.
    sets: HashMap<sets::CacheKey, Option<Arc<sets::Wanted>>>,
    /// What uses of `let`s have written out so far.
    expansion: u64,
    /// How many errors were reported.
    errors: usize,
    /// A `let` that is wrong was used.
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

    /// Says how many errors are not told.
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
