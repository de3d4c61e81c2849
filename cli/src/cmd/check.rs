//! `mirrorc check`: reports errors and warnings of a program as text, JSON or SARIF, and explains
//! diagnostic codes. The invariant: the exit code is the same in every format. (Rejected: stopping
//! at the first file with errors; one run reports all files.)

use crate::compile_options::CompileOptions;
use crate::cost;
use crate::exit::{Exit, Failure};
use crate::memory::Memory;
use crate::report::{self, Report, count};
use crate::rules::{self, Sets};
use crate::screen::{BAD, BOLD, DOUBT, GOOD, Screen};
use mrule_compiler::compile::Compiled;
use mrule_control::control::memory::refused;
use mrule_grammar::codes::{CODES, Code};
use mrule_grammar::words;
use std::io;

/// The arguments of `mirrorc check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc check web.mrule dns.mrule            one program of two files
  mirrorc check web.mrule --set head=1KiB      with another value of a param
  mirrorc check rules/*.mrule --deny warnings --format sarif > mirrorc.sarif
  mirrorc check --explain E0101                what a code means, and how to fix it

Exit codes: 0 no problems; 1 problems found; 2 the command failed (a missing file).")]
pub struct Args {
    /// The rule files; all files together are one program, in any order
    #[arg(value_name = "RULES", required_unless_present = "explain")]
    files: Vec<String>,
    #[command(flatten)]
    sets: Sets,
    /// Show how much memory triggers, tables and flows take when they are full, and how many cache
    /// lines of it each packet touches
    #[arg(long, conflicts_with = "format")]
    cost: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    compile: CompileOptions,
    /// Output format; sarif is SARIF 2.1.0, for code scanning uploads
    #[arg(long, value_enum, default_value_t, help_heading = None)]
    format: Format,
    /// Treat warnings as problems: the exit code is 1
    #[arg(long, value_enum, value_name = "WHAT", help_heading = None)]
    deny: Option<Deny>,
    /// Explain a diagnostic code; without CODE, list all codes
    #[arg(long, value_name = "CODE", num_args = 0..=1, help_heading = None)]
    #[arg(conflicts_with_all = ["files", "set", "format", "deny", "cost"])]
    explain: Option<Option<String>>,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Deny {
    Warnings,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    match &args.explain {
        Some(Some(code)) => return explain(code, screen),
        Some(None) => {
            list(screen)?;
            return Ok(Exit::Clean);
        }
        None => {}
    }
    let mut compiled = rules::compile(&args.files, &args.sets, &args.compile.limits().budget())?;
    let cost = match (&compiled.program, args.cost) {
        (Some(program), true) => {
            Some(cost::count(program, &mrule_dataplane::live::setting(args.memory.limits(), None))?)
        }
        _ => None,
    };
    if let Some(Err(over)) = cost.as_ref().map(|cost| args.memory.budget().admit(cost, 0, false)) {
        refused(&mut compiled, &over);
    }
    let report = Report::new(&compiled.diagnostics, &compiled.sources);
    let counts = report.counts();
    let bad = counts.errors > 0 || (args.deny.is_some() && counts.warnings > 0);
    match args.format {
        Format::Text => {
            write!(screen.err, "{}", report::text::render(&report, screen.err_look))?;
            if bad {
                summary(&report, screen)?;
            } else {
                let also = if counts.warnings > 0 { format!(", {counts}") } else { String::new() };
                writeln!(screen.out, "{} {}{also}", screen.out_look.paint(GOOD, "ok:"), holds(&compiled))?;
            }
            if let Some(cost) = &cost {
                cost::show(cost, screen)?;
            }
        }
        Format::Json => {
            writeln!(screen.out, "{}", report::json::render(&report, !bad).map_err(io::Error::from)?)?;
        }
        Format::Sarif => {
            writeln!(screen.out, "{}", report::sarif::render(&report).map_err(io::Error::from)?)?;
        }
    }
    Ok(if bad { Exit::Problems } else { Exit::Clean })
}

/// The contents of a program: `3 rules, 1 limit, 2 stations`.
fn holds(compiled: &Compiled) -> String {
    let Some(program) = &compiled.program else { return String::new() };
    let parts = [
        (program.rules.len(), "rule"),
        (program.limits.len(), "limit"),
        (program.stations.len(), "station"),
        (program.tables.len(), "table"),
        (program.params.len(), "param"),
        (program.triggers.len(), "trigger"),
    ];
    // Rules, limits and stations are always shown; the others only if the program has any.
    let told = parts.iter().enumerate().filter(|(i, (n, _))| *i < 3 || *n > 0);
    told.map(|(_, (n, thing))| count(*n, thing)).collect::<Vec<_>>().join(", ")
}

/// The last line: how many problems there are, in how many files, and how to read more.
fn summary(report: &Report<'_>, screen: &mut Screen<'_>) -> io::Result<()> {
    let counts = report.counts();
    let mut files: Vec<_> =
        report.diagnostics.iter().filter_map(|d| d.labels.first()).map(|l| l.span.file).collect();
    files.sort_unstable();
    files.dedup();
    let place = if files.len() > 1 { format!(" in {}", count(files.len(), "file")) } else { String::new() };
    let (style, denied) = match counts.errors {
        0 => (DOUBT, ", denied by `--deny warnings`"),
        _ => (BAD, ""),
    };
    // Errors come before warnings; `min_by_key` takes the first of the worst.
    let worst = report.diagnostics.iter().min_by_key(|d| std::cmp::Reverse(d.severity()));
    let code = worst.map_or("", |d| d.code.id());
    let more = format!("`mirrorc check --explain {code}` tells more");
    let look = screen.err_look;
    writeln!(screen.err, "{}{place}{denied}; {more}", look.paint(style, &counts.to_string()))
}

fn explain(wanted: &str, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if let Some(code) = Code::find(wanted) {
        write!(screen.out, "{}", report::page::render(code, screen.out_look))?;
        return Ok(Exit::Clean);
    }
    let near = words::nearest(wanted, CODES.iter().map(|c| c.id()));
    let failure = Failure::usage(format!("there is no diagnostic code `{wanted}`"));
    Err(match near {
        Some(near) => {
            failure.help(format!("did you mean `{near}`? `mirrorc check --explain` lists all codes"))
        }
        None => failure.help("`mirrorc check --explain` lists all codes"),
    })
}

fn list(screen: &mut Screen<'_>) -> io::Result<()> {
    let look = screen.out_look;
    for code in CODES {
        writeln!(screen.out, "{}  {}", look.paint(BOLD, code.id()), code.0.title)?;
    }
    Ok(())
}
