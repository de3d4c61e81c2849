//! Turns a row of operands and operators into a tree, by precedence climbing. From loose to tight:
//! `or`, `and`, `not`, comparisons (a single one, not a chain), `|`, `&`, `+ -`, `* / %`, then
//! `per` and `else`. The invariant: `or` and `and` are flat. All other nesting is counted while the
//! tree is built, so no tree is deeper than the limit allows. (Rejected: a grammar rule for each
//! level; it makes a pair per level for each operand.)

use super::items::Builder;
use super::{Pair, Pairs, Rule};
use crate::ast::{ArithOp, CompareOp, Expr, ExprKind};
use crate::codes::syntax;
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_NESTING;
use crate::span::Span;
use std::iter::Peekable;

/// The operands and operators that are not read yet.
pub(super) type Row<'t> = Peekable<Pairs<'t>>;

/// An expression and how deep it nests.
pub(super) struct Node {
    pub expr: Expr,
    pub depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Or,
    And,
    Compare(CompareOp),
    In,
    NotIn,
    Contains,
    Matches,
    Within,
    Arith(ArithOp),
    Per,
    Else,
}

impl Op {
    /// How tightly the operator binds. `None`: it is not tighter than a comparison.
    fn tightness(self) -> Option<u8> {
        match self {
            Op::Arith(ArithOp::Or) => Some(1),
            Op::Arith(ArithOp::And) => Some(2),
            Op::Arith(ArithOp::Add | ArithOp::Sub) => Some(3),
            Op::Arith(ArithOp::Mul | ArithOp::Div | ArithOp::Rem) => Some(4),
            Op::Per | Op::Else => Some(5),
            _ => None,
        }
    }

    fn is_comparison(self) -> bool {
        matches!(self, Op::Compare(_) | Op::In | Op::NotIn | Op::Contains | Op::Matches)
    }
}

/// The operator with this spelling. For a foreign spelling: the operator that it stands for after
/// its diagnostic.
fn operator(written: &str) -> Option<Op> {
    let lower;
    let word = if written.bytes().any(|b| b.is_ascii_uppercase()) {
        lower = written.to_ascii_lowercase();
        lower.as_str()
    } else {
        written
    };
    Some(match word {
        "or" | "||" | "xor" | "^^" => Op::Or,
        "and" | "&&" => Op::And,
        "==" | "eq" | "any_eq" | "=" => Op::Compare(CompareOp::Eq),
        "!=" | "ne" | "all_ne" => Op::Compare(CompareOp::Ne),
        "===" | "all_eq" => Op::Compare(CompareOp::AllEq),
        "!==" | "any_ne" => Op::Compare(CompareOp::AnyNe),
        "<" | "lt" => Op::Compare(CompareOp::Lt),
        "<=" | "le" => Op::Compare(CompareOp::Le),
        ">" | "gt" => Op::Compare(CompareOp::Gt),
        ">=" | "ge" => Op::Compare(CompareOp::Ge),
        "in" => Op::In,
        "contains" => Op::Contains,
        "matches" | "~" => Op::Matches,
        "within" => Op::Within,
        _ if is_not_in(word) => Op::NotIn,
        "&" | "bitand" | "bitwise_and" => Op::Arith(ArithOp::And),
        "|" | "^" => Op::Arith(ArithOp::Or),
        "+" => Op::Arith(ArithOp::Add),
        "-" => Op::Arith(ArithOp::Sub),
        "*" => Op::Arith(ArithOp::Mul),
        "/" => Op::Arith(ArithOp::Div),
        "%" => Op::Arith(ArithOp::Rem),
        "per" => Op::Per,
        "else" => Op::Else,
        _ => return None,
    })
}

/// Whether the text is `not in`, with any blanks between the words.
fn is_not_in(words: &str) -> bool {
    words.strip_prefix("not").and_then(|rest| rest.strip_suffix("in")).is_some_and(|b| b.trim().is_empty())
}

/// The next operator, if an operator is next.
fn peek(row: &mut Row) -> Option<Op> {
    let pair = row.peek()?;
    matches!(pair.as_rule(), Rule::infix | Rule::arithmetic).then(|| operator(pair.as_str())).flatten()
}

