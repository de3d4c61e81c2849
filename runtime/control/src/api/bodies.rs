//! Reads request bodies as they arrive. The invariants: no thread waits for a body; all bodies
//! together take a bounded number of bytes, a part of which is reserved for the owner; a body that
//! arrives too slowly is refused; the memory of a body is free after the answer. (Rejected:
//! reserving the announced length; a client could then reserve everything.)

use super::auth::Caller;
use super::connections::host;
use super::problem::Problem;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The lowest average rate of a body after [`GRACE`], in bytes a second.
const RATE: f64 = 1024.0;

/// The time before the rate of a body is checked.
const GRACE: Duration = Duration::from_secs(5);

/// The longest time for a whole body.
const WHOLE: Duration = Duration::from_secs(300);

/// The largest number of long bodies from one address at a time.
const PER_ADDRESS: usize = 8;

/// A body over this length is a long body, in bytes.
const LONG: u64 = 64 << 10;

/// The seconds after which a refused client should try again.
const RETRY: u32 = 2;

/// The memory budget of all bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    /// The budget, in bytes.
    budget: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// Memory of all bodies, in bytes.
    all: u64,
    /// The part of it that remote clients use.
    remote: u64,
    /// The number of long bodies and the bytes of all bodies, by address.
    by_address: HashMap<IpAddr, (usize, u64)>,
}

/// The memory of a body; dropping it frees the memory.
#[derive(Debug)]
pub(super) struct Taken {
    of: Arc<Bodies>,
    /// The client's address; none for the owner.
    address: Option<IpAddr>,
    bytes: u64,
    /// Whether the body is a long body.
    long: bool,
}

impl Bodies {
    /// A budget of `budget` bytes.
    pub fn new(budget: u64) -> Arc<Bodies> {
        Arc::new(Bodies { budget, used: Mutex::default() })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a body of a client at an address, or of the owner if there is none.
    fn begin(self: &Arc<Self>, address: Option<IpAddr>) -> Taken {
        Taken { of: self.clone(), address: address.map(host), bytes: 0, long: false }
    }
}

impl Taken {
    /// Takes more bytes. A quarter of the budget is reserved for the owner; an address can use at
    /// most half of the rest.
    pub fn more(&mut self, bytes: u64) -> Result<(), Problem> {
        let full = |why: String| Err(Problem::new(503, why).retry_after(RETRY));
        let budget = self.of.budget;
        let remote = budget - budget / 4;
        let mut used = self.of.used();
        let mut fits = used.all + bytes <= budget;
        if let Some(address) = self.address {
            let own = used.by_address.entry(address).or_default();
            if !self.long && self.bytes + bytes > LONG {
                if own.0 >= PER_ADDRESS {
                    return full(format!(
                        "{PER_ADDRESS} bodies of more than {LONG} bytes come from this address already; send \
                         them in turn"
                    ));
                }
                own.0 += 1;
                self.long = true;
            }
            fits &= own.1 + bytes <= remote.div_ceil(2);
            fits &= used.remote + bytes <= remote;
        }
        if !fits {
            return full(format!(
                "there is no room for this body now: the bodies of all requests have {budget} bytes together \
                 (`--api-body-memory`); try again"
            ));
        }
        used.all += bytes;
        if let Some(address) = self.address {
            used.remote += bytes;
            used.by_address.entry(address).or_default().1 += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = self.of.used();
        used.all -= self.bytes;
        let Some(address) = self.address else { return };
        used.remote -= self.bytes;
        if let Some(own) = used.by_address.get_mut(&address) {
            own.0 -= usize::from(self.long);
            own.1 -= self.bytes;
            if *own == (0, 0) {
                used.by_address.remove(&address);
            }
        }
    }
}

/// The longest body of the route, in bytes; it is in the extensions of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest(pub usize);

/// A body that is read in parts.
pub(super) struct Incoming {
    body: axum::body::Body,
    begun: Instant,
    read: u64,
    /// The memory that it uses of the budget.
    pub taken: Taken,
    caller: Caller,
}

impl Incoming {
    /// The body of a request.
    pub fn of(request: Request) -> Result<Incoming, Problem> {
        let (parts, body) = request.into_parts();
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
            return Err(Problem::new(401, "the request carries no caller"));
        };
        let Some(bodies) = parts.extensions.get::<Arc<Bodies>>() else {
            return Err(Problem::new(500, "the request carries no budget; please report this"));
        };
        let taken = bodies.begin(caller.address);
        Ok(Incoming { body, begun: Instant::now(), read: 0, taken, caller })
    }

