//! When a station that failed is tried again. The invariants: after a failure nothing is sent for a second; where the
//! failure came late (an ICMP message, seconds after the packet), one copy each tick is a probe, and only when none of them
//! has failed for four seconds is the station up; until then all other copies are dropped, and counted as such.
//! (Rejected: sending on in spite of it; the sums would call sent what nobody was there to get.)

use super::lane::Tally;
use std::time::{Duration, Instant};

/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How long probes must not fail: a neighbour that does not answer is told after three seconds.
const PROBATION: Duration = Duration::from_secs(4);

/// What may be done with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Send it.
    Send,
    /// Open anew what failed, then ask again.
    Reopen,
    /// Drop it.
    Drop,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    state: State,
    /// The last failure came late.
    late: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Well,
    /// Failed; to be tried again then.
    Ill { until: Instant },
    /// Opened anew; well when nothing fails until then. `probe`: a copy may be sent.
    Probation { until: Instant, probe: bool },
}

impl Health {
    pub fn permit(&mut self) -> Permit {
        match &mut self.state {
            State::Well => Permit::Send,
            State::Ill { until } if Instant::now() < *until => Permit::Drop,
            State::Ill { .. } => Permit::Reopen,
            State::Probation { probe, .. } => {
                if std::mem::take(probe) {
                    Permit::Send
                } else {
                    Permit::Drop
                }
            }
        }
    }

    /// It failed; `late` when the failure is of something that was sent before.
    pub fn failed(&mut self, reason: String, late: bool, tally: &Tally) {
        self.late = late;
        self.state = State::Ill { until: Instant::now() + PAUSE };
        tally.down(reason);
    }

    /// It could be opened anew.
    pub fn reopened(&mut self) {
        self.state = if self.late {
            State::Probation { until: Instant::now() + PROBATION, probe: true }
        } else {
            // The next copy will show.
            State::Probation { until: Instant::now(), probe: true }
        };
    }

    /// A copy was taken.
    pub fn worked(&mut self, tally: &Tally) {
        if let State::Probation { until, .. } = self.state
            && !self.late
            && Instant::now() >= until
        {
            self.state = State::Well;
            tally.up();
        }
    }

    /// Time has passed; whether it should be opened anew.
    pub fn tick(&mut self, now: Instant, tally: &Tally) -> bool {
        match &mut self.state {
            State::Well => false,
            State::Ill { until } => now >= *until,
            State::Probation { until, .. } if self.late && now >= *until => {
                self.state = State::Well;
                tally.up();
                false
            }
            State::Probation { probe, .. } => {
                *probe = true;
                false
            }
        }
    }
}
