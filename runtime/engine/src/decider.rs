//! One worker's way from packets to verdicts: dissect, update flows, look into streams, raise
//! triggers, decide. Replay, tests and live workers all go through it, so they cannot differ. The
//! invariants: packets are taken in order, each once; a packet is decided with the states that it
//! leaves; a program that says nothing about flows has no table of them, and one whose triggers
//! have no conditions is decided a batch at a time. (Rejected: engines that own this state; a new
//! program takes over the flows of the old one: `migration`.)

use crate::error::Error;
use crate::flow::{self, FlowCounts, FlowId, FlowTable};
use crate::memory::list;
use crate::policy::Policy;
use crate::stream::{StreamCounts, StreamLimits, Streams};
use crate::trigger::{AHEAD, Outcome};
use mrule_compiler::abi::{FlowView, Head, Packet, Verdict};
use mrule_compiler::batch::Batch;
use mrule_compiler::context::{BatchContext, PacketContext};
use mrule_compiler::dissect;
use mrule_compiler::environment::{Environment, Scratch};
use mrule_compiler::hir::Program;
use mrule_compiler::table::KeyValue;
use std::ops::Range;

mod flow_control;
mod key_extract;
mod key_group;
mod migration;
mod observer;
mod raise;

use flow_control::Suppressions;
pub use flow_control::{NAMED, active, bit_of};
pub use migration::{Migration, streams_begin_anew};
pub use observer::Observer;
use raise::{Step, TriggerEvaluator};

/// How much is remembered.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Of flows.
    pub flows: flow::Limits,
    /// Of what streams contain.
    pub streams: StreamLimits,
}

/// Bytes of a rule's or limit's sums in a worker: its counters here, and in the summary with its
/// name.
const COUNTED: u64 = 160;
/// Bytes of a trigger's sums and of what packets are to it, in a worker.
const RAISED: u64 = 2048;

/// How many packets are looked at before their flows are updated: enough for cache misses to
/// overlap, and what is found in them stays in the first cache.
const TURN: usize = 64;

/// A worker's state for one program.
#[derive(Debug)]
pub struct Decider {
    batch: Batch,
    /// What limits that are binding for other policies leave of each packet.
    bounds: Option<Batch>,
    sight: BatchContext,
    scratch: Scratch,
    tracker: Option<Tracker>,
    /// None when no trigger has conditions.
    evaluator: Option<Box<TriggerEvaluator>>,
}

/// Packets that are not decided yet.
struct Pending {
    /// The first of them.
    first: usize,
    /// The earliest and the latest of their times.
    earliest: i64,
    latest: i64,
}

impl Pending {
    /// None, from this one on.
    fn from(first: usize) -> Pending {
        Pending { first, earliest: i64::MAX, latest: i64::MIN }
    }
}

/// What is known of flows.
#[derive(Debug)]
struct Tracker {
    flows: FlowTable,
    streams: Option<Streams>,
    /// Which flows' triggers are not to be raised.
    suppressions: Suppressions,
    /// Packets that were decided before.
    before: u64,
}

/// What became of one trigger's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TriggerCount {
    /// Packets for which its `when` held:
    /// `raised + extended + vetoed + suppressed + full + unkeyed`.
    pub held: u64,
    /// It was not active for the key and is now.
    pub raised: u64,
    /// It was active already.
    pub extended: u64,
    /// Its `unless` held, too.
    pub vetoed: u64,
    /// The key is suppressed.
    pub suppressed: u64,
    /// All keys that there is room for are active.
    pub full: u64,
    /// The packet has no key: it lacks the field, or belongs to no flow.
    pub unkeyed: u64,
}

/// Something that a packet does to a trigger.
#[derive(Debug, Clone, Copy)]
pub struct TriggerEvent<'a> {
    /// Which trigger, by its place in the program.
    pub trigger: usize,
    /// For which key; none for a trigger by flow.
    pub key: Option<&'a [KeyValue<'a>]>,
    /// What it did.
    pub outcome: Outcome,
    /// Which packet of those that are decided.
    pub at: usize,
    /// The packet.
    pub packet: &'a Packet<'a>,
    /// What is known of it, with what windows say.
    pub seen: PacketContext<'a>,
}

/// Who hears of what packets do to triggers.
pub type Observe<'a> = &'a mut dyn FnMut(&TriggerEvent<'_>);

/// What a decider counted of flows and streams.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackCounts {
    /// Of flows.
    pub flows: FlowCounts,
    /// Of what streams contain; none when no rule asks.
    pub streams: Option<StreamCounts>,
    /// Bytes of memory that they take.
    pub memory: usize,
    /// Packets that were decided before anybody asked for flows.
    pub before: u64,
}

