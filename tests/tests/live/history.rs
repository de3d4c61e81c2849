//! What a running mirrorc knows of what happened: who changed what, what became of triggers, over a
//! kill, in a storm, and when the disk does not do its part. (Rejected: asking the history's
//! functions; what counts is what a user is told.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use serde_json::{Value, json};
use std::time::Duration;

const RULES: &str = "
    param head : size = 40 in 10..100
    table quiet : set<ip>
    trigger attack by net.dst { external  hold 1h }
    trigger pings by net.src { when count(icmp) per 1h > 2  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule heads  { match icmp  snaplen head  to lake }
    rule attack { match attack[net.addr] or pings  snaplen full  to lake }
    limit quiet { match net.src in quiet  snaplen none }\n";

/// The lines of a command with `--json`.
fn lines(place: &ControlledRun, words: &[&str]) -> Vec<Value> {
    let text = place.command(&[&["events", "--history", "--json"], words].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn who_changed_what_is_known_after_a_kill() {
    with_wire("who_changed_what_is_known_after_a_kill", |wire| {
        let state = tempfile::tempdir().unwrap();
        let state = ["--state", state.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &state);
        place.command(&["trigger", "raise", "attack", "10.1.0.9", "--for", "1h"]);
        place.command(&["trigger", "suppress", "attack", "10.1.0.8", "--reason", "our scanner"]);
        place.command(&["param", "set", "head", "50"]);
        place.refused(&["param", "set", "head", "500"]);
        place.command(&["table", "add", "quiet", "10.9.9.9"]);
        let rows = place.write("rows", "{\"key\": \"192.0.2.1\"}\n");
        place.command(&["table", "replace", "quiet", &rows]);
        place.command(&["trigger", "clear", "attack"]);
        let site = "station s { pcapng \"DIR/s.pcapng\" }\nrule r { match tcp  snaplen 60  to s }\n";
        let site = place.write("site.mrule", site);
        place.command(&["load", &site, "--as", "site"]);
        place.command(&["load", &site, "--as", "site", "--dry-run"]);
        place.command(&["unload", "site"]);
        let wrong = "station s { pcapng \"DIR/lake.pcapng\" }\nrule r { match tcp  snaplen 60  to s }\n";
        let wrong = place.write("wrong.mrule", wrong);
        place.refused(&["load", &wrong, "--as", "wrong"]);
        place.command(&["list"]);
        assert!(wire.pings(&["10.1.0.2"]));
        until("packets raise a trigger", || kinds(&lines(&place, &[])).contains(&"raised"));
        place.run.hang_up();
        until("a reload", || lines(&place, &["--kind", "loaded"]).len() == 2);
        std::thread::sleep(Duration::from_secs(1));

        let all = lines(&place, &[]);
        let changes = lines(&place, &["--kind", "change"]);
        let asked: Vec<&str> = changes.iter().map(|change| change["request"].as_str().unwrap()).collect();
        let api = |rest: &str| format!("/v1/policies/{rest}");
        assert_eq!(
            asked,
            [
                format!("POST {}", api("main/triggers/attack/raise")),
                format!("POST {}", api("main/triggers/attack/suppress")),
                format!("PUT {}", api("main/params/head")),
                format!("PUT {}", api("main/params/head")),
                format!("POST {}", api("main/tables/quiet/add")),
                format!("PUT {}", api("main/tables/quiet")),
                format!("POST {}", api("main/triggers/attack/clear")),
                format!("PUT {}", api("site?dry_run=false")),
                format!("DELETE {}", api("site")),
                format!("PUT {}", api("wrong?dry_run=false")),
                "read the rule files again".to_owned(),
            ],
            "what only looks is no change: {changes:?}"
        );
        let uid = rustix::process::geteuid().as_raw();
        for change in &changes[..changes.len() - 1] {
            let by = json!({ "uid": uid, "pid": std::process::id() });
            assert_eq!(change["by"], by, "commands run in this process: {change}");
        }
        assert_eq!(changes[0]["body"], json!({ "key": ["10.1.0.9"], "for": "1h" }), "{}", changes[0]);
        assert_eq!(changes[1]["body"]["reason"], "our scanner");
        let statuses: Vec<u64> = changes.iter().filter_map(|change| change["status"].as_u64()).collect();
        assert_eq!(statuses, [200, 200, 200, 400, 200, 200, 200, 200, 200, 409]);
        assert!(changes[3]["reason"].as_str().unwrap().contains("100"), "{}", changes[3]);
        assert_eq!(changes[10]["by"], json!({ "signal": "SIGHUP" }));
        let of = |kind: &str| all.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
        assert_eq!((of("raised").len(), of("cleared").len(), of("suppression").len()), (3, 1, 1), "{all:#?}");
        assert!(of("raised").iter().any(|event| event["reason"].as_str().unwrap().contains("per 1h is 3")));
        assert_eq!((&of("loaded")[0]["policy"], &of("loaded")[0]["version"]), (&"site".into(), &1.into()));
        assert_eq!(of("unloaded")[0]["policy"], "site");
        assert!(of("refused")[0]["reason"].as_str().unwrap().contains("station"), "{}", of("refused")[0]);
        let ids: Vec<u64> = all.iter().map(|event| event["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");

        let text = place.command(&["events", "--history", "--kind", "change"]);
        let first = format!("uid {uid} pid {} requested: POST", std::process::id());
        assert!(text.contains(&first) && text.contains("; refused (400): "), "{text}");
        let status = place.status().1["history"].clone();
        assert_eq!(
            (&status["unwritten"], &status["lost"], &status["trouble"]),
            (&0.into(), &0.into(), &Value::Null)
        );

        // A second after the last of it, nothing is lost; numbers go on.
        let place = place.killed_and_started(wire, MIRRORC, &state);
        let after = lines(&place, &["--since", "1h"]);
        assert_eq!(after[..all.len()], all[..], "all of it is there");
        assert_eq!(
            after[all.len()..].iter().filter(|e| e["note"].as_str().unwrap().contains("has started")).count(),
            1
        );
        place.command(&["param", "reset", "head"]);
        let last = lines(&place, &["--limit", "1"]);
        assert_eq!((last.len(), kinds(&last)[0]), (1, "change"));
        assert!(last[0]["id"].as_u64().unwrap() > *ids.last().unwrap());
        place.run.stop();
    });
}

#[test]
fn pages_join_and_wrong_questions_are_refused() {
    with_wire("pages_join_and_wrong_questions_are_refused", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        for n in 0..30 {
            place.command(&["trigger", "raise", "attack", &format!("10.2.0.{n}")]);
        }
        let get = |query: &str| ask(&place.socket, "get", &format!("/v1/events/history{query}"), "", b"");
        until("all are there", || {
            get("?kind=raised&limit=1000").json()["events"].as_array().unwrap().len() == 30
        });
        let all = get("?after=0&limit=1000").json();
        assert_eq!(all["next"], Value::Null);
        let (mut pages, mut after) = (Vec::new(), 0);
        loop {
            let page = get(&format!("?after={after}&limit=7")).json();
            pages.extend(page["events"].as_array().unwrap().clone());
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(Value::from(pages), all["events"]);
        let newest = get("?limit=2").json();
        let events = all["events"].as_array().unwrap();
        assert_eq!(newest["events"].as_array().unwrap(), &events[events.len() - 2..]);
        assert_eq!(get("?since=2100-01-01T00:00:00Z").json()["events"], json!([]));
        for (query, why) in [
            ("?since=yesterday", "is not a time"),
            ("?kind=raised,odd", "there is no kind `odd`"),
            ("?limit=many", "limit"),
            ("?after=-1", "after"),
        ] {
            let answer = get(query);
            assert!(answer.status == 400 && answer.body.contains(why), "{query}: {}", answer.body);
        }
        let (_, said) = place.refused(&["events", "--history", "--since", "soon"]);
        assert!(said.contains("`soon` is not a time"), "{said}");
        place.run.stop();
    });
}

/// A datagram from one of many sources.
fn datagram(source: u32) -> Vec<u8> {
    let [_, a, b, c] = source.to_be_bytes();
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let builder = builder.ipv4([172, a, b, c], [10, 1, 0, 2], 64).udp(4000, 9);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"storm").unwrap();
    frame
}

#[test]
fn a_storm_is_bounded_counted_and_told() {
    with_wire("a_storm_is_bounded_counted_and_told", |wire| {
        let rules = "
            trigger seen by net.src { when udp.port == 9  hold 1h  keys 65536 }
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule r { match seen  snaplen headers  to lake }\n";
        let state = tempfile::tempdir().unwrap();
        let place = ControlledRun::start(wire, MIRRORC, rules, &["--state", state.path().to_str().unwrap()]);
        place.command(&["param", "list"]);
        place.refused(&["unload", "nobody"]);
        let storm = 20_000_u64;
        let frames: Vec<Vec<u8>> = (0..storm as u32).map(datagram).collect();
        for part in frames.chunks(500) {
            wire.say(part);
        }
        until("all are raised", || place.json(&["trigger", "list"])[0]["raised"] == storm);
        let history = || place.status().1["history"].clone();
        place.run.says("some are only counted");
        until("all is written", || {
            let history = history();
            history["kept"].as_u64().unwrap()
                == history["written"].as_u64().unwrap() + history["unwritten"].as_u64().unwrap()
        });
        let raised = lines(&place, &["--since", "1h", "--kind", "raised"]).len() as u64;
        let lost = history()["lost"].as_u64().unwrap();
        assert_eq!(raised + lost, storm, "each was told or counted: {}", history());
        assert!(lost > 0 && raised >= 1000, "{raised} were told, {lost} lost");
        assert_eq!(lines(&place, &["--kind", "change"]).len(), 1, "who changed what is still there");
        place.run.says("all events are reported again");
        place.run.stop();
    });
}

#[test]
fn a_history_that_cannot_be_written_disturbs_nothing() {
    with_wire("a_history_that_cannot_be_written_disturbs_nothing", |wire| {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("history.sqlite"), "no database at all. ".repeat(500)).unwrap();
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--state", state.path().to_str().unwrap()]);
        place.run.says("in memory only");
        place.command(&["param", "set", "head", "50"]);
        assert_eq!(lines(&place, &["--kind", "change"]).len(), 1, "it is kept in memory");
        let status = place.status().1;
        assert_eq!((&status["status"], &status["state"]["kept"]), (&"degraded".into(), &true.into()));
        assert_eq!(place.reasons(), ["history"], "people are told");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
        // Full: a file system of its own, of half a megabyte.
        let small = state.path().join("small");
        std::fs::create_dir(&small).unwrap();
        let path = small.to_str().unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=512k", "none", path]).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no file system can be mounted here");
            return;
        }
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--state", path]);
        std::fs::write(small.join("filler"), vec![0; 256 << 10]).unwrap();
        let mut raised = 0_u64;
        until("the disk is full", || {
            for _ in 0..50 {
                let body = json!({ "key": format!("10.5.{}.{}", raised / 200, raised % 200) }).to_string();
                let path = "/v1/policies/main/triggers/attack/raise";
                assert_eq!(ask(&place.socket, "post", path, "application/json", body.as_bytes()).status, 200);
                raised += 1;
            }
            place.run.said().contains("the history cannot be written: ")
        });
        let history = place.status().1["history"].clone();
        assert!(history["unwritten"].as_u64() > Some(0) && history["trouble"].is_string(), "{history}");
        let changes = lines(&place, &["--since", "1h", "--kind", "change"]).len() as u64;
        assert_eq!(changes, raised, "all of them are in memory");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
        let _unmounted = std::process::Command::new("umount").arg(path).status();
    });
}
