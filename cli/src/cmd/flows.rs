//! `mirrorc flow` and `mirrorc top`: show and pin flows of a running mirrorc. The invariant: a flow
//! name that a command prints is valid as an argument. (Rejected: a built-in trigger for pinned
//! flows; the rules define what a pin does.)

use crate::client::{Sent, To, part};
use crate::exit::{Exit, Failure};
use crate::screen::{BOLD, GOOD, Screen, printable};
use crate::table::{Table, grouped, size};
use mrule_dataplane::live::MAIN;
use serde_json::{Map, Value, json};
use std::io;

/// The policy whose flows a command is about.
#[derive(Debug, clap::Args)]
pub struct Of {
    /// The name of the policy
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    policy: String,
    #[command(flatten)]
    to: To,
}

/// A flow, given by its name.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The name of the flow: tcp 10.0.0.1:1234 10.0.0.2:80, the two ends in either order
    #[arg(value_name = "FLOW", required = true)]
    flow: Vec<String>,
    #[command(flatten)]
    of: Of,
}

/// A flow, and the trigger that pins it.
#[derive(Debug, clap::Args)]
pub struct Pinned {
    #[command(flatten)]
    named: Named,
    /// The trigger to raise: an external trigger by flow. Needed only if the policy has several
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
}

/// The arguments of `mirrorc flow`.
#[derive(Debug, clap::Subcommand)]
pub enum Flow {
    /// Show packets, bytes, application and triggers of a flow
    Show(Named),
    /// Pin a flow: raise an external trigger by flow for it
    Pin {
        #[command(flatten)]
        pin: Pinned,
        /// How long the flow stays pinned, if the trigger holds for a time: `10m`
        #[arg(long = "for", value_name = "TIME")]
        lasts: Option<String>,
    },
    /// Unpin a flow: clear the trigger for it
    Unpin(Pinned),
}

/// The measure by which flows are ranked.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum By {
    /// Rank by bytes of both directions
    Bytes,
    /// Rank by packets of both directions
    Packets,
}

/// The arguments of `mirrorc top`.
#[derive(Debug, clap::Args)]
pub struct Top {
    /// The measure by which flows are ranked
    #[arg(long, default_value = "bytes")]
    by: By,
    /// The largest number of flows, up to 1000
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    of: Of,
}

type Done = Result<Exit, Failure>;

/// `mirrorc flow`.
pub fn flow(args: &Flow, screen: &mut Screen<'_>) -> Done {
    match args {
        Flow::Show(Named { flow, of }) => {
            let path = format!("/v1/flows/{}?policy={}", part(&flow.join(" ")), part(&of.policy));
            let answer = of.to.json("GET", &path, Sent::Nothing)?;
            if of.to.json {
                writeln!(screen.out, "{answer}")?;
            } else {
                show(&answer, screen)?;
            }
            Ok(Exit::Clean)
        }
        Flow::Pin { pin, lasts } => pin.change("raise", lasts.as_deref(), screen),
        Flow::Unpin(pin) => pin.change("clear", None, screen),
    }
}

/// `mirrorc top`.
pub fn top(args: &Top, screen: &mut Screen<'_>) -> Done {
    let Top { by, limit, of } = args;
    let by = match by {
        By::Bytes => "bytes",
        By::Packets => "packets",
    };
    let path = format!("/v1/flows/top?by={by}&limit={limit}&policy={}", part(&of.policy));
    let answer = of.to.json("GET", &path, Sent::Nothing)?;
    if of.to.json {
        writeln!(screen.out, "{answer}")?;
        return Ok(Exit::Clean);
    }
    if answer.as_array().is_none_or(Vec::is_empty) {
        writeln!(screen.out, "no flows")?;
        return Ok(Exit::Clean);
    }
    let mut table = Table::new(&["flow", "app", "packets", "bytes", "from client", "from server"]);
    for flow in answer.as_array().into_iter().flatten() {
        let bytes = |of: &Value| size(of["bytes"].as_u64().unwrap_or(0));
        let cells = vec![
            word(&flow["flow"]),
            word(&flow["app"]),
            grouped(flow["packets"].as_u64().unwrap_or(0)),
            bytes(flow),
            bytes(&flow["client"]),
            bytes(&flow["server"]),
        ];
        table.row(cells, words(&flow["triggers"]));
    }
    table.print(table.first(), screen.out_look, screen.out)?;
    Ok(Exit::Clean)
}