impl Builder<'_> {
    /// The expression of a pair that holds a row of operands and operators.
    pub(super) fn expr(&mut self, pair: Pair) -> Expr {
        self.row(pair).expr
    }

    pub(super) fn row(&mut self, pair: Pair) -> Node {
        self.disjunction(&mut pair.into_inner().peekable())
    }

    fn disjunction(&mut self, row: &mut Row) -> Node {
        self.flat(row, Op::Or, ExprKind::Or, Self::conjunction)
    }

    fn conjunction(&mut self, row: &mut Row) -> Node {
        self.flat(row, Op::And, ExprKind::And, Self::negation)
    }

    /// A chain of one operator, of any length.
    fn flat(
        &mut self,
        row: &mut Row,
        op: Op,
        kind: fn(Vec<Expr>) -> ExprKind,
        part: fn(&mut Self, &mut Row) -> Node,
    ) -> Node {
        let Node { expr: first, mut depth } = part(self, row);
        if peek(row) != Some(op) {
            return Node { expr: first, depth };
        }
        let mut span = first.span;
        let mut parts = vec![first];
        while peek(row) == Some(op) {
            self.consume(row);
            let next = part(self, row);
            span = span.to(next.expr.span);
            depth = depth.max(next.depth);
            parts.push(next.expr);
        }
        Node { expr: Expr { span, kind: kind(parts) }, depth }
    }

    fn negation(&mut self, row: &mut Row) -> Node {
        let nots = self.prefixes(row, true);
        let mut node = self.comparison(row);
        for start in nots.into_iter().rev() {
            let span = start.to(node.expr.span);
            node = self.nest(span, node.depth, ExprKind::Not(Box::new(node.expr)));
        }
        node
    }

    fn comparison(&mut self, row: &mut Row) -> Node {
        let mut left = self.arithmetic(row, 0, false);
        let mut compared = false;
        while let Some(op) = peek(row) {
            if op == Op::Within {
                self.consume(row);
                let right = self.arithmetic(row, 0, false);
                left = self.join(left, right, ExprKind::Within);
                continue;
            }
            if !op.is_comparison() {
                break;
            }
            let sign = self.consume(row);
            let right = self.arithmetic(row, 0, op == Op::Matches);
            if compared {
                self.sink.push(
                    Diagnostic::new(syntax::CHAINED_COMPARISON, "comparisons cannot be chained")
                        .at(sign, "a second comparison")
                        .help("write both and join them: `a < b and b < c`"),
                );
                continue;
            }
            compared = true;
            let depth = left.depth.max(right.depth);
            let span = left.expr.span.to(right.expr.span);
            let (a, b) = (Box::new(left.expr), Box::new(right.expr));
            if op == Op::NotIn {
                let inner = Expr { span, kind: ExprKind::In(a, b) };
                left = self.nest(span, depth, ExprKind::Not(Box::new(inner)));
                continue;
            }
            let kind = match op {
                Op::Compare(compare) => ExprKind::Compare(compare, a, b),
                Op::In => ExprKind::In(a, b),
                Op::Contains => ExprKind::Contains(a, b),
                _ => ExprKind::Matches(a, b),
            };
            left = Node { expr: Expr { span, kind }, depth };
        }
        left
    }

    /// Reads operators that bind at least as tightly as `least`. `regex`: the first operand stands
    /// to the right of `matches`.
    fn arithmetic(&mut self, row: &mut Row, least: u8, regex: bool) -> Node {
        let mut left = self.operand(row, regex);
        while let Some(op) = peek(row) {
            let Some(tightness) = op.tightness().filter(|t| *t >= least) else { break };
            self.consume(row);
            let right = self.arithmetic(row, tightness + 1, false);
            left = match op {
                Op::Arith(arith) => self.join(left, right, |a, b| ExprKind::Arith(arith, a, b)),
                Op::Per => self.join(left, right, ExprKind::Per),
                _ => self.join(left, right, ExprKind::Else),
            };
        }
        left
    }

    fn join(&mut self, left: Node, right: Node, kind: impl FnOnce(Box<Expr>, Box<Expr>) -> ExprKind) -> Node {
        let span = left.expr.span.to(right.expr.span);
        let depth = left.depth.max(right.depth);
        self.nest(span, depth, kind(Box::new(left.expr), Box::new(right.expr)))
    }

    /// A node above parts that nest `depth` deep. If that is too deep, it is reported and the node
    /// is `Broken`.
    pub(super) fn nest(&mut self, span: Span, depth: usize, kind: ExprKind) -> Node {
        if depth < MAX_NESTING {
            return Node { expr: Expr { span, kind }, depth: depth + 1 };
        }
        let message = format!("brackets, `not` and arithmetic are nested deeper than {MAX_NESTING}");
        self.sink.push(
            Diagnostic::new(syntax::NESTING, message)
                .at(span, "this part")
                .help("name parts of it with `let` and use the names"),
        );
        Node { expr: Expr { span, kind: ExprKind::Broken }, depth: 0 }
    }

    // ---- operators that are refused -------------------------------------------------------------

    /// Consumes an operator. A spelling that this language does not have is reported.
    fn consume(&mut self, row: &mut Row) -> Span {
        let Some(pair) = row.next() else { return self.sink.span(self.base..self.base) };
        let span = self.span(&pair);
        let written = pair.as_str();
        if written.bytes().any(|b| b.is_ascii_uppercase()) {
            self.upper_case(written, span);
        }
        let refused = match written.to_ascii_lowercase().as_str() {
            "=" => Some((syntax::SINGLE_EQUALS, "`=` does not compare", "write `==`", Some("=="))),
            "~" => Some((syntax::UNSUPPORTED, "`~` is no operator here", "write `matches`", Some("matches"))),
            "^" => Some((
                syntax::UNSUPPORTED,
                "`^` is no operator here",
                "the operators on bits are `&` and `|`",
                None,
            )),
            "xor" | "^^" => Some((
                syntax::UNSUPPORTED,
                "there is no exclusive or",
                "write `(a and not b) or (b and not a)`",
                None,
            )),
            _ => None,
        };
        if let Some((code, message, help, fix)) = refused {
            let mut diagnostic = Diagnostic::new(code, message).at(span, "not an operator of this language");
            diagnostic = diagnostic.help(help);
            if let Some(fix) = fix {
                diagnostic = diagnostic.fix(span, fix);
            }
            self.sink.push(diagnostic);
        }
        span
    }

    pub(super) fn upper_case(&mut self, written: &str, span: Span) {
        let lower = written.to_ascii_lowercase();
        self.sink.push(
            Diagnostic::new(syntax::UPPER_CASE, format!("`{written}` is written in lower case"))
                .at(span, "upper case")
                .help(format!("write `{lower}`"))
                .fix(span, lower),
        );
    }

    /// Consumes the prefixes before an operand and returns the places of the `not`s. `not_allowed`:
    /// the prefixes follow an operator that binds tighter than `not`, so a `not` is an error there.
    pub(super) fn prefixes(&mut self, row: &mut Row, not_allowed: bool) -> Vec<Span> {
        let mut nots = Vec::new();
        while row.peek().is_some_and(|p| p.as_rule() == Rule::prefix) {
            let Some(pair) = row.next() else { break };
            let span = self.span(&pair);
            let written = pair.as_str();
            let lower = written.to_ascii_lowercase();
            let (message, help) = match lower.as_str() {
                "not" | "!" => {
                    if lower != written {
                        self.upper_case(written, span);
                    }
                    if not_allowed {
                        nots.push(span);
                        continue;
                    }
                    ("`not` cannot follow this operator", "put parentheses around it: `(not x)`")
                }
                "-" => {
                    ("there are no negative numbers", "numbers are 0 or more; write the other side larger")
                }
                "+" => ("a number has no sign", "leave out the `+`"),
                _ => ("`~` is no operator here", "write `not` before a condition, `matches` before a regex"),
            };
            self.sink.push(Diagnostic::new(syntax::UNSUPPORTED, message).at(span, "not here").help(help));
        }
        nots
    }
}
