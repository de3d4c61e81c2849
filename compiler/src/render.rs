//! The typed program as text, in the language's own terms as far as possible: for `emit --stage
//! hir`, for `explain` and for lints. Field names come from the field table, found by the place of
//! the load. The invariant: every part of a typed program has a text, and two different conditions
//! have different texts, except for long sets. (Rejected: keeping the source's names in the typed
//! program, which would make equal conditions unequal.)

use crate::fields::{FIELDS, FlowSlot, Hash, Layer, Load};
use crate::hir::{
    ArithOp, CompareOp, Key, Length, Num, NumKind, Pred, PredKind, Program, Rule, Scope, StreamKind,
    TextTest, Trigger, WindowKind,
};
use std::fmt::Write as _;

mod names;
mod value;
pub(crate) use names::{address_name, bytes_name, facet_name, option_name, presence, tag_name};
use names::{flow_field, flow_name, layered, load_field, load_name, slot_name};
pub(crate) use value::{bytes_text, num_text};
use value::{duration, number_set, quoted, size, v6_set};

/// The greatest number of elements of a set in a text.
const SET_ELEMENTS: usize = 24;

/// Writes the parts of a program as text.
#[derive(Debug, Clone, Copy)]
pub struct Render<'a> {
    program: &'a Program,
}

/// A whole typed program.
pub fn program(program: &Program) -> String {
    let render = Render::new(program);
    let mut out = String::new();
    for param in &program.params {
        let _ = writeln!(out, "param {} : {:?}", param.name, param.ty);
    }
    for table in &program.tables {
        let _ = writeln!(
            out,
            "table {} : {}{:?} -> {:?}{}, {} rows",
            table.name,
            if table.start.form().unordered { "unordered " } else { "" },
            table.start.form().key,
            table.start.form().value,
            table.start.form().words.iter().map(|word| format!(" {word}")).collect::<String>(),
            table.start.len()
        );
    }
    for trigger in &program.triggers {
        render.trigger(trigger, &mut out);
    }
    for station in &program.stations {
        let _ = writeln!(out, "station {} {{ {station} }}", station.name);
    }
    for (word, rules) in [("rule", &program.rules), ("limit", &program.limits)] {
        for rule in rules {
            render.rule(word, rule, &mut out);
        }
    }
    out
}

