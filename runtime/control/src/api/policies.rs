//! The handlers for policies: list, show, put, delete, diff, rollback. The invariant: a request
//! contains all files of its program; the server reads nothing from its file system. (Rejected:
//! paths on the server, by which a client could read the server's files.)

use super::Api;
use super::auth::Caller;
use super::bodies::Body;
use super::problem::Problem;
use super::routes::query_params;
use crate::control::{Bundle, Done, Expect, LoadRequest, Refusal, Version};
use crate::event::time_text;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use mrule_compiler::compile::MemoryLoader;
use mrule_engine::policy::Policy;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type ApiResult = Result<Answer<Json>, Problem>;

fn about(name: &str, policy: &Policy, versions: &[Version]) -> Json {
    let program = policy.program();
    let versions: Vec<Json> = versions
        .iter()
        .map(|v| json!({ "version": v.version, "loaded": time_text(v.loaded), "bytes": v.bundle.size() }))
        .collect();
    json!({
        "name": name,
        "version": policy.label().map(|label| label.version),
        "binding": policy.bounds().is_some(),
        "rules": program.rules.len(),
        "limits": program.limits.len(),
        "stations": program.stations.len(),
        "tables": program.tables.len(),
        "params": program.params.len(),
        "triggers": program.triggers.len(),
        "versions": versions,
    })
}

pub(super) async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> ApiResult {
    let list = api.ask(|api| api.control.list()).await?;
    let seen = list.iter().filter(|(name, ..)| caller.sees(Some(name)));
    Ok(Answer(seen.map(|(name, policy, versions)| about(name, policy, versions)).collect()))
}

#[derive(Deserialize)]
pub(super) struct PolicyParams {
    version: Option<u64>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    binding: bool,
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let PolicyParams { version, .. } = query_params(&uri)?;
    let found = api.ask(move |api| api.control.version(&name, version)).await?;
    let files: serde_json::Map<String, Json> =
        found.bundle.texts().map(|(name, text)| (name.to_owned(), Json::from(text))).collect();
    let sets: serde_json::Map<String, Json> =
        found.bundle.sets().iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
    Ok(tagged(
        found.version,
        found.loaded,
        json!({
            "version": found.version,
            "binding": found.bundle.is_binding(),
            "loaded": time_text(found.loaded),
            "roots": found.bundle.roots(),
            "set": sets,
            "files": files,
        }),
    ))
}

/// The body of a request that puts a program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    files: BTreeMap<String, String>,
    roots: Option<Vec<String>>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let PolicyParams { dry_run, version, binding } = query_params(&uri)?;
    api.check(&caller, &name, binding)?;
    if version.is_some() {
        return Err(Problem::new(
            400,
            "a load cannot choose its `version`, which mirrorc counts; to load an earlier version, POST to `rollback`",
        ));
    }
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let sent = if is_json {
        serde_json::from_slice(&body).map_err(|error| Problem::new(400, format!("the body: {error}")))?
    } else {
        let text = String::from_utf8(body.to_vec()).map_err(|_| {
            Problem::new(400, "the body is not UTF-8; send the text of a rule file, or JSON with the content type application/json")
        })?;
        Sent { files: [(format!("{name}.mrule"), text)].into(), roots: None, set: BTreeMap::new() }
    };
    let roots = match (sent.roots, sent.files.len()) {
        (Some(roots), _) if !roots.is_empty() => roots,
        (None, 1) => sent.files.keys().cloned().collect(),
        _ => {
            return Err(Problem::new(
                400,
                "`roots` is missing; name the rule files of the program, which include the other files",
            ));
        }
    };
    let request = LoadRequest { expect: expected(&headers)?, dry: dry_run, by: caller.principal() };
    let sets: Vec<(String, String)> = sent.set.into_iter().collect();
    let origin = request.by.origin().clone();
    let named = name.clone();
    let (version, swapped, about) = api
        .compile(&caller, move |api, budget| {
            let mut loader = MemoryLoader::new(sent.files);
            let (compiled, bundle) = Bundle::read(&roots, &mut loader, &sets, budget);
            let bundle = bundle.binding(binding).given_by(origin);
            let done = api.control.load_over(budget, request, &name, compiled, bundle);
            let done = api.told(&name, dry_run, done)?;
            Ok((done.version, done.swap.is_some(), api.done(&done)))
        })
        .await?;
    if !swapped {
        return Ok(Answer(about).into_response());
    }
    let loaded = api.ask(move |api| api.control.version(&named, Some(version))).await?.loaded;
    Ok(tagged(version, loaded, about))
}

