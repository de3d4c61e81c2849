//! The event bus: passes all events on to live listeners, the history and alarms. The invariants:
//! sending an event never blocks; a listener that is too slow loses the oldest events and gets
//! their number; of the events that packets cause, the history and alarms get a bounded number a
//! second, and the others are counted. (Rejected: a channel for each receiver; each source of
//! events would have to know them all.)

use super::client::{Bucket, CLIENT_RATE, Clients};
use super::{Kind, Record};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// The largest number of events that wait for a listener.
const WAITING: usize = 1024;

/// The events a second that packets may cause in the history and alarms; making one takes some
/// microseconds of a worker's time.
pub const EVENT_RATE_LIMIT: u64 = 1000;

/// The requests a second without a valid token that are recorded.
pub const UNAUTHENTICATED_RATE: u32 = 10;

/// The number of addresses for which further requests are counted.
const ADDRESSES: usize = 32;

/// The time without lost events after which the loss is reported as over.
const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// Records events for later queries. It must not block.
pub trait Journal: Debug + Send + Sync {
    /// Records an event, and passes its number to `number` before another event is recorded.
    fn keep(&self, record: &Record, event: &PublishedEvent, number: &mut dyn FnMut(u64));

    /// Writes waiting events for up to some seconds; records nothing afterwards.
    fn finish(&self);
}

/// Receives each event that is an alarm. It must not block.
pub trait Subscriber: Debug + Send + Sync {
    /// Accepts an event if its queue has space.
    fn offer(&self, record: Arc<Record>);

    /// Sends waiting events for up to some seconds; sends nothing afterwards.
    fn finish(&self);
}

/// The event bus; a clone is the same bus.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: Sender<PublishedEvent>,
    /// True while there are listeners.
    listened: AtomicBool,
    journal: Option<Arc<dyn Journal>>,
    alarms: Option<Arc<dyn Subscriber>>,
    begun: Instant,
    /// The current second of the run, and the number of events admitted in it.
    second: AtomicU64,
    admitted: AtomicU64,
    /// Events that were not passed on, because there were too many.
    lost: AtomicU64,
    /// Events `extended` that were only counted.
    folded: AtomicU64,
    clients: Clients,
    strangers: Mutex<Strangers>,
}

/// An event for listeners.
#[derive(Debug, Clone)]
pub struct PublishedEvent {
    /// Its number in the history; none for kinds that the history does not record.
    pub id: Option<u64>,
    /// Its kind.
    pub kind: Kind,
    /// The policy that it is about, if any.
    pub policy: Option<Arc<str>>,
    /// Its line.
    pub line: Arc<str>,
}

/// Requests without a valid token.
#[derive(Debug)]
struct Strangers {
    bucket: Bucket,
    /// Requests that were only counted, by address; the key without an address counts all other
    /// addresses.
    over: BTreeMap<Option<IpAddr>, u64>,
}

impl Default for Inner {
    fn default() -> Inner {
        Inner {
            events: channel(WAITING).0,
            listened: AtomicBool::new(false),
            journal: None,
            alarms: None,
            begun: Instant::now(),
            second: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            clients: Clients::default(),
            strangers: Mutex::new(Strangers {
                bucket: Bucket::new(UNAUTHENTICATED_RATE, UNAUTHENTICATED_RATE),
                over: BTreeMap::new(),
            }),
        }
    }
}

/// The losses that were seen at the last check.
#[derive(Debug, Default)]
pub struct LossMonitor {
    /// All lost events at the last check.
    known: u64,
    /// The time of the last loss, and the number of lost events before this series.
    series: Option<(Instant, u64)>,
}

impl Hub {
    /// A bus that also passes recorded kinds to a journal and alarm kinds to a subscriber.
    pub fn new(journal: Option<Arc<dyn Journal>>, alarms: Option<Arc<dyn Subscriber>>) -> Hub {
        Hub(Arc::new(Inner { journal, alarms, ..Inner::default() }))
    }

    /// Whether there is any receiver.
    pub fn is_wanted(&self) -> bool {
        self.0.listened.load(Relaxed) || self.0.journal.is_some() || self.0.alarms.is_some()
    }

