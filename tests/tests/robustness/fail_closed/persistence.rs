//! A state that cannot be written for a while: it is tried again, and what a restart would miss
//! withholds copies. (Rejected: a file system without room; the process mounts it, and a restart
//! would begin with another one.)

use super::{SITE, WHOLE, copied, traffic};
use crate::MIRRORC;
use mrule_tests::cli::mirrorc;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Wire, until, with_wire};
use std::path::Path;

/// Starts a mirrorc with a state, and with the file of the binding policy.
fn ready(wire: &Wire, state: &Path) -> (ControlledRun, String) {
    let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--state", state.to_str().unwrap()]);
    std::fs::create_dir(place.dir.path().join("there")).unwrap();
    let site = place.write("site.mrule", SITE);
    (place, site)
}

/// Takes the database away, or puts it back.
fn away(state: &Path, is_away: bool) {
    let names = [state.join("state.sqlite"), state.join("away")];
    let [from, to] = if is_away { [&names[0], &names[1]] } else { [&names[1], &names[0]] };
    std::fs::rename(from, to).unwrap();
}

#[test]
fn a_binding_load_that_cannot_be_written_withholds_copies_after_a_restart() {
    with_wire("a_binding_load_that_cannot_be_written_withholds_copies_after_a_restart", |wire| {
        let _traffic = traffic(wire);
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let (mut place, site) = ready(wire, &state);
        copied(&place, 5);
        away(&state, true);
        let done = place.json(&["load", &site, "--as", "site", "--binding"]);
        let warning = done["warning"].as_str().unwrap_or_default();
        assert_eq!(done["kept"], false, "{done}");
        assert!(warning.contains("was removed") && warning.contains("withholds the copies of all"), "{done}");
        assert_eq!(place.reasons(), ["state"]);
        place.run.halt();
        away(&state, false);
        place = place.killed_and_started(wire, MIRRORC, &["--state", state.to_str().unwrap()]);
        until("packets are decided", || place.status().1["counts"]["withheld"].as_u64() > Some(20));
        assert_eq!(place.reasons(), ["binding_missing"]);
        assert_eq!(place.status().1["counts"]["sent"], 0);
        let run =
            mirrorc(&["load", &site, "--as", "site", "--binding", "--to", place.socket.to_str().unwrap()]);
        for part in ["new limits: never, site", "cut the copies of all policies"] {
            assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
        }
        // They cut what others copy.
        assert!(!run.stderr.contains("W0907"), "{}", run.stderr);
        copied(&place, 5);
        assert!(place.copies("lake.pcapng").iter().all(|copy| copy.captured <= 60));
        place = place.killed_and_started(wire, MIRRORC, &["--state", state.to_str().unwrap()]);
        copied(&place, 5);
        assert_eq!(place.reasons(), [""; 0]);
        place.run.kill();
    });
}

#[test]
fn a_state_that_can_be_written_again_has_all_that_happened_meanwhile() {
    with_wire("a_state_that_can_be_written_again_has_all_that_happened_meanwhile", |wire| {
        let _traffic = traffic(wire);
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let (mut place, site) = ready(wire, &state);
        away(&state, true);
        place.command(&["load", &site, "--as", "site", "--binding"]);
        place.command(&["table", "add", "never", "10.1.0.1", "--policy", "site"]);
        assert_eq!(place.reasons(), ["state"]);
        away(&state, false);
        until("it is tried again", || place.reasons().is_empty());
        place.command(&["table", "add", "never", "10.9.9.9", "--policy", "site"]);
        assert_eq!(place.status().1["state"]["kept"], true);
        place = place.killed_and_started(wire, MIRRORC, &["--state", state.to_str().unwrap()]);
        assert_eq!(place.reasons(), [""; 0]);
        assert_eq!(place.json(&["table", "list", "--policy", "site"])[0]["rows"], 3);
        place.run.kill();
    });
}

