//! What became of a station's copies. The invariant: every copy that a worker offers is counted as
//! requested once, and ends as sent or as dropped by one cause; what is neither yet is waiting.
//! Bytes go the same way, beside those that were cut off because they did not fit the path.
//! Counters only grow, are written with relaxed order by their owners, and are read
//! what-became-of-them first, so that a reader never sees more ends than beginnings. (Rejected: a
//! lock around a struct of numbers, which a worker would have to wait for.)

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Why a copy was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The station's queue had no room: copies come faster than it takes them.
    QueueFull,
    /// More than the station's `limit`.
    Rate,
    /// The station is not there: no route, no neighbour, no interface, an interface that is down, a
    /// host that refuses.
    Unreachable,
    /// Nobody reads the pipe.
    NoReader,
    /// A file could not be written: no room, no permission.
    Write,
    /// The system had no room to send it (ENOBUFS) for longer than the station waits.
    Busy,
    /// It cannot be carried: no Ethernet frame, or one shorter than its header.
    Unfit,
    /// It was still waiting when the run ended.
    Stopped,
    /// Somebody has said that the station gets no more.
    Drained,
}

impl Cause {
    /// All of them, in the order of [`Counts::dropped`].
    pub const ALL: [Cause; 9] = [
        Cause::QueueFull,
        Cause::Rate,
        Cause::Unreachable,
        Cause::NoReader,
        Cause::Write,
        Cause::Busy,
        Cause::Unfit,
        Cause::Stopped,
        Cause::Drained,
    ];

    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Cause::QueueFull => "queue_full",
            Cause::Rate => "rate",
            Cause::Unreachable => "unreachable",
            Cause::NoReader => "no_reader",
            Cause::Write => "write",
            Cause::Busy => "busy",
            Cause::Unfit => "unfit",
            Cause::Stopped => "stopped",
            Cause::Drained => "drained",
        }
    }
}

/// What became of one station's copies so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// The station.
    pub station: String,
    /// Copies offered: `sent + dropped + waiting`.
    pub requested: u64,
    /// Their bytes: `sent_bytes + cut_bytes + dropped_bytes`, and those of copies that wait.
    pub requested_bytes: u64,
    /// Copies handed over: to the network, or to the file's or pipe's system call.
    pub sent: u64,
    /// Their bytes, without the headers of tunnels and files.
    pub sent_bytes: u64,
    /// Of those sent, copies that did not fit the path and were made shorter.
    pub cut: u64,
    /// The bytes that they lost.
    pub cut_bytes: u64,
    /// Of those sent, copies that were handed over while the host's next hop had not answered: the
    /// kernel keeps a few of them until it does, and drops the others without a word.
    pub unanswered: u64,
    /// How often the network or the kernel said afterwards that copies did not arrive (ICMP errors,
    /// a next hop that does not answer). Each speaks of a copy that counts as sent.
    pub network_errors: u64,
    /// Of an `interface` station: packets that the interface itself did not send meanwhile (its
    /// errors and drops), whoever they were from. Copies among them count as sent.
    pub link_drops: u64,
    /// Copies dropped, by cause, in the order of [`Cause::ALL`].
    pub dropped: [u64; Cause::ALL.len()],
    /// The bytes of all of them.
    pub dropped_bytes: u64,
    /// Copies in the queue, or gathered and not yet written.
    pub waiting: u64,
    /// Why it is down; none while it is up.
    pub down: Option<String>,
    /// It gets no more copies.
    pub drained: bool,
}

impl Counts {
    /// Copies dropped, whatever the cause.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Copies dropped by this cause.
    pub fn dropped_by(&self, cause: Cause) -> u64 {
        self.dropped.get(cause as usize).copied().unwrap_or(0)
    }

    /// Adds what another station counted.
    pub fn add(&mut self, more: &Counts) {
        self.requested += more.requested;
        self.requested_bytes += more.requested_bytes;
        self.sent += more.sent;
        self.sent_bytes += more.sent_bytes;
        self.cut += more.cut;
        self.cut_bytes += more.cut_bytes;
        self.unanswered += more.unanswered;
        self.network_errors += more.network_errors;
        self.link_drops += more.link_drops;
        self.dropped_bytes += more.dropped_bytes;
        self.waiting += more.waiting;
        for (sum, more) in self.dropped.iter_mut().zip(more.dropped) {
            *sum += more;
        }
    }

