//! Sums, rings, redirects and stations under stops, bursts and renamed interfaces. Judged by the
//! kernel's own counters, and by numbers in the packets. (Rejected: a mocked ring; the kernel's
//! timing is what matters.)

mod hot_loads;
mod link_stations;
mod renames;
mod stalls;
mod starts;
mod super_frames;

use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::interface::Interfaces;
use mrule_dataplane::sys::packet::Socket;
use mrule_dataplane::sys::send::{Outgoing, send};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A socket of the calling thread's namespace that sends by this interface.
pub fn sender(link: &str) -> Socket {
    let socket = Socket::open().unwrap();
    socket.with_offloads().unwrap();
    socket.bind_to_send(Interfaces::new().unwrap().get(link).unwrap().index).unwrap();
    socket
}

/// A datagram to port 5000 that carries a number.
pub fn numbered(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46];
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 1, 0, 9]);
    frame.extend([0x13, 0x87, 0x13, 0x88, 0, 26, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}

/// The number in a copy of such a datagram.
pub fn number(copy: &[u8]) -> u32 {
    u32::from_be_bytes(copy[42..46].try_into().unwrap())
}

/// Sends numbered datagrams, in bursts each millisecond, until so many are sent or `stop` is set.
/// Gives how many it sent and how long that took.
pub fn pour(socket: &Socket, from: u32, count: u32, rate: u32, stop: &AtomicBool) -> (u32, Duration) {
    // Made before the clock runs, as far as they are few enough.
    let mut made: Vec<Vec<u8>> = (0..count.min(100_000)).map(|i| numbered(from + i)).collect();
    let started = Instant::now();
    let mut sent = 0;
    while sent < count && !stop.load(Relaxed) {
        let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u32;
        let burst = due.saturating_sub(sent).min(count - sent).min(1024);
        let (first, last) = (sent as usize, (sent + burst) as usize);
        made.extend((made.len()..last).map(|i| numbered(from + i as u32)));
        let outgoing: Vec<Outgoing<'_>> =
            made[first..last].iter().map(|bytes| Outgoing { offload: [0; OFFLOAD], bytes }).collect();
        send(socket, &outgoing, |_, error| panic!("sending: {error}"));
        sent += burst;
        if burst < 1024 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    (sent, started.elapsed())
}
