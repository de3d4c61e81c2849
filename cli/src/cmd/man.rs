//! `mirrorc man`: prints the manual as pages for `man`, one for each command. The invariant: the
//! pages are generated from the same definition that parses the command line, so each page lists
//! every option. (Rejected: pages kept beside the code; they go stale.)

use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use clap::Command;
use clap_mangen::Man;
use std::io;
use std::path::{Path, PathBuf};

/// The arguments of `mirrorc man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc man | man -l -                            show the main page
  mirrorc man --out /usr/local/share/man/man1       install all pages: mirrorc.1, mirrorc-run.1, ...")]
pub struct Args {
    /// Write a page for each command into DIR, which is created if it does not exist; without this
    /// option, the main page goes to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command on the whole command line.
pub fn run(args: &Args, mut command: Command, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    command.build();
    match &args.out {
        Some(out) => {
            let failed = |error| Failure::file("write pages to", out.display(), &error);
            std::fs::create_dir_all(out).map_err(failed)?;
            write_all(&command, out).map_err(failed)?;
        }
        None => screen.out.write_all(page(&command)?.1.as_bytes())?,
    }
    Ok(Exit::Clean)
}

/// Writes the page of a command and of its subcommands.
fn write_all(command: &Command, out: &Path) -> io::Result<()> {
    let (name, text) = page(command)?;
    std::fs::write(out.join(name), text)?;
    // `mirrorc help run` is `mirrorc run --help`: it has no page.
    let mut commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    commands.try_for_each(|command| write_all(command, out))
}

/// The page of a command, and the name of its file.
fn page(command: &Command) -> io::Result<(String, String)> {
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    // Without a date, roff would show the version as the date.
    let man = Man::new(command.clone()).date(" ").source(format!("mirrorc {version}")).manual("mirrorc");
    let mut text = Vec::new();
    man.render(&mut text)?;
    // The text below the options is examples: lines to copy.
    let text = String::from_utf8_lossy(&text).replace(EXTRA, ".SH EXAMPLES\n.nf\n");
    Ok((man.get_filename(), text.replace(".SH VERSION\n", ".fi\n.SH VERSION\n")))
}

/// The heading that the generator gives to the text below the options.
const EXTRA: &str = ".SH EXTRA\n";
