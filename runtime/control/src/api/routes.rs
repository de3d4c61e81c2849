//! Every route in one table: path, documentation, handler. The router and the OpenAPI document are
//! both made of it. The invariant: there is no route without documentation, and none documented
//! that is not there. (Rejected: a document written beside the code, which ages; macros that make
//! one of types, which say less than a line of words.)

use super::auth::Role;
use super::problem::Problem;
use super::{Api, audit, caller, flows, history, policies, state, stations, stream, watch};
use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The longest body of a program, in bytes: its files and tables together.
const MOST_PROGRAM: usize = 64 << 20;

/// The longest body of anything else that is not streamed, in bytes.
const MOST: usize = 64 << 10;

/// A route.
pub(super) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    /// Names and meanings of what may stand behind the `?`.
    query: &'static [(&'static str, &'static str)],
    /// The kind of body and what it is.
    body: Option<(&'static str, &'static str)>,
    /// The kind of answer when all is well.
    answer: &'static str,
    /// What else may be answered.
    problems: &'static [u16],
    /// What a remote client's token must be good for.
    needs: Role,
    /// It names no policy, and shows a token that speaks of one policy what is of that one.
    filtered: bool,
    /// The longest body, in bytes.
    longest: usize,
    handler: MethodRouter<Arc<Api>>,
}

/// What [`caller::allow`] looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub needs: Role,
    pub query: &'static [(&'static str, &'static str)],
    pub filtered: bool,
    /// A station may, too, where its token names the param.
    pub own_params: bool,
    pub longest: usize,
}

impl Route {
    fn for_a(self, needs: Role) -> Route {
        Route { needs, ..self }
    }

    fn filtered(self) -> Route {
        Route { filtered: true, ..self }
    }

    fn with_longest(self, longest: usize) -> Route {
        Route { longest, ..self }
    }

    fn has_own_params(&self) -> bool {
        self.path.ends_with("/{param}")
    }

