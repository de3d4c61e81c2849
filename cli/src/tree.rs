//! The syntax tree as text, for `emit --stage ast`: nested lists, `(and (== tcp.port 80) udp)`,
//! broken over lines if they are long. The invariant: every node of the tree is printed, and two
//! trees that differ in more than blanks and comments print differently. (Rejected: Rust's debug
//! format, where one comparison fills a screen with spans.)

use mrule_grammar::ast::{
    ArithOp, Clause, CompareOp, Expr, ExprKind, File, Item, Length, LengthKind, Literal, Rule, Slice,
    TableInit, Trigger, TriggerClauseKind, TypeExpr, TypeKind,
};
use mrule_grammar::span::{Name, SourceMap, Span};

/// Longer lists are broken over lines.
const WIDTH: usize = 96;

/// A list `(head part part)`, or only the head if it has no parts.
struct Node {
    head: String,
    parts: Vec<Node>,
}

/// The syntax tree of a file; each item has its position.
pub fn file(file: &File, sources: &SourceMap) -> String {
    let mut out = String::new();
    for item in &file.items {
        let Span { file, start, .. } = item.span();
        let (line, column) = sources.line_column(file, start);
        let name = sources.get(file).map_or("", |s| s.name.as_str());
        out.push_str(&format!("# {name}:{line}:{column}\n"));
        self::item(item).print(0, &mut out);
        out.push('\n');
    }
    out
}

impl Node {
    fn print(&self, indent: usize, out: &mut String) {
        let flat = self.flat();
        out.push_str(&" ".repeat(indent));
        if self.parts.is_empty() || indent + flat.chars().count() <= WIDTH {
            out.push_str(&flat);
        } else {
            out.push('(');
            out.push_str(&self.head);
            for part in &self.parts {
                out.push('\n');
                part.print(indent + 2, out);
            }
            out.push(')');
        }
        if indent == 0 {
            out.push('\n');
        }
    }

    fn flat(&self) -> String {
        if self.parts.is_empty() {
            return self.head.clone();
        }
        let parts: Vec<String> = self.parts.iter().map(Node::flat).collect();
        format!("({} {})", self.head, parts.join(" "))
    }
}

fn word(text: impl Into<String>) -> Node {
    list(text, [])
}

fn list(head: impl Into<String>, parts: impl IntoIterator<Item = Node>) -> Node {
    Node { head: head.into(), parts: parts.into_iter().collect() }
}

fn text(bytes: &[u8]) -> Node {
    word(format!("\"{}\"", bytes.escape_ascii()))
}

fn named(what: &str, name: &Name, parts: impl IntoIterator<Item = Node>) -> Node {
    list(what, std::iter::once(word(&name.node)).chain(parts))
}

fn item(item: &Item) -> Node {
    match item {
        Item::Include(x) => list("include", [text(x.path.node.as_bytes())]),
        Item::Let(x) => named("let", &x.name, [expr(&x.value)]),
        Item::Param(x) => {
            let range = x.range.iter().map(|(low, high)| list("in", [expr(low), expr(high)]));
            named("param", &x.name, [ty(&x.ty), expr(&x.value)].into_iter().chain(range))
        }
        Item::Table(x) => {
            let rows: Vec<Node> = match &x.init {
                TableInit::Empty => Vec::new(),
                TableInit::File(path) => vec![list("from", [text(path.node.as_bytes())])],
                TableInit::Inline(rows) => {
                    let row = |key: &Expr, value: &Option<Expr>| match value {
                        Some(value) => list("->", [expr(key), expr(value)]),
                        None => expr(key),
                    };
                    rows.iter().map(|r| row(&r.key, &r.value)).collect()
                }
            };
            named("table", &x.name, std::iter::once(ty(&x.ty)).chain(rows))
        }
        Item::Station(x) => named("station", &x.name, x.words.iter().map(expr)),
        Item::Rule(x) => rule("rule", x),
        Item::Limit(x) => rule("limit", x),
        Item::Trigger(x) => trigger(x),
        Item::Broken(x) => list("broken", x.name.iter().map(|n| word(&n.node))),
    }
}

fn rule(what: &str, rule: &Rule) -> Node {
    named(
        what,
        &rule.name,
        rule.clauses.iter().map(|clause| match clause {
            Clause::Match { expr: e, .. } => list("match", [expr(e)]),
            Clause::Snaplen { length: l, when, .. } => {
                let when = when.iter().map(|w| list("when", [expr(w)]));
                list("snaplen", std::iter::once(length(l)).chain(when))
            }
            Clause::To { stations, .. } => list("to", stations.iter().map(|s| word(&s.node))),
            Clause::Broken { .. } => word("broken"),
        }),
    )
}

