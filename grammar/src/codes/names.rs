//! The codes of names and types, `E010x` to `E012x`. Snippets marked `mrule` compile; snippets
//! marked `text` give the code; a test of the compiler reads both. (Rejected: "type error" as one
//! code; each mistake has its own fix.)

use super::{Code, CodeInfo};

/// A path that is neither a field nor a declared name.
pub const UNKNOWN: Code = Code(&CodeInfo {
    id: "E0101",
    title: "unknown field or name",
    explain: r#"An expression names something that is neither a field nor a `let`, `param`, `table` or `trigger` of this
program. `mirrorc fields` lists all fields; they have Wireshark's names. Text stands in quotes.

```text
let web    = tcp.prot == 80
let uplink = frame.interface_name == eth0
```

```mrule
let web    = tcp.port == 80
let uplink = frame.interface_name == "eth0"
```"#,
});

/// A Wireshark field that this language does not have.
pub const WIRESHARK: Code = Code(&CodeInfo {
    id: "E0102",
    title: "field of Wireshark's that is not available",
    explain: r#"Fields have Wireshark's names and meaning, or are refused; never something similar under the same name.
Some of Wireshark's fields need the history of the stream (`tcp.seq` is relative to its start, `tcp.analysis.*`),
the whole capture (`frame.number`), or a dissector that this program does not have. The help says what comes close.

```text
let late  = tcp.seq > 100000
let first = frame.number == 1
```

```mrule
let late = tcp.seq_raw > 100000
let some = packet.hash % 1000 == 0
```"#,
});

/// A word of tcpdump's filters or of another tool.
pub const OTHER_LANGUAGE: Code = Code(&CodeInfo {
    id: "E0103",
    title: "word of another filter language",
    explain: r#"Words such as `port`, `host` and `src` belong to tcpdump's filters. Here, as in Wireshark's display filters,
a field is compared with a value.

```text
let web    = port == 80
let office = host == 192.0.2.1
```

```mrule
let web    = l4.port == 80
let office = net.addr == 192.0.2.1
```"#,
});

/// Two items with the same name.
pub const DUPLICATE: Code = Code(&CodeInfo {
    id: "E0104",
    title: "name declared twice",
    explain: r#"All files of a program share their names, and order never matters, so neither of two items with one name could
replace the other. Lets, params, tables and triggers share one name space, because expressions name all of them.
Stations, rules and limits have their own name spaces.

```text
let web = tcp.port == 80
let web = tcp.port == 443
```

```mrule
let web     = tcp.port == 80
let web_tls = tcp.port == 443
```"#,
});

/// A name that would hide a field.
pub const SHADOWS_FIELD: Code = Code(&CodeInfo {
    id: "E0105",
    title: "name of a field",
    explain: r#"A `let`, `param`, `table` or `trigger` cannot have the name of a field, the first word of names of fields, or a
name that is reserved for planned fields: a reader would take it for the field.

```text
let tcp  = net.proto == 6
let http = tcp.port == 80
```

```mrule
let tcp_anywhere = net.proto == 6
let web          = tcp.port == 80
```"#,
});

/// Lets that refer to each other in a circle.
pub const CIRCLE: Code = Code(&CodeInfo {
    id: "E0106",
    title: "definitions in a circle",
    explain: r#"A `let` may use others, declared before or after it, but not itself, directly or through others.

```text
let a = b or tcp.port == 80
let b = a or udp.port == 53
```

```mrule
let a = b or tcp.port == 80
let b = udp.port == 53
```"#,
});

/// A comparison of different types.
pub const TYPES: Code = Code(&CodeInfo {
    id: "E0107",
    title: "different types",
    explain: r#"A field is compared with values of its own type: numbers with numbers, IPv4 fields with IPv4 addresses. Nothing is
converted, because a wrong conversion gives a filter that silently matches nothing. `net.src`, `net.dst`
and `net.addr` take addresses of both families.

```text
let web  = tcp.dstport == "80"
let v6   = ip.src == 2001:db8::1
let long = frame.len > 5m
```

```mrule
let web  = tcp.dstport == 80
let v6   = net.src == 2001:db8::1
let long = frame.len > 5MB
```

`5m` is five minutes; sizes are written `1500`, `8KiB`, `5MB`."#,
});

/// A constant that a field never has.
pub const OUT_OF_RANGE: Code = Code(&CodeInfo {
    id: "E0108",
    title: "value that the field never has",
    explain: r#"The constant is wider than the field, so the comparison could never hold (or always would). A flag is 0 or 1.

```text
let web    = tcp.port == 80800
let tagged = vlan.id == 5000
let syn    = tcp.flags.syn == 2
```

```mrule
let web    = tcp.port == 8080
let tagged = vlan.id == 500
let syn    = tcp.flags.syn == 1
```"#,
});

