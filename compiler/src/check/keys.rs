//! Keys of tables and triggers: `(net.src, net.dst) in t`, `users[net.src]`, `attack[net.addr]`. A
//! field that stands for several values gives several keys, and the test holds if it holds for any
//! of them. The invariant: a key has as many parts as the table or trigger, each of the right type,
//! so engines never meet other keys. (Rejected: converting keys.)

use super::Checker;
use super::arith::MAX_COMBINATIONS;
use super::value::{Alt, Const, Form, Kind, Many, Number, Term, TermTy, Unit, Value};
use crate::fields::{Facet, Ty};
use crate::hir::{Key, Num, Pred, Scope, TableId, TagPart, TriggerId, ValueTy};
use mrule_grammar::ast::Expr;
use mrule_grammar::codes::{later, names as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// The keys of an expression.
struct Keys {
    keys: Vec<Vec<Key>>,
    many: Many,
    /// Used instead of `keys`: values of unknown number, each of which is a key.
    run: Option<Run>,
}

/// Values that a packet can have any number of.
#[derive(Clone, Copy)]
enum Run {
    Tags(TagPart),
    Facets(Facet),
}

impl Checker<'_> {
    /// `left in table`
    pub fn in_table(&mut self, table: TableId, left: &Value, at: Span) -> Pred {
        let Some(types) = self.table_key(table) else { return Pred::never() };
        let what = format!("table `{}`", self.text(at));
        let Some(keys) = self.keys(left, &types, &what) else { return Pred::never() };
        match keys.run {
            Some(Run::Tags(tags)) => return Pred::tag_in_table(tags, table),
            Some(Run::Facets(facet)) => return Pred::facet_in_table(facet, table),
            None => {}
        }
        Pred::or(keys.keys.into_iter().map(|key| Pred::in_table(table, key)))
    }

    /// `base[key]`
    pub fn index(&mut self, base: &Expr, key: &Expr, span: Span) -> Value {
        let (base, key) = (self.value(base), self.value(key));
        self.index_by(base, key, span)
    }

    /// `base[key]`
    pub fn index_by(&mut self, base: Value, key: Value, span: Span) -> Value {
        match base.kind {
            Kind::Poison => Value::poison(span),
            Kind::Table(table) => self.lookup(table, &key, base.span, span),
            Kind::Trigger(trigger) => {
                let pred = self.active_for(trigger, &key, base.span);
                Value::new(span, Kind::Pred(pred))
            }
            _ => {
                let message = format!("`{}` is neither a table nor a trigger", self.text(base.span));
                let finding = Diagnostic::new(codes::KEY, message).at(base.span, "has no keys");
                self.report(finding.help("slices are numbers: `tcp.payload[0:4]`; keys are of tables and triggers: `users[net.src]`"));
                Value::poison(span)
            }
        }
    }

    fn lookup(&mut self, table: TableId, key: &Value, at: Span, span: Span) -> Value {
        let Some(types) = self.table_key(table) else { return Value::poison(span) };
        let name = self.text(at);
        let Some(value) = self.tables.get(table.index()).and_then(|t| t.value) else {
            let message = format!("`{name}` is a set: its rows have no values");
            let finding = Diagnostic::new(codes::KEY, message).at(span, "no value");
            let key = self.text(key.span);
            self.report(
                finding.help(format!("write `{key} in {name}`")).fix(span, format!("{key} in {name}")),
            );
            return Value::poison(span);
        };
        let Some(keys) = self.keys(key, &types, &format!("table `{name}`")) else {
            return Value::poison(span);
        };
        match keys.run {
            Some(Run::Tags(_)) => {
                let help = "ask whether a tag is there: `vlan.id in t`; or name each id: `vlan.id == 10`";
                self.not_yet(later::TABLES, key.span, "looking up the value for a tag", help);
                return Value::poison(span);
            }
            Some(Run::Facets(_)) => {
                let what = "looking up the value for a message field";
                self.facet_not_yet(key.span, what, "ask whether it is there: `http.host in t`");
                return Value::poison(span);
            }
            None => {}
        }
        let (ty, text) = match value {
            ValueTy::Bool => (TermTy::Field(Ty::Bool), false),
            ValueTy::Uint | ValueTy::Size => (TermTy::Field(Ty::Uint(64)), false),
            ValueTy::Duration => (TermTy::Duration, false),
            ValueTy::Mac => (TermTy::Field(Ty::Mac), false),
            ValueTy::String => (TermTy::Field(Ty::String), true),
            ValueTy::Word => (TermTy::Word(table), false),
            ValueTy::Ip | ValueTy::Cidr => {
                let help = "keep the address as text, or the pairs in a set: `(net.src, net.dst) in t`";
                self.not_yet(later::TABLES, span, "comparing the addresses that a table holds", help);
                return Value::poison(span);
            }
        };
        let alts = keys.keys.into_iter().map(|key| match text {
            true => Alt::Text(table, key),
            false => Alt::Num(Num::lookup(table, key)),
        });
        let term = Term {
            ty,
            alts: alts.collect(),
            many: keys.many,
            form: Form::Lookup(table),
            width: None,
            hex: false,
            presence: None,
        };
        Value::new(span, Kind::Term(term))
    }

    fn active_for(&mut self, trigger: TriggerId, key: &Value, at: Span) -> Pred {
        let name = self.text(at);
        let whole = at.to(key.span);
        let whole = Span { end: whole.end + 1, ..whole };
        let Some(info) = self.triggers.get(trigger.index()) else { return Pred::never() };
        if info.by_flow {
            let message = format!("`{name}` is by flow: a packet can only test its own flow");
            let finding = Diagnostic::new(codes::KEY, message).at(key.span, "no key is needed");
            self.report(finding.help(format!("write `{name}` alone")).fix(whole, name));
            return Pred::never();
        }
        let Some(types) = info.types.clone() else { return Pred::never() };
        if types.is_empty() {
            let message = format!("`{name}` has no key: it is one switch for all packets");
            let finding = Diagnostic::new(codes::KEY, message).at(key.span, "no key is needed");
            self.report(
                finding.help(format!("write `{name}` alone, or declare it `by` a key")).fix(whole, name),
            );
            return Pred::never();
        }
        let Some(keys) = self.keys(key, &types, &format!("trigger `{name}`")) else { return Pred::never() };
        match keys.run {
            Some(Run::Tags(_)) => {
                let help = "name each id: `vlan.id == 10`";
                self.not_yet(later::TABLES, key.span, "testing a trigger for a tag", help);
                return Pred::never();
            }
            Some(Run::Facets(_)) => {
                let help = "give a key that packets have themselves: `net.src`";
                self.facet_not_yet(key.span, "testing a trigger for a message field", help);
                return Pred::never();
            }
            None => {}
        }
        Pred::or(keys.keys.into_iter().map(|key| Pred::active(trigger, key)))
    }

    /// The trigger is active for this packet's own key.
    pub fn own_key_active(&mut self, trigger: TriggerId) -> Pred {
        let Some(info) = self.triggers.get(trigger.index()) else { return Pred::never() };
        if let Scope::Flow(bit) = info.hir.scope {
            return Pred::flow_active(bit);
        }
        let Some(own) = info.own.clone() else {
            // The key is reported, or it is not evaluated yet: a trigger's key cannot test its own
            // trigger.
            return Pred::never();
        };
        Pred::or(own.into_iter().map(|key| Pred::active(trigger, key)))
    }

    /// The keys of a `by` clause: their types and values.
    pub fn own_keys(&mut self, value: &Value) -> Option<(Vec<ValueTy>, Vec<Vec<Key>>)> {
        let parts = match &value.kind {
            Kind::Tuple(parts) => parts.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let mut types = Vec::with_capacity(parts.len());
        for part in parts {
            let ty = match &part.kind {
                Kind::Poison => return None,
                Kind::Term(term) if term.many == Many::Any && facet_of(term).is_none() => {
                    let message =
                        format!("`{}` stands for several values; a key has one value", self.text(part.span));
                    let finding = Diagnostic::new(codes::KEY, message).at(part.span, "which one?");
                    self.report(
                        finding.help("write `by net.dst`, and ask about either end with `attack[net.addr]`"),
                    );
                    return None;
                }
                Kind::Term(term) if !term.is_constant() => super::value::key_type(term.ty),
                _ => None,
            };
            let Some(ty) = ty else {
                let message = format!("`{}` cannot be a key", self.text(part.span));
                let finding = Diagnostic::new(codes::KEY, message).at(part.span, "not a field");
                self.report(finding.help("keys are fields: `by net.src`, `by (net.src, net.dst)`"));
                return None;
            };
            types.push(ty);
        }
        let keys = self.keys_of(value, &types, "trigger", true)?;
        Some((types, keys.keys))
    }

    /// The keys of a value for these types. `None`: reported.
    fn keys(&mut self, value: &Value, types: &[ValueTy], what: &str) -> Option<Keys> {
        self.keys_of(value, types, what, false)
    }

    /// As [`Checker::keys`]. With `own`, a field of messages gives its first value: this is the
    /// packet's own key.
    fn keys_of(&mut self, value: &Value, types: &[ValueTy], what: &str, own: bool) -> Option<Keys> {
        let parts = match &value.kind {
            Kind::Poison => return None,
            Kind::Tuple(parts) => parts.as_slice(),
            _ => std::slice::from_ref(value),
        };
        if parts.len() != types.len() {
            let s = |n: usize| if n == 1 { "" } else { "s" };
            let (want, got) = (types.len(), parts.len());
            let message = format!(
                "a key of {what} has {want} part{}; here {} {got}",
                s(want),
                if got == 1 { "is" } else { "are" }
            );
            let finding =
                Diagnostic::new(codes::KEY, message).at(value.span, format!("{got} part{}", s(got)));
            let shape: Vec<&str> = types.iter().map(|t| super::tables::type_name(*t)).collect();
            self.report(finding.help(format!("give ({})", shape.join(", "))));
            return None;
        }
        let (mut keys, mut many) = (vec![Vec::with_capacity(parts.len())], Many::One);
        for (part, ty) in parts.iter().zip(types) {
            let facet = match &part.kind {
                Kind::Term(term) if own => facet_of(term),
                _ => None,
            };
            let (alts, part_many) = match facet {
                Some(facet) => (vec![KeyAlt::Key(Key::Facet(facet))], Many::One),
                None => self.key_part(part, *ty, what)?,
            };
            if let [KeyAlt::Run(run)] = alts.as_slice() {
                if parts.len() == 1 {
                    return Some(Keys { keys: Vec::new(), many: Many::Any, run: Some(*run) });
                }
                match run {
                    Run::Tags(_) => {
                        let help = "look `vlan.id` up alone, or write a rule for each id";
                        self.not_yet(later::TABLES, part.span, "a tag as one part of a key", help);
                    }
                    Run::Facets(_) => {
                        let help = "look it up alone: `http.host in t`";
                        self.facet_not_yet(part.span, "a message field as one part of a key", help);
                    }
                }
                return None;
            }
            if keys.len() * alts.len() > MAX_COMBINATIONS {
                let finding = Diagnostic::new(codes::KEY, "this stands for too many keys");
                let help = "name one field of each pair: `net.src` for `net.addr`";
                self.report(finding.at(value.span, "too many").help(help));
                return None;
            }
            many = match (many, part_many) {
                (Many::Any, _) | (_, Many::Any) => Many::Any,
                (Many::One, Many::One) => Many::One,
                _ => Many::Either,
            };
            let alts: Vec<&Key> =
                alts.iter().filter_map(|p| if let KeyAlt::Key(key) = p { Some(key) } else { None }).collect();
            let with = |key: &Vec<Key>, last: &Key| key.iter().chain([last]).cloned().collect();
            keys = keys.iter().flat_map(|key| alts.iter().map(move |last| with(key, last))).collect();
        }
        Some(Keys { keys, many, run: None })
    }

    /// The alternatives of one part, of the right type. `None`: reported.
    fn key_part(&mut self, part: &Value, ty: ValueTy, what: &str) -> Option<(Vec<KeyAlt>, Many)> {
        let alts = match &part.kind {
            Kind::Poison => return None,
            Kind::Term(term) => {
                let alts = match (ty, term.ty) {
                    (ValueTy::Ip | ValueTy::Cidr, TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip))
                    | (ValueTy::Bool, TermTy::Field(Ty::Bool))
                    | (ValueTy::Mac, TermTy::Field(Ty::Mac))
                    | (ValueTy::Duration, TermTy::Duration)
                    | (ValueTy::String, TermTy::Field(Ty::Bytes | Ty::String)) => Some(term.alts.clone()),
                    (ValueTy::Uint | ValueTy::Size, _) => super::arith::numbers(term),
                    _ => None,
                };
                match alts {
                    Some(alts) => Some((self.key_alts(&alts, part.span)?, term.many)),
                    None => None,
                }
            }
            Kind::Const(constant) => {
                self.key_const(constant, ty, part.span)?.map(|key| (vec![KeyAlt::Key(key)], Many::One))
            }
            _ => None,
        };
        if alts.is_none() {
            self.key_misfit(part, ty, what);
        }
        alts
    }

    fn key_alts(&mut self, alts: &[Alt], span: Span) -> Option<Vec<KeyAlt>> {
        let mut parts = Vec::with_capacity(alts.len());
        for alt in alts {
            parts.push(match alt {
                Alt::Num(num) => KeyAlt::Key(Key::Num(num.clone())),
                Alt::V4(num) => KeyAlt::Key(Key::Ipv4(num.clone())),
                Alt::V6(address) => KeyAlt::Key(Key::Ipv6(*address)),
                Alt::Bytes(bytes) => KeyAlt::Key(Key::Bytes(bytes.clone())),
                Alt::Tag(tags) => KeyAlt::Run(Run::Tags(*tags)),
                Alt::Facet(facet) => KeyAlt::Run(Run::Facets(*facet)),
                Alt::Text(..) => {
                    let help = "look up with a field of the packet";
                    self.not_yet(later::TABLES, span, "a text of a table as a key", help);
                    return None;
                }
                Alt::IpParam(_) => {
                    let help = "test the param as well: `net.src == host and net.src in t`";
                    self.not_yet(later::TABLES, span, "an `ip` param as a key", help);
                    return None;
                }
            });
        }
        Some(parts)
    }

    /// A constant as a key. Outer `None`: reported. Inner `None`: the constant has another type.
    fn key_const(&mut self, constant: &Const, ty: ValueTy, span: Span) -> Option<Option<Key>> {
        let num = |value| Some(Some(Key::Num(Num::constant(value))));
        match (ty, constant) {
            (
                ValueTy::Uint | ValueTy::Size,
                Const::Number(Number { value, unit: Unit::None | Unit::Size, .. }),
            )
            | (ValueTy::Duration, Const::Number(Number { value, unit: Unit::Duration, .. })) => num(*value),
            (ValueTy::Bool, Const::Bool(value)) => num(u64::from(*value)),
            (ValueTy::Mac, constant) => Some(constant.as_mac().map(|mac| Key::Num(Num::constant(mac)))),
            (ValueTy::Ip | ValueTy::Cidr, Const::Ipv4(ip)) => {
                Some(Some(Key::Ipv4(Num::constant(u64::from(u32::from(*ip))))))
            }
            (ValueTy::Ip | ValueTy::Cidr, constant) if constant.as_ipv6().is_some() => {
                let help = "test the field as well: `net.src == 2001:db8::1 and net.src in t`";
                self.not_yet(later::TABLES, span, "a constant IPv6 address as a key", help);
                None
            }
            (ValueTy::String, Const::Text(text)) => Some(Some(Key::Text(text.clone()))),
            _ => Some(None),
        }
    }

    fn key_misfit(&mut self, part: &Value, ty: ValueTy, what: &str) {
        let is = match &part.kind {
            Kind::Term(term) => term.ty.describe(),
            Kind::Const(constant) => constant.describe().to_owned(),
            _ => "neither a field nor a constant".to_owned(),
        };
        let (written, name) = (self.text(part.span), super::tables::type_name(ty));
        let message = format!("`{written}` is {is}; the key of {what} is of type `{name}`");
        let finding = Diagnostic::new(codes::KEY, message).at(part.span, is);
        self.report(finding.help(match ty {
            ValueTy::Ip | ValueTy::Cidr => "give an address: `net.src`, `ip.dst`",
            ValueTy::Uint | ValueTy::Size => "give a number: `tcp.dstport`, `vlan.id`",
            ValueTy::Mac => "give a MAC address: `eth.src`",
            ValueTy::String => "give text or bytes: `frame.interface_name`",
            ValueTy::Bool | ValueTy::Duration | ValueTy::Word => "give a value of that type",
        }));
    }
}

/// The message field of a term, if the term is a single message field.
fn facet_of(term: &Term) -> Option<Facet> {
    match term.alts.as_slice() {
        [Alt::Facet(facet)] => Some(*facet),
        _ => None,
    }
}

/// An alternative of one part of a key.
enum KeyAlt {
    Key(Key),
    Run(Run),
}
