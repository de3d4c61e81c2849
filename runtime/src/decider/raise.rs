//! Triggers for one packet after the other: what the packet is to each, what their windows then say, which are raised, and
//! what comes of it. The invariants: every `when` and `unless` sees the states before the packet, its windows with the packet;
//! for each trigger `held = raised + extended + vetoed + suppressed + full + unkeyed`.
//! (Rejected: applying one trigger before the next is asked, which would make their order matter.)

use super::{Hear, TriggerCount, TriggerEvent};
use crate::flow::FlowId;
use crate::policy::Policy;
use crate::trigger::{Outcome, Spot};
use mrule_compiler::abi::{Head, MAX_KEY, Packet};
use mrule_compiler::fields::Facet;
use mrule_compiler::helpers;
use mrule_compiler::hir::{
    Bytes, Key, MAX_WINDOW, Pred, PredKind, Program, Scope, Trigger, TriggerId, WindowKind,
};
use mrule_compiler::sight::{Fired, Probe, Seen, Sight};
use mrule_compiler::table::KeyValue;
use mrule_compiler::world::Scratch;

/// What one worker needs to raise triggers.
#[derive(Debug)]
pub(super) struct Raiser {
    /// Per trigger.
    plans: Vec<Plan>,
    /// Some trigger has a condition and a key or windows: packets must be probed, and windows kept.
    keyed: bool,
    /// The packets that are probed together, the first of them being packet `first`.
    probed: Vec<Probed>,
    first: usize,
    /// Some key has bytes: what is in a packet is needed to read them.
    reads: bool,
    /// Per window of the program: what it says.
    values: Vec<u64>,
    fired: Vec<Fired>,
    counts: Vec<TriggerCount>,
}

/// What a packet is to triggers.
#[derive(Debug, Clone)]
struct Probed {
    probe: Probe,
    head: Head,
    /// Per trigger: where the state of its key is looked for.
    spots: Vec<Spot>,
}

/// How a trigger's key and windows are put together.
#[derive(Debug)]
struct Plan {
    scope: Of,
    /// Its key is the flow's number, which says nothing outside.
    by_flow: bool,
    /// For each form of its key, what each part is.
    forms: Vec<Vec<Part>>,
    /// The first trigger with windows whose key is the same of every packet: itself, where none before it is.
    like: usize,
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

/// Room for a key.
type Room<'a> = [KeyValue<'a>; MAX_KEY];

