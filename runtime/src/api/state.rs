//! Tables, params and triggers of a policy. The invariant: a change means what the same words mean in a file of events
//! (`run --events`), but that it happens now. (Rejected: shapes of their own for the API; one page documents both.)

use super::problem::Problem;
use super::routes::{Body, ask_for};
use super::{Api, PATIENCE};
use crate::change::Effect;
use crate::trigger::Outcome;
use axum::Json as Answer;
use axum::body::Body as Stream;
use axum::extract::{Path, State};
use axum::http::Uri;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

type Answered = Result<Answer<Json>, Problem>;

/// The most rows of an answer.
const ROWS: usize = 10_000;

/// The longest row that is read, in bytes.
const ROW: u64 = 64 << 10;

pub(super) async fn tables(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> Answered {
    let tables = api.ask(move |api| api.control.tables(&policy)).await?;
    Ok(Answer(json!(tables)))
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    from: usize,
    most: Option<usize>,
}

pub(super) async fn rows(
    State(api): State<Arc<Api>>,
    Path((policy, table)): Path<(String, String)>,
    uri: Uri,
) -> Answered {
    let Part { from, most } = ask_for(&uri)?;
    let most = most.unwrap_or(1000).min(ROWS);
    let page = api.ask(move |api| api.control.rows(&policy, &table, from, most)).await?;
    Ok(Answer(json!(page)))
}

/// All rows of a table, a JSON object a line, read as they come.
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path((policy, table)): Path<(String, String)>,
    body: Stream,
) -> Answered {
    let (chunks, lines) = sync_channel(16);
    let feeding = tokio::spawn(async move {
        let mut body = body.into_data_stream();
        loop {
            let mut chunk = match tokio::time::timeout(PATIENCE, body.next()).await {
                Ok(Some(Ok(chunk))) => Ok(chunk),
                Ok(None) => return,
                Ok(Some(Err(error))) => Err(error.to_string()),
                Err(_) => Err(format!("nothing came for {} s", PATIENCE.as_secs())),
            };
            // The reader takes it in its own time, on a thread that may wait; here nobody may.
            while let Err(full) = chunks.try_send(chunk) {
                match full {
                    std::sync::mpsc::TrySendError::Full(back) => chunk = back,
                    std::sync::mpsc::TrySendError::Disconnected(_) => return,
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    });
    let count = api.ask(move |api| api.control.replace_rows(&policy, &table, Lines::new(lines))).await;
    feeding.abort();
    Ok(Answer(json!({ "rows": count? })))
}

type Chunk = Result<axum::body::Bytes, String>;

/// The objects of a body, line by line.
struct Lines {
    from: BufReader<Chunks>,
    over: bool,
}

struct Chunks {
    chunks: Receiver<Chunk>,
    now: axum::body::Bytes,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.recv() {
                Ok(Ok(next)) => self.now = next,
                Ok(Err(error)) => return Err(std::io::Error::other(error)),
                Err(_) => return Ok(0),
            }
        }
        let part = self.now.split_to(into.len().min(self.now.len()));
        into[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}

impl Lines {
    fn new(chunks: Receiver<Chunk>) -> Lines {
        Lines { from: BufReader::new(Chunks { chunks, now: axum::body::Bytes::new() }), over: false }
    }

    fn read(&mut self) -> Result<Option<Map<String, Json>>, String> {
        loop {
            let mut line = Vec::new();
            let length =
                (&mut self.from).take(ROW).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 == ROW && !line.ends_with(b"\n") {
                return Err(format!("it is longer than {ROW} bytes; each row is a line"));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(&line).map(Some).map_err(|error| {
                format!("{error}; a row is like {{\"key\": [\"10.0.0.1\"], \"value\": \"alice\", \"for\": \"10m\"}}")
            });
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Map<String, Json>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read();
        self.over = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

pub(super) async fn params(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> Answered {
    let params = api.ask(move |api| api.control.params(&policy)).await?;
    Ok(Answer(Json::from(params)))
}

pub(super) async fn set_param(
    State(api): State<Arc<Api>>,
    Path((policy, param)): Path<(String, String)>,
    Body(body): Body,
) -> Answered {
    change(&api, policy, "set", param, &body).await
}

pub(super) async fn reset_param(
    State(api): State<Arc<Api>>,
    Path((policy, param)): Path<(String, String)>,
) -> Answered {
    api.ask(move |api| api.control.reset_param(&policy, &param)).await?;
    Ok(Answer(json!({ "effect": "done" })))
}

pub(super) async fn triggers(State(api): State<Arc<Api>>, Path(policy): Path<String>) -> Answered {
    let triggers = api.ask(move |api| api.control.triggers(&policy)).await?;
    Ok(Answer(json!(triggers)))
}

pub(super) async fn trigger(
    State(api): State<Arc<Api>>,
    Path((policy, trigger)): Path<(String, String)>,
) -> Answered {
    Ok(Answer(api.ask(move |api| api.control.active(&policy, &trigger)).await?))
}

pub(super) async fn change_table(
    State(api): State<Arc<Api>>,
    Path((policy, table, verb)): Path<(String, String, String)>,
    Body(body): Body,
) -> Answered {
    match verb.as_str() {
        "add" => change(&api, policy, "add", table, &body).await,
        "remove" => change(&api, policy, "remove", table, &body).await,
        _ => Err(Problem::new(404, format!("a table takes `add` and `remove`, not `{verb}`"))),
    }
}

pub(super) async fn change_trigger(
    State(api): State<Arc<Api>>,
    Path((policy, trigger, verb)): Path<(String, String, String)>,
    Body(body): Body,
) -> Answered {
    let verbs = ["raise", "clear", "suppress", "unsuppress"];
    match verbs.into_iter().find(|known| *known == verb) {
        Some(verb) => change(&api, policy, verb, trigger, &body).await,
        None => Err(Problem::new(404, format!("a trigger takes {}, not `{verb}`", verbs.join(", ")))),
    }
}

/// Makes a change whose members are the body.
async fn change(api: &Arc<Api>, policy: String, verb: &'static str, name: String, body: &[u8]) -> Answered {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut members: Map<String, Json> = serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, format!("the body is a JSON object: {error}")))?;
    if let Some(word) = ["raise", "clear", "suppress", "unsuppress", "add", "remove", "set"]
        .into_iter()
        .find(|word| members.contains_key(*word))
    {
        return Err(Problem::new(400, format!("the path says what to do; leave out `{word}`")));
    }
    members.insert(verb.to_owned(), Json::from(name));
    let effect = api.ask(move |api| api.control.change(&policy, members)).await?;
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
