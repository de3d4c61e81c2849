//! The codes of files and syntax, `E00xx`: all that [`parse`](crate::parse()) can report. The
//! invariant: one code per kind of mistake, each with an example and its fix. In `explain`,
//! snippets marked `mrule` are correct, snippets marked `text` are not, and a test reads both.
//! (Rejected: one code for all syntax errors; `--explain` would have nothing to explain.)

use super::{Code, CodeInfo};

/// The text has another token than the few that the grammar expects here.
pub const SYNTAX: Code = Code(&CodeInfo {
    id: "E0001",
    title: "syntax error",
    explain: r#"A part of the text is wrong or missing. The caret is on the part that does not fit, or on the token before
the missing part; the message says what is expected there.

```text
rule web { match tcp.port ==  snaplen full  to ids }
                          ^^ expected a value after `==`
```

Write what is missing:

```mrule
rule web { match tcp.port == 80  snaplen full  to ids }
```

The rest of the file is still read, so that one run shows all mistakes."#,
});

/// A file larger than [`MAX_FILE`](crate::MAX_FILE).
pub const FILE_TOO_LARGE: Code = Code(&CodeInfo {
    id: "E0002",
    title: "file too large",
    explain: r#"A rule file may have 16 MiB. A larger file usually contains a list of addresses; a table reads such a list from
its own file, and can be changed while the program runs:

```mrule
table blocked : set<cidr> from "blocked.csv"
rule blocked_hosts { match net.src in blocked  snaplen full  to ids }
```

Rules of several files can be given together: `mirrorc check a.mrule b.mrule`."#,
});

/// Brackets, `not`s or arithmetic nested deeper than [`MAX_NESTING`](crate::MAX_NESTING).
pub const NESTING: Code = Code(&CodeInfo {
    id: "E0003",
    title: "nested too deeply",
    explain: r#"Brackets, `not` and arithmetic operators may nest 64 deep, all counted together. Chains of `and` and `or` do
not count: they may have any number of terms.

```text
let x = ((((((((((((((((((( ... a ... )))))))))))))))))))
```

Give the inner parts names:

```mrule
let inner = tcp.port == 80 or tcp.port == 443
let outer = not inner and ip.ttl > 1
```"#,
});

