//! `mirrorc run` on interfaces: the arguments of a [`Daemon`], the signals that it is told of, and
//! what is counted, drawn now and then. The invariant: the last thing printed are the sums after
//! everything that was received has been decided and every copy has been sent or dropped.
//! (Rejected: a full-screen display; what was told before it is then gone.)

use super::remote::Listen;
use super::view::View;
use crate::alarms;
use crate::events::Events;
use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::live_summary::{self, Last};
use crate::live_table::Display;
use crate::memory;
use crate::report;
use crate::rules::Rules;
use crate::screen::{DOUBT, Screen};
use mrule_compiler::engine::EngineKind;
use mrule_compiler::hir::{Station, Target};
use mrule_control::api::Renderers;
use mrule_control::control::BindingFailure;
use mrule_control::daemon::{Daemon, Finished, Options, Privileged, Privileges, Program};
use mrule_dataplane::live::{self, Forward, Spread};
use mrule_dataplane::privilege::User;
use mrule_dataplane::sys::ring::Shape;
use mrule_engine::cost::Setting;
use mrule_engine::decider::Limits;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::flag;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The arguments for interfaces.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Interfaces")]
pub(super) struct Ports {
    /// Read the frames that arrive at this interface; may be given several times
    #[arg(long, value_name = "INTERFACE")]
    pub(super) tap: Vec<String>,
    /// Forward every frame between interfaces A and B, and read the frames that arrive at both; may
    /// be given several times
    #[arg(long, value_name = "A:B", value_parser = pair)]
    pub(super) bridge: Vec<(String, String)>,
    /// Whether the kernel or mirrorc forwards
    #[arg(long, value_enum, value_name = "WHO", default_value_t, requires = "bridge")]
    forward: Who,
    /// Keep the redirects when mirrorc ends, so that the kernel goes on forwarding
    #[arg(long, requires = "bridge")]
    keep_forwarding: bool,
    /// Do not restore a redirect that disappears during the run
    #[arg(long, requires = "bridge")]
    no_repair: bool,
    /// Replace a running mirrorc that bridges these interfaces, without an interruption of
    /// forwarding
    #[arg(long, requires = "bridge")]
    pub(super) take_over: bool,
    /// What to do with copies if mirrorc cannot restore a binding policy from `--state`
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, requires = "state")]
    binding_failure: Failing,
    /// Number of worker threads; one worker decides all packets of a flow [default: one for each
    /// core]
    #[arg(long, value_name = "N", conflicts_with = "read", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Size of the receive ring that each worker has for each interface [default: 16MiB]
    ///
    /// From 1MiB to 1GiB. The default holds 1 s of traffic at up to 100,000 packets a second of 64
    /// bytes, 300 ms at 300,000, and about 10,000 packets of 1,500 bytes; 1MiB holds 64 ms. Frames
    /// over 16,000 bytes (GRO, GSO) wait in a separate queue, which uses up to 32 MiB while they
    /// wait.
    #[arg(long, value_name = "SIZE", conflicts_with = "read", value_parser = ring)]
    ring: Option<u64>,
    /// How packets are spread over the workers
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, conflicts_with = "read")]
    spread: SpreadBy,
    /// Put the interfaces into promiscuous mode, to read frames that are addressed to other hosts,
    /// too
    #[arg(long, conflicts_with = "read")]
    promiscuous: bool,
    /// Switch off the kernel filter that drops packets which no rule can match
    #[arg(long, conflicts_with = "read")]
    no_prefilter: bool,
    /// Serve commands and the HTTP API at this Unix socket; only its owner can open it
    #[arg(long, value_name = "SOCKET", conflicts_with = "read")]
    pub(super) control: Option<PathBuf>,
    /// Save policies, tables, params, and raised and suppressed triggers in this directory, and
    /// restore them at the next start
    #[arg(long, value_name = "DIR", conflicts_with = "read")]
    pub(super) state: Option<PathBuf>,
    /// Pin the workers to these processors, in turn, as in `0,2-3`; without `--workers`, one worker
    /// runs on each
    #[arg(long, value_name = "CPUS", conflicts_with = "read", value_parser = processors)]
    pin: Option<Processors>,
    /// Switch to this user after the start [default: the user who called sudo, if any]
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "read")]
    pub(super) user: Option<String>,
    /// Switch off the system call filter (seccomp)
    #[arg(long, conflicts_with = "read")]
    pub(super) no_seccomp: bool,
    /// Time between two outputs of the counts [default: 10s; 1s for JSON and on a terminal]
    #[arg(long, value_name = "TIME", conflicts_with = "read", value_parser = memory::duration)]
    interval: Option<Duration>,
    #[command(flatten)]
    pub(super) listen: Listen,
    #[command(flatten)]
    pub(super) alarms: alarms::Receivers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Who {
    /// The kernel forwards by tc redirects, also under overload and after mirrorc is killed
    #[default]
    Kernel,
    /// mirrorc forwards, for systems without tc
    Userspace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum SpreadBy {
    /// By addresses while a policy tracks flows, otherwise also by ports
    #[default]
    Auto,
    /// By IP addresses: one worker gets all packets of a flow, including fragments and tunnels
    Addresses,
    /// Also by the ports of TCP, UDP and SCTP, for traffic between few pairs of hosts; a fragment
    /// may go to another worker than its flow
    Ports,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Failing {
    /// Withhold them until the policy is loaded again, unloaded, or released by `mirrorc release`
    #[default]
    Closed,
    /// Send them; `mirrorc status` shows what is missing
    Open,
}

/// The names of two interfaces: `A:B`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(':') => Ok((a.into(), b.into())),
        _ => Err("write two interfaces, separated by a colon, as in `eth1:eth2`".to_owned()),
    }
}

