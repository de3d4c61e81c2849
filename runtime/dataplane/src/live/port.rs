//! One worker's end of one interface: its ring, the blocks that are being read, and, where mirrorc
//! forwards, the socket of the other interface. Invariants: the frames of a block are forwarded
//! when the worker first sees it, before anything else is done with them; blocks go back to the
//! kernel when all their packets are decided, and not before. (Rejected: copying frames out of the
//! block; frames that are decided and cut are read once, in place.)

use super::counts::{ForwardCounts, PortCounts};
use super::offload::{self, Cutter};
use super::worker::BATCH;
use crate::sys::frame::{self, Frame, FrameLocation, Offload};
use crate::sys::packet::Socket;
use crate::sys::ring::Ring;
use crate::sys::send::{self, Outgoing};
use crate::sys::tap::{self, Tap};
use mrule_compiler::abi::Link;
use mrule_compiler::bpf::{self, Filter};
use mrule_engine::memory::prefetch;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A worker's state for an interface.
#[derive(Debug)]
pub(super) struct Port {
    pub name: Arc<str>,
    /// The port's number.
    pub number: u32,
    pub link: Link,
    tap: Option<Tap>,
    /// The socket of the interface to which frames go.
    out: Option<Socket>,
    forwards: bool,
    /// The frames of the held blocks.
    frames: Vec<Frame>,
    /// The bytes of frames that are longer than a block.
    aside: Vec<u8>,
    /// Blocks were full before their timeout since the last check.
    busy: bool,
    /// The first undecided frame, and for a super-frame, the cutter and its next packet.
    at: usize,
    cutting: Option<(Cutter, usize)>,
    loaded: Option<Instant>,
    pub counts: PortCounts,
}

/// A packet to decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketRef {
    /// Where the packet's bytes are. `None`: it was cut out of a super-frame.
    pub place: Option<FrameLocation>,
    /// The port by which the packet came in.
    pub port: usize,
    pub start: usize,
    pub end: usize,
    pub length: u32,
    pub time: i64,
    /// The kernel left out the packet's end, because no rule could want it.
    pub clipped: bool,
}

impl PacketRef {
    /// A whole frame of a port's held blocks.
    fn of(frame: &Frame, port: usize) -> PacketRef {
        let Range { start, end } = range(frame);
        let (length, time) = (frame.length, frame.time);
        PacketRef { place: Some(frame.place), port, start, end, length, time, clipped: is_clipped(frame) }
    }
}

impl Port {
    pub fn new(name: &str, number: u32, link: Link, forwards: bool) -> Port {
        let forward = forwards.then(ForwardCounts::default);
        let counts = PortCounts { name: name.to_owned(), forward, ..PortCounts::default() };
        Port {
            name: name.into(),
            number,
            link,
            tap: None,
            out: None,
            forwards,
            frames: Vec::new(),
            aside: Vec::new(),
            busy: false,
            at: 0,
            cutting: None,
            loaded: None,
            counts,
        }
    }

    /// Takes a tap in place of a drained one.
    pub fn take(&mut self, tap: Tap) {
        // What could not be drained in time is lost with the old tap.
        self.frames.clear();
        (self.at, self.cutting, self.loaded) = (0, None, None);
        self.counts.ring_bytes = tap.ring().bytes() as u64;
        self.tap = Some(tap);
    }

    /// Takes the socket for forwarding.
    pub fn take_out(&mut self, out: Socket) {
        self.out = Some(out);
    }

    pub fn ring(&self) -> Option<&Ring> {
        self.tap.as_ref().map(Tap::ring)
    }

    /// Whether blocks were full before their timeout since the last check: frames come fast.
    pub fn was_busy(&mut self) -> bool {
        std::mem::take(&mut self.busy)
    }

    /// Whether this process forwards the port's frames.
    pub fn forwards(&self) -> bool {
        self.forwards
    }

    /// Since when blocks are held. `None`: no block is held.
    pub fn loaded(&self) -> Option<Instant> {
        self.loaded
    }

