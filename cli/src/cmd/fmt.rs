//! `mirrorc fmt`: rewrites rule files in the canonical format. The invariant: the command replaces
//! a file in one step (it writes a temporary file and renames it) and only when the text changes;
//! it leaves a file with errors alone. (Rejected: formatting the parsable parts of a file with
//! errors; text that is lost then is lost for good.)

use crate::exit::{Exit, Failure};
use crate::report::{self, Report, count};
use crate::screen::{BAD, DIM, GOOD, Look, Screen, printable};
use mrule_grammar::format;
use mrule_grammar::span::SourceMap;
use std::io::{self, Write};
use std::path::Path;

/// The arguments of `mirrorc fmt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc fmt rules/*.mrule              format these files in place
  mirrorc fmt --check rules/*.mrule      change nothing; exit with 1 if a file is not formatted
  mirrorc fmt - < old.mrule > new.mrule  from standard input to standard output

Exit codes: 0 done; 1 a file is not formatted (--check) or has errors; 2 a file cannot be read or
written.")]
pub struct Args {
    /// The rule files; `-` reads standard input and writes the result to standard output
    #[arg(value_name = "FILES", required = true)]
    files: Vec<String>,
    /// Change no file: show the differences
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let mut exit = Exit::Clean;
    let (mut changed, mut broken) = (0, 0);
    for name in &args.files {
        let text = read(name, screen)?;
        let mut sources = SourceMap::default();
        let shown = if name == "-" { "standard input" } else { name };
        // The diagnostics refer to the first file of the source map.
        sources.add(shown, text.as_str());
        let formatted = match format(&text) {
            Ok(formatted) => formatted,
            Err(findings) => {
                let report = Report::new(&findings, &sources);
                write!(screen.err, "{}", report::text::render(&report, screen.err_look))?;
                broken += 1;
                continue;
            }
        };
        let differs = formatted != text;
        changed += usize::from(differs);
        if args.check {
            if differs {
                writeln!(screen.out, "{}", printable(shown))?;
                difference(&text, &formatted, screen.out_look, screen.out)?;
            }
        } else if name == "-" {
            write!(screen.out, "{formatted}")?;
        } else if differs {
            replace(Path::new(name), &formatted).map_err(|e| Failure::file("write", name, &e))?;
        }
    }
    if broken > 0 {
        let what = format!("{} not formatted because of errors", count(broken, "file"));
        writeln!(screen.err, "{}", screen.err_look.paint(BAD, &what))?;
        exit = Exit::Problems;
    }
    if args.check && changed > 0 {
        let what = format!("{} not formatted", count(changed, "file"));
        writeln!(screen.err, "{}; run `mirrorc fmt` to format", screen.err_look.paint(BAD, &what))?;
        exit = Exit::Problems;
    }
    Ok(exit)
}

fn read(name: &str, screen: &mut Screen<'_>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    if name == "-" {
        screen.input.read_to_end(&mut bytes).map_err(|e| Failure::file("read", "standard input", &e))?;
    } else {
        bytes = std::fs::read(name).map_err(|e| Failure::file("read", name, &e))?;
    }
    String::from_utf8(bytes).map_err(|e| {
        Failure::usage(format!("cannot read `{name}`: byte {} is not UTF-8", e.utf8_error().valid_up_to()))
    })
}

/// Writes a temporary file beside the file and renames it over the file, so that a crash leaves the
/// old text or the new one. The permissions stay.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A symbolic link stays: the file that it names is replaced.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new().prefix(".mirrorc").tempfile_in(folder)?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
    beside.as_file().sync_all()?;
    beside.persist(&path).map_err(|e| e.error)?;
    Ok(())
}

/// The lines that would change.
fn difference(old: &str, new: &str, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let difference = similar::TextDiff::from_lines(old, new);
    for hunk in difference.unified_diff().context_radius(1).iter_hunks() {
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                similar::ChangeTag::Delete => ("-", BAD),
                similar::ChangeTag::Insert => ("+", GOOD),
                similar::ChangeTag::Equal => (" ", DIM),
            };
            let line = change.old_index().or(change.new_index()).map_or(0, |line| line + 1);
            let text = format!("{line:5} {sign} {}", printable(change.value()));
            writeln!(out, "{}", look.paint(style, text.trim_end()))?;
        }
    }
    Ok(())
}
