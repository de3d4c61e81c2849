//! The control API as a client sees it that is not ours: every route answers as its document says,
//! events are told, clients that say nothing or nonsense are not waited for, and the socket is its
//! owner's. (Rejected: our own client; it sends only what is right.)

use crate::MIRRORC;
use mirrorc::Exit;
use mrule_tests::cli::mirrorc;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::pages::unexplained;
use mrule_tests::wire::{with_wire, write_rules};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const RULES: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule r { match any  snaplen 60  to lake }\n";

#[test]
fn every_route_answers_as_documented() {
    with_wire("every_route_answers_as_documented", |wire| {
        let text = "
            param head : size = 40 in 10..100
            table quiet : set<ip>
            trigger attack by net.dst { external  hold 1h }
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule heads  { match icmp  snaplen head  to lake }
            rule attack { match attack[net.addr]  snaplen full  to lake }
            limit quiet { match net.src in quiet  snaplen none }\n";
        let place = ControlledRun::start(wire, MIRRORC, text, &[]);
        let ask =
            |method: &str, path: &str, kind: &str, body: &[u8]| ask(&place.socket, method, path, kind, body);
        let document = ask("get", "/v1/openapi.json", "", b"").json();
        let mut asked = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                // Routes of one flow need a program that keeps flows: `flows.rs` beside this file.
                if path.ends_with("/events")
                    || path.starts_with("/v1/flows/")
                    || (method.as_str(), path.as_str()) == ("delete", "/v1/policies/{policy}")
                {
                    continue;
                }
                // As the document's examples have it, but with a policy of this name.
                let fill = |policy: &str| {
                    let parameters = operation["parameters"].as_array().unwrap().iter();
                    let in_path = parameters.filter(|parameter| parameter["in"] == "path");
                    in_path.fold(path.clone(), |path, parameter| {
                        let name = parameter["name"].as_str().unwrap();
                        let example = parameter["example"].as_str().unwrap();
                        assert!(!example.is_empty(), "{path}: no example of {name}");
                        path.replace(&format!("{{{name}}}"), if name == "policy" { policy } else { example })
                    })
                };
                let content = operation["requestBody"]["content"].as_object();
                let (kind, body) = content.and_then(|content| content.iter().next()).map_or(
                    ("", String::new()),
                    |(kind, c)| {
                        let text = c["example"].as_str().map(str::to_owned);
                        (kind.as_str(), text.unwrap_or_else(|| c["example"].to_string()))
                    },
                );
                let documented = &operation["responses"];
                let query = if (method.as_str(), path.as_str()) == ("put", "/v1/policies/{policy}") {
                    "?dry_run=true"
                } else {
                    ""
                };
                let answer = ask(method, &(fill("main") + query), kind, body.as_bytes());
                asked += 1;
                if path.ends_with("rollback") || path.ends_with("diff") {
                    assert_eq!(answer.status, 404, "there is one version: {}", answer.body);
                } else {
                    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
                    let kind = documented["200"]["content"].as_object().unwrap().keys().next().unwrap();
                    assert!(answer.kind.starts_with(kind), "{method} {path}: {}", answer.kind);
                }
                // To put a policy that is not there is to make it.
                let makes = (method.as_str(), path.as_str()) == ("put", "/v1/policies/{policy}");
                if documented["404"].is_object() && !makes {
                    let answer = ask(method, &fill("nobody"), kind, body.as_bytes());
                    assert_eq!(
                        (answer.status, answer.kind.as_str()),
                        (404, "application/problem+json"),
                        "{method} {path}"
                    );
                    assert!(
                        answer.json()["detail"].as_str().unwrap().contains("there is no policy `nobody`")
                    );
                }
                if documented["400"].is_object()
                    && operation["requestBody"].is_object()
                    && !path.ends_with("{policy}")
                {
                    let answer = ask(method, &fill("main"), kind, b"{\"odd\": [");
                    assert_eq!(
                        (answer.status, answer.kind.as_str()),
                        (400, "application/problem+json"),
                        "{method} {path}"
                    );
                }
                if documented["413"].is_object() && !path.ends_with("{policy}") {
                    let answer = ask(method, &fill("main"), kind, &vec![b' '; 100_000]);
                    assert_eq!(answer.status, 413, "{method} {path}: {}", answer.body);
                }
            }
        }
        assert!(asked >= 20, "{asked} routes");
        // Nobody overwrites what they have not seen.
        let program = "station x { pcapng \"DIR/x.pcapng\" }\nrule r { match tcp snaplen none to x }\n";
        let program = program.replace("DIR", place.dir.path().to_str().unwrap());
        let put = |condition: &str| {
            let kind = format!("text/plain\r\n{condition}");
            ask("put", "/v1/policies/third", &kind, program.as_bytes()).status
        };
        assert_eq!(put("if-match: \"1\""), 412, "it is not there");
        assert_eq!(put("if-none-match: *"), 200);
        assert_eq!((put("if-none-match: *"), put("if-match: \"2\""), put("if-match: 1")), (412, 412, 400));
        assert_eq!((put("if-match: \"1\""), put("if-match: \"1\"")), (200, 412), "it is at version 2");
        assert_eq!(ask("delete", "/v1/policies/third", "", b"").status, 200);
        let wrong = ask("put", "/v1/policies/site", "text/plain", b"rule r { match tcpp snaplen full to x }");
        assert_eq!(wrong.status, 422, "{}", wrong.body);
        let found = &wrong.json()["diagnostics"];
        assert_eq!(
            (&found["ok"], &found["errors"]),
            (&false.into(), &2.into()),
            "as `check` tells it: {found}"
        );
        assert_eq!(found["diagnostics"][0]["file"], "site.mrule");
        assert_eq!(ask("get", "/v2", "", b"").status, 404);
        assert_eq!(ask("patch", "/v1/stats", "", b"").status, 405);
        let metrics = ask("get", "/v1/metrics", "", b"").body;
        assert!(
            metrics.contains("mirrorc_policy_version{policy=\"main\"} 1") && metrics.ends_with("# EOF\n"),
            "{metrics}"
        );
        assert_eq!(ask("delete", "/v1/policies/main", "", b"").status, 200);
        assert!(wire.pings(&["10.1.0.2"]), "it forwards without any policy");
        place.run.stop();
        assert!(!place.socket.exists());
    });
}

