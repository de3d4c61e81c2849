//! Why a packet was decided in this way: for every rule and limit whether it held, and if not,
//! which tests failed and which values the packet had; what each line asked for; which rule and
//! limit decided. The result is data, computed with the reference interpreter; the command line
//! prints it. The invariant: the verdicts are the interpreter's own, and a condition that did not
//! hold names at least one test that explains it. (Rejected: tracing inside the interpreter, which
//! would slow and complicate the reference.)

use crate::abi::{Head, NO_LIMIT, Packet, Stack, Verdict};
use crate::context::{FacetValue, PacketContext};
use crate::environment::{Environment, Scratch};
use crate::eval::Eval;
use crate::fields::{FIELDS, Facet, Layer, Source};
use crate::helpers;
use crate::hir::{Ask, Bytes, Key, Num, NumKind, Pred, PredKind, Program, Rule, StationId};
use crate::length::{self, Range};
use crate::render::{self, Render};
use mrule_grammar::span::Span;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// The greatest number of tests that are named for one condition.
const TESTS: usize = 8;

/// The decision on one packet, explained.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Every rule, in the program's order.
    pub rules: Vec<RuleExplanation>,
    /// Every limit, in the program's order, whether or not a rule asked for anything.
    pub limits: Vec<RuleExplanation>,
    /// The stations for which a rule asked a copy.
    pub stations: Vec<StationExplanation>,
}

/// One rule or limit.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleExplanation {
    /// Its name.
    pub name: String,
    /// The place of its name.
    pub span: mrule_grammar::span::Span,
    /// The names of its stations.
    pub to: String,
    /// Whether its `match` held.
    pub held: bool,
    /// The tests that explain why its `match` held or failed.
    pub tests: Vec<Test>,
    /// Its `snaplen` lines.
    pub asks: Vec<AskExplanation>,
}

/// One `snaplen` line.
#[derive(Debug, Clone, PartialEq)]
pub struct AskExplanation {
    /// The length as text.
    pub length: String,
    /// Its place.
    pub span: mrule_grammar::span::Span,
    /// Whether its `when` held; true without a `when`.
    pub held: bool,
    /// The tests that explain why its `when` failed.
    pub tests: Vec<Test>,
    /// The range that it would ask for, or allow, in this packet.
    pub range: Range,
}

/// One test of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The test as text.
    pub text: String,
    /// The names of the values that it read, and the packet's values. `None`: the packet lacks the
    /// value.
    pub values: Vec<(String, Option<String>)>,
}

/// The decision for one station.
#[derive(Debug, Clone, PartialEq)]
pub struct StationExplanation {
    /// Its id.
    pub station: StationId,
    /// Its name.
    pub name: String,
    /// The range before limits.
    pub requested: Range,
    /// The rule that asked for the most.
    pub rule: String,
    /// The range after limits.
    pub range: Range,
    /// The limit that left the least.
    pub limit: Option<String>,
}

/// Explains the decision on a packet whose headers are `head`.
pub fn explain(
    program: &Program,
    environment: &Environment,
    packet: &Packet,
    head: &Head,
    seen: PacketContext,
) -> Explanation {
    let mut scratch = Scratch::default();
    let mut out = vec![Verdict::default(); program.stations.len()];
    let mut counters = vec![0; program.rules.len() + program.limits.len()];
    let mut eval = Eval::new(environment, &mut scratch, packet, head, seen);
    let asked = eval.decide(program, &mut out, &mut counters);
    let mut explainer = Explainer { render: Render::new(program), windows: &[], packet, head, seen, eval };
    let rules: Vec<RuleExplanation> = program.rules.iter().map(|rule| explainer.rule(rule)).collect();
    let limits = program.limits.iter().map(|limit| explainer.rule(limit)).collect();
    let name = |rules: &[Rule], index: u32| {
        rules.get(index as usize).map_or_else(String::new, |rule| rule.name.clone())
    };
    let mut stations = Vec::new();
    for (s, (station, verdict)) in program.stations.iter().zip(&out).enumerate() {
        if asked >> s & 1 == 0 {
            continue;
        }
        let speaking =
            program.rules.iter().zip(&rules).filter(|(rule, told)| told.held && rule.stations >> s & 1 == 1);
        let ranges = speaking.flat_map(|(_, told)| &told.asks).filter(|ask| ask.held).map(|ask| ask.range);
        stations.push(StationExplanation {
            station: StationId(s as u32),
            name: station.name.clone(),
            requested: ranges.fold((0, 0), length::cover),
            rule: name(&program.rules, verdict.rule),
            range: (verdict.start, verdict.end),
            limit: (verdict.limit != NO_LIMIT).then(|| name(&program.limits, verdict.limit)),
        });
    }
    Explanation { rules, limits, stations }
}