/// A bracket that is opened and never closed.
pub const UNCLOSED: Code = Code(&CodeInfo {
    id: "E0004",
    title: "bracket never closed",
    explain: r#"A `(`, `[` or `{` has no partner. The caret is on the open bracket; its partner is missing somewhere before the
next item or clause.

```text
rule web { match tcp.port in {80, 443  snaplen full  to ids }
                             ^ this `{` is never closed
```

```mrule
rule web { match tcp.port in {80, 443}  snaplen full  to ids }
```"#,
});

/// A bracket that is closed and was never opened.
pub const UNOPENED: Code = Code(&CodeInfo {
    id: "E0005",
    title: "bracket never opened",
    explain: r#"A `)`, `]` or `}` closes nothing.

```text
rule web { match tcp.port == 80)  snaplen full  to ids }
                               ^ there is no `(` for this `)`
```

```mrule
rule web { match tcp.port == 80  snaplen full  to ids }
```"#,
});

/// A word that does not start an item, in a place where an item must start.
pub const UNKNOWN_ITEM: Code = Code(&CodeInfo {
    id: "E0009",
    title: "unknown item",
    explain: r#"A file is made of items. Each starts with one of `let`, `param`, `table`, `station`, `rule`, `limit`,
`trigger` and `include`.

```text
rul web { match tcp.port == 80  snaplen full  to ids }
^^^ `rul` starts no item; did you mean `rule`?
```

```mrule
rule web { match tcp.port == 80  snaplen full  to ids }
```

Write a filter from Wireshark after the `match` of a rule."#,
});

/// A word that does not start a clause, in a place where a clause must start.
pub const UNKNOWN_CLAUSE: Code = Code(&CodeInfo {
    id: "E0010",
    title: "unknown clause",
    explain: r#"A `rule` or `limit` has the clauses `match`, `snaplen` and `to`; a `trigger` has `when`, `unless`, `hold`,
`external` and `keys`. The `when` of a rule follows the length of a `snaplen`.

```text
rule web { match tcp.port == 80  snapln full  to ids }
                                 ^^^^^^ did you mean `snaplen`?
```

```mrule
rule web { match tcp.port == 80  snaplen full when tcp.len > 0  to ids }
```"#,
});

/// A keyword where a name must stand.
pub const RESERVED_WORD: Code = Code(&CodeInfo {
    id: "E0011",
    title: "word of the language used as a name",
    explain: r#"Words that start an item or a clause cannot be names, so that a mistake in one item never affects the next.
Items that expressions can name (`let`, `param`, `table`, `trigger`) also cannot have the name of an operator or of a
word with a meaning in expressions: `and`, `any`, `full`, `headers`, `flow`.

```text
let match = tcp.port == 80
```

```mrule
let web = tcp.port == 80
```"#,
});

/// Upper-case letters, dashes or dots in a name.
pub const NAME_STYLE: Code = Code(&CodeInfo {
    id: "E0012",
    title: "name is not snake_case",
    explain: r#"Names are lower-case letters, digits and `_`, and do not start with a digit. Each name thus has one
spelling, a dash is always a minus, and a dot is always part of a field's name.

```text
rule Web-Servers { match Tcp.Port == 80  snaplen full  to ids }
```

```mrule
rule web_servers { match tcp.port == 80  snaplen full  to ids }
```

The names of interfaces in a `station` are written unchanged: `station tap { interface br-lan }`."#,
});

/// A keyword in the wrong case.
pub const UPPER_CASE: Code = Code(&CodeInfo {
    id: "E0013",
    title: "upper-case keyword",
    explain: r#"Words of the language are in lower case, as in Wireshark. `True` and `False` are allowed because Wireshark
writes them so.

```text
RULE web { match tcp.port EQ 80 AND tcp  snaplen full  to ids }
```

```mrule
rule web { match tcp.port eq 80 and tcp  snaplen full  to ids }
```"#,
});

/// Elements of a set, list or table that are not separated by exactly one comma.
pub const SEPARATOR: Code = Code(&CodeInfo {
    id: "E0014",
    title: "commas missing or left over",
    explain: r#"One comma separates the elements of a set, the rows of a table and the stations after `to`. (Wireshark had sets with
blanks until version 3.) Only the last row of a table may have a comma after it, because tables are written over many
lines. Items, clauses and the words of a station have no separator, not even `;`.

```text
rule web { match tcp.port in {80 443};  snaplen full;  to ids lake }
```

```mrule
rule web { match tcp.port in {80, 443}  snaplen full  to ids, lake }
```"#,
});

/// `{}` in an expression.
pub const EMPTY_SET: Code = Code(&CodeInfo {
    id: "E0015",
    title: "empty set",
    explain: r#"`in {}` can never hold, so it is a mistake. For a set that is filled later, through the API, declare a `table`;
it may have no rows.

```text
let known = net.src in {}
```

```mrule
table known_hosts : set<ip>
let known = net.src in known_hosts
```"#,
});

/// `80-90` in a set.
pub const DASH_RANGE: Code = Code(&CodeInfo {
    id: "E0016",
    title: "range written with a dash",
    explain: r#"A range has two dots, as in Wireshark, and both ends belong to it. `80-90` would be a difference.

```text
let ports = tcp.port in {80-90}
```

```mrule
let ports = tcp.port in {80..90}
```"#,
});

/// `=` instead of `==`.
pub const SINGLE_EQUALS: Code = Code(&CodeInfo {
    id: "E0017",
    title: "`=` used as a comparison",
    explain: r#"`=` gives a `let`, a `param` or a `table` its value. Two values are compared with `==` (or `eq`).

```text
rule web { match tcp.port = 80  snaplen full  to ids }
```

```mrule
rule web { match tcp.port == 80  snaplen full  to ids }
```"#,
});

