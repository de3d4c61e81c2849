//! Whether each worker moves. A worker counts each turn of its loop, at least ten per second, also
//! without packets. Invariants: a worker that hangs without dying is known within some seconds,
//! without its help and its locks. A stopped process or a sleeping machine does not count as a
//! hanging worker. (Rejected: to count packets; a link without traffic has none. Rejected: to start
//! another worker; what the hanging worker has locked or half changed is not known.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a worker may not move before this is a trouble.
pub const STALLED: Duration = Duration::from_secs(5);

/// The greatest time between two checks that counts. Checks run several times a second, unless the
/// whole process does not run.
const LOOK: Duration = Duration::from_secs(1);

/// A worker's counter. Clones share one counter.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Notes that the worker moves.
    pub fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Watches a worker's pulse.
#[derive(Debug)]
pub(super) struct Watcher {
    pulse: Pulse,
    seen: u64,
    looked: Instant,
    /// How long the worker has not moved.
    still: Duration,
}

impl Watcher {
    pub fn new(pulse: Pulse, now: Instant) -> Watcher {
        Watcher { pulse, seen: 0, looked: now, still: Duration::ZERO }
    }

    /// Checks whether the worker has moved. Call it several times a second.
    pub fn look(&mut self, now: Instant) {
        let beats = self.pulse.0.load(Relaxed);
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.still = match std::mem::replace(&mut self.seen, beats) == beats {
            true => self.still + passed.min(LOOK),
            false => Duration::ZERO,
        };
    }

    /// How long the worker has not moved, if that is too long.
    pub fn stalled(&self) -> Option<Duration> {
        Some(self.still).filter(|still| *still >= STALLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_move_for_some_seconds_is_known() {
        let (pulse, begun) = (Pulse::default(), Instant::now());
        let mut watcher = Watcher::new(pulse.clone(), begun);
        let at = |tenths: u64| begun + Duration::from_millis(100 * tenths);
        for tenths in 1..60 {
            pulse.beat();
            watcher.look(at(tenths));
            assert_eq!(watcher.stalled(), None);
        }
        for tenths in 60..=108 {
            watcher.look(at(tenths));
            assert_eq!(watcher.stalled(), None, "{tenths}");
        }
        watcher.look(at(109));
        assert_eq!(watcher.stalled(), Some(STALLED));
        pulse.beat();
        watcher.look(at(110));
        assert_eq!(watcher.stalled(), None, "it moves again");
        // The process was stopped for a minute: no check ran either.
        watcher.look(at(710));
        assert_eq!(watcher.stalled(), None);
    }
}