impl Decider {
    /// A worker for this program, which decides at most `capacity` packets at a time.
    ///
    /// # Errors
    /// [`Error::Streams`]: the patterns that streams are searched for are too large together;
    /// [`Error::Memory`].
    pub fn new(policy: &Policy, limits: &Limits, capacity: usize) -> Result<Decider, Error> {
        let program = policy.program();
        let uses = program.uses();
        let streams = if Streams::looks(program) {
            Some(Streams::new(program, &limits.streams, limits.flows.flows)?)
        } else {
            None
        };
        let tracker = if uses.flows {
            let mut flows = FlowTable::try_new(&limits.flows)?;
            flows.tell(uses.numbers, uses.ids, policy.is_repeatable());
            Some(Tracker { flows, streams, suppressions: Suppressions::default(), before: 0 })
        } else {
            None
        };
        // What follows is bounded by the most stations, rules and triggers; where it is much, it is
        // asked for first.
        let _room: Vec<u8> = list(Decider::fixed_memory(program, capacity) as usize)?;
        drop(_room);
        let capacity = capacity.max(1);
        Ok(Decider {
            batch: Batch::new(program, capacity),
            bounds: policy.bounds().map(|bounds| Batch::new(bounds.program(), capacity)),
            sight: if uses.flows { BatchContext::new(program, capacity) } else { BatchContext::default() },
            scratch: Scratch::default(),
            tracker,
            evaluator: uses.triggers.then(|| Box::new(TriggerEvaluator::new(policy))),
        })
    }

    /// Bytes that a worker has for a program beside flows and streams: batches, sums by rule, what
    /// is known of packets.
    pub fn fixed_memory(program: &Program, capacity: usize) -> u64 {
        let (capacity, stations) = (capacity as u64, program.stations.len() as u64);
        let rules = (program.rules.len() + program.limits.len()) as u64;
        let found = (program.streams.len() as u64).div_ceil(64) * 8;
        let known = (size_of::<Head>() + size_of::<FlowView>()) as u64 + found;
        let triggers = program.triggers.len() as u64 * RAISED;
        capacity * (8 + stations * size_of::<Verdict>() as u64 + known) + rules * COUNTED + triggers
    }

    /// Decides packets, at most as many as it was made for; the verdicts are in the batch. The
    /// policy must be of the program that this was made for.
    pub fn decide(&mut self, policy: &Policy, packets: &[Packet]) -> &Batch {
        self.decide_and_tell(policy, packets, None)
    }

    /// The same, and tells what packets do to triggers.
    pub fn decide_and_tell(
        &mut self,
        policy: &Policy,
        packets: &[Packet],
        mut observer: Option<Observe<'_>>,
    ) -> &Batch {
        if self.tracker.is_none() && self.evaluator.is_none() {
            self.decide_part(policy, packets, 0..packets.len());
            return &self.batch;
        }
        if self.tracker.is_some() {
            self.sight.begin();
        }
        let mut pending = Pending::from(0);
        for (turn, few) in packets.chunks(TURN).enumerate() {
            let first = turn * TURN;
            if let Some(tracker) = &mut self.tracker {
                let heads = self.sight.heads.get_mut(first..).unwrap_or(&mut []);
                for (packet, head) in few.iter().zip(&mut *heads) {
                    dissect::dissect_into(packet, head);
                }
                tracker.flows.prepare(few, heads);
            }
            let ahead = self.evaluator.as_ref().map_or(1, |evaluator| evaluator.ahead());
            for (group, some) in few.chunks(ahead).enumerate() {
                let mut flows = [None; AHEAD];
                let start = group * ahead;
                for ((place, packet), flow) in (start..).zip(some).zip(&mut flows) {
                    if let Some(tracker) = &mut self.tracker {
                        *flow =
                            tracker.step(place, first + place, packet, policy.environment(), &mut self.sight);
                    }
                }
                let Some(evaluator) = &mut self.evaluator else { continue };
                let at = first + start;
                let looked = evaluator.probe(policy, &mut self.scratch, some, at, &self.sight);
                for ((i, packet), flow) in (at..).zip(some).zip(flows) {
                    if !looked {
                        self.look(policy, packets, i, &mut pending);
                    }
                    if self.evaluator.as_ref().is_some_and(|evaluator| evaluator.fires(i)) {
                        self.raise(policy, packets, i, flow, &mut pending, &mut observer);
                    }
                    pending.earliest = pending.earliest.min(packet.time);
                    pending.latest = pending.latest.max(packet.time);
                }
            }
        }
        self.decide_part(policy, packets, pending.first..packets.len());
        &self.batch
    }

