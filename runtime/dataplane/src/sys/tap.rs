//! What a worker receives an interface's frames with: a ring of small blocks, and beside it a plain
//! socket for frames that no block holds (GSO and GRO super-frames, up to 512 KiB with BIG TCP).
//! The ring gets the first 200 bytes of such a frame, in its place among the others; the plain
//! socket queues the whole frame, in memory that the kernel takes only while frames wait. The
//! invariants: the order and the count of frames are the ring's alone; a frame that is told as
//! whole is whole, and one whose bytes are lost is told as truncated. (Rejected: blocks for the
//! longest frame: one second takes 128 MiB a ring, and 1 GiB with BIG TCP; one socket only, chosen
//! by the fanout program: the order between the two would be lost.)

use super::frame::{Frame, Place};
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

/// How many bytes of a long frame the ring gets.
const HEAD: u32 = 200;

/// The longest frame that Linux makes (GSO_MAX_SIZE, 8 * 64 KiB) and its link header.
const LONGEST: usize = (512 << 10) + 64;

/// How many bytes of long frames may wait in the plain socket (SO_RCVBUF). The kernel counts what
/// frames take, not their lengths, and doubles this.
pub const LONG_QUEUE: usize = 16 << 20;

/// How many long frames are kept whose head has not come yet: processors that receive side by side
/// may queue two frames in one order and write them into the ring in the other.
const STRAYS: usize = 8;

/// By how much the head of a stray may be late, in nanoseconds.
const LATE: i64 = 50_000_000;

const TAG: usize = 4;
const ADDRESSES: usize = 12;

/// Sockets for long frames, made while the process may give them room (CAP_NET_ADMIN): taps that
/// are opened later, without that privilege, take them from here.
#[derive(Debug, Clone, Default)]
pub struct Spares(Arc<Mutex<Vec<Socket>>>);

impl Spares {
    /// So many; fewer where the process may not make them.
    pub fn make(count: usize) -> Spares {
        let roomy = |socket: &Socket| socket::set_receive_buffer(socket.as_fd(), LONG_QUEUE);
        let sockets = (0..count).map_while(|_| Socket::open().ok().filter(roomy)).collect();
        Spares(Arc::new(Mutex::new(sockets)))
    }

    fn take(&self) -> Option<Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// The sockets of one worker for one interface.
#[derive(Debug)]
pub struct Tap {
    ring: Ring,
    long: Socket,
    longest: u32,
    /// Long frames that were taken from the queue before their head came, and their times.
    strays: VecDeque<(i64, Vec<u8>)>,
    /// The queue of long frames has all the room that it should have.
    roomy: bool,
}

/// The groups among whose members the kernel spreads an interface's frames.
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    ring: u16,
    long: u16,
}

