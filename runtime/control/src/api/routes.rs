//! All routes in one table: path, documentation, handler. The router and the OpenAPI document are
//! generated from it. The invariant: every route is documented, and every documented route exists.
//! (Rejected: a document beside the code, which goes stale; macros that derive the document from
//! types, which say less than a sentence.)

use super::auth::Role;
use super::problem::Problem;
use super::{Api, audit, caller, flows, history, openapi, policies, state, stations, stream, watch};
use axum::Router;
use axum::extract::Query;
use axum::http::Uri;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde::de::DeserializeOwned;
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
    /// Names and descriptions of the query parameters.
    pub query: &'static [(&'static str, &'static str)],
    pub body: Option<Body>,
    /// The content type of a successful answer.
    pub answer: &'static str,
    /// The status codes of other answers.
    pub problems: &'static [u16],
    /// The role that a remote client needs.
    pub needs: Role,
    /// The route names no policy; a token for one policy sees only that policy's part of the
    /// answer.
    pub filtered: bool,
    /// The longest body, in bytes.
    longest: usize,
    handler: MethodRouter<Arc<Api>>,
}

/// The documented body of a request.
pub(super) struct Body {
    /// Its content type.
    pub kind: &'static str,
    /// Its description in the document.
    pub means: &'static str,
    pub example: &'static str,
}

/// What [`caller::allow`] checks before the handler of a route. (Not a rule of a program.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub needs: Role,
    pub query: &'static [(&'static str, &'static str)],
    pub filtered: bool,
    /// A station may use the route, too, if its token names the param.
    pub own_params: bool,
    pub longest: usize,
}

impl Route {
    /// The same route for another role than the default: viewer for `get`, else operator.
    fn for_a(self, needs: Role) -> Route {
        Route { needs, ..self }
    }

    /// The same route, whose handler gives a token of one policy only that policy's part. Without
    /// this, a route that names no policy refuses such a token.
    fn filtered(self) -> Route {
        Route { filtered: true, ..self }
    }

    fn with_longest(self, longest: usize) -> Route {
        Route { longest, ..self }
    }

    /// Whether a station may use it for its own params.
    pub fn has_own_params(&self) -> bool {
        self.path.ends_with("/{param}")
    }

    fn rule(&self) -> Rule {
        let Route { needs, query, filtered, longest, .. } = *self;
        Rule { needs, query, filtered, own_params: self.has_own_params(), longest }
    }
}

pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const VERSION: (&str, &str) =
    ("version", "The version; without it, the current version (rollback: the previous version)");
const DRY_RUN: (&str, &str) =
    ("dry_run", "true: change nothing, and answer what the new version would keep and lose");
