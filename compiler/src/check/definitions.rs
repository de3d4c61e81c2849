//! The values of `let`s, params and triggers, in the order of their dependencies. The invariant:
//! each is evaluated once, after all definitions that it names. A definition that names itself,
//! directly or through others, is reported once per circle. The nodes that uses of `let`s copy are
//! counted and bounded. (Rejected: resolving on first use; its recursion follows the text.)

use super::names::Entry;
use super::value::{Kind, Value};
use super::{Checker, MAX_EXPANSION, MAX_LET_DEPTH};
use crate::fields::App;
use crate::hir::{Pred, PredKind};
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::collections::HashSet;

/// The value of a `let`.
pub(super) struct LetValue {
    kind: Kind,
    /// How many nodes each use copies.
    size: u64,
}

/// A node of the graph of definitions.
#[derive(Clone, Copy)]
enum Definition<'a> {
    Let(&'a mrule_grammar::ast::Let),
    Param(&'a mrule_grammar::ast::Param),
    Trigger(&'a mrule_grammar::ast::Trigger),
}

impl<'a> Definition<'a> {
    fn name(self) -> &'a mrule_grammar::span::Name {
        match self {
            Definition::Let(x) => &x.name,
            Definition::Param(x) => &x.name,
            Definition::Trigger(x) => &x.name,
        }
    }

    /// The expressions that must be evaluated first.
    fn needs(self) -> Vec<&'a Expr> {
        match self {
            Definition::Let(x) => vec![&x.value],
            Definition::Param(x) => {
                [Some(&x.value), x.range.as_ref().map(|r| &r.0), x.range.as_ref().map(|r| &r.1)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Definition::Trigger(x) => x.key.iter().collect(),
        }
    }
}

impl<'a> Checker<'a> {
    /// Evaluates all definitions.
    pub fn definitions(&mut self, sets: &[(String, String)]) {
        let poison = || LetValue { kind: Kind::Poison, size: 0 };
        self.lets = self.names.lets.iter().map(|_| poison()).collect();
        self.declare_params();
        self.declare_triggers();
        let (lets, params) = (self.names.lets.len(), self.names.params.len());
        let all: Vec<Definition<'a>> = (self.names.lets.iter().map(|x| Definition::Let(x)))
            .chain(self.names.params.iter().map(|x| Definition::Param(x)))
            .chain(self.names.triggers.iter().map(|x| Definition::Trigger(x)))
            .collect();
        let node = |entry: Entry| match entry {
            Entry::Let(i) => Some(i),
            Entry::Param(id) => Some(lets + id.index()),
            Entry::Trigger(id) => Some(lets + params + id.index()),
            Entry::Table(_) | Entry::Broken => None,
        };
        let mut needs: Vec<Vec<usize>> = Vec::with_capacity(all.len());
        for definition in &all {
            let mut found = HashSet::new();
            for expr in definition.needs() {
                paths(expr, &mut |path| {
                    found.extend(self.names.values.get(path).and_then(|(entry, _)| node(*entry)));
                });
            }
            let mut found: Vec<usize> = found.into_iter().collect();
            found.sort_unstable();
            needs.push(found);
        }
        let (order, stuck) = order(&needs);
        self.circles(&all, &needs, &stuck);
        for index in order {
            if self.is_spent() {
                break;
            }
            match all.get(index) {
                Some(Definition::Let(item)) => {
                    let before = self.errors;
                    self.tainted = false;
                    let value = self.value(&item.value);
                    // An error in the `let`, or in a `let` that it uses, is reported there. Uses
                    // report nothing.
                    if self.errors == before && !self.tainted {
                        self.define_let(index, value, item.name.span);
                    }
                }
                Some(Definition::Param(item)) => self.define_param(index - lets, item),
                Some(Definition::Trigger(item)) => self.define_trigger(index - lets - params, item),
                None => {}
            }
        }
        self.set_params(sets);
        self.trigger_clauses();
    }

    fn define_let(&mut self, index: usize, value: Value, name: Span) {
        let (mut kind, mut size) = (value.kind, 1);
        match &kind {
            Kind::Pred(pred) => {
                let (nodes, depth) = measure(pred);
                size = nodes;
                if depth > MAX_LET_DEPTH {
                    let message =
                        format!("this condition nests {depth} deep; a `let` may nest {MAX_LET_DEPTH}");
                    let finding = Diagnostic::new(codes::TOO_LARGE, message).at(name, "too deep");
                    self.report(finding.help("build it from fewer `let`s inside each other"));
                    kind = Kind::Poison;
                }
            }
            Kind::Set(elements) => {
                self.named_sets.insert(elements.as_ptr());
            }
            Kind::Term(term) => size = term.alts.len() as u64,
            Kind::Tuple(parts) => size = parts.len() as u64,
            _ => {}
        }
        if let Some(slot) = self.lets.get_mut(index) {
            *slot = LetValue { kind, size };
        }
    }

    /// The value of the `let` with this name, if it was evaluated.
    pub fn named_let(&self, name: &str) -> Option<&Kind> {
        match self.names.values.get(name) {
            Some((Entry::Let(index), _)) => self.lets.get(*index).map(|known| &known.kind),
            _ => None,
        }
    }

    /// A use of a `let`: a copy of its value.
    pub fn use_let(&mut self, index: usize, span: Span) -> Value {
        let Some(known) = self.lets.get(index) else { return Value::poison(span) };
        let (kind, size) = (known.kind.clone(), known.size);
        self.tainted |= matches!(kind, Kind::Poison);
        if self.charge(size, span) { Value::new(span, kind) } else { Value::poison(span) }
    }

    /// Counts the nodes that a use of a `let` copies. False: the program has too many nodes.
    pub fn charge(&mut self, size: u64, span: Span) -> bool {
        let before = self.expansion;
        self.expansion = before.saturating_add(size);
        if self.expansion > MAX_EXPANSION && before <= MAX_EXPANSION {
            let message = format!(
                "written out, the `let`s of this program are more than {MAX_EXPANSION} conditions and elements"
            );
            let finding = Diagnostic::new(codes::TOO_LARGE, message).at(span, "this use is one too many");
            self.report(finding.help("put long lists into tables: `table t : set<ip> from \"t.csv\"`"));
        }
        self.expansion <= MAX_EXPANSION
    }

    /// Reports definitions that depend on themselves.
    fn circles(&mut self, all: &[Definition], needs: &[Vec<usize>], stuck: &[usize]) {
        let waiting: HashSet<usize> = stuck.iter().copied().collect();
        let mut seen: HashSet<usize> = HashSet::new();
        for &start in stuck {
            // From a stuck node the walk always goes to a stuck dependency, so it ends in a circle.
            let mut path: Vec<usize> = Vec::new();
            let mut at = Some(start);
            while let Some(node) = at {
                if !seen.insert(node) {
                    if let Some(first) = path.iter().position(|n| *n == node) {
                        self.circle(all, path.get(first..).unwrap_or(&[]));
                    }
                    break;
                }
                path.push(node);
                at = needs.get(node).and_then(|n| n.iter().find(|n| waiting.contains(n))).copied();
            }
        }
    }

    fn circle(&mut self, all: &[Definition], circle: &[usize]) {
        let names: Vec<_> = circle.iter().filter_map(|i| all.get(*i)).map(|d| d.name()).collect();
        let Some(first) = names.first() else { return };
        let message = match names.len() {
            1 => format!("`{}` needs itself", first.node),
            n => {
                let mut shown: Vec<String> = names.iter().take(8).map(|n| format!("`{}`", n.node)).collect();
                if n > 8 {
                    shown.push(format!("{} more", n - 8));
                }
                shown.push(format!("`{}`", first.node));
                format!("these refer to each other: {}", shown.join(" -> "))
            }
        };
        let mut finding = Diagnostic::new(codes::CIRCLE, message);
        for name in names.iter().take(8) {
            finding = finding.at(name.span, if name.span == first.span { "begins here" } else { "and this" });
        }
        let help =
            if names.len() == 1 { "write it without itself" } else { "write one of them without the others" };
        self.report(finding.help(help));
    }
}

/// The nodes in an order in which each follows its dependencies, and the nodes that are in circles
/// or depend on a circle.
fn order(needs: &[Vec<usize>]) -> (Vec<usize>, Vec<usize>) {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (node, needed) in needs.iter().enumerate() {
        for &need in needed {
            if let Some(users) = users.get_mut(need) {
                users.push(node);
            }
        }
    }
    let mut order: Vec<usize> = (0..needs.len()).filter(|n| missing.get(*n) == Some(&0)).collect();
    let mut at = 0;
    while let Some(&node) = order.get(at) {
        at += 1;
        for &user in users.get(node).map_or(&[][..], Vec::as_slice) {
            if let Some(count) = missing.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    order.push(user);
                }
            }
        }
    }
    let stuck = (0..needs.len()).filter(|n| missing.get(*n).is_some_and(|m| *m > 0)).collect();
    (order, stuck)
}

