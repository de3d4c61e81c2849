//! The codes of tables, params, stations and triggers, `E02xx`. Snippets marked `mrule` compile;
//! snippets marked `text` give the code. (Rejected: a code per type; nearly every mistake is in a
//! value.)

use super::{Code, CodeInfo};

/// A type that does not exist.
pub const UNKNOWN_TYPE: Code = Code(&CodeInfo {
    id: "E0201",
    title: "unknown type",
    explain: r#"The types are `bool`, `uint`, `size`, `duration`, `ip` (of either family), `cidr`, `mac` and `string`, and for tables
`set<T>` and `map<K, V>` of them.

```text
table hosts : set<ipv4>
```

```mrule
table hosts : set<ip>
```"#,
});

/// A type in the wrong place.
pub const TYPE_PLACE: Code = Code(&CodeInfo {
    id: "E0202",
    title: "type not possible here",
    explain: r#"Keys of tables are `uint`, `ip`, `cidr`, `mac`, `string`, or tuples of up to eight of them; values of maps are `uint`,
`size`, `duration`, `bool`, `ip`, `mac` or `string`. Params are `uint`, `size`, `duration`, `bool`, `ip` or `mac`.

```text
table times : set<duration>
param name : string = "eth0"
table one : ip
```

```mrule
table users : map<ip, string>
param host : ip = 192.0.2.1
```"#,
});

/// A row that does not fit its table.
pub const ROW: Code = Code(&CodeInfo {
    id: "E0203",
    title: "row does not fit the table",
    explain: r#"Each row has the parts of the key and, in a map, a value, each of its type. In a CSV file these are the cells of a
line, separated by commas; lines that begin with `#` and blank lines are skipped, blanks around cells are cut, text
with commas stands in double quotes. A first line of words is a header if at least one column is of another type
than text.

```text
table users : map<ip, string> = {192.0.2.1 -> "alice", "bob" -> 192.0.2.2}
```

```mrule
table users : map<ip, string> = {192.0.2.1 -> "alice", 192.0.2.2 -> "bob"}
```"#,
});

/// A key with two values.
pub const DUPLICATE_KEY: Code = Code(&CodeInfo {
    id: "E0204",
    title: "key with two values",
    explain: r#"A map has one value for a key. The order of rows never matters, so neither of two values could replace the other.
Networks that lie within each other are different keys: the longest prefix counts.

```text
table level : map<ip, uint> = {192.0.2.1 -> 1, 192.0.2.1 -> 2}
```

```mrule
table level : map<cidr, uint> = {192.0.2.0/24 -> 1, 192.0.2.1 -> 2}
```"#,
});

/// Too many rows.
pub const TABLE_TOO_LARGE: Code = Code(&CodeInfo {
    id: "E0205",
    title: "table too large",
    explain: r#"A table has at most 4,194,304 rows. Neighbouring addresses can be joined into networks:

```mrule
table blocked : set<cidr> = {192.0.2.0/24}
```"#,
});

/// More bad rows than are reported.
pub const MORE_ROWS: Code = Code(&CodeInfo {
    id: "E0206",
    title: "more bad rows",
    explain: r#"The first 20 wrong rows of each table are reported one by one; the rest are counted. If every row is wrong, the
cells are often in another order than in the table's type, or the separator is not a comma.

```mrule
table users : map<ip, string> = {192.0.2.1 -> "alice"}
```"#,
});

/// A default or a bound of another type than the param.
pub const PARAM_VALUE: Code = Code(&CodeInfo {
    id: "E0210",
    title: "value of another type than the param's",
    explain: r#"The default and the bounds of a param are constants of its type. Durations have a unit. Write an IPv4
address in its own form, not as `::ffff:192.0.2.1`.

```text
param hold_time : duration = 10
param host      : ip       = ::ffff:192.0.2.1
```

```mrule
param hold_time : duration = 10s
param host      : ip       = 192.0.2.1
```"#,
});

/// Bounds in the wrong order, or a default outside the bounds.
pub const PARAM_BOUNDS: Code = Code(&CodeInfo {
    id: "E0211",
    title: "bounds of a param",
    explain: r#"Bounds are written `in LOW..HIGH`, both ends belong to them, and the default must be within them. Numbers, sizes and
durations have bounds.

```text
param head : size = 8KiB in 0..4KiB
param most : uint = 5 in 10..0
```

```mrule
param head : size = 4KiB in 0..8KiB
param most : uint = 5 in 0..10
```"#,
});

/// `--set` of a param that does not exist.
pub const UNKNOWN_SET: Code = Code(&CodeInfo {
    id: "E0212",
    title: "no param of this name to set",
    explain: r#"`--set NAME=VALUE` gives a param of the program another value for this run. Only a declared `param` can
be set.

```mrule
param head : size = 8KiB in 0..64KiB
```

```sh
mirrorc check rules.mrule --set head=1KiB
```"#,
});

/// `--set` to a value that the param cannot have.
pub const BAD_SET: Code = Code(&CodeInfo {
    id: "E0213",
    title: "value that the param cannot have",
    explain: r#"A value of `--set` must have the param's type and be within its bounds, as the default.

```mrule
param head : size = 8KiB in 0..64KiB
```

```sh
mirrorc check rules.mrule --set head=1KiB
```"#,
});

