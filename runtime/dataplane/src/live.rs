//! Runs programs on interfaces. This thread opens everything, watches interfaces, and adds up. The
//! workers read, decide and offer copies; stations have their own threads. Invariants: whatever
//! happens to an interface, the run continues and reports it. The rings of an interface are opened
//! for all workers together and in their order, because a ring's place in the group determines
//! which flows its worker gets. (Rejected: workers that open their own sockets, in the order in
//! which they start.)
//!
//! - `worker`: packets of all ports in the order of time, to verdicts, to stations; `slot`: one
//!   policy at a worker.
//! - `policies`: which programs decide, and how they change during a run; `bounds`: limits that
//!   bind all policies.
//! - `port`: one worker's end of an interface; `offload`: work that network cards would have done.
//! - `bridge`: who forwards between which ports; `redirect`: how the kernel is made to forward;
//!   `owner`: only one process forwards. `health`: what is wrong with ports and workers.
//! - `prefilter`: what the kernel drops; `spread`: which worker gets the other packets.
//! - `watch`: interfaces that disappear, come back or change their names.
//! - `flow_query`: queries to workers about flows; `flows`: queries to all workers.
//! - `counts`: counters; `record`: events.

mod bounds;
mod bridge;
mod counts;
pub mod flow_query;
mod flows;
mod health;
mod offload;
mod open;
mod owner;
mod policies;
mod port;
mod prefilter;
mod pulse;
mod record;
mod redirect;
mod slot;
mod spread;
mod watch;
mod worker;

pub use counts::{ForwardCounts, PolicyReport, PortCounts, RedirectCounts, Report};
#[doc(hidden)]
pub use health::inject;
pub use health::{Died, Trouble, TroubleKind};
pub use owner::{Ownership, owner};
pub use policies::{MAIN, MAX_POLICIES, Opened, Opening, Swap};
pub use record::Event;
pub use redirect::{Came, Redirect, Redirects};
pub use spread::Spread;

use crate::capture::LinkType;
use crate::confine::Confinement;
use crate::error::Error;
use crate::station;
use crate::sys::interface::{Interfaces, State};
use crate::sys::packet::Socket;
use crate::sys::ring::Shape;
use crate::sys::tap::{Spares, Tap};
use bounds::{Bounds, Gate};
use bridge::Bridges;
use flow_query::QueryQueue;
use health::Death;
use mrule_compiler::abi::Link;
use mrule_engine::cost::Setting;
use mrule_engine::decider::Limits;
use mrule_engine::decider::Observer;
use mrule_engine::policy::Policy;
use mrule_engine::totals::{RetiredTotals, Totals};
use policies::Policies;
use port::Port;
use prefilter::Prefilter;
use pulse::{Pulse, Watcher};
use rustix::event::{EventfdFlags, eventfd};
use spread::Spreading;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker::{Command, Counts, Worker};

/// What to run on, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Interfaces that are read: frames that enter by them.
    pub taps: Vec<String>,
    /// Pairs of interfaces that are read, and between which frames are forwarded.
    pub bridges: Vec<(String, String)>,
    /// Whether the kernel or the workers forward.
    pub forward: Forward,
    /// Whether the kernel continues to forward after the end of the run.
    pub keep_forwarding: bool,
    /// The number of workers; 0: one for each core.
    pub workers: usize,
    /// The processors to which workers are pinned, in turn; empty: no pinning.
    pub pin: Vec<usize>,
    /// Whether to read frames for other hosts, too.
    pub promiscuous: bool,
    /// Whether the kernel drops what no rule could want, on ports whose frames no worker forwards.
    pub prefilter: bool,
    /// The shape of each worker's ring at each port.
    pub ring: Shape,
    /// Sockets with room for long frames, for a process without CAP_NET_ADMIN.
    pub spares: Spares,
    /// Limits of flows and streams, for all workers together.
    pub limits: Limits,
    /// What stations may reach.
    pub confinement: Arc<Confinement>,
    /// The header fields by which packets are spread over workers.
    pub spread: Spread,
    /// Redirects that disappear are not put back.
    pub no_repair: bool,
    /// The claim that this process forwards between the ends of bridges. `None`: the run makes the
    /// claim.
    pub ownership: Option<Arc<Ownership>>,
}

impl Options {
    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        match (self.workers, self.pin.len()) {
            (0, 0) => std::thread::available_parallelism().map_or(1, usize::from),
            (0, pinned) => pinned,
            (workers, _) => workers,
        }
    }
}

