//! Where everything that happens is told: to those who listen just now, to the history, to alarms.
//! The invariants: telling never waits for anybody; a listener that is too slow loses the oldest
//! and is told how many; of what packets cause, the history and alarms are told a bounded number a
//! second, and what they were not told is counted. (Rejected: a channel for each of them beside the
//! runtime's; each place that tells would have to know them all.)

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

/// How many events wait for a listener.
const WAITING: usize = 1024;

/// How many events a second that packets cause are made for the history and alarms; making one
/// takes some microseconds of a worker's time.
pub const EVENT_RATE_LIMIT: u64 = 1000;

/// How many requests a second without a known token are kept.
pub const UNAUTHENTICATED_RATE: u32 = 10;

/// How many addresses are counted of requests beyond that rate.
const ADDRESSES: usize = 32;

/// How long nothing is passed over before that is said to be over.
const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// Keeps events for those who ask later. It must not wait.
pub trait Journal: Debug + Send + Sync {
    /// Keeps an event, and gives its number to `number` before another one is kept.
    fn keep(&self, record: &Record, told: &Told, number: &mut dyn FnMut(u64));

    /// Writes down what waits, for some seconds; nothing is kept later.
    fn finish(&self);
}

/// Is told of each event that is an alarm. It must not wait.
pub trait Subscriber: Debug + Send + Sync {
    /// Takes an event, as far as there is room.
    fn offer(&self, record: Arc<Record>);

    /// Sends what waits, for some seconds; nothing is sent later.
    fn finish(&self);
}

/// Where events are told; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: Sender<Told>,
    /// True while somebody listens.
    listened: AtomicBool,
    journal: Option<Arc<dyn Journal>>,
    alarms: Option<Arc<dyn Subscriber>>,
    begun: Instant,
    /// The second of the run in which so many were admitted.
    second: AtomicU64,
    admitted: AtomicU64,
    /// Events that were not told, because there were too many.
    lost: AtomicU64,
    /// Events `extended` that were counted and not told.
    folded: AtomicU64,
    clients: Clients,
    strangers: Mutex<Strangers>,
}

/// An event as it is told to those who listen.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its number in the history; none of what the history does not keep.
    pub id: Option<u64>,
    /// Its kind.
    pub kind: Kind,
    /// The policy that it is about, if it is about one.
    pub policy: Option<Arc<str>>,
    /// Its line.
    pub line: Arc<str>,
}

/// Requests without a known token.
#[derive(Debug)]
struct Strangers {
    bucket: Bucket,
    /// Requests that were not told, by address; those of no address here are of still others.
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

/// What was seen of losses, by whoever looks now and then.
#[derive(Debug, Default)]
pub struct LossMonitor {
    /// All that were lost when it was looked last.
    known: u64,
    /// When a loss was last seen, and how many were lost before this series of them.
    series: Option<(Instant, u64)>,
}

impl Hub {
    /// One that also tells a journal of all that is kept, and a subscriber of what is an alarm.
    pub fn new(journal: Option<Arc<dyn Journal>>, alarms: Option<Arc<dyn Subscriber>>) -> Hub {
        Hub(Arc::new(Inner { journal, alarms, ..Inner::default() }))
    }

    /// Whether anybody is told.
    pub fn is_wanted(&self) -> bool {
        self.0.listened.load(Relaxed) || self.0.journal.is_some() || self.0.alarms.is_some()
    }

    /// Whether anybody is told of this kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.0.listened.load(Relaxed) || (kind.is_kept() && self.is_wanted())
    }

    /// Whether another event of this second that a packet caused may be told. Who listens is told
    /// of all.
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

    /// So many events were not told.
    pub fn lost(&self, events: u64) {
        self.0.lost.fetch_add(events, Relaxed);
    }

    /// So many events `extended` were counted and not told.
    pub fn folded(&self, events: u64) {
        self.0.folded.fetch_add(events, Relaxed);
    }

    /// Tells what happened. What a client causes faster than [`CLIENT_RATE`] is counted only.
    pub fn tell(&self, record: Record) {
        if record.client.as_ref().is_none_or(|client| self.0.clients.admits(client)) {
            self.tell_all(record);
        }
    }

    fn tell_all(&self, record: Record) {
        let record = record.short();
        let line: Arc<str> = record.text().into();
        let policy = record.word("policy").map(Arc::from);
        let told = Told { id: None, kind: record.kind, policy, line };
        match self.0.journal.as_ref().filter(|_| record.kind.is_kept()) {
            // Under the history's lock, so that numbers grow for whoever listens.
            Some(journal) => journal.keep(&record, &told, &mut |id| {
                let _nobody_listens = self.0.events.send(Told { id: Some(id), ..told.clone() });
            }),
            None => {
                let _nobody_listens = self.0.events.send(told);
            }
        }
        if let Some(alarms) = self.0.alarms.as_ref().filter(|_| record.kind.is_alarm()) {
            alarms.offer(Arc::new(record));
        }
    }

    /// Tells of a request that showed no known token: [`UNAUTHENTICATED_RATE`] a second, the others
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

    /// Tells of what was only counted since this was called last.
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

    /// Tells a note: something that a user should know of.
    pub fn note(&self, text: &str) {
        self.tell(Record::note(text));
    }

    /// A policy is at another version.
    pub fn loaded(&self, policy: &str, version: u64) {
        let note = format!("loaded policy {policy}, version {version}");
        self.tell(Record::now(Kind::Loaded, json!({ "policy": policy, "version": version, "note": note })));
    }

    /// A policy was unloaded.
    pub fn unloaded(&self, policy: &str) {
        let note = format!("unloaded policy {policy}");
        self.tell(Record::now(Kind::Unloaded, json!({ "policy": policy, "note": note })));
    }

    /// A policy was not loaded.
    pub fn refused(&self, policy: &str, why: &str) {
        let note = format!("policy {policy} was not loaded: {why}");
        self.tell(Record::now(Kind::Refused, json!({ "policy": policy, "reason": why, "note": note })));
    }

    /// Looks for losses; gives what a user should know of them, which has been told as a note. To
    /// be called now and then.
    pub fn watch(&self, losses: &mut LossMonitor) -> Option<String> {
        self.tell_passed_over();
        let now = self.0.lost.load(Relaxed);
        let lost = now > losses.known;
        let told = match losses.series {
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
        let told = told?;
        self.note(&told);
        Some(told)
    }

    /// How many events were not told to the journal and alarms, because there were too many.
    pub fn lost_so_far(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// How many events `extended` were counted and not told.
    pub fn folded_so_far(&self) -> u64 {
        self.0.folded.load(Relaxed)
    }

    /// Nothing more is told to the history and alarms: writes down and sends what waits, for some
    /// seconds.
    pub fn finish(&self) {
        if let Some(alarms) = &self.0.alarms {
            alarms.finish();
        }
        if let Some(journal) = &self.0.journal {
            journal.finish();
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        let events = self.0.events.subscribe();
        self.0.listened.store(true, Relaxed);
        Listener { events, hub: self.clone() }
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    /// What is told.
    pub events: Receiver<Told>,
    hub: Hub,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // This one is still counted.
        self.hub.0.listened.store(self.hub.0.events.receiver_count() > 1, Relaxed);
    }
}
