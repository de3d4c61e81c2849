//! Slices, `x[0:4]`: of bytes, of protocol headers, and of addresses, which are bytes of a header.
//! The invariant: a slice of a field has the same bytes as in Wireshark. A slice that cannot exist
//! is reported where the text shows it. (Rejected: a type for slices; a slice of one byte is also a
//! number.)

use super::Checker;
use super::value::{Alt, Const, Form, Kind, Many, Number, Term, TermTy, Unit, Value};
use crate::abi::bit;
use crate::fields::{BytesSource, Layer, Proto, Slot, Ty};
use crate::hir::{Bytes, NumKind, Pred};
use mrule_grammar::ast::{ArithOp, CompareOp, Expr, ExprKind, Slice};
use mrule_grammar::codes::{later, names as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

impl Checker<'_> {
    /// `base[slice]`; `table[80]` is also read as a slice.
    pub fn slice(&mut self, base: &Expr, slice: Slice, span: Span) -> Value {
        let value = self.value(base);
        match &value.kind {
            Kind::Poison => Value::poison(span),
            Kind::Table(_) | Kind::Trigger(_) => {
                let key = match slice {
                    Slice::At(at) => u64::try_from(at).ok(),
                    _ => None,
                };
                let Some(key) = key else {
                    let message = format!("`{}` is not bytes: it has no slices", self.text(base.span));
                    let finding = Diagnostic::new(codes::NO_SLICE, message).at(span, "not a key");
                    self.report(finding.help("give a key: `users[net.src]`"));
                    return Value::poison(span);
                };
                let at = Span { start: base.span.end, ..span };
                let number = Number { value: key, unit: Unit::None, hex: true };
                self.index_by(value, Value::new(at, Kind::Const(Const::Number(number))), span)
            }
            Kind::Term(term) => self.slice_term(term, base, slice, span),
            _ => {
                self.no_slice(
                    base.span,
                    span,
                    "not bytes of the packet",
                    "slices are of fields: `tcp.payload[0:4]`",
                );
                Value::poison(span)
            }
        }
    }

    fn slice_term(&mut self, term: &Term, base: &Expr, slice: Slice, span: Span) -> Value {
        if matches!(term.form, Form::Slice(_)) {
            self.no_slice(base.span, span, "a slice already", "write one slice: `tcp.payload[4:2]`");
            return Value::poison(span);
        }
        if term.alts.is_empty() {
            self.no_bytes(base.span);
            return Value::poison(span);
        }
        let mut alts = Vec::with_capacity(term.alts.len());
        for alt in &term.alts {
            let sliced = match alt {
                Alt::Facet(_) => {
                    let help = "look into it with a pattern: `http.host matches \"^www\"`";
                    self.facet_not_yet(span, "a slice of a message field", help);
                    return Value::poison(span);
                }
                alt if term.form == Form::Field && is_sided(alt) => {
                    let what = format!("a slice of `{}`", self.text(base.span));
                    let help = "compare networks: `flow.client.addr == 10.0.0.0/8`";
                    self.not_yet(later::FLOWS, span, &what, help);
                    return Value::poison(span);
                }
                Alt::Bytes(Bytes { layer, source, slice: None }) => {
                    Some(Bytes { layer: *layer, source: *source, slice: Some(slice) })
                }
                alt => match place(alt, term.field_ty()) {
                    Some(place) => match place.slice(slice) {
                        Some(bytes) => Some(bytes),
                        None => {
                            let message =
                                format!("`{}` has only {} bytes", self.text(base.span), place.width);
                            let help = "count from 0: `eth.src[0:3]` is the first three bytes";
                            let finding = Diagnostic::new(codes::NO_SLICE, message).at(span, "outside of it");
                            self.report(finding.help(help));
                            return Value::poison(span);
                        }
                    },
                    None => None,
                },
            };
            match sliced {
                Some(bytes) => alts.push(Alt::Bytes(bytes)),
                None => {
                    let what = term.ty.describe();
                    let help = "slices are of bytes fields and protocols: `tcp.payload[0:4]`, `tcp[13]`";
                    self.no_slice(base.span, span, &what, help);
                    return Value::poison(span);
                }
            }
        }
        let ty = if term.ty == TermTy::Field(Ty::String) { Ty::String } else { Ty::Bytes };
        let many = if alts.len() > 1 { term.many } else { Many::One };
        let term = Term {
            ty: TermTy::Field(ty),
            alts,
            many,
            form: Form::Slice(length(slice)),
            width: None,
            hex: true,
            presence: None,
        };
        Value::new(span, Kind::Term(term))
    }

    /// A comparison, or the case that a slice lies outside its base. As in Wireshark, the slice is
    /// then empty: it equals only an empty slice and is less than any other value. A side without a
    /// term is a constant.
    pub fn or_outside(
        &mut self,
        op: CompareOp,
        pred: Pred,
        (left, a): (&Expr, Option<&Term>),
        (right, b): (&Expr, Option<&Term>),
    ) -> Pred {
        use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};
        let (left, right) = (self.outside(left), self.outside(right));
        let there = |term: Option<&Term>| term.map_or_else(Pred::always, Term::present);
        let mut parts = vec![pred];
        if let (Some(left), Ne | AnyNe | Lt | Le) = (&left, op) {
            parts.push(Pred::and([left.clone(), there(b)]));
        }
        if let (Some(right), Ne | AnyNe | Gt | Ge) = (&right, op) {
            parts.push(Pred::and([right.clone(), there(a)]));
        }
        if let (Some(left), Some(right), Eq | AllEq | Le | Ge) = (left, right, op) {
            parts.push(Pred::and([left, right]));
        }
        Pred::or(parts)
    }

    /// The condition that a slice of bytes or of a protocol, masked or not, lies outside its base.
    /// `None` for any other expression.
    fn outside(&mut self, expr: &Expr) -> Option<Pred> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.outside(inner),
            ExprKind::Arith(ArithOp::And, a, b) => self.outside(a).or_else(|| self.outside(b)),
            ExprKind::Slice(base, slice) => {
                let value = self.value(base);
                let Kind::Term(Term { form: Form::Field, alts, .. }) = &value.kind else { return None };
                let part = |alt: &Alt| match alt {
                    Alt::Bytes(whole) if whole.slice.is_none() => {
                        let part = Bytes { slice: Some(*slice), ..whole.clone() };
                        Some(Pred::and([Pred::has_bytes(whole.clone()), Pred::not(Pred::has_bytes(part))]))
                    }
                    _ => None,
                };
                alts.iter().map(part).collect::<Option<Vec<_>>>().map(Pred::or)
            }
            _ => None,
        }
    }

    fn no_slice(&mut self, base: Span, span: Span, what: &str, help: &str) {
        let message = format!("`{}` is {what}; it has no slices", self.text(base));
        self.report(Diagnostic::new(codes::NO_SLICE, message).at(span, "cannot be sliced").help(help));
    }

    /// Reports a protocol whose header bytes are not available.
    pub fn no_bytes(&mut self, span: Span) {
        let what = format!("reading the bytes of `{}`", self.text(span));
        let help =
            "the bytes of eth, ip, ipv6, tcp, udp, icmp and icmpv6 are available, and all bytes as `frame`";
        self.not_yet(later::BYTES, span, &what, help);
    }
}

