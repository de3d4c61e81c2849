//! The event history: the newest events in memory and, with a state directory, more of them on the
//! disk. The invariants: recording an event never blocks; memory and disk are bounded in number and
//! bytes; events that packets cause and requests without a token have their own bounds, and each
//! client has a share of all others, so that no flood displaces the record of who changed what;
//! events that are not recorded are counted. (Rejected: the database of the control plane's store;
//! it is written before a change is answered, so changes would wait for batches of events.)

mod disk;

use crate::event::{Journal, Kind, PublishedEvent, Record};
use disk::Disk;
use mrule_dataplane::patience;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of events in memory: of those that packets cause, and of all others.
pub const KEPT: usize = 10_000;

/// The largest size of their lines together, in bytes.
const KEPT_BYTES: usize = 4 << 20;

/// The number of events on the disk, of each of the two groups.
pub const KEPT_ON_DISK: usize = 100_000;

/// The number of requests without a valid token, in memory and on the disk.
pub const KEPT_UNAUTHENTICATED: usize = 1000;

/// The largest number of events in an answer.
pub const MOST: usize = 1000;

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: later events have larger numbers.
    pub id: u64,
    /// The time, in nanoseconds since the Unix epoch.
    pub time: i64,
    /// Its kind.
    pub kind: Kind,
    /// The policy that it is about, if any.
    pub policy: Option<Arc<str>>,
    /// The client that caused it, if any.
    pub client: Option<Arc<str>>,
    /// The line, as listeners get it.
    pub line: Arc<str>,
}

/// The groups of events with their own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Events of clients and mirrorc itself: each client has a share.
    Others = 0,
    /// Events that packets cause.
    OfPackets = 1,
    /// Requests without a valid token.
    Unauthenticated = 2,
}

impl Entry {
    fn class(&self) -> Class {
        match self.kind {
            Kind::Unauthenticated => Class::Unauthenticated,
            kind if kind.is_of_packets() && self.client.is_none() => Class::OfPackets,
            _ => Class::Others,
        }
    }
}

/// A query.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only events with larger numbers.
    pub after: Option<u64>,
    /// Only events at or after this time, in nanoseconds since the Unix epoch.
    pub since: Option<i64>,
    /// Only these kinds; none means all kinds.
    pub kinds: Vec<Kind>,
    /// Only events about this policy.
    pub policy: Option<Arc<str>>,
    /// The largest number of events: the first ones if `after` or `since` is given, otherwise the
    /// last ones.
    pub limit: usize,
}

/// The result of a query, the newest event last.
#[derive(Debug, Default)]
pub struct Found {
    /// The events.
    pub events: Vec<Entry>,
    /// The number for `after` of the next page; none if there are no more events now.
    pub next: Option<u64>,
}

/// The counts and the state of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events recorded in memory since the start.
    pub kept: u64,
    /// Of these, events written to the disk.
    pub written: u64,
    /// Of these, events that were not written, because the disk was too slow or failed.
    pub unwritten: u64,
    /// Events that never reached the history, because packets caused too many.
    pub lost: u64,
    /// Events `extended` that were only counted, because there was another event of their key in
    /// the same second.
    pub folded: u64,
    /// What is wrong with the history on the disk: it cannot be written or read, or has events of
    /// unknown kinds.
    pub trouble: Option<String>,
}

/// The history; a clone is the same history.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    memory: Mutex<Memory>,
    disk: Option<Disk>,
    /// Why there is no database, if a directory is given.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The number of the newest event.
    last: u64,
    kept: u64,
    of_packets: EventBuffer,
    unauthenticated: EventBuffer,
    others: Shares,
}

#[derive(Debug, Default)]
struct EventBuffer {
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// A queue for each client, and one for events without a client, with one bound for all: the
/// longest queue loses its oldest event first.
#[derive(Debug, Default)]
struct Shares {
    buffers: BTreeMap<Option<Arc<str>>, EventBuffer>,
    entries: usize,
    bytes: usize,
}

impl History {
    /// The history of this run, and of earlier runs if there is a directory. A directory that
    /// cannot be used is no error: [`Counts::trouble`] says why.
    pub fn new(directory: Option<&Path>) -> History {
        History::open(directory, &AtomicBool::new(false))
    }

    /// Like `new`; gives up opening when `stop` is set.
    pub fn open(directory: Option<&Path>, stop: &AtomicBool) -> History {
        let open = |directory: &Path| {
            let path = directory.to_owned();
            patience::within(patience::OPENING, stop, move || Disk::open(&path)).unwrap_or_else(|| {
                Err(format!(
                    "the history in `{}` cannot be used: its file system has not answered for {} s; it is in memory only",
                    directory.display(),
                    patience::OPENING.as_secs()
                ))
            })
        };
        let (disk, trouble) = match directory.map(open) {
            None => (None, None),
            Some(Ok(disk)) => (Some(disk), None),
            Some(Err(why)) => (None, Some(why)),
        };
        // Numbers that no earlier run used: no run makes more than one event in a millisecond for
        // years.
        let run = || u64::try_from(mrule_dataplane::clock::now() / 1_000_000).unwrap_or(0);
        let last = disk.as_ref().map_or_else(run, Disk::newest);
        let memory = Mutex::new(Memory { last, ..Memory::default() });
        History(Arc::new(Inner { memory, disk, trouble }))
    }

