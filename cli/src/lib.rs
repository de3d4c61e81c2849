//! The `mirrorc` command line as a library: the binary is one call of [`run`], and tests make the
//! same call with their own streams. The code here reads arguments, calls the compiler or the
//! runtime, and prints. The invariant: this crate makes no decision about packets or programs.
//! (Rejected: only a binary; tests would have to start a process for each output.)
//!
//! ```
//! use mirrorc::{Exit, Look, Screen};
//!
//! let (mut out, mut err) = (Vec::new(), Vec::new());
//! let mut screen = Screen {
//!     input: &mut std::io::empty(),
//!     out: &mut out,
//!     err: &mut err,
//!     out_look: Look::PLAIN,
//!     err_look: Look::PLAIN,
//! };
//! let exit = mirrorc::run(["mirrorc", "fields", "tcp.port"].map(Into::into), &mut screen);
//! assert_eq!(exit, Exit::Clean);
//! assert!(String::from_utf8_lossy(&out).contains("tcp.port"));
//! ```
#![doc = "\n---\n"]
#![doc = include_str!("../../README.md")]

mod alarms;
mod args;
mod client;
mod cmd;
mod compile_options;
mod cost;
mod events;
mod exit;
mod format;
mod live_summary;
mod live_table;
mod memory;
mod packet;
pub mod pages;
pub mod report;
mod rules;
mod screen;
mod summary;
mod table;
mod tracking;
mod tree;

pub use cmd::run::renderers;
pub use exit::{Exit, Failure};
pub use screen::{Colour, Look, Quiet, Screen, err_look, out_look};

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use mrule_dataplane::privilege::private;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::process::ExitCode;

/// Runs one command line, with the program name first, and returns its exit code. Prints a failure
/// before it returns. It does not change the umask of the process; files of a run are private by
/// their modes.
pub fn run(args: impl IntoIterator<Item = OsString>, screen: &mut Screen<'_>) -> Exit {
    run_in(args, screen, |_| ())
}

/// Like [`run`]; calls `before` with the command before it runs.
fn run_in(
    args: impl IntoIterator<Item = OsString>,
    screen: &mut Screen<'_>,
    before: impl FnOnce(&Command),
) -> Exit {
    let ended = dispatch(args, screen, before).and_then(|exit| {
        screen.out.flush()?;
        Ok(exit)
    });
    // If standard error cannot be written either, only the exit code remains.
    let exit = ended.unwrap_or_else(|failure| {
        let _ = screen.out.flush();
        let _ = screen.fail(&failure);
        failure.exit
    });
    let _ = screen.err.flush();
    exit
}

/// The whole program: [`run`] with the arguments and streams of the process. Sets the umask for
/// `mirrorc run`.
pub fn main() -> ExitCode {
    let mut out = BufWriter::new(Quiet::new(io::stdout()));
    let mut err = Quiet::new(io::stderr());
    let mut screen = Screen {
        input: &mut io::stdin(),
        out: &mut out,
        err: &mut err,
        out_look: out_look(),
        err_look: err_look(),
    };
    let before = |command: &Command| {
        if let Command::Run(args) = command {
            private::files(args.group_readable);
        }
    };
    ExitCode::from(run_in(std::env::args_os(), &mut screen, before).code())
}

fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    screen: &mut Screen<'_>,
    before: impl FnOnce(&Command),
) -> Result<Exit, Failure> {
    let command = Cli::command().term_width(screen.out_look.width.min(100));
    let cli = match command.try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => return Ok(say(&error, screen)?),
    };
    screen.choose(cli.color);
    before(&cli.command);
    match cli.command {
        Command::Check(args) => cmd::check::run(&args, screen),
        Command::Run(args) => cmd::run::run(&args, screen),
        Command::Explain(args) => cmd::explain::run(&args, screen),
        Command::Fmt(args) => cmd::fmt::run(&args, screen),
        Command::Fields(args) => cmd::fields::run(&args, screen),
        Command::Bridge(args) => cmd::bridge::run(&args, screen),
        Command::Demo(args) => cmd::demo::run(&args, screen),
        Command::Emit(args) => cmd::emit::run(&args, screen),
        Command::Load(args) => cmd::control::load(&args, screen),
        Command::Unload(args) => cmd::control::unload(&args, screen),
        Command::List(args) => cmd::control::list(&args, screen),
        Command::Show(args) => cmd::control::show(&args, screen),
        Command::Diff(args) => cmd::control::diff(&args, screen),
        Command::Rollback(args) => cmd::control::rollback(&args, screen),
        Command::Status(args) => cmd::control::status(&args, screen),
        Command::Release(args) => cmd::control::release(&args, screen),
        Command::Trigger(args) => cmd::control::trigger(&args, screen),
        Command::Table(args) => cmd::control::table(&args, screen),
        Command::Param(args) => cmd::control::param(&args, screen),
        Command::Flow(args) => cmd::flows::flow(&args, screen),
        Command::Top(args) => cmd::flows::top(&args, screen),
        Command::Station(args) => cmd::station::run(&args, screen),
        Command::Token(args) => cmd::token::run(&args, screen),
        Command::Events(args) => cmd::control::events(&args, screen),
        Command::Completions(args) => cmd::completions::run(&args, Cli::command(), screen),
        Command::Man(args) => cmd::man::run(&args, Cli::command(), screen),
    }
}

/// Prints the output of the argument parser: help and version are results, all else is an error.
fn say(error: &clap::Error, screen: &mut Screen<'_>) -> io::Result<Exit> {
    let (to, look, exit): (&mut dyn io::Write, Look, Exit) = if error.use_stderr() {
        (screen.err, screen.err_look, Exit::Usage)
    } else {
        (screen.out, screen.out_look, Exit::Clean)
    };
    let text = error.render();
    if look.colour {
        write!(to, "{}", text.ansi())?
    } else {
        write!(to, "{text}")?
    }
    Ok(exit)
}