    /// Whether the ring fills up.
    pub fn is_pressed(&self) -> bool {
        self.ring().is_some_and(Ring::is_half_full)
    }

    /// The time of the next undecided packet.
    pub fn next_time(&self) -> Option<i64> {
        self.loaded?;
        self.frames.get(self.at).map(|frame| frame.time)
    }

    /// The bytes at a place.
    pub fn bytes(&self, place: FrameLocation) -> &[u8] {
        bytes(self.tap.as_ref(), &self.aside, place)
    }

    /// Gives back decided blocks, and holds the next ones: enough for one batch.
    pub fn load(&mut self, now: Instant) {
        if self.loaded.is_some() {
            if self.at < self.frames.len() {
                return;
            }
            self.loaded = None;
            self.release();
        }
        self.frames.clear();
        self.at = 0;
        while self.frames.len() < BATCH && self.aside.len() < ASIDE {
            let Some(block) = self.tap.as_mut().and_then(|tap| tap.ring_mut().hold()) else { break };
            self.read(block);
        }
        if self.frames.is_empty() {
            self.release();
            return;
        }
        self.loaded = Some(now);
    }

    fn release(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.ring_mut().release();
        }
        self.aside.clear();
        if self.aside.capacity() > 2 * ASIDE {
            self.aside.shrink_to(ASIDE);
        }
    }

    /// Reads a held block.
    fn read(&mut self, number: usize) {
        let Some(tap) = &mut self.tap else { return };
        let first = self.frames.len();
        self.busy |= tap.ring().was_full(number);
        let Some(block) = tap.ring_mut().block_mut(number) else { return };
        self.counts.malformed += u64::from(frame::read(block, &mut self.frames));
        let frames = self.frames.get_mut(first..).unwrap_or(&mut []);
        for frame in frames.iter_mut() {
            frame.place = FrameLocation::Block(number as u32);
            if tap.is_head(frame) {
                match tap.fetch(number, frame, &mut self.aside) {
                    Some(bytes) => *frame = tap::aside(frame, &bytes),
                    None => self.counts.long_lost += 1,
                }
            }
        }
        for frame in frames.iter_mut().filter(|frame| frame.offload.unfinished()) {
            let whole = frame.captured == frame.length;
            let bytes = bytes_mut(tap, &mut self.aside, frame.place).get_mut(range(frame));
            if offload::finish_sctp(bytes.unwrap_or(&mut []), &frame.offload, whole) {
                frame.offload.flags &= !1;
                self.counts.checksums_completed += 1;
            }
        }
        if self.forwards {
            let bytes = |frame: &Frame| bytes(Some(tap), &self.aside, frame.place).get(range(frame));
            let link = self.link;
            forward(bytes, frames, link, self.out.as_ref(), self.counts.forward.get_or_insert_default());
        }
        let mut widen = false;
        for frame in frames.iter() {
            let lost = tap.is_head(frame);
            let bytes = bytes_mut(tap, &mut self.aside, frame.place);
            // Prefetch the headers, which lie in at most two cache lines, for the decision.
            for at in [0, 63] {
                bytes.get(frame.start as usize + at).into_iter().for_each(prefetch);
            }
            let truncated = frame.captured < frame.length;
            let clipped = is_clipped(frame) && !lost;
            let lacking = truncated && (!clipped || frame.offload.unfinished() || frame.offload.is_super());
            self.counts.frames += 1;
            self.counts.bytes += u64::from(frame.length);
            self.counts.truncated += u64::from(lacking);
            self.counts.clipped += u64::from(clipped && !lacking);
            widen |= clipped && lacking;
            if frame.offload.unfinished() && !frame.offload.is_super() {
                let bytes = bytes.get_mut(range(frame)).unwrap_or(&mut []);
                self.counts.checksums_completed +=
                    u64::from(offload::finish(bytes, &frame.offload, !truncated));
            }
        }
        if widen {
            // The filter could not see that the frames are unfinished: from now on, all bytes come.
            // If this fails, they count as truncated.
            let _counted = tap.listen_to(Filter::everything().code());
        }
    }

    /// Takes packets that are earlier than `before` out of the held blocks, or the next packet,
    /// until there are `most` parts. Super-frames are cut into `arena`, one packet at a time.
    /// Returns false when there is no packet.
    pub fn next(
        &mut self,
        port: usize,
        before: i64,
        most: usize,
        parts: &mut Vec<PacketRef>,
        arena: &mut Vec<u8>,
    ) -> bool {
        let room = most.saturating_sub(parts.len()).max(1);
        let frames = self.frames.get(self.at..).unwrap_or(&[]);
        let whole = |frame: &Frame| !frame.offload.is_super();
        let first = frames.first().is_some_and(whole);
        let run = frames.iter().take(room).take_while(|frame| frame.time < before && whole(frame)).count();
        let run = run.max(usize::from(first));
        if run > 0 {
            parts.extend(frames.iter().take(run).map(|frame| PacketRef::of(frame, port)));
            self.at += run;
            return true;
        }
        let part = self.next_of_super(port, arena);
        parts.extend(part);
        part.is_some()
    }

    /// The next packet of the present super-frame.
    fn next_of_super(&mut self, port: usize, arena: &mut Vec<u8>) -> Option<PacketRef> {
        let frame = self.frames.get(self.at)?;
        let whole = PacketRef::of(frame, port);
        let bytes = bytes(self.tap.as_ref(), &self.aside, frame.place).get(range(frame))?;
        let (cutter, i) = match self.cutting.take() {
            Some(cutting) => cutting,
            None => match Cutter::new(bytes, frame, self.link) {
                Some(cutter) => {
                    self.counts.super_frames += 1;
                    self.counts.segments += cutter.count() as u64;
                    (cutter, 0)
                }
                None => {
                    self.counts.unsegmented += 1;
                    self.at += 1;
                    return Some(whole);
                }
            },
        };
        let start = arena.len();
        let length = cutter.cut(bytes, i, arena);
        if i + 1 < cutter.count() {
            self.cutting = Some((cutter, i + 1));
        } else {
            self.at += 1;
        }
        Some(PacketRef { place: None, start, end: arena.len(), length, ..whole })
    }

    /// Takes these frames as if they had been loaded.
    #[cfg(test)]
    pub fn hold(&mut self, frames: Vec<Frame>, now: Instant) {
        self.loaded = (!frames.is_empty()).then_some(now);
        (self.frames, self.at) = (frames, 0);
    }

    /// Releases frames when all of them are decided.
    #[cfg(test)]
    pub fn let_go(&mut self) {
        self.loaded = self.loaded.filter(|_| self.at < self.frames.len());
    }

    /// Receives nothing more; frames in the ring stay.
    pub fn deafen(&self) {
        if let Some(tap) = &self.tap {
            // A tap that cannot be made deaf counts on; draining it then ends by time.
            let _deaf_or_gone = tap.deafen();
        }
    }

    /// Whether all frames that the kernel counted for the ring were read.
    pub fn is_drained(&mut self) -> bool {
        // The kernel is asked before the comparison with the read frames: later frames are found
        // the next time.
        self.ask_kernel();
        let counts = &self.counts;
        let read = counts.frames + counts.kernel_drops + counts.malformed;
        self.tap.is_none() || (self.loaded.is_none() && counts.received <= read)
    }

    /// Adds what the kernel counted since the last time.
    pub fn ask_kernel(&mut self) {
        if let Some(Ok(new)) = self.ring().map(|ring| ring.socket().counts()) {
            self.counts.received += new.packets;
            self.counts.kernel_drops += new.drops;
            self.counts.ring_full += new.freezes;
        }
    }
}

