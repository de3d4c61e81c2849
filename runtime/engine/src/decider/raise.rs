//! Evaluates triggers: the events of a few packets, the values of their windows, which triggers are
//! raised, and the outcomes. Invariants: each `when` and `unless` sees the states before its
//! packet, and windows that include the packet. Several packets are evaluated before the first of
//! them raises a trigger only where no condition reads what it could change. For each trigger,
//! `held = raised + extended + vetoed + suppressed + full + unkeyed`. (Rejected: to apply one
//! trigger before the next is evaluated; their order would then matter.)

use super::key_extract::{ROOM, Room};
use super::key_group::{Counter, KeyGroup, ProbeBatch, TriggerOutputs};
use super::pending::Settled;
use super::{Observe, TriggerCount, TriggerEvent};
use crate::flow::FlowId;
use crate::policy::Policy;
use crate::trigger::{AHEAD, Moment, Outcome};
use mrule_compiler::abi::{Head, Packet};
use mrule_compiler::context::{BatchContext, Fired, PacketContext, Probe};
use mrule_compiler::environment::Scratch;
use mrule_compiler::hir::{OwnKey, Pred, PredKind, Program, Scope, Trigger, TriggerId, WindowKind};
use mrule_compiler::table::KeyValue;
use std::ops::Range;

/// What one worker needs to raise triggers. It keeps rows for the packets that were probed last, in
/// their order.
#[derive(Debug)]
pub(super) struct TriggerEvaluator {
    /// By trigger.
    plans: Vec<Plan>,
    /// By key, with the triggers that use it.
    groups: Vec<KeyGroup>,
    /// At least one trigger has a condition and a key or windows: packets must be probed, and
    /// windows kept.
    keyed: bool,
    /// `ahead`: how many packets may be probed together. `together`: whether their triggers may be
    /// evaluated before the first of them raises.
    ahead: usize,
    together: bool,
    /// The first packet that was probed.
    first: usize,
    /// By packet: its keys and events.
    probe: Probe,
    /// By packet: its dissected headers, filled where a key has bytes, which are read from the
    /// packet.
    heads: Vec<Head>,
    reads: bool,
    /// By packet: its time, and its number in the order of all moments.
    moments: Vec<Moment>,
    /// By packet and window of the program: the window's value.
    values: Vec<u64>,
    windows: usize,
    /// By packet and trigger with windows: whether the packet's key was active before the packet.
    active: Vec<bool>,
    /// By packet and trigger: the result of its conditions.
    fired: Vec<Fired>,
    counts: Vec<TriggerCount>,
}

/// How a trigger is evaluated.
#[derive(Debug)]
struct Plan {
    scope: KeySource,
    /// Its key is the flow's number, which has no meaning outside.
    by_flow: bool,
    group: Option<usize>,
    counts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeySource {
    /// The flow, by this bit.
    Flow(u32),
    /// A key.
    Key,
    /// Raised only from outside.
    Outside,
}

/// A packet, with what [`TriggerEvaluator`] needs to know about it.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub at: usize,
    pub packet: &'a Packet<'a>,
    pub seen: PacketContext<'a>,
    pub flow: Option<FlowId>,
    /// Active triggers with the key `flow`.
    pub active: u64,
    /// The triggers that are suppressed for the flow.
    pub suppressions: u64,
}

