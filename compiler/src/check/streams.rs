//! Searches in streams: `stream contains "x"`, `stream matches "re"`, each `within` a depth. The
//! invariant: a program holds a pattern once per depth. A pattern is not empty, and it can be found
//! within its depth without waiting for a stream's end. (Rejected: no depth by default; every byte
//! of every stream would be searched for ever.)

use super::Checker;
use super::value::{Alt, Const, Form, Kind, Number, Term, TermTy, Unit};
use crate::fields::Ty;
use crate::hir::{DEFAULT_DEPTH, MAX_DEPTH, Num, Pred, Program, StreamId, StreamKind, StreamPattern};
use crate::pattern;
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use regex_automata::util::syntax;
use regex_syntax::hir::Look;
use std::ops::Range;

/// Whether one automaton can hold all patterns of a program. `places` has the place of each pattern
/// in the text. An automaton that is too large is reported at one of its patterns.
pub(super) fn check_automaton(program: &Program, places: &[Span]) -> Option<Diagnostic> {
    if program.streams.is_empty() {
        return None;
    }
    let too_large = program.automaton().err()?;
    let place = too_large.pattern.and_then(|id| places.get(id.index())).or(places.first())?;
    Some(
        Diagnostic::new(codes::REGEX_TOO_LARGE, too_large.to_string())
            .at(*place, "here")
            .help("repeat less (`{1,1000}` is a thousand states), or look for a fixed text with `contains`"),
    )
}

/// Whether an expression is the word `stream`.
pub(super) fn is_stream(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Path(path) => path == "stream",
        ExprKind::Paren(inner) => is_stream(inner),
        _ => false,
    }
}

fn unwrapped(expr: &Expr) -> &Expr {
    if let ExprKind::Paren(inner) = &expr.kind { unwrapped(inner) } else { expr }
}

