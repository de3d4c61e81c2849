//! One process forwards between two interfaces: a second one is refused, unless it takes over;
//! redirects that vanish are put back, those of others are left alone. Judged by ping and tc.
//! (Rejected: two values in one process; the sign that dies with its owner is what is tested.)

use super::WHOLE;
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{Wire, until, with_wire, write_rules};
use std::time::Instant;

/// A run that is refused; what it says.
pub fn refused(wire: &Wire, words: &[&str]) -> String {
    let run = wire.try_run(&wire.here, &[&["timeout", "20", MIRRORC], words].concat());
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{words:?}: {said}");
    said
}

fn redirects(wire: &Wire) -> String {
    let show = |link: &str| wire.run(&wire.here, &["tc", "filter", "show", "dev", link, "ingress"]);
    ["in0", "out0"].map(show).concat()
}

#[test]
fn a_second_owner_is_refused_and_touches_nothing() {
    for forward in ["kernel", "userspace"] {
        with_wire("a_second_owner_is_refused_and_touches_nothing", |wire| {
            let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--forward", forward]);
            let other = tempfile::tempdir().unwrap();
            let rules = write_rules(other.path(), WHOLE);
            let before = redirects(wire).matches("redirect to").count();
            for (bridge, how) in [
                ("in0:out0", "kernel"),
                ("out0:in0", "userspace"),
                ("in0:m0", "kernel"),
                ("m0:out0", "userspace"),
            ] {
                let said = refused(wire, &["run", &rules, "--bridge", bridge, "--forward", how]);
                let pid = format!("process {}", place.run.pid());
                assert!(said.contains(&pid) && said.contains("--take-over"), "{bridge}: {said}");
                assert_eq!(redirects(wire).matches("redirect to").count(), before);
                assert!(wire.pings(&["10.1.0.2"]), "{forward}, {bridge}");
            }
            // Reading beside it is nobody's harm.
            wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0"]).stop();
            let said = refused(wire, &["bridge", "remove", "in0:out0"]);
            assert!(said.contains(&place.run.pid().to_string()) && said.contains("--force"), "{said}");
            if forward == "kernel" {
                let listed = wire.run(&wire.here, &[MIRRORC, "bridge", "list", "--format", "json"]);
                assert!(listed.contains(&format!("\"owner\":{}", place.run.pid())), "{listed}");
            }
            // The sign dies with its owner.
            let ControlledRun { dir, run, .. } = place;
            run.kill();
            drop(dir);
            let next = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0"]);
            assert!(wire.pings(&["10.1.0.2"]));
            next.stop();
        });
    }
}

#[test]
fn a_take_over_is_gapless_in_forwarding() {
    with_wire("a_take_over_is_gapless_in_forwarding", |wire| {
        let state = tempfile::tempdir().unwrap();
        let more = ["--state", state.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &more);
        place.command(&["load", place.dir.path().join("a.mrule").to_str().unwrap()]);
        let pinged = std::thread::scope(|scope| {
            let ping = scope.spawn(|| {
                let command = ["ping", "-q", "-i", "0.005", "-c", "800", "-W", "1", "10.1.0.2"];
                String::from_utf8(wire.try_run(&wire.left, &command).stdout).unwrap()
            });
            until("it copies", || place.status().1["counts"]["sent"].as_u64() > Some(20));
            let ControlledRun { dir, run, socket } = place;
            let (rules, socket_path) = (dir.path().join("a.mrule"), socket.to_str().unwrap());
            let words = [rules.to_str().unwrap(), "--bridge", "in0:out0", "--control", socket_path];
            let next = wire.mirrorc(MIRRORC, &[&words[..], &more, &["--take-over"]].concat());
            let (code, said) = run.ended();
            assert!(code == Some(0) && said.contains("takes over the bridges"), "{code:?} {said}");
            assert!(next.said().contains("has handed `in0` over"), "{}", next.said());
            let place = ControlledRun { dir, run: next, socket };
            until("the next one copies", || place.status().1["counts"]["sent"].as_u64() > Some(20));
            assert_eq!(place.json(&["list"])[0]["version"], 2, "it has the state");
            let pinged = ping.join().unwrap();
            place.run.stop();
            pinged
        });
        assert!(pinged.contains(" 800 received"), "{pinged}");
        assert!(!wire.pings(&["10.1.0.2"]), "a clean end removes the redirects");
        // Where nobody is, nothing is taken over; by users who are not the owner's, neither.
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--take-over", "--user", "root"]);
        let rules = place.dir.path().join("a.mrule");
        let words =
            ["run", rules.to_str().unwrap(), "--bridge", "in0:out0", "--take-over", "--user", "65534:65534"];
        let said = refused(wire, &words);
        assert!(said.contains("another user's"), "{said}");
        // One that has other bridges, too, is not made to let them fall.
        let words = ["run", rules.to_str().unwrap(), "--bridge", "in0:m0", "--take-over"];
        let said = refused(wire, &words);
        assert!(said.contains("bridges other interfaces, too"), "{said}");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
    });
}

