//! `contains`, `matches` and `in`: the tests on bytes and sets. The invariant: a program holds a
//! needle and a pattern once, however often they are written. (Rejected: searching numbers as
//! text.)

use super::Checker;
use super::compare::apply;
use super::streams::is_stream;
use super::value::{Alt, Bound, BoundKind, Const, Element, Form, Kind, Term, TermTy, Value};
use crate::fields::{BytesSource, Facet, Ty};
use crate::hir::{Bytes, NeedleId, Pred, RegexId, TextTest};
use crate::pattern::{self, PatternError};
use mrule_grammar::ast::{CompareOp, Expr, ExprKind, Literal};
use mrule_grammar::codes::{later, names as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::ops::Range;
use std::sync::Arc;

/// The longest text that `contains` looks for, in bytes.
pub const MAX_NEEDLE: usize = 4096;

/// The greatest number of different texts, and of different patterns, in a program.
pub const MAX_PATTERNS: usize = 65_536;

impl Checker<'_> {
    /// `left contains right`
    pub fn contains(&mut self, left: &Expr, right: &Expr) -> Pred {
        if is_stream(left) {
            return self.stream_contains(right, None);
        }
        let (left, right) = (self.value(left), self.value(right));
        let places = self.searched(&left, "contains");
        let needle = self.needle(&right);
        let (Some(places), Some(needle)) = (places, needle) else { return Pred::never() };
        let next = NeedleId(self.needles.len() as u32);
        let id = *self.needles.entry(needle).or_insert(next);
        if id == next {
            self.count_patterns(self.needles.len(), right.span);
        }
        Pred::or(places.into_iter().map(|haystack| match haystack {
            Haystack::Bytes(bytes) => Pred::contains(bytes, id),
            Haystack::Facet(facet) => Pred::facet_text(facet, TextTest::Contains(id)),
        }))
    }

    /// The bytes that `contains` looks for. `None`: reported.
    pub fn needle(&mut self, right: &Value) -> Option<Arc<[u8]>> {
        let needle = match &right.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Text(b) | Const::Bytes(b)) => b.clone(),
            _ => {
                let finding = self.not_a_needle(right);
                self.report(finding);
                return None;
            }
        };
        if needle.is_empty() {
            let finding = Diagnostic::new(codes::NEEDLE, "everything contains the empty text");
            let finding = finding.at(right.span, "empty");
            self.report(
                finding.help("to test that there are any bytes, write the field alone: `tcp.payload`"),
            );
            return None;
        }
        if needle.len() > MAX_NEEDLE {
            let message =
                format!("this text has {} bytes; at most {MAX_NEEDLE} are looked for", needle.len());
            let finding = Diagnostic::new(codes::NEEDLE, message).at(right.span, "too long");
            self.report(finding.help("look for a part of it"));
            return None;
        }
        Some(needle)
    }

    fn not_a_needle(&self, right: &Value) -> Diagnostic {
        let written = self.text(right.span);
        let message = format!("`contains` looks for text or bytes; `{written}` is neither");
        let finding = Diagnostic::new(codes::NEEDLE, message).at(right.span, "not text");
        match &right.kind {
            Kind::Const(Const::Number(n)) => {
                let digits = n.value.to_be_bytes();
                let from = (n.value.leading_zeros() as usize / 8).min(7);
                let bytes = super::constant::colons(digits.get(from..).unwrap_or(&[]));
                finding.help(format!("write `\"{written}\"` for the digits, or bytes such as `{bytes}`"))
            }
            Kind::Set(_) => finding.help("join several by `or`, or write `matches \"one|two\"`"),
            _ => finding.help("write `contains \"text\"` or `contains 47:45:54`"),
        }
    }

    /// `left matches right`
    pub fn matches(&mut self, left: &Expr, right: &Expr) -> Pred {
        if is_stream(left) {
            return self.stream_matches(right, None);
        }
        let (left, value) = (self.value(left), self.value(right));
        let places = self.searched(&left, "matches");
        let Some(pattern) = self.pattern_text(&value) else { return Pred::never() };
        let id = match self.regexes.get(pattern.as_str()) {
            Some((id, _)) => *id,
            None => match pattern::translate(&pattern) {
                Ok(translated) => {
                    let id = RegexId(self.regexes.len() as u32);
                    self.regexes.insert(Arc::from(pattern), (id, translated));
                    self.count_patterns(self.regexes.len(), value.span);
                    id
                }
                Err(error) => {
                    self.bad_pattern(right, &pattern, error);
                    return Pred::never();
                }
            },
        };
        let Some(places) = places else { return Pred::never() };
        Pred::or(places.into_iter().map(|haystack| match haystack {
            Haystack::Bytes(bytes) => Pred::matches(bytes, id),
            Haystack::Facet(facet) => Pred::facet_text(facet, TextTest::Matches(id)),
        }))
    }

    /// The text of a pattern. `None`: reported.
    pub fn pattern_text(&mut self, value: &Value) -> Option<String> {
        match &value.kind {
            Kind::Poison => None,
            Kind::Const(Const::Text(text)) => match std::str::from_utf8(text) {
                Ok(text) => Some(text.to_owned()),
                Err(_) => {
                    let finding =
                        Diagnostic::new(codes::REGEX, "a pattern is text: write other bytes as `\\xHH`");
                    self.report(finding.at(value.span, "not text").help("write `r\"^\\x16\\x03\"`"));
                    None
                }
            },
            _ => {
                let message =
                    format!("`matches` needs a pattern in quotes; `{}` is none", self.text(value.span));
                let finding = Diagnostic::new(codes::REGEX, message).at(value.span, "not a pattern");
                self.report(finding.help("write `tcp.payload matches \"^GET \"`"));
                None
            }
        }
    }

    /// Reports a pattern with an error.
    pub fn bad_pattern(&mut self, right: &Expr, pattern: &str, error: PatternError) {
        let PatternError { message, at, help, too_large } = error;
        let code = if too_large { codes::REGEX_TOO_LARGE } else { codes::REGEX };
        let place = self.in_pattern(right, pattern, at);
        self.report(Diagnostic::new(code, message).at(place, "here").help(help));
    }

    /// The place of a byte range of a pattern.
    pub fn in_pattern(&self, right: &Expr, pattern: &str, at: Range<usize>) -> Span {
        // The place is inside the quotes if the literal's text is the pattern, byte for byte.
        let mut literal = right;
        while let ExprKind::Paren(inner) = &literal.kind {
            literal = inner;
        }
        let text = self.sources.text(literal.span);
        let raw = text.strip_prefix(['r', 'R']).unwrap_or(text);
        let opening = text.len() - raw.len() + 1;
        let verbatim = matches!(literal.kind, ExprKind::Literal(Literal::String(_)))
            && raw.strip_prefix('"').and_then(|t| t.strip_suffix('"')) == Some(pattern);
        if verbatim {
            let start = literal.span.start as usize + opening;
            Span::new(
                literal.span.file,
                start + at.start,
                start + at.end.max(at.start + 1).min(pattern.len().max(1)),
            )
        } else {
            right.span
        }
    }

    /// Reports the first pattern beyond the greatest number.
    pub fn count_patterns(&mut self, count: usize, span: Span) {
        if count == MAX_PATTERNS + 1 {
            let finding = Diagnostic::new(
                codes::TOO_MANY,
                format!("a program looks for at most {MAX_PATTERNS} patterns"),
            );
            let finding = finding.at(span, "one too many");
            self.report(finding.help("join patterns: `matches \"one|two|three\"`"));
        }
    }

    /// The values that a search reads. `None`: reported.
    fn searched(&mut self, value: &Value, operator: &str) -> Option<Vec<Haystack>> {
        let what = match &value.kind {
            Kind::Poison => return None,
            Kind::Term(Term { alts, .. }) if alts.iter().any(|a| matches!(a, Alt::Text(..))) => {
                let help = "compare it with constants: `users[net.src] == \"alice\"`";
                self.not_yet(later::TABLES, value.span, "searching the texts of a table", help);
                return None;
            }
            Kind::Term(term) => match term.ty {
                TermTy::Field(Ty::Bytes | Ty::String) => {
                    return Some(term.alts.iter().filter_map(haystack).collect());
                }
                TermTy::Field(Ty::Protocol) if term.alts.is_empty() => {
                    self.no_bytes(value.span);
                    return None;
                }
                // As in Wireshark, a search of a protocol reads its header and all bytes after it.
                TermTy::Field(Ty::Protocol) => {
                    let whole = |haystack| match haystack {
                        Haystack::Bytes(Bytes { layer, source: BytesSource::Header(proto), slice }) => {
                            Haystack::Bytes(Bytes { layer, source: BytesSource::From(proto), slice })
                        }
                        other => other,
                    };
                    return Some(term.alts.iter().filter_map(haystack).map(whole).collect());
                }
                ty => ty.describe(),
            },
            Kind::Const(constant) => constant.describe().to_owned(),
            Kind::Set(_) => "a set".to_owned(),
            Kind::Pred(_) | Kind::Trigger(_) => "a condition".to_owned(),
            Kind::Tuple(_) => "a tuple".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        };
        let message =
            format!("`{}` is {what}; `{operator}` looks into bytes and text", self.text(value.span));
        let finding = Diagnostic::new(codes::OPERATOR, message).at(value.span, "not bytes");
        let finding = match &value.kind {
            Kind::Term(Term { ty: TermTy::Field(Ty::Uint(_)), .. }) => {
                finding.help("compare numbers: `tcp.port in {80, 8000..8080}`")
            }
            Kind::Term(Term { ty: TermTy::Field(Ty::Mac), form: Form::Field, .. }) => {
                finding.help("compare a part of it: `eth.src[0:3] == 00:26:0b`")
            }
            Kind::Term(Term { ty: TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip), .. }) => {
                finding.help("compare networks: `ip.src == 10.0.0.0/8`")
            }
            _ => finding.help(format!("write `tcp.payload {operator} \"...\"`")),
        };
        self.report(finding);
        None
    }

    /// `left in right`
    pub fn is_in(&mut self, left: &Expr, right: &Expr, span: Span) -> Pred {
        let (left, right) = self.sides(left, right);
        match (&left.kind, &right.kind) {
            (_, Kind::Table(id)) => self.in_table(*id, &left, right.span),
            (Kind::Poison, _) | (_, Kind::Poison) => Pred::never(),
            (Kind::Term(term), Kind::Set(elements)) => {
                let wanted = match self.named_sets.contains(&elements.as_ptr()) {
                    true => self.wanted_shared(term, left.span, elements),
                    false => self.wanted(term, left.span, elements).map(Arc::new),
                };
                let Some(wanted) = wanted else { return Pred::never() };
                if !self.charge((wanted.listed() * term.alts.len()) as u64, right.span) {
                    return Pred::never();
                }
                self.slice_lengths(term, left.span, &wanted, right.span);
                apply(CompareOp::Eq, term, &wanted)
            }
            (Kind::Term(term), Kind::Const(constant)) => {
                // The name of a `let` with a single constant also becomes `{name}`, a set of one
                // element.
                let fix = format!("{{{}}}", self.text(right.span));
                let message = format!("`{}` is {}, not a set", self.text(right.span), constant.describe());
                let finding = Diagnostic::new(codes::SET, message).at(right.span, "not a set");
                self.report(finding.help(format!("write `{fix}`, or `==`")).fix(right.span, fix));
                let element = Element {
                    low: Bound { span: right.span, kind: BoundKind::Const(constant.clone()) },
                    high: None,
                };
                self.wanted(term, left.span, &[element]);
                Pred::never()
            }
            (Kind::Const(_), Kind::Set(_)) => {
                let finding = Diagnostic::new(codes::NOTHING_TESTED, "both sides are constants");
                let finding = finding.at(span, "nothing of the packet is tested");
                self.report(finding.help("put a field on the left: `tcp.port in {80, 443}`"));
                Pred::never()
            }
            (Kind::Tuple(_), Kind::Set(_)) => {
                let finding = Diagnostic::new(codes::SET, "a set cannot contain tuples");
                let finding = finding.at(span, "a tuple in a set");
                self.report(
                    finding.help(
                        "put the rows in a table: `table t : set<(ip, ip)> = { (10.0.0.1, 10.0.0.2) }`",
                    ),
                );
                Pred::never()
            }
            (_, Kind::Term(_) | Kind::Pred(_) | Kind::Trigger(_) | Kind::Tuple(_) | Kind::Const(_)) => {
                let message = format!("`{}` is neither a set nor a table", self.text(right.span));
                let finding = Diagnostic::new(codes::SET, message).at(right.span, "not a set");
                let finding = match right.kind {
                    Kind::Trigger(_) => {
                        finding.help(format!("write `{}[{}]`", self.text(right.span), self.text(left.span)))
                    }
                    _ => finding.help("write a set (`{80, 443}`), or the name of a set or table"),
                };
                self.report(finding);
                Pred::never()
            }
            (_, Kind::Set(_)) => {
                let message = format!("`{}` is not a field", self.text(left.span));
                let finding = Diagnostic::new(codes::SET, message).at(left.span, "not a field");
                self.report(finding.help("put a field on the left: `tcp.port in {80, 443}`"));
                Pred::never()
            }
        }
    }
}

/// A value that a search reads.
enum Haystack {
    Bytes(Bytes),
    Facet(Facet),
}

fn haystack(alt: &Alt) -> Option<Haystack> {
    match alt {
        Alt::Bytes(bytes) => Some(Haystack::Bytes(bytes.clone())),
        Alt::Facet(facet) => Some(Haystack::Facet(*facet)),
        _ => None,
    }
}
