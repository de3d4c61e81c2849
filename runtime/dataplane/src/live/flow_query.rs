//! Queries to a worker about flows, and the answers: one flow by its whole name at once, all flows
//! in slices between batches. Invariant: a slice looks at a fixed number of places, so that packets
//! never wait for a query; a query is dropped when no caller waits for it any more. (Rejected: a
//! lock on the flow table; each packet would take it.)

use super::slot::PolicySlot;
use mrule_compiler::hir::{Program, TriggerId};
use mrule_engine::change::{Effect, FlowAct, FlowRefusal};
use mrule_engine::decider::{NAMED, bit_of};
use mrule_engine::flow::{FlowAbout, FlowId, FlowName, Slice};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

/// Number of places of the table that a worker looks at between two passes: some tens of
/// microseconds.
const SLICE: usize = 2048;

/// The measure by which flows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes, of both directions.
    Bytes,
    /// Packets, of both directions.
    Packets,
}

impl Measure {
    pub(super) fn of(self, (packets, bytes): (u64, u64)) -> u64 {
        match self {
            Measure::Bytes => bytes,
            Measure::Packets => packets,
        }
    }
}

/// A question about flows.
#[derive(Debug, Clone)]
pub enum Question {
    /// About the flow with exactly this name.
    About(FlowName),
    /// Which flows a name may mean; a few of them.
    Meant(FlowName),
    /// The largest flows, up to this number.
    Largest(Measure, usize),
    /// Changes a trigger for the flow with exactly this name.
    Act(FlowName, usize, FlowAct),
    /// Makes a trigger inactive for all flows.
    EndForAll(usize),
}

/// An answer of one worker, or the combined answer of all.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The flows in question.
    pub flows: Vec<FlowAbout>,
    /// The triggers that are suppressed for the flow, by place, with reason and end.
    pub suppressed: Vec<(usize, String, Option<i64>)>,
    /// The outcome of a change to the flow. `None`: the worker does not know the flow.
    pub effect: Option<Result<Effect, FlowRefusal>>,
    /// The number of flows for which a trigger became inactive.
    pub ended: u64,
    /// The policy had changed by then.
    pub changed: bool,
}

/// A query to a worker.
pub(super) struct FlowQuery {
    /// The number of the policy, and its program.
    pub id: u64,
    pub program: Arc<Program>,
    pub question: Question,
    pub now: i64,
    pub answer: Sender<Answer>,
    /// Lives as long as the caller waits.
    pub waits: Weak<()>,
}

/// Queries that take more than a moment.
#[derive(Default)]
pub(super) struct QueryQueue {
    waiting: VecDeque<FlowScan>,
}

/// A scan of all flows.
struct FlowScan {
    query: FlowQuery,
    from: usize,
    answer: Answer,
    /// The largest flows so far, the smallest of them on top.
    largest: BinaryHeap<Reverse<(u64, FlowId)>>,
}

impl QueryQueue {
    /// Whether queries wait.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a query, and answers it immediately if that takes only a moment.
    pub fn take(&mut self, query: FlowQuery, slots: &mut [PolicySlot]) {
        let mut answer = Answer::default();
        let Some(slot) = slot_of(slots, &query) else {
            let _nobody_waits = query.answer.send(Answer { changed: true, ..answer });
            return;
        };
        match &query.question {
            Question::About(name) => {
                if let Some(flows) = slot.decider.flows() {
                    answer.flows.extend(flows.find(name, query.now).and_then(|flow| flows.about(flow)));
                    answer.suppressed = slot.decider.suppressed(&slot.policy, name, query.now);
                }
            }
            Question::Act(name, trigger, act) => {
                let trigger = TriggerId(*trigger as u32);
                answer.effect = slot.decider.act_on(&slot.policy, query.now, name, trigger, act);
            }
            Question::Meant(_) | Question::Largest(..) | Question::EndForAll(_) => {
                let largest = BinaryHeap::new();
                self.waiting.push_back(FlowScan { query, from: 0, answer, largest });
                return;
            }
        }
        let _nobody_waits = query.answer.send(answer);
    }

    /// Continues the first waiting query by one step.
    pub fn step(&mut self, slots: &mut [PolicySlot]) {
        let Some(mut walk) = self.waiting.pop_front() else { return };
        if walk.query.waits.strong_count() == 0 {
            return;
        }
        let Some(slot) = slot_of(slots, &walk.query) else {
            let _nobody_waits = walk.query.answer.send(Answer { changed: true, ..walk.answer });
            return;
        };
        match walk.step(slot) {
            Slice::More(from) => {
                walk.from = from;
                self.waiting.push_front(walk);
            }
            Slice::End => {
                let _nobody_waits = walk.query.answer.send(walk.answer);
            }
        }
    }
}

fn slot_of<'s>(slots: &'s mut [PolicySlot], query: &FlowQuery) -> Option<&'s mut PolicySlot> {
    let slot = slots.iter_mut().find(|slot| slot.id == query.id)?;
    Arc::ptr_eq(slot.policy.program(), &query.program).then_some(slot)
}

impl FlowScan {
    fn step(&mut self, slot: &mut PolicySlot) -> Slice {
        let FlowScan { query, from, answer, largest } = self;
        let flows = slot.decider.flows();
        match (&query.question, flows) {
            (Question::Meant(name), Some(flows)) => flows.look(*from, SLICE, query.now, |flows, flow| {
                if answer.flows.len() < NAMED && flows.may_be(flow, name) {
                    answer.flows.extend(flows.about(flow));
                }
            }),
            (Question::Largest(by, limit), Some(flows)) => {
                let next = flows.look(*from, SLICE, query.now, |flows, flow| {
                    let size = by.of(flows.volume(flow));
                    if largest.len() < *limit {
                        largest.push(Reverse((size, flow)));
                    } else if let Some(mut least) = largest.peek_mut().filter(|least| least.0.0 < size) {
                        *least = Reverse((size, flow));
                    }
                });
                if matches!(next, Slice::End) {
                    // If another flow has taken the place meanwhile, the answer is about that flow.
                    let about = |flow: &Reverse<(u64, FlowId)>| flows.about(flow.0.1);
                    answer.flows = largest.iter().filter_map(about).collect();
                }
                next
            }
            (Question::EndForAll(trigger), Some(_)) => {
                let Some(bit) = bit_of(&query.program, *trigger) else { return Slice::End };
                let (ended, next) = slot.decider.end_for_all(bit, *from, SLICE, query.now);
                answer.ended += ended;
                next
            }
            (Question::About(_) | Question::Act(..), _) | (_, None) => Slice::End,
        }
    }
}

impl Answer {
    /// Adds another worker's answer.
    pub(super) fn add(&mut self, other: Answer) {
        self.flows.extend(other.flows);
        self.suppressed.extend(other.suppressed);
        self.effect = match (self.effect.take(), other.effect) {
            // Fragments may have reached two workers. Both then know the flow, and both made the
            // change.
            (Some(Ok(effect)), _) => Some(Ok(effect)),
            (mine, its) => its.or(mine),
        };
        self.ended += other.ended;
        self.changed |= other.changed;
    }

    /// Keeps the largest flows, the largest first.
    pub fn keep_largest(&mut self, by: Measure, limit: usize) {
        let size = |flow: &FlowAbout| by.of((flow.packets.iter().sum(), flow.bytes.iter().sum()));
        self.flows.sort_by_key(|flow| Reverse(size(flow)));
        self.flows.truncate(limit);
    }
}
