//! The least that a program does which reads all frames: what ways of mirrorc are compared with. It
//! has one ring of 32 large blocks, which is the cheapest to read, and no rules. (Rejected: a
//! program of another author; it would be compared by its ring, too.)

use mrule_dataplane::sys::frame::{self, OFFLOAD};
use mrule_dataplane::sys::interface::Interfaces;
use mrule_dataplane::sys::packet::{Direction, Socket};
use mrule_dataplane::sys::ring::{Ring, Shape};
use mrule_dataplane::sys::send::{Outgoing, send};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What becomes of frames that enter by in0.
#[derive(Clone, Copy, PartialEq)]
pub enum Does {
    /// Nothing.
    Nothing,
    /// The headers of six flows go to m0.
    Copies,
    /// All go to out0.
    Forwards,
}

/// As few and large blocks as a reader has that holds little: the least that reading takes.
const SHAPE: Shape = Shape { block: 256 << 10, blocks: 32, timeout: 1 };

/// Through the headers of UDP over IPv4.
const HEADERS: usize = 42;

/// Reads every frame until it is told to stop, and counts them.
pub fn bare(does: Does, stop: &AtomicBool, read: &AtomicU64) {
    let socket = Socket::open().unwrap();
    socket.ignore_outgoing().unwrap();
    let mut ring = Ring::new(socket, SHAPE).unwrap();
    let index = Interfaces::new().unwrap().get("in0").unwrap().index;
    ring.socket().bind(index).unwrap();
    ring.socket().promiscuous(index).unwrap();
    let out = match does {
        Does::Nothing => None,
        Does::Copies => Some(sender("m0", true)),
        Does::Forwards => Some(sender("out0", true)),
    };
    ring.socket().listen(Direction::Entering).unwrap();
    let mut frames = Vec::new();
    while !stop.load(Relaxed) {
        let Some(block) = ring.hold().and_then(|block| ring.block_mut(block)) else {
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
                if does == Does::Forwards {
                    return Some(Outgoing { offload: frame.offload.to_bytes(), bytes });
                }
                let port = u16::from_be_bytes([*bytes.get(36)?, *bytes.get(37)?]);
                let wanted = bytes[12..14] == [8, 0] && bytes[23] == 17 && (1000..=1005).contains(&port);
                wanted.then(|| Outgoing { offload: [0; OFFLOAD], bytes: &bytes[..HEADERS] })
            };
            let batch: Vec<Outgoing<'_>> = frames.iter().filter_map(outgoing).collect();
            send(out, &batch, |_, _| {});
        }
        read.fetch_add(frames.len() as u64, Relaxed);
        ring.release();
    }
}

/// A socket that sends by an interface, past its queueing discipline or through it.
pub fn sender(name: &str, bypass: bool) -> Socket {
    let socket = Socket::open().unwrap();
    socket.with_offloads().unwrap();
    if bypass {
        socket.bypass_queues().unwrap();
    }
    socket.bind_to_send(Interfaces::new().unwrap().get(name).unwrap().index).unwrap();
    socket
}
