//! Diagnostics as plain data. Nothing here prints: the command line draws a diagnostic as text,
//! JSON or SARIF. The invariant: a code keeps its number and meaning for ever, and messages use the
//! user's terms, never Rust's. Messages are lower case without a full stop; user text stands in
//! back-ticks. (Rejected: an error enum per phase; every caller would have to know every phase.)

use crate::codes::Code;
pub use crate::codes::Severity;
use crate::span::Span;
use std::fmt;

/// A place and a text about it. The caret points at the first label of a diagnostic.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words under the caret.
    pub text: String,
}

/// A replacement that fixes the mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// One diagnostic.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// The stable code; it also gives the severity.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// Where. The first label is the main one. Empty if no file could be read.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// A replacement that a tool can apply, if one is known.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A diagnostic without a place yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), labels: Vec::new(), help: None, fix: None }
    }

    /// Adds a label; the first label is the main one.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Sets the help.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Sets the replacement.
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// The severity of the code. An error refuses the program.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// The number of diagnostics by severity; prints as `3 errors, 1 warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingCounts {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl FindingCounts {
    /// Counts these.
    pub fn of<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> FindingCounts {
        let mut counts = FindingCounts { errors: 0, warnings: 0 };
        for diagnostic in diagnostics {
            match diagnostic.severity() {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
            }
        }
        counts
    }
}

impl fmt::Display for FindingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize, thing: &str| format!("{n} {thing}{}", if n == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (e, 0) => f.write_str(&count(e, "error")),
            (0, w) => f.write_str(&count(w, "warning")),
            (e, w) => write!(f, "{}, {}", count(e, "error"), count(w, "warning")),
        }
    }
}
