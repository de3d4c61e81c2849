//! What the shape of receive rings costs and holds: the ring of a worker (1,024 blocks of 16 KiB,
//! and a socket for long frames beside it) and the ring that there was before (32 blocks of 256
//! KiB), each in its turn. `hold` is how many of so many packets are still there when nobody read
//! for as long as sending them took. `delay` is from when a packet is sent to when its copy has
//! reached the host that `m0` leads to, with mirrorc between; where `MRULE_BEFORE` names another
//! mirrorc, that one has its turns, too. `ns a frame` is of sender, kernel and reader on one core
//! together, as in `tap`: the least of all rounds, and the median. (Rejected: two runs of two
//! programs, one after the other; the machine is another one an hour later.)

use crate::bare::sender;
use crate::tap::pin;
use crate::{MIRRORC, median, send_for, udp};
use mrule_compiler::bpf::Filter;
use mrule_dataplane::sys::frame::{self, OFFLOAD};
use mrule_dataplane::sys::interface::Interfaces;
use mrule_dataplane::sys::packet::{Direction, Socket};
use mrule_dataplane::sys::ring::{Ring, Shape};
use mrule_dataplane::sys::send::{Outgoing, send};
use mrule_dataplane::sys::tap::{Spares, Tap};
use mrule_tests::wire::Wire;
use rustix::net::RecvFlags;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

const BEFORE: Shape = Shape { block: 256 << 10, blocks: 32, timeout: 1 };
const TURN: Duration = Duration::from_millis(250);
const COPIES: &str = "station m { interface m0 }\nrule r { match udp.dstport == 1000  snaplen full  to m }\n";

/// Measures and prints.
pub fn measure(wire: &Wire, rounds: usize) {
    hold(wire);
    delays(wire, rounds);
    reading(wire, rounds);
}

fn hold(wire: &Wire) {
    println!("\nheld while nobody reads{:>35}{:>16}", "32 x 256 KiB", "1,024 x 16 KiB");
    for (count, rate) in [(150, 1_000), (950, 1_000), (9_500, 10_000), (60_000, 300_000), (100_000, 300_000)]
    {
        let held = [BEFORE, Shape::default()].map(|shape| {
            wire.inside(&wire.here, || {
                let mut ring = Ring::new(Socket::open().unwrap(), shape).unwrap();
                let index = Interfaces::new().unwrap().get("in0").unwrap().index;
                ring.socket().bind(index).unwrap();
                ring.socket().promiscuous(index).unwrap();
                ring.socket().listen(Direction::Entering).unwrap();
                wire.inside(&wire.left, || paced(&sender("l0", true), count, rate, |_| {}));
                std::thread::sleep(Duration::from_millis(10));
                let mut frames = Vec::new();
                while let Some(block) = ring.hold() {
                    frame::read(ring.block_mut(block).unwrap(), &mut frames);
                }
                frames.len()
            })
        });
        println!("  {count:>7} packets at {rate:>7} a second{:>22}{:>16}", held[0], held[1]);
    }
}

/// Sends so many packets at a rate; `stamp` may write into each.
fn paced(socket: &Socket, count: u32, rate: u32, stamp: impl Fn(&mut Vec<u8>)) {
    let mut frame = udp(0, 64);
    let started = Instant::now();
    for i in 0..count {
        let due = Duration::from_secs_f64(f64::from(i) / f64::from(rate));
        while let Some(early) = due.checked_sub(started.elapsed()) {
            if early > Duration::from_micros(200) {
                std::thread::sleep(early / 2);
            }
        }
        stamp(&mut frame);
        send(socket, &[Outgoing { offload: [0; OFFLOAD], bytes: &frame }], |_, _| {});
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn delays(wire: &Wire, rounds: usize) {
    let before = std::env::var("MRULE_BEFORE").ok();
    let mut programs = vec![("this mirrorc", MIRRORC.to_owned())];
    programs.extend(before.map(|path| ("$MRULE_BEFORE", path)));
    println!("\ndelay of copies, us{:>39}{:>10}{:>10}", "p50", "p99", "copies");
    for rate in [1_000, 10_000, 50_000] {
        let mut seen = vec![Vec::new(); programs.len()];
        for _ in 0..rounds {
            for ((_, program), seen) in programs.iter().zip(&mut seen) {
                seen.extend(delay(wire, program, rate));
            }
        }
        for ((name, _), seen) in programs.iter().zip(&mut seen) {
            seen.sort_unstable();
            let at = |share: usize| seen.get(seen.len() * share / 100).copied().unwrap_or(0) as f64 / 1e3;
            println!("  {rate:>7} a second, {name:30}{:>10.0}{:>10.0}{:>10}", at(50), at(99), seen.len());
        }
    }
}

/// How long each copy took that came, in nanoseconds.
fn delay(wire: &Wire, program: &str, rate: u32) -> Vec<u64> {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("a.mrule");
    std::fs::write(&rules, COPIES).unwrap();
    let arguments = [rules.to_str().unwrap(), "--tap", "in0", "--workers", "1", "--promiscuous"];
    let mirrorc = wire.mirrorc(program, &arguments);
    let socket = wire.inside(&wire.right, || {
        let socket = Socket::open().unwrap();
        socket.bind(Interfaces::new().unwrap().get("mon").unwrap().index).unwrap();
        socket.listen(Direction::Entering).unwrap();
        socket
    });
    let stop = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut took, mut bytes) = (Vec::new(), [0; 2048]);
            while !stop.load(Relaxed) {
                let mut waiting = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::IN)];
                let time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                let _woken = rustix::event::poll(&mut waiting, Some(&time));
                while let Ok((_, length)) = rustix::net::recv(&socket, &mut bytes[..], RecvFlags::DONTWAIT) {
                    if length >= 50 && bytes[36..38] == 1000_u16.to_be_bytes() {
                        let sent = u64::from_be_bytes(bytes[42..50].try_into().unwrap());
                        took.push(now().saturating_sub(sent));
                    }
                }
            }
            took
        });
        wire.inside(&wire.left, || {
            paced(&sender("l0", true), rate, rate, |frame| {
                frame[42..50].copy_from_slice(&now().to_be_bytes())
            });
        });
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Relaxed);
        reader.join().unwrap()
    });
    mirrorc.stop();
    took
}

