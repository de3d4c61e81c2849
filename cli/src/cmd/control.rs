//! The commands for a running mirrorc. The invariant: a command sends few requests to the API, and
//! `--json` prints the answer unchanged. (Rejected: an interactive shell; scripts need commands.)

mod history;
pub(super) mod show;

pub use history::{Args as Events, events};

use crate::client::{Sent, To, part};
use crate::exit::{Exit, Failure};
use crate::rules::Rules;
use crate::screen::{DOUBT, GOOD, Screen, printable};
use mrule_dataplane::live::MAIN;
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

/// The policy whose tables, params or triggers a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct Policy {
    /// The name of the policy
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    pub(super) policy: String,
    #[command(flatten)]
    pub(super) to: To,
}

/// The arguments of `mirrorc load`.
#[derive(Debug, clap::Args)]
pub struct Load {
    #[command(flatten)]
    rules: Rules,
    /// The name of the policy; a policy of this name is replaced
    #[arg(long = "as", value_name = "NAME", default_value = MAIN)]
    name: String,
    /// Change nothing: show what the new version would keep and lose
    #[arg(long)]
    dry_run: bool,
    /// Make the policy binding: its limits without `to` also cut the copies of all other policies.
    /// Over the remote API, only an admin may do this
    #[arg(long)]
    binding: bool,
    #[command(flatten)]
    to: To,
}

/// The arguments of commands about one policy.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The name of the policy
    #[arg(value_name = "POLICY", default_value = MAIN)]
    name: String,
    #[command(flatten)]
    to: To,
}

/// The arguments of `mirrorc unload`.
#[derive(Debug, clap::Args)]
pub struct Unload {
    #[command(flatten)]
    named: Named,
    /// Unload `main`, or a binding policy, without asking for confirmation
    #[arg(long)]
    yes: bool,
}

/// The arguments of `mirrorc release`.
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The policy to release; without it, release all policies and the state
    #[arg(value_name = "POLICY")]
    policy: Option<String>,
    #[command(flatten)]
    to: To,
}

/// The arguments of `mirrorc show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    #[command(flatten)]
    named: Named,
    /// The version to show; without it, the current version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

/// The arguments of `mirrorc diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    #[command(flatten)]
    named: Named,
    /// The older version; without it, the previous version
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The newer version; without it, the current version
    #[arg(long = "until", value_name = "N")]
    until: Option<u64>,
}

/// The arguments of `mirrorc rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    named: Named,
    /// The version to load; without it, the previous version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Change nothing: show what the new version would keep and lose
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of commands that take no name.
#[derive(Debug, clap::Args)]
pub struct All {
    #[command(flatten)]
    pub(super) to: To,
}