impl TriggerEvaluator {
    /// Buffers for a policy's triggers.
    pub(super) fn new(policy: &Policy) -> TriggerEvaluator {
        let program = policy.program();
        let ahead = if may_look_ahead(program) { AHEAD } else { 1 };
        let groups = program.key_groups();
        let plan = |(id, trigger): (TriggerId, &Trigger)| Plan {
            scope: match (&trigger.scope, &trigger.when) {
                (_, None) => KeySource::Outside,
                (Scope::Flow(bit), _) => KeySource::Flow(*bit),
                (Scope::Keys(_), _) => KeySource::Key,
            },
            by_flow: trigger.is_by_flow(),
            group: groups.iter().position(|(_, alike)| alike.contains(&id)),
            counts: program.windows_of(id).next().is_some(),
        };
        let plans: Vec<Plan> = (0u32..).map(TriggerId).zip(&program.triggers).map(plan).collect();
        let group = |(at, (own, alike)): (usize, &(&[OwnKey], Vec<TriggerId>))| {
            KeyGroup::new(program, policy.triggers(), (at, own, alike), ahead)
        };
        let groups: Vec<KeyGroup> = groups.iter().enumerate().map(group).collect();
        TriggerEvaluator {
            keyed: program.uses().keyed,
            ahead,
            first: 0,
            probe: Probe::new(program, ahead),
            heads: vec![Head::default(); ahead],
            reads: groups.iter().any(KeyGroup::reads_bytes),
            together: may_fire_ahead(program),
            moments: vec![Moment::default(); ahead],
            values: vec![0; ahead * program.windows.len()],
            windows: program.windows.len(),
            active: vec![false; ahead * plans.len()],
            fired: vec![Fired::No; ahead * plans.len()],
            counts: vec![TriggerCount::default(); plans.len()],
            plans,
            groups,
        }
    }

    /// Seeds the counters from the previous version.
    pub(super) fn count_from(&mut self, before: impl Iterator<Item = TriggerCount>) {
        for (count, before) in self.counts.iter_mut().zip(before) {
            *count = before;
        }
    }

    /// Effects of packets on each trigger.
    pub(super) fn counts(&self) -> &[TriggerCount] {
        &self.counts
    }

    /// How many packets are probed together.
    pub(super) fn ahead(&self) -> usize {
        self.ahead
    }

    fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.groups.iter().flat_map(|group| &group.counters)
    }

    /// Whether the packets that are probed together may also be evaluated together. No condition
    /// may read what one of the packets may raise, and none of their keys may evict a key that a
    /// raise would have kept.
    fn together(&self, policy: &Policy) -> bool {
        self.together && !self.counters().any(|counter| policy.triggers().may_forget(counter.trigger))
    }

    /// Whether the next packet's key may evict a key that pending packets with times from `since`
    /// on are decided by. Those packets must be decided first.
    pub(super) fn may_forget_since(&self, policy: &Policy, since: i64) -> bool {
        self.counters().any(|counter| policy.triggers().may_forget_since(counter.trigger, since))
    }

    /// Probes the next packets; the first of them is packet `first`. Where that is allowed, it also
    /// takes their events into windows and evaluates their triggers, but raises nothing. Returns
    /// false otherwise: the caller must then evaluate each packet with [`TriggerEvaluator::look`]
    /// after the packets before it have raised their triggers.
    pub(super) fn probe(
        &mut self,
        policy: &Policy,
        scratch: &mut Scratch,
        packets: &[Packet],
        first: usize,
        context: &BatchContext,
    ) -> bool {
        self.first = first;
        let together = self.together(policy);
        if self.keyed {
            let seen = PacketContext::of(context, first);
            policy.engine().probe(policy.environment(), scratch, packets, seen, &mut self.probe);
            let numbers = policy.triggers().moments(packets.len());
            for ((row, packet), number) in packets.iter().enumerate().zip(numbers..) {
                if let Some(moment) = self.moments.get_mut(row) {
                    *moment = Moment::new(packet.time, number);
                }
                if let Some(head) = self.heads.get_mut(row).filter(|_| self.reads) {
                    *head = seen.on(row, 0).head_of(packet);
                }
            }
            let probes = ProbeBatch { packets, first, context, probe: &self.probe, heads: &self.heads };
            self.groups.iter_mut().for_each(|group| group.prefetch_bucket(policy.triggers(), probes));
            self.groups.iter_mut().for_each(|group| group.prefetch_row(policy.triggers(), packets.len()));
        }
        if together {
            self.count(policy, packets, context, 0..packets.len());
            self.fire(policy, scratch, packets, first, context);
        }
        together
    }

    /// Counts and evaluates one of the probed packets.
    pub(super) fn look(
        &mut self,
        _: Settled,
        policy: &Policy,
        scratch: &mut Scratch,
        packets: &[Packet],
        at: usize,
        context: &BatchContext,
    ) {
        let row = at.saturating_sub(self.first);
        let (Some(probes), Some(one)) = (packets.get(self.first..), packets.get(at..=at)) else { return };
        self.count(policy, probes, context, row..row + 1);
        self.fire(policy, scratch, one, at, context);
    }

    /// Takes the events of these probed packets into the windows of their keys.
    fn count(&mut self, policy: &Policy, packets: &[Packet], context: &BatchContext, rows: Range<usize>) {
        let probes =
            ProbeBatch { packets, first: self.first, context, probe: &self.probe, heads: &self.heads };
        let mut outputs = TriggerOutputs {
            moments: &mut self.moments,
            values: &mut self.values,
            windows: self.windows,
            active: &mut self.active,
            triggers: self.plans.len(),
        };
        for group in &mut self.groups {
            group.observe(policy.triggers(), probes, rows.clone(), &mut outputs);
        }
    }

    /// Evaluates the triggers of packets by the values of their windows.
    fn fire(
        &mut self,
        policy: &Policy,
        scratch: &mut Scratch,
        packets: &[Packet],
        at: usize,
        context: &BatchContext,
    ) {
        let (row, triggers) = (at.saturating_sub(self.first), self.plans.len());
        let values = self.values.get(row * self.windows..).unwrap_or(&[]);
        let Some(fired) = self.fired.get_mut(row * triggers..(row + packets.len()) * triggers) else {
            return;
        };
        let seen = PacketContext::of(context, at).with_windows(values);
        policy.engine().fire(policy.environment(), scratch, packets, seen, fired);
    }

    /// The results of a packet's conditions. `None`: no condition holds.
    fn fired(&self, at: usize) -> Option<&[Fired]> {
        let row = at.checked_sub(self.first)?;
        let fired = self.fired.get(row * self.plans.len()..(row + 1) * self.plans.len())?;
        fired.iter().any(|fired| *fired != Fired::No).then_some(fired)
    }

    /// Whether a packet raises a trigger, or would without a veto.
    pub(super) fn fires(&self, at: usize) -> bool {
        self.fired(at).is_some()
    }

    /// Whether a packet's raises may change states by which earlier packets, with times up to
    /// `latest`, are decided.
    pub(super) fn changes(&self, policy: &Policy, step: Step<'_>, latest: i64) -> bool {
        let changes = |((at, plan), fired): ((usize, &Plan), &Fired)| {
            plan.scope == KeySource::Key
                && *fired == Fired::Raised
                && (latest > step.packet.time || !self.is_active(policy, at, plan, step))
        };
        self.fired(step.at).is_some_and(|fired| self.plans.iter().enumerate().zip(fired).any(changes))
    }

    /// Whether a trigger is active for the packet's key before the packet. A packet without a key
    /// changes nothing and counts as active.
    fn is_active(&self, policy: &Policy, at: usize, plan: &Plan, step: Step<'_>) -> bool {
        let mut room = ROOM;
        match self.key(plan, step, &mut room) {
            None => true,
            Some(_) if plan.counts => {
                let row = step.at.saturating_sub(self.first);
                self.active.get(row * self.plans.len() + at).is_some_and(|active| *active)
            }
            Some(key) => policy.triggers().active(at, key, step.packet.time),
        }
    }

    /// The key that a packet has for a trigger.
    fn key<'k, 'a>(&self, plan: &Plan, step: Step<'a>, room: &'k mut Room<'a>) -> Option<&'k [KeyValue<'a>]> {
        let (group, row) = (self.groups.get(plan.group?)?, step.at.checked_sub(self.first)?);
        group.key((&self.probe, row), self.heads.get(row)?, step.packet, step.seen, room)
    }

    /// Applies the results of [`TriggerEvaluator::look`] and reports them to `observer`. Returns
    /// the raised triggers with the key `flow`, one bit each.
    pub(super) fn apply(
        &mut self,
        _: Settled,
        policy: &Policy,
        step: Step<'_>,
        observer: &mut Option<Observe<'_>>,
    ) -> u64 {
        let (mut raised, mut room) = (0, ROOM);
        let mut counts = std::mem::take(&mut self.counts);
        let fired = self.fired(step.at).unwrap_or(&[]);
        let moment = step.at.checked_sub(self.first).and_then(|row| self.moments.get(row));
        let moment = moment.copied().unwrap_or_default();
        for (((at, plan), fired), count) in self.plans.iter().enumerate().zip(fired).zip(&mut counts) {
            if *fired == Fired::No || plan.scope == KeySource::Outside {
                continue;
            }
            count.held += 1;
            let made = self.key(plan, step, &mut room);
            let outcome = match (plan.scope, made, step.flow) {
                (KeySource::Flow(_), _, None) | (KeySource::Key, None, _) => None,
                (KeySource::Flow(bit), _, Some(_)) => Some(match fired {
                    Fired::Vetoed => Outcome::Vetoed,
                    _ if step.suppressions & 1 << bit != 0 => Outcome::Suppressed,
                    _ if step.active & 1 << bit != 0 => Outcome::Extended,
                    _ => {
                        raised |= 1 << bit;
                        Outcome::Raised
                    }
                }),
                (_, Some(key), _) => Some(policy.triggers().apply_at(at, key, &moment, *fired)),
                (KeySource::Outside, None, _) => None,
            };
            count.take(outcome, *fired);
            if let (Some(observer), Some(outcome)) = (observer.as_mut(), outcome) {
                let key = made.filter(|_| !plan.by_flow);
                let row = step.at.saturating_sub(self.first);
                let seen = step.seen.with_windows(self.values.get(row * self.windows..).unwrap_or(&[]));
                observer(&TriggerEvent { trigger: at, key, outcome, at: step.at, packet: step.packet, seen });
            }
        }
        self.counts = counts;
        raised
    }
}

