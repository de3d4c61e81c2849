//! The memory for an engine's verdicts: room for a batch of packets. A worker keeps it and uses it
//! again, so that deciding allocates nothing. The invariant: `asked.len() == capacity`,
//! `verdicts.len() == capacity * stations`, `counters.len() == seen.len() == rules + limits`; a
//! verdict is meaningful only if its bit in `asked` is set. (Rejected: returning a `Vec` per
//! packet.)

use crate::abi::{Cut, Verdict};
use crate::hir::{Program, StationId};

/// The verdicts of a batch of packets, and running counts.
#[derive(Debug, Clone)]
pub struct Batch {
    stations: usize,
    rules: usize,
    pub(crate) asked: Vec<u64>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) counters: Vec<u64>,
    /// For native code: the serial number of the last packet that was counted for each rule or
    /// limit, and of the current packet.
    pub(crate) seen: Vec<u64>,
    pub(crate) serial: u64,
    /// For native code: the part of the current packet that limits have left, per station.
    pub(crate) cuts: Vec<Cut>,
}

impl Batch {
    /// Room for `capacity` packets (at least one) of this program.
    pub fn new(program: &Program, capacity: usize) -> Batch {
        let (capacity, stations) = (capacity.max(1), program.stations.len());
        Batch {
            stations,
            rules: program.rules.len(),
            asked: vec![0; capacity],
            verdicts: vec![Verdict::default(); capacity * stations],
            counters: vec![0; program.rules.len() + program.limits.len()],
            seen: vec![0; program.rules.len() + program.limits.len()],
            serial: 0,
            cuts: vec![Cut::default(); stations],
        }
    }

    /// Seeds the counters: how often each rule's and limit's `match` held in the previous version.
    pub fn count_from(&mut self, rules: impl Iterator<Item = u64>, limits: impl Iterator<Item = u64>) {
        let (mine, rest) = self.counters.split_at_mut(self.rules);
        for (count, before) in mine.iter_mut().zip(rules).chain(rest.iter_mut().zip(limits)) {
            *count = before;
        }
    }

    /// Whether it has room for this many packets of a program with this many stations, rules and
    /// limits.
    pub(crate) fn fits(&self, packets: usize, stations: usize, rules: usize, limits: usize) -> bool {
        packets <= self.asked.len()
            && stations == self.stations
            && self.verdicts.len() == self.asked.len() * stations
            && self.cuts.len() == stations
            && rules == self.rules
            && self.counters.len() == rules + limits
            && self.seen.len() == self.counters.len()
    }

    /// The greatest number of packets.
    pub fn capacity(&self) -> usize {
        self.asked.len()
    }

    /// How many stations the program has.
    pub fn stations(&self) -> usize {
        self.stations
    }

    /// The stations that a rule asked a copy for, one bit each, for packet `i` of the last batch.
    pub fn asked(&self, i: usize) -> u64 {
        self.asked.get(i).copied().unwrap_or(0)
    }

    /// The verdicts for packet `i` of the last batch, one for each station that a rule asked a copy
    /// for. An empty range means that limits left nothing.
    pub fn verdicts(&self, i: usize) -> impl Iterator<Item = (StationId, Verdict)> + '_ {
        let mut asked = self.asked(i);
        std::iter::from_fn(move || {
            let station = asked.trailing_zeros();
            asked &= asked.wrapping_sub(1);
            let verdict = self.verdicts.get(i * self.stations + station as usize)?;
            (station < 64).then_some((StationId(station), *verdict))
        })
    }

    /// For how many packets each rule's `match` held since the batch was made.
    pub fn matched(&self) -> &[u64] {
        self.counters.get(..self.rules).unwrap_or(&[])
    }

    /// For how many packets each limit's `match` held, of the packets that a rule asked a copy of.
    pub fn limited(&self) -> &[u64] {
        self.counters.get(self.rules..).unwrap_or(&[])
    }
}
