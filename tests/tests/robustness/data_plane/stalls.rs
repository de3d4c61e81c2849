//! A process that does not run for a while loses nothing of what comes meanwhile, at any rate that
//! the ring is made for. The process is stopped, so that only the kernel's ring can hold the
//! packets. (Rejected: a busy machine, on which a test can say nothing about how long a worker
//! waited.)

use super::{number, pour, sender};
use crate::MIRRORC;
use mrule_tests::frames::read;
use mrule_tests::wire::{Mirrorc, Wire, with_wire, write_rules};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const RULES: &str = "station lake { pcapng \"DIR/lake.pcapng\" }\n\
                     rule r { match udp.dstport == 5000  snaplen full  to lake }\n";

fn signal(run: &Mirrorc, signal: Signal) {
    kill_process(Pid::from_raw(run.pid() as i32).unwrap(), signal).unwrap();
}

/// Stops the process while so many packets are sent at this rate, some times over; gives how many
/// were sent in all. None: the machine was too slow to send them within `most`.
fn stall(wire: &Wire, run: &Mirrorc, count: u32, rate: u32, turns: u32, most: Duration) -> Option<u32> {
    let mut all = 0;
    for _ in 0..turns {
        signal(run, Signal::STOP);
        let (sent, took) =
            wire.inside(&wire.left, || pour(&sender("l0"), all, count, rate, &AtomicBool::new(false)));
        signal(run, Signal::CONT);
        all += sent;
        if took > most {
            eprintln!("{count} packets took {took:?}: the machine is too slow");
            return None;
        }
        run.counts("all are read", |sums| {
            let port = &sums["ports"][0];
            port["frames"].as_u64().unwrap() + port["kernel_drops"].as_u64().unwrap() >= u64::from(all)
        });
    }
    Some(all)
}

fn holds(name: &str, count: u32, rate: u32, turns: u32, most: Duration) {
    with_wire(name, |wire| {
        let found = (0..5).find_map(|_| {
            let dir = tempfile::tempdir().unwrap();
            let rules = write_rules(dir.path(), RULES);
            let run = wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0", "--workers", "1", "--promiscuous"]);
            let all = stall(wire, &run, count, rate, turns, most)?;
            Some((dir, run, all))
        });
        let Some((dir, run, all)) = found else {
            return eprintln!("SKIPPED: {name}: the machine does not send {rate} packets a second");
        };
        let sums = run.stop();
        let port = &sums["ports"][0];
        assert_eq!((port["kernel_drops"].as_u64(), port["truncated"].as_u64()), (Some(0), Some(0)), "{sums}");
        assert_eq!(sums["stations"][0]["sent"].as_u64(), Some(all.into()), "{sums}");
        let mut numbers: Vec<u32> =
            read(&dir.path().join("lake.pcapng")).iter().map(|copy| number(&copy.bytes)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..all).collect::<Vec<_>>(), "each once");
    });
}

#[test]
fn a_stop_of_150_ms_loses_nothing_at_1000_packets_a_second() {
    let name = "data_plane::stalls::a_stop_of_150_ms_loses_nothing_at_1000_packets_a_second";
    holds(name, 150, 1_000, crate::rounds(3, 20), Duration::from_millis(900));
}

#[test]
fn a_stop_of_900_ms_loses_nothing_at_10000_packets_a_second() {
    let name = "data_plane::stalls::a_stop_of_900_ms_loses_nothing_at_10000_packets_a_second";
    holds(name, 9_000, 10_000, crate::rounds(1, 5), Duration::from_millis(980));
}

#[test]
fn a_stop_of_150_ms_loses_nothing_at_300000_packets_a_second() {
    let name = "data_plane::stalls::a_stop_of_150_ms_loses_nothing_at_300000_packets_a_second";
    holds(name, 45_000, 300_000, crate::rounds(1, 5), Duration::from_millis(500));
}
