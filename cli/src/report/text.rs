//! A diagnostic as text: a line with the message, the source with carets and labels, and the help,
//! drawn by miette. Labels may be in several files. The invariant: any span can be drawn; long
//! lines and long items are cut to the part at the label. (Rejected: miette's global hook and
//! derive, which need a Rust type for each error.)

use super::location::{Text, Texts};
use super::{Report, severity};
use crate::screen::{BAD, BOLD, DOUBT, HINT, Look, printable, wrap};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::FileId;
use std::fmt;

/// Longer lines are cut to a window around the label, in bytes.
const LONG_LINE: usize = 240;
/// The window before and behind the start of a label in a long line, in bytes.
const WINDOW: (usize, usize) = (40, 60);
/// A label over more lines than this is drawn at its first line only.
const LONG_SPAN: usize = 6;

/// Draws all diagnostics of a report, each followed by a blank line.
pub fn render(report: &Report<'_>, look: Look) -> String {
    let texts = Texts::new(report.diagnostics.iter().copied(), report.sources);
    let mut out = String::new();
    for d in &report.diagnostics {
        draw(d, &texts, look, &mut out);
        out.push('\n');
    }
    out
}

fn draw(diagnostic: &Diagnostic, texts: &Texts<'_>, look: Look, out: &mut String) {
    head(diagnostic, look, out);
    let shown = Shown::new(diagnostic, texts);
    let mut drawn = String::new();
    let done = GraphicalReportHandler::new_themed(theme(look))
        .with_width(look.width)
        .with_context_lines(0)
        .with_urls(false)
        .without_syntax_highlighting()
        .render_report(&mut drawn, &shown);
    // The first line is miette's own heading, which is empty. Drawing fails only if a source cannot
    // be read.
    if let (Ok(()), Some((_, sources))) = (done, drawn.split_once('\n')) {
        out.push_str(sources);
    }
    if let Some(help) = &diagnostic.help {
        note("help:", &printable(help), look, out);
    }
    if let Some(line) = mended(diagnostic, texts) {
        note("here:", &line, look, out);
    }
}

/// `error[E0101]: there is no field ...`; further lines are indented.
fn head(diagnostic: &Diagnostic, look: Look, out: &mut String) {
    let style = match diagnostic.severity() {
        Severity::Error => BAD,
        Severity::Warning => DOUBT,
    };
    let code = format!("{}[{}]:", severity(diagnostic.severity()), diagnostic.code);
    let message = printable(&diagnostic.message);
    let room = look.width.saturating_sub(2);
    for (i, line) in wrap(&format!("{code} {message}"), room).iter().enumerate() {
        match line.strip_prefix(&code) {
            Some(rest) if i == 0 => {
                out.push_str(&format!("{}{}\n", look.paint(style, &code), look.paint(BOLD, rest)));
            }
            _ => out.push_str(&format!("  {}\n", look.paint(BOLD, line))),
        }
    }
}

fn theme(look: Look) -> GraphicalTheme {
    let characters = if look.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let mut styles = if look.colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
    styles.link = styles.linum;
    GraphicalTheme { characters, styles }
}

/// The labels of a diagnostic for miette; message and help are printed separately.
struct Shown<'a> {
    labels: Vec<LabeledSpan>,
    view: View<'a>,
}

impl<'a> Shown<'a> {
    fn new(diagnostic: &Diagnostic, texts: &'a Texts<'a>) -> Self {
        let mut view = View { parts: Vec::new() };
        let mut labels = Vec::new();
        for (i, label) in diagnostic.labels.iter().enumerate() {
            let Some((base, text)) = view.part(label.span.file, texts) else { continue };
            let (start, end) = visible(text, label.span.start as usize, label.span.end as usize);
            let words = (!label.text.is_empty()).then(|| printable(&label.text).into_owned());
            let span = SourceSpan::new((base + start).into(), end - start);
            labels.push(if i == 0 {
                LabeledSpan::new_primary_with_span(words, span)
            } else {
                LabeledSpan::new_with_span(words, span)
            });
        }
        Shown { labels, view }
    }
}

