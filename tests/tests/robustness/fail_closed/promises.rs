//! Every other promise of privacy over a restart: what was kept and cannot be made again withholds
//! the copies of its policy; drained stations stay drained; a raise that is lost withholds nothing.
//! (Rejected: one test for each; a restart takes most of the time, and they share one.)

use super::{copied, tamper, traffic};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{until, with_wire};

const RULES: &str = "
    param head : size = 100 in 10..200
    table quiet : set<ip> = { 192.0.2.1 }
    trigger attack by net.dst { external  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    station pond { pcapng \"DIR/pond.pcapng\" }
    rule heads  { match icmp  snaplen head  to lake, pond }
    rule attack { match attack[net.addr]  snaplen full  to lake }
    limit quiet { match net.src in quiet  snaplen none }\n";

#[test]
fn promises_that_cannot_be_restored_withhold_copies() {
    with_wire("promises_that_cannot_be_restored_withhold_copies", |wire| {
        let _traffic = traffic(wire);
        let kept = tempfile::tempdir().unwrap();
        let state = ["--state", kept.path().to_str().unwrap()];
        let mut place = ControlledRun::start(wire, MIRRORC, RULES, &state);
        place.command(&["table", "add", "quiet", "10.1.0.1"]);
        place.command(&["param", "set", "head", "50"]);
        place.command(&["trigger", "suppress", "attack", "10.1.0.1"]);
        place.command(&["trigger", "raise", "attack", "10.77.0.1"]);
        place.command(&["station", "drain", "pond"]);
        let pond = place.dir.path().join("pond2.pcapng");
        place.command(&["station", "set", "pond", "pcapng", &format!("\"{}\"", pond.display())]);
        // What is kept is at work from the first copy on: one direction, cut, and nothing to the
        // pond.
        place = place.killed_and_started(wire, MIRRORC, &state);
        copied(&place, 20);
        let copies = place.copies("lake.pcapng");
        assert!(!copies.is_empty() && copies.iter().all(|copy| copy.captured == 50), "{copies:?}");
        let stations = place.json(&["station", "list"]);
        assert_eq!((&stations[1]["drained"], &stations[1]["sent"]), (&true.into(), &0.into()), "{stations}");
        // Another version keeps it drained, and resuming it is kept, too.
        let rules = place.dir.path().join("a.mrule");
        place.command(&["load", rules.to_str().unwrap()]);
        assert_eq!(place.json(&["station", "list"])[1]["drained"], true);
        assert_eq!(place.reasons(), [""; 0]);

        let kinds = [("row", true), ("param", true), ("suppress", true), ("drain", true), ("station", true)];
        for (kind, closed) in kinds.into_iter().chain([("raise", false)]) {
            place.run.halt();
            let files = ["state.sqlite", "state.sqlite-wal"].map(|name| kept.path().join(name));
            let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
            tamper(
                kept.path(),
                &format!("UPDATE changes SET object = '{{\"odd\": 1}}' WHERE kind = '{kind}'"),
            );
            if kind == "raise" {
                tamper(
                    kept.path(),
                    "UPDATE changes SET object = '{\"raise\": \"attack\", \"key\": \"odd\"}' WHERE kind = 'raise'",
                );
            }
            place = place.killed_and_started(wire, MIRRORC, &state);
            if closed {
                until("packets are decided", || place.status().1["counts"]["withheld"].as_u64() > Some(20));
                let (_, status) = place.status();
                assert_eq!(
                    (&status["status"], &status["counts"]["sent"]),
                    (&"failing".into(), &0.into()),
                    "{kind}"
                );
                assert_eq!(place.reasons(), ["changes_missing", "state_rows"], "{kind}");
                // Loading the policy again is the owner's word that it may go on like this.
                place.command(&["load", rules.to_str().unwrap()]);
            }
            copied(&place, 5);
            assert_eq!(place.reasons(), [""; 0], "{kind}");
            place.run.halt();
            let _none = std::fs::remove_file(kept.path().join("state.sqlite-shm"));
            for (path, bytes) in files.iter().zip(before) {
                std::fs::write(path, bytes).unwrap();
            }
            place = place.killed_and_started(wire, MIRRORC, &state);
        }
        place.command(&["station", "resume", "pond"]);
        let place = place.killed_and_started(wire, MIRRORC, &state);
        assert_eq!(place.json(&["station", "list"])[1]["drained"], false);
        place.run.kill();
    });
}
