//! What a tap costs that copies nothing: frames that the kernel and it deal with in a second of one core's work, while another core
//! sends as fast as it can. Frames go to that core by receive packet steering; nobody forwards them, so the kernel drops them
//! behind the tap. Dealt with are those that the tap read; with a filter, those that came to it: sent and not dropped for want
//! of room before (softnet_stat). The core's work is what /proc/stat says, so it need not be all that the core can.
//! (Rejected: letting the sender's core receive; the tap would look as cheap as the sender is slow.)

use crate::bare::{Does, bare};
use crate::{MIRRORC, TURN, median, send_for};
use mrule_tests::wire::Wire;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const RULES: &str =
    "station s { pcapng \"/dev/null\" }\nrule r { match udp.dstport == 9  snaplen full  to s }\n";

#[derive(Clone, Copy)]
enum Tap {
    Bare,
    Mirrorc(&'static [&'static str]),
}

const TAPS: [(&str, Tap); 3] = [
    ("a bare ring reader", Tap::Bare),
    ("--tap --no-prefilter, rules that copy nothing", Tap::Mirrorc(&["--no-prefilter"])),
    ("--tap, the same rules", Tap::Mirrorc(&[])),
];

/// Measures and prints.
pub fn measure(wire: &Wire, rounds: usize) {
    wire.run(&wire.here, &["sh", "-c", "echo 2 > /sys/class/net/in0/queues/rx-0/rps_cpus"]);
    println!("\ntaps alone, on one core");
    for size in [64, 512, 1500] {
        println!("\n{size} bytes{:>54}{:>10}{:>10}", "dealt with/s", "ratio", "worst");
        let mut seen = vec![Vec::new(); TAPS.len()];
        for _ in 0..rounds {
            for ((_, tap), seen) in TAPS.iter().zip(&mut seen) {
                seen.push(turn(wire, *tap, size));
            }
        }
        for (at, (name, _)) in TAPS.iter().enumerate() {
            let ratios: Vec<f64> = seen[at].iter().zip(&seen[0]).map(|(this, base)| this / base).collect();
            let worst = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            println!("  {name:50}{:>12.0}{:>10.2}{worst:>10.2}", median(seen[at].clone()), median(ratios));
        }
    }
}

/// One second: frames dealt with.
fn turn(wire: &Wire, tap: Tap, size: usize) -> f64 {
    match tap {
        Tap::Bare => {
            let (stop, read) = (AtomicBool::new(false), AtomicU64::new(0));
            let took = std::thread::scope(|scope| {
                scope.spawn(|| {
                    wire.inside(&wire.here, || {
                        pin(1);
                        bare(Does::Nothing, &stop, &read);
                    });
                });
                std::thread::sleep(Duration::from_millis(200));
                let before = busy();
                blast(wire, size);
                std::thread::sleep(Duration::from_millis(100));
                stop.store(true, Relaxed);
                busy() - before
            });
            read.load(Relaxed) as f64 / took
        }
        Tap::Mirrorc(options) => {
            let dir = tempfile::tempdir().unwrap();
            let rules = dir.path().join("a.mrule");
            std::fs::write(&rules, RULES).unwrap();
            let arguments =
                [&[rules.to_str().unwrap(), "--tap", "in0", "--workers", "1", "--promiscuous"], options];
            // A process stays on the core that it is started on.
            let start = || {
                pin(1);
                wire.mirrorc(MIRRORC, &arguments.concat())
            };
            let mirrorc = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
            let (lost, before) = (dropped(), busy());
            let sent = blast(wire, size);
            std::thread::sleep(Duration::from_millis(100));
            let took = busy() - before;
            let came = sent - (dropped() - lost);
            let sums = mirrorc.stop();
            let read = sums["ports"][0]["frames"].as_f64().unwrap();
            if sums["ports"][0]["prefilter"] == true { came / took } else { read / took }
        }
    }
}

fn blast(wire: &Wire, size: usize) -> f64 {
    wire.inside(&wire.left, || {
        pin(0);
        send_for(TURN, size).0
    })
}

fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}

/// Seconds that the second core has worked.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let core = stat.lines().find_map(|line| line.strip_prefix("cpu1 ")).unwrap();
    let ticks: Vec<f64> = core.split(' ').map(|ticks| ticks.parse().unwrap()).collect();
    // Beside these: idle, waiting for disks.
    [0, 1, 2, 5, 6].iter().map(|kind| ticks[*kind]).sum::<f64>() / 100.0
}

/// Frames that all cores had no room for.
fn dropped() -> f64 {
    let lines = std::fs::read_to_string("/proc/net/softnet_stat").unwrap();
    let second = |line: &str| u32::from_str_radix(line.split(' ').nth(1).unwrap(), 16).unwrap();
    lines.lines().map(second).map(f64::from).sum()
}
