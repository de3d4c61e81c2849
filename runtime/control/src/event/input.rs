//! Reads changes with packet times from a file of JSON lines. Each line has a time, one verb with a
//! name, and the arguments of the verb:
//!
//! ```json
//! {"time": "2024-05-01T10:00:00Z", "raise": "attack", "key": "10.0.0.1", "for": "10m"}
//! {"time": 1714557600.25, "clear": "attack", "key": ["10.0.0.1"]}
//! {"time": "1714557600.250000001", "add": "users", "key": "10.0.0.1", "value": "alice"}
//! ```
//!
//! The invariant: the whole file is checked against the program before the first packet; a change
//! takes effect before the first packet with the same or a later time. (Rejected: packet numbers as
//! times; they mean nothing in a live run.)

use jiff::Timestamp;
use mrule_compiler::hir::{ParamId, Program, Scope, TableId, Value, ValueTy};
use mrule_compiler::table::text;
use mrule_engine::change::{Change, FlowAct, Timed};
use mrule_engine::flow::FlowName;
use serde::Deserialize;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// Why a file of changes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("`{}`, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong, and what to write.
        what: String,
    },
}

/// The members of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    time: Json,
    raise: Option<String>,
    clear: Option<String>,
    suppress: Option<String>,
    unsuppress: Option<String>,
    add: Option<String>,
    remove: Option<String>,
    set: Option<String>,
    key: Option<Json>,
    value: Option<Json>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    reason: Option<String>,
}

/// Reads a file of changes for a program, sorted by time; changes with the same time stay in file
/// order.
///
/// # Errors
/// [`InputError`]: an unreadable file, or the first line that is wrong.
pub fn read(path: &Path, program: &Program) -> Result<Vec<Timed>, InputError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| InputError::Read { path: path.to_owned(), source })?;
    parse(&text, program).map_err(|(line, what)| InputError::Line { path: path.to_owned(), line, what })
}

/// Reads changes from text.
///
/// # Errors
/// The first line that is wrong, from 1, and what is wrong with it.
pub fn parse(text: &str, program: &Program) -> Result<Vec<Timed>, (usize, String)> {
    let mut events = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let read: Line = serde_json::from_str(text).map_err(|error| (line, json_error(&error)))?;
        let (time, change) = read.understand(program).map_err(|what| (line, what))?;
        events.push(Timed { time, change, line });
    }
    events.sort_by_key(|event| event.time);
    Ok(events)
}

