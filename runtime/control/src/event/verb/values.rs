//! Reads keys, values and times of changes. The invariant: a value has the same meaning as the same
//! text in a table file. (Rejected: a JSON type for each type; a MAC or a duration has none.)

use super::VerbError;
use jiff::Timestamp;
use mrule_compiler::hir::{Value, ValueTy};
use mrule_compiler::table::text;
use mrule_engine::flow::FlowName;
use serde_json::Value as Json;

pub(super) fn duration(text: Option<&str>) -> Result<Option<i64>, VerbError> {
    let Some(text) = text else { return Ok(None) };
    match text::value(ValueTy::Duration, &[], text) {
        Some(Value::Num(time)) => Ok(Some(i64::try_from(time).unwrap_or(i64::MAX))),
        _ => Err(VerbError::Duration(text.to_owned())),
    }
}

/// A time: RFC 3339, or seconds since the Unix epoch as a number or text.
pub(super) fn moment(time: &Json) -> Result<i64, VerbError> {
    let text = match time {
        Json::Null => return Err(VerbError::NoTime),
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => String::new(),
    };
    if let Some(time) = seconds(&text) {
        return Ok(time);
    }
    let parsed = text.parse::<Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    parsed.ok_or_else(|| VerbError::Moment(time.clone()))
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

pub(super) fn key_of(key: Option<&Json>, types: &[ValueTy]) -> Result<Vec<Value>, VerbError> {
    let parts: &[Json] = match key {
        None => &[],
        Some(Json::Array(parts)) => parts,
        Some(part) => std::slice::from_ref(part),
    };
    if parts.len() != types.len() {
        return Err(VerbError::Parts(types.iter().map(|ty| text::name(*ty)).collect()));
    }
    parts.iter().zip(types).map(|(part, ty)| value_of(part, *ty, &[])).collect()
}

/// A flow's name: text, or a list of its parts.
pub(super) fn flow_of(key: Option<&Json>) -> Result<FlowName, VerbError> {
    let word = |part: &Json| match part {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = match key {
        None => String::new(),
        Some(Json::Array(parts)) => parts.iter().map(word).collect::<Vec<_>>().join(" "),
        Some(part) => word(part),
    };
    text.parse().map_err(VerbError::Flow)
}

/// A value of a type: text as in a cell of a table file, or a JSON number or boolean.
pub(super) fn value_of(value: &Json, ty: ValueTy, words: &[String]) -> Result<Value, VerbError> {
    let given = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(truth) => truth.to_string(),
        _ => String::new(),
    };
    text::value(ty, words, &given).ok_or_else(|| match ty {
        ValueTy::Word => VerbError::Word { value: value.clone(), words: words.to_vec() },
        _ => VerbError::Type { value: value.clone(), ty: text::name(ty) },
    })
}
