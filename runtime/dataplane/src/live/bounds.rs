//! What binding policies leave of the packets of a batch, for the copies of all policies.
//! Invariants: a range only shrinks, so the order of policies does not matter. A cut made here is
//! counted twice: as bound by the policy that the copy belongs to, and by the limit that cut it.
//! (Rejected: one list of limits for the whole run; each limit is decided with its own policy's
//! tables and triggers.)

use super::slot::PolicySlot;
use mrule_compiler::abi::{BOUND, NO_LIMIT, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether copies are withheld, of one policy or of all: nothing is left of them, and they count as
/// cut by a binding limit. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn set(&self, withheld: bool) {
        self.0.store(withheld, Ordering::SeqCst);
    }

    pub fn withholds(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What is left of each packet.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// Withholds the copies of all policies.
    pub gate: Gate,
    /// Empty when no policy is binding.
    left: Vec<Remainder>,
    /// The cuts: the slot's limit, how often it left something, and how often it left nothing.
    cuts: Vec<(Limit, u64, u64)>,
}

/// A limit of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    slot: usize,
    limit: u32,
}

#[derive(Debug, Clone, Copy)]
struct Remainder {
    start: u32,
    end: u32,
    /// The limit that left the least.
    by: Option<Limit>,
}

impl Remainder {
    const ALL: Remainder = Remainder { start: 0, end: u32::MAX, by: None };
}

impl Bounds {
    /// Bounds behind a gate that withholds the copies of all policies.
    pub fn behind(gate: Gate) -> Bounds {
        Bounds { gate, ..Bounds::default() }
    }

    /// Takes what the binding policies among these slots decided about the packets.
    pub fn gather(&mut self, slots: &[PolicySlot], packets: usize) {
        self.left.clear();
        for (slot, bounds) in slots.iter().enumerate().filter_map(|(at, s)| Some((at, s.decider.bounds()?))) {
            self.left.resize(packets, Remainder::ALL);
            for (i, left) in self.left.iter_mut().enumerate() {
                for (_, verdict) in bounds.verdicts(i).filter(|(_, verdict)| verdict.limit != NO_LIMIT) {
                    let before = left.end.saturating_sub(left.start);
                    left.start = left.start.max(verdict.start);
                    left.end = left.end.min(verdict.end).max(left.start);
                    if left.end - left.start < before {
                        left.by = Some(Limit { slot, limit: verdict.limit });
                    }
                }
            }
        }
    }

    /// Leaves nothing of a copy.
    pub fn withhold(verdict: &mut Verdict) {
        if verdict.start < verdict.end {
            *verdict = Verdict { end: verdict.start, limit: BOUND, ..*verdict };
        }
    }

    /// Cuts a copy of packet `i`.
    pub fn cut(&mut self, i: usize, verdict: &mut Verdict) {
        let Some(Remainder { start, end, by: Some(by) }) = self.left.get(i).copied() else { return };
        let (from, to) = (verdict.start.max(start), verdict.end.min(end));
        let to = to.max(from);
        // An empty copy has nothing to lose: its own limits took it all.
        if verdict.start >= verdict.end || (from, to) == (verdict.start, verdict.end) {
            return;
        }
        *verdict = Verdict { start: from, end: to, limit: BOUND, ..*verdict };
        let (some, none) = (u64::from(from < to), u64::from(from >= to));
        match self.cuts.iter_mut().find(|(limit, ..)| *limit == by) {
            Some((_, cut, withheld)) => {
                *cut += some;
                *withheld += none;
            }
            None => self.cuts.push((by, some, none)),
        }
    }

    /// Adds the cuts to the slots' totals.
    pub fn tell(&mut self, slots: &mut [PolicySlot]) {
        for (Limit { slot, limit }, cut, withheld) in self.cuts.drain(..) {
            if let Some(count) = slots.get_mut(slot).and_then(|s| s.summary.limits.get_mut(limit as usize)) {
                count.others_cut += cut;
                count.others_withheld += withheld;
            }
        }
    }
}
