//! What is random about triggers that packets raise: windows, thresholds, vetoes, holds, room. The
//! invariant: times are of the size of those between packets, so that windows fill and empty and
//! holds end within a few dozen packets. (Rejected: minutes and hours as users write them; nothing
//! would ever end.)

use super::{Generator, Kind};
use mrule_compiler::fields::{Field, Source, Ty};
use std::fmt::Write;

impl Generator<'_, '_> {
    /// The clauses of a trigger with a condition, in any order.
    pub(super) fn trigger_clauses(&mut self, by_flow: bool) -> String {
        // One that holds as long as its flow has room for keys only if it counts.
        let mut clauses = vec![match by_flow {
            true => format!("when count({}) per 16ms > 1 or {}", self.condition(1), self.counted(1)),
            false => format!("when {}", self.counted(2)),
        }];
        if self.choices.chance(30) {
            clauses.push(format!("unless {}", self.condition(1)));
        }
        let hold = match self.param(&[Kind::Duration]) {
            _ if by_flow && self.choices.chance(40) => "flow".to_owned(),
            Some(param) if self.choices.chance(15) => param,
            _ => self.choices.word_of(&["1ns", "3ms", "10ms", "30ms", "1s", "1h"]).to_owned(),
        };
        clauses.push(format!("hold {hold}"));
        // The room that a trigger has unless told is large, and is cleared for each run.
        clauses.push(format!("keys {}", self.choices.word_of(&["1", "2", "3", "7", "64"])));
        if !by_flow && self.choices.chance(15) {
            clauses.push("external".to_owned());
        }
        let turn = self.choices.below(clauses.len());
        clauses.rotate_left(turn);
        clauses.join(" ")
    }

    /// A condition with windows.
    fn counted(&mut self, depth: usize) -> String {
        match self.choices.below(if depth == 0 { 4 } else { 8 }) {
            0..=3 => {
                let (window, most) = self.window();
                let op = self.choices.word_of(&[">", ">=", "==", "<", "!="]);
                let limit = self.choices.below(most);
                let mut text = String::new();
                let _ = match self.choices.below(8) {
                    0 => write!(text, "{window} % 3 == {}", self.choices.below(3)),
                    1 => write!(text, "{window} in {{1..3, 5}}"),
                    2 => write!(text, "{window} + 1 {op} {}", self.window().0),
                    _ => write!(text, "{window} {op} {limit}"),
                };
                text
            }
            4 => format!("not ({})", self.counted(depth - 1)),
            5 => format!("({} or {})", self.counted(depth - 1), self.counted(depth - 1)),
            6 => format!("({} and {})", self.counted(depth - 1), self.condition(1)),
            _ => self.condition(1),
        }
    }

    /// A window, and a number that it may pass.
    fn window(&mut self) -> (String, usize) {
        let per = self.choices.word_of(&["1ms", "5ms", "16ms", "40ms", "1s", "1d"]);
        match self.choices.below(4) {
            0 => match self.field(|f| matches!(f.ty, Ty::Uint(_)) && is_one(f)) {
                Some((name, _)) => (format!("sum({name}) per {per}"), 2000),
                None => (format!("sum(frame.len) per {per}"), 2000),
            },
            1 => match self.field(|f| matches!(f.ty, Ty::Uint(_) | Ty::Ip | Ty::Mac) && is_one(f)) {
                Some((name, _)) => (format!("distinct({name}) per {per}"), 4),
                None => (format!("distinct(net.dst) per {per}"), 4),
            },
            _ => (format!("count({}) per {per}", self.condition(1)), 6),
        }
    }
}

/// A field that has one value.
fn is_one(field: &Field) -> bool {
    !field.is_many() && !matches!(field.source, Source::Tag { .. } | Source::Facet(_))
}
