//! The connections of one listener: their number, their clients, and which connection is closed
//! when the limit is reached. The invariants: the number never exceeds its limit; a connection with
//! a valid token is never closed for one without; an address never exceeds its share. (Rejected: a
//! semaphore; silent connections would then keep everybody out.)

use axum::body::{Body, HttpBody};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Sleep;

/// The longest time in which a peer reads no byte of an answer.
const STALL: Duration = Duration::from_secs(30);

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    /// The largest number of connections.
    limit: usize,
    /// The largest number of connections from one address.
    per_address: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    places: BTreeMap<u64, ConnectionEntry>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct ConnectionEntry {
    address: Option<IpAddr>,
    /// The time of its last activity.
    last: Instant,
    /// Whether it is the owner's, or has sent a valid token.
    known: bool,
    /// The number of requests without a complete answer.
    requests: usize,
    close: Arc<Notify>,
}

/// One connection; dropping it frees its place.
#[derive(Debug)]
pub(super) struct Connection {
    of: Arc<Connections>,
    id: u64,
    close: Arc<Notify>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

/// The part of an address that identifies a host: all of IPv4, the first 64 bits of IPv6.
pub(super) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

impl Connections {
    /// Limits for all connections, and for those from one address.
    pub fn new(limit: usize, per_address: usize) -> Arc<Connections> {
        Arc::new(Connections { limit, per_address, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection. None if its address has its share, or if the limit is reached
    /// and no connection can be closed. The connection that is idle longest is closed, first among
    /// those without a valid token.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Arc<Connection>> {
        let address = address.map(host);
        let mut table = self.table();
        if address.is_some_and(|a| table.by_address.get(&a).is_some_and(|n| *n >= self.per_address)) {
            return None;
        }
        if table.places.len() >= self.limit {
            let idle = |(_, place): &(&u64, &ConnectionEntry)| !place.known || place.requests == 0;
            let victim = table.places.iter().filter(idle).min_by_key(|(_, place)| (place.known, place.last));
            let victim = victim.map(|(id, _)| *id)?;
            if let Some(place) = table.remove(victim) {
                place.close.notify_one();
            }
        }
        if let Some(address) = address {
            *table.by_address.entry(address).or_default() += 1;
        }
        let (id, close) = (table.next, Arc::new(Notify::new()));
        table.next += 1;
        let known = address.is_none();
        let place =
            ConnectionEntry { address, last: Instant::now(), known, requests: 0, close: close.clone() };
        table.places.insert(id, place);
        drop(table);
        Some(Arc::new(Connection { of: self.clone(), id, close }))
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<ConnectionEntry> {
        let place = self.places.remove(&id)?;
        if let Some(address) = place.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(place)
    }
}

impl Connection {
    /// Returns when the place goes to another connection.
    pub async fn closed(&self) {
        self.close.notified().await;
    }

    fn with(&self, change: impl FnOnce(&mut ConnectionEntry)) {
        if let Some(place) = self.of.table().places.get_mut(&self.id) {
            place.last = Instant::now();
            change(place);
        }
    }

    /// The connection has sent a valid token.
    pub fn known(&self) {
        self.with(|place| place.known = true);
    }

    /// The connection has sent a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.with(|place| place.requests += 1);
        Busy(self.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.of.table().remove(self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|place| place.requests = place.requests.saturating_sub(1));
    }
}

/// The body of an answer, with a value that lives until the body is sent.
pub(super) struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    /// The same body, which holds `held`.
    pub fn around(body: Body, held: T) -> Body {
        Body::new(Holding { body, _held: held })
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose writes fail when the peer has read nothing for [`STALL`].
pub(super) struct Patient<S> {
    stream: S,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// The same stream, with that bound.
    pub fn new(stream: S) -> Patient<S> {
        Patient { stream, waits: None }
    }

    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if wrote.is_ready() {
            self.waits = None;
            return wrote;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(context, wrote)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn the_longest_idle_unknown_connection_gives_way() {
        let all = Connections::new(3, 2);
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let [a, b] = [1, 1].map(|n| all.admit(address(n)).unwrap());
        assert!(all.admit(address(1)).is_none(), "the address has its share");
        let c = all.admit(address(2)).unwrap();
        a.known();
        let d = all.admit(address(3)).unwrap();
        // `b` had to go: its address has room again, its own drop changes nothing more.
        drop(b);
        let table = all.table();
        assert_eq!(table.places.keys().copied().collect::<Vec<_>>(), [a.id, c.id, d.id]);
        assert_eq!(table.by_address[&address(1).unwrap()], 1);
        drop(table);
        [&c, &d].into_iter().for_each(|connection| connection.known());
        let busy = [&a, &c, &d].map(Connection::begin);
        assert!(all.admit(address(4)).is_none(), "all are at work for somebody who is known");
        drop(busy);
        let e = all.admit(address(4)).unwrap();
        assert_eq!(all.table().places.len(), 3);
        drop((a, c, d, e));
        assert!(all.table().places.is_empty() && all.table().by_address.is_empty());
    }

    #[test]
    fn an_ipv6_host_has_a_prefix() {
        let of = |text: &str| host(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
