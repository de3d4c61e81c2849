//! What is going on: health, counts, flows, metrics. The invariants: all of it is read from one report, and reading it
//! disturbs nothing; a token that speaks of one policy sees that policy's part of the report. (Rejected: counters kept
//! for each reader.)

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, metrics};
use crate::live::{PolicyReport, Report};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use serde_json::{Value as Json, json};
use std::sync::Arc;

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

/// The report, for a caller that speaks of one policy that policy's part of it.
async fn report(api: &Arc<Api>, caller: Caller) -> Result<Report, Problem> {
    api.ask(move |api| {
        let report = api.control.report()?;
        Ok(match &caller.policy {
            Some(policy) => part(report, policy),
            None => report,
        })
    })
    .await
}

/// What of a report is of one policy: nothing of interfaces, alarms and the history, which are of all.
fn part(report: Report, policy: &str) -> Report {
    let own: Vec<PolicyReport> = report.policies.into_iter().filter(|of| of.name == policy).collect();
    let (summary, stations) =
        own.first().map(|of| (of.summary.clone(), of.stations.clone())).unwrap_or_default();
    Report { elapsed: report.elapsed, summary, stations, policies: own, ..Report::default() }
}

pub(super) async fn stats(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answered {
    let report = report(&api, caller).await?;
    Ok(Answer((api.faces.stats)(&report)))
}

pub(super) async fn flows(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answered {
    let report = report(&api, caller).await?;
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

pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = report(&api, caller).await?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = metrics::Form::wanted(accept);
    let text = metrics::render(report, form);
    let text = text.map_err(|_| Problem::new(500, "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept")], text).into_response())
}
