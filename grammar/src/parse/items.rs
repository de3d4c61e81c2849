//! Items and clauses: pairs of the grammar to nodes of the tree. The invariant: the functions are
//! total; a pair that the grammar cannot make gives a `Broken` node, never a panic.

use super::sink::Sink;
use super::{Pair, Pairs, Rule};
use crate::ast::{
    Broken, Clause, Expr, ExprKind, Include, Item, Length, LengthKind, Let, Param, Row, Station, Table,
    TableInit, Trigger, TriggerClause, TriggerClauseKind, TypeExpr, TypeKind,
};
use crate::codes::syntax;
use crate::diagnostic::Diagnostic;
use crate::span::{Name, Span, Spanned};
use crate::words;

/// Builds the nodes of one stretch of the text, whose first byte is byte `base` of the file.
pub(super) struct Builder<'s> {
    pub base: usize,
    pub sink: &'s mut Sink,
}

impl Builder<'_> {
    /// The span of a pair. A pair with an optional last part includes the blanks after it; the span
    /// does not.
    pub(super) fn span(&self, pair: &Pair) -> Span {
        let start = self.base + pair.as_span().start();
        self.sink.span(start..start + pair.as_str().trim_end().len())
    }

    pub(super) fn item(&mut self, pair: Pair) -> Item {
        let span = self.span(&pair);
        let which = pair.as_rule();
        let mut inner = pair.into_inner();
        let item = match which {
            Rule::include => self.include(span, &mut inner),
            Rule::let_item => self.let_item(span, &mut inner),
            Rule::param => self.param(span, &mut inner),
            Rule::table => self.table(span, &mut inner),
            Rule::station => self.station(span, &mut inner),
            Rule::rule => self.rule(span, &mut inner).map(Item::Rule),
            Rule::limit => self.rule(span, &mut inner).map(Item::Limit),
            Rule::trigger => self.trigger(span, &mut inner),
            _ => None,
        };
        item.unwrap_or(Item::Broken(Broken { span, name: None }))
    }

    fn include(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let path = self.file_name(find(inner, Rule::string)?);
        Some(Item::Include(Include { span, path }))
    }

    fn let_item(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let name = self.name(&find(inner, Rule::name)?, true);
        let value = self.expr(find(inner, Rule::expr)?);
        Some(Item::Let(Let { span, name, value }))
    }

    fn param(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let name = self.name(&find(inner, Rule::name)?, true);
        let ty = self.type_expr(find(inner, Rule::type_expr)?);
        let value = self.expr(find(inner, Rule::value)?);
        let low = find(inner, Rule::value).map(|p| self.expr(p));
        let high = find(inner, Rule::value).map(|p| self.expr(p));
        Some(Item::Param(Param { span, name, ty, value, range: low.zip(high) }))
    }

    fn table(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let name = self.name(&find(inner, Rule::name)?, true);
        let ty = self.type_expr(find(inner, Rule::type_expr)?);
        let mut init = TableInit::Empty;
        for pair in inner {
            match pair.as_rule() {
                Rule::rows => init = TableInit::Inline(self.rows(pair)),
                Rule::string => init = TableInit::File(self.file_name(pair)),
                _ => {}
            }
        }
        Some(Item::Table(Table { span, name, ty, init }))
    }

    fn rows(&mut self, pair: Pair) -> Vec<Row> {
        let mut rows = Vec::new();
        for pair in self.separated(pair, Rule::row, true) {
            let mut parts = pair.into_inner().filter(|p| p.as_rule() == Rule::value);
            let Some(key) = parts.next() else { continue };
            let key = self.expr(key);
            let value = parts.next().map(|p| self.expr(p));
            rows.push(Row { key, value });
        }
        rows
    }

    fn station(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let name = self.name(&find(inner, Rule::name)?, false);
        let words = inner
            .filter_map(|p| match p.as_rule() {
                Rule::string => Some(self.string(&p, false)),
                Rule::bare_word => Some(self.station_word(&p)),
                _ => None,
            })
            .collect();
        Some(Item::Station(Station { span, name, words }))
    }

    fn rule(&mut self, span: Span, inner: &mut Pairs) -> Option<crate::ast::Rule> {
        let name = self.name(&find(inner, Rule::name)?, false);
        let clauses = inner.filter_map(|p| self.clause(p)).collect();
        Some(crate::ast::Rule { span, name, clauses })
    }

    fn trigger(&mut self, span: Span, inner: &mut Pairs) -> Option<Item> {
        let (name, key) = self.trigger_head(find(inner, Rule::trigger_head)?)?;
        let clauses = inner.filter_map(|p| self.trigger_clause(p)).collect();
        Some(Item::Trigger(Trigger { span, name, key, clauses }))
    }

    pub(super) fn trigger_head(&mut self, pair: Pair) -> Option<(Name, Option<Expr>)> {
        let mut inner = pair.into_inner();
        let name = self.name(&find(&mut inner, Rule::name)?, true);
        let key = find(&mut inner, Rule::value).map(|p| self.expr(p));
        Some((name, key))
    }

    // ---- clauses --------------------------------------------------------------------------------

    /// A clause of a rule or limit; `None` for the surrounding braces.
    pub(super) fn clause(&mut self, pair: Pair) -> Option<Clause> {
        let span = self.span(&pair);
        let which = pair.as_rule();
        let mut inner = pair.into_inner();
        let clause = match which {
            Rule::match_clause => {
                find(&mut inner, Rule::expr).map(|p| Clause::Match { span, expr: self.expr(p) })
            }
            Rule::snaplen_clause => find(&mut inner, Rule::length).map(|p| {
                let length = self.length(p);
                let when = find(&mut inner, Rule::expr).map(|p| self.expr(p));
                Clause::Snaplen { span, length, when }
            }),
            Rule::to_clause => {
                let stations: Vec<Name> =
                    inner.filter(|p| p.as_rule() == Rule::name).map(|p| self.name(&p, false)).collect();
                Some(Clause::To { span, stations })
            }
            _ => return None,
        };
        Some(clause.unwrap_or(Clause::Broken { span }))
    }

    fn length(&mut self, pair: Pair) -> Length {
        let span = self.span(&pair);
        let broken = LengthKind::Bytes(Expr { span, kind: ExprKind::Broken });
        let Some(form) = pair.into_inner().next() else { return Length { span, kind: broken } };
        let which = form.as_rule();
        let kind = match which {
            Rule::value => LengthKind::Bytes(self.expr(form)),
            Rule::percent => LengthKind::Percent(self.operand(&mut form.into_inner().peekable(), false).expr),
            _ => {
                let mut values = form.into_inner().filter(|p| p.as_rule() == Rule::value);
                let first = values.next().map(|p| self.expr(p));
                let second = values.next().map(|p| self.expr(p));
                match (which, first, second) {
                    (Rule::none, ..) => LengthKind::None,
                    (Rule::full, ..) => LengthKind::Full,
                    (Rule::headers, None, _) => LengthKind::Headers,
                    (Rule::headers, Some(more), _) => LengthKind::HeadersPlus(more),
                    (Rule::payload, Some(to), _) => LengthKind::Payload(to),
                    (Rule::slice_length, Some(from), Some(to)) => LengthKind::Slice(from, to),
                    (Rule::stream, Some(from), Some(to)) => LengthKind::Stream(from, to),
                    _ => broken,
                }
            }
        };
        Length { span, kind }
    }

    /// A clause of a trigger; `None` for the surrounding braces.
    pub(super) fn trigger_clause(&mut self, pair: Pair) -> Option<TriggerClause> {
        let span = self.span(&pair);
        let which = pair.as_rule();
        let value = pair.into_inner().find(|p| matches!(p.as_rule(), Rule::expr | Rule::value));
        let value = value.map(|p| self.expr(p));
        let kind = match (which, value) {
            (Rule::when_clause, Some(value)) => TriggerClauseKind::When(value),
            (Rule::unless_clause, Some(value)) => TriggerClauseKind::Unless(value),
            (Rule::hold_clause, Some(value)) => TriggerClauseKind::Hold(value),
            (Rule::keys_clause, Some(value)) => TriggerClauseKind::Keys(value),
            (Rule::external_clause, None) => TriggerClauseKind::External,
            _ => return None,
        };
        Some(TriggerClause { span, kind })
    }

    // ---- parts ----------------------------------------------------------------------------------

    /// A declared name, or the name of a station in a `to` clause. `in_expressions`: expressions
    /// can refer to it.
    pub(super) fn name(&mut self, pair: &Pair, in_expressions: bool) -> Name {
        let span = self.span(pair);
        let written = pair.as_str();
        if in_expressions && (words::OPERATORS.contains(&written) || words::MEANINGS.contains(&written)) {
            self.sink.push(
                Diagnostic::new(syntax::RESERVED_WORD, format!("`{written}` is a word of the language"))
                    .at(span, "cannot be a name here")
                    .help(format!("take another name, such as `my_{written}`")),
            );
        }
        Spanned::new(self.snake_case(written, span, words::snake_case(written)), span)
    }

    /// Reports a name that is not snake_case. The tree gets the corrected name, so that references
    /// to either spelling find it.
    pub(super) fn snake_case(&mut self, written: &str, span: Span, better: String) -> String {
        if written != better {
            self.sink.push(
                Diagnostic::new(syntax::NAME_STYLE, format!("`{written}` is not snake_case"))
                    .at(span, "names are lower-case letters, digits and `_`")
                    .help(format!("write `{better}`"))
                    .fix(span, better.clone()),
            );
        }
        better
    }

    fn file_name(&mut self, pair: Pair) -> Spanned<String> {
        let expr = self.string(&pair, false);
        let bytes = match expr.kind {
            ExprKind::Literal(crate::ast::Literal::String(bytes)) => bytes,
            _ => Vec::new(),
        };
        Spanned::new(String::from_utf8_lossy(&bytes).into_owned(), expr.span)
    }

    fn type_expr(&mut self, pair: Pair) -> TypeExpr {
        let span = self.span(&pair);
        match pair.into_inner().next() {
            Some(p) => self.type_part(p),
            None => TypeExpr { span, kind: TypeKind::Named(String::new()) },
        }
    }

    fn type_part(&mut self, pair: Pair) -> TypeExpr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::tuple_type => {
                let parts = pair.into_inner().filter(|p| p.as_rule() == Rule::type_name);
                TypeKind::Tuple(parts.map(|p| self.type_part(p)).collect())
            }
            Rule::unordered_type => match pair.into_inner().find(|p| p.as_rule() == Rule::tuple_type) {
                Some(tuple) => TypeKind::Unordered(Box::new(self.type_part(tuple))),
                None => TypeKind::Tuple(Vec::new()),
            },
            Rule::words_type => {
                let words = pair.into_inner().filter(|p| p.as_rule() == Rule::type_name);
                TypeKind::Words(words.map(|p| Name::new(p.as_str().to_string(), self.span(&p))).collect())
            }
            Rule::generic => return self.generic(pair),
            _ => TypeKind::Named(pair.as_str().to_string()),
        };
        TypeExpr { span, kind }
    }

    fn generic(&mut self, pair: Pair) -> TypeExpr {
        let span = self.span(&pair);
        let mut parts = pair.into_inner().filter(|p| p.as_rule() != Rule::comma);
        let constructor = parts.next();
        let name = constructor.as_ref().map_or("", |p| p.as_str());
        let arguments: Vec<TypeExpr> = parts.map(|p| self.type_part(p)).collect();
        let count = arguments.len();
        let mut arguments = arguments.into_iter().map(Box::new);
        let kind = match (name, count, arguments.next(), arguments.next()) {
            ("set", 1, Some(element), _) => TypeKind::Set(element),
            ("map", 2, Some(key), Some(value)) => TypeKind::Map(key, value),
            (_, _, first, second) => {
                let (message, help) = match name {
                    "set" => ("`set<...>` holds one type", "for pairs, write a tuple: `set<(ip, ip)>`"),
                    "map" => ("`map<...>` takes two types", "write the key and the value: `map<ip, string>`"),
                    _ => ("there is no such type", "write `set<T>` or `map<K, V>`"),
                };
                self.sink.push(Diagnostic::new(syntax::TYPE, message).at(span, "this type").help(help));
                match (first, second) {
                    (Some(key), Some(value)) if name == "map" => TypeKind::Map(key, value),
                    (Some(element), _) => TypeKind::Set(element),
                    (None, _) => TypeKind::Named(name.to_string()),
                }
            }
        };
        TypeExpr { span, kind }
    }
}

/// The next pair of this rule. The pairs before it are keywords and signs.
fn find<'t>(pairs: &mut Pairs<'t>, wanted: Rule) -> Option<Pair<'t>> {
    pairs.find(|p| p.as_rule() == wanted)
}