impl Checker<'_> {
    /// `inner within depth`
    pub fn within(&mut self, inner: &Expr, depth: &Expr, span: Span) -> Pred {
        match &unwrapped(inner).kind {
            ExprKind::Contains(left, right) if is_stream(left) => self.stream_contains(right, Some(depth)),
            ExprKind::Matches(left, right) if is_stream(left) => self.stream_matches(right, Some(depth)),
            _ => {
                self.condition(inner);
                let message = "`within` limits a search in a stream; this searches no stream";
                let finding = Diagnostic::new(codes::OPERATOR, message).at(span, "not a test of a stream");
                self.report(finding.help(
                    "write `stream contains \"x\" within 64KiB`; of one packet's payload, take a slice: `tcp.payload[:64]`",
                ));
                Pred::never()
            }
        }
    }

    /// `stream contains right`
    pub fn stream_contains(&mut self, right: &Expr, depth: Option<&Expr>) -> Pred {
        let value = self.value(right);
        let needle = self.needle(&value);
        let depth = self.depth(depth);
        let (Some(needle), Some(depth)) = (needle, depth) else { return Pred::never() };
        if !self.long_enough(Some(needle.len()), &depth, right.span) {
            return Pred::never();
        }
        self.stream_pattern(StreamKind::Contains(needle), depth, right.span)
    }

    /// `stream matches right`
    pub fn stream_matches(&mut self, right: &Expr, depth: Option<&Expr>) -> Pred {
        let value = self.value(right);
        let text = self.pattern_text(&value);
        let depth = self.depth(depth);
        let Some(text) = text else { return Pred::never() };
        let translated = match pattern::translate(&text) {
            Ok(translated) => translated,
            Err(error) => {
                self.bad_pattern(right, &text, error);
                return Pred::never();
            }
        };
        // A translated pattern always parses. If it did not, the engines would report it.
        let Ok(hir) = syntax::parse_with(&translated, &pattern::syntax()) else { return Pred::never() };
        let properties = hir.properties();
        if properties.look_set().contains(Look::End) {
            let place = self.in_pattern(right, &text, end_anchor(&text));
            let message = "the end of a stream is never seen: a pattern ends with its last byte";
            let finding = Diagnostic::new(codes::STREAM, message).at(place, "the end of the bytes");
            self.report(finding.help(
                "leave it out; ends of lines are `\\r\\n`, or `$` in a pattern that begins with `(?m)`",
            ));
            return Pred::never();
        }
        if properties.minimum_len() == Some(0) {
            let message = "this pattern is found in every stream: it matches the empty text";
            let finding = Diagnostic::new(codes::STREAM, message).at(right.span, "matches nothing as well");
            self.report(finding.help("write at least one byte that must be there: `a+` for `a*`"));
            return Pred::never();
        }
        let Some(depth) = depth else { return Pred::never() };
        if !self.long_enough(properties.minimum_len(), &depth, right.span) {
            return Pred::never();
        }
        self.stream_pattern(StreamKind::Matches(translated), depth, right.span)
    }

    /// How deep a stream is searched. `None`: reported.
    fn depth(&mut self, depth: Option<&Expr>) -> Option<Num> {
        let Some(expr) = depth else { return Some(Num::constant(DEFAULT_DEPTH)) };
        let value = self.value(expr);
        let what = match &value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value: 0, unit: Unit::None | Unit::Size, .. })) => {
                let finding = Diagnostic::new(codes::STREAM, "within 0 bytes nothing is found");
                self.report(finding.at(expr.span, "no byte at all").help("write a size: `within 64KiB`"));
                return None;
            }
            Kind::Const(Const::Number(Number { value, unit: Unit::None | Unit::Size, .. })) => {
                if *value > MAX_DEPTH {
                    let written = self.text(expr.span);
                    let message = format!("`{written}` is too deep: streams are searched up to 4GiB");
                    let finding = Diagnostic::new(codes::STREAM, message).at(expr.span, "more than 4GiB");
                    self.report(finding.help("write `within 4GiB`, or less").fix(expr.span, "4GiB"));
                    return None;
                }
                return Some(Num::constant(*value));
            }
            Kind::Const(constant) => constant.describe().to_owned(),
            Kind::Term(Term { form: Form::Param(_), ty: TermTy::Field(Ty::Uint(_)), alts, .. }) => {
                let [Alt::Num(num)] = alts.as_slice() else { return None };
                if num.max() <= MAX_DEPTH {
                    return Some(num.clone());
                }
                let name = self.text(expr.span);
                let message = format!("`{name}` may be up to {}, which is more than 4GiB", num.max());
                let finding = Diagnostic::new(codes::STREAM, message).at(expr.span, "may be more than 4GiB");
                self.report(finding.help("give the param bounds: `in 1..1MiB`"));
                return None;
            }
            Kind::Term(term) if term.form == Form::ParamArith => "made of params".to_owned(),
            Kind::Term(Term { form: Form::Param(_), ty, .. }) => ty.describe(),
            Kind::Term(_) => "read from the packet".to_owned(),
            _ => "no size".to_owned(),
        };
        let written = self.text(expr.span);
        let message = format!("`within` takes a size; `{written}` is {what}");
        let finding = Diagnostic::new(codes::STREAM, message).at(expr.span, what);
        self.report(finding.help("write a size, or the name of a param of type `size`: `within 64KiB`"));
        None
    }

    /// Whether this many bytes can be found within a depth. If not, it is reported.
    fn long_enough(&mut self, bytes: Option<usize>, depth: &Num, span: Span) -> bool {
        let (bytes, depth) = (bytes.unwrap_or(usize::MAX) as u64, depth.max());
        if bytes <= depth {
            return true;
        }
        let (message, help) = match bytes == u64::MAX {
            true => (
                "this pattern is never found: nothing matches it".to_owned(),
                "correct it: a class such as `[^\\x00-\\xff]` holds no byte".to_owned(),
            ),
            false => (
                format!("{bytes} bytes are never found within the first {depth} bytes of a stream"),
                format!("search deeper: `within {bytes}`"),
            ),
        };
        self.report(Diagnostic::new(codes::STREAM, message).at(span, "never found").help(help));
        false
    }

    fn stream_pattern(&mut self, kind: StreamKind, depth: Num, span: Span) -> Pred {
        let next = StreamId(self.streams.len() as u32);
        let id = *self.streams.entry(StreamPattern { kind, depth }).or_insert(next);
        if id == next {
            self.stream_places.push(span);
            self.count_patterns(self.streams.len(), span);
        }
        Pred::stream(id)
    }
}

/// Where a pattern anchors to the end of the bytes.
fn end_anchor(pattern: &str) -> Range<usize> {
    let bytes = pattern.as_bytes();
    let (mut at, mut in_class) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match (byte, in_class) {
            (b'\\', _) if !in_class && matches!(bytes.get(at + 1), Some(b'z' | b'Z')) => return at..at + 2,
            (b'\\', _) => at += 1,
            (b'[', false) => in_class = true,
            (b']', true) => in_class = false,
            (b'$', false) => return at..at + 1,
            _ => {}
        }
        at += 1;
    }
    0..pattern.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_where_it_is_written() {
        for (pattern, place) in
            [("a$", 1..2), (r"a\$b\z", 4..6), ("[$]x$", 4..5), (r"(a\Z|b)", 2..4), ("none", 0..4)]
        {
            assert_eq!(end_anchor(pattern), place, "{pattern}");
        }
    }
}
