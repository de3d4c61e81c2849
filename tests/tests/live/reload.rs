//! SIGHUP on a bridge under load: the rules are read again, each copy is decided by one version,
//! what is remembered lives on, and rules with errors change nothing. (Rejected: asking mirrorc
//! which version decided; the copies say it.)

use crate::MIRRORC;
use mrule_tests::copies::labelled_copies;
use mrule_tests::wire::{with_wire, write_rules};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The versions differ in the name of the rule and in how much it copies.
fn rules(version: u64) -> String {
    let (rule, length) = if version % 2 == 1 { ("odd", 60) } else { ("even", 50) };
    format!(
        "station lake {{ pcapng \"DIR/lake.pcapng\" }}
         trigger seen by net.src {{ when icmp  hold 1h }}
         trigger talks by flow {{ when flow.packets > 20  hold flow }}
         rule {rule} {{ match any  snaplen {length}  to lake }}
         rule talks {{ match talks and flow.bytes > 100000000000  snaplen 1  to lake }}\n"
    )
}

#[test]
fn rules_are_read_again_under_load() {
    with_wire("rules_are_read_again_under_load", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let path = write_rules(dir.path(), &rules(1));
        let run = wire.mirrorc(MIRRORC, &[&path, "--bridge", "in0:out0", "--workers", "2"]);
        assert!(wire.pings(&["10.1.0.2"]));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                while !over.load(Relaxed) {
                    wire.tcp("40M", &[]);
                }
            });
            for version in 2..=9 {
                write_rules(dir.path(), &rules(version));
                run.hang_up();
                run.says(&format!("version {version} of the rules"));
                // Packets for each version: a reload can be over before the load has begun.
                assert!(wire.pings(&["10.1.0.2"]), "version {version}");
            }
            write_rules(dir.path(), &rules(9).replace("icmp", "icmpp"));
            run.hang_up();
            run.says("the program at work goes on");
            over.store(true, Relaxed);
            load.join().unwrap();
        });
        assert!(wire.pings(&["10.1.0.2"]), "it forwards");
        let said = run.said();
        assert!(said.contains("icmpp") && said.contains("did you mean"), "as `check` says it: {said}");
        let sums = run.stop();
        let copies = labelled_copies(&dir.path().join("lake.pcapng"));
        let lake = &sums["stations"][0];
        assert_eq!(lake["copies"], sums["packets"], "{sums}");
        assert_eq!(Some(copies.len() as u64), lake["sent"].as_u64(), "{sums}");
        for copy in &copies {
            let (rule, most) = if copy.version % 2 == 1 { ("odd", 60) } else { ("even", 50) };
            assert_eq!((copy.rule.as_str(), copy.captured), (rule, most.min(copy.length)), "{copy:?}");
            assert_eq!(copy.policy, "main");
        }
        for version in 1..=9 {
            assert!(copies.iter().any(|copy| copy.version == version), "version {version} decided nothing");
        }
        // Both ends pinged before the first reload and after the last one: each was raised once.
        let seen = &sums["triggers"].as_array().unwrap().iter().find(|t| t["name"] == "seen").unwrap();
        assert_eq!((&seen["raised"], &seen["keys"]["active"]), (&2.into(), &2.into()), "{sums}");
        let flows = &sums["tracked"]["flows"];
        assert_eq!(flows["packets"], sums["packets"], "every packet met one table of flows: {sums}");
        assert_eq!(flows["expired"], 0, "{sums}");
    });
}
