//! The syntax tree: it follows the text, has a span on every node, and holds no types and no field
//! names. Only [`parse`](crate::parse()) builds it; the printer and the type checker read it. The
//! invariant: nesting is at most [`MAX_NESTING`](crate::MAX_NESTING), so recursion over a tree is
//! bounded. Chains of `and` and `or` may have thousands of terms; they are flat. A part that could
//! not be read stands as `Broken`. Its error is already reported: a reader accepts the part as any
//! type and reports nothing more about it. (Rejected: a tree without sugar; `fmt` and diagnostics
//! need the text as written.)

use crate::span::{Name, Span, Spanned};
use std::net::{Ipv4Addr, Ipv6Addr};

/// One `.mrule` file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// The items that could be parsed, in the order of the text.
    pub items: Vec<Item>,
    /// Every comment, in the order of the text, from `#` to the end of its line (without the line
    /// end).
    pub comments: Vec<Span>,
}

/// An item of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `include "file"`
    Include(Include),
    /// `let name = expr`
    Let(Let),
    /// `param name : type = value in range`
    Param(Param),
    /// `table name : type ...`
    Table(Table),
    /// `station name { ... }`
    Station(Station),
    /// `rule name { ... }`
    Rule(Rule),
    /// `limit name { ... }`: the same clauses as a rule
    Limit(Rule),
    /// `trigger name by key { ... }`
    Trigger(Trigger),
    /// An item with an error. At most its name is known.
    Broken(Broken),
}

impl Item {
    /// The whole item.
    pub fn span(&self) -> Span {
        match self {
            Item::Include(x) => x.span,
            Item::Let(x) => x.span,
            Item::Param(x) => x.span,
            Item::Table(x) => x.span,
            Item::Station(x) => x.span,
            Item::Rule(x) | Item::Limit(x) => x.span,
            Item::Trigger(x) => x.span,
            Item::Broken(x) => x.span,
        }
    }
}

/// The rest of an item that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// The whole item.
    pub span: Span,
    /// The item's name, if it could be read. The name counts as declared; nothing else is known of
    /// it.
    pub name: Option<Name>,
}

/// `include "path"`
#[derive(Debug, Clone, PartialEq)]
pub struct Include {
    /// The whole item.
    pub span: Span,
    /// The path, relative to the including file.
    pub path: Spanned<String>,
}

/// `let name = expr`
#[derive(Debug, Clone, PartialEq)]
pub struct Let {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// A constant, a set or a predicate.
    pub value: Expr,
}

/// `param head : size = 8KiB in 0..64KiB`
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// Its type as written.
    pub ty: TypeExpr,
    /// The default.
    pub value: Expr,
    /// The bounds, both inclusive.
    pub range: Option<(Expr, Expr)>,
}

/// `table users : map<ip, string> from "users.csv"`
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// Its type as written.
    pub ty: TypeExpr,
    /// The rows at the start.
    pub init: TableInit,
}

/// The rows of a table at the start.
#[derive(Debug, Clone, PartialEq)]
pub enum TableInit {
    /// No rows.
    Empty,
    /// `= { a, b }`, or `= { k: v, ... }` with `->` between key and value
    Inline(Vec<Row>),
    /// `from "file.csv"`
    File(Spanned<String>),
}

/// An inline table row: `key` in a set, `key -> value` in a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The key; a tuple is [`ExprKind::Tuple`].
    pub key: Expr,
    /// The value of a map's row.
    pub value: Option<Expr>,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeExpr {
    /// The whole type.
    pub span: Span,
    /// Its form.
    pub kind: TypeKind,
}

/// The forms of a type.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeKind {
    /// `uint`, `ip`, ...
    Named(String),
    /// `set<T>`
    Set(Box<TypeExpr>),
    /// `map<K, V>`
    Map(Box<TypeExpr>, Box<TypeExpr>),
    /// `(A, B)`
    Tuple(Vec<TypeExpr>),
    /// `unordered (A, A)`: the inner type is the tuple
    Unordered(Box<TypeExpr>),
    /// `{admin, user}`
    Words(Vec<Name>),
}

/// `station ids { vxlan 192.0.2.10 vni 77 }`
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// The words between the braces: the kind first, then its settings.
    pub words: Vec<Expr>,
}

/// A rule or a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// Its clauses in the order written.
    pub clauses: Vec<Clause>,
}

/// A clause of a rule or limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    /// `match expr`; `match any` is an [`ExprKind::Path`] named `any`
    Match {
        /// The whole clause.
        span: Span,
        /// The condition.
        expr: Expr,
    },
    /// `snaplen length [when expr]`
    Snaplen {
        /// The whole clause.
        span: Span,
        /// How much.
        length: Length,
        /// Only when this holds.
        when: Option<Expr>,
    },
    /// `to a, b`
    To {
        /// The whole clause.
        span: Span,
        /// The stations named.
        stations: Vec<Name>,
    },
    /// A clause that could not be read. Its kind is not known.
    Broken {
        /// The whole clause.
        span: Span,
    },
}

/// A capture length as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Length {
    /// The whole length.
    pub span: Span,
    /// Its form.
    pub kind: LengthKind,
}

/// The forms of a capture length. Numbers are expressions: literals or the names of params and
/// lets.
#[derive(Debug, Clone, PartialEq)]
pub enum LengthKind {
    /// `none`
    None,
    /// `full`
    Full,
    /// `N`
    Bytes(Expr),
    /// `N%`
    Percent(Expr),
    /// `headers`
    Headers,
    /// `headers + N`
    HeadersPlus(Expr),
    /// `payload ..N`
    Payload(Expr),
    /// `bytes M..N`
    Slice(Expr, Expr),
    /// `stream M..N`
    Stream(Expr, Expr),
}

