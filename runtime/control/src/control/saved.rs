//! Rows of the state as types: what each column holds, and which rows cannot be read. The
//! invariants: kinds and members are named here alone, and tests pin them; a row that cannot be
//! read is a [`RefusedRow`] with its reason, never left out. (Rejected: a JSON object that each
//! reader takes apart; a column of JSON for all of it, in which SQL finds no key.)

use super::bundle::Bundle;
use super::row_key;
use super::{SetStation, Version};
use crate::event::verb::Verb;
use mrule_engine::policy::Origin;
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use serde::{Deserialize, Serialize};

/// The kinds of saved changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A table has no other rows than those of the same name.
    Whole,
    /// A row of a table, or that one is not there.
    Row,
    Param,
    Raise,
    Suppress,
    /// What a station was set to.
    Station,
    /// A station gets no copies.
    Drain,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Whole, Kind::Row, Kind::Param, Kind::Raise, Kind::Suppress, Kind::Station, Kind::Drain];

    /// As the column `kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::Row => "row",
            Kind::Param => "param",
            Kind::Raise => "raise",
            Kind::Suppress => "suppress",
            Kind::Station => "station",
            Kind::Drain => "drain",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A row of the table `changes`, but for its policy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SavedChange {
    pub kind: Kind,
    /// What was changed: a table, param, trigger or station.
    pub name: String,
    /// As [`row_key::encode`] gives it.
    pub key: String,
    /// When it was made: nanoseconds since the Unix epoch.
    pub time: i64,
    /// When it ends.
    pub until: Option<i64>,
    pub content: Content,
}

/// What a saved change does when it is made again: the column `object`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Whole,
    Drain,
    Station(SetStation),
    /// A line of a file of events, without its time.
    Change(Box<Verb>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeObject {
    whole: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainObject {
    drain: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StationObject {
    station: String,
    /// The words between its braces.
    is: String,
    origin: Option<SavedOrigin>,
}

/// Who wrote something.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedOrigin {
    Owner(bool),
    Client(String),
}

impl From<&Origin> for SavedOrigin {
    fn from(origin: &Origin) -> SavedOrigin {
        match origin {
            Origin::Owner => SavedOrigin::Owner(true),
            Origin::Client(name) => SavedOrigin::Client(name.to_string()),
        }
    }
}

impl SavedOrigin {
    /// What does not say who it was is a client's.
    pub fn origin(saved: Option<SavedOrigin>) -> Origin {
        match saved {
            Some(SavedOrigin::Owner(true)) => Origin::Owner,
            Some(SavedOrigin::Client(name)) => Origin::client(&name),
            Some(SavedOrigin::Owner(false)) | None => Origin::client("not recorded"),
        }
    }
}

impl Content {
    /// As JSON, for what was changed under this name.
    pub fn to_json(&self, name: &str) -> String {
        let name = name.to_owned();
        let json = match self {
            Content::Whole => serde_json::to_string(&WholeObject { whole: name }),
            Content::Drain => serde_json::to_string(&DrainObject { drain: name }),
            Content::Station(set) => {
                let origin = Some(SavedOrigin::from(&set.origin));
                serde_json::to_string(&StationObject { station: name, is: set.words.clone(), origin })
            }
            Content::Change(verb) => serde_json::to_string(verb),
        };
        // Maps with text keys and text always serialize.
        json.unwrap_or_default()
    }

    fn from_json(kind: Kind, name: &str, json: &str) -> Result<Content, String> {
        let refused = |error: serde_json::Error| format!("its `object` is no change: {error}");
        let (of, content) = match kind {
            Kind::Whole => {
                (serde_json::from_str::<WholeObject>(json).map_err(refused)?.whole, Content::Whole)
            }
            Kind::Drain => {
                (serde_json::from_str::<DrainObject>(json).map_err(refused)?.drain, Content::Drain)
            }
            Kind::Station => {
                let StationObject { station, is, origin } = serde_json::from_str(json).map_err(refused)?;
                let origin = SavedOrigin::origin(origin);
                (station, Content::Station(SetStation { words: is, origin }))
            }
            Kind::Row | Kind::Param | Kind::Raise | Kind::Suppress => {
                let verb: Verb = serde_json::from_str(json).map_err(refused)?;
                if kind_of(&verb) != Some(kind) {
                    return Err("its `object` has a verb of another `kind`".to_owned());
                }
                (verb.name().to_owned(), Content::Change(Box::new(verb)))
            }
        };
        match of == name {
            true => Ok(content),
            false => Err(format!("its `object` is about `{of}`, its `name` is `{name}`")),
        }
    }
}

/// The kind under which a verb is saved; none for the verbs that only delete saved changes.
fn kind_of(verb: &Verb) -> Option<Kind> {
    match verb {
        Verb::Add { .. } | Verb::Remove { .. } => Some(Kind::Row),
        Verb::Set { .. } => Some(Kind::Param),
        Verb::Raise { .. } => Some(Kind::Raise),
        Verb::Suppress { .. } => Some(Kind::Suppress),
        Verb::Clear { .. } | Verb::Unsuppress { .. } => None,
    }
}

/// A row of a table as it is saved: many of them, so its change is text already.
#[derive(Debug)]
pub(super) struct SavedTableRow {
    pub key: String,
    pub until: Option<i64>,
    /// The change that adds it, as text.
    pub object: String,
}

/// Where a row stands in the database, by its primary key as it is, whatever its type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RowLocation {
    Version { policy: Value, version: Value },
    Change { policy: Value, kind: Value, name: Value, key: Value },
}

/// A row that cannot be read. It stays in the database.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RefusedRow {
    pub place: RowLocation,
    /// Why, and what it is.
    pub why: String,
}