/// `a < b < c`.
pub const CHAINED_COMPARISON: Code = Code(&CodeInfo {
    id: "E0018",
    title: "chained comparison",
    explain: r#"The result of a comparison is true or false and cannot be compared again. For a value between two others, write two
comparisons, or a range.

```text
let low = 0 < tcp.port < 1024
```

```mrule
let low  = tcp.port > 0 and tcp.port < 1024
let same = tcp.port in {1..1023}
```"#,
});

/// Wireshark's `ip.src#1`.
pub const LAYER_OPERATOR: Code = Code(&CodeInfo {
    id: "E0019",
    title: "layer operator",
    explain: r#"Wireshark's `ip.src#1` means the first IP packet from outside. Here `ip.src` always means that packet, and
`inner.ip.src` means the packet inside the first tunnel. Elsewhere `#` starts a comment, so `ip.src#1` would
silently drop the text after it; therefore it is an error. Before a comment, put a blank.

```text
rule tunnels { match ip.src#2 == 192.0.2.1  snaplen full  to ids }
```

```mrule
rule tunnels { match inner.ip.src == 192.0.2.1  snaplen full  to ids }  # not the outer one
```"#,
});

/// An operator of Wireshark or of another language that this language does not have.
pub const UNSUPPORTED: Code = Code(&CodeInfo {
    id: "E0020",
    title: "operator not supported",
    explain: r#"Some operators do not exist on purpose; write other operators instead.

```text
let a = tcp xor udp                 # one of both
let b = any tcp.port == 80          # a quantifier
let c = all tcp.port > 1024
let d = tcp.payload ~ "GET"
let e = ip.len == -1                # there are no negative numbers
let f = tcp.len == not tcp          # `not` binds less tightly than `==`
```

```mrule
let a = (tcp and not udp) or (udp and not tcp)
let b = tcp.port == 80  # holds if any of the two is 80
let c = not tcp.port <= 1024
let d = tcp.payload matches "GET"
```"#,
});

/// A slice with several parts, or with impossible numbers.
pub const SLICE: Code = Code(&CodeInfo {
    id: "E0028",
    title: "malformed slice",
    explain: r#"A slice is `[offset:length]`, `[first-last]` with both ends, `[offset]` for one byte, `[offset:]` or
`[:length]`. Offsets below zero count from the end. Wireshark joins several slices with commas; here, compare each
slice by itself.

```text
let a = tcp.payload[0,4] == 16:03
```

```mrule
let a = tcp.payload[0] == 0x16 and tcp.payload[4] == 0x03
```"#,
});

/// A type that is not a name, `set<T>` or `map<K, V>`.
pub const TYPE: Code = Code(&CodeInfo {
    id: "E0029",
    title: "malformed type",
    explain: r#"A param has a plain type: `bool`, `uint`, `ip`, `cidr`, `mac`, `bytes`, `string`, `duration`, `size`. A table
is a `set<T>` or a `map<K, V>` of plain types; a key of several parts is a tuple. Sets and maps do not nest.

```text
table pairs : set<ip, ip>
table lists : map<ip, set<uint>>
```

```mrule
table pairs : set<(ip, ip)>
table lists : set<(ip, uint)>
```"#,
});

/// A word of a station that is neither a literal nor a plain name.
pub const STATION_WORD: Code = Code(&CodeInfo {
    id: "E0030",
    title: "word of a station that must be quoted",
    explain: r#"The words of a station are literals, or names of letters, digits, `_`, `-` and `.` as in names of interfaces.
Text with other characters, such as the name of a file, stands in quotes.

```text
station lake { pcapng captures/lake.pcapng rotate 1GiB }
```

```mrule
station lake { pcapng "captures/lake.pcapng" rotate 1GiB }
```"#,
});

/// The file has more errors than are shown.
pub const TOO_MANY: Code = Code(&CodeInfo {
    id: "E0031",
    title: "too many errors",
    explain: r#"At most 1000 errors of a file are reported, and there are more. Fix the errors that are shown and check again. Is it
a rule file at all?"#,
});
