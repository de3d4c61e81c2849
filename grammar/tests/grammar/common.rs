//! A tree as text without spans. A test can state its expectation in one line, and two trees that
//! differ only in spans compare equal. The text contains everything of the tree but spans.

use mrule_grammar::ast::*;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, Name};
use mrule_grammar::{Parsed, parse};

/// The program at the start of the language's description.
pub const TOUR: &str = include_str!("tour.mrule");

pub fn read(text: &str) -> Parsed {
    parse(FileId(0), text)
}

/// The tree of a text; fails if the text has mistakes.
pub fn good(text: &str) -> File {
    let parsed = read(text);
    assert_eq!(mistakes(text, &parsed.diagnostics), Vec::<String>::new(), "in {text}");
    parsed.file
}

/// The expression of a text; fails if the text has mistakes.
pub fn value(text: &str) -> String {
    let file = good(&format!("let x = {text}"));
    match file.items.as_slice() {
        [Item::Let(item)] => expr(&item.value),
        other => panic!("{text} gave {other:?}"),
    }
}

/// Each diagnostic as its code and the text under its caret.
pub fn mistakes(text: &str, diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|d| format!("{} {}", d.code, &text[d.labels[0].span.range()])).collect()
}

pub fn dump(file: &File) -> String {
    file.items.iter().map(item).collect::<Vec<_>>().join("\n")
}

fn names(list: &[Name]) -> String {
    list.iter().map(|n| n.node.as_str()).collect::<Vec<_>>().join(",")
}

pub fn item(item: &Item) -> String {
    match item {
        Item::Include(x) => format!("include {:?}", x.path.node),
        Item::Let(x) => format!("let {} {}", x.name.node, expr(&x.value)),
        Item::Param(x) => {
            let range = x.range.as_ref().map(|(a, b)| format!(" in {}..{}", expr(a), expr(b)));
            format!("param {} {} {}{}", x.name.node, ty(&x.ty), expr(&x.value), range.unwrap_or_default())
        }
        Item::Table(x) => {
            let init = match &x.init {
                TableInit::Empty => String::new(),
                TableInit::File(f) => format!(" from {:?}", f.node),
                TableInit::Inline(rows) => {
                    let row = |r: &Row| match &r.value {
                        Some(v) => format!("{}->{}", expr(&r.key), expr(v)),
                        None => expr(&r.key),
                    };
                    format!(" {{{}}}", rows.iter().map(row).collect::<Vec<_>>().join(" "))
                }
            };
            format!("table {} {}{init}", x.name.node, ty(&x.ty))
        }
        Item::Station(x) => format!("station {} {}", x.name.node, list(&x.words)),
        Item::Rule(x) => format!("rule {} {}", x.name.node, clauses(x)),
        Item::Limit(x) => format!("limit {} {}", x.name.node, clauses(x)),
        Item::Trigger(x) => {
            let key = x.key.as_ref().map(|k| format!(" by {}", expr(k))).unwrap_or_default();
            let clause = |c: &TriggerClause| match &c.kind {
                TriggerClauseKind::When(e) => format!("[when {}]", expr(e)),
                TriggerClauseKind::Unless(e) => format!("[unless {}]", expr(e)),
                TriggerClauseKind::Hold(e) => format!("[hold {}]", expr(e)),
                TriggerClauseKind::Keys(e) => format!("[keys {}]", expr(e)),
                TriggerClauseKind::External => "[external]".into(),
                TriggerClauseKind::Broken => "[broken]".into(),
            };
            format!("trigger {}{key} {}", x.name.node, x.clauses.iter().map(clause).collect::<String>())
        }
        Item::Broken(x) => format!("broken {}", x.name.as_ref().map_or("-", |n| n.node.as_str())),
    }
}

fn clauses(rule: &Rule) -> String {
    rule.clauses
        .iter()
        .map(|c| match c {
            Clause::Match { expr: e, .. } => format!("[match {}]", expr(e)),
            Clause::Snaplen { length: l, when, .. } => {
                let when = when.as_ref().map(|w| format!(" when {}", expr(w))).unwrap_or_default();
                format!("[snaplen {}{when}]", length(l))
            }
            Clause::To { stations, .. } => format!("[to {}]", names(stations)),
            Clause::Broken { .. } => "[broken]".into(),
        })
        .collect()
}

