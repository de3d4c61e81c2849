//! `mirrorc token`: creates a token for a remote client of a running mirrorc. The invariant: the
//! secret is shown once and written nowhere; the file gets its hash. (Rejected: creating tokens
//! over the API; a client with a token could create more.)

use crate::exit::{Exit, Failure};
use crate::screen::{GOOD, Screen};
use mrule_control::api::{Role, Token};
use mrule_dataplane::privilege::private;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

/// The arguments of `mirrorc token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc token alice --role operator --file tokens          may change triggers, tables, params
  mirrorc token acme --role author --policy acme --file tokens
  mirrorc token ids --role station --policy main --param head --file tokens

Roles: station (set the named params), viewer (read), operator (change triggers, tables and params),
author (load policies), admin (everything). Each role may also do what the roles before it may do.
On SIGHUP, a running mirrorc reads the file again; to revoke a token, remove its line first.")]
pub struct Args {
    /// A name for the client, which events show
    #[arg(value_name = "NAME")]
    name: String,
    /// The role of the client: station, viewer, operator, author or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// Allow the token to use only this policy
    #[arg(long, value_name = "POLICY", required_if_eq("role", "station"))]
    policy: Option<String>,
    /// Allow the station to set this param; may be given several times
    #[arg(long, value_name = "PARAM")]
    param: Vec<String>,
    /// The token file, to which the command adds a line; it is created if it does not exist
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

fn role(text: &str) -> Result<Role, String> {
    Role::of(text).ok_or_else(|| format!("the roles are: {}", Role::ALL.map(Role::name).join(", ")))
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    for word in [&args.name].into_iter().chain(&args.policy).chain(&args.param) {
        if word.is_empty() || !word.chars().all(plain) {
            return Err(Failure::usage(format!(
                "`{word}` is not valid in a token file; use letters, digits and `_-.@`"
            )));
        }
    }
    let token = Token {
        name: args.name.clone(),
        role: args.role,
        policy: args.policy.clone(),
        params: args.param.clone(),
    };
    let (secret, line) = token.mint().map_err(Failure::usage)?;
    let failed = |error| Failure::file("write to", args.file.display(), &error);
    let mut file = OpenOptions::new();
    let mut file = file.read(true).append(true).create(true).mode(0o600).open(&args.file).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    private::check(&args.file, mode, private::Open::ToReaders).map_err(Failure::usage)?;
    let mut there = String::new();
    file.read_to_string(&mut there).map_err(failed)?;
    if there.lines().any(|line| line.split_whitespace().next() == Some(args.name.as_str())) {
        let taken = format!("`{}` already has a token for `{}`", args.file.display(), args.name);
        return Err(Failure::usage(taken).help("remove its line first, or choose another name"));
    }
    let gap = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{gap}{line}\n").as_bytes()).map_err(failed)?;
    writeln!(screen.out, "{secret}")?;
    let good = screen.err_look.paint(GOOD, "added:");
    writeln!(
        screen.err,
        "{good} {} to {}; the secret above is shown only once",
        args.name,
        args.file.display()
    )?;
    Ok(Exit::Clean)
}
