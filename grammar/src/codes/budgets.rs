//! The codes of budgets, `E04xx` and `W0961`: programs that are correct and exceed a budget. The
//! invariant: each diagnostic names the rule, trigger or table that takes the most, and the option
//! that raises the budget. Snippets marked `mrule` are within the default budgets. (Rejected: plain
//! texts; software that loads programs needs a stable name.)

use super::{Code, CodeInfo};

/// The program has more nodes than the budget.
pub const NODES: Code = Code(&CodeInfo {
    id: "E0401",
    title: "program larger than its budget",
    explain: r#"A compilation has a budget of nodes, so that no program takes the memory of the others. Each condition of a rule, limit
or trigger is a node, after `let`s are written out and fields such as `net.addr` have become several fields. Each eight
elements of a set are one more node. The text of the rule files has a budget of 8 bytes for each node, and of 1 MiB at
least. The diagnostic names the rule that has the most nodes.

`mirrorc run --compile-nodes N` and `mirrorc check --compile-nodes N` set another budget. Often a table is better:
replace rules that differ only in an address by one rule and one table. Tables do not count in this budget.

```mrule
table blocked : set<cidr> = {192.0.2.0/24, 198.51.100.7}
station ids { interface eth1 }
rule blocked { match net.addr in blocked  snaplen full  to ids }
```"#,
});

/// The compilation takes longer than the budget.
pub const TIME: Code = Code(&CodeInfo {
    id: "E0402",
    title: "compilation stopped",
    explain: r#"The compilation took longer than its budget of seconds, or its client disconnected. One program is compiled at a time,
so all others wait for a slow one. The diagnostic names the largest rule, which usually takes the most time.

`mirrorc run --compile-time TIME` and `mirrorc check --compile-time TIME` set another budget. Regular expressions with
repetitions inside each other and many patterns for streams take the most time for their length.

```mrule
table blocked : set<cidr> = {192.0.2.0/24, 198.51.100.7}
station ids { interface eth1 }
rule blocked { match net.addr in blocked  snaplen full  to ids }
```"#,
});

/// The program needs more memory than the budget.
pub const MEMORY: Code = Code(&CodeInfo {
    id: "E0403",
    title: "more memory than the budget has",
    explain: r#"The memory of a running program is counted before it is allocated: rows and windows of triggers, tables, flows,
streams, code, and the batches of each worker. A program that takes more than `--policy-memory`, or more than what other
policies leave of `--memory`, is refused. While a new version replaces an old one, both count.
The diagnostic shows the clause that takes the most, such as `keys`; `mirrorc check --cost` shows all parts.

Remember fewer keys, count in fewer windows, or raise the option that the message names.

```mrule
station ids { interface eth1 }
trigger busy by net.src { when count(tcp) per 10s > 100  hold 1m  keys 65536 }
rule busy { match busy[net.addr]  snaplen full  to ids }
```"#,
});

/// The program has more code than the budget.
pub const CODE: Code = Code(&CodeInfo {
    id: "W0961",
    title: "some rules are interpreted",
    explain: r#"Native code has a budget of bytes, because the time and memory to generate it grow faster than the code. Rules of one
form that differ in addresses, ports or lengths share their code and are found in a table, so ten thousand of them fit.
Rules of many different forms may not fit. The rules that do not fit are interpreted: they decide the same, but more
slowly, and for each packet one after the other. The diagnostic names the rule whose code would be the largest.

`mirrorc run --compile-code SIZE` and `mirrorc check --compile-code SIZE` set another budget. Write rules in one form,
or put long lists into tables.

```mrule
table blocked : set<cidr> = {192.0.2.0/24, 198.51.100.7}
station ids { interface eth1 }
rule blocked { match net.addr in blocked  snaplen full  to ids }
```"#,
});
