//! Capture lengths: from the text to the few forms that engines know. Their numbers are constants
//! and params. `stream M..N` becomes conditions on the packet's place in its stream, and a number
//! of bytes after its headers. The invariant: an empty slice is reported, and so is a percentage
//! above 100. (Rejected: lengths made of fields, such as `snaplen tcp.hdr_len + 20`; `headers + 20`
//! says the same.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use super::value::{Alt, Const, Form, Kind, Number, Term, TermTy, Unit};
use crate::abi::bit;
use crate::fields::{FlowSlot, Ty};
use crate::hir::{ArithOp, CompareOp, Length, Num, NumKind, Pred};
use crate::sets::Intervals;
use mrule_grammar::ast::{self, Expr, ExprKind, LengthKind};
use mrule_grammar::codes::clauses as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

impl Checker<'_> {
    /// The lines that a `snaplen` line of a rule or limit becomes. `None`: reported. A rule that
    /// asks for nothing is not an error here; a lint warns of it.
    pub fn lines(&mut self, length: &ast::Length, when: Pred, is_rule: bool) -> Option<Vec<(Pred, Length)>> {
        let LengthKind::Stream(m, n) = &length.kind else {
            return self.length(length).map(|length| vec![(when, length)]);
        };
        let (from, to) = self.slice_ends(m, n, length.span, "stream")?;
        let from_start = *from.kind() == NumKind::Const(0);
        let offset = || Num::flow(bit::STREAM, FlowSlot::Offset);
        let end = || Num::flow(bit::STREAM, FlowSlot::End);
        // A segment with a byte in M..N begins before N and ends after M; an empty segment begins
        // in M..N. A segment with bytes that begins at M or later also ends after M, so one
        // condition holds for both.
        let speaks = Pred::and([
            Pred::compare(CompareOp::Lt, offset(), to.clone()),
            match from_start {
                true => Pred::always(),
                false => Pred::or([
                    Pred::compare(CompareOp::Gt, end(), from.clone()),
                    Pred::compare(CompareOp::Ge, offset(), from),
                ]),
            },
        ]);
        let mut lines = Vec::new();
        for (range, to) in clipped(&to) {
            // The bytes up to offset N, and before them the bytes that lie before the stream's
            // start.
            let behind = Num::arith(ArithOp::Sub, to, offset())?;
            let bytes = Num::arith(ArithOp::Add, behind, Num::flow(bit::STREAM, FlowSlot::Lead))?;
            lines.push((Pred::and([when.clone(), speaks.clone(), range]), Length::Headers(bytes)));
        }
        if !is_rule {
            let others = Pred::and([when, Pred::not(speaks)]);
            lines.push((others, Length::Headers(Num::constant(0))));
        }
        if lines.iter().any(|(when, _)| when.as_const() != Some(false)) {
            lines.retain(|(when, _)| when.as_const() != Some(false));
        }
        Some(lines)
    }

    /// A length other than `stream M..N`. `None`: reported.
    fn length(&mut self, length: &ast::Length) -> Option<Length> {
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
                let (m, n) = self.slice_ends(m, n, length.span, "bytes")?;
                Length::Slice(m, n)
            }
            LengthKind::Stream(..) => return None,
        };
        Some(made)
    }

    /// The ends of a slice of the frame or of a stream. `None`: reported.
    fn slice_ends(&mut self, m: &Expr, n: &Expr, span: Span, word: &str) -> Option<(Num, Num)> {
        let (m, n) = (self.number(m), self.number(n));
        let (m, n) = (m?, n?);
        let empty = match (m.kind(), n.kind()) {
            (NumKind::Const(m), _) => *m >= n.max(),
            (_, NumKind::Const(0)) => true,
            _ => false,
        };
        if empty {
            let message = format!("`{}` is empty: it ends before it begins", self.text(span));
            let finding = Diagnostic::new(codes::EMPTY_LENGTH, message).at(span, "holds no byte");
            self.report(finding.help(format!(
                "`{word} M..N` goes from byte M up to, and not including, byte N; they count from 0"
            )));
            return None;
        }
        Some((m, n))
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

    /// A number of a length: a constant, a param, or arithmetic on them. `None`: reported.
    fn number(&mut self, expr: &Expr) -> Option<Num> {
        if let ExprKind::Path(word) = &expr.kind
            && word == "payload"
        {
            let finding = Diagnostic::new(codes::LENGTH, "`payload` does not say how much of it");
            let help = "write `payload ..N`: the headers and the first N bytes after them";
            self.report(finding.at(expr.span, "up to where?").help(help));
            return None;
        }
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
                ("a condition", "write conditions after `when`: `snaplen full when attack`")
            }
            Kind::Tuple(_) | Kind::Table(_) => ("no number", "write a number or a size: 128, 8KiB"),
        };
        let message = format!("a length is a number or a size; `{}` is {what}", self.text(expr.span));
        self.report(Diagnostic::new(codes::LENGTH, message).at(expr.span, what).help(help));
        None
    }
}

/// Greater than every offset of a stream.
const MOST: u64 = 1 << 48;

/// The end of a slice of a stream, so small that no sum with it exceeds 64 bits, each with the
/// condition under which it holds. An end above [`MOST`] stands for the whole stream.
fn clipped(to: &Num) -> Vec<(Pred, Num)> {
    let most = Num::constant(MOST);
    match *to.kind() {
        NumKind::Const(value) => vec![(Pred::always(), Num::constant(value.min(MOST)))],
        _ if to.max() <= MOST => vec![(Pred::always(), to.clone())],
        _ => {
            let upto = || Pred::test(to.clone(), Intervals::range(0, MOST));
            // After that test, the mask changes no value.
            let masked = Num::arith(ArithOp::And, to.clone(), Num::constant(2 * MOST - 1));
            let small = masked.map(|num| (upto(), num));
            small.into_iter().chain([(Pred::not(upto()), most)]).collect()
        }
    }
}