/// Reads one change, without a time: an object with the same members except `time`.
///
/// # Errors
/// What is wrong with it.
pub fn change(mut object: serde_json::Map<String, Json>, program: &Program) -> Result<Change, String> {
    if object.contains_key("time") {
        return Err("remove `time`: the change is made now".to_owned());
    }
    object.insert("time".to_owned(), Json::from(0));
    let read: Line = serde_json::from_value(Json::Object(object)).map_err(|error| error.to_string())?;
    Ok(read.understand(program)?.1)
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

impl Line {
    fn understand(self, program: &Program) -> Result<(i64, Change), String> {
        let time = moment(&self.time)?;
        let verbs = [
            ("raise", &self.raise),
            ("clear", &self.clear),
            ("suppress", &self.suppress),
            ("unsuppress", &self.unsuppress),
            ("add", &self.add),
            ("remove", &self.remove),
            ("set", &self.set),
        ];
        let mut said = verbs.iter().filter_map(|(verb, name)| Some((*verb, name.as_deref()?)));
        let Some((verb, name)) = said.next() else {
            return Err("the line has no verb; use one of `raise`, `clear`, `suppress`, `unsuppress`, `add`, `remove`, `set`".into());
        };
        if let Some((other, _)) = said.next() {
            return Err(format!("the line has both `{verb}` and `{other}`; write two lines"));
        }
        let takes: &[&str] = match verb {
            "raise" => &["key", "for"],
            "suppress" => &["key", "for", "reason"],
            "add" => &["key", "value", "for"],
            "set" => &["value"],
            _ => &["key"],
        };
        let given = [
            ("key", self.key.is_some()),
            ("value", self.value.is_some()),
            ("for", self.lasts.is_some()),
            ("reason", self.reason.is_some()),
        ];
        if let Some((member, _)) = given.iter().find(|(member, given)| *given && !takes.contains(member)) {
            return Err(format!("`{verb}` has no member `{member}`; it has {}", list(takes.iter().copied())));
        }
        let lasts = match &self.lasts {
            None => None,
            Some(text) => match text::value(ValueTy::Duration, &[], text) {
                Some(Value::Num(time)) => Some(i64::try_from(time).unwrap_or(i64::MAX)),
                _ => return Err(format!("`for` must be a duration such as `10m` or `1h`, not `{text}`")),
            },
        };
        let change = match verb {
            "add" | "remove" => {
                let at = find("table", name, program.tables.iter().map(|t| t.name.as_str()))?;
                let table = TableId(at as u32);
                let Some(form) = program.tables.get(at).map(|table| table.start.form()) else {
                    return Err(String::new());
                };
                let (types, value) = (&*form.key, form.value);
                let key = key_of(self.key.as_ref(), types)?;
                match (verb, value, &self.value) {
                    ("remove", ..) => Change::Remove { table, key },
                    (_, None, Some(_)) => {
                        return Err(format!("table `{name}` is a set; remove `value`"));
                    }
                    (_, None, None) => Change::Add { table, key, value: None, time: lasts },
                    (_, Some(_), None) => {
                        return Err(format!("table `{name}` is a map; add the `value` of the row"));
                    }
                    (_, Some(ty), Some(value)) => {
                        let value = Some(value_of(value, ty, &form.words)?);
                        Change::Add { table, key, value, time: lasts }
                    }
                }
            }
            "set" => {
                let at = find("param", name, program.params.iter().map(|p| p.name.as_str()))?;
                let Some(param) = program.params.get(at) else { return Err(String::new()) };
                let Some(value) = &self.value else { return Err("`set` needs a `value`".into()) };
                let value = value_of(value, param.ty, &[])?;
                let (low, high) = param.bounds;
                if matches!(value, Value::Num(n) if !(low..=high).contains(&n)) {
                    return Err(format!("param `{name}` must be from {low} to {high}"));
                }
                Change::Set { param: ParamId(at as u32), value }
            }
            _ => {
                let at = find("trigger", name, program.triggers.iter().map(|t| t.name.as_str()))?;
                let Some(trigger) = program.triggers.get(at) else { return Err(String::new()) };
                if verb == "raise" && !trigger.external {
                    return Err(format!(
                        "trigger `{name}` is not `external`; add `external` to it in the rules to raise it by a command"
                    ));
                }
                if verb == "clear" && self.key.is_none() {
                    return Ok((time, Change::Clear { trigger: at, key: None }));
                }
                if trigger.is_by_flow() {
                    let flow = flow_of(self.key.as_ref())?;
                    let lasts_as_the_flow = matches!(trigger.scope, Scope::Flow(_));
                    let act = match verb {
                        "raise" if lasts.is_some() && lasts_as_the_flow => {
                            return Err(format!(
                                "trigger `{name}` holds as long as its flow; remove `for`, or write a time in the rules: `hold 10m`"
                            ));
                        }
                        "raise" => FlowAct::Raise(lasts),
                        "clear" => FlowAct::Clear,
                        "suppress" => {
                            FlowAct::Suppress { reason: self.reason.unwrap_or_default(), time: lasts }
                        }
                        _ => FlowAct::Unsuppress,
                    };
                    return Ok((time, Change::Flow { trigger: at, flow, act }));
                }
                let key = key_of(self.key.as_ref(), trigger.key())?;
                match verb {
                    "raise" => Change::Raise { trigger: at, key, time: lasts },
                    "clear" => Change::Clear { trigger: at, key: Some(key) },
                    "suppress" => {
                        let reason = self.reason.unwrap_or_default();
                        Change::Suppress { trigger: at, key, reason, time: lasts }
                    }
                    _ => Change::Unsuppress { trigger: at, key },
                }
            }
        };
        Ok((time, change))
    }
}

/// A time: RFC 3339, or seconds since the Unix epoch as a number or text.
fn moment(time: &Json) -> Result<i64, String> {
    let text = match time {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => String::new(),
    };
    if let Some(time) = seconds(&text) {
        return Ok(time);
    }
    let parsed = text.parse::<Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    parsed.ok_or_else(|| {
        format!("`time` must be like `2024-05-01T10:00:00Z`, or seconds since 1970, up to the year 2262, not {time}")
    })
}

/// Seconds with up to nine decimals, exactly.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse::<i64>().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// The index of a name.
pub(crate) fn find<'n>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<usize, String> {
    names.clone().position(|other| other == name).ok_or_else(|| {
        let known = names.map(|name| format!("`{name}`")).take(8).collect::<Vec<_>>();
        if known.is_empty() {
            format!("there is no {what} `{name}`: the program has none")
        } else {
            format!("there is no {what} `{name}`; the program has {}", known.join(", "))
        }
    })
}

fn key_of(key: Option<&Json>, types: &[ValueTy]) -> Result<Vec<Value>, String> {
    let parts: &[Json] = match key {
        None => &[],
        Some(Json::Array(parts)) => parts,
        Some(part) => std::slice::from_ref(part),
    };
    if parts.len() != types.len() {
        let names: Vec<&str> = types.iter().map(|ty| text::name(*ty)).collect();
        return Err(match names.as_slice() {
            [] => "the trigger has no key; remove `key`".to_owned(),
            [one] => format!("`key` must have one part: {one}"),
            several => format!("`key` must be a list of {} parts: {}", several.len(), several.join(", ")),
        });
    }
    parts.iter().zip(types).map(|(part, ty)| value_of(part, *ty, &[])).collect()
}

/// A flow's name: text, or a list of its parts.
fn flow_of(key: Option<&Json>) -> Result<FlowName, String> {
    let word = |part: &Json| match part {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = match key {
        None => String::new(),
        Some(Json::Array(parts)) => parts.iter().map(word).collect::<Vec<_>>().join(" "),
        Some(part) => word(part),
    };
    text.parse().map_err(|wrong| format!("`key`: {wrong}"))
}

/// A value of a type: text as in a cell of a table file, or a JSON number or boolean.
fn value_of(value: &Json, ty: ValueTy, words: &[String]) -> Result<Value, String> {
    let given = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(truth) => truth.to_string(),
        _ => String::new(),
    };
    text::value(ty, words, &given).ok_or_else(|| match ty {
        ValueTy::Word => format!("{value} is not one of the table's words: {}", words.join(", ")),
        _ => format!("{value} is not of type `{}`", text::name(ty)),
    })
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
