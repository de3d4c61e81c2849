//! The patterns of `matches`: from Wireshark's syntax (PCRE2 without UTF, caseless) to the regex
//! library's, with the same meaning. Each atom is written anew: bytes as `\xHH`, classes item by
//! item, `$` as "the end, or before a final newline". The invariant: an accepted pattern finds what
//! PCRE2 finds; every other pattern is refused with its place. (Rejected: a binding to PCRE2, which
//! backtracks: a packet could block a worker. Rejected: handing patterns to the library unchanged;
//! `$`, `\v`, `\<`, `a++` and `[a--b]` would have another meaning.)

use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{MatchKind, meta};
use std::error::Error;
use std::ops::Range;

mod class;
mod escape;

/// The greatest memory of a compiled pattern, in bytes.
pub const SIZE_LIMIT: usize = 10 << 20;

/// The greatest depth of groups.
const MAX_GROUPS: usize = 64;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// The reason in the user's terms.
    pub message: String,
    /// The wrong bytes of the pattern.
    pub at: Range<usize>,
    /// What to write.
    pub help: String,
    /// The pattern is valid, and needs more than [`SIZE_LIMIT`].
    pub too_large: bool,
}

fn error<T>(
    at: Range<usize>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, PatternError> {
    Err(PatternError { message: message.into(), at, help: help.into(), too_large: false })
}

/// The library's configuration for translated patterns.
pub fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).case_insensitive(true).nest_limit(10 * MAX_GROUPS as u32)
}

/// The pattern in the engines' form (see [`syntax()`]), if it is valid and not too large.
pub fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut translator = Translator {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() * 2),
        groups: Vec::new(),
        multi_line: false,
        quantifiable: Quantifiable::Nothing,
        end: None,
    };
    translator.run().map_err(|mut error| {
        // The translator reads bytes outside ASCII one by one. Places are reported in whole
        // characters.
        while !pattern.is_char_boundary(error.at.start) {
            error.at.start -= 1;
        }
        while !pattern.is_char_boundary(error.at.end) {
            error.at.end += 1;
        }
        error
    })?;
    let translated = translator.out;
    // This builds the part of an engine that can fail. Engines build more, which takes longer.
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(SIZE_LIMIT));
    let built = thompson::Compiler::new().syntax(syntax()).configure(config).build(&translated);
    let Err(found) = built else { return Ok(translated) };
    if found.size_limit().is_some() {
        let (length, most) = (pattern.len(), SIZE_LIMIT >> 20);
        return Err(PatternError {
            message: format!(
                "this pattern of {length} bytes becomes larger than {most} MiB when it is compiled"
            ),
            at: 0..pattern.len(),
            help: "write smaller repetitions, and fewer of them inside each other".to_owned(),
            too_large: true,
        });
    }
    // The error's place is in the translation. The only possible error is a repetition such as
    // `{3,2}`.
    let message = match found.source().and_then(|e| e.downcast_ref()) {
        Some(regex_syntax::Error::Parse(e)) => e.kind().to_string(),
        Some(regex_syntax::Error::Translate(e)) => e.kind().to_string(),
        _ => found.to_string(),
    };
    error(0..pattern.len(), format!("this pattern is not understood: {message}"), HELP)
}

/// Compiles translated patterns into one engine that tells which of them match.
pub fn compile(patterns: &[&str]) -> Result<meta::Regex, Box<meta::BuildError>> {
    let kind = if patterns.len() == 1 { MatchKind::LeftmostFirst } else { MatchKind::All };
    let config = meta::Config::new()
        .match_kind(kind)
        .utf8_empty(false)
        .nfa_size_limit(Some(SIZE_LIMIT))
        .hybrid_cache_capacity(2 << 20);
    meta::Builder::new().syntax(syntax()).configure(config).build_many(patterns).map_err(Box::new)
}

const HELP: &str = "characters, `.`, `[a-z]`, `\\d`, `\\w`, `\\s`, `\\xHH`, `(...)`, `|`, `*`, `+`, `?`, `{n,m}`, `^` and `$` are understood";

