//! The handlers for tables, params and triggers of a policy. The invariant: a change has the same
//! meaning as in a file of `run --events`, but takes effect now. (Rejected: separate structures for
//! the API; one page documents both.)

use super::Api;
use super::bodies::{Body, Incoming};
use super::problem::Problem;
use super::routes::query_params;
use crate::event::verb::Verb;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use mrule_engine::change::Effect;
use mrule_engine::trigger::Outcome;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

type ApiResult = Result<Answer<Json>, Problem>;

/// The largest number of rows in an answer.
const ROWS: usize = 10_000;

/// The longest row, in bytes.
const ROW: usize = 64 << 10;

pub(super) async fn tables(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> ApiResult {
    let tables = api.ask(move |api| api.control.tables(&policy)).await?;
    Ok(Answer(json!(tables)))
}

#[derive(Deserialize)]
struct PageParams {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

pub(super) async fn rows(
    State(api): State<Arc<Api>>,
    Path((policy, table)): Path<(String, String)>,
    uri: Uri,
) -> ApiResult {
    let PageParams { offset, limit } = query_params(&uri)?;
    let limit = limit.unwrap_or(1000).min(ROWS);
    let page = api.ask(move |api| api.control.rows(&policy, &table, offset, limit)).await?;
    Ok(Answer(json!(page)))
}

/// The least memory of a row in addition to its text, in bytes.
const ROW_TAKES: u64 = 128;

/// The bytes of rows that are read before they are parsed.
const ROWS_AT_ONCE: usize = 256 << 10;

/// Replaces all rows of a table by the JSON lines of the body. They are read here, without
/// blocking, and parsed in parts on a thread that may block; the table changes at the end, in one
/// step.
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path((policy, table)): Path<(String, String)>,
    request: Request,
) -> ApiResult {
    let mut incoming = Incoming::of(request)?;
    let mut rows = api.ask(move |api| api.control.rows_to_come(&policy, &table)).await?;
    let (mut text, mut over) = (Vec::new(), false);
    while !over {
        match incoming.part().await? {
            Some(part) => text.extend_from_slice(&part),
            None => over = true,
        }
        let whole = match text.iter().rposition(|byte| *byte == b'\n') {
            _ if over => text.len(),
            Some(end) => end + 1,
            None => 0,
        };
        if text.len() - whole > ROW {
            let line = rows.lines() + text[..whole].iter().filter(|byte| **byte == b'\n').count() + 1;
            let why = format!("row {line} is longer than {ROW} bytes; write each row on its own line");
            return Err(Problem::new(400, why));
        }
        if !over && whole < ROWS_AT_ONCE {
            continue;
        }
        let rest = text.split_off(whole);
        let lines = std::mem::replace(&mut text, rest);
        let before = rows.len();
        rows = api.ask(move |_| rows.read(&lines).map(|()| rows)).await?;
        incoming.taken.more((rows.len() - before) as u64 * ROW_TAKES)?;
    }
    let count = api.ask(move |api| api.control.replace_rows(rows)).await?;
    Ok(Answer(json!({ "rows": count })))
}

pub(super) async fn params(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> ApiResult {
    let params = api.ask(move |api| api.control.params(&policy)).await?;
    Ok(Answer(Json::from(params)))
}

pub(super) async fn set_param(
    State(api): State<Arc<Api>>,
    Path((policy, param)): Path<(String, String)>,
    Body(body): Body,
) -> ApiResult {
    change(&api, policy, "set", param, &body).await
}

pub(super) async fn reset_param(
    State(api): State<Arc<Api>>,
    Path((policy, param)): Path<(String, String)>,
) -> ApiResult {
    api.ask(move |api| api.control.reset_param(&policy, &param)).await?;
    Ok(Answer(json!({ "effect": "done" })))
}

pub(super) async fn triggers(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> ApiResult {
    let triggers = api.ask(move |api| api.control.triggers(&policy)).await?;
    Ok(Answer(json!(triggers)))
}

pub(super) async fn trigger(
    State(api): State<Arc<Api>>,
    Path((policy, trigger)): Path<(String, String)>,
) -> ApiResult {
    Ok(Answer(api.ask(move |api| api.control.active(&policy, &trigger)).await?))
}

pub(super) async fn change_table(
    State(api): State<Arc<Api>>,
    Path((policy, table, verb)): Path<(String, String, String)>,
    Body(body): Body,
) -> ApiResult {
    match verb.as_str() {
        "add" => change(&api, policy, "add", table, &body).await,
        "remove" => change(&api, policy, "remove", table, &body).await,
        _ => Err(Problem::new(404, format!("a table has no verb `{verb}`; use `add` or `remove`"))),
    }
}

pub(super) async fn change_trigger(
    State(api): State<Arc<Api>>,
    Path((policy, trigger, verb)): Path<(String, String, String)>,
    Body(body): Body,
) -> ApiResult {
    let verbs = ["raise", "clear", "suppress", "unsuppress"];
    match verbs.into_iter().find(|known| *known == verb) {
        Some(verb) => change(&api, policy, verb, trigger, &body).await,
        None => {
            Err(Problem::new(404, format!("a trigger has no verb `{verb}`; use one of {}", verbs.join(", "))))
        }
    }
}

/// Makes the change that the body describes.
async fn change(api: &Arc<Api>, policy: String, verb: &'static str, name: String, body: &[u8]) -> ApiResult {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut members: Map<String, Json> = serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, format!("the body must be a JSON object: {error}")))?;
    if let Some(word) = ["raise", "clear", "suppress", "unsuppress", "add", "remove", "set"]
        .into_iter()
        .find(|word| members.contains_key(*word))
    {
        return Err(Problem::new(
            400,
            format!("the path already names the verb; remove `{word}` from the body"),
        ));
    }
    members.insert(verb.to_owned(), Json::from(name));
    let verb = Verb::from_object(members).map_err(|error| Problem::new(400, error.to_string()))?;
    let effect = api.ask(move |api| api.control.change(&policy, &verb)).await?;
    let (effect, keys) = match effect {
        Effect::Raised(Outcome::Raised) => ("raised", None),
        Effect::Raised(Outcome::Extended) => ("extended", None),
        Effect::Raised(Outcome::Suppressed) => ("suppressed", None),
        Effect::Raised(Outcome::Full) => ("full", None),
        Effect::Raised(Outcome::Nothing | Outcome::Vetoed) | Effect::Nothing => ("nothing", None),
        Effect::Cleared(keys) => (if keys > 0 { "cleared" } else { "nothing" }, Some(keys)),
        Effect::Done => ("done", None),
    };
    let mut answer = json!({ "effect": effect });
    if let (Some(keys), Some(members)) = (keys, answer.as_object_mut()) {
        members.insert("keys".to_owned(), keys.into());
    }
    Ok(Answer(answer))
}
