//! `mirrorc bridge`: lists and removes the tc redirects by which the kernel forwards for `run
//! --bridge`. They stay after a kill, or with `--keep-forwarding`. The invariant: the command lists
//! and removes only redirects of mirrorc, also when other programs use tc. (Rejected: a page that
//! says which tc commands to type.)

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
    /// List the redirects
    List {
        /// Output format
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
        format: Format,
    },
    /// Remove the redirects between two interfaces, so that the kernel no longer forwards
    Remove {
        /// The two interfaces, as in `eth1:eth2`
        #[arg(value_name = "A:B", value_parser = pair)]
        bridge: (String, String),
        /// Remove the redirects of a mirrorc that is running, too; it restores them, unless it runs
        /// with `--no-repair`
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
                        screen.out_look.paint(DIM, "no bridges: the kernel has no redirects of mirrorc")
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
                        .help("use `--force` to remove the redirects without this check")
                })?;
                if let Some(owner) = found {
                    return Err(Failure::usage(format!("a running mirrorc, {owner}, bridges `{name}`"))
                        .help("stop that mirrorc, which removes its redirects, or use `--force`"));
                }
            }
            let (first, second) = (redirects.remove(a)?, redirects.remove(b)?);
            if !first && !second {
                return Err(Failure::usage(format!(
                    "there are no redirects of mirrorc between `{a}` and `{b}`"
                ))
                .help("`mirrorc bridge list` lists the redirects"));
            }
            let what = match (first, second) {
                (true, true) => format!("the kernel no longer forwards between {a} and {b}"),
                (true, false) => {
                    format!("the kernel no longer forwards from {a}; it did not forward from {b}")
                }
                _ => format!("the kernel no longer forwards from {b}; it did not forward from {a}"),
            };
            writeln!(screen.out, "{} {what}", screen.out_look.paint(GOOD, "ok:"))?;
            Ok(Exit::Clean)
        }
    }
}

/// The process that owns an interface of a bridge; 0 stands for a process of another PID namespace.
fn process(name: &str) -> Option<i32> {
    owner(name).ok().flatten().map(|owner| owner.pid.unwrap_or(0))
}
