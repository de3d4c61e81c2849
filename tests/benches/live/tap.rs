//! What a tap costs that copies nothing. Sender, kernel and tap have one core together, and it is
//! always at work: so the time of a frame is what all of them take for it. In a round each has its
//! turn of a third of a second; figures are of the least of all rounds, in which the machine did
//! nothing else. What a frame takes that a queue drops where it leaves is the sender's part; what
//! it takes beyond that is the receiver's, and ratios are of this part. Nobody forwards the frames,
//! so the kernel drops them behind the tap. (Rejected: sending from another core, which cannot send
//! as fast as this one receives, and a core that is not always at work does other work, an
//! interrupt a frame; the work that /proc/stat says, which looks a hundred times a second, in step
//! with the ring's timer, and was wrong by up to a factor of four.)

use crate::bare::{Does, bare, sender};
use crate::{MIRRORC, median, send_for};
use mrule_tests::wire::Wire;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const TURN: Duration = Duration::from_millis(300);
/// `FILE` stands for where the copies go.
const RULES: &str = "station s { pcapng \"FILE\" rotate 64MiB keep 2 }
    rule r { match udp.dstport == 9  snaplen full  to s }\n";

#[derive(Clone, Copy)]
enum Tap {
    /// None, and frames end before they leave.
    Unsent,
    None,
    Bare,
    Mirrorc(&'static [&'static str]),
}

const TAPS: [(&str, Tap); 5] = [
    ("dropped where it leaves", Tap::Unsent),
    ("no tap", Tap::None),
    ("a bare ring reader", Tap::Bare),
    ("--tap --no-prefilter, rules that copy nothing", Tap::Mirrorc(&["--no-prefilter"])),
    ("--tap, the same rules", Tap::Mirrorc(&[])),
];
/// The one that others are compared with.
const BARE: usize = 2;

/// Measures and prints.
pub fn measure(wire: &Wire, rounds: usize) {
    println!("\ntaps, with their sender on one core");
    for size in [64, 512, 1500] {
        println!("\n{size} bytes{:>54}{:>10}{:>10}{:>8}", "ns a frame", "receiving", "ratio", "read");
        let mut seen = vec![Vec::new(); TAPS.len()];
        for _ in 0..rounds * 3 {
            for ((_, tap), seen) in TAPS.iter().zip(&mut seen) {
                seen.push(turn(wire, *tap, size));
            }
        }
        let least = |seen: &Vec<(f64, f64)>| seen.iter().map(|(time, _)| *time).fold(f64::INFINITY, f64::min);
        let times: Vec<f64> = seen.iter().map(least).collect();
        for (at, (name, _)) in TAPS.iter().enumerate() {
            let read = median(seen[at].iter().map(|(_, read)| *read).collect());
            let (own, bare) = (times[at] - times[0], times[BARE] - times[0]);
            let ratio = if own > 0.0 { format!("{:.2}", bare / own) } else { "-".to_owned() };
            let read = if read.is_nan() { "-".to_owned() } else { format!("{:.0}%", read * 100.0) };
            println!("  {name:50}{:>14.0}{own:>10.0}{ratio:>10}{read:>8}", times[at]);
        }
    }
}

/// One turn: nanoseconds a frame, and the share of frames that were read.
fn turn(wire: &Wire, tap: Tap, size: usize) -> (f64, f64) {
    match tap {
        Tap::Unsent => {
            let tc = |words: &str| wire.run(&wire.left, &words.split(' ').collect::<Vec<_>>());
            tc("tc qdisc add dev l0 root blackhole");
            let (sent, time) = send(wire, size);
            tc("tc qdisc del dev l0 root");
            (time / sent, f64::NAN)
        }
        Tap::None => {
            let (sent, time) = send(wire, size);
            (time / sent, f64::NAN)
        }
        Tap::Bare => {
            let (stop, read) = (AtomicBool::new(false), AtomicU64::new(0));
            let (sent, time) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    wire.inside(&wire.here, || {
                        pin(1);
                        bare(Does::Nothing, &stop, &read);
                    });
                });
                let seen = send(wire, size);
                stop.store(true, Relaxed);
                seen
            });
            (time / sent, read.load(Relaxed) as f64 / sent)
        }
        Tap::Mirrorc(options) => {
            let dir = tempfile::tempdir().unwrap();
            let rules = dir.path().join("a.mrule");
            let copies = rules.with_file_name("copies.pcapng");
            std::fs::write(&rules, RULES.replace("FILE", copies.to_str().unwrap())).unwrap();
            let arguments =
                [&[rules.to_str().unwrap(), "--tap", "in0", "--workers", "1", "--promiscuous"], options];
            // A process stays on the core that it is started on.
            let start = || {
                pin(1);
                wire.mirrorc(MIRRORC, &arguments.concat())
            };
            let mirrorc = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
            let (sent, time) = send(wire, size);
            let sums = mirrorc.stop();
            (time / sent, sums["ports"][0]["frames"].as_f64().unwrap() / sent)
        }
    }
}

/// Frames sent, and nanoseconds.
fn send(wire: &Wire, size: usize) -> (f64, f64) {
    // What was started settles first.
    std::thread::sleep(Duration::from_millis(100));
    let (sent, took) = wire.inside(&wire.left, || {
        pin(1);
        send_for(&sender("l0", false), TURN, size)
    });
    // What is still on its way is read before the tap ends.
    std::thread::sleep(Duration::from_millis(50));
    (sent, took * 1e9)
}

/// Has the calling thread stay on a core.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}