/// The line after the automatic fix, if it is one line and the help does not already contain it.
fn mended(diagnostic: &Diagnostic, texts: &Texts<'_>) -> Option<String> {
    let fix = diagnostic.fix.as_ref()?;
    let said =
        diagnostic.help.as_deref().is_some_and(|h| h.contains(&format!("`{}`", fix.replacement.trim())));
    if said || fix.replacement.contains('\n') {
        return None;
    }
    let text = texts.get(fix.span.file)?;
    let (start, end) = (text.floor(fix.span.start as usize), text.floor(fix.span.end as usize));
    let line = text.line(text.line_of(start));
    if end > line.end || line.len() > LONG_LINE {
        return None;
    }
    let (before, after) = (text.shown.get(line.start..start)?, text.shown.get(end..line.end)?);
    Some(format!("{before}{}{after}", printable(&fix.replacement)).trim().to_owned())
}

/// Writes a word and a text after it, with further lines indented under the text.
fn note(word: &str, text: &str, look: Look, out: &mut String) {
    let lines = text.lines().flat_map(|line| wrap(line, look.width.saturating_sub(word.len() + 3)));
    for (i, line) in lines.enumerate() {
        let head = if i == 0 { look.paint(HINT, word) } else { " ".repeat(word.len()) };
        out.push_str(&format!("  {head} {line}\n"));
    }
}

/// The part of a span that is drawn.
fn visible(text: &Text<'_>, start: usize, end: usize) -> (usize, usize) {
    // The end of a file is drawn after its last character, not on the empty line after it.
    let last = text.shown.trim_end().len();
    let start = text.floor(start.min(last));
    let end = text.floor(end.min(last)).max(start);
    let mut end = start + text.shown.get(start..end).unwrap_or("").trim_end().len();
    let line = text.line_of(start);
    let line_end = text.line(line).end;
    let long = text.line(line).len() > LONG_LINE;
    if end > line_end && (long || text.line_of(end) - line >= LONG_SPAN) {
        end = start + text.shown.get(start..line_end).unwrap_or("").trim_end().len();
    }
    if long {
        end = end.min(text.floor(start + WINDOW.1));
    }
    (start, end)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as Box<_>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.view)
    }
}

/// The texts of one diagnostic in one sequence, in the order of its labels, so that miette can draw
/// labels of several files; a span never crosses from one text into the next.
struct View<'a> {
    parts: Vec<(FileId, usize, &'a Text<'a>)>,
}

impl<'a> View<'a> {
    /// The text of a file and its offset in the view.
    fn part(&mut self, file: FileId, texts: &'a Texts<'a>) -> Option<(usize, &'a Text<'a>)> {
        if let Some((_, base, text)) = self.parts.iter().find(|p| p.0 == file) {
            return Some((*base, text));
        }
        let text = texts.get(file)?;
        let base = self.parts.last().map_or(0, |(_, base, text)| base + text.shown.len() + 1);
        self.parts.push((file, base, text));
        Some((base, text))
    }
}

impl SourceCode for View<'_> {
    fn read_span<'s>(
        &'s self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'s> + 's>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        let inside =
            |(_, base, text): &&(FileId, usize, &Text<'_>)| *base <= from && to <= base + text.shown.len();
        let (_, base, text) = self.parts.iter().find(inside).ok_or(MietteError::OutOfBounds)?;
        let (start, end) = (from - base, to - base);
        let (line, column) = text.line_column(start);
        let range = if text.line(line).len() > LONG_LINE {
            let window = text.floor(start.saturating_sub(WINDOW.0))..text.floor(start + WINDOW.1);
            window.start.max(text.line(line).start)..window.end.min(text.line(line).end)
        } else {
            let last = text.line_of(end) + after;
            text.line(line.saturating_sub(before)).start..text.line(last.min(text.lines() - 1)).end
        };
        // A window too small for the span: labels of one long line are drawn separately.
        if end > range.end {
            return Err(MietteError::OutOfBounds);
        }
        let shown = text.shown.get(range.clone()).unwrap_or("");
        let first = text.line_of(range.start);
        Ok(Box::new(MietteSpanContents::new_named(
            printable(text.name).into_owned(),
            shown.as_bytes(),
            SourceSpan::new((base + range.start).into(), range.len()),
            // miette numbers the lines from here and shows this line and column above them.
            first,
            if before == 0 && after == 0 { column } else { 0 },
            shown.matches('\n').count().max(1),
        )))
    }
}