impl<'a> Render<'a> {
    /// Writes texts with the names of this program's params, tables and triggers.
    pub fn new(program: &'a Program) -> Render<'a> {
        Render { program }
    }

    fn trigger(&self, trigger: &Trigger, out: &mut String) {
        let _ = match &trigger.scope {
            _ if trigger.is_by_flow() => write!(out, "trigger {} by flow", trigger.name),
            Scope::Keys(types) => write!(out, "trigger {} by {types:?}", trigger.name),
            Scope::Flow(_) => write!(out, "trigger {} by flow", trigger.name),
        };
        if let Some(when) = &trigger.when {
            let _ = write!(out, " when {}", self.pred(when));
        }
        if trigger.unless.as_const() != Some(false) {
            let _ = write!(out, " unless {}", self.pred(&trigger.unless));
        }
        let _ = match &trigger.hold {
            Some(time) => writeln!(out, " hold {}", self.time(time)),
            None => writeln!(out, " hold flow"),
        };
    }

    fn rule(&self, word: &str, rule: &Rule, out: &mut String) {
        let _ = writeln!(out, "{word} {} {{", rule.name);
        let _ = writeln!(out, "    match {}", self.pred(&rule.matches));
        for ask in &rule.asks {
            let _ = write!(out, "    snaplen {}", self.length(&ask.length));
            let _ = match ask.when.as_const() {
                Some(true) => writeln!(out),
                _ => writeln!(out, " when {}", self.pred(&ask.when)),
            };
        }
        let _ = writeln!(out, "    to {}\n}}", self.stations(rule.stations));
    }

    /// The names of stations.
    pub fn stations(&self, stations: u64) -> String {
        let named = self.program.stations.iter().enumerate();
        let names: Vec<&str> =
            named.filter(|(s, _)| stations >> s & 1 == 1).map(|(_, station)| station.name.as_str()).collect();
        names.join(", ")
    }

    /// A capture length.
    pub fn length(&self, length: &Length) -> String {
        match length {
            Length::None => "none".into(),
            Length::Full => "full".into(),
            Length::Bytes(n) => self.num(n),
            Length::Percent(n) => format!("{}%", self.num(n)),
            Length::Headers(n) if *n.kind() == NumKind::Const(0) => "headers".into(),
            Length::Headers(n) => match stream_end(n) {
                Some(end) => format!("stream ..{}", self.num(end)),
                None => format!("headers + {}", self.num(n)),
            },
            Length::Slice(m, n) => format!("bytes {}..{}", self.num(m), self.num(n)),
        }
    }

    /// A condition.
    pub fn pred(&self, pred: &Pred) -> String {
        match pred.kind() {
            PredKind::Const(true) => "any".into(),
            PredKind::Const(false) => "not any".into(),
            PredKind::Bits { layer, bits } => presence(*layer, *bits),
            PredKind::Not(inner) => format!("not {}", self.operand(inner)),
            PredKind::And(parts) => self.joined(parts, " and "),
            PredKind::Or(parts) => self.joined(parts, " or "),
            PredKind::In(num, set) => {
                let ty = self.field(num).map(|(field, _)| (field.name, field.ty));
                number_set(&self.num(num), ty, num.max(), set)
            }
            PredKind::Compare(op, a, b) => format!("{} {} {}", self.num(a), symbol(*op), self.num(b)),
            PredKind::AddressIn(address, set) => v6_set(&address_name(address), set),
            PredKind::AddressCompare(op, a, b) => {
                format!("{} {} {}", address_name(a), symbol(*op), address_name(b))
            }
            PredKind::TagIn(part, set) => {
                let name = tag_name(part);
                let ty = FIELDS.iter().find(|f| f.name == name).map(|f| (f.name, f.ty));
                number_set(&name, ty, part.mask, set)
            }
            PredKind::TagInTable(part, table) => {
                format!("{} in {}", tag_name(part), self.table(table.index()))
            }
            PredKind::HasOption(option) => option_name(option),
            PredKind::HasBytes(bytes) => format!("has({})", bytes_name(bytes)),
            PredKind::BytesCompare(op, bytes, value) => {
                format!("{} {} {}", bytes_name(bytes), symbol(*op), quoted(value))
            }
            PredKind::ConstCompare(op, value, bytes) => {
                format!("{} {} {}", quoted(value), symbol(*op), bytes_name(bytes))
            }
            PredKind::BytesBytes(op, a, b) => {
                format!("{} {} {}", bytes_name(a), symbol(*op), bytes_name(b))
            }
            PredKind::Contains(bytes, needle) => {
                let needle = self.program.needles.get(needle.index());
                format!("{} contains {}", bytes_name(bytes), quoted(needle.map_or(&[], |n| n)))
            }
            PredKind::Matches(bytes, regex) => {
                let regex = self.program.regexes.get(regex.index());
                format!("{} matches {:?}", bytes_name(bytes), regex.map_or("", |r| r.pattern.as_str()))
            }
            PredKind::FlowActive(bit) => {
                let of = |t: &&crate::hir::Trigger| t.scope == crate::hir::Scope::Flow(*bit);
                self.program.triggers.iter().find(of).map_or("?", |t| t.name.as_str()).to_owned()
            }
            PredKind::Stream(pattern) => match self.program.streams.get(pattern.index()) {
                Some(pattern) => {
                    let looked = match &pattern.kind {
                        StreamKind::Contains(text) => format!("contains {}", quoted(text)),
                        StreamKind::Matches(regex) => format!("matches {regex:?}"),
                    };
                    let depth = match pattern.depth.kind() {
                        NumKind::Const(bytes) => size(*bytes),
                        _ => self.num(&pattern.depth),
                    };
                    format!("stream {looked} within {depth}")
                }
                None => "?".into(),
            },
            PredKind::HasFacet(facet) => facet_name(*facet).into(),
            PredKind::FacetIn(facet, set) => {
                let name = facet_name(*facet);
                let ty = FIELDS.iter().find(|f| f.name == name).map(|f| (f.name, f.ty));
                number_set(name, ty, u64::MAX, set)
            }
            PredKind::FacetText(facet, test) => {
                let name = facet_name(*facet);
                match test {
                    TextTest::Compare(op, text) => format!("{name} {} {}", symbol(*op), quoted(text)),
                    TextTest::Contains(needle) => {
                        let needle = self.program.needles.get(needle.index());
                        format!("{name} contains {}", quoted(needle.map_or(&[], |n| n)))
                    }
                    TextTest::Matches(regex) => {
                        let regex = self.program.regexes.get(regex.index());
                        format!("{name} matches {:?}", regex.map_or("", |r| r.pattern.as_str()))
                    }
                }
            }
            PredKind::FacetInTable(facet, table) => {
                format!("{} in {}", facet_name(*facet), self.table(table.index()))
            }
            PredKind::InTable { table, key } => {
                format!("{} in {}", self.key(key), self.table(table.index()))
            }
            PredKind::LookupIs { table, key, text } => {
                format!("{}[{}] == {}", self.table(table.index()), self.key(key), quoted(text))
            }
            PredKind::Active { trigger, key } => {
                let name = self.program.triggers.get(trigger.index()).map_or("?", |t| t.name.as_str());
                if key.is_empty() { name.to_owned() } else { format!("{name}[{}]", self.key(key)) }
            }
        }
    }

    fn joined(&self, parts: &[Pred], word: &str) -> String {
        parts.iter().map(|part| self.operand(part)).collect::<Vec<_>>().join(word)
    }

    fn operand(&self, pred: &Pred) -> String {
        match pred.kind() {
            PredKind::And(_) | PredKind::Or(_) => format!("({})", self.pred(pred)),
            _ => self.pred(pred),
        }
    }

    /// A number.
    pub fn num(&self, num: &Num) -> String {
        match num.kind() {
            NumKind::Const(value) => value.to_string(),
            NumKind::Param(id) => self.param(id.index()),
            NumKind::ParamHigh(id) => format!("high({})", self.param(id.index())),
            NumKind::Load(load) => match load_name(load) {
                Some((name, layer)) => layered(layer, name),
                None => {
                    let Load { layer, slot, at, width, shift, mask, .. } = load;
                    layered(*layer, &format!("{slot:?}[{at}:{width}]>>{shift}&{mask:#x}"))
                }
            },
            NumKind::Slot { layer, bits, slot } => layered(*layer, slot_name(*bits, *slot)),
            NumKind::Flow { slot, .. } => flow_name(*slot),
            NumKind::FrameLen => "frame.len".into(),
            NumKind::FrameCapLen => "frame.cap_len".into(),
            NumKind::Byte(bytes) => bytes_name(bytes),
            NumKind::Len(bytes) => format!("len({})", bytes_name(bytes)),
            NumKind::Option(option) => option_name(option),
            NumKind::Hash(Hash::Packet) => "packet.hash".into(),
            NumKind::Hash(Hash::Flow) => "flow.hash".into(),
            NumKind::Lookup { table, key } => format!("{}[{}]", self.table(table.index()), self.key(key)),
            NumKind::Window(id) => self.window(id.index()),
            NumKind::Else(a, b) => format!("({} else {})", self.num(a), self.num(b)),
            NumKind::Arith(op, a, b) => {
                let part = |num: &Num| match num.kind() {
                    NumKind::Arith(..) => format!("({})", self.num(num)),
                    _ => self.num(num),
                };
                format!("{} {} {}", part(a), arith(*op), part(b))
            }
        }
    }

    fn window(&self, index: usize) -> String {
        let Some(window) = self.program.windows.get(index) else { return "?".into() };
        let counted = match &window.kind {
            WindowKind::Count => format!("count({})", self.pred(&window.when)),
            WindowKind::Sum(num) => format!("sum({})", self.num(num)),
            WindowKind::Distinct(values) => {
                let values: Vec<String> = values.iter().map(|value| self.key(&value.key)).collect();
                format!("distinct({})", values.join(" or "))
            }
        };
        format!("{counted} per {}", self.time(&window.per))
    }

    /// A length of time: a constant or a param.
    fn time(&self, num: &Num) -> String {
        match num.kind() {
            NumKind::Const(time) => duration(*time),
            _ => self.num(num),
        }
    }

    /// The field of a number, if it has one.
    pub(crate) fn field(&self, num: &Num) -> Option<(&'static crate::fields::Field, Layer)> {
        let (name, layer) = match num.kind() {
            NumKind::Load(load) => return load_field(load),
            NumKind::Slot { layer, bits, slot } => (slot_name(*bits, *slot), *layer),
            NumKind::Flow { slot, .. } => return flow_field(*slot).map(|field| (field, Layer::Outer)),
            _ => return None,
        };
        FIELDS.iter().find(|f| f.name == name).map(|field| (field, layer))
    }

    /// A key of a table or trigger.
    pub fn key(&self, key: &[Key]) -> String {
        let parts: Vec<String> = key.iter().map(|part| self.key_part(part)).collect();
        match parts.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", parts.join(", ")),
        }
    }

