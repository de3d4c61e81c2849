//! The size of native code, estimated before it is generated, and the choice of rules that get
//! code. The invariant: the choice follows from the program and the budget alone, so `check` names
//! the rules that a run interprets. Every rule has code or is interpreted. (Rejected: stopping when
//! the code generator has made too much; it cannot be stopped within a function, and its time and
//! memory grow faster than the function.)

use super::{Class, Plan};
use crate::budget::{CompileBudget, Stop};
use crate::hir::{Length, Pred, PredKind, Program, Rule};
use mrule_grammar::span::Span;

/// Approximate bytes of code of a test: a load, a comparison, a jump.
const TEST: u64 = 24;
/// Bytes of code around the tests of a rule or a class of rules: its counter and its number.
const RULE: u64 = 48;
/// Bytes of code of a `snaplen` line for each station: its range, and the merge with other rules'
/// ranges.
const ASK: u64 = 96;
/// Bytes of code that looks a key up.
const GROUP: u64 = 256;
/// The greatest size of the code of one rule or condition, in bytes: the time to generate it grows
/// with the square of its tests.
pub const LARGEST: u64 = 192 << 10;
/// The greatest number of times that a rule's code may occur.
const ENTRIES: u64 = 256;
/// Sets with more intervals than this are looked up, not compared.
const COMPARED: usize = 6;

/// Approximate bytes of code of a condition.
pub fn of_pred(pred: &Pred) -> u64 {
    let mut bytes = 0;
    pred.visit(&mut |part| {
        bytes += match part.kind() {
            PredKind::And(_) | PredKind::Or(_) | PredKind::Not(_) => 0,
            PredKind::In(_, set) | PredKind::TagIn(_, set) => {
                TEST * set.parts().len().clamp(1, COMPARED) as u64
            }
            PredKind::AddressIn(_, set) => 2 * TEST * set.parts().len().clamp(1, COMPARED) as u64,
            _ => TEST,
        };
    });
    bytes
}

fn of_asks<'a>(asks: impl Iterator<Item = (&'a Pred, &'a Length)>, stations: u64) -> u64 {
    let stations = u64::from(stations.count_ones().clamp(1, 2));
    asks.map(|(when, _)| of_pred(when) + ASK * stations).sum()
}

/// Approximate bytes of code of a rule by itself.
pub fn of_rule(rule: &Rule) -> u64 {
    RULE + of_pred(&rule.matches) + of_asks(rule.asks.iter().map(|a| (&a.when, &a.length)), rule.stations)
}

fn of_class(class: &Class) -> u64 {
    RULE + of_pred(&class.residual) + of_asks(class.asks.iter().map(|(w, l)| (w, l)), class.stations)
}

/// The plans of a program's rules and limits, with the choice of those that get code.
#[derive(Debug, Default)]
pub struct CodePlan {
    /// Its rules.
    pub rules: Plan,
    /// Its limits.
    pub limits: Plan,
    /// Bytes of code that the conditions of triggers may take.
    pub left: u64,
}

impl CodePlan {
    /// Plans a program within a budget.
    ///
    /// # Errors The compilation must stop.
    pub fn new(program: &Program, budget: &CompileBudget) -> Result<CodePlan, Stop> {
        let mut left = budget.code;
        let mut rules = Plan::new(&program.rules, budget)?;
        let mut limits = Plan::new(&program.limits, budget)?;
        rules.fit(&program.rules, &mut left);
        limits.fit(&program.limits, &mut left);
        Ok(CodePlan { rules, limits, left })
    }
}

impl Plan {
    /// Gives code to as many classes of rules as fit: first to those found by key, then to the
    /// others in their order.
    fn fit(&mut self, rules: &[Rule], left: &mut u64) {
        let mut take = |bytes: u64| {
            let fits = bytes <= *left && bytes <= LARGEST;
            *left -= if fits { bytes } else { 0 };
            fits
        };
        for group in &mut self.groups {
            // The code to look up a key is always generated: it is small, and the rules found may
            // be interpreted.
            let _looks_up = take(GROUP);
            group.native = group.classes.iter().take_while(|class| take(of_class(class))).count();
        }
        let (native, rest): (Vec<u32>, Vec<u32>) = self
            .chain
            .iter()
            .copied()
            .partition(|rule| rules.get(*rule as usize).is_some_and(|rule| take(of_rule(rule))));
        (self.chain, self.rest) = (native, rest);
    }

    /// How many rules are interpreted.
    fn interpreted(&self) -> usize {
        let mut found: Vec<u64> = Vec::new();
        for group in self.groups.iter().filter(|group| group.native < group.classes.len()) {
            let entries = group.entries.chunks(group.stride()).filter_map(|entry| entry.first());
            found.extend(entries.filter(|e| **e >> 32 >= group.native as u64).map(|e| e & 0xffff_ffff));
        }
        found.sort_unstable();
        found.dedup();
        found.len() + self.rest.len()
    }
}

/// The rules and limits that a program interprets because its code budget is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreted {
    /// How many rules and limits.
    pub rules: usize,
    /// Approximate bytes of code that all rules and limits would take by themselves.
    pub bytes: u64,
    /// The rule or limit with the largest code: its place, its name, and its bytes.
    pub costliest: Option<(Span, String, u64)>,
}

/// The rules and limits that a program with this budget would interpret; `None` if all get code.
///
/// # Errors The compilation must stop.
pub fn interpreted(program: &Program, budget: &CompileBudget) -> Result<Option<Interpreted>, Stop> {
    let all = || program.rules.iter().chain(&program.limits);
    let bytes = all().map(of_rule).sum();
    // A rule may be several entries of several tables, each with its own code.
    if bytes <= budget.code.min(LARGEST) / ENTRIES {
        return Ok(None);
    }
    let plan = CodePlan::new(program, budget)?;
    let rules = plan.rules.interpreted() + plan.limits.interpreted();
    let costliest = all().map(|rule| (rule.span, rule.name.clone(), of_rule(rule))).max_by_key(|(.., b)| *b);
    Ok((rules > 0).then_some(Interpreted { rules, bytes, costliest }))
}
