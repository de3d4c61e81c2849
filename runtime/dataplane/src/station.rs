//! Where copies go: each station has its own queue and thread, and each worker a
//! [`StationProducer`] to it. Invariants: a worker never waits for a station. Each offered copy
//! ends as sent or as dropped by one cause, and the sums show it. A station that fails is reported
//! once, retried automatically, and reported again when it is back. A replay uses none of this: it
//! writes [`PcapngFile`] synchronously, and a failed write is an error. (Rejected: sending from the
//! worker; one slow disk or unresolved neighbour would stall forwarding.)

mod blocks;
mod counts;
mod encap;
mod file;
pub mod geneve;
mod health;
mod link;
mod opening;
mod pcapng;
mod pipe;
mod producer;
mod queue;
mod rate;
mod rotation;
mod scope;
mod send;
mod sink;
mod tunnel;
mod unopened;

pub use blocks::Names;
pub use counts::{Cause, Counts};
pub use pcapng::PcapngFile;
pub use producer::{Copy, StationProducer};

use crate::capture::Interface;
use crate::confine::Confinement;
use crate::error::Error;
use mrule_compiler::hir::{Encap, Program, Rate, Station, Target};
use mrule_engine::policy::Label;
use mrule_engine::policy::Origin;
use opening::Opened;
use producer::CopyBatch;
use queue::SinkStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread has after its deadline to end.
const GRACE: Duration = Duration::from_millis(300);

/// How stations run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of copies that may wait for each station, beside one batch (64 KiB) of each worker.
    pub queue_bytes: usize,
    /// The number of copies that may wait for each station.
    pub queue_copies: usize,
    /// The interfaces that packets come from, by the interface numbers of packets.
    pub interfaces: Vec<Interface>,
    /// Receives the events of stations.
    pub events: Events,
    /// The name and version of the policy, which copies carry.
    pub label: Option<Label>,
    /// What the stations may reach; shared by all policies of a run.
    pub confinement: Arc<Confinement>,
    /// Who wrote each station, in the order of the program. Stations behind the last entry are the
    /// owner's.
    pub origins: Vec<Origin>,
    /// Whether a station may begin to write to standard output.
    pub standard_output: bool,
    /// How long the opening of all stations together may take.
    pub patience: Duration,
    /// What happens to a station that cannot be opened.
    pub refusal: Refusal,
    /// The names of stations that get no copies until they are resumed.
    pub drained: BTreeSet<String>,
}

/// What happens to a station that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Refusal {
    /// No station is opened, and the error is returned.
    #[default]
    Error,
    /// The station is down, drops its copies, and is retried each second. The map has stations that
    /// must not be opened, with the reasons.
    Down(BTreeMap<String, String>),
}

/// How long the opening of a program's stations may take, by default.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl Options {
    /// Memory of a station's full queue, with the batches that `workers` workers fill and keep, in
    /// bytes.
    pub fn memory_of_one(workers: usize) -> u64 {
        let own = Options::default();
        let waiting = (own.queue_bytes + own.queue_copies * producer::COPY_BYTES) as u64;
        waiting + workers as u64 * producer::WORKER_BYTES
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            queue_bytes: 8 << 20,
            queue_copies: 65_536,
            interfaces: Vec::new(),
            events: Events::default(),
            label: None,
            confinement: Arc::default(),
            origins: Vec::new(),
            standard_output: true,
            patience: PATIENCE,
            refusal: Refusal::default(),
            drained: BTreeSet::new(),
        }
    }
}

/// A change in a station's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The station's name.
    pub station: String,
    /// The new state.
    pub state: State,
}

/// Whether a station takes copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The station takes no copies: they are dropped, and it is retried.
    Down {
        /// The reason, in words for a user.
        reason: String,
    },
    /// The station takes copies again.
    Up,
    /// The station takes copies, but in a way that its user should know about.
    Note {
        /// What the user should know.
        what: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Down { reason } => write!(f, "station {} is down: {reason}", self.station),
            State::Up => write!(f, "station {} is up again", self.station),
            State::Note { what } => write!(f, "station {}: {what}", self.station),
        }
    }
}