#[test]
fn a_redirect_that_vanishes_is_put_back() {
    with_wire("a_redirect_that_vanishes_is_put_back", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &[]);
        let tc = |command: &str| wire.run(&wire.here, &command.split(' ').collect::<Vec<_>>());
        let begun = Instant::now();
        tc("tc filter del dev in0 ingress");
        place.run.says("the redirect of in0 was put back");
        eprintln!("put back after {} ms", begun.elapsed().as_millis());
        assert!(wire.pings(&["10.1.0.2"]));
        let told = place.command(&["events", "--history", "--json"]);
        assert!(told.contains("forwarding_down") && told.contains("forwarding_up"), "{told}");
        // With the qdisc that it hangs on.
        tc("tc qdisc del dev out0 clsact");
        place.run.says("the redirect of out0 was put back");
        // Again and again: it is put back more and more slowly.
        for _ in 0..30 {
            let _not_there = wire.try_run(&wire.here, &["tc", "filter", "del", "dev", "in0", "ingress"]);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let times = place.run.said().matches("the redirect of in0 was put back").count();
        assert!((2..=5).contains(&times), "{times} in three seconds");
        until("it is back all the same", || wire.pings(&["10.1.0.2"]));
        until("it is well", || place.reasons().is_empty());
        // Somebody else's in its place is told, and left alone until it goes.
        tc("tc filter del dev out0 ingress");
        tc(
            "tc filter add dev out0 ingress prio 7 protocol ip u32 match u32 0 0 action mirred egress redirect dev m0",
        );
        place.run.says("a filter of another program");
        until("health says so", || {
            place.reasons().iter().any(|kind| kind == "not_forwarding" || kind == "foreign_filter")
        });
        assert!(redirects(wire).contains("pref 7"));
        tc("tc filter del dev out0 ingress prio 7");
        until("it forwards again", || wire.pings(&["10.1.0.2"]));
        until("it is well again", || place.reasons().is_empty());
        place.run.stop();
        let qdisc = wire.run(&wire.here, &["tc", "qdisc", "show", "dev", "in0"]);
        assert!(!qdisc.contains("clsact"), "what was put back is taken away: {qdisc}");
        let link = wire.run(&wire.here, &["ip", "-d", "link", "show", "in0"]);
        assert!(link.contains("promiscuity 0"), "{link}");

        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &["--no-repair"]);
        tc("tc filter del dev in0 ingress");
        until("health says so", || place.reasons() == ["not_forwarding"]);
        assert_eq!(place.status().1["status"], "failing");
        assert_eq!(ask(&place.socket, "get", "/v1/ready", "", b"").status, 503);
        assert!(!wire.pings(&["10.1.0.2"]), "it was told not to put it back");
        place.run.stop();
    });
}

#[test]
fn a_take_over_that_could_not_work_leaves_the_old_run_at_work() {
    with_wire("a_take_over_that_could_not_work_leaves_the_old_run_at_work", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &[]);
        let rules = place.dir.path().join("a.mrule");
        let rules = rules.to_str().unwrap();
        for (name, peer) in [("x0", "x1"), ("down0", "down1")] {
            wire.ip(&wire.here, &["link", "add", name, "type", "veth", "peer", "name", peer]);
        }
        for name in ["x0", "x1"] {
            wire.ip(&wire.here, &["link", "set", name, "up"]);
        }
        let still_at_work = |place: &ControlledRun| {
            assert_eq!(place.status().1["status"], "ok");
            assert!(wire.pings(&["10.1.0.2"]) && !place.run.said().contains("takes over"));
        };
        let run = ["run", rules, "--bridge", "in0:out0", "--take-over"];
        for (more, says) in [
            (&["--tap", "down0"][..], "`down0` is down"),
            (&["--tap", "none0"], "none0"),
            (&["--tap", "in0"], "given twice"),
            (&["--pin", "1000"], "pinned to processor 1000"),
        ] {
            let said = refused(wire, &[&run[..], more].concat());
            assert!(said.contains(says), "{more:?}: {said}");
            still_at_work(&place);
        }
        for capability in ["net_raw", "net_admin"] {
            let without = format!("--bounding-set=-{capability}");
            let words = [&["setpriv", &without, "timeout", "20", MIRRORC][..], &run].concat();
            let refused = wire.try_run(&wire.here, &words);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            let needs = format!("CAP_{}", capability.to_uppercase());
            assert!(refused.status.code() == Some(2) && said.contains(&needs), "{capability}: {said}");
            still_at_work(&place);
        }
        // Two runs are not replaced by one: the second could refuse when the first has ended.
        let other = wire.mirrorc(MIRRORC, &[rules, "--bridge", "x0:x1"]);
        let said = refused(wire, &[&run[..], &["--bridge", "x0:x1"]].concat());
        assert!(said.contains("nothing was taken over"), "{said}");
        for pid in [place.run.pid(), other.pid()] {
            assert!(said.contains(&format!("process {pid}")), "{pid}: {said}");
        }
        assert!(!other.said().contains("takes over"), "{}", other.said());
        still_at_work(&place);
        other.stop();
        // What only shows when the old one has ended: the kernel forwards on.
        let foreign = place.dir.path().join("foreign");
        std::fs::write(&foreign, "theirs").unwrap();
        let rules = place.write("b.mrule", &WHOLE.replace("DIR/lake.pcapng", foreign.to_str().unwrap()));
        let said = refused(wire, &["run", &rules, "--bridge", "in0:out0", "--take-over"]);
        assert!(said.contains("was not made by this station"), "{said}");
        let (code, said) = place.run.ended();
        assert!(code == Some(0) && said.contains("takes over the bridges"), "{code:?} {said}");
        assert!(wire.pings(&["10.1.0.2"]), "the redirects are there");
    });
}
