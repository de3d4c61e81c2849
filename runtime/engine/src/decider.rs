//! One worker's path from packets to verdicts: dissect, update flows, search streams, raise
//! triggers, decide. Replay, tests and live workers use the same decider, so they cannot differ.
//! Invariants: packets are taken in order, once each. A packet is decided with the states after it.
//! A program that does not use flows has no flow table, and a program whose triggers have no
//! conditions is decided a batch at a time. (Rejected: engines that own this state; a new program
//! takes over the flows of the old program, see `migration`.)
//!
//! ```text
//!  64 packets: dissect, prepare flows
//!    |  up to 8 of them: flow, stream, probe keys and events
//!    v
//!  evaluated together? --no--> may evict? --yes--> decide pending --+
//!    | yes                       | no                               |
//!    |                           v                                  v
//!    |                         evaluate one packet <----------------+
//!    v                           |
//!  conditions hold? <------------+
//!    | no  +--yes--> reaches pending? --yes--> decide pending --+
//!    |                 | no                                     |
//!    |                 v                                        v
//!    |               apply: states change, observer hears <-----+
//!    v                 v
//!  pending ----end of batch----> decide pending
//! ```

use crate::error::Error;
use crate::flow::{self, FlowCounts, FlowId, FlowTable};
use crate::memory::list;
use crate::policy::Policy;
use crate::stream::{StreamCounts, StreamLimits, Streams};
use crate::trigger::{AHEAD, Outcome};
use mrule_compiler::abi::{FlowView, Head, Packet, Verdict, bit};
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
mod pending;
mod raise;

use flow_control::Suppressions;
pub use flow_control::{NAMED, active, bit_of};
pub use migration::{Migration, streams_begin_anew};
pub use observer::Observer;
use pending::Pending;
use raise::{Step, TriggerEvaluator};

/// How much a decider remembers.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Limits of the flow table.
    pub flows: flow::Limits,
    /// Limits of the contents of streams.
    pub streams: StreamLimits,
}

/// Bytes of a rule's or limit's sums in a worker: its counters here, and its totals with its name.
const COUNTED: u64 = 160;
/// Bytes of a trigger's sums and of its per-packet results, in a worker.
const RAISED: u64 = 2048;

/// Number of packets that are prepared before their flows are updated: enough for cache misses to
/// overlap, and few enough for their data to stay in the first-level cache.
const TURN: usize = 64;

/// A worker's state for one program.
#[derive(Debug)]
pub struct Decider {
    batch: Batch,
    /// What the limits of a binding policy leave of each packet.
    bounds: Option<Batch>,
    context: BatchContext,
    scratch: Scratch,
    tracker: Option<Tracker>,
    /// `None` when no trigger has conditions.
    evaluator: Option<Box<TriggerEvaluator>>,
}

/// What a worker knows about flows.
#[derive(Debug)]
struct Tracker {
    flows: FlowTable,
    streams: Option<Streams>,
    /// The triggers that are suppressed for single flows.
    suppressions: Suppressions,
    /// Packets that the policy decided before it tracked flows.
    before: u64,
}

crate::counters! {
    /// Effects of packets on one trigger.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct TriggerCount {
        /// Packets for which the trigger's `when` held: `raised + extended + vetoed + suppressed +
        /// full + unkeyed`.
        pub held: u64,
        /// The trigger was not active for the key, and became active.
        pub raised: u64,
        /// The trigger was active already.
        pub extended: u64,
        /// The trigger's `unless` held, too.
        pub vetoed: u64,
        /// The key is suppressed.
        pub suppressed: u64,
        /// There was no room: all remembered keys are active.
        pub full: u64,
        /// The packet has no key: it lacks the field, or belongs to no flow.
        pub unkeyed: u64,
    }
}

/// An effect of a packet on a trigger.
#[derive(Debug, Clone, Copy)]
pub struct TriggerEvent<'a> {
    /// The trigger's place in the program.
    pub trigger: usize,
    /// The key. `None` for a trigger with the key `flow`.
    pub key: Option<&'a [KeyValue<'a>]>,
    /// The outcome.
    pub outcome: Outcome,
    /// The packet's place in the batch.
    pub at: usize,
    /// The packet.
    pub packet: &'a Packet<'a>,
    /// What is known about the packet, with the values of windows.
    pub seen: PacketContext<'a>,
}

