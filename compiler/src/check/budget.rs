//! What a compilation has spent of its budget, and which rule has spent the most. The invariant:
//! the checker asks the budget after each rule, limit, trigger and definition. When the budget is
//! spent, it checks nothing more and reports one error with the reason. (Rejected: counting in the
//! constructors of conditions, which do not know to which rule a condition belongs.)

use super::Checker;
use crate::budget::{CompileBudget, Stop};
use mrule_grammar::codes::budgets as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{Name, Span};

/// The nodes and the time that a compilation has spent.
pub(super) struct Spent<'a> {
    budget: &'a CompileBudget,
    nodes: u64,
    /// The name with the most nodes: its place and the number of nodes.
    most: Option<(Span, u64)>,
    stop: Option<Stop>,
}

impl<'a> Spent<'a> {
    pub fn new(budget: &'a CompileBudget) -> Spent<'a> {
        Spent { budget, nodes: 0, most: None, stop: None }
    }
}

impl Checker<'_> {
    /// Whether the budget is spent: the checker then stops.
    pub fn is_spent(&mut self) -> bool {
        let spent = &mut self.spent;
        if spent.stop.is_none() {
            spent.stop = spent.budget.stopped();
        }
        spent.stop.is_some() || spent.nodes > spent.budget.nodes
    }

    /// Counts the nodes of a rule, limit or trigger.
    pub fn spend(&mut self, name: &Name, nodes: u64) {
        let spent = &mut self.spent;
        spent.nodes = spent.nodes.saturating_add(nodes);
        if spent.most.is_none_or(|(_, most)| nodes > most) {
            spent.most = Some((name.span, nodes));
        }
    }

    /// If the budget is spent, reports the reason.
    pub fn tell_spent(&mut self) {
        // Asks the budget again: it may be spent although nothing was checked, as no file was read.
        let _spent = self.is_spent();
        let over = self.spent.nodes > self.spent.budget.nodes;
        let (stop, most, nodes) = (self.spent.stop, self.spent.most, self.spent.budget.nodes);
        let finding = match stop {
            Some(stop) => stopped(stop, most),
            None if over => {
                let message = format!("this program has more than {nodes} nodes, which is its budget");
                largest(Diagnostic::new(codes::NODES, message), most)
                    .help("put long lists into tables, or raise the budget: `--compile-nodes N`")
            }
            None => return,
        };
        self.errors += 1;
        self.diagnostics.push(finding);
    }
}

/// Why a compilation was stopped, with the rule that has the most nodes.
pub(crate) fn stopped(stop: Stop, most: Option<(Span, u64)>) -> Diagnostic {
    let help = match stop {
        Stop::Cancelled => "load it again",
        Stop::Time(_) => "write fewer or smaller rules, or raise the budget: `--compile-time TIME`",
    };
    largest(Diagnostic::new(codes::TIME, stop.to_string()), most).help(help)
}

fn largest(finding: Diagnostic, most: Option<(Span, u64)>) -> Diagnostic {
    match most {
        Some((span, nodes)) => finding.at(span, format!("has the most nodes: {nodes}")),
        None => finding,
    }
}
