//! Comparisons. Fields that stand for several values mean the same as in Wireshark: `==`, `<` and
//! the other orders hold if they hold for any value, `!=` holds if no value is equal, `!==` if at
//! least one value differs, `===` if all values are equal. None holds if the field is missing. The
//! invariant: a comparison is an `or` over alternatives, each of which carries its own presence.
//! (Rejected: a node for fields of several values, which every engine and lint would have to know.)

use super::Checker;
use super::arith::{MAX_COMBINATIONS, bytes_as_numbers};
use super::sets::Wanted;
use super::value::{Alt, Bound, BoundKind, Const, Element, Form, Kind, Many, Term, TermTy, Value};
use crate::fields::Ty;
use crate::hir::{Pred, TextTest};
use mrule_grammar::ast::{CompareOp, Expr};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};

impl Checker<'_> {
    /// `left op right`
    pub fn compare(&mut self, op: CompareOp, left: &Expr, right: &Expr, span: Span) -> Pred {
        let written = (left, right);
        let (left, right) = self.sides(left, right);
        self.beside_slice(&left, &right);
        match (&left.kind, &right.kind) {
            (Kind::Poison, _) | (_, Kind::Poison) => Pred::never(),
            (Kind::Term(a), Kind::Term(b)) => {
                let pred = self.term_term(op, (a, left.span), (b, right.span), span);
                self.or_outside(op, pred, (written.0, Some(a)), (written.1, Some(b)))
            }
            (Kind::Term(term), Kind::Const(_)) => {
                let pred = self.term_const(op, term, left.span, &right, span);
                self.or_outside(op, pred, (written.0, Some(term)), (written.1, None))
            }
            (Kind::Const(_), Kind::Term(term)) => {
                let pred = self.term_const(flip(op), term, right.span, &left, span);
                self.or_outside(flip(op), pred, (written.1, Some(term)), (written.0, None))
            }
            (Kind::Const(_), Kind::Const(_)) => {
                let finding = Diagnostic::new(codes::NOTHING_TESTED, "both sides are constants")
                    .at(span, "nothing of the packet is tested");
                self.report(finding.help("put a field on one side: `tcp.port == 80`"));
                Pred::never()
            }
            (Kind::Term(_), Kind::Set(_)) => {
                let between = Span { start: left.span.end, end: right.span.start, ..span };
                let message = format!("`{}` is a set", self.text(right.span));
                let mut finding = Diagnostic::new(codes::SET, message).at(right.span, "a set, not one value");
                finding = match op {
                    Eq => finding.help("write `in`").fix(between, " in "),
                    Ne => finding.help("write `not ... in ...`"),
                    _ => finding.help("compare with one value"),
                };
                self.report(finding);
                Pred::never()
            }
            _ => self.no_comparison(op, &left, &right, span),
        }
    }

    /// Reports sides that cannot be compared: conditions, tables, tuples.
    fn no_comparison(&mut self, op: CompareOp, left: &Value, right: &Value, span: Span) -> Pred {
        let what = |value: &Value| match value.kind {
            Kind::Pred(_) | Kind::Trigger(_) => Some("a condition"),
            Kind::Set(_) => Some("a set"),
            Kind::Tuple(_) => Some("a tuple"),
            Kind::Table(_) => Some("a table"),
            _ => None,
        };
        let (side, what) = match (what(left), what(right)) {
            (Some(what), _) => (left, what),
            (None, other) => (right, other.unwrap_or("no value")),
        };
        let message = format!("`{}` is {what} and cannot be compared", self.text(side.span));
        let mut finding = Diagnostic::new(codes::TYPES, message).at(side.span, what);
        finding = match (what, &right.kind) {
            ("a condition", Kind::Const(Const::Bool(true) | Const::Number(_))) if op == Eq => {
                let condition = self.text(left.span);
                finding.help("it stands alone").fix(span, condition)
            }
            ("a condition", _) => {
                finding.help("join conditions by `and`, `or`, `not`; put parentheses around comparisons")
            }
            ("a table", _) => finding
                .help("test with `in`: `net.src in t`; or for a map's value: `t[net.src] == \"alice\"`"),
            ("a tuple", _) => finding.help("tuples are keys: `(net.src, net.dst) in t`"),
            _ => finding.help("sets are tested with `in`: `tcp.port in {80, 443}`"),
        };
        self.report(finding);
        Pred::never()
    }

    /// A term and a constant.
    fn term_const(&mut self, op: CompareOp, term: &Term, at: Span, value: &Value, span: Span) -> Pred {
        let Kind::Const(constant) = &value.kind else { return Pred::never() };
        let bound = Bound { span: value.span, kind: BoundKind::Const(constant.clone()) };
        if matches!(op, Eq | Ne | AllEq | AnyNe) {
            let element = Element { low: bound, high: None };
            return match self.wanted(term, at, std::slice::from_ref(&element)) {
                Some(wanted) => {
                    self.slice_lengths(term, at, &wanted, value.span);
                    apply(op, term, &wanted)
                }
                None => Pred::never(),
            };
        }
        if !self.ordered(op, term, at, span) {
            return Pred::never();
        }
        if let Const::Cidr(..) = constant {
            let message = format!("`{}` is a network: nothing is below or above it", self.text(value.span));
            let finding = Diagnostic::new(codes::OPERATOR, message).at(value.span, "a network");
            self.report(finding.help("a network is compared with `==` and `!=`, or stands in a set"));
            return Pred::never();
        }
        // Bytes that a slice of one byte cannot equal are ordered as bytes.
        let as_bytes = match (constant, term.field_ty()) {
            (Const::Text(b) | Const::Bytes(b), Some(Ty::Bytes | Ty::String)) => Some(b),
            _ => None,
        };
        if let Some(bytes) = as_bytes {
            return Pred::or(term.alts.iter().map(|alt| match alt {
                Alt::Bytes(b) => Pred::bytes_compare(op, b.clone(), bytes.clone()),
                Alt::Facet(f) => Pred::facet_text(*f, TextTest::Compare(op, bytes.clone())),
                _ => Pred::never(),
            }));
        }
        match self.limits(op, term, at, &bound) {
            Some(wanted) => apply(Eq, term, &wanted),
            None => Pred::never(),
        }
    }

    /// Whether values of this type have an order. Reports a comparison of values without an order.
    fn ordered(&mut self, op: CompareOp, term: &Term, at: Span, span: Span) -> bool {
        if matches!(op, Eq | Ne | AllEq | AnyNe) {
            return true;
        }
        let text = matches!(term.alts.first(), Some(Alt::Text(..)));
        let help = match term.field_ty() {
            _ if matches!(term.ty, TermTy::Word(_)) => {
                "compare words with `==`, or ask with `in {admin, user}`"
            }
            Some(Ty::Bool) => "compare flags with `==`",
            Some(Ty::App) => "compare applications with `==`, or ask with `in {http, tls}`",
            Some(Ty::Protocol) => {
                "a protocol's name alone tests presence; slices of it can be compared: `tcp[13] & 0x12`"
            }
            _ if text => "compare the texts of a table with `==`",
            _ => return true,
        };
        let message = format!("`{}` is {}: it has no order", self.text(at), term.ty.describe());
        self.report(Diagnostic::new(codes::OPERATOR, message).at(span, "compared by size").help(help));
        false
    }

    /// Two terms.
    fn term_term(&mut self, op: CompareOp, a: (&Term, Span), b: (&Term, Span), span: Span) -> Pred {
        let ((left, left_at), (right, right_at)) = (a, b);
        let Some((x, y)) = comparable(left, right) else {
            let (one, other) = (self.text(left_at), self.text(right_at));
            let message = format!(
                "`{one}` is {} and `{other}` is {}: they cannot be compared",
                left.ty.describe(),
                right.ty.describe()
            );
            let finding = Diagnostic::new(codes::TYPES, message).at(span, "different types");
            let protocol = [left, right].iter().any(|t| t.field_ty() == Some(Ty::Protocol));
            self.report(finding.help(match protocol {
                true => "a protocol's name alone tests presence: `tcp`; numbers are written 6 or 0x06",
                false => "compare fields of the same kind: `ip.src == ip.dst`",
            }));
            return Pred::never();
        };
        if !self.ordered(op, left, left_at, span) || !self.ordered(op, right, right_at, span) {
            return Pred::never();
        }
        if x.len() * y.len() > MAX_COMBINATIONS {
            let finding = Diagnostic::new(codes::TYPES, "this stands for too many combinations of values");
            self.report(
                finding.at(span, "too many").help("name one field of each pair, such as `tcp.srcport`"),
            );
            return Pred::never();
        }
        let mut pairs = |op| -> Option<Pred> {
            let mut parts = Vec::with_capacity(x.len() * y.len());
            for a in &x {
                for b in &y {
                    parts.push(self.pair(op, a, b, span)?);
                }
            }
            Some(Pred::or(parts))
        };
        let both = || Pred::and([left.present(), right.present()]);
        let single = x.len() == 1 && y.len() == 1;
        let pred = match op {
            Ne if !single => pairs(Eq).map(|any| Pred::and([both(), Pred::not(any)])),
            AllEq if !single => pairs(Ne).map(|any| Pred::and([both(), Pred::not(any)])),
            AnyNe => pairs(Ne),
            AllEq => pairs(Eq),
            op => pairs(op),
        };
        pred.unwrap_or_else(Pred::never)
    }

    /// One alternative of each side.
    fn pair(&mut self, op: CompareOp, a: &Alt, b: &Alt, span: Span) -> Option<Pred> {
        Some(match (a, b) {
            (Alt::Num(a), Alt::Num(b)) | (Alt::V4(a), Alt::V4(b)) => Pred::compare(op, a.clone(), b.clone()),
            (Alt::V6(a), Alt::V6(b)) => Pred::address_compare(op, *a, *b),
            (Alt::Bytes(a), Alt::Bytes(b)) => Pred::bytes_bytes(op, a.clone(), b.clone()),
            (Alt::V4(_), Alt::V6(_)) | (Alt::V6(_), Alt::V4(_)) if op == Ne => {
                Pred::and([a.present(), b.present()])
            }
            (Alt::V4(_), Alt::V6(_)) | (Alt::V6(_), Alt::V4(_)) => Pred::never(),
            (Alt::IpParam(_), _) | (_, Alt::IpParam(_)) => return self.ip_param(op, a, b, span),
            _ => {
                self.not_comparable_yet(a, b, span);
                return None;
            }
        })
    }
}

