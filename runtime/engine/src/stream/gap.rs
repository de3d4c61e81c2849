//! When a gap is given up: as soon as it is known that its bytes will not come, or when too much
//! waits behind it. Invariants: what gives a gap up is one of [`Cause`]; nothing is asked of a
//! direction that holds nothing. A mirror may show an acknowledgement before the bytes that it
//! acknowledges. So an acknowledgement counts at the next packet of the direction, which may bring
//! these bytes. Then a gap is given up too early only if one packet was delayed behind two others.
//! A FIN alone says nothing while the other end is seen: its sender repeats lost bytes after it.
//! (Rejected: to wait for the whole round trip; the packet behind the gap could no longer be the
//! packet that reports.)

use super::StreamLimits;
use super::counts::Gaps;
use super::order::Full;

/// Why a gap is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Full(Full),
    Truncated,
    Acknowledged,
    Closed,
    Bytes,
    Packets,
    Time,
}

/// What a packet can say about the gaps of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The packet is of the direction itself.
    Own,
    /// The packet is of the other direction.
    Other,
    /// The packet resets the connection.
    Reset,
}

/// What is known about the first gap of a direction.
#[derive(Debug, Default)]
pub(super) struct GapState {
    /// Bytes that wait behind the gap.
    bytes: u64,
    /// Packets that wait behind it.
    packets: u64,
    /// The packet time since which they wait.
    since: i64,
    /// The other end has acknowledged the bytes up to this offset.
    acked: u64,
    /// The other end has acknowledged something while bytes wait.
    answered: bool,
    /// The offset of the direction's FIN.
    fin: Option<u64>,
}

impl Gaps {
    /// Counts a gap.
    pub(super) fn count(&mut self, cause: Cause, missing: u64) {
        let count = match cause {
            Cause::Full(Full::Pool) => &mut self.pool_full,
            Cause::Full(Full::Direction) => &mut self.direction_full,
            Cause::Truncated => &mut self.truncated,
            Cause::Acknowledged => &mut self.acknowledged,
            Cause::Closed => &mut self.closed,
            Cause::Bytes => &mut self.too_many_bytes,
            Cause::Packets => &mut self.too_many_packets,
            Cause::Time => &mut self.too_long,
        };
        *count += 1;
        self.bytes = self.bytes.saturating_add(missing);
    }
}

impl GapState {
    /// Notes a packet of which `new` bytes wait now.
    pub(super) fn hold(&mut self, new: u64, time: i64) {
        if self.packets == 0 {
            (self.since, self.answered) = (time, false);
        }
        self.packets += 1;
        self.bytes += new;
    }

    /// Notes more bytes of a packet that was noted.
    pub(super) fn add(&mut self, new: u64) {
        self.bytes += new;
    }

    /// Notes that `bytes` bytes wait no longer: the gap before them is closed. What still waits
    /// does so behind another gap. How many packets, and since when, is estimated by their bytes.
    pub(super) fn release(&mut self, bytes: u64, time: i64) {
        let left = self.bytes.saturating_sub(bytes);
        let share = |n: u64| (u128::from(n) * u128::from(left) / u128::from(self.bytes.max(1))) as u64;
        let waited = share(time.saturating_sub(self.since).max(0) as u64);
        self.packets = if left == 0 { 0 } else { share(self.packets).max(1) };
        self.since = time.saturating_sub(waited as i64);
        self.bytes = left;
    }

    pub(super) fn acknowledge(&mut self, ack: u64) {
        self.acked = self.acked.max(ack);
        self.answered = true;
    }

    /// Notes that bytes came in order, up to `next`, before the gap: the sender is not behind the
    /// gap, so the wait begins anew, and an acknowledgement of more is not believed.
    pub(super) fn arrive(&mut self, next: u64, time: i64) {
        (self.acked, self.since, self.packets) = (self.acked.min(next), time, self.packets.min(1));
    }

    pub(super) fn finish(&mut self, at: u64) {
        self.fin = self.fin.or(Some(at));
    }

    /// Whether the gap from `next` to `first` is given up now, why, and up to which offset.
    /// `answered`: packets of the other end are seen. `ahead`: the packet has bytes behind `next`.
    ///
    /// The limits are for what the other end does not tell: if it has acknowledged something
    /// meanwhile and not the gap, the sender must send the bytes of the gap again.
    pub(super) fn given_up(
        &self,
        (next, first): (u64, u64),
        evidence: Evidence,
        (answered, ahead): (bool, bool),
        time: i64,
        limits: &StreamLimits,
    ) -> Option<(Cause, u64)> {
        let finished = self.fin.is_some_and(|fin| fin >= first);
        let own = evidence == Evidence::Own;
        if evidence == Evidence::Reset || finished && !answered {
            return Some((Cause::Closed, first));
        }
        // Behind a FIN there may be no more packets of the direction to wait for.
        if self.acked > next && (own || finished) {
            return Some((Cause::Acknowledged, self.acked.min(first)));
        }
        let over = |cause| Some((cause, first));
        match () {
            () if !own || !ahead || self.answered => None,
            () if self.bytes > limits.gap_bytes as u64 => over(Cause::Bytes),
            () if self.packets > limits.gap_packets => over(Cause::Packets),
            () if time.saturating_sub(self.since) > limits.gap_time => over(Cause::Time),
            () => None,
        }
    }
}
