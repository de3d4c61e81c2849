//! A program at work on interfaces. This thread opens everything, watches interfaces, and adds up;
//! the workers read, decide and offer copies; stations have threads of their own. The invariants:
//! whatever happens to an interface, the run goes on and tells; the rings of an interface are
//! opened for all workers together and in their order, because the place in the group says which
//! flows a worker gets. (Rejected: workers that open their own sockets, in the order in which they
//! happen to start.)
//!
//! - `worker`: packets of all ports in the order of time, to verdicts, to stations; `slot`: by one
//!   policy.
//! - `policies`: which programs decide, and how they change while it runs; `bounds`: limits that
//!   bind all of them.
//! - `port`: one worker's end of an interface; `offload`: what network cards would have done.
//! - `bridge`: who forwards between which ports; `redirect`: how the kernel is told to; `owner`:
//!   that only one process does. `health`: what is wrong with ports and workers.
//! - `prefilter`: what the kernel passes over; `spread`: which worker gets what it does not.
//! - `watch`: interfaces that go, come back or change their names.
//! - `asked`: what workers are asked about flows; `flows`: asking all of them.
//! - `counts`: what was counted; `record`: what happened, for those who are told.

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
    /// Interfaces that are read: what enters by them.
    pub taps: Vec<String>,
    /// Pairs of interfaces that are read, and between which frames are forwarded.
    pub bridges: Vec<(String, String)>,
    /// Who forwards.
    pub forward: Forward,
    /// The kernel goes on forwarding when the run has ended.
    pub keep_forwarding: bool,
    /// How many workers; 0: one for each core.
    pub workers: usize,
    /// The processors on which workers stay, in turn; empty: where the kernel puts them.
    pub pin: Vec<usize>,
    /// See also frames for other hosts.
    pub promiscuous: bool,
    /// The kernel passes over what no rule could want, on ports whose frames are not forwarded by
    /// workers.
    pub prefilter: bool,
    /// The shape of each worker's ring of each port.
    pub ring: Shape,
    /// Sockets with room for long frames, for a process that has no CAP_NET_ADMIN any more.
    pub spares: Spares,
    /// How much is remembered of flows, by all workers together.
    pub limits: Limits,
    /// What stations may reach.
    pub confinement: Arc<Confinement>,
    /// What packets are spread over workers by.
    pub spread: Spread,
    /// Redirects that vanish are not put back.
    pub no_repair: bool,
    /// The sign that this process forwards between the ends of bridges; without it, it is claimed.
    pub ownership: Option<Arc<Ownership>>,
}

/// Who forwards between the ends of bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// The kernel, by tc redirects: forwarding does not wait for anything here, and outlives it.
    #[default]
    Kernel,
    /// The workers, for where tc is not to be had.
    Userspace,
}

/// A run.
#[derive(Debug)]
pub struct Live {
    policies: Policies,
    /// Of each worker, for each policy.
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

/// An interface that is read, as it was last seen.
#[derive(Debug)]
struct Watched {
    /// What it was called when the run began.
    name: String,
    /// What it is called now.
    called: String,
    link: Link,
    promiscuous: bool,
    state: Option<State>,
    /// Since when it is up and has no carrier.
    silent: Option<Instant>,
}

/// A worker as seen from here.
#[derive(Debug)]
struct WorkerHandle {
    thread: JoinHandle<Counts>,
    commands: Sender<Command>,
    /// Wakes it.
    wakeup: Arc<OwnedFd>,
    published: Arc<Mutex<Counts>>,
    watcher: Watcher,
    /// The last environment of each policy that changed while it did not move.
    later: BTreeMap<u64, Arc<Policy>>,
}

impl WorkerHandle {
    /// Gives a command; false when the worker has died.
    fn tell(&self, command: Command) -> bool {
        let told = self.commands.send(command).is_ok();
        // It is full only when it rings already.
        let _rings = rustix::io::write(&*self.wakeup, &1_u64.to_ne_bytes());
        told
    }
}

/// How long stations may take to send what waits for them when the run ends.
const FINISH: Duration = Duration::from_secs(5);

/// What a run on interfaces gives each policy; `workers`: none is one for each processor.
pub fn setting(limits: Limits, workers: Option<usize>) -> Setting {
    let workers = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let station_bytes = station::Options::memory_of_one(workers);
    Setting { limits, workers, batch: Live::BATCH, station_bytes }
}

impl Live {
    /// Opens interfaces and stations and starts with these policies. What becomes of triggers is
    /// told to `lines`. What happens later is told to `events`; what does not fit into it is not
    /// told.
    ///
    /// # Errors
    /// [`Error`]: interfaces that are not there, given twice or not Ethernet, missing privileges,
    /// stations that cannot be opened.
    pub fn start(
        policies: Vec<(String, Arc<Policy>)>,
        options: &Options,
        lines: Option<Arc<dyn Observer>>,
        events: SyncSender<Event>,
    ) -> Result<Live, Error> {
        Live::start_with(policies, options, lines, events, |_| ())
    }

