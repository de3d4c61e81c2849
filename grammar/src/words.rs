//! The words of the language and the search for the one that was meant. The invariant: these lists
//! and the grammar agree; a test reads each word with the grammar.

/// Words that start an item.
pub const ITEMS: &[&str] = &["let", "param", "table", "station", "rule", "limit", "trigger", "include"];

/// Words that start a clause of a rule or a limit.
pub const RULE_CLAUSES: &[&str] = &["match", "snaplen", "to"];

/// Words that start a clause of a trigger.
pub const TRIGGER_CLAUSES: &[&str] = &["when", "unless", "hold", "external", "keys"];

/// Words that no item may be named, because they start an item or a clause. `external` and `keys`
/// are not among them: where they start a clause, no name can stand.
pub const RESERVED: &[&str] = &[
    "let", "param", "table", "station", "rule", "limit", "trigger", "include", "match", "snaplen", "to",
    "when", "unless", "hold",
];

/// Words between or before operands.
pub const OPERATORS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "contains",
    "matches",
    "bitand",
    "bitwise_and",
    "xor",
    "else",
    "per",
    "within",
];

/// Words that, beside the operators, cannot name what an expression or a length speaks of, because
/// they mean something there.
pub const MEANINGS: &[&str] =
    &["any", "all", "true", "false", "flow", "stream", "none", "full", "headers", "payload", "bytes"];

/// The candidate that `word` was most likely meant to be: equal but for case, or few letters away.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 40 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let allowed = match word.len() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&lower, &c.to_ascii_lowercase()), c))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// `written` as a name of this language: lower case, words joined by `_`, starting with no digit.
pub fn snake_case(written: &str) -> String {
    let mut name = String::with_capacity(written.len() + 4);
    let mut before = '_';
    for c in written.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            name.push('_');
        }
        name.push(if c == '-' || c == '.' { '_' } else { c.to_ascii_lowercase() });
        before = c;
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'n');
    }
    name
}