/// The precondition of `If-Match` and `If-None-Match` (RFC 9110, section 13.1): an entity tag is a
/// version.
fn expected(headers: &HeaderMap) -> Result<Option<Expect>, Problem> {
    let word =
        |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (word(header::IF_MATCH), word(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(Expect::Nothing)),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(of_tag);
            let (version, loaded) = version.ok_or_else(|| {
                Problem::new(
                    400,
                    format!("`If-Match: {tag}` is not a version: write the ETag of an answer, or only the number: `\"3\"`"),
                )
            })?;
            Ok(Some(Expect::Version(version, loaded)))
        }
        _ => Err(Problem::new(400, "write one header, `If-Match: \"VERSION\"` or `If-None-Match: *`")),
    }
}

/// Parses an entity tag: the version and its load time; a user may write only the version.
fn of_tag(tag: &str) -> Option<(u64, Option<i64>)> {
    let (version, loaded) = match tag.split_once('-') {
        Some((version, loaded)) => (version, Some(i64::from_str_radix(loaded, 16).ok()?)),
        None => (tag, None),
    };
    Some((version.parse().ok()?, loaded))
}

/// An answer about a version. Its entity tag also has the load time, because a version number can
/// repeat after a restart.
fn tagged(version: u64, loaded: i64, answer: Json) -> Response {
    ([(header::ETAG, format!("\"{version}-{loaded:x}\""))], Answer(answer)).into_response()
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> ApiResult {
    let by = caller.principal();
    let swap = api
        .ask(move |api| {
            let swap = api.control.unload(&name, &by)?;
            api.hub.unloaded(&name);
            Ok(swap)
        })
        .await?;
    Ok(Answer(json!({ "taken_ms": milliseconds(swap.taken) })))
}

pub(super) async fn release_all(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> ApiResult {
    let by = caller.principal();
    let released = api.ask(move |api| api.control.release(None, &by)).await?;
    Ok(Answer(json!({ "released": released })))
}

pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> ApiResult {
    let by = caller.principal();
    let released = api.ask(move |api| api.control.release(Some(&name), &by)).await?;
    Ok(Answer(json!({ "released": released })))
}

#[derive(Deserialize)]
struct DiffParams {
    from: Option<u64>,
    to: Option<u64>,
}

pub(super) async fn diff(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let DiffParams { from, to } = query_params(&uri)?;
    let diff = api.ask(move |api| api.control.diff(&name, from, to)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], diff).into_response())
}

pub(super) async fn roll_back(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    Extension(caller): Extension<Caller>,
) -> ApiResult {
    let PolicyParams { version, dry_run, binding } = query_params(&uri)?;
    if binding {
        return Err(Problem::new(
            400,
            "rollback takes no `binding`: the version is binding if it was loaded as binding",
        ));
    }
    let to = name.clone();
    let back = move |api: &Api| {
        let binds = api.control.binds_after(&to, version);
        binds.inspect_err(|why| {
            if !dry_run {
                api.hub.refused(&to, &why.to_string())
            }
        })
    };
    let back = api.ask(back).await?;
    api.check(&caller, &name, back)?;
    let request = LoadRequest { expect: None, dry: dry_run, by: caller.principal() };
    let about = api
        .compile(&caller, move |api, budget| {
            let done = api.control.roll_back(budget, &name, version, request);
            Ok(api.done(&api.told(&name, dry_run, done)?))
        })
        .await?;
    Ok(Answer(about))
}

impl Api {
    /// Checks the rights before a program is compiled. The control plane checks again when it loads
    /// the program.
    fn check(&self, caller: &Caller, name: &str, binding: bool) -> Result<(), Problem> {
        let checked = self.control.check(&caller.principal(), name, binding);
        checked.map_err(|refusal| Problem::of(refusal, &self.renderers))
    }

    /// Reports the result of a load, unless it was a dry run.
    fn told(&self, name: &str, dry: bool, done: Result<Done, Refusal>) -> Result<Done, Refusal> {
        match &done {
            _ if dry => {}
            Ok(done) => self.hub.loaded(name, done.version),
            Err(why) => self.hub.refused(name, &why.to_string()),
        }
        done
    }

    /// What a load changed, or would change, as JSON.
    fn done(&self, done: &Done) -> Json {
        json!({
            "version": done.version,
            "dry_run": done.swap.is_none(),
            "binding": done.binding,
            "plan": done.plan,
            "compiling_ms": milliseconds(done.compiling),
            "all_ms": milliseconds(done.all),
            "pause_ms": done.swap.map(|swap| milliseconds(swap.pause)),
            "taken_ms": done.swap.map(|swap| milliseconds(swap.taken)),
            "kept": self.control.is_kept().filter(|_| done.swap.is_some()),
            "warning": done.unkept,
            "check": (self.renderers.diagnostics)(&done.compiled),
        })
    }
}

fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
