//! Triggers for one packet after the other: what the packet is to each, what their windows then say, which are raised, and
//! what comes of it. The invariants: every `when` and `unless` sees the states before the packet, its windows with the packet;
//! for each trigger `held = raised + extended + vetoed + suppressed + full + unkeyed`.
//! (Rejected: applying one trigger before the next is asked, which would make their order matter.)

use super::{Hear, TriggerCount, TriggerEvent};
use crate::flow::FlowId;
use crate::policy::Policy;
use crate::trigger::Outcome;
use mrule_compiler::abi::{Head, MAX_KEY, OwnKeyWords, Packet};
use mrule_compiler::fields::Facet;
use mrule_compiler::helpers;
use mrule_compiler::hir::{Bytes, Key, MAX_WINDOW, Program, Scope, TriggerId};
use mrule_compiler::sight::{Fired, Probe, Seen};
use mrule_compiler::table::KeyValue;
use mrule_compiler::world::Scratch;

/// What one worker needs to raise triggers.
#[derive(Debug)]
pub(super) struct Raiser {
    /// Per trigger.
    plans: Vec<Plan>,
    /// How many have windows.
    counting: usize,
    /// Some trigger has a condition and a key or windows: packets must be probed, and windows kept.
    keyed: bool,
    probe: Probe,
    /// Some key has bytes: what is in the packet at hand is needed to read them.
    reads: bool,
    head: Head,
    /// Per window of the program: what it says.
    values: Vec<u64>,
    fired: Vec<Fired>,
    counts: Vec<TriggerCount>,
}

/// How a trigger's key and windows are put together.
#[derive(Debug)]
struct Plan {
    scope: Of,
    /// Its key is the flow's number, which says nothing outside.
    by_flow: bool,
    /// For each form of its key, what each part is.
    forms: Vec<Vec<Part>>,
    /// Which windows of the program are its.
    windows: Vec<usize>,
    /// It has windows: whether the packet's key is active, before the packet.
    active: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The flow, by this bit.
    Flow(u32),
    /// A key.
    Key,
    /// Raised only from outside.
    Outside,
}

/// What a part of a key is; what the engine does not write is read here.
#[derive(Debug)]
enum Part {
    Num,
    V4,
    V6,
    Bytes(Bytes),
    Facet(Facet),
}

/// A key made of a packet.
type Made<'a> = ([KeyValue<'a>; MAX_KEY], usize);

/// Where a packet stands: what [`Raiser`] needs to know of it.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub at: usize,
    pub packet: &'a Packet<'a>,
    pub seen: Seen<'a>,
    pub flow: Option<FlowId>,
    /// Triggers by flow that are active.
    pub active: u64,
    /// Those that are suppressed for the flow.
    pub quiet: u64,
}

impl Raiser {
    /// Room for a program's triggers.
    pub(super) fn new(program: &Program) -> Raiser {
        let plan = |(at, trigger): (usize, &mrule_compiler::hir::Trigger)| Plan {
            scope: match (&trigger.scope, &trigger.when) {
                (_, None) => Of::Outside,
                (Scope::Flow(bit), _) => Of::Flow(*bit),
                (Scope::Keys(_), _) => Of::Key,
            },
            by_flow: trigger.is_by_flow(),
            forms: trigger.own.iter().map(|form| form.key.iter().map(part).collect()).collect(),
            windows: program.windows_of(TriggerId(at as u32)).map(|(id, _)| id.index()).collect(),
            active: false,
        };
        let plans: Vec<Plan> = program.triggers.iter().enumerate().map(plan).collect();
        let bytes = |plan: &Plan| plan.forms.iter().flatten().any(|part| matches!(part, Part::Bytes(_)));
        Raiser {
            reads: plans.iter().any(bytes),
            head: Head::default(),
            counting: plans.iter().filter(|plan| !plan.windows.is_empty()).count(),
            plans,
            keyed: program.uses().keyed,
            probe: Probe::new(program),
            values: vec![0; program.windows.len()],
            fired: vec![Fired::No; program.triggers.len()],
            counts: vec![TriggerCount::default(); program.triggers.len()],
        }
    }

