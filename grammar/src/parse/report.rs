//! Turns one refusal of the grammar into a diagnostic in the user's terms: what was expected and
//! what was found. For common mistakes, it says what to write. The invariant: a message never names
//! a rule of the grammar. The caret is on a token: the token that does not fit, or, if that is on a
//! later line, the token before the missing part.

use super::Rule;
use super::operand::no_pool;
use super::scan::Scan;
use super::sink::Sink;
use super::tokens::{Kind, Token, tokens};
use crate::codes::{Code, literals, syntax};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::{units, words};
use std::ops::Range;

/// The kind of text that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ParseContext {
    /// The item with this keyword.
    Item(&'static str),
    /// A clause of a rule or limit.
    RuleClause,
    /// A clause of a trigger.
    TriggerClause,
}

impl ParseContext {
    fn clauses(self) -> &'static [&'static str] {
        match self {
            ParseContext::Item(_) => &[],
            ParseContext::RuleClause => words::RULE_CLAUSES,
            ParseContext::TriggerClause => words::TRIGGER_CLAUSES,
        }
    }
}

pub(super) struct Report<'a> {
    pub scan: &'a Scan<'a>,
    /// The bytes that were read.
    pub range: Range<usize>,
    pub place: ParseContext,
    /// The byte at which the grammar stopped.
    pub at: usize,
    pub error: &'a pest::error::Error<Rule>,
}

/// The surroundings of the place at which the grammar stopped.
struct Around<'a> {
    /// The first word of the text that was read.
    keyword: &'a str,
    before: Option<(Token, &'a str)>,
    /// The token that does not fit; `None` if the text ended too early.
    found: Option<(Token, &'a str)>,
}

impl Around<'_> {
    fn found(&self) -> &str {
        self.found.as_ref().map_or("", |f| f.1)
    }

    fn before(&self) -> &str {
        self.before.as_ref().map_or("", |b| b.1)
    }
}

/// A mistake with a name: code, message, help, and the replacement for the token found.
type Known = (Code, String, String, Option<String>);