#[test]
fn events_are_told_and_bad_clients_are_not_waited_for() {
    with_wire("events_are_told_and_bad_clients_are_not_waited_for", |wire| {
        let text = "
            trigger attack by net.dst { external  hold 1h }
            trigger pings by net.src { when count(icmp) per 1h > 2  hold 1h }
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule r { match attack[net.addr] or pings  snaplen full  to lake }\n";
        let place = ControlledRun::start(wire, MIRRORC, text, &[]);
        let connect = || UnixStream::connect(&place.socket).unwrap();
        let mut listener = connect();
        listener.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut lines = BufReader::new(listener).lines();
        let mut event = |word: &str| loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(data) = line.strip_prefix("data: ").filter(|data| data.contains(word)) {
                return serde_json::from_str::<Value>(data).unwrap();
            }
        };
        assert_eq!(event_head(&place), 200, "it listens when the next one is answered");
        // Clients that say nothing, half of something, or nonsense.
        let mut silent: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
        for (i, client) in silent.iter_mut().enumerate() {
            let said: &[u8] = [
                &b""[..],
                b"GET /v1/st",
                b"PUT /v1/policies/x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
                b"\x16\x03\x01\0\r\n\r\n",
            ][i % 4];
            client.write_all(said).unwrap();
        }
        place.command(&["trigger", "raise", "attack", "10.1.0.9"]);
        let raised = event("\"trigger\":\"attack\"");
        assert_eq!(
            (&raised["event"], &raised["policy"], &raised["key"]),
            (&"raised".into(), &"main".into(), &json!(["10.1.0.9"]))
        );
        assert!(wire.pings(&["10.1.0.2"]));
        let raised = event("\"trigger\":\"pings\"");
        assert_eq!((&raised["event"], &raised["trigger"]), (&"raised".into(), &"pings".into()));
        assert!(raised["reason"].as_str().unwrap().contains("per 1h is 3"), "{raised}");
        let path = write_rules(place.dir.path(), text);
        place.command(&["load", &path]);
        assert!(event("note")["note"].as_str().unwrap().contains("loaded policy main, version 2"));
        place.run.stop();
    });
}

/// A request that is answered after what was asked before it has begun.
fn event_head(place: &ControlledRun) -> u16 {
    std::thread::sleep(Duration::from_millis(300));
    ask(&place.socket, "get", "/v1/health", "", b"").status
}

