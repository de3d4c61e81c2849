//! The part of the scanner that reads characters: strings, comments, Wireshark's layer operator,
//! and characters without meaning outside strings and comments. The invariant: each mistake is
//! reported once, the scanner advances by at least one character, and it reads no part of the text
//! more than a bounded number of times.

use super::{BROKEN, Last, Scanner};
use crate::codes::{literals, syntax};
use crate::diagnostic::Diagnostic;
use std::ops::Range;

/// How many bytes ahead the scanner looks for the end of a mistake. It bounds how often a hostile
/// line is read.
const LOOK_AHEAD: usize = 200;

impl Scanner<'_, '_> {
    /// Reads a string. Its first character, `r` or the quote, is at `start`; `at` is at its quote.
    pub(super) fn string(&mut self, start: usize) {
        self.last = Last::Other;
        let end = self.line_end(self.at);
        let mut at = self.at + 1;
        while at < end {
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return;
                }
                Some(b'\\') => at += 2,
                Some(b) if (*b < b' ' && *b != b'\t') || *b == 0x7f => {
                    self.control(at, true);
                    at += 1;
                }
                _ => at += 1,
            }
        }
        self.report(
            Diagnostic::new(literals::UNTERMINATED, "this string is never closed")
                .at(self.sink.span(start..end), "its `\"` is missing")
                .help("a string ends on the line it starts on; a quote inside it is written `\\\"`, a line end `\\n`"),
        );
        let lost = self.bytes.get(start..end).unwrap_or_default();
        self.swallowed |= lost.iter().any(|b| matches!(b, b')' | b']' | b'}'));
        self.mask(start..end, BROKEN);
        self.at = end;
    }

    pub(super) fn single_quotes(&mut self) {
        let start = self.at;
        let end = self.line_end(start);
        let inside = self.text.get(start + 1..end).unwrap_or("");
        let closing = inside.char_indices().take(LOOK_AHEAD).find(|(_, c)| *c == '\'');
        let Some(length) = closing.map(|(n, _)| n) else {
            self.unexpected(start..start + 1, "`'`", "strings stand in double quotes: `\"text\"`");
            return;
        };
        let stop = start + length + 2;
        let span = self.sink.span(start..stop);
        let text = inside.get(..length).unwrap_or("");
        let mut diagnostic = Diagnostic::new(literals::QUOTES, "strings stand in double quotes")
            .at(span, "single quotes")
            .help("write `\"text\"`; where Wireshark has a character for a number, as in `'A'`, write the number: `0x41`");
        if !text.contains(['"', '\\']) {
            diagnostic = diagnostic.fix(span, format!("\"{text}\""));
        }
        self.report(diagnostic);
        self.mask(start..stop, BROKEN);
        self.at = stop;
        self.last = Last::Other;
    }

    pub(super) fn hash(&mut self) {
        if (self.last == Last::Word { end: self.at }) && self.layer() {
            return;
        }
        let end = self.line_end(self.at);
        self.comments.push(self.at..end);
        let comment = self.bytes.get(self.at..end).unwrap_or_default();
        if let Some(n) = comment.iter().position(|&b| (b < b' ' && b != b'\t' && b != b'\r') || b == 0x7f) {
            self.control(self.at + n, false);
        }
        self.at = end;
    }

    /// Wireshark's layer operator directly after a field: reports it and overwrites it with blanks.
    fn layer(&mut self) -> bool {
        let end = match (self.peek(1), self.peek(2)) {
            (b'0'..=b'9', _) | (b'-', b'0'..=b'9') => {
                let digits = self.bytes.get(self.at + 2..).unwrap_or_default();
                self.at + 2 + digits.iter().take_while(|b| b.is_ascii_digit()).count()
            }
            (b'[', _) => {
                let inside = self.bytes.get(self.at..).unwrap_or_default();
                match inside.iter().take(LOOK_AHEAD).position(|&b| matches!(b, b']' | b'\n')) {
                    Some(n) if inside.get(n) == Some(&b']') => self.at + n + 1,
                    _ => return false,
                }
            }
            _ => return false,
        };
        let name = match self.last {
            Last::Word { end } => self.text.get(path_start(self.bytes, end)..end).unwrap_or(""),
            _ => "",
        };
        self.report(
            Diagnostic::new(syntax::LAYER_OPERATOR, "layers are not selected with `#`")
                .at(self.sink.span(self.at..end), "no layer operator here")
                .help(format!(
                    "write `{name}` for the outermost packet, or `inner.{name}` for the one inside the tunnel; \
                     before a comment, put a blank"
                )),
        );
        self.mask(self.at..end, b' ');
        self.at = end;
        true
    }

    fn control(&mut self, at: usize, in_string: bool) {
        let code = self.bytes.get(at).copied().unwrap_or(0);
        let help =
            if in_string { format!("write it as `\\x{code:02x}`") } else { "take it away".to_string() };
        self.report(
            Diagnostic::new(literals::CHARACTER, format!("control character 0x{code:02x}"))
                .at(self.sink.span(at..at + 1), "cannot stand in a rule file")
                .help(help),
        );
    }

    fn unexpected(&mut self, range: Range<usize>, shown: &str, help: &str) {
        self.report(
            Diagnostic::new(literals::CHARACTER, format!("unexpected character {shown}"))
                .at(self.sink.span(range.clone()), "means nothing here")
                .help(help),
        );
        self.mask(range.clone(), BROKEN);
        self.at = range.end;
        self.last = Last::Other;
    }

    /// Reports a control character, or a character outside ASCII, that is outside strings and
    /// comments.
    pub(super) fn strange(&mut self) {
        let start = self.at;
        let Some(c) = self.text.get(start..).and_then(|t| t.chars().next()) else {
            self.at += 1;
            return;
        };
        let end = start + c.len_utf8();
        match c {
            '\0'..=' ' | '\x7f' => {
                self.control(start, false);
                let rest = self.bytes.get(start..).unwrap_or_default();
                // A run of such characters is one mistake: a binary file would fill the list.
                let run = rest
                    .iter()
                    .take_while(|b| !matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
                    .count();
                self.mask(start..start + run.max(1), BROKEN);
                self.at = start + run.max(1);
                self.last = Last::Other;
            }
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' | '\u{ab}' | '\u{bb}' => {
                let line = self.text.get(end..self.line_end(end)).unwrap_or("");
                let closing = ['\u{201d}', '\u{201c}', '\u{2019}', '\u{bb}', '"'];
                let stop = line
                    .char_indices()
                    .take(LOOK_AHEAD)
                    .find(|(_, c)| closing.contains(c))
                    .map_or(end, |(n, c)| end + n + c.len_utf8());
                self.report(
                    Diagnostic::new(
                        literals::QUOTES,
                        format!("strings stand in plain double quotes, not `{c}`"),
                    )
                    .at(self.sink.span(start..stop), "typographic quotes")
                    .help("write `\"text\"`"),
                );
                self.mask(start..stop, BROKEN);
                self.at = stop;
                self.last = Last::Other;
            }
            _ if c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') => {
                let help = "it looks like a blank and is another character; write a plain blank";
                self.unexpected(start..end, &format!("U+{:04X}", u32::from(c)), help);
                self.mask(start..end, b' ');
            }
            '\u{2010}'..='\u{2015}' | '\u{2212}' => {
                let help = "it looks like a minus; minus is `-`, and a range is written `low..high`";
                self.unexpected(start..end, &format!("`{c}`"), help);
            }
            _ => {
                let help = "letters outside ASCII belong in strings and comments only";
                self.unexpected(start..end, &format!("`{}`", c.escape_debug()), help);
            }
        }
    }
}

/// Where the path that ends at `end` starts.
fn path_start(bytes: &[u8], end: usize) -> usize {
    let head = bytes.get(..end).unwrap_or_default();
    let length =
        head.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    end - length
}
