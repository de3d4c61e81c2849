//! Triggers that limits use and that have reached their capacity: the limit does not hold for a new
//! key. The invariants: this is a reason of health while it lasts; if the policy is binding, the
//! copies of all policies are withheld meanwhile, unless `--binding-failure open` is given.
//! (Rejected: evicting an active key; its copies would no longer be cut.)

use super::State;
use super::health::{Reason, ReasonKind};
use super::restore::BindingFailure;
use mrule_dataplane::live::Report;
use std::collections::BTreeMap;

/// A trigger, by policy and name.
type Name = (String, String);

/// What was seen of them.
#[derive(Debug, Default)]
pub(super) struct FullTriggers {
    /// The number of packets whose key did not fit.
    seen: BTreeMap<Name, u64>,
    /// Full triggers, and whether their policy binds all.
    full: BTreeMap<Name, bool>,
}

impl FullTriggers {
    /// Whether a trigger of a binding policy lacks keys.
    pub fn is_open(&self) -> bool {
        self.full.values().any(|binds| *binds)
    }
}

impl State {
    /// Checks which triggers of limits are full, and withholds or releases copies accordingly.
    pub(super) fn look_for_full(&mut self, report: &Report) {
        let Some(plane) = &self.plane else { return };
        let mut next = FullTriggers::default();
        for of in &report.policies {
            let Some(policy) = plane.policy(&of.name) else { continue };
            for trigger in policy.program().triggers_that_lessen() {
                let Some(total) = of.summary.triggers.get(trigger.index()) else { continue };
                let Some(keys) = &total.keys else { continue };
                let name = (of.name.clone(), total.name.clone());
                let before = self.full.seen.get(&name).copied().unwrap_or(0);
                // A shard may be full slightly before the others.
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

    /// The reasons of health for full triggers.
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
