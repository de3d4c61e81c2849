//! A diagnostic as plain text with its source lines, for programs that embed the compiler. It needs
//! no terminal and no library; `mirrorc` itself draws with colours. The invariant: whatever the
//! spans and the texts are, it gives lines that end, without characters that drive a terminal.
//! (Rejected: the drawing of `mirrorc`, which needs a library and knows the width of the screen.)

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::printable::printable;
use crate::span::SourceMap;
use std::fmt::Write;

/// Longer source lines are cut to so many characters around the label.
const MAX_LINE: usize = 160;

/// How many characters of such a line stand before the label.
const BEFORE: usize = 40;

impl Diagnostic {
    /// This diagnostic as plain text: severity, code and message, each label under its source line,
    /// and the help. Ends with a line end.
    ///
    /// ```
    /// use mrule_grammar::span::SourceMap;
    ///
    /// let text = "rule web { match tcp.port = 80  to ids }\n";
    /// let mut sources = SourceMap::default();
    /// let file = sources.add("site.mrule", text).ok_or("too many files")?;
    /// let parsed = mrule_grammar::parse(file, text);
    /// let drawn: String = parsed.diagnostics.iter().map(|d| d.render(&sources)).collect();
    /// assert_eq!(drawn, "\
    /// error[E0017]: `=` does not compare
    ///  --> site.mrule:1:27
    ///   |
    /// 1 | rule web { match tcp.port = 80  to ids }
    ///   |                           ^ not an operator of this language
    ///   = help: write `==`
    /// ");
    /// # Ok::<(), &str>(())
    /// ```
    pub fn render(&self, sources: &SourceMap) -> String {
        let severity = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut out = format!("{severity}[{}]: {}\n", self.code.id(), printable(&self.message));
        let places: Vec<LabelledLine<'_>> =
            self.labels.iter().filter_map(|label| LabelledLine::of(label, sources)).collect();
        let width = places.iter().map(|place| place.line.to_string().len()).max().unwrap_or(0);
        for (at, place) in places.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| places.get(before));
            place.draw(before, if at == 0 { '^' } else { '-' }, width, &mut out);
        }
        if let Some(help) = &self.help {
            let help = printable(help).replace('\n', &format!("\n{:width$}         ", ""));
            let _ = writeln!(out, "{:width$} = help: {help}", "");
        }
        out
    }
}

/// Where a label stands.
struct LabelledLine<'s> {
    file: &'s str,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The text of the line, without its end.
    text: &'s str,
    /// How many of its characters the label speaks of; at least one.
    length: usize,
    label: &'s str,
}

impl<'s> LabelledLine<'s> {
    fn of(label: &'s Label, sources: &'s SourceMap) -> Option<LabelledLine<'s>> {
        let source = sources.get(label.span.file)?;
        let text = source.text.as_str();
        let floor = |at: u32| text.floor_char_boundary(at as usize);
        let (start, end) = (floor(label.span.start), floor(label.span.end));
        let (line, column) = sources.line_column(label.span.file, label.span.start);
        let first = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let text = text.get(first..)?.lines().next().unwrap_or("");
        let of_line = (first + text.len()).min(end).max(start);
        let length = source.text.get(start..of_line)?.chars().count().max(1);
        Some(LabelledLine { file: &source.name, line, column, text, length, label: &label.text })
    }

    /// Its line, unless the place `before` has shown it, and a row of `mark` under it.
    fn draw(&self, before: Option<&LabelledLine<'_>>, mark: char, width: usize, out: &mut String) {
        let same_file = before.is_some_and(|before| before.file == self.file);
        if !same_file {
            let arrow = if before.is_none() { "-->" } else { ":::" };
            let file = printable(self.file);
            let _ = writeln!(out, "{:width$}{arrow} {file}:{}:{}", "", self.line, self.column);
            let _ = writeln!(out, "{:width$} |", "");
        }
        let column = self.column - 1;
        let cut = if self.text.chars().count() > MAX_LINE { column.saturating_sub(BEFORE) } else { 0 };
        let shown = || self.text.chars().skip(cut).take(MAX_LINE);
        if !(same_file && before.is_some_and(|before| before.line == self.line)) {
            let text: String = shown().collect();
            let _ = writeln!(out, "{:width$} | {}", self.line, printable(&text).trim_end());
        }
        // Tabs stay tabs, so that the marks stand under what they mark.
        let blanks: String = shown().take(column - cut).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let marks = mark.to_string().repeat(self.length.min(MAX_LINE.saturating_sub(column - cut)).max(1));
        let row = format!("{:width$} | {blanks}{marks} {}", "", printable(self.label));
        let _ = writeln!(out, "{}", row.trim_end());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
    use super::*;
    use crate::codes::syntax;
    use crate::span::Span;

    /// A diagnostic with these labels in texts `a` and `b`.
    fn drawn(texts: [&str; 2], labels: &[(usize, usize, usize, &str)]) -> String {
        let mut sources = SourceMap::default();
        let files = ["a", "b"].map(|name| name).into_iter().zip(texts);
        let files: Vec<_> = files.map(|(name, text)| sources.add(name, text).unwrap()).collect();
        let new = Diagnostic::new(syntax::UNSUPPORTED, "not so").help("write\nthis");
        let labels =
            labels.iter().map(|(file, start, end, text)| (Span::new(files[*file], *start, *end), *text));
        labels.fold(new, |diagnostic, (span, text)| diagnostic.at(span, text)).render(&sources)
    }

    #[test]
    fn labels_stand_under_their_lines() {
        let code = syntax::UNSUPPORTED.id();
        let labels = [(0, 4, 7, "first"), (0, 0, 3, "second"), (1, 1, 4, "third")];
        let expected = format!(
            "error[{code}]: not so\n --> a:1:5\n  |\n1 | let two\n  |     ^^^ first\n  | --- second\n ::: b:1:2\n  |\n\
             1 | \t?\tx\n  | \t-\t- third\n  = help: write\n          this\n"
        );
        let expected = expected.replace("\t-\t- third", "\t--- third");
        assert_eq!(drawn(["let two\n", "\t\x1b\tx\n"], &labels), expected);
    }

    #[test]
    fn long_lines_are_cut_and_ends_of_texts_have_a_mark() {
        let long = "x".repeat(100_000);
        let text = drawn([&long, ""], &[(0, 90_000, 99_000, "here"), (1, 0, 9, "at the end")]);
        assert!(text.lines().all(|line| line.chars().count() < MAX_LINE + 20), "{text}");
        assert!(text.contains("^^ here\n") && text.contains("::: b:1:1\n"), "{text}");
        assert!(text.contains(" | - at the end\n"), "{text}");
    }
}
