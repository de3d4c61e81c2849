//! What is wrong with a program, as plain data. Nothing here prints: the command line draws a
//! diagnostic as text, JSON or SARIF. The invariant: a code keeps its number and meaning for ever,
//! and messages speak of the user's language, never of Rust. Messages are lower case without a full
//! stop; user text stands in back-ticks. (Rejected: error enums per phase, which make every caller
//! know every phase.)

use crate::codes::Code;
pub use crate::codes::Severity;
use crate::span::Span;

/// A place and what to say of it. The first label of a diagnostic is where the caret goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words under the caret.
    pub text: String,
}

/// A replacement that would mend it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// By what.
    pub replacement: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// The stable code; it also gives the severity.
    pub code: Code,
    /// One line: what is wrong.
    pub message: String,
    /// Where; the first is the main one. May be empty (no file could be read).
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// A mechanical mend, where one is known.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A finding without a place yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), labels: Vec::new(), help: None, fix: None }
    }

    /// Adds a place; the first one added is the main one.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Gives a replacement that mends it.
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// Whether it refuses the program.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}
