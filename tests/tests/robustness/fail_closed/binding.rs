//! Binding limits hold from the first copy on after a restart, without their stations, and what
//! cannot be restored stops copies and not forwarding. (Rejected: to look at the start order;
//! copies tell.)

use super::{WHOLE, bound, copied, tamper, traffic};
use crate::MIRRORC;
use mirrorc::Exit;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{Wire, until, with_wire};
use std::path::Path;

/// Kills a mirrorc, does something to its state, and starts it again.
fn restarted(
    mut place: ControlledRun,
    wire: &Wire,
    state: &Path,
    more: &[&str],
    between: impl FnOnce(&ControlledRun),
) -> ControlledRun {
    place.run.halt();
    between(&place);
    place.killed_and_started(wire, MIRRORC, &[&["--state", state.to_str().unwrap()], more].concat())
}

#[test]
fn binding_limits_hold_from_the_first_copy_after_a_restart() {
    with_wire("binding_limits_hold_from_the_first_copy_after_a_restart", |wire| {
        let state = tempfile::tempdir().unwrap();
        let mut place = bound(wire, state.path());
        let _traffic = traffic(wire);
        copied(&place, 20);
        for round in 0..crate::rounds(3, 30) {
            place = restarted(place, wire, state.path(), &[], |_| ());
            copied(&place, 20);
            let copies = place.copies("lake.pcapng");
            let whole = copies.iter().filter(|copy| copy.captured > 60).count();
            assert!(whole == 0 && copies.len() >= 20, "round {round}: {whole} of {} are whole", copies.len());
        }
        place.run.kill();
    });
}

#[test]
fn binding_limits_hold_without_their_stations() {
    with_wire("binding_limits_hold_without_their_stations", |wire| {
        let state = tempfile::tempdir().unwrap();
        let place = bound(wire, state.path());
        let there = place.dir.path().join("there");
        let _traffic = traffic(wire);
        let place = restarted(place, wire, state.path(), &[], |_| {
            std::fs::rename(&there, there.with_extension("away")).unwrap();
            // A directory would be made.
            std::fs::write(&there, "a file").unwrap();
        });
        copied(&place, 50);
        assert!(place.copies("lake.pcapng").iter().all(|copy| copy.captured <= 60));
        assert_eq!(place.reasons(), ["station_down"], "{:?}", place.status());
        let (exit, status) = place.status();
        assert_eq!(
            (exit, &status["status"], &status["ready"]),
            (Exit::Problems, &"degraded".into(), &true.into())
        );
        // It is tried again, and opened when that can be done.
        std::fs::remove_file(&there).unwrap();
        std::fs::rename(there.with_extension("away"), &there).unwrap();
        place.run.says("station site/s is up again");
        wire.tcp("20K", &[]);
        until("its copies arrive", || !place.copies("there/s.pcapng").is_empty());
        until("all is well", || place.status().0 == Exit::Clean);
        place.run.kill();
    });
}

/// What is not there that bound all, how the owner resolves it.
struct Case {
    change: &'static str,
    resolve: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        change: "UPDATE versions SET bundle = '{' WHERE policy = 'site'",
        resolve: &["load", "DIR/site.mrule", "--as", "site", "--binding"],
    },
    Case {
        change: "UPDATE versions SET bundle = replace(bundle, 'snaplen 60', 'snaplen sixty') WHERE policy = 'site'",
        resolve: &["unload", "site", "--yes"],
    },
    Case { change: "UPDATE versions SET at_work = 0 WHERE policy = 'site'", resolve: &["release", "site"] },
    Case { change: "DELETE FROM versions WHERE policy = 'site'", resolve: &["release"] },
    Case {
        change: "UPDATE changes SET object = replace(object, '10.9.9.9', 'nonsense') WHERE policy = 'site'",
        resolve: &["load", "DIR/site.mrule", "--as", "site", "--binding"],
    },
];