/// The alternatives of two terms in comparable form; `None` if their types do not fit.
fn comparable(left: &Term, right: &Term) -> Option<(Vec<Alt>, Vec<Alt>)> {
    let (x, y) = (left.alts.clone(), right.alts.clone());
    let one_byte = |term: &Term| matches!(term.form, Form::Slice(Some(1)));
    let (TermTy::Field(a), TermTy::Field(b)) = (left.ty, right.ty) else {
        return (left.ty == right.ty).then_some((x, y));
    };
    match (a, b) {
        (Ty::Uint(_), Ty::Uint(_)) | (Ty::Bool, Ty::Bool) | (Ty::Mac, Ty::Mac) => Some((x, y)),
        (Ty::Ipv4 | Ty::Ip, Ty::Ipv4 | Ty::Ip) | (Ty::Ipv6 | Ty::Ip, Ty::Ipv6 | Ty::Ip) => Some((x, y)),
        (Ty::Bytes | Ty::String, Ty::Bytes | Ty::String) => Some((x, y)),
        (Ty::Uint(_), Ty::Bytes) if one_byte(right) => Some((x, bytes_as_numbers(&y))),
        (Ty::Bytes, Ty::Uint(_)) if one_byte(left) => Some((bytes_as_numbers(&x), y)),
        _ => None,
    }
}

