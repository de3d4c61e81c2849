//! Receives an interface's frames for a worker: a ring of small blocks, and a plain socket for
//! frames that no block holds (GSO and GRO super-frames, up to 512 KiB with BIG TCP). The ring gets
//! the first 200 bytes of such a frame, in its place among the others. The plain socket queues the
//! whole frame, in memory that the kernel uses only while frames wait. Invariants: the ring alone
//! determines the order and the count of frames; a frame reported as whole is whole, and a frame
//! whose bytes are lost is reported as truncated. (Rejected: blocks for the longest frame; one
//! second takes 128 MiB per ring, and 1 GiB with BIG TCP. Rejected: one of two sockets, chosen by
//! the fanout program; the order between the two would be lost.)

use super::frame::{Frame, FrameLocation};
use super::packet::{self, Direction, Socket};
use super::ring::{Ring, Shape};
use super::socket;
use mrule_compiler::bpf::{self, Insn, op};
use rustix::net::RecvFlags;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a long frame that the ring gets.
const HEAD: u32 = 200;

/// The longest frame that Linux makes (GSO_MAX_SIZE, 8 * 64 KiB) and its link header, in bytes.
const LONGEST: usize = (512 << 10) + 64;

/// Bytes of long frames that may wait in the plain socket (SO_RCVBUF). The kernel counts the memory
/// of frames, not their lengths, and doubles this value.
pub const LONG_QUEUE: usize = 16 << 20;

/// Number of long frames that are kept before their head comes. Processors that receive in parallel
/// may queue two frames in one order and write them to the ring in the other order.
const MAX_UNMATCHED: usize = 8;

/// How late the head of a stray may be, in nanoseconds.
const LATE: i64 = 50_000_000;

const TAG: usize = 4;
const ADDRESSES: usize = 12;

/// Sockets for long frames, created while the process may enlarge their buffers (CAP_NET_ADMIN).
/// Taps that are opened later, without that privilege, use them.
#[derive(Debug, Clone, Default)]
pub struct Spares(Arc<Mutex<Vec<Socket>>>);

impl Spares {
    /// Creates `count` sockets, or fewer where the process may not create them.
    pub fn make(count: usize) -> Spares {
        let roomy = |socket: &Socket| socket::set_receive_buffer(socket.as_fd(), LONG_QUEUE);
        let sockets = (0..count).map_while(|_| Socket::open().ok().filter(roomy)).collect();
        Spares(Arc::new(Mutex::new(sockets)))
    }

    fn take(&self) -> Option<Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// One worker's sockets for one interface.
#[derive(Debug)]
pub struct Tap {
    ring: Ring,
    long: Socket,
    longest: u32,
    /// Long frames that were taken from the queue before their head came, with their times.
    unmatched: VecDeque<(i64, Vec<u8>)>,
    /// The queue of long frames has its full size.
    roomy: bool,
}

/// The fanout groups among whose members the kernel spreads an interface's frames.
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    ring: u16,
    long: u16,
}

impl Tap {
    /// Opens sockets that receive nothing yet.
    ///
    /// # Errors
    /// Errors of the kernel: no privilege, no memory, no such interface.
    pub fn open(index: u32, shape: Shape, promiscuous: bool, spares: &Spares) -> io::Result<Tap> {
        let ring = Ring::new(Socket::open()?, shape)?;
        let (long, roomy) = match spares.take() {
            Some(long) => (long, true),
            None => {
                let long = Socket::open()?;
                let roomy = socket::set_receive_buffer(long.as_fd(), LONG_QUEUE);
                (long, roomy)
            }
        };
        for socket in [ring.socket(), &long] {
            // Old kernels do not know it; the filter does the same.
            let _old = socket.ignore_outgoing();
        }
        socket::stamp(long.as_fd())?;
        ring.socket().bind(index)?;
        long.bind(index)?;
        if promiscuous {
            ring.socket().promiscuous(index)?;
        }
        Ok(Tap { ring, long, longest: shape.longest(), unmatched: VecDeque::new(), roomy })
    }

