//! Capture lengths: from what is written to the few forms that engines know. Their numbers are constants and params. The
//! invariant: a slice that is empty is reported, and so is a percentage past 100. (Rejected: lengths made
//! of fields, such as `snaplen tcp.hdr_len + 20`; `headers + 20` says what is meant.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use super::value::{Alt, Const, Form, Kind, Number, Term, TermTy, Unit};
use crate::fields::Ty;
use crate::hir::{Length, Num, NumKind};
use mrule_grammar::ast::{self, Expr, ExprKind, LengthKind};
use mrule_grammar::codes::clauses as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

impl Checker<'_> {
    /// A length; none when it is reported. That a rule asks for nothing is a lint's to say.
    pub fn length(&mut self, length: &ast::Length) -> Option<Length> {
        let made = match &length.kind {
            LengthKind::None => Length::None,
            LengthKind::Full => Length::Full,
            LengthKind::Bytes(n) => Length::Bytes(self.number(n)?),
            LengthKind::Percent(n) => {
                let at = n.span;
                let n = self.number(n)?;
                if n.max() > 100 {
                    self.past_hundred(&n, at);
                    return None;
                }
                Length::Percent(n)
            }
            LengthKind::Headers => Length::Headers(Num::constant(0)),
            LengthKind::HeadersPlus(n) | LengthKind::Payload(n) => Length::Headers(self.number(n)?),
            LengthKind::Slice(m, n) => {
                let (m, n) = (self.number(m), self.number(n));
                let (m, n) = (m?, n?);
                let empty = match (m.kind(), n.kind()) {
                    (NumKind::Const(m), _) => *m >= n.max(),
                    (_, NumKind::Const(0)) => true,
                    _ => false,
                };
                if empty {
                    let message = format!("`{}` is empty: it ends before it begins", self.text(length.span));
                    let finding =
                        Diagnostic::new(codes::EMPTY_LENGTH, message).at(length.span, "holds no byte");
                    self.report(finding.help(
                        "`bytes M..N` goes from byte M up to, and not including, byte N; they count from 0",
                    ));
                    return None;
                }
                Length::Slice(m, n)
            }
            LengthKind::Stream(m, n) => {
                self.number(m);
                self.number(n);
                let help = "write a length for each packet: `headers`, `payload ..1KiB`";
                self.not_yet(
                    mrule_grammar::codes::later::FLOWS,
                    length.span,
                    "the length `stream M..N`",
                    help,
                );
                return None;
            }
        };
        Some(made)
    }

    fn past_hundred(&mut self, n: &Num, at: Span) {
        let written = self.text(at);
        let message = match n.kind() {
            NumKind::Const(_) => format!("`{written}%` is more than the whole frame"),
            _ => format!("`{written}` may be up to {}, which is more than 100%", n.max()),
        };
        let finding = Diagnostic::new(codes::PERCENT, message).at(at, "more than 100");
        self.report(finding.help(match n.kind() {
            NumKind::Const(_) => "write a percentage from 1 to 100, or `full`",
            _ => "give the param bounds: `in 0..100`",
        }));
    }

    /// A number of a length: a constant, a param, or arithmetic with them; none when it is reported.
    fn number(&mut self, expr: &Expr) -> Option<Num> {
        if let ExprKind::Path(word) = &expr.kind
            && !self.names.values.contains_key(word.as_str())
            && let Some(help) = did_you_mean(&nearest(word, ["none", "full", "headers", "payload"]))
        {
            let finding = Diagnostic::new(codes::LENGTH, format!("there is no length `{word}`"));
            self.report(finding.at(expr.span, "unknown").help(help));
            return None;
        }
        let value = self.value(expr);
        let (what, help) = match &value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value, unit: Unit::None | Unit::Size, .. })) => {
                return Some(Num::constant(*value));
            }
            Kind::Const(Const::Number(Number { unit: Unit::Duration, .. })) => {
                ("a duration", "sizes are written 1500, 8KiB, 5MB; `m` is minutes")
            }
            Kind::Const(constant) => (constant.describe(), "write a number or a size: 128, 8KiB"),
            Kind::Term(term) if term.is_constant() && term.ty == TermTy::Field(Ty::Uint(64)) => {
                if let [Alt::Num(num)] = term.alts.as_slice() {
                    return Some(num.clone());
                }
                ("not one number", "write a number or a size: 128, 8KiB")
            }
            Kind::Term(Term { form: Form::Param(_), .. }) => {
                ("a param of another type", "lengths are params of type `size` or `uint`")
            }
            Kind::Term(_) => (
                "read from the packet",
                "lengths are numbers, sizes and params; `headers + 32` counts from the end of the headers",
            ),
            Kind::Set(_) => ("a set", "write a number or a size: 128, 8KiB"),
            Kind::Pred(_) | Kind::Trigger(_) => {
                ("a condition", "conditions stand behind `when`: `snaplen full when attack`")
            }
            Kind::Tuple(_) | Kind::Table(_) => ("no number", "write a number or a size: 128, 8KiB"),
        };
        let message = format!("a length is a number or a size; `{}` is {what}", self.text(expr.span));
        self.report(Diagnostic::new(codes::LENGTH, message).at(expr.span, what).help(help));
        None
    }
}
