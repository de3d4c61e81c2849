//! Operands: the parts between operators. [`literal`](super::literal) reads literals; this module
//! reads names, groups, sets, slices and the words of a station. The invariant: an operand that
//! cannot be read is `Broken` and reported.

use super::expr::{Node, Row};
use super::items::Builder;
use super::literal::{Mistake, Refused};
use super::report::no_quantifier;
use super::{Pair, Rule};
use crate::ast::{ArithOp, Expr, ExprKind, Literal, SetElement, Slice};
use crate::codes::{later, syntax};
use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};
use crate::{parse::literal, words};

impl Builder<'_> {
    /// An operand with its slices and indices. `regex`: it stands to the right of `matches`.
    pub(super) fn operand(&mut self, row: &mut Row, regex: bool) -> Node {
        self.prefixes(row, false);
        let mut node = self.primary(row, regex);
        while let Some(pair) = row.next_if(|p| matches!(p.as_rule(), Rule::slice | Rule::index)) {
            let span = node.expr.span.to(self.span(&pair));
            let base = Box::new(node.expr);
            node = if pair.as_rule() == Rule::slice {
                let Some(slice) = self.slice(&pair) else {
                    node = Node { expr: Expr { span, kind: ExprKind::Broken }, depth: node.depth };
                    continue;
                };
                self.nest(span, node.depth, ExprKind::Slice(base, slice))
            } else {
                let key = self.index_key(pair);
                self.nest(span, node.depth.max(key.depth), ExprKind::Index(base, Box::new(key.expr)))
            };
        }
        node
    }

    fn primary(&mut self, row: &mut Row, regex: bool) -> Node {
        let Some(pair) = row.next() else {
            let span = self.sink.span(self.base..self.base);
            return Node { expr: Expr { span, kind: ExprKind::Broken }, depth: 0 };
        };
        let span = self.span(&pair);
        let leaf = match pair.as_rule() {
            Rule::path => return self.path(&pair, row),
            Rule::group => return self.group(pair),
            Rule::set => return self.set(pair),
            Rule::string => return Node { expr: self.string(&pair, regex), depth: 0 },
            Rule::number => literal::number(pair.as_str()),
            Rule::dotted => literal::dotted(pair.as_str()),
            Rule::colons => literal::colons(pair.as_str()),
            Rule::dashed => Err(literal::dashed(pair.as_str())),
            _ => return Node { expr: Expr { span, kind: ExprKind::Broken }, depth: 0 },
        };
        Node { expr: self.literal(leaf, span), depth: 0 }
    }

    fn literal(&mut self, read: Result<Literal, Refused>, span: Span) -> Expr {
        let kind = match read {
            Ok(literal) => ExprKind::Literal(literal),
            Err(mistake) => {
                self.mistake(*mistake, span);
                ExprKind::Broken
            }
        };
        Expr { span, kind }
    }

    fn mistake(&mut self, mistake: Mistake, span: Span) {
        let start = span.start as usize;
        let place = match mistake.part {
            Some(part) => self.sink.span(start + part.start..start + part.end),
            None => span,
        };
        let mut diagnostic = Diagnostic::new(mistake.code, mistake.message).at(place, mistake.label);
        diagnostic = diagnostic.help(mistake.help);
        if let Some(better) = mistake.fix {
            diagnostic = diagnostic.fix(place, better);
        }
        self.sink.push(diagnostic);
    }

    /// A string. `regex`: its escapes are those of a regex.
    pub(super) fn string(&mut self, pair: &Pair, regex: bool) -> Expr {
        let span = self.span(pair);
        let mut broken = false;
        let bytes = literal::string(pair.as_str(), regex, |mistake| {
            broken = true;
            self.mistake(*mistake, span);
        });
        let kind = if broken { ExprKind::Broken } else { ExprKind::Literal(Literal::String(bytes)) };
        Expr { span, kind }
    }

    /// A field or another name, or the call of a function.
    fn path(&mut self, pair: &Pair, row: &mut Row) -> Node {
        let span = self.span(pair);
        let written = pair.as_str();
        let kind = match written {
            "true" | "True" => ExprKind::Literal(Literal::Bool(true)),
            "false" | "False" => ExprKind::Literal(Literal::Bool(false)),
            "TRUE" | "FALSE" => {
                self.upper_case(written, span);
                ExprKind::Literal(Literal::Bool(written == "TRUE"))
            }
            _ => {
                let lower = written.split('.').map(words::snake_case).collect::<Vec<_>>().join(".");
                ExprKind::Path(self.snake_case(written, span, lower))
            }
        };
        let Some(arguments) = row.next_if(|p| p.as_rule() == Rule::arguments) else {
            return Node { expr: Expr { span, kind }, depth: 0 };
        };
        let whole = span.to(self.span(&arguments));
        if matches!(written, "any" | "all") {
            self.sink.push(no_quantifier(written, span));
        }
        let (arguments, depth) = self.list(arguments);
        self.nest(whole, depth, ExprKind::Call(Spanned::new(written.to_string(), span), arguments))
    }

    /// The expressions between commas.
    fn list(&mut self, pair: Pair) -> (Vec<Expr>, usize) {
        let mut depth = 0;
        let parts = pair.into_inner().filter(|p| p.as_rule() == Rule::expr);
        let list = parts
            .map(|p| {
                let node = self.row(p);
                depth = depth.max(node.depth);
                node.expr
            })
            .collect();
        (list, depth)
    }

    fn group(&mut self, pair: Pair) -> Node {
        let span = self.span(&pair);
        let (mut parts, depth) = self.list(pair);
        let kind = match parts.pop() {
            Some(only) if parts.is_empty() => ExprKind::Paren(Box::new(only)),
            last => {
                parts.extend(last);
                ExprKind::Tuple(parts)
            }
        };
        self.nest(span, depth, kind)
    }

    /// The key between the brackets of an index. Several keys are read as the tuple that the author
    /// means.
    fn index_key(&mut self, pair: Pair) -> Node {
        let span = self.span(&pair);
        let (mut parts, depth) = self.list(pair);
        match parts.pop() {
            Some(only) if parts.is_empty() => Node { expr: only, depth },
            last => {
                parts.extend(last);
                self.sink.push(
                    Diagnostic::new(syntax::SEPARATOR, "a key of several parts stands in parentheses")
                        .at(span, "several keys")
                        .help("write a tuple: `t[(a, b)]`"),
                );
                self.nest(span, depth, ExprKind::Tuple(parts))
            }
        }
    }

    // ---- sets -----------------------------------------------------------------------------------

    fn set(&mut self, pair: Pair) -> Node {
        let span = self.span(&pair);
        let parts = self.separated(pair, Rule::element, false);
        if parts.is_empty() {
            self.sink.push(
                Diagnostic::new(syntax::EMPTY_SET, "an empty set holds nothing, so `in` it never holds")
                    .at(span, "no elements")
                    .help(
                        "write the elements: `{80, 443}`; for a set that is filled later, declare a `table`",
                    ),
            );
        }
        let mut depth = 0;
        let mut elements = Vec::with_capacity(parts.len());
        for part in parts {
            let mut ends = part.into_inner().filter(|p| p.as_rule() == Rule::value);
            let Some(low) = ends.next().map(|p| self.row(p)) else { continue };
            let high = ends.next().map(|p| self.row(p));
            depth = depth.max(low.depth).max(high.as_ref().map_or(0, |h| h.depth));
            let low = self.dash_range(low.expr);
            elements.push(SetElement { low, high: high.map(|h| h.expr) });
        }
        self.nest(span, depth, ExprKind::Set(elements))
    }

    /// Reports `80-90`: a difference of two numbers in a set is always a mistake.
    fn dash_range(&mut self, expr: Expr) -> Expr {
        let ExprKind::Arith(ArithOp::Sub, low, high) = &expr.kind else { return expr };
        let (ExprKind::Literal(Literal::Number { .. }), ExprKind::Literal(Literal::Number { .. })) =
            (&low.kind, &high.kind)
        else {
            return expr;
        };
        let sign = Span { start: low.span.end, end: high.span.start, ..expr.span };
        self.sink.push(
            Diagnostic::new(syntax::DASH_RANGE, "a range is written with two dots")
                .at(expr.span, "a difference, not a range")
                .help("write `low..high`; both ends belong to it")
                .fix(sign, ".."),
        );
        Expr { span: expr.span, kind: ExprKind::Broken }
    }

    /// The parts of a set or table, which commas must separate. Only the first mistake is reported.
    pub(super) fn separated<'t>(&mut self, pair: Pair<'t>, part: Rule, may_trail: bool) -> Vec<Pair<'t>> {
        let mut parts = Vec::new();
        let mut mistake = None;
        let mut last: Option<(Rule, Span)> = None;
        for pair in pair.into_inner().filter(|p| p.as_rule() == part || p.as_rule() == Rule::comma) {
            let (which, span) = (pair.as_rule(), self.span(&pair));
            if mistake.is_none() {
                mistake = match last {
                    _ if pair.as_str() == ";" => {
                        Some(separator("elements are separated by commas", span, Some(",")))
                    }
                    Some((before, end)) if before == part && which == part => {
                        let gap = Span { start: end.end, ..end };
                        Some(separator("a comma is missing", span, None).fix(gap, ","))
                    }
                    Some((before, _)) if before == part => None,
                    _ if which == part => None,
                    _ => Some(separator("there is no element before this comma", span, Some(""))),
                };
            }
            last = Some((which, span));
            if which == part {
                parts.push(pair);
            }
        }
        if let (Some((Rule::comma, span)), false, None) = (last, may_trail, &mistake) {
            mistake = Some(separator("there is no element after this comma", span, Some("")));
        }
        if let Some(mistake) = mistake {
            self.sink.push(mistake);
        }
        parts
    }

    // ---- slices ---------------------------------------------------------------------------------

    fn slice(&mut self, pair: &Pair) -> Option<Slice> {
        let span = self.span(pair);
        let text = pair.as_str();
        let inside: String =
            text.trim_matches(['[', ']']).chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let (message, help) = if inside.contains(',') {
            (
                "a slice has one part",
                "compare each part by itself and join with `and`: `x[0] == 1 and x[4] == 2`",
            )
        } else {
            match slice_part(&inside) {
                Some(slice) => return Some(slice),
                None => (
                    "these bounds cannot be",
                    "write `[offset:length]`, of 1 byte at least, or `[first-last]`, the last not before the first; at most 2^63-1",
                ),
            }
        };
        self.sink.push(Diagnostic::new(syntax::SLICE, message).at(span, "this slice").help(help));
        None
    }

    // ---- stations -------------------------------------------------------------------------------

    /// A word of a station: a literal, or a name in the style of interface names.
    pub(super) fn station_word(&mut self, pair: &Pair) -> Expr {
        let span = self.span(pair);
        let word = pair.as_str();
        if word.bytes().any(|b| b == 1) {
            return Expr { span, kind: ExprKind::Broken };
        }
        let is_name = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if is_name && word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Expr { span, kind: ExprKind::Path(word.to_string()) };
        }
        // `fe80::1%eth1`: the checker says what to write instead.
        if word.split_once('%').is_some_and(|(address, _)| address.parse::<std::net::Ipv6Addr>().is_ok()) {
            return Expr { span, kind: ExprKind::Path(word.to_string()) };
        }
        let digits = word.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'/'));
        if digits && word.contains(':') {
            return self.literal(literal::colons(word), span);
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) && (is_name || digits) {
            let read = if word.contains('.') { literal::dotted(word) } else { literal::number(word) };
            return self.literal(read, span);
        }
        self.sink.push(
            Diagnostic::new(syntax::STATION_WORD, format!("`{word}` is neither a literal nor a plain name"))
                .at(span, "this word")
                .help(format!("file names and names with other signs stand in quotes: `\"{word}\"`"))
                .fix(span, format!("\"{word}\"")),
        );
        Expr { span, kind: ExprKind::Broken }
    }
}

