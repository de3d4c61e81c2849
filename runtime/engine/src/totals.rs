//! Sums of what was decided: plain numbers, no printing. Invariant: [`Totals::check`], by which all
//! sums add up, over packets, stations, rules and limits. A *verdict* is one packet for one station
//! that a rule asked a copy for. It ends as a copy, or is withheld when limits leave nothing of it.
//! (Rejected: percentages kept as numbers; they are functions of the counts.)

mod merge;
mod retired;

pub use retired::RetiredTotals;

use crate::decider::{Decider, TrackCounts, TriggerCount};
use crate::policy::Policy;
use crate::trigger::TriggerCounts;
use mrule_compiler::abi::{BOUND, NO_LIMIT, Packet, Verdict};
use mrule_compiler::hir::{Program, Scope, StationId};

crate::counters! {
    /// Sums of what was seen and decided.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Totals {
        /// Packets decided.
        pub packets: u64,
        /// Length of the packets on the wire, in bytes.
        pub wire_bytes: u64,
        /// Captured part of the packets, in bytes.
        pub captured_bytes: u64,
        /// Bytes that the kernel cut off because no rule could want them.
        pub clipped_bytes: u64,
        /// Packets of which at least one station got a copy.
        pub mirrored: u64,
        /// Packets of which no station got a copy.
        pub unmirrored: u64,
        /// Sums by station, in the order of the program.
        pub stations: Vec<StationCount>,
        /// Sums by rule, in the order of the program.
        pub rules: Vec<RuleCount>,
        /// Sums by limit, in the order of the program.
        pub limits: Vec<LimitCount>,
        /// Copies that were cut by limits of other, binding policies.
        pub bound: u64,
        /// Verdicts of which limits of other, binding policies left nothing.
        pub bound_withheld: u64,
        /// Changes from outside that were made.
        pub changes: u64 as kept,
        /// Changes that were refused because the flow that they name did not exist.
        pub refused: RefusedCount as kept,
        /// Sums by trigger, in the order of the program.
        pub triggers: Vec<TriggerTotal>,
        /// Counters of flows. `None`: the program does not use flows.
        pub tracked: Option<TrackCounts>,
        /// Sums of rules, limits and stations of the policy's earlier programs.
        pub gone: RetiredTotals,
    }
}

crate::counters! {
    /// Sums of one station.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct StationCount {
        /// The station's name.
        pub name: String as kept,
        /// Copies.
        pub copies: u64,
        /// Captured bytes in these copies.
        pub bytes: u64,
        /// Verdicts of which limits left nothing.
        pub withheld: u64,
    }
}

crate::counters! {
    /// Sums of one rule.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct RuleCount {
        /// The rule's name.
        pub name: String as kept,
        /// Packets for which the rule's `match` held.
        pub matched: u64,
        /// Verdicts for which the rule asked the most.
        pub decided: u64,
        /// Bytes of the copies of these verdicts.
        pub bytes: u64,
    }
}

crate::counters! {
    /// Sums of one trigger.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct TriggerTotal {
        /// The trigger's name.
        pub name: String as kept,
        /// Effects of packets on the trigger.
        pub packets: TriggerCount,
        /// Counters of the trigger's keys. `None`: the key of the trigger is `flow`.
        pub keys: Option<TriggerCounts> as kept,
    }
}

/// Changes that were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedCount {
    /// The number of refused changes.
    pub count: u64,
    /// The line of the first refused change, from 1, and the reason.
    pub first: Option<(usize, String)>,
}

impl RefusedCount {
    /// Counts a refused change, asked for by this line.
    pub fn take(&mut self, line: usize, why: &impl ToString) {
        self.count += 1;
        self.first.get_or_insert_with(|| (line, why.to_string()));
    }
}

crate::counters! {
    /// Sums of one limit.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct LimitCount {
        /// The limit's name.
        pub name: String as kept,
        /// Packets for which the limit's `match` held, of the packets that some rule asked a copy
        /// of.
        pub matched: u64,
        /// Copies that the limit cut.
        pub cut: u64,
        /// Verdicts of which the limit left nothing.
        pub withheld: u64,
        /// Copies of other policies that the limit cut, because its policy is binding.
        pub others_cut: u64,
        /// Verdicts of other policies of which the limit left nothing.
        pub others_withheld: u64,
    }
}

