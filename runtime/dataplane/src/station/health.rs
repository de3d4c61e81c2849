//! When a failed station is retried. Invariants: after a failure nothing is sent for a second.
//! Where the failure was reported late (an ICMP message, seconds after the packet), one copy per
//! tick is a probe. The station is up when four seconds have passed since the first probe without a
//! failure. Without a copy to send there is no probe, and the station stays down. All other copies
//! are dropped and counted meanwhile. (Rejected: to continue sending; copies that no host can
//! receive would count as sent. Rejected: up after four seconds without traffic; nothing is known
//! then, and the report would be wrong.)

use super::queue::SinkStatus;
use std::time::{Duration, Instant};

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How long probes must not fail. The kernel reports a silent neighbour after three seconds.
const PROBATION: Duration = Duration::from_secs(4);

/// What may be done with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Send it.
    Send,
    /// Open the failed target again, then ask again.
    Reopen,
    /// Drop it.
    Drop,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    state: State,
    /// The last failure was reported late.
    late: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Well,
    /// The station failed, and waits until this time.
    Ill { until: Instant },
    /// The target was opened again. `probe`: a copy may be sent. `first`: the time of the first
    /// probe.
    Probation { first: Option<Instant>, probe: bool },
}

impl Health {
    pub fn permit(&mut self) -> Permit {
        match &mut self.state {
            State::Well => Permit::Send,
            State::Ill { until } if Instant::now() < *until => Permit::Drop,
            State::Ill { .. } => Permit::Reopen,
            State::Probation { first, probe } => {
                if std::mem::take(probe) {
                    first.get_or_insert_with(Instant::now);
                    Permit::Send
                } else {
                    Permit::Drop
                }
            }
        }
    }

    /// Notes a failure. `late`: the failure is of an earlier copy.
    pub fn failed(&mut self, reason: String, late: bool, status: &SinkStatus) {
        self.late = late;
        self.state = State::Ill { until: Instant::now() + PAUSE };
        status.down(reason);
    }

    /// Notes that the target was opened again.
    pub fn reopened(&mut self) {
        // The next copy decides.
        self.state = State::Probation { first: None, probe: true };
    }

    /// Notes that a copy was sent.
    pub fn worked(&mut self, status: &SinkStatus) {
        if matches!(self.state, State::Probation { .. }) && !self.late {
            self.state = State::Well;
            status.up();
        }
    }

    /// Notes that time has passed. Returns whether the target should be opened again.
    pub fn tick(&mut self, now: Instant, status: &SinkStatus) -> bool {
        match &mut self.state {
            State::Well => false,
            State::Ill { until } => now >= *until,
            State::Probation { first, probe } => {
                let passed = first.is_some_and(|first| now.saturating_duration_since(first) >= PROBATION);
                if self.late && passed {
                    self.state = State::Well;
                    status.up();
                } else {
                    *probe = true;
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Events;
    use super::super::producer::QueueState;
    use super::*;
    use crate::confine::Holder;
    use std::sync::{Arc, Mutex};

    fn status() -> SinkStatus {
        SinkStatus {
            station: "s".to_owned(),
            queue_state: Arc::new(QueueState::new(1 << 20, 64)),
            down: Mutex::new(None),
            events: Events::default(),
            holder: Holder::new("station `s`".to_owned(), std::iter::empty()),
        }
    }

    #[test]
    fn a_station_without_traffic_does_not_come_up_by_itself() {
        let (status, mut health) = (status(), Health::default());
        health.failed("nobody answers".to_owned(), true, &status);
        health.reopened();
        let later = Instant::now() + 10 * PROBATION;
        assert!(!health.tick(later, &status) && status.is_down(), "no probe was sent");
        // A copy comes: it is the first probe, and four seconds without a failure follow.
        assert_eq!((health.permit(), health.permit()), (Permit::Send, Permit::Drop));
        health.worked(&status);
        assert!(!health.tick(Instant::now(), &status) && status.is_down());
        assert!(!health.tick(Instant::now() + PROBATION, &status) && !status.is_down());
        assert_eq!(health.permit(), Permit::Send);
    }

    #[test]
    fn a_station_that_fails_at_once_is_up_with_the_first_copy_that_it_takes() {
        let (status, mut health) = (status(), Health::default());
        health.failed("it is down".to_owned(), false, &status);
        health.reopened();
        assert!(!health.tick(Instant::now() + 10 * PROBATION, &status) && status.is_down());
        assert_eq!(health.permit(), Permit::Send);
        health.worked(&status);
        assert!(!status.is_down());
    }
}