/// A flag without a comparison.
pub const BARE_FLAG: Code = Code(&CodeInfo {
    id: "E0109",
    title: "flag alone",
    explain: r#"In Wireshark, `tcp.flags.syn` alone tests whether the packet *has* that flag field: every TCP packet matches.
That is hardly ever meant, so here it is an error.

```text
let syn   = tcp.flags.syn
let other = not tcp.flags.syn
```

```mrule
let syn       = tcp.flags.syn == 1
let other     = tcp.flags.syn == 0
let has_flags = tcp.flags
```"#,
});

/// An expression that is not a condition, in a place where a condition must stand.
pub const NOT_A_CONDITION: Code = Code(&CodeInfo {
    id: "E0110",
    title: "not a condition",
    explain: r#"A condition is a comparison, a test (`in`, `contains`, `matches`), a trigger, or a field alone, which tests whether
the packet has it. Numbers, sets, tables and arithmetic are not conditions; `x & mask` alone means "any of these bits".

```text
let odd  = tcp and 80
let some = tcp and flow.hash % 100
```

```mrule
let web        = tcp and tcp.port == 80
let some       = tcp and flow.hash % 100 == 0
let syn_or_fin = tcp.flags & 0x003
```"#,
});

/// A decimal number beside a slice.
pub const DECIMAL_BESIDE_SLICE: Code = Code(&CodeInfo {
    id: "E0111",
    title: "decimal number beside a slice",
    explain: r#"Wireshark reads a number beside a slice as hexadecimal: `ip[8] < 64` means 0x64, which is 100. To keep a pasted
filter from meaning something else, such a number must be written in hexadecimal (or as one digit).

```text
let near = ip[8] < 64
let ack  = tcp[13] & 16
```

```mrule
let near = ip[8] < 0x40
let ack  = tcp[13] & 0x10
let get  = tcp.payload[0:3] == 47:45:54
```"#,
});

/// A number beside a slice of several bytes.
pub const NUMBER_BESIDE_BYTES: Code = Code(&CodeInfo {
    id: "E0112",
    title: "number beside bytes",
    explain: r#"Bytes are compared with bytes (`47:45:54:20`) or text (`"GET "`). Only a slice of one byte is a number as well.

```text
let web  = tcp[0:2] == 0x50
let long = ip[8] > 0x100
```

```mrule
let web  = tcp[0:2] == 00:50
let some = ip[8] > 0x10
```"#,
});

/// A slice of something that has no bytes.
pub const NO_SLICE: Code = Code(&CodeInfo {
    id: "E0113",
    title: "cannot be sliced",
    explain: r#"Slices are of bytes: payloads, `frame`, the headers of protocols (`tcp[13]`), and addresses (`eth.src[0:3]`). They
count from 0; `[a:n]` is n bytes from a, `[a-b]` goes through byte b, `[-2:2]` counts from the end.

```text
let odd    = frame.len[0] == 1
let vendor = eth.src[4:3] == 00:26:0b
```

```mrule
let group  = frame[0] & 0x01
let vendor = eth.src[0:3] == 00:26:0b
```"#,
});

/// An operator that does not go with the type.
pub const OPERATOR: Code = Code(&CodeInfo {
    id: "E0114",
    title: "operator does not fit",
    explain: r#"`contains` and `matches` search bytes and text. `<`, `<=`, `>` and `>=` compare values with an order: numbers,
addresses, bytes. Flags, protocols and networks have no order.

```text
let odd = tcp.port contains "8"
let low = ip.src < 10.0.0.0/8
```

```mrule
let eights = tcp.port in {8, 80, 8000..8999}
let low    = ip.src < 10.0.0.0
```"#,
});

/// A wrong right side of `contains`.
pub const NEEDLE: Code = Code(&CodeInfo {
    id: "E0115",
    title: "nothing to look for",
    explain: r#"`contains` looks for text or bytes, at least one and at most 4,096.

```text
let anything = tcp.payload contains ""
let number   = tcp.payload contains 80
```

```mrule
let payload_there = tcp.payload
let digits        = tcp.payload contains "80"
let port_80       = tcp.payload contains 00:50
```"#,
});

/// A pattern with a syntax error or an unsupported feature.
pub const REGEX: Code = Code(&CodeInfo {
    id: "E0116",
    title: "pattern not understood",
    explain: r#"Patterns are those of Wireshark (PCRE2): they match bytes and ignore case unless they contain `(?-i)`. Features that
need backtracking are refused, because a packet could then delay all others: look-ahead and look-behind,
back-references, possessive repetitions and atomic groups. An accepted pattern means the same as in Wireshark;
`$` matches at the end and before a final newline.

```text
let odd   = tcp.payload matches r"^(?=GET)"
let twice = tcp.payload matches r"(.)\1"
```

```mrule
let get   = tcp.payload matches r"^GET /[a-z]+\?id=\d{1,5} "
let exact = tcp.payload matches "(?-i)^GET "
```"#,
});

