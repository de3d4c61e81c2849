//! `mirrorc station`: the stations of a running mirrorc, listed and changed. The invariant: a
//! station is written as in a rule file. (Rejected: options for each setting; the language has
//! them.)

use super::control::{All, Policy, read, show, tell};
use crate::client::{Sent, part};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use serde_json::{Value, json};

/// The arguments of `mirrorc station`.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Show the stations, and what became of their copies
    List(All),
    /// Send a station's copies elsewhere, or by another limit, until it is reset
    Set {
        /// The station
        station: String,
        /// The words between its braces, as in a rule file: vxlan 192.0.2.11 vni 77 limit 10Mbit
        #[arg(required = true, value_name = "WORDS")]
        is: Vec<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Have a station be what its program says
    Reset(Named),
    /// Give a station no more copies; what waits for it is sent
    Drain(Named),
    /// Give it copies again
    Resume(Named),
}

/// A station of a policy.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The station
    station: String,
    #[command(flatten)]
    policy: Policy,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let path = |policy: &Policy, station: &str| {
        format!("/v1/policies/{}/stations/{}", part(&policy.policy), part(station))
    };
    match args {
        Args::List(all) => read(&all.to, "/v1/stations", screen, show::stations),
        Args::Set { station, is, policy } => {
            let is = is.join(" ");
            let done = policy.to.json("PUT", &path(policy, station), Sent::Json(json!({ "is": is })));
            let done = done.map_err(|failure| misspelled(failure, policy, station, &is))?;
            tell(&policy.to, &done, &format!("{station} is now {is}"), screen)
        }
        Args::Reset(Named { station, policy }) => {
            let done = policy.to.json("DELETE", &path(policy, station), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("{station} is what its program says"), screen)
        }
        Args::Drain(Named { station, policy }) => {
            let done = policy.to.json("POST", &format!("{}/drain", path(policy, station)), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("{station} gets no more copies"), screen)
        }
        Args::Resume(Named { station, policy }) => {
            let done = policy.to.json("POST", &format!("{}/resume", path(policy, station)), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("{station} gets copies again"), screen)
        }
    }
}

/// Kinds whose target is a path.
const PATHS: [&str; 2] = ["pcapng", "pipe"];

/// Settings that stand behind a target.
const SETTINGS: [&str; 9] = ["limit", "burst", "rotate", "keep", "port", "vni", "key", "session", "fragment"];

/// The words are refused by the compiler: says what they should be, in the words of a shell.
fn misspelled(failure: Failure, policy: &Policy, station: &str, is: &str) -> Failure {
    if failure.exit != Exit::Problems {
        return failure;
    }
    let mut words = is.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let better = if SETTINGS.contains(&first) {
        // What it is now, where the caller may see that.
        let target = target(policy, station).unwrap_or_else(|| "vxlan 192.0.2.11 vni 77".to_owned());
        let why = "the words begin with the station's kind and target, also where only a setting changes";
        Some((why.to_owned(), format!("{target} {is}")))
    } else if PATHS.contains(&first) && !second.is_empty() && !second.starts_with('"') {
        let rest = words.fold(String::new(), |rest, word| format!("{rest} {word}"));
        let why = "a path stands in quotes, which a shell takes away: put all of it into single ones";
        Some((why.to_owned(), format!("{first} \"{second}\"{rest}")))
    } else {
        None
    };
    let said = failure.help.clone().unwrap_or_default();
    let failed =
        Failure { message: format!("station {station} was not changed: `{is}` has errors"), ..failure };
    match better {
        Some((why, words)) => failed.help(format!("{said}\n{why}:\nmirrorc station set {station} '{words}'")),
        None => failed,
    }
}

/// What a station is, without its limit.
fn target(policy: &Policy, station: &str) -> Option<String> {
    let all = policy.to.json("GET", "/v1/stations", Sent::Nothing).ok()?;
    let is_it = |of: &&Value| of["policy"] == policy.policy.as_str() && of["name"] == station;
    let target = all.as_array()?.iter().find(is_it)?["target"].as_str()?.to_owned();
    Some(target.split(" limit ").next().unwrap_or_default().to_owned())
}
