//! Bridges between two hosts, by both forwarders, with real programs: what leaves is what entered,
//! TCP with all offloads goes through, the kernel goes on when mirrorc is killed, and other
//! people's filters are left alone. (Rejected: a ping as the proof; it hides unfinished checksums
//! and super-frames.)

use crate::MIRRORC;
use mrule_tests::frames::read;
use mrule_tests::wire::{Wire, odd_frames, until, with_wire, write_rules};
use std::path::{Path, PathBuf};

/// Rules that copy the headers of everything to a file.
fn rules(dir: &Path) -> String {
    let text =
        "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen headers  to lake }\n";
    write_rules(dir, text)
}

/// All frames but those that a host says by itself, at any moment, also before both ends are
/// watched: multicast listener reports, which begin with a hop-by-hop header.
fn bytes(path: &Path) -> Vec<Vec<u8>> {
    let chatter = |frame: &[u8]| frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&0);
    read(path).into_iter().map(|frame| frame.bytes).filter(|frame| !chatter(frame)).collect()
}

fn what_enters_leaves(forward: &str, workers: &str) {
    with_wire(&format!("what_enters_leaves_by_{forward}"), |wire| {
        let dir = tempfile::tempdir().unwrap();
        let [left_out, right_in, right_out, left_in]: [PathBuf; 4] =
            ["lo.pcap", "ri.pcap", "ro.pcap", "li.pcap"].map(|name| dir.path().join(name));
        let rules = rules(dir.path());
        let mirrorc = wire
            .mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--forward", forward, "--workers", workers]);
        let tools = [
            wire.tcpdump(&wire.left, "l0", "out", &left_out),
            wire.tcpdump(&wire.right, "r0", "in", &right_in),
            wire.tcpdump(&wire.right, "r0", "out", &right_out),
            wire.tcpdump(&wire.left, "l0", "in", &left_in),
        ];
        assert!(wire.pings(&["10.1.0.2"]));
        assert!(wire.pings(&["-s", "20000", "10.1.0.2"]), "in fragments");
        assert!(wire.pings(&["fd01::2"]));
        wire.say(&odd_frames());
        wire.tcp("2M", &[]);
        wire.tcp("2M", &["-R"]);
        wire.tcp("200K", &["-u", "-b", "0", "-l", "8000"]);
        for tool in tools {
            tool.stop();
        }
        let sums = mirrorc.stop();
        for (port, (entered, left)) in
            [(&left_out, &right_in), (&right_out, &left_in)].into_iter().enumerate()
        {
            let (mut entered, mut left) = (bytes(entered), bytes(left));
            if workers == "1" {
                // Order is that of what one process sent. What TCP sends from two processors at
                // once crosses the virtual cable in another order than its sender's tcpdump was
                // told, before mirrorc has it.
                let said = odd_frames();
                let order = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
                    frames.iter().filter(|frame| said.contains(frame)).cloned().collect()
                };
                assert_eq!(order(&entered), order(&left));
            }
            entered.sort();
            left.sort();
            let same = entered.iter().zip(&left).take_while(|(a, b)| a == b).count();
            assert!(
                entered == left,
                "{} entered, {} left, the first {same} alike: {:02x?} {:02x?}",
                entered.len(),
                left.len(),
                entered.get(same),
                left.get(same)
            );
            let counts = &sums["ports"][port];
            assert!(counts["super_frames"].as_u64() > Some(0), "offloads are on: {counts}");
            let frames = counts["frames"].as_u64().unwrap();
            assert!(frames >= entered.len() as u64 && counts["kernel_drops"] == 0, "{counts}");
            match forward {
                // Redirects begin and end at other moments than reading; what is said by itself may
                // fall between.
                "kernel" => {
                    let [redirected, read] =
                        [&counts["redirect"], counts].map(|c| c["packets"].as_u64().unwrap());
                    assert!(redirected.abs_diff(read) <= 8 && redirected > 100, "{counts}");
                }
                _ => assert_eq!(counts["forward"]["sent"].as_u64(), Some(frames), "{counts}"),
            }
        }
    });
}

#[test]
fn what_enters_leaves_by_kernel() {
    what_enters_leaves("kernel", "2");
}

#[test]
fn what_enters_leaves_by_userspace() {
    what_enters_leaves("userspace", "1");
}

#[test]
fn two_workers_forward_what_one_does() {
    what_enters_leaves("userspace", "2");
}

