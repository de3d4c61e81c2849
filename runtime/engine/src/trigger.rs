//! Triggers with keys: for which keys each is active, and the windows that raise them. One store
//! for all workers. The invariants: all memory is chosen when it is made; time is packet time, as
//! the caller says; an active key is never pushed out; for each trigger
//! `held = raised + extended + vetoed + suppressed + full`, and
//! `raised + external = active + expired + cleared`.
//!
//! Beyond `window` and `distinct`:
//! - A key is active at `t` if `t <= until`, where `until` is the latest of `when + hold` over the
//!   moments at which it was raised. A packet is judged by its own time, also when it comes late.
//!   Without a hold, it is active until it is cleared.
//! - Only an event or a raise makes a key known or less idle; looking at one does not.
//! - When a trigger is full, the key goes that is not active and was seen least recently (in its
//!   shard). When all are active, a new key is turned away: its windows say what this one packet
//!   adds, a raise answers [`Outcome::Full`].
//! - An event too old for a key's window is left out. When 16 packets of a key in a row bring one,
//!   the clock has been set back, and the windows in question begin anew.
//! - To suppress or to veto ends nothing that is active. To clear does, and keeps the windows.
//!
//! (Rejected: state for each worker, which counts wrongly when a key's packets meet several; one
//! lock for each trigger.)

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

/// What a window tells of the events in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// How many there are.
    Count,
    /// The sum of their numbers.
    Sum,
    /// How many different values they have.
    Distinct,
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowShape {
    /// What it tells.
    pub kind: WindowKind,
    /// Its length in nanoseconds, at least 16. [`TriggerStore::set_per`] changes it.
    pub per: i64,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerShape {
    /// Its name.
    pub name: String,
    /// Parts of its key, at most [`mrule_compiler::abi::MAX_KEY`]; 0 for one global switch.
    pub parts: usize,
    /// Whether some part can be text of more than 15 bytes: it is then kept as it is up to
    /// [`MAX_TEXT`] bytes. Longer text, and any when this is false, is known by a 128-bit hash.
    pub text: bool,
    /// How many keys it remembers. From 4096 on there is room for some more, so that chance does
    /// not make it less.
    pub keys: usize,
    /// How long it stays active, in nanoseconds; none: until it is cleared.
    pub hold: Option<i64>,
    /// Its windows.
    pub windows: Vec<WindowShape>,
    /// Triggers with the same number have the same key of every packet: up to 16 that remember as
    /// many keys lie side by side.
    pub way: Option<usize>,
}

impl Default for TriggerShape {
    fn default() -> TriggerShape {
        let (name, windows) = (String::new(), Vec::new());
        TriggerShape { name, parts: 1, text: false, keys: DEFAULT_KEYS, hold: None, windows, way: None }
    }
}

/// What became of a raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There was none.
    Nothing,
    /// The key was not active and is now.
    Raised,
    /// It was active already.
    Extended,
    /// It was vetoed.
    Vetoed,
    /// The key is suppressed.
    Suppressed,
    /// All keys that there is room for are active.
    Full,
}

/// A key that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveKey {
    /// The key.
    pub key: Vec<KeyPart>,
    /// When it was raised.
    pub since: i64,
    /// The last moment at which it is active; none: until it is cleared.
    pub until: Option<i64>,
    /// How often it was raised and extended since then.
    pub raises: u32,
}

impl ActiveKey {
    /// The key as text.
    pub fn text(&self) -> String {
        key_text(&self.key)
    }
}

/// What happened to a trigger's keys. The sums hold when nobody is changing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TriggerCounts {
    /// Packets for which `when` held: `raised + extended + vetoed + suppressed + full`.
    pub held: u64,
    /// Of those: the key was not active and is now.
    pub raised: u64,
    /// It was active already.
    pub extended: u64,
    /// They were vetoed.
    pub vetoed: u64,
    /// The key was suppressed.
    pub suppressed: u64,
    /// There was no room.
    pub full: u64,
    /// Raised from outside: it was not active and is now.
    pub external: u64,
    /// From outside: it was active already.
    pub external_extended: u64,
    /// From outside: the key was suppressed.
    pub external_suppressed: u64,
    /// From outside: there was no room.
    pub external_full: u64,
    /// Keys that are active: `raised + external = active + expired + cleared`.
    pub active: u64,
    /// Whose hold has ended.
    pub expired: u64,
    /// That were cleared.
    pub cleared: u64,
    /// Keys that are remembered: `entered - evicted`.
    pub keys: u64,
    /// Keys that were ever let in.
    pub entered: u64,
    /// Keys that had to go for others; none of them was active.
    pub evicted: u64,
    /// Packets with events for whose key there was no room.
    pub unkept: u64,
    /// How many keys there is room for.
    pub capacity: u64,
}

/// How many triggers lie side by side at most: so much more than its own may a state keep that goes
/// on alone.
const BESIDE: usize = 16;

/// How many packets may be looked at together, each for its keys, before what the first of them
/// raises is.
pub const AHEAD: usize = 8;

