//! Classes, `[a-z\d]`, as PCRE2 reads them. Every byte is written as `\xHH`, so that the engine
//! reads `[`, `&&`, `--` and `~~` as plain characters. (Rejected: escaping only the characters that
//! the engine is known to treat specially.)

use super::escape;
use super::{PatternError, error};

/// A class in the engine's syntax.
pub(super) struct Class {
    pub end: usize,
    pub text: String,
}

/// The named classes.
const NAMES: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

enum Item {
    Byte(u8),
    Class(String),
}

/// The class that begins with the bracket at `from`.
pub(super) fn class(pattern: &str, from: usize) -> Result<Class, PatternError> {
    let bytes = pattern.as_bytes();
    let mut at = from + 1;
    let mut text = String::from("[");
    if bytes.get(at) == Some(&b'^') {
        text.push('^');
        at += 1;
    }
    let first = at;
    loop {
        let Some(&byte) = bytes.get(at) else {
            return error(
                from..from + 1,
                "this class is never closed",
                "add `]`, or write `\\[` for a bracket",
            );
        };
        if byte == b']' && at > first {
            text.push(']');
            return Ok(Class { end: at + 1, text });
        }
        let start = at;
        let (item, next) = item(pattern, at)?;
        at = next;
        let low = match item {
            Item::Class(class) => {
                text.push_str(&class);
                continue;
            }
            Item::Byte(byte) => byte,
        };
        // A range, unless the dash is the last character.
        if bytes.get(at) == Some(&b'-') && bytes.get(at + 1).is_some_and(|b| *b != b']') {
            let (high, next) = self::item(pattern, at + 1)?;
            match high {
                Item::Byte(high) if low <= high => text.push_str(&format!("{}-{}", one(low), one(high))),
                Item::Byte(_) => {
                    return error(
                        start..next,
                        "this range is the wrong way round",
                        "write the lower end first",
                    );
                }
                Item::Class(_) => {
                    return error(start..next, "a range cannot end with a class", "write `\\-` for a dash");
                }
            }
            at = next;
        } else {
            text.push_str(&one(low));
        }
    }
}

/// The text of a byte in a class.
fn one(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("\\x{byte:02x}") }
}

/// The item at `at`, and the place after it.
fn item(pattern: &str, at: usize) -> Result<(Item, usize), PatternError> {
    let bytes = pattern.as_bytes();
    match bytes.get(at) {
        Some(b'\\') => {
            let Some(&letter) = bytes.get(at + 1) else {
                return error(at..at + 1, "a backslash at the end", "write `\\\\` for a backslash");
            };
            let class = match letter {
                b'd' | b'D' | b'w' | b'W' | b's' | b'S' => Some(format!("\\{}", char::from(letter))),
                b'h' => Some("\\x09\\x20\\xa0".to_owned()),
                b'v' => Some("\\x0a-\\x0d\\x85".to_owned()),
                b'H' | b'V' | b'N' | b'B' | b'R' | b'X' => {
                    let message = format!("`\\{}` cannot stand in a class", char::from(letter));
                    return error(at..at + 2, message, "write the bytes that are meant, or `[^...]`");
                }
                _ => None,
            };
            match (class, letter) {
                (Some(class), _) => Ok((Item::Class(class), at + 2)),
                (None, b'b') => Ok((Item::Byte(0x08), at + 2)),
                (None, b'x') => match escape::hex(pattern, at)? {
                    escape::Escape { end, kind: escape::Kind::Byte(byte) } => Ok((Item::Byte(byte), end)),
                    escape::Escape { end, .. } => error(at..end, "this is no byte", "write `\\x0a`"),
                },
                (None, letter) => Ok((Item::Byte(escape::simple(pattern, at, letter)?), at + 2)),
            }
        }
        Some(b'[') if matches!(bytes.get(at + 1), Some(b':' | b'.' | b'=')) => named(pattern, at),
        Some(byte) => Ok((Item::Byte(*byte), at + 1)),
        None => error(at.saturating_sub(1)..at, "this class is never closed", "add `]`"),
    }
}

/// `[:alpha:]`; a `[:` without its end is two characters.
fn named(pattern: &str, at: usize) -> Result<(Item, usize), PatternError> {
    let rest = pattern.get(at + 2..).unwrap_or("");
    let kind = pattern.as_bytes().get(at + 1).copied().unwrap_or(b':');
    let closing = format!("{}]", char::from(kind));
    let inside = rest.split_once(closing.as_str()).map(|(inside, _)| inside);
    let Some(inside) = inside.filter(|t| t.bytes().all(|b| b.is_ascii_lowercase() || b == b'^')) else {
        return Ok((Item::Byte(b'['), at + 1));
    };
    let end = at + 2 + inside.len() + 2;
    let name = inside.strip_prefix('^').unwrap_or(inside);
    if kind != b':' || !NAMES.contains(&name) {
        return error(
            at..end,
            "there is no class of this name",
            "write `[:alpha:]`, `[:digit:]`, `[:space:]` and the like",
        );
    }
    Ok((Item::Class(format!("[:{inside}:]")), end))
}
