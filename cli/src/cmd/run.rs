//! `mirrorc run`: runs a program over a capture and says what came of it. The invariant: the summary is the runtime's own
//! counts, and a capture that breaks off is told with its byte offset and exit code 3, after what was readable has been
//! processed. (Rejected: offering `--bridge` and `--tap` before they can do anything.)

use crate::exit::{Exit, Failure};
use crate::memory::Memory;
use crate::rules::Rules;
use crate::screen::{BAD, DIM, DOUBT, Look, Screen, printable};
use crate::summary;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::world::World;
use mrule_runtime::replay::{self, Progress};
use mrule_runtime::stats::Summary;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The arguments of `mirrorc run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mirrorc run web.mrule --read office.pcapng                  what would be copied, as a summary
  mirrorc run web.mrule --read office.pcapng --out copies/    and the copies: copies/STATION.pcapng
  zstdcat big.pcap.zst | mirrorc run web.mrule --read - --set head=1KiB --stats json

Copies keep the packet's time, interface and original length; each has the rule that decided, and
the limit that cut, in its comment.

Exit codes: 0 done, 1 the rules have errors, 2 the command could not be carried out, 3 the capture
is broken (what could be read was processed).")]
pub struct Args {
    #[command(flatten)]
    rules: Rules,
    /// The capture: pcap or pcapng, also gzip or zstd; `-` is standard input
    #[arg(long, value_name = "FILE")]
    read: PathBuf,
    /// Write each station's copies to DIR/STATION.pcapng; without it they are counted only
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What decides: native code, or the reference interpreter
    #[arg(long, value_enum, default_value_t)]
    engine: Kind,
    #[command(flatten)]
    memory: Memory,
    /// How to print the summary
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    stats: Stats,
    /// Print errors only: no warnings, no progress, no summary
    #[arg(long, short, conflicts_with = "stats")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Kind {
    #[default]
    Jit,
    Interp,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Stats {
    #[default]
    Text,
    Json,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let checked = match args.rules.program(!args.quiet, screen)? {
        Ok(checked) => checked,
        Err(exit) => return Ok(exit),
    };
    let program = Arc::new(checked.program);
    let world = World::new(&program).map_err(|e| Failure::usage(e.to_string()))?;
    let kind = match args.engine {
        Kind::Jit => EngineKind::Jit,
        Kind::Interp => EngineKind::Interp,
    };
    let engine = Engine::new(kind, program, &world)
        .map_err(|e| Failure::usage(e.to_string()).help("`--engine interp` runs without native code"))?;
    let options =
        replay::Options { read: args.read.clone(), out: args.out.clone(), limits: args.memory.limits() };
    let started = Instant::now();
    let mut bar = Bar::new(screen.err_look, !args.quiet && screen.err_look.live, started);
    let result = replay::replay(&options, &world, &engine, &mut |progress| bar.show(progress));
    bar.clear();
    let counts = result?;
    if !args.quiet {
        match args.stats {
            Stats::Text => {
                summary::text(&args.read, &counts, started.elapsed(), screen.out_look, screen.out)?;
            }
            Stats::Json => {
                let whole = serde_json::to_string_pretty(&summary::json(&args.read, &counts));
                writeln!(screen.out, "{}", whole.map_err(io::Error::from)?)?;
            }
        }
    }
    complain(args, &counts, screen)
}

/// Says what was not read, after all else, where it is seen.
fn complain(args: &Args, counts: &Summary, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    screen.out.flush()?;
    let look = screen.err_look;
    let name = args.read.display().to_string();
    let name = printable(&name);
    for (link, packets) in &counts.unsupported {
        let what = format!("of link type {link}, which is not supported, and were passed over");
        let packets = summary::packets(*packets);
        writeln!(screen.err, "{} {packets} of `{name}` are {what}", look.paint(DOUBT, "warning:"))?;
    }
    if counts.moved_times > 0 {
        let what = "times outside of 1970 to 2262, which were moved to the nearest end";
        writeln!(screen.err, "{} `{name}` has {} {what}", look.paint(DOUBT, "warning:"), counts.moved_times)?;
    }
    if let Some(at) = &counts.broken {
        writeln!(screen.err, "{} `{name}` is broken at {at}", look.paint(BAD, "error:"))?;
        let packets = summary::packets(counts.packets);
        writeln!(
            screen.err,
            "  {}",
            look.paint(DIM, &format!("what came before it was processed: {packets}"))
        )?;
    }
    Ok(if counts.is_complete() { Exit::Clean } else { Exit::Capture })
}

/// A progress bar that comes only when a run takes a while.
struct Bar {
    look: Look,
    wanted: bool,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// How long a run may take before the bar comes.
    const PATIENCE: Duration = Duration::from_millis(400);

    fn new(look: Look, wanted: bool, started: Instant) -> Bar {
        Bar { look, wanted, started, bar: None }
    }

    fn show(&mut self, progress: Progress) {
        if !self.wanted {
            return;
        }
        if self.bar.is_none() && self.started.elapsed() < Bar::PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| make(self.look, progress.length));
        bar.set_position(progress.read);
        let speed = progress.packets as f64 / self.started.elapsed().as_secs_f64();
        let (packets, speed) = (summary::packets(progress.packets), summary::grouped(speed as u64));
        bar.set_message(format!("{packets}, {speed}/s"));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn make(look: Look, length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:30} {percent:>3}%  {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} read, {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars(if look.unicode { "━╸─" } else { "=>-" }));
    bar
}
