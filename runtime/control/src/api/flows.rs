//! The handlers for flows: show by name, and list the largest. The invariant: flow names are those
//! that `mirrorc` prints and that events have. (Rejected: flow numbers, which end with the flow and
//! which nobody can type.)

use super::Api;
use super::caller::Caller;
use super::problem::Problem;
use super::routes::query_params;
use crate::control::Measure;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::{Extension, Json as Answer};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;

type ApiResult = Result<Answer<Json>, Problem>;

#[derive(Deserialize)]
struct FlowParams {
    policy: Option<String>,
    by: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(flow): Path<String>,
    uri: Uri,
) -> ApiResult {
    let params: FlowParams = query_params(&uri)?;
    let policy = caller.policy_or(params.policy)?;
    Ok(Answer(json!(api.ask(move |api| api.control.flow(&policy, &flow)).await?)))
}

pub(super) async fn top(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> ApiResult {
    let params: FlowParams = query_params(&uri)?;
    let policy = caller.policy_or(params.policy)?;
    let by = match params.by.as_deref() {
        None | Some("bytes") => Measure::Bytes,
        Some("packets") => Measure::Packets,
        Some(other) => {
            return Err(Problem::new(
                400,
                format!("cannot rank flows by `{other}`; use `bytes` or `packets`"),
            ));
        }
    };
    let limit = params.limit.unwrap_or(20);
    let flows = api.ask(move |api| api.control.largest_flows(&policy, by, limit)).await?;
    Ok(Answer(json!(flows)))
}