fn redirects(wire: &Wire) -> usize {
    let found = wire.run(&wire.here, &[MIRRORC, "bridge", "list", "--format", "json"]);
    serde_json::from_str::<serde_json::Value>(&found).unwrap().as_array().unwrap().len()
}

#[test]
fn the_kernel_goes_on_without_us() {
    with_wire("the_kernel_goes_on_without_us", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = rules(dir.path());
        let arguments = [&rules, "--bridge", "in0:out0", "--workers", "1"];
        wire.mirrorc(MIRRORC, &arguments).kill();
        assert!(wire.pings(&["10.1.0.2"]), "killed, and it forwards");
        assert_eq!(redirects(wire), 2);
        let second = wire.mirrorc(MIRRORC, &arguments);
        second.says("found an existing redirect in0 -> out0 and took it over");
        assert!(wire.pings(&["10.1.0.2"]));
        let sums = second.stop();
        assert!(sums["packets"].as_u64().unwrap() >= 6);
        assert!(sums["ports"][0]["redirect"]["packets"].as_u64().unwrap() >= 3);
        assert_eq!(redirects(wire), 0, "a clean end takes them away");
        assert!(!wire.pings(&["10.1.0.2"]));
        let filters = wire.run(&wire.here, &["tc", "filter", "show", "dev", "in0", "ingress"]);
        let qdiscs = wire.run(&wire.here, &["tc", "qdisc", "show", "dev", "in0"]);
        assert!(filters.trim().is_empty() && !qdiscs.contains("clsact"), "{filters} {qdiscs}");
        let link = wire.run(&wire.here, &["ip", "-d", "link", "show", "in0"]);
        assert!(link.contains("promiscuity 0"), "{link}");

        wire.mirrorc(MIRRORC, &[&arguments[..], &["--keep-forwarding"]].concat()).stop();
        assert!(wire.pings(&["10.1.0.2"]), "it was told to keep forwarding");
        // The other forwarder must not forward everything once more.
        let third = wire.mirrorc(MIRRORC, &[&arguments[..], &["--forward", "userspace"]].concat());
        assert_eq!(redirects(wire), 0);
        let said = wire.run(&wire.left, &["ping", "-c3", "-i0.05", "10.1.0.2"]);
        assert!(said.contains("3 received") && !said.contains("duplicates"), "{said}");
        third.stop();
        wire.mirrorc(MIRRORC, &[&arguments[..], &["--keep-forwarding"]].concat()).stop();
        let told = wire.run(&wire.here, &[MIRRORC, "bridge", "remove", "in0:out0"]);
        assert!(told.contains("ok: the kernel no longer forwards between in0 and out0"), "{told}");
        assert_eq!(redirects(wire), 0);
        assert!(wire.run(&wire.here, &[MIRRORC, "bridge", "list"]).contains("no bridges"));
        let again = wire.try_run(&wire.here, &[MIRRORC, "bridge", "remove", "in0:out0"]);
        assert_eq!(again.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&again.stderr).contains("there are no redirects of mirrorc between"));
    });
}

#[test]
fn filters_of_others_are_left_alone() {
    with_wire("filters_of_others_are_left_alone", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = rules(dir.path());
        let tc = |command: &str| {
            wire.run(&wire.here, &command.split(' ').collect::<Vec<_>>());
        };
        tc("tc qdisc add dev out0 clsact");
        tc(
            "tc filter add dev out0 ingress prio 7 protocol ip u32 match u32 0 0 action mirred egress redirect dev m0",
        );
        let run = wire.try_run(&wire.here, &[MIRRORC, "run", &rules, "--bridge", "in0:out0"]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{said}");
        let wanted = "`out0` already has a filter that is not mirrorc's: u32, priority 7";
        assert!(said.contains(wanted) && said.contains("--forward userspace"), "{said}");
        assert_eq!(redirects(wire), 0, "the first one was taken back");
        let filters = wire.run(&wire.here, &["tc", "filter", "show", "dev", "out0", "ingress"]);
        assert!(filters.contains("pref 7"), "{filters}");
        tc("tc filter del dev out0 ingress prio 7");
        // Somebody takes ours away while we run.
        let mirrorc = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0"]);
        tc("tc filter del dev in0 ingress");
        mirrorc.says("the redirect of in0 was removed: what enters there is not forwarded");
        mirrorc.stop();
        until("the clsact that was there stays", || {
            wire.run(&wire.here, &["tc", "qdisc", "show", "dev", "out0"]).contains("clsact")
        });
    });
}
