//! Where copies go: each station has a queue and a thread of its own, and each worker a
//! [`StationProducer`] to it. The invariants: a worker never waits for a station; every copy
//! offered ends as sent or as dropped by a cause, and the sums say so; a station that is gone is
//! told once, tried again by itself, and told again when it is back. A capture that is read has
//! none of this: [`PcapngFile`] is written in line, and what cannot be written is an error.
//! (Rejected: sending from the worker; one slow disk or unresolved neighbour would stall
//! forwarding.)

mod blocks;
mod counts;
mod encap;
mod file;
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
use queue::Tally;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread has to notice that its time is over.
const GRACE: Duration = Duration::from_millis(300);

/// How stations are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many bytes of copies may wait for each station, beside one batch (64 KiB) of each
    /// worker.
    pub queue_bytes: usize,
    /// How many copies may wait for each station.
    pub queue_copies: usize,
    /// The interfaces that packets come from, by the number that packets have.
    pub interfaces: Vec<Interface>,
    /// Who is told what becomes of stations.
    pub events: Events,
    /// Which policy they are of, and which version of it: copies say so.
    pub label: Option<Label>,
    /// What they may reach; one for all policies of a run.
    pub confinement: Arc<Confinement>,
    /// Who wrote each of them, in the order of the program; those behind the last are the owner's.
    pub origins: Vec<Origin>,
    /// A station may begin to write to standard output.
    pub standard_output: bool,
    /// How long all of them together may take to be opened.
    pub patience: Duration,
    /// What becomes of a station that cannot be opened.
    pub refusal: Refusal,
    /// Stations that get no copies until somebody resumes them.
    pub drained: BTreeSet<String>,
}

/// What becomes of a station that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Refusal {
    /// None of them is opened, and that is an error.
    #[default]
    Error,
    /// It is down, drops its copies, and is tried again each second. Those that are named here must
    /// not be opened, for these reasons.
    Down(BTreeMap<String, String>),
}

/// How long the stations of a program may take to be opened, unless told.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl Options {
    /// Bytes that a station's queue takes when it is full, with the batches that so many workers
    /// fill and keep.
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

/// Something that happened to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The station.
    pub station: String,
    /// What it is now.
    pub state: State,
}