/// Numbers of processors.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Processors(Vec<usize>);

/// `0,2-3`.
fn processors(text: &str) -> Result<Processors, String> {
    let wrong = || format!("`{text}` is not a list of processors; write numbers and ranges, as in `0,2-3`");
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|cpu| *cpu < 1024);
        let (from, to) = number(from).zip(number(to)).filter(|(from, to)| from <= to).ok_or_else(wrong)?;
        all.extend(from..=to);
    }
    let twice = all.iter().enumerate().find(|(at, cpu)| all.iter().take(*at).any(|other| other == *cpu));
    match twice {
        Some((_, cpu)) => Err(format!("processor {cpu} is named twice")),
        None => Ok(Processors(all)),
    }
}

/// The memory of a ring.
fn ring(text: &str) -> Result<u64, String> {
    let bytes = memory::size(text)? as u64;
    if (1 << 20..=1 << 30).contains(&bytes) {
        return Ok(bytes);
    }
    Err("write a size from 1MiB to 1GiB; the default is 16MiB, which holds up to one second".to_owned())
}

impl Ports {
    /// Interfaces and workers.
    pub(super) fn live(&self, limits: Limits) -> live::Options {
        live::Options {
            taps: self.tap.clone(),
            bridges: self.bridge.clone(),
            forward: match self.forward {
                Who::Kernel => Forward::Kernel,
                Who::Userspace => Forward::Userspace,
            },
            keep_forwarding: self.keep_forwarding,
            workers: self.workers.unwrap_or(0).into(),
            pin: self.pin.clone().map(|Processors(all)| all).unwrap_or_default(),
            promiscuous: self.promiscuous,
            prefilter: !self.no_prefilter,
            ring: self.ring.map_or_else(Shape::default, Shape::of),
            spread: match self.spread {
                SpreadBy::Auto => Spread::Auto,
                SpreadBy::Addresses => Spread::Addresses,
                SpreadBy::Ports => Spread::Ports,
            },
            limits,
            no_repair: self.no_repair,
            ..live::Options::default()
        }
    }

    /// What a run on interfaces gives each policy.
    pub(super) fn setting(&self, limits: Limits) -> Setting {
        let workers = self.live(limits.clone()).worker_count();
        live::setting(limits, Some(workers))
    }

    /// What a daemon is told.
    pub(super) fn options(&self, rules: &Rules, kind: EngineKind, limits: Limits) -> Options {
        Options {
            engine: kind,
            live: self.live(limits),
            take_over: self.take_over,
            control: self.control.clone(),
            listen: self.listen.options(),
            bounds: self.listen.bounds(),
            grants: self.listen.granted(),
            state: self.state.clone(),
            on_binding_failure: match self.binding_failure {
                Failing::Closed => BindingFailure::Closed,
                Failing::Open => BindingFailure::Open,
            },
            receivers: self.alarms.options(),
            privileges: Some(Privileges { user: self.user.clone(), all_calls: self.no_seccomp }),
            ..Options::new(rules.files(), renderers())
        }
    }
}

