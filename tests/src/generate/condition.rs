//! Random conditions: every operator on every type of field. The invariant: nesting ends, and a
//! condition in another one stands in parentheses where precedence would read it otherwise.
//! (Rejected: a tree that is printed; what is generated is never changed, only cut down as text.)

use super::literal::{pattern, quoted};
use super::{Generator, Kind};
use mrule_compiler::fields::{FIELDS, Field, Source, Ty};

impl Generator<'_, '_> {
    /// A field that satisfies a test, most often one that some packet has; its name, with `inner.`,
    /// and its row.
    pub(super) fn field(&mut self, fits: impl Fn(&Field) -> bool) -> Option<(String, &'static Field)> {
        if !self.choices.chance(15) {
            let there: Vec<_> = self.palette.fields().filter(|(_, field)| fits(field)).collect();
            if let Some((name, field)) = self.choices.pick(&there) {
                return Some(((*name).to_owned(), field));
            }
        }
        let all: Vec<&'static Field> = FIELDS.iter().filter(|f| fits(f)).collect();
        let field = self.choices.pick(&all).copied()?;
        let inner = field.has_inner() && self.choices.chance(25);
        let name = if inner { format!("inner.{}", field.name) } else { field.name.to_owned() };
        Some((name, field))
    }

    /// A condition.
    pub(super) fn condition(&mut self, depth: usize) -> String {
        if depth == 0 || self.choices.is_over() || self.choices.chance(35) {
            return self.test();
        }
        match self.choices.below(9) {
            0 | 1 => format!("{} {}", self.choices.word_of(&["not", "!"]), self.part(depth - 1)),
            2..=5 => self.chain(&["and", "&&"], depth),
            6 | 7 => self.chain(&["or", "||"], depth),
            _ => format!("{} and {} or {}", self.part(depth - 1), self.part(depth - 1), self.part(depth - 1)),
        }
    }

    fn part(&mut self, depth: usize) -> String {
        let inside = self.condition(depth);
        if inside.contains(' ') { format!("({inside})") } else { inside }
    }

    fn chain(&mut self, words: &[&'static str], depth: usize) -> String {
        let parts: Vec<String> = (0..2 + self.choices.below(3)).map(|_| self.part(depth - 1)).collect();
        let word = self.choices.word_of(words);
        parts.join(&format!(" {word} "))
    }

    /// A condition without logic.
    fn test(&mut self) -> String {
        let made = match self.choices.below(28) {
            0..=6 => self.number_test(),
            7..=9 => self.address_test(),
            10 => self.mac_test(),
            11 => self.flag_test(),
            12 | 13 => self.presence(),
            14 | 15 => self.bytes_test(),
            16 | 17 => self.search(),
            18 | 19 => self.table_test(),
            20 => self.trigger_test(),
            21 => self.named_test(),
            _ => self.flow_test(),
        };
        made.unwrap_or_else(|| "ip".to_owned())
    }

    pub(super) fn compare_op(&mut self) -> &'static str {
        self.choices.word_of(&["==", "!=", "<", ">", "<=", ">=", "!==", "===", "eq", "ne", "ge"])
    }

    fn presence(&mut self) -> Option<String> {
        self.field(|f| !matches!(f.ty, Ty::Bool | Ty::App)).map(|(name, _)| name)
    }

    fn flag_test(&mut self) -> Option<String> {
        let (name, field) = self.field(|f| f.ty == Ty::Bool)?;
        let op = self.choices.word_of(&["==", "!=", "===", "!=="]);
        Some(format!("{name} {op} {}", self.literal(&name, field.ty)))
    }

    // ---- addresses ------------------------------------------------------------------------------

    fn address_test(&mut self) -> Option<String> {
        let (name, field) = self.field(|f| matches!(f.ty, Ty::Ip | Ty::Ipv4 | Ty::Ipv6))?;
        let ty = field.ty;
        Some(match self.choices.below(8) {
            0 | 1 => {
                let op = self.choices.word_of(&["==", "!=", "!==", "==="]);
                format!("{name} {op} {}", self.network(&name, ty))
            }
            2 | 3 => {
                let elements: Vec<String> =
                    (0..=self.choices.below(8)).map(|_| self.address_element(&name, ty)).collect();
                format!("{name} in {{{}}}", elements.join(", "))
            }
            4 => {
                let fits = |other: &Field| other.ty == ty;
                let (other, _) = self.field(fits)?;
                format!("{name} {} {other}", self.compare_op())
            }
            5 if ty == Ty::Ip => {
                let param = self.param(&[Kind::Ip])?;
                format!("{name} {} {param}", self.choices.word_of(&["==", "!=", "!==", "==="]))
            }
            6 => format!(
                "{name} {} {}",
                self.choices.word_of(&["<", ">=", "<=", ">"]),
                self.address(&name, ty)
            ),
            _ => format!(
                "{name} {} {}",
                self.choices.word_of(&["==", "!=", "!==", "==="]),
                self.address(&name, ty)
            ),
        })
    }

