//! A change as it is written: a JSON object with one verb, the name of a trigger, table or param,
//! and the members of the verb. The invariant: change files, the API and saved changes all use this
//! type, and its errors say what to write. (Rejected: a JSON object that each reader takes apart;
//! the readers would differ in the members that they know.)

mod error;
mod names;
mod values;

pub use error::VerbError;
pub use names::UnknownName;
pub(crate) use names::{find, param_named, table_named, trigger_named};

use mrule_compiler::hir::{Program, Scope, Value};
use mrule_engine::change::{Change, FlowAct};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use values::{duration, flow_of, key_of, moment, value_of};

/// A verb with its members; [`Verb::change`] checks names, keys and values against a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub enum Verb {
    /// Raises an external trigger.
    Raise {
        /// The name.
        trigger: String,
        /// The key or flow.
        key: Option<Json>,
        /// How long, such as `10m`.
        lasts: Option<String>,
    },
    /// Makes a trigger inactive.
    Clear {
        /// The name.
        trigger: String,
        /// The key or flow; none means all of them.
        key: Option<Json>,
    },
    /// Prevents raises of a trigger for a key.
    Suppress {
        /// The name.
        trigger: String,
        /// The key or flow.
        key: Option<Json>,
        /// How long.
        lasts: Option<String>,
        /// The reason.
        reason: Option<String>,
    },
    /// Ends a suppression.
    Unsuppress {
        /// The name.
        trigger: String,
        /// The key or flow.
        key: Option<Json>,
    },
    /// Adds a row to a table.
    Add {
        /// The name.
        table: String,
        /// The row's key.
        key: Option<Json>,
        /// The row's value, in a map.
        value: Option<Json>,
        /// How long.
        lasts: Option<String>,
    },
    /// Removes a row of a table.
    Remove {
        /// The name.
        table: String,
        /// The row's key.
        key: Option<Json>,
    },
    /// Sets a param.
    Set {
        /// The name.
        param: String,
        /// The value.
        value: Json,
    },
}

/// The members of the JSON object, in the order of their names: saved changes have this order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<String>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsuppress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
}

impl Members {
    /// Checks that there are only members of the verb.
    fn only(&self, verb: &'static str, takes: &'static [&'static str]) -> Result<(), VerbError> {
        let given = [
            ("key", self.key.is_some()),
            ("value", self.value.is_some()),
            ("for", self.lasts.is_some()),
            ("reason", self.reason.is_some()),
        ];
        match given.into_iter().find(|(member, given)| *given && !takes.contains(member)) {
            Some((member, _)) => Err(VerbError::Member { verb, member, takes }),
            None => Ok(()),
        }
    }
}

impl TryFrom<Members> for Verb {
    type Error = VerbError;

    fn try_from(mut members: Members) -> Result<Verb, VerbError> {
        let verbs = [
            ("raise", members.raise.take()),
            ("clear", members.clear.take()),
            ("suppress", members.suppress.take()),
            ("unsuppress", members.unsuppress.take()),
            ("add", members.add.take()),
            ("remove", members.remove.take()),
            ("set", members.set.take()),
        ];
        let mut said = verbs.into_iter().filter_map(|(verb, name)| Some((verb, name?)));
        let (verb, name) = said.next().ok_or(VerbError::NoVerb)?;
        if let Some((other, _)) = said.next() {
            return Err(VerbError::TwoVerbs(verb, other));
        }
        members.only(verb, takes(verb))?;
        if members.time.is_some() {
            return Err(VerbError::Time);
        }
        let Members { key, value, lasts, reason, .. } = members;
        Ok(match verb {
            "raise" => Verb::Raise { trigger: name, key, lasts },
            "clear" => Verb::Clear { trigger: name, key },
            "suppress" => Verb::Suppress { trigger: name, key, lasts, reason },
            "unsuppress" => Verb::Unsuppress { trigger: name, key },
            "add" => Verb::Add { table: name, key, value, lasts },
            "remove" => Verb::Remove { table: name, key },
            _ => Verb::Set { param: name, value: value.ok_or(VerbError::NoValue)? },
        })
    }
}

/// The members of a verb.
fn takes(verb: &str) -> &'static [&'static str] {
    match verb {
        "raise" => &["key", "for"],
        "suppress" => &["key", "for", "reason"],
        "add" => &["key", "value", "for"],
        "set" => &["value"],
        _ => &["key"],
    }
}

impl From<Verb> for Members {
    fn from(verb: Verb) -> Members {
        let none = Members::default();
        match verb {
            Verb::Raise { trigger, key, lasts } => Members { raise: Some(trigger), key, lasts, ..none },
            Verb::Clear { trigger, key } => Members { clear: Some(trigger), key, ..none },
            Verb::Suppress { trigger, key, lasts, reason } => {
                Members { suppress: Some(trigger), key, lasts, reason, ..none }
            }
            Verb::Unsuppress { trigger, key } => Members { unsuppress: Some(trigger), key, ..none },
            Verb::Add { table, key, value, lasts } => Members { add: Some(table), key, value, lasts, ..none },
            Verb::Remove { table, key } => Members { remove: Some(table), key, ..none },
            Verb::Set { param, value } => Members { set: Some(param), value: Some(value), ..none },
        }
    }
}