/// How the API answers in the words of the command line.
pub fn renderers() -> Renderers {
    Renderers { diagnostics: report::json::value, stats: |report| live_summary::json(report, false) }
}

/// A failure, with who was refused something if that is not who started the run.
fn refused(failure: Failure, user: Option<&User>, args: &Ports) -> Failure {
    let Some(user) = user.filter(|_| failure.help.is_none() && failure.denied) else {
        return failure;
    };
    let why =
        if args.user.is_some() { "as `--user` says" } else { "who called sudo; `--user root` changes that" };
    failure.help(format!("mirrorc runs as `{}`, {why}", user.name))
}

/// Gives up what is not needed, and runs until it is told to end; `warn`: warnings are shown.
pub(super) fn run(
    options: Options,
    program: Program,
    args: &Ports,
    lines: &Events,
    (stats, warn): (Option<Format>, bool),
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let mut view = View { screen, display: Display::default(), args, stats, warn };
    let privileged = Privileged::open(options, &mut view)?;
    let user = privileged.user().cloned();
    let ran = serve(privileged, program, lines, &mut view);
    ran.map_err(|failure| refused(failure, user.as_ref(), args))
}

/// A flag that this signal sets.
fn on(signal: i32) -> Result<Arc<AtomicBool>, Failure> {
    let set = Arc::new(AtomicBool::new(false));
    flag::register(signal, set.clone()).map_err(unheard)?;
    Ok(set)
}

fn unheard(error: io::Error) -> Failure {
    Failure::file("listen to", "signals", &error)
}

fn serve(
    privileged: Privileged,
    program: Program,
    lines: &Events,
    view: &mut View<'_, '_>,
) -> Result<Exit, Failure> {
    let piped = |station: &Station| matches!(station.target, Target::Pipe { path: None });
    // Then standard output is a capture.
    let stations = &program.policy.program().stations;
    let piped = stations.iter().find(|station| piped(station)).map(|s| s.name.clone());
    if let (Some(station), Some(Format::Json)) = (&piped, view.stats) {
        let taken =
            format!("station `{station}` writes to standard output, where `--stats json` would write");
        return Err(Failure::usage(taken).help("leave out `--stats json`, or give the pipe a path"));
    }
    let stop = privileged.options().stop.clone();
    for signal in [SIGINT, SIGTERM] {
        // The second one does not wait.
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(unheard)?;
    }
    // A terminal that has another size now gets another table at once.
    let (again, resized) = (on(SIGHUP)?, on(SIGWINCH)?);
    let mut daemon = Daemon::start_with(privileged, program, view)?;
    let drawing = view.stats == Some(Format::Text) && view.screen.err_look.live;
    let interval = view.args.interval.unwrap_or(match view.stats {
        Some(Format::Json) => Duration::from_secs(1),
        _ if drawing => Duration::from_secs(1),
        _ => Duration::from_secs(10),
    });
    let mut last = Last::default();
    let mut next = Instant::now() + interval;
    while daemon.ending().is_none() {
        if again.swap(false, Ordering::Relaxed) {
            daemon.reload(view)?;
        }
        daemon.tick(next.saturating_duration_since(Instant::now()), view)?;
        if drawing && resized.swap(false, Ordering::Relaxed) {
            next = Instant::now();
        }
        if Instant::now() >= next {
            next += interval;
            if let (Some(format), Ok(report)) = (view.stats, daemon.report()) {
                view.counts(format, &report, (!drawing).then_some(&mut last))?;
            }
        }
    }
    view.display.clear(view.screen.err)?;
    let Finished { report, events } = daemon.stop(view)?;
    let View { screen, stats, .. } = view;
    let all_told = lines.written(&events, screen.err_look, screen.err)?;
    match stats {
        Some(Format::Text) if piped.is_some() => live_summary::text(&report, screen.err_look, screen.err)?,
        Some(Format::Text) => live_summary::text(&report, screen.out_look, screen.out)?,
        Some(Format::Json) => writeln!(screen.out, "{}", live_summary::json(&report, true))?,
        None => {}
    }
    screen.out.flush()?;
    if let Err(what) = report.check() {
        writeln!(screen.err, "{} the sums do not add up: {what}", screen.err_look.paint(DOUBT, "warning:"))?;
    }
    Ok(if all_told { Exit::Clean } else { Exit::Usage })
}
