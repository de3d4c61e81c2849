//! The codes of lints, `W09xx`: programs that run, in which a part cannot be what the author means.
//! The invariant: a warning is never wrong. In `explain`, snippets marked `mrule` give no warning
//! and snippets marked `text` give this one. (Rejected: a code per kind of name; the fix is the
//! same.)

use super::{Code, CodeInfo};

/// A `let`, `param`, `table` or `trigger` that no expression refers to.
pub const UNUSED: Code = Code(&CodeInfo {
    id: "W0901",
    title: "never used",
    explain: r#"No condition, length or other definition names this `let`, `param`, `table` or `trigger`. Usually its name is misspelt
where it should be used, or the rule that used it was removed.

```text
let web_ports = {80, 443}
station ids { interface eth1 }
rule web { match tcp.port in {80}  snaplen full  to ids }
```

Use it or remove it. There is no warning for a name that begins with `_`, nor in a file without rules and limits: such a
file is a library, whose definitions other files use.

```mrule
let web_ports  = {80, 443}
let _for_later = {8080}
station ids { interface eth1 }
rule web { match tcp.port in web_ports  snaplen full  to ids }
```"#,
});

/// A station that no rule sends to.
pub const UNUSED_STATION: Code = Code(&CodeInfo {
    id: "W0902",
    title: "station without copies",
    explain: r#"No rule names the station after `to`, so nothing is ever sent there. Limits that name it send nothing: rules
raise, limits lower.

```text
station ids  { interface eth1 }
station lake { pcapng "lake.pcapng" }
rule all { match any  snaplen full  to ids }
```

```mrule
station ids  { interface eth1 }
station lake { pcapng "lake.pcapng" }
rule all { match any  snaplen full  to ids, lake }
```"#,
});

/// A condition that no packet meets.
pub const NEVER: Code = Code(&CodeInfo {
    id: "W0903",
    title: "never holds",
    explain: r#"No packet can meet this condition, so the rule, limit or line does nothing. The label says which tests exclude each
other. Usual causes: `and` where `or` is meant, two values for one field, ports of fragments, both families at once.

```text
station ids { interface eth1 }
rule both  { match tcp and udp                                     snaplen full  to ids }
rule where { match ip.src in {10.0.0.0/8} and ip.src == 192.0.2.1  snaplen full  to ids }
rule rest  { match ip.frag_offset > 0 and tcp.dstport == 80        snaplen full  to ids }
```

`tcp` and `udp` test the outermost IP packet; `inner.udp` tests the packet in a tunnel.

```mrule
station ids { interface eth1 }
rule both  { match tcp or udp                                     snaplen full  to ids }
rule where { match ip.src in {10.0.0.0/8} or ip.src == 192.0.2.1  snaplen full  to ids }
rule rest  { match ip.frag_offset > 0 and ip.proto == 6           snaplen full  to ids }
```"#,
});

/// A condition that every packet meets.
pub const ALWAYS: Code = Code(&CodeInfo {
    id: "W0904",
    title: "always holds",
    explain: r#"Every packet meets this condition, or a `when` holds for every packet that the `match` of its rule lets through. A
condition that decides nothing is usually a mistake.

```text
station ids { interface eth1 }
rule all { match ip or not ip    snaplen full           to ids }
rule web { match tcp.port == 80  snaplen full when tcp  to ids }
```

A rule for every packet says so:

```mrule
station ids      { interface eth1 }
station web_only { interface eth2 }
rule all { match any             snaplen full  to ids }
rule web { match tcp.port == 80  snaplen full  to web_only }
```"#,
});

/// A rule that never adds anything to the copies of another rule.
pub const COVERED_RULE: Code = Code(&CodeInfo {
    id: "W0905",
    title: "rule adds nothing",
    explain: r#"Another rule holds whenever this rule holds, and asks for at least as much for the same stations. As rules only raise,
this rule never changes a copy; only its counter moves.

```text
station ids { interface eth1 }
rule hosts { match net.src in {10.0.0.0/8}  snaplen full     to ids }
rule one   { match ip.src == 10.1.2.3       snaplen headers  to ids }
```

Remove one of the two. If the narrower one was meant to copy *less*, it is a limit:

```mrule
station ids { interface eth1 }
rule hosts { match net.src in {10.0.0.0/8}  snaplen full  to ids }
limit one { match ip.src == 10.1.2.3  snaplen headers }
```"#,
});

