//! Large programs: tens to hundreds of rules of one shape, as customers' rules are, so that native
//! code finds them through its index: prefixes of mixed lengths, ports and sets of ports, fields
//! that stand for several, conditions left over. The invariant: rules of one program share their
//! shape but not their values, a few excepted. (Rejected: small programs repeated; their rules have
//! nothing in common to index.)

use super::Generator;
use crate::choices::Choices;
use crate::palette::Palette;
use mrule_compiler::fields::{Ty, find, max_of};

/// The fields that rules are written about.
const FIELDS: &[&str] = &[
    "ip.src",
    "net.src",
    "net.dst",
    "net.addr",
    "ip.dst",
    "ip.addr",
    "ipv6.src",
    "ipv6.addr",
    "tcp.dstport",
    "tcp.port",
    "udp.dstport",
    "udp.port",
    "l4.dstport",
    "l4.port",
    "l4.srcport",
    "vlan.id",
    "net.proto",
    "eth.src",
    "eth.addr",
    "vxlan.vni",
    "inner.ip.src",
    "inner.net.addr",
    "inner.tcp.port",
    "ip.ttl",
    "tcp.flags",
    "frame.len",
    "mpls.label",
];

/// How rules of a program say what they want of a field.
#[derive(Debug, Clone, Copy)]
enum Form {
    Equal,
    Set,
    Range,
    Network,
}

/// A program of many rules.
pub fn large(choices: &mut Choices, palette: &Palette, most: usize) -> String {
    let mut made = Generator::new(choices, palette);
    if made.choices.chance(30) {
        made.declarations();
    }
    let stations = 1 + made.choices.below(4);
    made.stations(stations);
    let count = 10 + made.choices.below(most);
    made.group("rule", count);
    if made.choices.chance(50) {
        let limits = 5 + made.choices.below(most / 2);
        made.group("limit", limits);
    }
    // Some that are not like the others.
    for i in 0..made.choices.below(4) {
        made.rule("rule", &format!("other{i}"));
    }
    for i in 0..made.choices.below(3) {
        made.rule("limit", &format!("else{i}"));
    }
    made.text
}

impl Generator<'_, '_> {
    /// Items of one shape, or of two.
    fn group(&mut self, item: &str, count: usize) {
        let shapes: Vec<Vec<(&'static str, Form)>> =
            (0..=self.choices.below(2)).map(|_| self.shape()).collect();
        let together = self.choices.chance(80);
        let residual = self.choices.below(40);
        for i in 0..count {
            let shape = shapes[self.choices.below(shapes.len())].clone();
            let mut parts: Vec<String> =
                shape.iter().map(|(field, form)| self.wanted(field, *form)).collect();
            if self.choices.below(100) < residual {
                let extra = self.condition(1);
                let extra = if extra.contains(' ') { format!("({extra})") } else { extra };
                let at = self.choices.below(parts.len() + 1);
                parts.insert(at, extra);
            }
            let mut condition = parts.join(if together { " and " } else { " or " });
            if self.choices.chance(5) {
                let again: Vec<String> =
                    shape.iter().map(|(field, form)| self.wanted(field, *form)).collect();
                condition = format!("({condition}) or ({})", again.join(" and "));
            }
            let name = format!("{}{}_{i}", &item[..1], self.choices.below(1000));
            if self.choices.chance(85) {
                // Most rules of such programs say little beside their condition.
                let length = self.length(item == "limit");
                let to = if item == "rule" || self.choices.chance(50) {
                    format!(" to s{}", self.choices.below(self.stations))
                } else {
                    String::new()
                };
                self.line(&format!("{item} {name} {{ match {condition} snaplen {length}{to} }}"));
            } else {
                self.rule_with(item, &name, &condition);
            }
        }
    }

    fn shape(&mut self) -> Vec<(&'static str, Form)> {
        let palette = self.palette;
        let there: Vec<&'static str> =
            FIELDS.iter().copied().filter(|f| !palette.get(f).is_empty()).collect();
        let parts = 1 + self.choices.below(3);
        (0..parts)
            .map(|_| {
                let field = if self.choices.chance(80) {
                    self.choices.word_of(&there)
                } else {
                    self.choices.word_of(FIELDS)
                };
                let field = if field.is_empty() { "tcp.port" } else { field };
                let forms = match find(field).map(|(f, _)| f.ty) {
                    Some(Ty::Ip | Ty::Ipv4 | Ty::Ipv6) => {
                        [Form::Equal, Form::Network, Form::Set, Form::Network]
                    }
                    Some(Ty::Mac) => [Form::Equal, Form::Equal, Form::Set, Form::Set],
                    _ => [Form::Equal, Form::Set, Form::Range, Form::Equal],
                };
                (field, self.choices.pick(&forms).copied().unwrap_or(Form::Equal))
            })
            .collect()
    }

    fn wanted(&mut self, name: &str, form: Form) -> String {
        let Some((field, _)) = find(name) else { return "ip".into() };
        // Now and then a rule says it in another way than the others.
        let form = if self.choices.chance(4) { Form::Equal } else { form };
        match (form, field.ty) {
            (Form::Network, ty) => format!("{name} == {}", self.network(name, ty)),
            (Form::Set, ty) => {
                let address = matches!(ty, Ty::Ip | Ty::Ipv4 | Ty::Ipv6);
                let elements: Vec<String> = (0..=self.choices.below(6))
                    .map(|_| if address { self.network(name, ty) } else { self.literal(name, ty) })
                    .collect();
                format!("{name} in {{{}}}", elements.join(", "))
            }
            (Form::Range, Ty::Uint(bits)) => {
                let low = self.number(name, max_of(bits));
                let high = low.saturating_add(self.choices.bits(12)).min(max_of(bits));
                format!("{name} in {{{low}..{high}}}")
            }
            (_, ty) => format!("{name} == {}", self.literal(name, ty)),
        }
    }
}
