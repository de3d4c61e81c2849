//! `mirrorc run`: runs a program over a capture or on interfaces. The invariant: a program that
//! `check` refuses is not run, whatever it was to run on. (Rejected: a command for each; what they
//! share is the program and its summary.)

mod live;
mod remote;
mod replay;
mod view;

pub use live::{pair, renderers};

use crate::compile_options::CompileOptions;
use crate::events::Events;
use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::memory;
use crate::rules::Rules;
use crate::screen::Screen;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_control::daemon::{self, Program};
use mrule_dataplane::Error;
use mrule_dataplane::replay::Options;
use mrule_engine::cost::cost;
use mrule_engine::policy::Policy;
use mrule_grammar::span::Span;
use signal_hook::consts::signal::SIGXFSZ;
use signal_hook::flag;
use std::path::PathBuf;
use std::sync::Arc;

/// The arguments of `mirrorc run`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").args(["read", "tap", "bridge"]).required(true).multiple(true))]
#[command(after_help = "\
Examples:
  mirrorc run web.mrule --read office.pcapng                  count what would be copied
  mirrorc run web.mrule --read office.pcapng --out copies/    also write copies/STATION.pcapng
  zstdcat big.pcap.zst | mirrorc run web.mrule --read - --set head=1KiB --stats json
  mirrorc run web.mrule --read 1.pcap --read 2.pcap           read two files as one stream
  mirrorc run web.mrule --tap eth1 --tap eth2                 mirror two interfaces, until Ctrl-C
  mirrorc run web.mrule --bridge eth1:eth2                    forward between both, and mirror

Copies keep the time, interface and original length of the packet. The packet comment of a copy names
the rule that decided and the limit that cut it. While mirrorc reads a pipe, the files are complete
up to the last tenth of a second. SIGINT (Ctrl-C) or SIGTERM ends the reading of captures; files and
counts then have every packet up to that point. A second signal ends the process at once.

Exit codes: 0 success; 1 the rules have errors; 2 the command failed; 3 a capture is damaged (the
readable part was processed); 4 a worker thread died; 130 or 143 SIGINT or SIGTERM ended the reading
of captures.")]
pub struct Args {
    #[command(flatten)]
    rules: Rules,
    /// A capture file: pcap or pcapng, also compressed with gzip or zstd; `-` is standard input.
    /// Several files are one stream, in the given order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tap", "bridge"])]
    read: Vec<PathBuf>,
    /// Write the copies of each station to DIR/STATION.pcapng; without it, copies are only counted
    #[arg(long, value_name = "DIR", requires = "read", conflicts_with_all = ["tap", "bridge"])]
    out: Option<PathBuf>,
    #[command(flatten)]
    live: live::Ports,
    /// How to execute the rules: as native code, or by the reference interpreter
    #[arg(long, value_enum, default_value_t, help_heading = None)]
    engine: Kind,
    #[command(flatten)]
    memory: memory::Memory,
    #[command(flatten)]
    compile: CompileOptions,
    #[command(flatten)]
    events: Events,
    /// Output format of the counts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = None)]
    stats: Format,
    /// Print only errors: no warnings about the rules, no progress, no counts
    #[arg(long, short, conflicts_with = "stats", help_heading = None)]
    quiet: bool,
    /// Let the group read captures: files get mode 0640 and directories 0750; without it, 0600 and
    /// 0700
    #[arg(long, help_heading = None)]
    pub group_readable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Kind {
    #[default]
    Jit,
    Interp,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    // A file that may grow no more (setrlimit(2), RLIMIT_FSIZE) is a write that fails, not the end.
    let full = flag::register(SIGXFSZ, Arc::default());
    full.map_err(|error| Failure::file("listen to", "signals", &error))?;
    args.rules.with_captures(&args.read)?;
    let budget = args.compile.limits().budget();
    let checked = match args.rules.program_within(&budget, !args.quiet, "nothing was run", screen)? {
        Ok(checked) => checked,
        Err(exit) => return Ok(exit),
    };
    let program = Arc::new(checked.program);
    let environment = Environment::new(&program).map_err(|e| Failure::usage(e.to_string()))?;
    let setting = match args.read.is_empty() {
        false => mrule_dataplane::replay::setting(args.memory.limits()),
        true => args.live.setting(args.memory.limits()),
    };
    let cost = cost(&program, &environment, &setting)?;
    let admitted = args.memory.budget().admit(&cost, 0, false);
    admitted.map_err(|over| {
        let place = over.parts.first().and_then(|part| part.place);
        let at = |place: Span| {
            let (line, _) = checked.sources.line_column(place.file, place.start);
            format!("{}:{line}: ", checked.sources.get(place.file).map_or("", |source| source.name.as_str()))
        };
        let place = place.map(at).unwrap_or_default();
        Failure::usage(format!("{place}{over}")).help(over.help())
    })?;
    let kind = match args.engine {
        Kind::Jit => EngineKind::Jit,
        Kind::Interp => EngineKind::Interp,
    };
    let engine = Engine::within(kind, program.clone(), &environment, &budget)
        .map_err(|e| Failure::usage(e.to_string()).help("`--engine interp` runs without native code"))?;
    let engine = Arc::new(engine);
    let stats = (!args.quiet && !args.events.on_stdout()).then_some(args.stats);
    if !args.read.is_empty() {
        let options = Options {
            read: args.read.clone(),
            out: args.out.clone(),
            limits: args.memory.limits(),
            changes: args.events.changes(&program)?,
            ..Options::default()
        };
        let policy = Policy::try_repeatable(engine, environment).map_err(Error::from)?;
        return replay::run(policy, &options, &args.events, stats, screen);
    }
    let program = Program {
        policy: Policy::try_new(engine, environment)
            .map_err(Error::from)?
            .counted(cost.bytes_without_tables()),
        bundle: checked.bundle,
    };
    let options = daemon::Options {
        events: args.events.options(),
        compile: args.compile.limits(),
        memory: args.memory.budget(),
        ..args.live.options(&args.rules, kind, args.memory.limits())
    };
    live::run(options, program, &args.live, &args.events, (stats, !args.quiet), screen)
}
