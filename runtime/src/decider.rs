//! One worker's way from packets to verdicts: dissect, update flows, look into streams, raise triggers, decide. Replay,
//! tests and live workers all go through it, so they cannot differ. The invariants: packets are taken in order, each once;
//! a program that says nothing about flows has no table of them and is decided a batch at a time; one whose triggers have
//! conditions is decided packet by packet, each with the states that it leaves.
//! (Rejected: engines that own this state; a new program takes over the flows of the old one.)

use crate::error::Error;
use crate::flow::{self, FlowCounts, FlowId, FlowTable};
use crate::stream::{StreamCounts, StreamLimits, Streams};
use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use mrule_compiler::engine::Engine;
use mrule_compiler::hir::{Program, Scope};
use mrule_compiler::sight::{Fired, Seen, Sight};
use mrule_compiler::wire;
use mrule_compiler::world::{Scratch, World};

/// How much is remembered.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Of flows.
    pub flows: flow::Limits,
    /// Of what streams contain.
    pub streams: StreamLimits,
}

/// How many packets are looked at before their flows are updated: enough for cache misses to overlap, and what is found in
/// them stays in the first cache.
const TURN: usize = 64;

/// A worker's state for one program.
#[derive(Debug)]
pub struct Decider {
    batch: Batch,
    sight: Sight,
    scratch: Scratch,
    tracker: Option<Tracker>,
    fired: Vec<Fired>,
    triggers: Vec<TriggerCount>,
    stepwise: bool,
}

/// What is known of flows.
#[derive(Debug)]
struct Tracker {
    flows: FlowTable,
    streams: Option<Streams>,
}

/// What became of one trigger's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TriggerCount {
    /// Packets for which its `when` held: `raised + extended + vetoed + unkeyed`.
    pub held: u64,
    /// It was not active for the key and is now.
    pub raised: u64,
    /// It was active already.
    pub extended: u64,
    /// Its `unless` held, too.
    pub vetoed: u64,
    /// The packet has no key: it belongs to no flow.
    pub unkeyed: u64,
}

/// What a decider counted of flows and streams.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackCounts {
    /// Of flows.
    pub flows: FlowCounts,
    /// Of what streams contain; none when no rule asks.
    pub streams: Option<StreamCounts>,
    /// Bytes of memory that they take.
    pub memory: usize,
}

impl Decider {
    /// A worker for this program, which decides at most `capacity` packets at a time.
    ///
    /// # Errors
    /// [`Error::Streams`]: the patterns that streams are searched for are too large together.
    pub fn new(program: &Program, limits: &Limits, capacity: usize) -> Result<Decider, Error> {
        let uses = program.uses();
        let looks_inside = uses.streams || uses.app || uses.http || uses.tls || uses.dns;
        let streams = if looks_inside {
            let made = Streams::new(program, &limits.streams, limits.flows.flows);
            Some(made.map_err(|too_large| Error::Streams(too_large.to_string()))?)
        } else {
            None
        };
        let tracker = uses.flows.then(|| Tracker { flows: FlowTable::new(&limits.flows), streams });
        let capacity = capacity.max(1);
        Ok(Decider {
            batch: Batch::new(program, capacity),
            sight: if uses.flows { Sight::new(program, capacity) } else { Sight::default() },
            scratch: Scratch::default(),
            tracker,
            fired: vec![Fired::No; program.triggers.len()],
            triggers: vec![TriggerCount::default(); program.triggers.len()],
            stepwise: uses.triggers,
        })
    }