    /// Whether there is a receiver of this kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.0.listened.load(Relaxed) || (kind.is_kept() && self.is_wanted())
    }

    /// Whether another event that a packet caused may be passed on in this second. Listeners get
    /// all events.
    pub fn admits(&self) -> bool {
        if self.0.listened.load(Relaxed) {
            return true;
        }
        let second = self.0.begun.elapsed().as_secs();
        if self.0.second.swap(second, Relaxed) != second {
            self.0.admitted.store(0, Relaxed);
        }
        let admitted = self.0.admitted.fetch_add(1, Relaxed) < EVENT_RATE_LIMIT;
        if !admitted {
            self.lost(1);
        }
        admitted
    }

    /// Counts events that were not passed on.
    pub fn lost(&self, events: u64) {
        self.0.lost.fetch_add(events, Relaxed);
    }

    /// Counts events `extended` that were only counted.
    pub fn folded(&self, events: u64) {
        self.0.folded.fetch_add(events, Relaxed);
    }

    /// Passes an event on. Events of a client beyond [`CLIENT_RATE`] are only counted.
    pub fn tell(&self, record: Record) {
        if record.client.as_ref().is_none_or(|client| self.0.clients.admits(client)) {
            self.tell_all(record);
        }
    }

    fn tell_all(&self, record: Record) {
        let record = record.short();
        let line: Arc<str> = record.text().into();
        let policy = record.word("policy").map(Arc::from);
        let event = PublishedEvent { id: None, kind: record.kind, policy, line };
        match self.0.journal.as_ref().filter(|_| record.kind.is_kept()) {
            // Under the history's lock, so that listeners get growing numbers.
            Some(journal) => journal.keep(&record, &event, &mut |id| {
                let _nobody_listens = self.0.events.send(PublishedEvent { id: Some(id), ..event.clone() });
            }),
            None => {
                let _nobody_listens = self.0.events.send(event);
            }
        }
        if let Some(alarms) = self.0.alarms.as_ref().filter(|_| record.kind.is_alarm()) {
            alarms.offer(Arc::new(record));
        }
    }

    /// Reports a request without a valid token: [`UNAUTHENTICATED_RATE`] a second, further requests
    /// are counted.
    pub fn unauthenticated(&self, from: Option<IpAddr>, asked: &str, why: &str) {
        {
            let mut strangers = self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            if !strangers.bucket.admits() {
                let there = strangers.over.contains_key(&from) || strangers.over.len() < ADDRESSES;
                *strangers.over.entry(from.filter(|_| there)).or_default() += 1;
                return;
            }
        }
        let from = from.map(|from| from.to_string());
        let members = json!({ "by": { "from": from }, "request": asked, "reason": why });
        self.tell(Record::now(Kind::Unauthenticated, members));
    }

    /// Reports the counts of events that were only counted since the last call.
    fn tell_passed_over(&self) {
        for (client, over) in self.0.clients.passed_over() {
            let note = format!(
                "{over} changes of client {client} were only counted: it made more than {CLIENT_RATE} changes in a second"
            );
            let members = json!({ "by": { "client": &*client }, "passed_over": over, "note": note });
            self.tell_all(Record { client: Some(client), ..Record::now(Kind::Change, members) });
        }
        let over = {
            let mut strangers = self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            strangers.bucket.take();
            std::mem::take(&mut strangers.over)
        };
        if !over.is_empty() {
            let all: u64 = over.values().sum();
            let by: Map<String, Json> = over
                .into_iter()
                .map(|(from, n)| (from.map_or("others".to_owned(), |from| from.to_string()), n.into()))
                .collect();
            let note = format!("{all} requests without a valid token were only counted");
            let members = json!({ "passed_over": all, "by_address": by, "note": note });
            self.tell_all(Record::now(Kind::Unauthenticated, members));
        }
    }

    /// Sends a note for the user.
    pub fn note(&self, text: &str) {
        self.tell(Record::note(text));
    }

    /// Reports a new version of a policy.
    pub fn loaded(&self, policy: &str, version: u64) {
        let note = format!("loaded policy {policy}, version {version}");
        self.tell(Record::now(Kind::Loaded, json!({ "policy": policy, "version": version, "note": note })));
    }

    /// Reports an unloaded policy.
    pub fn unloaded(&self, policy: &str) {
        let note = format!("unloaded policy {policy}");
        self.tell(Record::now(Kind::Unloaded, json!({ "policy": policy, "note": note })));
    }

    /// Reports a refused load.
    pub fn refused(&self, policy: &str, why: &str) {
        let note = format!("policy {policy} was not loaded: {why}");
        self.tell(Record::now(Kind::Refused, json!({ "policy": policy, "reason": why, "note": note })));
    }

    /// Checks for losses; sends a note about them and returns it. To be called regularly.
    pub fn watch(&self, losses: &mut LossMonitor) -> Option<String> {
        self.tell_passed_over();
        let now = self.0.lost.load(Relaxed);
        let lost = now > losses.known;
        let message = match losses.series {
            None if lost => {
                losses.series = Some((Instant::now(), losses.known));
                Some(format!(
                    "there are more than {EVENT_RATE_LIMIT} events in a second; some are only counted"
                ))
            }
            Some((_, before)) if lost => {
                losses.series = Some((Instant::now(), before));
                None
            }
            Some((last, before)) if last.elapsed() > QUIET_PERIOD => {
                losses.series = None;
                Some(format!("all events are reported again; {} events were only counted", now - before))
            }
            _ => None,
        };
        losses.known = now;
        let message = message?;
        self.note(&message);
        Some(message)
    }

    /// The number of events that the journal and alarms did not get, because there were too many.
    pub fn lost_so_far(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// The number of events `extended` that were only counted.
    pub fn folded_so_far(&self) -> u64 {
        self.0.folded.load(Relaxed)
    }

    /// Ends the history and alarms: writes and sends waiting events for up to some seconds.
    pub fn finish(&self) {
        if let Some(alarms) = &self.0.alarms {
            alarms.finish();
        }
        if let Some(journal) = &self.0.journal {
            journal.finish();
        }
    }

    /// Starts to listen.
    pub fn listen(&self) -> Listener {
        let events = self.0.events.subscribe();
        self.0.listened.store(true, Relaxed);
        Listener { events, hub: self.clone() }
    }
}

/// A listener.
#[derive(Debug)]
pub struct Listener {
    /// The events.
    pub events: Receiver<PublishedEvent>,
    hub: Hub,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // This listener is still counted.
        self.hub.0.listened.store(self.hub.0.events.receiver_count() > 1, Relaxed);
    }
}
