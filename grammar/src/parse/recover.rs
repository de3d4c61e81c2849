//! Recovery of an item that the grammar refused: report the mistake, keep the rest. A rule, limit
//! or trigger is read again clause by clause. Of any other item, the part before the mistake is
//! kept if it makes an item, or else the name. The invariant: every refused item has at least one
//! diagnostic, and each byte is read a bounded number of times. (Rejected: guessing the author's
//! meaning and reading on with it; one mistake would give several diagnostics.)

use super::items::Builder;
use super::report::{ParseContext, Report};
use super::scan::{Chunk, Scan};
use super::sink::Sink;
use super::tokens::{Kind, Token, tokens};
use super::{Grammar, Pairs, Rule};
use crate::ast::{self, Broken, Clause, Expr, ExprKind, Item, Trigger, TriggerClause, TriggerClauseKind};
use crate::span::Name;
use crate::words;
use pest::Parser;
use std::ops::Range;

type Error = pest::error::Error<Rule>;

pub(super) struct Recovery<'a, 't> {
    pub scan: &'a Scan<'t>,
    pub sink: &'a mut Sink,
    pub items: &'a mut Vec<Item>,
}

impl<'a> Recovery<'a, '_> {
    /// Reads the intact parts of an item that the grammar refused with `error`.
    pub(super) fn item(&mut self, chunk: &Chunk, error: Error) {
        let tokens = tokens(self.scan, &chunk.range);
        match chunk.keyword {
            Some("rule" | "limit") => self.rule(chunk, &tokens, error),
            Some("trigger") => self.trigger(chunk, &tokens, error),
            Some(keyword) => self.simple(chunk, keyword, &tokens, error),
            None => self.unknown_items(&chunk.range, &tokens),
        }
    }

    fn text(&self, range: &Range<usize>) -> &'a str {
        self.scan.text.get(range.clone()).unwrap_or("")
    }

    fn parse(&self, what: Rule, range: &Range<usize>) -> Result<Pairs<'a>, Error> {
        Grammar::parse(what, self.text(range))
    }

    fn builder(&mut self, base: usize) -> Builder<'_> {
        Builder { base, sink: self.sink }
    }

    /// Reports the mistake in `range`, unless the scanner has reported it already. Returns its
    /// place.
    fn report(&mut self, range: &Range<usize>, place: ParseContext, error: &Error) -> usize {
        let (pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _))) =
            error.location;
        let at = range.start + at;
        if !self.scan.has_reported(range) {
            let report = Report { scan: self.scan, range: range.clone(), place, at, error };
            let diagnostic = report.diagnostic(self.sink);
            self.sink.push(diagnostic);
        }
        at
    }

    // ---- items without clauses ------------------------------------------------------------------

    /// An item without clauses: keeps the part before the mistake, or the name.
    fn simple(&mut self, chunk: &Chunk, keyword: &'static str, tokens: &[Token], error: Error) {
        let (pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _))) =
            error.location;
        let at = chunk.range.start + at;
        let before = chunk.range.start..at;
        let kept = if at < chunk.range.end { self.parse(Rule::one_item, &before).ok() } else { None };
        let Some(pair) = kept.and_then(|mut pairs| pairs.next()) else {
            self.report(&chunk.range, ParseContext::Item(keyword), &error);
            self.broken(&chunk.range, if keyword == "include" { None } else { self.name(tokens) });
            return;
        };
        let item = self.builder(chunk.range.start).item(pair);
        self.items.push(item);
        let split = tokens.iter().position(|t| t.range.start >= at).unwrap_or(tokens.len());
        let rest = tokens.get(split..).unwrap_or_default();
        if rest.first().is_some_and(|t| t.first && t.kind == Kind::Word) {
            self.unknown_items(&(at..chunk.range.end), rest);
        } else {
            self.report(&chunk.range, ParseContext::Item(keyword), &error);
        }
    }

    /// Text that starts with a word that does not start an item.
    fn unknown_items(&mut self, range: &Range<usize>, tokens: &[Token]) {
        let starts: Vec<usize> = (0..tokens.len())
            .filter(|&n| {
                n == 0
                    || tokens.get(n).is_some_and(|t| t.first && t.depth == 0 && self.is_near(t, words::ITEMS))
            })
            .collect();
        for (n, &start) in starts.iter().enumerate() {
            let stop = starts.get(n + 1).copied().unwrap_or(tokens.len());
            let Some(part) = tokens.get(start..stop) else { continue };
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let end = if stop == tokens.len() { range.end } else { last.range.end };
            let part_range = first.range.start..end;
            if !self.scan.has_reported(&part_range) {
                let diagnostic = super::report::unknown_item(&self.scan.text, first, self.sink);
                self.sink.push(diagnostic);
            }
            let name = if self.is_near(first, words::ITEMS) { self.name(part) } else { None };
            self.broken(&part_range, name);
        }
    }

    /// Whether a word is most likely a misspelling of one of the candidates.
    fn is_near(&self, token: &Token, candidates: &[&str]) -> bool {
        token.kind == Kind::Word
            && words::nearest(self.text(&token.range), candidates.iter().copied()).is_some()
    }

    /// The name after the first token.
    fn name(&self, tokens: &[Token]) -> Option<Name> {
        let token = tokens.get(1).filter(|t| t.kind == Kind::Word)?;
        let rest = self.text(&(token.range.start..self.scan.text.len()));
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let length = rest.bytes().take_while(is_name).count();
        let written = rest.get(..length)?;
        let span = self.sink.span(token.range.start..token.range.start + length);
        (!words::RESERVED.contains(&written)).then(|| Name::new(words::snake_case(written), span))
    }

    fn broken(&mut self, range: &Range<usize>, name: Option<Name>) {
        let end = range.start + self.text(range).trim_end().len();
        self.items.push(Item::Broken(Broken { span: self.sink.span(range.start..end), name }));
    }

    // ---- items with clauses ---------------------------------------------------------------------

    fn rule(&mut self, chunk: &Chunk, tokens: &[Token], error: Error) {
        let body = Body::find(self, tokens, words::RULE_CLAUSES);
        let head = chunk.range.start..body.head_end.unwrap_or(chunk.range.end);
        let name = match self.parse(Rule::one_rule_head, &head) {
            Ok(mut pairs) => {
                pairs.find(|p| p.as_rule() == Rule::name).map(|p| self.builder(head.start).name(&p, false))
            }
            Err(error) => {
                self.report(&head, ParseContext::Item(chunk.keyword.unwrap_or("rule")), &error);
                self.name(tokens)
            }
        };
        let Some(name) = name.filter(|_| body.head_end.is_some()) else {
            if self.scan.has_reported(&chunk.range) || body.head_end.is_some() {
                return self.broken(&chunk.range, self.name(tokens));
            }
            self.report(&chunk.range, ParseContext::Item(chunk.keyword.unwrap_or("rule")), &error);
            return self.broken(&chunk.range, self.name(tokens));
        };
        if body.opening.is_none() {
            self.report(&chunk.range, ParseContext::Item(chunk.keyword.unwrap_or("rule")), &error);
        }
        let mut clauses = Vec::new();
        for part in &body.parts {
            self.rule_clause(part, &mut clauses);
        }
        let span = self.sink.span(chunk.range.start..body.end);
        let rule = ast::Rule { span, name, clauses };
        self.items.push(if chunk.keyword == Some("limit") { Item::Limit(rule) } else { Item::Rule(rule) });
    }

    fn rule_clause(&mut self, range: &Range<usize>, clauses: &mut Vec<Clause>) {
        let error = match self.parse(Rule::one_clause, range) {
            Ok(mut pairs) => {
                let clause = pairs.next().and_then(|p| self.builder(range.start).clause(p));
                clauses.extend(clause);
                return;
            }
            Err(error) => error,
        };
        let at = self.report(range, ParseContext::RuleClause, &error);
        let kept = self.parse(Rule::one_clause, &(range.start..at)).ok().and_then(|mut pairs| pairs.next());
        if let Some(clause) = kept.and_then(|p| self.builder(range.start).clause(p)) {
            clauses.push(clause);
        }
        clauses.push(Clause::Broken { span: self.sink.span(range.start..range.end) });
    }

    fn trigger(&mut self, chunk: &Chunk, tokens: &[Token], error: Error) {
        let body = Body::find(self, tokens, words::TRIGGER_CLAUSES);
        let head = chunk.range.start..body.head_end.unwrap_or(chunk.range.end);
        let read = match self.parse(Rule::one_trigger_head, &head) {
            Ok(mut pairs) => pairs.next().and_then(|p| self.builder(head.start).trigger_head(p)),
            Err(error) => {
                self.report(&head, ParseContext::Item("trigger"), &error);
                // A key that could not be read still counts as a key.
                let span = self.sink.span(head.clone());
                self.name(tokens).map(|name| (name, Some(Expr { span, kind: ExprKind::Broken })))
            }
        };
        let Some((name, key)) = read.filter(|_| body.head_end.is_some()) else {
            if !self.scan.has_reported(&chunk.range) && body.head_end.is_none() {
                self.report(&chunk.range, ParseContext::Item("trigger"), &error);
            }
            return self.broken(&chunk.range, self.name(tokens));
        };
        if body.opening.is_none() {
            self.report(&chunk.range, ParseContext::Item("trigger"), &error);
        }
        let mut clauses = Vec::new();
        for part in &body.parts {
            self.trigger_clause(part, &mut clauses);
        }
        let span = self.sink.span(chunk.range.start..body.end);
        self.items.push(Item::Trigger(Trigger { span, name, key, clauses }));
    }

    fn trigger_clause(&mut self, range: &Range<usize>, clauses: &mut Vec<TriggerClause>) {
        let error = match self.parse(Rule::one_trigger_clause, range) {
            Ok(mut pairs) => {
                let clause = pairs.next().and_then(|p| self.builder(range.start).trigger_clause(p));
                clauses.extend(clause);
                return;
            }
            Err(error) => error,
        };
        let at = self.report(range, ParseContext::TriggerClause, &error);
        let kept =
            self.parse(Rule::one_trigger_clause, &(range.start..at)).ok().and_then(|mut pairs| pairs.next());
        if let Some(clause) = kept.and_then(|p| self.builder(range.start).trigger_clause(p)) {
            clauses.push(clause);
        }
        clauses.push(TriggerClause { span: self.sink.span(range.clone()), kind: TriggerClauseKind::Broken });
    }
}

