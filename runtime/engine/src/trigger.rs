//! Triggers with keys: the keys for which each trigger is active, and the windows that raise it.
//! All workers share one store. Invariants: all memory is fixed when the store is made. Time is
//! packet time, given by the caller. An active key is never evicted. For each trigger `held =
//! raised + extended + vetoed + suppressed + full` and `raised + external = active + expired +
//! cleared`.
//!
//! Beyond `window` and `distinct`:
//! - A key is active at `t` if `t <= until`, where `until` is the latest of `when + hold` over its
//!   raises. A packet is judged by its own time, also when it comes late. Without a hold, a key is
//!   active until it is cleared.
//! - Only an event or a raise makes a key known or less idle; reading it does not.
//! - A full trigger evicts the inactive key of the shard that was seen least recently. If all keys
//!   are active, a new key is refused: its windows count only this packet, and a raise returns
//!   [`Outcome::Full`].
//! - An event too old for a key's window is dropped. When 16 packets of a key in a row bring one,
//!   the clock was set back, and the windows in question begin anew.
//! - To suppress or veto ends no active state. To clear does, and keeps the windows.
//!
//! (Rejected: state per worker, which miscounts keys whose packets reach several workers; one lock
//! per trigger.)

use crate::memory::NoMemory;
use mrule_compiler::abi::WindowEvent;
use mrule_compiler::context::Fired;
use mrule_compiler::hir::{DEFAULT_KEYS, MAX_TRIGGER_WINDOWS};
use mrule_compiler::table::KeyValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

mod admit;
mod cells;
mod distinct;
mod key;
mod keyed;
mod layout;
mod lock_shards;
mod observe;
mod raise;
mod shard_index;
mod suppress;
mod visit;
mod window;

pub use key::{KeyHash, KeyPart, MAX_TEXT, key_parts, key_text, key_values};
use keyed::Keyed;
pub use layout::MAX_KEYS;
use lock_shards::LockShards;
pub use suppress::{MAX_REASON, MAX_SUPPRESSED, Suppressed};
pub use visit::{Moment, States, Visit};

/// How a window turns the events in it into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// The number of events.
    Count,
    /// The sum of the events' numbers.
    Sum,
    /// The number of different values of the events.
    Distinct,
}

/// The shape of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowShape {
    /// How the window computes its value.
    pub kind: WindowKind,
    /// The window's length in nanoseconds, at least 16. A param can change it.
    pub per: i64,
}

/// The shape of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerShape {
    /// The trigger's name.
    pub name: String,
    /// The number of parts of its key, at most [`mrule_compiler::abi::MAX_KEY`]; 0 for a global
    /// switch.
    pub parts: usize,
    /// Whether a part can be text of more than 15 bytes: it is then kept as it is, up to
    /// [`MAX_TEXT`] bytes. Longer text is identified by a 128-bit hash, and so is all such text
    /// when this is false.
    pub text: bool,
    /// How many keys the trigger remembers. From 4096 on there is room for some more, so that an
    /// uneven distribution does not reduce it.
    pub keys: usize,
    /// How long the trigger stays active, in nanoseconds. `None`: until it is cleared.
    pub hold: Option<i64>,
    /// The trigger's windows.
    pub windows: Vec<WindowShape>,
    /// Triggers with the same number have the same key for each packet. Up to 16 of them that
    /// remember the same number of keys are co-located.
    pub key_group: Option<usize>,
}

impl Default for TriggerShape {
    fn default() -> TriggerShape {
        let (name, windows) = (String::new(), Vec::new());
        TriggerShape { name, parts: 1, text: false, keys: DEFAULT_KEYS, hold: None, windows, key_group: None }
    }
}

/// The outcome of a packet or a raise for a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The trigger was not raised.
    Nothing,
    /// The key was not active, and became active.
    Raised,
    /// The key was active already.
    Extended,
    /// The raise was vetoed.
    Vetoed,
    /// The key is suppressed.
    Suppressed,
    /// There was no room: all remembered keys are active.
    Full,
}

/// A key that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveKey {
    /// The key.
    pub key: Vec<KeyPart>,
    /// When it was raised.
    pub since: i64,
    /// The last moment at which the key is active. `None`: until it is cleared.
    pub until: Option<i64>,
    /// How often the key was raised and extended since then.
    pub raises: u32,
}

impl ActiveKey {
    /// The key as text.
    pub fn text(&self) -> String {
        key_text(&self.key)
    }
}

