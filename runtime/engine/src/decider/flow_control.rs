//! Changes to single flows from outside: raises, clears and suppresses triggers with the key `flow`
//! for a flow that is named by its ends. Invariants: a change to a flow ends with the flow, and
//! nothing is remembered for a flow that does not exist; a name that may mean several flows changes
//! nothing. (Rejected: to remember names for future flows; a trigger by addresses and ports does
//! that, and such a list grows.)

use super::{Decider, Tracker};
use crate::change::{Change, Effect, FlowAct, FlowRefusal, Refused};
use crate::flow::{FlowAbout, FlowId, FlowName, FlowTable, Slice};
use crate::policy::Policy;
use crate::trigger::{MAX_REASON, Outcome};
use mrule_compiler::environment::ChangeError;
use mrule_compiler::hir::{Program, Scope, TriggerId};
use mrule_compiler::table::KeyValue;
use std::collections::HashMap;

/// Number of flows for which one worker can suppress triggers.
const MAX_SUPPRESSED: usize = 1 << 16;

/// How many flows an error names when a name may mean several.
pub const NAMED: usize = 4;

/// The triggers that are suppressed for single flows, of the triggers that stay active as long as
/// the flow.
#[derive(Debug, Default)]
pub(super) struct Suppressions {
    flows: HashMap<FlowId, Vec<Suppression>>,
}

/// A trigger that is suppressed for a flow.
#[derive(Debug, Clone)]
struct Suppression {
    /// The flow. Another flow may have taken its place by now.
    name: FlowName,
    first: i64,
    bit: u32,
    reason: String,
    /// The last moment of the suppression. `None`: the end of the flow.
    until: Option<i64>,
}

impl Suppression {
    fn holds(&self, flow: &FlowAbout, now: i64) -> bool {
        self.name.is(&flow.name) && self.first == flow.first && self.until.is_none_or(|until| until >= now)
    }
}

impl Suppressions {
    /// The bits of the triggers that are suppressed for a flow.
    #[inline]
    pub(super) fn bits(&self, flows: &FlowTable, flow: Option<FlowId>, now: i64) -> u64 {
        match flow {
            Some(flow) if !self.flows.is_empty() => self.bits_of(flows, flow, now),
            _ => 0,
        }
    }

    #[cold]
    fn bits_of(&self, flows: &FlowTable, flow: FlowId, now: i64) -> u64 {
        let Some((suppressed, about)) = self.flows.get(&flow).zip(flows.about(flow)) else { return 0 };
        suppressed
            .iter()
            .filter(|suppression| suppression.holds(&about, now))
            .fold(0, |bits, suppression| bits | 1 << suppression.bit)
    }

    fn put(&mut self, flows: &FlowTable, flow: FlowId, now: i64, suppression: Suppression) -> bool {
        if self.flows.len() >= MAX_SUPPRESSED && !self.flows.contains_key(&flow) {
            self.flows.retain(|flow, suppressed| {
                flows
                    .about(*flow)
                    .is_some_and(|about| suppressed.iter().any(|suppression| suppression.holds(&about, now)))
            });
            if self.flows.len() >= MAX_SUPPRESSED {
                return false;
            }
        }
        let suppressed = self.flows.entry(flow).or_default();
        let about = flows.about(flow);
        suppressed.retain(|other| {
            other.bit != suppression.bit && about.as_ref().is_some_and(|about| other.holds(about, now))
        });
        suppressed.push(suppression);
        true
    }

    fn take(&mut self, flows: &FlowTable, flow: FlowId, now: i64, bit: u32) -> bool {
        let (Some(suppressed), Some(about)) = (self.flows.get_mut(&flow), flows.about(flow)) else {
            return false;
        };
        let was =
            suppressed.iter().any(|suppression| suppression.bit == bit && suppression.holds(&about, now));
        suppressed.retain(|suppression| suppression.bit != bit);
        if suppressed.is_empty() {
            self.flows.remove(&flow);
        }
        was
    }

    /// Removes the suppressions whose flow or time has ended, and returns them with the reason.
    fn over(&mut self, flows: &FlowTable, now: i64) -> Vec<(u32, FlowName, &'static str)> {
        let mut over = Vec::new();
        self.flows.retain(|flow, suppressed| {
            let about = flows.about(*flow).filter(|_| flows.lives(*flow, now));
            suppressed.retain(|suppression| {
                let is_flow = about
                    .as_ref()
                    .is_some_and(|a| suppression.name.is(&a.name) && suppression.first == a.first);
                let why = match suppression.until {
                    Some(until) if until < now => "its time is over",
                    _ if !is_flow => "its flow has ended",
                    _ => return true,
                };
                over.push((suppression.bit, suppression.name, why));
                false
            });
            !suppressed.is_empty()
        });
        over
    }

