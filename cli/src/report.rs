//! Diagnostics on their way out: as text for people, as JSON for scripts, as SARIF for code
//! scanning. The three formats are drawn from one sorted list with one notion of place, so they
//! cannot disagree about what was found. The invariant: a finding is in every format or in none.
//! (Rejected: miette's own JSON, whose shape is not ours to keep stable.)

use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::SourceMap;
use std::fmt;

pub mod json;
pub mod page;
pub mod place;
pub mod sarif;
pub mod text;

/// What `check` found, ready to be shown.
pub struct Report<'a> {
    /// The findings, by file and place; those without a place first.
    pub diagnostics: Vec<&'a Diagnostic>,
    /// The texts they speak of.
    pub sources: &'a SourceMap,
}

impl<'a> Report<'a> {
    /// Sorts the findings by place.
    pub fn new(diagnostics: &'a [Diagnostic], sources: &'a SourceMap) -> Self {
        let mut diagnostics: Vec<&Diagnostic> = diagnostics.iter().collect();
        diagnostics.sort_by_key(|d| d.labels.first().map(|l| l.span));
        Report { diagnostics, sources }
    }

    /// How many findings there are of each kind.
    pub fn tally(&self) -> Tally {
        let errors = self.diagnostics.iter().filter(|d| d.severity() == Severity::Error).count();
        Tally { errors, warnings: self.diagnostics.len() - errors }
    }
}

/// How many findings of each kind; shows as `3 errors, 1 warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.errors, self.warnings) {
            (e, 0) => f.write_str(&count(e, "error")),
            (0, w) => f.write_str(&count(w, "warning")),
            (e, w) => write!(f, "{}, {}", count(e, "error"), count(w, "warning")),
        }
    }
}

/// `1 rule`, `2 rules`.
pub fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// The name of a severity, in every format.
pub fn severity(of: Severity) -> &'static str {
    match of {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