const KEY: &str = "`key`: a value, or a list of its parts; for a trigger by flow, the name of a flow. Optional: `for`, how long; `reason`, with `suppress`";
const POLICY: (&str, &str) = ("policy", "The policy whose flows are meant; the default is `main`");

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
    let change = |method, path, summary, means, example, handler| {
        let body = Body { kind: JSON, means, example };
        route(method, path, summary, none, Some(body), JSON, &[400, 404, 409, 413], handler)
    };
    let program = "The files: `{\"files\": {\"main.mrule\": \"...\", \"bad.csv\": \"...\"}, \"roots\": [\"main.mrule\"], \
                   \"set\": {\"head\": \"1KiB\"}}`; or, with another content type, the text of one rule file";
    vec![
        read(
            "/v1/health",
            "Reports the health of the run: `status` is `ok`, `degraded` or `failing`; `reasons` say why and since when",
            &[],
            get(watch::health),
        ),
        read(
            "/v1/ready",
            "Reports the health, with the status code 503 if mirrorc does not do its work",
            &[503],
            get(watch::ready),
        ),
        route(
            "post",
            "/v1/release",
            "Releases copies that are withheld because mirrorc could not restore a binding policy",
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
            "Releases copies that are withheld because mirrorc could not restore this policy",
            none,
            None,
            JSON,
            &[404],
            post(policies::release),
        )
        .for_a(Role::Admin),
        read("/v1/stats", "Returns all counts, as `run --stats json` prints them", &[], get(watch::stats)).filtered(),
        read("/v1/stations", "Lists the stations, with their state and their counts of copies", &[], get(stations::list)).filtered(),
        read("/v1/flows", "Returns the counts of the flow tables", &[], get(watch::flows)).filtered(),
        route(
            "get",
            "/v1/flows/top",
            "Lists the largest flows: ends, packets and bytes, application, times, active triggers",
            &[
                ("by", "The measure: `bytes` (default) or `packets`"),
                ("limit", "The largest number of flows, up to 1000; the default is 20"),
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
            "Shows the flow with this name, `tcp 10.0.0.1:1234 10.0.0.2:80`, percent-encoded",
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
            "Returns the metrics for Prometheus",
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
            "Streams new events of triggers, stations and policies as server-sent events; with `after` or \
             `Last-Event-ID`, first the events since then",
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
            "Lists earlier events, the newest last: `events`, and `next`, the number for `after` of the next page",
            history::QUERY,
            None,
            JSON,
            &[400],
            get(history::events),
        )
        .filtered(),
        read("/v1/openapi.json", "Returns this document", &[], get(|| async { axum::Json(openapi::document()) })).filtered(),
        read("/v1/policies", "Lists the policies", &[], get(policies::list)).filtered(),
        route(
            "get",
            "/v1/policies/{policy}",
            "Returns the rule files of a policy",
            &[VERSION],
            None,
            JSON,
            &[400, 404],
            get(policies::show),
        ),
        route(
            "put",
            "/v1/policies/{policy}",
            "Loads a policy; a policy of this name is replaced",
            &[
                DRY_RUN,
                ("binding", "true: its limits without `to` also cut the copies of all other policies; needs the role admin"),
            ],
            Some(Body {
                kind: JSON,
                means: program,
                example: r#"{"files": {"main.mrule": "station lake { pcapng \"lake.pcapng\" } rule all { match any  snaplen headers  to lake }"}}"#,
            }),
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
            "Returns the differences between two versions",
            &[
                ("from", "The older version; without it, the previous version"),
                ("to", "The newer version; without it, the current version"),
            ],
            None,
            TEXT,
            &[400, 404],
            get(policies::diff),
        ),
        route(
            "post",
            "/v1/policies/{policy}/rollback",
            "Loads an older version again, as a new version; its stations have the permissions of the client that wrote them",
            &[VERSION, DRY_RUN],
            None,
            JSON,
            &[400, 403, 404, 409],
            post(policies::roll_back),
        )
        .for_a(Role::Author),
        read("/v1/policies/{policy}/tables", "Lists the tables of a policy", &[404], get(state::tables)),
        route(
            "get",
            "/v1/policies/{policy}/tables/{table}",
            "Lists rows of a table",
            &[("offset", "The number of rows to skip"), ("limit", "The largest number of rows, up to 10000; the default is 1000")],
            None,
            JSON,
            &[400, 404],
            get(state::rows),
        ),
        route(
            "put",
            "/v1/policies/{policy}/tables/{table}",
            "Replaces all rows of a table in one step",
            none,
            Some(Body {
                kind: "application/x-ndjson",
                means: "A JSON object on each line: `key`, `value` if the table is a map, `for` (how long the row stays)",
                example: r#"{"key": "10.0.0.1", "for": "1h"}"#,
            }),
            JSON,
            &[400, 404, 409],
            put(state::replace),
        ),
        change(
            "post",
            "/v1/policies/{policy}/tables/{table}/{verb}",
            "Adds a row (`add`) or removes a row (`remove`)",
            "`key`; with `add` also `value` if the table is a map, and `for` (how long the row stays)",
            r#"{"key": "10.0.0.1"}"#,
            post(state::change_table),
        ),
        read(
            "/v1/policies/{policy}/params",
            "Lists the params of a policy, with their values and bounds",
            &[404],
            get(state::params),
        )
        .for_a(Role::Station),
        change(
            "put",
            "/v1/policies/{policy}/params/{param}",
            "Sets a param to a value within its bounds",
            "`value`",
            r#"{"value": 50}"#,
            put(state::set_param),
        ),
        route(
            "delete",
            "/v1/policies/{policy}/params/{param}",
            "Resets a param to the value in the program",
            none,
            None,
            JSON,
            &[404],
            delete(state::reset_param),
        ),
        route(
            "put",
            "/v1/policies/{policy}/stations/{station}",
            "Changes the limit or the target of a station until it is reset; another target needs the role author",
            none,
            Some(Body {
                kind: JSON,
                means: "`is`: the target and settings, as between the braces in a rule file",
                example: r#"{"is": "vxlan 192.0.2.10 vni 77 limit 100Mbit"}"#,
            }),
            JSON,
            &[400, 403, 404, 409, 413, 422],
            put(stations::set),
        ),
        route(
            "delete",
            "/v1/policies/{policy}/stations/{station}",
            "Resets a station to its program; if that changes the target, it needs the role author",
            none,
            None,
            JSON,
            &[403, 404, 409, 503],
            delete(stations::reset),
        ),
        route(
            "post",
            "/v1/policies/{policy}/stations/{station}/{verb}",
            "Stops new copies to a station (`drain`), or sends copies to it again (`resume`)",
            none,
            None,
            JSON,
            &[404],
            post(stations::drain),
        ),
        read("/v1/policies/{policy}/triggers", "Lists the triggers of a policy", &[404], get(state::triggers)),
        read(
            "/v1/policies/{policy}/triggers/{trigger}",
            "Lists the active keys and the suppressed keys of a trigger",
            &[400, 404],
            get(state::trigger),
        ),
        change(
            "post",
            "/v1/policies/{policy}/triggers/{trigger}/{verb}",
            "Raises an external trigger (`raise`), clears a trigger (`clear`), suppresses it for a key (`suppress`), or ends that (`unsuppress`)",
            KEY,
            r#"{"key": "10.0.0.1"}"#,
            post(state::change_trigger),
        ),
    ]
}

/// The router of all routes; it answers every other path with a problem.
pub(super) fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let rule = route.rule();
        let allow = middleware::from_fn(move |request, next| caller::allow(rule, request, next));
        router = router.route(route.path, route.handler.route_layer(allow));
    }
    router
        .fallback(|uri: Uri| async move {
            Problem::new(404, format!("there is no path `{}`; /v1/openapi.json lists all paths", uri.path()))
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                405,
                "this path does not allow this method; /v1/openapi.json lists all paths and methods",
            )
            .into_response()
        })
        .layer(middleware::from_fn_with_state(api.clone(), audit::audit))
        // The layer that is added last sees a request first.
        .layer(middleware::from_fn_with_state(api.clone(), caller::authenticate))
        .with_state(api)
}

/// Parses the query of a request.
pub(super) fn query_params<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let asked = Query::<T>::try_from_uri(uri);
    asked.map(|Query(asked)| asked).map_err(|rejection| Problem::new(400, rejection.body_text()))
}