fn trigger(trigger: &Trigger) -> Node {
    let key = trigger.key.iter().map(|key| list("by", [expr(key)]));
    let clauses = trigger.clauses.iter().map(|clause| match &clause.kind {
        TriggerClauseKind::When(e) => list("when", [expr(e)]),
        TriggerClauseKind::Unless(e) => list("unless", [expr(e)]),
        TriggerClauseKind::Hold(e) => list("hold", [expr(e)]),
        TriggerClauseKind::Keys(e) => list("keys", [expr(e)]),
        TriggerClauseKind::External => word("external"),
        TriggerClauseKind::Broken => word("broken"),
    });
    named("trigger", &trigger.name, key.chain(clauses))
}

fn ty(of: &TypeExpr) -> Node {
    match &of.kind {
        TypeKind::Named(name) => word(name),
        TypeKind::Set(of) => list("set", [ty(of)]),
        TypeKind::Map(key, value) => list("map", [ty(key), ty(value)]),
        TypeKind::Tuple(parts) => list("tuple", parts.iter().map(ty)),
        TypeKind::Unordered(tuple) => list("unordered", [ty(tuple)]),
        TypeKind::Words(words) => list("words", words.iter().map(|name| word(&name.node))),
    }
}

fn length(length: &Length) -> Node {
    match &length.kind {
        LengthKind::None => word("none"),
        LengthKind::Full => word("full"),
        LengthKind::Headers => word("headers"),
        LengthKind::Bytes(n) => expr(n),
        LengthKind::Percent(n) => list("%", [expr(n)]),
        LengthKind::HeadersPlus(n) => list("headers+", [expr(n)]),
        LengthKind::Payload(n) => list("payload", [expr(n)]),
        LengthKind::Slice(m, n) => list("bytes", [expr(m), expr(n)]),
        LengthKind::Stream(m, n) => list("stream", [expr(m), expr(n)]),
    }
}

fn expr(of: &Expr) -> Node {
    match &of.kind {
        ExprKind::Literal(l) => literal(l),
        ExprKind::Path(path) => word(path),
        ExprKind::Not(x) => list("not", [expr(x)]),
        ExprKind::And(parts) => list("and", parts.iter().map(expr)),
        ExprKind::Or(parts) => list("or", parts.iter().map(expr)),
        ExprKind::Compare(op, a, b) => list(compare(*op), [expr(a), expr(b)]),
        ExprKind::Arith(op, a, b) => list(arith(*op), [expr(a), expr(b)]),
        ExprKind::In(a, b) => list("in", [expr(a), expr(b)]),
        ExprKind::Contains(a, b) => list("contains", [expr(a), expr(b)]),
        ExprKind::Matches(a, b) => list("matches", [expr(a), expr(b)]),
        ExprKind::Set(elements) => list(
            "set",
            elements.iter().map(|e| match &e.high {
                Some(high) => list("..", [expr(&e.low), expr(high)]),
                None => expr(&e.low),
            }),
        ),
        ExprKind::Tuple(parts) => list("tuple", parts.iter().map(expr)),
        ExprKind::Paren(x) => list("paren", [expr(x)]),
        ExprKind::Slice(x, s) => list("slice", [expr(x), word(slice(*s))]),
        ExprKind::Index(a, b) => list("index", [expr(a), expr(b)]),
        ExprKind::Else(a, b) => list("else", [expr(a), expr(b)]),
        ExprKind::Call(name, arguments) => named("call", name, arguments.iter().map(expr)),
        ExprKind::Per(a, b) => list("per", [expr(a), expr(b)]),
        ExprKind::Within(a, b) => list("within", [expr(a), expr(b)]),
        ExprKind::Broken => word("broken"),
    }
}

fn literal(of: &Literal) -> Node {
    match of {
        Literal::Bool(b) => word(b.to_string()),
        Literal::Number { value, unit, hex: false } => word(format!("{value}{unit}")),
        Literal::Number { value, unit, hex: true } => word(format!("{value:#x}{unit}")),
        Literal::String(bytes) => text(bytes),
        Literal::Bytes(bytes) => {
            let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            word(pairs.join(":"))
        }
        Literal::Ipv4(address) => word(address.to_string()),
        Literal::Ipv6(address) => word(address.to_string()),
        Literal::Cidr(address, prefix) => word(format!("{address}/{prefix}")),
    }
}

fn slice(of: Slice) -> String {
    match of {
        Slice::OffsetLength(offset, length) => format!("[{offset}:{length}]"),
        Slice::FirstLast(first, last) => format!("[{first}-{last}]"),
        Slice::From(offset) => format!("[{offset}:]"),
        Slice::To(length) => format!("[:{length}]"),
        Slice::At(offset) => format!("[{offset}]"),
    }
}

fn compare(op: CompareOp) -> &'static str {
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
