//! The handlers for health, counts, flows and metrics. The invariants: an answer comes from one
//! report, and reading it disturbs nothing; a token of one policy sees only that policy's part of
//! the report. (Rejected: separate counters for each reader.)

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, metrics};
use crate::control::Report;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use mrule_dataplane::live::{self, PolicyReport};
use mrule_dataplane::station;
use serde_json::{Value as Json, json};
use std::sync::Arc;

type ApiResult = Result<Answer<Json>, Problem>;

pub(super) async fn health(State(api): State<Arc<Api>>) -> ApiResult {
    Ok(Answer(look(&api).await?.1))
}

/// 200 when the run does its work, 503 when it does not; the body is that of `/v1/health`.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let (ready, body) = look(&api).await?;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Answer(body)).into_response())
}

/// Whether the run does its work, and its health.
async fn look(api: &Arc<Api>) -> Result<(bool, Json), Problem> {
    let ask = |api: &Api| {
        let report = api.control.report()?;
        Ok((api.control.health(&report), api.control.persistence(), report))
    };
    let (health, persistence, report) = api.ask(ask).await?;
    let down: Vec<&String> =
        report.stations.iter().filter(|s| s.down.is_some()).map(|station| &station.station).collect();
    let body = json!({
        "status": health.status(),
        "ready": health.is_ready(),
        "reasons": health.reasons.iter().map(|reason| reason.json()).collect::<Vec<_>>(),
        "version": env!("CARGO_PKG_VERSION"),
        "seconds": report.elapsed.as_secs(),
        "policies": report.policies.iter().map(|p| json!({ "name": p.name, "version": p.version })).collect::<Vec<_>>(),
        "counts": counts(&report),
        "stations_down": down,
        "state": persistence,
        "history": report.history,
        "alarms": report.alarms,
    });
    Ok((health.is_ready(), body))
}

/// The main counts of the run: received, decided, forwarded, copied and dropped packets.
fn counts(report: &Report) -> Json {
    let sum = |of: fn(&mrule_dataplane::live::PortCounts) -> u64| report.ports.iter().map(of).sum::<u64>();
    let forwards = report.ports.iter().any(|port| port.forward.is_some() || port.redirect.is_some());
    let sent = sum(|p| p.forward.map_or(0, |f| f.sent) + p.redirect.map_or(0, |r| r.packets));
    let failed = sum(|p| p.forward.map_or(0, |f| f.failed()) + p.redirect.map_or(0, |r| r.failed));
    let of = |count: fn(&station::Counts) -> u64| report.stations.iter().map(count).sum::<u64>();
    let dropped = station::Cause::ALL.into_iter().map(|cause| {
        let dropped: u64 = report.stations.iter().map(|station| station.dropped_by(cause)).sum();
        (cause.name().to_owned(), Json::from(dropped))
    });
    json!({
        "received": sum(|port| port.received),
        "kernel_drops": sum(|port| port.kernel_drops),
        "packets": report.summary.packets,
        "forwarded": forwards.then_some(sent),
        "not_forwarded": forwards.then_some(failed),
        "copies": of(|station| station.requested),
        "sent": of(|station| station.sent),
        "dropped": dropped.collect::<serde_json::Map<_, _>>(),
        "withheld": report.summary.bound_withheld,
    })
}

/// The report; a caller with one policy gets only that policy's part.
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

/// The part of a report about one policy: without interfaces, alarms and the history, which are
/// shared.
fn part(report: Report, policy: &str) -> Report {
    let own: Vec<PolicyReport> = report.live.policies.into_iter().filter(|of| of.name == policy).collect();
    let (summary, stations) =
        own.first().map(|of| (of.summary.clone(), of.stations.clone())).unwrap_or_default();
    let elapsed = report.live.elapsed;
    let live = live::Report { elapsed, summary, stations, policies: own, ..live::Report::default() };
    Report { live, ..Report::default() }
}

pub(super) async fn stats(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> ApiResult {
    let report = report(&api, caller).await?;
    Ok(Answer((api.renderers.stats)(&report)))
}

pub(super) async fn flows(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> ApiResult {
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
    let ask = |api: &Api| {
        let report = api.control.report()?;
        Ok((api.control.health(&report), report))
    };
    let (mut health, mut all) = api.ask(ask).await?;
    if let Some(policy) = &caller.policy {
        health.reasons.retain(|reason| reason.is_of(policy));
        all = part(all, policy);
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = metrics::Form::wanted(accept);
    let text = metrics::render(all, health, form);
    let text = text.map_err(|_| Problem::new(500, "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept")], text).into_response())
}
