//! What goes wrong with interfaces, and what mirrorc says and does: names that are wrong,
//! privileges that are missing, links that go down, vanish and come back. (Rejected: faults made by
//! hand; which error the kernel gives, and when, is what is tested.)

use crate::MIRRORC;
use mrule_tests::wire::{Wire, until, with_wire, write_rules};

const RULES: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen headers  to lake }\n";

fn vanishing(wire: &Wire, forward: &str) {
    let dir = tempfile::tempdir().unwrap();
    let rules = write_rules(dir.path(), RULES);
    let run =
        wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--workers", "2", "--forward", forward]);
    assert!(wire.pings(&["10.1.0.2"]));
    wire.ip(&wire.here, &["link", "set", "out0", "down"]);
    run.says("interface out0 is down");
    assert!(!wire.pings(&["10.1.0.2"]));
    wire.ip(&wire.here, &["link", "set", "out0", "up"]);
    run.says("interface out0 is up again");
    until("it forwards after down and up", || wire.pings(&["10.1.0.2"]));
    wire.replace_out0(&run, "1400");
    run.counts("both ports count on", |counts| {
        counts["ports"].as_array().unwrap().iter().all(|port| port["frames"].as_u64() >= Some(9))
    });
    run.stop();
}

#[test]
fn interfaces_come_and_go_under_the_kernel() {
    with_wire("interfaces_come_and_go_under_the_kernel", |wire| vanishing(wire, "kernel"));
}

#[test]
fn interfaces_come_and_go_under_the_workers() {
    with_wire("interfaces_come_and_go_under_the_workers", |wire| vanishing(wire, "userspace"));
}

#[test]
fn what_cannot_be_done_is_said() {
    with_wire("what_cannot_be_done_is_said", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(dir.path(), RULES);
        let loops = dir.path().join("loop.mrule");
        std::fs::write(&loops, "station s { interface in0 }\nrule r { match any  snaplen full  to s }\n")
            .unwrap();
        let loops = loops.to_str().unwrap();
        for (arguments, wanted) in [
            (vec![&rules[..], "--tap", "eth9"], "there is no interface `eth9`; there are: lo, "),
            (vec![&rules, "--tap", "in0", "--tap", "in0"], "`in0` is given twice; an interface is read once"),
            (vec![&rules, "--tap", "in0", "--bridge", "in0:out0"], "`in0` is given twice"),
            (vec![&rules, "--bridge", "in0"], "write two interfaces, separated by a colon"),
            (vec![&rules, "--bridge", "in0:"], "write two interfaces, separated by a colon"),
            (vec![loops, "--tap", "in0"], "station `s` sends into `in0`, which is read"),
            (vec![&rules, "--tap", "in0", "--read", "x.pcap"], "cannot be used with"),
            (vec![&rules, "--tap", "in0", "--forward", "userspace"], "--bridge"),
            (vec![&rules, "--tap", "a-name-that-is-too-long"], "there is no interface"),
            (vec![&rules], "--read"),
        ] {
            let output = wire.try_run(&wire.here, &[&[MIRRORC, "run"], &arguments[..]].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(wanted), "{arguments:?}: {said}");
        }
        wire.ip(&wire.here, &["link", "set", "m0", "down"]);
        let output = wire.try_run(&wire.here, &[MIRRORC, "run", &rules, "--tap", "m0"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("`m0` is down; `ip link set m0 up` brings it up"), "{said}");
        // Without privileges.
        let bare =
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all", MIRRORC, "run", &rules, "--tap", "in0"];
        let output = wire.try_run(&wire.here, &bare);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("reading `in0` needs CAP_NET_RAW") && said.contains("setcap cap_net_raw"),
            "{said}"
        );
    });
}