    /// Goes on counting where others left off.
    pub(super) fn count_from(&mut self, before: impl Iterator<Item = TriggerCount>) {
        for (count, before) in self.counts.iter_mut().zip(before) {
            *count = before;
        }
    }

    /// What became of each trigger.
    pub(super) fn counts(&self) -> &[TriggerCount] {
        &self.counts
    }

    /// Whether the next packet's key may push out one that packets from this time on are decided by: those must be first.
    pub(super) fn may_forget(&self, policy: &Policy, since: i64) -> bool {
        let counts = |(_, plan): &(usize, &Plan)| !plan.windows.is_empty();
        let mut plans = self.plans.iter().enumerate().filter(counts);
        plans.any(|(at, _)| policy.triggers().may_forget(at, since))
    }

    /// Finds out what a packet raises: its windows are moved on, nothing is raised yet. True when raising may change what
    /// packets before this one, with times up to `latest`, are decided by.
    pub(super) fn look(
        &mut self,
        policy: &Policy,
        scratch: &mut Scratch,
        step: Step<'_>,
        latest: i64,
    ) -> bool {
        let (engine, world) = (policy.engine(), policy.world());
        if self.keyed {
            engine.probe(world, scratch, step.packet, step.seen, &mut self.probe);
            if self.reads {
                self.head = step.seen.head_of(step.packet);
            }
            self.observe(policy, step);
        }
        engine.fire(world, scratch, step.packet, step.seen.with_windows(&self.values), &mut self.fired);
        let now = step.packet.time;
        let changes = |((at, plan), fired): ((usize, &Plan), &Fired)| {
            plan.scope == Of::Key
                && *fired == Fired::Raised
                && (latest > now || !self.is_active(policy, at, plan, step))
        };
        self.plans.iter().enumerate().zip(&self.fired).any(changes)
    }

    /// Whether a trigger is active for the packet's key before the packet; one without a key has nothing that could change.
    fn is_active(&self, policy: &Policy, at: usize, plan: &Plan, step: Step<'_>) -> bool {
        match key(plan, self.probe.keys.get(at), &self.head, step) {
            None => true,
            Some(_) if !plan.windows.is_empty() => plan.active,
            Some((key, parts)) => policy.triggers().active(at, &key[..parts], step.packet.time),
        }
    }

    /// Takes the packet's events into the windows of its keys.
    fn observe(&mut self, policy: &Policy, step: Step<'_>) {
        let (triggers, now) = (policy.triggers(), step.packet.time);
        // All keys' rows come from memory side by side: a lock, as each takes, waits for what was asked before it.
        if self.counting > 1 {
            for (at, plan) in self.plans.iter().enumerate().filter(|(_, plan)| !plan.windows.is_empty()) {
                if let Some((key, parts)) = key(plan, self.probe.keys.get(at), &self.head, step) {
                    triggers.hint(at, &key[..parts]);
                }
            }
        }
        let mut events = [None; WINDOWS];
        let mut told = [0; WINDOWS];
        for (at, plan) in self.plans.iter_mut().enumerate() {
            if plan.windows.is_empty() {
                continue;
            }
            let made = key(plan, self.probe.keys.get(at), &self.head, step);
            for (event, window) in events.iter_mut().zip(&plan.windows) {
                *event = self.probe.events.get(*window).filter(|e| e.counts != 0).map(|e| e.amount);
            }
            let count = plan.windows.len().min(WINDOWS);
            told[..count].fill(0);
            plan.active = made.is_some_and(|(key, parts)| {
                triggers.observe(at, &key[..parts], now, &events[..count], &mut told[..count])
            });
            for (window, told) in plan.windows.iter().zip(told) {
                if let Some(value) = self.values.get_mut(*window) {
                    *value = told.min(MAX_WINDOW);
                }
            }
        }
    }

