//! Finishes what the kernel leaves to network cards, so that copies are what goes over the wire.
//! Checksums that hold only their pseudo-header are completed. A super-frame is cut into its
//! packets, each with its own lengths, sequence number, identification, flags and checksums. The
//! jumbo payload option of IPv6 BIG TCP, which only super-frames have, is removed (RFC 2675, 3;
//! Linux: `ipv6_hopopt_jumbo_remove`). Invariant: a cut packet equals the packet that the kernel's
//! own segmentation makes of the frame; a frame that cannot be cut with certainty (tunnels, unknown
//! kinds) stays whole and is counted. (Rejected: copies of super-frames, which no wire has seen and
//! whose length means nothing.) Linux: net/ipv4/tcp_offload.c, net/ipv4/udp_offload.c,
//! skb_checksum_help.

use crate::sys::frame::{Frame, Offload};
use mrule_compiler::abi::{Link, Packet, bit};
use mrule_compiler::dissect;

/// Completes the checksum of a frame that is no super-frame. Returns false when that is impossible,
/// because the frame is incomplete or the kernel's offsets lie outside of it.
pub fn finish(frame: &mut [u8], offload: &Offload, whole: bool) -> bool {
    let from = usize::from(offload.from);
    let at = from + usize::from(offload.at);
    let Some(covered) = frame.get(from..).filter(|covered| whole && covered.len() >= 2) else { return false };
    // The pseudo-header's sum is in the checksum's place and is summed with the rest.
    let sum = match !fold(sum(covered)) {
        0 => 0xffff,
        sum => sum,
    };
    match frame.get_mut(at..at + 2) {
        Some(place) => {
            place.copy_from_slice(&sum.to_be_bytes());
            true
        }
        None => false,
    }
}

/// Completes SCTP's checksum, which is a CRC (RFC 9260, appendix A). A virtio header shows it only
/// by its place, 8 bytes into the header; a sender that forwards the frame with that header gets an
/// Internet checksum there. Returns false when it is no SCTP checksum or cannot be completed.
pub fn finish_sctp(frame: &mut [u8], offload: &Offload, whole: bool) -> bool {
    if offload.at != 8 || !whole {
        return false;
    }
    let Some(segment) = frame.get_mut(usize::from(offload.from)..) else { return false };
    let Some(place) = segment.get_mut(8..12) else { return false };
    place.fill(0);
    let sum = crc32c(segment).to_le_bytes();
    if let Some(place) = segment.get_mut(8..12) {
        place.copy_from_slice(&sum);
    }
    true
}

/// Castagnoli's CRC, bit by bit: only SCTP over virtual links comes here.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// How a super-frame is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutter {
    l3: usize,
    /// Where the transport header and the payload begin in each packet.
    l4: usize,
    payload: usize,
    /// Bytes in the frame that its packets do not have: a hop-by-hop header with a jumbo payload
    /// option.
    jumbo: usize,
    end: usize,
    /// Payload bytes of each packet except the last.
    segment: usize,
    ipv6: bool,
    udp: bool,
    /// The frame's length without the `jumbo` bytes, even if it was not captured whole.
    length: usize,
}

impl Cutter {
    /// The cutter for this super-frame. Returns `None` when it cannot be cut.
    pub fn new(bytes: &[u8], frame: &Frame, link: Link) -> Option<Cutter> {
        let head = dissect::dissect(&Packet::new(bytes, frame.length, link)).outer;
        let kind = frame.offload.kind & !Offload::ECN;
        let udp = kind == Offload::UDP;
        let ipv6 = head.bits & bit::IP6_HDR != 0;
        let known = match kind {
            Offload::TCP4 => !ipv6 && head.bits & bit::TCP_HDR != 0,
            Offload::TCP6 => ipv6 && head.bits & bit::TCP_HDR != 0,
            Offload::UDP => head.bits & bit::UDP_HDR != 0,
            _ => false,
        };
        let (l3, l4, payload) = (head.l3 as usize, head.l4 as usize, head.payload as usize);
        let sound = known
            && head.bits & bit::NET != 0
            && head.bits & (bit::FRAGMENT | bit::EXT_FRAGMENT) == 0
            // Inside a tunnel, the kernel's offsets are for an inner header.
            && (!frame.offload.unfinished() || usize::from(frame.offload.from) == l4)
            && l3 < l4 && l4 < payload && payload <= bytes.len();
        let segment = usize::from(frame.offload.segment);
        let jumbo = if ipv6 && l4 == l3 + IP6 + JUMBO && has_jumbo(bytes, l3) { JUMBO } else { 0 };
        let (l4, payload) = (l4 - jumbo.min(l4), payload - jumbo.min(payload));
        let length = (frame.length as usize).saturating_sub(jumbo);
        (sound && segment > 0 && length > payload).then_some(Cutter {
            l3,
            l4,
            payload,
            jumbo,
            end: bytes.len(),
            segment,
            ipv6,
            udp,
            length,
        })
    }

    /// The number of packets.
    pub fn count(&self) -> usize {
        (self.length - self.payload).div_ceil(self.segment)
    }