/// Whether a station takes copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not; its copies are dropped and it is tried again.
    Down {
        /// Why, as a user would say it.
        reason: String,
    },
    /// It does again.
    Up,
    /// It does, but not as its user may think.
    Note {
        /// What is to be known.
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

/// A function that is called, from the stations' threads, with each [`Event`]. It should not wait
/// for long: its station waits with it. Nobody, unless told.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<Call>>);

type Call = dyn Fn(&Event) + Send + Sync;

impl Events {
    /// Calls this.
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

/// The stations of a program, at work; a clone is the same ones.
#[derive(Debug, Clone)]
pub struct Stations {
    running: Vec<Running>,
    names: Names,
}

/// One of them; a clone is the same one.
#[derive(Debug, Clone)]
struct Running {
    tally: Arc<Tally>,
    queue: SyncSender<CopyBatch>,
    /// Hangs up when the thread is done.
    done: Arc<Mutex<Receiver<()>>>,
    target: Target,
    limit: Option<Rate>,
    origin: Origin,
}

impl Stations {
    /// Opens every station of the program, in its order, and starts their threads. A station that
    /// cannot be reached now (no route, no such interface, nobody reads the pipe) is no error: it
    /// is down and tried again. Sockets are opened here, so privileges can be given up afterwards.
    ///
    /// # Errors
    /// [`Error::Station`]: a privilege is missing, a path can never be written, or opening takes
    /// too long; [`Error::NotGranted`]: a client's station that nothing grants.
    pub fn open(program: &Program, options: &Options) -> Result<Stations, Error> {
        Stations::open_beside(&[], program, options)
    }

    /// The stations of a program that takes the place of this one's: those of the same name, target
    /// and limit go on with their queues, files and counts, and the others are opened as
    /// [`open`](Self::open) does, with the same interfaces. Nothing changes for the producers that
    /// are there; workers take the new ones when they take the new program. Then
    /// [`retire`](Self::retire) ends what the new program does not have.
    ///
    /// # Errors
    /// As for [`open`](Self::open); all stations then go on as they were.
    pub fn succeed(&self, program: &Program, options: &Options) -> Result<Stations, Error> {
        Stations::open_beside(&self.running, program, options)
    }

    fn open_beside(before: &[Running], program: &Program, options: &Options) -> Result<Stations, Error> {
        let deadline = Instant::now() + options.patience;
        let origin = |at: usize| options.origins.get(at).unwrap_or(&Origin::Owner);
        let wanted = || program.stations.iter().enumerate().map(|(at, station)| (station, origin(at)));
        let ends = |running: &&Running| !wanted().any(|(station, origin)| running.is(station, origin));
        let ending: Vec<_> = before.iter().filter(ends).map(|r| (&r.target, &r.tally.holder)).collect();
        let opened = wanted().map(|(station, origin)| {
            match before.iter().find(|running| running.is(station, origin)) {
                Some(running) => Ok(Entry::Before(running.clone())),
                None => opening::open(station, origin, &ending, options, deadline).map(Entry::New),
            }
        });
        // All are opened before the first starts.
        let opened = opened.collect::<Result<Vec<_>, Error>>()?;
        let running = program.stations.iter().zip(opened).enumerate().map(|(at, (station, opened))| {
            let opened = match opened {
                Entry::Before(running) => return running,
                Entry::New(opened) => opened,
            };
            let (tally, queue, done) = opened.start();
            let (done, origin) = (Arc::new(Mutex::new(done)), origin(at).clone());
            Running { tally, queue, done, target: station.target.clone(), limit: station.limit, origin }
        });
        Ok(Stations { running: running.collect(), names: Names::labelled(program, options.label.as_ref()) })
    }

    /// One worker's ends, in the order of the program's stations.
    pub fn producers(&self) -> Vec<StationProducer> {
        let producer = |r: &Running| {
            StationProducer::new(r.tally.queue_state.clone(), r.queue.clone(), self.names.clone())
        };
        self.running.iter().map(producer).collect()
    }

    /// Gives a station no more copies, or copies again; whether there is one of this name.
    pub fn drain(&self, station: &str, drained: bool) -> bool {
        let found = self.running.iter().find(|running| running.tally.station == station);
        found.inspect(|running| running.tally.queue_state.drained.store(drained, Relaxed)).is_some()
    }

    /// Whether any station looks at [`Copy::flow_hash`].
    pub fn hashes(&self) -> bool {
        use Encap::{Geneve, Tzsp, Vxlan};
        let hashes = |running: &Running| {
            let Target::Tunnel { encap, .. } = &running.target else { return false };
            matches!(encap, Vxlan { .. } | Geneve { .. } | Tzsp { .. })
        };
        self.running.iter().any(hashes)
    }

    /// Whether a station writes to standard output, which nobody else should write to then.
    pub fn takes_standard_output(&self) -> bool {
        self.running.iter().any(|running| running.target == Target::Pipe { path: None })
    }

    /// What became of each station's copies so far, in the order of the program.
    pub fn counts(&self) -> Vec<Counts> {
        self.running.iter().map(Running::counts).collect()
    }

    /// Lets every station take what waits for it, until the deadline, and ends it. What then still
    /// waits is dropped. The workers should have flushed their producers; copies offered later are
    /// dropped.
    pub fn finish(self, deadline: Instant) -> Vec<Counts> {
        end(self.running, deadline)
    }

    /// The same for those stations that another program's do not go on with.
    pub fn retire(self, heir: &Stations, deadline: Instant) -> Vec<Counts> {
        self.without(heir).finish(deadline)
    }

    /// Those stations that another program's do not go on with: for whoever finishes them when
    /// nobody offers copies any more.
    pub fn without(self, heir: &Stations) -> Stations {
        let goes_on = |old: &Running| heir.running.iter().any(|new| Arc::ptr_eq(&new.tally, &old.tally));
        Stations { running: self.running.into_iter().filter(|running| !goes_on(running)).collect(), ..self }
    }

    /// For each station its place among those of another program that it goes on with.
    pub fn migration(&self, before: &Stations) -> Vec<Option<usize>> {
        let was = |new: &Running| before.running.iter().position(|old| Arc::ptr_eq(&new.tally, &old.tally));
        self.running.iter().map(was).collect()
    }
}

fn end(stations: Vec<Running>, deadline: Instant) -> Vec<Counts> {
    for running in &stations {
        let _set_once = running.tally.queue_state.deadline.set(deadline);
        running.tally.holder.end();
    }
    let end = |running: Running| {
        let left = (deadline + GRACE).saturating_duration_since(Instant::now());
        // Hung up: the thread is done. Late: it hangs in a system call; the process will end before
        // it does.
        let done = running.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _done_or_late = done.recv_timeout(left);
        running.tally.queue_state.counters.close();
        running.counts()
    };
    stations.into_iter().map(end).collect()
}

impl Running {
    fn counts(&self) -> Counts {
        let down = self.tally.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let drained = self.tally.queue_state.drained.load(Relaxed);
        Counts { drained, ..self.tally.queue_state.counters.read(&self.tally.station, down) }
    }

    fn is(&self, station: &Station, origin: &Origin) -> bool {
        self.tally.station == station.name
            && self.target == station.target
            && self.limit == station.limit
            && self.origin.is_as_free_as(origin)
    }
}

/// A station of a program that begins.
enum Entry {
    New(Opened),
    Before(Running),
}

/// What a station's socket could not be opened for.
fn privilege(station: &str, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "its socket needs CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` the program".to_owned()
        }
        _ => format!("no socket to be had: {error}"),
    };
    Error::Station { station: station.to_owned(), reason }
}
