//! A packet's visit to the states of one key in several triggers: hashed once, found once, in one
//! lock. Invariant: a visit inside a lock takes no other lock and waits for no shard's index.
//! (Rejected: a look-up for each trigger, which costs a lock and two cache misses each.)

use super::TriggerStore;
use super::key::KeyHash;
use super::keyed::Keyed;
use super::lock_shards::Inside;
use super::window::Clock;
use mrule_compiler::abi::WindowEvent;
use mrule_compiler::table::KeyValue;

/// A moment of the store: the time, the number in the order of all moments, and the slice in
/// windows of one length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    pub(super) now: i64,
    pub(super) number: u64,
    per: i64,
    slice: i64,
}

impl Moment {
    /// A moment with this time and a number from [`TriggerStore::moments`].
    pub fn new(now: i64, number: u64) -> Moment {
        Moment { now, number, per: 0, slice: 0 }
    }

    /// The slice of the moment.
    #[inline(always)]
    pub(super) fn slice(&mut self, clock: &Clock) -> i64 {
        let per = clock.per();
        if per != self.per {
            (self.per, self.slice) = (per, clock.slice(per, self.now));
        }
        self.slice
    }
}

/// One trigger's states: prefetch hints, issued before the rows are read. They are advice and wait
/// for nothing.
#[derive(Clone, Copy)]
pub struct States<'a>(pub(super) Option<&'a Keyed>);

impl States<'_> {
    /// Prefetches the bucket of a hash. Call it for many keys before the first is needed.
    #[inline(always)]
    pub fn prefetch_bucket(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_bucket(hash);
        }
    }

    /// Guesses the row of a key's state, some time after [`States::prefetch_bucket`].
    #[inline(always)]
    pub fn guess_row(self, hash: &mut KeyHash) {
        if let Some(state) = self.0 {
            state.guess_row(hash);
        }
    }

    /// Prefetches a key's state at the guessed row.
    #[inline(always)]
    pub(crate) fn prefetch_row(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_row(hash);
        }
    }

    /// Prefetches the states of all co-located triggers at the guessed row.
    #[inline(always)]
    pub fn prefetch_rows(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_rows(hash);
        }
    }
}

/// A packet's visit to the states of a key.
pub struct Visit<'a, 'k> {
    store: &'a TriggerStore,
    pub(super) key_hash: &'k mut KeyHash,
    /// The key, unless the hash contains all of it.
    pub(super) key: &'k [KeyValue<'k>],
    /// The key's lock, while the visit holds it.
    inside: Option<Inside<'a>>,
    /// The guessed row is where the first state was found.
    sure: bool,
    displaced: bool,
}

impl<'a, 'k> Visit<'a, 'k> {
    #[inline(always)]
    pub(super) fn new(
        store: &'a TriggerStore,
        key_hash: &'k mut KeyHash,
        key: &'k [KeyValue<'k>],
    ) -> Visit<'a, 'k> {
        Visit { store, key_hash, key, inside: None, sure: false, displaced: false }
    }

    /// Takes the packet's events into the windows of the key, and writes each window's value, at
    /// most [`MAX_WINDOW`](mrule_compiler::hir::MAX_WINDOW), to `values`. An event that counts has
    /// the number to add, or a hash of the value (ignored for a count). Without events, nothing
    /// changes. Returns whether the key is active, as [`TriggerStore::active`] does.
    #[inline(always)]
    pub fn observe(
        &mut self,
        trigger: usize,
        moment: &mut Moment,
        events: &[WindowEvent],
        values: &mut [u64],
    ) -> bool {
        self.displaced = false;
        let Some(state) = self.store.keyed(trigger) else {
            values.fill(0);
            return false;
        };
        state.observe(self, moment, events, values)
    }

    /// Whether the last state was in another row than the state of the first trigger.
    #[inline(always)]
    pub(crate) fn displaced(&self) -> bool {
        self.displaced
    }

    #[inline(always)]
    pub(super) fn enter(&mut self) {
        if self.inside.is_none() {
            self.inside = Some(self.store.lock_shards.enter(self.key_hash.lock_shard()));
        }
    }

    pub(super) fn leave(&mut self) {
        self.inside = None;
    }

    #[inline(always)]
    pub(super) fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// The row in which the key is expected.
    #[inline(always)]
    pub(super) fn row(&self) -> Option<usize> {
        (self.key_hash.row as usize).checked_sub(1)
    }

    /// Notes that the key is in the expected row.
    #[inline(always)]
    pub(super) fn is_right(&mut self) {
        self.sure = true;
    }

    /// Notes the row of the key.
    pub(super) fn found(&mut self, row: usize) {
        let found = row as u32 + 1;
        self.displaced = self.sure && self.key_hash.row != found;
        if !self.sure {
            (self.key_hash.row, self.sure) = (found, true);
        }
    }
}
