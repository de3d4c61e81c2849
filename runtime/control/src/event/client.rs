//! The client on whose behalf the current thread works, so that each event counts for the client
//! that caused it. The invariant: a record has the client whose request was being handled when the
//! record was made. (Rejected: a parameter of each function that makes records; if one function
//! forgets it, a client can fill the history unnoticed.)

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The average number of recorded events that a client may cause in a second.
pub const CLIENT_RATE: u32 = 100;

/// The number of events that it may cause at once.
pub const CLIENT_BURST: u32 = 1000;

/// The owner of the control socket. It has no rate limit, because it can only displace its own
/// events.
pub const OWNER: &str = "of the control socket";

/// The time after which an inactive client is removed.
const FORGET: Duration = Duration::from_secs(60);

thread_local! {
    static CLIENT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// Runs `body` on behalf of a client.
pub fn on_behalf<T>(client: Option<Arc<str>>, body: impl FnOnce() -> T) -> T {
    struct Back(Option<Arc<str>>);
    impl Drop for Back {
        fn drop(&mut self) {
            CLIENT.with(|of| of.replace(self.0.take()));
        }
    }
    let _back = Back(CLIENT.with(|of| of.replace(client)));
    body()
}

/// The client on whose behalf this thread works, if any.
pub(super) fn current() -> Option<Arc<str>> {
    CLIENT.with(|of| of.borrow().clone())
}

/// A token bucket, with a count of the events beyond its limit.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    left: f64,
    last: Instant,
    /// Events refused since [`Bucket::take`].
    over: u64,
}

impl Bucket {
    /// A bucket with a rate for each second and a burst.
    pub fn new(rate: u32, burst: u32) -> Bucket {
        let (rate, burst) = (f64::from(rate), f64::from(burst));
        Bucket { rate, burst, left: burst, last: Instant::now(), over: 0 }
    }

    /// Whether another event may be recorded now; otherwise it is counted.
    pub fn admits(&mut self) -> bool {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.last).as_secs_f64() * self.rate).min(self.burst);
        self.last = now;
        if self.left < 1.0 {
            self.over += 1;
            return false;
        }
        self.left -= 1.0;
        true
    }

    /// The number of events refused since the last call.
    pub fn take(&mut self) -> u64 {
        std::mem::take(&mut self.over)
    }
}

/// The recent events of each client.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<Arc<str>, Bucket>>);

impl Clients {
    /// Whether another event of this client may be recorded; otherwise it is counted.
    pub fn admits(&self, client: &Arc<str>) -> bool {
        if **client == *OWNER {
            return true;
        }
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = clients.entry(client.clone()).or_insert_with(|| Bucket::new(CLIENT_RATE, CLIENT_BURST));
        bucket.admits()
    }

    /// The clients with refused events since the last call, and the number of these events.
    pub fn passed_over(&self) -> Vec<(Arc<str>, u64)> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<(Arc<str>, u64)> = clients
            .iter_mut()
            .map(|(client, bucket)| (client.clone(), bucket.take()))
            .filter(|(_, over)| *over > 0)
            .collect();
        clients.retain(|_, bucket| bucket.last.elapsed() < FORGET);
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clients_events_are_counted_and_another_ones_told() {
        let (clients, otto, vera) = (Clients::default(), Arc::from("otto"), Arc::from("vera"));
        let told = (0..5000).filter(|_| clients.admits(&otto)).count();
        assert!((1000..1500).contains(&told), "{told}");
        assert!(clients.admits(&vera));
        assert_eq!(clients.passed_over(), [(otto, 5000 - told as u64)]);
        assert!(clients.passed_over().is_empty());
    }

    #[test]
    fn a_record_knows_its_client() {
        assert_eq!(current(), None);
        let inside = on_behalf(Some("otto".into()), || {
            let nested = on_behalf(None, current);
            (current(), nested)
        });
        assert_eq!((inside.0.as_deref(), inside.1, current()), (Some("otto"), None, None));
    }
}
