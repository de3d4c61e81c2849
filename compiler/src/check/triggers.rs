//! Triggers: by flow, by key or global, raised by conditions or from outside. The invariant: a
//! trigger's key is made of fields with one value, so that "its own key" has one meaning. A trigger
//! by flow has one bit in the flow; its other state (windows, a time) is kept under a key, the
//! flow's number. (Rejected: windows in the flow table; each flow would need room for them.)

use super::Checker;
use super::value::{Alt, Const, Form, Kind, Number, Term, TermTy, Unit};
use crate::fields::FlowSlot;
use crate::hir::{self, Key, MAX_FLOW_TRIGGERS, Num, Pred, Scope, TriggerId, ValueTy};
use mrule_grammar::ast::{self, Expr, ExprKind, TriggerClause, TriggerClauseKind};
use mrule_grammar::codes::settings as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::sync::Arc;

/// A declared trigger.
pub(super) struct TriggerInfo {
    pub hir: hir::Trigger,
    pub by_flow: bool,
    /// The types of its key. `None`: they are reported, or the state is in flows.
    pub types: Option<Vec<ValueTy>>,
    /// The packet's own keys: one for each alternative of fields such as `net.src`.
    pub own: Option<Vec<Vec<Key>>>,
    /// The source text after `when` and `unless`.
    pub when: Option<Arc<str>>,
    pub unless: Option<Arc<str>>,
}

/// The greatest number of keys that a trigger can hold.
const MAX_KEYS: u64 = 1 << 24;

/// The clauses of a trigger.
#[derive(Default)]
struct Said {
    when: Option<Pred>,
    unless: Option<Pred>,
    /// The place of `unless`.
    vetoes: Option<Span>,
    hold: Option<Hold>,
    external: Option<Span>,
    keys: Option<usize>,
    /// The place of `keys`.
    room: Option<Span>,
    broken: bool,
}

/// How long a trigger stays active.
enum Hold {
    /// This many nanoseconds: a constant or a param.
    Time(Num),
    /// As long as its flow lives.
    Flow,
    /// The clause is wrong and reported.
    Wrong,
}