impl Report<'_> {
    pub(super) fn diagnostic(&self, sink: &Sink) -> Diagnostic {
        let list = tokens(self.scan, &self.range);
        let word = |t: &Token| self.scan.text.get(t.range.clone()).unwrap_or("");
        let next = list.iter().position(|t| t.range.end > self.at).unwrap_or(list.len());
        let pick = |n: usize| list.get(n).map(|t| (t.clone(), word(t)));
        let around = Around {
            keyword: list.first().map_or("", word),
            before: next.checked_sub(1).and_then(pick),
            found: pick(next),
        };
        if let Some((token, word @ ("any" | "all"))) = &around.before
            && self.wants(Rule::infix)
            && around.found.as_ref().is_some_and(|f| f.0.kind == Kind::Word && !f.0.first)
            && words::nearest(around.found(), self.place.clauses().iter().copied()).is_none()
        {
            return no_quantifier(word, sink.span(token.range.clone()));
        }
        if let Some(pool) = self.pool(&list, &around) {
            return no_pool(sink.span(pool));
        }
        let ended_by_semicolon =
            around.before.as_ref().filter(|_| around.found.is_none() && around.before() == ";");
        if let Some((token, _)) = around.found.as_ref().or(ended_by_semicolon)
            && let Some((code, message, help, fix)) = self.known(&around)
        {
            let span = sink.span(token.range.clone());
            let diagnostic = Diagnostic::new(code, message).at(span, "here").help(help);
            return match fix {
                Some(better) => diagnostic.fix(span, better),
                None => diagnostic,
            };
        }
        self.plain(&around, sink)
    }

    /// The place of the word `pool` in `pool a, b`, whose comma is not the mistake.
    fn pool(&self, list: &[Token], around: &Around) -> Option<Range<usize>> {
        let word = |token: &Token| self.scan.text.get(token.range.clone()).unwrap_or("");
        let kind = list.iter().skip_while(|token| word(token) != "{").nth(1)?;
        let is_pool = self.place == ParseContext::Item("station") && around.found() == ",";
        (is_pool && word(kind) == "pool").then(|| kind.range.clone())
    }

    /// The message for a mistake without a name.
    fn plain(&self, around: &Around, sink: &Sink) -> Diagnostic {
        let expected = self.expected();
        let help = self.length(around).unwrap_or_else(|| self.form(around).into());
        let diagnostic = match (&around.found, &around.before) {
            (Some((token, text)), None) => {
                Diagnostic::new(syntax::SYNTAX, format!("expected {expected}, found `{text}`"))
                    .at(sink.span(token.range.clone()), format!("expected {expected}"))
            }
            (Some((token, text)), Some(_)) if !token.first => {
                Diagnostic::new(syntax::SYNTAX, format!("expected {expected}, found `{text}`"))
                    .at(sink.span(token.range.clone()), format!("expected {expected}"))
            }
            (_, Some((before, text))) => {
                Diagnostic::new(syntax::SYNTAX, format!("expected {expected} after `{text}`"))
                    .at(sink.span(before.range.clone()), "something is missing after this")
            }
            (None, None) => Diagnostic::new(syntax::SYNTAX, format!("expected {expected}"))
                .at(sink.span(self.at..self.at), "something is missing here"),
        };
        diagnostic.help(help)
    }

    fn wants(&self, wanted: Rule) -> bool {
        let pest::error::ErrorVariant::ParsingError { positives, .. } = &self.error.variant else {
            return false;
        };
        positives.contains(&wanted)
    }

    fn wants_operator(&self) -> bool {
        self.wants(Rule::infix) || self.wants(Rule::arithmetic)
    }

    /// The tokens that could stand where the grammar stopped.
    fn expected(&self) -> String {
        let pest::error::ErrorVariant::ParsingError { positives, .. } = &self.error.variant else {
            return "something simpler".into();
        };
        let mut choices: Vec<&str> = Vec::new();
        for phrase in positives.iter().filter_map(|r| self.phrase(*r)) {
            if !choices.contains(&phrase) {
                choices.push(phrase);
            }
        }
        // A value can start in many ways, and an operator may follow nearly everywhere. Each hides
        // the other choices.
        if choices.contains(&"a value") {
            choices.retain(|c| matches!(*c, "a value" | "a capture length" | "`,`" | "`}`"));
        }
        // A sign that continues a started form also hides the other choices.
        if choices.iter().any(|c| matches!(*c, "`..`" | "`{`" | "`=`" | "`:`" | "`->`")) {
            choices.retain(|c| *c != "an operator");
        }
        choices.truncate(4);
        match choices.split_last() {
            None => "something else".into(),
            Some((only, [])) => (*only).into(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        }
    }

    fn phrase(&self, expected: Rule) -> Option<&'static str> {
        Some(match expected {
            Rule::expr | Rule::value | Rule::path | Rule::number | Rule::set | Rule::group | Rule::dotted => {
                "a value"
            }
            Rule::colons | Rule::dashed | Rule::broken | Rule::prefix | Rule::element | Rule::row => {
                "a value"
            }
            Rule::string if matches!(self.place, ParseContext::Item("include" | "table")) => {
                "a file name in quotes"
            }
            Rule::string => "a value",
            Rule::infix | Rule::arithmetic => "an operator",
            Rule::name if self.place == ParseContext::RuleClause => "the name of a station",
            Rule::name => "a name",
            Rule::type_expr
            | Rule::generic
            | Rule::tuple_type
            | Rule::unordered_type
            | Rule::words_type
            | Rule::type_name => "a type",
            Rule::length | Rule::none | Rule::full | Rule::headers | Rule::payload => "a capture length",
            Rule::slice_length | Rule::stream | Rule::percent => "a capture length",
            Rule::comma => "`,`",
            Rule::open | Rule::rows => "`{`",
            Rule::close => "`}`",
            Rule::assign => "`=`",
            Rule::colon => "`:`",
            Rule::dots => "`..`",
            Rule::arrow => "`->`",
            Rule::plus => "`+`",
            Rule::kw_when => "`when`",
            Rule::kw_by => "`by`",
            Rule::kw_from => "`from`",
            Rule::kw_in => "`in`",
            Rule::bare_word => "a word",
            Rule::EOI if matches!(self.place, ParseContext::Item("rule" | "limit" | "trigger")) => "`{`",
            Rule::EOI if self.place.clauses().is_empty() => "the next item",
            Rule::EOI => "the next clause",
            Rule::clause | Rule::match_clause | Rule::snaplen_clause | Rule::to_clause => "a clause",
            Rule::trigger_clause | Rule::when_clause | Rule::unless_clause | Rule::hold_clause => "a clause",
            Rule::external_clause | Rule::keys_clause => "a clause",
            _ => return None,
        })
    }

    /// How the text that was read should be written.
    fn form(&self, around: &Around) -> &'static str {
        match (self.place, around.keyword) {
            (ParseContext::Item("let"), _) => "a constant or a condition: `let web_ports = {80, 443}`",
            (ParseContext::Item("param"), _) => "a parameter: `param head : size = 8KiB in 0..64KiB`",
            (ParseContext::Item("table"), _) => {
                "a table: `table t : set<ip>`, then nothing, `= {192.0.2.1, 192.0.2.2}` or `from \"t.csv\"`"
            }
            (ParseContext::Item("station"), _) => "a station: `station ids { vxlan 192.0.2.10 vni 77 }`",
            (ParseContext::Item("include"), _) => "the file's name in quotes: `include \"common.mrule\"`",
            (ParseContext::Item("trigger"), _) => {
                "a trigger: `trigger scan by net.src { when tcp.flags.syn == 1 hold 10m }`"
            }
            (ParseContext::Item("limit"), _) => {
                "a limit: `limit quiet { match net.src in authenticated snaplen none }`"
            }
            (ParseContext::Item(_), _) => "a rule: `rule web { match tcp.port == 80 snaplen full to ids }`",
            (_, "snaplen") => {
                "lengths: `none`, `full`, `1500`, `50%`, `headers`, `headers + 32`, `payload ..64`, `bytes 14..34`, \
                 `stream 0..8KiB`; then perhaps `when` and a condition"
            }
            (_, "to") => "stations by name, with commas: `to ids, lake`",
            (_, "hold") => "`hold 10m`, or `hold flow` for as long as the flow lives",
            (_, "keys") => "how many keys are kept: `keys 65536`",
            _ => "a condition: `tcp.port == 80 and not net.src in known`",
        }
    }

    // ---- mistakes with a name -------------------------------------------------------------------

    fn known(&self, around: &Around) -> Option<Known> {
        let found = around.found();
        let kind = around.found.as_ref().map_or(Kind::Sign, |f| f.0.kind);
        if found == ";" || around.before() == ";" {
            let help = "items and clauses just follow one another: take the `;` away";
            return Some((syntax::SEPARATOR, "there is no `;` in this language".into(), help.into(), None));
        }
        if kind == Kind::Word {
            if self.wants(Rule::name) && words::RESERVED.contains(&found) {
                let message = format!("`{found}` is a word of the language");
                return Some((
                    syntax::RESERVED_WORD,
                    message,
                    format!("take another name, such as `my_{found}`"),
                    None,
                ));
            }
            if let Some(known) = self.word(around) {
                return Some(known);
            }
        }
        if kind == Kind::String && self.wants(Rule::name) {
            let plain = words::snake_case(found.trim_matches(['r', '"']));
            let help = format!("write `{plain}`");
            return Some((syntax::SYNTAX, "a name stands without quotes".into(), help, None));
        }
        if kind == Kind::Sign
            && let Some(known) = self.sign(around)
        {
            return Some(known);
        }
        None
    }

    /// A word in a wrong place: a keyword in the wrong case, or a misspelt clause or operator.
    fn word(&self, around: &Around) -> Option<Known> {
        let found = around.found();
        let token = around.found.as_ref().map(|f| &f.0)?;
        let clauses = self.place.clauses();
        let starts = token.range.start == self.range.start;
        if !starts && !self.wants_operator() && !self.wants(Rule::EOI) {
            return None;
        }
        let when = (around.keyword == "snaplen").then_some("when");
        let mut candidates = clauses.iter().copied().chain(when);
        if let Some(better) = candidates.clone().find(|c| c.eq_ignore_ascii_case(found) && *c != found) {
            let message = format!("`{found}` is written in lower case");
            return Some((syntax::UPPER_CASE, message, format!("write `{better}`"), Some(better.into())));
        }
        let near = words::nearest(found, &mut candidates).filter(|near| *near != found);
        if starts {
            return Some(self.unknown_clause(found, near));
        }
        if !token.first
            && let Some(operator) = words::nearest(found, words::OPERATORS.iter().copied())
            && self.wants_operator()
        {
            let (message, help) =
                (format!("`{found}` is no operator"), format!("did you mean `{operator}`?"));
            return Some((syntax::SYNTAX, message, help, Some(operator.into())));
        }
        if around.before.as_ref().is_some_and(|b| b.0.kind == Kind::Number) && units::unit(found).is_some() {
            let message = format!("the unit `{found}` is apart from its number");
            let help = format!("write them as one word: `{}{found}`", around.before());
            return Some((literals::UNKNOWN_UNIT, message, help, None));
        }
        if near.is_some() || (token.first && !clauses.is_empty()) {
            return Some(self.unknown_clause(found, near));
        }
        if around.keyword == "to" {
            let help = "name stations with commas: `to ids, lake`";
            return Some((
                syntax::SEPARATOR,
                "a comma is missing".into(),
                help.into(),
                Some(format!(", {found}")),
            ));
        }
        if self.wants(Rule::infix) {
            let help =
                "between two conditions write `and` or `or`; between two values a comparison such as `==`";
            return Some((
                syntax::SYNTAX,
                format!("expected an operator, found `{found}`"),
                help.into(),
                None,
            ));
        }
        None
    }

    fn unknown_clause(&self, found: &str, near: Option<&str>) -> Known {
        let message = format!("`{found}` is no clause of a {}", self.owner());
        let other = match self.place {
            ParseContext::TriggerClause => words::RULE_CLAUSES,
            _ => words::TRIGGER_CLAUSES,
        };
        let list = self.place.clauses().join("`, `");
        let help = match (self.place, near) {
            (_, Some(near)) => format!("did you mean `{near}`?"),
            (ParseContext::RuleClause, None) if found == "when" => {
                "`when` follows the length of a `snaplen`: `snaplen full when tcp.len > 0`".into()
            }
            (ParseContext::TriggerClause, None) if found == "match" => "a trigger is raised by `when`".into(),
            (place, None) if other.contains(&found) => {
                let owner =
                    if place == ParseContext::TriggerClause { "rules and limits" } else { "triggers" };
                format!("`{found}` is a clause of {owner}; here there are `{list}`")
            }
            _ => format!("the clauses are `{list}`"),
        };
        (syntax::UNKNOWN_CLAUSE, message, help, near.map(String::from))
    }

    fn owner(&self) -> &'static str {
        if self.place == ParseContext::TriggerClause { "trigger" } else { "rule or limit" }
    }

    /// A sign in a wrong place.
    fn sign(&self, around: &Around) -> Option<Known> {
        let syntax = |message: &str, help: &str, fix: Option<&str>| {
            Some((syntax::SYNTAX, message.to_string(), help.to_string(), fix.map(String::from)))
        };
        match (self.place, around.found()) {
            (ParseContext::Item("let"), "==") if self.wants(Rule::assign) => {
                syntax("a name is given its value with one `=`", "write `=`", Some("="))
            }
            (ParseContext::Item("let"), ":") if self.wants(Rule::assign) => {
                syntax("a `let` has no type", "write `let name = value`; the type is that of the value", None)
            }
            (ParseContext::Item(keyword @ ("param" | "table")), "=" | "from" | "{")
                if self.wants(Rule::colon) =>
            {
                let message = format!("a `{keyword}` has a type");
                syntax(&message, self.form(around), None)
            }
            (ParseContext::Item("table"), ":" | "=>" | "=") if self.wants(Rule::arrow) => syntax(
                "between the key and the value of a row stands `->`",
                "write `key -> value`",
                Some("->"),
            ),
            (ParseContext::Item("table"), "..") => {
                let help = "write the keys one by one, networks in a `set<cidr>`, or a range in a `let`: `let low = {0..1023}`";
                syntax("a table holds single keys, not ranges", help, None)
            }
            (ParseContext::Item("table" | "param"), "<") => Some((
                syntax::TYPE,
                "sets and maps hold plain types and tuples of them".into(),
                "write `set<ip>`, `set<(ip, uint)>` or `map<ip, string>`".into(),
                None,
            )),
            (ParseContext::Item("trigger"), ",") => {
                syntax("a key of several fields stands in parentheses", "write `by (net.src, net.dst)`", None)
            }
            (ParseContext::Item("station"), ",") => Some((
                syntax::SEPARATOR,
                "the words of a station stand without commas".into(),
                "take the comma away".into(),
                Some(String::new()),
            )),
            (_, "=>") => syntax("`=>` is no operator", "write `>=`", Some(">=")),
            (_, "=<") => syntax("`=<` is no operator", "write `<=`", Some("<=")),
            (_, "<>") => syntax("`<>` is no operator", "write `!=`", Some("!=")),
            (_, sign @ ("@" | "$" | "`" | "?" | "\\")) => Some((
                literals::CHARACTER,
                format!("unexpected character `{sign}`"),
                "it means nothing outside strings and comments".into(),
                None,
            )),
            (_, "]" | ":") if around.before() == "[" => Some((
                syntax::SLICE,
                "this slice is empty".into(),
                "write `[offset:length]`, `[first-last]` or `[offset]`".into(),
                None,
            )),
            (_, ",") if self.wants(Rule::infix) && around.keyword != "to" => {
                syntax("conditions are not joined by commas", "write `and` or `or`", None)
            }
            _ => None,
        }
    }

    /// The help for mistakes in capture lengths.
    fn length(&self, around: &Around) -> Option<String> {
        if around.keyword != "snaplen" {
            return None;
        }
        Some(match (around.before(), around.found()) {
            ("headers", number) if number.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("for more than the headers write `headers + {number}`")
            }
            ("payload", _) => "the first bytes of the payload are written `payload ..64`".into(),
            ("bytes", "..") => "write where the slice starts: `bytes 0..64`".into(),
            (_, "..") => {
                "a slice says of what: `bytes 0..64` of the frame, `stream 0..64` of the stream".into()
            }
            _ if self.wants(Rule::dots) => "write both ends: `bytes 14..34`, `stream 0..8KiB`".into(),
            _ => return None,
        })
    }
}