/// Whether one of these conditions reads whether a trigger is active.
fn ask<'a>(preds: impl IntoIterator<Item = &'a Pred>) -> bool {
    let mut asks = false;
    for pred in preds {
        pred.visit(&mut |pred| {
            asks |= matches!(pred.kind(), PredKind::Active { .. } | PredKind::FlowActive(_))
        });
    }
    asks
}

/// Whether packets may be probed before earlier packets have raised their triggers: no key and no
/// window reads whether a trigger is active, and no trigger with a condition has the key `flow`.
fn may_look_ahead(program: &Program) -> bool {
    let by_flow = |trigger: &Trigger| matches!(trigger.scope, Scope::Flow(_)) && trigger.when.is_some();
    let own = program.triggers.iter().flat_map(|trigger| &trigger.own).map(|own| &own.when);
    let windows = program.windows.iter().map(|window| &window.when);
    let values = program.windows.iter().flat_map(|window| match &window.kind {
        WindowKind::Distinct(values) => values.as_slice(),
        WindowKind::Count | WindowKind::Sum(_) => &[],
    });
    let asks = ask(own.chain(windows).chain(values.map(|value| &value.when)));
    !asks && !program.triggers.iter().any(by_flow)
}

/// Whether the packets' triggers may also be evaluated before earlier packets have raised theirs.
fn may_fire_ahead(program: &Program) -> bool {
    let conditions = program.triggers.iter().flat_map(|trigger| trigger.when.iter().chain([&trigger.unless]));
    may_look_ahead(program) && !ask(conditions)
}

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
