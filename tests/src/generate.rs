//! Random programs as rule text, made from the field table and from the values that packets have.
//! The invariant: the text is of the language as its page describes it; what the checker refuses of
//! it (a number that may pass 64 bits, two types that do not meet) is rare, and the tests hold it
//! below a share. (Rejected: random typed programs; text goes through the parser and the checker as
//! well, and can be read, kept and cut down.)

use crate::choices::Choices;
use crate::palette::Palette;
use std::fmt::Write;

mod condition;
mod flows;
mod large;
mod literal;
mod narrow;
mod number;
mod windows;

pub use large::large;
pub use narrow::narrow;

/// What kind of value a table's key or value, or a param, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `uint`
    Uint,
    /// `ip`
    Ip,
    /// `cidr`
    Cidr,
    /// `mac`
    Mac,
    /// `string`
    String,
    /// `bool`
    Bool,
    /// `size`
    Size,
    /// `duration`
    Duration,
    /// One of three words, as the value of a table.
    Word,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Uint => "uint",
            Kind::Ip => "ip",
            Kind::Cidr => "cidr",
            Kind::Word => "{red, green, blue}",
            Kind::Mac => "mac",
            Kind::String => "string",
            Kind::Bool => "bool",
            Kind::Size => "size",
            Kind::Duration => "duration",
        }
    }
}

struct Table {
    name: String,
    key: Vec<Kind>,
    value: Option<Kind>,
}

struct Trigger {
    name: String,
    key: Vec<Kind>,
    by_flow: bool,
}

/// A program in the making.
struct Generator<'c, 'a> {
    choices: &'c mut Choices<'a>,
    palette: &'c Palette,
    tables: Vec<Table>,
    params: Vec<(String, Kind)>,
    triggers: Vec<Trigger>,
    /// Names of conditions.
    lets: Vec<String>,
    stations: usize,
    text: String,
}

impl<'c, 'a> Generator<'c, 'a> {
    fn new(choices: &'c mut Choices<'a>, palette: &'c Palette) -> Self {
        Generator {
            choices,
            palette,
            tables: Vec::new(),
            params: Vec::new(),
            triggers: Vec::new(),
            lets: Vec::new(),
            stations: 0,
            text: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }
}

/// A program of a few rules and limits with everything that the language has.
pub fn small(choices: &mut Choices, palette: &Palette) -> String {
    let mut made = Generator::new(choices, palette);
    made.declarations();
    let stations = match made.choices.below(20) {
        0 => 64,
        n => 1 + n % 4,
    };
    made.stations(stations);
    for i in 0..=made.choices.below(6) {
        // Names whose order is not the text's.
        let name = format!("r{}{i}", made.choices.below(10));
        made.rule("rule", &name);
    }
    for i in 0..made.choices.below(5) {
        let name = format!("l{}{i}", made.choices.below(10));
        made.rule("limit", &name);
    }
    made.text
}

impl Generator<'_, '_> {
    fn stations(&mut self, count: usize) {
        self.stations = count;
        for i in 0..count {
            self.line(&format!("station s{i} {{ pcapng \"s{i}\" }}"));
        }
    }

    fn declarations(&mut self) {
        for i in 0..self.choices.below(4) {
            let kinds = [Kind::Uint, Kind::Size, Kind::Bool, Kind::Ip, Kind::Mac, Kind::Duration];
            let kind = self.choices.pick(&kinds).copied().unwrap_or(Kind::Uint);
            let name = format!("p{i}");
            let value = self.constant(kind);
            // Numbers of params are kept small enough that arithmetic with them fits.
            let range = match kind {
                Kind::Uint | Kind::Size => " in 0..0xffffffff",
                _ => "",
            };
            self.line(&format!("param {name} : {} = {value}{range}", kind.word()));
            self.params.push((name, kind));
        }
        for i in 0..self.choices.below(4) {
            self.table(i);
        }
        for i in 0..self.choices.below(3) {
            self.trigger(i);
        }
        let by_flow = self.flow_triggers();
        for i in 0..self.choices.below(3) {
            let name = format!("c{i}");
            let condition = self.condition(2);
            self.line(&format!("let {name} = {condition}"));
            self.lets.push(name);
        }
        for name in by_flow {
            self.flow_trigger(&name);
        }
    }

    fn key_kinds(&mut self, with_cidr: bool) -> Vec<Kind> {
        let kinds = [Kind::Ip, Kind::Uint, Kind::Cidr, Kind::Mac, Kind::String];
        let parts = if self.choices.chance(35) { 2 + self.choices.below(2) } else { 1 };
        let mut key: Vec<Kind> =
            (0..parts).map(|_| self.choices.pick(&kinds).copied().unwrap_or(Kind::Ip)).collect();
        if !with_cidr {
            key.iter_mut().filter(|k| **k == Kind::Cidr).for_each(|k| *k = Kind::Ip);
        }
        key
    }