impl Checker<'_> {
    /// Declares all triggers. Keys are evaluated later.
    pub fn declare_triggers(&mut self) {
        let mut flows = 0;
        for item in self.names.triggers.clone() {
            let mut scope = Scope::Keys(Vec::new());
            let by_flow = item.key.as_ref().filter(|key| is_flow(key));
            if let Some(key) = by_flow.filter(|_| holds_flow(item)) {
                scope = Scope::Flow(flows.min(MAX_FLOW_TRIGGERS as u32 - 1));
                flows += 1;
                if flows == MAX_FLOW_TRIGGERS as u32 + 1 {
                    let message = format!("a program has at most {MAX_FLOW_TRIGGERS} triggers by flow");
                    let finding = Diagnostic::new(codes::TRIGGER, message).at(key.span, "one too many");
                    self.report(finding.help("join conditions of triggers that do the same by `or`"));
                }
            }
            self.triggers.push(TriggerInfo {
                hir: hir::Trigger {
                    name: item.name.node.clone(),
                    span: item.name.span,
                    scope,
                    hold: None,
                    when: None,
                    unless: Pred::never(),
                    own: Vec::new(),
                    capacity: hir::DEFAULT_KEYS,
                    keys_at: None,
                    external: false,
                },
                by_flow: by_flow.is_some(),
                types: None,
                own: None,
                when: None,
                unless: None,
            });
        }
    }

    /// Evaluates a trigger's key.
    pub fn define_trigger(&mut self, index: usize, item: &ast::Trigger) {
        let (types, own) = match &item.key {
            None => (Vec::new(), vec![Vec::new()]),
            Some(key) if is_flow(key) && holds_flow(item) => return,
            Some(key) if is_flow(key) => (vec![ValueTy::Uint], vec![vec![flow_key()]]),
            Some(key) => {
                let value = self.value(key);
                match self.own_keys(&value) {
                    Some(keys) => keys,
                    None => return,
                }
            }
        };
        if let Some(info) = self.triggers.get_mut(index) {
            info.hir.scope = Scope::Keys(types.clone());
            info.types = Some(types);
            info.own = Some(own);
        }
    }

    /// Checks the clauses of all triggers, after all names are known.
    pub fn trigger_clauses(&mut self) {
        for (index, item) in self.names.triggers.clone().into_iter().enumerate() {
            if self.is_spent() {
                return;
            }
            let by_flow = item.key.as_ref().is_some_and(is_flow);
            let said = self.clauses_of(TriggerId(index as u32), item, by_flow);
            self.incomplete_trigger(item, by_flow, &said);
            self.spend(&item.name, [&said.when, &said.unless].into_iter().flatten().map(Pred::nodes).sum());
            let counts = self.windows.iter().any(|window| window.trigger == TriggerId(index as u32));
            let in_flows = by_flow && holds_flow(item);
            if let (Some(span), true, false) = (said.room, in_flows, counts) {
                self.keys_of_flows(span);
            }
            let text = |kind: fn(&TriggerClauseKind) -> Option<&Expr>| {
                let expr = item.clauses.iter().find_map(|clause| kind(&clause.kind));
                expr.map(|expr| hir::on_one_line(self.sources.text(expr.span)))
            };
            let when = text(|kind| if let TriggerClauseKind::When(expr) = kind { Some(expr) } else { None });
            let unless =
                text(|kind| if let TriggerClauseKind::Unless(expr) = kind { Some(expr) } else { None });
            if let Some(info) = self.triggers.get_mut(index) {
                (info.when, info.unless) = (when, unless);
                if let Some(Hold::Time(time)) = said.hold {
                    info.hir.hold = Some(time);
                }
                info.hir.when = said.when;
                info.hir.unless = said.unless.unwrap_or_else(Pred::never);
                info.hir.external = said.external.is_some();
                info.hir.capacity = said.keys.unwrap_or(hir::DEFAULT_KEYS);
                info.hir.keys_at = said.room;
                let forms = info.own.iter().flatten().cloned();
                info.hir.own = match in_flows && counts {
                    true => vec![hir::OwnKey::new(vec![flow_key()])],
                    false => forms.map(hir::OwnKey::new).collect(),
                };
            }
        }
    }

    fn clauses_of(&mut self, id: TriggerId, item: &ast::Trigger, by_flow: bool) -> Said {
        let mut said = Said::default();
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for clause in &item.clauses {
            let word = match &clause.kind {
                TriggerClauseKind::When(_) => "when",
                TriggerClauseKind::Unless(_) => "unless",
                TriggerClauseKind::Hold(_) => "hold",
                TriggerClauseKind::External => "external",
                TriggerClauseKind::Keys(_) => "keys",
                TriggerClauseKind::Broken => {
                    said.broken = true;
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
            self.trigger_clause(id, clause, by_flow, &mut said);
        }
        said
    }

    fn trigger_clause(&mut self, id: TriggerId, clause: &TriggerClause, by_flow: bool, said: &mut Said) {
        match &clause.kind {
            TriggerClauseKind::When(expr) => {
                self.counting = Some(id);
                said.when = Some(self.condition(expr));
                self.counting = None;
            }
            TriggerClauseKind::Unless(expr) => {
                said.unless = Some(self.condition(expr));
                said.vetoes = Some(clause.span);
            }
            TriggerClauseKind::Hold(expr) => said.hold = Some(self.hold(expr, by_flow)),
            TriggerClauseKind::Keys(expr) => {
                said.keys = self.capacity(expr);
                said.room = Some(expr.span);
            }
            TriggerClauseKind::External => {
                said.external = Some(clause.span);
            }
            TriggerClauseKind::Broken => {}
        }
    }

    fn keys_of_flows(&mut self, span: Span) {
        let message = "a trigger by flow that counts nothing keeps its state in the flow";
        let finding = Diagnostic::new(codes::TRIGGER, message);
        let finding = finding.at(span, "there is one key for each flow");
        self.report(finding.help("leave it out; `mirrorc run --flows N` says how many flows are kept"));
    }

    /// How many keys a trigger holds. `None`: reported.
    fn capacity(&mut self, expr: &Expr) -> Option<usize> {
        let value = self.value(expr);
        let what = match value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value, unit: Unit::None, .. })) => {
                if (1..=MAX_KEYS).contains(&value) {
                    return usize::try_from(value).ok();
                }
                "out of range"
            }
            _ => "not a number",
        };
        let message =
            format!("`keys` takes a number from 1 to {MAX_KEYS}; `{}` is {what}", self.text(expr.span));
        let finding = Diagnostic::new(codes::TRIGGER, message).at(expr.span, what);
        self.report(finding.help(format!("write `keys {}`, the default", hir::DEFAULT_KEYS)));
        None
    }

    /// Reports a missing clause of a trigger. A clause that could not be read may be the missing
    /// one.
    fn incomplete_trigger(&mut self, item: &ast::Trigger, by_flow: bool, said: &Said) {
        if said.broken {
            return;
        }
        let name = &item.name.node;
        if let (Some(span), None) = (said.vetoes, &said.when) {
            let finding = Diagnostic::new(codes::TRIGGER, "`unless` without `when`");
            let finding = finding.at(span, "there is nothing to veto");
            self.report(
                finding.help("leave it out: the client that raises the trigger can test the condition first"),
            );
        }
        let (message, label, help) = match (said.external.is_some() || said.when.is_some(), &said.hold) {
            (false, _) if by_flow => (
                format!("trigger `{name}` does not say what raises it"),
                "never raised",
                "add `when` and a condition: `when stream contains \"evil\"`; or `external`, to raise it for flows by name",
            ),
            (false, _) => (
                format!("trigger `{name}` has neither `when` nor `external`"),
                "never raised",
                "write `external` for a trigger that is raised through the API",
            ),
            (true, None) => (
                format!("trigger `{name}` does not say how long it stays active"),
                "no `hold`",
                if by_flow {
                    "add `hold flow`, as long as the flow lives, or a time"
                } else {
                    "add `hold 10m`"
                },
            ),
            (true, Some(_)) => return,
        };
        self.report(Diagnostic::new(codes::TRIGGER, message).at(item.name.span, label).help(help));
    }

    /// How long a trigger stays active.
    fn hold(&mut self, expr: &Expr, by_flow: bool) -> Hold {
        if is_flow(expr) {
            if by_flow {
                return Hold::Flow;
            }
            let finding = Diagnostic::new(codes::TRIGGER, "`hold flow` is for triggers `by flow`");
            let finding = finding.at(expr.span, "which flow?");
            self.report(finding.help("write `by flow` after the name, or give a time: `hold 10m`"));
            return Hold::Wrong;
        }
        let value = self.value(expr);
        let what = match value.kind {
            Kind::Poison => return Hold::Wrong,
            Kind::Const(Const::Number(Number { value, unit: Unit::Duration, .. })) if value > 0 => {
                return Hold::Time(Num::constant(value));
            }
            Kind::Term(Term { ty: TermTy::Duration, form: Form::Param(_), alts, .. }) => {
                match alts.as_slice() {
                    [Alt::Num(num)] => return Hold::Time(num.clone()),
                    _ => "no duration",
                }
            }
            Kind::Const(Const::Number(Number { value: 0, .. })) => "no time at all",
            Kind::Const(constant) => constant.describe(),
            _ => "no duration",
        };
        let message = format!("`hold` takes a duration; `{}` is {what}", self.text(expr.span));
        let finding = Diagnostic::new(codes::TRIGGER, message).at(expr.span, what);
        self.report(match by_flow {
            true => finding.help("write `hold flow`, as long as the flow lives, or a time: `hold 30s`"),
            false => finding.help("write it with its unit: `hold 30s`, `hold 10m`, `hold 1h`"),
        });
        Hold::Wrong
    }
}

/// The number of a packet's flow, as a key.
fn flow_key() -> Key {
    Key::Num(Num::flow(0, FlowSlot::Id))
}

/// Whether the trigger stays active as long as its flow lives. A trigger without `hold` does.
fn holds_flow(item: &ast::Trigger) -> bool {
    let hold = item.clauses.iter().find_map(|clause| match &clause.kind {
        TriggerClauseKind::Hold(expr) => Some(expr),
        _ => None,
    });
    hold.is_none_or(is_flow)
}

fn is_flow(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Path(path) => path == "flow",
        ExprKind::Paren(inner) => is_flow(inner),
        _ => false,
    }
}
