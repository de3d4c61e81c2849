//! What mirroring costs forwarding, on veth pairs between network namespaces: packets a second that
//! reach the right host while the left one sends as fast as it can, by who forwards and who
//! mirrors. Method: for each frame size, rounds in which every way has its turn of half a second.
//! Shown is the best of the rounds, in which the machine did nothing else, and its ratio to that of
//! the ways it is to be compared with; and the median of the ratios in each round. Frames are UDP
//! of 64 flows, sent by sendmmsg past the queueing discipline from one thread, to an address that
//! is not the right host's, whose stack drops them early. `read` is how many of the frames that
//! came the tap read; the others it dropped, or its filter kept them from it, which costs no
//! forwarded frame. Copies of a tenth are the headers of six flows of 64; the tap that is compared
//! with finds them by the port in its place, and sends them to the same interface. Taps alone
//! (`tap.rs`) share one core with their sender. The machine should have two idle cores.
//!
//! `cargo bench -p mrule-tests --bench live [-- ROUNDS] [trips] [ways] [taps] [rings]`; all four
//! unless told. Needs root. (Rejected: iperf3, which measures TCP's patience; searching for the
//! highest rate without loss, which takes minutes a figure on a machine that is not quiet.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark")]

mod bare;
mod ring;
mod tap;

use bare::{Does, bare, sender};
use mrule_dataplane::live::Redirects;
use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::packet::Socket;
use mrule_dataplane::sys::send::{Outgoing, send};
use mrule_tests::wire::{Wire, with_wire};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MIRRORC: &str = env!("CARGO_BIN_EXE_mirrorc_live");
const TURN: Duration = Duration::from_millis(500);

