//! The warnings of the checker, `W095x`: text that is legal and cannot be what the author means, as
//! the text alone shows. Snippets marked `mrule` give no warning; snippets marked `text` give the
//! code. (Rejected: errors; Wireshark accepts the same text.)

use super::{Code, CodeInfo};

/// A range without values.
pub const EMPTY_RANGE: Code = Code(&CodeInfo {
    id: "W0950",
    title: "empty range",
    explain: r#"A range with the higher end first has no values, as in Wireshark.

```text
let web = tcp.port in {90..80}
```

```mrule
let web = tcp.port in {80..90}
```"#,
});

/// Bytes of another length than the slice.
pub const LENGTHS_DIFFER: Code = Code(&CodeInfo {
    id: "W0951",
    title: "bytes of another length",
    explain: r#"A slice never equals bytes of another length, as in Wireshark.

```text
let get = tcp.payload[0:3] == 47:45:54:20
```

```mrule
let get = tcp.payload[0:4] == 47:45:54:20
```"#,
});

/// A row that occurs twice.
pub const DUPLICATE_ROW: Code = Code(&CodeInfo {
    id: "W0953",
    title: "duplicate row",
    explain: r#"A duplicate row has no effect. Perhaps another row was meant.

```text
table hosts : set<ip> = {192.0.2.1, 192.0.2.1}
```

```mrule
table hosts : set<ip> = {192.0.2.1, 192.0.2.2}
```"#,
});

/// A station that is named twice.
pub const STATION_TWICE: Code = Code(&CodeInfo {
    id: "W0954",
    title: "station named twice",
    explain: r#"A packet is copied to a station at most once, however often a rule names it.

```text
station ids { interface eth1 }
rule all { match any  snaplen full  to ids, ids }
```

```mrule
station ids { interface eth1 }
rule all { match any  snaplen full  to ids }
```"#,
});

/// A path that looks as if a shell would expand it, or as if the file were compressed.
pub const LITERAL_PATH: Code = Code(&CodeInfo {
    id: "W0955",
    title: "path is taken literally",
    explain: r#"No shell reads a path: `~`, `$HOME` and `${NAME}` stay in the file's name. Files are not compressed, whatever their
names end in.

```text
station lake { pcapng "$HOME/lake.pcapng" }
station old  { pcapng "old.pcapng.gz" }
rule all { match any  snaplen full  to lake, old }
```

```mrule
station lake { pcapng "/var/captures/lake.pcapng" }
station old  { pcapng "old.pcapng" }
rule all { match any  snaplen full  to lake, old }
```

Compress files after they are rotated. For a directory whose name begins with `~`, write `./~name`."#,
});