    /// Takes over the suppressions of `other`. `bits` has the old and the new bit of each trigger.
    pub(super) fn take_over(&mut self, other: &mut Suppressions, bits: &[(u32, u32)]) {
        self.flows = std::mem::take(&mut other.flows);
        self.flows.retain(|_, suppressed| {
            suppressed.retain_mut(|suppression| match bits.iter().find(|(was, _)| *was == suppression.bit) {
                Some((_, is)) => {
                    suppression.bit = *is;
                    true
                }
                None => false,
            });
            !suppressed.is_empty()
        });
    }
}

/// The places of the triggers with the key `flow` that are active for a flow.
pub fn active(policy: &Policy, flow: &FlowAbout, now: i64) -> Vec<usize> {
    let is = |(at, trigger): &(usize, &mrule_compiler::hir::Trigger)| match trigger.scope {
        Scope::Flow(bit) => flow.active & 1 << bit != 0,
        Scope::Keys(_) if trigger.is_by_flow() => {
            flow.id.is_some_and(|id| policy.triggers().active(*at, &[KeyValue::Num(id)], now))
        }
        Scope::Keys(_) => false,
    };
    policy.program().triggers.iter().enumerate().filter(is).map(|(at, _)| at).collect()
}

impl Decider {
    /// The flow table. `None`: the program does not use flows.
    pub fn flows(&self) -> Option<&FlowTable> {
        self.tracker.as_ref().map(|tracker| &tracker.flows)
    }

    /// Makes a change to the policy or to a flow at a packet time.
    ///
    /// # Errors
    /// [`Refused`]: the change does not fit the policy, or there is no such flow. Nothing has
    /// changed then.
    pub fn change(&mut self, policy: &mut Policy, now: i64, change: &Change) -> Result<Effect, Refused> {
        match change {
            Change::Flow { trigger, flow, act } => {
                let id = self.one(flow, now)?;
                Ok(self.act(policy, now, id, TriggerId(*trigger as u32), act)?)
            }
            Change::Clear { trigger, key: None } => {
                let cleared = policy.change(now, change)?;
                let Some(bit) = bit_of(policy.program(), *trigger) else { return Ok(cleared) };
                let (ended, _) = self.end_for_all(bit, 0, usize::MAX, now);
                Ok(Effect::Cleared(ended))
            }
            _ => Ok(policy.change(now, change)?),
        }
    }

    /// The only flow that the name may mean.
    fn one(&self, name: &FlowName, now: i64) -> Result<FlowId, FlowRefusal> {
        let flows = self.flows().ok_or(FlowRefusal::Untracked)?;
        if let Some(flow) = flows.find(name, now) {
            return Ok(flow);
        }
        let mut found = Vec::new();
        flows.look(0, usize::MAX, now, |flows, flow| {
            if found.len() < NAMED && flows.may_be(flow, name) {
                found.push(flow);
            }
        });
        match found.as_slice() {
            [] => Err(FlowRefusal::None(*name)),
            [one] => Ok(*one),
            several => {
                let names = several.iter().filter_map(|flow| Some(flows.about(*flow)?.name));
                Err(FlowRefusal::Several { name: *name, all: names.collect() })
            }
        }
    }

    /// Makes a change to a trigger for the flow with exactly this name. Returns `None` when this
    /// worker does not know the flow.
    pub fn act_on(
        &mut self,
        policy: &Policy,
        now: i64,
        name: &FlowName,
        trigger: TriggerId,
        act: &FlowAct,
    ) -> Option<Result<Effect, FlowRefusal>> {
        let flow = self.flows()?.find(name, now)?;
        Some(self.act(policy, now, flow, trigger, act))
    }

