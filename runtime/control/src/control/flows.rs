//! Flows of a loaded policy, by name: shown, ranked, and changed by external triggers. The
//! invariants: a change of a flow that does not exist, or of an ambiguous name, is refused and
//! changes nothing; a request that reads all flows waits without the lock. (Rejected: keeping
//! raises for future flows.)

use super::changes::retry;
use super::dataplane::FlowQuestion;
use super::{Control, Refusal, now};
use crate::event::time_text;
use mrule_compiler::hir::Program;
pub use mrule_dataplane::live::flow_query::Measure;
use mrule_dataplane::live::flow_query::{Answer, Question};
use mrule_engine::change::{Change, Effect, FlowAct, FlowRefusal};
use mrule_engine::decider::Observer;
use mrule_engine::decider::{active, bit_of};
use mrule_engine::flow::{FlowAbout, FlowName, protocol};
use mrule_engine::policy::Policy;
use serde::Serialize;
use std::sync::Arc;

/// The largest number of flows in a ranking.
pub const MOST_FLOWS: usize = 1000;

/// The current state of a flow.
#[derive(Debug, Clone, Serialize)]
pub struct FlowState {
    /// Its complete name.
    pub flow: String,
    /// The protocol: a name, or its number.
    pub protocol: String,
    /// The end that opened the flow.
    pub client: EndState,
    /// The other end.
    pub server: EndState,
    /// The ids of its VLAN tags, the outer one first.
    pub vlans: Vec<u16>,
    /// The id of an echo or of the tunnel's network.
    pub id: Option<u32>,
    /// The application; none if no rule uses it.
    pub app: Option<&'static str>,
    /// Packets of both directions.
    pub packets: u64,
    /// Bytes of both directions.
    pub bytes: u64,
    /// The time of its first packet.
    pub first: String,
    /// The time of its last packet.
    pub last: String,
    /// Whether both ends have sent packets.
    pub established: bool,
    /// The active triggers by flow.
    pub triggers: Vec<String>,
    /// The triggers that are suppressed for it; only in an answer about one flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Vec<SuppressionState>>,
}

/// One end of a flow.
#[derive(Debug, Clone, Serialize)]
pub struct EndState {
    /// Its address.
    pub addr: String,
    /// Its port.
    pub port: u16,
    /// Packets that it sent.
    pub packets: u64,
    /// Bytes that it sent.
    pub bytes: u64,
}

/// A trigger that is suppressed for a flow.
#[derive(Debug, Clone, Serialize)]
pub struct SuppressionState {
    /// Its name.
    pub trigger: String,
    /// The reason.
    pub reason: String,
    /// The end time; none while the flow lives.
    pub until: Option<String>,
}

impl From<FlowRefusal> for Refusal {
    fn from(refusal: FlowRefusal) -> Refusal {
        match refusal {
            FlowRefusal::None(_) => Refusal::Unknown(refusal.to_string()),
            FlowRefusal::Changed => Refusal::Moved,
            _ => Refusal::Conflict(refusal.to_string()),
        }
    }
}

fn name_of(program: &Program, trigger: usize) -> String {
    program.triggers.get(trigger).map(|trigger| trigger.name.clone()).unwrap_or_default()
}

fn state(policy: &Policy, about: &FlowAbout, now: i64) -> FlowState {
    let program = policy.program();
    let [client, server] = about.name.ends;
    let end = |at: usize, end: mrule_engine::flow::End| EndState {
        addr: end.addr.to_string(),
        port: end.port,
        packets: about.packets.get(at).copied().unwrap_or(0),
        bytes: about.bytes.get(at).copied().unwrap_or(0),
    };
    let uses = program.uses();
    FlowState {
        flow: about.name.to_string(),
        protocol: protocol(about.name.proto),
        client: end(0, client),
        server: end(1, server),
        vlans: about.name.vlans.into_iter().flatten().filter(|tag| *tag != 0).collect(),
        id: about.name.id,
        app: uses.contents().then(|| about.app.name()),
        packets: about.packets.iter().sum(),
        bytes: about.bytes.iter().sum(),
        first: time_text(about.first),
        last: time_text(about.last),
        established: about.established,
        triggers: active(policy, about, now).into_iter().map(|at| name_of(program, at)).collect(),
        suppressed: None,
    }
}

impl Control {
    /// The flow with a name.
    ///
    /// # Errors
    /// No such policy, no flow of this name, several that it may mean; a policy that keeps no
    /// flows.
    pub fn flow(&self, policy: &str, name: &str) -> Result<FlowState, Refusal> {
        let name: FlowName = name.parse().map_err(Refusal::Bad)?;
        retry(|| self.flow_now(policy, name))
    }

