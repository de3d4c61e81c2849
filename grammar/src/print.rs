//! Canonical text (`mirrorc fmt`): one layout for a program. The printer chooses blanks, padding
//! and the spelling of operators. The author chooses literals, names, comments, single blank lines,
//! and the line breaks of long lists and conditions. The invariants: formatting twice gives the
//! same text; the tree of the result equals the tree of the text but for spans; every comment is
//! kept, in order. (Rejected: breaking and joining lines by their length; authors lay out tables
//! and long conditions for a reason.)

mod expr;
mod items;
mod runs;

use crate::diagnostic::Diagnostic;
use crate::parse::parse;
use crate::span::{FileId, Span};

/// The greatest width of a line whose layout the printer chooses, in columns.
const WIDTH: usize = 110;

/// The text in canonical form, or its mistakes. A text with mistakes is not formatted.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse(FileId(0), text);
    if !parsed.diagnostics.is_empty() {
        return Err(parsed.diagnostics);
    }
    let mut printer = Printer::new(text, &parsed.file.comments);
    printer.file(&parsed.file.items);
    Ok(printer.out)
}

/// The separator before the next token.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gap {
    Nothing,
    Blank,
    /// A new line at the hanging indent.
    Line,
}

/// The width of a text, in characters.
fn width(text: &str) -> usize {
    text.chars().count()
}

struct Printer<'t> {
    text: &'t str,
    /// The comments not yet written.
    comments: &'t [Span],
    out: String,
    /// Where the current line starts in `out`.
    start: usize,
    gap: Gap,
    /// Whether the current line ends in a comment.
    commented: bool,
    /// The column at which the line ends, before the two blanks and the comment at its end.
    comment_column: usize,
    /// The indent of the closing brace of the current block.
    indent: usize,
    /// The indent of the continuation of a broken line.
    hang: usize,
}

impl<'t> Printer<'t> {
    fn new(text: &'t str, comments: &'t [Span]) -> Self {
        Printer {
            text,
            comments,
            out: String::new(),
            start: 0,
            gap: Gap::Nothing,
            commented: false,
            comment_column: 0,
            indent: 0,
            hang: 4,
        }
    }

    /// The output of `write` on a line of its own, without comments.
    fn rendered(&self, write: impl FnOnce(&mut Printer<'t>)) -> String {
        let mut printer = Printer::new(self.text, &[]);
        write(&mut printer);
        printer.out
    }

    // ---- tokens ---------------------------------------------------------------------------------

    /// Prints a token that stands at `at` in the text, after the comments before it.
    fn token(&mut self, at: u32, token: &str) {
        self.comments_before(at);
        self.put(token);
    }

    /// Prints a token whose place in the text is not known.
    fn put(&mut self, token: &str) {
        match self.gap {
            Gap::Nothing => {}
            Gap::Blank if self.at_line_start() => {}
            Gap::Blank => self.out.push(' '),
            Gap::Line => self.new_line(self.hang),
        }
        self.out.push_str(token);
        self.gap = Gap::Nothing;
    }

    /// Asks for a blank before the next token, unless the token starts a line.
    fn blank(&mut self) {
        if self.gap == Gap::Nothing {
            self.gap = Gap::Blank;
        }
    }

    /// Pads a text of `length` columns to `width` columns.
    fn pad(&mut self, length: usize, width: usize) {
        self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(length)));
    }

    /// The current line so far.
    fn current(&self) -> &str {
        self.out.get(self.start..).unwrap_or("")
    }

    fn at_line_start(&self) -> bool {
        self.current().bytes().all(|b| b == b' ')
    }

    fn new_line(&mut self, indent: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.start = self.out.len();
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.commented = false;
    }

    // ---- comments and lines ---------------------------------------------------------------------

    /// The next comment, if it stands before `at`.
    fn next_comment(&mut self, at: u32) -> Option<Span> {
        let (first, rest) = self.comments.split_first()?;
        (first.start < at).then(|| {
            self.comments = rest;
            *first
        })
    }

    /// Prints the comments before `at` in the middle of an item. Each comment ends its line.
    fn comments_before(&mut self, at: u32) {
        while let Some(span) = self.next_comment(at) {
            self.comment(span, self.hang, false);
            self.gap = Gap::Line;
        }
    }

    /// Writes a comment: at the end of the line if it stands there in the text, else on a line of
    /// its own. Returns whether it has its own line. `blank_line`: a blank line before it is kept.
    fn comment(&mut self, span: Span, indent: usize, blank_line: bool) -> bool {
        let comment = self.source(span).trim_end();
        let trails = self.is_trailing(span) && !self.at_line_start() && !self.commented;
        if trails {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.pad(width(self.current()), self.comment_column);
            self.out.push_str("  ");
        } else {
            if blank_line {
                self.blank_line(span.start);
            }
            self.new_line(indent);
        }
        self.out.push_str(comment);
        self.commented = true;
        !trails
    }

    /// Starts the line of a part at `at` that has its own lines, after the comments before it.
    /// `first`: the part is the first in its block, so no blank line precedes it.
    fn line(&mut self, at: u32, first: bool) {
        if !self.comment_lines(at, first) {
            self.blank_line(at);
        }
        self.new_line(self.indent);
        self.gap = Gap::Nothing;
    }

    /// Starts the line of the closing brace at `at`, after the remaining comments of its block.
    fn last_line(&mut self, at: u32, indent: usize, first: bool) {
        self.comment_lines(at, first);
        self.new_line(indent);
        self.gap = Gap::Nothing;
    }

    /// Prints the comments before `at` on their own lines. Returns whether the next part is still
    /// the first in its block.
    fn comment_lines(&mut self, at: u32, mut first: bool) -> bool {
        while let Some(span) = self.next_comment(at) {
            first &= !self.comment(span, self.indent, !first);
        }
        first
    }

    /// Prints one blank line if the text has at least one before `at`.
    fn blank_line(&mut self, at: u32) {
        let before = self.text.get(..at as usize).unwrap_or("");
        let blanks = before.get(before.trim_end().len()..).unwrap_or("");
        if blanks.matches('\n').count() > 1 {
            self.new_line(0);
        }
    }

    /// Whether a comment follows other text on its line.
    fn is_trailing(&self, span: Span) -> bool {
        let before = self.text.get(..span.start as usize).unwrap_or("");
        before
            .rsplit('\n')
            .next()
            .is_some_and(|line| !line.trim_matches(['\u{feff}', ' ', '\t', '\r']).is_empty())
    }

    /// Whether the text has a line break between two places.
    fn is_broken(&self, from: u32, to: u32) -> bool {
        self.text.get(from as usize..to as usize).is_some_and(|t| t.contains('\n'))
    }

    fn source(&self, span: Span) -> &'t str {
        self.text.get(span.range()).unwrap_or("")
    }
}