/// Who forwards between the ends of bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// The kernel, by tc redirects: forwarding waits for nothing in this process, and outlives it.
    #[default]
    Kernel,
    /// The workers, for systems without tc.
    Userspace,
}

/// A running data plane.
#[derive(Debug)]
pub struct Live {
    policies: Policies,
    /// Limits of each worker, for each policy.
    limits: Limits,
    started: Instant,
    interfaces: Interfaces,
    ports: Vec<Watched>,
    opening: open::Opening,
    prefilter: Prefilter,
    bridges: Bridges,
    workers: Vec<WorkerHandle>,
    stop: Arc<AtomicBool>,
    /// Withholds the copies of all policies.
    gate: Gate,
    died: Died,
    ownership: Arc<Ownership>,
    events: SyncSender<Event>,
    confinement: Arc<Confinement>,
    /// The policies of the start are loaded.
    at_work: bool,
}

/// An interface that is read, in its last known state.
#[derive(Debug)]
struct Watched {
    /// The interface's name when the run began.
    name: String,
    /// The interface's present name.
    called: String,
    link: Link,
    promiscuous: bool,
    state: Option<State>,
    /// Since when the interface is up without a carrier.
    silent: Option<Instant>,
}

/// A worker as the controlling thread sees it.
#[derive(Debug)]
struct WorkerHandle {
    thread: JoinHandle<Counts>,
    commands: Sender<Command>,
    /// An eventfd that wakes the worker.
    wakeup: Arc<OwnedFd>,
    published: Arc<Mutex<Counts>>,
    watcher: Watcher,
    /// The last environment of each policy that changed while the worker did not move.
    later: BTreeMap<u64, Arc<Policy>>,
}

impl WorkerHandle {
    /// Sends a command. Returns false when the worker has died.
    fn tell(&self, command: Command) -> bool {
        let told = self.commands.send(command).is_ok();
        // A full eventfd already wakes the worker.
        let _rings = rustix::io::write(&*self.wakeup, &1_u64.to_ne_bytes());
        told
    }
}

/// How long stations may take to send their waiting copies at the end of the run.
const FINISH: Duration = Duration::from_secs(5);

/// What a run on interfaces provides for each policy. `workers`: `None` is one for each processor.
pub fn setting(limits: Limits, workers: Option<usize>) -> Setting {
    let workers = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let station_bytes = station::Options::memory_of_one(workers);
    Setting { limits, workers, batch: Live::BATCH, station_bytes }
}

impl Live {
    /// Opens interfaces and stations, and starts with these policies. `lines` receives the effects
    /// on triggers. `events` receives later events; events that do not fit into it are lost.
    ///
    /// # Errors
    /// [`Error`]: interfaces that do not exist, are given twice or are not Ethernet, missing
    /// privileges, or stations that cannot be opened.
    pub fn start(
        policies: Vec<(String, Arc<Policy>)>,
        options: &Options,
        lines: Option<Arc<dyn Observer>>,
        events: SyncSender<Event>,
    ) -> Result<Live, Error> {
        Live::start_with(policies, options, lines, events, |_| ())
    }