/// Reports Wireshark's quantifiers before a field.
pub(super) fn no_quantifier(word: &str, span: Span) -> Diagnostic {
    let help = match word {
        "any" => "leave it out: `==`, `<`, `in` hold if any value does",
        _ => "write `===` for `all x == y`, or `not` and the opposite: `not tcp.port <= 1024`",
    };
    Diagnostic::new(syntax::UNSUPPORTED, format!("there is no quantifier `{word}`"))
        .at(span, "not here")
        .help(help)
}

/// Reports a token that does not start an item, in a place where an item must start.
pub(super) fn unknown_item(text: &str, token: &Token, sink: &Sink) -> Diagnostic {
    let found = text.get(token.range.clone()).unwrap_or("");
    let span = sink.span(token.range.clone());
    let list = words::ITEMS.join("`, `");
    if token.kind != Kind::Word {
        let message = format!("expected an item, found `{found}`");
        let help = format!("a file is made of items, each starting with `{list}`");
        return Diagnostic::new(syntax::SYNTAX, message).at(span, "expected an item").help(help);
    }
    if let Some(better) = words::ITEMS.iter().find(|i| i.eq_ignore_ascii_case(found)) {
        return Diagnostic::new(syntax::UPPER_CASE, format!("`{found}` is written in lower case"))
            .at(span, "upper case")
            .help(format!("write `{better}`"))
            .fix(span, *better);
    }
    let diagnostic =
        Diagnostic::new(syntax::UNKNOWN_ITEM, format!("`{found}` starts no item")).at(span, "unknown item");
    if let Some(better) = words::nearest(found, words::ITEMS.iter().copied()) {
        return diagnostic.help(format!("did you mean `{better}`?")).fix(span, better);
    }
    let is_clause = words::RULE_CLAUSES.contains(&found) || words::TRIGGER_CLAUSES.contains(&found);
    diagnostic.help(if is_clause {
        format!("`{found}` is a clause and stands inside the braces of a rule, limit or trigger")
    } else if found.contains('.') {
        format!("a filter stands in a rule: `rule name {{ match {found} ... snaplen full to station_name }}`")
    } else {
        format!("the items are `{list}`")
    })
}
