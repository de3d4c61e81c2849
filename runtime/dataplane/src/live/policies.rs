//! The policies of a run: loaded, replaced, changed and unloaded while packets are decided.
//! Invariants: all that can fail fails before anything changes. Continuing stations lose nothing;
//! new stations are open before the workers take the program that uses them; old stations end after
//! the last worker has left their program. Sums are kept. (Rejected: stopping the workers during
//! the change; they forward.)

use super::bounds::Gate;
use super::counts::{PolicyReport, Report};
use super::slot::{PolicySlot, Retired, SlotCommand, SlotUpdate};
use super::worker::{Command, Counts};
use super::{Event, FINISH, Live, WorkerHandle, link_type, open};
use crate::capture::Interface;
use crate::error::Error;
use crate::station::{self, Stations};
use mrule_compiler::hir::{Program, Station};
use mrule_engine::counters::Counters;
use mrule_engine::decider::{Decider, Migration};
use mrule_engine::policy::Origin;
use mrule_engine::policy::{Label, Policy};
use mrule_engine::totals::{RetiredTotals, Totals};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of the policy whose rules are given at the start of a run.
pub const MAIN: &str = "main";

/// Upper limit of policies in a run: each policy decides each packet.
pub const MAX_POLICIES: usize = 32;

/// How long a change waits for the workers. They take it within milliseconds, unless they drain an
/// interface.
const TAKEN: Duration = Duration::from_secs(2);

/// How long the start of a run waits for the stations of a restored policy. Stations that take
/// longer are down until they are open.
const RESTORED: Duration = Duration::from_secs(1);

/// Number of replaced programs that may still have stations with waiting copies before the next
/// load waits.
const ENDING: usize = 8;

/// How much longer than stations the threads of replaced programs may take at the end of a run. A
/// worker that hangs never leaves its program.
const LEFT: Duration = Duration::from_secs(1);

/// A loaded policy.
#[derive(Debug)]
pub(super) struct Loaded {
    id: u64,
    name: String,
    pub policy: Arc<Policy>,
    pub stations: Stations,
    /// Withholds the policy's copies.
    gate: Gate,
}

impl Loaded {
    /// Whether the policy has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// The policy's number, which identifies it to workers.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// The policies, and what is ending.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub loaded: Vec<Loaded>,
    last_id: u64,
    ending: Vec<JoinHandle<()>>,
    /// Counters of the copies of stations that have ended.
    retired: Arc<Mutex<station::Counts>>,
}

/// The duration of a change of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swap {
    /// The longest time for which one worker did nothing else.
    pub pause: Duration,
    /// The time until all workers had taken the change, without the work before it (compiling,
    /// opening stations).
    pub taken: Duration,
}

/// Opens the stations of a program.
#[derive(Debug)]
pub struct Opening {
    before: Option<Stations>,
    program: Arc<Program>,
    options: station::Options,
}

/// Open stations, and stations that continue.
#[derive(Debug)]
pub struct Opened(Stations);

impl Opening {
    /// Drains the stations with these names.
    fn draining(mut self, stations: &BTreeSet<String>) -> Opening {
        self.options.drained = stations.clone();
        self
    }

    /// Opens the new stations; takes at most [`station::PATIENCE`].
    ///
    /// # Errors
    /// [`Error::Station`]: a station cannot be opened, not in time, or writes where another station
    /// writes.
    pub fn open(self) -> Result<Opened, Error> {
        let Opening { before, program, options } = self;
        match before {
            Some(before) => before.succeed(&program, &options),
            None => Stations::open(&program, &options),
        }
        .map(Opened)
    }
}

