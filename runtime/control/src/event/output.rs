//! Writes trigger events as lines of a file, a pipe or standard output, and passes them to a
//! [`Hub`] as records. The decider makes the records; a separate thread behind a bounded queue
//! writes them. The invariant: `emitted = written + dropped`; while the reader is slow, a live
//! worker drops and counts events, and a replay waits. (Rejected: writing where packets are
//! decided; a slow reader would delay forwarding.)

use super::extended::{EVERY, Extended, Verdict};
use super::{Hub, Kind, Record, client, part_json};
use mrule_compiler::explain;
use mrule_dataplane::patience;
use mrule_dataplane::privilege::private;
use mrule_engine::change::{Change, Effect, FlowAct, FlowRefusal};
use mrule_engine::decider::{Observer, TriggerEvent};
use mrule_engine::flow::FlowName;
use mrule_engine::policy::Policy;
use mrule_engine::trigger::{Outcome, Suppressed, key_parts, key_values};
use serde_json::{Map, Value as Json};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The largest number of lines that wait for the reader.
const QUEUE: usize = 1 << 14;

/// The longest time that a live run waits at its end for lines to be written.
const FINISH: Duration = Duration::from_secs(5);

/// Opens an event file to write it from the start, or a FIFO that has a reader.
///
/// # Errors
/// An error of the system; the file is neither, or has other contents.
pub fn open(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    // Each line begins with its time.
    let file = private::output(path, true, |head| head.starts_with(b"{\"time\":"))?;
    Ok(Box::new(file))
}

/// The result of writing lines.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines to write: `written + dropped`.
    pub emitted: u64,
    /// Written lines.
    pub written: u64,
    /// Lines that were not written: the queue was full, or writing had failed.
    pub dropped: u64,
    /// Events `extended` that were only counted, because there was an event of their key shortly
    /// before; not in `emitted`.
    pub folded: u64,
    /// Why writing failed, if it did.
    pub error: Option<io::Error>,
}

/// The writer of event lines.
#[derive(Debug)]
pub struct EventWriter {
    queue: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<(u64, Option<io::Error>)>>,
    waits: bool,
    emitted: AtomicU64,
    /// Whether lines are written, and not only passed to the hub.
    writes: bool,
    hub: Option<Hub>,
    extended: Extended,
    /// Events `extended` that were only counted.
    folded: AtomicU64,
}

