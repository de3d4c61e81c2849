//! `mirrorc bridge`: the redirects that `run --bridge` has the kernel do, and that stay after a
//! kill or with `--keep-forwarding`. The invariant: only redirects of mirrorc are listed and
//! removed, whoever else uses tc. (Rejected: a page on which tc commands to type.)

use super::run::pair;
use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::screen::{DIM, GOOD, Screen};
use crate::table::{Table, grouped, size};
use mrule_dataplane::live::{Redirects, owner};
use serde_json::{Value, json};

/// The arguments of `mirrorc bridge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what is redirected
    List {
        /// How to print it
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
        format: Format,
    },
    /// Stop forwarding between two interfaces
    Remove {
        /// The interfaces
        #[arg(value_name = "A:B", value_parser = pair)]
        bridge: (String, String),
        /// Also while a mirrorc runs on it, which puts the redirects back unless it was told not to
        #[arg(long)]
        force: bool,
    },
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let redirects = Redirects::new()?;
    match &args.action {
        Action::List { format } => {
            let found = redirects.list()?;
            match format {
                Format::Text if found.is_empty() => {
                    writeln!(
                        screen.out,
                        "{}",
                        screen.out_look.paint(DIM, "no bridges: the kernel forwards nothing for mirrorc")
                    )?;
                }
                Format::Text => {
                    let mut table = Table::new(&["from", "to", "owner", "packets", "failed", "bytes"]);
                    for r in found {
                        let owner = process(&r.from).map_or_else(|| "none".to_owned(), |pid| pid.to_string());
                        let to = r.to.unwrap_or_else(|| "(gone)".to_owned());
                        let numbers = [grouped(r.packets.into()), grouped(r.failed.into()), size(r.bytes)];
                        table.row([vec![r.from, to, owner], numbers.to_vec()].concat(), String::new());
                    }
                    let first = table.first();
                    table.print(first, screen.out_look, screen.out)?;
                }
                Format::Json => {
                    let rows: Value = found
                        .into_iter()
                        .map(|r| json!({ "from": r.from, "to": r.to, "owner": process(&r.from), "packets": r.packets, "failed": r.failed, "bytes": r.bytes }))
                        .collect();
                    writeln!(screen.out, "{rows}")?;
                }
            }
            Ok(Exit::Clean)
        }
        Action::Remove { bridge: (a, b), force } => {
            for name in [a, b].into_iter().filter(|_| !force) {
                let found = owner(name).map_err(|error| {
                    Failure::file("look for the owner of", name, &error)
                        .help("`--force` removes the redirects whoever owns them")
                })?;
                if let Some(owner) = found {
                    return Err(Failure::usage(format!(
                        "`{name}` is bridged by a mirrorc that runs, {owner}"
                    ))
                    .help("end it, which removes its redirects, or say `--force`"));
                }
            }
            let (first, second) = (redirects.remove(a)?, redirects.remove(b)?);
            if !first && !second {
                return Err(Failure::usage(format!("mirrorc forwards nothing between `{a}` and `{b}`"))
                    .help("`mirrorc bridge list` shows what it forwards"));
            }
            let what = match (first, second) {
                (true, true) => format!("the kernel no longer forwards between {a} and {b}"),
                (true, false) => format!("the kernel no longer forwards from {a}; from {b} it did not"),
                _ => format!("the kernel no longer forwards from {b}; from {a} it did not"),
            };
            writeln!(screen.out, "{} {what}", screen.out_look.paint(GOOD, "ok:"))?;
            Ok(Exit::Clean)
        }
    }
}

/// The process that forwards what enters by an interface; 0 is one of another PID namespace.
fn process(name: &str) -> Option<i32> {
    owner(name).ok().flatten().map(|owner| owner.pid.unwrap_or(0))
}
