//! What a mirrorc with `--state` knows after a kill, what it does when the directory cannot be
//! used, and the worked example of the operations page. (Rejected: stopping it properly; what
//! counts is what is there when it could not say goodbye.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const RULES: &str = "
    param head : size = 40 in 10..100
    table quiet : set<ip> = { 192.0.2.1, 192.0.2.2 }
    trigger attack by net.dst { external  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule heads  { match icmp  snaplen head  to lake }
    rule attack { match attack[net.addr]  snaplen full  to lake }
    limit quiet { match net.src in quiet  snaplen none }\n";

#[test]
fn what_was_answered_is_there_after_a_kill() {
    with_wire("what_was_answered_is_there_after_a_kill", |wire| {
        let state = tempfile::tempdir().unwrap();
        let state = ["--state", state.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &state);
        let site = |n: u64| {
            format!("station s {{ pcapng \"DIR/s.pcapng\" }}\nrule r {{ match tcp  snaplen {n}  to s }}\n")
        };
        for n in 1..=3 {
            let path = place.write("site.mrule", &site(n));
            place.command(&["load", &path, "--as", "site"]);
        }
        let path = place.write("gone.mrule", &site(1).replace("s.pcapng", "gone.pcapng"));
        place.command(&["load", &path, "--as", "gone"]);
        place.command(&["unload", "gone"]);
        place.command(&["param", "set", "head", "50"]);
        place.command(&["table", "add", "quiet", "10.9.9.9"]);
        place.command(&["table", "add", "quiet", "10.9.9.8", "--for", "1ms"]);
        place.command(&["table", "add", "quiet", "10.9.9.7"]);
        place.command(&["table", "remove", "quiet", "10.9.9.7"]);
        place.command(&["table", "remove", "quiet", "192.0.2.2"]);
        place.command(&["trigger", "raise", "attack", "10.1.0.2", "--for", "1h"]);
        place.command(&["trigger", "raise", "attack", "10.1.0.3"]);
        place.command(&["trigger", "clear", "attack", "10.1.0.3"]);
        place.command(&["trigger", "suppress", "attack", "10.1.0.4", "--reason", "ours"]);
        let known = |place: &ControlledRun| {
            let about = ["list", "show"].map(|words| place.json(&[words]));
            let tables = place.json(&["table", "list", "quiet"])["items"].clone();
            let mut tables: Vec<String> = tables.as_array().unwrap().iter().map(Value::to_string).collect();
            tables.sort();
            (about, tables, place.json(&["trigger", "list", "attack"]), place.json(&["param", "list"]))
        };
        // The row of a millisecond has to go from both.
        until("it has ended", || place.json(&["table", "list"])[0]["rows"] == 2);
        let before = known(&place);
        assert_eq!(before.1, [r#"{"key":["10.9.9.9"]}"#, r#"{"key":["192.0.2.1"]}"#]);
        assert_eq!(before.0[0][1]["versions"].as_array().unwrap().len(), 3, "{}", before.0[0]);
        let place = place.killed_and_started(wire, MIRRORC, &state);
        assert_eq!(known(&place), before);
        assert_eq!(place.status().1["state"], json!({ "kept": true, "trouble": null }));
        // Older versions are there, too; copies and versions go on from there.
        assert_eq!(place.json(&["rollback", "site", "--version", "1"])["version"], 4);
        assert!(place.command(&["show", "site"]).contains("snaplen 1 "));
        // A reload while something is changed keeps it whole; then the rule file changes while
        // nobody runs.
        let path = place.write("a.mrule", &RULES.replace("10..100", "10..99"));
        assert_eq!(place.json(&["load", &path])["plan"]["tables"]["kept"], json!(["quiet"]));
        place.write("a.mrule", &RULES.replace("10..100", "10..98"));
        let place = place.killed_and_started(wire, MIRRORC, &state);
        let after = known(&place);
        assert_eq!((&after.1, &after.2), (&before.1, &before.2));
        assert_eq!((&after.3[0]["value"], &after.3[0]["max"]), (&50.into(), &98.into()), "{}", after.3);
        let main = &after.0[0][0];
        assert_eq!((&main["version"], main["versions"].as_array().unwrap().len()), (&3.into(), 3), "{main}");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
    });
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_answered() {
    with_wire("a_kill_at_any_moment_loses_nothing_that_was_answered", |wire| {
        let state = tempfile::tempdir().unwrap();
        let state = ["--state", state.path().to_str().unwrap()];
        let mut place = ControlledRun::start(wire, MIRRORC, RULES, &state);
        let answered = AtomicU64::new(0);
        for round in 0..3 {
            let first = answered.load(Relaxed);
            std::thread::scope(|scope| {
                let socket = place.socket.clone();
                let answered = &answered;
                scope.spawn(move || {
                    for row in first.. {
                        let body =
                            json!({ "key": format!("172.16.{}.{}", row / 256, row % 256) }).to_string();
                        let add = std::panic::catch_unwind(|| {
                            ask(
                                &socket,
                                "post",
                                "/v1/policies/main/tables/quiet/add",
                                "application/json",
                                body.as_bytes(),
                            )
                        });
                        match add {
                            Ok(answer) if answer.status == 200 => answered.store(row + 1, Relaxed),
                            _ => return,
                        }
                    }
                });
                until("some rows", || answered.load(Relaxed) > first + 20 + 7 * round);
                let ControlledRun { dir, run, socket } = std::mem::replace(&mut place, never());
                run.kill();
                let rules = dir.path().join("a.mrule");
                let words =
                    [rules.to_str().unwrap(), "--bridge", "in0:out0", "--control", socket.to_str().unwrap()];
                // The one that adds has met a dead socket by now.
                std::thread::sleep(std::time::Duration::from_millis(200));
                let run = wire.mirrorc(MIRRORC, &[&words[..], &state].concat());
                place = ControlledRun { dir, run, socket };
            });
            let rows = place.json(&["table", "list", "quiet"])["total"].as_u64().unwrap();
            let answered = answered.load(Relaxed);
            // The one that was not answered may be there.
            assert!(
                (answered + 2..=answered + 3).contains(&rows),
                "{answered} answered, {rows} there with 2 of the program"
            );
        }
        place.run.stop();
    });
}

#[test]
fn a_directory_that_cannot_be_used_is_told() {
    with_wire("a_directory_that_cannot_be_used_is_told", |wire| {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(
            state.path().join("state.sqlite"),
            "this is no database, whatever its name says. ".repeat(99),
        )
        .unwrap();
        let words = ["--state", state.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &words);
        let said = place.run.said();
        assert!(said.contains("cannot be used") && said.contains("nothing will be kept"), "{said}");
        let reasons = place.reasons();
        assert_eq!(reasons, ["binding_missing", "state"], "what may have bound is not known");
        place.command(&["param", "set", "head", "50"]);
        assert_eq!(place.json(&["param", "list"])[0]["value"], 50, "it runs from memory");
        assert!(wire.pings(&["10.1.0.2"]));
        let rules = place.dir.path().join("a.mrule");
        place.run.stop();
        // `-q` shows errors only.
        for (quiet, says) in [(&[][..], true), (&["-q"], false)] {
            let run = ["timeout", "-s", "INT", "2", MIRRORC, "run", rules.to_str().unwrap(), "--tap", "in0"];
            let run = wire.try_run(&wire.here, &[&run[..], &words, quiet].concat());
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            assert_eq!(said.contains("warning: "), says, "{said}");
            assert!(says || said.is_empty(), "{said}");
        }
        // Full: a file system of its own, of half a megabyte.
        let small = state.path().join("small");
        std::fs::create_dir(&small).unwrap();
        let path = small.to_str().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "none", path])
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no file system can be mounted here");
            return;
        }
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--state", path]);
        assert_eq!(place.status().1["state"]["kept"], true);
        let rows: String =
            (0..20_000).map(|i| format!("{{\"key\": \"172.16.{}.{}\"}}\n", i / 256, i % 256)).collect();
        let rows = place.write("rows", &rows);
        place.command(&["table", "replace", "quiet", &rows]);
        place.run.says("changes wait and are not kept yet");
        assert_eq!(place.json(&["table", "list"])[0]["rows"], 20_000, "it was made");
        let status = place.status().1;
        assert_eq!(
            (&status["status"], &status["state"]["kept"]),
            (&"degraded".into(), &false.into()),
            "{status}"
        );
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
        let _unmounted = std::process::Command::new("umount").arg(path).status();
    });
}

/// Stands for a mirrorc between two.
fn never() -> ControlledRun {
    let dir = tempfile::tempdir().unwrap();
    let run = mrule_tests::wire::Mirrorc::none();
    let socket = dir.path().join("none");
    ControlledRun { dir, run, socket }
}

/// A block of the operations page that holds a text.
fn block(of: &str, holds: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```").skip(1).step_by(2);
    let found = blocks.filter_map(|block| block.strip_prefix(of)).find(|block| block.contains(holds));
    found.unwrap_or_else(|| panic!("no {of} with {holds}")).to_owned()
}

#[test]
fn an_ids_asks_for_more() {
    with_wire("an_ids_asks_for_more", |wire| {
        let rules = block("mrule", "trigger suspect").replace("ids.pcapng", "DIR/ids.pcapng");
        let place = ControlledRun::start(wire, MIRRORC, &rules, &[]);
        // The command of the page, word for word but for the socket.
        let command = block("sh", "/raise").replace("/run/mirrorc/control", place.socket.to_str().unwrap());
        let ids = place.dir.path().join("ids.pcapng");
        let marker = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"x-marker");
        let ping = |pattern: &str| wire.pings(&["-p", pattern, "-s", "1000", "10.1.0.2"]);
        assert!(ping("00"), "nothing to see");
        // "x-marker", in hexadecimal: it is within the first bytes that the IDS gets.
        assert!(ping("782d6d61726b6572"));
        // The IDS: it reads its station, and asks for more when it sees the marker.
        until("the IDS sees the marker", || {
            mrule_tests::frames::read(&ids).iter().any(|frame| marker(&frame.bytes))
        });
        let seen = mrule_tests::frames::read(&ids);
        assert!(seen.iter().all(|frame| frame.bytes.len() < 120), "so far, headers and some bytes");
        let curl = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        let said = String::from_utf8_lossy(&curl.stdout);
        assert_eq!(said, "{\"effect\":\"raised\"}", "{curl:?}");
        assert!(ping("00"));
        // What the ping is long, and what its copy is.
        let full =
            |frame: &mrule_tests::frames::Frame| frame.len > 1000 && frame.bytes.len() == frame.len as usize;
        until("copies in full", || mrule_tests::frames::read(&ids).iter().filter(|f| full(f)).count() == 6);
        place.run.stop();
    });
}
