//! Expressions and types. The tree keeps parentheses as written, so the printer adds and removes
//! none. A chain of `and` or `or` with line breaks is broken before the operator; other operators
//! stay on their line. The invariant: comments before an operand are printed before its operator,
//! so that formatting the result finds them in the same place.

use super::{Gap, Printer};
use crate::ast::{ArithOp, CompareOp, Expr, ExprKind, SetElement, TypeExpr, TypeKind};

impl Printer<'_> {
    pub(super) fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Path(_) | ExprKind::Broken => {
                let source = self.source(expr.span);
                self.token(expr.span.start, source);
            }
            ExprKind::Not(inner) if expr.is_not_in() => {
                if let ExprKind::In(a, b) = &inner.kind {
                    self.binary(a, "not in", b);
                }
            }
            ExprKind::Not(inner) => {
                self.token(expr.span.start, "not");
                self.blank();
                self.expr(inner);
            }
            ExprKind::And(parts) => self.chain(parts, "and"),
            ExprKind::Or(parts) => self.chain(parts, "or"),
            ExprKind::Compare(op, left, right) => self.binary(left, comparison(*op), right),
            ExprKind::Arith(op, left, right) => self.binary(left, arithmetic(*op), right),
            ExprKind::In(left, right) => self.binary(left, "in", right),
            ExprKind::Contains(left, right) => self.binary(left, "contains", right),
            ExprKind::Matches(left, right) => self.binary(left, "matches", right),
            ExprKind::Else(left, right) => self.binary(left, "else", right),
            ExprKind::Per(left, right) => self.binary(left, "per", right),
            ExprKind::Within(left, right) => self.binary(left, "within", right),
            ExprKind::Set(elements) => self.set(expr, elements),
            ExprKind::Paren(inner) => {
                self.list(expr.span.start, "(", std::slice::from_ref(inner.as_ref()), expr.span.end, ")")
            }
            ExprKind::Tuple(parts) => self.list(expr.span.start, "(", parts, expr.span.end, ")"),
            ExprKind::Call(name, arguments) => {
                self.token(name.span.start, &name.node);
                self.list(name.span.end, "(", arguments, expr.span.end, ")");
            }
            ExprKind::Index(base, key) => {
                self.expr(base);
                self.list(base.span.end, "[", std::slice::from_ref(key.as_ref()), expr.span.end, "]");
            }
            ExprKind::Slice(base, _) => {
                self.expr(base);
                self.slice(base.span.end, expr.span.end);
            }
        }
    }

    fn chain(&mut self, parts: &[Expr], operator: &str) {
        let (indent, hang) = (self.indent, self.hang);
        let mut end = None;
        for part in parts {
            if let Some(end) = end {
                self.comments_before(part.span.start);
                if self.is_broken(end, part.span.start) {
                    self.gap = Gap::Line;
                }
                self.blank();
                self.put(operator);
                self.blank();
                if self.at_hang() {
                    (self.indent, self.hang) = (hang, hang + 4);
                }
            }
            self.expr(part);
            (self.indent, self.hang) = (indent, hang);
            end = Some(part.span.end);
        }
    }

    /// Whether the current line started at the hanging indent: a bracket that opens there also
    /// closes there.
    fn at_hang(&self) -> bool {
        let indent = self.current().bytes().take_while(|b| *b == b' ').count();
        self.hang > self.indent && indent == self.hang
    }

    fn binary(&mut self, left: &Expr, operator: &str, right: &Expr) {
        self.expr(left);
        self.comments_before(right.span.start);
        self.blank();
        self.put(operator);
        self.blank();
        self.expr(right);
    }

    /// Expressions with commas between brackets. The opening bracket comes after `from`; the
    /// closing bracket ends at `end`.
    fn list(&mut self, from: u32, open: &str, parts: &[Expr], end: u32, close: &str) {
        self.token(from, open);
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                self.put(",");
                self.blank();
            }
            self.expr(part);
        }
        self.comments_before(end.saturating_sub(1));
        self.put(close);
    }

    /// A slice as it was written, between `from` and `end`, without blanks.
    fn slice(&mut self, from: u32, end: u32) {
        self.comments_before(end);
        let source = self.text.get(from as usize..end as usize).unwrap_or("");
        let code = source.lines().map(|line| line.split('#').next().unwrap_or(""));
        let written: String = code.flat_map(str::chars).filter(|c| !c.is_ascii_whitespace()).collect();
        self.put(&written);
    }

    // ---- sets -----------------------------------------------------------------------------------

    fn set(&mut self, expr: &Expr, elements: &[SetElement]) {
        let spans: Vec<(u32, u32)> = elements
            .iter()
            .map(|e| (e.low.span.start, e.high.as_ref().map_or(e.low.span.end, |h| h.span.end)))
            .collect();
        self.token(expr.span.start, "{");
        self.braced(expr.span.start, expr.span.end, &spans, false, |printer, n| {
            let Some(element) = elements.get(n) else { return };
            printer.expr(&element.low);
            if let Some(high) = &element.high {
                printer.put("..");
                printer.expr(high);
            }
        });
    }

    /// The parts of a set or table and its closing brace. The result keeps the line breaks between
    /// parts. `trailing`: a comma follows the last part if the brace has its own line.
    pub(super) fn braced(
        &mut self,
        start: u32,
        end: u32,
        parts: &[(u32, u32)],
        trailing: bool,
        mut print: impl FnMut(&mut Self, usize),
    ) {
        let (indent, hang) = (self.indent, self.hang);
        (self.indent, self.hang) = (indent + 4, indent + 8);
        let mut before = start + 1;
        for (n, &(from, to)) in parts.iter().enumerate() {
            if n > 0 {
                self.put(",");
            }
            if self.is_broken(before, from) {
                self.line(from, n == 0);
            } else if n > 0 {
                self.blank();
            }
            print(self, n);
            before = to;
        }
        let brace = end.saturating_sub(1);
        if self.is_broken(before, brace) {
            if trailing && !parts.is_empty() {
                self.put(",");
            }
            self.last_line(brace, indent, parts.is_empty());
        }
        (self.indent, self.hang) = (indent, hang);
        self.put("}");
    }

    // ---- types ----------------------------------------------------------------------------------

    pub(super) fn type_expr(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Named(name) => self.token(ty.span.start, name),
            TypeKind::Set(element) => {
                self.token(ty.span.start, "set<");
                self.type_expr(element);
                self.comments_before(ty.span.end);
                self.put(">");
            }
            TypeKind::Map(key, value) => {
                self.token(ty.span.start, "map<");
                self.type_expr(key);
                self.put(",");
                self.blank();
                self.type_expr(value);
                self.comments_before(ty.span.end);
                self.put(">");
            }
            TypeKind::Tuple(parts) => {
                self.token(ty.span.start, "(");
                for (n, part) in parts.iter().enumerate() {
                    if n > 0 {
                        self.put(",");
                        self.blank();
                    }
                    self.type_expr(part);
                }
                self.comments_before(ty.span.end);
                self.put(")");
            }
            TypeKind::Unordered(tuple) => {
                self.token(ty.span.start, "unordered");
                self.blank();
                self.type_expr(tuple);
            }
            TypeKind::Words(words) => {
                self.token(ty.span.start, "{");
                for (n, word) in words.iter().enumerate() {
                    if n > 0 {
                        self.put(",");
                        self.blank();
                    }
                    self.token(word.span.start, &word.node);
                }
                self.comments_before(ty.span.end);
                self.put("}");
            }
        }
    }
}

fn comparison(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::AllEq => "===",
        CompareOp::AnyNe => "!==",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

fn arithmetic(op: ArithOp) -> &'static str {
    match op {
        ArithOp::And => "&",
        ArithOp::Or => "|",
        ArithOp::Add => "+",
        ArithOp::Sub => "-",
        ArithOp::Mul => "*",
        ArithOp::Div => "/",
        ArithOp::Rem => "%",
    }
}
