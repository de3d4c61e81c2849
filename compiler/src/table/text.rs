//! Values as text: the cells of a CSV file, or the text of an API call or of an event file. All use
//! this one reader, so a key means the same whatever its source is. The invariant: text that is not
//! completely of the type is refused. (Rejected: the literals of the rule language; in a table,
//! authors do not quote names.)

use super::Table;
use crate::value::{Value, ValueTy};
use mrule_grammar::units::{UNITS, UnitKind};
use std::net::IpAddr;
use std::sync::Arc;

/// Why a text is not a key or value of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A key of another number of parts.
    #[error("a key of {expected} parts is needed, {found} were given")]
    Arity {
        /// Parts of the table's key.
        expected: usize,
        /// Parts given.
        found: usize,
    },
    /// A text that is not of its type.
    #[error("`{text}` is not of type `{ty}`: write {example}")]
    Type {
        /// The given text, cut if it is long.
        text: String,
        /// The name of the type.
        ty: &'static str,
        /// An example of the type.
        example: String,
    },
    /// A set's row has no value.
    #[error("the table is a set: its rows have no value")]
    Set,
}

impl Table {
    /// The key with these texts as parts, by the types of the table's key.
    pub fn parse_key(&self, parts: &[&str]) -> Result<Vec<Value>, TextError> {
        let types = &self.form().key;
        if parts.len() != types.len() {
            return Err(TextError::Arity { expected: types.len(), found: parts.len() });
        }
        parts.iter().zip(types).map(|(text, &ty)| self.read(ty, text)).collect()
    }

    /// The value of this text, by the type of the table's values.
    pub fn parse_value(&self, text: &str) -> Result<Value, TextError> {
        self.read(self.form().value.ok_or(TextError::Set)?, text)
    }

    fn read(&self, ty: ValueTy, text: &str) -> Result<Value, TextError> {
        let words = &self.form().words;
        value(ty, words, text).ok_or_else(|| TextError::Type {
            text: text.chars().take(64).collect(),
            ty: name(ty),
            example: example(ty, words),
        })
    }
}

/// A text as a value of a type: a number (decimal or `0x1f`), a size (`8KiB`), a duration (`5m`; a
/// bare number only if it is 0), `true`, `false`, `1` or `0`, an address, a network (`10.0.0.0/8`;
/// host bits are ignored), a MAC (colons, dashes or dots), a word of `words`, or any text. `None`:
/// the text is not of the type.
pub fn value(ty: ValueTy, words: &[String], text: &str) -> Option<Value> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse::<u64>().ok(),
        _ => None,
    };
    let with_unit = |kind: UnitKind| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, name) = text.split_at(end);
        let unit = UNITS.iter().find(|u| u.kind == kind && u.name == name.trim_start())?;
        number(digits)?.checked_mul(unit.scale)
    };
    let number = match ty {
        ValueTy::Bool => match text {
            "true" | "True" | "1" => Some(1),
            "false" | "False" | "0" => Some(0),
            _ => None,
        },
        ValueTy::Uint => number(text),
        ValueTy::Size => number(text).or_else(|| with_unit(UnitKind::Size)),
        ValueTy::Duration => with_unit(UnitKind::Duration).or_else(|| number(text).filter(|n| *n == 0)),
        ValueTy::Mac => mac(text).map(|m| m.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
        ValueTy::Word => words.iter().position(|word| word == text).map(|at| at as u64),
        ValueTy::String => return Some(Value::Text(Arc::from(text.as_bytes()))),
        ValueTy::Ip => {
            let ip: IpAddr = text.parse().ok()?;
            return Some(Value::Ip(ip, if ip.is_ipv4() { 32 } else { 128 }));
        }
        ValueTy::Cidr => return network(text),
    };
    number.map(Value::Num)
}

/// `10.0.0.0/8`, or an address as a network of one address; without host bits.
fn network(text: &str) -> Option<Value> {
    let (ip, len) = match text.split_once('/') {
        Some((ip, len)) if len.bytes().all(|b| b.is_ascii_digit()) => (ip, Some(len.parse::<u8>().ok()?)),
        Some(_) => return None,
        None => (text, None),
    };
    Some(match ip.parse().ok()? {
        IpAddr::V4(ip) => {
            let len = len.unwrap_or(32);
            let ip = ip.to_bits() & super::key::mask_v4(len);
            (len <= 32).then_some(Value::Ip(IpAddr::V4(ip.into()), len))?
        }
        IpAddr::V6(ip) => {
            let len = len.unwrap_or(128);
            let ip = ip.to_bits() & super::key::mask_v6(len);
            (len <= 128).then_some(Value::Ip(IpAddr::V6(ip.into()), len))?
        }
    })
}

/// `00:26:0b:31:07:33`, also with dashes, or in three groups with dots.
pub(crate) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = Vec::with_capacity(6);
    let (separator, digits) = match text.chars().find(|c| !c.is_ascii_hexdigit())? {
        '.' => ('.', 4),
        separator @ (':' | '-') => (separator, 2),
        _ => return None,
    };
    for group in text.split(separator) {
        if group.len() != digits || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for at in (0..digits).step_by(2) {
            bytes.push(u8::from_str_radix(group.get(at..at + 2)?, 16).ok()?);
        }
    }
    bytes.try_into().ok()
}

/// The name of a type.
pub fn name(ty: ValueTy) -> &'static str {
    match ty {
        ValueTy::Bool => "bool",
        ValueTy::Uint => "uint",
        ValueTy::Size => "size",
        ValueTy::Duration => "duration",
        ValueTy::Ip => "ip",
        ValueTy::Cidr => "cidr",
        ValueTy::Mac => "mac",
        ValueTy::String => "string",
        ValueTy::Word => "word",
    }
}

/// An example of a value of a type in a cell.
pub(crate) fn example(ty: ValueTy, words: &[String]) -> String {
    match ty {
        ValueTy::Bool => "true or false".to_owned(),
        ValueTy::Uint => "a number: 443".to_owned(),
        ValueTy::Size => "a size: 8KiB".to_owned(),
        ValueTy::Duration => "a duration: 5m".to_owned(),
        ValueTy::Ip => "an address: 192.0.2.1, 2001:db8::1".to_owned(),
        ValueTy::Cidr => "a network: 10.0.0.0/8, 2001:db8::/32".to_owned(),
        ValueTy::Mac => "a MAC address: 00:26:0b:31:07:33".to_owned(),
        ValueTy::String => "text".to_owned(),
        ValueTy::Word => format!("one of {}", list(words)),
    }
}

/// A list of words for messages; a long list is cut.
pub(crate) fn list(words: &[String]) -> String {
    let shown: Vec<&str> = words.iter().take(16).map(String::as_str).collect();
    format!("{}{}", shown.join(", "), if words.len() > 16 { ", ..." } else { "" })
}
