//! The event history. The invariant: a page is bounded and names the start of the next page; a
//! client that follows these names misses no recorded event. (Rejected: pages by time; several
//! events can have the same time.)

use super::Api;
use super::caller::Caller;
use super::problem::Problem;
use super::routes::query_params;
use crate::control::Refusal;
use crate::event::Kind;
use crate::history::{MOST, Query};
use axum::Extension;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mrule_dataplane::clock::now;
use mrule_grammar::units::{UnitKind, unit};
use serde::Deserialize;
use std::sync::Arc;

/// The query parameters.
pub(super) const QUERY: &[(&str, &str)] = &[
    (
        "since",
        "Only events after this time: 2030-01-31T12:00:00Z, or a time span before now: 1h; without `since` and `after`, the newest events",
    ),
    ("after", "Only events after the event with this number: the `next` of the previous page"),
    ("kind", "Only events of these kinds, separated by commas: raised,change"),
    ("limit", "The largest number of events, up to 1000; the default is 100"),
];

#[derive(Deserialize)]
struct HistoryParams {
    since: Option<String>,
    after: Option<u64>,
    kind: Option<String>,
    limit: Option<usize>,
}

/// Parses a list of kinds; none means all kinds.
pub(super) fn kinds(names: Option<&str>) -> Result<Vec<Kind>, Problem> {
    let kind = |name: &str| {
        let all = || Kind::ALL.map(Kind::name).join(", ");
        let none = || Problem::new(400, format!("there is no kind `{name}`; the kinds are {}", all()));
        Kind::named(name).ok_or_else(none)
    };
    names.into_iter().flat_map(|names| names.split(',')).map(kind).collect()
}

pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let HistoryParams { since, after, kind, limit } = query_params(&uri)?;
    let bad = |why: String| Problem::new(400, why);
    let since = since.as_deref().map(time).transpose().map_err(bad)?;
    let kinds = kinds(kind.as_deref())?;
    let query = Query { after, since, kinds, policy: caller.policy, limit: limit.unwrap_or(100).min(MOST) };
    let found = api.ask(move |api| {
        let history = api.control.history();
        history
            .map(|history| history.find(&query))
            .ok_or_else(|| Refusal::Unknown("this run has no event history".into()))
    });
    let found = found.await?;
    // The lines are JSON objects already; each gets its number.
    let lines = found.events.iter().map(|entry| {
        let members = entry.line.strip_prefix('{').unwrap_or("}");
        format!("{{\"id\":{},{members}", entry.id)
    });
    let lines = lines.collect::<Vec<_>>().join(",\n");
    let next = found.next.map_or("null".to_owned(), |next| next.to_string());
    let text = format!("{{\"events\":[{lines}],\"next\":{next}}}");
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// A time, or a time span before now, in nanoseconds since the Unix epoch.
fn time(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, name) = text.split_at(digits);
    let scale = unit(name).filter(|unit| unit.kind == UnitKind::Duration).map(|unit| unit.scale);
    let ago = scale.and_then(|scale| i64::try_from(number.parse::<u64>().ok()?.checked_mul(scale)?).ok());
    let ago = ago.ok_or_else(|| {
        format!(
            "`{text}` is not a time; write `2030-01-31T12:00:00Z`, or a time span before now, `30m` or `1h`"
        )
    })?;
    Ok(now().saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        assert_eq!(time("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000_000_000));
        let then = time("1h").unwrap();
        let ago = now() - then;
        assert!((3_600_000_000_000..3_700_000_000_000).contains(&ago), "{ago}");
        for wrong in ["", "1", "1KiB", "yesterday", "99999999999999999999h", "-1h"] {
            assert!(time(wrong).unwrap_err().contains("is not a time"), "{wrong}");
        }
    }
}
