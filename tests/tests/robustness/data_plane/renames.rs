//! An interface that is renamed, goes down and up, or moves away and back while packets come: none
//! is copied twice, and what is not copied was counted. (Rejected: counting copies; only numbers in
//! the packets tell a lost one and a double one from none.)

use super::{number, pour, sender};
use crate::MIRRORC;
use mrule_tests::frames::read;
use mrule_tests::wire::{with_wire, write_rules};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const RULES: &str = "station lake { pcapng \"DIR/lake.pcapng\" }\n\
                     rule r { match udp.dstport == 5000  snaplen full  to lake }\n";

#[test]
fn a_renamed_interface_is_read_on_and_no_packet_twice() {
    let name = "data_plane::renames::a_renamed_interface_is_read_on_and_no_packet_twice";
    with_wire(name, |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(dir.path(), RULES);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0", "--workers", "2", "--promiscuous"]);
        let stop = AtomicBool::new(false);
        let sent = std::thread::scope(|scope| {
            let pouring =
                scope.spawn(|| wire.inside(&wire.left, || pour(&sender("l0"), 0, u32::MAX, 2_000, &stop).0));
            for _ in 0..crate::rounds(3, 40) {
                for (from, to) in [("in0", "in9"), ("in9", "in0")] {
                    wire.ip(&wire.here, &["link", "set", "dev", from, "name", to]);
                    // Twice as long as it takes to notice.
                    std::thread::sleep(Duration::from_millis(450));
                }
            }
            stop.store(true, Relaxed);
            pouring.join().unwrap()
        });
        run.says("interface in0 is called in9 now");
        run.counts("all are read", |sums| sums["packets"].as_u64() >= Some(sent.into()));
        let sums = run.stop();
        let mut numbers: Vec<u32> =
            read(&dir.path().join("lake.pcapng")).iter().map(|copy| number(&copy.bytes)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>(), "each once: {}", sums["ports"]);
    });
}

#[test]
fn an_interface_that_goes_down_or_away_and_back_is_never_read_twice() {
    let name = "data_plane::renames::an_interface_that_goes_down_or_away_and_back_is_never_read_twice";
    with_wire(name, |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(dir.path(), RULES);
        wire.run(&wire.left, &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0", "--workers", "1", "--promiscuous"]);
        let left = || wire.run(&wire.left, &["cat", "/sys/class/net/l0/statistics/tx_packets"]);
        let left = || left().trim().parse::<u64>().unwrap();
        let before = left();
        let send = |from: u32| {
            wire.inside(&wire.left, || pour(&sender("l0"), from, 500, 2_000, &AtomicBool::new(false)).0)
        };
        let mut sent = send(0);
        for turn in 0..crate::rounds(2, 20) {
            wire.ip(&wire.here, &["link", "set", "in0", "down"]);
            wire.ip(&wire.here, &["link", "set", "in0", "up"]);
            sent += send(sent);
            // Away and back, sooner than anybody looks: its index stays, and its sockets are dead.
            wire.ip(&wire.here, &["link", "set", "in0", "netns", &wire.right]);
            wire.ip(&wire.right, &["link", "set", "in0", "netns", &wire.here]);
            wire.ip(&wire.here, &["link", "set", "in0", "up"]);
            mrule_tests::wire::until("it is told", || {
                run.said().matches("interface in0 is back").count() > turn as usize
            });
            sent += send(sent);
        }
        // While the other end comes up, l0 itself drops what is to be sent.
        let came = left() - before;
        assert!(came <= sent.into() && came * 10 > u64::from(sent) * 9, "{came} of {sent} left");
        run.counts("all are read", |sums| sums["packets"].as_u64() >= Some(came));
        run.stop();
        let numbers: Vec<u32> =
            read(&dir.path().join("lake.pcapng")).iter().map(|copy| number(&copy.bytes)).collect();
        let different: std::collections::BTreeSet<u32> = numbers.iter().copied().collect();
        assert_eq!((numbers.len(), different.len() as u64), (different.len(), came), "each once");
    });
}
