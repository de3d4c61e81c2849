//! `mirrorc completions`: prints a shell's completion script for commands, options and values. The
//! invariant: the script is generated from the same definition that parses the command line, so
//! both always agree. (Rejected: scripts kept beside the code; they go stale.)

use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use clap::Command;
use clap_complete::Shell;

/// The arguments of `mirrorc completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc completions bash > /etc/bash_completion.d/mirrorc
  mirrorc completions zsh  > /usr/local/share/zsh/site-functions/_mirrorc
  mirrorc completions fish > ~/.config/fish/completions/mirrorc.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command on the whole command line.
pub fn run(args: &Args, mut command: Command, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mirrorc", &mut script);
    screen.out.write_all(&script)?;
    Ok(Exit::Clean)
}
