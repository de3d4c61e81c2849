//! The generated reference pages: `docs/fields.md`, `docs/diagnostics.md` and, in `api`,
//! `docs/api.md` and `docs/metrics.md`. A test compares the files with the output of this module,
//! so they cannot go stale. The invariant: the same tables give the same page, byte for byte.
//! (Rejected: hand-written pages, and a build script that writes into the source tree.)

mod api;

pub use api::{api, metrics};
use mrule_compiler::fields::{Field, Source, Ty, max_of};
use mrule_grammar::codes::CODES;
use std::fmt::Write;

/// The name of a field's type in the language.
pub fn kind(ty: Ty) -> &'static str {
    match ty {
        Ty::Bool => "bool",
        Ty::Uint(_) => "uint",
        Ty::Ipv4 => "ipv4",
        Ty::Ipv6 => "ipv6",
        Ty::Ip => "ip",
        Ty::Mac => "mac",
        Ty::Bytes => "bytes",
        Ty::String => "string",
        Ty::Protocol => "protocol",
        Ty::Duration => "duration",
        Ty::App => "app",
    }
}

/// A field's type in a table: its name, and the range of a number.
pub fn values(ty: Ty) -> String {
    match ty {
        Ty::Uint(bits) if bits > 32 => format!("uint, {bits} bits"),
        Ty::Uint(bits) => format!("0..{}", max_of(bits)),
        other => kind(other).to_owned(),
    }
}

/// A condition that uses the field.
pub fn example(field: &Field) -> String {
    let name = field.name;
    match field.ty {
        Ty::Protocol => name.to_owned(),
        Ty::Bool if field.wireshark => format!("{name} == 1"),
        Ty::Bool => name.to_owned(),
        Ty::Duration => format!("{name} > 30s"),
        Ty::App => format!("{name} in {{http, tls}}"),
        Ty::Uint(64) => format!("{name} % 100 == 0"),
        Ty::Uint(_) if name.ends_with("port") => format!("{name} in {{53, 8000..8080}}"),
        Ty::Uint(bits) if bits <= 8 => format!("{name} in {{1, {}..{}}}", max_of(bits) / 2, max_of(bits)),
        Ty::Uint(_) => format!("{name} in {{100, 200..299}}"),
        Ty::Ipv4 => format!("{name} in {{10.0.0.0/8, 192.0.2.1}}"),
        Ty::Ipv6 => format!("{name} in {{2001:db8::/32, fe80::1}}"),
        Ty::Ip => format!("{name} in {{10.0.0.0/8, 2001:db8::/32}}"),
        Ty::Mac => format!("{name} == 00:00:5e:00:53:01"),
        Ty::Bytes => format!("{name} contains \"GET \" or {name}[0:2] == 16:03"),
        Ty::String if matches!(field.source, Source::Facet(_)) => format!("{name} contains \"example\""),
        Ty::String => format!("{name} == \"eth0\""),
    }
}

/// The field table as a page.
pub fn fields(rows: &[&Field]) -> String {
    let mut page = String::from(
        "# Fields\n\n\
         Made from the field table by `mirrorc fields --format markdown`; do not edit.\n\n\
         Names and meanings are Wireshark's unless marked *ours*. A comparison on a field that the packet lacks is \
         false. Fields that stand for several values (*any of*) compare as in Wireshark: `==`, `<` and `in` hold if any \
         of the values does, `!=` if none equals. Where the last column says so, `inner.` may stand before the name \
         and speaks of the packet inside the first tunnel: `inner.ip.src`.\n\n\
         | Field | Type | Meaning | `inner.` |\n| --- | --- | --- | --- |\n",
    );
    for f in rows {
        let mut notes = String::new();
        if !f.wireshark {
            notes.push_str(" *Ours.*");
        }
        match f.source {
            Source::Any(of) => notes.push_str(&format!(" *Any of* `{}`.", of.join("`, `"))),
            Source::Tag { .. } => notes.push_str(" *Any of* the packet's tags."),
            Source::Either(of) => notes.push_str(&format!(" The packet's `{}`.", of.join("` or `"))),
            Source::Facet(_) => notes.push_str(" *Any of* the messages that the packet completes."),
            _ => {}
        }
        let inner = if f.has_inner() { "yes" } else { "no" };
        let doc = sentence(f.doc);
        let _ = writeln!(page, "| `{}` | {} | {doc}{notes} | {inner} |", f.name, values(f.ty));
    }
    page
}

const FORMATS: &str = "\
## For scripts

`mirrorc check` ends with 0 when the program is clean, 1 when problems were found, 2 when it could not do what was asked.

`--format json` prints one object. Members may be added; none is renamed while `version` is 1.

| Member | Meaning |
| --- | --- |
| `version` | 1 |
| `ok` | whether the exit code is 0 |
| `errors`, `warnings` | how many of each |
| `diagnostics` | an array, sorted by file and place |

Each diagnostic has `code`, `severity` (`error` or `warning`), `message`, `labels` (an array of places, each with a `text`), \
`help` (text or null), `fix` (a place with a `replacement`, or null) and, unless it speaks of no place, a place of its own. \
A place is `file` as given on the command line, `line` and `column` of its first character and `end_line` and `end_column` \
behind its last (all from 1, columns in characters), and `start` and `end`, the same in bytes of the file, from 0.

`--format sarif` prints a SARIF 2.1.0 log for code scanning. Its columns count characters (`columnKind`), its rules are the \
codes that were found, with their pages as help, and mechanical mends are its fixes.

## Codes

";

/// Every diagnostic code as a page.
pub fn diagnostics() -> String {
    let mut page = String::from(
        "# Diagnostics\n\n\
         Made from the table of codes, the same texts that `mirrorc check --explain CODE` prints; do not edit.\n\n\
         Codes are stable: a number never changes its meaning and is never used again. `E` codes refuse the program, \
         `W` codes warn (`mirrorc check --deny warnings` makes them count as problems).\n\n",
    );
    page.push_str(FORMATS);
    for code in CODES {
        let _ = writeln!(page, "- [{0}](#{1}): {2}", code.id(), code.id().to_lowercase(), code.0.title);
    }
    for code in CODES {
        let _ = write!(
            page,
            "\n## {}\n\n**{}**\n\n{}\n",
            code.id(),
            sentence(code.0.title),
            code.0.explain.trim()
        );
    }
    page
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).chain(['.']).collect(),
        None => String::new(),
    }
}