    fn address_element(&mut self, name: &str, ty: Ty) -> String {
        match self.choices.below(5) {
            0..=2 => self.network(name, ty),
            3 => self.address(name, ty).to_string(),
            _ => match self.address(name, ty) {
                std::net::IpAddr::V4(low) => {
                    let high = u32::from(low).saturating_add(self.choices.bits(12) as u32);
                    format!("{low}..{}", std::net::Ipv4Addr::from(high))
                }
                std::net::IpAddr::V6(low) => {
                    let high = u128::from(low)
                        .saturating_add(u128::from(self.choices.bits(40)) << self.choices.below(80));
                    format!("{low}..{}", std::net::Ipv6Addr::from(high))
                }
            },
        }
    }

    fn mac_test(&mut self) -> Option<String> {
        let (name, field) = self.field(|f| f.ty == Ty::Mac)?;
        Some(match self.choices.below(5) {
            0 => {
                let (a, b) = (self.literal(&name, field.ty), self.literal(&name, field.ty));
                format!("{name} in {{{a}, {b}}}")
            }
            1 => format!("{name} {} {}", self.compare_op(), self.field(|f| f.ty == Ty::Mac)?.0),
            2 => {
                let param = self.param(&[Kind::Mac])?;
                format!("{name} == {param}")
            }
            _ => format!("{name} {} {}", self.compare_op(), self.literal(&name, field.ty)),
        })
    }

    // ---- bytes ----------------------------------------------------------------------------------

    pub(super) fn offset(&mut self) -> String {
        match self.choices.below(4) {
            0..=2 => self.choices.below(24).to_string(),
            _ => format!("-{}", 1 + self.choices.below(12)),
        }
    }

    fn slice(&mut self, length: usize) -> String {
        match self.choices.below(6) {
            0 => format!("[:{length}]"),
            1 => {
                let from = self.choices.below(20);
                format!("[{from}-{}]", from + length.max(1) - 1)
            }
            2 => format!("[{}:]", self.offset()),
            _ => {
                let at = if self.choices.chance(40) { "0".into() } else { self.offset() };
                format!("[{at}:{length}]")
            }
        }
    }

    fn bytes_test(&mut self) -> Option<String> {
        let (name, field) = self.field(|f| sliceable(f) || f.ty == Ty::String && !is_facet(f))?;
        let bytes = self.bytes(&name);
        let whole = matches!(field.ty, Ty::Bytes | Ty::String) && self.choices.chance(25);
        let subject = if whole { name.clone() } else { format!("{name}{}", self.slice(bytes.len())) };
        Some(match self.choices.below(7) {
            0 if !whole => subject,
            1 => {
                let other = self.bytes(&name);
                format!("{subject} in {{{}, {}}}", self.bytes_written(&bytes), quoted(&other))
            }
            2 => {
                let (other, _) = self.field(|f| f.ty == Ty::Bytes)?;
                let slice = self.slice(bytes.len());
                format!("{subject} {} {other}{slice}", self.compare_op())
            }
            _ => format!("{subject} {} {}", self.compare_op(), self.bytes_written(&bytes)),
        })
    }

    fn search(&mut self) -> Option<String> {
        let searchable = |f: &Field| {
            sliceable(f) && !matches!(f.ty, Ty::Mac | Ty::Ipv4 | Ty::Ipv6 | Ty::Ip) || f.ty == Ty::String
        };
        let (name, field) = self.field(searchable)?;
        let bytes = self.bytes(&name);
        let sliced = field.ty == Ty::Bytes && self.choices.chance(25);
        let slice = if sliced { self.slice(bytes.len() + 3) } else { String::new() };
        if self.choices.chance(55) {
            return Some(format!("{name}{slice} contains {}", self.bytes_written(&bytes)));
        }
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        let (head, tail) = (pattern(head), pattern(tail));
        let regex = match self.choices.below(8) {
            0 => format!("^{head}"),
            1 => format!("{head}.{tail}"),
            2 => format!("{head}|{tail}$"),
            3 => format!("(?-i){head}{tail}"),
            4 => format!("[^{tail}]+{head}"),
            5 => format!("{head}.{{0,4}}{tail}"),
            6 => format!("({head})+({tail})?"),
            _ => format!("{head}{tail}"),
        };
        let regex = if regex.contains("[^]") { format!("{head}.*") } else { regex };
        Some(format!("{name}{slice} matches r\"{regex}\""))
    }

    // ---- tables, params, triggers, lets ---------------------------------------------------------

