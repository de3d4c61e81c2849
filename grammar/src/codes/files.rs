//! The codes of files that belong together, `E005x`: errors that are known before a program is
//! checked. As in [`syntax`](super::syntax), snippets marked `mrule` are correct. (Rejected: one
//! code for all problems with files.)

use super::{Code, CodeInfo};

/// A file that cannot be read.
pub const UNREADABLE: Code = Code(&CodeInfo {
    id: "E0050",
    title: "file cannot be read",
    explain: r#"A rule file, an included file or the file of a table could not be read: it does not exist, its permissions forbid it,
or it is not UTF-8 text. Paths in `include` and `from` are relative to the directory of their file.

```text
table bad : set<ip> from "no/such/file.csv"
```

```mrule
table bad : set<ip> = {192.0.2.1, 192.0.2.2}
```"#,
});

/// A file that includes itself.
pub const INCLUDE_CYCLE: Code = Code(&CodeInfo {
    id: "E0051",
    title: "includes in a circle",
    explain: r#"A file includes itself, directly or through others. The message shows the circle. A file that is included
from several places counts once, so a common file needs no guard; only circles are refused, because they are
always a mistake in a path.

Move the items that two files both need into a third:

```text
# a.mrule
include "b.mrule"
# b.mrule
include "a.mrule"
```"#,
});

/// Includes that nest too deeply.
pub const INCLUDE_DEPTH: Code = Code(&CodeInfo {
    id: "E0052",
    title: "includes nested too deeply",
    explain: r#"Includes may nest 32 deep. All files of a program share one name space, wherever they are included, so
chains of includes have no advantage: include the file from the outermost file, or name it on the command line.

```text
mirrorc check main.mrule customers.mrule tables.mrule
```"#,
});

/// Too many files.
pub const TOO_MANY_FILES: Code = Code(&CodeInfo {
    id: "E0053",
    title: "too many files",
    explain: r#"A program may have 4,096 rule files and as many includes, and 65,536 files with those of its tables. Replace
rules that differ only in a value by one rule and a table:

```mrule
station ids { interface eth1 }
table customers : set<cidr> = {192.0.2.0/24, 198.51.100.0/24}
rule customer { match net.addr in customers  snaplen headers  to ids }
```"#,
});
