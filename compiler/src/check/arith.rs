//! Arithmetic on values of the packet and on params: `tcp.flags & 0x12`, `flow.hash % 100`, `ip.len
//! - 40`. The invariant: a result that a number cannot hold is an error here, never a wrapped
//! number in an engine. (Rejected: signed numbers for the sake of `-`.)

use super::Checker;
use super::value::{Alt, Const, Form, Kind, Many, Number, Term, TermTy, Unit, Value};
use crate::fields::Ty;
use crate::hir::{Num, NumKind, TagPart};
use mrule_grammar::ast::{ArithOp, Expr};
use mrule_grammar::codes::{later, names as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// The greatest number of combinations of the values of several fields.
pub(super) const MAX_COMBINATIONS: usize = 256;

/// A side of an operator.
struct Operand {
    alts: Vec<Alt>,
    many: Many,
    hex: bool,
    constant: bool,
    width: Option<u64>,
}

impl Checker<'_> {
    /// `left op right`
    pub fn arith(&mut self, op: ArithOp, left: &Expr, right: &Expr, span: Span) -> Value {
        let (left, right) = (self.value(left), self.value(right));
        if let (Kind::Const(a), Kind::Const(b)) = (&left.kind, &right.kind) {
            let (a, b) = ((a.clone(), left.span), (b.clone(), right.span));
            return match self.const_arith(op, &a, &b, span) {
                Some(value) => Value::new(span, Kind::Const(value)),
                None => Value::poison(span),
            };
        }
        self.beside_slice(&left, &right);
        let (Some(a), Some(b)) = (self.operand(&left), self.operand(&right)) else {
            return Value::poison(span);
        };
        if a.alts.len() * b.alts.len() > MAX_COMBINATIONS {
            let message = "this stands for too many combinations of values".to_owned();
            let finding = Diagnostic::new(codes::ARITHMETIC, message).at(span, "too many");
            self.report(finding.help("name one field of each pair, such as `tcp.srcport` for `tcp.port`"));
            return Value::poison(span);
        }
        let mut alts = Vec::with_capacity(a.alts.len() * b.alts.len());
        for x in &a.alts {
            for y in &b.alts {
                match self.combine(op, x, y, (&left, &right), span) {
                    Some(alt) => alts.push(alt),
                    None => return Value::poison(span),
                }
            }
        }
        let form = match op {
            _ if a.constant && b.constant => Form::ParamArith,
            ArithOp::And => Form::Mask,
            _ => Form::Arith,
        };
        let many = match (a.many, b.many) {
            (Many::Any, _) | (_, Many::Any) => Many::Any,
            (Many::One, Many::One) => Many::One,
            _ => Many::Either,
        };
        // Wireshark also limits constants beside a masked field to the field's width.
        let width = if op == ArithOp::And { a.width.or(b.width) } else { None };
        let ty = TermTy::Field(Ty::Uint(64));
        let term = Term { ty, alts, many, form, width, hex: a.hex || b.hex, presence: None };
        Value::new(span, Kind::Term(term))
    }

    fn combine(&mut self, op: ArithOp, x: &Alt, y: &Alt, sides: (&Value, &Value), span: Span) -> Option<Alt> {
        match (x, y) {
            (Alt::Num(a), Alt::Num(b)) => match Num::arith(op, a.clone(), b.clone()) {
                Some(num) => Some(Alt::Num(num)),
                None => {
                    self.no_value(op, (a, b), sides, span);
                    None
                }
            },
            (Alt::Tag(part), Alt::Num(num)) | (Alt::Num(num), Alt::Tag(part)) => {
                if let (ArithOp::And, &NumKind::Const(mask)) = (op, num.kind()) {
                    return Some(Alt::Tag(TagPart { mask: part.mask & mask, ..*part }));
                }
                self.no_tag_arith(span);
                None
            }
            (Alt::Facet(_), _) | (_, Alt::Facet(_)) => {
                let help = "compare it with ranges: `http.response.code in {400..499}`";
                self.facet_not_yet(span, "arithmetic on message fields", help);
                None
            }
            _ => {
                self.no_tag_arith(span);
                None
            }
        }
    }

    fn no_tag_arith(&mut self, span: Span) {
        let what = "arithmetic on fields of tags, but `&` with a constant,";
        self.not_yet(later::TABLES, span, what, "compare the field with ranges: `vlan.id in {100..199}`");
    }

    /// Reports arithmetic that has no value, or may have none.
    fn no_value(&mut self, op: ArithOp, nums: (&Num, &Num), sides: (&Value, &Value), span: Span) {
        let finding = if matches!(op, ArithOp::Div | ArithOp::Rem) && *nums.1.kind() == NumKind::Const(0) {
            Diagnostic::new(codes::ARITHMETIC, "division by zero")
                .at(sides.1.span, "zero")
                .help("divide by another number")
        } else {
            Diagnostic::new(codes::ARITHMETIC, "the result may be more than 2^64 - 1")
                .at(span, "may be too large")
                .help(self.smaller(op, nums, sides))
        };
        self.report(finding);
    }

    /// What to write for arithmetic whose result may be too large.
    fn smaller(&self, op: ArithOp, nums: (&Num, &Num), sides: (&Value, &Value)) -> String {
        let (large, value, factor) = match (nums.0.kind(), nums.1.kind()) {
            (_, NumKind::Const(factor)) => (nums.0, sides.0, *factor),
            (NumKind::Const(factor), _) => (nums.1, sides.1, *factor),
            _ => (nums.0, sides.0, 0),
        };
        let text = self.text(value.span);
        let percent = (1..=100).contains(&factor);
        match large.kind() {
            NumKind::Window(_) => format!(
                "leave `{text}` as it is, and compare it with a share: `> quota[net.src] / 100 * 80` is 80 %"
            ),
            NumKind::Lookup { .. } | NumKind::Else(..) if op == ArithOp::Mul && percent => {
                format!("divide first: `{text} / 100 * {factor}` is {factor} %")
            }
            NumKind::Lookup { .. } | NumKind::Else(..) if op == ArithOp::Mul => {
                format!("divide first (`{text} / 100 * 80`), or keep the product in the table")
            }
            NumKind::Lookup { .. } | NumKind::Else(..) => {
                format!("cut it first (`{text} / 100`), or keep the result in the table")
            }
            NumKind::Param(_) => "give the param a range: `in 0..1000`".to_owned(),
            NumKind::Hash(_) => format!("cut the hash first: `{text} % 1000`"),
            _ => "make a side smaller first: divide it (`/ 100`), or cut it (`% 1000`)".to_owned(),
        }
    }

    /// A value as a side of an operator. `None`: reported.
    fn operand(&mut self, value: &Value) -> Option<Operand> {
        let what = match &value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value, unit: Unit::None | Unit::Size, .. })) => {
                let alts = vec![Alt::Num(Num::constant(*value))];
                return Some(Operand { alts, many: Many::One, hex: false, constant: true, width: None });
            }
            Kind::Term(term) => match numbers(term) {
                Some(alts) => {
                    let (many, hex, constant) = (term.many, term.hex, term.is_constant());
                    return Some(Operand { alts, many, hex, constant, width: term.width });
                }
                None => term.ty.describe(),
            },
            Kind::Const(other) => other.describe().to_owned(),
            Kind::Set(_) => "a set".to_owned(),
            Kind::Pred(_) | Kind::Trigger(_) => "a condition".to_owned(),
            Kind::Tuple(_) => "a tuple".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        };
        let message = format!("`{}` is {what}; `& | + - * / %` work on numbers", self.text(value.span));
        let finding = Diagnostic::new(codes::ARITHMETIC, message).at(value.span, "not a number");
        let finding = match &value.kind {
            Kind::Term(Term { ty: TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip), .. }) => {
                finding.help("to test a network, write `ip.src == 10.0.0.0/8`")
            }
            Kind::Term(Term { form: Form::Slice(_), .. }) => {
                finding.help("only a slice of one byte is a number: `tcp[13] & 0x12`")
            }
            Kind::Term(Term { ty: TermTy::Field(Ty::Bool), .. }) => {
                finding.help("compare flags with 0 or 1, or take all of them: `tcp.flags & 0x012`")
            }
            Kind::Pred(_) => finding.help("`and`, `or` and `not` join conditions"),
            _ => finding,
        };
        self.report(finding);
        None
    }
}

/// The alternatives of a term whose values are numbers.
pub(super) fn numbers(term: &Term) -> Option<Vec<Alt>> {
    match (term.ty, term.form) {
        (TermTy::Field(Ty::Uint(_)), _) => Some(term.alts.clone()),
        (_, Form::Slice(Some(1))) => Some(bytes_as_numbers(&term.alts)),
        _ => None,
    }
}

/// Slices of one byte as numbers.
pub(super) fn bytes_as_numbers(alts: &[Alt]) -> Vec<Alt> {
    alts.iter()
        .map(|alt| match alt {
            Alt::Bytes(bytes) => Alt::Num(Num::byte(bytes.clone())),
            other => other.clone(),
        })
        .collect()
}
