//! Where the diagnostics of one file go. The invariant: at most [`MAX_ERRORS`] are kept, so that a hostile text
//! cannot make the list much larger than itself, and they come out in the order of the text.

use crate::MAX_ERRORS;
use crate::codes::{Code, syntax};
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};
use std::ops::Range;

pub(super) struct Sink {
    file: FileId,
    list: Vec<Diagnostic>,
}

impl Sink {
    pub(super) fn new(file: FileId) -> Self {
        Sink { file, list: Vec::new() }
    }

    pub(super) fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range.start, range.end)
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() <= MAX_ERRORS {
            self.list.push(diagnostic);
        }
    }

    /// Reports a mistake; what is returned takes a help and a fix.
    pub(super) fn report(
        &mut self,
        code: Code,
        range: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        let span = self.span(range);
        self.push(Diagnostic::new(code, message).at(span, label));
    }

    /// All that was reported, in the order of the text.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        let more = self.list.len() > MAX_ERRORS;
        self.list.truncate(MAX_ERRORS);
        self.list.sort_by_key(start);
        if more {
            self.list.pop();
            let place = self.list.last().and_then(|d| d.labels.first()).map(|l| l.span);
            let mut last = Diagnostic::new(syntax::TOO_MANY, "too many errors; the rest is not shown");
            if let Some(span) = place {
                last = last.at(span, "the last one shown");
            }
            self.list.push(last);
        }
        self.list
    }
}

fn start(diagnostic: &Diagnostic) -> u32 {
    diagnostic.labels.first().map_or(0, |l| l.span.start)
}
