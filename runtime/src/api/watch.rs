//! What is going on: health, counts, stations, flows, metrics, events. The invariant: all of it is read from one report, and
//! reading it disturbs nothing. (Rejected: a WebSocket for events; server-sent events are lines that curl shows.)

use super::problem::Problem;
use super::{Api, metrics};
use axum::Json as Answer;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

type Answered = Result<Answer<Json>, Problem>;

pub(super) async fn health(State(api): State<Arc<Api>>) -> Answered {
    let (report, keeping) = api.ask(|api| Ok((api.control.report()?, api.control.keeping()))).await?;
    let down: Vec<&String> =
        report.stations.iter().filter(|s| s.down.is_some()).map(|station| &station.station).collect();
    let well = down.is_empty()
        && keeping["kept"] != false
        && report.alarms.iter().all(|alarms| alarms.down.is_none())
        && report.history.as_ref().is_none_or(|history| history.trouble.is_none());
    Ok(Answer(json!({
        "status": if well { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "seconds": report.elapsed.as_secs(),
        "policies": report.policies.iter().map(|p| json!({ "name": p.name, "version": p.version })).collect::<Vec<_>>(),
        "stations_down": down,
        "state": keeping,
        "history": report.history,
        "alarms": report.alarms,
    })))
}

pub(super) async fn stats(State(api): State<Arc<Api>>) -> Answered {
    let report = api.ask(|api| api.control.report()).await?;
    Ok(Answer((api.faces.stats)(&report)))
}

pub(super) async fn flows(State(api): State<Arc<Api>>) -> Answered {
    let report = api.ask(|api| api.control.report()).await?;
    let flows = report.policies.iter().map(|policy| {
        let tracked = policy.summary.tracked.as_ref();
        let flows = tracked.map(|t| {
            json!({
                "active": t.flows.active,
                "created": t.flows.created,
                "ended": t.flows.ended,
                "expired": t.flows.expired,
                "evicted": t.flows.evicted_young + t.flows.evicted_established,
                "memory": t.memory,
            })
        });
        json!({ "policy": policy.name, "flows": flows })
    });
    Ok(Answer(flows.collect()))
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let report = api.ask(|api| api.control.report()).await?;
    let text = metrics::render(report).map_err(|_| Problem::new(500, "the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

pub(super) async fn events(State(api): State<Arc<Api>>) -> Response {
    let listener = api.hub.listen();
    let stream = futures_util::stream::unfold(listener, |mut listener| async {
        let event = match listener.events.recv().await {
            Ok(line) => Event::default().data(line),
            Err(RecvError::Lagged(lost)) => Event::default().event("lost").data(lost.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}
