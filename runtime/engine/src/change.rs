//! Changes to a running policy from outside: triggers are raised, cleared and suppressed, table
//! rows are added and removed, params get other values. All callers use one form. Invariant: a
//! refused change changes nothing. (Rejected: methods for each caller; an operator's live change
//! and a line in a file of events must have the same effect.)

use crate::flow::FlowName;
use crate::policy::Policy;
use crate::trigger::{Outcome, key_values};
use mrule_compiler::environment::ChangeError;
use mrule_compiler::hir::{ParamId, TableId, Value};

/// A change to a running policy.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Raises an external trigger.
    Raise {
        /// The trigger's place in the program.
        trigger: usize,
        /// The key to raise the trigger for.
        key: Vec<Value>,
        /// How long, in nanoseconds. `None`: the trigger's hold.
        time: Option<i64>,
    },
    /// Makes a trigger inactive.
    Clear {
        /// The trigger's place in the program.
        trigger: usize,
        /// The key. `None`: all keys.
        key: Option<Vec<Value>>,
    },
    /// Keeps a trigger from being raised for a key. Hits are still counted.
    Suppress {
        /// The trigger's place in the program.
        trigger: usize,
        /// The key to suppress.
        key: Vec<Value>,
        /// The reason, for display.
        reason: String,
        /// How long, in nanoseconds. `None`: until [`Change::Unsuppress`].
        time: Option<i64>,
    },
    /// Ends a suppression.
    Unsuppress {
        /// The trigger's place in the program.
        trigger: usize,
        /// The suppressed key.
        key: Vec<Value>,
    },
    /// Changes the state of a trigger with the key `flow` for one flow.
    Flow {
        /// The trigger's place in the program.
        trigger: usize,
        /// The name of the flow.
        flow: FlowName,
        /// The change.
        act: FlowAct,
    },
    /// Adds a row to a table, or changes the value of a row.
    Add {
        /// The table.
        table: TableId,
        /// The row's key.
        key: Vec<Value>,
        /// The row's value, in a map.
        value: Option<Value>,
        /// How long the row stays, in nanoseconds. `None`: until [`Change::Remove`].
        time: Option<i64>,
    },
    /// Removes a row from a table.
    Remove {
        /// The table.
        table: TableId,
        /// The row's key.
        key: Vec<Value>,
    },
    /// Gives a param another value.
    Set {
        /// The param.
        param: ParamId,
        /// The new value.
        value: Value,
    },
}

/// A change and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// The change itself.
    pub change: Change,
    /// The line of the file of events that asks for it, from 1.
    pub line: usize,
}

/// A change to the state of a trigger for one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowAct {
    /// Raises the trigger for this number of nanoseconds. `None`: for the trigger's hold.
    Raise(Option<i64>),
    /// Makes the trigger inactive.
    Clear,
    /// Keeps the trigger from being raised. Hits are still counted.
    Suppress {
        /// The reason, for display.
        reason: String,
        /// How long, in nanoseconds. `None`: as long as the flow lives.
        time: Option<i64>,
    },
    /// Ends a suppression.
    Unsuppress,
}

/// Why a change to a flow was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowRefusal {
    /// The program tracks no flows.
    #[error(
        "the policy tracks no flows, because no rule uses them; add a trigger by flow: `trigger keep by flow {{ external  hold flow }}`"
    )]
    Untracked,
    /// No flow has this name.
    #[error("there is no flow `{0}` now")]
    None(FlowName),
    /// The name may mean several flows.
    #[error("`{name}` may mean several flows: {}; give the whole name of one", listed(.all))]
    Several {
        /// The name.
        name: FlowName,
        /// Some of the flows that the name may mean, by their whole names.
        all: Vec<FlowName>,
    },
    /// There is no room for another suppression.
    #[error("there is no room for another suppressed flow; end another suppression first")]
    Full,
    /// Another version of the policy decides by now.
    #[error("another version was loaded meanwhile; try again")]
    Changed,
    /// At least one worker did not answer in time.
    #[error("some workers are too busy to answer; try again")]
    Busy,
}

fn listed(names: &[FlowName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The change does not fit the policy.
    #[error(transparent)]
    Change(ChangeError),
    /// The flow cannot be changed.
    #[error(transparent)]
    Flow(FlowRefusal),
}

/// The effect of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The outcome of raising a trigger.
    Raised(Outcome),
    /// The trigger is no longer active, for this number of keys.
    Cleared(u64),
    /// The change was made.
    Done,
    /// There was nothing to end or to remove.
    Nothing,
}

impl Policy {
    /// Makes a change at a packet time, in nanoseconds since the Unix epoch. Changes to flows are
    /// not made here: the owner of the flow table makes them.
    ///
    /// # Errors
    /// [`ChangeError`]: an unknown name, a value of another type or out of bounds, or no room; also
    /// for each change to a flow.
    pub fn change(&mut self, now: i64, change: &Change) -> Result<Effect, ChangeError> {
        let known = |trigger: usize| self.triggers().len() > trigger;
        let until = |time: Option<i64>| time.map(|time| now.saturating_add(time));
        match change {
            Change::Raise { trigger, key, time } => {
                let external = self.program().triggers.get(*trigger).is_some_and(|t| t.external);
                if !external {
                    return Err(ChangeError::Unknown);
                }
                let key = key_values(key).ok_or(ChangeError::Type)?;
                Ok(Effect::Raised(self.triggers().raise(*trigger, &key, now, *time)))
            }
            Change::Clear { trigger, .. }
            | Change::Suppress { trigger, .. }
            | Change::Unsuppress { trigger, .. }
                if !known(*trigger) =>
            {
                Err(ChangeError::Unknown)
            }
            Change::Clear { trigger, key: None } => {
                Ok(Effect::Cleared(self.triggers().clear_all(*trigger, now)))
            }
            Change::Clear { trigger, key: Some(key) } => {
                let key = key_values(key).ok_or(ChangeError::Type)?;
                Ok(Effect::Cleared(u64::from(self.triggers().clear(*trigger, &key, now))))
            }
            Change::Suppress { trigger, key, reason, time } => {
                let key = key_values(key).ok_or(ChangeError::Type)?;
                let done = self.triggers().suppress(*trigger, &key, now, reason, until(*time));
                if done { Ok(Effect::Done) } else { Err(ChangeError::Full) }
            }
            Change::Unsuppress { trigger, key } => {
                let key = key_values(key).ok_or(ChangeError::Type)?;
                Ok(done(self.triggers().unsuppress(*trigger, &key)))
            }
            Change::Flow { .. } => Err(ChangeError::Unknown),
            Change::Add { table, key, value, time } => {
                self.environment_mut().insert(*table, key, value.clone(), until(*time), now)?;
                self.check_tables()?;
                Ok(Effect::Done)
            }
            Change::Remove { table, key } => Ok(done(self.environment_mut().remove(*table, key)?)),
            Change::Set { param, value } => {
                self.set_param(*param, value)?;
                Ok(Effect::Done)
            }
        }
    }
}

fn done(something: bool) -> Effect {
    if something { Effect::Done } else { Effect::Nothing }
}
