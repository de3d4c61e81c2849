//! The alarm for drops: more drops in a second than the limit, of frames to read, frames to
//! forward, or copies. The invariant: an alarm has a begin and an end; between them nothing is
//! reported, however long it lasts. Drops by a station's own `limit` do not count. (Rejected: an
//! alarm for each second; one alarm is enough to alert a person.)

use crate::event::{Kind, Record};
use mrule_dataplane::live::{ForwardCounts, PortCounts, Report};
use mrule_dataplane::station::{Cause, Counts};
use mrule_engine::counters::Counters;
use serde_json::json;
use std::time::{Duration, Instant};

/// The time with fewer drops before the alarm ends.
const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// The time between two checks.
const LOOK: Duration = Duration::from_secs(1);

mrule_engine::counters! {
    /// The drops so far.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    struct Lost {
        /// Frames dropped by the kernel before they were read.
        lost_frames: u64,
        /// Frames that were not forwarded.
        not_forwarded: u64,
        /// Copies.
        copies: u64,
    }
}

/// Watches the drops.
#[derive(Debug)]
pub struct Drops {
    rate: f64,
    seen: Option<(Instant, Lost)>,
    alarm: Option<Alarm>,
}

#[derive(Debug)]
struct Alarm {
    /// The drops before the alarm.
    before: Lost,
    /// The last time with too many drops.
    last: Instant,
}

impl Lost {
    fn of(report: &Report) -> Lost {
        let copies =
            |station: &Counts| station.dropped_total().saturating_sub(station.dropped_by(Cause::Rate));
        let failed = |port: &PortCounts| {
            let ours = port.forward.as_ref().map_or(0, ForwardCounts::failed);
            ours + port.redirect.map_or(0, |redirect| redirect.failed)
        };
        Lost {
            lost_frames: report.ports.iter().map(|port| port.kernel_drops + port.malformed).sum(),
            not_forwarded: report.ports.iter().map(failed).sum(),
            copies: report.stations.iter().map(copies).sum(),
        }
    }

    fn total(self) -> u64 {
        self.lost_frames + self.not_forwarded + self.copies
    }
}

impl Drops {
    /// Starts an alarm when there are more than `rate` drops in a second.
    pub fn new(rate: f64) -> Drops {
        Drops { rate, seen: None, alarm: None }
    }

    /// Whether the next check is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.seen.is_none_or(|(seen, _)| now.saturating_duration_since(seen) >= LOOK)
    }

    /// Checks the counts of a report.
    pub fn look(&mut self, report: &Report, now: Instant) -> Option<Record> {
        self.look_at(Lost::of(report), now)
    }

    fn look_at(&mut self, lost: Lost, now: Instant) -> Option<Record> {
        let (then, before) = self.seen.replace((now, lost))?;
        let new = lost.since(&before);
        let seconds = now.saturating_duration_since(then).as_secs_f64().max(1e-3);
        let rate = new.total() as f64 / seconds;
        if rate > self.rate {
            match &mut self.alarm {
                Some(alarm) => alarm.last = now,
                None => {
                    self.alarm = Some(Alarm { before, last: now });
                    return Some(record(Kind::Drops, new, &format!("{rate:.0} drops in a second")));
                }
            }
        }
        let alarm = self.alarm.take_if(|alarm| now.saturating_duration_since(alarm.last) >= QUIET_PERIOD)?;
        let all = lost.since(&alarm.before);
        let limit = self.rate;
        Some(record(
            Kind::DropsCleared,
            all,
            &format!("no more than {limit} drops in a second any more; since the alarm"),
        ))
    }
}

fn record(kind: Kind, lost: Lost, what: &str) -> Record {
    let Lost { lost_frames, not_forwarded, copies } = lost;
    let note = format!("{what}: {lost_frames} not read, {not_forwarded} not forwarded, {copies} copies");
    Record::now(
        kind,
        json!({ "note": note, "lost_frames": lost_frames, "not_forwarded": not_forwarded, "copies": copies }),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn an_alarm_begins_and_ends() {
        let mut drops = Drops::new(100.0);
        let begun = Instant::now();
        let mut told = Vec::new();
        let mut lost = Lost::default();
        for second in 0..60 {
            lost.copies += match second {
                5 | 12 => 1000, // two bursts within ten seconds are one alarm
                30..40 => 100,  // not more than allowed
                _ => 0,
            };
            if let Some(record) = drops.look_at(lost, begun + Duration::from_secs(second)) {
                told.push((second, record.kind, record.members["copies"].as_u64().unwrap()));
            }
        }
        assert_eq!(told, [(5, Kind::Drops, 1000), (22, Kind::DropsCleared, 2000)]);
    }
}