/// A function that the stations' threads call with each [`Event`]. It must not block for long,
/// because its station waits for it. The default calls nothing.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<Call>>);

type Call = dyn Fn(&Event) + Send + Sync;

impl Events {
    /// Calls this function.
    pub fn new(call: impl Fn(&Event) + Send + Sync + 'static) -> Events {
        Events(Some(Arc::new(call)))
    }

    fn tell(&self, event: &Event) {
        if let Some(call) = &self.0 {
            call(event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Events(..)" } else { "Events" })
    }
}

/// The running stations of a program. Clones share the same stations.
#[derive(Debug, Clone)]
pub struct Stations {
    running: Vec<Running>,
    names: Names,
}

/// A running station. Clones share the same station.
#[derive(Debug, Clone)]
struct Running {
    status: Arc<SinkStatus>,
    queue: SyncSender<CopyBatch>,
    /// Disconnects when the thread has ended.
    done: Arc<Mutex<Receiver<()>>>,
    target: Target,
    limit: Option<Rate>,
    origin: Origin,
}

impl Stations {
    /// Opens all stations of the program, in its order, and starts their threads. A station that
    /// cannot be reached now (no route, no such interface, no reader of the pipe) is no error: it
    /// is down and retried. Sockets are opened here, so the caller can give up privileges
    /// afterwards.
    ///
    /// # Errors
    /// [`Error::Station`]: a privilege is missing, a path can never be written, or opening takes
    /// too long; [`Error::NotGranted`]: nothing grants a client's station.
    pub fn open(program: &Program, options: &Options) -> Result<Stations, Error> {
        Stations::open_beside(&[], program, options)
    }

    /// The stations of a program that replaces this one. Stations with the same name, target and
    /// limit continue with their queues, files and counters. The others are opened as in
    /// [`open`](Self::open), with the same interfaces. Existing producers do not change; workers
    /// take new producers together with the new program. Then [`retire`](Self::retire) ends the
    /// stations that the new program does not have.
    ///
    /// # Errors
    /// As for [`open`](Self::open). All stations then continue as before.
    pub fn succeed(&self, program: &Program, options: &Options) -> Result<Stations, Error> {
        Stations::open_beside(&self.running, program, options)
    }

    fn open_beside(before: &[Running], program: &Program, options: &Options) -> Result<Stations, Error> {
        let deadline = Instant::now() + options.patience;
        let origin = |at: usize| options.origins.get(at).unwrap_or(&Origin::Owner);
        let wanted = || program.stations.iter().enumerate().map(|(at, station)| (station, origin(at)));
        let ends = |running: &&Running| !wanted().any(|(station, origin)| running.is(station, origin));
        let ending: Vec<_> = before.iter().filter(ends).map(|r| (&r.target, &r.status.holder)).collect();
        let opened = wanted().map(|(station, origin)| {
            match before.iter().find(|running| running.is(station, origin)) {
                Some(running) => Ok(Entry::Before(running.clone())),
                None => opening::open(station, origin, &ending, options, deadline).map(Entry::New),
            }
        });
        // All stations are opened before the first one starts.
        let opened = opened.collect::<Result<Vec<_>, Error>>()?;
        let running = program.stations.iter().zip(opened).enumerate().map(|(at, (station, opened))| {
            let opened = match opened {
                Entry::Before(running) => return running,
                Entry::New(opened) => opened,
            };
            let (status, queue, done) = opened.start();
            let (done, origin) = (Arc::new(Mutex::new(done)), origin(at).clone());
            Running { status, queue, done, target: station.target.clone(), limit: station.limit, origin }
        });
        Ok(Stations { running: running.collect(), names: Names::labelled(program, options.label.as_ref()) })
    }

    /// One worker's producers, in the order of the program's stations.
    pub fn producers(&self) -> Vec<StationProducer> {
        let producer = |r: &Running| {
            StationProducer::new(r.status.queue_state.clone(), r.queue.clone(), self.names.clone())
        };
        self.running.iter().map(producer).collect()
    }

    /// Stops or resumes the copies of a station. Returns whether a station has this name.
    pub fn drain(&self, station: &str, drained: bool) -> bool {
        let found = self.running.iter().find(|running| running.status.station == station);
        found.inspect(|running| running.status.queue_state.drained.store(drained, Relaxed)).is_some()
    }

    /// Whether a station uses [`Copy::flow_hash`].
    pub fn hashes(&self) -> bool {
        use Encap::{Geneve, Tzsp, Vxlan};
        let hashes = |running: &Running| {
            let Target::Tunnel { encap, .. } = &running.target else { return false };
            matches!(encap, Vxlan { .. } | Geneve { .. } | Tzsp { .. })
        };
        self.running.iter().any(hashes)
    }

    /// Whether a station writes to standard output. Nothing else should write there then.
    pub fn takes_standard_output(&self) -> bool {
        self.running.iter().any(|running| running.target == Target::Pipe { path: None })
    }

    /// The counters of each station's copies so far, in the order of the program.
    pub fn counts(&self) -> Vec<Counts> {
        self.running.iter().map(Running::counts).collect()
    }

    /// Lets each station take its waiting copies until the deadline, and ends it. Copies that still
    /// wait then are dropped. The workers should have flushed their producers; copies offered later
    /// are dropped.
    pub fn finish(self, deadline: Instant) -> Vec<Counts> {
        end(self.running, deadline)
    }

    /// Ends the stations that do not continue in another program's stations.
    pub fn retire(self, heir: &Stations, deadline: Instant) -> Vec<Counts> {
        self.without(heir).finish(deadline)
    }

    /// The stations that do not continue in another program's stations. The caller finishes them
    /// when no worker offers them copies any more.
    pub fn without(self, heir: &Stations) -> Stations {
        let goes_on = |old: &Running| heir.running.iter().any(|new| Arc::ptr_eq(&new.status, &old.status));
        Stations { running: self.running.into_iter().filter(|running| !goes_on(running)).collect(), ..self }
    }

    /// For each station that continues one of `before`, its place there.
    pub fn migration(&self, before: &Stations) -> Vec<Option<usize>> {
        let was = |new: &Running| before.running.iter().position(|old| Arc::ptr_eq(&new.status, &old.status));
        self.running.iter().map(was).collect()
    }
}

fn end(stations: Vec<Running>, deadline: Instant) -> Vec<Counts> {
    for running in &stations {
        let _set_once = running.status.queue_state.deadline.set(deadline);
        running.status.holder.end();
    }
    let end = |running: Running| {
        let left = (deadline + GRACE).saturating_duration_since(Instant::now());
        // Disconnected: the thread has ended. Timeout: the thread hangs in a system call, and the
        // process will end first.
        let done = running.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _done_or_late = done.recv_timeout(left);
        running.status.queue_state.counters.close();
        running.counts()
    };
    stations.into_iter().map(end).collect()
}

impl Running {
    fn counts(&self) -> Counts {
        let down = self.status.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let drained = self.status.queue_state.drained.load(Relaxed);
        Counts { drained, ..self.status.queue_state.counters.read(&self.status.station, down) }
    }

    fn is(&self, station: &Station, origin: &Origin) -> bool {
        self.status.station == station.name
            && self.target == station.target
            && self.limit == station.limit
            && self.origin.is_as_free_as(origin)
    }
}

/// A station at the start of a program: new, or continued.
enum Entry {
    New(Opened),
    Before(Running),
}

/// The error for a station whose socket cannot be opened.
fn privilege(station: &str, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "its socket needs CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` the program".to_owned()
        }
        _ => format!("no socket to be had: {error}"),
    };
    // The reason says what is missing: it is no matter of the user.
    Error::Station { station: station.to_owned(), reason, denied: false }
}
