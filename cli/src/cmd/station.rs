//! `mirrorc station`: lists and changes the stations of a running mirrorc. The invariant: a station
//! is written as in a rule file. (Rejected: an option for each setting; the language already has
//! the settings.)

use super::control::{All, Policy, read, show, tell};
use crate::client::{Sent, part};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use serde_json::{Value, json};

/// The arguments of `mirrorc station`.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// List the stations with their state and their counts of copies
    List(All),
    /// Change the target or a setting of a station until it is reset
    Set {
        /// The name of the station
        station: String,
        /// The target and settings, as between the braces in a rule file: vxlan 192.0.2.11 vni 77
        /// limit 10Mbit
        #[arg(required = true, value_name = "WORDS")]
        is: Vec<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Reset a station to the target and settings in the program
    Reset(Named),
    /// Send no more copies to a station; copies that wait in its queue are still sent
    Drain(Named),
    /// Send copies to a drained station again
    Resume(Named),
}

/// A station of a policy.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The name of the station
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
            tell(&policy.to, &done, &format!("{station} has the settings of its program again"), screen)
        }
        Args::Drain(Named { station, policy }) => {
            let done = policy.to.json("POST", &format!("{}/drain", path(policy, station)), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("{station} is drained: it receives no new copies"), screen)
        }
        Args::Resume(Named { station, policy }) => {
            let done = policy.to.json("POST", &format!("{}/resume", path(policy, station)), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("{station} receives copies again"), screen)
        }
    }
}

/// The kinds of stations whose target is a path.
const PATHS: [&str; 2] = ["pcapng", "pipe"];

/// The settings that may follow a target.
const SETTINGS: [&str; 9] = ["limit", "burst", "rotate", "keep", "port", "vni", "key", "session", "fragment"];

/// Adds to a compiler error how to write the words in a shell.
fn misspelled(failure: Failure, policy: &Policy, station: &str, is: &str) -> Failure {
    if failure.exit != Exit::Problems {
        return failure;
    }
    let mut words = is.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let better = if SETTINGS.contains(&first) {
        // The current target, if the caller may see it.
        let target = target(policy, station).unwrap_or_else(|| "vxlan 192.0.2.11 vni 77".to_owned());
        let why = "write the station's kind and target first, also to change only a setting";
        Some((why.to_owned(), format!("{target} {is}")))
    } else if PATHS.contains(&first) && !second.is_empty() && !second.starts_with('"') {
        let rest = words.fold(String::new(), |rest, word| format!("{rest} {word}"));
        let why = "a path needs quotes, and a shell removes them: put all the words into single quotes";
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

/// The current target of a station, without its limit.
fn target(policy: &Policy, station: &str) -> Option<String> {
    let all = policy.to.json("GET", "/v1/stations", Sent::Nothing).ok()?;
    let is_it = |of: &&Value| of["policy"] == policy.policy.as_str() && of["name"] == station;
    let target = all.as_array()?.iter().find(is_it)?["target"].as_str()?.to_owned();
    Some(target.split(" limit ").next().unwrap_or_default().to_owned())
}
