//! Who is told what packets and changes from outside do to triggers. The invariant: an observer
//! changes nothing of what is decided. (Rejected: a writer of events in the way of the packet; the
//! decision would know files and JSON.)

use super::{Decider, TriggerEvent};
use crate::change::{Change, Effect, FlowRefusal};
use crate::flow::FlowName;
use crate::policy::Policy;
use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use std::fmt::Debug;

/// Is told what becomes of triggers. Live, it is called where packets are decided, and must not
/// wait.
pub trait Observer: Debug + Send + Sync {
    /// Whether anybody reads what it is told; if not, it is not called for packets.
    fn is_wanted(&self) -> bool;

    /// A packet did something to a trigger; `number` is the packet's, from 1.
    fn packet(&self, policy: &Policy, number: u64, event: &TriggerEvent<'_>);

    /// A change from outside was made, at this time in nanoseconds since the Unix epoch.
    fn change(&self, policy: &Policy, now: i64, change: &Change, effect: Effect);

    /// Something was not done to a flow, and why.
    fn refused(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &FlowRefusal);

    /// A suppression of a trigger by flow is over, and why.
    fn flow_suppression_over(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &str);
}

impl Decider {
    /// Decides packets, before which so many came, and tells the observer what they do to triggers.
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
