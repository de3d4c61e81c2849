//! `mirrorc fields`: prints the field table for people and tools. The invariant: every word comes
//! from the table, so a new row needs no edit here. (Rejected: hand-written pages, one for each
//! protocol.)

use crate::exit::{Exit, Failure};
use crate::pages;
use crate::screen::{BOLD, DIM, Look, Screen, wrap};
use mrule_compiler::fields::{self, FIELDS, Field, Source, Ty};
use mrule_grammar::words;
use serde::Serialize;
use std::io::{self, Write};

/// The arguments of `mirrorc fields`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc fields                       all fields
  mirrorc fields tcp.flags             fields with tcp.flags in their name
  mirrorc fields checksum              fields with checksum in their name or description
  mirrorc fields tcp.dstport           details of one field")]
pub struct Args {
    /// List only fields with this text in their name or description; the exact name of a field
    /// shows its details
    pattern: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let chosen: Vec<&Field> = match &args.pattern {
        None => FIELDS.iter().collect(),
        Some(pattern) => find(pattern)?,
    };
    match args.format {
        Format::Text if args.pattern.as_deref().is_some_and(|p| fields::find(p).is_some()) => {
            let (first, rest) = chosen.split_first().ok_or_else(|| Failure::usage("no field"))?;
            card(first, screen)?;
            if !rest.is_empty() {
                writeln!(screen.out)?;
                table(rest, screen.out_look, screen.out)?;
            }
        }
        Format::Text => {
            table(&chosen, screen.out_look, screen.out)?;
            legend(&chosen, screen)?;
        }
        Format::Json => {
            let rows: Vec<Row> = chosen.into_iter().map(Row::new).collect();
            let text = serde_json::to_string_pretty(&rows).map_err(io::Error::from)?;
            writeln!(screen.out, "{text}")?;
        }
        Format::Markdown => write!(screen.out, "{}", pages::fields(&chosen))?,
    }
    Ok(Exit::Clean)
}

/// The fields that match a pattern; a field of exactly this name comes first.
fn find(pattern: &str) -> Result<Vec<&'static Field>, Failure> {
    let wanted = pattern.to_lowercase();
    let base = wanted.strip_prefix("inner.").unwrap_or(&wanted);
    let hits = |f: &&Field| f.name.contains(base) || f.doc.to_lowercase().contains(&wanted);
    let mut found: Vec<&Field> = FIELDS.iter().filter(hits).collect();
    found.sort_by_key(|f| f.name != base);
    if !found.is_empty() {
        return Ok(found);
    }
    let mut failure = Failure::usage(format!("no field has `{pattern}` in its name or description"));
    failure.exit = Exit::Problems;
    let near = words::nearest(base, FIELDS.iter().map(|f| f.name));
    Err(match near {
        Some(name) => failure.help(format!("did you mean `{name}`?")),
        None => failure.help("`mirrorc fields` lists all fields"),
    })
}

/// A field as JSON; the member names are stable.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    r#type: &'static str,
    bits: Option<u8>,
    values: String,
    doc: &'static str,
    wireshark: bool,
    inner: bool,
    any_of: &'static [&'static str],
}

impl Row {
    fn new(field: &'static Field) -> Row {
        Row {
            name: field.name,
            r#type: pages::kind(field.ty),
            bits: if let Ty::Uint(bits) = field.ty { Some(bits) } else { None },
            values: field.ty.describe(),
            doc: field.doc,
            wireshark: field.wireshark,
            inner: field.has_inner(),
            any_of: match field.source {
                Source::Any(of) => of,
                _ => &[],
            },
        }
    }
}

fn table(rows: &[&Field], look: Look, out: &mut dyn Write) -> io::Result<()> {
    let names = rows.iter().map(|f| f.name.len() + 2).max().unwrap_or(0);
    let types = rows.iter().map(|f| pages::values(f.ty).len()).max().unwrap_or(0);
    let room = look.width.saturating_sub(names + types + 4).max(20);
    let mut protocol = None;
    for field in rows {
        let of = field.name.split('.').next();
        if protocol.is_some() && protocol != of && rows.len() > 12 {
            writeln!(out)?;
        }
        protocol = of;
        let mark = if field.wireshark { " " } else { "*" };
        let name = look.paint(BOLD, &format!("{:1$}", field.name, names - 2));
        let ty = look.paint(DIM, &format!("{:types$}", pages::values(field.ty)));
        for (i, line) in wrap(field.doc, room).into_iter().enumerate() {
            if i == 0 {
                writeln!(out, "{name} {mark} {ty}  {line}")?;
            } else {
                writeln!(out, "{:1$}  {line}", "", names + 1 + types)?;
            }
        }
    }
    Ok(())
}

fn legend(rows: &[&Field], screen: &mut Screen<'_>) -> io::Result<()> {
    let mut notes = Vec::new();
    if rows.iter().any(|f| !f.wireshark) {
        notes.push(
            "Fields marked * exist only in mirrorc; all others have Wireshark's name and meaning.".to_owned(),
        );
    }
    if rows.len() > 12 {
        let without: Vec<&str> = FIELDS.iter().filter(|f| !f.has_inner()).map(|f| f.name).collect();
        notes.push(format!(
            "`inner.` before a field means the packet inside the first tunnel: `inner.ip.src` (not for {}).",
            without.join(", ")
        ));
        notes.push("`mirrorc fields NAME` shows the details of one field.".to_owned());
    }
    if !notes.is_empty() {
        writeln!(screen.out)?;
    }
    for line in notes.iter().flat_map(|n| wrap(n, screen.out_look.width)) {
        writeln!(screen.out, "{}", screen.out_look.paint(DIM, &line))?;
    }
    Ok(())
}

/// The details of one field.
fn card(field: &Field, screen: &mut Screen<'_>) -> io::Result<()> {
    let look = screen.out_look;
    let mut lines = vec![("type", field.ty.describe())];
    match field.source {
        Source::Any(of) => {
            lines.push(("stands for", of.join(", ")));
            lines.push((
                "means",
                "`==`, `<` and `in` hold if any of the values fits; `!=` holds if no value is equal".into(),
            ));
        }
        Source::Either(of) => {
            lines.push(("stands for", format!("{}, whichever the packet has", of.join(" or "))))
        }
        Source::Tag { .. } => {
            lines.push((
                "means",
                "`==`, `<` and `in` hold if any of the tags fits; `!=` holds if no tag is equal".into(),
            ));
        }
        _ => {}
    }
    let origin = if field.wireshark {
        "Wireshark's, with the same meaning"
    } else {
        "mirrorc's own; Wireshark has no such field"
    };
    lines.push(("name", origin.into()));
    if field.has_inner() {
        lines.push((
            "in a tunnel",
            format!("`inner.{}` is the field of the packet inside the first tunnel", field.name),
        ));
    }
    lines.push(("example", pages::example(field)));
    writeln!(screen.out, "{}: {}", look.paint(BOLD, field.name), field.doc)?;
    for (name, text) in lines {
        for (i, line) in wrap(&text, look.width.saturating_sub(15).max(30)).into_iter().enumerate() {
            let name = look.paint(DIM, &format!("{:11}", if i == 0 { name } else { "" }));
            writeln!(screen.out, "  {name}  {line}")?;
        }
    }
    Ok(())
}