/// The length of a slice in bytes, if it exists and is known.
pub(super) fn length(slice: Slice) -> Option<u64> {
    match slice {
        Slice::OffsetLength(_, len) => Some(len),
        Slice::To(len) => Some(len),
        Slice::At(_) => Some(1),
        Slice::FirstLast(first, last) if (first < 0) == (last < 0) => {
            last.checked_sub(first).and_then(|n| u64::try_from(n).ok()).map(|n| n + 1)
        }
        Slice::FirstLast(..) | Slice::From(_) => None,
    }
}

/// Whether the alternative is an address that is present in one direction of a flow only.
fn is_sided(alt: &Alt) -> bool {
    let bits = match alt {
        Alt::V6(address) => address.bits,
        Alt::V4(num) => match num.kind() {
            NumKind::Load(load) => load.bits,
            _ => 0,
        },
        _ => 0,
    };
    bits & (bit::FROM_CLIENT | bit::FROM_SERVER) != 0
}

/// The place of an address in a header.
struct HeaderRange {
    layer: Layer,
    header: Proto,
    at: u64,
    width: u64,
}

/// The place of the bytes of a MAC or IP address, if a header holds them.
fn place(alt: &Alt, ty: Option<Ty>) -> Option<HeaderRange> {
    let (layer, bits, slot, at, width) = match alt {
        Alt::Num(num) | Alt::V4(num) => match num.kind() {
            NumKind::Load(load) if ty == Some(Ty::Mac) => (load.layer, load.bits, load.slot, load.at, 6),
            NumKind::Load(load) if matches!(alt, Alt::V4(_)) => {
                (load.layer, load.bits, load.slot, load.at, 4)
            }
            _ => return None,
        },
        Alt::V6(address) => (address.layer, address.bits, address.slot, address.at, 16),
        _ => return None,
    };
    let header = match (slot, bits) {
        (Slot::L2, bit::ETH) => Proto::Eth,
        (Slot::L3, bit::IP_HDR) => Proto::Ip,
        (Slot::L3, bit::IP6_HDR) => Proto::Ip6,
        _ => return None,
    };
    Some(HeaderRange { layer, header, at: u64::from(at), width })
}