#[test]
fn a_row_of_a_limit_that_cannot_be_written_withholds_copies_after_a_restart() {
    with_wire("a_row_of_a_limit_that_cannot_be_written_withholds_copies_after_a_restart", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let more = ["--state", state.to_str().unwrap()];
        let rules = format!(
            "{WHOLE}table quiet : set<ip>\ntrigger seen by net.src {{ external  hold 1h }}
             limit quiet {{ match net.src in quiet  snaplen none }}\n"
        );
        let mut place = ControlledRun::start(wire, MIRRORC, &rules, &more);
        std::fs::create_dir(place.dir.path().join("there")).unwrap();
        let site = place.write("site.mrule", SITE);
        place.command(&["load", &site, "--as", "site", "--binding"]);
        for (change, reason) in [
            (&["trigger", "raise", "seen", "10.9.9.9"][..], None),
            (&["table", "add", "quiet", "10.1.0.1"], Some("changes_missing")),
            (&["table", "add", "never", "10.1.0.1", "--policy", "site"], Some("binding_missing")),
            (&["unload", "site", "--yes"], Some("binding_missing")),
        ] {
            away(&state, true);
            place.command(change);
            place.run.halt();
            away(&state, false);
            place = place.killed_and_started(wire, MIRRORC, &more);
            let reasons: Vec<&str> = reason.into_iter().collect();
            assert_eq!(place.reasons(), reasons, "{change:?}");
            // Also after another start, until somebody resolves it.
            place = place.killed_and_started(wire, MIRRORC, &more);
            assert_eq!(place.reasons(), reasons, "{change:?}");
            if reason.is_some() {
                place.command(&["release"]);
            }
            place = place.killed_and_started(wire, MIRRORC, &more);
            assert_eq!(place.reasons(), [""; 0], "{change:?}");
        }
        place.run.kill();
    });
}

#[test]
fn an_older_copy_of_the_state_is_not_believed() {
    with_wire("an_older_copy_of_the_state_is_not_believed", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let more = ["--state", state.to_str().unwrap()];
        let (mut place, site) = ready(wire, &state);
        place.command(&["load", &site, "--as", "site", "--binding"]);
        place.run.halt();
        let files = ["state.sqlite", "state.sqlite-wal"].map(|name| state.join(name));
        let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
        place = place.killed_and_started(wire, MIRRORC, &more);
        place.command(&["table", "add", "never", "10.1.0.1", "--policy", "site"]);
        let other = place.write("other.mrule", "limit other { match udp  snaplen 20 }\n");
        place.command(&["load", &other, "--as", "other", "--binding"]);
        place.command(&["unload", "other", "--yes"]);
        place.run.halt();
        let _none = std::fs::remove_file(state.join("state.sqlite-shm"));
        for (path, bytes) in files.iter().zip(before) {
            std::fs::write(path, bytes).unwrap();
        }
        place = place.killed_and_started(wire, MIRRORC, &more);
        assert_eq!(place.reasons(), ["binding_missing", "state"]);
        assert!(place.run.said().contains("is older than"), "{}", place.run.said());
        place.run.kill();
    });
}

#[test]
fn a_refused_load_of_a_missing_binding_policy_leaves_it_missing() {
    with_wire("a_refused_load_of_a_missing_binding_policy_leaves_it_missing", |wire| {
        let kept = tempfile::tempdir().unwrap();
        let state = kept.path().join("state");
        let more = ["--state", state.to_str().unwrap()];
        let (mut place, site) = ready(wire, &state);
        for _ in 0..2 {
            place.command(&["load", &site, "--as", "site", "--binding"]);
        }
        place.run.halt();
        // A third load was noted, and the process was killed before it was written.
        let marker = std::fs::read_to_string(state.join("binding")).unwrap();
        assert!(marker.contains("{\"site\":2}"), "{marker}");
        std::fs::write(state.join("binding"), marker.replace("{\"site\":2}", "{\"site\":3}")).unwrap();
        place = place.killed_and_started(wire, MIRRORC, &more);
        assert_eq!(place.reasons(), ["binding_missing"]);
        let there = place.dir.path().join("there");
        std::fs::rename(&there, there.with_extension("away")).unwrap();
        std::fs::write(&there, "a file").unwrap();
        place.refused(&["load", &site, "--as", "site", "--binding"]);
        std::fs::remove_file(&there).unwrap();
        std::fs::rename(there.with_extension("away"), &there).unwrap();
        place = place.killed_and_started(wire, MIRRORC, &more);
        assert_eq!(place.reasons(), ["binding_missing"]);
        let done = place.json(&["load", &site, "--as", "site", "--binding"]);
        assert_eq!(done["version"], 3, "{done}");
        place = place.killed_and_started(wire, MIRRORC, &more);
        assert_eq!(place.reasons(), [""; 0]);
        place.run.kill();
    });
}
