//! Every route of the API's own document, asked by every role, bound to the policy, to another one
//! and to none. The expected status follows from the rule of [`expected`], which is written here
//! and not taken from the code. (Rejected: a list of statuses; a new route would not be in it.)

use super::{ADDRESS, RULES, RemoteRun};
use mrule_tests::http::ask;
use mrule_tests::wire::{Wire, with_wire};
use serde_json::Value;

const ROLES: [&str; 5] = ["station", "viewer", "operator", "author", "admin"];

/// A request: method, path as the document has it, path as it is asked, body and its kind.
struct Request {
    method: String,
    route: String,
    path: String,
    body: &'static str,
    kind: &'static str,
    /// The least role, and whether a station may change its own params, as the document says.
    stated: (String, bool),
}

/// What a caller may be answered.
#[derive(Debug, PartialEq)]
enum Expected {
    /// This and nothing else.
    Status(u16),
    /// Anything but a refusal of the caller.
    Allowed,
    /// This or that.
    Either,
}

/// The least role for a request: who reads is a viewer, who changes what is at work an operator,
/// who changes programs an author. A station reads the params, and changes its own.
fn least(request: &Request) -> &'static str {
    let of_program = ["/v1/policies/{policy}", "/v1/policies/{policy}/rollback"].contains(&&*request.route);
    match (&*request.method, &*request.route) {
        ("get", "/v1/policies/{policy}/params") => "station",
        ("get", _) => "viewer",
        // What a promise of privacy withholds, only an admin gives free.
        ("post", route) if route.ends_with("/release") => "admin",
        _ if of_program => "author",
        ("put" | "delete", "/v1/policies/{policy}/stations/{station}") => "author",
        _ => "operator",
    }
}

/// The rule: of a policy that a token does not speak of, nothing is there (404); a role that is too
/// low is refused (403); a token that is bound sees its own part where a route is about all
/// policies, or is refused (403).
fn expected(request: &Request, role: &str, bound: &str) -> Expected {
    let names_policy = request.route.contains("{policy}");
    let place = |role: &str| ROLES.iter().position(|other| *other == role).unwrap();
    if names_policy && bound == "other" {
        return Expected::Status(404);
    }
    // To what an operator may set a station depends on what it is set to.
    if role == "operator" && request.route.ends_with("{station}") {
        return Expected::Either;
    }
    let own = role == "station" && request.route.ends_with("{param}");
    if place(role) < place(least(request)) && !own {
        return Expected::Status(403);
    }
    // How a process is, is for the one who runs all of it, or for everybody: either is right here.
    let parts = ["stats", "stations", "flows", "metrics", "events", "openapi.json", "policies"];
    let has_part = parts.contains(&request.route.split('/').nth(2).unwrap());
    if !names_policy && !bound.is_empty() && !has_part {
        return Expected::Either;
    }
    Expected::Allowed
}

fn requests(document: &Value) -> Vec<Request> {
    let mut all = Vec::new();
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, says) in methods.as_object().unwrap() {
            let (thing, verb) = match route {
                route if route.contains("tables") => ("quiet", "add"),
                route if route.contains("params") => ("head", ""),
                route if route.contains("stations") => ("lake", "drain"),
                _ => ("attack", "raise"),
            };
            let path = ["{table}", "{param}", "{station}", "{trigger}"]
                .iter()
                .fold(route.clone(), |path, part| path.replace(part, thing))
                .replace("{policy}", "main")
                .replace("{verb}", verb)
                .replace("{flow}", "tcp%2010.0.0.1:1%2010.0.0.2:2");
            let (body, kind) = match (method.as_str(), route.as_str()) {
                ("put", "/v1/policies/{policy}") => ("rule", "text/plain"),
                ("put", route) if route.ends_with("{table}") => {
                    ("{\"key\": \"10.0.0.1\"}", "application/x-ndjson")
                }
                ("put", route) if route.contains("params") => ("{\"value\": 50}", "application/json"),
                ("put", route) if route.contains("{station}") => {
                    ("{\"is\": \"interface m0\"}", "application/json")
                }
                ("post", route) if route.contains("{verb}") && !route.contains("{station}") => {
                    ("{\"key\": \"10.0.0.1\"}", "application/json")
                }
                _ => ("", "application/json"),
            };
            let stated =
                (says["x-mirrorc-role"].as_str().unwrap().to_owned(), !says["x-mirrorc-station"].is_null());
            all.push(Request { method: method.clone(), route: route.clone(), path, body, kind, stated });
        }
    }
    // Unloading comes last, or there would be nothing left to ask about.
    all.sort_by_key(|request| {
        (
            request.method == "delete" && request.route.ends_with("{policy}"),
            request.route.ends_with("/events"),
        )
    });
    all
}

