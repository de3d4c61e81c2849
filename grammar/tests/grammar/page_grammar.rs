//! The grammar on the language page and the compiled one agree: in names, in words, and each text
//! that the page derives is read without a mistake. The invariant: what one of them has alone is
//! listed here with the reason. (Rejected: a page that is generated from the pest file. That file
//! reads more than the language, so that messages are better.)

use crate::common::{mistakes, read};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/language.md");
const PEST: &str = include_str!("../../src/mrule.pest");

/// Rules of the page alone: the whole file, keys of triggers (the pest file reads any value there),
/// and levels of precedence (the tree builder knows them).
const PAGE_ONLY: &[&str] = &[
    "file",
    "key",
    "key_part",
    "conjunction",
    "negation",
    "comparison",
    "comparator",
    "intersection",
    "sum",
    "product",
    "measure",
];

/// Rules of the pest file alone: entry points, operators in a row, signs, parts of tokens, and what
/// is read only to be refused. Rules of keywords are not listed.
const PEST_ONLY: &[&str] = &[
    "WHITESPACE",
    "one_item",
    "one_clause",
    "one_trigger_clause",
    "one_rule_head",
    "one_trigger_head",
    "prefix",
    "infix",
    "arithmetic",
    "sign",
    "arithmetic_sign",
    "logic_word",
    "arithmetic_word",
    "upper_case_word",
    "dashed",
    "dashed_bytes",
    "hex_pair",
    "broken",
    "blank",
    "name_char",
    "word_char",
    "path_char",
    "ident",
    "ident_start",
    "reserved_name",
    "reserved",
    "open",
    "close",
    "assign",
    "colon",
    "comma",
    "dots",
    "arrow",
    "plus",
];

/// Words of the page alone: generic types, and operators that the pest file puts together.
const PAGE_WORDS: &[&str] = &["set", "map", "any_eq", "any_ne", "all_eq", "all_ne"];

/// Words of the pest file alone: parts of those operators, of strings, and an operator that is
/// refused.
const PEST_WORDS: &[&str] = &["a", "ny", "ll", "_eq", "_ne", "r", "R", "xor"];

/// A text of each token.
const TOKENS: &[(&str, &[&str])] = &[
    ("name", &["web", "n_2", "external", "keys"]),
    ("path", &["tcp.port", "web", "flow", "stream", "true"]),
    ("type_name", &["uint", "ip", "admin"]),
    ("number", &["80", "0x1f90", "8KiB", "5m", "100Mbit"]),
    ("dotted", &["192.0.2.1", "10.0.0.0/8"]),
    ("colons", &["2001:db8::1", "2001:db8::/32", "00:1b:44:11:3a:b7", "47:45"]),
    ("string", &["\"GET \\x41\"", "r\"\\d+\""]),
    ("integer", &["4", "0x4"]),
    ("bare_word", &["vxlan", "192.0.2.10", "eth0.20", "64KiB"]),
];

/// A part of a rule of the page.
#[derive(Debug)]
enum Part {
    Text(String),
    Rule(String),
    Row(Vec<Part>),
    Choice(Vec<Part>),
    Optional(Box<Part>),
    Repeated(Box<Part>),
}

type Rules = BTreeMap<String, Part>;

/// The rules of the page's block.
fn rules() -> Rules {
    let block = PAGE.split("```ebnf\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let words: Vec<&str> = block.split_whitespace().collect();
    let mut rules = Rules::new();
    for rule in words.split(|word| *word == ";").filter(|rule| !rule.is_empty()) {
        assert_eq!(rule[1], "=", "{rule:?}");
        let mut rest = &rule[2..];
        let part = choice(&mut rest);
        assert!(rest.is_empty(), "{rule:?}: {rest:?}");
        assert!(rules.insert(rule[0].to_owned(), part).is_none(), "{} stands twice", rule[0]);
    }
    rules
}

fn choice(rest: &mut &[&str]) -> Part {
    let mut rows = vec![row(rest)];
    while rest.first() == Some(&"|") {
        *rest = &rest[1..];
        rows.push(row(rest));
    }
    if rows.len() == 1 { rows.remove(0) } else { Part::Choice(rows) }
}

fn row(rest: &mut &[&str]) -> Part {
    let mut parts = Vec::new();
    while let Some(word) = rest.first().filter(|word| !["|", ")", "]", "}"].contains(word)) {
        *rest = &rest[1..];
        let part = match *word {
            "(" => bracket(rest, ")"),
            "[" => Part::Optional(Box::new(bracket(rest, "]"))),
            "{" => Part::Repeated(Box::new(bracket(rest, "}"))),
            text if text.starts_with('"') => Part::Text(text.trim_matches('"').to_owned()),
            name => Part::Rule(name.to_owned()),
        };
        parts.push(part);
    }
    Part::Row(parts)
}

fn bracket(rest: &mut &[&str], close: &str) -> Part {
    let part = choice(rest);
    assert_eq!(rest.first(), Some(&close), "{rest:?}");
    *rest = &rest[1..];
    part
}

impl Part {
    fn walk(&self, see: &mut impl FnMut(&Part)) {
        see(self);
        match self {
            Part::Row(parts) | Part::Choice(parts) => parts.iter().for_each(|part| part.walk(see)),
            Part::Optional(part) | Part::Repeated(part) => part.walk(see),
            Part::Text(_) | Part::Rule(_) => {}
        }
    }
}

/// The names of rules in the pest file, and the words that stand in quotes.
fn pest() -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let code = || PEST.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
    let names = names.filter(|name| !name.is_empty() && name.chars().all(|c| c == '_' || c.is_alphabetic()));
    let words = code().flat_map(|line| line.split('"').skip(1).step_by(2));
    (names.collect(), words.filter(|word| is_word(word)).collect())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') && text != "_"
}

