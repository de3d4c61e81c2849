//! A place in the text. A span is a file and a half-open byte range. It holds no text, so trees
//! stay small and diagnostics can be made long after parsing. The invariant: `start <= end <=
//! text.len()` of that file, both on character boundaries. (Rejected: an `Arc` of the source in
//! every node.)

/// Index of a file in a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u16);

/// A half-open byte range `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of bytes `start..end` of `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clip = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file, start: clip(start), end: clip(end) }
    }

    /// The smallest span that covers both; `self` if the files differ.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The byte range, for indexing the text.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub node: T,
    /// Its place in the text.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its span.
    pub fn new(node: T, span: Span) -> Self {
        Spanned { node, span }
    }
}

/// A name as written, with its place.
pub type Name = Spanned<String>;

/// One text of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The name to show: the path as the user wrote it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// All texts of one program: rule files, included files and table files, in the order in which they
/// were read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text. Returns `None` if the map already holds 65,536 texts.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> Option<FileId> {
        let id = FileId(u16::try_from(self.sources.len()).ok()?);
        self.sources.push(Source { name: name.into(), text: text.into() });
        Some(id)
    }

    /// The file with this id.
    pub fn get(&self, id: FileId) -> Option<&Source> {
        self.sources.get(usize::from(id.0))
    }

    /// The text under a span; empty if the span is not of this map.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).and_then(|s| s.text.get(span.range())).unwrap_or("")
    }

    /// All files in order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.sources.iter().enumerate().map(|(i, s)| (FileId(i as u16), s))
    }

    /// Line and column of a byte, both from 1. The column counts characters.
    pub fn line_column(&self, file: FileId, at: u32) -> (usize, usize) {
        let text = self.get(file).map_or("", |s| s.text.as_str());
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let head = &text[..at];
        let line = head.matches('\n').count() + 1;
        let column = head.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }
}