    fn rule(&self) -> Rule {
        let Route { needs, query, filtered, longest, .. } = *self;
        Rule { needs, query, filtered, own_params: self.has_own_params(), longest }
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const VERSION: (&str, &str) =
    ("version", "Which version; without it the one at work (rollback: the one before)");
const DRY_RUN: (&str, &str) = ("dry_run", "true: only say what would live on and what would be lost");
const KEY: &str = "The key: a value, or a list of its parts; of a trigger by flow, the flow's name";
const POLICY: (&str, &str) = ("policy", "Whose flows; `main` unless told");

/// What a station may of a route that needs a higher role.
const OWN_PARAMS: &str = "may, where its token names the param";

/// All routes.
pub(super) fn routes() -> Vec<Route> {
    let none: &[(&str, &str)] = &[];
    let route = |method, path, summary, query, body, answer, problems, handler| Route {
        method,
        path,
        summary,
        query,
        body,
        answer,
        problems,
        needs: if method == "get" { Role::Viewer } else { Role::Operator },
        filtered: false,
        longest: MOST,
        handler,
    };
    let read =
        |path, summary, problems, handler| route("get", path, summary, none, None, JSON, problems, handler);
    let change = |method, path, summary, says, handler| {
        route(method, path, summary, none, Some((JSON, says)), JSON, &[400, 404, 409, 413], handler)
    };
    let program = "Its files whole: `{\"files\": {\"main.mrule\": \"...\", \"bad.csv\": \"...\"}, \"roots\": [\"main.mrule\"], \
                   \"set\": {\"head\": \"1KiB\"}}`; or, of another content type, one rule file as it is";
    vec![
        read(
            "/v1/health",
            "How it is: `status` is `ok`, `degraded` or `failing`, `reasons` say why and since when",
            &[],
            get(watch::health),
        ),
        read(
            "/v1/ready",
            "The same, with the status 503 when it does not do its work",
            &[503],
            get(watch::ready),
        ),
        route(
            "post",
            "/v1/release",
            "Lets copies go that are withheld because something binding could not be restored",
            none,
            None,
            JSON,
            &[],
            post(policies::release_all),
        )
        .for_a(Role::Admin),
        route(
            "post",
            "/v1/policies/{policy}/release",
            "The same for what is missing of one policy",
            none,
            None,
            JSON,
            &[404],
            post(policies::release),
        )
        .for_a(Role::Admin),
        read("/v1/stats", "All counts, as `run --stats json` prints them", &[], get(watch::stats)).filtered(),
        read("/v1/stations", "Where copies go, and what became of them", &[], get(stations::list)).filtered(),
        read("/v1/flows", "How many flows are remembered", &[], get(watch::flows)).filtered(),
        route(
            "get",
            "/v1/flows/top",
            "The largest flows: ends, packets and bytes, application, times, active triggers",
            &[
                ("by", "`bytes` (unless told) or `packets`"),
                ("limit", "How many, at most 1000; 20 unless told"),
                POLICY,
            ],
            None,
            JSON,
            &[400, 404, 409],
            get(flows::top),
        )
        .filtered(),
        route(
            "get",
            "/v1/flows/{flow}",
            "A flow by its name, `tcp 10.0.0.1:1234 10.0.0.2:80`, percent-encoded",
            &[POLICY],
            None,
            JSON,
            &[400, 404, 409],
            get(flows::show),
        )
        .filtered(),
        route(
            "get",
            "/v1/metrics",
            "Counts for Prometheus",
            none,
            None,
            "application/openmetrics-text",
            &[],
            get(watch::metrics),
        )
        .filtered(),
        route(
            "get",
            "/v1/events",
            "What becomes of triggers, stations and policies from now on, as server-sent events; with `after` or \
             `Last-Event-ID` first what came since then",
            stream::QUERY,
            None,
            "text/event-stream",
            &[400, 503],
            get(stream::events),
        )
        .filtered(),
        route(
            "get",
            "/v1/events/history",
            "What happened before, the newest last: `events`, and in `next` after which number to go on",
            history::QUERY,
            None,
            JSON,
            &[400],
            get(history::events),
        )
        .filtered(),
        read("/v1/openapi.json", "This document", &[], get(|| async { axum::Json(document()) })).filtered(),
        read("/v1/policies", "The policies", &[], get(policies::list)).filtered(),
        route(
            "get",
            "/v1/policies/{policy}",
            "The texts of a policy",
            &[VERSION],
            None,
            JSON,
            &[400, 404],
            get(policies::show),
        ),
        route(
            "put",
            "/v1/policies/{policy}",
            "Loads a policy, or puts it in the place of the one at work",
            &[
                DRY_RUN,
                ("binding", "true: its limits without `to` cut the copies of every policy; needs admin"),
            ],
            Some((JSON, program)),
            JSON,
            &[400, 403, 409, 412, 413, 422],
            put(policies::put),
        )
        .for_a(Role::Author)
        .with_longest(MOST_PROGRAM),
        route(
            "delete",
            "/v1/policies/{policy}",
            "Unloads a policy",
            none,
            None,
            JSON,
            &[404],
            delete(policies::delete),
        )
        .for_a(Role::Author),
        route(
            "get",
            "/v1/policies/{policy}/diff",
            "What differs between two versions",
            &[
                ("from", "The older one; without it the one before"),
                ("to", "The newer one; without it the one at work"),
            ],
            None,
            TEXT,
            &[400, 404],
            get(policies::diff),
        ),
        route(
            "post",
            "/v1/policies/{policy}/rollback",
            "Loads an older version again, as a new one; its stations reach what whoever wrote it may",
            &[VERSION, DRY_RUN],
            None,
            JSON,
            &[400, 403, 404, 409],
            post(policies::roll_back),
        )
        .for_a(Role::Author),
        read("/v1/policies/{policy}/tables", "The tables of a policy", &[404], get(state::tables)),
        route(
            "get",
            "/v1/policies/{policy}/tables/{table}",
            "Rows of a table",
            &[("offset", "How many rows to skip"), ("limit", "How many, at most 10000; 1000 unless told")],
            None,
            JSON,
            &[400, 404],
            get(state::rows),
        ),
        route(
            "put",
            "/v1/policies/{policy}/tables/{table}",
            "Gives a table other rows, all at once",
            none,
            Some(("application/x-ndjson", "An object a line: `key`, `value` in a map, `for` how long")),
            JSON,
            &[400, 404, 409],
            put(state::replace),
        ),
        change(
            "post",
            "/v1/policies/{policy}/tables/{table}/{verb}",
            "Adds a row (`add`) or removes one (`remove`)",
            "`key`; to add also `value` in a map, and `for` how long",
            post(state::change_table),
        ),
        read(
            "/v1/policies/{policy}/params",
            "The params of a policy, with bounds",
            &[404],
            get(state::params),
        )
        .for_a(Role::Station),
        change(
            "put",
            "/v1/policies/{policy}/params/{param}",
            "Gives a param another value",
            "`value`",
            put(state::set_param),
        ),
        route(
            "delete",
            "/v1/policies/{policy}/params/{param}",
            "Gives a param back the value that the program says",
            none,
            None,
            JSON,
            &[404],
            delete(state::reset_param),
        ),
        route(
            "put",
            "/v1/policies/{policy}/stations/{station}",
            "Gives a station another limit, or sends its copies elsewhere (another target needs author), until it is reset",
            none,
            Some((JSON, "`is`: the words between its braces, as in a rule file")),
            JSON,
            &[400, 403, 404, 409, 413, 422],
            put(stations::set),
        ),
        route(
            "delete",
            "/v1/policies/{policy}/stations/{station}",
            "Has a station be what its program says (where that is another target, it needs author)",
            none,
            None,
            JSON,
            &[403, 404, 409, 503],
            delete(stations::reset),
        ),
        route(
            "post",
            "/v1/policies/{policy}/stations/{station}/{verb}",
            "Gives a station no more copies (`drain`), or copies again (`resume`)",
            none,
            None,
            JSON,
            &[404],
            post(stations::drain),
        ),
        read("/v1/policies/{policy}/triggers", "The triggers of a policy", &[404], get(state::triggers)),
        read(
            "/v1/policies/{policy}/triggers/{trigger}",
            "For which keys a trigger is active, and which are suppressed",
            &[400, 404],
            get(state::trigger),
        ),
        change(
            "post",
            "/v1/policies/{policy}/triggers/{trigger}/{verb}",
            "Raises an external trigger (`raise`), ends its being active (`clear`), has it not be raised for a key (`suppress`, `unsuppress`)",
            KEY,
            post(state::change_trigger),
        ),
    ]
}

/// The router of all routes; what is none of them is a problem, too.
pub(super) fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let rule = route.rule();
        let allow = middleware::from_fn(move |request, next| caller::allow(rule, request, next));
        router = router.route(route.path, route.handler.route_layer(allow));
    }
    router
        .fallback(|uri: Uri| async move {
            Problem::new(404, format!("there is no `{}`; /v1/openapi.json lists what there is", uri.path()))
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(405, "not by this method; /v1/openapi.json lists what there is").into_response()
        })
        .layer(middleware::from_fn_with_state(api.clone(), audit::audit))
        // The last one is the first that a request meets.
        .layer(middleware::from_fn_with_state(api.clone(), caller::authenticate))
        .with_state(api)
}

