//! The errors of a change as it is written. The invariant: each message says what is wrong and what
//! to write. (Rejected: text; the API must tell an unknown name, which is 404, from a wrong value.)

use super::UnknownName;
use serde_json::Value as Json;

/// What is wrong with a change, and what to write.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VerbError {
    /// The text is not a JSON object with the members of a change.
    #[error("{0}")]
    Object(String),
    /// There is no verb.
    #[error(
        "the line has no verb; use one of `raise`, `clear`, `suppress`, `unsuppress`, `add`, `remove`, `set`"
    )]
    NoVerb,
    /// There are two verbs.
    #[error("the line has both `{0}` and `{1}`; write two lines")]
    TwoVerbs(&'static str, &'static str),
    /// A member does not belong to the verb.
    #[error("`{verb}` has no member `{member}`; it has {}", list(.takes))]
    Member {
        /// The verb.
        verb: &'static str,
        /// The member.
        member: &'static str,
        /// The members that the verb has.
        takes: &'static [&'static str],
    },
    /// `set` has no value.
    #[error("`set` needs a `value`; add the new value of the param")]
    NoValue,
    /// There is a time, but the change is made now.
    #[error("remove `time`: the change is made now")]
    Time,
    /// There is no time.
    #[error("the line has no `time`; add one like `2024-05-01T10:00:00Z`, or seconds since 1970")]
    NoTime,
    /// The time is not one.
    #[error(
        "`time` must be like `2024-05-01T10:00:00Z`, or seconds since 1970, up to the year 2262, not {0}"
    )]
    Moment(Json),
    /// The duration is not one.
    #[error("`for` must be a duration such as `10m` or `1h`, not `{0}`")]
    Duration(String),
    /// The program does not have the name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// Only packets raise the trigger.
    #[error("trigger `{0}` is not `external`; add `external` to it in the rules to raise it by a command")]
    NotExternal(String),
    /// `for` is given for a trigger that holds as long as its flow.
    #[error(
        "trigger `{0}` holds as long as its flow; remove `for`, or write a time in the rules: `hold 10m`"
    )]
    LastsAsFlow(String),
    /// The row of a set has a value.
    #[error("table `{0}` is a set; remove `value`")]
    ValueOfSet(String),
    /// The row of a map has no value.
    #[error("table `{0}` is a map; add the `value` of the row")]
    NoValueOfMap(String),
    /// The key has a wrong number of parts; these are the types of the parts.
    #[error("{}", parts(.0))]
    Parts(Vec<&'static str>),
    /// The key does not name a flow.
    #[error("`key`: {0}")]
    Flow(String),
    /// A value has another type.
    #[error("{value} is not of type `{ty}`")]
    Type {
        /// The value as written.
        value: Json,
        /// The name of the type.
        ty: &'static str,
    },
    /// The table does not have the word.
    #[error("{value} is not one of the table's words: {}", .words.join(", "))]
    Word {
        /// The value as written.
        value: Json,
        /// The table's words.
        words: Vec<String>,
    },
    /// The value is outside of the bounds of the param.
    #[error("param `{param}` must be from {min} to {max}")]
    Bounds {
        /// The param.
        param: String,
        /// The lower bound.
        min: u64,
        /// The upper bound.
        max: u64,
    },
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn parts(types: &[&str]) -> String {
    match types {
        [] => "the trigger has no key; remove `key`".to_owned(),
        [one] => format!("`key` must have one part: {one}"),
        several => format!("`key` must be a list of {} parts: {}", several.len(), several.join(", ")),
    }
}
