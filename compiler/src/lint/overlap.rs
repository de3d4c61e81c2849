//! Rules that add nothing beside a wider rule, lines that add nothing, limits that never cut. To
//! find the wider rules without comparing all pairs, each conjunction of each rule is filed under
//! one of its values, and a rule is compared with the conjunctions under its own values. The
//! invariant: the work per rule is bounded; at the bound, nothing is reported. (Rejected: all
//! pairs, 50 million of them for 10,000 rules.)

use super::Lint;
use super::conditions::{Cases, same_line};
use super::cube::Cube;
use super::expand::expand;
use super::lengths::{asks_nothing, covers};
use crate::budget::Stop;
use crate::hir::{Address, Ask, Length, Num, NumKind, Pred, Rule};
use mrule_grammar::codes::lints;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::collections::HashMap;

/// The greatest number of filed conjunctions that are read for one rule.
const STEPS: usize = 256;

/// The greatest number of rules that one rule is compared with.
const CANDIDATES: usize = 32;

/// The greatest number of rules that are filed without a value, or under one test.
const UNFILED: usize = 64;

/// The greatest number of comparisons of limits with rules, all limits together.
const LIMIT_WORK: usize = 50_000;

/// Reports rules that add nothing.
pub(super) fn rules<'p>(lint: &mut Lint<'p>, cases: &[Cases<'p>]) -> Result<(), Stop> {
    let program = lint.program;
    let files = Files::new(cases);
    for (r, (rule, mine)) in program.rules.iter().zip(cases).enumerate() {
        lint.go_on()?;
        if nothing_asked(lint, rule) {
            continue;
        }
        lines(lint, rule, mine);
        let Some(first) = mine.matches.as_ref().and_then(|cubes| cubes.first()) else { continue };
        let wider = files.candidates(first).into_iter().find(|&other| {
            let pair = program.rules.get(other).zip(cases.get(other));
            let (Some((wide, theirs)), true) = (pair, other != r) else { return false };
            first.decides(&wide.matches) == Some(true)
                && adds_nothing(lint, rule, mine, wide)
                && (other < r || !adds_nothing(lint, wide, theirs, rule))
        });
        if let Some(wide) = wider.and_then(|other| program.rules.get(other)) {
            let message = format!("rule `{}` never adds anything to rule `{}`", rule.name, wide.name);
            let finding = Diagnostic::new(lints::COVERED_RULE, message)
                .at(rule.span, "holds only if the other rule holds, and asks for no more")
                .at(wide.span, "asks for at least as much, for the same stations")
                .help("remove one of them, or ask for more in the narrower one");
            lint.out.push(finding);
        }
    }
    Ok(())
}

/// Whether `wide` asks for at least as much for every packet for which `narrow` asks for anything.
fn adds_nothing(lint: &Lint, narrow: &Rule, cases: &Cases, wide: &Rule) -> bool {
    if narrow.stations & !wide.stations != 0 || narrow.asks.len() != cases.asks.len() {
        return false;
    }
    narrow.asks.iter().zip(&cases.asks).all(|(ask, cubes)| {
        let covering: Vec<_> =
            wide.asks.iter().filter(|w| covers(lint.program, &w.length, &ask.length)).collect();
        asks_nothing(lint.program, &ask.length)
            || !covering.is_empty()
                && cubes.as_ref().is_some_and(|cubes| {
                    cubes.iter().all(|cube| {
                        cube.decides(&wide.matches) == Some(true)
                            && covering.iter().any(|w| cube.decides(&w.when) == Some(true))
                    })
                })
    })
}

/// Whether no line of a rule asks for anything. Such a rule is reported.
fn nothing_asked(lint: &mut Lint, rule: &Rule) -> bool {
    let mut some = false;
    for (i, ask) in rule.asks.iter().enumerate() {
        let parts = same_line(rule, i);
        if parts.start != i {
            continue;
        }
        let all = rule.asks.get(parts).unwrap_or(&[]);
        if all.iter().all(|ask| asks_nothing(lint.program, &ask.length)) {
            let message = format!("this line of rule `{}` asks for nothing", rule.name);
            let finding = Diagnostic::new(lints::IDLE_LINE, message)
                .at(ask.span, "rules only raise")
                .help("to forbid copies write a `limit`; else remove the line");
            lint.out.push(finding);
        } else {
            some = true;
        }
    }
    !some
}