    /// Decides packets, at most as many as it was made for; the verdicts are in the batch. Engine and world must be of the
    /// same program.
    pub fn decide(&mut self, engine: &Engine, world: &World, packets: &[Packet]) -> &Batch {
        let Some(tracker) = &mut self.tracker else {
            engine.decide(world, &mut self.scratch, packets, &self.sight, &mut self.batch);
            return &self.batch;
        };
        self.sight.begin();
        for (turn, few) in packets.chunks(TURN).enumerate() {
            let first = turn * TURN;
            let heads = self.sight.heads.get_mut(first..).unwrap_or(&mut []);
            for (packet, head) in few.iter().zip(&mut *heads) {
                wire::dissect_into(packet, head);
            }
            tracker.flows.prepare(few, heads);
            for (place, packet) in few.iter().enumerate() {
                let i = first + place;
                let flow = tracker.step(place, i, packet, world, &mut self.sight);
                if !self.stepwise {
                    continue;
                }
                let seen = Seen { sight: &self.sight, at: i };
                engine.fire(world, &mut self.scratch, packet, seen, &mut self.fired);
                let active = self.sight.flows.get(i).map_or(0, |view| view.active);
                let raised = apply(engine.program(), &self.fired, &mut self.triggers, flow, active);
                if let (Some(flow), Some(view)) = (flow, self.sight.flows.get_mut(i))
                    && raised != 0
                {
                    tracker.flows.raise(flow, raised);
                    view.active |= raised;
                }
            }
        }
        // What triggers by flow leave active stands in each packet's own view, so all can be decided at once.
        engine.decide(world, &mut self.scratch, packets, &self.sight, &mut self.batch);
        &self.batch
    }

    /// The verdicts of the last packets.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What is known of packet `i` of the last ones; nothing when the program says nothing about flows.
    pub fn seen(&self, i: usize) -> Seen<'_> {
        Seen { sight: &self.sight, at: i }
    }

    /// What became of each trigger, in the order of the program.
    pub fn triggers(&self) -> &[TriggerCount] {
        &self.triggers
    }

    /// What was counted of flows; none when the program says nothing about them.
    pub fn tracked(&self) -> Option<TrackCounts> {
        let Tracker { flows, streams } = self.tracker.as_ref()?;
        let memory = flows.memory() + streams.as_ref().map_or(0, Streams::memory);
        Some(TrackCounts { flows: flows.counts(), streams: streams.as_ref().map(Streams::counts), memory })
    }
}

/// Counts what fired and gives the bits of the flow's triggers that are raised.
fn apply(
    program: &Program,
    fired: &[Fired],
    counts: &mut [TriggerCount],
    flow: Option<FlowId>,
    active: u64,
) -> u64 {
    let mut raised = 0;
    for ((trigger, fired), count) in program.triggers.iter().zip(fired).zip(counts) {
        let Scope::Flow(bit) = trigger.scope else { continue };
        if *fired == Fired::No {
            continue;
        }
        count.held += 1;
        match (fired, flow) {
            (Fired::Vetoed, _) => count.vetoed += 1,
            (_, None) => count.unkeyed += 1,
            (_, Some(_)) if active & 1 << bit != 0 => count.extended += 1,
            (_, Some(_)) => {
                count.raised += 1;
                raised |= 1 << bit;
            }
        }
    }
    raised
}

impl Tracker {
    /// Takes packet `i` into its flow and its stream; gives its flow. Its place is that among the packets prepared.
    fn step(
        &mut self,
        place: usize,
        i: usize,
        packet: &Packet,
        world: &World,
        sight: &mut Sight,
    ) -> Option<FlowId> {
        let (head, view) = (sight.heads.get_mut(i)?, sight.flows.get_mut(i)?);
        let segment = self.flows.observe(place, packet, head, view);
        let Some(streams) = &mut self.streams else { return segment.map(|s| s.flow) };
        self.flows.drain_ended(|flow| streams.forget(flow));
        let segment = segment?;
        let app = streams.observe(world, i, &segment, sight);
        if let Some(view) = sight.flows.get_mut(i).filter(|view| view.app != app as u64) {
            view.app = app as u64;
            self.flows.set_app(segment.flow, app);
        }
        Some(segment.flow)
    }
}