    /// Appends packet `i`, and returns its length on the wire. If the frame was not captured whole,
    /// missing bytes stay missing, and the transport's checksum stays as it was.
    pub fn cut(&self, frame: &[u8], i: usize, out: &mut Vec<u8>) -> u32 {
        let first = i * self.segment;
        let payload = self.segment.min((self.length - self.payload).saturating_sub(first));
        let last = i + 1 >= self.count();
        let base = out.len();
        if self.jumbo == 0 {
            out.extend_from_slice(frame.get(..self.payload).unwrap_or(&[]));
        } else {
            let option = self.l3 + IP6;
            out.extend_from_slice(frame.get(..option).unwrap_or(&[]));
            out.extend_from_slice(frame.get(option + self.jumbo..self.payload + self.jumbo).unwrap_or(&[]));
            if let (Some(next), Some(behind)) = (out.get_mut(base + self.l3 + 6), frame.get(option)) {
                *next = *behind;
            }
        }
        let from = (self.payload + self.jumbo + first).min(self.end);
        let captured = frame.get(from..(from + payload).min(self.end)).unwrap_or(&[]);
        out.extend_from_slice(captured);
        let packet = out.get_mut(base..).unwrap_or(&mut []);
        let whole = captured.len() == payload;
        if let Some(ip) = packet.get_mut(self.l3..) {
            self.network(ip, i, payload);
        }
        if self.udp {
            self.udp(packet, payload);
        } else {
            self.tcp(packet, i, first, last);
        }
        if whole {
            self.checksum(packet);
        }
        (self.payload + payload) as u32
    }

    fn network(&self, ip: &mut [u8], i: usize, payload: usize) {
        let behind = self.payload - self.l3 + payload;
        if self.ipv6 {
            put(ip, 4, (behind - 40) as u16);
            return;
        }
        put(ip, 2, behind as u16);
        let identification = get(ip, 4).wrapping_add(i as u16);
        put(ip, 4, identification);
        put(ip, 10, 0);
        let header = ip.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        let sum = !fold(sum(ip.get(..header).unwrap_or(&[])));
        put(ip, 10, sum);
    }

    fn udp(&self, packet: &mut [u8], payload: usize) {
        if let Some(udp) = packet.get_mut(self.l4..) {
            put(udp, 4, (self.payload - self.l4 + payload) as u16);
        }
    }

    fn tcp(&self, packet: &mut [u8], i: usize, first: usize, last: bool) {
        let Some(tcp) = packet.get_mut(self.l4..) else { return };
        if let Some(sequence) = tcp.get_mut(4..8).and_then(|s| s.first_chunk_mut::<4>()) {
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(first as u32).to_be_bytes();
        }
        if let Some(flags) = tcp.get_mut(13) {
            if !last {
                *flags &= !(FIN | PSH);
            }
            if i > 0 {
                *flags &= !CWR;
            }
        }
    }

    /// Computes the transport's checksum over the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1) and
    /// the whole segment.
    fn checksum(&self, packet: &mut [u8]) {
        let place = self.l4 + if self.udp { 6 } else { 16 };
        // A UDP datagram over IPv4 may have no checksum.
        if self.udp && get(packet, place) == 0 {
            return;
        }
        put(packet, place, 0);
        let addresses = if self.ipv6 { self.l3 + 8..self.l3 + 40 } else { self.l3 + 12..self.l3 + 20 };
        let segment = packet.get(self.l4..).unwrap_or(&[]);
        let protocol = if self.udp { 17 } else { 6 };
        let pseudo = sum(packet.get(addresses).unwrap_or(&[])) + protocol + segment.len() as u64;
        let sum = match !fold(pseudo + sum(segment)) {
            0 if self.udp => 0xffff,
            sum => sum,
        };
        put(packet, place, sum);
    }
}

/// Length of an IPv6 header, in bytes.
const IP6: usize = 40;
/// Length of a hop-by-hop header with only a jumbo payload option, in bytes.
const JUMBO: usize = 8;

/// Whether such a header follows the IPv6 header at `l3`.
fn has_jumbo(bytes: &[u8], l3: usize) -> bool {
    let hop_by_hop = bytes.get(l3 + 6) == Some(&0);
    // Behind the next header: the header's length beyond 8 bytes, the option's type and length.
    hop_by_hop && bytes.get(l3 + IP6 + 1..l3 + IP6 + 4) == Some(&[0, 0xc2, 4])
}

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The unfolded sum of big-endian 16-bit words (RFC 1071). An odd last byte is the high half of a
/// word.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // Sums of 32-bit words are sums of 16-bit words once they are folded.
    let words: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let rest = match rest {
        [a] => u64::from(u16::from_be_bytes([*a, 0])),
        [a, b] => u64::from(u16::from_be_bytes([*a, *b])),
        [a, b, c] => u64::from(u16::from_be_bytes([*a, *b])) + u64::from(u16::from_be_bytes([*c, 0])),
        _ => 0,
    };
    words + rest
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn get(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_be_bytes(*b))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
