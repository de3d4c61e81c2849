//! The value of an expression: a constant, a set, a condition, or a value of the packet. The
//! invariant: a value represents only the text; presence, ranges and "any of" are decided where it
//! is used, so a `let` may stand for any of these. (Rejected: one expected type passed down;
//! `tcp.payload` alone and beside `==` differ.)

use crate::fields::{Facet, Ty};
use crate::hir::{self, Address, Bytes, Key, Num, ParamId, Pred, TableId, TagPart, TriggerId};
use mrule_grammar::span::Span;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

/// The value of an expression and its place in the text. For a `let`: the place of the use.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An error that is reported already: it fits everywhere.
    Poison,
    Const(Const),
    Set(Rc<[Element]>),
    Pred(Pred),
    Term(Term),
    Tuple(Vec<Value>),
    Table(TableId),
    Trigger(TriggerId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Const {
    Bool(bool),
    Number(Number),
    /// `"text"`
    Text(Arc<[u8]>),
    /// `47:45:54`; six groups may be a MAC, eight an IPv6 address
    Bytes(Arc<[u8]>),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    /// An address with a prefix length; host bits are zero.
    Cidr(std::net::IpAddr, u8),
    /// An application, by its number.
    App(u64),
    /// A word of a table's type, by its number.
    Word(TableId, u64),
}

/// A number in its base unit: bytes or nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Number {
    pub value: u64,
    pub unit: Unit,
    /// Written in hexadecimal.
    pub hex: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    None,
    Size,
    Duration,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Element {
    pub low: Bound,
    pub high: Option<Bound>,
}

/// An end of a range, or a single element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bound {
    pub span: Span,
    pub kind: BoundKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum BoundKind {
    Const(Const),
    Param(ParamId),
}

/// A value of the packet, a table or a param, with one or several alternatives.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub ty: TermTy,
    /// Empty for a field that can only be present or absent.
    pub alts: Vec<Alt>,
    pub many: Many,
    pub form: Form,
    /// The greatest constant that the term can be compared with; `None` if no constant is known to
    /// be too large.
    pub width: Option<u64>,
    /// Wireshark reads the numbers beside it as hexadecimal: it is a slice, or is made of a slice.
    pub hex: bool,
    /// When the term is present. `None`: when an alternative is.
    pub presence: Option<Pred>,
}

/// The type of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TermTy {
    Field(Ty),
    Duration,
    /// One of the words of a table's type.
    Word(TableId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    /// One value.
    One,
    /// Several values at once: a comparison holds if it holds for any of them.
    Any,
    /// Several alternatives of which a packet has at most one.
    Either,
}

/// The kind of a term, for its meaning as a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Field,
    /// A flag that Wireshark does not have; alone, it means "it is set".
    Flag,
    /// A slice and its length in bytes, if known.
    Slice(Option<u64>),
    /// `len(x)`
    Len,
    /// `x & mask`
    Mask,
    Arith,
    /// `table[key]`
    Lookup(TableId),
    Param(ParamId),
    /// Arithmetic with params and constants only.
    ParamArith,
}

/// An alternative of a term.
#[derive(Debug, Clone)]
pub(super) enum Alt {
    /// A number, a flag, a MAC.
    Num(Num),
    V4(Num),
    V6(Address),
    Tag(TagPart),
    Bytes(Bytes),
    /// The text in a table's row.
    Text(TableId, Vec<Key>),
    /// An address that is a param.
    IpParam(ParamId),
    /// A message field: no value, one or several.
    Facet(Facet),
}

impl Value {
    pub fn new(span: Span, kind: Kind) -> Value {
        Value { span, kind }
    }

    pub fn poison(span: Span) -> Value {
        Value { span, kind: Kind::Poison }
    }
}

impl Term {
    /// A term of one alternative.
    pub fn one(ty: Ty, alt: Alt, form: Form) -> Term {
        Term {
            ty: TermTy::Field(ty),
            alts: vec![alt],
            many: Many::One,
            form,
            width: None,
            hex: false,
            presence: None,
        }
    }

    /// When it is present.
    pub fn present(&self) -> Pred {
        match &self.presence {
            Some(presence) => presence.clone(),
            None => Pred::or(self.alts.iter().map(Alt::present)),
        }
    }