    /// The next part of the body; none at its end.
    pub async fn part(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let late = self.begun + GRACE + Duration::from_secs_f64(self.read as f64 / RATE);
            let late = late.min(self.begun + WHOLE);
            let frame = match timeout_at(late, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(Problem::new(400, format!("the body: {error}"))),
                Ok(None) => {
                    self.caller.check_again()?;
                    return Ok(None);
                }
                Err(_) => {
                    let (read, seconds) = (self.read, self.begun.elapsed().as_secs());
                    return Err(Problem::new(
                        408,
                        format!(
                            "the body came too slowly: {read} bytes in {seconds} s; after {} s it must have come \
                             at {RATE} bytes a second or faster, and be whole after {} s",
                            GRACE.as_secs(),
                            WHOLE.as_secs()
                        ),
                    ));
                }
            };
            let Ok(part) = frame.into_data() else { continue };
            self.read += part.len() as u64;
            return Ok(Some(part));
        }
    }

    /// The whole body, at most `longest` bytes.
    async fn whole(mut self, longest: usize) -> Result<Bytes, Problem> {
        let long = || Problem::new(413, format!("the body is too long: at most {longest} bytes"));
        if self.body.size_hint().lower() > longest as u64 {
            return Err(long());
        }
        let mut whole = Vec::new();
        while let Some(part) = self.part().await? {
            if whole.len() + part.len() > longest {
                return Err(long());
            }
            self.taken.more(part.len() as u64)?;
            whole.extend_from_slice(&part);
        }
        Ok(Bytes::from_owner(OwnedBody { whole, _taken: self.taken }))
    }
}

/// The bytes of a body, and their memory in the budget.
struct OwnedBody {
    whole: Vec<u8>,
    _taken: Taken,
}

impl AsRef<[u8]> for OwnedBody {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

/// A whole body, within the length limit of its route.
pub(super) struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Body, Problem> {
        let longest = request.extensions().get::<Longest>().map_or(0, |Longest(longest)| *longest);
        Ok(Body(Incoming::of(request)?.whole(longest).await?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn the_owner_has_room_when_others_have_none() {
        let bodies = Bodies::new(800);
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let mut first = bodies.begin(address(1));
        first.more(300).unwrap();
        assert!(first.more(1).is_err(), "an address has half of what clients have");
        let mut second = bodies.begin(address(2));
        second.more(300).unwrap();
        assert!(bodies.begin(address(3)).more(1).is_err());
        let mut owner = bodies.begin(None);
        owner.more(200).unwrap();
        assert!(owner.more(1).is_err(), "no more than all");
        drop((first, second, owner));
        let used = bodies.used();
        assert_eq!((used.all, used.remote, used.by_address.len()), (0, 0, 0));
    }

    #[test]
    fn an_address_sends_so_many_long_bodies_at_a_time() {
        let (bodies, address) = (Bodies::new(1 << 30), Some(IpAddr::from([10, 0, 0, 1])));
        let long = || {
            let mut taken = bodies.begin(address);
            taken.more(LONG).and_then(|()| taken.more(1)).map(|()| taken)
        };
        let mut all: Vec<Taken> = (0..PER_ADDRESS).map(|_| long().unwrap()).collect();
        assert!(long().is_err());
        assert!(bodies.begin(address).more(LONG).is_ok(), "a short one");
        all.pop();
        assert!(long().is_ok());
    }
}
