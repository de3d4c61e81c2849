//! Expressions: the walk over the tree, and values that stand alone as a condition. The invariant:
//! recursion follows the tree, whose depth the grammar bounds, and `let`s are evaluated before the
//! walk meets them. (Rejected: expected types passed down; every operator knows which types it
//! accepts.)

use super::Checker;
use super::apps::Words;
use super::value::{Alt, Const, Element, Form, Kind, Term, Value};
use crate::fields::Ty;
use crate::hir::Pred;
use crate::sets::Intervals;
use mrule_grammar::ast::{Expr, ExprKind, SetElement};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::rc::Rc;

impl Checker<'_> {
    /// An expression in a place where a condition must stand.
    pub fn condition(&mut self, expr: &Expr) -> Pred {
        match &expr.kind {
            ExprKind::Paren(inner) => self.condition(inner),
            ExprKind::Not(inner) => Pred::not(self.condition(inner)),
            ExprKind::And(parts) => {
                let parts: Vec<Pred> = parts.iter().map(|part| self.condition(part)).collect();
                Pred::and(parts)
            }
            ExprKind::Or(parts) => {
                let parts: Vec<Pred> = parts.iter().map(|part| self.condition(part)).collect();
                Pred::or(parts)
            }
            ExprKind::Compare(op, left, right) => self.compare(*op, left, right, expr.span),
            ExprKind::In(left, right) => self.is_in(left, right, expr.span),
            ExprKind::Contains(left, right) => self.contains(left, right),
            ExprKind::Matches(left, right) => self.matches(left, right),
            ExprKind::Within(inner, depth) => self.within(inner, depth, expr.span),
            _ => {
                let value = self.value(expr);
                self.truth(value)
            }
        }
    }

    /// The value of an expression.
    pub fn value(&mut self, expr: &Expr) -> Value {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Literal(literal) => match self.literal(literal, span) {
                Some(value) => Value::new(span, Kind::Const(value)),
                None => Value::poison(span),
            },
            ExprKind::Path(path) => self.path(path, span),
            ExprKind::Paren(inner) => Value { span, ..self.value(inner) },
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Compare(..)
            | ExprKind::In(..)
            | ExprKind::Contains(..)
            | ExprKind::Matches(..)
            | ExprKind::Within(..) => Value::new(span, Kind::Pred(self.condition(expr))),
            ExprKind::Arith(op, left, right) => self.arith(*op, left, right, span),
            ExprKind::Set(elements) => self.set_literal(elements, span, None),
            ExprKind::Tuple(parts) => {
                let parts = parts.iter().map(|part| self.value(part)).collect();
                Value::new(span, Kind::Tuple(parts))
            }
            ExprKind::Slice(base, slice) => self.slice(base, *slice, span),
            ExprKind::Index(base, key) => self.index(base, key, span),
            ExprKind::Call(name, args) => self.call(name, args, span),
            ExprKind::Else(inner, default) => self.or_else(inner, default, span),
            ExprKind::Per(inner, per) => self.window(inner, per, span),
            ExprKind::Broken => Value::poison(span),
        }
    }

    /// `{a, b..c}`. `words`: names in the set are these words.
    pub fn set_literal(&mut self, elements: &[SetElement], span: Span, words: Option<Words>) -> Value {
        let mut all: Vec<Element> = Vec::with_capacity(elements.len());
        let mut poison = false;
        for SetElement { low, high } in elements {
            let low = self.beside_words(words, low);
            let nested = matches!(low.kind, Kind::Set(_)) && high.is_none();
            match (nested, low.kind) {
                (true, Kind::Set(inner)) => {
                    poison |= !self.charge(inner.len() as u64, span);
                    if !poison {
                        all.extend(inner.iter().cloned());
                    }
                }
                (_, kind) => {
                    let low = self.bound(Value { span: low.span, kind });
                    let high = high.as_ref().map(|high| {
                        let high = self.beside_words(words, high);
                        self.bound(high)
                    });
                    match (low, high) {
                        (Some(low), None) => all.push(Element { low, high: None }),
                        (Some(low), Some(Some(high))) => {
                            let element = Element { low, high: Some(high) };
                            self.range_order(&element);
                            all.push(element);
                        }
                        _ => poison = true,
                    }
                }
            }
        }
        if poison {
            return Value::poison(span);
        }
        Value::new(span, Kind::Set(Rc::from(all)))
    }

    /// A value in a place where a condition must stand.
    pub fn truth(&mut self, value: Value) -> Pred {
        let span = value.span;
        match value.kind {
            Kind::Poison => Pred::never(),
            Kind::Pred(pred) => pred,
            Kind::Const(Const::Bool(value)) => {
                if value {
                    Pred::always()
                } else {
                    Pred::never()
                }
            }
            Kind::Trigger(id) => self.own_key_active(id),
            Kind::Const(Const::App(_)) => self.bare_app(span),
            Kind::Term(term) => self.term_truth(&term, span),
            Kind::Const(constant) => {
                let what = constant.describe();
                self.no_condition(span, what, "compare a field with it, such as `tcp.port == 80`")
            }
            Kind::Set(_) => self.no_condition(span, "a set", "test a field: `tcp.port in web_ports`"),
            Kind::Table(_) => {
                let name = self.text(span);
                self.no_condition(span, "a table", &format!("test a field: `net.src in {name}`"))
            }
            Kind::Tuple(_) => self.no_condition(
                span,
                "a tuple",
                "tuples are keys: `(net.src, net.dst) in t`; join conditions by `and`",
            ),
        }
    }

    fn term_truth(&mut self, term: &Term, span: Span) -> Pred {
        let nonzero = || Intervals::one(0).complement();
        let each = |set: &dyn Fn() -> Intervals<u64>| {
            Pred::or(term.alts.iter().map(|alt| match alt {
                Alt::Num(num) => Pred::test(num.clone(), set()),
                Alt::Tag(part) => Pred::tag_in(*part, set()),
                _ => Pred::never(),
            }))
        };
        let flag = term.field_ty() == Some(Ty::Bool);
        match term.form {
            Form::Param(_) | Form::Lookup(_) if flag => each(&nonzero),
            Form::Mask | Form::Flag => each(&nonzero),
            Form::Field if term.field_ty() == Some(Ty::App) => self.no_condition(
                span,
                "an application",
                "say which: `app == http`, `app not in {http, undecided}`",
            ),
            Form::Field if flag => {
                let name = self.text(span);
                let message = format!(
                    "`{name}` alone is ambiguous: in Wireshark it tests only whether the flag is present"
                );
                self.report(
                    Diagnostic::new(codes::BARE_FLAG, message)
                        .at(span, "a flag, not a condition")
                        .help(format!("write `{name} == 1` for a flag that is set"))
                        .fix(span, format!("{name} == 1")),
                );
                Pred::never()
            }
            Form::Field | Form::Slice(_) => term.present(),
            Form::Len => self.no_condition(span, "a number", "compare it: `len(tcp.payload) > 0`"),
            Form::Arith | Form::ParamArith => self.no_condition(
                span,
                "a number",
                "compare it, such as `flow.hash % 100 == 0`; only `x & mask` stands alone",
            ),
            Form::Lookup(_) => {
                let text = self.text(span);
                self.no_condition(span, "a table's value", &format!("compare it, such as `{text} == 1`"))
            }
            Form::Param(_) => {
                let what = term.ty.describe();
                self.no_condition(span, &what, "compare a field with it; only a `bool` param stands alone")
            }
        }
    }

    fn no_condition(&mut self, span: Span, what: &str, help: &str) -> Pred {
        let message = format!("`{}` is {what}, not a condition", self.text(span));
        self.report(
            Diagnostic::new(codes::NOT_A_CONDITION, message)
                .at(span, "a condition must stand here")
                .help(help),
        );
        Pred::never()
    }
}
