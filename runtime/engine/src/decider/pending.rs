//! Packets of a batch that are not decided yet, and the rule "decide before it changes": a packet
//! is decided by the states that it leaves, so the packets that a change could reach are decided
//! first. Invariant: states of triggers with keys change only with a [`Settled`], and only
//! [`Pending::before`] makes one. (Rejected: a comment at each change; the next change has none.)

use std::ops::Range;

/// Packets that are evaluated and not decided.
pub(super) struct Pending {
    /// The first pending packet.
    first: usize,
    /// The earliest and the latest of their times.
    earliest: i64,
    latest: i64,
}

/// No pending packet can notice what one packet changes now. It is used up by the change.
#[must_use]
pub(super) struct Settled(());

impl Pending {
    /// No pending packets; the next is packet `first`.
    pub(super) fn from(first: usize) -> Pending {
        Pending { first, earliest: i64::MAX, latest: i64::MIN }
    }

    /// Takes in the next packet, which has this time.
    #[inline(always)]
    pub(super) fn push(&mut self, time: i64) {
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
    }

    /// The earliest time of a pending packet.
    pub(super) fn earliest(&self) -> i64 {
        self.earliest
    }

    /// The latest time of a pending packet.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// Lets packet `at` change states. `reaches`: pending packets are decided by these states, so
    /// `decide` decides them first.
    #[inline(always)]
    pub(super) fn before(&mut self, at: usize, reaches: bool, decide: impl FnOnce(Range<usize>)) -> Settled {
        if self.first < at && reaches {
            decide(self.first..at);
            *self = Pending::from(at);
        }
        Settled(())
    }

    /// The packets that are pending at the end of a batch of `len` packets.
    pub(super) fn rest(self, len: usize) -> Range<usize> {
        self.first..len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_reaches_is_decided_before_it() {
        let (mut pending, mut decided) = (Pending::from(0), Vec::new());
        let Settled(()) = pending.before(0, true, |part| decided.extend(part));
        assert!(decided.is_empty(), "no packet is pending");
        [30, 10, 20].into_iter().for_each(|time| pending.push(time));
        assert_eq!((pending.earliest(), pending.latest()), (10, 30));
        let Settled(()) = pending.before(3, false, |part| decided.extend(part));
        assert!(decided.is_empty(), "the change reaches no pending packet");
        let Settled(()) = pending.before(3, true, |part| decided.extend(part));
        assert_eq!(decided, [0, 1, 2]);
        assert_eq!((pending.earliest(), pending.latest()), (i64::MAX, i64::MIN));
        pending.push(40);
        let Settled(()) = pending.before(3, true, |part| decided.extend(part));
        assert_eq!((decided.len(), pending.rest(5)), (3, 3..5), "each packet is decided once");
    }
}
