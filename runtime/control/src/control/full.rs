//! Triggers that limits ask for and that have no room for another key: the limit does not hold for
//! that key. The invariants: it is a reason of health as long as there is no room; while it is so
//! in a binding policy, the copies of all policies are withheld, unless the run was told otherwise.
//! (Rejected: to give up an active key; its copies would no longer be cut.)

use super::State;
use super::health::{Reason, ReasonKind};
use super::restore::BindingFailure;
use mrule_dataplane::live::Report;
use std::collections::BTreeMap;

/// A trigger, by policy and name.
type Name = (String, String);

/// What was seen of them.
#[derive(Debug, Default)]
pub(super) struct Full {
    /// How many packets' keys found no room.
    seen: BTreeMap<Name, u64>,
    /// Those without room; whether its policy binds all.
    full: BTreeMap<Name, bool>,
}

impl Full {
    /// Whether what may bind all policies is missing keys.
    pub fn is_open(&self) -> bool {
        self.full.values().any(|binds| *binds)
    }
}

impl State {
    /// Looks which triggers of limits are full; whether copies are withheld or go again because of
    /// it.
    pub(super) fn look_for_full(&mut self, report: &Report) {
        let Some(live) = &self.live else { return };
        let mut next = Full::default();
        for of in &report.policies {
            let Some(policy) = live.policy(&of.name) else { continue };
            for trigger in policy.program().triggers_that_lessen() {
                let Some(total) = of.summary.triggers.get(trigger.index()) else { continue };
                let Some(keys) = &total.keys else { continue };
                let name = (of.name.clone(), total.name.clone());
                let before = self.full.seen.get(&name).copied().unwrap_or(0);
                // A shard may be full a little before the others are.
                let has_room = keys.active + keys.capacity / 64 < keys.capacity;
                if keys.full > before || self.full.full.contains_key(&name) && !has_room {
                    next.full.insert(name.clone(), policy.bounds().is_some());
                }
                next.seen.insert(name, keys.full);
            }
        }
        let changes = next.is_open() != self.full.is_open();
        self.full = next;
        if changes {
            self.apply();
        }
    }

    /// The reasons for it.
    pub(super) fn full_reasons(&self) -> Vec<Reason> {
        let closed = self.on_failure == BindingFailure::Closed;
        let reason = |((policy, trigger), binds): (&Name, &bool)| {
            let withheld = *binds && closed;
            let then = if withheld { "the copies of all policies are withheld" } else { "more is copied" };
            let what = format!(
                "trigger {trigger} of policy {policy} has no room for another key, and what is to be cut asks for it: \
                 {then} until keys end; give it more `keys`, or clear some"
            );
            Reason::new(ReasonKind::LimitFull, &format!("{policy}/{trigger}"), what, withheld)
        };
        self.full.full.iter().map(reason).collect()
    }
}