impl Pinned {
    fn change(&self, verb: &str, lasts: Option<&str>, screen: &mut Screen<'_>) -> Done {
        let Named { flow, of } = &self.named;
        let trigger = match &self.trigger {
            Some(trigger) => trigger.clone(),
            None => of.only_trigger()?,
        };
        let mut members = Map::new();
        members.insert("key".into(), json!(flow.join(" ")));
        if let Some(lasts) = lasts {
            members.insert("for".into(), json!(lasts));
        }
        let path = format!("/v1/policies/{}/triggers/{}/{verb}", part(&of.policy), part(&trigger));
        let done = of.to.json("POST", &path, Sent::Json(members.into()))?;
        if of.to.json {
            writeln!(screen.out, "{done}")?;
            return Ok(Exit::Clean);
        }
        let told = match word(&done["effect"]).as_str() {
            "raised" => format!("trigger {trigger} is active for this flow"),
            "extended" => format!("trigger {trigger} was already active for this flow"),
            "suppressed" => format!("trigger {trigger} was not raised: it is suppressed for this flow"),
            "full" => format!("trigger {trigger} was not raised: its capacity is used up"),
            "cleared" => format!("trigger {trigger} is no longer active for this flow"),
            _ => format!("trigger {trigger} was not active for this flow"),
        };
        writeln!(screen.out, "{} {told}", screen.out_look.paint(GOOD, "ok:"))?;
        Ok(Exit::Clean)
    }
}

impl Of {
    /// The external trigger by flow of the policy, if there is exactly one.
    fn only_trigger(&self) -> Result<String, Failure> {
        let path = format!("/v1/policies/{}/triggers", part(&self.policy));
        let triggers = self.to.json("GET", &path, Sent::Nothing)?;
        let fits = |trigger: &&Value| trigger["external"] == true && trigger["key"].is_null();
        let fitting = triggers.as_array().into_iter().flatten().filter(fits);
        let names: Vec<String> = fitting.map(|trigger| word(&trigger["name"])).collect();
        match names.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                let what = format!("policy {} has no external trigger by flow", self.policy);
                Err(Failure::usage(what).help(
                    "define in its rules what a pin does: `trigger keep by flow { external  hold flow }` and \
                     `rule keep { match any  snaplen full when keep  to ids }`",
                ))
            }
            several => {
                let what = format!("policy {} has several external triggers by flow", self.policy);
                Err(Failure::usage(what).help(format!("choose one with `--trigger`: {}", several.join(", "))))
            }
        }
    }
}

/// A text of the answer, without characters that control a terminal.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text).into_owned(),
        other => other.to_string(),
    }
}

fn words(of: &Value) -> String {
    of.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", ")
}

fn show(flow: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    writeln!(screen.out, "{}", screen.out_look.paint(BOLD, &word(&flow["flow"])))?;
    let mut line = |head: &str, what: &str| writeln!(screen.out, "  {head:<12}{what}");
    for (head, of) in [("packets", flow), ("client", &flow["client"]), ("server", &flow["server"])] {
        let packets = grouped(of["packets"].as_u64().unwrap_or(0));
        line(head, &format!("{packets} packets, {}", size(of["bytes"].as_u64().unwrap_or(0))))?;
    }
    line("app", &word(&flow["app"]))?;
    line("first", &word(&flow["first"]))?;
    line("last", &word(&flow["last"]))?;
    line(
        "both ends",
        if flow["established"] == true { "have sent packets" } else { "have not both sent packets yet" },
    )?;
    let active = words(&flow["triggers"]);
    line("active", if active.is_empty() { "-" } else { &active })?;
    for suppressed in flow["suppressed"].as_array().into_iter().flatten() {
        let until = match &suppressed["until"] {
            Value::Null => String::new(),
            until => format!(" until {}", word(until)),
        };
        line(
            "suppressed",
            &format!("{}{until} {}", word(&suppressed["trigger"]), word(&suppressed["reason"])),
        )?;
    }
    Ok(())
}
