//! Triggers. Only external ones can be run so far; `when`, windows and flows are checked as far as they can be and then
//! refused. The invariant: a trigger's key is fields that have one value, so that "its own key" means one thing.
//! (Rejected: ignoring clauses that are not available yet.)

use super::Checker;
use super::value::{Const, Form, Kind, Number, Term, TermTy, Unit};
use crate::hir::{self, Key, ValueTy};
use mrule_grammar::ast::{self, Expr, ExprKind, TriggerClauseKind};
use mrule_grammar::codes::{later, settings as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// What is known of a trigger.
pub(super) struct TriggerInfo {
    pub hir: hir::Trigger,
    /// The types of its key; none when they are reported.
    pub types: Option<Vec<ValueTy>>,
    /// This packet's own keys: one for each alternative of fields such as `net.src`.
    pub own: Option<Vec<Vec<Key>>>,
}

impl Checker<'_> {
    /// Declares all triggers; their keys come later.
    pub fn declare_triggers(&mut self) {
        for item in self.names.triggers.clone() {
            self.triggers.push(TriggerInfo {
                hir: hir::Trigger {
                    name: item.name.node.clone(),
                    span: item.name.span,
                    scope: hir::Scope::Keys(Vec::new()),
                    hold: None,
                    when: None,
                    unless: crate::hir::Pred::never(),
                    own: Vec::new(),
                    capacity: hir::DEFAULT_KEYS,
                },
                types: None,
                own: None,
            });
        }
    }

    /// Works out a trigger's key.
    pub fn define_trigger(&mut self, index: usize, item: &ast::Trigger) {
        let (types, own) = match &item.key {
            None => (Vec::new(), vec![Vec::new()]),
            Some(key) if is_flow(key) => return self.later_flow(key.span, "the key `flow`"),
            Some(key) => {
                let value = self.value(key);
                match self.own_keys(&value) {
                    Some(keys) => keys,
                    None => return,
                }
            }
        };
        if let Some(info) = self.triggers.get_mut(index) {
            info.hir.scope = hir::Scope::Keys(types.clone());
            info.types = Some(types);
            info.own = Some(own);
        }
    }

    /// Checks the clauses of all triggers, once every name is known.
    pub fn trigger_clauses(&mut self) {
        for (index, item) in self.names.triggers.clone().into_iter().enumerate() {
            let mut hold = None;
            let mut seen: Vec<(&str, Span)> = Vec::new();
            let mut broken = false;
            for clause in &item.clauses {
                let word = match &clause.kind {
                    TriggerClauseKind::When(_) => "when",
                    TriggerClauseKind::Unless(_) => "unless",
                    TriggerClauseKind::Hold(_) => "hold",
                    TriggerClauseKind::External => "external",
                    TriggerClauseKind::Keys(_) => "keys",
                    TriggerClauseKind::Broken => {
                        broken = true;
                        continue;
                    }
                };
                if let Some((_, first)) = seen.iter().find(|(w, _)| *w == word) {
                    let finding = Diagnostic::new(codes::TRIGGER, format!("`{word}` is said twice"));
                    let finding = finding.at(clause.span, "again here").at(*first, "first here");
                    self.report(finding.help("leave one of them out; join conditions by `or`"));
                    continue;
                }
                seen.push((word, clause.span));
                match &clause.kind {
                    TriggerClauseKind::When(expr) => self.when(expr, clause.span),
                    TriggerClauseKind::Unless(expr) => {
                        self.condition(expr);
                        let help = "leave it out; the program that raises the trigger can look first";
                        self.not_yet(later::WINDOWS, clause.span, "`unless`", help);
                    }
                    TriggerClauseKind::Hold(expr) => hold = self.hold(expr),
                    TriggerClauseKind::Keys(expr) => {
                        self.value(expr);
                        let help =
                            "leave it out: how many keys triggers keep is said when the program is started";
                        self.not_yet(later::WINDOWS, clause.span, "`keys`", help);
                    }
                    TriggerClauseKind::External | TriggerClauseKind::Broken => {}
                }
            }
            let has = |word: &str| seen.iter().any(|(w, _)| *w == word);
            if !broken && !has("external") && !has("when") {
                let message = format!("trigger `{}` says neither `when` nor `external`", item.name.node);
                let finding = Diagnostic::new(codes::TRIGGER, message).at(item.name.span, "never raised");
                self.report(finding.help("write `external` for a trigger that is raised through the API"));
            } else if !broken && !has("hold") {
                let message = format!("trigger `{}` does not say how long it stays active", item.name.node);
                let finding = Diagnostic::new(codes::TRIGGER, message).at(item.name.span, "no `hold`");
                self.report(finding.help("add `hold 10m`"));
            }
            if let Some(info) = self.triggers.get_mut(index) {
                info.hir.hold = hold;
            }
        }
    }

    fn when(&mut self, expr: &Expr, span: Span) {
        let before = self.diagnostics.len();
        self.condition(expr);
        // A window or a stream inside has said so already.
        if self.diagnostics.len() == before {
            self.later_window(span, "a trigger that rules raise (`when`)");
        }
    }

    /// How long a trigger stays active, in nanoseconds.
    fn hold(&mut self, expr: &Expr) -> Option<u64> {
        if is_flow(expr) {
            self.later_flow(expr.span, "`hold flow`");
            return None;
        }
        let value = self.value(expr);
        let what = match value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value, unit: Unit::Duration, .. })) if value > 0 => {
                return Some(value);
            }
            Kind::Term(Term { ty: TermTy::Duration, form: Form::Param(_), .. }) => {
                let help = "write the time itself: `hold 10m`";
                self.not_yet(later::WINDOWS, expr.span, "a param as a hold", help);
                return None;
            }
            Kind::Const(Const::Number(Number { value: 0, .. })) => "no time at all",
            Kind::Const(constant) => constant.describe(),
            _ => "no duration",
        };
        let message = format!("`hold` takes a duration; `{}` is {what}", self.text(expr.span));
        let finding = Diagnostic::new(codes::TRIGGER, message).at(expr.span, what);
        self.report(finding.help("write it with its unit: `hold 30s`, `hold 10m`, `hold 1h`"));
        None
    }
}

fn is_flow(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Path(path) => path == "flow",
        ExprKind::Paren(inner) => is_flow(inner),
        _ => false,
    }
}
