//! Makes of a capture of TCP others that carry the same streams: cut into segments of a byte each, and with neighbours
//! swapped. The invariant: each direction's bytes are the same ones, at the same sequence numbers, with headers, lengths and
//! checksums that hold.
//! (Rejected: random cuts here; the reference model has those, and one byte is the worst of them.)

use crate::capture::{Captured, write};
use crate::frames::Frame;
use etherparse::{IpHeaders, TcpHeader};
use mrule_compiler::abi::Link;
use std::path::Path;

/// The TCP segment in a plain Ethernet frame: addresses, ports and flags, and the payload.
fn segment(frame: &[u8]) -> Option<(IpHeaders, TcpHeader, &[u8])> {
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

/// The frames of TCP that a condition on their ports lets through, each byte of payload in a frame of its own. SYN stays with the
/// first byte, FIN, RST and PSH with the last.
pub fn bytewise(frames: &[Frame], takes: impl Fn(u16, u16) -> bool) -> Vec<Vec<u8>> {
    let mut cut = Vec::new();
    for whole in frames.iter().filter(|f| f.bytes.len() as u64 == u64::from(f.len)) {
        let Some((ip, tcp, payload)) = segment(&whole.bytes) else { continue };
        if !takes(tcp.source_port, tcp.destination_port) {
            continue;
        }
        let pieces = payload.len().max(1);
        for i in 0..pieces {
            let mut part = tcp.clone();
            let syn = u32::from(tcp.syn && i > 0);
            part.sequence_number = tcp.sequence_number.wrapping_add(i as u32 + syn);
            part.syn &= i == 0;
            let last = i + 1 == pieces;
            (part.fin, part.rst, part.psh) = (tcp.fin && last, tcp.rst && last, tcp.psh && last);
            cut.push(frame(&whole.bytes[..14], ip.clone(), part, payload.get(i..=i).unwrap_or_default()));
        }
    }
    cut
}

/// The frames of TCP that a condition on their ports lets through, as they are.
pub fn plain(frames: &[Frame], takes: impl Fn(u16, u16) -> bool) -> Vec<Vec<u8>> {
    let taken = |f: &&Frame| {
        segment(&f.bytes).is_some_and(|(_, tcp, _)| takes(tcp.source_port, tcp.destination_port))
    };
    frames.iter().filter(taken).map(|f| f.bytes.clone()).collect()
}

/// Swaps the frames of each pair.
pub fn swapped(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    frames
}

/// Writes them as a capture.
pub fn save(path: &Path, frames: Vec<Vec<u8>>) {
    let captured = |bytes: Vec<u8>| Captured { link: Some(Link::Ethernet), len: bytes.len() as u32, bytes };
    write(path, &frames.into_iter().map(captured).collect::<Vec<_>>());
}