/// A station of a kind that does not exist.
pub const STATION_KIND: Code = Code(&CodeInfo {
    id: "E0220",
    title: "unknown station kind",
    explain: r#"A station is one of `interface NAME`, `vxlan HOST [port P] vni N`, `geneve HOST [port P] vni N`, `gre HOST [key N]`,
`erspan2 HOST session N`, `tzsp HOST [port P]`, `pcapng "PATH" [rotate SIZE] [rotate DURATION] [keep N]`, `pipe
"PATH"`, `pipe stdout`. Tunnels can have `fragment`, and each `limit RATE [burst N]`.

```text
station ids { vxlann 192.0.2.10 vni 77 }
```

```mrule
station ids  { vxlan 192.0.2.10 vni 77 }
station lake { pcapng "lake.pcapng" rotate 1GiB keep 10 }
```"#,
});

/// A setting that a station cannot have.
pub const STATION_SETTING: Code = Code(&CodeInfo {
    id: "E0221",
    title: "setting of a station",
    explain: r#"A setting is unknown, occurs twice, or has a value that it cannot have. Network identifiers have 24 bits, names of
interfaces at most 15 bytes, sessions of ERSPAN 10 bits. Hosts are addresses, because names would have to be resolved
repeatedly. In the path of a file, `%` starts a conversion of strftime(3): `%Y %m %d %H %M %S` and some more; `%%` is a
percent sign. A `limit` with a unit counts bytes a second (`100Mbit`, `10MB`), without a unit copies a second; `burst`
has the same kind of number.

```text
station a { vxlan 192.0.2.10 vni 16777216 }
station b { geneve example.com vni 7 }
station c { pcapng "100%.pcapng" rotate 5ms }
station d { interface mon0 limit 100Mbit burst 20 }
```

```mrule
station a { vxlan 192.0.2.10 vni 16777215 }
station b { geneve 192.0.2.11 port 6081 vni 7 }
station c { pcapng "100%%_%Y%m%d.pcapng" rotate 5m }
station d { interface mon0 limit 100Mbit burst 1MiB }
```"#,
});

/// A station that is incomplete.
pub const MISSING_SETTING: Code = Code(&CodeInfo {
    id: "E0222",
    title: "setting of a station missing",
    explain: r#"A station needs a kind and the settings of that kind: tunnels a host, `vxlan` and `geneve` a `vni`, `erspan2` a
`session`, files and pipes a path. `keep` counts rotated files, so it needs `rotate`; `burst` needs `limit`.

```text
station a { vxlan 192.0.2.10 }
station b {}
```

```mrule
station a { vxlan 192.0.2.10 vni 77 }
station b { interface eth1 }
```"#,
});

/// More stations than a verdict can name.
pub const TOO_MANY_STATIONS: Code = Code(&CodeInfo {
    id: "E0223",
    title: "too many stations",
    explain: r#"A program has at most 64 stations. Each loaded policy can have 64.

```mrule
station ids { interface eth1 }
```"#,
});

/// Two stations that write the same file.
pub const SAME_FILE: Code = Code(&CodeInfo {
    id: "E0224",
    title: "two stations write one file",
    explain: r#"Each station writes its own file, pipe or standard output. Several rules can send to the same station.

```text
station a { pcapng "all.pcapng" }
station b { pcapng "all.pcapng" }
```

```mrule
station a { pcapng "a.pcapng" }
station b { pcapng "b.pcapng" }
```"#,
});

/// A trigger that lacks a clause, or whose clauses contradict each other.
pub const TRIGGER: Code = Code(&CodeInfo {
    id: "E0230",
    title: "clauses of a trigger",
    explain: r#"A trigger has a condition or `external`, and the time that it stays active (`hold`), each once. `external` triggers
are raised and cleared through the API; others are raised by packets (`when`). Triggers `by flow` stay active as long
as the flow lives (`hold flow`); a program has at most 64 of them. Other triggers hold as many keys as `keys` says.

```text
trigger attack by net.dst { external }
trigger scan   by net.src { external  hold 10 }
trigger evil   by flow    { when stream contains "evil" }
```

```mrule
trigger attack by net.dst { external  hold 1h }
trigger scan   by net.src { external  hold 10m }
trigger evil   by flow    { when stream contains "evil"  hold flow }
```"#,
});

/// A wrong count over time.
pub const WINDOW: Code = Code(&CodeInfo {
    id: "E0231",
    title: "counting over time",
    explain: r#"`count(condition)`, `sum(number)` and `distinct(field)` count over the time after `per`, from 1ms to 366d, for each
key of the trigger in whose `when` they stand. They cannot stand elsewhere: a rule names the trigger.

```text
let many = count(tcp) per 1m > 1000
trigger flood  by net.src { when count(tcp) > 1000                hold 10m }
trigger spread by net.src { when distinct(net.addr) per 1m > 100  hold 10m }
```

```mrule
trigger flood  by net.src { when count(tcp) per 1m > 1000 or sum(frame.len) per 1s > 10MB  hold 10m }
trigger spread by net.src { when distinct(net.dst) per 1m > 100                            hold 10m }
```"#,
});