/// Received packets and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Intake {
    /// The number of packets.
    pub packets: u64,
    /// Length of the packets on the wire, in bytes.
    pub wire_bytes: u64,
    /// Captured part of the packets, in bytes.
    pub captured_bytes: u64,
    /// Bytes that the kernel cut off because no rule could want them.
    pub clipped_bytes: u64,
}

impl Intake {
    /// Counts a packet.
    pub fn take(&mut self, packet: &Packet) {
        self.packets += 1;
        self.wire_bytes += u64::from(packet.len);
        self.captured_bytes += u64::from(packet.cap_len());
    }
}

impl Totals {
    /// Empty sums for this program.
    pub fn new(program: &Program) -> Totals {
        let station = |name: &String| StationCount { name: name.clone(), ..StationCount::default() };
        let rule = |name: &String| RuleCount { name: name.clone(), ..RuleCount::default() };
        let trigger = |name: &String| TriggerTotal { name: name.clone(), ..TriggerTotal::default() };
        let limit = |name: &String| LimitCount { name: name.clone(), ..LimitCount::default() };
        Totals {
            stations: program.stations.iter().map(|s| station(&s.name)).collect(),
            rules: program.rules.iter().map(|r| rule(&r.name)).collect(),
            limits: program.limits.iter().map(|l| limit(&l.name)).collect(),
            triggers: program.triggers.iter().map(|t| trigger(&t.name)).collect(),
            ..Totals::default()
        }
    }

    /// Bytes that a station was spared, in percent of the bytes that were captured or cut off by
    /// the kernel. `None` before the first byte.
    pub fn saved_percent(&self, station: &StationCount) -> Option<f64> {
        saved(station.bytes, self.captured_bytes + self.clipped_bytes)
    }

    /// Bytes that all stations were spared, in percent of full copies for each of them.
    pub fn saved_percent_overall(&self) -> Option<f64> {
        let bytes = self.stations.iter().map(|s| s.bytes).sum();
        saved(bytes, (self.captured_bytes + self.clipped_bytes) * self.stations.len() as u64)
    }

    /// Adds packets that were decided. `mirrored` of them were mirrored.
    pub fn intake(&mut self, intake: &Intake, mirrored: u64) {
        let Intake { packets, wire_bytes, captured_bytes, clipped_bytes } = intake;
        self.packets += packets;
        self.mirrored += mirrored;
        self.unmirrored += packets - mirrored;
        self.wire_bytes += wire_bytes;
        self.captured_bytes += captured_bytes;
        self.clipped_bytes += clipped_bytes;
    }

    /// Counts one verdict for a station.
    pub fn verdict(&mut self, station: StationId, verdict: &Verdict) {
        let bytes = u64::from(verdict.end.saturating_sub(verdict.start));
        let copy = bytes > 0;
        if let Some(station) = self.stations.get_mut(station.index()) {
            station.copies += u64::from(copy);
            station.withheld += u64::from(!copy);
            station.bytes += bytes;
        }
        if let Some(rule) = self.rules.get_mut(verdict.rule as usize) {
            rule.decided += 1;
            rule.bytes += bytes;
        }
        if verdict.limit == BOUND {
            self.bound += u64::from(copy);
            self.bound_withheld += u64::from(!copy);
        } else if verdict.limit != NO_LIMIT
            && let Some(limit) = self.limits.get_mut(verdict.limit as usize)
        {
            limit.cut += u64::from(copy);
            limit.withheld += u64::from(!copy);
        }
    }

    /// Takes over the decider's own counters: conditions that held, triggers, flows.
    pub fn end(&mut self, decider: &Decider) {
        let batch = decider.batch();
        for (rule, matched) in self.rules.iter_mut().zip(batch.matched()) {
            rule.matched = *matched;
        }
        for (limit, matched) in self.limits.iter_mut().zip(batch.limited()) {
            limit.matched = *matched;
        }
        for (sum, count) in self.triggers.iter_mut().zip(decider.triggers()) {
            sum.packets = *count;
        }
        self.tracked = decider.tracked();
    }

    /// Sets the counters of triggers' keys up to a packet time. They are the same for all workers.
    pub fn keys(&mut self, policy: &Policy, now: i64) {
        for (at, (sum, trigger)) in self.triggers.iter_mut().zip(&policy.program().triggers).enumerate() {
            sum.keys = matches!(trigger.scope, Scope::Keys(_)).then(|| policy.triggers().counts(at, now));
        }
    }