/// The OpenAPI document.
pub(super) fn document() -> Json {
    let mut paths = Map::new();
    for route in routes() {
        let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
        let query = route.query.iter().map(|(name, means)| {
            json!({ "name": name, "in": "query", "description": means, "schema": { "type": "string" } })
        });
        let parameters: Vec<Json> = in_path.chain(query).collect();
        let mut answers = Map::new();
        answers.insert("200".into(), json!({ "description": "Done", "content": { route.answer: {} } }));
        let named: &[u16] = if route.path.contains('{') { &[404] } else { &[] };
        let reads: &[u16] = if route.body.is_some() { &[408, 503] } else { &[] };
        for status in [400, 401, 403].iter().chain(named).chain(reads).chain(route.problems) {
            let means = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
            let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            answers.insert(status.to_string(), json!({ "description": means, "content": content }));
        }
        let mut operation = json!({
            "summary": route.summary,
            "parameters": parameters,
            "responses": answers,
            "x-mirrorc-role": route.needs.name(),
            "x-mirrorc-filtered": route.filtered,
        });
        if let (true, Some(members)) = (route.has_own_params(), operation.as_object_mut()) {
            members.insert("x-mirrorc-station".into(), json!(OWN_PARAMS));
        }
        if let (Some((kind, means)), Some(members)) = (route.body, operation.as_object_mut()) {
            let schema = json!({ "schema": { "type": if kind == JSON { "object" } else { "string" } } });
            members
                .insert("requestBody".into(), json!({ "description": means, "content": { kind: schema } }));
        }
        if let Some(path) = paths.entry(route.path).or_insert_with(|| json!({})).as_object_mut() {
            path.insert(route.method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "mirrorc", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": { "Problem": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "properties": {
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "diagnostics": { "type": "object", "description": "What `mirrorc check --format json` prints" },
            },
        } } },
    })
}

/// What stands behind the `?`.
pub(super) fn ask_for<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let asked = Query::<T>::try_from_uri(uri);
    asked.map(|Query(asked)| asked).map_err(|rejection| Problem::new(400, rejection.body_text()))
}