/// Counters of a trigger's keys. The identities hold when no thread changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TriggerCounts {
    /// Packets for which `when` held: `raised + extended + vetoed + suppressed + full`.
    pub held: u64,
    /// Of these packets: the key was not active, and became active.
    pub raised: u64,
    /// Of these packets: the key was active already.
    pub extended: u64,
    /// Of these packets: the raise was vetoed.
    pub vetoed: u64,
    /// Of these packets: the key was suppressed.
    pub suppressed: u64,
    /// Of these packets: there was no room.
    pub full: u64,
    /// Raises from outside: the key was not active, and became active.
    pub external: u64,
    /// Raises from outside: the key was active already.
    pub external_extended: u64,
    /// Raises from outside: the key was suppressed.
    pub external_suppressed: u64,
    /// Raises from outside: there was no room.
    pub external_full: u64,
    /// Keys that are active: `raised + external = active + expired + cleared`.
    pub active: u64,
    /// Keys whose hold has ended.
    pub expired: u64,
    /// Keys that were cleared.
    pub cleared: u64,
    /// Keys that are remembered: `entered - evicted`.
    pub keys: u64,
    /// Keys that were ever admitted.
    pub entered: u64,
    /// Keys that were evicted to make room; none of them was active.
    pub evicted: u64,
    /// Packets with events whose key found no room.
    pub unkept: u64,
    /// The number of keys that there is room for.
    pub capacity: u64,
}

/// The greatest number of co-located triggers. A state that continues alone may keep up to this
/// many times its own memory.
const BESIDE: usize = 16;

/// The greatest number of packets whose keys may be evaluated together before the first of them
/// raises.
pub(crate) const AHEAD: usize = 8;

#[derive(Debug)]
struct Trigger {
    state: Arc<Keyed>,
    /// `i64::MAX` without a hold.
    hold: AtomicI64,
}

/// The state of a program's triggers with keys. A trigger is named by its place among the shapes.
/// For a trigger that does not exist, and for a key with another number of parts than its trigger's
/// key, nothing is known and nothing is kept.
#[derive(Debug)]
pub struct TriggerStore {
    triggers: Vec<Trigger>,
    lock_shards: Arc<LockShards>,
    seed: [u64; 2],
}

impl TriggerStore {
    /// An empty store for these triggers. A random seed decides which keys share a shard.
    pub fn new(shapes: Vec<TriggerShape>) -> TriggerStore {
        TriggerStore::empty(None).renewed(shapes)
    }

    /// A store without triggers. Without a seed, it takes a random one. With a seed, it does the
    /// same whenever it gets the same input, and anyone who knows the seed can choose slow keys.
    pub(crate) fn empty(seed: Option<u64>) -> TriggerStore {
        let by_chance = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        let seed = key::seed_of(seed.unwrap_or_else(by_chance));
        TriggerStore { triggers: Vec::new(), lock_shards: Arc::new(LockShards::new()), seed }
    }

    /// A store for other triggers that shares with this store the state of triggers with the same
    /// name and shape; their hold may differ. Until the old program ends, it changes the state that
    /// the new program continues with. Where there is no memory, it aborts the process, as other
    /// allocations do; [`try_renewed`](Self::try_renewed) returns an error.
    pub(crate) fn renewed(&self, shapes: Vec<TriggerShape>) -> TriggerStore {
        self.try_renewed(shapes).unwrap_or_else(|none| none.abort())
    }

    /// Like [`renewed`](Self::renewed), but returns an error where there is no memory.
    ///
    /// # Errors
    /// [`NoMemory`]: this store is unchanged.
    pub(crate) fn try_renewed(&self, shapes: Vec<TriggerShape>) -> Result<TriggerStore, NoMemory> {
        let old = |shape: &TriggerShape| {
            self.triggers.iter().find(|old| old.state.is_of(shape)).map(|old| old.state.clone())
        };
        let mut states: Vec<Option<Arc<Keyed>>> = shapes.iter().map(old).collect();
        let rows: Vec<usize> = shapes.iter().map(Keyed::rows_of).collect();
        for (first, shape) in shapes.iter().enumerate() {
            if states[first].is_some() {
                continue;
            }
            let colocated = |(at, other): &(usize, &TriggerShape)| {
                *at == first
                    || states[*at].is_none()
                        && shape.key_group.is_some()
                        && other.key_group == shape.key_group
                        && rows[*at] == rows[first]
            };
            let (places, alike): (Vec<usize>, Vec<&TriggerShape>) =
                shapes.iter().enumerate().skip(first).filter(colocated).take(BESIDE).unzip();
            for (place, state) in
                places.into_iter().zip(Keyed::colocated(&alike, self.seed, &self.lock_shards)?)
            {
                states[place] = Some(Arc::new(state));
            }
        }
        let made = |(shape, state): (&TriggerShape, Arc<Keyed>)| Trigger {
            state,
            hold: AtomicI64::new(hold_of(shape.hold)),
        };
        let triggers = shapes.iter().zip(states.into_iter().flatten()).map(made).collect();
        Ok(TriggerStore { triggers, lock_shards: self.lock_shards.clone(), seed: self.seed })
    }