    /// Whether nothing waits and all sums hold, copies and bytes.
    pub fn adds_up(&self) -> bool {
        self.waiting == 0
            && self.requested == self.sent + self.dropped_total()
            && self.requested_bytes == self.sent_bytes + self.cut_bytes + self.dropped_bytes
    }
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    requested: AtomicU64,
    requested_bytes: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    cut: AtomicU64,
    cut_bytes: AtomicU64,
    unanswered: AtomicU64,
    network_errors: AtomicU64,
    link_drops: AtomicU64,
    dropped: [AtomicU64; Cause::ALL.len()],
    dropped_bytes: AtomicU64,
    /// The station's thread is gone, or counts no more.
    closed: Mutex<bool>,
}

/// Copies and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub copies: u64,
    pub bytes: u64,
}

impl Amount {
    pub fn one(bytes: usize) -> Amount {
        Amount { copies: 1, bytes: bytes as u64 }
    }

    pub fn add(&mut self, more: Amount) {
        self.copies += more.copies;
        self.bytes += more.bytes;
    }
}

impl Counters {
    pub fn requested(&self, amount: Amount) {
        self.requested.fetch_add(amount.copies, Relaxed);
        self.requested_bytes.fetch_add(amount.bytes, Relaxed);
    }

    pub fn sent(&self, amount: Amount) {
        self.sent.fetch_add(amount.copies, Relaxed);
        self.sent_bytes.fetch_add(amount.bytes, Relaxed);
    }

    pub fn cut(&self, bytes: usize) {
        self.cut.fetch_add(1, Relaxed);
        self.cut_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub fn unanswered(&self) {
        self.unanswered.fetch_add(1, Relaxed);
    }

    pub fn network_error(&self) {
        self.network_errors.fetch_add(1, Relaxed);
    }

    pub fn link_drops(&self, packets: u64) {
        self.link_drops.fetch_add(packets, Relaxed);
    }

    pub fn dropped(&self, cause: Cause, amount: Amount) {
        if let Some(counter) = self.dropped.get(cause as usize) {
            counter.fetch_add(amount.copies, Relaxed);
        }
        self.dropped_bytes.fetch_add(amount.bytes, Relaxed);
    }

    /// A copy of all, named.
    pub fn read(&self, station: &str, down: Option<String>) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let (sent, sent_bytes) = (load(&self.sent), load(&self.sent_bytes));
        let (cut, cut_bytes) = (load(&self.cut), load(&self.cut_bytes));
        let dropped = self.dropped.each_ref().map(load);
        let dropped_bytes = load(&self.dropped_bytes);
        let (requested, requested_bytes) = (load(&self.requested), load(&self.requested_bytes));
        let waiting = requested.saturating_sub(sent + dropped.iter().sum::<u64>());
        let station = station.to_owned();
        Counts {
            station,
            requested,
            requested_bytes,
            sent,
            sent_bytes,
            cut,
            cut_bytes,
            unanswered: load(&self.unanswered),
            network_errors: load(&self.network_errors),
            link_drops: load(&self.link_drops),
            dropped,
            dropped_bytes,
            waiting,
            down,
            drained: false,
        }
    }

    /// Counts what is neither sent nor dropped as dropped: nobody will take it any more. Again and
    /// again, as long as workers offer more.
    pub fn close(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = true;
        let now = self.read("", None);
        let bytes = now.requested_bytes.saturating_sub(now.sent_bytes + now.cut_bytes + now.dropped_bytes);
        self.dropped(Cause::Stopped, Amount { copies: now.waiting, bytes });
    }

    /// Lets the station's thread count, unless what it has was counted as dropped.
    pub fn unless_closed(&self, count: impl FnOnce(&Counters)) {
        if !*self.closed.lock().unwrap_or_else(PoisonError::into_inner) {
            count(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_numbered_as_listed() {
        for (at, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, at, "{cause:?}");
        }
    }

    #[test]
    fn sums_close() {
        let counters = Counters::default();
        counters.requested(Amount { copies: 5, bytes: 500 });
        counters.sent(Amount { copies: 2, bytes: 190 });
        counters.cut(10);
        counters.dropped(Cause::Rate, Amount::one(100));
        let counts = counters.read("s", None);
        assert_eq!((counts.waiting, counts.dropped_by(Cause::Rate), counts.adds_up()), (2, 1, false));
        counters.close();
        let counts = counters.read("s", None);
        assert!(counts.adds_up(), "{counts:?}");
        assert_eq!((counts.dropped_by(Cause::Stopped), counts.dropped_bytes), (2, 300));
        // A thread that wakes up late says no more; a worker that does not know yet is counted.
        counters.unless_closed(|counters| counters.sent(Amount::one(100)));
        counters.requested(Amount::one(70));
        counters.close();
        let counts = counters.read("s", None);
        assert!(counts.adds_up() && counts.dropped_by(Cause::Stopped) == 3, "{counts:?}");
    }
}
