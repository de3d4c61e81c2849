//! The codes of parts of the language that are planned and not available yet, `E03xx`. Snippets
//! marked `mrule` compile; snippets marked `text` give the code. (Rejected: syntax errors for
//! these; authors can write programs against planned features.)

use super::{Code, CodeInfo};

/// Uses of flows.
pub const FLOWS: Code = Code(&CodeInfo {
    id: "E0301",
    title: "this use of a flow is not available yet",
    explain: r#"The address of a flow's client or server can be compared, looked up and used as a key; slices of it are not available
yet.

```text
let near = flow.client.addr[0:2] == 0a:00
```

```mrule
let near = flow.client.addr == 10.0.0.0/16
```"#,
});

/// The content of application messages.
pub const APPLICATION: Code = Code(&CodeInfo {
    id: "E0302",
    title: "this use of a message field is not available yet",
    explain: r#"`mirrorc fields` lists the available fields of HTTP, TLS and DNS messages. Other fields, and fields of QUIC messages,
are not available yet. A message field can be compared with constants, searched, looked up in sets, and used as a
trigger's own key (`by http.host`). It cannot yet be compared with params and other fields, sliced, measured, counted
with, used as a key of maps, or used as a trigger's key in brackets (`t[http.host]`).

```text
let ours  = http.referer contains "example"
let again = http.host == dns.qry.name
```

```mrule
let ours  = stream contains "Referer: https://example.com"
let again = http.host == "example.com" and app == http
```"#,
});

/// Stations of other kinds.
pub const STATIONS: Code = Code(&CodeInfo {
    id: "E0304",
    title: "station kind not available yet",
    explain: r#"Pools, ERSPAN type III, Kafka and Unix sockets are not available yet.

```text
station ids { pool a b }
```

```mrule
station ids { vxlan 192.0.2.10 vni 77 }
```"#,
});

/// Features that tables, tags and params do not have yet.
pub const TABLES: Code = Code(&CodeInfo {
    id: "E0305",
    title: "this use of a table, tag or param is not available yet",
    explain: r#"A few combinations are part of the language and not available yet: `else` after a look-up of anything but a number,
addresses as values of maps, texts of maps compared with fields, constant IPv6 addresses and `ip` params as keys, and
fields of tags (`vlan.id`, `mpls.label`) compared with params or as one of several parts of a key.

```text
table user : map<ip, string>
let unknown = (user[net.src] else "nobody") == "nobody"
```

```mrule
table user  : map<ip, string>
table level : map<ip, uint>
let high  = (level[net.src] else 0) > 5
let known = net.src in user
```"#,
});

/// Protocols whose bytes cannot be read.
pub const BYTES: Code = Code(&CodeInfo {
    id: "E0306",
    title: "bytes of this protocol are not available yet",
    explain: r#"The bytes of `eth`, `ip`, `ipv6`, `tcp`, `udp`, `icmp` and `icmpv6` can be sliced and searched. Other protocols have
only their presence and fields. `frame` has all bytes.

```text
let odd = vlan[0:2] == 00:0a
```

```mrule
let ten       = vlan.id == 10
let any_frame = frame contains "evil"
```"#,
});
