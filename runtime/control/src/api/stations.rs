//! The handlers for stations: list, set, reset, drain. The invariants: a station is written as in a
//! rule file; its rate and drain need the role operator, its target needs the role author, and a
//! target that a client wrote can reach only what clients are granted. (Rejected: a member for each
//! setting; the language already has the settings and their errors.)

use super::Api;
use super::auth::Role;
use super::bodies::Body;
use super::caller::Caller;
use super::problem::Problem;
use axum::extract::{Path, State};
use axum::{Extension, Json as Answer};
use mrule_compiler::budget::CompileBudget;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;

type ApiResult = Result<Answer<Json>, Problem>;

pub(super) async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> ApiResult {
    let (report, policies) = api.ask(|api| Ok((api.control.report()?, api.control.list()?))).await?;
    let mut stations = Vec::new();
    for of in report.policies.iter().filter(|of| caller.sees(Some(&of.name))) {
        let program = policies.iter().find(|(name, ..)| *name == of.name).map(|(_, p, _)| p.program());
        let changed = api.control.changed_stations(&of.name);
        for counts in &of.stations {
            let target = program.and_then(|p| p.stations.iter().find(|s| s.name == counts.station));
            stations.push(json!({
                "policy": of.name,
                "name": counts.station,
                "target": target.map(ToString::to_string),
                "changed": changed.contains_key(&counts.station),
                "drained": counts.drained,
                "up": counts.down.is_none(),
                "down": counts.down,
                "requested": counts.requested,
                "sent": counts.sent,
                "sent_bytes": counts.sent_bytes,
                "cut": counts.cut,
                "dropped": counts.dropped_total(),
                "waiting": counts.waiting,
            }));
        }
    }
    Ok(Answer(Json::from(stations)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StationBody {
    is: String,
}

pub(super) async fn set(
    State(api): State<Arc<Api>>,
    Path((policy, station)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    Body(body): Body,
) -> ApiResult {
    let StationBody { is } =
        serde_json::from_slice(&body).map_err(|error| Problem::new(400, format!("the body: {error}")))?;
    change(&api, policy, station, caller, Some(is)).await
}

pub(super) async fn reset(
    State(api): State<Arc<Api>>,
    Path((policy, station)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> ApiResult {
    change(&api, policy, station, caller, None).await
}

async fn change(
    api: &Arc<Api>,
    policy: String,
    station: String,
    caller: Caller,
    is: Option<String>,
) -> ApiResult {
    // The target in the program is known only after a compilation, which runs in its turn.
    let (is_compiled, principal) = (is.is_none(), caller.clone());
    let set = move |api: &Api, budget: &CompileBudget| {
        let (by, retarget) = (caller.principal(), caller.role >= Role::Author);
        let swap = api.control.set_station(&policy, &station, is.as_deref(), &by, retarget, budget)?;
        let now = is
            .map_or_else(|| "has the settings of its program again".to_owned(), |is| format!("is now {is}"));
        api.hub.note(&format!("station {station} of policy {policy} {now}"));
        Ok(swap)
    };
    let swap = match is_compiled {
        true => api.compile(&principal, set).await?,
        false => api.ask(move |api| set(api, &CompileBudget::default())).await?,
    };
    Ok(Answer(json!({ "taken_ms": swap.taken.as_micros() as f64 / 1e3 })))
}

pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Path((policy, station, verb)): Path<(String, String, String)>,
) -> ApiResult {
    let drained = match verb.as_str() {
        "drain" => true,
        "resume" => false,
        _ => {
            return Err(Problem::new(
                404,
                format!("a station has no verb `{verb}`; use `drain` or `resume`"),
            ));
        }
    };
    api.ask(move |api| {
        api.control.drain_station(&policy, &station, drained)?;
        let what = if drained { "is drained" } else { "receives copies again" };
        api.hub.note(&format!("station {station} of policy {policy} {what}"));
        Ok(())
    })
    .await?;
    Ok(Answer(json!({ "drained": drained })))
}
