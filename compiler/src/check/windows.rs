//! Counting over time: `count(p) per 5m`, `sum(field) per 1s`, `distinct(field) per 10m`, and the
//! default of a table look-up. The invariant: a window belongs to the trigger in whose `when` it
//! stands and counts for that trigger's keys; windows exist nowhere else. (Rejected: windows in
//! `let`s and rules, whose key is not defined.)

use super::Checker;
use super::value::{Alt, Const, Form, Kind, Many, Number, Term, TermTy, Unit, Value};
use crate::fields::Ty;
use crate::hir::{Key, MAX_TRIGGER_WINDOWS, Num, OwnKey, Pred, Window, WindowId, WindowKind};
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::{later, settings as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{Name, Span};

/// The shortest window, in nanoseconds. A slice of a window is a sixteenth of it.
pub const MIN_PER: u64 = 1_000_000;
/// The longest window, in nanoseconds: 366 days.
pub const MAX_PER: u64 = 366 * 86_400_000_000_000;
/// The greatest number of windows of all triggers of a program.
pub const MAX_WINDOWS: usize = 1024;

impl Checker<'_> {
    /// Reports `count(p)`, `sum(x)` or `distinct(x)` without a time.
    pub fn no_time(&mut self, name: &str, span: Span) {
        let message = format!("`{}` does not say over which time", self.text(span));
        let finding = Diagnostic::new(codes::WINDOW, message).at(span, "since when?");
        self.report(finding.help(format!("add a time: `{name}(...) per 5m`")));
    }

    /// `count(p) per D`
    pub fn window(&mut self, inner: &Expr, per: &Expr, span: Span) -> Value {
        let ExprKind::Call(name, args) = &inner.kind else {
            self.value(inner);
            let message =
                format!("`per` follows `count`, `sum` and `distinct`, not `{}`", self.text(inner.span));
            let finding = Diagnostic::new(codes::WINDOW, message).at(inner.span, "nothing that is counted");
            self.report(finding.help("write `count(tcp.flags.syn == 1) per 5m > 200`"));
            return Value::poison(span);
        };
        let Some(trigger) = self.counting.take() else {
            self.misplaced_window(span);
            return Value::poison(span);
        };
        let counted = self.counted(name, args);
        self.counting = Some(trigger);
        let per = self.per(per);
        let (Some((when, kind)), Some(per)) = (counted, per) else { return Value::poison(span) };
        let window = Window { trigger, when, kind, per };
        let at = self.windows.iter().position(|w| *w == window).unwrap_or(self.windows.len());
        if at == self.windows.len() {
            let of_trigger = self.windows.iter().filter(|w| w.trigger == trigger).count();
            if of_trigger == MAX_TRIGGER_WINDOWS || at == MAX_WINDOWS {
                let message = if of_trigger == MAX_TRIGGER_WINDOWS {
                    format!("a trigger has at most {MAX_TRIGGER_WINDOWS} windows")
                } else {
                    format!("a program has at most {MAX_WINDOWS} windows")
                };
                let finding = Diagnostic::new(codes::WINDOW, message).at(span, "one too many");
                self.report(finding.help(
                    "make several triggers of it: a trigger can name other triggers in its conditions",
                ));
                return Value::poison(span);
            }
            self.windows.push(window);
            self.window_texts.push(crate::hir::on_one_line(self.sources.text(span)));
        }
        let num = Num::window(WindowId(at as u32));
        Value::new(span, Kind::Term(Term::one(Ty::Uint(64), Alt::Num(num), Form::Arith)))
    }

    fn misplaced_window(&mut self, span: Span) {
        let message =
            "counting over time belongs in the `when` of a trigger: it counts for each key of the trigger";
        let finding = Diagnostic::new(codes::WINDOW, message).at(span, "counted for whom?");
        self.report(finding.help(
            "make a trigger of it and use its name: `trigger flood by net.src { when count(tcp) per 1m > 1000  hold 10m }`",
        ));
    }

    /// When a packet counts, and what is counted. `None`: reported.
    fn counted(&mut self, name: &Name, args: &[Expr]) -> Option<(Pred, WindowKind)> {
        let [arg] = args else {
            let message = format!("`{}` takes one argument, here are {}", name.node, args.len());
            let finding = Diagnostic::new(codes::WINDOW, message).at(name.span, "here");
            self.report(
                finding.help("write `count(tcp.flags.syn == 1)`, `sum(frame.len)`, `distinct(net.dst)`"),
            );
            return None;
        };
        match name.node.as_str() {
            "count" => Some((self.condition(arg), WindowKind::Count)),
            "sum" => {
                let value = self.value(arg);
                let nums = self.numbers(&value)?;
                let sum = nums.into_iter().rev().reduce(|rest, first| Num::or_else(first, rest))?;
                Some((sum.guard(), WindowKind::Sum(sum)))
            }
            "distinct" => {
                let value = self.value(arg);
                let forms = self.values_to_tell_apart(&value)?;
                Some((Pred::or(forms.iter().map(|form| form.when.clone())), WindowKind::Distinct(forms)))
            }
            _ => {
                let message = format!("`per` follows `count`, `sum` and `distinct`, not `{}`", name.node);
                let finding =
                    Diagnostic::new(codes::WINDOW, message).at(name.span, "nothing that is counted");
                self.report(finding.help("write `count(tcp.flags.syn == 1) per 5m > 200`"));
                None
            }
        }
    }

    /// The numbers that `sum` adds up: alternatives of which a packet has at most one.
    fn numbers(&mut self, value: &Value) -> Option<Vec<Num>> {
        if let Kind::Term(term) = &value.kind
            && term.many != Many::Any
            && matches!(term.ty, TermTy::Field(Ty::Uint(_)))
        {
            let nums: Option<Vec<Num>> = term
                .alts
                .iter()
                .map(|alt| if let Alt::Num(n) = alt { Some(n.clone()) } else { None })
                .collect();
            if let Some(nums) = nums.filter(|nums| !nums.is_empty()) {
                return Some(nums);
            }
        }
        if !matches!(value.kind, Kind::Poison) {
            let message = format!(
                "`sum` adds up a number; `{}` is not a number, or has several values",
                self.text(value.span)
            );
            let finding = Diagnostic::new(codes::WINDOW, message).at(value.span, "not one number");
            self.report(finding.help("write `sum(frame.len)`, `sum(tcp.len)`; `count(p)` counts packets"));
        }
        None
    }

    /// The keys whose different values `distinct` counts.
    fn values_to_tell_apart(&mut self, value: &Value) -> Option<Vec<OwnKey>> {
        if let Kind::Term(term) = &value.kind
            && term.many != Many::Any
            && !term.is_constant()
        {
            let key = |alt: &Alt| match alt {
                Alt::Num(n) => Some(OwnKey::new(vec![Key::Num(n.clone())])),
                Alt::V4(n) => Some(OwnKey::new(vec![Key::Ipv4(n.clone())])),
                Alt::V6(a) => Some(OwnKey::new(vec![Key::Ipv6(*a)])),
                _ => None,
            };
            let forms: Option<Vec<OwnKey>> = term.alts.iter().map(key).collect();
            if let Some(forms) = forms.filter(|forms| !forms.is_empty()) {
                return Some(forms);
            }
        }
        if !matches!(value.kind, Kind::Poison) {
            let message = format!(
                "`distinct` counts the values of one field; `{}` is not a field, or has several values",
                self.text(value.span)
            );
            let finding = Diagnostic::new(codes::WINDOW, message).at(value.span, "not one value");
            self.report(finding.help("write `distinct(net.dst)`, `distinct(l4.dstport)`"));
        }
        None
    }

    /// The time of a window, in nanoseconds. `None`: reported.
    fn per(&mut self, per: &Expr) -> Option<Num> {
        let value = self.value(per);
        let what = match &value.kind {
            Kind::Poison => return None,
            Kind::Const(Const::Number(Number { value, unit: Unit::Duration, .. })) => {
                if (MIN_PER..=MAX_PER).contains(value) {
                    return Some(Num::constant(*value));
                }
                "not from 1ms to 366d"
            }
            Kind::Term(Term { ty: TermTy::Duration, form: Form::Param(id), alts, .. }) => {
                match (alts.as_slice(), self.param_range(*id)) {
                    ([Alt::Num(num)], Some((low, high))) if low >= MIN_PER && high <= MAX_PER => {
                        return Some(num.clone());
                    }
                    _ => "a param whose bounds are not within 1ms to 366d",
                }
            }
            Kind::Const(constant) => constant.describe(),
            _ => "no duration",
        };
        let message = format!("`per` takes a duration; `{}` is {what}", self.text(per.span));
        let finding = Diagnostic::new(codes::WINDOW, message).at(per.span, what);
        self.report(match &value.kind {
            Kind::Term(_) => finding.help("say its bounds: `param window : duration = 5m in 1s..1h`"),
            _ => finding.help("write it with its unit: `per 10s`, `per 5m`, `per 1d`"),
        });
        None
    }

    /// `table[key] else default`
    pub fn or_else(&mut self, inner: &Expr, default: &Expr, span: Span) -> Value {
        let (inner, default) = (self.value(inner), self.value(default));
        let number = |value: &Value| match &value.kind {
            Kind::Const(Const::Number(Number { value, unit, .. })) => Some((Num::constant(*value), *unit)),
            Kind::Term(term) if term.is_constant() => match term.alts.as_slice() {
                [Alt::Num(num)] => Some((num.clone(), Unit::None)),
                _ => None,
            },
            _ => None,
        };
        if let Kind::Term(term) = &inner.kind
            && matches!(term.form, Form::Lookup(_))
            && let Some((default, _)) = number(&default)
        {
            let nums: Option<Vec<Num>> = term
                .alts
                .iter()
                .map(|alt| if let Alt::Num(n) = alt { Some(n.clone()) } else { None })
                .collect();
            if let Some(nums) = nums {
                let num = nums.into_iter().rev().fold(default, |rest, first| Num::or_else(first, rest));
                return Value::new(
                    span,
                    Kind::Term(Term {
                        alts: vec![Alt::Num(num)],
                        many: Many::One,
                        form: Form::Arith,
                        presence: None,
                        ..term.clone()
                    }),
                );
            }
        }
        if !matches!((&inner.kind, &default.kind), (Kind::Poison, _) | (_, Kind::Poison)) {
            let help = "`else` gives a number for keys that a map does not have: `normal[net.src] else 200`";
            self.not_yet(later::TABLES, span, "`else` after anything but a map of numbers", help);
        }
        Value::poison(span)
    }
}
