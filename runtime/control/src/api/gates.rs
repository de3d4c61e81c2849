//! How many questions are asked of the control plane at a time. The invariants: the owner of the
//! socket has threads that nobody else takes; a remote client takes at most half of the others.
//! (Rejected: one bound for all; a client with slow questions then keeps everybody out.)

use super::caller::Caller;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many threads answer the owner, and how many all others.
const EACH: usize = 8;

/// How many threads answer one remote client.
const CLIENT: usize = 4;

/// How many threads there are for questions.
pub(super) const THREADS: usize = 2 * EACH;

/// Who may ask now.
#[derive(Debug)]
pub(super) struct Gates {
    owner: Arc<Semaphore>,
    afar: Arc<Semaphore>,
    clients: Mutex<HashMap<Arc<str>, Weak<Semaphore>>>,
}

/// A place among those who ask; for a client, one of its own and one of all.
pub(super) type Place = [Option<OwnedSemaphorePermit>; 2];

impl Default for Gates {
    fn default() -> Gates {
        let gate = || Arc::new(Semaphore::new(EACH));
        Gates { owner: gate(), afar: gate(), clients: Mutex::default() }
    }
}

impl Gates {
    /// Waits for a place.
    pub async fn enter(&self, caller: Option<&Caller>) -> Place {
        let Some(caller) = caller.filter(|caller| !caller.is_owner()) else {
            return [self.owner.clone().acquire_owned().await.ok(), None];
        };
        let own = self.of_client(&caller.client).acquire_owned().await.ok();
        [self.afar.clone().acquire_owned().await.ok(), own]
    }

    fn of_client(&self, client: &Arc<str>) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = clients.get(client).and_then(Weak::upgrade) {
            return gate;
        }
        clients.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(CLIENT));
        clients.insert(client.clone(), Arc::downgrade(&gate));
        gate
    }
}

/// How many streams of events there are, by each way.
#[derive(Debug)]
pub(super) struct Streams {
    most: usize,
    owner: Arc<AtomicUsize>,
    afar: Arc<AtomicUsize>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct StreamPlace(Arc<AtomicUsize>);

impl Streams {
    /// A sixth of the connections is left to those who ask for something else.
    pub fn new(connections: usize) -> Streams {
        Streams { most: connections - connections / 6, owner: Arc::default(), afar: Arc::default() }
    }

    /// Begins one; none when there are too many.
    pub fn begin(&self, owner: bool) -> Option<StreamPlace> {
        let count = if owner { &self.owner } else { &self.afar };
        let place = StreamPlace(count.clone());
        // The place that is given back at once counts for itself only.
        (count.fetch_add(1, Relaxed) < self.most).then_some(place)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