    /// Whether the store has a state that continues for this shape.
    pub(crate) fn has(&self, shape: &TriggerShape) -> bool {
        self.triggers.iter().any(|old| old.state.is_of(shape))
    }

    /// Whether a trigger continues with the state of a trigger of another store.
    pub(crate) fn shares(&self, trigger: usize, other: &TriggerStore, was: usize) -> bool {
        let states = (self.triggers.get(trigger), other.triggers.get(was));
        matches!(states, (Some(mine), Some(its)) if Arc::ptr_eq(&mine.state, &its.state))
    }

    fn keyed(&self, trigger: usize) -> Option<&Keyed> {
        self.triggers.get(trigger).map(|trigger| trigger.state.as_ref())
    }

    /// The number of triggers.
    pub(crate) fn len(&self) -> usize {
        self.triggers.len()
    }

    /// The place of the trigger with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.triggers.iter().position(|trigger| trigger.state.name() == name)
    }

    /// The hash by which the states of a key are found, in all triggers with this key.
    #[inline(always)]
    pub fn hash(&self, key: &[KeyValue]) -> KeyHash {
        KeyHash::new(self.seed, key)
    }

    /// The states of a trigger.
    #[inline(always)]
    pub fn states(&self, trigger: usize) -> States<'_> {
        States(self.keyed(trigger))
    }

    /// Whether the states of two triggers are co-located.
    pub(crate) fn colocated(&self, trigger: usize, other: usize) -> bool {
        let lines = |trigger| self.keyed(trigger).map(|state| state.shared().0);
        lines(trigger).is_some() && lines(trigger) == lines(other)
    }

    /// Visits the states of the key with this hash. Where the hash contains the whole key, `key`
    /// may be empty. Until the visit ends, its thread must not use the store otherwise.
    #[inline]
    pub fn visit<'k>(&self, hash: &'k mut KeyHash, key: &'k [KeyValue<'k>]) -> Visit<'_, 'k> {
        Visit::new(self, hash, key)
    }

    /// [`Visit::observe`] in a separate visit. An event is a number or a hash.
    pub fn observe(
        &self,
        trigger: usize,
        key: &[KeyValue],
        now: i64,
        events: &[Option<u64>],
        values: &mut [u64],
    ) -> bool {
        let mut list = [WindowEvent::default(); MAX_TRIGGER_WINDOWS];
        for (to, from) in list.iter_mut().zip(events) {
            *to = from.map_or_else(WindowEvent::default, |amount| WindowEvent { counts: 1, amount });
        }
        let events = list.get(..events.len()).unwrap_or(&[]);
        self.visit(&mut self.hash(key), key).observe(trigger, &mut self.moment(now), events, values)
    }

    /// Whether a few new keys may evict keys of a trigger.
    #[inline]
    pub(crate) fn may_forget(&self, trigger: usize) -> bool {
        self.keyed(trigger).is_some_and(|state| state.full.load(Relaxed))
    }

    /// Whether a key that was active at `since` or later may be among the evicted keys.
    #[inline]
    pub(crate) fn may_forget_since(&self, trigger: usize, since: i64) -> bool {
        self.keyed(trigger)
            .is_some_and(|state| state.full.load(Relaxed) && state.latest.load(Relaxed) >= since)
    }

    /// A single moment.
    pub(crate) fn moment(&self, now: i64) -> Moment {
        Moment::new(now, self.moments(1))
    }

    /// The number of the first of the next `count` moments. Each moment has its own number, and
    /// these numbers order when keys were last seen.
    pub fn moments(&self, count: usize) -> u64 {
        self.lock_shards.moments(count)
    }

    /// Applies the result of a packet's `when` and `unless`, at the packet's moment.
    #[inline]
    pub fn apply_at(&self, trigger: usize, key: &[KeyValue], moment: &Moment, fired: Fired) -> Outcome {
        match (self.triggers.get(trigger), fired) {
            (None, _) | (_, Fired::No) => Outcome::Nothing,
            (Some(trigger), Fired::Vetoed) => trigger.state.veto(key),
            (Some(trigger), Fired::Raised) => {
                let until = until(moment.now, trigger.hold.load(Relaxed));
                trigger.state.raise(key, moment, until, false)
            }
        }
    }

    /// Whether a key is active.
    #[inline]
    pub fn active(&self, trigger: usize, key: &[KeyValue], now: i64) -> bool {
        self.keyed(trigger).is_some_and(|state| state.active(key, now))
    }

    /// Raises a trigger from outside, for `ttl` nanoseconds. `None`: for the trigger's hold.
    pub(crate) fn raise(&self, trigger: usize, key: &[KeyValue], now: i64, ttl: Option<i64>) -> Outcome {
        let Some(trigger) = self.triggers.get(trigger) else { return Outcome::Nothing };
        let ttl = ttl.map_or_else(|| trigger.hold.load(Relaxed), |ttl| ttl.max(0));
        trigger.state.raise(key, &self.moment(now), until(now, ttl), true)
    }

    /// Makes a key inactive. Returns whether it was active.
    pub(crate) fn clear(&self, trigger: usize, key: &[KeyValue], now: i64) -> bool {
        self.keyed(trigger).is_some_and(|state| state.clear(key, now))
    }

    /// Makes all keys inactive. Returns how many were active.
    pub(crate) fn clear_all(&self, trigger: usize, now: i64) -> u64 {
        self.keyed(trigger).map_or(0, |state| state.clear_all(now))
    }

    /// Keeps a key from being raised until a moment, inclusive; without one, until
    /// [`unsuppress`](Self::unsuppress). Hits are still counted. Returns false when as many keys
    /// are suppressed as the trigger remembers, or when there is no such trigger or key.
    pub(crate) fn suppress(
        &self,
        trigger: usize,
        key: &[KeyValue],
        now: i64,
        reason: &str,
        until: Option<i64>,
    ) -> bool {
        self.keyed(trigger).is_some_and(|state| state.suppress(key, now, reason, until))
    }

    /// Ends a suppression. Returns whether there was one.
    pub(crate) fn unsuppress(&self, trigger: usize, key: &[KeyValue]) -> bool {
        self.keyed(trigger).is_some_and(|state| state.unsuppress(key))
    }

    /// The suppressed keys, in the order of keys.
    pub fn suppressed(&self, trigger: usize, now: i64) -> Vec<Suppressed> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.suppressed(now))
    }

    /// The keys whose suppression has ended by its time; each is returned once.
    pub fn suppressions_over(&self, trigger: usize, now: i64) -> Vec<Suppressed> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.suppressions.over(now))
    }

    /// The active keys, the first raised first.
    pub fn list(&self, trigger: usize, now: i64) -> Vec<ActiveKey> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.list(now))
    }

    /// The counters at a moment, which must not be before the moment of an earlier packet or query.
    /// A hold that has ended by then counts as expired, unless a late packet prolongs it.
    pub fn counts(&self, trigger: usize, now: i64) -> TriggerCounts {
        self.keyed(trigger).map_or_else(TriggerCounts::default, |state| state.counts(now))
    }

    /// Changes how long a trigger stays active, from the next raise on.
    pub(crate) fn set_hold(&self, trigger: usize, hold: Option<i64>) {
        if let Some(trigger) = self.triggers.get(trigger) {
            trigger.hold.store(hold_of(hold), Relaxed);
        }
    }

    /// Changes the length of a window. The window begins anew for each key, because its old slices
    /// have another length. Nothing happens when it has that length already.
    pub(crate) fn set_per(&self, trigger: usize, window: usize, per: i64) {
        if let Some(state) = self.keyed(trigger) {
            state.set_per(window, per);
        }
    }

    /// Memory of all triggers' states, in bytes, without suppressions and locks. The memory of
    /// co-located states is freed when none of them is left.
    pub fn memory(&self) -> usize {
        let shared = self.triggers.iter().map(|trigger| trigger.state.shared());
        let shared: HashMap<*const _, usize> = shared.collect();
        let own = self.triggers.iter().map(|trigger| trigger.state.memory());
        own.chain(shared.into_values()).sum()
    }

    /// Memory of a trigger of this shape, in bytes.
    pub(crate) fn memory_of(shape: &TriggerShape) -> u64 {
        layout::Layout::new(shape).memory()
    }

    /// Memory of the suppressions of a trigger of this shape when there is no room for more, in
    /// bytes.
    pub fn suppressed_memory_of(shape: &TriggerShape) -> u64 {
        suppress::Suppressions::memory(shape.keys)
    }

    /// The number of keys that a trigger of this shape has room for, as in
    /// [`TriggerCounts::capacity`].
    pub(crate) fn capacity_of(shape: &TriggerShape) -> u64 {
        Keyed::rows_of(shape) as u64
    }
}

fn hold_of(hold: Option<i64>) -> i64 {
    hold.map_or(i64::MAX, |hold| hold.max(0))
}

/// The last moment of a hold that begins now. A hold without an end stays `i64::MAX`.
fn until(now: i64, hold: i64) -> i64 {
    if hold == i64::MAX { hold } else { now.saturating_add(hold) }
}

#[cfg(test)]
mod tests;
