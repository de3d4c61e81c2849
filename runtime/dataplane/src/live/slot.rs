//! One policy at one worker: its decider, the producers of its stations, its sums. Invariants: a
//! slot is taken, changed and left between two batches, so one version of each policy decides a
//! packet. Retired state goes back to the sender of the command, and is freed there, not by the
//! worker. (Rejected: workers that check a shared pointer before each batch; it would not be known
//! when the last worker has left the old program.)

use super::bounds::{Bounds, Gate};
use crate::station::{Copy, StationProducer};
use mrule_compiler::abi::Packet;
use mrule_compiler::helpers;
use mrule_engine::counters::Counters;
use mrule_engine::decider::{Decider, Migration, Observer};
use mrule_engine::policy::Policy;
use mrule_engine::totals::{RetiredTotals, Totals};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

pub(super) struct PolicySlot {
    /// The policy's number, the same for all of its versions.
    pub id: u64,
    pub policy: Arc<Policy>,
    pub decider: Decider,
    pub producers: Vec<StationProducer>,
    /// Whether stations use hashes of flows.
    pub hashes: bool,
    pub summary: Totals,
    /// Withholds the copies of this policy.
    pub gate: Gate,
}

/// A change to a worker's slot of a policy.
pub(super) enum SlotUpdate {
    /// Take this slot, and replace the slot of the same policy if there is one.
    Take(Box<PolicySlot>, Box<Migration>),
    /// Take another environment for the same program.
    Environment(Arc<Policy>),
    /// Leave the policy.
    Leave,
}

/// What a worker has left, to be freed elsewhere.
pub(super) struct Retired {
    _slot: Option<Box<PolicySlot>>,
    _policy: Option<Arc<Policy>>,
    /// How long the worker did nothing else.
    pub took: Duration,
}

/// A command, and the receiver of retired state.
pub(super) struct SlotCommand {
    pub id: u64,
    pub update: SlotUpdate,
    pub left: Sender<Retired>,
}

impl SlotCommand {
    /// Carries out the command. Sums of ended policies go to `gone`. Send the returned state only
    /// when the new sums are published.
    pub fn apply(self, slots: &mut Vec<PolicySlot>, gone: &mut RetiredTotals) -> (Sender<Retired>, Retired) {
        let at = slots.iter().position(|slot| slot.id == self.id);
        let (mut left_slot, mut left_policy) = (None, None);
        match (self.update, at.and_then(|at| slots.get_mut(at))) {
            (SlotUpdate::Take(mut slot, migration), Some(old)) => {
                old.summary.end(&old.decider);
                slot.summary = old.summary.succeed(slot.policy.program(), &migration);
                slot.summary.seed(&mut slot.decider);
                slot.decider.take_over(&mut old.decider, &migration, slot.summary.packets);
                left_slot = Some(Box::new(std::mem::replace(old, *slot)));
            }
            (SlotUpdate::Take(slot, _), None) => slots.push(*slot),
            (SlotUpdate::Environment(policy), Some(slot)) => {
                left_policy = Some(std::mem::replace(&mut slot.policy, policy));
            }
            (SlotUpdate::Leave, Some(_)) => {
                left_slot = at.map(|at| Box::new(slots.remove(at)));
                if let Some(slot) = &mut left_slot {
                    slot.summary.end(&slot.decider);
                    gone.add(&RetiredTotals::all_of(&slot.summary));
                }
            }
            (SlotUpdate::Environment(_) | SlotUpdate::Leave, None) => {}
        }
        (self.left, Retired { _slot: left_slot, _policy: left_policy, took: Duration::ZERO })
    }
}

impl PolicySlot {
    /// Decides packets. `before` packets came earlier.
    pub fn decide(&mut self, packets: &[Packet<'_>], before: u64, lines: Option<&dyn Observer>) {
        self.decider.decide_observed(&self.policy, packets, before, lines);
    }

    /// Offers the copies of the decided packets, within the bounds of binding policies. Marks in
    /// `copied` which packets have a copy. Returns their number.
    pub fn offer(
        &mut self,
        packets: &[Packet<'_>],
        before: u64,
        bounds: &mut Bounds,
        copied: &mut [bool],
    ) -> u64 {
        let PolicySlot { decider, producers, hashes, summary, gate, .. } = self;
        let batch = decider.batch();
        let withheld = gate.withholds() || bounds.gate.withholds();
        let mut count = 0;
        for (i, (packet, copied)) in packets.iter().zip(copied).enumerate() {
            if batch.asked(i) == 0 {
                continue;
            }
            let mut mirrored = false;
            let mut flow_hash = None;
            for (station, mut verdict) in batch.verdicts(i) {
                if withheld {
                    Bounds::withhold(&mut verdict);
                } else {
                    bounds.cut(i, &mut verdict);
                }
                summary.verdict(station, &verdict);
                if verdict.start >= verdict.end {
                    continue;
                }
                mirrored = true;
                let hash = || helpers::flow_hash(packet, &decider.seen(i).head_of(packet)).unwrap_or(0);
                let flow_hash = if *hashes { *flow_hash.get_or_insert_with(hash) } else { 0 };
                if let Some(producer) = producers.get_mut(station.index()) {
                    producer.offer(&Copy { packet, verdict, number: before + i as u64 + 1, flow_hash });
                }
            }
            count += u64::from(mirrored);
            *copied |= mirrored;
        }
        count
    }

    /// Passes on what was offered.
    pub fn flush(&mut self) {
        self.producers.iter_mut().for_each(StationProducer::flush);
    }
}
