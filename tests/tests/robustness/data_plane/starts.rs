//! A run that begins and ends while packets come: what the kernel counted for its sockets is what
//! was read, dropped, or could not be read, to the last frame. (Rejected: one long run; it is the
//! first and the last moment that count wrong.)

use super::{numbered, sender};
use crate::MIRRORC;
use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::send::{Outgoing, send};
use mrule_tests::wire::{with_wire, write_rules};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Some 150,000 packets a second on two interfaces, of which mirrorc reads one.
fn flood(stop: &AtomicBool, link: &str) {
    let socket = sender(link);
    let frames: Vec<Vec<u8>> = (0..64).map(numbered).collect();
    let batch: Vec<Outgoing<'_>> =
        frames.iter().map(|bytes| Outgoing { offload: [0; OFFLOAD], bytes }).collect();
    while !stop.load(Relaxed) {
        let next = Instant::now() + Duration::from_micros(800);
        send(&socket, &batch, |_, _| {});
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn sums_add_up_however_often_it_begins_and_ends_under_load() {
    let name = "data_plane::starts::sums_add_up_however_often_it_begins_and_ends_under_load";
    with_wire(name, |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(
            dir.path(),
            "station s { pcapng \"DIR/s.pcapng\" rotate 10MB keep 1 }\nrule r { match udp.dstport == 5000  snaplen headers  to s }\n",
        );
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| wire.inside(&wire.left, || flood(&stop, "l0")));
            scope.spawn(|| wire.inside(&wire.right, || flood(&stop, "mon")));
            let ways: [&[&str]; 4] = [
                &["--tap", "in0", "--workers", "1", "--promiscuous"],
                &["--bridge", "in0:out0", "--workers", "2"],
                &["--bridge", "in0:out0", "--workers", "1", "--forward", "userspace"],
                &["--tap", "in0", "--tap", "m0", "--workers", "3"],
            ];
            let mut read = 0;
            for turn in 0..crate::rounds(16, 1000) {
                let way = ways[turn as usize % ways.len()];
                let run = wire.mirrorc(MIRRORC, &[&[rules.as_str()], way].concat());
                // `stop` fails where the sums do not add up.
                read += run.stop()["ports"][0]["frames"].as_u64().unwrap();
            }
            stop.store(true, Relaxed);
            assert!(read > 0, "there was load");
        });
    });
}