impl Live {
    /// The policies by name, in the order in which they were first loaded.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Arc<Policy>)> {
        self.policies.loaded.iter().map(|loaded| (loaded.name.as_str(), &loaded.policy))
    }

    /// The policy with this name.
    pub fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies().find(|(other, _)| *other == name).map(|(_, policy)| policy)
    }

    /// The maximum number of packets that a worker decides at a time.
    pub(crate) const BATCH: usize = super::worker::BATCH;

    /// Memory of the receive rings, in bytes: one ring for each port and worker.
    pub fn ring_memory(&self) -> u64 {
        let ring = self.opening.ring;
        let each = u64::from(ring.block) * u64::from(ring.blocks);
        each.saturating_mul((self.ports.len() * self.workers.len()) as u64)
    }

    /// Loads a policy, or replaces the policy with this name. A replacement should be made by
    /// [`Policy::try_succeed`] of the old policy. When this returns, the workers decide by it.
    /// Waits until its stations are open.
    ///
    /// # Errors
    /// As for [`opening`](Self::opening), [`Opening::open`] and [`load_opened`](Self::load_opened).
    pub fn load(&mut self, name: &str, policy: Arc<Policy>) -> Result<Swap, Error> {
        let (program, label) = (policy.program(), policy.label().cloned());
        let opening = self.opening(name, program, policy.origins(), label)?;
        let opened = opening.draining(policy.drained()).open()?;
        self.load_opened(name, policy, opened)
    }

    /// Loads a restored policy. A station that cannot be opened is down and is retried, and a
    /// station that must not be opened stays down. The limits hold without them.
    ///
    /// # Errors
    /// [`Error`]: too many policies, or no memory for its state.
    pub fn restore(&mut self, name: &str, policy: Arc<Policy>) -> Result<Swap, Error> {
        let ports: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
        let echo = |station: &Station| {
            Some((station.name.clone(), open::no_echo(&ports, station).err()?.to_string()))
        };
        let barred = policy.program().stations.iter().filter_map(echo).collect();
        let options = station::Options {
            refusal: station::Refusal::Down(barred),
            patience: RESTORED,
            ..self.station_options(name, policy.origins(), policy.label().cloned())
        };
        let opening = Opening { before: None, program: policy.program().clone(), options };
        let opened = opening.draining(policy.drained()).open()?;
        self.load_opened(name, policy, opened)
    }

    /// Prepares to open the stations of a program for a policy of this name. `origins` are the
    /// writers of the stations. The caller opens them without this object, which may be locked
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error`]: too many policies, or stations that send into ports or where clients may not
    /// send.
    pub fn opening(
        &self,
        name: &str,
        program: &Arc<Program>,
        origins: Vec<Origin>,
        label: Option<Label>,
    ) -> Result<Opening, Error> {
        let ports: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
        for station in &program.stations {
            open::no_echo(&ports, station)?;
        }
        for (station, origin) in program.stations.iter().zip(&origins) {
            self.confinement.check(station, origin)?;
        }
        let old = self.policies.loaded.iter().find(|loaded| loaded.name == name);
        if old.is_none() && self.policies.loaded.len() >= MAX_POLICIES {
            return Err(Error::TooManyPolicies { limit: MAX_POLICIES });
        }
        let options = self.station_options(name, origins, label);
        let opening =
            Opening { before: old.map(|old| old.stations.clone()), program: program.clone(), options };
        Ok(match old {
            Some(old) => opening.draining(old.policy.drained()),
            None => opening,
        })
    }

    /// Whether stations of many older programs still send waiting copies; another load should wait.
    pub fn is_ending_much(&mut self) -> bool {
        self.policies.ending.retain(|thread| !thread.is_finished());
        self.policies.ending.len() >= ENDING
    }

    /// Loads a policy whose stations were opened after the last change of the policy with this
    /// name.
    ///
    /// # Errors
    /// [`Error`]: too many policies; no memory; prefilters. Nothing has changed then.
    pub fn load_opened(&mut self, name: &str, policy: Arc<Policy>, opened: Opened) -> Result<Swap, Error> {
        let program = policy.program().clone();
        let at = self.policies.loaded.iter().position(|loaded| loaded.name == name);
        if at.is_none() && self.policies.loaded.len() >= MAX_POLICIES {
            return Err(Error::TooManyPolicies { limit: MAX_POLICIES });
        }
        let deciders = self.workers.iter().map(|_| Decider::new(&policy, &self.limits, super::worker::BATCH));
        let deciders = deciders.collect::<Result<Vec<_>, mrule_engine::Error>>()?;
        let old = at.and_then(|at| self.policies.loaded.get(at));
        let Opened(stations) = opened;
        let migration = match old {
            Some(old) => Migration::new(&old.policy, &policy, stations.migration(&old.stations)),
            None => Migration::default(),
        };
        let id = old.map(|old| old.id).unwrap_or_else(|| {
            self.policies.last_id += 1;
            self.policies.last_id
        });
        let gate = old.map_or_else(Gate::default, |old| old.gate.clone());
        let others: Vec<Arc<Policy>> = self.policies().map(|(_, policy)| policy.clone()).collect();
        self.spread_for(others.iter().map(|other| &**other).chain([&*policy]))?;
        self.widen()?;
        let hashes = stations.hashes();
        let slots = deciders.into_iter().map(|decider| {
            let (policy, producers) = (policy.clone(), stations.producers());
            let (gate, summary) = (gate.clone(), Totals::new(&program));
            let slot = PolicySlot { id, producers, hashes, decider, summary, policy, gate };
            SlotUpdate::Take(Box::new(slot), Box::new(migration.clone()))
        });
        let commands = slots.collect();
        let (swap, left, rest) = self.tell_workers(id, commands);
        let next = Loaded { id, name: name.to_owned(), policy, stations, gate };
        match at.and_then(|at| self.policies.loaded.get_mut(at)) {
            Some(place) => {
                let old = std::mem::replace(place, next);
                let ended = old.stations.without(&place.stations);
                self.policies.end(ended, (old.policy, left, rest));
            }
            None => self.policies.loaded.push(next),
        }
        self.narrow();
        self.spread_again();
        Ok(swap)
    }

    /// Unloads a policy. Its stations send their waiting copies. Returns `None` if no policy has
    /// this name.
    pub fn unload(&mut self, name: &str) -> Option<Swap> {
        let at = self.policies.loaded.iter().position(|loaded| loaded.name == name)?;
        let old = self.policies.loaded.remove(at);
        let (swap, left, rest) =
            self.tell_workers(old.id, self.workers.iter().map(|_| SlotUpdate::Leave).collect());
        self.policies.end(old.stations, (old.policy, left, rest));
        self.narrow();
        self.spread_again();
        Some(swap)
    }

    /// Spreads packets as the remaining policies need it.
    fn spread_again(&mut self) {
        let policies: Vec<Arc<Policy>> = self.policies().map(|(_, policy)| policy.clone()).collect();
        if let Err(error) = self.spread_for(policies.iter().map(|policy| &**policy)) {
            let _full = self.events.try_send(Event::Failed(error.to_string()));
        }
    }

    /// Withholds the copies of one policy or of all, or lets them pass again. Workers do so from
    /// their next batch on.
    pub fn withhold(&self, name: Option<&str>, withheld: bool) {
        match name {
            None => self.gate.set(withheld),
            Some(name) => {
                let loaded = self.policies.loaded.iter().find(|loaded| loaded.name == name);
                loaded.inspect(|loaded| loaded.gate.set(withheld));
            }
        }
    }

    /// Stops or resumes the copies of a policy's station. Returns whether there is such a station.
    pub fn drain(&mut self, name: &str, station: &str, drained: bool) -> bool {
        let loaded = self.policies.loaded.iter_mut().find(|loaded| loaded.name == name);
        loaded.is_some_and(|loaded| {
            let found = loaded.stations.drain(station, drained);
            if found {
                // The next version drains the station with this name, too.
                let mut stations = loaded.policy.drained().clone();
                if drained {
                    stations.insert(station.to_owned())
                } else {
                    stations.remove(station)
                };
                loaded.policy = Arc::new(Policy::clone(&loaded.policy).draining(stations));
            }
            found
        })
    }

    /// Gives a policy another environment: the same program with other tables and params. Returns
    /// `None` if no policy has this name, or it has another program.
    pub fn change_environment(&mut self, name: &str, policy: Arc<Policy>) -> Option<Swap> {
        let loaded = self.policies.loaded.iter_mut().find(|loaded| loaded.name == name)?;
        if !Arc::ptr_eq(loaded.policy.program(), policy.program()) {
            return None;
        }
        loaded.policy = policy.clone();
        let id = loaded.id;
        let commands = self.workers.iter().map(|_| SlotUpdate::Environment(policy.clone())).collect();
        // The old tables and params are freed here.
        Some(self.tell_workers(id, commands).0)
    }

    fn station_options(&self, name: &str, origins: Vec<Origin>, label: Option<Label>) -> station::Options {
        let tell = self.events.clone();
        let prefix = if name == MAIN { String::new() } else { format!("{name}/") };
        let interfaces = self.ports.iter().map(|port| Interface::live(&port.name, link_type(port.link)));
        station::Options {
            interfaces: interfaces.collect(),
            events: station::Events::new(move |event| {
                let station = format!("{prefix}{}", event.station);
                let event = station::Event { station, ..event.clone() };
                let _told = tell.try_send(Event::Station(event));
            }),
            label,
            confinement: self.confinement.clone(),
            origins,
            standard_output: !self.at_work,
            ..station::Options::default()
        }
    }

    /// Sends a command to each worker and waits for what they retire. Returns it with the channel
    /// for the rest. It does not wait for a worker that hangs, and keeps only the last environment
    /// for it.
    fn tell_workers(
        &mut self,
        id: u64,
        commands: Vec<SlotUpdate>,
    ) -> (Swap, Vec<Retired>, Receiver<Retired>) {
        let begun = Instant::now();
        let (left, rest) = channel();
        let mut waiting = 0;
        for (handle, update) in self.workers.iter_mut().zip(commands) {
            let hangs = handle.watcher.stalled().is_some();
            // This command makes a kept environment obsolete.
            handle.later.remove(&id);
            let update = match update {
                SlotUpdate::Environment(policy) if hangs => {
                    handle.later.insert(id, policy);
                    continue;
                }
                update => update,
            };
            let told = handle.tell(Command::PolicySlot(SlotCommand { id, update, left: left.clone() }));
            // A worker that has died is found at the end.
            waiting += usize::from(told && !hangs);
        }
        drop(left);
        let mut all = Vec::with_capacity(waiting);
        while all.len() < waiting {
            let time = TAKEN.saturating_sub(begun.elapsed());
            match rest.recv_timeout(time) {
                Ok(left) => all.push(left),
                Err(_) => break,
            }
        }
        let pause = all.iter().map(|left: &Retired| left.took).max().unwrap_or_default();
        (Swap { pause, taken: begun.elapsed() }, all, rest)
    }

    /// Adds up the workers' counters.
    pub(super) fn add_up(&self, counts: &[Counts]) -> Report {
        let mut report = Report { elapsed: self.started.elapsed(), ..Report::default() };
        report.ports = self.ports.iter().map(|port| super::PortCounts::of(&port.name)).collect();
        for counts in counts {
            report.summary.add(&counts.totals);
            report.gone.add(&counts.gone);
            for (sum, more) in report.ports.iter_mut().zip(&counts.ports) {
                sum.add(more);
            }
        }
        let now = jiff::Timestamp::now().as_nanosecond();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for loaded in &self.policies.loaded {
            let mut summary = Totals::new(loaded.policy.program());
            for slot in counts.iter().flat_map(|counts| &counts.slots).filter(|slot| slot.id == loaded.id) {
                if Arc::ptr_eq(slot.policy.program(), loaded.policy.program()) {
                    summary.add(&slot.summary);
                } else {
                    // A worker that has not taken the program yet.
                    summary.gone.add(&RetiredTotals::all_of(&slot.summary));
                }
            }
            summary.keys(&loaded.policy, now);
            report.gone.add(&summary.gone);
            let version = loaded.policy.label().map_or(0, |label| label.version);
            let stations = loaded.stations.counts();
            report.policies.push(PolicyReport { name: loaded.name.clone(), version, summary, stations });
        }
        report.retired = self.policies.retired.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.put_together();
        report
    }
}

impl WorkerHandle {
    /// Sends the environments that were kept while the worker did not move, once it moves.
    pub(super) fn catch_up(&mut self) {
        if self.watcher.stalled().is_some() {
            return;
        }
        for (id, policy) in std::mem::take(&mut self.later) {
            // In this case, the worker frees the old environment.
            let (left, _nobody_waits) = channel();
            let update = SlotUpdate::Environment(policy);
            self.tell(Command::PolicySlot(SlotCommand { id, update, left }));
        }
    }
}

impl Policies {
    /// Ends stations on a separate thread once all workers have left the program, and frees what
    /// they retired.
    fn end(&mut self, stations: Stations, left: (Arc<Policy>, Vec<Retired>, Receiver<Retired>)) {
        self.ending.retain(|thread| !thread.is_finished());
        let retired = self.retired.clone();
        let end = move || {
            let (policy, mut left, rest) = left;
            left.extend(rest);
            drop((policy, left));
            let ended = stations.finish(Instant::now() + FINISH);
            let mut sum = retired.lock().unwrap_or_else(PoisonError::into_inner);
            for counts in ended {
                sum.add(&counts);
            }
        };
        // Without a thread, the stations are dropped with the closure: they end by themselves and
        // are not counted.
        self.ending.extend(std::thread::Builder::new().name("old program".into()).spawn(end));
    }

    /// Ends everything, except for what a worker that hangs has not left.
    pub(super) fn finish(&mut self, deadline: Instant) {
        for loaded in &self.loaded {
            let _counted_by_whoever_adds_up = loaded.stations.clone().finish(deadline);
        }
        let until = deadline + LEFT;
        for thread in self.ending.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _died = thread.join();
            }
        }
    }
}