/// Reports lines of a rule that add nothing beside another of its lines. A line `stream M..N` of
/// the text is several lines at one place; it adds nothing if none of them does.
fn lines(lint: &mut Lint, rule: &Rule, cases: &Cases) {
    let mut wider: Vec<Option<Span>> = Vec::with_capacity(rule.asks.len());
    for (i, (ask, cubes)) in rule.asks.iter().zip(&cases.asks).enumerate() {
        let Some(cubes) = cubes.as_ref().filter(|cubes| !cubes.is_empty()) else {
            wider.push(None);
            continue;
        };
        let found = rule.asks.iter().enumerate().find(|&(j, other)| {
            let beside = |a: &Length, b: &Length| covers(lint.program, a, b);
            let implied = || cubes.iter().all(|cube| cube.decides(&other.when) == Some(true));
            let twins = beside(&ask.length, &other.length) && ask.when == other.when;
            i != j
                && !asks_nothing(lint.program, &ask.length)
                && beside(&other.length, &ask.length)
                && (j < i || !twins)
                && implied()
        });
        wider.push(found.map(|(_, other)| other.span));
    }
    for (i, ask) in rule.asks.iter().enumerate() {
        let Some(wide) = wider.get(i).copied().flatten() else { continue };
        let parts = same_line(rule, i);
        let each = || wider.get(parts.clone()).unwrap_or(&[]).iter();
        if parts.start == i && each().all(|wide| wide.is_some_and(|wide| wide != ask.span)) {
            let message = format!("this line of rule `{}` never adds anything", rule.name);
            let finding = Diagnostic::new(lints::IDLE_LINE, message)
                .at(ask.span, "asks for no more than the other line")
                .at(wide, "holds whenever it does")
                .help("remove the line");
            lint.out.push(finding);
        }
    }
}

/// Reports limits that never cut.
pub(super) fn limits<'p>(lint: &mut Lint<'p>, rules: &[Cases<'p>], limits: &[Cases<'p>]) -> Result<(), Stop> {
    let program = lint.program;
    // Every length that a rule asks for, with its stations.
    let mut lengths: HashMap<&Length, u64> = HashMap::new();
    for rule in &program.rules {
        for ask in rule.asks.iter().filter(|ask| !asks_nothing(program, &ask.length)) {
            *lengths.entry(&ask.length).or_default() |= rule.stations;
        }
    }
    let mut work = LIMIT_WORK;
    for (limit, cases) in program.limits.iter().zip(limits) {
        lint.go_on()?;
        let Some(cubes) = cases.matches.as_ref().filter(|cubes| !cubes.is_empty()) else { continue };
        let asked: Vec<&Length> = lengths
            .iter()
            .filter(|(_, stations)| *stations & limit.stations != 0)
            .map(|(length, _)| *length)
            .collect();
        let message = || format!("limit `{}` never cuts", limit.name);
        if asked.is_empty() {
            let finding = Diagnostic::new(lints::IDLE_LIMIT, message())
                .at(limit.span, "no rule asks for a copy to its stations")
                .help("name the stations that rules send to, or leave `to` out for all of them");
            lint.out.push(finding);
            continue;
        }
        let covers_all = |ask: &Ask| asked.iter().all(|length| covers(program, &ask.length, length));
        let idle: Vec<bool> = limit.asks.iter().map(covers_all).collect();
        if idle.iter().all(|idle| *idle) {
            let finding = Diagnostic::new(lints::IDLE_LIMIT, message())
                .at(limit.span, "allows at least what every rule asks for")
                .help("allow less, or remove the limit");
            lint.out.push(finding);
            continue;
        }
        for (i, ask) in limit.asks.iter().enumerate() {
            let parts = same_line(limit, i);
            if parts.start != i || !idle.get(parts).unwrap_or(&[]).iter().all(|idle| *idle) {
                continue;
            }
            let finding =
                Diagnostic::new(lints::IDLE_LIMIT, format!("this line of limit `{}` never cuts", limit.name))
                    .at(ask.span, "allows at least what every rule asks for")
                    .help("allow less, or remove the line");
            lint.out.push(finding);
        }
        let mut apart = true;
        for (rule, theirs) in program.rules.iter().zip(rules) {
            if rule.stations & limit.stations == 0 {
                continue;
            }
            let Some(theirs) = &theirs.matches else {
                apart = false;
                break;
            };
            work = work.saturating_sub(theirs.len() * cubes.len());
            let together = (work > 0).then(|| expand(theirs, &limit.matches, true)).flatten();
            if together.is_none_or(|found| !found.cubes.is_empty()) {
                apart = false;
                break;
            }
        }
        if apart {
            let finding = Diagnostic::new(lints::IDLE_LIMIT, message())
                .at(limit.span, "no rule for its stations holds for the same packets")
                .help("correct its `match`, or remove the limit");
            lint.out.push(finding);
        }
    }
    Ok(())
}

