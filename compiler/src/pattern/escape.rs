//! The meaning of a backslash outside of classes, as PCRE2 reads it. The invariant: `end` is the
//! end of the whole escape. An escape that the engine would read differently is rewritten or
//! refused. (Rejected: passing escapes on unchanged.)

use super::{PatternError, error};

/// An escape.
pub(super) struct Escape {
    pub end: usize,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// A byte.
    Byte(u8),
    /// A class, in the engine's syntax.
    Class(&'static str),
    /// An assertion, in the engine's syntax.
    Assertion(&'static str),
    /// `\Z`
    End,
}

/// The escape that begins with the backslash at `from`.
pub(super) fn escape(pattern: &str, from: usize) -> Result<Escape, PatternError> {
    let bytes = pattern.as_bytes();
    let Some(&letter) = bytes.get(from + 1) else {
        return error(from..from + 1, "a backslash at the end", "write `\\\\` for a backslash");
    };
    let end = from + 2;
    let kind = match letter {
        b'd' => Kind::Class("\\d"),
        b'D' => Kind::Class("\\D"),
        b'w' => Kind::Class("\\w"),
        b'W' => Kind::Class("\\W"),
        b's' => Kind::Class("\\s"),
        b'S' => Kind::Class("\\S"),
        b'h' => Kind::Class("[\\x09\\x20\\xa0]"),
        b'H' => Kind::Class("[^\\x09\\x20\\xa0]"),
        b'v' => Kind::Class("[\\x0a-\\x0d\\x85]"),
        b'V' => Kind::Class("[^\\x0a-\\x0d\\x85]"),
        b'N' => Kind::Class("[^\\x0a]"),
        b'b' => Kind::Assertion("(?:\\b)"),
        b'B' => Kind::Assertion("(?:\\B)"),
        b'A' => Kind::Assertion("\\A"),
        b'z' => Kind::Assertion("\\z"),
        b'Z' => Kind::End,
        b'x' => return hex(pattern, from),
        _ => return Ok(Escape { end, kind: Kind::Byte(simple(pattern, from, letter)?) }),
    };
    Ok(Escape { end, kind })
}

/// Escapes of one byte that mean the same inside and outside of classes.
pub(super) fn simple(pattern: &str, from: usize, letter: u8) -> Result<u8, PatternError> {
    let at = from..from + 2;
    let name = char::from(letter);
    match letter {
        b'n' => Ok(b'\n'),
        b'r' => Ok(b'\r'),
        b't' => Ok(b'\t'),
        b'f' => Ok(0x0c),
        b'a' => Ok(0x07),
        b'e' => Ok(0x1b),
        b'1'..=b'9' => error(
            at,
            format!("back-references (`\\{name}`) are not supported"),
            "write out what is repeated, or a byte as `\\xHH`",
        ),
        b'0' => error(at, "octal bytes are not supported", "write the byte as `\\xHH`"),
        b'g' | b'k' => {
            error(at, format!("back-references (`\\{name}`) are not supported"), "write out what is repeated")
        }
        b'K' => {
            error(at, "`\\K` is not supported", "leave it out: it only matters whether the pattern is found")
        }
        b'G' => error(at, "`\\G` is not supported", "write `^` for the start"),
        b'Q' | b'E' => {
            error(at, "`\\Q...\\E` is not supported", "put a backslash before each special character")
        }
        b'p' | b'P' | b'X' => error(
            at,
            format!("`\\{name}` is not supported: patterns look at bytes"),
            "write the bytes as `[a-z]` or `\\xHH`",
        ),
        b'R' => error(at, "`\\R` is not supported", "write `\\r?\\n`"),
        b'C' => error(at, "`\\C` is not supported", "write `(?s:.)` for any byte"),
        b'c' | b'o' => error(at, format!("`\\{name}` is not supported"), "write the byte as `\\xHH`"),
        letter if letter.is_ascii_alphabetic() => {
            error(at, format!("`\\{name}` has no meaning"), "leave out the backslash for the letter itself")
        }
        letter if letter.is_ascii() => Ok(letter),
        _ => {
            let len = pattern.get(from + 1..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8);
            error(
                from..from + 1 + len,
                "a backslash before a character outside ASCII",
                "leave out the backslash",
            )
        }
    }
}

/// `\xHH` or `\x{HH}`
pub(super) fn hex(pattern: &str, from: usize) -> Result<Escape, PatternError> {
    let rest = pattern.get(from + 2..).unwrap_or("");
    let (digits, len) = match rest.strip_prefix('{') {
        Some(rest) => {
            let digits = rest.split('}').next().unwrap_or("");
            (digits, digits.len() + 2)
        }
        None => {
            let count = rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
            (rest.get(..count).unwrap_or(""), count)
        }
    };
    let end = (from + 2 + len).min(pattern.len());
    let complete = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match u8::from_str_radix(digits, 16) {
        Ok(byte) if complete => Ok(Escape { end, kind: Kind::Byte(byte) }),
        _ => {
            let mut end = end.max(from + 2);
            while !pattern.is_char_boundary(end) {
                end -= 1;
            }
            error(from..end, "this is no byte", "write two hexadecimal digits: `\\x0a`")
        }
    }
}
