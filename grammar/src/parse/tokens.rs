//! The text in tokens, for the error path only. Recovery finds the clauses of a refused item in
//! them; reports find the token that did not fit. The invariant: linear and total, and every token
//! has at least one character. It reads the scanner's text, so there are no comments and every
//! string is closed. (Rejected: tokens for the grammar too; correct texts would pay for what only
//! errors need.)

use super::scan::Scan;
use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword, with the dots of a path.
    Word,
    /// A token that starts with a digit.
    Number,
    /// A string.
    String,
    /// Anything else.
    Sign,
    /// Text that the scanner has reported.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub range: Range<usize>,
    /// How many brackets are open at its start. An opening bracket counts for the tokens after it;
    /// a closing bracket has the depth of its opening bracket.
    pub depth: usize,
    /// Whether it is the first token on its line.
    pub first: bool,
}

/// Signs of more than one character, the longest first.
const SIGNS: &[&str] =
    &["===", "!==", "==", "!=", "<=", ">=", "&&", "||", "^^", "..", "->", "=>", "=<", "=~", "<>", "::", ":="];

/// The tokens of this part of the text. Unmatched brackets do not change the depth.
pub(super) fn tokens(scan: &Scan, range: &Range<usize>) -> Vec<Token> {
    let (text, base) = (scan.text.get(range.clone()).unwrap_or(""), range.start);
    let bytes = text.as_bytes();
    let mut list = Vec::new();
    let mut depth: usize = 0;
    let mut first = true;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_whitespace() {
            first |= byte == b'\n';
            at += 1;
            continue;
        }
        let rest = text.get(at..).unwrap_or("");
        let (kind, length) = token(rest, byte);
        if matches!(byte, b')' | b']' | b'}') {
            depth = depth.saturating_sub(1);
        }
        list.push(Token { kind, range: base + at..base + at + length, depth, first });
        if matches!(byte, b'(' | b'[' | b'{') && !scan.is_unmatched(base + at) {
            depth += 1;
        }
        first = false;
        at += length;
    }
    list
}

fn token(rest: &str, byte: u8) -> (Kind, usize) {
    let run = |f: fn(u8) -> bool| rest.bytes().take_while(|b| f(*b)).count();
    match byte {
        b'r' | b'R' if rest.as_bytes().get(1) == Some(&b'"') => {
            (Kind::String, 1 + string(rest.get(1..).unwrap_or("")))
        }
        b'"' => (Kind::String, string(rest)),
        b'_' | b'a'..=b'z' | b'A'..=b'Z' => (Kind::Word, path(rest)),
        b'0'..=b'9' => (Kind::Number, path(rest)),
        1 => (Kind::Broken, run(|b| b == 1)),
        _ => {
            let sign = SIGNS.iter().find(|s| rest.starts_with(**s)).map_or(0, |s| s.len());
            let one = rest.chars().next().map_or(1, char::len_utf8);
            (Kind::Sign, sign.max(one))
        }
    }
}

/// The length of words joined by single dots.
fn path(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let is_word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let mut end = 1;
    while is_word(bytes.get(end)) || (bytes.get(end) == Some(&b'.') && is_word(bytes.get(end + 1))) {
        end += 1;
    }
    end
}

/// The length of a string, from its quote on.
fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut end = 1;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    rest.len()
}