/// Reports a pool, which has commas between its stations.
pub(super) fn no_pool(span: Span) -> Diagnostic {
    Diagnostic::new(later::STATIONS, "the station kind `pool` is not available yet")
        .at(span, "not available yet")
        .help("a rule can name several stations, and each gets every copy: `to b, c`")
}

/// The diagnostic of a comma that is missing, wrong or superfluous.
fn separator(message: &str, span: Span, fix: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::new(syntax::SEPARATOR, message)
        .at(span, "here")
        .help("between two elements stands one comma, `{80, 443}`; only the rows of a table may end in one");
    match fix {
        Some(better) => diagnostic.fix(span, better),
        None => diagnostic,
    }
}

fn slice_part(text: &str) -> Option<Slice> {
    let integer = |text: &str| -> Option<i64> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => digits.parse::<i64>().ok()?,
        };
        Some(sign * value)
    };
    let length = |text: &str| integer(text).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    if let Some((offset, rest)) = text.split_once(':') {
        return match (offset.is_empty(), rest.is_empty()) {
            (true, _) => Some(Slice::To(length(rest)?)),
            (false, true) => Some(Slice::From(integer(offset)?)),
            (false, false) => Some(Slice::OffsetLength(integer(offset)?, length(rest)?)),
        };
    }
    let dash = text.get(1..).and_then(|t| t.find('-'));
    match dash {
        Some(n) => {
            let (first, last) = (integer(text.get(..n + 1)?)?, integer(text.get(n + 2..)?)?);
            // A negative offset counts from the end. A negative first and a non-negative last
            // offset can be right for some lengths.
            let backwards = if first < 0 { last >= 0 || last < first } else { (0..first).contains(&last) };
            (!backwards).then_some(Slice::FirstLast(first, last))
        }
        None => Some(Slice::At(integer(text)?)),
    }
}
