//! The command line's shape: the commands and what they share. Each command's own arguments stand
//! beside its code in `cmd/`. The invariant: every option does something today; what is not there
//! yet is not offered. (Rejected: options that answer "not yet"; a script cannot tell that from a
//! broken installation.)

use crate::cmd;
use crate::screen::Colour;
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};

const STYLES: Styles = Styles::styled()
    .header(crate::screen::BOLD)
    .usage(crate::screen::BOLD)
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(crate::screen::BAD)
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());

const EXAMPLES: &str = "\
A first program, in a file named first.mrule:

  station lake { pcapng \"lake.pcapng\" }
  rule dns  { match udp.port == 53  snaplen full     to lake }
  rule rest { match any             snaplen headers  to lake }

Check it, run it on a capture, and ask why a packet was copied as it was:

  mirrorc check first.mrule
  mirrorc run first.mrule --read office.pcapng --out copies/
  mirrorc explain first.mrule --read office.pcapng --frame 42

Exit codes: 0 done and clean; 1 the rules have errors; 2 the command could not be carried out
(arguments, a missing file); 3 the capture is broken; 4 a worker of a run died.";

/// Mirrors network traffic by declarative rules: how much of each packet is copied, and to whom.
#[derive(Debug, Parser)]
#[command(name = "mirrorc", version, styles = STYLES, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    #[arg(help = "Use colours: auto, always or never", hide_default_value = true)]
    pub color: Colour,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check rule files for errors and warnings
    Check(cmd::check::Args),
    /// Decide every packet of a capture or of interfaces, and send the copies
    Run(Box<cmd::run::Args>),
    /// Explain the decision about one packet
    Explain(cmd::explain::Args),
    /// Rewrite rule files in the canonical form
    Fmt(cmd::fmt::Args),
    /// List the fields that rules can ask for
    Fields(cmd::fields::Args),
    /// List or remove kernel forwarding (tc redirects)
    Bridge(cmd::bridge::Args),
    /// Run a demonstration bridge in network namespaces of its own
    Demo(cmd::demo::Args),
    /// Show what the compiler made of a program
    Emit(cmd::emit::Args),
    /// Load a program into a running mirrorc as a policy
    Load(cmd::control::Load),
    /// Unload a policy of a running mirrorc
    Unload(cmd::control::Unload),
    /// List the policies of a running mirrorc
    List(cmd::control::All),
    /// Show the texts of a policy
    Show(cmd::control::Show),
    /// Show the differences between two versions of a policy
    Diff(cmd::control::Diff),
    /// Load an older version of a policy again
    Rollback(cmd::control::Rollback),
    /// Show the health of a running mirrorc; exit code 1 when it is degraded
    Status(cmd::control::All),
    /// Release copies that are withheld because a binding policy could not be restored
    Release(cmd::control::Release),
    /// List, raise, clear and suppress triggers of a running mirrorc
    #[command(subcommand)]
    Trigger(cmd::control::Trigger),
    /// List and change tables of a running mirrorc
    #[command(subcommand)]
    Table(cmd::control::Table),
    /// List and change params of a running mirrorc
    #[command(subcommand)]
    Param(cmd::control::Param),
    /// Show flows of a running mirrorc by name, pin them: raise a trigger for one
    #[command(subcommand)]
    Flow(cmd::flows::Flow),
    /// List the largest flows of a running mirrorc
    Top(cmd::flows::Top),
    /// List and change the stations of a running mirrorc
    #[command(subcommand)]
    Station(cmd::station::Args),
    /// Show events of a running mirrorc: triggers, stations, policies; live or from its history
    Events(cmd::control::Events),
    /// Create an API token for a remote client
    Token(cmd::token::Args),
    /// Print completions for a shell
    Completions(cmd::completions::Args),
    /// Print the manual, a page for each command
    Man(cmd::man::Args),
}
