//! Receives the effects of packets and of changes from outside on triggers. Invariant: an observer
//! changes no decision. (Rejected: an event writer inside the decider; the decision would depend on
//! files and JSON.)

use super::{Decider, TriggerEvent};
use crate::change::{Change, Effect, FlowRefusal};
use crate::flow::FlowName;
use crate::policy::Policy;
use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use std::fmt::Debug;

/// Receives the effects on triggers. Live workers call it on the path of packets, so it must not
/// block.
pub trait Observer: Debug + Send + Sync {
    /// Whether anyone reads the observer's output. If not, it is not called for packets.
    fn is_wanted(&self) -> bool;

    /// A packet affected a trigger. `number` is the packet's number, from 1.
    fn packet(&self, policy: &Policy, number: u64, event: &TriggerEvent<'_>);

    /// A change from outside was made at `now`, in nanoseconds since the Unix epoch.
    fn change(&self, policy: &Policy, now: i64, change: &Change, effect: Effect);

    /// A change to a flow was refused because of `why`.
    fn refused(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &FlowRefusal);

    /// The suppression of a trigger for a flow has ended because of `why`.
    fn flow_suppression_over(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &str);
}

impl Decider {
    /// Decides packets and reports their effects on triggers to the observer. `before` packets came
    /// earlier.
    pub fn decide_observed(
        &mut self,
        policy: &Policy,
        packets: &[Packet],
        before: u64,
        observer: Option<&dyn Observer>,
    ) -> &Batch {
        let Some(observer) = observer.filter(|observer| observer.is_wanted()) else {
            return self.decide(policy, packets);
        };
        let mut hear = |event: &TriggerEvent<'_>| {
            observer.packet(policy, before + event.at as u64 + 1, event);
        };
        self.decide_and_tell(policy, packets, Some(&mut hear))
    }
}