    /// Joins the taps of one interface. The n-th tap gets the same flows at each interface.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn join(&self, groups: Option<Groups>, direction: Direction) -> io::Result<Groups> {
        Ok(Groups {
            ring: self.ring.socket().join(groups.map(|groups| groups.ring), direction)?,
            long: self.long.join(groups.map(|groups| groups.long), direction)?,
        })
    }

    /// The tap's ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The tap's ring, to take blocks from it.
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Whether the queue of long frames has its full size ([`LONG_QUEUE`]). Otherwise,
    /// `net.core.rmem_max` limits it.
    pub fn is_roomy(&self) -> bool {
        self.roomy
    }

    /// Other descriptors of the same sockets.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn handle(&self) -> io::Result<Handle> {
        Ok(Handle { ring: self.ring.socket().handle()?, long: self.long.handle()?, longest: self.longest })
    }

    /// Receives what this filter accepts, from now on.
    ///
    /// # Errors
    /// See [`Handle::listen_to`].
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        listen_to(self.ring.socket(), &self.long, self.longest, filter)
    }

    /// Receives nothing more; frames already received stay.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn deafen(&self) -> io::Result<()> {
        self.long.deafen()?;
        self.ring.socket().deafen()
    }

    /// Whether the ring has only the head of this frame, because it is longer than a block.
    pub fn is_head(&self, frame: &Frame) -> bool {
        let tag = frame.captured.saturating_sub(HEAD);
        (tag == 0 || tag == TAG as u32) && frame.captured >= HEAD && frame.length > self.longest + tag
    }

    /// Appends the whole frame with this head. Returns `None` when its bytes are lost, because more
    /// than [`LONG_QUEUE`] bytes waited.
    pub fn fetch(&mut self, block: usize, frame: &Frame, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let range = frame.start as usize..(frame.start + frame.captured) as usize;
        let head = self.ring.block(block)?.get(range)?;
        let tag = if frame.captured > HEAD { TAG } else { 0 };
        let is_it = |bytes: &[u8]| {
            bytes.len() + tag == frame.length as usize
                && bytes.get(..ADDRESSES) == head.get(..ADDRESSES)
                && bytes.get(ADDRESSES..HEAD as usize) == head.get(ADDRESSES + tag..)
        };
        self.unmatched.retain(|(time, _)| *time + LATE >= frame.time);
        let start = out.len();
        // The VLAN tag is not among the queued bytes. It goes between the addresses and the rest.
        out.resize(start + tag, 0);
        let mut found = self.unmatched.iter().position(|(_, bytes)| is_it(bytes));
        if let Some((_, bytes)) = found.take().and_then(|at| self.unmatched.remove(at)) {
            out.extend_from_slice(&bytes);
        } else {
            loop {
                if !has_room(&mut self.unmatched, frame.time) {
                    out.truncate(start);
                    return None;
                }
                out.reserve(LONGEST);
                let into = rustix::buffer::spare_capacity(out);
                if rustix::net::recv(&self.long, into, RecvFlags::DONTWAIT).is_err() {
                    out.truncate(start);
                    return None;
                }
                let bytes = out.get(start + tag..).unwrap_or(&[]);
                if is_it(bytes) {
                    break;
                }
                let time = socket::last_stamp(self.long.as_fd()).unwrap_or(0);
                if time + LATE >= frame.time {
                    self.unmatched.push_back((time, bytes.to_vec()));
                }
                out.truncate(start + tag);
            }
        }
        if tag > 0 {
            out.copy_within(start + tag..start + tag + ADDRESSES, start);
            let place = out.get_mut(start + ADDRESSES..start + ADDRESSES + TAG)?;
            place.copy_from_slice(head.get(ADDRESSES..ADDRESSES + TAG)?);
        }
        Some(start..out.len())
    }
}

/// Makes room for one more stray. A stray earlier than the head has lost its own head and is
/// dropped. Returns false when all strays are later than the head: its frame is lost, and reading
/// on would only take the frames of later heads.
fn has_room(unmatched: &mut VecDeque<(i64, Vec<u8>)>, head: i64) -> bool {
    if unmatched.len() < MAX_UNMATCHED {
        return true;
    }
    let overdue = unmatched.iter().position(|(time, _)| *time < head);
    overdue.and_then(|at| unmatched.remove(at)).is_some()
}

