//! Random conditions on numbers: fields, bytes, lengths, values of tables, arithmetic. The
//! invariant: what stands beside a number fits it: no constant wider than its field, no decimal
//! number beside a byte of a slice. (Rejected: leaving that to the checker; most programs would be
//! refused.)

use super::condition::{is_facet, sliceable};
use super::{Generator, Kind};
use mrule_compiler::fields::{Source, Ty, max_of};

/// A number and what may stand beside it.
struct Number {
    text: String,
    /// Whose values it may have.
    field: String,
    /// The greatest constant beside it, where there is one.
    width: Option<u64>,
    /// Numbers beside it are written in hexadecimal.
    hex: bool,
    /// It is a part of tags, which are compared with constants only.
    tags: bool,
}

impl Number {
    fn plain(text: String, field: &str) -> Number {
        Number { text, field: field.to_owned(), width: None, hex: false, tags: false }
    }

    fn most(&self) -> u64 {
        self.width.unwrap_or(0xffff_ffff)
    }
}

impl Generator<'_, '_> {
    /// A condition on a number.
    pub(super) fn number_test(&mut self) -> Option<String> {
        let number = self.number_term(2)?;
        match self.choices.below(8) {
            0 | 1 => {
                let elements: Vec<String> =
                    (0..=self.choices.below(5)).map(|_| self.number_element(&number)).collect();
                let word = self.choices.word_of(&["in", "in", "not in"]);
                Some(format!("{} {word} {{{}}}", number.text, elements.join(", ")))
            }
            2 if !number.tags => {
                let other = self.number_term(1).filter(|other| !other.tags)?;
                Some(format!("{} {} {}", number.text, self.compare_op(), other.text))
            }
            3 if !number.tags => {
                let param = self.param(&[Kind::Uint, Kind::Size])?;
                Some(format!("{} {} {param}", number.text, self.compare_op()))
            }
            4 => {
                let mask = self.number_constant(&number);
                if self.choices.chance(40) {
                    return Some(format!("{} & {mask}", number.text));
                }
                let value = self.number_constant(&number);
                Some(format!("{} & {mask} {} {value}", number.text, self.choices.word_of(&["==", "!=", "<"])))
            }
            5 => {
                let value = self.number_constant(&number);
                let op = self.choices.word_of(&["==", "!=", "<", ">=", "!=="]);
                Some(format!("{value} {op} {}", number.text))
            }
            _ => {
                let value = self.number_constant(&number);
                Some(format!("{} {} {value}", number.text, self.compare_op()))
            }
        }
    }

    fn number_constant(&mut self, number: &Number) -> String {
        let value = self.number(&number.field, number.most());
        self.written(value, number.hex)
    }

    fn number_element(&mut self, number: &Number) -> String {
        let low = self.number(&number.field, number.most());
        if self.choices.chance(60) {
            return self.written(low, number.hex);
        }
        let span =
            if self.choices.chance(50) { self.choices.below(20) as u64 } else { self.choices.bits(16) };
        let high = low.saturating_add(span).min(number.most());
        format!("{}..{}", self.written(low, number.hex), self.written(high, number.hex))
    }

    /// A number: a field, a byte, a length, a table's value, arithmetic.
    fn number_term(&mut self, depth: usize) -> Option<Number> {
        let choice = if depth == 0 { 0 } else { self.choices.below(12) };
        match choice {
            0..=6 => {
                let (name, field) = self.field(|f| matches!(f.ty, Ty::Uint(_)) && !is_facet(f))?;
                let Ty::Uint(bits) = field.ty else { return None };
                let tags = matches!(field.source, Source::Tag { .. });
                Some(Number { width: Some(max_of(bits)), tags, ..Number::plain(name.clone(), &name) })
            }
            7 => {
                let (name, _) = self.field(sliceable)?;
                let at = self.offset();
                let slice = if self.choices.chance(50) { at } else { format!("{at}:1") };
                Some(Number {
                    width: Some(255),
                    hex: true,
                    ..Number::plain(format!("{name}[{slice}]"), "ip.ttl")
                })
            }
            8 => {
                let (name, _) = self.field(sliceable)?;
                Some(Number { width: Some(0xffff), ..Number::plain(format!("len({name})"), "frame.len") })
            }
            9 => {
                let (text, kind) = self.lookup()?;
                matches!(kind, Kind::Uint | Kind::Size).then(|| Number::plain(text, "l4.port"))
            }
            _ => self.arithmetic(depth),
        }
    }

    /// A number as a key.
    pub(super) fn number_key(&mut self) -> Option<String> {
        self.number_term(1).filter(|number| !number.tags).map(|number| number.text)
    }

    fn arithmetic(&mut self, depth: usize) -> Option<Number> {
        let left = self.number_term(depth - 1)?;
        let op = if left.tags { "&" } else { self.choices.word_of(&["+", "-", "%", "/", "*", "|", "&"]) };
        let right = match self.choices.below(4) {
            0 if !left.tags => self.number_term(0).filter(|right| !right.tags)?,
            1 if !left.tags => Number::plain(self.param(&[Kind::Uint])?, ""),
            _ => {
                let least = u64::from(matches!(op, "%" | "/"));
                let value = self.number(&left.field, left.most().min(0xffff)).max(least);
                Number::plain(self.written(value, left.hex), "")
            }
        };
        let width = if op == "&" { left.width.or(right.width) } else { None };
        let text = format!("({} {op} {})", left.text, right.text);
        Some(Number { text, width, hex: left.hex || right.hex, ..left })
    }
}
