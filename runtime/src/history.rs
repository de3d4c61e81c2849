//! What happened, for those who ask later: the newest events in memory and, where there is a directory for the state, more of
//! them on the disk. The invariants: keeping an event waits for nobody; both places are bounded, by number and in bytes; what
//! packets cause has a bound of its own, so that a storm of it does not push out who changed what; what is not kept is
//! counted. (Rejected: the file of the control plane's store; it is written before a change is answered, and a slow batch of
//! events would be waited for.)

mod disk;

use crate::event::{Kind, Record};
use disk::Disk;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How many events are kept in memory of those that packets cause, and of all others.
pub const KEPT: usize = 10_000;

/// How many bytes their lines may have together.
const KEPT_BYTES: usize = 4 << 20;

/// How many are kept on the disk of either.
pub const KEPT_ON_DISK: usize = 100_000;

/// The most events of an answer.
pub const MOST: usize = 1000;

/// An event that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: events that came later have larger ones.
    pub id: u64,
    /// When: nanoseconds since the Unix epoch.
    pub time: i64,
    /// Its kind.
    pub kind: Kind,
    /// The line, as listeners get it.
    pub line: Arc<str>,
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// With larger numbers than this.
    pub after: Option<u64>,
    /// Not before this: nanoseconds since the Unix epoch.
    pub since: Option<i64>,
    /// Of these kinds; none: of all.
    pub kinds: Vec<Kind>,
    /// At most so many: the first ones where `after` or `since` is given, else the last ones.
    pub most: usize,
}

/// What was found, the newest last.
#[derive(Debug, Default)]
pub struct Found {
    /// The events.
    pub events: Vec<Entry>,
    /// After which number to go on; none when there are no more now.
    pub next: Option<u64>,
}

/// How the history is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events that were kept in memory since the start.
    pub kept: u64,
    /// Of these, events that were written to the disk.
    pub written: u64,
    /// Of these, events that were to be written, and were not: the disk was too slow, or failed.
    pub unwritten: u64,
    /// Events that were not told to the history at all, because packets caused too many.
    pub lost: u64,
    /// Why nothing is written, though that was asked for.
    pub trouble: Option<String>,
}

/// The history; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    memory: Mutex<Memory>,
    disk: Option<Disk>,
    /// Why there is no disk, though that was asked for.
    trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The number of the newest.
    last: u64,
    kept: u64,
    of_packets: Ring,
    others: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl History {
    /// Of this run, and of earlier ones where there is a directory. One that cannot be used is no error:
    /// [`Counts::trouble`] says why.
    pub fn new(directory: Option<&Path>) -> History {
        let (disk, trouble) = match directory.map(Disk::open) {
            None => (None, None),
            Some(Ok(disk)) => (Some(disk), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let last = disk.as_ref().map_or(0, Disk::newest);
        let memory = Mutex::new(Memory { last, ..Memory::default() });
        History(Arc::new(Inner { memory, disk, trouble }))
    }

    /// Keeps an event, whose line this is.
    pub fn keep(&self, record: &Record, line: Arc<str>) {
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.last += 1;
        memory.kept += 1;
        let entry = Entry { id: memory.last, time: record.time, kind: record.kind, line };
        // In the order of their numbers, so under the lock; it does not wait.
        if let Some(disk) = &self.0.disk {
            disk.keep(entry.clone());
        }
        memory.ring(record.kind).push(entry);
    }

    /// Looks for events. Takes as long as the disk does, where there is one.
    pub fn find(&self, query: &Query) -> Found {
        let most = query.most.clamp(1, MOST);
        let query = Query { most: most + 1, ..query.clone() };
        let mut found: BTreeMap<u64, Entry> = BTreeMap::new();
        if let Some(disk) = &self.0.disk {
            found.extend(disk.find(&query).into_iter().map(|entry| (entry.id, entry)));
        }
        {
            let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
            for ring in [&memory.of_packets, &memory.others] {
                found.extend(ring.find(&query).map(|entry| (entry.id, entry.clone())));
            }
        }
        let mut events: Vec<Entry> = found.into_values().collect();
        if !query.is_forward() {
            events.drain(..events.len().saturating_sub(most));
            return Found { events, next: None };
        }
        let more = events.len() > most;
        events.truncate(most);
        let next = events.last().filter(|_| more).map(|last| last.id);
        Found { events, next }
    }

    /// How it is; what was lost before it is the caller's to say.
    pub fn counts(&self) -> Counts {
        let kept = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).kept;
        let mut counts = Counts { kept, trouble: self.0.trouble.clone(), ..Counts::default() };
        if let Some(disk) = &self.0.disk {
            (counts.written, counts.unwritten, counts.trouble) = disk.counts();
        }
        counts
    }

    /// Writes down what waits, for some seconds; nothing is written later.
    pub fn finish(&self) {
        if let Some(disk) = &self.0.disk {
            disk.finish();
        }
    }
}

impl Query {
    /// From old to new, and not the newest ones.
    fn is_forward(&self) -> bool {
        self.after.is_some() || self.since.is_some()
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.after.is_none_or(|after| entry.id > after)
            && self.since.is_none_or(|since| entry.time >= since)
            && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
    }
}

impl Memory {
    fn ring(&mut self, kind: Kind) -> &mut Ring {
        if kind.is_of_packets() { &mut self.of_packets } else { &mut self.others }
    }
}

impl Ring {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.line.len();
        self.entries.push_back(entry);
        while self.entries.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.line.len();
        }
    }

    /// What a query is about, as many as it may have.
    fn find<'q>(&'q self, query: &'q Query) -> Box<dyn Iterator<Item = &'q Entry> + 'q> {
        let wanted = |entry: &&Entry| query.wants(entry);
        if query.is_forward() {
            Box::new(self.entries.iter().filter(wanted).take(query.most))
        } else {
            Box::new(self.entries.iter().rev().filter(wanted).take(query.most))
        }
    }
}

#[cfg(test)]
mod tests;