/// The variable under which a conjunction is filed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Variable<'p> {
    Load(crate::fields::Load),
    Num(&'p Num),
    Address(&'p Address),
}

impl<'p> Variable<'p> {
    fn of(num: &'p Num) -> Variable<'p> {
        match num.kind() {
            NumKind::Load(load) => Variable::Load(crate::fields::Load { bits: 0, ..*load }),
            _ => Variable::Num(num),
        }
    }
}

/// The variables of a conjunction, with the least and the greatest value of each.
fn ranges<'c, 'p>(cube: &'c Cube<'p>) -> impl Iterator<Item = (Variable<'p>, u128, u128)> + 'c {
    let nums = cube.nums.iter().filter(|known| known.present).filter_map(|known| {
        let (low, high) = hull(known.set.parts())?;
        Some((Variable::of(known.of), u128::from(low), u128::from(high)))
    });
    let addresses = cube.addresses.iter().filter(|known| known.present).filter_map(|known| {
        let (low, high) = hull(known.set.parts())?;
        Some((Variable::Address(known.of), low, high))
    });
    nums.chain(addresses)
}

fn hull<T: Copy>(parts: &[(T, T)]) -> Option<(T, T)> {
    Some((parts.first()?.0, parts.last()?.1))
}

/// A filed range, the number of its rule, and the greatest end of all ranges up to it.
type Filed = (u128, u128, usize, u128);

/// The filed conjunctions of all rules.
struct Files<'p> {
    values: HashMap<Variable<'p>, Vec<Filed>>,
    tests: HashMap<&'p Pred, Vec<usize>>,
    others: Vec<usize>,
}

impl<'p> Files<'p> {
    fn new(cases: &[Cases<'p>]) -> Files<'p> {
        let mut files = Files { values: HashMap::new(), tests: HashMap::new(), others: Vec::new() };
        for (r, case) in cases.iter().enumerate() {
            for cube in case.matches.iter().flat_map(|cubes| cubes.iter()) {
                // Filed under the narrowest of its ranges, which the fewest other rules overlap.
                let narrowest = ranges(cube).min_by_key(|(_, low, high)| high - low);
                let unfiled = match (narrowest, cube.tests.iter().find(|(_, holds)| *holds)) {
                    (Some((variable, low, high)), _) => {
                        files.values.entry(variable).or_default().push((low, high, r, 0));
                        continue;
                    }
                    (None, Some((test, _))) => files.tests.entry(test).or_default(),
                    (None, None) => &mut files.others,
                };
                if unfiled.len() < UNFILED && unfiled.last() != Some(&r) {
                    unfiled.push(r);
                }
            }
        }
        for filed in files.values.values_mut() {
            filed.sort_unstable();
            let mut greatest = 0;
            for (_, high, _, up_to_here) in filed {
                greatest = greatest.max(*high);
                *up_to_here = greatest;
            }
        }
        files
    }

    /// Rules with a conjunction that might be wider than this one.
    fn candidates(&self, cube: &Cube<'p>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut add = |r: usize| {
            if found.len() < CANDIDATES && !found.contains(&r) {
                found.push(r);
            }
        };
        self.others.iter().for_each(|&r| add(r));
        for (test, _) in cube.tests.iter().filter(|(_, holds)| *holds) {
            self.tests.get(test).into_iter().flatten().for_each(|&r| add(r));
        }
        let mut steps = STEPS;
        for (variable, low, high) in ranges(cube) {
            let Some(filed) = self.values.get(&variable) else { continue };
            let end = filed.partition_point(|&(first, ..)| first <= low);
            for &(_, last, r, greatest) in filed.iter().take(end).rev() {
                if greatest < high || steps == 0 {
                    break;
                }
                steps -= 1;
                if last >= high {
                    add(r);
                }
            }
        }
        found
    }
}