/// A callback for the effects of packets on triggers.
pub type Observe<'a> = &'a mut dyn FnMut(&TriggerEvent<'_>);

crate::counters! {
    /// What a decider counted of flows and streams.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct TrackCounts {
        /// Counters of flows.
        pub flows: FlowCounts,
        /// Counters of the contents of streams. `None`: no rule asks for them.
        pub streams: Option<StreamCounts>,
        /// The memory of flows and streams, in bytes.
        pub memory: usize,
        /// Packets that were decided before the policy tracked flows.
        pub before: u64,
    }
}

impl Decider {
    /// A worker for this program that decides at most `capacity` packets at a time.
    ///
    /// # Errors
    /// [`Error::Streams`]: the patterns that streams are searched for exceed a limit together;
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
        // The rest is bounded by the greatest number of stations, rules and triggers. It can be
        // large, so the code first asks whether there is memory for it.
        let _room: Vec<u8> = list(Decider::fixed_memory(program, capacity) as usize)?;
        drop(_room);
        let capacity = capacity.max(1);
        Ok(Decider {
            batch: Batch::new(program, capacity),
            bounds: policy.bounds().map(|bounds| Batch::new(bounds.program(), capacity)),
            context: if uses.flows { BatchContext::new(program, capacity) } else { BatchContext::default() },
            scratch: Scratch::default(),
            tracker,
            evaluator: uses.triggers.then(|| Box::new(TriggerEvaluator::new(policy))),
        })
    }

    /// Memory of a worker beside flows and streams, in bytes: batches, sums by rule, and per-packet
    /// data.
    pub(crate) fn fixed_memory(program: &Program, capacity: usize) -> u64 {
        let (capacity, stations) = (capacity as u64, program.stations.len() as u64);
        let rules = (program.rules.len() + program.limits.len()) as u64;
        let found = (program.streams.len() as u64).div_ceil(64) * 8;
        let known = (size_of::<Head>() + size_of::<FlowView>()) as u64 + found;
        let triggers = program.triggers.len() as u64 * RAISED;
        capacity * (8 + stations * size_of::<Verdict>() as u64 + known) + rules * COUNTED + triggers
    }

    /// Decides packets, at most `capacity` of them. The returned batch has the verdicts. The policy
    /// must have the program that this decider was made for.
    pub fn decide(&mut self, policy: &Policy, packets: &[Packet]) -> &Batch {
        self.decide_and_tell(policy, packets, None)
    }

    /// Like [`decide`](Self::decide), and calls `observer` for the effects of packets on triggers.
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
            self.context.begin();
        }
        let mut pending = Pending::from(0);
        for (turn, few) in packets.chunks(TURN).enumerate() {
            let first = turn * TURN;
            if let Some(tracker) = &mut self.tracker {
                let heads = self.context.heads.get_mut(first..).unwrap_or(&mut []);
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
                        *flow = tracker.step(
                            place,
                            first + place,
                            packet,
                            policy.environment(),
                            &mut self.context,
                        );
                    }
                }
                let Some(evaluator) = &mut self.evaluator else { continue };
                let at = first + start;
                let looked = evaluator.probe(policy, &mut self.scratch, some, at, &self.context);
                for ((i, packet), flow) in (at..).zip(some).zip(flows) {
                    if !looked {
                        self.look(policy, packets, i, &mut pending);
                    }
                    if self.evaluator.as_ref().is_some_and(|evaluator| evaluator.fires(i)) {
                        self.raise(policy, packets, i, flow, &mut pending, &mut observer);
                    }
                    pending.push(packet.time);
                }
            }
        }
        self.decide_part(policy, packets, pending.rest(packets.len()));
        &self.batch
    }

    /// Evaluates packet `i` alone. If its keys may evict a key that earlier packets are decided by,
    /// those packets are decided first.
    fn look(&mut self, policy: &Policy, packets: &[Packet], i: usize, pending: &mut Pending) {
        let Some(mut evaluator) = self.evaluator.take() else { return };
        let evicts = evaluator.may_forget_since(policy, pending.earliest());
        let settled = pending.before(i, evicts, |part| self.decide_part(policy, packets, part));
        evaluator.look(settled, policy, &mut self.scratch, packets, i, &self.context);
        self.evaluator = Some(evaluator);
    }

    /// Raises the triggers of packet `i`. Active triggers with the key `flow` stand in each
    /// packet's own view. Triggers with other keys are looked up when a packet is decided: before
    /// such a trigger changes, all earlier packets are decided.
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
        let active = self.context.flows.get(i).map_or(0, |view| view.active);
        let suppressions =
            self.tracker.as_ref().map_or(0, |t| t.suppressions.bits(&t.flows, flow, packet.time));
        let step =
            Step { at: i, packet, seen: PacketContext::of(&self.context, i), flow, active, suppressions };
        let changes = evaluator.changes(policy, step, pending.latest());
        let settled = pending.before(i, changes, |part| self.decide_part(policy, packets, part));
        let step =
            Step { at: i, packet, seen: PacketContext::of(&self.context, i), flow, active, suppressions };
        let raised = evaluator.apply(settled, policy, step, observer);
        if raised != 0
            && let (Some(flow), Some(tracker)) = (flow, &mut self.tracker)
            && let Some(view) = self.context.flows.get_mut(i)
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
            &self.context,
            &mut self.batch,
        );
        if let (Some(bounds), Some(batch)) = (policy.bounds(), &mut self.bounds) {
            bounds.decide_part(environment, &mut self.scratch, packets, part, &self.context, batch);
        }
    }

    /// The verdicts of one station: what the limits of a binding policy leave of each packet of the
    /// last batch. `None`: the policy is not binding.
    pub fn bounds(&self) -> Option<&Batch> {
        self.bounds.as_ref()
    }

    /// The verdicts of the last batch.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What is known about packet `i` of the last batch; empty when the program does not use flows.
    pub fn seen(&self, i: usize) -> PacketContext<'_> {
        PacketContext::of(&self.context, i)
    }

    /// Effects of packets on each trigger, in the order of the program; empty when no trigger has
    /// conditions.
    pub fn triggers(&self) -> &[TriggerCount] {
        self.evaluator.as_ref().map_or(&[], |evaluator| evaluator.counts())
    }

    /// Counters of flows. `None`: the program does not use flows.
    pub fn tracked(&self) -> Option<TrackCounts> {
        let Tracker { flows, streams, before, .. } = self.tracker.as_ref()?;
        let memory = flows.memory() + streams.as_ref().map_or(0, Streams::memory);
        let (flows, streams) = (flows.counts(), streams.as_ref().map(Streams::counts));
        Some(TrackCounts { flows, streams, memory, before: *before })
    }
}