/// A pattern that is too large.
pub const REGEX_TOO_LARGE: Code = Code(&CodeInfo {
    id: "E0117",
    title: "pattern too large",
    explain: r#"Counted repetitions are written out when a pattern is compiled, and nested repetitions multiply. A compiled pattern
may take 10 MiB.

```text
let odd = tcp.payload matches r"(?:[a-z]{1000}){1000}"
```

```mrule
let fine = tcp.payload matches r"[a-z]{100}" and len(tcp.payload) > 1000
```"#,
});

/// Arithmetic that has no result.
pub const ARITHMETIC: Code = Code(&CodeInfo {
    id: "E0118",
    title: "arithmetic without a value",
    explain: r#"Numbers are whole, from 0 to 2^64 - 1. Arithmetic that would leave that range, divide by zero or mix units is
refused where that can be seen. Where a subtraction goes below zero for a packet, the comparison is false.

```text
let a = frame.len / 0 > 1
let b = 5 - 10
let c = flow.hash * 2 > 5
```

```mrule
let a = frame.len / 2 > 100
let b = 10 - 5
let c = flow.hash % 1000 * 2 > 5
let d = ip.len - 40 > 5
```

Windows and values of maps can be large, so a product with them may not fit. To compare with a share, divide first:

```mrule
table quota : map<ip, size>
trigger near by net.src { when sum(frame.len) per 1h > quota[net.src] / 100 * 80  hold 1h }
```"#,
});

/// A condition that tests nothing of the packet.
pub const NOTHING_TESTED: Code = Code(&CodeInfo {
    id: "E0119",
    title: "nothing of the packet is tested",
    explain: r#"A comparison of two constants holds always or never. To switch rules on and off, use a `bool` param.

```text
let on = 1 == 1
```

```mrule
param on : bool = true
let active = on and tcp
```"#,
});

/// A set where no set can stand, or another value where a set must stand.
pub const SET: Code = Code(&CodeInfo {
    id: "E0120",
    title: "set in the wrong place",
    explain: r#"`in` takes a set, the name of a set, or a table; `==` takes one value. Sets hold constants, ranges (both ends belong
to them), networks, params, and the names of other sets.

```text
let web    = tcp.port == {80, 443}
let office = ip.src in 10.0.0.0/8
```

```mrule
let web     = tcp.port in {80, 443, 8000..8080}
let office  = ip.src == 10.0.0.0/8
let private = ip.src in {10.0.0.0/8, 192.168.0.0/16}
```"#,
});

/// A function that does not exist, or wrong arguments.
pub const FUNCTION: Code = Code(&CodeInfo {
    id: "E0121",
    title: "unknown function",
    explain: r#"The only function is `len(x)`: the number of bytes of a payload, a slice, a protocol's header, or `frame`.

```text
let shout = upper(tcp.payload) contains "GET"
let long  = len(tcp.port) > 2
```

```mrule
let get  = tcp.payload matches "get"
let long = len(tcp.payload) > 1000
```"#,
});

/// A key that does not fit its table or trigger.
pub const KEY: Code = Code(&CodeInfo {
    id: "E0122",
    title: "key does not fit",
    explain: r#"A key has as many parts as its table or trigger, each of the right type. A field that stands for several values is
looked up with each of them. A trigger's own key (`by`) consists of fields with one value.

```text
table pairs : set<(ip, ip)>
let a = net.src in pairs
```

```mrule
table pairs : set<(ip, ip)>
let a = (net.src, net.dst) in pairs
```"#,
});

/// Lets that expand to an expression that is too large.
pub const TOO_LARGE: Code = Code(&CodeInfo {
    id: "E0123",
    title: "too large once written out",
    explain: r#"A `let` is written out at each use, and `let`s that use each other several times multiply. A program may have at
most two million conditions that way, and the condition of a `let` may nest 64 deep. Put long lists into tables,
which are shared and can be changed while they are used.

```mrule
table blocked : set<cidr> = {192.0.2.0/24}
let hit = net.addr in blocked
```"#,
});

/// More items than a program may have.
pub const TOO_MANY: Code = Code(&CodeInfo {
    id: "E0124",
    title: "too many",
    explain: r#"A program may have a million rules and a million limits, and search for 65,536 texts and as many patterns. Replace
rules that differ only in a value by one rule and a table; join texts into one pattern.

```mrule
let bad = tcp.payload matches "evil|wicked|malicious"
```"#,
});

/// A value that a stream cannot be searched for.
pub const STREAM: Code = Code(&CodeInfo {
    id: "E0125",
    title: "cannot be looked for in a stream",
    explain: r#"`stream contains` and `stream matches` hold for the packet whose bytes complete a match that ends within the first
bytes of its direction's stream: 64 KiB unless `within` says otherwise, 4 GiB at most. The searched text must
have at least one byte and fit within that depth. A pattern cannot test for the end of the bytes (`$`, `\z`), as the
end of a stream is never seen. `^` is the start of the stream.

```text
let a = stream matches "password=.*$"
let b = stream contains "session=evil" within 4
let c = stream contains "x" within 0
```

```mrule
let a = stream matches "password=[^\r\n]*\r\n"
let b = stream contains "session=evil" within 4KiB
let c = stream contains "x" within 1
```"#,
});