/// The same comparison with its sides exchanged.
fn flip(op: CompareOp) -> CompareOp {
    match op {
        Lt => Gt,
        Le => Ge,
        Gt => Lt,
        Ge => Le,
        Eq | Ne | AllEq | AnyNe => op,
    }
}

/// Compares a term with the wanted values by `==`, `!=`, `!==` or `===`.
pub(super) fn apply(op: CompareOp, term: &Term, wanted: &Wanted) -> Pred {
    let hits = || Pred::or(term.alts.iter().map(|alt| wanted.hit(alt)));
    let misses = || term.alts.iter().map(|alt| wanted.miss(alt));
    // Whether all values have the same presence: either all are present or none.
    let together = || {
        let mut present = term.alts.iter().map(Alt::present);
        let first = present.next();
        present.all(|p| Some(p) == first)
            && !term.alts.iter().any(|alt| matches!(alt, Alt::Tag(_) | Alt::Facet(_)))
    };
    match op {
        Ne if term.many == Many::Either => Pred::or(misses()),
        Ne if together() => Pred::and(misses()),
        Ne => Pred::and([term.present(), Pred::not(hits())]),
        AnyNe => Pred::or(misses()),
        AllEq if term.many == Many::One => hits(),
        AllEq => Pred::and([term.present(), Pred::not(Pred::or(misses()))]),
        _ => hits(),
    }
}