fn length(length: &Length) -> String {
    match &length.kind {
        LengthKind::None => "none".into(),
        LengthKind::Full => "full".into(),
        LengthKind::Bytes(n) => expr(n),
        LengthKind::Percent(n) => format!("{}%", expr(n)),
        LengthKind::Headers => "headers".into(),
        LengthKind::HeadersPlus(n) => format!("headers+{}", expr(n)),
        LengthKind::Payload(n) => format!("payload ..{}", expr(n)),
        LengthKind::Slice(a, b) => format!("bytes {}..{}", expr(a), expr(b)),
        LengthKind::Stream(a, b) => format!("stream {}..{}", expr(a), expr(b)),
    }
}

fn ty(t: &TypeExpr) -> String {
    match &t.kind {
        TypeKind::Named(n) => n.clone(),
        TypeKind::Set(e) => format!("set<{}>", ty(e)),
        TypeKind::Map(k, v) => format!("map<{},{}>", ty(k), ty(v)),
        TypeKind::Tuple(parts) => format!("({})", parts.iter().map(ty).collect::<Vec<_>>().join(",")),
        TypeKind::Unordered(tuple) => format!("unordered {}", ty(tuple)),
        TypeKind::Words(words) => {
            format!("{{{}}}", words.iter().map(|word| word.node.as_str()).collect::<Vec<_>>().join(","))
        }
    }
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(expr).collect::<Vec<_>>().join(" ")
}

pub fn expr(e: &Expr) -> String {
    let two = |name: &str, a: &Expr, b: &Expr| format!("({name} {} {})", expr(a), expr(b));
    match &e.kind {
        ExprKind::Literal(l) => literal(l),
        ExprKind::Path(p) => p.clone(),
        ExprKind::Not(x) => format!("(not {})", expr(x)),
        ExprKind::And(parts) => format!("(and {})", list(parts)),
        ExprKind::Or(parts) => format!("(or {})", list(parts)),
        ExprKind::Compare(op, a, b) => two(&format!("{op:?}"), a, b),
        ExprKind::Arith(op, a, b) => two(&format!("{op:?}").to_lowercase(), a, b),
        ExprKind::In(a, b) => two("in", a, b),
        ExprKind::Contains(a, b) => two("contains", a, b),
        ExprKind::Matches(a, b) => two("matches", a, b),
        ExprKind::Set(elements) => {
            let element = |x: &SetElement| match &x.high {
                Some(high) => format!("{}..{}", expr(&x.low), expr(high)),
                None => expr(&x.low),
            };
            format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(" "))
        }
        ExprKind::Tuple(parts) => format!("(tuple {})", list(parts)),
        ExprKind::Paren(x) => format!("(paren {})", expr(x)),
        ExprKind::Slice(base, s) => format!("(slice {} {s:?})", expr(base)),
        ExprKind::Index(base, key) => two("index", base, key),
        ExprKind::Else(a, b) => two("else", a, b),
        ExprKind::Call(name, arguments) => format!("({}! {})", name.node, list(arguments)),
        ExprKind::Per(a, b) => two("per", a, b),
        ExprKind::Within(a, b) => two("within", a, b),
        ExprKind::Broken => "broken".into(),
    }
}

fn literal(l: &Literal) -> String {
    match l {
        Literal::Bool(b) => b.to_string(),
        Literal::Number { value, unit, hex: false } => format!("{value}{unit}"),
        Literal::Number { value, unit, hex: true } => format!("{value:#x}{unit}"),
        Literal::String(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Literal::Bytes(bytes) => format!("bytes{bytes:02x?}"),
        Literal::Ipv4(ip) => ip.to_string(),
        Literal::Ipv6(ip) => ip.to_string(),
        Literal::Cidr(ip, bits) => format!("{ip}/{bits}"),
    }
}
