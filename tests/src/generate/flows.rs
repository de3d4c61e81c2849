//! What is random about flows: their fields, applications, messages, what streams contain, lengths
//! by stream offset, and triggers by flow. The invariant: what is looked for in streams is one of a
//! few patterns, so that a program's automaton is small and packets that have them can be made.
//! (Rejected: random patterns; hardly one is ever found.)

use super::condition::is_facet;
use super::literal::quoted;
use super::{Generator, Kind, Trigger};
use crate::palette::TEXTS;
use mrule_compiler::fields::{Facet, Field, Source, Ty};

/// Texts that streams are looked through for.
pub const NEEDLES: &[&str] = &["a", "evil", "GET ", "session=evil", "\\x00\\x01", "aab"];

/// Patterns that streams are looked through for.
pub const PATTERNS: &[&str] =
    &["^get ", "a.b", "ab+c", "(?-i)Host: [a-z]+", "evil|wicked", "x{2,5}y", "(?m)^a"];

impl Generator<'_, '_> {
    /// A condition on flows, streams or messages.
    pub(super) fn flow_test(&mut self) -> Option<String> {
        match self.choices.below(10) {
            0 | 1 => Some(self.app_test()),
            2 => Some(self.stream_test()),
            3 | 4 => self.message_test(),
            5 => {
                let own = |f: &Field| f.ty == Ty::Bool && !f.wireshark;
                self.field(own).map(|(name, _)| name)
            }
            6 => self.time_test(),
            _ => {
                let (name, field) = self.field(|f| {
                    matches!(f.source, Source::Flow { .. } | Source::Sided(_)) && matches!(f.ty, Ty::Uint(_))
                })?;
                let value = self.literal(&name, field.ty);
                Some(format!("{name} {} {value}", self.compare_op()))
            }
        }
    }

    fn app_test(&mut self) -> String {
        let one = self.literal("app", Ty::App);
        let word = self.choices.word_of(&["==", "!=", "in", "not in"]);
        match word {
            "in" | "not in" => {
                let other = self.literal("app", Ty::App);
                format!("app {word} {{{one}, {other}, undecided}}")
            }
            _ => format!("app {word} {one}"),
        }
    }

    fn time_test(&mut self) -> Option<String> {
        let (name, field) = self.field(|f| f.ty == Ty::Duration)?;
        let value = self.literal(&name, field.ty);
        Some(match self.choices.below(5) {
            0 => format!("{name} in {{{value}, 1ms..1s}}"),
            1 => format!("{name} {} {}", self.compare_op(), self.param(&[Kind::Duration])?),
            2 => format!("{name} {} {}", self.compare_op(), self.field(|f| f.ty == Ty::Duration)?.0),
            _ => format!("{name} {} {value}", self.compare_op()),
        })
    }

    fn stream_test(&mut self) -> String {
        let looked = if self.choices.chance(60) {
            format!("contains \"{}\"", self.choices.word_of(NEEDLES))
        } else {
            format!("matches r\"{}\"", self.choices.word_of(PATTERNS))
        };
        let depth = match self.choices.below(6) {
            0 => Some("1KiB".to_owned()),
            1 => Some((20 + self.choices.below(100)).to_string()),
            2 => self.param(&[Kind::Uint, Kind::Size]),
            _ => None,
        };
        match depth {
            Some(depth) => format!("stream {looked} within {depth}"),
            None => format!("stream {looked}"),
        }
    }

    fn message_test(&mut self) -> Option<String> {
        let (name, field) = self.field(is_facet)?;
        let Source::Facet(facet) = field.source else { return None };
        if field.ty != Ty::Bool && self.choices.chance(10) {
            return Some(name);
        }
        if self.choices.chance(15)
            && let Some(table) = self.table_of(facet)
        {
            return Some(format!("{name} in {table}"));
        }
        if facet.is_number() {
            let value = self.literal(&name, field.ty);
            if field.ty == Ty::Bool {
                return Some(format!("{name} {} {value}", self.choices.word_of(&["==", "!="])));
            }
            return Some(match self.choices.below(4) {
                0 => format!("{name} in {{{value}, 1..3}}"),
                _ => format!("{name} {} {value}", self.compare_op()),
            });
        }
        let text = self.choices.word_of(TEXTS);
        Some(match self.choices.below(6) {
            0 => format!(
                "{name} in {{{}, {}}}",
                quoted(text.as_bytes()),
                quoted(self.choices.word_of(TEXTS).as_bytes())
            ),
            1 if !text.is_empty() => format!("{name} contains {}", quoted(text.as_bytes())),
            2 => format!(
                "{name} matches \"{}\"",
                self.choices.word_of(&["^example", "e$", "[0-9]", "get|post", "^$"])
            ),
            _ => format!("{name} {} {}", self.compare_op(), quoted(text.as_bytes())),
        })
    }

    /// A table whose keys are of a facet's type.
    fn table_of(&mut self, facet: Facet) -> Option<String> {
        let wanted = if facet.is_number() { Kind::Uint } else { Kind::String };
        if facet == Facet::DnsResponse {
            return None;
        }
        let fitting = self.tables.iter().filter(|table| table.key == [wanted]);
        let names: Vec<String> = fitting.map(|table| table.name.clone()).collect();
        self.choices.pick(&names).cloned()
    }

    /// `stream M..N`
    pub(super) fn stream_length(&mut self) -> String {
        let from = if self.choices.chance(50) { 0 } else { self.choices.below(12) };
        let to = from + 1 + self.choices.below(40);
        match (self.choices.below(5), self.size_param()) {
            (0, Some(param)) => format!("stream {from}..{param}"),
            (1, Some(param)) => format!("stream {param}..{to}"),
            (2, _) => format!("stream {from}..0xffffffffffffffff"),
            _ => format!("stream {from}..{to}"),
        }
    }

    /// Names for triggers by flow, which conditions may use before the triggers are written.
    pub(super) fn flow_triggers(&mut self) -> Vec<String> {
        let names: Vec<String> = (0..self.choices.below(3)).map(|i| format!("f{i}")).collect();
        for name in &names {
            self.triggers.push(Trigger { name: name.clone(), key: Vec::new(), by_flow: true });
        }
        names
    }

    /// A trigger by flow, raised by any condition, or by counting.
    pub(super) fn flow_trigger(&mut self, name: &str) {
        if self.choices.chance(40) {
            let clauses = self.trigger_clauses(true);
            return self.line(&format!("trigger {name} by flow {{ {clauses} }}"));
        }
        if self.choices.chance(15) {
            let hold = self.choices.word_of(&["flow", "3ms", "1h"]);
            return self.line(&format!("trigger {name} by flow {{ external hold {hold} }}"));
        }
        let outside = if self.choices.chance(15) { "external " } else { "" };
        let when = if self.choices.chance(40) { self.stream_test() } else { self.condition(2) };
        let unless =
            if self.choices.chance(30) { format!(" unless {}", self.condition(1)) } else { String::new() };
        self.line(&format!("trigger {name} by flow {{ {outside}when {when}{unless} hold flow }}"));
    }
}
