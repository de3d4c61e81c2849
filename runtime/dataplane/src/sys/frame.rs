//! The frames of a block of a receive ring, read without trust: a header that does not fit ends the
//! block and is reported. The outer VLAN tag, which the kernel takes out of a frame, is put back in
//! its place. Invariant: each [`Frame`] lies within its block, so that slicing by it cannot fail.
//! No `unsafe`. (Rejected: a view of `tpacket3_hdr`; six numbers at fixed offsets need no view.)
//! See linux/if_packet.h, virtio_net_hdr.

/// One frame of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// Where the frame's bytes are.
    pub place: FrameLocation,
    /// Offset of the first byte there.
    pub start: u32,
    /// Number of captured bytes.
    pub captured: u32,
    /// The frame's length on the wire, in bytes.
    pub length: u32,
    /// Time of receipt, in nanoseconds since the Unix epoch.
    pub time: i64,
    /// Work that the kernel left to network cards.
    pub offload: Offload,
}

/// Where the bytes of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameLocation {
    /// In the held block with this number.
    Block(u32),
    /// Outside of the ring: a frame that is longer than a block.
    Aside,
}

impl Default for FrameLocation {
    fn default() -> FrameLocation {
        FrameLocation::Block(0)
    }
}

/// A `virtio_net_hdr`: the unfinished parts of a frame. Offsets are from the frame's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// Bit 0: the checksum must be computed; bit 1: it was found correct.
    pub flags: u8,
    /// The kind of super-frame; 0 for none. Bit 7: TCP with ECN.
    pub kind: u8,
    /// Length of the headers, as far as the kernel reports it.
    pub headers: u16,
    /// Payload bytes of each packet of a super-frame.
    pub segment: u16,
    /// Where the bytes begin that the checksum covers.
    pub from: u16,
    /// Offset of the checksum from there.
    pub at: u16,
}

/// Length of a `virtio_net_hdr`, in bytes.
pub const OFFLOAD: usize = 10;

impl Offload {
    /// VIRTIO_NET_HDR_GSO_TCPV4.
    pub const TCP4: u8 = 1;
    /// VIRTIO_NET_HDR_GSO_TCPV6.
    pub const TCP6: u8 = 4;
    /// VIRTIO_NET_HDR_GSO_UDP_L4.
    pub const UDP: u8 = 5;
    /// VIRTIO_NET_HDR_GSO_ECN.
    pub const ECN: u8 = 0x80;

    /// Whether the frame's checksum must still be computed (VIRTIO_NET_HDR_F_NEEDS_CSUM).
    pub fn unfinished(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether the frame stands for several packets.
    pub fn is_super(&self) -> bool {
        self.kind != 0
    }

    /// The header's bytes for the kernel, in native byte order.
    pub fn to_bytes(self) -> [u8; OFFLOAD] {
        let mut bytes = [self.flags, self.kind, 0, 0, 0, 0, 0, 0, 0, 0];
        for (i, word) in [self.headers, self.segment, self.from, self.at].into_iter().enumerate() {
            if let Some(place) = bytes.get_mut(2 + 2 * i..4 + 2 * i) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
        }
        bytes
    }

    fn read(bytes: &[u8; OFFLOAD]) -> Offload {
        let [flags, kind, a, b, c, d, e, f, g, h] = *bytes;
        let word = |x, y| u16::from_ne_bytes([x, y]);
        Offload { flags, kind, headers: word(a, b), segment: word(c, d), from: word(e, f), at: word(g, h) }
    }

    /// The header for a frame with a VLAN tag of four bytes in front of the described parts.
    fn moved(mut self) -> Offload {
        if self.unfinished() {
            self.from = self.from.saturating_add(TAG as u16);
        }
        if self.is_super() && self.headers != 0 {
            self.headers = self.headers.saturating_add(TAG as u16);
        }
        self
    }
}

/// Length of a VLAN tag, in bytes.
const TAG: usize = 4;
/// Length of the two addresses before the tag, in bytes.
const ADDRESSES: usize = 12;
/// Number of bytes of `tpacket3_hdr` that are read.
const HEADER: usize = 38;

/// Appends the frames of a block from the kernel. Returns the number of frames that could not be
/// read: 0, unless the block contradicts itself.
pub fn read(block: &mut [u8], frames: &mut Vec<Frame>) -> u32 {
    let (Some(mut left), Some(mut at)) = (word(block, 12), word(block, 16)) else { return 0 };
    while left > 0 {
        let Some((frame, next)) = one(block, at as usize) else { break };
        frames.push(frame);
        left -= 1;
        match at.checked_add(next).filter(|_| next as usize >= HEADER) {
            Some(next) => at = next,
            None => break,
        }
    }
    left
}

/// The frame whose header is at `at`, and the offset of the next header from there.
fn one(block: &mut [u8], at: usize) -> Option<(Frame, u32)> {
    let header = block.get(at..)?.first_chunk::<HEADER>()?;
    let at_word = |i| word(header, i);
    let [next, seconds, nanoseconds, captured, length, status] =
        [at_word(0)?, at_word(4)?, at_word(8)?, at_word(12)?, at_word(16)?, at_word(20)?];
    let half = |i: usize| Some(u16::from_ne_bytes(*header.get(i..)?.first_chunk()?));
    let (mac, tci, tpid) = (half(24)?, half(32)?, half(36)?);
    if usize::from(mac) < HEADER + OFFLOAD {
        return None;
    }
    let mut start = at.checked_add(usize::from(mac))?;
    let mut offload = Offload::read(block.get(start.checked_sub(OFFLOAD)?..)?.first_chunk()?);
    block.get(start..start.checked_add(captured as usize)?)?;
    let (mut captured, mut length) = (captured, length.max(captured));
    let tagged = status & libc::TP_STATUS_VLAN_VALID != 0 && captured as usize >= ADDRESSES;
    if tagged {
        let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { tpid } else { 0x8100 };
        let tag = [tpid.to_be_bytes(), tci_bytes(tci)];
        // Overwrites the virtio header, which has been read.
        block.copy_within(start..start + ADDRESSES, start - TAG);
        start -= TAG;
        let place = block.get_mut(start + ADDRESSES..start + ADDRESSES + TAG)?;
        place.copy_from_slice(tag.as_flattened());
        captured += TAG as u32;
        length = length.saturating_add(TAG as u32);
        offload = offload.moved();
    }
    let time = i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds);
    Some((
        Frame { place: FrameLocation::default(), start: start as u32, captured, length, time, offload },
        next,
    ))
}

/// `tp_vlan_tci` is a 32-bit word whose low half is the tag.
fn tci_bytes(low: u16) -> [u8; 2] {
    low.to_be_bytes()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
