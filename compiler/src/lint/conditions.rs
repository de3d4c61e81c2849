//! Conditions that never hold, and conditions that always hold. The message names the tests that
//! contradict each other. The invariant: a condition is reported only if no packet at all could
//! disprove it. (Rejected: judging parts of a condition; a part that never holds often comes from a
//! field that stands for several values.)

use super::Lint;
use super::cube::{Conflict, Cube};
use super::expand::expand;
use crate::abi::bit;
use crate::fields::{FlowSlot, Layer};
use crate::hir::{Ask, Length, NumKind, Pred, PredKind, Rule, Trigger};
use crate::render;
use mrule_grammar::ast::{self, Clause, Expr, ExprKind, Literal};
use mrule_grammar::codes::lints;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::ops::Range;
use std::rc::Rc;

/// The cases of a rule's or limit's conditions.
#[derive(Debug, Default)]
pub(super) struct Cases<'p> {
    /// The conjunctions of its `match`; `None` if they are too many.
    pub matches: Option<Rc<[Cube<'p>]>>,
    /// For each `snaplen` line, the conjunctions of `match` and `when` together.
    pub asks: Vec<Option<Rc<[Cube<'p>]>>>,
}

/// Checks one rule or limit (`word`), and returns the cases of its conditions.
pub(super) fn conditions<'p>(lint: &mut Lint<'p>, word: &str, rule: &'p Rule) -> Cases<'p> {
    let tree = lint.trees.get(&rule.span).copied();
    let whole = [Cube::new(lint.program)];
    let name = &rule.name;
    let Some(found) = expand(&whole, &rule.matches, true) else { return Cases::default() };
    let matched = tree.and_then(match_clause);
    if found.cubes.is_empty() {
        let message = format!("the `match` of {word} `{name}` never holds");
        report(lint, lints::NEVER, message, matched.map_or(rule.span, |(span, _)| span), found.conflict);
        return Cases { matches: Some(Rc::new([])), asks: Vec::new() };
    }
    if let Some((span, expr)) = matched
        && !says_always(expr)
        && bare(&rule.matches) != Some(false)
        && expand(&whole, &rule.matches, false).is_some_and(|rest| rest.cubes.is_empty())
    {
        let finding = Diagnostic::new(lints::ALWAYS, format!("the `match` of {word} `{name}` always holds"));
        lint.out
            .push(finding.at(span, "every packet passes").help("to match every packet, write `match any`"));
    }
    let cubes: Rc<[Cube]> = found.cubes.into();
    let asks = (0..rule.asks.len()).map(|at| line(lint, word, rule, at, tree, &cubes)).collect();
    Cases { matches: Some(cubes), asks }
}

/// Checks the condition of a trigger.
pub(super) fn trigger(lint: &mut Lint, trigger: &Trigger) {
    let Some(when) = &trigger.when else { return };
    let whole = [Cube::new(lint.program)];
    let Some(found) = expand(&whole, when, true).filter(|found| found.cubes.is_empty()) else { return };
    let message = format!("the `when` of trigger `{}` never holds", trigger.name);
    report(lint, lints::NEVER, message, trigger.span, found.conflict);
}

/// The value of a condition for a packet without any header, if it is easy to see. Most conditions
/// do not hold for such a packet, which quickly proves that they do not always hold.
fn bare(pred: &Pred) -> Option<bool> {
    match pred.kind() {
        PredKind::Const(value) => Some(*value),
        PredKind::Bits { .. } | PredKind::AddressIn(..) | PredKind::TagIn(..) => Some(false),
        PredKind::Not(inner) => bare(inner).map(|holds| !holds),
        PredKind::And(parts) => match parts.iter().any(|part| bare(part) == Some(false)) {
            true => Some(false),
            false => None,
        },
        PredKind::Or(parts) => match parts.iter().all(|part| bare(part) == Some(false)) {
            true => Some(false),
            false => None,
        },
        _ => None,
    }
}

/// Checks one `snaplen` line under the condition of `match`.
fn line<'p>(
    lint: &mut Lint<'p>,
    word: &str,
    rule: &'p Rule,
    at: usize,
    tree: Option<&ast::Rule>,
    matches: &Rc<[Cube<'p>]>,
) -> Option<Rc<[Cube<'p>]>> {
    let ask = rule.asks.get(at)?;
    // The lines of `stream M..N` hold and fail one by one by design. Only a line of the text that
    // never holds as a whole is reported.
    let parts = same_line(rule, at);
    if by_stream(ask) || parts.len() > 1 {
        let found = expand(matches, &ask.when, true)?;
        let never = |other: &Ask| expand(matches, &other.when, true).is_some_and(|f| f.cubes.is_empty());
        let all = || rule.asks.get(parts.clone()).unwrap_or(&[]).iter().all(never);
        if parts.start == at && found.cubes.is_empty() && all() {
            let message = format!("this line of {word} `{}` never holds when its `match` holds", rule.name);
            report(lint, lints::NEVER, message, ask.span, found.conflict);
        }
        return Some(found.cubes.into());
    }
    if ask.when.as_const() == Some(true) {
        if let Some(when) =
            tree.and_then(|tree| when_clause(tree, ask.span)).filter(|when| !says_always(when))
        {
            always(lint, word, rule, when.span, &ask.when);
        }
        return Some(matches.clone());
    }
    let found = expand(matches, &ask.when, true)?;
    let place = tree.and_then(|tree| when_clause(tree, ask.span)).map_or(ask.span, |when| when.span);
    if found.cubes.is_empty() {
        let message = format!("this `when` of {word} `{}` never holds when its `match` holds", rule.name);
        report(lint, lints::NEVER, message, place, found.conflict);
    } else if expand(matches, &ask.when, false).is_some_and(|rest| rest.cubes.is_empty()) {
        always(lint, word, rule, place, &ask.when);
    }
    Some(found.cubes.into())
}

/// The lines of a rule that come from the same line of the text.
pub(super) fn same_line(rule: &Rule, at: usize) -> Range<usize> {
    let place = rule.asks.get(at).map(|ask| ask.span);
    let same = |ask: &&Ask| Some(ask.span) == place;
    let before = rule.asks.get(..at).unwrap_or(&[]).iter().rev().take_while(same).count();
    let behind = rule.asks.get(at..).unwrap_or(&[]).iter().take_while(same).count();
    at - before..at + behind
}

/// Whether a line depends on the packet's place in its stream.
fn by_stream(ask: &Ask) -> bool {
    let Length::Headers(num) = &ask.length else { return false };
    matches!(num.kind(), NumKind::Arith(_, _, lead) if matches!(lead.kind(), NumKind::Flow { slot: FlowSlot::Lead, .. }))
}

fn always(lint: &mut Lint, word: &str, rule: &Rule, place: Span, when: &Pred) {
    let alone = when.as_const() == Some(true);
    let whence = if alone { "" } else { " where its `match` does" };
    let message = format!("this `when` of {word} `{}` always holds{whence}", rule.name);
    let finding = Diagnostic::new(lints::ALWAYS, message);
    lint.out.push(finding.at(place, "adds no condition").help("remove it"));
}

fn report(
    lint: &mut Lint,
    code: mrule_grammar::codes::Code,
    message: String,
    place: Span,
    why: Option<Conflict>,
) {
    let (label, help) = reason(lint, why);
    lint.out.push(Diagnostic::new(code, message).at(place, label).help(help));
}

/// A contradiction as a text, and the help.
fn reason(lint: &Lint, why: Option<Conflict>) -> (String, String) {
    let render = &lint.render;
    match why {
        None | Some(Conflict::Never) => ("no packet passes".into(), "remove it, or correct the values".into()),
        Some(Conflict::Headers(layer, a, b)) if (a | b) & bit::FRAGMENT != 0 => {
            let header = header(layer, (a | b) & !bit::FRAGMENT);
            (
                format!("only the first fragment of a packet has {header}"),
                "test the addresses and the protocol instead, which every fragment has".into(),
            )
        }
        Some(Conflict::Headers(layer, a, b)) => {
            let (a, b) = (header(layer, a), header(layer, b));
            let help = match layer {
                Layer::Outer => format!("write `or` for either of them, or `inner.{b}` for the packet in a tunnel"),
                Layer::Inner => "write `or` for either of them".into(),
            };
            (format!("no packet has `{a}` and `{b}` at once"), help)
        }
        Some(Conflict::Tunnel(bit::FRAGMENT)) => (
            "the packet inside a fragment that is not the first is never read".into(),
            "test the outer addresses instead, which every fragment has".into(),
        ),
        Some(Conflict::Tunnel(one)) => (
            format!("a packet with `{}` carries no packet inside", header(Layer::Outer, one)),
            "tunnels are GRE, VXLAN, GENEVE and IP in IP".into(),
        ),
        Some(Conflict::Absent(layer, bits)) => (
            format!("`{}` must be present and absent", header(layer, bits)),
            "write `or`, or remove one of them".into(),
        ),
        Some(Conflict::Num(num)) => (
            format!("no value of `{}` passes", render.num(num)),
            "the tests of this field contradict each other, or what the headers imply: write `or`, or correct one".into(),
        ),
        Some(Conflict::Address(address)) => (
            format!("no value of `{}` passes", render::address_name(address)),
            "the tests of this field contradict each other: write `or`, or correct one".into(),
        ),
        Some(Conflict::Test(test)) => (
            format!("`{}` contradicts the rest", render.pred(test)),
            "write `or`, or remove one of the tests".into(),
        ),
        Some(Conflict::Length(test)) => (
            format!("`{}`: the slice never has that many bytes", render.pred(test)),
            "give the slice the length of the compared bytes".into(),
        ),
    }
}

/// The name of a header in the user's terms.
fn header(layer: Layer, bits: u64) -> String {
    let one = 1u64 << bits.trailing_zeros().min(63);
    let shown = match one {
        bit::IP_HDR | bit::IP_LEN | bit::IP_IHL => bit::IP,
        bit::IP6_HDR => bit::IP6,
        bit::ARP_HDR | bit::ARP_ADDR => bit::ARP,
        bit::TCP_PORTS | bit::TCP_HDR | bit::TCP_LEN | bit::TCP_SEQ | bit::TCP_FLAGS => bit::TCP,
        bit::UDP_PORTS | bit::UDP_HDR => bit::UDP,
        bit::SCTP_PORTS => bit::SCTP,
        other => other,
    };
    let name = match shown {
        bit::NET | bit::IP_VERSION => "ip".into(),
        bit::PORTS => "l4.port".into(),
        _ => render::presence(Layer::Outer, shown),
    };
    if layer == Layer::Inner { format!("inner.{name}") } else { name }
}

pub(super) fn match_clause(tree: &ast::Rule) -> Option<(Span, &Expr)> {
    tree.clauses.iter().find_map(|clause| match clause {
        Clause::Match { expr, .. } => Some((expr.span, expr)),
        _ => None,
    })
}

/// The `when` of the line at `place`.
fn when_clause(tree: &ast::Rule, place: Span) -> Option<&Expr> {
    tree.clauses.iter().find_map(|clause| match clause {
        Clause::Snaplen { span, when, .. }
            if span.file == place.file && span.start <= place.start && place.end <= span.end =>
        {
            when.as_ref()
        }
        _ => None,
    })
}

/// Whether the text is a name, such as `any`, or a boolean literal.
fn says_always(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Path(_) | ExprKind::Literal(Literal::Bool(_)) => true,
        ExprKind::Paren(inner) => says_always(inner),
        _ => false,
    }
}