impl std::fmt::Display for RefusedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            RowLocation::Version { version, .. } => write!(f, "version {}", shown(version))?,
            RowLocation::Change { kind, name, key, .. } => {
                write!(f, "{} `{}`", shown(kind), shown(name))?;
                if *key != Value::Text(String::new()) {
                    write!(f, " with the key `{}`", shown(key))?;
                }
            }
        }
        write!(f, ": {}", self.why)
    }
}

/// How many refused rows a message names.
const NAMED: usize = 4;

/// Says how many rows of a policy cannot be read, which and why.
pub(super) fn refused_text(policy: &str, refused: &[RefusedRow]) -> Option<String> {
    let rows = match refused.len() {
        0 => return None,
        1 => "1 row".to_owned(),
        many => format!("{many} rows"),
    };
    let named: Vec<String> = refused.iter().take(NAMED).map(RefusedRow::to_string).collect();
    let more = match refused.len() {
        many @ 5.. => format!("; and {} more", many - NAMED),
        _ => String::new(),
    };
    Some(format!(
        "policy {policy}: {rows} of the state cannot be read and stay in `state.sqlite` as they are: {}{more}; load, \
         unload or release the policy to go on without",
        named.join("; ")
    ))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A column of any type.
fn any(row: &Row<'_>, column: &str) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        // Text that is no UTF-8 is found again by nothing but its bytes.
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_owned()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    })
}

fn text(row: &Row<'_>, column: &str) -> Result<String, String> {
    match any(row, column) {
        Ok(Value::Text(text)) => Ok(text),
        Ok(_) => Err(format!("its `{column}` is no text in UTF-8")),
        Err(error) => Err(error.to_string()),
    }
}

fn number(row: &Row<'_>, column: &str) -> Result<i64, String> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => Ok(number),
        Ok(_) => Err(format!("its `{column}` is no whole number")),
        Err(error) => Err(error.to_string()),
    }
}

/// The policy of a row, in words where it is not text.
pub(super) fn policy_of(row: &Row<'_>) -> rusqlite::Result<String> {
    Ok(shown(&any(row, "policy")?))
}

impl SavedChange {
    /// Reads a row of `changes`.
    ///
    /// # Errors
    /// The database's; inside, why the row is refused.
    pub fn read(row: &Row<'_>) -> rusqlite::Result<Result<SavedChange, RefusedRow>> {
        match SavedChange::of(row) {
            Ok(change) => Ok(Ok(change)),
            Err(why) => {
                let [policy, kind, name, key] =
                    ["policy", "kind", "name", "key"].map(|column| any(row, column));
                let place = RowLocation::Change { policy: policy?, kind: kind?, name: name?, key: key? };
                Ok(Err(RefusedRow { place, why }))
            }
        }
    }

    fn of(row: &Row<'_>) -> Result<SavedChange, String> {
        text(row, "policy")?;
        let (kind, name, key) = (text(row, "kind")?, text(row, "name")?, text(row, "key")?);
        let kind = Kind::named(&kind).ok_or("this mirrorc knows no changes of its `kind`")?;
        if row_key::decode(&key).is_none() {
            return Err("its `key` is not encoded as this mirrorc does it".to_owned());
        }
        let until = match row.get_ref("until") {
            Ok(ValueRef::Null) => None,
            _ => Some(number(row, "until")?),
        };
        let content = Content::from_json(kind, &name, &text(row, "object")?)?;
        Ok(SavedChange { kind, time: number(row, "time")?, name, key, until, content })
    }
}

/// A row of the table `versions`, but for its policy.
#[derive(Debug)]
pub(super) struct SavedVersion {
    pub version: Version,
    pub at_work: SavedAtWork,
}

/// The column `at_work`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SavedAtWork {
    Older = 0,
    Yes = 1,
    /// It was, until the policy was unloaded.
    Unloaded = 2,
}

impl SavedVersion {
    /// Reads a row of `versions`.
    ///
    /// # Errors
    /// The database's; inside, why the row is refused.
    pub fn read(row: &Row<'_>) -> rusqlite::Result<Result<SavedVersion, RefusedRow>> {
        match SavedVersion::of(row) {
            Ok(version) => Ok(Ok(version)),
            Err(why) => {
                let place =
                    RowLocation::Version { policy: any(row, "policy")?, version: any(row, "version")? };
                Ok(Err(RefusedRow { place, why }))
            }
        }
    }

    fn of(row: &Row<'_>) -> Result<SavedVersion, String> {
        text(row, "policy")?;
        let version = u64::try_from(number(row, "version")?);
        let version = version.map_err(|_| "its `version` is no number from 0")?;
        let bundle = Bundle::from_json(&text(row, "bundle")?);
        let bundle = bundle.map_err(|error| format!("its `bundle` is none: {error}"))?;
        let at_work = at_work(row)?;
        Ok(SavedVersion { version: Version { version, loaded: number(row, "loaded")?, bundle }, at_work })
    }
}

/// What a row of `versions` says of being at work, also where the rest of it cannot be read.
pub(super) fn at_work(row: &Row<'_>) -> Result<SavedAtWork, String> {
    match number(row, "at_work")? {
        0 => Ok(SavedAtWork::Older),
        1 => Ok(SavedAtWork::Yes),
        2 => Ok(SavedAtWork::Unloaded),
        other => Err(format!("its `at_work` is {other}, which this mirrorc does not know")),
    }
}
