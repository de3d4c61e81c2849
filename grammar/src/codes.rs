//! The table of diagnostic codes. A code's number is never reused and never changes its meaning;
//! `mirrorc check --explain CODE` prints `explain`. Numbers by phase: 00xx files and syntax, 01xx
//! names and types, 02xx tables and params, 03xx not available yet, 04xx budgets, 09xx warnings:
//! W090x of the lints (whole programs without errors), W095x of the checker (the text alone), W096x
//! of budgets. (Rejected: codes declared by each phase; the phases drift apart.)

pub mod budgets;
pub mod clauses;
pub mod files;
pub mod later;
pub mod lints;
pub mod literals;
pub mod names;
pub mod oddities;
pub mod settings;
pub mod syntax;

/// How severe a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The program runs, but a part of it cannot be what the author means.
    Warning,
    /// The program is refused.
    Error,
}

/// A row of the table.
#[derive(Debug)]
pub struct CodeInfo {
    /// The stable name, `E0101` or `W0901`.
    pub id: &'static str,
    /// A short title.
    pub title: &'static str,
    /// What the code means, why, an example and its fix, in Markdown.
    pub explain: &'static str,
}

/// A diagnostic code: a row of [`CODES`].
#[derive(Clone, Copy)]
pub struct Code(pub &'static CodeInfo);

impl Code {
    /// The stable name.
    pub fn id(self) -> &'static str {
        self.0.id
    }

    /// Codes with `W` are warnings, codes with `E` are errors.
    pub fn severity(self) -> Severity {
        if self.0.id.starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// Finds a code by its name, in any case.
    pub fn find(id: &str) -> Option<Code> {
        CODES.iter().copied().find(|c| c.0.id.eq_ignore_ascii_case(id))
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.0.id == other.0.id
    }
}
impl Eq for Code {}
impl std::hash::Hash for Code {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}
impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.id)
    }
}
impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.id)
    }
}

/// Every code, in order. A code that is not here works in a diagnostic, but `check --explain` and
/// the page of diagnostics do not know it.
pub const CODES: &[Code] = &[
    syntax::SYNTAX,
    syntax::FILE_TOO_LARGE,
    syntax::NESTING,
    syntax::UNCLOSED,
    syntax::UNOPENED,
    literals::UNTERMINATED,
    literals::QUOTES,
    literals::CHARACTER,
    syntax::UNKNOWN_ITEM,
    syntax::UNKNOWN_CLAUSE,
    syntax::RESERVED_WORD,
    syntax::NAME_STYLE,
    syntax::UPPER_CASE,
    syntax::SEPARATOR,
    syntax::EMPTY_SET,
    syntax::DASH_RANGE,
    syntax::SINGLE_EQUALS,
    syntax::CHAINED_COMPARISON,
    syntax::LAYER_OPERATOR,
    syntax::UNSUPPORTED,
    literals::NUMBER,
    literals::NUMBER_TOO_LARGE,
    literals::UNKNOWN_UNIT,
    literals::IPV4,
    literals::COLONS,
    literals::CIDR,
    literals::ESCAPE,
    syntax::SLICE,
    syntax::TYPE,
    syntax::STATION_WORD,
    syntax::TOO_MANY,
    files::UNREADABLE,
    files::INCLUDE_CYCLE,
    files::INCLUDE_DEPTH,
    files::TOO_MANY_FILES,
    names::UNKNOWN,
    names::WIRESHARK,
    names::OTHER_LANGUAGE,
    names::DUPLICATE,
    names::SHADOWS_FIELD,
    names::CIRCLE,
    names::TYPES,
    names::OUT_OF_RANGE,
    names::BARE_FLAG,
    names::NOT_A_CONDITION,
    names::DECIMAL_BESIDE_SLICE,
    names::NUMBER_BESIDE_BYTES,
    names::NO_SLICE,
    names::OPERATOR,
    names::NEEDLE,
    names::REGEX,
    names::REGEX_TOO_LARGE,
    names::ARITHMETIC,
    names::NOTHING_TESTED,
    names::SET,
    names::FUNCTION,
    names::KEY,
    names::TOO_LARGE,
    names::TOO_MANY,
    names::STREAM,
    clauses::MISSING_CLAUSE,
    clauses::REPEATED_CLAUSE,
    clauses::UNKNOWN_STATION,
    clauses::LENGTH,
    clauses::PERCENT,
    clauses::EMPTY_LENGTH,
    settings::UNKNOWN_TYPE,
    settings::TYPE_PLACE,
    settings::ROW,
    settings::DUPLICATE_KEY,
    settings::TABLE_TOO_LARGE,
    settings::MORE_ROWS,
    settings::PARAM_VALUE,
    settings::PARAM_BOUNDS,
    settings::UNKNOWN_SET,
    settings::BAD_SET,
    settings::STATION_KIND,
    settings::STATION_SETTING,
    settings::MISSING_SETTING,
    settings::TOO_MANY_STATIONS,
    settings::SAME_FILE,
    settings::TRIGGER,
    settings::WINDOW,
    later::FLOWS,
    later::APPLICATION,
    later::STATIONS,
    later::TABLES,
    later::BYTES,
    budgets::NODES,
    budgets::TIME,
    budgets::MEMORY,
    lints::UNUSED,
    lints::UNUSED_STATION,
    lints::NEVER,
    lints::ALWAYS,
    lints::COVERED_RULE,
    lints::IDLE_LINE,
    lints::IDLE_LIMIT,
    lints::BEFORE_RECOGNITION,
    lints::SLICE_START,
    oddities::EMPTY_RANGE,
    oddities::LENGTHS_DIFFER,
    oddities::DUPLICATE_ROW,
    oddities::STATION_TWICE,
    oddities::LITERAL_PATH,
    budgets::CODE,
];
