//! `mirrorc run` on interfaces: starts the runtime, prints what happens and what is counted, and
//! ends it on SIGINT or SIGTERM. The invariant: the last thing printed are the sums after
//! everything that was received has been decided and every copy has been sent or dropped.
//! (Rejected: a full-screen display; what was told before it is then gone.)

use super::afar::Listen;
use super::begin::{self, Privileged};
use super::claim::{Claimed, claim};
use super::notifier::{Notifier, process};
use super::reload::Reloading;
use crate::alarms;
use crate::events::Events;
use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::live_summary::{self, Last};
use crate::live_table::Display;
use crate::memory;
use crate::report;
use crate::rules::Rules;
use crate::screen::{self, BAD, DOUBT, Screen};
use mrule_compiler::hir::{Station, Target};
use mrule_control::api::{Renderers, Server, TlsListener};
use mrule_control::compile_queue::CompileLimits;
use mrule_control::control::{BindingFailure, Bundle, Control, Memory, Start};
use mrule_control::event::{Kind, Record};
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::live::{Forward, Live, Options, Spread};
use mrule_dataplane::sys::ring::Shape;
use mrule_engine::decider::{Limits, Observer};
use mrule_engine::policy::Policy;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::flag;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// The arguments for interfaces.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Interfaces")]
pub(super) struct Ports {
    /// Read the frames that arrive at this interface; may be given several times
    #[arg(long, value_name = "INTERFACE")]
    tap: Vec<String>,
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

impl Ports {
    /// How many taps there are, of all workers together.
    pub(super) fn taps_of_workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let pinned = self.pin.as_ref().map(|Processors(all)| all.len());
        let workers = self.workers.map(usize::from).or(pinned).unwrap_or_else(cores);
        workers * self.tap.len()
    }
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
    /// How many workers there will be.
    pub(super) fn workers(&self) -> usize {
        let pinned = self.pin.as_ref().map(|pin| pin.0.len());
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.map(usize::from).or(pinned).unwrap_or_else(all)
    }
}

/// How often interfaces are looked at.
const WATCH: Duration = Duration::from_millis(200);

/// The program to begin with, and where it came from.
pub(super) struct First<'a> {
    pub policy: Policy,
    pub bundle: Bundle,
    pub rules: &'a Rules,
    /// What each compilation may take.
    pub compile: CompileLimits,
    /// What all policies may take.
    pub memory: Memory,
    /// Show warnings.
    pub warn: bool,
}

/// How often what has ended is forgotten in the directory of the state.
const SWEEP: Duration = Duration::from_secs(60);

/// The files of the run itself, which no station writes.
fn own_files(args: &Ports, bundle: &Bundle, lines: &Events) -> Vec<(PathBuf, &'static str)> {
    let named = [(&args.state, "the directory of the state"), (&args.control, "the control socket")];
    let named = named.into_iter().filter_map(|(path, what)| Some((path.as_ref()?, what)));
    let named = named.chain(args.listen.files()).chain(args.alarms.files());
    let named = named.chain(lines.file().map(|path| (path, "the file of events")));
    let rules = bundle.texts().map(|(name, _)| (PathBuf::from(name), "a file of the rules"));
    named.map(|(path, what)| (path.clone(), what)).chain(rules).collect()
}

/// Gives up what is not needed, and runs until it is told to end.
pub(super) fn run(
    first: First<'_>,
    args: &Ports,
    limits: Limits,
    lines: &Events,
    stats: Option<Format>,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let begun = Privileged::new(args, first.warn, screen)?;
    let user = begun.user.clone();
    let ran = run_as(begun, first, args, limits, lines, stats, screen);
    ran.map_err(|failure| begin::refused(failure, user.as_ref(), args))
}