#[test]
fn what_bound_and_is_missing_stops_copies_until_it_is_resolved() {
    with_wire("what_bound_and_is_missing_stops_copies_until_it_is_resolved", |wire| {
        let _traffic = traffic(wire);
        for Case { change, resolve } in CASES {
            let state = tempfile::tempdir().unwrap();
            let place = bound(wire, state.path());
            place.command(&["table", "add", "never", "10.9.9.9", "--policy", "site"]);
            let place = restarted(place, wire, state.path(), &[], |_| tamper(state.path(), change));
            until("it says so", || place.run.said().contains("copies of all policies are withheld"));
            until("packets are decided", || place.status().1["counts"]["withheld"].as_u64() > Some(20));
            let (exit, status) = place.status();
            assert_eq!(exit, Exit::Problems);
            assert_eq!(
                (&status["status"], &status["counts"]["sent"]),
                (&"failing".into(), &0.into()),
                "{change}"
            );
            assert_eq!(status["reasons"][0]["kind"], "binding_missing", "{change}: {status}");
            assert!(wire.pings(&["10.1.0.2"]), "it forwards");
            assert_eq!(ask(&place.socket, "get", "/v1/ready", "", b"").status, 503);
            let metrics = ask(&place.socket, "get", "/v1/metrics", "", b"").body;
            assert!(metrics.contains("mirrorc_unhealthy{kind=\"binding_missing\""), "{metrics}");
            let dir = place.dir.path().to_str().unwrap();
            let resolve: Vec<String> = resolve.iter().map(|word| word.replace("DIR", dir)).collect();
            place.command(&resolve.iter().map(String::as_str).collect::<Vec<_>>());
            copied(&place, 5);
            assert_eq!(place.reasons(), [""; 0], "{change}");
            let binds = place.copies("lake.pcapng").iter().all(|copy| copy.captured <= 60);
            assert_eq!(binds, resolve[0] == "load", "{change}");
            // It stays resolved.
            let place = restarted(place, wire, state.path(), &[], |_| ());
            assert_eq!(place.reasons(), [""; 0], "{change}");
            place.run.kill();
        }
    });
}

#[test]
fn a_state_that_cannot_be_read_may_have_bound() {
    with_wire("a_state_that_cannot_be_read_may_have_bound", |wire| {
        let _traffic = traffic(wire);
        let state = tempfile::tempdir().unwrap();
        let place = bound(wire, state.path());
        let damage = |_: &ControlledRun| {
            for name in ["state.sqlite", "state.sqlite-wal"] {
                std::fs::write(state.path().join(name), "no database, whatever its name says. ".repeat(999))
                    .unwrap();
            }
        };
        let place = restarted(place, wire, state.path(), &[], damage);
        until("packets are decided", || place.status().1["counts"]["withheld"].as_u64() > Some(20));
        assert_eq!(place.reasons(), ["binding_missing", "state"]);
        place.command(&["release"]);
        copied(&place, 5);
        assert_eq!(place.reasons(), ["state"], "nothing is kept still");
        // Told to be open, it copies and says what is missing.
        let place = restarted(place, wire, state.path(), &["--binding-failure", "open"], |_| ());
        copied(&place, 5);
        assert_eq!(place.status().1["status"], "degraded");
        assert_eq!(place.reasons(), ["binding_missing", "state"]);
        // A directory that cannot be made had nothing in it.
        let file = place.write("file", "");
        place.run.kill();
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--state", &format!("{file}/state")]);
        copied(&place, 5);
        assert_eq!(place.reasons(), ["state", "history"]);
        place.run.kill();
    });
}

#[test]
fn rule_files_that_were_loaded_as_binding_bind_after_a_restart() {
    with_wire("rule_files_that_were_loaded_as_binding_bind_after_a_restart", |wire| {
        let _traffic = traffic(wire);
        let state = tempfile::tempdir().unwrap();
        let place = bound(wire, state.path());
        let limited = format!("{WHOLE}limit l {{ match icmp  snaplen 50 }}\n");
        let main = place.write("a.mrule", &limited);
        place.command(&["load", &main, "--binding"]);
        let other = place.write("other.mrule", &WHOLE.replace("lake", "pond"));
        place.command(&["load", &other, "--as", "other"]);
        let place = restarted(place, wire, state.path(), &[], |_| ());
        until("copies come", || place.copies("pond.pcapng").len() > 20);
        assert!(place.copies("pond.pcapng").iter().all(|copy| copy.captured <= 50));
        // Rule files that bind nothing any more.
        let place = restarted(place, wire, state.path(), &[], |place| drop(place.write("a.mrule", WHOLE)));
        assert_eq!(place.reasons(), ["binding_missing"]);
        place.run.kill();
    });
}

