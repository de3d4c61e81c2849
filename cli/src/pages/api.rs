//! The pages of the API and of its metrics: `docs/api.md`, made from the OpenAPI document, and
//! `docs/metrics.md`, made from the registry of metrics. The invariant: what a page says of a route
//! or a metric, the document or the registry says; nothing is known here of any of them. (Rejected:
//! pages by hand; a route that is renamed leaves them behind.)

use mrule_control::api::{METRICS, MetricKind, openapi};
use serde_json::Value as Json;
use std::fmt::Write;

const API: &str = "\
# The API

Made from the OpenAPI document, which `GET /v1/openapi.json` answers; do not edit.

The API is HTTP/1.1. It listens on the control socket (`run --control SOCKET`) for the owner, and with TLS and tokens \
for remote clients (`run --listen`). [operations.md](operations.md#the-api) explains both. The examples use the socket, \
whose path is in `MIRRORC_CONTROL`. For a remote client, replace `--unix-socket $MIRRORC_CONTROL http://mirrorc` by \
`--cacert cert.pem -H \"Authorization: Bearer $(cat alice.token)\" https://m.example:8443`.

- **Roles**, from low to high: `station`, `viewer`, `operator`, `author`, `admin`. A route needs its role or a higher \
one. The owner may do everything.
- **Query parameters** must be ones that the route takes, each once and with a value.
- **Errors** are `application/problem+json` with `title`, `status` and `detail`. Those of a program also have \
`diagnostics`, as `mirrorc check --format json` prints them. A request without a known token is answered with 401, a \
path that is not in this page with 404, another method with 405.
- **One policy**: a token with `--policy NAME` sees that policy only. Routes marked *filtered* answer with its part.

";

const METRICS_HEAD: &str = "\
# Metrics

Made from the registry of metrics; do not edit.

`GET /v1/metrics` answers them as OpenMetrics 1.0, or in the text format of Prometheus (0.0.4) where `Accept` prefers \
`text/plain`. Samples of counters end in `_total`. Counters start at 0 with the process. They are the sums that \
`--stats json` prints ([counters.md](counters.md)), taken at one moment.

| Metric | Type | Unit | Labels | Meaning |
| --- | --- | --- | --- | --- |
";

/// The registry of metrics as a page.
pub fn metrics() -> String {
    let mut page = String::from(METRICS_HEAD);
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let labels: Vec<String> =
            metric.labels.iter().map(|(name, means)| format!("`{name}`: {means}")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join("; ") };
        let (name, unit, help) = (metric.name, metric.unit, metric.help);
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help}. |");
    }
    page
}

/// The OpenAPI document as a page.
pub fn api() -> String {
    let document = openapi();
    let mut page = String::from(API);
    page.push_str("| Method | Path | Role | |\n| --- | --- | --- | --- |\n");
    let operations: Vec<(&str, &str, &Json)> = members(&document["paths"])
        .flat_map(|(path, methods)| {
            members(methods).map(move |(method, operation)| (path, method, operation))
        })
        .collect();
    for (path, method, operation) in &operations {
        let title = title(method, path);
        let _ = writeln!(
            page,
            "| {} | [`{path}`](#{}) | {} | {} |",
            method.to_uppercase(),
            anchor(&title),
            text(&operation["x-mirrorc-role"]),
            text(&operation["summary"])
        );
    }
    for (path, method, operation) in operations {
        route(path, method, operation, &mut page);
    }
    page
}

fn route(path: &str, method: &str, operation: &Json, page: &mut String) {
    let _ = write!(page, "\n## {}\n\n{}.\n\n", title(method, path), text(&operation["summary"]));
    let _ = write!(page, "- Role: `{}`", text(&operation["x-mirrorc-role"]));
    if let Some(own) = operation["x-mirrorc-station"].as_str() {
        let _ = write!(page, "; a `station` {own}");
    }
    if operation["x-mirrorc-filtered"] == true {
        page.push_str(". Filtered");
    }
    page.push_str(".\n");
    for (place, of) in [("path", "Path"), ("query", "Query")] {
        for parameter in items(&operation["parameters"]).filter(|parameter| parameter["in"] == place) {
            let values: Vec<&str> = items(&parameter["schema"]["enum"]).filter_map(Json::as_str).collect();
            let means = text(&parameter["description"]);
            let _ = write!(page, "- {of} `{}`: {means}", text(&parameter["name"]));
            if !values.is_empty() {
                let _ = write!(page, ": `{}`", values.join("`, `"));
            }
            page.push_str(".\n");
        }
    }
    let body = &operation["requestBody"];
    if let Some((kind, _)) = members(&body["content"]).next() {
        let _ = writeln!(page, "- Body (`{kind}`): {}.", text(&body["description"]));
    }
    let responses = || members(&operation["responses"]);
    for (status, response) in responses().filter(|(status, _)| status.starts_with('2')) {
        let kinds: Vec<&str> = members(&response["content"]).map(|(kind, _)| kind).collect();
        let _ = writeln!(page, "- Answer: {status}, `{}`.", kinds.join("` or `"));
    }
    let errors: Vec<String> = responses()
        .filter(|(status, _)| !status.starts_with('2'))
        .map(|(status, response)| format!("{status} {}", text(&response["description"])))
        .collect();
    let _ =
        writeln!(page, "- Errors: {}.\n\n```sh\n{}\n```", errors.join(", "), curl(path, method, operation));
}

/// A command that asks for the route.
fn curl(path: &str, method: &str, operation: &Json) -> String {
    let mut filled = path.to_owned();
    for parameter in items(&operation["parameters"]).filter(|parameter| parameter["in"] == "path") {
        filled = filled.replace(&format!("{{{}}}", text(&parameter["name"])), text(&parameter["example"]));
    }
    let mut command = String::from("curl --unix-socket $MIRRORC_CONTROL");
    if method != "get" {
        let _ = write!(command, " -X {}", method.to_uppercase());
    }
    if let Some((kind, content)) = members(&operation["requestBody"]["content"]).next() {
        let example = &content["example"];
        let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        let _ = write!(command, " -H 'Content-Type: {kind}' \\\n  --data-binary '{body}' \\\n ");
    }
    let _ = write!(command, " http://mirrorc{filled}");
    command
}

fn title(method: &str, path: &str) -> String {
    format!("{} {path}", method.to_uppercase())
}

/// The anchor that a heading has.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn members(of: &Json) -> impl Iterator<Item = (&str, &Json)> {
    of.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn items(of: &Json) -> impl Iterator<Item = &Json> {
    of.as_array().into_iter().flatten()
}

fn text(of: &Json) -> &str {
    of.as_str().unwrap_or_default()
}