/// Where the clauses of an item are.
struct Body {
    /// Where its head ends: at the brace, or at the first clause if the brace is missing.
    head_end: Option<usize>,
    /// Where its opening brace is.
    opening: Option<usize>,
    /// Each clause, or the text in the place of a clause.
    parts: Vec<Range<usize>>,
    /// The end of the item.
    end: usize,
}

impl Body {
    fn find(recovery: &Recovery, tokens: &[Token], clauses: &[&str]) -> Body {
        let word = |t: &Token| recovery.text(&t.range);
        let opening = tokens.iter().position(|t| t.depth == 0 && word(t) == "{");
        let first_clause =
            || tokens.iter().skip(1).position(|t| t.depth == 0 && clauses.contains(&word(t))).map(|n| n + 1);
        let start = opening.map(|n| n + 1).or_else(first_clause);
        let closes = |n: usize| tokens.get(n).is_some_and(|t| !recovery.scan.is_unmatched(t.range.start));
        let depth = usize::from(opening.is_some_and(closes));
        let mut end = tokens.last().map_or(0, |t| t.range.end);
        let mut starts = Vec::new();
        let mut stop = end;
        for n in start.unwrap_or(tokens.len())..tokens.len() {
            let Some(token) = tokens.get(n) else { break };
            if word(token) == "}" && token.depth < depth {
                (stop, end) = (token.range.start, token.range.end);
                break;
            }
            let before = tokens.get(n - 1);
            let clause = starts.last().and_then(|s| tokens.get(*s)).map_or("", word);
            if starts.is_empty()
                || (token.depth == depth && recovery.starts_clause(clause, before, token, clauses))
            {
                starts.push(n);
            }
        }
        let at = |n: usize| tokens.get(n).map_or(stop, |t| t.range.start);
        let parts = (0..starts.len())
            .map(|n| {
                let from = starts.get(n).copied().map_or(stop, at);
                let to = starts.get(n + 1).copied().map_or(stop, at);
                from..from + recovery.text(&(from..to)).trim_end().len()
            })
            .collect();
        let head_end = start.map(|n| opening.map_or(at(n), at));
        Body { head_end, opening, parts, end }
    }
}

impl Recovery<'_, '_> {
    /// Whether a token starts a clause. `before` is the previous token; `clause` is the first word
    /// of the previous clause.
    fn starts_clause(&self, clause: &str, before: Option<&Token>, token: &Token, clauses: &[&str]) -> bool {
        if token.kind != Kind::Word {
            return false;
        }
        let word = self.text(&token.range);
        let after_operand = before.is_none_or(|b| {
            let text = self.text(&b.range);
            let sign = b.kind == Kind::Sign && !matches!(text, ")" | "]" | "}");
            !sign && !words::OPERATORS.contains(&text) && !words::RESERVED.contains(&text)
        });
        if words::RESERVED.contains(&word) && !words::ITEMS.contains(&word) {
            // `when` is the only clause word that can stand inside a clause: in `snaplen`.
            return !(word == "when" && clause == "snaplen");
        }
        let soft = clauses.contains(&word);
        after_operand && (soft || (token.first && self.is_near(token, clauses)))
    }
}