    fn act(
        &mut self,
        policy: &Policy,
        now: i64,
        flow: FlowId,
        trigger: TriggerId,
        act: &FlowAct,
    ) -> Result<Effect, FlowRefusal> {
        let Some(Tracker { flows, suppressions, .. }) = &mut self.tracker else {
            return Err(FlowRefusal::Untracked);
        };
        let done = |something| if something { Effect::Done } else { Effect::Nothing };
        let until = |time: &Option<i64>| time.map(|time| now.saturating_add(time));
        let Some(bit) = bit_of(policy.program(), trigger.index()) else {
            let (triggers, at) = (policy.triggers(), trigger.index());
            let key = [KeyValue::Num(flows.number(flow).ok_or(FlowRefusal::Untracked)?)];
            return match act {
                FlowAct::Raise(time) => Ok(Effect::Raised(triggers.raise(at, &key, now, *time))),
                FlowAct::Clear => Ok(Effect::Cleared(u64::from(triggers.clear(at, &key, now)))),
                FlowAct::Suppress { reason, time } => {
                    match triggers.suppress(at, &key, now, reason, until(time)) {
                        true => Ok(Effect::Done),
                        false => Err(FlowRefusal::Full),
                    }
                }
                FlowAct::Unsuppress => Ok(done(triggers.unsuppress(at, &key))),
            };
        };
        match act {
            FlowAct::Raise(_) if suppressions.bits(flows, Some(flow), now) & 1 << bit != 0 => {
                Ok(Effect::Raised(Outcome::Suppressed))
            }
            FlowAct::Raise(_) => Ok(Effect::Raised(match flows.set_active(flow, 1 << bit, true) {
                0 => Outcome::Raised,
                _ => Outcome::Extended,
            })),
            FlowAct::Clear => Ok(Effect::Cleared(u64::from(flows.set_active(flow, 1 << bit, false) != 0))),
            FlowAct::Suppress { reason, time } => {
                let about = flows.about(flow).ok_or(FlowRefusal::Untracked)?;
                let end = reason.char_indices().map(|(at, c)| at + c.len_utf8());
                let end = end.take_while(|end| *end <= MAX_REASON).last().unwrap_or(0);
                let reason = reason.get(..end).unwrap_or_default().to_owned();
                let suppression =
                    Suppression { name: about.name, first: about.first, bit, reason, until: until(time) };
                match suppressions.put(flows, flow, now, suppression) {
                    true => Ok(Effect::Done),
                    false => Err(FlowRefusal::Full),
                }
            }
            FlowAct::Unsuppress => Ok(done(suppressions.take(flows, flow, now, bit))),
        }
    }

    /// The suppressions of triggers for flows that have ended, once each: the trigger, the flow and
    /// the reason.
    pub fn suppressions_over(&mut self, program: &Program, now: i64) -> Vec<(usize, FlowName, &'static str)> {
        let Some(Tracker { flows, suppressions, .. }) = &mut self.tracker else { return Vec::new() };
        if suppressions.flows.is_empty() {
            return Vec::new();
        }
        let trigger = |bit: u32| {
            let mut triggers = program.triggers.iter();
            triggers.position(|trigger| matches!(trigger.scope, Scope::Flow(of) if of == bit))
        };
        let over = suppressions.over(flows, now).into_iter();
        over.filter_map(|(bit, name, why)| Some((trigger(bit)?, name, why))).collect()
    }

    /// The triggers that are suppressed for the flow with exactly this name: each trigger's place,
    /// the reason and the end.
    pub fn suppressed(
        &self,
        policy: &Policy,
        name: &FlowName,
        now: i64,
    ) -> Vec<(usize, String, Option<i64>)> {
        let Some(Tracker { flows, suppressions, .. }) = &self.tracker else { return Vec::new() };
        let Some((flow, about)) = flows.find(name, now).and_then(|id| Some((id, flows.about(id)?))) else {
            return Vec::new();
        };
        let triggers = policy.program().triggers.iter().enumerate();
        let mut found = Vec::new();
        for (at, _) in triggers.filter(|(_, trigger)| trigger.is_by_flow()) {
            match bit_of(policy.program(), at) {
                Some(bit) => {
                    let suppressed = suppressions.flows.get(&flow).into_iter().flatten();
                    let suppressed = suppressed
                        .filter(|suppression| suppression.bit == bit && suppression.holds(&about, now));
                    found.extend(
                        suppressed.map(|suppression| (at, suppression.reason.clone(), suppression.until)),
                    );
                }
                None => {
                    let Some(id) = about.id else { continue };
                    let key = crate::trigger::key_parts(&[KeyValue::Num(id)]);
                    let all = policy.triggers().suppressed(at, now).into_iter();
                    found.extend(all.filter(|s| s.key == key).map(|s| (at, s.reason, s.until)));
                }
            }
        }
        found
    }

    /// Makes a trigger inactive for the flows in at most `most` places, from the place `from` on.
    /// Returns the number of these flows, and where to continue.
    pub fn end_for_all(&mut self, bit: u32, from: usize, most: usize, now: i64) -> (u64, Slice) {
        let Some(Tracker { flows, .. }) = &mut self.tracker else { return (0, Slice::End) };
        let mut active = Vec::new();
        let next = flows.look(from, most, now, |flows, flow| {
            if flows.is_active(flow, 1 << bit) {
                active.push(flow);
            }
        });
        for flow in &active {
            flows.set_active(*flow, 1 << bit, false);
        }
        (active.len() as u64, next)
    }
}

/// The bit of a trigger that stays active as long as its flow.
pub fn bit_of(program: &Program, trigger: usize) -> Option<u32> {
    match program.triggers.get(trigger)?.scope {
        Scope::Flow(bit) => Some(bit),
        Scope::Keys(_) => None,
    }
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Refused {
        Refused::Change(error)
    }
}

impl From<FlowRefusal> for Refused {
    fn from(error: FlowRefusal) -> Refused {
        Refused::Flow(error)
    }
}