    /// Checks that all sums add up.
    ///
    /// # Errors
    /// Names the sum that does not add up.
    pub fn check(&self) -> Result<(), String> {
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.sum::<u64>();
        let gone = &self.gone;
        let copies = gone.copies + sum(&mut self.stations.iter().map(|s| s.copies));
        let withheld = gone.withheld + sum(&mut self.stations.iter().map(|s| s.withheld));
        let most = self.stations.iter().map(|s| s.copies).max().unwrap_or(0);
        let stations = (self.stations.len() as u64).max(gone.stations);
        let equal = [
            ("mirrored + unmirrored, packets", self.mirrored + self.unmirrored, self.packets),
            (
                "decided by rules, verdicts",
                gone.decided + sum(&mut self.rules.iter().map(|r| r.decided)),
                copies + withheld,
            ),
            (
                "bytes of rules, of stations",
                gone.rule_bytes + sum(&mut self.rules.iter().map(|r| r.bytes)),
                gone.bytes + sum(&mut self.stations.iter().map(|s| s.bytes)),
            ),
            (
                "withheld by limits, from stations",
                gone.limited + self.bound_withheld + sum(&mut self.limits.iter().map(|l| l.withheld)),
                withheld,
            ),
        ];
        self.triggers.iter().try_for_each(TriggerTotal::check)?;
        if let Some(TrackCounts { flows: f, streams, before, .. }) = &self.tracked {
            let gone = f.ended + f.expired + f.evicted_young + f.evicted_established;
            if f.created != f.active + gone || f.packets + before != self.packets {
                return Err(format!("flows: {f:?}, packets {}", self.packets));
            }
            if streams.is_some_and(|s| !s.adds_up()) {
                return Err(format!("streams: {streams:?}"));
            }
        }
        for (what, a, b) in equal {
            if a != b {
                return Err(format!("{what}: {a} is not {b}"));
            }
        }
        let mut at_most = vec![
            ("captured, wire bytes".to_owned(), self.captured_bytes + self.clipped_bytes, self.wire_bytes),
            ("mirrored, copies".to_owned(), self.mirrored, copies),
            ("copies of a station, mirrored".to_owned(), most, self.mirrored),
        ];
        for s in &self.stations {
            at_most.push((format!("verdicts for {}, packets", s.name), s.copies + s.withheld, self.packets));
            at_most.push((format!("copies of {}, bytes", s.name), s.copies, s.bytes));
            at_most.push((format!("bytes of {}, captured", s.name), s.bytes, self.captured_bytes));
        }
        for r in &self.rules {
            at_most.push((format!("matched by {}, packets", r.name), r.matched, self.packets));
            at_most.push((format!("decided by {}, matched", r.name), r.decided, r.matched * stations));
        }
        for l in &self.limits {
            at_most.push((format!("matched by {}, packets", l.name), l.matched, self.packets));
            at_most.push((format!("cut by {}, matched", l.name), l.cut + l.withheld, l.matched * stations));
        }
        match at_most.into_iter().find(|(_, a, b)| a > b) {
            Some((what, a, b)) => Err(format!("{what}: {a} is more than {b}")),
            None => Ok(()),
        }
    }
}

fn saved(bytes: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| 100.0 * (1.0 - bytes as f64 / of as f64))
}

impl TriggerTotal {
    /// Checks that the effects of packets and the counters of keys add up.
    fn check(&self) -> Result<(), String> {
        let (p, name) = (&self.packets, &self.name);
        let ended = p.raised + p.extended + p.vetoed + p.suppressed + p.full + p.unkeyed;
        if p.held != ended {
            return Err(format!("trigger {name}: what held is not what came of it: {p:?}"));
        }
        let Some(k) = &self.keys else { return Ok(()) };
        if k.raised + k.external != k.active + k.expired + k.cleared || k.keys != k.entered - k.evicted {
            return Err(format!("trigger {name}: keys do not add up: {k:?}"));
        }
        if (k.raised, k.extended, k.suppressed, k.full) != (p.raised, p.extended, p.suppressed, p.full) {
            return Err(format!("trigger {name}: packets {p:?}, but keys {k:?}"));
        }
        Ok(())
    }
}
