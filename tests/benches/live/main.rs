//! What mirroring costs forwarding, on veth pairs between network namespaces: packets a second that reach the right host while
//! the left one sends as fast as it can, by who forwards and who mirrors. Method: for each frame size, rounds in which every
//! way has its turn of one second, so that a busy machine is busy for all; the median of the rounds is shown, and its ratio to
//! the way it is to be compared with. Frames are UDP of 64 flows, sent by sendmmsg past the queueing discipline from
//! one thread, to an address that is not the right host's, whose stack drops them early. `read` is how many of the frames that came the tap
//! read; the others it dropped, which costs copies and no forwarded frame. The machine should have two idle cores.
//!
//! `cargo bench -p mrule-tests --bench live [-- ROUNDS]`; needs root.
//! (Rejected: iperf3, which measures TCP's patience; searching for the highest rate without loss, which takes minutes a figure on a
//! machine that is not quiet.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark")]

use mrule_runtime::live::Redirects;
use mrule_runtime::sys::frame::{self, OFFLOAD};
use mrule_runtime::sys::interface::Interfaces;
use mrule_runtime::sys::packet::{Direction, Socket};
use mrule_runtime::sys::ring::{Ring, Shape};
use mrule_runtime::sys::send::{Outgoing, send};
use mrule_tests::wire::{Wire, with_wire};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MIRRORC: &str = env!("CARGO_BIN_EXE_mirrorc_live");
const TURN: Duration = Duration::from_secs(1);

