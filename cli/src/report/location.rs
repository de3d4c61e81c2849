//! Positions in source texts: lines and columns from 1, columns in characters. Line starts are
//! computed once for each file, so ten thousand diagnostics in a large file stay fast. The
//! invariant: every position is inside its text, for any span. (Rejected: `SourceMap::line_column`
//! for each diagnostic, which scans the file from its start each time.)

use crate::screen::printable;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, SourceMap, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Location<'a> {
    /// The file's name as the user gave it.
    pub file: &'a str,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column one past the last character.
    pub end_column: usize,
    /// First byte, from 0.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A text and the offsets of its lines.
pub struct Text<'a> {
    /// The file's name as the user gave it.
    pub name: &'a str,
    /// The text, without characters that control a terminal; as long in bytes as the original.
    pub shown: Cow<'a, str>,
    raw: Cow<'a, str>,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new(name: &'a str, raw: &'a str) -> Self {
        // Adds a line end, so that the end of the text is on a line, also if the last line has
        // none.
        let raw = if raw.ends_with('\n') { Cow::Borrowed(raw) } else { Cow::Owned(format!("{raw}\n")) };
        let shown = match printable(&raw) {
            Cow::Borrowed(_) => raw.clone(),
            Cow::Owned(clean) => Cow::Owned(clean),
        };
        let starts = std::iter::once(0).chain(raw.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Text { name, shown, raw, starts }
    }

    /// The line that holds a byte, from 0.
    pub fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The number of lines, at least one.
    pub fn lines(&self) -> usize {
        self.starts.len()
    }

    /// The byte range of a line, including its line end.
    pub fn line(&self, line: usize) -> std::ops::Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.raw.len());
        start..self.starts.get(line + 1).copied().unwrap_or(self.raw.len())
    }

    /// The line of a byte, and the number of characters before it in that line; both from 0.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.line_of(at);
        let before = self.raw.get(self.line(line).start..at).unwrap_or("");
        (line, before.chars().count())
    }

    /// The nearest character boundary at or before a byte.
    pub fn floor(&self, at: usize) -> usize {
        self.raw.floor_char_boundary(at)
    }
}

/// The texts that some diagnostics refer to.
pub struct Texts<'a> {
    files: HashMap<FileId, Text<'a>>,
}

impl<'a> Texts<'a> {
    /// Collects the texts that `diagnostics` refer to.
    pub fn new<'d>(diagnostics: impl IntoIterator<Item = &'d Diagnostic>, sources: &'a SourceMap) -> Self {
        let mut files = HashMap::new();
        for d in diagnostics {
            let spans = d.labels.iter().map(|l| l.span).chain(d.fix.as_ref().map(|f| f.span));
            for file in spans.map(|s| s.file) {
                if let Some(source) = sources.get(file) {
                    files.entry(file).or_insert_with(|| Text::new(&source.name, &source.text));
                }
            }
        }
        Texts { files }
    }

    /// The text of a file.
    pub fn get(&self, file: FileId) -> Option<&Text<'a>> {
        self.files.get(&file)
    }

    /// The position of a span; none if its file is not known.
    pub fn place(&self, span: Span) -> Option<Location<'a>> {
        let text = self.get(span.file)?;
        let start = text.floor(span.start as usize);
        let end = text.floor(span.end as usize).max(start);
        let (line, column) = text.line_column(start);
        let (end_line, end_column) = text.line_column(end);
        Some(Location {
            file: text.name,
            line: line + 1,
            column: column + 1,
            end_line: end_line + 1,
            end_column: end_column + 1,
            start,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
    use super::*;
    use mrule_grammar::codes::CODES;

    #[test]
    fn places_agree_with_the_source_map_on_every_byte() {
        let text = "rule é {\r\n  漢 to x\n}\n";
        let mut sources = SourceMap::default();
        let file = sources.add("a.mrule", text).unwrap();
        let all = Diagnostic::new(CODES[0], "x").at(Span::new(file, 0, 0), "");
        let texts = Texts::new([&all], &sources);
        for at in 0..=text.len() + 3 {
            let place = texts.place(Span::new(file, at, at)).unwrap();
            assert_eq!((place.line, place.column), sources.line_column(file, at as u32), "byte {at}");
        }
        assert_eq!(texts.place(Span::new(FileId(7), 0, 1)), None);
    }
}