impl EventWriter {
    /// Writes to `out`, and passes events to a hub. If `waits` is set, sending an event blocks
    /// while the queue is full; otherwise the event is dropped and counted.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(out: Option<Box<dyn Write + Send>>, hub: Option<Hub>, waits: bool) -> io::Result<EventWriter> {
        let (queue, records) = sync_channel(QUEUE);
        let (writes, to) = (out.is_some(), hub.clone());
        let thread = std::thread::Builder::new().name("events".into());
        let thread = thread.spawn(move || tell_all(out, to.as_ref(), &records))?;
        Ok(EventWriter {
            queue: Some(queue),
            thread: Some(thread),
            waits,
            emitted: AtomicU64::new(0),
            writes,
            hub,
            extended: Extended::new(EVERY),
            folded: AtomicU64::new(0),
        })
    }

    /// Writes to a file, to a FIFO that is read or, for `-`, to standard output, and tells a hub;
    /// none where there is neither. A file system that does not answer is an error.
    ///
    /// # Errors
    /// The system's.
    pub fn open(to: Option<&Path>, hub: Option<&Hub>, waits: bool) -> io::Result<Option<EventWriter>> {
        let out: Option<Box<dyn Write + Send>> = match to {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(io::stdout())),
            Some(path) => {
                let path = path.to_owned();
                let opened =
                    patience::within(patience::OPENING, &AtomicBool::new(false), move || open(&path));
                let hung = || Err(io::Error::other("its file system does not answer"));
                Some(opened.unwrap_or_else(hung)?)
            }
        };
        if out.is_none() && hub.is_none() {
            return Ok(None);
        }
        EventWriter::new(out, hub.cloned(), waits).map(Some)
    }

    /// Sets the period in which at most one event `extended` of a key is reported; 0 reports all;
    /// the default is a second.
    pub fn extended_every(self, time: Duration) -> EventWriter {
        let every = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        EventWriter { extended: Extended::new(every), ..self }
    }

    /// Whether there is a reader of this kind.
    fn wants(&self, kind: Kind) -> bool {
        self.writes || self.hub.as_ref().is_some_and(|hub| hub.wants(kind))
    }

    /// The same for an event that a packet causes: if packets cause very many, a hub skips some.
    fn wants_of_packet(&self, kind: Kind) -> bool {
        self.writes || self.hub.as_ref().is_some_and(|hub| hub.wants(kind) && hub.admits())
    }

    fn tell(&self, record: Record) {
        self.emitted.fetch_add(1, Relaxed);
        let Some(queue) = &self.queue else { return };
        let taken = if self.waits { queue.send(record).is_ok() } else { queue.try_send(record).is_ok() };
        // An event that is not accepted is also counted in `finish`.
        if let (false, Some(hub)) = (taken, &self.hub) {
            hub.lost(1);
        }
    }

    /// Reports that the time of a suppression has ended.
    pub fn suppression_over(&self, policy: &Policy, trigger: usize, of: &Suppressed) {
        let program = policy.program();
        let Some(trigger) = program.triggers.get(trigger).filter(|_| self.wants(Kind::SuppressionEnded))
        else {
            return;
        };
        let mut record = start(of.until.unwrap_or_default(), Kind::SuppressionEnded, &trigger.name, policy);
        record.members.insert("key".into(), of.key.iter().map(part_json).collect());
        record.members.insert("reason".into(), "its time has ended".into());
        self.tell(record);
    }

    /// Waits until all lines are written, and returns the counts. A live run waits only some
    /// seconds, because the reader of a FIFO may have stopped.
    pub fn finish(mut self) -> Written {
        self.queue = None;
        let (emitted, folded) = (self.emitted.load(Relaxed), self.folded.load(Relaxed));
        let until = Instant::now() + FINISH;
        while !self.waits && self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if Instant::now() >= until {
                let error = Some(io::Error::other("its reader takes no more lines"));
                return Written { emitted, written: 0, dropped: emitted, folded, error };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let (written, error) = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            _ => (0, Some(io::Error::other("the thread that writes events has died; please report this"))),
        };
        Written { emitted, written, dropped: emitted.saturating_sub(written), folded, error }
    }
}

impl Observer for EventWriter {
    fn is_wanted(&self) -> bool {
        self.writes || self.hub.as_ref().is_some_and(Hub::is_wanted)
    }

    fn packet(&self, policy: &Policy, number: u64, event: &TriggerEvent<'_>) {
        let (program, environment) = (policy.program(), policy.environment());
        let Some(trigger) = program.triggers.get(event.trigger) else { return };
        let kind = match event.outcome {
            Outcome::Nothing => return,
            Outcome::Raised => Kind::Raised,
            Outcome::Extended => Kind::Extended,
            Outcome::Vetoed => Kind::Vetoed,
            Outcome::Suppressed => Kind::Suppressed,
            Outcome::Full => Kind::Full,
        };
        let mut times = 1;
        if kind == Kind::Extended {
            if !self.wants(kind) {
                return;
            }
            let policy = policy.label().map_or("", |label| &label.policy);
            let key = event.key.unwrap_or_default();
            match self.extended.ask(policy, &trigger.name, key, event.packet.time) {
                Verdict::Emit(so_many) => times = so_many,
                Verdict::Counted => {
                    self.folded.fetch_add(1, Relaxed);
                    if let Some(hub) = &self.hub {
                        hub.folded(1);
                    }
                    return;
                }
            }
        }
        if !self.wants_of_packet(kind) {
            return;
        }
        let mut record = start(event.packet.time, kind, &trigger.name, policy);
        if let Some(key) = event.key {
            record.members.insert("key".into(), key_parts(key).iter().map(part_json).collect());
        }
        record.members.insert("packet".into(), number.into());
        if times > 1 {
            record.members.insert("times".into(), times.into());
        }
        let head = event.seen.head_of(event.packet);
        let which = (event.trigger, event.outcome == Outcome::Vetoed);
        let reason = explain::reason(program, environment, event.packet, &head, event.seen, which);
        record.members.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
        self.tell(record);
    }