    pub(super) fn param(&mut self, kinds: &[Kind]) -> Option<String> {
        let fitting: Vec<String> =
            self.params.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(n, _)| n.clone()).collect();
        self.choices.pick(&fitting).cloned()
    }

    /// A field that can be a key of this kind; `many`: one that stands for several, `tags`: or a
    /// part of tags.
    pub(super) fn key_field(&mut self, kind: Kind, many: bool, tags: bool) -> Option<String> {
        let fits = |f: &Field| {
            (many || !f.is_many())
                && (tags || !matches!(f.source, Source::Tag { .. }))
                && !is_facet(f)
                && fits_kind(f.ty, kind)
        };
        if kind == Kind::String && many && self.choices.chance(50) {
            let (name, _) = self.field(sliceable)?;
            let length = 1 + self.choices.below(6);
            return Some(format!("{name}{}", self.slice(length)));
        }
        if kind == Kind::Uint && many && self.choices.chance(15) {
            return self.number_key();
        }
        self.field(fits).map(|(name, _)| name)
    }

    /// A part of a packet's own key: a field, bytes of the packet, or what its messages say.
    pub(super) fn own_field(&mut self, kind: Kind) -> Option<String> {
        match (kind, self.choices.below(10)) {
            (Kind::String, 0..=3) => {
                let (name, field) = self.field(sliceable)?;
                let length = 1 + self.choices.below(20);
                let (from, to) = (self.choices.below(4), 1 + self.choices.below(24));
                match self.choices.below(4) {
                    0 if field.ty == Ty::Bytes => Some(name),
                    1 => Some(format!("{name}[{from}:{to}]")),
                    _ => Some(format!("{name}{}", self.slice(length))),
                }
            }
            (Kind::String, 4..=6) => self.field(|f| is_facet(f) && f.ty == Ty::String).map(|(name, _)| name),
            (Kind::Uint, 0) => {
                self.field(|f| is_facet(f) && matches!(f.ty, Ty::Uint(_))).map(|(name, _)| name)
            }
            _ => self.key_field(kind, false, false),
        }
    }

    fn key(&mut self, kinds: &[Kind], tags: bool) -> Option<String> {
        let constants = self.choices.chance(12);
        let single = kinds.len() == 1;
        let mut parts = Vec::new();
        for kind in kinds {
            let constant = match constants && self.choices.chance(50) {
                true => Some(self.constant(*kind)),
                false => None,
            };
            // Constant networks are no keys, and IPv6 addresses not yet.
            let constant =
                constant.filter(|c| *kind != Kind::Cidr && !(*kind == Kind::Ip && c.contains(':')));
            parts.push(match constant {
                Some(constant) => constant,
                None => {
                    let many = single || self.choices.chance(30);
                    self.key_field(*kind, many, tags && single)?
                }
            });
        }
        Some(if single { parts.remove(0) } else { format!("({})", parts.join(", ")) })
    }

    /// `table[key]` and the kind of its value.
    pub(super) fn lookup(&mut self) -> Option<(String, Kind)> {
        let maps: Vec<usize> = (0..self.tables.len()).filter(|i| self.tables[*i].value.is_some()).collect();
        let at = self.choices.pick(&maps).copied()?;
        let (name, kinds) = (self.tables[at].name.clone(), self.tables[at].key.clone());
        let key = self.key(&kinds, false)?;
        Some((format!("{name}[{key}]"), self.tables[at].value?))
    }

    fn table_test(&mut self) -> Option<String> {
        if self.choices.chance(45)
            && let Some((text, kind)) = self.lookup()
        {
            if kind == Kind::Word && self.choices.chance(40) {
                return Some(format!("{text} in {{{}, {}}}", self.constant(kind), self.constant(kind)));
            }
            let value = self.constant(kind);
            let op = match kind {
                Kind::Uint | Kind::Size => self.compare_op(),
                _ => self.choices.word_of(&["==", "!="]),
            };
            return Some(format!("{text} {op} {value}"));
        }
        let at = self.choices.below(self.tables.len());
        let (name, kinds) = self.tables.get(at).map(|t| (t.name.clone(), t.key.clone()))?;
        Some(format!("{} in {name}", self.key(&kinds, true)?))
    }

    fn trigger_test(&mut self) -> Option<String> {
        let at = self.choices.below(self.triggers.len());
        let (name, kinds) = self.triggers.get(at).map(|t| (t.name.clone(), t.key.clone()))?;
        if kinds.is_empty() || self.choices.chance(40) || self.triggers.get(at).is_some_and(|t| t.by_flow) {
            return Some(name);
        }
        Some(format!("{name}[{}]", self.key(&kinds, false)?))
    }

    fn named_test(&mut self) -> Option<String> {
        let mut names = self.lets.clone();
        names.extend(self.params.iter().filter(|(_, kind)| *kind == Kind::Bool).map(|(n, _)| n.clone()));
        self.choices.pick(&names).cloned()
    }
}

/// Whether it has slices and a length in bytes.
pub(super) fn sliceable(field: &Field) -> bool {
    match field.source {
        Source::Protocol { header, .. } => header.is_some(),
        Source::Bytes(_) => field.ty == Ty::Bytes,
        _ => false,
    }
}

/// Whether it is what messages say.
pub(super) fn is_facet(field: &Field) -> bool {
    matches!(field.source, Source::Facet(_))
}

fn fits_kind(ty: Ty, kind: Kind) -> bool {
    match kind {
        Kind::Ip | Kind::Cidr => matches!(ty, Ty::Ip | Ty::Ipv4 | Ty::Ipv6),
        Kind::Mac => ty == Ty::Mac,
        Kind::Word => false,
        Kind::String => ty == Ty::String,
        Kind::Uint | Kind::Bool | Kind::Size => matches!(ty, Ty::Uint(_)),
        Kind::Duration => ty == Ty::Duration,
    }
}
