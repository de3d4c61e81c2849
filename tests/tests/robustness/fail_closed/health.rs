//! `status`, `/v1/health`, `/v1/ready` and exit codes say what is wrong; a worker that dies ends
//! the run, and the kernel forwards on. (Rejected: to ask functions; scripts see exit codes.)

use super::{WHOLE, copied, traffic};
use crate::MIRRORC;
use mirrorc::Exit;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use std::time::{Duration, Instant};

#[test]
fn what_is_wrong_is_said_and_what_is_over_is_over() {
    with_wire("what_is_wrong_is_said_and_what_is_over_is_over", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--state", state.to_str().unwrap()]);
        let _traffic = traffic(wire);
        copied(&place, 5);
        assert_eq!(place.status().0, Exit::Clean, "{:?}", place.status());
        let said = place.command(&["status"]);
        for part in ["received: ", "decided: ", "forwarded: ", "copies: "] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let ready = || ask(&place.socket, "get", "/v1/ready", "", b"").status;
        let is = |kinds: &[&str], what: &str| until(what, || place.reasons() == kinds);
        assert_eq!(ready(), 200);

        // No policy.
        let (exit, said) = place.refused(&["unload"]);
        assert!(exit == Exit::Usage && said.contains("--yes"), "{said}");
        assert_eq!(place.reasons(), [""; 0], "it was not unloaded");
        place.command(&["unload", "main", "--yes"]);
        is(&["no_policy"], "nothing is loaded");
        assert_eq!((place.status().0, ready()), (Exit::Problems, 503));
        assert!(wire.pings(&["10.1.0.2"]));
        let told =
            |what: &str| until(what, || place.command(&["events", "--history", "--json"]).contains(what));
        told("\"reason\":\"no_policy\"");
        let (_, said) = place.refused(&["param", "list"]);
        assert!(said.contains("was unloaded"), "{said}");
        place.command(&["rollback", "main"]);
        is(&[], "it is back");
        assert_eq!(place.json(&["list"])[0]["version"], 2);
        told("DELETE /v1/policies/main");
        told("\"event\":\"recovered\"");

        // Rule files that were read again and refused.
        place.write("a.mrule", "rule odd { }\n");
        place.run.hang_up();
        is(&["reload_refused"], "the reload was refused");
        assert_eq!((place.status().0, ready()), (Exit::Problems, 200));
        place.write("a.mrule", &WHOLE.replace("full", "80"));
        place.run.hang_up();
        is(&[], "the next one is good");

        // An interface that is down, without carrier, gone.
        wire.ip(&wire.here, &["link", "set", "in0", "down"]);
        until("it is down", || place.reasons().contains(&"interface_down".to_owned()));
        assert_eq!(ready(), 503);
        wire.ip(&wire.here, &["link", "set", "in0", "up"]);
        is(&[], "it is up again");

        // The state is gone while it runs, and the history with it.
        std::fs::rename(&state, kept.path().join("elsewhere")).unwrap();
        is(&["state", "history"], "the state is gone");
        assert_eq!(place.status().0, Exit::Problems);
        let metrics = ask(&place.socket, "get", "/v1/metrics", "", b"").body;
        assert!(metrics.contains("mirrorc_ready{} 1") && metrics.contains("kind=\"state\""), "{metrics}");
        place.run.kill();
    });
}

