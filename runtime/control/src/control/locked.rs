//! The control plane's lock. The invariants: a change is on the disk before it is answered; nobody
//! waits for the disk while holding the lock. (Rejected: waiting in each method; a method that
//! forgets it would answer too early.)

use super::State;
use super::store_thread::Pending;
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

/// The locked state. Dropping it releases the lock, and then waits until the changes are on the
/// disk.
pub(super) struct Locked<'a> {
    // The fields are dropped in this order.
    state: MutexGuard<'a, State>,
    written: Written,
}

impl<'a> Locked<'a> {
    pub fn new(state: MutexGuard<'a, State>) -> Locked<'a> {
        Locked { state, written: Written(None) }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.written.0 = self.state.persistence.take_pending();
    }
}

/// Waits for a job when it is dropped.
struct Written(Option<Pending>);

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.wait();
        }
    }
}
