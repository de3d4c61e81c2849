//! A packet's visit to the states of one key, which several triggers may have: hashed once, found
//! once, in one lock. The invariant: inside a lock, the visit is inside no other, and waits for no
//! shard's index. (Rejected: a look-up for each trigger, which costs a lock and two misses of the
//! cache each.)

use super::TriggerStore;
use super::key::KeyHash;
use super::keyed::Keyed;
use super::lock_shards::Inside;
use super::window::Clock;
use mrule_compiler::abi::WindowEvent;
use mrule_compiler::table::KeyValue;

/// When something comes to a store: its time, its place in the order of all that came there, and
/// the slice that it is in of windows of one length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    pub(super) now: i64,
    pub(super) number: u64,
    per: i64,
    slice: i64,
}

impl Moment {
    /// This time, and a number that [`TriggerStore::moments`] gave.
    pub fn new(now: i64, number: u64) -> Moment {
        Moment { now, number, per: 0, slice: 0 }
    }

    /// Its slice.
    #[inline(always)]
    pub(super) fn slice(&mut self, clock: &Clock) -> i64 {
        let per = clock.per();
        if per != self.per {
            (self.per, self.slice) = (per, clock.slice(per, self.now));
        }
        self.slice
    }
}

/// One trigger's states: what is asked of the memory before they are visited. It is advice, and
/// waits for nothing.
#[derive(Clone, Copy)]
pub struct States<'a>(pub(super) Option<&'a Keyed>);

impl States<'_> {
    /// Asks for what is at a hash: for many keys, before the first is needed.
    #[inline(always)]
    pub fn prefetch_bucket(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_bucket(hash);
        }
    }

    /// Expects a key's state where this trigger has it, some time after
    /// [`States::prefetch_bucket`].
    #[inline(always)]
    pub fn guess_row(self, hash: &mut KeyHash) {
        if let Some(state) = self.0 {
            state.guess_row(hash);
        }
    }

    /// Asks for a key's state, where it is expected.
    #[inline(always)]
    pub fn prefetch_row(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_row(hash);
        }
    }

    /// The same for all triggers whose states lie beside these.
    #[inline(always)]
    pub fn prefetch_rows(self, hash: &KeyHash) {
        if let Some(state) = self.0 {
            state.prefetch_rows(hash);
        }
    }
}

/// A packet at the states of a key.
pub struct Visit<'a, 'k> {
    store: &'a TriggerStore,
    pub(super) key_hash: &'k mut KeyHash,
    /// The key, unless the hash says all of it.
    pub(super) key: &'k [KeyValue<'k>],
    /// Inside the key's lock.
    inside: Option<Inside<'a>>,
    /// The row is where the first state was found.
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

    /// Takes the packet's events into the windows of the key, and gives what each window says with
    /// them, at most [`MAX_WINDOW`](mrule_compiler::hir::MAX_WINDOW): of an event that counts, the
    /// number to add, or a hash of the value (for a count, anything). When there are none, nothing
    /// changes. Gives whether the key is active, as [`TriggerStore::active`] does.
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

    /// Whether the last state was not in the row in which that of the first trigger was.
    #[inline(always)]
    pub fn displaced(&self) -> bool {
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

    /// Notes that it is there.
    #[inline(always)]
    pub(super) fn is_right(&mut self) {
        self.sure = true;
    }

    /// Notes the row in which it is.
    pub(super) fn found(&mut self, row: usize) {
        let found = row as u32 + 1;
        self.displaced = self.sure && self.key_hash.row != found;
        if !self.sure {
            (self.key_hash.row, self.sure) = (found, true);
        }
    }
}
