//! The OpenAPI document, made of the table of routes. The invariant: it names every route with its
//! role, parameters, body, answers and an example, and nothing else. (Rejected: a document written
//! beside the code, which ages.)

use super::routes::{Body, JSON, routes};
use axum::http::StatusCode;
use serde_json::{Map, Value as Json, json};

/// What stands in a path: its name, what it means, an example.
const IN_PATH: &[(&str, &str, &str)] = &[
    ("policy", "The name of a policy", "main"),
    ("table", "The name of a table", "quiet"),
    ("param", "The name of a param", "head"),
    ("trigger", "The name of a trigger", "attack"),
    ("station", "The name of a station", "lake"),
    ("flow", "The name of a flow, percent-encoded", "tcp%2010.0.0.1:1234%2010.0.0.2:80"),
];

/// The verbs of a path: the part before them, and the verbs.
const VERBS: &[(&str, &[&str])] = &[
    ("{table}", &["add", "remove"]),
    ("{station}", &["drain", "resume"]),
    ("{trigger}", &["raise", "clear", "suppress", "unsuppress"]),
];

/// What a station token may do on a route that needs a higher role.
const OWN_PARAMS: &str = "allowed if its token names the param";

/// A parameter in a path.
fn in_path_of(path: &str, name: &str) -> Json {
    let verbs = VERBS.iter().find(|(before, _)| path.contains(before)).map(|(_, verbs)| *verbs);
    let (means, example, schema) = match (name, verbs) {
        ("verb", Some(verbs @ [first, ..])) => {
            ("What is done", *first, json!({ "type": "string", "enum": verbs }))
        }
        _ => {
            let (_, means, example) =
                IN_PATH.iter().find(|(known, ..)| *known == name).copied().unwrap_or((name, "", ""));
            (means, example, json!({ "type": "string" }))
        }
    };
    json!({
        "name": name, "in": "path", "required": true, "description": means, "example": example, "schema": schema,
    })
}

/// The OpenAPI document.
pub fn document() -> Json {
    let mut paths = Map::new();
    for route in routes() {
        let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| in_path_of(route.path, name));
        let query = route.query.iter().map(|(name, means)| {
            json!({ "name": name, "in": "query", "description": means, "schema": { "type": "string" } })
        });
        let parameters: Vec<Json> = in_path.chain(query).collect();
        let mut answers = Map::new();
        answers.insert("200".into(), json!({ "description": "Success", "content": { route.answer: {} } }));
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
        if let (Some(body), Some(members)) = (&route.body, operation.as_object_mut()) {
            let Body { kind, means, example } = *body;
            let (ty, example) = match kind {
                JSON => ("object", serde_json::from_str(example).unwrap_or_default()),
                _ => ("string", json!(example)),
            };
            let content = json!({ kind: { "schema": { "type": ty }, "example": example } });
            members.insert("requestBody".into(), json!({ "description": means, "content": content }));
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
