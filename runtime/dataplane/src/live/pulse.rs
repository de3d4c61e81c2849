//! Whether each worker moves. A worker counts each turn of its loop, ten a second at least, also
//! when no packet comes. The invariants: one that hangs without dying is known within some seconds,
//! without its help and without any of its locks; a process that was stopped, or a machine that
//! slept, is no worker that hangs. (Rejected: to count packets; a link without traffic has none. To
//! start another worker; what the one that hangs has locked or half changed is not known.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a worker may not move before that is wrong.
pub const STALLED: Duration = Duration::from_secs(5);

/// What may pass between two looks and counts: it is looked several times a second, unless nothing
/// of the process runs.
const LOOK: Duration = Duration::from_secs(1);

/// Counted by a worker; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// It moves.
    pub fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Looks at a worker's pulse.
#[derive(Debug)]
pub(super) struct Watcher {
    pulse: Pulse,
    seen: u64,
    looked: Instant,
    /// For how long it has not moved.
    still: Duration,
}

impl Watcher {
    pub fn new(pulse: Pulse, now: Instant) -> Watcher {
        Watcher { pulse, seen: 0, looked: now, still: Duration::ZERO }
    }

    /// Looks whether it has moved; to be called several times a second.
    pub fn look(&mut self, now: Instant) {
        let beats = self.pulse.0.load(Relaxed);
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        self.still = match std::mem::replace(&mut self.seen, beats) == beats {
            true => self.still + passed.min(LOOK),
            false => Duration::ZERO,
        };
    }

    /// For how long it has not moved, when that is too long.
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
        // The process was stopped for a minute: nobody looked either.
        watcher.look(at(710));
        assert_eq!(watcher.stalled(), None);
    }
}
