//! Changes to a running policy from outside: triggers are raised, cleared and suppressed, rows of
//! tables come and go, params get other values. One form for all who ask for them. The invariant: a
//! change that is refused changes nothing. (Rejected: methods for each asker; what an operator does
//! live and what a file of events does must be the same.)

use crate::flow::FlowName;
use crate::policy::Policy;
use crate::trigger::{Outcome, key_values};
use mrule_compiler::environment::ChangeError;
use mrule_compiler::hir::{ParamId, TableId, Value};

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Raises an external trigger.
    Raise {
        /// By its place in the program.
        trigger: usize,
        /// For which key.
        key: Vec<Value>,
        /// For how long, in nanoseconds; none: for the trigger's hold.
        time: Option<i64>,
    },
    /// Ends a trigger's being active.
    Clear {
        /// By its place in the program.
        trigger: usize,
        /// For which key; none: for all.
        key: Option<Vec<Value>>,
    },
    /// From now on a trigger is not raised for a key, but counted.
    Suppress {
        /// By its place in the program.
        trigger: usize,
        /// For which key.
        key: Vec<Value>,
        /// Why.
        reason: String,
        /// For how long, in nanoseconds; none: until it is taken back.
        time: Option<i64>,
    },
    /// Takes that back.
    Unsuppress {
        /// By its place in the program.
        trigger: usize,
        /// For which key.
        key: Vec<Value>,
    },
    /// Does something about a trigger by flow to one flow.
    Flow {
        /// By its place in the program.
        trigger: usize,
        /// Which flow.
        flow: FlowName,
        /// What.
        act: FlowAct,
    },
    /// Puts a row into a table, or gives one another value.
    Add {
        /// Which table.
        table: TableId,
        /// Its key.
        key: Vec<Value>,
        /// Its value, in a map.
        value: Option<Value>,
        /// For how long, in nanoseconds; none: until it is taken out.
        time: Option<i64>,
    },
    /// Takes a row out of a table.
    Remove {
        /// Which table.
        table: TableId,
        /// Its key.
        key: Vec<Value>,
    },
    /// Gives a param another value.
    Set {
        /// Which param.
        param: ParamId,
        /// The value.
        value: Value,
    },
}

/// A change and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// What is to happen.
    pub change: Change,
    /// The line that says so, from 1.
    pub line: usize,
}

/// What is done about a trigger by flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowAct {
    /// It is raised: for so many nanoseconds, or for its hold.
    Raise(Option<i64>),
    /// Its being active ends.
    Clear,
    /// From now on it is not raised, but counted.
    Suppress {
        /// Why.
        reason: String,
        /// For how long, in nanoseconds; none: as long as the flow lives.
        time: Option<i64>,
    },
    /// That is taken back.
    Unsuppress,
}

/// Why nothing was done to a flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowRefusal {
    /// Nothing is known of flows.
    #[error(
        "no flows are kept, as no rule speaks of them; a trigger by flow does: `trigger keep by flow {{ external  hold flow }}`"
    )]
    Untracked,
    /// There is no such flow.
    #[error("there is no flow `{0}` now")]
    None(FlowName),
    /// The name may mean several.
    #[error("`{name}` may mean several flows: {}; give the whole name of one", listed(.all))]
    Several {
        /// The name.
        name: FlowName,
        /// Some of those that it may mean, by their whole names.
        all: Vec<FlowName>,
    },
    /// No room to remember it.
    #[error("there is no room: so many flows are suppressed as can be")]
    Full,
    /// Whoever decides by it is another version by now.
    #[error("another version was loaded meanwhile; try again")]
    Changed,
    /// Some worker did not answer in time.
    #[error("some workers are too busy to answer; try again")]
    Busy,
}

fn listed(names: &[FlowName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is wrong for the policy.
    #[error(transparent)]
    Change(ChangeError),
    /// Its flow is not to be had.
    #[error(transparent)]
    Flow(FlowRefusal),
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What raising did.
    Raised(Outcome),
    /// It is no longer active, for so many keys.
    Cleared(u64),
    /// It is done.
    Done,
    /// There was nothing to take back or to remove.
    Nothing,
}

impl Policy {
    /// Makes a change at a moment of packet time, in nanoseconds since the Unix epoch. Flows are
    /// not the policy's: whoever knows them changes them.
    ///
    /// # Errors
    /// [`ChangeError`]: no such name, a value of another type or out of bounds, no room; something
    /// about a flow.
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