/// The tests that explain why a condition holds or fails for a packet.
pub fn why(
    program: &Program,
    environment: &Environment,
    packet: &Packet,
    head: &Head,
    seen: PacketContext,
    condition: &Pred,
) -> Vec<Test> {
    let mut scratch = Scratch::default();
    let mut eval = Eval::new(environment, &mut scratch, packet, head, seen);
    let held = eval.holds(condition);
    let windows = &program.texts.windows;
    let mut explainer = Explainer { render: Render::new(program), windows, packet, head, seen, eval };
    let mut tests = Vec::new();
    explainer.tests(condition, held, &mut tests);
    tests
}

/// Why a trigger's condition held for a packet: its source text, and its values. `vetoed`: the
/// condition after `unless`. `None`: the trigger lacks the condition.
pub fn reason(
    program: &Program,
    environment: &Environment,
    packet: &Packet,
    head: &Head,
    seen: PacketContext,
    (trigger, vetoed): (usize, bool),
) -> Option<String> {
    let of = program.triggers.get(trigger)?;
    let (condition, texts) = match vetoed {
        true => (&of.unless, &program.texts.unless),
        false => (of.when.as_ref()?, &program.texts.when),
    };
    let tests = why(program, environment, packet, head, seen, condition);
    let said = texts.get(trigger).cloned().flatten();
    let said = said.map_or_else(
        || tests.iter().map(|test| test.text.as_str()).collect::<Vec<_>>().join(" and "),
        |said| said.to_string(),
    );
    let mut values: Vec<String> = Vec::new();
    for (name, value) in tests.iter().flat_map(|test| &test.values) {
        let told = value.as_ref().map(|value| format!("{name} is {value}"));
        values.extend(told.filter(|told| !values.contains(told)));
    }
    Some(if values.is_empty() { said } else { format!("{said} ({})", values.join(", ")) })
}

struct Explainer<'a> {
    render: Render<'a>,
    /// The source texts of windows.
    windows: &'a [Arc<str>],
    packet: &'a Packet<'a>,
    head: &'a Head,
    seen: PacketContext<'a>,
    eval: Eval<'a>,
}