/// `trigger name by key { ... }`
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// The whole item.
    pub span: Span,
    /// Its name.
    pub name: Name,
    /// The key: fields or the word `flow`. `None`: the trigger is one global switch.
    pub key: Option<Expr>,
    /// Its clauses in the order written.
    pub clauses: Vec<TriggerClause>,
}

/// A clause of a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerClause {
    /// The whole clause.
    pub span: Span,
    /// Its form.
    pub kind: TriggerClauseKind,
}

/// The clauses of a trigger.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerClauseKind {
    /// `when expr`
    When(Expr),
    /// `unless expr`
    Unless(Expr),
    /// `hold 10m`, or `hold flow` as a [`ExprKind::Path`] named `flow`
    Hold(Expr),
    /// `external`
    External,
    /// `keys 65536`
    Keys(Expr),
    /// A clause that could not be read.
    Broken,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// The whole expression, parentheses included.
    pub span: Span,
    /// Its form.
    pub kind: ExprKind,
}

impl Expr {
    /// Whether the expression was written as `a not in b`.
    pub fn is_not_in(&self) -> bool {
        matches!(&self.kind, ExprKind::Not(inner) if inner.span == self.span && matches!(inner.kind, ExprKind::In(..)))
    }
}

/// The forms of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A field, or the name of a let, param, table or trigger: `tcp.port`, `inner.ip.src`,
    /// `web_ports`.
    Path(String),
    /// `not x`, `!x`; `a not in b` is the `not` of an [`ExprKind::In`] with the same span
    Not(Box<Expr>),
    /// `a and b and c`, two or more parts; a part in parentheses is a part of its own
    And(Vec<Expr>),
    /// `a or b or c`, two or more parts
    Or(Vec<Expr>),
    /// `a == b`
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `a & b`, `a + b`
    Arith(ArithOp, Box<Expr>, Box<Expr>),
    /// `a in b`
    In(Box<Expr>, Box<Expr>),
    /// `a contains b`
    Contains(Box<Expr>, Box<Expr>),
    /// `a matches b`
    Matches(Box<Expr>, Box<Expr>),
    /// `{a, b..c}`
    Set(Vec<SetElement>),
    /// `(a, b)`, two or more parts
    Tuple(Vec<Expr>),
    /// `(a)`: kept so that the printer reproduces the text
    Paren(Box<Expr>),
    /// `base[0:4]`
    Slice(Box<Expr>, Slice),
    /// `table[key]`, `trigger[key]`; a key that is one bare integer, `t[80]`, is read as
    /// [`Slice::At`]
    Index(Box<Expr>, Box<Expr>),
    /// `table[key] else default`
    Else(Box<Expr>, Box<Expr>),
    /// `len(x)`, `count(p)`
    Call(Name, Vec<Expr>),
    /// `count(p) per 5m`
    Per(Box<Expr>, Box<Expr>),
    /// `stream contains "x" within 64KiB`: the first part is the inner expression, the second is
    /// the depth
    Within(Box<Expr>, Box<Expr>),
    /// A part that could not be read.
    Broken,
}

/// An element of a set: `a` or `a..b` (both ends belong to it).
#[derive(Debug, Clone, PartialEq)]
pub struct SetElement {
    /// The element, or the low end.
    pub low: Expr,
    /// The high end.
    pub high: Option<Expr>,
}

/// A slice of bytes, as in Wireshark. Offsets below zero count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slice {
    /// `[off:len]`
    OffsetLength(i64, u64),
    /// `[a-b]`, both ends inclusive
    FirstLast(i64, i64),
    /// `[off:]`
    From(i64),
    /// `[:len]`
    To(u64),
    /// `[off]`, one byte
    At(i64),
}

/// A literal. Numbers keep their spelling, because Wireshark reads some spellings differently.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `true`, `false`, `True`, `False`
    Bool(bool),
    /// A number. `unit` is empty or as written (`KiB`, `ms`); `hex` tells `0x40` from `64`.
    Number {
        /// The number before its unit.
        value: u64,
        /// The unit as written, or empty.
        unit: String,
        /// Whether it was written in hexadecimal.
        hex: bool,
    },
    /// `"text"` with its escapes resolved, or `r"text"` as written. It may hold any bytes. To the
    /// right of `matches` it is the text of a regex and always UTF-8. There, the escapes that
    /// Wireshark resolves are resolved: `\\`, `\"`, `\n`, `\r`, `\t`, `\0`, and `\xHH` below 0x80.
    /// The escapes that Wireshark refuses there (`\d`, `\.`) and `\xHH` from 0x80 on are kept for
    /// the regex engine. A pattern that Wireshark accepts therefore means the same here.
    String(Vec<u8>),
    /// Two-digit hexadecimal groups joined by colons: `47:45:54`. Six groups are also a MAC, eight
    /// are also an IPv6 address.
    Bytes(Vec<u8>),
    /// `192.0.2.1`
    Ipv4(Ipv4Addr),
    /// `2001:db8::1`
    Ipv6(Ipv6Addr),
    /// `10.0.0.0/8`: address and prefix length as written (host bits may be set)
    Cidr(std::net::IpAddr, u8),
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`, `eq`
    Eq,
    /// `!=`, `ne`: no value is equal
    Ne,
    /// `===`: all values are equal
    AllEq,
    /// `!==`: at least one value differs
    AnyNe,
    /// `<`, `lt`
    Lt,
    /// `<=`, `le`
    Le,
    /// `>`, `gt`
    Gt,
    /// `>=`, `ge`
    Ge,
}

/// Arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithOp {
    /// `&`
    And,
    /// `|`
    Or,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}