/// A `snaplen` line of a rule that never adds anything.
pub const IDLE_LINE: Code = Code(&CodeInfo {
    id: "W0906",
    title: "line adds nothing",
    explain: r#"This `snaplen` line of a rule asks for nothing (`none`, 0 bytes, an empty slice), or never for more than another line of
the same rule that holds whenever this line holds. The lines of a rule do not override each other: the largest counts.

```text
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen full  snaplen headers when tcp.flags.syn == 1  to ids }
rule dns { match udp.port == 53  snaplen none  to ids }
```

To copy less in some cases, or nothing, write a limit:

```mrule
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen full  to ids }
limit syns { match tcp.flags.syn == 1  snaplen headers }
limit dns  { match udp.port == 53      snaplen none }
```"#,
});

/// A limit that never cuts anything.
pub const IDLE_LIMIT: Code = Code(&CodeInfo {
    id: "W0907",
    title: "limit never cuts",
    explain: r#"This limit changes no copy: it allows at least what every rule asks for, no rule sends to its stations, or it never
holds together with a rule. Check a limit that should protect something and does not.

```text
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen 128  to ids }
limit small { match tcp             snaplen 256 }
limit other { match udp.port == 53  snaplen headers }
```

```mrule
station ids { interface eth1 }
rule web { match tcp.port == 80  snaplen 128  to ids }
limit small { match tcp.srcport == 80  snaplen headers }
```"#,
});

/// A rule that loses the packets before an application is recognised.
pub const BEFORE_RECOGNITION: Code = Code(&CodeInfo {
    id: "W0908",
    title: "packets before recognition are lost",
    explain: r#"`app` is `undecided` until the first bytes of a connection have shown the application. So `app == http` does not
hold for TCP's handshake, nor for other packets before that. If only the answer shows the application, it does not hold
for the request either. This rule asks for all packets of a connection, but for those.

```text
station lake { pcapng "lake.pcapng" }
rule web { match app == http  snaplen full  to lake }
```

A rule with `undecided` asks for whole connections, and also for the first packets of other flows:

```mrule
station lake { pcapng "lake.pcapng" }
rule web { match app in {http, undecided}  snaplen full  to lake }
```

If the packets before recognition are not wanted, say so:

```mrule
station lake { pcapng "lake.pcapng" }
rule web { match app == http and app != undecided  snaplen full  to lake }
```

There is no warning if another rule for the same stations can ask for these packets, nor if the rule tests something that
changes within a connection (flags, lengths, payload, messages). There is none for limits, `when`, `unless` and triggers:
a limit that does not hold yet leaves a copy whole, and a trigger is raised when the application is recognised."#,
});

/// A slice whose receiver cannot know where it begins.
pub const SLICE_START: Code = Code(&CodeInfo {
    id: "W0909",
    title: "receiver misreads a slice",
    explain: r#"The stations `interface`, `vxlan`, `gre`, `erspan2` and `tzsp` do not report where a copy begins. Their receiver takes
the first byte of each copy for the start of an Ethernet header. A slice that begins behind byte 0 is decoded as
something else.

```text
station ids { vxlan 192.0.2.10 vni 77 }
rule heads { match ip  snaplen bytes 14..34  to ids }
```

Ask for the bytes from the start, or send the slice to a station that reports where it begins: `pcapng`, `pipe`,
`geneve`.

```mrule
station ids  { vxlan 192.0.2.10 vni 77 }
station lake { pcapng "lake.pcapng" }
rule heads  { match ip  snaplen 34            to ids }
rule slices { match ip  snaplen bytes 14..34  to lake }
```

There is no warning if the rule tests a tunnel or MPLS: behind those headers, an Ethernet header may begin."#,
});