    fn flow_now(&self, policy: &str, name: FlowName) -> Result<FlowState, Refusal> {
        let (seen, now) = (&*self.tracking(policy)?, now());
        let mut answer = self.ask(policy, seen, &Question::About(name), now)?;
        if answer.flows.is_empty() {
            let name = self.meant(policy, seen, &name, now)?;
            answer = self.ask(policy, seen, &Question::About(name), now)?;
        }
        // If fragments of a flow went to another worker, use the entry with more packets.
        let largest = answer.flows.iter().max_by_key(|flow| flow.packets.iter().sum::<u64>());
        let about = largest.ok_or(FlowRefusal::None(name))?;
        let suppressed = answer.suppressed.iter().map(|(trigger, reason, until)| SuppressionState {
            trigger: name_of(seen.program(), *trigger),
            reason: reason.clone(),
            until: until.map(time_text),
        });
        Ok(FlowState { suppressed: Some(suppressed.collect()), ..state(seen, about, now) })
    }

    /// The largest flows, at most [`MOST_FLOWS`].
    ///
    /// # Errors
    /// No such policy; one that keeps no flows.
    pub fn largest_flows(&self, policy: &str, by: Measure, limit: usize) -> Result<Vec<FlowState>, Refusal> {
        retry(|| self.largest_flows_now(policy, by, limit))
    }

    fn largest_flows_now(&self, policy: &str, by: Measure, limit: usize) -> Result<Vec<FlowState>, Refusal> {
        let (seen, now) = (&*self.tracking(policy)?, now());
        let limit = limit.min(MOST_FLOWS);
        let mut answer = self.ask(policy, seen, &Question::Largest(by, limit), now)?;
        answer.keep_largest(by, limit);
        Ok(answer.flows.iter().map(|about| state(seen, about, now)).collect())
    }

    /// Makes a change of flows, for a program that was read before.
    pub(super) fn change_flows(
        &self,
        policy: &str,
        seen: &Policy,
        change: &Change,
    ) -> Result<Effect, Refusal> {
        let now = now();
        let tell = |change: &Change, effect| {
            if let Some(lines) = self.lines.as_ref().filter(|lines| lines.is_wanted()) {
                lines.change(seen, now, change, effect);
            }
            effect
        };
        match change {
            Change::Flow { trigger, flow, act } => {
                self.tracking(policy)?;
                let mut flow = *flow;
                let mut done = self.act((policy, seen), flow, (*trigger, act), now)?;
                if done.is_none() {
                    flow = self.meant(policy, seen, &flow, now)?;
                    done = self.act((policy, seen), flow, (*trigger, act), now)?;
                }
                let effect = done.ok_or(FlowRefusal::None(flow))?;
                Ok(tell(&Change::Flow { trigger: *trigger, flow, act: act.clone() }, effect))
            }
            Change::Clear { trigger, key: None } if bit_of(seen.program(), *trigger).is_some() => {
                let ended = self.ask(policy, seen, &Question::EndForAll(*trigger), now)?.ended;
                Ok(tell(change, Effect::Cleared(ended)))
            }
            _ => Err(Refusal::Bad("this is no change of a flow".to_owned())),
        }
    }

    fn act(
        &self,
        (policy, seen): (&str, &Policy),
        flow: FlowName,
        (trigger, act): (usize, &FlowAct),
        now: i64,
    ) -> Result<Option<Effect>, Refusal> {
        let answer = self.ask(policy, seen, &Question::Act(flow, trigger, act.clone()), now)?;
        Ok(answer.effect.transpose()?)
    }

    /// The complete name of the only flow that a name can mean.
    fn meant(&self, policy: &str, seen: &Policy, name: &FlowName, now: i64) -> Result<FlowName, Refusal> {
        let answer = self.ask(policy, seen, &Question::Meant(*name), now)?;
        let mut all: Vec<FlowName> = Vec::new();
        for about in answer.flows {
            if !all.iter().any(|other| other.is(&about.name)) {
                all.push(about.name);
            }
        }
        match all.as_slice() {
            [] => Err(FlowRefusal::None(*name).into()),
            [one] => Ok(*one),
            _ => Err(FlowRefusal::Several { name: *name, all }.into()),
        }
    }

    /// A policy that tracks flows.
    fn tracking(&self, name: &str) -> Result<Arc<Policy>, Refusal> {
        let policy = self.policy(name)?;
        match policy.program().uses().flows {
            true => Ok(policy),
            false => Err(FlowRefusal::Untracked.into()),
        }
    }

    /// Asks the workers; trigger numbers are those of the program that was read, and mean nothing
    /// in another program.
    fn ask(&self, name: &str, seen: &Policy, question: &Question, now: i64) -> Result<Answer, Refusal> {
        let (program, question) = (seen.program().clone(), question.clone());
        let question = FlowQuestion { policy: name.to_owned(), program, question, now };
        let asked = self.lock().plane()?.ask(question);
        let wait = asked.ok_or_else(|| super::no_policy(name, &self.lock()))?;
        Ok(wait()?)
    }
}
