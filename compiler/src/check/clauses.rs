//! Rules and limits: one `match`, at least one `snaplen`, and `to` (a limit without `to` applies to
//! all stations). The invariant: a rule of the program has all three. (Rejected: defaults for
//! missing clauses; a rule without `match` would match every packet, which the author should say.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use crate::hir::{Ask, Pred, Rule};
use mrule_grammar::ast::{self, Clause, ExprKind};
use mrule_grammar::codes::{clauses as codes, oddities};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{Name, Span};

impl<'a> Checker<'a> {
    /// All rules and limits.
    pub fn clauses(&mut self) -> (Vec<Rule>, Vec<Rule>) {
        let (rules, limits) = (self.names.rules.clone(), self.names.limits.clone());
        (self.all_of(rules, true), self.all_of(limits, false))
    }

    fn all_of(&mut self, items: Vec<&'a ast::Rule>, is_rule: bool) -> Vec<Rule> {
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            if self.is_spent() {
                break;
            }
            let rule = self.rule(item, is_rule);
            self.spend(&item.name, rule.nodes());
            all.push(rule);
        }
        all
    }

    fn rule(&mut self, item: &'a ast::Rule, is_rule: bool) -> Rule {
        let (mut matches, mut asks, mut stations) = (None, Vec::new(), None);
        let (mut first_match, mut first_to): (Option<Span>, Option<Span>) = (None, None);
        let (mut lengths, mut broken) = (0, false);
        for clause in &item.clauses {
            match clause {
                Clause::Match { span, expr } => {
                    let pred = match &expr.kind {
                        ExprKind::Path(path) if path == "any" => Pred::always(),
                        _ => self.condition(expr),
                    };
                    if !self.again("match", first_match, *span, "join conditions by `and`") {
                        matches = Some(pred);
                        first_match = Some(*span);
                    }
                }
                Clause::Snaplen { span, length, when } => {
                    lengths += 1;
                    let when = when.as_ref().map_or_else(Pred::always, |when| self.condition(when));
                    let lines = self.lines(length, when, is_rule).unwrap_or_default();
                    asks.extend(lines.into_iter().map(|(when, length)| Ask { when, length, span: *span }));
                }
                Clause::To { span, stations: named } => {
                    let bits = self.station_bits(named);
                    if !self.again("to", first_to, *span, "write `to a, b`") {
                        stations = Some(bits);
                        first_to = Some(*span);
                    }
                }
                Clause::Broken { .. } => broken = true,
            }
        }
        // A clause that could not be read may be the one that is missing.
        if !broken {
            let (kind, name) = (if is_rule { "rule" } else { "limit" }, &item.name);
            if first_match.is_none() {
                let help = "add `match any`, or a condition: `match tcp.port == 80`";
                self.missing_clause(name, format!("{kind} `{}` has no `match`", name.node), help);
            }
            if lengths == 0 {
                let help = "say how much to copy: `snaplen full`, `snaplen headers`";
                self.missing_clause(name, format!("{kind} `{}` has no `snaplen`", name.node), help);
            }
            if is_rule && first_to.is_none() {
                let near = self.names.station_items.first().map_or("ids", |s| s.name.node.as_str());
                let help = format!("say where copies go: `to {near}`");
                self.missing_clause(name, format!("{kind} `{}` has no `to`", name.node), &help);
            }
        }
        let all = match self.names.station_items.len() {
            n if n >= 64 => u64::MAX,
            n => (1 << n) - 1,
        };
        Rule {
            name: item.name.node.clone(),
            span: item.name.span,
            matches: matches.unwrap_or_else(Pred::never),
            asks,
            stations: stations.unwrap_or(if is_rule { 0 } else { all }),
            everywhere: !is_rule && stations.is_none(),
        }
    }

    fn missing_clause(&mut self, name: &Name, message: String, help: &str) {
        self.report(Diagnostic::new(codes::MISSING_CLAUSE, message).at(name.span, "incomplete").help(help));
    }

    /// Reports a second clause of a kind that may occur once; false if this is the first.
    fn again(&mut self, word: &str, first: Option<Span>, span: Span, help: &str) -> bool {
        let Some(first) = first else { return false };
        let finding = Diagnostic::new(codes::REPEATED_CLAUSE, format!("`{word}` is said twice"));
        self.report(finding.at(span, "again here").at(first, "first here").help(help));
        true
    }

    fn station_bits(&mut self, named: &[Name]) -> u64 {
        let mut bits: u64 = 0;
        for name in named {
            match self.names.stations.get(name.node.as_str()) {
                Some(Some(id)) => {
                    let bit = 1u64.checked_shl(id.0).unwrap_or(0);
                    if bits & bit != 0 {
                        let message = format!("station `{}` is named twice", name.node);
                        let finding =
                            Diagnostic::new(oddities::STATION_TWICE, message).at(name.span, "again here");
                        self.report(finding.help("a packet is copied to a station once; leave one out"));
                    }
                    bits |= bit;
                }
                Some(None) => {}
                None => self.unknown_station(name),
            }
        }
        bits
    }

    fn unknown_station(&mut self, name: &Name) {
        let finding = Diagnostic::new(codes::UNKNOWN_STATION, format!("there is no station `{}`", name.node));
        let finding = finding.at(name.span, "unknown station");
        let near = nearest(&name.node, self.names.station_items.iter().map(|s| s.name.node.as_str()));
        let help = did_you_mean(&near)
            .unwrap_or_else(|| format!("declare it: `station {} {{ interface eth0 }}`", name.node));
        let finding = finding.help(help);
        self.report(match near.as_slice() {
            [only] => finding.fix(name.span, *only),
            _ => finding,
        });
    }
}
