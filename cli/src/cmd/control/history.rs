//! `mirrorc events`: prints events as they happen, or with `--history` earlier events, page by page
//! until the last. The invariant: both print an event in the same format. (Rejected: printing the
//! history and then live events; a script that reads the history needs an end.)

use super::show;
use crate::client::{Sent, To, part};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;
use serde_json::Value;

/// The arguments of `mirrorc events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc events                                    new events, until Ctrl-C
  mirrorc events --kind raised,station_down         new events of these kinds
  mirrorc events --history                          the last 100 events
  mirrorc events --history --since 1h               all events of the last hour
  mirrorc events --history --since 1d --kind change     who changed what in the last day

Kinds: raised, cleared, suppression, suppression_ended, station_down, station_up, interface_down,
interface_up, forwarding_down, forwarding_up, degraded, recovered, drops, drops_cleared, loaded,
unloaded, refused, change, unauthenticated, note. Without --history also: extended, vetoed,
suppressed, full (the history does not keep these kinds).")]
pub struct Args {
    /// Print events from the history, the newest last, and exit
    #[arg(long)]
    history: bool,
    /// Only events after this time: 2030-01-31T12:00:00Z, or a time span before now: 30m, 1h
    #[arg(long, value_name = "TIME", requires = "history")]
    since: Option<String>,
    /// Only events of these kinds, separated by commas: raised,change
    #[arg(long, value_name = "KINDS")]
    kind: Option<String>,
    /// The largest number of events; the default is 100, and no limit with `--since`
    #[arg(long, value_name = "N", requires = "history", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    to: To,
}

/// The largest number of events in a page.
const PAGE: u64 = 1000;

/// Runs the command.
pub fn events(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if args.history {
        return history(args, screen);
    }
    let path =
        args.kind.as_ref().map_or("/v1/events".into(), |kind| format!("/v1/events?kind={}", part(kind)));
    let (mut kind, mut ended) = (String::new(), None);
    args.to.lines(&path, |line| {
        if line.is_empty() {
            kind.clear();
        } else if let Some(name) = line.strip_prefix("event:") {
            kind = name.trim().to_owned();
        } else if let Some(data) = line.strip_prefix("data:") {
            if kind == "end" {
                ended = Some(data.trim().to_owned());
            } else {
                print(args, data.trim(), screen)?;
            }
        }
        screen.out.flush()
    })?;
    match ended {
        None => Ok(Exit::Clean),
        Some(why) => {
            let why: Value = serde_json::from_str(&why).unwrap_or_default();
            let why = why["reason"].as_str().unwrap_or("no reason was given").to_owned();
            Err(Failure::usage(format!("the stream of events was ended: {why}")))
        }
    }
}

fn history(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let mut left = args.limit.unwrap_or(if args.since.is_some() { u64::MAX } else { 100 });
    let mut asked = String::new();
    for (name, value) in [("since", &args.since), ("kind", &args.kind)] {
        if let Some(value) = value {
            asked.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let (mut after, mut found) = (String::new(), false);
    loop {
        let path = format!("/v1/events/history?limit={}{asked}{after}", left.min(PAGE));
        let page = args.to.json("GET", &path, Sent::Nothing)?;
        let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        for event in events {
            print(args, &event.to_string(), screen)?;
        }
        found |= !events.is_empty();
        left = left.saturating_sub(events.len() as u64);
        let Some(next) = page["next"].as_u64().filter(|_| left > 0) else {
            if !found && !args.to.json {
                writeln!(screen.out, "no events")?;
            }
            return Ok(Exit::Clean);
        };
        after = format!("&after={next}");
    }
}

fn print(args: &Args, data: &str, screen: &mut Screen<'_>) -> std::io::Result<()> {
    if args.to.json {
        return writeln!(screen.out, "{data}");
    }
    let event: Value = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
    show::event(&event, screen)
}
