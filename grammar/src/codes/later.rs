//! The codes of what the language will say and cannot say yet, `E03xx`. Snippets marked `mrule` compile, those marked
//! `text` give the code. (Rejected: syntax errors for it; programs can be written against what is to come.)

use super::{Code, CodeInfo};

/// Flows and streams.
pub const FLOWS: Code = Code(&CodeInfo {
    id: "E0301",
    title: "flows and streams are not available yet",
    explain: r#"Lengths by stream offset (`stream 0..8KiB`), `stream contains`, `app`, triggers `by flow`, `hold flow` and the fields
`flow.*` (but `flow.hash`) need a table of flows, which is not there yet. Until then, write about single packets.

```text
let evil = stream contains "session=evil"
let tls_flow = app == tls
```

```mrule
let evil = tcp.payload contains "session=evil"
let some_flows = flow.hash % 100 == 0
```"#,
});

/// Fields of applications.
pub const APPLICATION: Code = Code(&CodeInfo {
    id: "E0302",
    title: "fields of applications are not available yet",
    explain: r#"`http`, `tls`, `dns` and `quic` and their fields need dissectors that are not there yet. Until then, write where the
application is and what its packets look like.

```text
let web = http
let lookup = dns.qry.name contains "google"
```

```mrule
let web = tcp.port == 80 and tcp.payload matches "^(GET|POST|HTTP/1)"
let lookup = udp.port == 53 and udp.payload contains "google"
```"#,
});

/// Windows and holds.
pub const WINDOWS: Code = Code(&CodeInfo {
    id: "E0303",
    title: "counting over time is not available yet",
    explain: r#"Triggers that rules raise (`when`, `unless`), and `count`, `sum` and `distinct` over a time (`per`), are not there yet.
An external trigger can be raised through the API by a program that counts.

```text
trigger syn_flood by net.src { when count(tcp.flags.syn == 1) per 5m > 200  hold 10m }
```

```mrule
trigger syn_flood by net.src { external  hold 10m }
```"#,
});

/// Stations of other kinds.
pub const STATIONS: Code = Code(&CodeInfo {
    id: "E0304",
    title: "station kind not available yet",
    explain: r#"Pools and tunnels other than VXLAN and GENEVE are not there yet.

```text
station ids { gre 192.0.2.10 }
```

```mrule
station ids { vxlan 192.0.2.10 vni 77 }
```"#,
});

/// Things that tables, tags and params cannot do yet.
pub const TABLES: Code = Code(&CodeInfo {
    id: "E0305",
    title: "this use of a table, tag or param is not available yet",
    explain: r#"A few combinations are in the language and not there yet: `else` behind a look-up, addresses as values of maps, texts
of maps compared with fields, constant IPv6 addresses and `ip` params as keys, and fields of tags (`vlan.id`,
`mpls.label`) compared with params or as one of several parts of a key.

```text
table level : map<ip, uint>
let high = (level[net.src] else 0) > 5
```

```mrule
table level : map<ip, uint>
let high = level[net.src] > 5
let known = net.src in level
```"#,
});

/// Protocols whose bytes cannot be had.
pub const BYTES: Code = Code(&CodeInfo {
    id: "E0306",
    title: "bytes of this protocol are not available yet",
    explain: r#"The bytes of `eth`, `ip`, `ipv6`, `tcp`, `udp`, `icmp` and `icmpv6` can be sliced and searched; of other protocols, only
their presence and fields are there. `frame` has all bytes.

```text
let odd = vlan[0:2] == 00:0a
```

```mrule
let ten = vlan.id == 10
let any_frame = frame contains "evil"
```"#,
});