/// A way to forward and to mirror.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Redirect,
    RedirectTap,
    Kernel(&'static str),
    Bare,
    Userspace(&'static str),
}

const TENTH: &str = "rule r { match udp.dstport in {1000..1005}  snaplen headers  to s }";
const ALL: &str = "rule r { match any  snaplen headers  to s }";
const FLOWS: &str =
    "rule r { match udp.dstport in {1000..1005} and flow.packets > 3  snaplen headers  to s }";

/// Each with its name and the one it is compared with.
const WAYS: [(&str, Way, usize); 8] = [
    ("tc redirect, nobody mirrors", Way::Redirect, 0),
    ("tc redirect + a bare tap that copies nothing", Way::RedirectTap, 1),
    ("--forward kernel, a tenth to headers", Way::Kernel(TENTH), 1),
    ("--forward kernel, the same with flows", Way::Kernel(FLOWS), 1),
    ("--forward kernel, everything to headers", Way::Kernel(ALL), 1),
    ("bare AF_PACKET bridge, nobody mirrors", Way::Bare, 5),
    ("--forward userspace, a tenth to headers", Way::Userspace(TENTH), 5),
    ("--forward userspace, everything to headers", Way::Userspace(ALL), 5),
];

/// The ways whose added round trip is measured.
const TRIPS: [(&str, Way); 3] = [
    ("tc redirect", Way::Redirect),
    ("--forward kernel, everything to headers", Way::Kernel(ALL)),
    ("--forward userspace, everything to headers", Way::Userspace(ALL)),
];

fn main() {
    let rounds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(5);
    with_wire("the benchmark", |wire| {
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
        for size in [64, 512, 1500] {
            println!("\n{size} bytes{:>54}{:>10}{:>10}{:>8}", "forwarded/s", "ratio", "worst", "read");
            let mut seen = vec![Vec::new(); WAYS.len()];
            for _ in 0..rounds {
                for ((_, way, _), seen) in WAYS.iter().zip(&mut seen) {
                    seen.push(turn(wire, *way, size));
                }
            }
            let median = |values: &mut Vec<f64>| {
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            for (at, (name, _, base)) in WAYS.iter().enumerate() {
                // Round by round, as both were taken side by side.
                let mut ratios: Vec<f64> =
                    seen[at].iter().zip(&seen[*base]).map(|(this, base)| this.0 / base.0).collect();
                let mut rates: Vec<f64> = seen[at].iter().map(|(rate, _)| *rate).collect();
                let mut read: Vec<f64> = seen[at].iter().map(|(_, read)| *read).collect();
                let (ratio, rate, read) = (median(&mut ratios), median(&mut rates), median(&mut read));
                println!("  {name:50}{rate:>12.0}{ratio:>10.2}{:>10.2}{:>7.0}%", ratios[0], read * 100.0);
            }
        }
    });
}

/// One second of a way: frames forwarded a second, and the share of frames that were read.
fn turn(wire: &Wire, way: Way, size: usize) -> (f64, f64) {
    let ((rate, sent), read) = with(wire, way, || blast(wire, size));
    (rate, read / sent)
}

/// Does something while packets are forwarded in this way; gives what it gave, and how many frames the tap read.
fn with<T>(wire: &Wire, way: Way, body: impl FnOnce() -> T) -> (T, f64) {
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
        Way::Redirect => {
            redirect(true);
            let result = body();
            redirect(false);
            (result, f64::NAN)
        }
        Way::RedirectTap | Way::Bare => {
            redirect(way == Way::RedirectTap);
            let (stop, read) = (AtomicBool::new(false), AtomicU64::new(0));
            let result = std::thread::scope(|scope| {
                scope.spawn(|| wire.inside(&wire.here, || bare(way == Way::Bare, &stop, &read)));
                std::thread::sleep(Duration::from_millis(200));
                let result = body();
                stop.store(true, Relaxed);
                result
            });
            redirect(false);
            (result, read.load(Relaxed) as f64)
        }
        Way::Kernel(rule) | Way::Userspace(rule) => {
            let dir = tempfile::tempdir().unwrap();
            let rules = dir.path().join("a.mrule");
            std::fs::write(&rules, format!("station s {{ pcapng \"/dev/null\" }}\n{rule}\n")).unwrap();
            let forward = if matches!(way, Way::Kernel(_)) { "kernel" } else { "userspace" };
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
    let (sent, took) = wire.inside(&wire.left, || {
        let socket = Socket::open().unwrap();
        socket.with_offloads().unwrap();
        socket.bypass_queues().unwrap();
        socket.bind_to_send(Interfaces::new().unwrap().get("l0").unwrap().index).unwrap();
        let frames: Vec<Vec<u8>> = (0..64).map(|i| udp(i, size)).collect();
        let batch: Vec<Outgoing<'_>> =
            frames.iter().map(|bytes| Outgoing { offload: [0; OFFLOAD], bytes }).collect();
        let started = Instant::now();
        let mut sent = 0_u64;
        while started.elapsed() < TURN {
            let mut failed = 0;
            send(&socket, &batch, |_, _| failed += 1);
            sent += batch.len() as u64 - failed;
        }
        (sent as f64, started.elapsed().as_secs_f64())
    });
    // What is still on its way.
    std::thread::sleep(Duration::from_millis(100));
    ((received() - before) / took, sent)
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

/// Reads every frame and does nothing with it, or sends it on.
fn bare(forwards: bool, stop: &AtomicBool, read: &AtomicU64) {
    let socket = Socket::open().unwrap();
    socket.ignore_outgoing().unwrap();
    let mut ring = Ring::new(socket, Shape::default()).unwrap();
    ring.socket_mut().bind("in0").unwrap();
    ring.socket_mut().promiscuous("in0").unwrap();
    let out = forwards.then(|| {
        let out = Socket::open().unwrap();
        out.with_offloads().unwrap();
        out.bypass_queues().unwrap();
        out.bind_to_send(Interfaces::new().unwrap().get("out0").unwrap().index).unwrap();
        out
    });
    ring.socket_mut().listen(Direction::Entering).unwrap();
    let mut frames = Vec::new();
    while !stop.load(Relaxed) {
        let Some(block) = ring.block_mut() else {
            let mut waiting = [rustix::event::PollFd::new(ring.socket(), rustix::event::PollFlags::IN)];
            let time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let _woken = rustix::event::poll(&mut waiting, Some(&time));
            continue;
        };
        frames.clear();
        frame::read(block, &mut frames);
        if let Some(out) = &out {
            let outgoing = |frame: &frame::Frame| {
                let bytes = &block[frame.start as usize..(frame.start + frame.captured) as usize];
                Outgoing { offload: frame.offload.to_bytes(), bytes }
            };
            let batch: Vec<Outgoing<'_>> = frames.iter().map(outgoing).collect();
            send(out, &batch, |_, _| {});
        }
        read.fetch_add(frames.len() as u64, Relaxed);
        ring.release();
    }
}