/// What can be measured, so many rounds of it.
type Measured = (&'static str, fn(&Wire, usize));

/// A way to forward and to mirror.
#[derive(Clone, Copy, PartialEq)]
enum Setup {
    Redirect,
    /// Redirects, and mirrors everything to m0.
    Mirred,
    RedirectTap(Does),
    Kernel(&'static str),
    Bare,
    Userspace(&'static str),
}

const TENTH: &str = "rule r { match udp.dstport in {1000..1005}  snaplen headers  to s }";
const ALL: &str = "rule r { match any  snaplen headers  to s }";
const FLOWS: &str =
    "rule r { match udp.dstport in {1000..1005} and flow.packets > 3  snaplen headers  to s }";
const TENTH_OUT: &str =
    "station m { interface m0 } rule r { match udp.dstport in {1000..1005}  snaplen headers  to m }";

/// Each with its name and those it is compared with.
const WAYS: [(&str, Setup, &[usize]); 11] = [
    ("tc redirect, nobody mirrors", Setup::Redirect, &[0]),
    ("tc redirect + a bare tap that copies nothing", Setup::RedirectTap(Does::Nothing), &[1]),
    ("--forward kernel, a tenth to headers", Setup::Kernel(TENTH), &[1]),
    ("--forward kernel, the same with flows", Setup::Kernel(FLOWS), &[1]),
    ("--forward kernel, everything to headers", Setup::Kernel(ALL), &[1]),
    ("tc redirect + a bare tap, a tenth to headers to m0", Setup::RedirectTap(Does::Copies), &[5]),
    ("tc redirect + mirred, everything to m0", Setup::Mirred, &[6]),
    ("--forward kernel, a tenth to headers to m0", Setup::Kernel(TENTH_OUT), &[5, 6]),
    ("bare AF_PACKET bridge, nobody mirrors", Setup::Bare, &[8]),
    ("--forward userspace, a tenth to headers", Setup::Userspace(TENTH), &[8]),
    ("--forward userspace, everything to headers", Setup::Userspace(ALL), &[8]),
];

/// The ways whose added round trip is measured.
const TRIPS: [(&str, Setup); 4] = [
    ("tc redirect", Setup::Redirect),
    ("tc redirect + a bare tap of one end", Setup::RedirectTap(Does::Nothing)),
    ("--forward kernel, everything to headers", Setup::Kernel(ALL)),
    ("--forward userspace, everything to headers", Setup::Userspace(ALL)),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.iter().filter_map(|word| word.parse().ok()).next().unwrap_or(5);
    let parts: [Measured; 4] =
        [("trips", trips), ("ways", ways), ("taps", tap::measure), ("rings", ring::measure)];
    let asked = |name: &str| words.iter().any(|word| word == name);
    let all = !parts.iter().any(|(name, _)| asked(name));
    for (name, measure) in parts.iter().filter(|(name, _)| all || asked(name)) {
        with_wire(name, |wire| measure(wire, rounds));
    }
}

fn trips(wire: &Wire, rounds: usize) {
    println!("round trip of 200 pings{:>51}", "us, median");
    let mut trips = vec![Vec::new(); TRIPS.len()];
    for _ in 0..rounds {
        for ((_, way), trips) in TRIPS.iter().zip(&mut trips) {
            trips.push(with(wire, *way, || trip(wire)).0);
        }
    }
    for ((name, _), trips) in TRIPS.iter().zip(&mut trips) {
        trips.sort_by(f64::total_cmp);
        println!(
            "  {name:50}{:>12.0}{:>10.0} to {:.0}",
            trips[trips.len() / 2],
            trips[0],
            trips[trips.len() - 1]
        );
    }
}

fn ways(wire: &Wire, rounds: usize) {
    for size in [64, 512, 1500] {
        println!("\n{size} bytes{:>54}{:>10}{:>10}{:>8}", "forwarded/s", "ratio", "median", "read");
        let mut seen = vec![Vec::new(); WAYS.len()];
        for _ in 0..rounds * 2 {
            for ((_, way, _), seen) in WAYS.iter().zip(&mut seen) {
                seen.push(turn(wire, *way, size));
            }
        }
        for (at, (name, _, bases)) in WAYS.iter().enumerate() {
            let best = |at: usize| seen[at].iter().map(|(rate, _)| *rate).fold(0.0, f64::max);
            let read = median(seen[at].iter().map(|(_, read)| *read).collect());
            for (i, base) in bases.iter().enumerate() {
                // Round by round, as both were taken side by side.
                let ratios: Vec<f64> =
                    seen[at].iter().zip(&seen[*base]).map(|(this, base)| this.0 / base.0).collect();
                let name = if i == 0 { name } else { "  the same, to the one above it" };
                println!(
                    "  {name:50}{:>12.0}{:>10.2}{:>10.2}{:>7.0}%",
                    best(at),
                    best(at) / best(*base),
                    median(ratios),
                    read * 100.0
                );
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One second of a way: frames forwarded a second, and the share of frames that were read.
fn turn(wire: &Wire, way: Setup, size: usize) -> (f64, f64) {
    let ((rate, sent), read) = with(wire, way, || blast(wire, size));
    (rate, read / sent)
}

/// Does something while packets are forwarded in this way; gives what it gave, and how many frames
/// the tap read.
fn with<T>(wire: &Wire, way: Setup, body: impl FnOnce() -> T) -> (T, f64) {
    let redirect = |on: bool| {
        wire.inside(&wire.here, || {
            let redirects = Redirects::new().unwrap();
            for (from, to) in [("in0", "out0"), ("out0", "in0")] {
                if on {
                    redirects.install(from, to).unwrap();
                } else {
                    redirects.remove(from).unwrap();
                }
            }
        });
    };
    match way {
        Setup::Redirect => {
            redirect(true);
            let result = body();
            redirect(false);
            (result, f64::NAN)
        }
        Setup::Mirred => {
            let tc = |words: &str| wire.run(&wire.here, &words.split(' ').collect::<Vec<_>>());
            for (from, to) in [("in0", "out0"), ("out0", "in0")] {
                tc(&format!("tc qdisc add dev {from} clsact"));
                tc(&format!(
                    "tc filter add dev {from} ingress protocol all u32 match u8 0 0 action mirred egress mirror dev m0 \
                     pipe action mirred egress redirect dev {to}"
                ));
            }
            let result = body();
            for from in ["in0", "out0"] {
                tc(&format!("tc qdisc del dev {from} clsact"));
            }
            (result, f64::NAN)
        }
        Setup::RedirectTap(_) | Setup::Bare => {
            let does = if let Setup::RedirectTap(does) = way { does } else { Does::Forwards };
            redirect(does != Does::Forwards);
            let (stop, read) = (AtomicBool::new(false), AtomicU64::new(0));
            let result = std::thread::scope(|scope| {
                scope.spawn(|| wire.inside(&wire.here, || bare(does, &stop, &read)));
                std::thread::sleep(Duration::from_millis(200));
                let result = body();
                stop.store(true, Relaxed);
                result
            });
            redirect(false);
            (result, read.load(Relaxed) as f64)
        }
        Setup::Kernel(rule) | Setup::Userspace(rule) => {
            let dir = tempfile::tempdir().unwrap();
            let rules = dir.path().join("a.mrule");
            let copies = dir.path().join("copies.pcapng");
            let station = format!("pcapng \"{}\" rotate 64MiB keep 2", copies.display());
            std::fs::write(&rules, format!("station s {{ {station} }}\n{rule}\n")).unwrap();
            let forward = if matches!(way, Setup::Kernel(_)) { "kernel" } else { "userspace" };
            let rules = rules.to_str().unwrap();
            let arguments = [rules, "--bridge", "in0:out0", "--workers", "1", "--forward", forward];
            let mirrorc = wire.mirrorc(MIRRORC, &arguments);
            let result = body();
            let sums = mirrorc.stop();
            (result, sums["ports"][0]["frames"].as_f64().unwrap())
        }
    }
}

/// The mean round trip of 200 pings, in microseconds.
fn trip(wire: &Wire) -> f64 {
    let said = wire.run(&wire.left, &["ping", "-q", "-c200", "-i0.002", "10.1.0.2"]);
    let times = said.split("= ").last().unwrap();
    times.split('/').nth(1).unwrap().parse::<f64>().unwrap() * 1000.0
}

/// Sends for a turn; frames that reached the right host a second, and frames sent.
fn blast(wire: &Wire, size: usize) -> (f64, f64) {
    let received = || -> f64 {
        let path = "/sys/class/net/r0/statistics/rx_packets";
        wire.run(&wire.right, &["cat", path]).trim().parse().unwrap()
    };
    let before = received();
    let (sent, took) = wire.inside(&wire.left, || send_for(&sender("l0", true), TURN, size));
    // What is still on its way.
    std::thread::sleep(Duration::from_millis(100));
    ((received() - before) / took, sent)
}

/// Sends for a while; how many frames, and for how long really, in seconds.
fn send_for(socket: &Socket, time: Duration, size: usize) -> (f64, f64) {
    let frames: Vec<Vec<u8>> = (0..64).map(|i| udp(i, size)).collect();
    let batch: Vec<Outgoing<'_>> =
        frames.iter().map(|bytes| Outgoing { offload: [0; OFFLOAD], bytes }).collect();
    let started = Instant::now();
    let mut sent = 0_u64;
    while started.elapsed() < time {
        let mut failed = 0;
        send(socket, &batch, |_, _| failed += 1);
        sent += batch.len() as u64 - failed;
    }
    (sent as f64, started.elapsed().as_secs_f64())
}

/// A datagram of flow `i`, to nobody on the right.
fn udp(i: u8, size: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend((size as u16 - 14).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 1, 0, 9]);
    frame.extend(5000_u16.to_be_bytes());
    frame.extend((1000 + u16::from(i)).to_be_bytes());
    frame.extend((size as u16 - 34).to_be_bytes());
    frame.extend([0, 0]);
    frame.resize(size, 0);
    frame
}
