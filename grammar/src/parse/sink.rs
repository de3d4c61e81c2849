//! Collects the diagnostics of one file. The invariant: at most [`MAX_ERRORS`] are kept, so that a
//! hostile text cannot make the list much larger than itself. They come out in the order of the
//! text.

use crate::codes::syntax;
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_ERRORS;
use crate::span::{FileId, Span};
use std::ops::Range;

/// The greatest length of a message or a help, in characters.
const LONGEST_MESSAGE: usize = 300;

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

    pub(super) fn push(&mut self, mut diagnostic: Diagnostic) {
        if self.list.len() > MAX_ERRORS {
            return;
        }
        clip(&mut diagnostic.message);
        if let Some(help) = &mut diagnostic.help {
            clip(help);
        }
        self.list.push(diagnostic);
    }

    /// All diagnostics, in the order of the text.
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

/// Shortens a text that quotes a very long token.
fn clip(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
        text.truncate(end);
        text.push_str("...");
    }
}