#[test]
fn an_unloaded_policy_is_rolled_back_after_a_restart() {
    with_wire("an_unloaded_policy_is_rolled_back_after_a_restart", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = ["--state", kept.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &state);
        let site = |n: u32| {
            format!("station s {{ pcapng \"DIR/s.pcapng\" }}\nrule r {{ match tcp  snaplen {n}  to s }}\n")
        };
        for n in 1..=3 {
            let path = place.write("site.mrule", &site(n));
            place.command(&["load", &path, "--as", "site"]);
        }
        place.command(&["unload", "site"]);
        let place = place.killed_and_started(wire, MIRRORC, &state);
        assert_eq!(place.json(&["list"]).as_array().unwrap().len(), 1, "it stays unloaded");
        assert_eq!(place.json(&["rollback", "site"])["version"], 4);
        assert!(place.command(&["show", "site"]).contains("snaplen 3 "));
        assert_eq!(place.json(&["rollback", "site", "--version", "1"])["version"], 5);
        place.command(&["unload", "site"]);
        // Bounded: the oldest of many are forgotten.
        let many = crate::rounds(34, 60);
        for n in 0..many {
            let path = place.write("many.mrule", "");
            place.command(&["load", &path, "--as", &format!("p{n}")]);
            place.command(&["unload", &format!("p{n}")]);
        }
        let (_, said) = place.refused(&["rollback", "site"]);
        assert!(said.contains("there is no policy `site`"), "{said}");
        place.command(&["rollback", &format!("p{}", many - 1)]);
        place.run.stop();
    });
}

#[test]
fn a_worker_that_hangs_is_said() {
    with_wire("a_worker_that_hangs_is_said", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let (fault, rules) = (dir.path().join("fault"), mrule_tests::wire::write_rules(dir.path(), WHOLE));
        let socket = dir.path().join("control");
        let control = ["--control", socket.to_str().unwrap()];
        let words = [&[&rules, "--bridge", "in0:out0", "--workers", "2"][..], &control].concat();
        let environment = [("MRULE_TEST_FAULT", fault.to_str().unwrap())];
        let run = wire.mirrorc_with(&environment, MIRRORC, &words);
        let place = ControlledRun { dir, run, socket };
        let ready = || ask(&place.socket, "get", "/v1/ready", "", b"").status;
        assert_eq!((place.reasons(), ready()), (Vec::new(), 200));
        std::fs::write(&fault, "1 hangs").unwrap();
        until("it is known", || place.reasons() == ["worker_stalled"]);
        assert_eq!((place.status().0, ready()), (Exit::Problems, 503));
        assert!(wire.pings(&["10.1.0.2"]), "the kernel forwards on");
        place.run.says("worker 1 has not moved for");
        std::fs::remove_file(&fault).unwrap();
        until("it moves again", || place.reasons().is_empty());
        // A run ends without a worker that hangs.
        std::fs::write(&fault, "0 hangs").unwrap();
        until("it is known", || place.reasons() == ["worker_stalled"]);
        let begun = Instant::now();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(place.run.pid().cast_signed()).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        let (code, said) = place.run.ended();
        assert!(code == Some(4) && begun.elapsed() < Duration::from_secs(12), "{code:?} {said}");
    });
}

#[test]
fn a_limit_whose_trigger_is_full_is_said_and_withholds_copies_where_it_binds() {
    with_wire("a_limit_whose_trigger_is_full_is_said_and_withholds_copies_where_it_binds", |wire| {
        let rules = "trigger seen by net.src { when icmp  hold 3s  keys 1 }
            limit seen { match seen[net.src]  snaplen 50 }\n";
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--workers", "1"]);
        let site = place.write("site.mrule", rules);
        for binding in [false, true] {
            let more: &[&str] = if binding { &["--binding"] } else { &[] };
            place.command(&[&["load", &site, "--as", "site"], more].concat());
            let full = traffic(wire);
            until("it is full", || place.reasons() == ["limit_full"]);
            assert_eq!(place.status().0, Exit::Problems);
            if binding {
                until("copies are withheld", || place.status().1["counts"]["withheld"].as_u64() > Some(20));
                assert_eq!(place.status().1["status"], "failing");
            } else {
                copied(&place, 20);
                assert_eq!(place.status().1["counts"]["withheld"], 0);
            }
            drop(full);
            until("its keys end", || place.reasons().is_empty());
        }
        place.run.kill();
    });
}