#[test]
fn the_socket_is_the_owners() {
    with_wire("the_socket_is_the_owners", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--keep-forwarding"]);
        let path = place.dir.path().join("a.mrule");
        let second = |socket: &Path| {
            let words = [
                MIRRORC,
                "run",
                path.to_str().unwrap(),
                "--bridge",
                "in0:out0",
                "--control",
                socket.to_str().unwrap(),
            ];
            wire.try_run(&wire.here, &words)
        };
        let refused = second(&place.socket);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("of a running process"));
        assert!(wire.pings(&["10.1.0.2"]), "the first one's bridge is left alone");
        // Another user is told who may.
        let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", MIRRORC];
        let as_other = || {
            let words = [&other[..], &["status", "--to", place.socket.to_str().unwrap()]].concat();
            String::from_utf8_lossy(&wire.try_run(&wire.here, &words).stderr).into_owned()
        };
        let dir = place.dir.path();
        let open_to = |mode| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
        open_to(0o755);
        let said = as_other();
        assert!(said.contains("only root can open it") && said.contains("sudo mirrorc"), "{said}");
        open_to(0o700);
        let said = as_other();
        let closed = format!("you have no permission for the directory `{}`", dir.display());
        assert!(said.contains(&closed) && said.contains("sudo mirrorc"), "{said}");
        assert!(String::from_utf8_lossy(&second(Path::new("127.0.0.1:80")).stderr).contains("TCP address"));
        // A kill leaves the socket; the next one takes its place.
        let ControlledRun { dir, run, socket } = place;
        run.kill();
        assert!(socket.exists());
        let words = [path.to_str().unwrap(), "--bridge", "in0:out0", "--control", socket.to_str().unwrap()];
        let run = wire.mirrorc(MIRRORC, &words);
        let place = ControlledRun { dir, run, socket };
        assert_eq!(place.status().1["status"], "ok");
        place.run.stop();
        let (exit, said) = {
            let run = mirrorc(&["status", "--to", place.socket.to_str().unwrap()]);
            (run.exit, run.stderr)
        };
        assert!(exit == Exit::Usage && said.contains("cannot connect to"), "{said}");
    });
}

#[test]
fn every_counter_of_a_live_run_is_explained() {
    with_wire("every_counter_of_a_live_run_is_explained", |wire| {
        let rules = "station lake { pcapng \"DIR/lake.pcapng\" }
            trigger busy by net.src { when count(icmp) per 1m > 1  hold 1m }
            rule all { match icmp or app == http  snaplen headers  snaplen full when busy  to lake }
            limit some { match icmp  snaplen 60 }\n";
        for forward in ["kernel", "userspace"] {
            let more = ["--forward", forward, "--syslog", "udp://127.0.0.1:9"];
            let place = ControlledRun::start(wire, MIRRORC, rules, &more);
            assert!(wire.pings(&["10.1.0.2"]));
            let keys = place.json(&["trigger", "list"])[0].clone();
            assert_eq!((&keys["keys"], &keys["capacity"]), (&json!(65_536), &json!(74_176)), "{keys}");
            let shown = place.command(&["trigger", "list"]);
            assert!(shown.contains("65,536") && shown.contains("74,176"), "{shown}");
            let counts = place.run.stop();
            let of = if forward == "kernel" { "redirect" } else { "forward" };
            assert!(counts["ports"][0][of].is_object() && counts["alarms"][0].is_object(), "{counts}");
            let missing = unexplained(&counts);
            assert!(missing.is_empty(), "docs/counters.md does not explain: {missing:?}");
        }
    });
}

#[test]
fn lists_that_are_empty_say_so() {
    with_wire("lists_that_are_empty_say_so", |wire| {
        let rules =
            "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match tcp  snaplen full  to lake }\n";
        let place = ControlledRun::start(wire, MIRRORC, rules, &[]);
        place.command(&["load", place.dir.path().join("a.mrule").to_str().unwrap()]);
        for (words, says) in [
            (&["trigger", "list"][..], "no triggers"),
            (&["table", "list"], "no tables"),
            (&["param", "list"], "no params"),
            (&["events", "--history", "--kind", "raised"], "no events"),
            (&["diff"], "the two versions are equal"),
            (&["release"], "no copies were withheld"),
            (&["unload", "main", "--yes"], "unloaded policy main"),
            (&["list"], "no policies"),
            (&["station", "list"], "no stations"),
        ] {
            let said = place.command(words);
            assert!(said.contains(says), "{words:?}: {said}");
        }
        place.run.stop();
    });
}