impl Explainer<'_> {
    fn rule(&mut self, rule: &Rule) -> RuleExplanation {
        let held = self.eval.holds(&rule.matches);
        let mut tests = Vec::new();
        self.tests(&rule.matches, held, &mut tests);
        RuleExplanation {
            name: rule.name.clone(),
            span: rule.span,
            to: self.render.stations(rule.stations),
            held,
            tests,
            asks: self.asks(rule),
        }
    }

    /// The lines of a rule or limit. One line of the text may become several that exclude each
    /// other (`stream M..N`): the line that holds is reported, or else the first.
    fn asks(&mut self, rule: &Rule) -> Vec<AskExplanation> {
        let mut told: Vec<AskExplanation> = Vec::with_capacity(rule.asks.len());
        for ask in &rule.asks {
            let ask = self.ask(ask);
            match told.last_mut().filter(|last| last.span == ask.span && ask.span != Span::default()) {
                Some(last) if last.held || !ask.held => {}
                Some(last) => *last = ask,
                None => told.push(ask),
            }
        }
        told
    }

    fn ask(&mut self, ask: &Ask) -> AskExplanation {
        let held = self.eval.holds(&ask.when);
        let mut tests = Vec::new();
        if !held {
            self.tests(&ask.when, false, &mut tests);
        }
        AskExplanation {
            length: self.render.length(&ask.length),
            span: ask.span,
            held,
            tests,
            range: self.eval.range(&ask.length),
        }
    }

    /// The tests that give `pred` the value `held`: of an `and` that failed, the first failed part;
    /// of an `or` that held, the first part that held; else all parts.
    fn tests(&mut self, pred: &Pred, held: bool, out: &mut Vec<Test>) {
        if out.len() >= TESTS {
            return;
        }
        match (pred.kind(), held) {
            (PredKind::Const(_), true) => {}
            (PredKind::And(parts), true) | (PredKind::Or(parts), false) => {
                for part in parts {
                    self.tests(part, held, out);
                }
            }
            (PredKind::And(parts), false) => {
                if let Some(first) = parts.iter().find(|part| !self.eval.holds(part)) {
                    match first.kind() {
                        // A missing header is explained by the test that needs it.
                        PredKind::Bits { layer, bits } => match self.needing(parts, *layer, *bits) {
                            Some(part) => self.test(part, out),
                            None => self.tests(first, false, out),
                        },
                        _ => self.tests(first, false, out),
                    }
                }
            }
            (PredKind::Or(parts), true) => {
                if let Some(first) = parts.iter().find(|part| self.eval.holds(part)) {
                    self.tests(first, true, out);
                }
            }
            (PredKind::Bits { .. }, true) => {
                let Some(text) = protocols(pred, &self.render) else { return };
                out.push(Test { text, values: Vec::new() });
            }
            (PredKind::Bits { layer, bits }, false) => {
                let missing = Pred::bits(*layer, bits & !helpers::stack(self.head, *layer).bits);
                let text = protocols(&missing, &self.render).unwrap_or_else(|| self.render.pred(&missing));
                out.push(Test { text, values: Vec::new() });
            }
            (PredKind::Not(inner), _) => {
                let before = out.len();
                self.tests(inner, !held, out);
                for test in out.get_mut(before..).unwrap_or_default() {
                    let several = [" and ", " or "].iter().any(|word| test.text.contains(word));
                    test.text =
                        if several { format!("not ({})", test.text) } else { format!("not {}", test.text) };
                }
            }
            _ => self.test(pred, out),
        }
    }

    /// The part that reads a header of `bits` that this packet lacks.
    fn needing<'p>(&self, parts: &'p [Pred], layer: Layer, bits: u64) -> Option<&'p Pred> {
        let missing = bits & !helpers::stack(self.head, layer).bits;
        parts.iter().find(|part| {
            let mut reads = false;
            part.visit(&mut |pred| reads |= needs(pred, layer) & missing != 0);
            reads
        })
    }

    fn test(&mut self, pred: &Pred, out: &mut Vec<Test>) {
        let mut values = Vec::new();
        pred.visit(&mut |pred| self.values(pred, &mut values));
        let mut unique = Vec::new();
        for value in values {
            if !unique.contains(&value) {
                unique.push(value);
            }
        }
        let test = Test { text: self.render.pred(pred), values: unique };
        let there = |test: &Test| test.values.iter().any(|(_, value)| value.is_some());
        // The end of a flow is in one of two fields: the packet's field is reported.
        match out.iter_mut().find(|other| other.text == test.text) {
            Some(other) if there(&test) && !there(other) => *other = test,
            Some(_) => {}
            None => out.push(test),
        }
    }

    fn values(&mut self, pred: &Pred, out: &mut Vec<(String, Option<String>)>) {
        match pred.kind() {
            PredKind::In(num, _) => self.num(num, out),
            PredKind::Compare(_, a, b) => [a, b].into_iter().for_each(|num| self.num(num, out)),
            PredKind::AddressIn(a, _) => self.address(a, out),
            PredKind::AddressCompare(_, a, b) => [a, b].into_iter().for_each(|a| self.address(a, out)),
            PredKind::TagIn(part, _) | PredKind::TagInTable(part, _) => {
                let mut seen = Vec::new();
                helpers::tags_any(self.packet, self.head, part, |value| {
                    seen.push(value.to_string());
                    false
                });
                out.push((render::tag_name(part), (!seen.is_empty()).then(|| seen.join(", "))));
            }
            PredKind::HasBytes(bytes)
            | PredKind::BytesCompare(_, bytes, _)
            | PredKind::ConstCompare(_, _, bytes)
            | PredKind::Contains(bytes, _)
            | PredKind::Matches(bytes, _) => self.bytes(bytes, out),
            PredKind::BytesBytes(_, a, b) => [a, b].into_iter().for_each(|bytes| self.bytes(bytes, out)),
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                self.key(key, out)
            }
            PredKind::HasOption(option) => {
                let value = helpers::tcp_option(self.packet, self.head, *option);
                out.push((render::option_name(option), value.map(|_| "present".into())));
            }
            PredKind::FlowActive(_) => {
                let value = if self.eval.holds(pred) { "active" } else { "not active" };
                out.push((self.render.pred(pred), Some(value.into())));
            }
            PredKind::Stream(_) => {
                if !self.eval.holds(pred) {
                    out.push(("end of a match".into(), None));
                }
            }
            PredKind::HasFacet(facet)
            | PredKind::FacetIn(facet, _)
            | PredKind::FacetText(facet, _)
            | PredKind::FacetInTable(facet, _) => self.facet(*facet, out),
            PredKind::Const(_)
            | PredKind::Bits { .. }
            | PredKind::Not(_)
            | PredKind::And(_)
            | PredKind::Or(_) => {}
        }
    }

    fn num(&self, num: &Num, out: &mut Vec<(String, Option<String>)>) {
        match num.kind() {
            NumKind::Const(_) => {}
            NumKind::Arith(_, a, b) => [a, b].into_iter().for_each(|num| self.num(num, out)),
            NumKind::Lookup { key, .. } => {
                self.key(key, out);
                out.push((self.render.num(num), self.eval.num(num).map(|value| value.to_string())));
            }
            _ => {
                let field = self.render.field(num).map(|(field, _)| (field.name, field.ty));
                let value = self.eval.num(num).map(|value| render::num_text(field, value));
                let said = match num.kind() {
                    NumKind::Window(id) => self.windows.get(id.index()).map(ToString::to_string),
                    _ => None,
                };
                out.push((said.unwrap_or_else(|| self.render.num(num)), value));
            }
        }
    }

    fn address(&self, address: &crate::hir::Address, out: &mut Vec<(String, Option<String>)>) {
        let value = self.eval.address(address).map(|value| Ipv6Addr::from(value).to_string());
        out.push((render::address_name(address), value));
    }

    fn bytes(&self, bytes: &Bytes, out: &mut Vec<(String, Option<String>)>) {
        out.push((render::bytes_name(bytes), self.eval.bytes(bytes).map(render::bytes_text)));
    }

    fn facet(&self, facet: Facet, out: &mut Vec<(String, Option<String>)>) {
        let said: Vec<String> = self.seen.facets(facet).map(facet_text).collect();
        out.push((render::facet_name(facet).into(), (!said.is_empty()).then(|| said.join(", "))));
    }

    fn key(&self, key: &[Key], out: &mut Vec<(String, Option<String>)>) {
        for part in key {
            match part {
                Key::Num(num) | Key::Ipv4(num) => self.num(num, out),
                Key::Ipv6(address) => self.address(address, out),
                Key::Bytes(bytes) => self.bytes(bytes, out),
                Key::Facet(facet) => self.facet(*facet, out),
                Key::Text(_) => {}
            }
        }
    }
}