/// Whether the filter left out the frame's end. A ring without room leaves out far less.
fn is_clipped(frame: &Frame) -> bool {
    frame.captured < frame.length && frame.captured <= bpf::LONGEST_HEAD + 4
}

fn range(frame: &Frame) -> Range<usize> {
    frame.start as usize..frame.start as usize + frame.captured as usize
}

/// Bytes of long frames that are held at once. One frame, and the frames of its block, may exceed
/// it.
const ASIDE: usize = 4 << 20;

fn bytes<'a>(tap: Option<&'a Tap>, aside: &'a [u8], place: FrameLocation) -> &'a [u8] {
    match place {
        FrameLocation::Block(block) => tap.and_then(|tap| tap.ring().block(block as usize)).unwrap_or(&[]),
        FrameLocation::Aside => aside,
    }
}

fn bytes_mut<'a>(tap: &'a mut Tap, aside: &'a mut [u8], place: FrameLocation) -> &'a mut [u8] {
    match place {
        FrameLocation::Block(block) => tap.ring_mut().block_mut(block as usize).unwrap_or(&mut []),
        FrameLocation::Aside => aside,
    }
}

/// Forwards the frames of a block unchanged.
fn forward<'a>(
    bytes: impl Fn(&Frame) -> Option<&'a [u8]>,
    frames: &[Frame],
    link: Link,
    out: Option<&Socket>,
    counts: &mut ForwardCounts,
) {
    let Some(out) = out else {
        counts.down += frames.len() as u64;
        return;
    };
    let mut batch = Vec::with_capacity(send::BATCH);
    let flush = |batch: &mut Vec<Outgoing<'_>>, counts: &mut ForwardCounts| {
        counts.sent += batch.len() as u64;
        counts.sent_bytes += batch.iter().map(|frame| frame.bytes.len() as u64).sum::<u64>();
        send::send(out, batch, |i, error| {
            counts.sent -= 1;
            counts.sent_bytes -= batch.get(i).map_or(0, |frame| frame.bytes.len() as u64);
            counts.fail(&error);
        });
        batch.clear();
    };
    for frame in frames {
        let Some(bytes) = bytes(frame).filter(|_| frame.captured == frame.length) else {
            counts.truncated += 1;
            continue;
        };
        if bytes.len() > LONGEST_SUPER {
            flush(&mut batch, counts);
            forward_cut(bytes, frame, link, out, counts);
            continue;
        }
        batch.push(Outgoing { offload: frame.offload.to_bytes(), bytes });
        if batch.len() == send::BATCH {
            flush(&mut batch, counts);
        }
    }
    flush(&mut batch, counts);
}

