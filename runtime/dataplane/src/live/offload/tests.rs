//! Compares cut super-frames and finished checksums with sums computed in the simplest way.
#![allow(clippy::unwrap_used, reason = "a failed test should stop")]
use super::*;
use crate::sys::frame::FrameLocation;
use proptest::prelude::*;

/// RFC 1071 in the simplest way, as a second implementation.
fn plain(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Whether the transport's checksum of an untagged Ethernet frame is right.
fn is_right(frame: &[u8], l4: usize) -> bool {
    let (addresses, protocol) = if frame[14] >> 4 == 6 { (22..54, frame[20]) } else { (26..34, frame[23]) };
    let segment = &frame[l4..];
    let pseudo = [&frame[addresses], &(segment.len() as u32).to_be_bytes(), &[0, 0, 0, protocol]].concat();
    plain(&[&pseudo[..], segment, if segment.len() % 2 == 1 { &[0] } else { &[] }].concat()) == 0xffff
}

/// A TCP super-frame over IPv4 with CWR, PSH and FIN.
fn tcp4(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let total = (40 + payload.len()) as u16;
    frame.extend([0x45, 0, (total >> 8) as u8, total as u8, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 80, 1, 2, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 1, 0x50, 0x99, 1, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

fn frame(bytes: &[u8], kind: u8, segment: u16, from: u16) -> Frame {
    let offload = Offload { flags: 1, kind, headers: 0, segment, from, at: 16 };
    Frame {
        place: FrameLocation::default(),
        start: 0,
        captured: bytes.len() as u32,
        length: bytes.len() as u32,
        time: 0,
        offload,
    }
}

#[test]
fn a_super_frame_becomes_the_packets_of_the_wire() {
    let payload: Vec<u8> = (0..2500_u32).map(|i| i as u8).collect();
    let bytes = tcp4(&payload);
    let cutter = Cutter::new(&bytes, &frame(&bytes, Offload::TCP4, 1000, 34), Link::Ethernet).unwrap();
    assert_eq!(cutter.count(), 3);
    let mut joined = Vec::new();
    for i in 0..3 {
        let mut out = vec![0xaa; 5];
        let length = cutter.cut(&bytes, i, &mut out);
        let packet = &out[5..];
        assert_eq!(packet.len() as u32, length);
        assert_eq!(get(packet, 16), [1040, 1040, 540][i], "total length");
        assert_eq!(get(packet, 18), [0xffff, 0, 1][i], "identification");
        assert_eq!(plain(&packet[14..34]), 0xffff, "header checksum");
        let sequence = u32::from_be_bytes(*packet[38..].first_chunk().unwrap());
        assert_eq!(sequence, 0xffff_ff00_u32.wrapping_add(1000 * i as u32));
        assert_eq!(packet[47], [0x90, 0x10, 0x19][i], "CWR on the first, PSH and FIN on the last");
        assert!(is_right(packet, 34), "packet {i}");
        joined.extend_from_slice(&packet[54..]);
    }
    assert_eq!(joined, payload);
}

#[test]
fn what_was_not_captured_is_missing_and_nothing_else() {
    let bytes = tcp4(&[7; 2500]);
    let cut = Frame { length: 14 + 40 + 2500, ..frame(&bytes[..1254], Offload::TCP4, 1000, 34) };
    let cutter = Cutter::new(&bytes[..1254], &cut, Link::Ethernet).unwrap();
    let sizes: Vec<_> = (0..cutter.count())
        .map(|i| {
            let mut out = Vec::new();
            (cutter.cut(&bytes[..1254], i, &mut out), out.len())
        })
        .collect();
    assert_eq!(sizes, [(1054, 1054), (1054, 254), (554, 54)]);
}

#[test]
fn what_is_not_understood_stays_whole() {
    let bytes = tcp4(&[7; 2500]);
    for wrong in [
        frame(&bytes, Offload::TCP6, 1000, 34),
        frame(&bytes, Offload::UDP, 1000, 34),
        frame(&bytes, 3, 1000, 34),
        frame(&bytes, Offload::TCP4, 0, 34),
        frame(&bytes, Offload::TCP4, 1000, 84),
    ] {
        assert_eq!(Cutter::new(&bytes, &wrong, Link::Ethernet), None, "{wrong:?}");
    }
    assert_eq!(Cutter::new(&bytes[..40], &frame(&bytes[..40], 1, 1000, 34), Link::Ethernet), None);
}

#[test]
fn a_datagram_for_each_segment() {
    let mut bytes = vec![0; 12];
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 108, 17, 64]);
    bytes.extend([0x20; 32]);
    bytes.extend([1, 2, 3, 4, 0, 108, 0, 1]);
    bytes.extend([5; 100]);
    let cutter = Cutter::new(&bytes, &frame(&bytes, Offload::UDP, 60, 54), Link::Ethernet).unwrap();
    for (i, length) in [68, 48].into_iter().enumerate() {
        let mut out = Vec::new();
        cutter.cut(&bytes, i, &mut out);
        assert_eq!((get(&out, 18), get(&out, 58), out.len()), (length, length, 54 + length as usize));
        assert!(is_right(&out, 54));
    }
}

#[test]
fn sctp_has_a_crc() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283, "RFC 3720, appendix B.4 and others");
    let mut bytes = [vec![7; 34], vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 0, 1, 2]].concat();
    let offload = Offload { flags: 1, from: 34, at: 8, ..Offload::default() };
    assert!(finish_sctp(&mut bytes, &offload, true));
    let cleared = [&bytes[34..42], &[0; 4], &bytes[46..]].concat();
    assert_eq!(bytes[42..46], crc32c(&cleared).to_le_bytes());
    assert!(!finish_sctp(&mut bytes, &offload, false));
    assert!(!finish_sctp(&mut bytes, &Offload { at: 16, ..offload }, true));
}

proptest! {
    #[test]
    fn a_finished_checksum_is_right(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = tcp4(&payload);
        let pseudo = [&bytes[26..34], &[0, 6], &(20 + payload.len() as u16).to_be_bytes()].concat();
        let seed = plain(&pseudo);
        bytes[50..52].copy_from_slice(&seed.to_be_bytes());
        let offload = Offload { flags: 1, from: 34, at: 16, ..Offload::default() };
        prop_assert!(finish(&mut bytes, &offload, true));
        prop_assert!(is_right(&bytes, 34));
        prop_assert!(!finish(&mut bytes, &offload, false));
    }

    #[test]
    fn nothing_that_the_kernel_may_say_is_out_of_bounds(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        (kind, segment, from, at) in (0..8_u8, any::<u16>(), any::<u16>(), any::<u16>()),
        more in 0..70_000_u32,
        real in any::<bool>(),
    ) {
        if real {
            bytes.splice(0..0, tcp4(&[]));
        }
        let offload = Offload { flags: 0, kind, headers: from, segment, from, at };
        finish(&mut bytes, &offload, true);
        let captured = bytes.len() as u32;
        let frame = Frame { place: FrameLocation::default(), start: 0, captured, length: captured + more, time: 0, offload };
        if let Some(cutter) = Cutter::new(&bytes, &frame, Link::Ethernet) {
            let mut out = Vec::new();
            for i in [0, cutter.count() - 1] {
                out.clear();
                let length = cutter.cut(&bytes, i, &mut out);
                prop_assert!(out.len() <= length as usize);
            }
        }
    }
}