    /// Like [`start`](Self::start), and calls `before` when these policies are loaded and no packet
    /// has been read. `before` can load more policies that decide from the first packet on.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(
        policies: Vec<(String, Arc<Policy>)>,
        options: &Options,
        lines: Option<Arc<dyn Observer>>,
        events: SyncSender<Event>,
        before: impl FnOnce(&mut Live),
    ) -> Result<Live, Error> {
        let interfaces = Interfaces::new().map_err(open::failed("looking at interfaces"))?;
        let mut names = options.taps.clone();
        names.extend(options.bridges.iter().flat_map(|(a, b)| [a.clone(), b.clone()]));
        let ports = open::check(&interfaces, &names)?;
        for station in policies.iter().flat_map(|(_, policy)| &policy.program().stations) {
            let ports: Vec<&str> = names.iter().map(String::as_str).collect();
            open::no_echo(&ports, station)?;
        }
        let pairs = options.bridges.len();
        // The claim comes before any change to the bridges.
        let ends = names.get(options.taps.len()..).unwrap_or_default();
        let ownership = match &options.ownership {
            Some(ownership) => ownership.clone(),
            None => Arc::new(Ownership::claim(ends, false, None)?),
        };
        let (keep, repair) = (options.keep_forwarding, !options.no_repair);
        let bridges = Bridges::new(&ports, pairs, options.forward, keep, repair)?;
        let workers = options.worker_count();
        open::check_processors(&options.pin)?;
        let opening = open::Opening { workers, ring: options.ring, spares: options.spares.clone() };
        let filtered = ports.iter().enumerate().map(|(at, (_, link, _))| (*link, !bridges.is_ours(at)));
        let spreading = Spreading::new(options.spread, &policies);
        let prefilter = Prefilter::new(options.prefilter, spreading, filtered);
        // Before stations are opened: if reading is impossible, no files should be left behind.
        let (mut taps, mut outs, mut told) = (Vec::new(), Vec::new(), bridge::mtu(&ports, pairs));
        for (at, (name, _, state)) in ports.iter().enumerate() {
            let promiscuous = options.promiscuous || at >= options.taps.len();
            let (opened, note) = opening.taps(name, state.index, promiscuous)?;
            told.extend(note);
            taps.push(opened);
            outs.push(match bridges.feeds(at) {
                Some(feeder) => Some((feeder, bridges.outs(workers, name, state.index)?)),
                None => None,
            });
        }
        let mut limits = options.limits.clone();
        limits.flows.flows = limits.flows.flows.div_ceil(workers);
        limits.streams.pool = limits.streams.pool.div_ceil(workers);
        let (stop, gate) = (Arc::new(AtomicBool::new(false)), Gate::default());
        let died = Died::default();
        let mut handles = Vec::new();
        for index in 0..workers {
            let (commands, inbox) = channel();
            let wakeup = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
            let wakeup = wakeup.map_err(|error| open::failed("making an eventfd")(error.into()))?;
            let wakeup = Arc::new(wakeup);
            let published = Arc::new(Mutex::new(Counts::default()));
            let pulse = Pulse::default();
            let watcher = Watcher::new(pulse.clone(), Instant::now());
            let port = |(number, (name, link, _)): (usize, &(String, Link, State))| {
                Port::new(name, number as u32, *link, bridges.is_ours(number))
            };
            let worker = Worker {
                number: index,
                lines: lines.clone(),
                slots: Vec::new(),
                ports: ports.iter().enumerate().map(port).collect(),
                totals: Totals::default(),
                gone: RetiredTotals::default(),
                wakeup: wakeup.clone(),
                woken: Instant::now(),
                commands: inbox,
                stop: stop.clone(),
                pulse,
                published: published.clone(),
                parts: Vec::new(),
                arena: Vec::new(),
                copied: Vec::new(),
                bounds: Bounds::behind(gate.clone()),
                queries: QueryQueue::default(),
            };
            let thread = std::thread::Builder::new().name(format!("worker {index}"));
            let pin = options.pin.iter().copied().cycle().nth(index);
            let death = Death { worker: index, of: died.clone() };
            let work = move || {
                let _tells_when_it_dies = death;
                if let Some(processor) = pin {
                    open::stay_on(processor);
                }
                worker.run()
            };
            let thread = thread.spawn(work).map_err(open::failed("starting a thread"))?;
            let later = BTreeMap::new();
            handles.push(WorkerHandle { thread, commands, wakeup, published, watcher, later });
        }
        let watch = |(at, (name, link, state)): (usize, (String, Link, State))| {
            let promiscuous = options.promiscuous || at >= options.taps.len();
            Watched { called: name.clone(), name, link, promiscuous, state: Some(state), silent: None }
        };
        let watched = ports.into_iter().enumerate().map(watch).collect();
        let mut live = Live {
            policies: Policies::default(),
            limits,
            started: Instant::now(),
            interfaces,
            ports: watched,
            opening,
            prefilter,
            bridges,
            workers: handles,
            stop,
            gate,
            died,
            ownership,
            events,
            confinement: options.confinement.clone(),
            at_work: false,
        };
        for (name, policy) in policies {
            if let Err(error) = live.load(&name, policy) {
                return Err(live.failed(error));
            }
        }
        live.at_work = true;
        before(&mut live);
        // Before the taps listen: frames that are read are forwarded immediately.
        for (feeder, sockets) in outs.into_iter().flatten() {
            live.hand_out_sockets(feeder, sockets);
        }
        // Last: from now on, frames are decided by the policies and forwarded.
        let heard = taps.into_iter().enumerate().try_for_each(|(at, taps)| live.hear(at, taps));
        if let Err(error) = heard {
            return Err(live.failed(error));
        }
        match live.bridges.install() {
            Ok(events) => told.extend(events),
            Err(error) => return Err(live.failed(error)),
        }
        for event in told {
            live.tell(event);
        }
        Ok(live)
    }

    /// Ends a failed start. No redirect belongs to this run, so existing redirects continue to
    /// forward.
    fn failed(mut self, error: Error) -> Error {
        self.bridges.keep();
        let _report = self.finish();
        error
    }

    /// Lets the kernel continue to forward after the end of the run.
    pub fn keep_forwarding(&mut self) {
        self.bridges.keep();
    }

    /// The worker that has died, if any; callers can check it without this object.
    pub fn died(&self) -> Died {
        self.died.clone()
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Makes the kernel keep all that enters, until [`Live::narrow`]. Call it before another
    /// program is handed out, so that neither program misses a packet. Of packets received before,
    /// the new program may see only what the old program could want.
    fn widen(&mut self) -> Result<(), Error> {
        self.prefilter.change(None).map_err(open::failed("changing what the kernel passes over"))
    }

    /// Makes the kernel drop what the program could not want, while there is only one program.
    /// Needs no privilege.
    fn narrow(&mut self) {
        let program = match self.policies.loaded.as_slice() {
            [one] => Some(one.policy.program().clone()),
            _ => None,
        };
        if let Err(error) = self.prefilter.change(program) {
            self.tell(Event::Failed(format!("changing what the kernel passes over: {error}")));
        }
    }

    /// The counters so far, some tenths of a second old.
    pub fn report(&mut self) -> Report {
        self.bridges.count();
        let counts = self.workers.iter();
        let counts = counts
            .map(|handle| handle.published.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect::<Vec<_>>();
        let mut report = self.add_up(&counts);
        add_ports(&mut report, &self.ports, &self.bridges, &mut self.prefilter, &self.interfaces);
        report
    }

    /// Stops reading and forwarding, decides what was received, waits for stations, and returns the
    /// final sums.
    ///
    /// # Errors
    /// [`Error::Died`]: a worker has died; the kernel then continues to forward, and what stations
    /// had received is sent. Other errors: redirects that could not be removed.
    pub fn finish(mut self) -> Result<Report, Error> {
        self.prefilter.deafen();
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = Vec::new();
        for (number, handle) in std::mem::take(&mut self.workers).into_iter().enumerate() {
            let is_stalled = handle.watcher.stalled().is_some();
            counts.extend(self.died.join(handle.thread, number, is_stalled));
        }
        let died = self.died.worker();
        if died.is_some() {
            self.bridges.keep();
        }
        self.bridges.count();
        let removed = self.bridges.remove();
        self.policies.finish(Instant::now() + FINISH);
        if let Some(worker) = died {
            return Err(Error::Died { worker });
        }
        removed?;
        let mut report = self.add_up(&counts);
        add_ports(&mut report, &self.ports, &self.bridges, &mut self.prefilter, &self.interfaces);
        Ok(report)
    }

    /// Gives the taps of a port to the workers, and makes the taps listen.
    fn hear(&mut self, at: usize, taps: Vec<Tap>) -> Result<(), Error> {
        let Some(port) = self.ports.get(at) else { return Ok(()) };
        let reading = |error| open::reading(&port.name, error);
        let handles = prefilter::handles(&taps).map_err(reading)?;
        for (handle, tap) in self.workers.iter().zip(taps) {
            // A worker that has died is found at the end.
            handle.tell(Command::Port(at, tap));
        }
        self.prefilter.listen(at, &port.called, &self.interfaces, handles).map_err(reading)
    }

    fn hand_out_sockets(&self, at: usize, sockets: Vec<Socket>) {
        for (handle, socket) in self.workers.iter().zip(sockets) {
            handle.tell(Command::Out(at, socket));
        }
    }

    fn tell(&self, event: Event) {
        let _full = self.events.try_send(event);
    }
}

fn add_ports(
    report: &mut Report,
    ports: &[Watched],
    bridges: &Bridges,
    prefilter: &mut Prefilter,
    of: &Interfaces,
) {
    for (at, (port, watched)) in report.ports.iter_mut().zip(ports).enumerate() {
        port.redirect = bridges.counted(at);
        port.prefilter = prefilter.narrows(at);
        port.entered = prefilter.entered(at, &watched.called, of);
    }
}

fn link_type(link: Link) -> LinkType {
    LinkType(if link == Link::RawIp { 101 } else { 1 })
}
