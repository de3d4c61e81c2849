//! `mirrorc station`: the stations of a running mirrorc, listed and changed. The invariant: a station is written as in a rule
//! file. (Rejected: options for each setting; the language has them.)

use super::control::{All, Policy, read, show, tell};
use crate::client::{Sent, part};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use serde_json::json;

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
            let done = policy.to.json("PUT", &path(policy, station), Sent::Json(json!({ "is": is })))?;
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
