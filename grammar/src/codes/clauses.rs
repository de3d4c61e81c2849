//! The codes of rules, limits and lengths, `E013x`. Snippets marked `mrule` compile; snippets
//! marked `text` give the code. (Rejected: lengths among the types; users look for them here.)

use super::{Code, CodeInfo};

/// A rule without `match`, `snaplen` or `to`.
pub const MISSING_CLAUSE: Code = Code(&CodeInfo {
    id: "E0130",
    title: "clause missing",
    explain: r#"A rule says what it matches, how much to copy, and where copies go. `match any` matches every packet. A limit
needs no `to`: without it, the limit applies to all stations.

```text
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen full }
```

```mrule
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen full  to ids }
limit privacy { match tcp.port == 8443  snaplen headers }
```"#,
});

/// A clause that occurs twice.
pub const REPEATED_CLAUSE: Code = Code(&CodeInfo {
    id: "E0131",
    title: "clause said twice",
    explain: r#"A rule has one `match` and one `to`; only `snaplen` may stand several times, and the longest counts.

```text
station ids { interface eth1 }
rule web { match tcp.port == 80  match tcp.port == 443  snaplen full  to ids }
```

```mrule
station ids { interface eth1 }
rule web { match tcp.port in {80, 443}  snaplen headers  snaplen full when tcp.flags.syn == 1  to ids }
```"#,
});

/// A station that is not declared.
pub const UNKNOWN_STATION: Code = Code(&CodeInfo {
    id: "E0132",
    title: "unknown station",
    explain: r#"`to` names stations of this program, in any of its files.

```text
station ids { interface eth1 }
rule all { match any  snaplen full  to idss }
```

```mrule
station ids { interface eth1 }
rule all { match any  snaplen full  to ids }
```"#,
});

/// A length that is no number or size.
pub const LENGTH: Code = Code(&CodeInfo {
    id: "E0133",
    title: "not a length",
    explain: r#"A length is a number of bytes, a size, or a param: known before the packet comes. Lengths that depend on the packet have
their own forms: `headers`, `headers + N`, `payload ..N`, `N%`.

```text
station ids { interface eth1 }
rule all { match any  snaplen tcp.hdr_len + 32  to ids }
```

```mrule
station ids { interface eth1 }
param head : size = 64 in 0..1KiB
rule all { match any  snaplen headers + head  to ids }
```"#,
});

/// More than 100%.
pub const PERCENT: Code = Code(&CodeInfo {
    id: "E0134",
    title: "more than 100%",
    explain: r#"A percentage is of the frame's original length, rounded up. It cannot be more than the whole frame. A param
that is a percentage needs bounds within 0 to 100.

```text
station ids { interface eth1 }
rule all { match any  snaplen 150%  to ids }
```

```mrule
station ids { interface eth1 }
param part : uint = 50 in 0..100
rule all { match any  snaplen part%  to ids }
```"#,
});

/// A slice of the frame that is empty.
pub const EMPTY_LENGTH: Code = Code(&CodeInfo {
    id: "E0135",
    title: "empty slice of the frame",
    explain: r#"`bytes M..N` is the frame from byte M up to, and not including, byte N, counted from 0.

```text
station ids { interface eth1 }
rule all { match any  snaplen bytes 64..14  to ids }
```

```mrule
station ids { interface eth1 }
rule all { match any  snaplen bytes 14..64  to ids }
```"#,
});