impl Verb {
    /// Reads an object without a time.
    ///
    /// # Errors
    /// What is wrong with the object.
    pub fn from_object(object: Map<String, Json>) -> Result<Verb, VerbError> {
        let members: Members = serde_json::from_value(Json::Object(object))
            .map_err(|error| VerbError::Object(error.to_string()))?;
        Verb::try_from(members)
    }

    /// Reads a line; returns its time, in nanoseconds since the Unix epoch, and the verb.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn from_line(line: &str) -> Result<(i64, Verb), VerbError> {
        let mut members: Members =
            serde_json::from_str(line).map_err(|error| VerbError::Object(json_error(&error)))?;
        let time = moment(&members.time.take().unwrap_or_default())?;
        Ok((time, Verb::try_from(members)?))
    }

    /// The name of its trigger, table or param.
    pub fn name(&self) -> &str {
        match self {
            Verb::Raise { trigger, .. }
            | Verb::Clear { trigger, .. }
            | Verb::Suppress { trigger, .. }
            | Verb::Unsuppress { trigger, .. } => trigger,
            Verb::Add { table, .. } | Verb::Remove { table, .. } => table,
            Verb::Set { param, .. } => param,
        }
    }

    /// The change of a program that the verb asks for.
    ///
    /// # Errors
    /// An unknown name, or a wrong key or value.
    pub fn change(&self, program: &Program) -> Result<Change, VerbError> {
        match self {
            Verb::Raise { trigger, key, lasts } => {
                let (at, about) = trigger_named(program, trigger)?;
                if !about.external {
                    return Err(VerbError::NotExternal(trigger.clone()));
                }
                let time = duration(lasts.as_deref())?;
                if !about.is_by_flow() {
                    return Ok(Change::Raise { trigger: at, key: key_of(key.as_ref(), about.key())?, time });
                }
                let flow = flow_of(key.as_ref())?;
                if time.is_some() && matches!(about.scope, Scope::Flow(_)) {
                    return Err(VerbError::LastsAsFlow(trigger.clone()));
                }
                Ok(Change::Flow { trigger: at, flow, act: FlowAct::Raise(time) })
            }
            Verb::Clear { trigger, key } => {
                let (at, about) = trigger_named(program, trigger)?;
                match key {
                    None => Ok(Change::Clear { trigger: at, key: None }),
                    Some(_) if about.is_by_flow() => {
                        Ok(Change::Flow { trigger: at, flow: flow_of(key.as_ref())?, act: FlowAct::Clear })
                    }
                    Some(_) => {
                        let key = Some(key_of(key.as_ref(), about.key())?);
                        Ok(Change::Clear { trigger: at, key })
                    }
                }
            }
            Verb::Suppress { trigger, key, lasts, reason } => {
                let (at, about) = trigger_named(program, trigger)?;
                let (time, reason) = (duration(lasts.as_deref())?, reason.clone().unwrap_or_default());
                if about.is_by_flow() {
                    let act = FlowAct::Suppress { reason, time };
                    return Ok(Change::Flow { trigger: at, flow: flow_of(key.as_ref())?, act });
                }
                let key = key_of(key.as_ref(), about.key())?;
                Ok(Change::Suppress { trigger: at, key, reason, time })
            }
            Verb::Unsuppress { trigger, key } => {
                let (at, about) = trigger_named(program, trigger)?;
                if about.is_by_flow() {
                    let flow = flow_of(key.as_ref())?;
                    return Ok(Change::Flow { trigger: at, flow, act: FlowAct::Unsuppress });
                }
                Ok(Change::Unsuppress { trigger: at, key: key_of(key.as_ref(), about.key())? })
            }
            Verb::Add { table, key, value, lasts } => {
                let (id, about) = table_named(program, table)?;
                let (form, time) = (about.start.form(), duration(lasts.as_deref())?);
                let key = key_of(key.as_ref(), &form.key)?;
                let value = match (form.value, value) {
                    (None, Some(_)) => return Err(VerbError::ValueOfSet(table.clone())),
                    (Some(_), None) => return Err(VerbError::NoValueOfMap(table.clone())),
                    (None, None) => None,
                    (Some(ty), Some(value)) => Some(value_of(value, ty, &form.words)?),
                };
                Ok(Change::Add { table: id, key, value, time })
            }
            Verb::Remove { table, key } => {
                let (id, about) = table_named(program, table)?;
                Ok(Change::Remove { table: id, key: key_of(key.as_ref(), &about.start.form().key)? })
            }
            Verb::Set { param, value } => {
                let (id, about) = param_named(program, param)?;
                let value = value_of(value, about.ty, &[])?;
                let (min, max) = about.bounds;
                if matches!(value, Value::Num(n) if !(min..=max).contains(&n)) {
                    return Err(VerbError::Bounds { param: param.clone(), min, max });
                }
                Ok(Change::Set { param: id, value })
            }
        }
    }
}

/// The error of serde, without its line number, which is always 1.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    let said = text.get(..end).unwrap_or(&text);
    format!(
        "{said} (column {}); a line is like {{\"time\": \"2024-05-01T10:00:00Z\", \"raise\": \"attack\", \"key\": \"10.0.0.1\"}}",
        error.column()
    )
}

#[cfg(test)]
mod tests;
