//! The keys of a trigger that are suppressed, with the reason and, where there is one, the end.
//! Invariants: there are at most as many as the trigger's keys, and at most [`MAX_SUPPRESSED`]. A
//! raise of a trigger without suppressions costs one load. A suppression that has ended stays until
//! its room is needed or it is removed, so that it still applies to a packet with an earlier time.
//! (Rejected: a mark in the key's row, which disappears with the row.)

use super::key::{KeyPart, key_text};
use mrule_compiler::table::KeyValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// The greatest number of suppressed keys of one trigger.
pub const MAX_SUPPRESSED: usize = 4096;

/// Approximate bytes of one suppression with the longest reason.
const ENTRY: u64 = 512;

/// The longest reason that is kept, in bytes.
pub const MAX_REASON: usize = 256;

/// A suppressed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// The key.
    pub key: Vec<KeyPart>,
    /// The reason.
    pub reason: String,
    /// The last moment of the suppression. `None`: until it is removed.
    pub until: Option<i64>,
    /// How often the trigger would have been raised.
    pub hits: u64,
}

impl Suppressed {
    /// The key as text.
    pub fn text(&self) -> String {
        key_text(&self.key)
    }
}

#[derive(Debug)]
struct Entry {
    key: Vec<KeyPart>,
    reason: String,
    until: Option<i64>,
    hits: AtomicU64,
    /// The end of the suppression was reported.
    told: AtomicBool,
}

impl Entry {
    fn about(&self) -> Suppressed {
        Suppressed {
            key: self.key.clone(),
            reason: self.reason.clone(),
            until: self.until,
            hits: self.hits.load(Relaxed),
        }
    }

    fn is(&self, key: &[KeyValue]) -> bool {
        self.key.len() == key.len() && self.key.iter().zip(key).all(|(part, value)| part.is(value))
    }

    fn holds(&self, now: i64) -> bool {
        self.until.is_none_or(|until| until >= now)
    }
}

/// The suppressed keys of a trigger, by their hash.
#[derive(Debug)]
pub(super) struct Suppressions {
    len: AtomicUsize,
    limit: usize,
    by_hash: RwLock<HashMap<u64, Vec<Entry>>>,
}

impl Suppressions {
    /// Suppressions for a trigger of `keys` keys.
    pub(super) fn new(keys: usize) -> Suppressions {
        let limit = keys.clamp(1, MAX_SUPPRESSED);
        Suppressions { len: AtomicUsize::new(0), limit, by_hash: RwLock::default() }
    }

    /// Memory for a trigger of `keys` keys when there is no room for more, in bytes.
    pub(super) fn memory(keys: usize) -> u64 {
        keys.clamp(1, MAX_SUPPRESSED) as u64 * ENTRY
    }

    /// Whether a raise of the key must be suppressed. Counts a hit.
    #[inline]
    pub(super) fn hit(&self, hash: u64, key: &[KeyValue], now: i64) -> bool {
        self.len.load(Relaxed) != 0 && self.find(hash, key, now)
    }

    #[cold]
    fn find(&self, hash: u64, key: &[KeyValue], now: i64) -> bool {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let found = by_hash.get(&hash).into_iter().flatten().find(|entry| entry.is(key) && entry.holds(now));
        if let Some(entry) = found {
            entry.hits.fetch_add(1, Relaxed);
        }
        found.is_some()
    }

    /// Suppresses a key, or changes the reason and the end of its suppression. Returns false when
    /// there is no room.
    pub(super) fn put(
        &self,
        hash: u64,
        key: &[KeyValue],
        now: i64,
        reason: &str,
        until: Option<i64>,
    ) -> bool {
        let reason: String = reason
            .char_indices()
            .take_while(|(at, c)| at + c.len_utf8() <= MAX_REASON)
            .map(|(_, c)| c)
            .collect();
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = by_hash.get_mut(&hash).and_then(|entries| entries.iter_mut().find(|e| e.is(key)))
        {
            (entry.reason, entry.until, entry.told) = (reason, until, AtomicBool::new(false));
            return true;
        }
        if self.len.load(Relaxed) >= self.limit {
            by_hash.retain(|_, entries| {
                entries.retain(|entry| entry.holds(now));
                !entries.is_empty()
            });
            self.len.store(by_hash.values().map(Vec::len).sum(), Relaxed);
        }
        let room = self.len.load(Relaxed) < self.limit;
        if room {
            let key = key.iter().map(KeyPart::given).collect();
            by_hash.entry(hash).or_default().push(Entry {
                key,
                reason,
                until,
                hits: AtomicU64::new(0),
                told: AtomicBool::new(false),
            });
            self.len.fetch_add(1, Relaxed);
        }
        room
    }

    /// Removes a suppression. Returns whether there was one.
    pub(super) fn remove(&self, hash: u64, key: &[KeyValue]) -> bool {
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = by_hash.get_mut(&hash) else { return false };
        let Some(at) = entries.iter().position(|entry| entry.is(key)) else { return false };
        entries.swap_remove(at);
        if entries.is_empty() {
            by_hash.remove(&hash);
        }
        self.len.fetch_sub(1, Relaxed);
        true
    }

    /// The suppressions that have not ended, in the order of their keys.
    pub(super) fn list(&self, now: i64) -> Vec<Suppressed> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            by_hash.values().flatten().filter(|entry| entry.holds(now)).map(Entry::about).collect();
        list.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        list
    }

    /// The suppressions whose time has ended, once each.
    pub(super) fn over(&self, now: i64) -> Vec<Suppressed> {
        if self.len.load(Relaxed) == 0 {
            return Vec::new();
        }
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let over =
            by_hash.values().flatten().filter(|entry| !entry.holds(now) && !entry.told.swap(true, Relaxed));
        over.map(Entry::about).collect()
    }
}
