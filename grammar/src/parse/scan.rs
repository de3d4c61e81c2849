//! One pass over the text before the grammar reads it. It finds comments, brackets, the start of
//! each item, and mistakes of single characters. In a copy of the text with the same length, it
//! overwrites comments and reported mistakes with blanks, or with the byte 0x01 in the place of an
//! operand. Positions therefore stay valid. The invariant: linear time and no recursion. The text
//! for the grammar nests at most [`MAX_NESTING`] deep, has every string closed, and is ASCII
//! outside strings and comments. (Rejected: all of this in the grammar, which can neither count nor
//! continue after a mistake.)

mod characters;

use super::sink::Sink;
use crate::codes::syntax;
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_NESTING;
use crate::words;
use std::borrow::Cow;
use std::ops::Range;

/// Replaces text that is already reported.
const BROKEN: u8 = 1;

/// The part of the text that holds one item.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    /// From its first word to the next item.
    pub range: Range<usize>,
    /// The keyword at its start, if there is one.
    pub keyword: Option<&'static str>,
}

pub(super) struct Scan<'t> {
    /// The text for the grammar.
    pub text: Cow<'t, str>,
    /// Every comment, from `#` to the end of its line.
    pub comments: Vec<Range<usize>>,
    pub chunks: Vec<Chunk>,
    /// Where the scanner has reported a mistake, in order.
    reported: Vec<usize>,
    /// Where brackets without a partner are, in order.
    unmatched: Vec<usize>,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str, sink: &mut Sink) -> Self {
        let mut scanner = Scanner::new(text, sink);
        scanner.run();
        let Scanner { comments, chunks, masks, mut reported, mut unmatched, .. } = scanner;
        reported.sort_unstable();
        unmatched.sort_unstable();
        Scan { text: masked(text, &comments, &masks), comments, chunks, reported, unmatched }
    }

    /// Whether the bracket at this place has no partner.
    pub(super) fn is_unmatched(&self, at: usize) -> bool {
        self.unmatched.binary_search(&at).is_ok()
    }

    /// Whether the scanner has reported something in this part of the text.
    pub(super) fn has_reported(&self, range: &Range<usize>) -> bool {
        let from = self.reported.partition_point(|&at| at < range.start);
        self.reported.get(from).is_some_and(|&at| at < range.end)
    }
}

