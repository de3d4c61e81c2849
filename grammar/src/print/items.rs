//! Items and clauses. An item with clauses stays on one line if it is on one line in the text and
//! fits; else each clause has its own line. Columns are aligned within an item, and between the
//! items of a run (`runs`). The invariant: the facts that decide a layout are the same in the text
//! and in the result. (Rejected: joining clauses onto one line because they fit; authors break
//! lines for a reason.)

use super::runs::Columns;
use super::{Gap, Printer, WIDTH, width};
use crate::ast::{
    Clause, Item, Length, LengthKind, Row, Rule, Station, Table, TableInit, Trigger, TriggerClause,
    TriggerClauseKind, TypeExpr,
};
use crate::span::{Name, Span};

/// One clause of an item with clauses: its place, its keyword, and how the rest is printed.
pub(super) struct Line<'a> {
    span: Span,
    pub(super) keyword: &'static str,
    rest: Rest<'a>,
}

enum Rest<'a> {
    Snaplen(&'a Length, Option<&'a crate::ast::Expr>),
    Expr(&'a crate::ast::Expr),
    Names(&'a [Name]),
    Nothing,
}

impl Printer<'_> {
    pub(super) fn type_width(&self, ty: &TypeExpr) -> usize {
        self.rendered(|p| p.type_expr(ty)).len()
    }

    /// Prints a keyword, a name, and blanks up to the end of the column.
    fn head(&mut self, span: Span, keyword: &str, name: &Name, width: usize) {
        self.token(span.start, keyword);
        self.blank();
        self.token(name.span.start, &name.node);
        self.pad(name.node.len(), width);
        self.blank();
    }

    /// Prints `: type`, and blanks up to the end of the column if something follows.
    fn typed(&mut self, ty: &TypeExpr, width: usize, more: bool) {
        self.comments_before(ty.span.start);
        self.put(":");
        self.blank();
        self.type_expr(ty);
        if more {
            self.pad(self.type_width(ty), width);
            self.blank();
        }
    }

    pub(super) fn item(&mut self, item: &Item, columns: &Columns) {
        match item {
            Item::Include(x) => {
                self.token(x.span.start, "include");
                self.blank();
                let path = self.source(x.path.span);
                self.token(x.path.span.start, path);
            }
            Item::Let(x) => {
                self.head(x.span, "let", &x.name, columns.name);
                self.comments_before(x.value.span.start);
                self.put("=");
                self.blank();
                self.expr(&x.value);
            }
            Item::Param(x) => {
                self.head(x.span, "param", &x.name, columns.name);
                self.typed(&x.ty, columns.ty, true);
                self.comments_before(x.value.span.start);
                self.put("=");
                self.blank();
                self.expr(&x.value);
                if let Some((low, high)) = &x.range {
                    self.comments_before(low.span.start);
                    self.blank();
                    self.put("in");
                    self.blank();
                    self.expr(low);
                    self.put("..");
                    self.expr(high);
                }
            }
            Item::Table(x) => self.table(x, columns),
            Item::Station(x) => self.station(x, columns),
            Item::Rule(x) => self.rule("rule", x, columns),
            Item::Limit(x) => self.rule("limit", x, columns),
            Item::Trigger(x) => self.trigger(x, columns),
            // Unreachable: `format` prints only texts without mistakes.
            Item::Broken(x) => self.token(x.span.start, ""),
        }
    }

    fn table(&mut self, table: &Table, columns: &Columns) {
        self.head(table.span, "table", &table.name, columns.name);
        self.typed(&table.ty, columns.ty, !matches!(table.init, TableInit::Empty));
        match &table.init {
            TableInit::Empty => {}
            TableInit::File(file) => {
                self.comments_before(file.span.start);
                self.put("from");
                self.blank();
                let path = self.source(file.span);
                self.token(file.span.start, path);
            }
            TableInit::Inline(rows) => self.rows(table, rows),
        }
    }

    fn rows(&mut self, table: &Table, rows: &[Row]) {
        // The brace is the first brace after the type, outside comments.
        let end = rows.first().map_or(table.span.end, |r| r.key.span.start);
        let start = self.find(table.ty.span.end, end, '{');
        self.comments_before(start);
        self.put("=");
        self.blank();
        self.put("{");
        let spans: Vec<(u32, u32)> =
            rows.iter().map(|r| (r.key.span.start, r.value.as_ref().unwrap_or(&r.key).span.end)).collect();
        self.braced(start, table.span.end, &spans, true, |printer, n| {
            let Some(row) = rows.get(n) else { return };
            printer.expr(&row.key);
            if let Some(value) = &row.value {
                printer.comments_before(value.span.start);
                printer.blank();
                printer.put("->");
                printer.blank();
                printer.expr(value);
            }
        });
    }

    /// The place of a sign outside comments.
    fn find(&self, from: u32, to: u32, sign: char) -> u32 {
        let part = self.text.get(from as usize..to as usize).unwrap_or("");
        let mut at = from as usize;
        for line in part.split_inclusive('\n') {
            let code = line.split('#').next().unwrap_or("");
            if let Some(n) = code.find(sign) {
                return (at + n) as u32;
            }
            at += line.len();
        }
        to
    }

    fn station(&mut self, station: &Station, columns: &Columns) {
        self.head(station.span, "station", &station.name, columns.name);
        let end = station.words.first().map_or(station.span.end, |w| w.span.start);
        let start = self.find(station.name.span.end, end, '{');
        self.token(start, "{");
        let (indent, hang) = (self.indent, self.hang);
        (self.indent, self.hang) = (indent + 4, indent + 8);
        let mut before = start + 1;
        for (n, word) in station.words.iter().enumerate() {
            if self.is_broken(before, word.span.start) {
                self.line(word.span.start, n == 0);
            } else {
                self.blank();
            }
            self.expr(word);
            before = word.span.end;
        }
        let brace = station.span.end.saturating_sub(1);
        if self.is_broken(before, brace) {
            self.last_line(brace, indent, station.words.is_empty());
        } else if !station.words.is_empty() {
            self.blank();
        }
        (self.indent, self.hang) = (indent, hang);
        self.put("}");
    }

    // ---- items with clauses ---------------------------------------------------------------------

    fn rule(&mut self, keyword: &str, rule: &Rule, columns: &Columns) {
        let lines: Vec<Line> = rule.clauses.iter().map(Line::of_rule).collect();
        self.head(rule.span, keyword, &rule.name, columns.name);
        let start = self.find(rule.name.span.end, lines.first().map_or(rule.span.end, |l| l.span.start), '{');
        self.clauses(start, rule.span.end, &lines, 8, &columns.cells);
    }

    fn trigger(&mut self, trigger: &Trigger, columns: &Columns) {
        let lines: Vec<Line> = trigger.clauses.iter().map(Line::of_trigger).collect();
        self.head(trigger.span, "trigger", &trigger.name, columns.name);
        let mut from = trigger.name.span.end;
        if let Some(key) = &trigger.key {
            self.comments_before(key.span.start);
            self.put("by");
            self.blank();
            self.expr(key);
            self.pad(self.key_width(trigger), columns.key);
            self.blank();
            from = key.span.end;
        } else if columns.key > 0 {
            self.pad(0, columns.key + 1);
        }
        let start = self.find(from, lines.first().map_or(trigger.span.end, |l| l.span.start), '{');
        self.clauses(start, trigger.span.end, &lines, 7, &columns.cells);
    }

    /// The width of the `by KEY` of a trigger.
    pub(super) fn key_width(&self, trigger: &Trigger) -> usize {
        let key = |key: &crate::ast::Expr| width(&self.rendered(|p| p.expr(key))) + "by ".len();
        trigger.key.as_ref().map_or(0, key)
    }

    /// Prints the braces from `start` to `end` and the clauses between them. `width`: the width of
    /// keywords if each clause has its own line. `cells`: the widths of clauses that share a line.
    fn clauses(&mut self, start: u32, end: u32, lines: &[Line], width: usize, cells: &[usize]) {
        self.token(start, "{");
        if !self.is_broken(start, end) && self.one_line(lines, cells) {
            return;
        }
        let (indent, hang) = (self.indent, self.hang);
        (self.indent, self.hang) = (indent + 4, indent + 4 + width);
        let when = lines.iter().filter_map(|l| self.length_width(l)).max().unwrap_or(0);
        for (n, line) in lines.iter().enumerate() {
            self.line(line.span.start, n == 0);
            self.put(line.keyword);
            if !matches!(line.rest, Rest::Nothing) {
                self.pad(line.keyword.len(), width);
            }
            self.rest(&line.rest, when);
        }
        self.last_line(end.saturating_sub(1), indent, lines.is_empty());
        (self.indent, self.hang) = (indent, hang);
        self.put("}");
    }

    /// Prints all clauses on the line of the opening brace, if they fit.
    fn one_line(&mut self, lines: &[Line], cells: &[usize]) -> bool {
        let mut rest = String::new();
        for (n, line) in lines.iter().enumerate() {
            let cell = self.cell(line);
            let column = if n + 1 < lines.len() { cells.get(n).copied().unwrap_or(0) } else { 0 };
            let blanks = column.saturating_sub(width(&cell));
            rest.push_str(if n == 0 { " " } else { "  " });
            rest.push_str(&cell);
            rest.extend(std::iter::repeat_n(' ', blanks));
        }
        rest.push_str(if lines.is_empty() { "}" } else { " }" });
        if width(self.current()) + width(&rest) > WIDTH {
            return false;
        }
        self.put(&rest);
        true
    }

    /// A clause as printed on a line that clauses share.
    pub(super) fn cell(&self, line: &Line) -> String {
        self.rendered(|p| {
            p.put(line.keyword);
            p.blank();
            p.rest(&line.rest, 0);
        })
    }

    /// The width of a length that is followed by `when`.
    fn length_width(&self, line: &Line) -> Option<usize> {
        match &line.rest {
            Rest::Snaplen(length, Some(_)) => Some(self.rendered(|p| p.length(length)).len()),
            _ => None,
        }
    }

    fn rest(&mut self, rest: &Rest, when_column: usize) {
        match rest {
            Rest::Nothing => {}
            Rest::Expr(expr) => self.expr(expr),
            Rest::Names(names) => {
                for (n, name) in names.iter().enumerate() {
                    if n > 0 {
                        self.put(",");
                        self.blank();
                    }
                    self.token(name.span.start, &name.node);
                }
            }
            Rest::Snaplen(length, when) => {
                let from = self.out.len();
                self.length(length);
                let Some(when) = when else { return };
                let printed = self.out.len().saturating_sub(from);
                self.comments_before(when.span.start);
                if when_column > 0 && self.gap != Gap::Line {
                    self.pad(printed, when_column + 1);
                }
                self.blank();
                self.put("when");
                self.blank();
                self.expr(when);
            }
        }
    }

    fn length(&mut self, length: &Length) {
        let start = length.span.start;
        match &length.kind {
            LengthKind::None => self.token(start, "none"),
            LengthKind::Full => self.token(start, "full"),
            LengthKind::Bytes(n) => self.expr(n),
            LengthKind::Percent(n) => {
                self.expr(n);
                self.comments_before(length.span.end);
                self.put("%");
            }
            LengthKind::Headers => self.token(start, "headers"),
            LengthKind::HeadersPlus(n) => {
                self.token(start, "headers");
                self.comments_before(n.span.start);
                self.blank();
                self.put("+");
                self.blank();
                self.expr(n);
            }
            LengthKind::Payload(n) => {
                self.token(start, "payload");
                self.comments_before(n.span.start);
                self.blank();
                self.put("..");
                self.expr(n);
            }
            LengthKind::Slice(from, to) | LengthKind::Stream(from, to) => {
                let is_stream = matches!(length.kind, LengthKind::Stream(..));
                self.token(start, if is_stream { "stream" } else { "bytes" });
                self.blank();
                self.expr(from);
                self.put("..");
                self.expr(to);
            }
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn of_rule(clause: &'a Clause) -> Self {
        match clause {
            Clause::Match { span, expr } => Line { span: *span, keyword: "match", rest: Rest::Expr(expr) },
            Clause::Snaplen { span, length, when } => {
                Line { span: *span, keyword: "snaplen", rest: Rest::Snaplen(length, when.as_ref()) }
            }
            Clause::To { span, stations } => Line { span: *span, keyword: "to", rest: Rest::Names(stations) },
            Clause::Broken { span } => Line { span: *span, keyword: "", rest: Rest::Nothing },
        }
    }

    pub(super) fn of_trigger(clause: &'a TriggerClause) -> Self {
        let (keyword, rest) = match &clause.kind {
            TriggerClauseKind::When(expr) => ("when", Rest::Expr(expr)),
            TriggerClauseKind::Unless(expr) => ("unless", Rest::Expr(expr)),
            TriggerClauseKind::Hold(expr) => ("hold", Rest::Expr(expr)),
            TriggerClauseKind::Keys(expr) => ("keys", Rest::Expr(expr)),
            TriggerClauseKind::External => ("external", Rest::Nothing),
            TriggerClauseKind::Broken => ("", Rest::Nothing),
        };
        Line { span: clause.span, keyword, rest }
    }
}
