//! SIGHUP on a bridge under load: the rules are read again, each copy is decided by one version,
//! what is remembered lives on, and rules with errors change nothing. (Rejected: asking mirrorc
//! which version decided; the copies say it.)

use crate::MIRRORC;
use mrule_tests::copies::labelled_copies;
use mrule_tests::wire::{until, with_wire, write_rules};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::process::{Command, Stdio};
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

/// Whether a process has a handler of its own for SIGHUP.
fn hears_hang_ups(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap_or(0) & 1 != 0
}

#[test]
fn a_hang_up_while_another_run_hands_over_is_not_lost() {
    with_wire("a_hang_up_while_another_run_hands_over_is_not_lost", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let path = write_rules(dir.path(), &rules(1));
        let words = [path.as_str(), "--bridge", "in0:out0"];
        let old = wire.mirrorc(MIRRORC, &words);
        let signal = |pid: u32, signal| kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
        // It answers nobody for some time.
        signal(old.pid(), Signal::STOP);
        let said = dir.path().join("said");
        let mut next = Command::new("ip")
            .args(["netns", "exec", &wire.here, MIRRORC, "run", "--take-over"])
            .args(words)
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        until("the next one waits, and hears signals", || hears_hang_ups(next.id()));
        signal(next.id(), Signal::HUP);
        signal(old.pid(), Signal::CONT);
        until("its rules are read again", || {
            std::fs::read_to_string(&said).unwrap().contains("version 2 of the rules")
        });
        assert_eq!(old.ended().0, Some(0), "it has handed over");
        signal(next.id(), Signal::TERM);
        assert!(next.wait().unwrap().success(), "{}", std::fs::read_to_string(&said).unwrap());
    });
}
