//! Prints diagnostics: as text for people, as JSON for scripts, as SARIF for code scanning. All
//! three formats come from one sorted list with the same positions, so they agree. The invariant: a
//! diagnostic is in every format or in none. (Rejected: miette's own JSON; its structure is not
//! under our control.)

pub use mrule_grammar::diagnostic::FindingCounts;
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::SourceMap;

pub mod json;
pub mod location;
pub mod page;
pub mod sarif;
pub mod text;

/// Sorted diagnostics, ready to print.
pub struct Report<'a> {
    /// The diagnostics, sorted by file and position; those without a position come first.
    pub diagnostics: Vec<&'a Diagnostic>,
    /// The source texts that they refer to.
    pub sources: &'a SourceMap,
}

impl<'a> Report<'a> {
    /// Sorts the diagnostics by position.
    pub fn new(diagnostics: &'a [Diagnostic], sources: &'a SourceMap) -> Self {
        let mut diagnostics: Vec<&Diagnostic> = diagnostics.iter().collect();
        diagnostics.sort_by_key(|d| d.labels.first().map(|l| l.span));
        Report { diagnostics, sources }
    }

    /// Counts the diagnostics by severity.
    pub fn counts(&self) -> FindingCounts {
        FindingCounts::of(self.diagnostics.iter().copied())
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
