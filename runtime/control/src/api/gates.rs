//! Limits the requests to the control plane that run at a time. The invariants: the owner of the
//! socket has threads that no other client uses; a remote client uses at most half of the others.
//! (Rejected: one limit for all; a client with slow requests would keep everybody out.)

use super::caller::Caller;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of threads for the owner, and for all other clients together.
const EACH: usize = 8;

/// The number of threads for one remote client.
const CLIENT: usize = 4;

/// The number of threads for requests.
pub(super) const THREADS: usize = 2 * EACH;

/// The limits of running requests.
#[derive(Debug)]
pub(super) struct Gates {
    owner: Arc<Semaphore>,
    remote: Arc<Semaphore>,
    clients: Mutex<HashMap<Arc<str>, Weak<Semaphore>>>,
}

/// The permits of a running request: for a client one of its own and one of all clients.
pub(super) type Permits = [Option<OwnedSemaphorePermit>; 2];

impl Default for Gates {
    fn default() -> Gates {
        let gate = || Arc::new(Semaphore::new(EACH));
        Gates { owner: gate(), remote: gate(), clients: Mutex::default() }
    }
}

impl Gates {
    /// Waits for a place.
    pub async fn enter(&self, caller: Option<&Caller>) -> Permits {
        let Some(caller) = caller.filter(|caller| !caller.is_owner()) else {
            return [self.owner.clone().acquire_owned().await.ok(), None];
        };
        let own = self.of_client(&caller.client).acquire_owned().await.ok();
        [self.remote.clone().acquire_owned().await.ok(), own]
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

/// The number of event streams, remote and at the control socket.
#[derive(Debug)]
pub(super) struct Streams {
    most: usize,
    owner: Arc<AtomicUsize>,
    remote: Arc<AtomicUsize>,
}

/// One event stream.
#[derive(Debug)]
pub(super) struct StreamPlace(Arc<AtomicUsize>);

impl Streams {
    /// A sixth of the connections is reserved for other requests.
    pub fn new(connections: usize) -> Streams {
        Streams { most: connections - connections / 6, owner: Arc::default(), remote: Arc::default() }
    }

    /// Begins a stream; none if there are too many.
    pub fn begin(&self, owner: bool) -> Option<StreamPlace> {
        let count = if owner { &self.owner } else { &self.remote };
        let place = StreamPlace(count.clone());
        // A refused place is given back at once and affects only its own count.
        (count.fetch_add(1, Relaxed) < self.most).then_some(place)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
