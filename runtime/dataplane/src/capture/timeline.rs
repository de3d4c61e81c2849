//! The time at which a packet of a capture is decided. Most often it is the packet's own time. A
//! capture is in the order of arrival, so a time that does not fit the packets around it does not
//! tell when its packet came. Such a packet is decided at the latest time before it; its copy keeps
//! its own time.
//!
//! Invariants: decision times never jump back by more than [`NEAR`]. One packet with an outlying
//! time moves no other packet. The times depend on the packets alone, not on how they are cut into
//! batches. (Rejected: the greatest time so far; one packet an hour ahead would end all flows.
//! Rejected: each packet's own time; one packet an hour back would end them. Rejected: one offset
//! per interface from the start; files recorded one after the other have a true distance.)

/// Times within this distance are taken as they are, in nanoseconds. Capture points deliver packets
/// in blocks, so packets of two interfaces can be out of order by some milliseconds, up to a
/// second.
pub(super) const NEAR: i64 = 2_000_000_000;
/// Number of packets after a jump that are checked for whether the jump is real.
pub(super) const AHEAD: usize = 16;
/// An interface with this number of outlying packets in a row, near each other, has another clock.
const ANOTHER_CLOCK: u8 = 4;

/// The interface and the time of a packet.
pub(super) type Moment = (u32, i64);

/// What is known about the times so far.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The latest decision time. `None` before the first packet.
    now: Option<i64>,
    clocks: Vec<Clock>,
    outlying: u64,
}

/// The clock of one interface.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    /// The offset to add to the interface's times, in nanoseconds.
    offset: i64,
    /// The number of outlying packets in a row.
    outliers: u8,
    /// The time of the last outlying packet.
    outlier: Option<i64>,
}

impl Timeline {
    /// The number of packets that are decided at another time than their own.
    pub(super) fn outlying(&self) -> u64 {
        self.outlying
    }

    fn clock(&self, interface: u32) -> Clock {
        self.clocks.get(interface as usize).copied().unwrap_or_default()
    }

    fn on_ours(&self, (interface, time): Moment) -> i64 {
        time.saturating_add(self.clock(interface).offset)
    }

    /// Whether a packet is far from the latest time, so that the packets after it must be checked.
    #[inline]
    pub(super) fn jumps(&self, packet: Moment) -> bool {
        let time = self.on_ours(packet);
        self.now.is_none_or(|now| !is_near(time, now))
    }

    /// The time at which the next packet is decided. `ahead` has the packets after it, up to
    /// [`AHEAD`]; they are read only where the packet [jumps](Self::jumps).
    #[inline]
    pub(super) fn take(&mut self, packet: Moment, ahead: &[Moment]) -> i64 {
        let time = self.on_ours(packet);
        let decided = match self.now {
            Some(now) if is_near(time, now) => {
                if let Some(clock) = self.clocks.get_mut(packet.0 as usize) {
                    clock.outliers = 0;
                }
                time
            }
            _ => self.jump(packet, time, ahead),
        };
        self.now = Some(self.now.map_or(decided, |now| now.max(decided)));
        self.outlying += u64::from(decided != packet.1);
        decided
    }

    #[cold]
    fn jump(&mut self, packet: Moment, time: i64, ahead: &[Moment]) -> i64 {
        let after = |ahead: &[Moment], is: &dyn Fn(i64) -> bool| ahead.iter().any(|at| is(self.on_ours(*at)));
        let Some(now) = self.now else {
            // The first packet of all: if at least half of the next packets are earlier, the first
            // packet is wrong.
            let earlier =
                ahead.iter().map(|at| self.on_ours(*at)).filter(|at| *at < time.saturating_sub(NEAR));
            let earlier: Vec<i64> = earlier.collect();
            let wrong = earlier.len() * 2 >= ahead.len();
            return earlier.first().filter(|_| wrong).copied().unwrap_or(time);
        };
        // At the end there are no packets to check: the last outlying time counts.
        let known = ahead.is_empty() && self.clock(packet.0).outlier.is_some_and(|at| is_near(at, packet.1));
        if time > now && !known && !after(ahead, &|at| is_near(at, now)) {
            // No packets came for a while.
            self.set(packet.0, |clock| clock.outliers = 0);
            return time;
        }
        let set_back = time < now && !ahead.is_empty() && !after(ahead, &|at| at >= now.saturating_sub(NEAR));
        let step = now.saturating_sub(time);
        self.set(packet.0, |clock| {
            let again = clock.outliers > 0 && clock.outlier.is_some_and(|at| is_near(at, packet.1));
            clock.outliers = if again { clock.outliers + 1 } else { 1 };
            clock.outlier = Some(packet.1);
            if set_back || clock.outliers >= ANOTHER_CLOCK {
                clock.offset = clock.offset.saturating_add(step);
                clock.outliers = 0;
            }
        });
        now
    }

    fn set(&mut self, interface: u32, change: impl FnOnce(&mut Clock)) {
        let at = interface as usize;
        if self.clocks.len() <= at {
            self.clocks.resize(at + 1, Clock::default());
        }
        self.clocks.get_mut(at).map(change).unwrap_or_default();
    }
}

fn is_near(a: i64, b: i64) -> bool {
    a.abs_diff(b) <= NEAR as u64
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
