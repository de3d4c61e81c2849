//! A station of a restored policy that cannot be opened. Its copies are dropped and counted, and
//! its own thread retries it each second. Invariants: a restored policy enforces its limits
//! whatever the state of its stations; the reason is reported once; a station that must not be
//! opened (its copies would go to where packets are read) is never tried. (Rejected: to restore the
//! policy when the station can be opened; its limits would be missing until then.)

use super::counts::{Amount, Cause};
use super::queue::{CopyRef, Sink, SinkStatus};
use super::scope::Scope;
use super::sink;
use crate::capture;
use mrule_compiler::hir::{Station, Target};
use std::time::{Duration, Instant};

/// The pause until the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// A station that is not open, or was opened late.
pub(super) struct Unopened {
    station: Station,
    interfaces: Vec<capture::Interface>,
    scope: Scope,
    /// The time of the next attempt. `None`: the station must not be opened.
    next: Option<Instant>,
    open: Option<Box<dyn Sink>>,
}

impl Unopened {
    /// A station that cannot be opened now, for this reason.
    pub fn retried(
        station: &Station,
        interfaces: Vec<capture::Interface>,
        scope: Scope,
        reason: String,
        status: &SinkStatus,
    ) -> Unopened {
        let next = Some(Instant::now() + PAUSE);
        Unopened { next, ..Unopened::barred(station, interfaces, scope, reason, status) }
    }

    /// A station that must not be opened, for this reason.
    pub fn barred(
        station: &Station,
        interfaces: Vec<capture::Interface>,
        scope: Scope,
        reason: String,
        status: &SinkStatus,
    ) -> Unopened {
        status.down(reason);
        Unopened { station: station.clone(), interfaces, scope, next: None, open: None }
    }

    fn cause(&self) -> Cause {
        match self.station.target {
            Target::Pcapng { .. } => Cause::Write,
            Target::Pipe { .. } => Cause::NoReader,
            Target::Interface { .. } | Target::Tunnel { .. } => Cause::Unreachable,
        }
    }
}

impl Sink for Unopened {
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus) {
        match &mut self.open {
            Some(sink) => sink.send(copy, status),
            None => status.dropped(self.cause(), Amount::one(copy.bytes.len())),
        }
    }

    fn rest(&mut self, status: &SinkStatus) {
        if let Some(sink) = &mut self.open {
            sink.rest(status);
        }
    }

    fn tick(&mut self, now: Instant, status: &SinkStatus) {
        if let Some(sink) = &mut self.open {
            return sink.tick(now, status);
        }
        if self.next.is_none_or(|next| now < next) || status.stopping() {
            return;
        }
        self.next = Some(now + PAUSE);
        // While the station is down, notes from attempts to open it are not reported.
        let probe = status.probe();
        match sink::open(&self.station, &self.interfaces, &self.scope, &probe) {
            Ok(sink) => {
                self.open = Some(sink);
                status.now_down_for(probe.into_reason());
            }
            Err(error) => status.now_down_for(Some(error.to_string())),
        }
    }

    fn finish(&mut self, status: &SinkStatus) {
        if let Some(sink) = &mut self.open {
            sink.finish(status);
        }
    }

    fn overhead(&self) -> usize {
        self.open.as_ref().map_or(0, |sink| sink.overhead())
    }
}