    /// A part of a key.
    pub(crate) fn key_part(&self, part: &Key) -> String {
        match part {
            Key::Num(n) | Key::Ipv4(n) => self.num(n),
            Key::Ipv6(address) => address_name(address),
            Key::Bytes(bytes) => bytes_name(bytes),
            Key::Text(text) => quoted(text),
            Key::Facet(facet) => facet_name(*facet).to_owned(),
        }
    }

    fn table(&self, index: usize) -> &'a str {
        self.program.tables.get(index).map_or("?", |t| t.name.as_str())
    }

    fn param(&self, index: usize) -> String {
        self.program.params.get(index).map_or_else(|| "?".into(), |p| p.name.clone())
    }
}

/// The N of the bytes of `stream M..N`: N - offset + lead.
fn stream_end(num: &Num) -> Option<&Num> {
    let is = |num: &Num, wanted| matches!(num.kind(), NumKind::Flow { slot, .. } if *slot == wanted);
    let NumKind::Arith(ArithOp::Add, behind, lead) = num.kind() else { return None };
    let NumKind::Arith(ArithOp::Sub, end, offset) = behind.kind() else { return None };
    let end = match end.kind() {
        NumKind::Arith(ArithOp::And, end, _) => end,
        _ => end,
    };
    (is(lead, FlowSlot::Lead) && is(offset, FlowSlot::Offset)).then_some(end)
}

fn symbol(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::AllEq => "===",
        CompareOp::AnyNe => "!==",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

fn arith(op: ArithOp) -> &'static str {
    match op {
        ArithOp::And => "&",
        ArithOp::Or => "|",
        ArithOp::Add => "+",
        ArithOp::Sub => "-",
        ArithOp::Mul => "*",
        ArithOp::Div => "/",
        ArithOp::Rem => "%",
    }
}

#[cfg(test)]
mod tests;