fn run_as(
    begun: Privileged,
    first: First<'_>,
    args: &Ports,
    limits: Limits,
    lines: &Events,
    stats: Option<Format>,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let Privileged { user, afar, alarms, spares, grants } = begun;
    let piped = |station: &Station| matches!(station.target, Target::Pipe { path: None });
    // Then standard output is a capture.
    let First { policy, bundle, rules, compile, memory, warn } = first;
    let piped = policy.program().stations.iter().find(|station| piped(station)).map(|s| s.name.clone());
    if let (Some(station), Some(Format::Json)) = (&piped, stats) {
        let taken =
            format!("station `{station}` writes to standard output, where `--stats json` would write");
        return Err(Failure::usage(taken).help("leave out `--stats json`, or give the pipe a path"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one does not wait.
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| Failure::file("listen to", "signals", &error))?;
    }
    let forward = match args.forward {
        Who::Kernel => Forward::Kernel,
        Who::Userspace => Forward::Userspace,
    };
    let pin = args.pin.clone().map(|Processors(all)| all).unwrap_or_default();
    if args.take_over {
        // One that could not work leaves the old one at work.
        Live::check_start(&args.tap, &args.bridge, forward, &pin, policy.program())?;
    }
    let Claimed { socket, ownership, afar } = claim(args, afar, &stop, warn, screen)?;
    let again = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, again.clone()).map_err(|error| Failure::file("listen to", "signals", &error))?;
    let confinement = Confinement::new(grants, own_files(args, &bundle, lines), stop.clone());
    // A terminal that has another size now gets another table at once.
    let resized = Arc::new(AtomicBool::new(false));
    flag::register(SIGWINCH, resized.clone())
        .map_err(|error| Failure::file("listen to", "signals", &error))?;
    let options = Options {
        taps: args.tap.clone(),
        bridges: args.bridge.clone(),
        forward,
        keep_forwarding: args.keep_forwarding,
        workers: args.workers.unwrap_or(0).into(),
        pin,
        promiscuous: args.promiscuous,
        prefilter: !args.no_prefilter,
        ring: args.ring.map_or_else(Shape::default, Shape::of),
        spares,
        spread: match args.spread {
            SpreadBy::Auto => Spread::Auto,
            SpreadBy::Addresses => Spread::Addresses,
            SpreadBy::Ports => Spread::Ports,
        },
        limits,
        confinement: Arc::new(confinement),
        no_repair: args.no_repair,
        ownership: Some(ownership.clone()),
    };
    let mut reloading = Reloading::new(rules.clone(), afar.as_ref().map(TlsListener::renewal), warn);
    let (tell, events) = sync_channel(1024);
    let mut notifier = Notifier::start(args, alarms, &tell, &stop)?;
    let hub = notifier.hub().clone();
    let writer = lines.writer(false, notifier.wanted())?.map(Arc::new);
    let kind = policy.engine().kind();
    let confinement = &options.confinement;
    let start = Start::new(kind, policy, bundle, args.state.as_deref(), confinement, compile, memory);
    let mut start = start.on_binding_failure(match args.binding_failure {
        Failing::Closed => BindingFailure::Closed,
        Failing::Open => BindingFailure::Open,
    });
    // Files of the run that were made now are there.
    options.confinement.record_own_files();
    let first = start.first();
    let observer = writer.clone().map(|writer| writer as Arc<dyn Observer>);
    let live = Live::start_with(first, &options, observer, tell, |live| start.restore(live))?;
    let died = live.died();
    let workers = live.workers();
    if stats.is_some() {
        let workers = match workers {
            1 => "1 worker".to_owned(),
            n => format!("{n} workers"),
        };
        let bridges = args.bridge.iter().map(|(a, b)| format!("bridging {a} and {b}"));
        let taps = args.tap.iter().map(|name| format!("reading {name}"));
        let what: Vec<String> = taps.chain(bridges).collect();
        let as_user = user.map(|user| format!(", as {}", user.name)).unwrap_or_default();
        writeln!(screen.err, "{} with {workers}{as_user}; Ctrl-C ends", what.join(", "))?;
    }
    let (control, told) = Control::new(live, kind, start, writer.clone());
    let control = control.with_subscribers(notifier.subscribers().clone());
    for what in told.into_iter().filter(|_| warn) {
        writeln!(screen.err, "{} {what}", screen.err_look.paint(BAD, "warning:"))?;
    }
    let control = Arc::new(control);
    notifier.started(warn, screen)?;
    let mut swept = Instant::now();
    let renderers =
        Renderers { diagnostics: report::json::value, stats: |report| live_summary::json(report, false) };
    if let (Some(afar), true) = (&afar, stats.is_some()) {
        writeln!(screen.err, "listening at https://{}", afar.address()?)?;
    }
    let server = (socket.is_some() || afar.is_some())
        .then(|| Server::start(socket, afar, control.clone(), hub.clone(), renderers, args.listen.bounds()))
        .transpose()?;
    let drawing = stats == Some(Format::Text) && screen.err_look.live;
    let interval = args.interval.unwrap_or(match stats {
        Some(Format::Json) => Duration::from_secs(1),
        _ if drawing => Duration::from_secs(1),
        _ => Duration::from_secs(10),
    });
    let (mut last, mut display) = (Last::default(), Display::default());
    let mut next = Instant::now() + interval;
    let successor = || ownership.taken_over();
    while !stop.load(Ordering::Relaxed) && died.worker().is_none() && successor().is_none() {
        let wait = next.saturating_duration_since(Instant::now()).min(WATCH);
        if let Ok(event) = events.recv_timeout(wait) {
            hub.tell(Record::from(&event));
            display.clear(screen.err)?;
            writeln!(screen.err, "{} {event}", screen.err_look.paint(DOUBT, "note:"))?;
            continue;
        }
        if again.swap(false, Ordering::Relaxed) {
            display.clear(screen.err)?;
            reloading.start(&control, &hub, screen)?;
        }
        if reloading.is_done() {
            display.clear(screen.err)?;
            reloading.show(&control, &hub, screen)?;
        }
        control.with_live(Live::watch);
        control.expire();
        for note in notifier.watch(&control) {
            display.clear(screen.err)?;
            writeln!(screen.err, "{} {note}", screen.err_look.paint(DOUBT, "note:"))?;
        }
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            control.expire_kept();
        }
        if drawing && resized.swap(false, Ordering::Relaxed) {
            next = Instant::now();
        }
        if Instant::now() >= next {
            next += interval;
            match (stats, control.report()) {
                (Some(Format::Text), Ok(report)) if drawing => {
                    let (look, height) = screen::err_size(screen.err_look);
                    display.draw(&report, look, height, screen.err)?;
                }
                (Some(Format::Text), Ok(report)) => last.line(&report, screen.err_look, screen.err)?,
                (Some(Format::Json), Ok(report)) => {
                    writeln!(screen.out, "{}", live_summary::json(&report, false))?;
                    screen.out.flush()?;
                }
                _ => {}
            }
        }
    }
    display.clear(screen.err)?;
    // Once and for all: who comes from now on is told that this run ends.
    let successor = ownership.conclude();
    drop(server);
    let mut live = control.take_live().ok_or_else(|| Failure::usage("the run has ended already"))?;
    if let Some(pid) = successor {
        let what =
            format!("{} takes over the bridges: they are forwarded on, and this run ends", process(pid));
        hub.note(&what);
        writeln!(screen.err, "{} {what}", screen.err_look.paint(DOUBT, "note:"))?;
        live.keep_forwarding();
    }
    drop(control);
    if let Some(worker) = died.worker() {
        let what = format!("worker {worker} died: mirrorc ends, and where the kernel forwards, it goes on");
        hub.tell(Record::now(Kind::Degraded, json!({ "reason": "worker_died", "note": what })));
    }
    let finished = live.finish();
    if finished.is_err() {
        hub.finish();
    }
    let counted = finished?;
    let all_told = lines.finish(writer.and_then(Arc::into_inner), screen.err_look, screen.err)?;
    for event in events.try_iter() {
        hub.tell(Record::from(&event));
        writeln!(screen.err, "{} {event}", screen.err_look.paint(DOUBT, "note:"))?;
    }
    let report = notifier.finish(counted, successor);
    for event in events.try_iter() {
        writeln!(screen.err, "{} {event}", screen.err_look.paint(DOUBT, "note:"))?;
    }
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