impl HeaderRange {
    /// The same slice, counted from the start of the header. `None`: it lies outside the address.
    fn slice(&self, slice: Slice) -> Option<Bytes> {
        let from = |offset: i64| {
            let from =
                if offset < 0 { self.width.checked_sub(offset.unsigned_abs())? } else { offset as u64 };
            (from < self.width).then_some(from)
        };
        let (first, len) = match slice {
            Slice::OffsetLength(offset, len) => (from(offset)?, len),
            Slice::FirstLast(first, last) => {
                let (first, last) = (from(first)?, from(last)?);
                (first, last.checked_sub(first)? + 1)
            }
            Slice::From(offset) => (from(offset)?, self.width - from(offset)?),
            Slice::To(len) => (0, len),
            Slice::At(offset) => (from(offset)?, 1),
        };
        if len == 0 || len > self.width - first {
            return None;
        }
        let slice = Slice::OffsetLength((self.at + first) as i64, len);
        Some(Bytes { layer: self.layer, source: BytesSource::Header(self.header), slice: Some(slice) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_known_where_they_can_be() {
        assert_eq!(length(Slice::OffsetLength(4, 2)), Some(2));
        assert_eq!(length(Slice::FirstLast(0, 3)), Some(4));
        assert_eq!(length(Slice::FirstLast(-4, -1)), Some(4));
        assert_eq!(length(Slice::FirstLast(0, -1)), None);
        assert_eq!(length(Slice::At(-1)), Some(1));
        assert_eq!(length(Slice::From(0)), None);
    }

    #[test]
    fn a_slice_of_an_address_is_one_of_its_header() {
        let eth = HeaderRange { layer: Layer::Outer, header: Proto::Eth, at: 6, width: 6 };
        let slice = |s| eth.slice(s).and_then(|b| b.slice);
        assert_eq!(slice(Slice::OffsetLength(0, 3)), Some(Slice::OffsetLength(6, 3)));
        assert_eq!(slice(Slice::FirstLast(-2, -1)), Some(Slice::OffsetLength(10, 2)));
        assert_eq!(slice(Slice::From(4)), Some(Slice::OffsetLength(10, 2)));
        assert_eq!(slice(Slice::OffsetLength(4, 3)), None);
        assert_eq!(slice(Slice::At(6)), None);
        assert_eq!(slice(Slice::At(-7)), None);
    }
}