fn is_app(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Path(path) => path == "app",
        ExprKind::Paren(inner) => is_app(inner),
        _ => false,
    }
}

/// Every path in an expression.
fn paths<'e>(expr: &'e Expr, found: &mut dyn FnMut(&'e str)) {
    match &expr.kind {
        ExprKind::Path(path) => found(path),
        ExprKind::Literal(_) | ExprKind::Broken => {}
        ExprKind::Not(x) | ExprKind::Paren(x) | ExprKind::Slice(x, _) => paths(x, found),
        ExprKind::And(parts) | ExprKind::Or(parts) | ExprKind::Tuple(parts) | ExprKind::Call(_, parts) => {
            for part in parts {
                paths(part, found);
            }
        }
        ExprKind::Set(elements) => {
            for element in elements {
                paths(&element.low, found);
                if let Some(high) = &element.high {
                    paths(high, found);
                }
            }
        }
        // Beside `app`, an application's name does not refer to a definition.
        ExprKind::Compare(_, a, b) | ExprKind::In(a, b) if is_app(a) || is_app(b) => {
            let mut other = |path: &'e str| {
                if App::number(path).is_none() {
                    found(path);
                }
            };
            paths(a, &mut other);
            paths(b, &mut other);
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
            paths(a, found);
            paths(b, found);
        }
    }
}

/// How many nodes a condition has, and how deep they nest.
fn measure(pred: &Pred) -> (u64, usize) {
    match pred.kind() {
        PredKind::Not(inner) => {
            let (nodes, depth) = measure(inner);
            (nodes + 1, depth + 1)
        }
        PredKind::And(parts) | PredKind::Or(parts) => {
            let inner = parts.iter().map(measure);
            let (nodes, depth) = inner.fold((1, 0), |(n, d), (nodes, depth)| (n + nodes, d.max(depth)));
            (nodes, depth + 1)
        }
        PredKind::In(_, set) => (1 + set.parts().len() as u64 / 8, 1),
        PredKind::AddressIn(_, set) => (1 + set.parts().len() as u64 / 8, 1),
        _ => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_come_first_and_circles_stay() {
        let (sorted, stuck) = order(&[vec![1], vec![2], vec![], vec![4], vec![3], vec![4, 0]]);
        assert_eq!(sorted, [2, 1, 0]);
        assert_eq!(stuck, [3, 4, 5]);
    }
}