    /// The same; `before` is called when these policies are loaded and no packet has been read, to
    /// load those that are to decide from the first packet on.
    ///
    /// # Errors
    /// As [`start`](Self::start).
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
        // Before anything of the bridges is touched.
        let ends = names.get(options.taps.len()..).unwrap_or_default();
        let ownership = match &options.ownership {
            Some(ownership) => ownership.clone(),
            None => Arc::new(Ownership::claim(ends, false, None)?),
        };
        let (keep, repair) = (options.keep_forwarding, !options.no_repair);
        let bridges = Bridges::new(&ports, pairs, options.forward, keep, repair)?;
        let workers = match (options.workers, options.pin.len()) {
            (0, 0) => std::thread::available_parallelism().map_or(1, usize::from),
            (0, pinned) => pinned,
            (workers, _) => workers,
        };
        open::check_processors(&options.pin)?;
        let opening = open::Opening { workers, ring: options.ring, spares: options.spares.clone() };
        let filtered = ports.iter().enumerate().map(|(at, (_, link, _))| (*link, !bridges.is_ours(at)));
        let spreading = Spreading::new(options.spread, &policies);
        let prefilter = Prefilter::new(options.prefilter, spreading, filtered);
        // Before stations: what is missing for reading should not leave files behind.
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
        // Before the taps: what is read is sent on at once.
        for (feeder, sockets) in outs.into_iter().flatten() {
            live.hand_out_sockets(feeder, sockets);
        }
        // Last: what comes is decided by the policies, and sent on at once.
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

    /// Ends a start that failed; no redirect is its own, so those of before forward on.
    fn failed(mut self, error: Error) -> Error {
        self.bridges.keep();
        let _report = self.finish();
        error
    }

    /// Lets the kernel go on forwarding when the run ends.
    pub fn keep_forwarding(&mut self) {
        self.bridges.keep();
    }

    /// Which worker has died, if one has, to be asked without this.
    pub fn died(&self) -> Died {
        self.died.clone()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Has the kernel keep everything that enters, until [`Live::narrow`]. Who hands out another
    /// program does so first, so that neither program misses a packet; of what was received before,
    /// the new one may see only as much as the old one could want.
    fn widen(&mut self) -> Result<(), Error> {
        self.prefilter.change(None).map_err(open::failed("changing what the kernel passes over"))
    }

    /// Has the kernel pass over what the program could not want, while there is only one. Needs no
    /// privilege.
    fn narrow(&mut self) {
        let program = match self.policies.loaded.as_slice() {
            [one] => Some(one.policy.program().clone()),
            _ => None,
        };
        if let Err(error) = self.prefilter.change(program) {
            self.tell(Event::Failed(format!("changing what the kernel passes over: {error}")));
        }
    }

    /// What was counted so far, some tenths of a second ago.
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

    /// Stops reading and forwarding, decides what was received, waits for stations, and gives the
    /// final sums.
    ///
    /// # Errors
    /// [`Error::Died`]: a worker has died; then the kernel goes on forwarding, and what stations
    /// had got is sent. Redirects that could not be removed.
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

    /// Gives the taps of a port to the workers; then they hear.
    fn hear(&mut self, at: usize, taps: Vec<Tap>) -> Result<(), Error> {
        let Some(port) = self.ports.get(at) else { return Ok(()) };
        let reading = |error| open::reading(&port.name, error);
        let handles = prefilter::handles(&taps).map_err(reading)?;
        for (handle, tap) in self.workers.iter().zip(taps) {
            // One that has died is found at the end.
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
