//! What a run counted, with what became of its events. The invariant: every alarm told was sent,
//! refused, dropped or waits. (Rejected: members for the history and alarms in the report of the
//! data plane, which knows of neither.)

use crate::alarm::{self, Alarms};
use crate::event::Hub;
use crate::history::{self, History};
use mrule_dataplane::live;
use std::ops::Deref;
use std::sync::Arc;

/// Who is told of events: listeners, and where they are kept and sent.
#[derive(Debug, Clone, Default)]
pub struct Subscribers {
    /// Tells them.
    pub hub: Hub,
    /// Keeps events.
    pub history: Option<History>,
    /// Sends them to receivers.
    pub alarms: Option<Arc<Alarms>>,
}

impl Subscribers {
    /// A hub that tells these.
    pub fn new(history: Option<History>, alarms: Option<Alarms>) -> Subscribers {
        let alarms = alarms.map(Arc::new);
        let journal = history.clone().map(|history| Arc::new(history) as _);
        let hub = Hub::new(journal, alarms.clone().map(|alarms| alarms as _));
        Subscribers { hub, history, alarms }
    }

    /// What is in the history, and what is not; none without one.
    pub fn history_counts(&self) -> Option<history::Counts> {
        let mut counts = self.history.as_ref()?.counts();
        counts.lost = self.hub.lost_so_far();
        counts.folded = self.hub.folded_so_far();
        Some(counts)
    }

    /// What became of alarms, by receiver.
    pub fn alarm_counts(&self) -> Vec<alarm::Counts> {
        self.alarms.as_ref().map(|alarms| alarms.counts()).unwrap_or_default()
    }
}

/// What a run counted so far. It reads as the report of the data plane.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What the data plane counted.
    pub live: live::Report,
    /// What became of alarms, by receiver.
    pub alarms: Vec<alarm::Counts>,
    /// What was kept of events; none without a history.
    pub history: Option<history::Counts>,
}

impl Deref for Report {
    type Target = live::Report;

    fn deref(&self) -> &live::Report {
        &self.live
    }
}

impl Report {
    /// What a run counted, and what became of its events.
    pub fn new(live: live::Report, of: &Subscribers) -> Report {
        Report { live, alarms: of.alarm_counts(), history: of.history_counts() }
    }

    /// Checks that every sum adds up; only when the run is over.
    ///
    /// # Errors
    /// Says which does not.
    pub fn check(&self) -> Result<(), String> {
        self.live.check()?;
        for alarms in &self.alarms {
            if alarms.waiting > 0 || alarms.notified != alarms.sent + alarms.failed + alarms.dropped {
                return Err(format!("alarms notified are not sent + failed + dropped: {alarms:?}"));
            }
        }
        Ok(())
    }
}
