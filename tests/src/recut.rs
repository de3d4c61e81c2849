//! Makes of a capture of TCP others that carry the same streams: cut into segments of a byte each
//! (long ones: of a few), with neighbours swapped, or put in order. The invariant: each direction's
//! bytes are the same ones, at the same sequence numbers, with headers, lengths and checksums that
//! hold. (Rejected: random cuts here; the reference model has those, and one byte is the worst of
//! them.)

use crate::capture::{Captured, write};
use crate::frames::Frame;
use crate::streams::{Segment, StreamDirection, offsets};
use etherparse::{IpHeaders, TcpHeader};
use mrule_compiler::abi::Link;
use std::collections::BTreeMap;
use std::path::Path;

/// The TCP segment in a plain Ethernet frame: addresses, ports and flags, and the payload.
fn parts(frame: &[u8]) -> Option<(IpHeaders, TcpHeader, &[u8])> {
    let (ip, rest) = IpHeaders::from_slice(frame.get(14..)?).ok()?;
    let (tcp, payload) = TcpHeader::from_slice(rest.payload).ok()?;
    (rest.ip_number == etherparse::IpNumber::TCP && !rest.fragmented).then_some((ip, tcp, payload))
}

fn frame(link: &[u8], mut ip: IpHeaders, mut tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
    ip.set_payload_len(tcp.header_len() + payload.len()).expect("a length");
    tcp.checksum = match &mut ip {
        IpHeaders::Ipv4(ip, _) => {
            ip.header_checksum = ip.calc_header_checksum();
            tcp.calc_checksum_ipv4(ip, payload)
        }
        IpHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, payload),
    }
    .expect("a checksum");
    let mut bytes = link.to_vec();
    ip.write(&mut bytes).expect("memory");
    tcp.write(&mut bytes).expect("memory");
    bytes.extend(payload);
    bytes
}

/// Payload up to this long is cut into single bytes, longer into pieces of [`PIECE`], for the sake
/// of time.
const SHORT: usize = 400;
const PIECE: usize = 61;

/// The frames of TCP that a condition on their ports lets through, each byte of payload in a frame
/// of its own (see `SHORT`). SYN stays with the first byte, FIN, RST and PSH with the last.
pub fn bytewise(frames: &[Frame], takes: impl Fn(u16, u16) -> bool) -> Vec<Vec<u8>> {
    let mut cut = Vec::new();
    for whole in frames.iter().filter(|f| f.bytes.len() as u64 == u64::from(f.len)) {
        let Some((ip, tcp, payload)) = parts(&whole.bytes) else { continue };
        if !takes(tcp.source_port, tcp.destination_port) {
            continue;
        }
        let size = if payload.len() <= SHORT { 1 } else { PIECE };
        let mut at = 0;
        loop {
            let piece = &payload[at..payload.len().min(at + size)];
            let (first, last) = (at == 0, at + piece.len() == payload.len());
            let mut part = tcp.clone();
            part.sequence_number = tcp.sequence_number.wrapping_add(at as u32 + u32::from(tcp.syn && !first));
            part.syn &= first;
            (part.fin, part.rst, part.psh) = (tcp.fin && last, tcp.rst && last, tcp.psh && last);
            cut.push(frame(&whole.bytes[..14], ip.clone(), part, piece));
            at += piece.len();
            if last {
                break;
            }
        }
    }
    cut
}

/// The frames of TCP that a condition on their ports lets through, as they are.
pub fn plain(frames: &[Frame], takes: impl Fn(u16, u16) -> bool) -> Vec<Vec<u8>> {
    let taken =
        |f: &&Frame| parts(&f.bytes).is_some_and(|(_, tcp, _)| takes(tcp.source_port, tcp.destination_port));
    frames.iter().filter(taken).map(|f| f.bytes.clone()).collect()
}

/// Swaps the frames of each pair.
pub fn swapped(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    frames
}

/// A frame of a capture that was put in order.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// The frame that it was, counting from 1.
    pub is: usize,
    /// The frame with whose arrival all bytes up to these were there.
    pub complete: usize,
}

/// Puts a capture's streams in order: a segment that comes before its turn waits for it, one that
/// brings nothing new is left out; all else stays. For programs that lose their way in disorder.
pub fn in_order(frames: &[Frame], segments: &[Segment]) -> Vec<Placed> {
    let by_frame: BTreeMap<usize, usize> = segments.iter().enumerate().map(|(i, s)| (s.frame, i)).collect();
    let (offsets, unclear) = offsets(segments);
    let mut edges: BTreeMap<StreamDirection, i64> = BTreeMap::new();
    let mut waiting: BTreeMap<StreamDirection, BTreeMap<i64, usize>> = BTreeMap::new();
    let mut placed = Vec::new();
    for complete in 1..=frames.len() {
        let segment = by_frame.get(&complete).map(|&i| &segments[i]);
        let Some(segment) = segment.filter(|s| s.len > 0 && !unclear.contains(&s.direction())) else {
            placed.push(Placed { is: complete, complete });
            continue;
        };
        let edge = edges.entry(segment.direction()).or_default();
        let waiting = waiting.entry(segment.direction()).or_default();
        let longer = |there: usize| segments[by_frame[&there]].len < segment.len;
        let at = offsets[by_frame[&complete]];
        if waiting.get(&at).is_none_or(|&there| longer(there)) {
            waiting.insert(at, complete);
        }
        while let Some(first) = waiting.first_entry().filter(|first| first.key() <= edge) {
            let (at, is) = first.remove_entry();
            let end = at + i64::from(segments[by_frame[&is]].len);
            if end > *edge {
                *edge = end;
                placed.push(Placed { is, complete });
            }
        }
    }
    placed
}

/// Writes frames of a capture, in this order.
pub fn save_placed(path: &Path, frames: &[Frame], placed: &[Placed]) {
    let captured = |p: &Placed| {
        let frame = &frames[p.is - 1];
        Captured { link: Some(frame.link), len: frame.len, bytes: frame.bytes.clone() }
    };
    write(path, &placed.iter().map(captured).collect::<Vec<_>>());
}

/// Writes them as a capture.
pub fn save(path: &Path, frames: Vec<Vec<u8>>) {
    let captured = |bytes: Vec<u8>| Captured { link: Some(Link::Ethernet), len: bytes.len() as u32, bytes };
    write(path, &frames.into_iter().map(captured).collect::<Vec<_>>());
}
