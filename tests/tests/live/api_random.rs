//! The API's own document drives it: for every operation many requests, right, nearly right and
//! wrong, by chance. No answer is a fault of the server, each has a status that the document names,
//! and forwarding goes on. `MRULE_CASES=N` asks N times as often, `MRULE_SEED=N` otherwise.
//! (Rejected: schemathesis; it would bring Python and two dozen packages to say this.)

use crate::MIRRORC;
use mrule_tests::choices::Choices;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::with_wire;
use serde_json::Value;

const RULES: &str = "
    param head : size = 40 in 10..100
    table quiet : set<ip>
    table names : map<ip, string>
    trigger attack by net.dst { external  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule heads  { match icmp  snaplen head  to lake }
    rule attack { match attack[net.addr]  snaplen full  to lake }
    limit quiet { match net.src in quiet  snaplen none }\n";

/// What can stand for a name in a path.
const NAMES: &[&str] = &[
    "main",
    "main",
    "main",
    "main",
    "other",
    "nobody",
    "%2e%2e",
    "%00",
    "%ff%fe",
    "%C3%A9",
    "a%2Fb",
    "*",
    "-1",
    "18446744073709551616",
];

/// What can be a body, beside chance.
const BODIES: &[&str] = &[
    "{\"key\": \"10.0.0.1\"}",
    "{\"key\": [\"10.0.0.1\"], \"value\": \"x\", \"for\": \"1s\"}",
    "{\"key\": \"10.0.0.1\", \"for\": \"-1s\"}",
    "{\"key\": \"10.0.0.1\", \"for\": \"99999999999999999999h\"}",
    "{\"key\": [], \"reason\": \"why\"}",
    "{\"key\": {\"a\": 1}}",
    "{\"value\": 50}",
    "{\"value\": \"1EiB\"}",
    "{\"value\": -1}",
    "{\"value\": [[[[[[[[1]]]]]]]]}",
    "{\"is\": \"pcapng \\\"DIR/again.pcapng\\\"\"}",
    "{\"is\": \"interface m0 limit 1\"}",
    "{\"is\": \"\"}",
    "{\"files\": {\"a.mrule\": \"station s { pipe \\\"DIR/p\\\" }\"}, \"roots\": [\"a.mrule\"]}",
    "{\"files\": {}, \"roots\": []}",
    "{\"files\": {\"a\": \"include \\\"a\\\"\"}, \"roots\": [\"a\", \"a\", \"b\"], \"set\": {\"x\": \"1\"}}",
    "station s { pcapng \"DIR/random.pcapng\" }\nrule r { match any  snaplen 10  to s }",
    "rule r { match any  snaplen full  to lake }",
    "",
    "null",
    "[]",
    "\"\"",
    "{",
];

const KINDS: &[&str] =
    &["application/json", "application/x-ndjson", "text/plain", "", "application/json; charset=x"];

const QUERIES: &[&str] = &[
    "",
    "",
    "",
    "?dry_run=true",
    "?dry_run=maybe",
    "?version=1",
    "?version=-1",
    "?version=99999999999999999999999",
    "?offset=0&to=1",
    "?offset=3&limit=0",
    "?limit=999999999",
    "?binding=true",
    "?%00=%ff",
    "?version",
    "?a=b&a=b",
];

/// One of some words.
fn one(choices: &mut Choices, of: &[&'static str]) -> &'static str {
    choices.pick(of).copied().unwrap_or_default()
}

/// A path with names in the place of its parameters.
fn fill(choices: &mut Choices, path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{table}" => one(choices, &["quiet", "names"]).to_owned(),
        "{param}" => one(choices, &["head", "tail"]).to_owned(),
        "{trigger}" => "attack".to_owned(),
        "{station}" => "lake".to_owned(),
        "{verb}" => one(
            choices,
            &["add", "remove", "raise", "clear", "suppress", "unsuppress", "drain", "resume", "x"],
        )
        .to_owned(),
        part if part.starts_with('{') && choices.below(4) > 0 => "main".to_owned(),
        part if part.starts_with('{') => one(choices, NAMES).to_owned(),
        part => part.to_owned(),
    });
    let parts: Vec<String> = parts.collect();
    let odd = choices.below(12) == 0;
    let parts = parts.into_iter().enumerate().map(|(at, part)| match (odd, at) {
        (true, 3..) => one(choices, NAMES).to_owned(),
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn body(choices: &mut Choices, dir: &str) -> Vec<u8> {
    let mut body = one(choices, BODIES).replace("DIR", dir).into_bytes();
    match choices.below(6) {
        0 => {
            for _ in 0..choices.below(4) {
                let at = choices.below(body.len().max(1));
                if let Some(byte) = body.get_mut(at) {
                    *byte = choices.below(256) as u8;
                }
            }
        }
        1 => body.truncate(choices.below(body.len().max(1))),
        2 => body = body.repeat(1 + choices.below(3000)),
        _ => {}
    }
    body
}

#[test]
fn no_request_is_a_fault_of_the_server() {
    with_wire("no_request_is_a_fault_of_the_server", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let number = |name: &str, default| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let mut choices = Choices::of_seed(number("MRULE_SEED", 1));
        let document = ask(&place.socket, "get", "/v1/openapi.json", "", b"").json();
        let dir = place.dir.path().to_str().unwrap().to_owned();
        let before = place.run.memory();
        let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
        for _ in 0..40 * number("MRULE_CASES", 1) {
            // It may have been unloaded.
            let rules = RULES.replace("DIR", &dir);
            ask(&place.socket, "put", "/v1/policies/main", "text/plain", rules.as_bytes());
            for (path, methods) in document["paths"].as_object().unwrap() {
                for (method, operation) in methods.as_object().unwrap() {
                    if path.ends_with("/events") {
                        continue;
                    }
                    let query = if choices.below(3) == 0 { one(&mut choices, QUERIES) } else { "" };
                    let asked = fill(&mut choices, path) + query;
                    let (kind, body) = (one(&mut choices, KINDS), body(&mut choices, &dir));
                    let answer = ask(&place.socket, method, &asked, kind, &body);
                    *statuses.entry(answer.status).or_default() += 1;
                    let about = || {
                        format!(
                            "{method} {asked} {kind} {}: {} {}",
                            String::from_utf8_lossy(&body),
                            answer.status,
                            answer.body
                        )
                    };
                    // `/v1/ready` answers 503 while no policy is loaded.
                    let unready = path == "/v1/ready" && answer.status == 503;
                    assert!(answer.status < 500 || unready, "{}", about());
                    // A name that is none leads to another route, or to none.
                    let elsewhere = matches!(answer.status, 404 | 405);
                    let named =
                        |operation: &Value| operation["responses"][answer.status.to_string()].is_object();
                    assert!(elsewhere || named(operation), "not in the document: {}", about());
                    if answer.status >= 400 && !unready {
                        assert_eq!(answer.kind, "application/problem+json", "{}", about());
                        assert!(answer.json()["detail"].is_string(), "{}", about());
                    }
                }
            }
        }
        eprintln!("answers by status: {statuses:?}");
        // The largest body has 400 kB; what the versions of a few policies keep is no more than
        // that.
        let grown = place.run.memory().saturating_sub(before);
        eprintln!("{} KiB more memory than before", grown >> 10);
        assert!(grown < 128 << 20, "{grown} bytes more memory than before");
        assert!(statuses.len() >= 5 && statuses[&200] > 200, "{statuses:?}");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
    });
}