/// Other descriptors of a [`Tap`]'s sockets, to change its filters while its ring is read
/// elsewhere. Needs no privilege.
#[derive(Debug)]
pub struct Handle {
    ring: OwnedFd,
    long: OwnedFd,
    longest: u32,
}

impl Handle {
    /// Receives what this filter accepts, from now on.
    ///
    /// # Errors
    /// Errors of the kernel: `ENOMEM` where it has no room for a filter of this length
    /// (`net.core.optmem_max`).
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        listen_to(&self.ring, &self.long, self.longest, filter)
    }

    /// Receives nothing more; frames already received stay.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn deafen(&self) -> io::Result<()> {
        packet::deafen(&self.long)?;
        packet::deafen(&self.ring)
    }

    /// Spreads the frames of both groups by this program, from now on; see [`packet::spread`].
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn spread(&self, program: &[Insn]) -> io::Result<()> {
        packet::spread(&self.ring, program)?;
        packet::spread(&self.long, program)
    }

    /// Whether the tap still receives from the interface with this index.
    pub fn is_bound(&self, index: u32) -> bool {
        packet::is_bound(&self.ring, index)
    }
}

/// Changes the filters of both sockets. During the change, the plain socket takes each long frame,
/// so that no head comes without its frame.
fn listen_to(ring: impl AsFd, long: impl AsFd, longest: u32, filter: &[Insn]) -> io::Result<()> {
    packet::attach(&long, &long_filter(&[ret(u32::MAX)], longest))?;
    packet::attach(ring, &ring_filter(filter, longest))?;
    packet::attach(&long, &long_filter(filter, longest))
}

/// The filter's form for the ring: of a long frame that the filter keeps whole, the ring gets the
/// head.
fn ring_filter(filter: &[Insn], longest: u32) -> Vec<Insn> {
    at_end(filter, |k| if k == HEAD { k + 1 } else { k }, longest, [ret(HEAD), ret(u32::MAX)])
}

/// The filter's form for the plain socket: only the long frames that the filter keeps whole.
fn long_filter(filter: &[Insn], longest: u32) -> Vec<Insn> {
    at_end(filter, |_| 0, longest, [ret(u32::MAX), ret(0)])
}

/// A filter in which the frame's length decides instead of returns of whole frames, and other
/// returns are replaced.
fn at_end(filter: &[Insn], other: impl Fn(u32) -> u32, longest: u32, ends: [Insn; 2]) -> Vec<Insn> {
    let whole = bpf::LONGEST_HEAD + TAG as u32;
    let turn = |(at, insn): (usize, &Insn)| match insn {
        Insn { code: op::RET, k, .. } if *k > whole => {
            Insn { code: op::JA, jt: 0, jf: 0, k: (filter.len() - at - 1) as u32 }
        }
        Insn { code: op::RET, k, .. } => Insn { k: other(*k), ..*insn },
        insn => *insn,
    };
    let mut code: Vec<Insn> = filter.iter().enumerate().map(turn).collect();
    code.push(Insn { code: op::LD_LEN, jt: 0, jf: 0, k: 0 });
    code.push(Insn { code: op::JGT, jt: 0, jf: 1, k: longest });
    code.extend(ends);
    code
}

const fn ret(k: u32) -> Insn {
    Insn { code: op::RET, jt: 0, jf: 0, k }
}

/// The frame with its bytes outside of the ring.
pub fn aside(frame: &Frame, bytes: &Range<usize>) -> Frame {
    let (start, captured) = (bytes.start as u32, (bytes.end - bytes.start) as u32);
    Frame { place: FrameLocation::Aside, start, captured, ..*frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmatched_frames_are_bounded_and_the_overdue_go_first() {
        let mut unmatched: VecDeque<(i64, Vec<u8>)> =
            (0..MAX_UNMATCHED as i64).map(|time| (time, Vec::new())).collect();
        assert!(!has_room(&mut unmatched, 0), "all are later than the head");
        assert_eq!(unmatched.len(), MAX_UNMATCHED);
        assert!(has_room(&mut unmatched, 5), "one is overdue");
        assert_eq!((unmatched.len(), unmatched.front().map(|(time, _)| *time)), (MAX_UNMATCHED - 1, Some(1)));
        assert!(has_room(&mut unmatched, 0), "there is room");
    }
}