    /// Looks at packet `i` by itself: if its keys may push out one that packets before it are
    /// decided by, those are first.
    fn look(&mut self, policy: &Policy, packets: &[Packet], i: usize, pending: &mut Pending) {
        let evaluator = self.evaluator.as_ref();
        let forgets = evaluator.is_some_and(|evaluator| evaluator.may_forget_since(policy, pending.earliest));
        if pending.first < i && forgets {
            self.decide_part(policy, packets, pending.first..i);
            *pending = Pending::from(i);
        }
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.look(policy, &mut self.scratch, packets, i, &self.sight);
        }
    }

    /// Raises what packet `i` raises. What triggers by flow leave active stands in each packet's
    /// own view. Those with keys are looked up when a packet is decided: before one of them
    /// changes, the packets that came before are.
    fn raise(
        &mut self,
        policy: &Policy,
        packets: &[Packet],
        i: usize,
        flow: Option<FlowId>,
        pending: &mut Pending,
        observer: &mut Option<Observe<'_>>,
    ) {
        let Some(packet) = packets.get(i) else { return };
        let Some(mut evaluator) = self.evaluator.take() else { return };
        let active = self.sight.flows.get(i).map_or(0, |view| view.active);
        let suppressions =
            self.tracker.as_ref().map_or(0, |t| t.suppressions.bits(&t.flows, flow, packet.time));
        let step =
            Step { at: i, packet, seen: PacketContext::of(&self.sight, i), flow, active, suppressions };
        if evaluator.changes(policy, step, pending.latest) {
            self.decide_part(policy, packets, pending.first..i);
            *pending = Pending::from(i);
        }
        let step =
            Step { at: i, packet, seen: PacketContext::of(&self.sight, i), flow, active, suppressions };
        let raised = evaluator.apply(policy, step, observer);
        if raised != 0
            && let (Some(flow), Some(tracker)) = (flow, &mut self.tracker)
            && let Some(view) = self.sight.flows.get_mut(i)
        {
            tracker.flows.raise(flow, raised);
            view.active |= raised;
        }
        self.evaluator = Some(evaluator);
    }

    fn decide_part(&mut self, policy: &Policy, packets: &[Packet], part: Range<usize>) {
        let (engine, environment) = (policy.engine(), policy.environment());
        engine.decide_part(
            environment,
            &mut self.scratch,
            packets,
            part.clone(),
            &self.sight,
            &mut self.batch,
        );
        if let (Some(bounds), Some(batch)) = (policy.bounds(), &mut self.bounds) {
            bounds.decide_part(environment, &mut self.scratch, packets, part, &self.sight, batch);
        }
    }

    /// What binding limits leave of each of the last packets: the verdicts of one station; none
    /// when the policy is not binding.
    pub fn bounds(&self) -> Option<&Batch> {
        self.bounds.as_ref()
    }

    /// The verdicts of the last packets.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What is known of packet `i` of the last ones; nothing when the program says nothing about
    /// flows.
    pub fn seen(&self, i: usize) -> PacketContext<'_> {
        PacketContext::of(&self.sight, i)
    }

    /// What became of each trigger, in the order of the program; empty when none has conditions.
    pub fn triggers(&self) -> &[TriggerCount] {
        self.evaluator.as_ref().map_or(&[], |evaluator| evaluator.counts())
    }

    /// What was counted of flows; none when the program says nothing about them.
    pub fn tracked(&self) -> Option<TrackCounts> {
        let Tracker { flows, streams, before, .. } = self.tracker.as_ref()?;
        let memory = flows.memory() + streams.as_ref().map_or(0, Streams::memory);
        let (flows, streams) = (flows.counts(), streams.as_ref().map(Streams::counts));
        Some(TrackCounts { flows, streams, memory, before: *before })
    }
}

impl Tracker {
    /// Takes packet `i` into its flow and its stream; gives its flow. Its place is that among the
    /// packets prepared.
    fn step(
        &mut self,
        place: usize,
        i: usize,
        packet: &Packet,
        environment: &Environment,
        sight: &mut BatchContext,
    ) -> Option<FlowId> {
        let (head, view) = (sight.heads.get_mut(i)?, sight.flows.get_mut(i)?);
        let observed = self.flows.observe(place, packet, head, view);
        let Some(streams) = &mut self.streams else { return observed.map(|o| o.flow) };
        self.flows.drain_ended(|flow| streams.forget(flow));
        let segment = self.flows.segment(&observed?, packet, head, view);
        let app = streams.observe(environment, i, &segment, sight);
        if let Some(view) = sight.flows.get_mut(i).filter(|view| view.app != app as u64) {
            view.app = app as u64;
            self.flows.set_app(segment.flow, app);
        }
        Some(segment.flow)
    }
}
