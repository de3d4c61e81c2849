//! Counters of a station's copies. Invariant: each copy that a worker offers is counted as
//! requested once, and ends as sent or as dropped by one cause; until then it is waiting. The same
//! holds for bytes, with cut bytes for parts that did not fit the path. Counters only grow. Their
//! owners write them with relaxed order, and readers read the outcomes first, so that a reader
//! never sees more outcomes than offered copies. (Rejected: a lock around a struct of numbers; a
//! worker would have to wait for it.)

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Why a copy was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The station's queue was full: copies come faster than the station takes them.
    QueueFull,
    /// Above the station's `limit`.
    Rate,
    /// The station cannot be reached: no route, no neighbour, no interface, an interface that is
    /// down, or a host that refuses.
    Unreachable,
    /// The pipe has no reader.
    NoReader,
    /// A file could not be written: no space, no permission.
    Write,
    /// The system had no room to send the copy (ENOBUFS) for longer than the station waits.
    Busy,
    /// The station cannot carry the copy: it is no Ethernet frame, or is shorter than an Ethernet
    /// header.
    Unfit,
    /// The copy was still waiting when the run ended.
    Stopped,
    /// The station was drained.
    Drained,
}

impl Cause {
    /// All causes, in the order of [`Counts::dropped`].
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

    /// The cause's name in tables and JSON.
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

mrule_engine::counters! {
    /// The counters of one station so far.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Counts {
        /// The station's name.
        pub station: String as kept,
        /// Copies offered: `sent + dropped + waiting`.
        pub requested: u64,
        /// Bytes offered: `sent_bytes + cut_bytes + dropped_bytes`, and the bytes of waiting
        /// copies.
        pub requested_bytes: u64,
        /// Copies handed over: to the network, or to the system call for the file or pipe.
        pub sent: u64,
        /// Bytes of these copies, without the headers of tunnels and files.
        pub sent_bytes: u64,
        /// Of the sent copies: copies that were shortened because they did not fit the path.
        pub cut: u64,
        /// Bytes that these copies lost.
        pub cut_bytes: u64,
        /// Of the sent copies: copies that were sent while the host's next hop had not answered.
        /// The kernel keeps a few of them until the next hop answers, and silently drops the
        /// others.
        pub unanswered: u64,
        /// How often the network or the kernel reported later that copies did not arrive (ICMP
        /// errors, a silent next hop). Each report is about a copy that counts as sent.
        pub network_errors: u64,
        /// Of an `interface` station: packets of any sender that the interface did not transmit
        /// meanwhile (its errors and drops). Copies among them count as sent.
        pub link_drops: u64,
        /// Copies dropped, by cause, in the order of [`Cause::ALL`].
        pub dropped: [u64; Cause::ALL.len()],
        /// Bytes of all dropped copies.
        pub dropped_bytes: u64,
        /// Copies in the queue, or gathered and not yet written.
        pub waiting: u64,
        /// Why the station is down. `None`: it is up.
        pub down: Option<String> as kept,
        /// The station is drained: it gets no more copies.
        pub drained: bool as kept,
    }
}

impl Counts {
    /// Copies dropped, for all causes.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Copies dropped by this cause.
    pub fn dropped_by(&self, cause: Cause) -> u64 {
        self.dropped.get(cause as usize).copied().unwrap_or(0)
    }

    /// Whether no copy waits and all sums of copies and bytes add up.
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
    /// The station's thread has ended, or counts no more.
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

    /// A snapshot of all counters.
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

    /// Counts copies that are neither sent nor dropped as dropped, because no thread takes them any
    /// more. Callers repeat it as long as workers offer copies.
    pub fn close(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = true;
        let now = self.read("", None);
        let bytes = now.requested_bytes.saturating_sub(now.sent_bytes + now.cut_bytes + now.dropped_bytes);
        self.dropped(Cause::Stopped, Amount { copies: now.waiting, bytes });
    }

    /// Lets the station's thread count, unless its copies were already counted as dropped.
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
        // A thread that wakes up late counts no more; a worker that does not know yet is counted.
        counters.unless_closed(|counters| counters.sent(Amount::one(100)));
        counters.requested(Amount::one(70));
        counters.close();
        let counts = counters.read("s", None);
        assert!(counts.adds_up() && counts.dropped_by(Cause::Stopped) == 3, "{counts:?}");
    }
}