    /// The number of the newest event.
    pub fn newest(&self) -> u64 {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Finds events. It takes as long as the disk needs, if there is one.
    pub fn find(&self, query: &Query) -> Found {
        let limit = query.limit.clamp(1, MOST);
        let query = Query { limit: limit + 1, ..query.clone() };
        let mut found: BTreeMap<u64, Entry> = BTreeMap::new();
        if let Some(disk) = &self.0.disk {
            found.extend(disk.find(&query).into_iter().map(|entry| (entry.id, entry)));
        }
        {
            let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
            for buffer in [&memory.of_packets, &memory.unauthenticated]
                .into_iter()
                .chain(memory.others.buffers.values())
            {
                found.extend(buffer.find(&query).map(|entry| (entry.id, entry.clone())));
            }
        }
        let mut events: Vec<Entry> = found.into_values().collect();
        if !query.is_forward() {
            events.drain(..events.len().saturating_sub(limit));
            return Found { events, next: None };
        }
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(|last| last.id);
        Found { events, next }
    }

    /// The counts; the caller adds the events that were lost before the history.
    pub fn counts(&self) -> Counts {
        let kept = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).kept;
        let mut counts = Counts { kept, trouble: self.0.trouble.clone(), ..Counts::default() };
        if let Some(disk) = &self.0.disk {
            (counts.written, counts.unwritten, counts.trouble) = disk.counts();
        }
        counts
    }
}

impl Journal for History {
    fn keep(&self, record: &Record, event: &PublishedEvent, number: &mut dyn FnMut(u64)) {
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.last += 1;
        memory.kept += 1;
        let entry = Entry {
            id: memory.last,
            time: record.time,
            kind: record.kind,
            policy: event.policy.clone(),
            client: record.client.clone(),
            line: event.line.clone(),
        };
        // In the order of their numbers, so under the lock; neither call blocks.
        if let Some(disk) = &self.0.disk {
            disk.keep(entry.clone());
        }
        number(entry.id);
        match entry.class() {
            Class::OfPackets => memory.of_packets.push(entry, KEPT),
            Class::Unauthenticated => memory.unauthenticated.push(entry, KEPT_UNAUTHENTICATED),
            Class::Others => memory.others.push(entry),
        }
    }

    fn finish(&self) {
        if let Some(disk) = &self.0.disk {
            disk.finish();
        }
    }
}

impl Query {
    /// Whether the query goes forward from a point, and is not for the newest events.
    fn is_forward(&self) -> bool {
        self.after.is_some() || self.since.is_some()
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.after.is_none_or(|after| entry.id > after)
            && self.since.is_none_or(|since| entry.time >= since)
            && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
            && (self.policy.is_none() || self.policy == entry.policy)
    }
}

impl Shares {
    fn push(&mut self, entry: Entry) {
        self.entries += 1;
        self.bytes += entry.line.len();
        self.buffers.entry(entry.client.clone()).or_default().put(entry);
        while self.entries > KEPT || self.bytes > KEPT_BYTES {
            let by_count = self.entries > KEPT;
            let size = |buffer: &EventBuffer| if by_count { buffer.entries.len() } else { buffer.bytes };
            let fullest = self.buffers.iter_mut().max_by_key(|(_, buffer)| size(buffer));
            let Some((client, buffer)) = fullest else { return };
            let Some(oldest) = buffer.forget() else { return };
            self.entries -= 1;
            self.bytes -= oldest.line.len();
            if buffer.entries.is_empty() {
                let client = client.clone();
                self.buffers.remove(&client);
            }
        }
    }
}

impl EventBuffer {
    fn put(&mut self, entry: Entry) {
        self.bytes += entry.line.len();
        self.entries.push_back(entry);
    }

    fn forget(&mut self) -> Option<Entry> {
        let oldest = self.entries.pop_front()?;
        self.bytes -= oldest.line.len();
        Some(oldest)
    }

    fn push(&mut self, entry: Entry, limit: usize) {
        self.put(entry);
        while self.entries.len() > limit || self.bytes > KEPT_BYTES {
            if self.forget().is_none() {
                return;
            }
        }
    }

    /// The events that match a query, up to its limit.
    fn find<'q>(&'q self, query: &'q Query) -> Box<dyn Iterator<Item = &'q Entry> + 'q> {
        let wanted = |entry: &&Entry| query.wants(entry);
        if query.is_forward() {
            Box::new(self.entries.iter().filter(wanted).take(query.limit))
        } else {
            Box::new(self.entries.iter().rev().filter(wanted).take(query.limit))
        }
    }
}

#[cfg(test)]
mod tests;
