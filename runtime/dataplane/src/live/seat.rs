//! One policy at one worker: what decides, the ends of its stations, its sums. The invariants: a seat is taken, changed and
//! left between two batches, so a packet is decided by one version of each policy; what is left goes back to whoever gave
//! the order, and is freed there and not by the worker. (Rejected: workers that look at a shared pointer before each batch;
//! nobody would know when the last one has left the old program.)

use super::bounds::{Bounds, Gate};
use crate::station::{Copy, Outlet};
use mrule_compiler::abi::Packet;
use mrule_compiler::helpers;
use mrule_engine::decider::{Decider, Migration, Observer};
use mrule_engine::policy::Policy;
use mrule_engine::totals::{RetiredTotals, Totals};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

pub(super) struct Seat {
    /// The policy's number, the same for all of its versions.
    pub id: u64,
    pub policy: Arc<Policy>,
    pub decider: Decider,
    pub outlets: Vec<Outlet>,
    /// Whether stations want hashes of flows.
    pub hashes: bool,
    pub summary: Totals,
    /// Withholds the copies of this policy.
    pub gate: Gate,
}

/// What a worker is told about a policy.
pub(super) enum Seating {
    /// Take this seat, in place of the one of the same policy if there is one.
    Take(Box<Seat>, Box<Migration>),
    /// The same program, in another environment.
    Environment(Arc<Policy>),
    /// Leave.
    Leave,
}

/// What a worker has left, to be freed elsewhere.
pub(super) struct Left {
    _seat: Option<Box<Seat>>,
    _policy: Option<Arc<Policy>>,
    /// How long the worker did nothing else.
    pub took: Duration,
}

/// An order, and where what is left goes.
pub(super) struct Move {
    pub id: u64,
    pub seating: Seating,
    pub left: Sender<Left>,
}

impl Move {
    /// Carries it out; the sums of what ended go to `gone`. What is left is to be sent when others know the new sums.
    pub fn obey(self, seats: &mut Vec<Seat>, gone: &mut RetiredTotals) -> (Sender<Left>, Left) {
        let at = seats.iter().position(|seat| seat.id == self.id);
        let (mut left_seat, mut left_policy) = (None, None);
        match (self.seating, at.and_then(|at| seats.get_mut(at))) {
            (Seating::Take(mut seat, migration), Some(old)) => {
                old.summary.end(&old.decider);
                seat.summary = old.summary.succeed(seat.policy.program(), &migration);
                seat.summary.seed(&mut seat.decider);
                seat.decider.take_over(&mut old.decider, &migration, seat.summary.packets);
                left_seat = Some(Box::new(std::mem::replace(old, *seat)));
            }
            (Seating::Take(seat, _), None) => seats.push(*seat),
            (Seating::Environment(policy), Some(seat)) => {
                left_policy = Some(std::mem::replace(&mut seat.policy, policy));
            }
            (Seating::Leave, Some(_)) => {
                left_seat = at.map(|at| Box::new(seats.remove(at)));
                if let Some(seat) = &mut left_seat {
                    seat.summary.end(&seat.decider);
                    gone.add(&RetiredTotals::all_of(&seat.summary));
                }
            }
            (Seating::Environment(_) | Seating::Leave, None) => {}
        }
        (self.left, Left { _seat: left_seat, _policy: left_policy, took: Duration::ZERO })
    }
}

impl Seat {
    /// Decides packets, before which so many came.
    pub fn decide(&mut self, packets: &[Packet<'_>], before: u64, lines: Option<&dyn Observer>) {
        self.decider.decide_observed(&self.policy, packets, before, lines);
    }

    /// Offers the copies of the packets that were decided, of which binding policies leave so much; says in `copied` which
    /// packets have one. Gives how many of them.
    pub fn offer(
        &mut self,
        packets: &[Packet<'_>],
        before: u64,
        bounds: &mut Bounds,
        copied: &mut [bool],
    ) -> u64 {
        let Seat { decider, outlets, hashes, summary, gate, .. } = self;
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
                if let Some(outlet) = outlets.get_mut(station.index()) {
                    outlet.offer(&Copy { packet, verdict, number: before + i as u64 + 1, flow_hash });
                }
            }
            count += u64::from(mirrored);
            *copied |= mirrored;
        }
        count
    }

    /// Sends what was offered on its way.
    pub fn flush(&mut self) {
        self.outlets.iter_mut().for_each(Outlet::flush);
    }
}
