//! Streams events as server-sent events (WHATWG HTML, section 9.2). The invariants: each event of
//! the history has its number as `id`, in growing order; a client that returns with `Last-Event-ID`
//! or `after` gets the events that it has missed, and the number of events that the history no
//! longer has; a stream ends within a second after its token is revoked. (Rejected: a WebSocket;
//! server-sent events are lines that curl prints.)

use super::Api;
use super::caller::Caller;
use super::connections::Holding;
use super::history::kinds;
use super::problem::Problem;
use super::routes::query_params;
use crate::event::{Kind, Listener, PublishedEvent};
use crate::history::{MOST, Query};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// The query parameters.
pub(super) const QUERY: &[(&str, &str)] = &[
    (
        "after",
        "Begin with the events after the event with this number; the header `Last-Event-ID` does the same and takes precedence",
    ),
    ("kind", "Only events of these kinds, separated by commas: raised,change"),
];

#[derive(Deserialize)]
struct StreamParams {
    after: Option<u64>,
    kind: Option<String>,
}

pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let StreamParams { after, kind } = query_params(&uri)?;
    let kinds = kinds(kind.as_deref())?;
    let after = match headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().trim()) {
        None | Some("") => after,
        Some(id) => {
            let wrong = || {
                Problem::new(
                    400,
                    format!(
                        "`Last-Event-ID: {id}` is not the number of an event; write the `id` of an event"
                    ),
                )
            };
            Some(id.parse().map_err(|_| wrong())?)
        }
    };
    let Some(place) = api.streams.begin(caller.is_owner()) else {
        let why = "there are too many event streams; end one, or use `/v1/events/history`";
        return Err(Problem::new(503, why).retry_after(5));
    };
    // The stream listens first and then reads the history, so that no event is lost in between.
    let listener = api.hub.listen();
    let behind = after.is_some();
    let feed =
        Feed { api, caller, kinds, listener, last: after, behind, first: true, ready: VecDeque::new() };
    let response = Sse::new(feed.stream()).keep_alive(KeepAlive::default()).into_response();
    Ok(response.map(|body| Holding::around(body, place)))
}

/// The state of a stream.
struct Feed {
    api: Arc<Api>,
    caller: Caller,
    /// The kinds to send; none means all kinds.
    kinds: Vec<Kind>,
    listener: Listener,
    /// The number of the last event that was sent or filtered out.
    last: Option<u64>,
    /// Whether the client still gets events from the history.
    behind: bool,
    /// Whether no page of the history was read yet.
    first: bool,
    ready: VecDeque<Event>,
}

impl Feed {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(Some(self), |feed| async move {
            let mut feed = feed?;
            loop {
                if let Some(event) = feed.ready.pop_front() {
                    return Some((Ok(event), Some(feed)));
                }
                if !feed.caller.is_known() {
                    return Some((Ok(feed.end()), None));
                }
                if feed.behind {
                    feed.catch_up().await;
                    continue;
                }
                let event = tokio::select! {
                    event = feed.listener.events.recv() => event,
                    () = feed.caller.revoked() => return Some((Ok(feed.end()), None)),
                };
                match event {
                    Ok(event) => feed.receive(&event),
                    Err(RecvError::Lagged(lost)) => feed.ready.push_back(lost_event(Some(lost))),
                    Err(RecvError::Closed) => return None,
                }
            }
        })
    }

    fn end(&self) -> Event {
        Event::default().event("end").data(json!({ "reason": "invalid or revoked token" }).to_string())
    }

    fn wants(&self, kind: Kind, policy: Option<&str>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && self.caller.sees(policy)
    }

    fn receive(&mut self, event: &PublishedEvent) {
        if let Some(id) = event.id {
            if self.last.is_some_and(|last| id <= last) {
                return;
            }
            self.last = Some(id);
        }
        if self.wants(event.kind, event.policy.as_deref()) {
            let frame = Event::default().data(&event.line);
            self.ready.push_back(match event.id {
                Some(id) => frame.id(id.to_string()),
                None => frame,
            });
        }
    }

    /// Sends a page of the history; the numbers of events have gaps only where events were removed.
    async fn catch_up(&mut self) {
        let after = self.last.unwrap_or(0);
        let query = Query { after: Some(after), limit: MOST, ..Query::default() };
        let found = self.api.ask(move |api| {
            let newest = api.control.history().map(|history| (history.find(&query), history.newest()));
            Ok(newest.unwrap_or_default())
        });
        // The run has ended, so the stream ends, too.
        let Ok((found, newest)) = found.await else { return self.behind = false };
        // A number of another run does not show how many events are missing.
        let other_run = std::mem::take(&mut self.first) && after > newest;
        if other_run {
            self.ready.push_back(lost_event(None));
            self.last = None;
        }
        for entry in found.events {
            // A client that begins at 0 has missed no earlier events.
            let missing = self.last.filter(|last| *last > 0).map_or(0, |last| entry.id - last - 1);
            if missing > 0 {
                self.ready.push_back(lost_event((missing < KNOWN).then_some(missing)));
            }
            self.last = Some(entry.id);
            if self.wants(entry.kind, entry.policy.as_deref()) {
                self.ready.push_back(Event::default().id(entry.id.to_string()).data(&entry.line));
            }
        }
        if found.next.is_none() && !other_run {
            self.behind = false;
            let last = self.last.unwrap_or(newest);
            // Also counts events that the history has removed at its end.
            if newest > last && newest - last < KNOWN && self.listener.events.is_empty() {
                self.ready.push_back(lost_event(Some(newest - last)));
                self.last = Some(newest);
            }
        }
    }
}

/// A larger gap between two numbers is a gap between two runs.
const KNOWN: u64 = 10_000_000;

fn lost_event(lost: Option<u64>) -> Event {
    let lost = lost.map_or(Json::Null, Json::from);
    Event::default().event("lost").data(json!({ "lost": lost }).to_string())
}