/// The arguments of `mirrorc trigger`.
#[derive(Debug, clap::Subcommand)]
pub enum Trigger {
    /// List the triggers, or the keys for which a trigger is active
    List {
        /// The trigger; without it, list all triggers
        trigger: Option<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Raise an external trigger for a key
    Raise(Change),
    /// Clear a trigger for a key, or for all keys
    Clear(Change),
    /// Suppress a trigger for a key; hits are still counted
    Suppress {
        #[command(flatten)]
        change: Change,
        /// The reason, which `trigger list` and the event history show
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End the suppression of a key
    Unsuppress(Change),
}

/// A change of a trigger or table by key.
#[derive(Debug, Clone, clap::Args)]
pub struct Change {
    /// The name of the trigger or table
    name: String,
    /// The key: one argument for each of its parts
    #[arg(value_name = "KEY")]
    key: Vec<String>,
    /// How long the change lasts: `10m`, `1h`
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    #[command(flatten)]
    policy: Policy,
}

/// The arguments of `mirrorc table`.
#[derive(Debug, clap::Subcommand)]
pub enum Table {
    /// List the tables, or the rows of a table
    List {
        /// The name of the table
        table: Option<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Add a row, or change the value of a row
    Add {
        #[command(flatten)]
        change: Change,
        /// The value, if the table is a map; it may also follow the key as an argument
        #[arg(long)]
        value: Option<String>,
    },
    /// Remove a row
    Remove(Change),
    /// Replace all rows of a table in one step
    Replace {
        /// The name of the table
        table: String,
        /// A file of rows, a JSON object on each line: {"key": ["10.0.0.1"], "value": "alice",
        /// "for": "10m"}; `-` is standard input
        rows: PathBuf,
        #[command(flatten)]
        policy: Policy,
    },
}

/// The arguments of `mirrorc param`.
#[derive(Debug, clap::Subcommand)]
pub enum Param {
    /// List the params with their values and bounds
    List {
        #[command(flatten)]
        policy: Policy,
    },
    /// Set a param to a value within its bounds
    Set {
        /// The name of the param
        param: String,
        /// The value, written as in a rule file: 1KiB
        value: String,
        #[command(flatten)]
        policy: Policy,
    },
    /// Reset a param to the value in the program
    Reset {
        /// The name of the param
        param: String,
        #[command(flatten)]
        policy: Policy,
    },
}

type Done = Result<Exit, Failure>;

/// `mirrorc load`.
pub fn load(args: &Load, screen: &mut Screen<'_>) -> Done {
    let checked = match args.rules.to_load(args.binding, screen)? {
        Ok(checked) => checked,
        Err(exit) => return Ok(exit),
    };
    for name in checked.bundle.outside() {
        let (doubt, name) = (screen.err_look.paint(DOUBT, "warning:"), printable(name));
        writeln!(
            screen.err,
            "{doubt} `{name}` is outside the directory of the rule files; it is read on this machine and sent with them"
        )?;
    }
    let (roots, files) = checked.bundle.files();
    let set: Map<String, Value> =
        checked.bundle.sets().iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let (dry, binding) = (args.dry_run, if args.binding { "&binding=true" } else { "" });
    let path = format!("/v1/policies/{}?dry_run={dry}{binding}", part(&args.name));
    let sent = Sent::Json(json!({ "roots": roots, "files": files, "set": set }));
    let done = args.to.json("PUT", &path, sent)?;
    loaded(&args.to, &args.name, &done, screen)
}

fn loaded(to: &To, name: &str, done: &Value, screen: &mut Screen<'_>) -> Done {
    if to.json {
        writeln!(screen.out, "{done}")?;
    } else {
        show::loaded(name, done, screen)?;
    }
    Ok(Exit::Clean)
}

/// `mirrorc unload`.
pub fn unload(args: &Unload, screen: &mut Screen<'_>) -> Done {
    let Named { name, to } = &args.named;
    if !args.yes {
        let policies = to.json("GET", "/v1/policies", Sent::Nothing)?;
        let found = policies.as_array().into_iter().flatten().find(|policy| policy["name"] == name.as_str());
        let why = match found {
            Some(policy) if policy["binding"] == true => {
                "it is binding: its limits cut the copies of all policies"
            }
            Some(_) if name == MAIN => {
                "it is the policy of the rule files on the command line of `mirrorc run`"
            }
            _ => "",
        };
        if !why.is_empty() && !confirmed(name, why, screen)? {
            return Err(Failure::usage(format!("policy {name} was not unloaded: {why}"))
                .help("use `--yes` to unload it without confirmation; `mirrorc rollback` loads it again"));
        }
    }
    let done = to.json("DELETE", &format!("/v1/policies/{}", part(name)), Sent::Nothing)?;
    tell(to, &done, &format!("unloaded policy {name}; `mirrorc rollback {name}` loads it again"), screen)
}

/// Asks for confirmation on a terminal; without a terminal, the answer is no.
fn confirmed(name: &str, why: &str, screen: &mut Screen<'_>) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    write!(screen.err, "Unload policy {name}? {why} [y/N] ")?;
    screen.err.flush()?;
    let mut answer = Vec::new();
    let mut byte = [0; 1];
    while screen.input.read(&mut byte)? == 1 && byte != *b"\n" {
        answer.extend_from_slice(&byte);
    }
    Ok(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes"))
}

/// `mirrorc release`.
pub fn release(args: &Release, screen: &mut Screen<'_>) -> Done {
    let of = args.policy.as_ref().map_or(String::new(), |policy| format!("/policies/{}", part(policy)));
    let done = args.to.json("POST", &format!("/v1{of}/release"), Sent::Nothing)?;
    let names: Vec<&str> =
        done["released"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let told = match names.as_slice() {
        [] => "no copies were withheld".to_owned(),
        names => format!("released copies that were withheld because of {}", names.join(", ")),
    };
    tell(&args.to, &done, &told, screen)
}

/// `mirrorc list`.
pub fn list(args: &All, screen: &mut Screen<'_>) -> Done {
    read(&args.to, "/v1/policies", screen, show::policies)
}

/// `mirrorc show`.
pub fn show(args: &Show, screen: &mut Screen<'_>) -> Done {
    let version = args.version.map_or(String::new(), |version| format!("?version={version}"));
    let path = format!("/v1/policies/{}{version}", part(&args.named.name));
    read(&args.named.to, &path, screen, show::texts)
}

/// `mirrorc diff`.
pub fn diff(args: &Diff, screen: &mut Screen<'_>) -> Done {
    let asked = [("from", args.from), ("to", args.until)];
    let asked = asked.iter().filter_map(|(name, value)| Some(format!("{name}={}", (*value)?)));
    let path =
        format!("/v1/policies/{}/diff?{}", part(&args.named.name), asked.collect::<Vec<_>>().join("&"));
    let text = args.named.to.text("GET", &path, Sent::Nothing)?;
    if args.named.to.json {
        writeln!(screen.out, "{}", json!({ "diff": text }))?;
    } else if text.is_empty() {
        writeln!(screen.out, "the two versions are equal")?;
    } else {
        write!(screen.out, "{text}")?;
    }
    Ok(Exit::Clean)
}

/// `mirrorc rollback`.
pub fn rollback(args: &Rollback, screen: &mut Screen<'_>) -> Done {
    let version = args.version.map_or(String::new(), |version| format!("&version={version}"));
    let name = &args.named.name;
    let path = format!("/v1/policies/{}/rollback?dry_run={}{version}", part(name), args.dry_run);
    let done = args.named.to.json("POST", &path, Sent::Nothing)?;
    loaded(&args.named.to, name, &done, screen)
}

/// `mirrorc status`.
pub fn status(args: &All, screen: &mut Screen<'_>) -> Done {
    let answer = args.to.json("GET", "/v1/health", Sent::Nothing)?;
    if args.to.json {
        writeln!(screen.out, "{answer}")?;
    } else {
        show::health(&answer, screen)?;
    }
    Ok(if answer["status"] == "ok" { Exit::Clean } else { Exit::Problems })
}

/// `mirrorc trigger`.
pub fn trigger(args: &Trigger, screen: &mut Screen<'_>) -> Done {
    match args {
        Trigger::List { trigger: None, policy } => read(
            &policy.to,
            &format!("/v1/policies/{}/triggers", part(&policy.policy)),
            screen,
            show::triggers,
        ),
        Trigger::List { trigger: Some(trigger), policy } => {
            let path = format!("/v1/policies/{}/triggers/{}", part(&policy.policy), part(trigger));
            read(&policy.to, &path, screen, show::active)
        }
        Trigger::Raise(change) => change.make("triggers", "raise", &[], screen),
        Trigger::Clear(change) => change.make("triggers", "clear", &[], screen),
        Trigger::Suppress { change, reason } => {
            change.make("triggers", "suppress", &[("reason", Some(reason))], screen)
        }
        Trigger::Unsuppress(change) => change.make("triggers", "unsuppress", &[], screen),
    }
}

/// `mirrorc table`.
pub fn table(args: &Table, screen: &mut Screen<'_>) -> Done {
    match args {
        Table::List { table: None, policy } => {
            read(&policy.to, &format!("/v1/policies/{}/tables", part(&policy.policy)), screen, show::tables)
        }
        Table::List { table: Some(table), policy } => {
            let path = format!("/v1/policies/{}/tables/{}?limit=10000", part(&policy.policy), part(table));
            read(&policy.to, &path, screen, show::rows)
        }
        Table::Add { change, value } => {
            let (change, last) = change.with_value(value.is_none())?;
            let value = value.as_ref().or(last.as_ref());
            change.make("tables", "add", &[("value", value)], screen)
        }
        Table::Remove(change) => change.make("tables", "remove", &[], screen),
        Table::Replace { table, rows, policy } => {
            let mut bytes = Vec::new();
            if rows.as_os_str() == "-" {
                screen.input.read_to_end(&mut bytes).map(drop)
            } else {
                std::fs::File::open(rows).and_then(|mut file| file.read_to_end(&mut bytes)).map(drop)
            }
            .map_err(|error| Failure::file("read", rows.display(), &error))?;
            let path = format!("/v1/policies/{}/tables/{}", part(&policy.policy), part(table));
            let done = policy.to.json("PUT", &path, Sent::Rows(bytes))?;
            tell(&policy.to, &done, &format!("table {table} has {} rows", done["rows"]), screen)
        }
    }
}

/// `mirrorc param`.
pub fn param(args: &Param, screen: &mut Screen<'_>) -> Done {
    let path = |policy: &Policy, param: &str| {
        format!("/v1/policies/{}/params/{}", part(&policy.policy), part(param))
    };
    match args {
        Param::List { policy } => {
            read(&policy.to, &format!("/v1/policies/{}/params", part(&policy.policy)), screen, show::params)
        }
        Param::Set { param, value, policy } => {
            let sent = Sent::Json(json!({ "value": value }));
            let done = policy.to.json("PUT", &path(policy, param), sent)?;
            tell(&policy.to, &done, &format!("param {param} is {value}"), screen)
        }
        Param::Reset { param, policy } => {
            let done = policy.to.json("DELETE", &path(policy, param), Sent::Nothing)?;
            tell(&policy.to, &done, &format!("param {param} has the value of the program again"), screen)
        }
    }
}

impl Change {
    /// Takes the last part of the key as the value, if the table is a map whose key has one part
    /// less: `table add owners 10.1.0.1 joe`.
    fn with_value(&self, may: bool) -> Result<(Change, Option<String>), Failure> {
        let mut change = self.clone();
        if !may || self.key.len() < 2 {
            return Ok((change, None));
        }
        let path = format!("/v1/policies/{}/tables", part(&self.policy.policy));
        let tables = self.policy.to.json("GET", &path, Sent::Nothing)?;
        let fits = |table: &&Value| {
            let parts = table["key"].as_array().map_or(0, Vec::len);
            table["name"] == self.name.as_str() && !table["value"].is_null() && parts + 1 == self.key.len()
        };
        let is_map = tables.as_array().into_iter().flatten().any(|table| fits(&table));
        let value = if is_map { change.key.pop() } else { None };
        Ok((change, value))
    }

    fn make(
        &self,
        kind: &str,
        verb: &str,
        more: &[(&str, Option<&String>)],
        screen: &mut Screen<'_>,
    ) -> Done {
        let mut members = Map::new();
        if !self.key.is_empty() {
            members.insert("key".into(), json!(self.key));
        }
        let lasts = [("for", self.lasts.as_ref())];
        for (name, value) in lasts.iter().chain(more) {
            if let Some(value) = value {
                members.insert((*name).into(), json!(value));
            }
        }
        let path = format!("/v1/policies/{}/{kind}/{}/{verb}", part(&self.policy.policy), part(&self.name));
        let done = self.policy.to.json("POST", &path, Sent::Json(members.into()))?;
        let effect = done["effect"].as_str().unwrap_or_default();
        let told = match (effect, done["keys"].as_u64()) {
            ("nothing", _) => format!("{verb} {}: nothing to change", self.name),
            (effect, Some(keys)) => format!("{verb} {}: {effect}, {keys} keys", self.name),
            (effect, None) => format!("{verb} {}: {effect}", self.name),
        };
        tell(&self.policy.to, &done, &told, screen)
    }
}

/// Sends a GET request and shows the answer.
pub(super) fn read(
    to: &To,
    path: &str,
    screen: &mut Screen<'_>,
    show: fn(&Value, &mut Screen<'_>) -> std::io::Result<()>,
) -> Done {
    let answer = to.json("GET", path, Sent::Nothing)?;
    if to.json {
        writeln!(screen.out, "{answer}")?;
    } else {
        show(&answer, screen)?;
    }
    Ok(Exit::Clean)
}

pub(super) fn tell(to: &To, answer: &Value, told: &str, screen: &mut Screen<'_>) -> Done {
    if to.json {
        writeln!(screen.out, "{answer}")?;
    } else {
        writeln!(screen.out, "{} {told}", screen.out_look.paint(GOOD, "ok:"))?;
    }
    Ok(Exit::Clean)
}