#[derive(Debug)]
struct Trigger {
    state: Arc<Keyed>,
    /// `i64::MAX` without one.
    hold: AtomicI64,
}

/// The state of a program's triggers with keys. A trigger is named by its place among the shapes;
/// of one that does not exist, and of a key with another number of parts than its trigger's,
/// nothing is known and nothing is kept.
#[derive(Debug)]
pub struct TriggerStore {
    triggers: Vec<Trigger>,
    lock_shards: Arc<LockShards>,
    seed: [u64; 2],
}

impl TriggerStore {
    /// A store for these triggers, with nothing in it. Which of more keys than there is room for
    /// share a shard is chance.
    pub fn new(shapes: Vec<TriggerShape>) -> TriggerStore {
        TriggerStore::empty(None).renewed(shapes)
    }

    /// A store that does the same whenever it is given the same. Whoever knows the seed can choose
    /// keys that are slow.
    pub fn with_seed(shapes: Vec<TriggerShape>, seed: u64) -> TriggerStore {
        TriggerStore::empty(Some(seed)).renewed(shapes)
    }

    /// A store of no triggers; without a seed, by chance.
    pub fn empty(seed: Option<u64>) -> TriggerStore {
        let by_chance = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        let seed = key::seed_of(seed.unwrap_or_else(by_chance));
        TriggerStore { triggers: Vec::new(), lock_shards: Arc::new(LockShards::new()), seed }
    }

    /// A store for other triggers, which shares with this one the state of those that have the same
    /// name and shape; their hold may differ. So what a new program goes on with is what the old
    /// one, until it has ended, changes. Ends the process where there is no memory, as other
    /// allocations do; [`try_renewed`](Self::try_renewed) does not.
    pub fn renewed(&self, shapes: Vec<TriggerShape>) -> TriggerStore {
        self.try_renewed(shapes).unwrap_or_else(|none| none.abort())
    }

    /// The same.
    ///
    /// # Errors
    /// [`NoMemory`]: then nothing has changed.
    pub fn try_renewed(&self, shapes: Vec<TriggerShape>) -> Result<TriggerStore, NoMemory> {
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
                        && shape.way.is_some()
                        && other.way == shape.way
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

    /// Whether it has a state that goes on for this shape.
    pub fn has(&self, shape: &TriggerShape) -> bool {
        self.triggers.iter().any(|old| old.state.is_of(shape))
    }

    /// Whether a trigger goes on with the state that a trigger of another store has.
    pub fn shares(&self, trigger: usize, other: &TriggerStore, was: usize) -> bool {
        let states = (self.triggers.get(trigger), other.triggers.get(was));
        matches!(states, (Some(mine), Some(its)) if Arc::ptr_eq(&mine.state, &its.state))
    }

    fn keyed(&self, trigger: usize) -> Option<&Keyed> {
        self.triggers.get(trigger).map(|trigger| trigger.state.as_ref())
    }

    /// How many triggers there are.
    pub fn len(&self) -> usize {
        self.triggers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.triggers.is_empty()
    }

    /// The place of a trigger.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.triggers.iter().position(|trigger| trigger.state.name() == name)
    }

    /// Where the states of a key are looked for, in all triggers whose key it is.
    #[inline(always)]
    pub fn hash(&self, key: &[KeyValue]) -> KeyHash {
        KeyHash::new(self.seed, key)
    }

