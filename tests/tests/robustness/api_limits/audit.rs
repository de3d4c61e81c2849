//! The history of changes under attack: requests of strangers and of one busy client leave the
//! entries of others where they are. (Rejected: the rings alone; a request passes five layers.)

use super::RemoteRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use serde_json::Value;

/// The events of the history, of these kinds.
fn history(remote: &RemoteRun, kinds: &str) -> Vec<Value> {
    let path = format!("/v1/events/history?kind={kinds}&limit=1000&after=0");
    ask(&remote.place.socket, "get", &path, "", b"").json()["events"].as_array().unwrap().clone()
}

#[test]
fn requests_without_a_token_are_no_changes() {
    with_wire("requests_without_a_token_are_no_changes", |wire| {
        let remote = RemoteRun::start(wire, &[("otto", "operator", "")], &[]);
        let path = "/v1/policies/main/triggers/attack/raise";
        let body = "{\"key\": \"10.0.0.1\", \"secret\": \"hidden words\"}";
        // Many on one line of requests: curl opens a connection for each, as each is closed.
        let url = format!("https://{}{path}?n=[1-60]", super::ADDRESS);
        let ca = remote.path("cert");
        let flood = [
            "curl",
            "-s",
            "-Z",
            "--parallel-max",
            "30",
            "-m",
            "20",
            "--cacert",
            &ca,
            "-X",
            "POST",
            "-d",
            body,
        ];
        let said =
            wire.run(&wire.right, &[&flood[..], &["-H", "Authorization: Bearer mirrorc_0", &url]].concat());
        assert_eq!(said.matches("\"status\":401").count(), 60, "{said}");
        assert_eq!(history(&remote, "change").len(), 0);
        let strangers = history(&remote, "unauthenticated");
        assert!(!strangers.is_empty() && strangers.len() < 60, "{}", strangers.len());
        assert!(
            strangers[0]["by"]["from"] == "10.2.0.2" && strangers[0]["request"] == format!("POST {path}")
        );
        until("the others are counted", || {
            let all = history(&remote, "unauthenticated");
            let over: u64 = all.iter().filter_map(|event| event["passed_over"].as_u64()).sum();
            let told = all.iter().filter(|event| event["passed_over"].is_null()).count() as u64;
            over + told == 60
        });
        // What a known client is refused is told without its body, with its name.
        assert_eq!(remote.ask(wire, "otto", "POST", path, body).0, 400);
        assert_eq!(remote.ask(wire, "otto", "POST", path, "{\"key\": \"10.0.0.9\"}").0, 200);
        let all = history(&remote, "change");
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0]["body"].is_null() && all[0]["status"] == 400 && all[0]["by"]["token"] == "otto");
        assert_eq!(all[1]["body"]["key"], "10.0.0.9");
        let everything =
            ask(&remote.place.socket, "get", "/v1/events/history?after=0&limit=1000", "", b"").body;
        assert!(!everything.contains("hidden words"), "{everything}");
        let shown = remote.place.command(&["events", "--history", "--kind", "change"]);
        assert!(shown.contains("token otto at 10.2.0.2:"), "{shown}");
        remote.place.run.stop();
    });
}

#[test]
fn one_clients_changes_do_not_push_out_anothers() {
    with_wire("one_clients_changes_do_not_push_out_anothers", |wire| {
        let remote = RemoteRun::start(wire, &[("otto", "operator", "")], &[]);
        let path = "/v1/policies/main/triggers/attack/suppress";
        let own = ask(&remote.place.socket, "post", path, "application/json", b"{\"key\": \"10.9.9.9\"}");
        assert_eq!(own.status, 200);
        // 1,500 changes of one client: each is made, a bounded number is kept, the rest is counted.
        let shows =
            format!("Authorization: Bearer {}", std::fs::read_to_string(remote.path("otto")).unwrap().trim());
        let (ca, many) = (remote.path("cert"), 1500);
        let config: String = (0..many)
            .map(|n| format!("next\nurl = \"https://{}{path}\"\ndata = \"{{\\\"key\\\": \\\"10.8.{}.{}\\\"}}\"\nheader = \"{shows}\"\ncacert = \"{ca}\"\noutput = /dev/null\n", super::ADDRESS, n / 256, n % 256))
            .collect();
        let config = remote.place.write("flood", config.trim_start_matches("next\n"));
        wire.run(&wire.right, &["curl", "-s", "-m", "60", "-K", &config]);
        let suppressed = remote.place.json(&["trigger", "list", "attack"]);
        assert_eq!(suppressed["suppressed"].as_array().unwrap().len(), many + 1, "each change was made");
        until("what was not kept is counted", || {
            // The newest ones.
            let path = "/v1/events/history?kind=change&limit=20";
            let last = ask(&remote.place.socket, "get", path, "", b"").json()["events"].clone();
            let over =
                |event: &Value| event["passed_over"].as_u64() > Some(0) && event["by"]["client"] == "otto";
            last.as_array().unwrap().iter().any(over)
        });
        let first = &history(&remote, "change")[0];
        assert!(first["by"]["uid"].is_u64() && first["body"]["key"] == "10.9.9.9", "{first}");
        remote.place.run.stop();
    });
}
