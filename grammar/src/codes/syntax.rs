//! The codes of files and syntax, `E00xx`: what [`parse`](crate::parse()) can say of a text. The invariant: one
//! code per kind of mistake, each with an example and its mend. (Rejected: one code for all syntax errors, which
//! gives `--explain` nothing to tell.)

use super::{Code, CodeInfo};

/// Something else stands where the grammar asks for one of a few things.
pub const SYNTAX: Code = Code(&CodeInfo { id: "E0001", title: "syntax error", explain: "" });

/// A file larger than [`MAX_FILE`](crate::MAX_FILE).
pub const FILE_TOO_LARGE: Code = Code(&CodeInfo { id: "E0002", title: "file too large", explain: "" });

/// Brackets, `not`s or arithmetic nested deeper than [`MAX_NESTING`](crate::MAX_NESTING).
pub const NESTING: Code = Code(&CodeInfo { id: "E0003", title: "nested too deeply", explain: "" });

/// A bracket that is opened and not closed.
pub const UNCLOSED: Code = Code(&CodeInfo { id: "E0004", title: "bracket never closed", explain: "" });

/// A bracket that is closed and was not opened.
pub const UNOPENED: Code = Code(&CodeInfo { id: "E0005", title: "bracket never opened", explain: "" });

/// A string without its closing quote on the same line.
pub const UNTERMINATED: Code = Code(&CodeInfo { id: "E0006", title: "string never closed", explain: "" });

/// Single or typographic quotes.
pub const QUOTES: Code = Code(&CodeInfo { id: "E0007", title: "wrong quotes", explain: "" });

/// A control character, or one outside ASCII that is in no string and no comment.
pub const CHARACTER: Code = Code(&CodeInfo { id: "E0008", title: "unexpected character", explain: "" });

/// A word that starts no item where an item must start.
pub const UNKNOWN_ITEM: Code = Code(&CodeInfo { id: "E0009", title: "unknown item", explain: "" });

/// A word that starts no clause where a clause must start.
pub const UNKNOWN_CLAUSE: Code = Code(&CodeInfo { id: "E0010", title: "unknown clause", explain: "" });

/// A keyword where a name must stand.
pub const RESERVED_WORD: Code =
    Code(&CodeInfo { id: "E0011", title: "word of the language used as a name", explain: "" });

/// Upper-case letters, dashes or dots in a name.
pub const NAME_STYLE: Code = Code(&CodeInfo { id: "E0012", title: "name is not snake_case", explain: "" });

/// A keyword in the wrong case.
pub const UPPER_CASE: Code = Code(&CodeInfo { id: "E0013", title: "upper-case keyword", explain: "" });

/// Elements of a set, list or table that are not separated by exactly one comma.
pub const SEPARATOR: Code =
    Code(&CodeInfo { id: "E0014", title: "commas missing or left over", explain: "" });

/// `{}` in an expression.
pub const EMPTY_SET: Code = Code(&CodeInfo { id: "E0015", title: "empty set", explain: "" });

/// `80-90` in a set.
pub const DASH_RANGE: Code = Code(&CodeInfo { id: "E0016", title: "range written with a dash", explain: "" });

/// `=` where `==` is meant.
pub const SINGLE_EQUALS: Code =
    Code(&CodeInfo { id: "E0017", title: "`=` used as a comparison", explain: "" });

/// `a < b < c`.
pub const CHAINED_COMPARISON: Code =
    Code(&CodeInfo { id: "E0018", title: "chained comparison", explain: "" });

/// Wireshark's `ip.src#1`.
pub const LAYER_OPERATOR: Code = Code(&CodeInfo { id: "E0019", title: "layer operator", explain: "" });

/// An operator of Wireshark or of other languages that this one lacks.
pub const UNSUPPORTED: Code = Code(&CodeInfo { id: "E0020", title: "operator not supported", explain: "" });

/// A number that is not decimal or hexadecimal digits and a unit.
pub const NUMBER: Code = Code(&CodeInfo { id: "E0021", title: "malformed number", explain: "" });

/// A number that does not fit in 64 bits.
pub const NUMBER_TOO_LARGE: Code = Code(&CodeInfo { id: "E0022", title: "number too large", explain: "" });

/// Letters after a number that are no unit.
pub const UNKNOWN_UNIT: Code = Code(&CodeInfo { id: "E0023", title: "unknown unit", explain: "" });

/// Digits and dots that are no IPv4 address.
pub const IPV4: Code = Code(&CodeInfo { id: "E0024", title: "malformed IPv4 address", explain: "" });

/// Hexadecimal digits and colons, or dashes, that are neither an address nor bytes.
pub const COLONS: Code =
    Code(&CodeInfo { id: "E0025", title: "malformed IPv6 address, MAC or bytes", explain: "" });

/// A prefix length that does not fit its address.
pub const CIDR: Code = Code(&CodeInfo { id: "E0026", title: "malformed prefix length", explain: "" });

/// A backslash in a string followed by something that has no meaning.
pub const ESCAPE: Code = Code(&CodeInfo { id: "E0027", title: "unknown escape", explain: "" });

/// A slice with several parts, or with numbers that cannot be.
pub const SLICE: Code = Code(&CodeInfo { id: "E0028", title: "malformed slice", explain: "" });

/// A type that is not a name, `set<T>` or `map<K, V>`.
pub const TYPE: Code = Code(&CodeInfo { id: "E0029", title: "malformed type", explain: "" });

/// A word of a station that is neither a literal nor a plain name.
pub const STATION_WORD: Code =
    Code(&CodeInfo { id: "E0030", title: "word of a station that must be quoted", explain: "" });

/// There are more errors than are shown.
pub const TOO_MANY: Code = Code(&CodeInfo { id: "E0031", title: "too many errors", explain: "" });
