//! The words of the language, and the search for the word that the author most likely means. The
//! invariant: these lists and the grammar agree; a test reads each word with the grammar.

/// Words that start an item.
pub const ITEMS: &[&str] = &["let", "param", "table", "station", "rule", "limit", "trigger", "include"];

/// Words that start a clause of a rule or a limit.
pub const RULE_CLAUSES: &[&str] = &["match", "snaplen", "to"];

/// Words that start a clause of a trigger.
pub const TRIGGER_CLAUSES: &[&str] = &["when", "unless", "hold", "external", "keys"];

/// Words that no item may have as its name, because they start an item or a clause. `external` and
/// `keys` are not among them: no name can stand where they start a clause.
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

/// Words that, besides the operators, cannot be names in an expression or a length, because they
/// have a meaning there.
pub const MEANINGS: &[&str] =
    &["any", "all", "true", "false", "flow", "stream", "none", "full", "headers", "payload", "bytes"];

/// The candidate that `word` most likely stands for: equal but for case, or a few letters away.
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

/// `written` as a name of this language: lower case, words joined by `_`, no digit at the start.
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