impl Tracker {
    /// Takes packet `i` into its flow and its stream. Returns its flow. `place` is its place among
    /// the prepared packets.
    fn step(
        &mut self,
        place: usize,
        i: usize,
        packet: &Packet,
        environment: &Environment,
        context: &mut BatchContext,
    ) -> Option<FlowId> {
        let (head, view) = (context.heads.get_mut(i)?, context.flows.get_mut(i)?);
        let observed = self.flows.observe(place, packet, head, view);
        let Some(streams) = &mut self.streams else { return observed.map(|o| o.flow) };
        self.flows.drain_ended(|flow| streams.forget(flow));
        let segment = self.flows.segment(&observed?, packet, head, view);
        let app = streams.observe(environment, i, &segment, context);
        if let Some(client) = streams.client(&segment) {
            self.flows.set_client(segment.flow, client);
            let (head, view) = (context.heads.get_mut(i)?, context.flows.get_mut(i)?);
            view.client_known = 1;
            if segment.from_client != (client == segment.end) {
                head.outer.bits ^= bit::FROM_CLIENT | bit::FROM_SERVER;
                std::mem::swap(&mut view.client_packets, &mut view.server_packets);
                std::mem::swap(&mut view.client_bytes, &mut view.server_bytes);
            }
        }
        if let Some(view) = context.flows.get_mut(i).filter(|view| view.app != app as u64) {
            view.app = app as u64;
            self.flows.set_app(segment.flow, app);
        }
        Some(segment.flow)
    }
}
