//! The counts of a run, with those of its events. The invariant: every alarm was sent, refused or
//! dropped, or waits. (Rejected: fields for history and alarms in the report of the data plane,
//! which knows neither.)

use crate::alarm::{self, Alarms};
use crate::event::Hub;
use crate::history::{self, History};
use mrule_dataplane::live;
use std::ops::Deref;
use std::sync::Arc;

/// The receivers of events: listeners, the history and alarms.
#[derive(Debug, Clone, Default)]
pub struct Subscribers {
    /// The event bus.
    pub hub: Hub,
    /// The event history.
    pub history: Option<History>,
    /// The alarms.
    pub alarms: Option<Arc<Alarms>>,
}

impl Subscribers {
    /// A hub for these receivers.
    pub fn new(history: Option<History>, alarms: Option<Alarms>) -> Subscribers {
        let alarms = alarms.map(Arc::new);
        let journal = history.clone().map(|history| Arc::new(history) as _);
        let hub = Hub::new(journal, alarms.clone().map(|alarms| alarms as _));
        Subscribers { hub, history, alarms }
    }

    /// The counts of the history; none without a history.
    pub fn history_counts(&self) -> Option<history::Counts> {
        let mut counts = self.history.as_ref()?.counts();
        counts.lost = self.hub.lost_so_far();
        counts.folded = self.hub.folded_so_far();
        Some(counts)
    }

    /// The counts of alarms, by receiver.
    pub fn alarm_counts(&self) -> Vec<alarm::Counts> {
        self.alarms.as_ref().map(|alarms| alarms.counts()).unwrap_or_default()
    }
}

/// The counts of a run so far. It dereferences to the report of the data plane.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The counts of the data plane.
    pub live: live::Report,
    /// The counts of alarms, by receiver.
    pub alarms: Vec<alarm::Counts>,
    /// The counts of the history; none without a history.
    pub history: Option<history::Counts>,
}

impl Deref for Report {
    type Target = live::Report;

    fn deref(&self) -> &live::Report {
        &self.live
    }
}

impl Report {
    /// Adds the counts of events to a report.
    pub fn new(live: live::Report, of: &Subscribers) -> Report {
        Report { live, alarms: of.alarm_counts(), history: of.history_counts() }
    }

    /// Checks that every sum adds up; valid only after the run has ended.
    ///
    /// # Errors
    /// The sum that does not add up.
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
