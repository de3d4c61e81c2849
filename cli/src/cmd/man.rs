//! `mirrorc man`: the manual as pages for `man`, one of each command. The invariant: pages are made
//! of the very command line that is parsed, so each names every option. (Rejected: pages kept
//! beside the code, which age.)

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
  mirrorc man | man -l -                            read the main page
  mirrorc man --out /usr/local/share/man/man1       install all pages: mirrorc.1, mirrorc-run.1, ...")]
pub struct Args {
    /// Write a page for each command into DIR, which is made if it is not there; without it the
    /// main page goes to standard output
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

/// Writes the page of a command, and those of its commands.
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
    // Without a date, roff would take the version for one.
    let man = Man::new(command.clone()).date(" ").source(format!("mirrorc {version}")).manual("mirrorc");
    let mut text = Vec::new();
    man.render(&mut text)?;
    // What stands below the options are examples: lines to copy.
    let text = String::from_utf8_lossy(&text).replace(EXTRA, ".SH EXAMPLES\n.nf\n");
    Ok((man.get_filename(), text.replace(".SH VERSION\n", ".fi\n.SH VERSION\n")))
}

/// How the generator heads what stands below the options.
const EXTRA: &str = ".SH EXTRA\n";