    fn table(&mut self, i: usize) {
        let mut key = self.key_kinds(true);
        let unordered = self.choices.chance(20);
        if unordered {
            key.truncate(1);
            key.extend(key.first().copied());
        }
        let values = [Kind::Uint, Kind::String, Kind::Size, Kind::Bool, Kind::Mac, Kind::Word, Kind::Word];
        let value =
            self.choices.chance(45).then(|| self.choices.pick(&values).copied().unwrap_or(Kind::Uint));
        let words: Vec<&str> = key.iter().map(|k| k.word()).collect();
        let key_type = if key.len() == 1 { words[0].to_owned() } else { format!("({})", words.join(", ")) };
        let key_type = if unordered { format!("unordered {key_type}") } else { key_type };
        let ty = match value {
            Some(value) => format!("map<{key_type}, {}>", value.word()),
            None => format!("set<{key_type}>"),
        };
        let mut rows: Vec<String> = Vec::new();
        for _ in 0..self.choices.below(10) {
            let parts: Vec<String> = key.iter().map(|kind| self.constant(*kind)).collect();
            let row_key = if parts.len() == 1 { parts[0].clone() } else { format!("({})", parts.join(", ")) };
            let row = match value {
                Some(value) => format!("{row_key} -> {}", self.constant(value)),
                None => row_key.clone(),
            };
            // A key stands once, in either order where order does not matter.
            let other = match parts.as_slice() {
                [a, b] if unordered => format!("({b}, {a})"),
                _ => row_key.clone(),
            };
            let is = |r: &String, key: &String| r == key || r.starts_with(&format!("{key} ->"));
            let twice = |r: &String| is(r, &row_key) || is(r, &other);
            if !rows.iter().any(twice) {
                rows.push(row);
            }
        }
        let name = format!("t{i}");
        let rows = if rows.is_empty() { String::new() } else { format!(" = {{ {} }}", rows.join(", ")) };
        self.line(&format!("table {name} : {ty}{rows}"));
        self.tables.push(Table { name, key, value });
    }

    fn trigger(&mut self, i: usize) {
        let name = format!("g{i}");
        let key = if self.choices.chance(25) { Vec::new() } else { self.key_kinds(false) };
        let by: Option<Vec<String>> = key.iter().map(|kind| self.own_field(*kind)).collect();
        let Some(by) = by else { return };
        let by = match by.as_slice() {
            [] => String::new(),
            [one] => format!(" by {one}"),
            many => format!(" by ({})", many.join(", ")),
        };
        let clauses = match self.choices.chance(35) {
            true => "external hold 1h".to_owned(),
            false => self.trigger_clauses(false),
        };
        self.line(&format!("trigger {name}{by} {{ {clauses} }}"));
        self.triggers.push(Trigger { name, key, by_flow: false });
    }

    /// A rule or limit of random conditions.
    fn rule(&mut self, item: &str, name: &str) {
        let condition = if self.choices.chance(12) { "any".to_owned() } else { self.condition(3) };
        self.rule_with(item, name, &condition);
    }

    fn rule_with(&mut self, item: &str, name: &str, condition: &str) {
        let mut rule = format!("{item} {name} {{ match {condition}");
        for _ in 0..=self.choices.below(3) {
            let length = self.length(item == "limit");
            let _ = write!(rule, " snaplen {length}");
            if self.choices.chance(30) {
                let _ = write!(rule, " when {}", self.condition(1));
            }
        }
        if item == "rule" || self.choices.chance(60) {
            let mut named: Vec<usize> = (0..self.stations).filter(|_| self.choices.chance(40)).collect();
            if named.is_empty() {
                named.push(self.choices.below(self.stations));
            }
            let named: Vec<String> = named.iter().map(|i| format!("s{i}")).collect();
            let _ = write!(rule, " to {}", named.join(", "));
        }
        rule.push_str(" }");
        self.line(&rule);
    }

    /// The name of a param that is a number of bytes.
    fn size_param(&mut self) -> Option<String> {
        let sizes = self.params.iter().filter(|(_, kind)| matches!(kind, Kind::Uint | Kind::Size));
        let names: Vec<String> = sizes.map(|(name, _)| name.clone()).collect();
        self.choices.pick(&names).cloned()
    }

    /// A number of bytes.
    fn size(&mut self) -> String {
        if self.choices.chance(20)
            && let Some(param) = self.size_param()
        {
            return param;
        }
        match self.choices.below(4) {
            0 => (1 + self.choices.below(64)).to_string(),
            1 => (1 + self.choices.below(1600)).to_string(),
            2 => {
                self.choices.word_of(&["14", "34", "42", "54", "60", "64", "1KiB", "2kB", "1GiB"]).to_owned()
            }
            _ => (1 + self.choices.bits(32)).to_string(),
        }
    }

    /// A capture length.
    fn length(&mut self, in_limit: bool) -> String {
        match self.choices.below(12) {
            0 | 1 => "full".into(),
            10 | 11 => self.stream_length(),
            2 => "headers".into(),
            3 => self.size(),
            4 => format!("{}%", 1 + self.choices.below(100)),
            5 => format!("headers + {}", self.size()),
            6 => format!("payload ..{}", self.size()),
            7 | 8 => {
                let from = self.choices.below(90);
                let to = from + 1 + self.choices.below(120);
                match (self.choices.below(4), self.size_param()) {
                    (0, Some(param)) => format!("bytes {from}..{param}"),
                    (1, Some(param)) => format!("bytes {param}..{to}"),
                    _ => format!("bytes {from}..{to}"),
                }
            }
            _ if in_limit => "none".into(),
            _ => "80".into(),
        }
    }
}
