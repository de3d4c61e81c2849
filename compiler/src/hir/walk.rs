//! Going through all conditions of a program, for passes that gather something from them: search patterns, fields that
//! are read, names that are used. (Rejected: a visitor trait with a method per form; every user wants one or two forms.)

use super::{Pred, PredKind, Program};

impl Pred {
    /// Calls `f` with this condition and every one within it, each before its parts.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Pred)) {
        let mut todo = vec![self];
        while let Some(pred) = todo.pop() {
            f(pred);
            match pred.kind() {
                PredKind::Not(inner) => todo.push(inner),
                PredKind::And(parts) | PredKind::Or(parts) => todo.extend(parts.iter().rev()),
                _ => {}
            }
        }
    }
}

impl Program {
    /// Calls `f` with every condition of every rule and limit, and every one within those.
    pub fn visit_preds<'a>(&'a self, f: &mut impl FnMut(&'a Pred)) {
        for rule in self.rules.iter().chain(&self.limits) {
            rule.matches.visit(f);
            for ask in &rule.asks {
                ask.when.visit(f);
            }
        }
    }
}