const ROOM: Room<'static> = [KeyValue::Num(0); MAX_KEY];

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
        let counts = |at: usize| program.windows_of(TriggerId(at as u32)).next().is_some();
        // Only those with windows have their spots found.
        let like = |trigger: &Trigger| {
            program.triggers.iter().enumerate().position(|(at, other)| other.own == trigger.own && counts(at))
        };
        let plan = |(at, trigger): (usize, &Trigger)| Plan {
            scope: match (&trigger.scope, &trigger.when) {
                (_, None) => Of::Outside,
                (Scope::Flow(bit), _) => Of::Flow(*bit),
                (Scope::Keys(_), _) => Of::Key,
            },
            by_flow: trigger.is_by_flow(),
            forms: trigger.own.iter().map(|form| form.key.iter().map(part).collect()).collect(),
            like: like(trigger).unwrap_or(at),
            windows: program.windows_of(TriggerId(at as u32)).map(|(id, _)| id.index()).collect(),
            active: false,
        };
        let plans: Vec<Plan> = program.triggers.iter().enumerate().map(plan).collect();
        let bytes = |plan: &Plan| plan.forms.iter().flatten().any(|part| matches!(part, Part::Bytes(_)));
        let spots = vec![Spot::default(); program.triggers.len()];
        let probed = Probed { probe: Probe::new(program), head: Head::default(), spots };
        Raiser {
            reads: plans.iter().any(bytes),
            plans,
            keyed: program.uses().keyed,
            probed: vec![probed; if may_look_ahead(program) { AHEAD } else { 1 }],
            first: 0,
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
        let (Some(probed), mut room) = (probed(&self.probed, self.first, step), ROOM) else { return true };
        match key(at, plan, probed, step.packet, step.seen, &mut room) {
            None => true,
            Some(_) if !plan.windows.is_empty() => plan.active,
            Some(key) => policy.triggers().active(at, key, step.packet.time),
        }
    }

    /// How many packets are probed together.
    pub(super) fn ahead(&self) -> usize {
        self.probed.len()
    }

    /// Finds out what the next packets, of which the first is packet `first`, are to triggers, and asks the memory for the
    /// states of all their keys, so that these come side by side: a lock, as each takes, waits for what was asked before it.
    pub(super) fn probe(
        &mut self,
        policy: &Policy,
        scratch: &mut Scratch,
        packets: &[Packet],
        first: usize,
        sight: &Sight,
    ) {
        self.first = first;
        if !self.keyed {
            return;
        }
        let (engine, world, triggers) = (policy.engine(), policy.world(), policy.triggers());
        for (i, (packet, probed)) in (first..).zip(packets.iter().zip(&mut self.probed)) {
            let (seen, mut room) = (Seen::of(sight, i), ROOM);
            engine.probe(world, scratch, packet, seen, &mut probed.probe);
            if self.reads {
                probed.head = seen.head_of(packet);
            }
            for (at, plan) in self.plans.iter().enumerate().filter(|(_, plan)| !plan.windows.is_empty()) {
                let like = probed.spots.get(plan.like).copied().filter(|_| plan.like < at);
                let spot = like.unwrap_or_else(|| {
                    key(at, plan, probed, packet, seen, &mut room)
                        .map_or(Spot::default(), |key| triggers.spot(at, key))
                });
                if let Some(place) = probed.spots.get_mut(at) {
                    *place = spot;
                }
                triggers.seek(at, spot);
            }
        }
        for probed in self.probed.iter().take(packets.len()) {
            for (at, (plan, spot)) in self.plans.iter().zip(&probed.spots).enumerate() {
                if !plan.windows.is_empty() {
                    triggers.hint(at, *spot);
                }
            }
        }
    }

    /// Takes the packet's events into the windows of its keys.
    fn observe(&mut self, policy: &Policy, step: Step<'_>) {
        let (triggers, now) = (policy.triggers(), step.packet.time);
        let Some(probed) = probed(&self.probed, self.first, step) else { return };
        // What is in the room: the parts of the key of the triggers that are like this one.
        let (mut room, mut made) = (ROOM, None);
        let mut events = [None; WINDOWS];
        let mut told = [0; WINDOWS];
        for (at, plan) in self.plans.iter_mut().enumerate() {
            if plan.windows.is_empty() {
                continue;
            }
            if made.is_none_or(|(like, _)| like != plan.like) {
                let parts = key(at, plan, probed, step.packet, step.seen, &mut room).map(<[_]>::len);
                made = Some((plan.like, parts));
            }
            let made = made.and_then(|(_, parts)| room.get(..parts?));
            let spot = probed.spots.get(at).copied().unwrap_or_default();
            for (event, window) in events.iter_mut().zip(&plan.windows) {
                *event = probed.probe.events.get(*window).filter(|e| e.counts != 0).map(|e| e.amount);
            }
            let count = plan.windows.len().min(WINDOWS);
            told[..count].fill(0);
            plan.active = made.is_some_and(|key| {
                triggers.observe_at(at, spot, key, now, &events[..count], &mut told[..count])
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
        let (mut raised, mut room) = (0, ROOM);
        let Some(probed) = probed(&self.probed, self.first, step) else { return 0 };
        let plans = self.plans.iter().enumerate().zip(&self.fired).zip(&mut self.counts);
        for (((at, plan), fired), count) in plans {
            if *fired == Fired::No || plan.scope == Of::Outside {
                continue;
            }
            count.held += 1;
            let made = key(at, plan, probed, step.packet, step.seen, &mut room);
            let outcome = match (plan.scope, made, step.flow) {
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
                (_, Some(key), _) => Some(policy.triggers().apply(at, key, step.packet.time, *fired)),
                (Of::Outside, None, _) => None,
            };
            count.take(outcome, *fired);
            if let (Some(hear), Some(outcome)) = (hear.as_mut(), outcome) {
                let key = made.filter(|_| !plan.by_flow);
                let seen = step.seen.with_windows(&self.values);
                hear(&TriggerEvent { trigger: at, key, outcome, at: step.at, packet: step.packet, seen });
            }
        }
        raised
    }
}

/// What a packet is to triggers, of those that are probed from packet `first` on.
fn probed<'p>(probed: &'p [Probed], first: usize, step: Step<'_>) -> Option<&'p Probed> {
    probed.get(step.at.checked_sub(first)?)
}

/// How many packets are probed together: so many that the rows of the first have come when the last is probed, so few that they stay in the
/// first cache.
pub(super) const AHEAD: usize = 8;

/// Whether what a packet is to triggers can be said before packets that come before it have raised theirs: no key and no
/// window asks whether a trigger is active, and no flow keeps one.
fn may_look_ahead(program: &Program) -> bool {
    let by_flow = |trigger: &Trigger| matches!(trigger.scope, Scope::Flow(_)) && trigger.when.is_some();
    let mut asks = false;
    let mut ask = |pred: &Pred| {
        pred.visit(&mut |pred| {
            asks |= matches!(pred.kind(), PredKind::Active { .. } | PredKind::FlowActive(_));
        });
    };
    for own in program.triggers.iter().flat_map(|trigger| &trigger.own) {
        ask(&own.when);
    }
    for window in &program.windows {
        ask(&window.when);
        if let WindowKind::Distinct(values) = &window.kind {
            values.iter().for_each(|value| ask(&value.when));
        }
    }
    !asks && !program.triggers.iter().any(by_flow)
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

/// The key that a packet has for trigger `at`, in this room: what is in it is written once, and only as far as the key goes.
#[inline(always)]
fn key<'k, 'a>(
    at: usize,
    plan: &Plan,
    probed: &Probed,
    packet: &'a Packet<'a>,
    seen: Seen<'a>,
    room: &'k mut Room<'a>,
) -> Option<&'k [KeyValue<'a>]> {
    let words = probed.probe.keys.get(at)?;
    let form = plan.forms.get(usize::try_from(words.form).ok()?.checked_sub(1)?)?;
    for ((value, part), [high, low]) in room.iter_mut().zip(form).zip(&words.parts) {
        *value = match part {
            Part::Num => KeyValue::Num(*low),
            Part::V4 => KeyValue::V4(*low as u32),
            Part::V6 => KeyValue::V6(u128::from(*high) << 64 | u128::from(*low)),
            Part::Bytes(bytes) => KeyValue::Bytes(helpers::bytes(packet, &probed.head, bytes)?),
            Part::Facet(facet) => helpers::first_facet(seen, *facet)?,
        };
    }
    room.get(..form.len())
}
