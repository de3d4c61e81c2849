//! The dialect of `matches`: regular expressions over bytes, without regard to case, as in Wireshark (PCRE). What the
//! library would read otherwise than PCRE is refused, never read silently as something else; `$` also matches before a
//! last line end, as there. The invariant: a pattern that [`check`] accepts compiles.
//! (Rejected: a binding to PCRE, which backtracks: a packet could hang a worker.)

use regex_automata::meta;
use regex_syntax::ast::{self, Ast, Visitor, visit};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Capture, Hir, HirKind, Look, Repetition};
use std::ops::Range;

/// How deep groups may nest.
const NESTING: u32 = 64;

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// In the user's words.
    pub message: String,
    /// Which bytes of the pattern.
    pub at: Range<usize>,
}

/// Whether a pattern can be used.
pub fn check(pattern: &str) -> Result<(), PatternError> {
    let hir = parse(pattern)?;
    compile(&[hir]).map(drop).map_err(|error| {
        let message = match error.size_limit() {
            Some(most) => {
                format!("a pattern that becomes larger than {} MiB when it is compiled", most >> 20)
            }
            None => error.to_string(),
        };
        PatternError { message, at: 0..pattern.len() }
    })
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str) -> Result<Hir, PatternError> {
    let wrong =
        |message: String, span: &ast::Span| PatternError { message, at: span.start.offset..span.end.offset };
    let ast = ast::parse::ParserBuilder::new()
        .nest_limit(NESTING)
        .build()
        .parse(pattern)
        .map_err(|e| wrong(e.kind().to_string(), e.span()))?;
    visit(&ast, Strange).map_err(|(message, span)| wrong(message.to_owned(), &span))?;
    let hir = TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true)
        .build()
        .translate(pattern, &ast)
        .map_err(|e| wrong(e.kind().to_string(), e.span()))?;
    Ok(end_before_newline(hir))
}

/// Compiles patterns into one engine that tells which of them match.
pub(super) fn compile(patterns: &[Hir]) -> Result<meta::Regex, Box<meta::BuildError>> {
    let kind = match patterns {
        [_] => regex_automata::MatchKind::LeftmostFirst,
        _ => regex_automata::MatchKind::All,
    };
    let config = meta::Config::new()
        .match_kind(kind)
        .utf8_empty(false)
        .nfa_size_limit(Some(10 << 20))
        .hybrid_cache_capacity(2 << 20);
    meta::Builder::new().configure(config).build_many_from_hir(patterns).map_err(Box::new)
}

/// Finds what means something else in PCRE.
struct Strange;

impl Visitor for Strange {
    type Output = ();
    type Err = (&'static str, ast::Span);

    fn finish(self) -> Result<(), Self::Err> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Repetition(outer) if matches!(*outer.ast, Ast::Repetition(_)) => {
                Err(("a repetition of a repetition: put a group around the inner one", outer.op.span))
            }
            Ast::Assertion(a)
                if matches!(
                    a.kind,
                    ast::AssertionKind::WordBoundaryStartAngle | ast::AssertionKind::WordBoundaryEndAngle
                ) =>
            {
                Err((r"write `<` and `>` without a backslash, or `\b` for the edge of a word", a.span))
            }
            Ast::Literal(l) => vertical_space(l),
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ast::ClassSetItem::Bracketed(inner) => {
                Err((r"a `[` inside brackets: write `\[` for the character", inner.span))
            }
            ast::ClassSetItem::Literal(l) => vertical_space(l),
            ast::ClassSetItem::Range(r) => vertical_space(&r.start).and(vertical_space(&r.end)),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, op: &ast::ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err((r"`&&`, `--` and `~~` inside brackets: write a backslash before the second character", op.span))
    }
}

/// `\v` is one character for the library and several in PCRE.
fn vertical_space(literal: &ast::Literal) -> Result<(), (&'static str, ast::Span)> {
    match literal.kind {
        ast::LiteralKind::Special(ast::SpecialLiteralKind::VerticalTab) => {
            Err((r"`\v` stands for several characters: write `[\x0a-\x0d]`, or `\x0b` for one", literal.span))
        }
        _ => Ok(()),
    }
}

/// Lets the end of the bytes also be before a last line end. The library has no look-ahead, but nothing that stands
/// behind an end can match anything, so the line end may be consumed.
fn end_before_newline(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(Look::End) => {
            let newline = Hir::literal(*b"\n");
            let maybe =
                Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(newline) });
            Hir::concat(vec![maybe, Hir::look(Look::End)])
        }
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(r) => {
            Hir::repetition(Repetition { sub: Box::new(end_before_newline(*r.sub)), ..r })
        }
        HirKind::Capture(c) => Hir::capture(Capture { sub: Box::new(end_before_newline(*c.sub)), ..c }),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(end_before_newline).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(end_before_newline).collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn matches(pattern: &str, text: &[u8]) -> bool {
        compile(&[parse(pattern).unwrap()]).unwrap().is_match(text)
    }

    #[test]
    fn bytes_without_case_as_in_pcre() {
        assert!(matches("^get ", b"GET /"));
        assert!(!matches("(?-i)^get ", b"GET /"));
        assert!(matches(r"\xff.\x00", b"\xff\x80\x00"));
        assert!(!matches("a.b", b"a\nb"));
        assert!(matches("a$", b"a"));
        assert!(matches("a$", b"a\n"));
        assert!(!matches("a$", b"a\n\n"));
        assert!(matches("(a|b$)", b"b\n"));
        assert!(!matches("^a", b"\na"));
        assert!(matches("(?m)^a$", b"\na\nb"));
        assert!(matches("", b"x"));
        assert!(matches("é", "é".as_bytes()));
        assert!(matches(r"[[:digit:]]\d", b"12"));
    }

    #[test]
    fn what_pcre_reads_otherwise_is_refused_where_it_stands() {
        for (pattern, at) in [
            ("x[a[b]]", 3..6),
            ("x[a&&b]", 2..6),
            ("x[a--b]", 2..6),
            (r"x\<b", 1..3),
            (r"x\v", 1..3),
            (r"x[\v]", 2..4),
            ("xa*+", 3..4),
            ("xa**", 3..4),
            ("x(", 1..2),
            (r"x(?=a)", 1..4),
            (r"x(a)\1", 4..6),
            ("x[é]", 2..4),
        ] {
            let error = parse(pattern).expect_err(pattern);
            assert_eq!(error.at, at, "{pattern}: {error}");
        }
        let large = check("(?:x{1000}){1000}").expect_err("too large");
        assert_eq!(large.message, "a pattern that becomes larger than 10 MiB when it is compiled");
        assert!(check(&"(".repeat(100)).is_err());
        assert_eq!(check("(a|b)+?c{2,3}[x-z-]"), Ok(()));
    }
}