    fn change(&self, policy: &Policy, now: i64, change: &Change, effect: Effect) {
        let program = policy.program();
        let mut key = None;
        let (at, values, reason) = match change {
            Change::Flow { trigger, flow, act } => {
                key = Some(vec![Json::from(flow.to_string())]);
                let reason = match act {
                    FlowAct::Suppress { reason, .. } => reason.as_str(),
                    _ => "from outside",
                };
                (*trigger, None, reason)
            }
            Change::Raise { trigger, key, .. } => (*trigger, Some(key), "from outside"),
            Change::Clear { trigger, key } => (*trigger, key.as_ref(), "from outside"),
            Change::Suppress { trigger, key, reason, .. } => (*trigger, Some(key), reason.as_str()),
            Change::Unsuppress { trigger, key } => (*trigger, Some(key), "from outside"),
            Change::Add { .. } | Change::Remove { .. } | Change::Set { .. } => return,
        };
        let kind = match (change, effect) {
            (_, Effect::Raised(Outcome::Raised)) => Kind::Raised,
            (_, Effect::Raised(Outcome::Extended)) => Kind::Extended,
            (_, Effect::Raised(Outcome::Suppressed)) => Kind::Suppressed,
            (_, Effect::Raised(Outcome::Full)) => Kind::Full,
            (_, Effect::Cleared(1..)) => Kind::Cleared,
            (Change::Suppress { .. }, Effect::Done)
            | (Change::Flow { act: FlowAct::Suppress { .. }, .. }, Effect::Done) => Kind::Suppression,
            (Change::Unsuppress { .. }, Effect::Done)
            | (Change::Flow { act: FlowAct::Unsuppress, .. }, Effect::Done) => Kind::SuppressionEnded,
            _ => return,
        };
        let Some(trigger) = program.triggers.get(at).filter(|_| self.wants(kind)) else { return };
        let mut record = start(now, kind, &trigger.name, policy);
        if let Some(values) = values.and_then(|key| key_values(key)) {
            key = Some(key_parts(&values).iter().map(part_json).collect());
        }
        if let Some(key) = key {
            record.members.insert("key".into(), key.into());
        }
        record.members.insert("reason".into(), reason.into());
        self.tell(record);
    }

    fn refused(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &FlowRefusal) {
        let Some(trigger) = policy.program().triggers.get(trigger) else { return };
        let mut record = start(now, Kind::Refused, &trigger.name, policy);
        record.members.insert("key".into(), vec![Json::from(flow.to_string())].into());
        record.members.insert("reason".into(), why.to_string().into());
        self.tell(record);
    }

    fn flow_suppression_over(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &str) {
        let Some(trigger) = policy.program().triggers.get(trigger) else { return };
        if self.wants(Kind::SuppressionEnded) {
            let mut record = start(now, Kind::SuppressionEnded, &trigger.name, policy);
            record.members.insert("key".into(), vec![Json::from(flow.to_string())].into());
            record.members.insert("reason".into(), why.into());
            self.tell(record);
        }
    }
}

/// The first members of every record of a trigger.
fn start(time: i64, kind: Kind, trigger: &str, policy: &Policy) -> Record {
    let mut members = Map::new();
    members.insert("trigger".into(), trigger.into());
    if let Some(label) = policy.label() {
        members.insert("policy".into(), (*label.policy).into());
    }
    Record { kind, time, client: client::current(), members }
}

/// Writes lines as they arrive, flushes whenever no line waits, and passes events to the hub.
fn tell_all(
    out: Option<Box<dyn Write + Send>>,
    hub: Option<&Hub>,
    records: &Receiver<Record>,
) -> (u64, Option<io::Error>) {
    let mut out = out.map(BufWriter::new);
    let (mut written, mut unsure, mut failed) = (0, 0, None);
    let mut next = records.recv().ok();
    while let Some(record) = next {
        if let Some(to) = &mut out {
            match writeln!(to, "{}", record.text()) {
                Ok(()) => unsure += 1,
                Err(error) => (out, unsure, failed) = (None, 0, Some(error)),
            }
        }
        if let Some(hub) = hub {
            hub.tell(record);
        } else if failed.is_some() {
            break;
        }
        next = match records.try_recv() {
            Ok(record) => Some(record),
            Err(_) => {
                match out.as_mut().map(Write::flush) {
                    Some(Err(error)) => (out, unsure, failed) = (None, 0, Some(error)),
                    _ => {
                        written += unsure;
                        unsure = 0;
                    }
                }
                records.recv().ok()
            }
        };
    }
    match out.as_mut().map(Write::flush) {
        Some(Err(error)) => (written, Some(error)),
        _ if failed.is_some() => (written, failed),
        _ => (written + unsure, None),
    }
}