    /// The states of a trigger.
    #[inline(always)]
    pub fn states(&self, trigger: usize) -> States<'_> {
        States(self.keyed(trigger))
    }

    /// Whether the states of two triggers lie side by side.
    pub fn colocated(&self, trigger: usize, other: usize) -> bool {
        let lines = |trigger| self.keyed(trigger).map(|state| state.shared().0);
        lines(trigger).is_some() && lines(trigger) == lines(other)
    }

    /// Goes to the states of a key, which has this hash; where that says all of it, the key may be
    /// left out. Until the visit is over, its thread does nothing else with the store.
    #[inline]
    pub fn visit<'k>(&self, hash: &'k mut KeyHash, key: &'k [KeyValue<'k>]) -> Visit<'_, 'k> {
        Visit::new(self, hash, key)
    }

    /// As [`Visit::observe`] for a visit of its own; an event is a number or a hash, if there is
    /// one.
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

    /// Whether a few new keys may push some of a trigger out.
    #[inline]
    pub fn may_forget(&self, trigger: usize) -> bool {
        self.keyed(trigger).is_some_and(|state| state.full.load(Relaxed))
    }

    /// Whether one that was active at this time may be among them.
    #[inline]
    pub fn may_forget_since(&self, trigger: usize, since: i64) -> bool {
        self.keyed(trigger)
            .is_some_and(|state| state.full.load(Relaxed) && state.latest.load(Relaxed) >= since)
    }

    /// A moment by itself.
    pub fn moment(&self, now: i64) -> Moment {
        Moment::new(now, self.moments(1))
    }

    /// The number of the first of so many moments that come next: each is another one, and its key
    /// was seen last in the order of these numbers.
    pub fn moments(&self, count: usize) -> u64 {
        self.lock_shards.moments(count)
    }

    /// Applies what a packet's `when` and `unless` said, at its moment.
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

    /// The same at a moment of its own.
    pub fn apply(&self, trigger: usize, key: &[KeyValue], now: i64, fired: Fired) -> Outcome {
        self.apply_at(trigger, key, &self.moment(now), fired)
    }

    /// Whether a key is active.
    #[inline]
    pub fn active(&self, trigger: usize, key: &[KeyValue], now: i64) -> bool {
        self.keyed(trigger).is_some_and(|state| state.active(key, now))
    }

    /// Raises a trigger from outside, for so long or, without a time to live, for its hold.
    pub fn raise(&self, trigger: usize, key: &[KeyValue], now: i64, ttl: Option<i64>) -> Outcome {
        let Some(trigger) = self.triggers.get(trigger) else { return Outcome::Nothing };
        let ttl = ttl.map_or_else(|| trigger.hold.load(Relaxed), |ttl| ttl.max(0));
        trigger.state.raise(key, &self.moment(now), until(now, ttl), true)
    }

    /// Ends a key's being active; whether it was.
    pub fn clear(&self, trigger: usize, key: &[KeyValue], now: i64) -> bool {
        self.keyed(trigger).is_some_and(|state| state.clear(key, now))
    }

    /// Ends it for all keys; for how many.
    pub fn clear_all(&self, trigger: usize, now: i64) -> u64 {
        self.keyed(trigger).map_or(0, |state| state.clear_all(now))
    }

    /// From now on the key is not raised, but counted, until a moment, inclusive, or until it is
    /// taken back. False when as many keys are suppressed as the trigger remembers, or there is no
    /// such trigger or key.
    pub fn suppress(
        &self,
        trigger: usize,
        key: &[KeyValue],
        now: i64,
        reason: &str,
        until: Option<i64>,
    ) -> bool {
        self.keyed(trigger).is_some_and(|state| state.suppress(key, now, reason, until))
    }

    /// Takes a suppression back; whether there was one.
    pub fn unsuppress(&self, trigger: usize, key: &[KeyValue]) -> bool {
        self.keyed(trigger).is_some_and(|state| state.unsuppress(key))
    }

    /// The keys that are suppressed, in order.
    pub fn suppressed(&self, trigger: usize, now: i64) -> Vec<Suppressed> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.suppressed(now))
    }

    /// The keys whose suppression is over by its time; each is given once.
    pub fn suppressions_over(&self, trigger: usize, now: i64) -> Vec<Suppressed> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.suppressions.over(now))
    }

    /// The keys that are active, first raised first.
    pub fn list(&self, trigger: usize, now: i64) -> Vec<ActiveKey> {
        self.keyed(trigger).map_or_else(Vec::new, |state| state.list(now))
    }

    /// What happened up to a moment, which is not before that of an earlier packet or question: a
    /// hold that had ended then has ended, unless a packet that comes late prolongs it.
    pub fn counts(&self, trigger: usize, now: i64) -> TriggerCounts {
        self.keyed(trigger).map_or_else(TriggerCounts::default, |state| state.counts(now))
    }

    /// Changes how long a trigger stays active from the next raise on.
    pub fn set_hold(&self, trigger: usize, hold: Option<i64>) {
        if let Some(trigger) = self.triggers.get(trigger) {
            trigger.hold.store(hold_of(hold), Relaxed);
        }
    }

    /// Changes the length of a window. It begins anew for every key, as slices of another length
    /// cannot be told apart; when it has that length already, nothing happens.
    pub fn set_per(&self, trigger: usize, window: usize, per: i64) {
        if let Some(state) = self.keyed(trigger) {
            state.set_per(window, per);
        }
    }

    /// Bytes of all triggers' state; what is suppressed is not in it, nor the few locks. What lies
    /// beside a state goes when all that lies there is gone.
    pub fn memory(&self) -> usize {
        let shared = self.triggers.iter().map(|trigger| trigger.state.shared());
        let shared: HashMap<*const _, usize> = shared.collect();
        let own = self.triggers.iter().map(|trigger| trigger.state.memory());
        own.chain(shared.into_values()).sum()
    }

    /// Bytes that a trigger of this shape takes.
    pub fn memory_of(shape: &TriggerShape) -> u64 {
        layout::Layout::new(shape).memory()
    }

    /// Bytes that the suppressed keys of a trigger of this shape take when there is no room for
    /// more.
    pub fn suppressed_memory_of(shape: &TriggerShape) -> u64 {
        suppress::Suppressions::memory(shape.keys)
    }

    /// How many keys a trigger of this shape has room for: what [`TriggerCounts::capacity`] says of
    /// it.
    pub fn capacity_of(shape: &TriggerShape) -> u64 {
        Keyed::rows_of(shape) as u64
    }
}

fn hold_of(hold: Option<i64>) -> i64 {
    hold.map_or(i64::MAX, |hold| hold.max(0))
}

/// The last moment of a hold that begins now; one without end has none.
fn until(now: i64, hold: i64) -> i64 {
    if hold == i64::MAX { hold } else { now.saturating_add(hold) }
}

#[cfg(test)]
mod tests;
