//! Definitions that are not used. It reads names from the syntax tree: any path that begins with a
//! name uses it. A file without rules and limits is a library, whose definitions other files use. A
//! name that begins with `_` is unused on purpose. (Rejected: counting uses in the checker, which
//! resolves a `let` once for many uses.)

use mrule_grammar::ast::{
    Clause, Expr, ExprKind, File, Item, Length, LengthKind, Rule, SetElement, TableInit, TriggerClauseKind,
};
use mrule_grammar::codes::lints;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, Name};
use std::collections::HashSet;

/// All findings of this kind.
pub(super) fn unused(files: &[(FileId, File)], out: &mut Vec<Diagnostic>) {
    let mut used = Used::default();
    for item in files.iter().flat_map(|(_, file)| &file.items) {
        used.item(item);
    }
    let acts = |file: &File| file.items.iter().any(|item| matches!(item, Item::Rule(_) | Item::Limit(_)));
    for (_, file) in files.iter().filter(|(_, file)| acts(file)) {
        for item in &file.items {
            if let Some(finding) = used.finding(item) {
                out.push(finding);
            }
        }
    }
}

/// The names that are used.
#[derive(Default)]
struct Used<'a> {
    names: HashSet<&'a str>,
    /// Stations that a rule sends to.
    sent: HashSet<&'a str>,
    /// Stations that a limit names.
    limited: HashSet<&'a str>,
}

impl<'a> Used<'a> {
    fn finding(&self, item: &Item) -> Option<Diagnostic> {
        let (kind, name) = match item {
            Item::Let(x) => ("let", &x.name),
            Item::Param(x) => ("param", &x.name),
            Item::Table(x) => ("table", &x.name),
            Item::Trigger(x) => ("trigger", &x.name),
            Item::Station(x) => return self.station(&x.name),
            Item::Include(_) | Item::Rule(_) | Item::Limit(_) | Item::Broken(_) => return None,
        };
        let text = name.node.as_str();
        if self.names.contains(text) || text.starts_with('_') {
            return None;
        }
        let help = match kind {
            "let" => format!("remove it, or call it `_{text}` if it is meant for later"),
            _ => format!("no rule, limit or `let` names it: use it, remove it, or call it `_{text}`"),
        };
        let finding = Diagnostic::new(lints::UNUSED, format!("{kind} `{text}` is never used"));
        Some(finding.at(name.span, "never used").help(help))
    }

    fn station(&self, name: &Name) -> Option<Diagnostic> {
        let text = name.node.as_str();
        if self.sent.contains(text) || text.starts_with('_') {
            return None;
        }
        let help = match self.limited.contains(text) {
            true => "a limit names it, but limits send nothing: write `to` in a rule".to_owned(),
            false => format!("write `to {text}` in a rule, or remove the station"),
        };
        let message = format!("no rule sends to station `{text}`");
        Some(Diagnostic::new(lints::UNUSED_STATION, message).at(name.span, "gets no copies").help(help))
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Let(x) => self.expr(&x.value),
            Item::Param(x) => {
                self.expr(&x.value);
                if let Some((low, high)) = &x.range {
                    self.expr(low);
                    self.expr(high);
                }
            }
            Item::Table(x) => {
                if let TableInit::Inline(rows) = &x.init {
                    for row in rows {
                        self.expr(&row.key);
                        row.value.iter().for_each(|value| self.expr(value));
                    }
                }
            }
            Item::Station(x) => x.words.iter().for_each(|word| self.expr(word)),
            Item::Rule(x) => self.rule(x, true),
            Item::Limit(x) => self.rule(x, false),
            Item::Trigger(x) => {
                x.key.iter().for_each(|key| self.expr(key));
                for clause in &x.clauses {
                    match &clause.kind {
                        TriggerClauseKind::When(e)
                        | TriggerClauseKind::Unless(e)
                        | TriggerClauseKind::Hold(e)
                        | TriggerClauseKind::Keys(e) => self.expr(e),
                        TriggerClauseKind::External | TriggerClauseKind::Broken => {}
                    }
                }
            }
            Item::Include(_) | Item::Broken(_) => {}
        }
    }

    fn rule(&mut self, rule: &'a Rule, sends: bool) {
        for clause in &rule.clauses {
            match clause {
                Clause::Match { expr, .. } => self.expr(expr),
                Clause::Snaplen { length, when, .. } => {
                    self.length(length);
                    when.iter().for_each(|when| self.expr(when));
                }
                Clause::To { stations, .. } => {
                    let names = stations.iter().map(|name| name.node.as_str());
                    if sends { self.sent.extend(names) } else { self.limited.extend(names) }
                }
                Clause::Broken { .. } => {}
            }
        }
    }

    fn length(&mut self, length: &'a Length) {
        match &length.kind {
            LengthKind::None | LengthKind::Full | LengthKind::Headers => {}
            LengthKind::Bytes(n)
            | LengthKind::Percent(n)
            | LengthKind::HeadersPlus(n)
            | LengthKind::Payload(n) => self.expr(n),
            LengthKind::Slice(m, n) | LengthKind::Stream(m, n) => {
                self.expr(m);
                self.expr(n);
            }
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Path(path) => {
                self.names.insert(path.split('.').next().unwrap_or(path));
            }
            ExprKind::Not(a) | ExprKind::Paren(a) | ExprKind::Slice(a, _) => self.expr(a),
            ExprKind::And(parts)
            | ExprKind::Or(parts)
            | ExprKind::Tuple(parts)
            | ExprKind::Call(_, parts) => {
                parts.iter().for_each(|part| self.expr(part));
            }
            ExprKind::Compare(_, a, b)
            | ExprKind::Arith(_, a, b)
            | ExprKind::In(a, b)
            | ExprKind::Contains(a, b)
            | ExprKind::Matches(a, b)
            | ExprKind::Index(a, b)
            | ExprKind::Else(a, b)
            | ExprKind::Per(a, b)
            | ExprKind::Within(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Set(elements) => {
                for SetElement { low, high } in elements {
                    self.expr(low);
                    high.iter().for_each(|high| self.expr(high));
                }
            }
            ExprKind::Literal(_) | ExprKind::Broken => {}
        }
    }
}