/// Asks all of them on one connection, and gives the statuses in order.
fn ask_all(remote: &RemoteRun, wire: &Wire, token: &str, requests: &[Request]) -> Vec<u16> {
    let secret = if token.is_empty() {
        "mirrorc_0".into()
    } else {
        std::fs::read_to_string(remote.path(token)).unwrap()
    };
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let one = |request: &Request| {
        let method = request.method.to_uppercase();
        let data = match request.body {
            "" => String::new(),
            "rule" => format!("data-binary = \"@{}\"\n", remote.path("a.mrule")),
            body => format!("data-binary = \"{}\"\n", quoted(body)),
        };
        format!(
            "url = \"https://{ADDRESS}{}\"\nrequest = {method}\n{data}header = \"Content-Type: {}\"\n\
             header = \"Authorization: Bearer {}\"\ncacert = \"{}\"\nmax-time = {}\noutput = /dev/null\n\
             write-out = \"%{{http_code}}\\n\"\n",
            request.path,
            request.kind,
            secret.trim(),
            remote.path("cert"),
            if request.route.ends_with("/events") { 1 } else { 20 },
        )
    };
    let config = requests.iter().map(one).collect::<Vec<_>>().join("next\n");
    let config = remote.place.write("requests", &config);
    let said = wire.try_run(&wire.right, &["curl", "-s", "-K", &config]);
    String::from_utf8_lossy(&said.stdout).lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn every_route_by_every_role_of_every_policy() {
    with_wire("every_route_by_every_role_of_every_policy", |wire| {
        let mut tokens = vec![("station-main", "station", "main"), ("station-other", "station", "other")];
        let names: Vec<String> = ROLES[1..]
            .iter()
            .flat_map(|role| ["", "main", "other"].map(|of| format!("{role}-{of}")))
            .collect();
        for name in &names {
            let (role, of) = name.split_once('-').unwrap();
            tokens.push((name, role, of));
        }
        let remote = RemoteRun::start(wire, &tokens, &[]);
        let document = ask(&remote.place.socket, "get", "/v1/openapi.json", "", b"").json();
        let requests = requests(&document);
        assert!(requests.len() > 25, "{} routes", requests.len());
        let rules = RULES.replace("DIR", remote.place.dir.path().to_str().unwrap());
        let load = |name: &str, text: &str| {
            let path = format!("/v1/policies/{name}");
            let loaded = ask(&remote.place.socket, "put", &path, "text/plain", text.as_bytes());
            assert_eq!(loaded.status, 200, "{}", loaded.body);
        };
        let other = "station o { pcapng \"DIR/o.pcapng\" }\nrule r { match tcp  snaplen 60  to o }";
        load("other", &other.replace("DIR", remote.place.dir.path().to_str().unwrap()));
        let mut wrong = Vec::new();
        for request in &requests {
            // An operator may give a station another limit, only an author another target.
            let of_station = request.route.ends_with("{station}");
            let least = if of_station { "operator" } else { least(request) };
            let own = request.route.ends_with("{param}");
            if request.stated != (least.to_owned(), own) {
                wrong.push(format!(
                    "{} {}: role and own params are {:?} in routes.rs, and {:?} by the function `least` in this file; correct one",
                    request.method,
                    request.route,
                    request.stated,
                    (least, own)
                ));
            }
        }
        for (name, role, bound) in &tokens {
            load("main", &rules);
            let statuses = ask_all(&remote, wire, name, &requests);
            assert_eq!(statuses.len(), requests.len(), "{name}");
            for (request, status) in requests.iter().zip(statuses) {
                let expected = expected(request, role, bound);
                // What is there is found; only what needs more to be there may not be.
                let may_lack =
                    ["/v1/flows", "rollback", "diff"].iter().any(|word| request.route.contains(word));
                let of_stations = request.route.contains("{station}") && !request.route.contains("{verb}");
                let fits = match expected {
                    Expected::Status(expected) => status == expected,
                    Expected::Either => [200, 403, 503].contains(&status),
                    Expected::Allowed if of_stations => ![401, 404].contains(&status) && status < 500,
                    Expected::Allowed => {
                        (status == 200 || may_lack) && ![401, 403].contains(&status) && status < 500
                    }
                };
                if !fits {
                    wrong.push(format!(
                        "{name} {} {}: {status}, not {expected:?}",
                        request.method, request.path
                    ));
                }
            }
        }
        let strangers = ask_all(&remote, wire, "", &requests);
        assert!(strangers.iter().all(|status| *status == 401), "{strangers:?}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        remote.place.run.stop();
    });
}