    /// Whether no part of it comes from the packet.
    pub fn is_constant(&self) -> bool {
        matches!(self.form, Form::Param(_) | Form::ParamArith)
    }

    pub fn field_ty(&self) -> Option<Ty> {
        if let TermTy::Field(ty) = self.ty { Some(ty) } else { None }
    }
}

impl TermTy {
    /// A description in the user's terms.
    pub fn describe(self) -> String {
        match self {
            TermTy::Field(Ty::Uint(64)) => "a number".to_owned(),
            TermTy::Field(ty) => ty.describe(),
            TermTy::Duration => "a duration".to_owned(),
            TermTy::Word(_) => "one of a table's words".to_owned(),
        }
    }
}

impl Alt {
    /// When it is present.
    pub fn present(&self) -> Pred {
        match self {
            Alt::Num(num) | Alt::V4(num) => num.guard(),
            Alt::V6(address) => Pred::bits(address.layer, address.bits),
            Alt::Tag(part) => Pred::bits(part.layer, part.present()),
            Alt::Bytes(bytes) => Pred::has_bytes(bytes.clone()),
            Alt::Text(table, key) => Pred::in_table(*table, key.clone()),
            Alt::IpParam(_) => Pred::always(),
            Alt::Facet(facet) => Pred::has_facet(*facet),
        }
    }
}

impl Const {
    /// A description in the user's terms.
    pub fn describe(&self) -> &'static str {
        match self {
            Const::Bool(_) => "a flag's value",
            Const::Number(Number { unit: Unit::None, .. }) => "a number",
            Const::Number(Number { unit: Unit::Size, .. }) => "a size",
            Const::Number(Number { unit: Unit::Duration, .. }) => "a duration",
            Const::Text(_) => "text",
            Const::Bytes(b) if b.len() == 6 => "a MAC address or bytes",
            Const::Bytes(_) => "bytes",
            Const::Ipv4(_) => "an IPv4 address",
            Const::Ipv6(_) => "an IPv6 address",
            Const::Cidr(std::net::IpAddr::V4(_), _) => "an IPv4 network",
            Const::Cidr(std::net::IpAddr::V6(_), _) => "an IPv6 network",
            Const::App(_) => "an application",
            Const::Word(..) => "a table's word",
        }
    }

    /// The six bytes of a MAC as a number.
    pub fn as_mac(&self) -> Option<u64> {
        match self {
            Const::Bytes(b) if b.len() == 6 => Some(b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
            _ => None,
        }
    }

    /// The constant as an IPv6 address, if it can be one: eight two-digit groups can.
    pub fn as_ipv6(&self) -> Option<Ipv6Addr> {
        match self {
            Const::Ipv6(ip) => Some(*ip),
            Const::Bytes(b) => {
                let groups: [u8; 8] = (**b).try_into().ok()?;
                Some(Ipv6Addr::from(groups.map(u16::from)))
            }
            _ => None,
        }
    }
}

/// `10.0.0.0/8` as a closed range of its family.
pub(super) fn network(ip: std::net::IpAddr, prefix: u8) -> (u128, u128) {
    let (bits, width) = match ip {
        std::net::IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        std::net::IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let host = width - u32::from(prefix).min(width);
    let mask = if host >= 128 { u128::MAX } else { (1 << host) - 1 };
    (bits & !mask, bits | mask)
}

/// The type of a table's key part for a term of this type.
pub(super) fn key_type(ty: TermTy) -> Option<hir::ValueTy> {
    use hir::ValueTy;
    match ty {
        TermTy::Field(Ty::Bool) => Some(ValueTy::Bool),
        TermTy::Field(Ty::Uint(_)) => Some(ValueTy::Uint),
        TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip) => Some(ValueTy::Ip),
        TermTy::Field(Ty::Mac) => Some(ValueTy::Mac),
        TermTy::Field(Ty::Bytes | Ty::String) => Some(ValueTy::String),
        TermTy::Field(Ty::Protocol | Ty::App) | TermTy::Word(_) => None,
        TermTy::Field(Ty::Duration) | TermTy::Duration => Some(ValueTy::Duration),
    }
}