/// What precedes a quantifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifiable {
    /// The start of the pattern, a group or an alternative.
    Nothing,
    /// An atom that can be repeated.
    Atom,
    /// A part that has a quantifier already.
    Quantified,
    /// `^`, `\b`: repeating it has no meaning.
    Assertion,
}

struct Group {
    start: usize,
    /// The value of `(?m)` outside.
    multi_line: bool,
    /// The `$` at the end of a finished alternative.
    end: Option<Range<usize>>,
}

struct Translator<'p> {
    pattern: &'p str,
    at: usize,
    out: String,
    groups: Vec<Group>,
    multi_line: bool,
    quantifiable: Quantifiable,
    /// The `$` ("the end, or a final newline") before this place: only ends of alternatives and
    /// groups may follow it.
    end: Option<Range<usize>>,
}

impl Translator<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.pattern.get(self.at..).unwrap_or("")
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn error<T>(
        &self,
        from: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Result<T, PatternError> {
        error(from..self.at.max(from + 1).min(self.pattern.len()), message, help)
    }

    /// A byte that matches itself.
    fn byte(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => self.out.push(char::from(byte)),
            b' ' | b'_' | b'/' | b':' | b';' | b',' | b'"' | b'\'' | b'@' | b'=' | b'!' | b'%' => {
                self.out.push(char::from(byte));
            }
            b'.' | b'?' | b'*' | b'+' | b'-' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'|' | b'^'
            | b'$' | b'\\' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
            }
            _ => self.out.push_str(&format!("\\x{byte:02x}")),
        }
    }

    fn run(&mut self) -> Result<(), PatternError> {
        while let Some(byte) = self.peek() {
            let from = self.at;
            self.at += 1;
            // After a `$`, only the end of an alternative or of groups may follow.
            if let Some(end) = self.end.clone()
                && !matches!(byte, b'|' | b')')
            {
                let help = "write `\\$` for a dollar sign, `\\n` for a newline, `(?m)` for ends of lines";
                return error(end, "nothing can follow `$`: it is the end of the bytes", help);
            }
            match byte {
                b'\\' => self.escape(from)?,
                b'[' => {
                    let class = class::class(self.pattern, from)?;
                    self.at = class.end;
                    self.out.push_str(&class.text);
                    self.quantifiable = Quantifiable::Atom;
                }
                b'(' => self.open(from)?,
                b')' => self.close(from)?,
                b'|' => {
                    self.out.push('|');
                    self.quantifiable = Quantifiable::Nothing;
                    let end = self.end.take();
                    if let Some(group) = self.groups.last_mut() {
                        group.end = group.end.take().or(end);
                    }
                }
                b'*' | b'+' | b'?' => self.quantifier(from)?,
                b'{' => match repetition(self.rest()) {
                    Some(len) => {
                        self.at += len;
                        self.quantifier(from)?;
                    }
                    // PCRE reads any other brace as a literal.
                    None => self.literal(byte),
                },
                b'.' => {
                    self.out.push('.');
                    self.quantifiable = Quantifiable::Atom;
                }
                b'^' => self.start(from)?,
                b'$' if self.multi_line => {
                    self.out.push('$');
                    self.quantifiable = Quantifiable::Assertion;
                }
                b'$' => self.end(from),
                byte => self.literal(byte),
            }
        }
        match self.groups.last() {
            Some(group) => {
                self.at = group.start + 1;
                self.error(
                    group.start,
                    "this group is never closed",
                    "add `)`, or write `\\(` for a parenthesis",
                )
            }
            None => Ok(()),
        }
    }

    fn literal(&mut self, byte: u8) {
        self.byte(byte);
        self.quantifiable = Quantifiable::Atom;
    }

    /// `^`. If it matches at line starts, PCRE excludes the place after a final newline. That only
    /// matters if the rest of the pattern can be empty.
    fn start(&mut self, from: usize) -> Result<(), PatternError> {
        if self.multi_line
            && !self.rest().starts_with(|c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '_')
        {
            return self.error(
                from,
                "in `(?m)` patterns, a letter, digit, `_` or blank must follow `^`",
                "write `(?m)^Host:`, or leave out `(?m)`",
            );
        }
        // `^a*`: the character may be missing.
        if self.multi_line && self.rest().as_bytes().get(1).is_some_and(|b| matches!(b, b'*' | b'?' | b'{')) {
            return self.error(
                from,
                "in `(?m)` patterns, the character after `^` must not be optional",
                "write `(?m)^Host:`",
            );
        }
        self.out.push('^');
        self.quantifiable = Quantifiable::Assertion;
        Ok(())
    }

    /// `$` or `\Z`: the end, or before a newline that is the last byte.
    fn end(&mut self, from: usize) {
        self.out.push_str("(?:\\n?\\z)");
        self.quantifiable = Quantifiable::Assertion;
        self.end = Some(from..self.at);
    }

    fn open(&mut self, from: usize) -> Result<(), PatternError> {
        if self.groups.len() >= MAX_GROUPS {
            return self.error(from, format!("groups nest deeper than {MAX_GROUPS}"), "write it flatter");
        }
        let outer = self.multi_line;
        if self.eat("*") {
            return self.error(from, "`(*...)` verbs are not supported", "write `\\(\\*` for the characters");
        }
        if !self.eat("?") {
            self.out.push_str("(?:");
            self.groups.push(Group { start: from, multi_line: outer, end: None });
            self.quantifiable = Quantifiable::Nothing;
            return Ok(());
        }
        let refused = [
            ("=", "look-ahead `(?=...)` is not supported", "join two tests by `and`"),
            (
                "!",
                "negative look-ahead `(?!...)` is not supported",
                "write `matches \"...\" and not ... matches \"...\"`",
            ),
            (
                "<=",
                "look-behind `(?<=...)` is not supported",
                "write the text before it as a part of the pattern",
            ),
            ("<!", "negative look-behind `(?<!...)` is not supported", "join two tests by `and not`"),
            (">", "atomic groups `(?>...)` are not supported", "write `(?:...)`"),
            ("|", "branch resets `(?|...)` are not supported", "write `(?:...)`"),
            ("#", "comments `(?#...)` are not supported", "write a comment after the line with `#`"),
            ("(", "conditions `(?(...)...)` are not supported", "join tests by `and` and `or`"),
            ("P=", "back-references `(?P=...)` are not supported", "write out what is repeated"),
            ("P>", "calls `(?P>...)` are not supported", "write out what is repeated"),
            ("&", "calls `(?&...)` are not supported", "write out what is repeated"),
            ("R", "recursion `(?R)` is not supported", "write out the depth you need"),
            ("C", "callouts `(?C)` are not supported", "leave it out"),
        ];
        for (text, message, help) in refused {
            if self.rest().starts_with(text) {
                self.at += text.len();
                return self.error(from, message, help);
            }
        }
        for open in ["P<", "<", "'"] {
            if self.eat(open) {
                let close = if open == "'" { '\'' } else { '>' };
                let name: String =
                    self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                self.at += name.len();
                if name.is_empty() || !self.rest().starts_with(close) {
                    return self.error(
                        from,
                        "this is no group name",
                        "write `(...)`: groups need no names here",
                    );
                }
                self.at += 1;
                self.out.push_str("(?:");
                self.groups.push(Group { start: from, multi_line: outer, end: None });
                self.quantifiable = Quantifiable::Nothing;
                return Ok(());
            }
        }
        self.flags(from, outer)
    }

    /// `(?i-s)` and `(?i-s:`
    fn flags(&mut self, from: usize, outer: bool) -> Result<(), PatternError> {
        let mut flags = String::new();
        let (mut on, mut multi_line) = (true, self.multi_line);
        loop {
            let flag = self.peek();
            self.at += 1;
            match flag {
                Some(flag @ (b'i' | b's' | b'm' | b'U')) => {
                    flags.push(char::from(flag));
                    if flag == b'm' {
                        multi_line = on;
                    }
                }
                Some(b'-') if on => {
                    flags.push('-');
                    on = false;
                }
                Some(b':') => {
                    self.out.push_str(&if flags.is_empty() {
                        "(?:".to_owned()
                    } else {
                        format!("(?{flags}:")
                    });
                    self.multi_line = multi_line;
                    self.groups.push(Group { start: from, multi_line: outer, end: None });
                    self.quantifiable = Quantifiable::Nothing;
                    return self.check_flags(from, &flags);
                }
                Some(b')') => {
                    if !flags.is_empty() {
                        self.out.push_str(&format!("(?{flags})"));
                    }
                    self.multi_line = multi_line;
                    self.quantifiable = Quantifiable::Nothing;
                    return self.check_flags(from, &flags);
                }
                Some(b'0'..=b'9' | b'+') => {
                    return self.error(from, "calls `(?1)` are not supported", "write out what is repeated");
                }
                Some(b'x' | b'n' | b'J' | b'^') => {
                    return self.error(
                        from,
                        "this flag is not supported",
                        "the flags are `i`, `s`, `m` and `U`",
                    );
                }
                _ => {
                    self.at = self.at.min(self.pattern.len());
                    return self.error(from, "this group is not understood", "write `(...)` or `(?:...)`");
                }
            }
        }
    }

    fn check_flags(&self, from: usize, flags: &str) -> Result<(), PatternError> {
        if flags.ends_with('-') {
            return self.error(
                from,
                "no flag follows the `-`",
                "write `(?-i)` to tell upper from lower case",
            );
        }
        Ok(())
    }

    fn close(&mut self, from: usize) -> Result<(), PatternError> {
        let Some(group) = self.groups.pop() else {
            return self.error(from, "this parenthesis was never opened", "write `\\)` for a parenthesis");
        };
        self.out.push(')');
        self.multi_line = group.multi_line;
        self.end = self.end.take().or(group.end);
        self.quantifiable = Quantifiable::Atom;
        Ok(())
    }

    /// `*`, `+`, `?` or `{n,m}`; its text is `from..at`.
    fn quantifier(&mut self, from: usize) -> Result<(), PatternError> {
        match self.quantifiable {
            Quantifiable::Nothing => {
                return self.error(
                    from,
                    "there is nothing to repeat",
                    "write `\\*` for the character itself",
                );
            }
            Quantifiable::Quantified => {
                return self.error(from, "a repetition cannot be repeated", "put it in a group: `(?:a*)+`");
            }
            Quantifiable::Assertion => {
                return self.error(
                    from,
                    "an assertion (`^`, `\\b`) cannot be repeated",
                    "leave the repetition out",
                );
            }
            Quantifiable::Atom => {}
        }
        self.out.push_str(self.pattern.get(from..self.at).unwrap_or(""));
        if self.peek() == Some(b'+') {
            self.at += 1;
            return self.error(
                from,
                "possessive repetitions (`a++`) are not supported",
                "leave out the last `+`: the pattern then finds the same, or more",
            );
        }
        if self.eat("?") {
            self.out.push('?');
        }
        self.quantifiable = Quantifiable::Quantified;
        Ok(())
    }

    fn escape(&mut self, from: usize) -> Result<(), PatternError> {
        let escape = escape::escape(self.pattern, from)?;
        self.at = escape.end;
        match escape.kind {
            escape::Kind::Byte(byte) => self.literal(byte),
            escape::Kind::Class(text) => {
                self.out.push_str(text);
                self.quantifiable = Quantifiable::Atom;
            }
            escape::Kind::Assertion(text) => {
                self.out.push_str(text);
                self.quantifiable = Quantifiable::Assertion;
            }
            escape::Kind::End => self.end(from),
        }
        Ok(())
    }
}

/// The length of `n}`, `n,}` or `n,m}` at the start of a text.
fn repetition(text: &str) -> Option<usize> {
    let (inside, _) = text.split_once('}')?;
    let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(inside.len() + 1)
}

#[cfg(test)]
mod tests;
