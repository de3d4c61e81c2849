//! The structure of the command line: the commands and the options that they share. The arguments
//! of each command stand beside its code in `cmd/`. The invariant: every option works today; a
//! planned option is not offered. (Rejected: options that answer "not yet"; a script cannot tell
//! that answer from a broken installation.)

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

Check it, run it on a capture, and explain the decision about one packet:

  mirrorc check first.mrule
  mirrorc run first.mrule --read office.pcapng --out copies/
  mirrorc explain first.mrule --read office.pcapng --frame 42

Exit codes: 0 success; 1 the rules have errors; 2 the command failed (wrong arguments, a missing
file); 3 a capture is damaged; 4 a worker thread of `run` died.";

/// Mirror network traffic by declarative rules: which packets are copied, how much of each, and to
/// which station
#[derive(Debug, Parser)]
#[command(name = "mirrorc", version, styles = STYLES, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    #[arg(help = "Use colours in the output: auto, always or never", hide_default_value = true)]
    pub color: Colour,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check rule files for errors and warnings
    Check(cmd::check::Args),
    /// Run rules on captures or network interfaces, and send the copies
    Run(Box<cmd::run::Args>),
    /// Explain why a packet of a capture was copied or not
    Explain(cmd::explain::Args),
    /// Format rule files
    Fmt(cmd::fmt::Args),
    /// List the packet fields that rules can use
    Fields(cmd::fields::Args),
    /// List or remove kernel forwarding (tc redirects)
    Bridge(cmd::bridge::Args),
    /// Show mirrorc at work on a demonstration network that it creates
    Demo(cmd::demo::Args),
    /// Print a compilation stage of a program: syntax tree, typed program, native code or BPF
    Emit(cmd::emit::Args),
    /// Load rule files into a running mirrorc as a policy
    Load(cmd::control::Load),
    /// Unload a policy from a running mirrorc
    Unload(cmd::control::Unload),
    /// List the policies of a running mirrorc
    List(cmd::control::All),
    /// Show the rule files of a policy
    Show(cmd::control::Show),
    /// Show the differences between two versions of a policy
    Diff(cmd::control::Diff),
    /// Load an earlier version of a policy again
    Rollback(cmd::control::Rollback),
    /// Show the health of a running mirrorc; the exit code is 1 if it is degraded or failing
    Status(cmd::control::All),
    /// Release copies that mirrorc withholds because it could not restore a binding policy
    Release(cmd::control::Release),
    /// List, raise, clear and suppress the triggers of a running mirrorc
    #[command(subcommand)]
    Trigger(cmd::control::Trigger),
    /// List and change the tables of a running mirrorc
    #[command(subcommand)]
    Table(cmd::control::Table),
    /// List and change the params of a running mirrorc
    #[command(subcommand)]
    Param(cmd::control::Param),
    /// Show a flow of a running mirrorc, or pin it by raising a trigger for it
    #[command(subcommand)]
    Flow(cmd::flows::Flow),
    /// List the largest flows of a running mirrorc
    Top(cmd::flows::Top),
    /// List and change the stations of a running mirrorc
    #[command(subcommand)]
    Station(cmd::station::Args),
    /// Show the events of a running mirrorc as they happen, or from its history
    Events(cmd::control::Events),
    /// Create an API token for a remote client
    Token(cmd::token::Args),
    /// Print the completion script for a shell
    Completions(cmd::completions::Args),
    /// Print the manual pages, one for each command
    Man(cmd::man::Args),
}