/// The text with blanks for comments and with each mask's byte for its range. Both cover whole
/// characters.
fn masked<'t>(text: &'t str, comments: &[Range<usize>], masks: &[(Range<usize>, u8)]) -> Cow<'t, str> {
    if comments.is_empty() && masks.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    let blanks = comments.iter().map(|range| (range, b' '));
    for (range, fill) in blanks.chain(masks.iter().map(|(range, fill)| (range, *fill))) {
        if let Some(part) = bytes.get_mut(range.clone()) {
            part.fill(fill);
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The last token, as far as the next token depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    /// A token that is not a word.
    Other,
    /// A word that starts with a letter and ends at this byte.
    Word { end: usize },
    /// The dot of a path.
    Dot,
}

struct Open {
    bracket: u8,
    at: usize,
}

struct Scanner<'t, 's> {
    text: &'t str,
    bytes: &'t [u8],
    sink: &'s mut Sink,
    at: usize,
    /// The rest of the line of the last call of `line_end`.
    line: Range<usize>,
    last: Last,
    stack: Vec<Open>,
    /// Brackets beyond the deepest allowed level: the place of the first, and how many are open.
    excess: Option<(usize, usize)>,
    keyword: Option<&'static str>,
    /// The braces of the item are closed: what follows is not part of it.
    complete: bool,
    /// An unterminated string has hidden closing brackets: the scanner does not report them as
    /// missing.
    swallowed: bool,
    comments: Vec<Range<usize>>,
    chunks: Vec<Chunk>,
    masks: Vec<(Range<usize>, u8)>,
    reported: Vec<usize>,
    unmatched: Vec<usize>,
}

impl<'t, 's> Scanner<'t, 's> {
    fn new(text: &'t str, sink: &'s mut Sink) -> Self {
        Scanner {
            text,
            bytes: text.as_bytes(),
            sink,
            at: 0,
            line: 0..0,
            last: Last::Other,
            stack: Vec::new(),
            excess: None,
            keyword: None,
            complete: false,
            swallowed: false,
            comments: Vec::new(),
            chunks: Vec::new(),
            masks: Vec::new(),
            reported: Vec::new(),
            unmatched: Vec::new(),
        }
    }

    fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.at = 3;
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.hash(),
                _ => self.token(byte),
            }
        }
        self.end_of_item(self.at);
    }

    fn token(&mut self, byte: u8) {
        if (self.chunks.is_empty() || self.complete) && !byte.is_ascii_alphabetic() {
            self.start_chunk(None);
        }
        match byte {
            b'"' => self.string(self.at),
            b'\'' => self.single_quotes(),
            b'(' | b'[' | b'{' => self.opens(byte),
            b')' | b']' | b'}' => self.closes(byte),
            b'.' => {
                self.at += 1;
                self.last = Last::Dot;
            }
            b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => self.word(),
            0x21..=0x7e => {
                self.at += 1;
                self.last = Last::Other;
            }
            _ => self.strange(),
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    /// The end of the line of `from`, without the line end. The result is remembered, because a
    /// line may hold any number of strings.
    fn line_end(&mut self, from: usize) -> usize {
        if !self.line.contains(&from) {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let end = rest.iter().position(|&b| b == b'\n').map_or(self.bytes.len(), |n| from + n);
            self.line = from..end;
        }
        let end = self.line.end;
        if end > from && self.bytes.get(end - 1) == Some(&b'\r') { end - 1 } else { end }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if let Some(label) = diagnostic.labels.first() {
            self.reported.push(label.span.start as usize);
        }
        self.sink.push(diagnostic);
    }

    fn mask(&mut self, range: Range<usize>, fill: u8) {
        self.masks.push((range, fill));
    }

    // ---- items and clauses ----------------------------------------------------------------------

    fn start_chunk(&mut self, keyword: Option<&'static str>) {
        self.end_of_item(self.at);
        self.keyword = keyword;
        self.complete = false;
        self.swallowed = false;
        self.chunks.push(Chunk { range: self.at..self.bytes.len(), keyword });
    }

    /// Closes the current item and reports the outermost bracket that is still open.
    fn end_of_item(&mut self, end: usize) {
        self.end_of_excess(end);
        // The outermost bracket is reported. Brackets inside it may be open because of it.
        let outermost = self.stack.first().map(|o| (o.at, o.bracket));
        self.drop_open(0, outermost);
        self.last = Last::Other;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.range.end = end;
        }
    }

    /// How many brackets belong to the item itself: the braces of a rule, trigger or station.
    fn body(&self) -> usize {
        let braced = matches!(self.keyword, Some("rule" | "limit" | "trigger" | "station"));
        usize::from(braced && self.stack.first().is_some_and(|o| o.bracket == b'{'))
    }

    fn word(&mut self) {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
        let word = self.text.get(start..start + length).unwrap_or("");
        let in_path = self.last == Last::Dot;
        let raw = matches!(word, "r" | "R") && rest.get(1) == Some(&b'"');
        if !in_path {
            if let Some(keyword) = words::ITEMS.iter().copied().find(|w| *w == word)
                && self.starts_item(keyword, start + length)
            {
                self.start_chunk(Some(keyword));
            } else if matches!(word, "match" | "snaplen" | "to" | "when" | "unless" | "hold") {
                self.clause();
            }
        }
        if self.chunks.is_empty() || self.complete {
            self.start_chunk(None);
        }
        self.at += length;
        if raw && !in_path {
            self.string(start);
        } else if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.last = Last::Word { end: self.at };
        } else {
            self.last = Last::Other;
        }
    }

    /// Whether an item keyword that ends at `end` starts an item. Outside brackets it does, unless
    /// a name must stand there. Inside brackets it does only when the text that follows can only be
    /// an item. A missing bracket then costs one item and not all items after it.
    fn starts_item(&self, keyword: &str, end: usize) -> bool {
        let next = end + blanks(self.bytes, end);
        if self.stack.is_empty() && self.excess.is_none() {
            let names_an_item = self.chunks.last().is_some_and(|c| {
                let before = self.text.get(c.range.start..self.at).unwrap_or("").trim_end();
                c.keyword.is_some_and(|k| k == before)
            });
            let goes_on = matches!(self.bytes.get(next), Some(b'=' | b':' | b'{'))
                || self.text.get(next..).is_some_and(|t| t.starts_with("by "));
            return !(names_an_item && goes_on);
        }
        let rest = self.text.get(next..).unwrap_or("");
        let name = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
        if name == 0 || next == end {
            return false;
        }
        let after = next + name + blanks(self.bytes, next + name);
        match (keyword, self.bytes.get(after)) {
            ("rule" | "limit" | "trigger" | "station", Some(b'{'))
            | ("let", Some(b'='))
            | ("param" | "table", Some(b':')) => true,
            ("trigger", Some(b'b')) => self.text.get(after..).is_some_and(|t| t.starts_with("by ")),
            _ => false,
        }
    }

    /// A word that starts a clause closes every bracket inside the item's own braces: the word
    /// cannot stand in an expression.
    fn clause(&mut self) {
        if !matches!(self.keyword, Some("rule" | "limit" | "trigger")) {
            return;
        }
        self.end_of_excess(self.at);
        let body = self.body();
        self.drop_open(body, self.innermost(body));
    }

    // ---- brackets -------------------------------------------------------------------------------

    fn opens(&mut self, bracket: u8) {
        let at = self.at;
        self.at += 1;
        self.last = Last::Other;
        if let Some((_, open)) = &mut self.excess {
            *open += 1;
        } else if self.stack.len() >= MAX_NESTING + self.body() {
            self.excess = Some((at, 1));
            let message = format!("brackets are nested deeper than {MAX_NESTING}");
            self.report(
                Diagnostic::new(syntax::NESTING, message)
                    .at(self.sink.span(at..at + 1), "one too many")
                    .help("name the inner parts with `let` and use the names"),
            );
        } else {
            self.stack.push(Open { bracket, at });
        }
    }

    /// Masks text that is nested too deeply as an operand that is already reported.
    fn end_of_excess(&mut self, end: usize) {
        if let Some((start, _)) = self.excess.take() {
            self.mask(start..end, BROKEN);
        }
    }

    fn closes(&mut self, bracket: u8) {
        let at = self.at;
        self.at += 1;
        self.last = Last::Other;
        if let Some((_, open)) = &mut self.excess {
            *open -= 1;
            if *open == 0 {
                self.end_of_excess(self.at);
            }
            return;
        }
        let opener = partner(bracket);
        // Only `}` closes the braces of an item.
        let from = if bracket == b'}' { 0 } else { self.body() };
        let found = self.stack.iter().enumerate().skip(from).rev().find(|(_, o)| o.bracket == opener);
        let Some(index) = found.map(|(i, _)| i) else {
            let shown = char::from(bracket);
            let braced = matches!(self.keyword, Some("rule" | "limit" | "trigger" | "station"));
            let help = if braced && !self.complete && bracket == b'}' {
                "the `{` after the name of the item is missing, or this bracket is superfluous"
            } else {
                "take it away, or open the bracket that it closes"
            };
            let message = format!("there is no `{}` for this `{shown}`", char::from(opener));
            self.report(
                Diagnostic::new(syntax::UNOPENED, message)
                    .at(self.sink.span(at..at + 1), "closes nothing")
                    .help(help),
            );
            self.mask(at..at + 1, b' ');
            return;
        };
        self.drop_open(index + 1, self.innermost(index + 1));
        self.stack.truncate(index);
        let braced = matches!(self.keyword, None | Some("rule" | "limit" | "trigger" | "station"));
        self.complete = braced && index == 0 && bracket == b'}';
    }

    /// The innermost open bracket from index `from` of the stack on.
    fn innermost(&self, from: usize) -> Option<(usize, u8)> {
        self.stack.get(from..).and_then(<[Open]>::last).map(|o| (o.at, o.bracket))
    }

    /// Marks the brackets from index `from` of the stack on as unmatched, and reports one of them
    /// for all.
    fn drop_open(&mut self, from: usize, reported: Option<(usize, u8)>) {
        self.unmatched.extend(self.stack.drain(from.min(self.stack.len())..).map(|o| o.at));
        let Some((at, bracket)) = reported else { return };
        if self.swallowed {
            return;
        }
        let (open, close) = (char::from(bracket), char::from(partner(bracket)));
        self.report(
            Diagnostic::new(syntax::UNCLOSED, format!("this `{open}` is never closed"))
                .at(self.sink.span(at..at + 1), format!("its `{close}` is missing"))
                .help(format!("write `{close}` where it ends")),
        );
    }
}

/// The closing bracket of an opening one, or the opening bracket of a closing one.
fn partner(bracket: u8) -> u8 {
    match bracket {
        b'(' => b')',
        b')' => b'(',
        b'[' => b']',
        b']' => b'[',
        b'{' => b'}',
        _ => b'{',
    }
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count()
}