    /// Applies what [`Raiser::look`] found, and tells `hear` of it; gives the triggers by flow that are raised, one bit each.
    pub(super) fn apply(&mut self, policy: &Policy, step: Step<'_>, hear: &mut Option<Hear<'_>>) -> u64 {
        let mut raised = 0;
        let plans = self.plans.iter().enumerate().zip(&self.fired).zip(&mut self.counts);
        for (((at, plan), fired), count) in plans {
            if *fired == Fired::No || plan.scope == Of::Outside {
                continue;
            }
            count.held += 1;
            let made = key(plan, self.probe.keys.get(at), &self.head, step);
            let outcome = match (plan.scope, &made, step.flow) {
                (Of::Flow(_), _, None) | (Of::Key, None, _) => None,
                (Of::Flow(bit), _, Some(_)) => Some(match fired {
                    Fired::Vetoed => Outcome::Vetoed,
                    _ if step.quiet & 1 << bit != 0 => Outcome::Suppressed,
                    _ if step.active & 1 << bit != 0 => Outcome::Extended,
                    _ => {
                        raised |= 1 << bit;
                        Outcome::Raised
                    }
                }),
                (_, Some((key, parts)), _) => {
                    Some(policy.triggers().apply(at, &key[..*parts], step.packet.time, *fired))
                }
                (Of::Outside, None, _) => None,
            };
            count.take(outcome, *fired);
            if let (Some(hear), Some(outcome)) = (hear.as_mut(), outcome) {
                let key = made.as_ref().filter(|_| !plan.by_flow).map(|(key, parts)| &key[..*parts]);
                let seen = step.seen.with_windows(&self.values);
                hear(&TriggerEvent { trigger: at, key, outcome, at: step.at, packet: step.packet, seen });
            }
        }
        raised
    }
}

/// The most windows of one trigger that are kept; the checker allows no more.
const WINDOWS: usize = mrule_compiler::hir::MAX_TRIGGER_WINDOWS;

impl TriggerCount {
    fn take(&mut self, outcome: Option<Outcome>, fired: Fired) {
        match (outcome, fired) {
            (Some(Outcome::Raised), _) => self.raised += 1,
            (Some(Outcome::Extended), _) => self.extended += 1,
            (Some(Outcome::Suppressed), _) => self.suppressed += 1,
            (Some(Outcome::Full), _) => self.full += 1,
            (Some(Outcome::Vetoed), _) | (_, Fired::Vetoed) => self.vetoed += 1,
            (Some(Outcome::Nothing) | None, _) => self.unkeyed += 1,
        }
    }
}

fn part(part: &Key) -> Part {
    match part {
        Key::Ipv4(_) => Part::V4,
        Key::Ipv6(_) => Part::V6,
        Key::Bytes(bytes) => Part::Bytes(bytes.clone()),
        Key::Facet(facet) => Part::Facet(*facet),
        // A constant is no part of a packet's own key.
        Key::Num(_) | Key::Text(_) => Part::Num,
    }
}

/// The key that a packet has for a trigger.
fn key<'a>(plan: &Plan, words: Option<&OwnKeyWords>, head: &Head, step: Step<'a>) -> Option<Made<'a>> {
    let words = words?;
    let form = plan.forms.get(usize::try_from(words.form).ok()?.checked_sub(1)?)?;
    let mut key = [KeyValue::Num(0); MAX_KEY];
    for ((value, part), [high, low]) in key.iter_mut().zip(form).zip(words.parts) {
        *value = match part {
            Part::Num => KeyValue::Num(low),
            Part::V4 => KeyValue::V4(low as u32),
            Part::V6 => KeyValue::V6(u128::from(high) << 64 | u128::from(low)),
            Part::Bytes(bytes) => KeyValue::Bytes(helpers::bytes(step.packet, head, bytes)?),
            Part::Facet(facet) => helpers::first_facet(step.seen, *facet)?,
        };
    }
    Some((key, form.len()))
}