/// The longest frame that is forwarded as a super-frame. From a longer frame (BIG TCP) of a packet
/// socket, Linux removes the jumbo payload option and does not cut it, so that no receiver can read
/// it.
const LONGEST_SUPER: usize = 65_535 + 18;

/// Forwards a frame as the packets that it stands for. It counts as sent when all of them are sent.
fn forward_cut(bytes: &[u8], frame: &Frame, link: Link, out: &Socket, counts: &mut ForwardCounts) {
    let Some(cutter) = Cutter::new(bytes, frame, link) else {
        counts.too_long += 1;
        return;
    };
    let mut packets = Vec::with_capacity(2 * bytes.len());
    let mut ends = Vec::with_capacity(cutter.count());
    for i in 0..cutter.count() {
        let start = packets.len();
        cutter.cut(bytes, i, &mut packets);
        ends.push(start..packets.len());
    }
    let offload = Offload::default().to_bytes();
    let outgoing = |range: &Range<usize>| packets.get(range.clone()).map(|bytes| Outgoing { offload, bytes });
    let outgoing: Vec<Outgoing<'_>> = ends.iter().filter_map(outgoing).collect();
    let mut first = None;
    send::send(out, &outgoing, |_, error| {
        first.get_or_insert(error);
    });
    match first {
        Some(error) => counts.fail(&error),
        None => {
            counts.sent += 1;
            counts.sent_bytes += bytes.len() as u64;
        }
    }
}
