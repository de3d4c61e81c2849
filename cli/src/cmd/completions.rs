//! `mirrorc completions`: what a shell needs to complete commands, options and their values. The
//! invariant: it is made of the very command line that is parsed, so it offers what there is.
//! (Rejected: scripts kept beside the code, which age.)

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
    /// Which shell
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