fn reading(wire: &Wire, rounds: usize) {
    println!("\nreading, with the sender on one core{:>22}{:>10}{:>10}", "ns a frame", "median", "ratio");
    for size in [64, 512, 1500] {
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..rounds * 3 {
            for (tap, seen) in [false, true].into_iter().zip(&mut seen) {
                seen.push(turn(wire, tap, size));
            }
        }
        let least = seen.each_ref().map(|seen| seen.iter().copied().fold(f64::INFINITY, f64::min));
        let middle = seen.map(median);
        for (at, name) in ["32 x 256 KiB", "1,024 x 16 KiB, long frames beside"].into_iter().enumerate() {
            let ratio = middle[0] / middle[at];
            println!("  {size:>5} bytes, {name:38}{:>10.0}{:>10.0}{ratio:>10.2}", least[at], middle[at]);
        }
    }
}

/// Nanoseconds a frame while everything is read, by a worker's sockets or by one ring as it was
/// before.
fn turn(wire: &Wire, tap: bool, size: usize) -> f64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wire.inside(&wire.here, || {
                pin(1);
                let index = Interfaces::new().unwrap().get("in0").unwrap().index;
                if tap {
                    let mut tap = Tap::open(index, Shape::default(), true, &Spares::default()).unwrap();
                    tap.listen_to(Filter::everything().code()).unwrap();
                    read(tap.ring_mut(), true, &stop);
                } else {
                    let mut ring = Ring::new(Socket::open().unwrap(), BEFORE).unwrap();
                    ring.socket().ignore_outgoing().unwrap();
                    ring.socket().bind(index).unwrap();
                    ring.socket().promiscuous(index).unwrap();
                    ring.socket().listen(Direction::Entering).unwrap();
                    read(&mut ring, false, &stop);
                }
            });
        });
        std::thread::sleep(Duration::from_millis(150));
        let (sent, took) = wire.inside(&wire.left, || {
            pin(1);
            send_for(&sender("l0", false), TURN, size)
        });
        stop.store(true, Relaxed);
        took * 1e9 / sent
    })
}

/// Reads as a worker does: where blocks fill up within a millisecond, they gather for one.
fn read(ring: &mut Ring, gathers: bool, stop: &AtomicBool) {
    let (mut frames, mut woken, mut busy) = (Vec::new(), Instant::now(), false);
    while !stop.load(Relaxed) {
        frames.clear();
        while let Some(block) = ring.hold().filter(|_| frames.len() < 256) {
            busy |= ring.was_full(block);
            frame::read(ring.block_mut(block).unwrap(), &mut frames);
        }
        let idle = frames.is_empty();
        ring.release();
        let gathered = woken + Duration::from_millis(1);
        if idle && gathers && std::mem::take(&mut busy) && Instant::now() < gathered {
            std::thread::sleep(gathered - Instant::now());
            woken = Instant::now();
        } else if idle {
            let mut waiting = [rustix::event::PollFd::new(ring.socket(), rustix::event::PollFlags::IN)];
            let time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let _woken = rustix::event::poll(&mut waiting, Some(&time));
            woken = Instant::now();
        }
    }
}