type Damage = (&'static str, fn(&Path));

/// What happens to the files of a state while no mirrorc has it.
const DAMAGES: &[Damage] = &[
    ("emptied", |state| std::fs::write(state.join("state.sqlite"), "").unwrap()),
    ("removed", |state| std::fs::remove_file(state.join("state.sqlite")).unwrap()),
    ("without its log", |state| std::fs::remove_file(state.join("state.sqlite-wal")).unwrap()),
    ("with a damaged log", |state| {
        std::fs::write(state.join("state.sqlite-wal"), "no log ".repeat(9999)).unwrap()
    }),
    ("with the tables and no rows", |state| tamper(state, "DELETE FROM versions WHERE policy = 'site'")),
];

#[test]
fn a_damaged_state_is_not_taken_for_a_new_one() {
    with_wire("a_damaged_state_is_not_taken_for_a_new_one", |wire| {
        let _traffic = traffic(wire);
        for (what, damage) in DAMAGES {
            let state = tempfile::tempdir().unwrap();
            let place = bound(wire, state.path());
            let place = restarted(place, wire, state.path(), &[], |_| damage(state.path()));
            until("packets are decided", || place.status().1["counts"]["withheld"].as_u64() > Some(5));
            assert_eq!(place.reasons()[0], "binding_missing", "{what}");
            assert_eq!(place.status().1["counts"]["sent"], 0, "{what}");
            // It is missing after another start, too.
            let place = restarted(place, wire, state.path(), &[], |_| ());
            assert_eq!(place.reasons()[0], "binding_missing", "{what}");
            place.command(&["release"]);
            copied(&place, 5);
            place.run.kill();
        }
    });
}

#[test]
fn rule_files_whose_binding_version_is_missing_stay_missing_until_released() {
    with_wire("rule_files_whose_binding_version_is_missing_stay_missing_until_released", |wire| {
        let state = tempfile::tempdir().unwrap();
        let place = bound(wire, state.path());
        let limited = format!("{WHOLE}limit l {{ match icmp  snaplen 50 }}\n");
        let main = place.write("a.mrule", &limited);
        place.command(&["load", &main, "--binding"]);
        let gone = |_: &ControlledRun| tamper(state.path(), "DELETE FROM versions WHERE policy = 'main'");
        let place = restarted(place, wire, state.path(), &[], gone);
        assert_eq!(place.reasons(), ["binding_missing"]);
        let place = restarted(place, wire, state.path(), &[], |_| ());
        assert_eq!(place.reasons(), ["binding_missing"]);
        place.command(&["release", "main"]);
        let place = restarted(place, wire, state.path(), &[], |_| ());
        assert_eq!(place.reasons(), [""; 0]);
        place.run.kill();
    });
}

#[test]
fn a_raise_that_a_limit_asks_for_and_that_is_missing_stops_copies() {
    with_wire("a_raise_that_a_limit_asks_for_and_that_is_missing_stops_copies", |wire| {
        let _traffic = traffic(wire);
        let private = "trigger private by net.dst { external  hold 9h }\n";
        for (uses, missing) in [
            ("limit l { match private[net.dst]  snaplen none }\n", true),
            ("rule other { match icmp and not private[net.dst]  snaplen 50  to lake }\n", true),
            ("rule other { match private[net.dst]  snaplen 50  to lake }\n", false),
        ] {
            let state = tempfile::tempdir().unwrap();
            let rules = format!("{WHOLE}{private}{uses}");
            let place =
                ControlledRun::start(wire, MIRRORC, &rules, &["--state", state.path().to_str().unwrap()]);
            place.command(&["trigger", "raise", "private", "10.9.9.9"]);
            let damage = "UPDATE changes SET object = replace(object, '10.9.9.9', 'nonsense')";
            let place = restarted(place, wire, state.path(), &[], |_| tamper(state.path(), damage));
            let reasons: &[&str] = if missing { &["changes_missing"] } else { &[] };
            assert_eq!(place.reasons(), reasons, "{uses}");
            place.run.kill();
        }
    });
}
