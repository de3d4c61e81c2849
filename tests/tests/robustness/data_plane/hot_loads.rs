//! Programs that are loaded one after the other while packets come: each packet is copied once, by
//! one of them, also where the kernel's filter changes with the program. (Rejected: sums alone; a
//! packet that is lost and one that is copied twice have the same sum.)

use super::{number, pour, sender};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::frames::read;
use mrule_tests::wire::with_wire;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Each wants the numbered packets; what else it wants, and so the kernel's filter, differs.
fn rules(version: u32) -> String {
    let more = ["", "rule web { match tcp.port == 80  snaplen headers  to lake }\n"];
    let flows = ["udp.dstport == 5000", "udp.dstport == 5000 and flow.packets >= 1"];
    format!(
        "station lake {{ pcapng \"DIR/lake.pcapng\" }}\nrule r {{ match {}  snaplen full  to lake }}\n{}",
        flows[(version / 2 % 2) as usize],
        more[(version % 2) as usize],
    )
}

#[test]
fn loads_under_load_copy_each_packet_once() {
    with_wire("data_plane::hot_loads::loads_under_load_copy_each_packet_once", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, &rules(0), &["--workers", "2"]);
        let stop = AtomicBool::new(false);
        let sent = std::thread::scope(|scope| {
            let pouring =
                scope.spawn(|| wire.inside(&wire.left, || pour(&sender("l0"), 0, u32::MAX, 2_000, &stop).0));
            for version in 1..=crate::rounds(12, 200) {
                let path = place.write("a.mrule", &rules(version));
                place.command(&["load", &path]);
            }
            stop.store(true, Relaxed);
            pouring.join().unwrap()
        });
        place.run.counts("all are copied", |sums| {
            sums["stations"][0]["sent"].as_u64().unwrap() >= u64::from(sent)
        });
        let ControlledRun { dir, run, .. } = place;
        let sums = run.stop();
        let copies = read(&dir.path().join("lake.pcapng"));
        let mut numbers: Vec<u32> = copies.iter().map(|copy| number(&copy.bytes)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>(), "each once: {}", sums["ports"]);
        assert_eq!(sums["ports"][0]["kernel_drops"], 0, "{sums}");
    });
}