/// The text of a message field's value.
fn facet_text(value: FacetValue) -> String {
    match value {
        FacetValue::Num(number) => number.to_string(),
        FacetValue::Text(text) => render::bytes_text(text),
    }
}

/// The presence bits that a test's own fields need.
fn needs(pred: &Pred, layer: Layer) -> u64 {
    fn num_needs(num: &Num, layer: Layer) -> u64 {
        let mut bits = 0;
        num.guard().visit(&mut |pred| {
            if let PredKind::Bits { layer: of, bits: some } = pred.kind()
                && *of == layer
            {
                bits |= some;
            }
        });
        bits
    }
    let of = |address: &crate::hir::Address| if address.layer == layer { address.bits } else { 0 };
    let key_needs = |key: &[Key]| {
        key.iter().fold(0, |bits, part| {
            bits | match part {
                Key::Num(num) | Key::Ipv4(num) => num_needs(num, layer),
                Key::Ipv6(address) => of(address),
                Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => 0,
            }
        })
    };
    match pred.kind() {
        PredKind::In(num, _) => num_needs(num, layer),
        PredKind::Compare(_, a, b) => num_needs(a, layer) | num_needs(b, layer),
        PredKind::AddressIn(a, _) => of(a),
        PredKind::AddressCompare(_, a, b) => of(a) | of(b),
        PredKind::TagIn(part, _) | PredKind::TagInTable(part, _) if part.layer == layer => part.present(),
        PredKind::HasOption(option) if option.layer == layer => crate::abi::bit::TCP_HDR,
        PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
            key_needs(key)
        }
        PredKind::FlowActive(_) | PredKind::Stream(_) if layer == Layer::Outer => crate::abi::bit::FLOW,
        _ => 0,
    }
}

/// Of presence bits, the protocols: the only bits that users write.
fn protocols(pred: &Pred, render: &Render) -> Option<String> {
    let PredKind::Bits { layer, bits } = pred.kind() else { return None };
    let written = FIELDS.iter().fold(0, |all, field| match field.source {
        Source::Protocol { bits, .. } => all | bits,
        _ => all,
    });
    let shown = Pred::bits(*layer, bits & written);
    (shown.as_const().is_none()).then(|| render.pred(&shown))
}

/// A packet's header slots as text, for a reader who wants to know what was dissected.
pub fn headers(head: &Head) -> Vec<(Layer, String)> {
    let layers = [(Layer::Outer, &head.outer), (Layer::Inner, &head.inner)];
    let words = |stack: &Stack, layer| {
        let all = Pred::bits(layer, stack.bits);
        protocols(&all, &Render::new(&Program::default())).unwrap_or_default()
    };
    layers
        .into_iter()
        .filter(|(_, stack)| stack.bits != 0)
        .map(|(layer, stack)| (layer, words(stack, layer)))
        .collect()
}

#[cfg(test)]
mod tests;