fn set<'t>(list: impl IntoIterator<Item = &'t str>) -> BTreeSet<&'t str> {
    list.into_iter().collect()
}

#[test]
fn names_of_the_page_are_those_of_the_grammar() {
    let rules = rules();
    let tokens = TOKENS.iter().map(|(name, _)| *name);
    let page = set(rules.keys().map(String::as_str).chain(tokens));
    let (pest, _) = pest();
    let pest = set(pest.into_iter().filter(|name| !name.starts_with("kw_")));
    assert_eq!(set(page.difference(&pest).copied()), set(PAGE_ONLY.iter().copied()), "on the page alone");
    assert_eq!(set(pest.difference(&page).copied()), set(PEST_ONLY.iter().copied()), "in mrule.pest alone");
    for (name, part) in &rules {
        part.walk(&mut |part| {
            if let Part::Rule(used) = part {
                assert!(page.contains(used.as_str()), "{name} refers to {used}");
            }
        });
    }
    for (token, _) in TOKENS {
        assert!(PAGE.contains(&format!("`{token}`")), "the page does not explain {token}");
    }
}

#[test]
fn words_of_the_page_are_those_of_the_grammar() {
    let rules = rules();
    let mut page = BTreeSet::new();
    for part in rules.values() {
        part.walk(&mut |part| {
            if let Part::Text(text) = part
                && is_word(text)
            {
                page.insert(text.clone());
            }
        });
    }
    let page = set(page.iter().map(String::as_str));
    let (_, pest) = pest();
    assert_eq!(set(page.difference(&pest).copied()), set(PAGE_WORDS.iter().copied()), "on the page alone");
    assert_eq!(set(pest.difference(&page).copied()), set(PEST_WORDS.iter().copied()), "in mrule.pest alone");
}

/// Levels of rules below which operands nest no further.
const DEEP: usize = 60;

/// Derives texts from the page's rules, by a row of numbers that is the same each time.
struct Deriver<'r> {
    rules: &'r Rules,
    state: u64,
    text: String,
}

impl Deriver<'_> {
    /// A number below `bound` (xorshift).
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound as u64) as usize
    }

    /// Whether what may be left out is there: clauses often, parts of operands seldom.
    fn more(&mut self, depth: usize) -> bool {
        let one_in = if depth < 4 { 2 } else { 7 };
        depth <= DEEP && self.below(one_in) == 0
    }

    fn push(&mut self, text: &str) {
        self.text += text;
        self.text.push(' ');
    }

    fn rule(&mut self, name: &str, depth: usize) {
        let token = TOKENS.iter().find(|(token, _)| *token == name);
        match token {
            Some((_, texts)) => {
                let at = self.below(texts.len());
                self.push(texts[at]);
            }
            None if name == "primary" && depth > DEEP => self.push("80"),
            None => {
                let rules = self.rules;
                self.part(&rules[name], depth + 1);
            }
        }
    }

    fn part(&mut self, part: &Part, depth: usize) {
        match part {
            Part::Text(text) => self.push(text),
            Part::Rule(name) => self.rule(name, depth),
            Part::Row(parts) => parts.iter().for_each(|part| self.part(part, depth)),
            Part::Choice(parts) => {
                let at = self.below(parts.len());
                self.part(&parts[at], depth);
            }
            Part::Optional(part) => {
                if self.more(depth) {
                    self.part(part, depth);
                }
            }
            Part::Repeated(part) => {
                while self.more(depth) {
                    self.part(part, depth);
                }
            }
        }
    }
}

#[test]
fn what_the_page_derives_is_read_without_mistakes() {
    let rules = rules();
    let mut used = BTreeSet::new();
    let mut refused = Vec::new();
    for seed in 1..=1000_u64 {
        let mut deriver =
            Deriver { rules: &rules, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), text: String::new() };
        deriver.rule("item", 0);
        let text = deriver.text;
        used.extend(text.split(' ').map(str::to_owned));
        let parsed = read(&text);
        // `{80 - 90}`, of which the page says that it is refused.
        let wrong: Vec<String> = mistakes(&text, &parsed.diagnostics);
        let wrong: Vec<_> = wrong.iter().filter(|mistake| !mistake.starts_with("E0016")).collect();
        if !wrong.is_empty() {
            refused.push(format!("{wrong:?} in {text}"));
        }
    }
    refused.sort_by_key(String::len);
    assert!(
        refused.is_empty(),
        "{} texts, the shortest:\n{}",
        refused.len(),
        refused[..refused.len().min(5)].join("\n")
    );
    for part in rules.values() {
        part.walk(&mut |part| {
            if let Part::Text(text) = part {
                assert!(used.contains(text), "no text has `{text}`");
            }
        });
    }
}
