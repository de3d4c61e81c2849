//! Puts the sums of several policies side by side. ([`Counters::add`] adds those of several
//! workers.) Invariant: code that forgets a member of the totals does not compile. (Rejected:
//! counters shared by workers; each packet would cost a bus cycle.)

use super::Totals;
use crate::counters::Counters;

impl Totals {
    /// Appends what another policy decided about the same packets. The packets themselves are
    /// already counted, and changes are not of packets.
    pub fn append(&mut self, other: Totals) {
        let Totals {
            packets: _,
            wire_bytes: _,
            captured_bytes: _,
            clipped_bytes: _,
            mirrored: _,
            unmirrored: _,
            stations,
            rules,
            limits,
            bound,
            bound_withheld,
            changes: _,
            refused: _,
            triggers,
            tracked,
            gone,
        } = other;
        self.stations.extend(stations);
        self.rules.extend(rules);
        self.limits.extend(limits);
        self.triggers.extend(triggers);
        self.bound += bound;
        self.bound_withheld += bound_withheld;
        self.gone.add(&gone);
        self.tracked.add(&tracked);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LimitCount, RetiredTotals, RuleCount, StationCount, TriggerTotal};
    use super::*;
    use crate::decider::{TrackCounts, TriggerCount};
    use crate::flow::FlowCounts;
    use crate::stream::StreamCounts;
    use std::fmt::Debug;

    /// The same counters, with another number in each.
    fn filled<T: Counters>(empty: &T, step: u64) -> T {
        let (mut filled, mut number) = (empty.clone(), 0);
        filled.visit("", &mut |_, value| {
            number += step;
            *value = number;
        });
        filled
    }

    /// Adds and subtracts all fields; gives their names. Of some, the larger number is the sum.
    fn adds_up<T: Counters + PartialEq + Debug>(empty: &T, most: &[&str]) -> Vec<String> {
        let (few, many) = (filled(empty, 1), filled(empty, 1000));
        let mut sum = few.clone();
        sum.add(&many);
        let both = few.list().into_iter().zip(many.list());
        let both = both.map(|((name, few), (_, many))| {
            let sum = if most.contains(&name.as_str()) { few.max(many) } else { few + many };
            (name, sum)
        });
        assert_eq!(sum.list(), both.collect::<Vec<_>>());
        let names: Vec<String> = sum.list().into_iter().map(|(name, _)| name).collect();
        for ((name, since), (_, few)) in sum.since(&many).list().into_iter().zip(few.list()) {
            assert!(since == few || most.contains(&name.as_str()), "{name}: {since} since, {few} added");
        }
        assert_eq!(empty.since(&sum).list(), empty.list(), "counters that began anew");
        let mut none = sum.clone();
        none.add(empty);
        assert_eq!(none, sum);
        names
    }

    /// How many numbers a struct of nothing else has.
    fn numbers<T>() -> usize {
        size_of::<T>() / size_of::<u64>()
    }

    #[test]
    fn every_field_is_added_up() {
        assert_eq!(adds_up(&FlowCounts::default(), &[]).len(), numbers::<FlowCounts>());
        assert_eq!(adds_up(&StreamCounts::default(), &[]).len(), numbers::<StreamCounts>());
        assert_eq!(adds_up(&TriggerCount::default(), &[]).len(), numbers::<TriggerCount>());
        assert_eq!(adds_up(&RetiredTotals::default(), &["stations"]).len(), numbers::<RetiredTotals>());
        let tracked = TrackCounts { streams: Some(StreamCounts::default()), ..TrackCounts::default() };
        let of_tracked = numbers::<FlowCounts>() + numbers::<StreamCounts>() + 2;
        assert_eq!(adds_up(&tracked, &[]).len(), of_tracked);
        let all = Totals {
            stations: vec![StationCount::default(); 2],
            rules: vec![RuleCount::default()],
            limits: vec![LimitCount::default()],
            triggers: vec![TriggerTotal::default()],
            tracked: Some(tracked),
            ..Totals::default()
        };
        let names = adds_up(&all, &["gone.stations"]);
        let of_lists = 2 * 3 + 3 + 5 + numbers::<TriggerCount>();
        assert_eq!(names.len(), 6 + of_lists + 2 + of_tracked + numbers::<RetiredTotals>());
        for name in ["packets", "stations.1.bytes", "tracked.streams.gaps.bytes", "triggers.0.packets.held"] {
            assert!(names.iter().any(|it| it == name), "{name} of {names:?}");
        }
    }

    #[test]
    fn what_is_no_sum_is_kept() {
        let station =
            |name: &str, copies| StationCount { name: name.into(), copies, ..StationCount::default() };
        let mut sum = station("a", 1);
        sum.add(&station("b", 2));
        assert_eq!(sum, station("a", 3));
        assert_eq!(sum.since(&station("c", 1)), station("a", 2));
        let mut none: Option<StreamCounts> = None;
        none.add(&None);
        assert_eq!((none, none.list()), (None, vec![]));
        none.add(&Some(filled(&StreamCounts::default(), 1)));
        assert_eq!(none, Some(filled(&StreamCounts::default(), 1)), "nobody counted before");
    }
}