impl Tap {
    /// Sockets that receive nothing yet.
    ///
    /// # Errors
    /// The kernel's: no privilege, no memory, no such interface.
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
            // Not known to old kernels; the filter says it too.
            let _old = socket.ignore_outgoing();
        }
        socket::stamp(long.as_fd())?;
        ring.socket().bind(index)?;
        long.bind(index)?;
        if promiscuous {
            ring.socket().promiscuous(index)?;
        }
        Ok(Tap { ring, long, longest: shape.longest(), strays: VecDeque::new(), roomy })
    }

    /// Joins the taps of one interface; the n-th one gets the same flows at each interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn join(&self, groups: Option<Groups>, direction: Direction) -> io::Result<Groups> {
        Ok(Groups {
            ring: self.ring.socket().join(groups.map(|groups| groups.ring), direction)?,
            long: self.long.join(groups.map(|groups| groups.long), direction)?,
        })
    }

    /// Its ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The same, to take blocks from.
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Whether as many bytes of long frames may wait as should ([`LONG_QUEUE`]); else as many as
    /// `net.core.rmem_max` allows.
    pub fn is_roomy(&self) -> bool {
        self.roomy
    }

    /// Other descriptors of the same sockets.
    ///
    /// # Errors
    /// No more descriptors are to be had.
    pub fn handle(&self) -> io::Result<Handle> {
        Ok(Handle { ring: self.ring.socket().handle()?, long: self.long.handle()?, longest: self.longest })
    }

    /// Receives what a filter keeps, from now on.
    ///
    /// # Errors
    /// See [`Handle::listen_to`].
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        listen_to(self.ring.socket(), &self.long, self.longest, filter)
    }

    /// Receives nothing more; what was received stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn deafen(&self) -> io::Result<()> {
        self.long.deafen()?;
        self.ring.socket().deafen()
    }

    /// Whether the ring has only the head of this frame, because it is longer than a block.
    pub fn is_head(&self, frame: &Frame) -> bool {
        let tag = frame.captured.saturating_sub(HEAD);
        (tag == 0 || tag == TAG as u32) && frame.captured >= HEAD && frame.length > self.longest + tag
    }

    /// Appends the whole frame of this head. None: its bytes are lost, because more waited than
    /// [`LONG_QUEUE`].
    pub fn fetch(&mut self, block: usize, frame: &Frame, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let range = frame.start as usize..(frame.start + frame.captured) as usize;
        let head = self.ring.block(block)?.get(range)?;
        let tag = if frame.captured > HEAD { TAG } else { 0 };
        let is_it = |bytes: &[u8]| {
            bytes.len() + tag == frame.length as usize
                && bytes.get(..ADDRESSES) == head.get(..ADDRESSES)
                && bytes.get(ADDRESSES..HEAD as usize) == head.get(ADDRESSES + tag..)
        };
        self.strays.retain(|(time, _)| *time + LATE >= frame.time);
        let start = out.len();
        // The tag, which is not among the bytes of the queue, goes between the addresses and the
        // rest.
        out.resize(start + tag, 0);
        let mut found = self.strays.iter().position(|(_, bytes)| is_it(bytes));
        if let Some((_, bytes)) = found.take().and_then(|at| self.strays.remove(at)) {
            out.extend_from_slice(&bytes);
        } else {
            loop {
                if !has_room(&mut self.strays, frame.time) {
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
                    self.strays.push_back((time, bytes.to_vec()));
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

/// Makes room for one more stray. A stray that is earlier than the head of this time has lost its
/// own head and goes. False: all strays are later than the head, so its frame is lost, and reading
/// on would only take the frames of heads that come.
fn has_room(strays: &mut VecDeque<(i64, Vec<u8>)>, head: i64) -> bool {
    if strays.len() < STRAYS {
        return true;
    }
    let overdue = strays.iter().position(|(time, _)| *time < head);
    overdue.and_then(|at| strays.remove(at)).is_some()
}

/// Other descriptors of the sockets of a [`Tap`], by which its filters can be changed while its
/// ring is read elsewhere. Needs no privilege.
#[derive(Debug)]
pub struct Handle {
    ring: OwnedFd,
    long: OwnedFd,
    longest: u32,
}

impl Handle {
    /// Receives what a filter keeps, from now on.
    ///
    /// # Errors
    /// The kernel's: `ENOMEM` where it has no room for one so long (`net.core.optmem_max`).
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        listen_to(&self.ring, &self.long, self.longest, filter)
    }

    /// Receives nothing more; what was received stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn deafen(&self) -> io::Result<()> {
        packet::deafen(&self.long)?;
        packet::deafen(&self.ring)
    }

    /// Spreads the frames of both groups by a program, from now on; see [`packet::spread`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn spread(&self, program: &[Insn]) -> io::Result<()> {
        packet::spread(&self.ring, program)?;
        packet::spread(&self.long, program)
    }

    /// Whether it still receives from the interface with this index.
    pub fn is_bound(&self, index: u32) -> bool {
        packet::is_bound(&self.ring, index)
    }
}

/// Changes the filters of both sockets. While they change, the plain socket takes every long frame,
/// so that no head comes without its frame.
fn listen_to(ring: impl AsFd, long: impl AsFd, longest: u32, filter: &[Insn]) -> io::Result<()> {
    packet::attach(&long, &long_filter(&[ret(u32::MAX)], longest))?;
    packet::attach(ring, &ring_filter(filter, longest))?;
    packet::attach(&long, &long_filter(filter, longest))
}

/// A filter's form for the ring: of a long frame that it keeps whole, the ring gets the head.
fn ring_filter(filter: &[Insn], longest: u32) -> Vec<Insn> {
    at_end(filter, |k| if k == HEAD { k + 1 } else { k }, longest, [ret(HEAD), ret(u32::MAX)])
}

/// A filter's form for the plain socket: nothing but the long frames that it keeps whole.
fn long_filter(filter: &[Insn], longest: u32) -> Vec<Insn> {
    at_end(filter, |_| 0, longest, [ret(u32::MAX), ret(0)])
}

/// A filter whose returns of whole frames are decided by the frame's length, and whose other
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

/// Puts a frame's bytes aside.
pub fn aside(frame: &Frame, bytes: &Range<usize>) -> Frame {
    let (start, captured) = (bytes.start as u32, (bytes.end - bytes.start) as u32);
    Frame { place: Place::Aside, start, captured, ..*frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_bounded_and_those_without_a_head_go_first() {
        let mut strays: VecDeque<(i64, Vec<u8>)> =
            (0..STRAYS as i64).map(|time| (time, Vec::new())).collect();
        assert!(!has_room(&mut strays, 0), "all are later than the head");
        assert_eq!(strays.len(), STRAYS);
        assert!(has_room(&mut strays, 5), "one is overdue");
        assert_eq!((strays.len(), strays.front().map(|(time, _)| *time)), (STRAYS - 1, Some(1)));
        assert!(has_room(&mut strays, 0), "there is room");
    }
}