#[test]
fn a_state_of_another_mirrorc_is_told_with_its_process() {
    with_wire("a_state_of_another_mirrorc_is_told_with_its_process", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = ["--state", kept.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &state);
        let rules = place.write("other.mrule", WHOLE.replace("lake.pcapng", "pond.pcapng").as_str());
        let other = wire.mirrorc(MIRRORC, &[&rules, "--tap", "m0", state[0], state[1]]);
        other.says(&format!("another mirrorc (process {}) uses", place.run.pid()));
        other.kill();
        place.run.kill();
    });
}

#[test]
fn a_worker_that_dies_ends_the_run() {
    for (forward, forwards) in [("kernel", true), ("userspace", false)] {
        with_wire("a_worker_that_dies_ends_the_run", |wire| {
            let dir = tempfile::tempdir().unwrap();
            let (fault, rules) =
                (dir.path().join("fault"), mrule_tests::wire::write_rules(dir.path(), WHOLE));
            let words = [&rules, "--bridge", "in0:out0", "--forward", forward, "--workers", "2"];
            let environment = [("MRULE_TEST_FAULT", fault.to_str().unwrap())];
            let run = wire.mirrorc_with(&environment, MIRRORC, &words);
            assert!(wire.pings(&["10.1.0.2"]));
            std::fs::write(&fault, "1").unwrap();
            let begun = Instant::now();
            let (code, said) = run.ended();
            let took = begun.elapsed();
            assert!(code == Some(4) && said.contains("worker 1 died"), "{forward}: {code:?} {said}");
            assert!(took < Duration::from_secs(20), "{took:?}");
            assert_eq!(wire.pings(&["10.1.0.2"]), forwards, "{forward}");
            std::fs::remove_file(&fault).unwrap();
            let next = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0"]);
            assert!(wire.pings(&["10.1.0.2"]));
            next.stop();
        });
    }
}

#[test]
fn a_change_does_not_wait_for_a_worker_that_hangs() {
    with_wire("a_change_does_not_wait_for_a_worker_that_hangs", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = "param least : size = 9000 in 0..9000
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule all { match icmp and frame.len > least  snaplen full  to lake }\n";
        let (fault, rules) = (dir.path().join("fault"), mrule_tests::wire::write_rules(dir.path(), rules));
        let socket = dir.path().join("control");
        let words = [&rules, "--bridge", "in0:out0", "--workers", "1", "--control", socket.to_str().unwrap()];
        let environment = [("MRULE_TEST_FAULT", fault.to_str().unwrap())];
        let run = wire.mirrorc_with(&environment, MIRRORC, &words);
        let place = ControlledRun { dir, run, socket };
        let sent = || place.status().1["counts"]["sent"].as_u64();
        assert!(wire.pings(&["10.1.0.2"]) && sent() == Some(0), "too short");
        std::fs::write(&fault, "0 hangs").unwrap();
        until("it is known", || place.reasons() == ["worker_stalled"]);
        let begun = Instant::now();
        for least in (0..30).rev() {
            let body = format!("{{\"value\": {least}}}");
            let path = "/v1/policies/main/params/least";
            assert_eq!(ask(&place.socket, "put", path, "application/json", body.as_bytes()).status, 200);
        }
        let took = begun.elapsed();
        // 2 s each where each is waited for.
        assert!(took < Duration::from_secs(15), "30 changes took {took:?}");
        std::fs::remove_file(&fault).unwrap();
        until("it moves again", || place.reasons().is_empty());
        until("it decides by the last change", || wire.pings(&["10.1.0.2"]) && sent() > Some(0));
        // A load meanwhile does not keep the run from ending.
        std::fs::write(&fault, "0 hangs").unwrap();
        until("it is known", || place.reasons() == ["worker_stalled"]);
        let begun = Instant::now();
        place.command(&["load", place.dir.path().join("a.mrule").to_str().unwrap()]);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_raw(place.run.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let (code, said) = place.run.ended();
        assert!(code == Some(4) && begun.elapsed() < Duration::from_secs(20), "{code:?} {said}");
    });
}
