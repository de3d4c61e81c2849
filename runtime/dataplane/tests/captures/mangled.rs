//! Tests damaged captures: cut at each byte, with flipped bits, and of random bytes. The reader
//! never panics, always ends, and delivers the packets before the damage unchanged.

use crate::common::{self, Ng, ORDERS, Outcome, Pcap, frame, read_bytes, samples};
use proptest::prelude::*;

/// The end of each packet's record, found by reading longer and longer beginnings of the capture.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    for cut in 4..=bytes.len() {
        let count = read_bytes(&bytes[..cut]).map_or(0, |outcome| outcome.packets.len());
        assert!(count == ends.len() || count == ends.len() + 1, "one packet at a time");
        if count > ends.len() {
            ends.push(cut);
        }
    }
    ends
}

#[test]
fn cut_at_every_byte() {
    for (name, bytes) in samples() {
        let whole = read_bytes(&bytes).unwrap();
        assert_eq!(ends(&bytes).len(), whole.packets.len(), "{name}");
        let mut sound_cuts = 0;
        for cut in 0..bytes.len() {
            let Outcome { packets, broken, .. } = read_bytes(&bytes[..cut]).unwrap();
            assert_eq!(packets, whole.packets[..packets.len()], "{name} cut at {cut}");
            match broken {
                Some(broken) => assert!(broken.offset <= cut as u64, "{name} cut at {cut}: {broken}"),
                None => sound_cuts += 1,
            }
        }
        // A cut is no damage only between records or blocks.
        let boundaries = if name.starts_with("pcapng") { 7..=10 } else { 3..=3 };
        assert!(boundaries.contains(&sound_cuts), "{name}: {sound_cuts}");
    }
}

#[test]
fn every_byte_changed_in_turn() {
    for (name, bytes) in samples() {
        let whole = read_bytes(&bytes).unwrap();
        let ends = ends(&bytes);
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                let Ok(outcome) = read_bytes(&damaged) else { continue };
                let before = ends.iter().filter(|&&end| end <= at).count();
                assert!(outcome.packets.len() >= before, "{name}: byte {at} changed the past");
                assert_eq!(outcome.packets[..before], whole.packets[..before], "{name}: byte {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_behind_a_sound_beginning(kind in 0_usize..8, noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (_, sample) = samples().swap_remove(kind);
        for keep in [4, 24, 48, sample.len()] {
            let bytes = [&sample[..keep.min(sample.len())], &noise].concat();
            if let Ok(outcome) = read_bytes(&bytes) {
                prop_assert!(outcome.packets.iter().all(|packet| packet.frame.len() <= bytes.len()));
            }
        }
    }

    #[test]
    fn many_damages_at_once(kind in 0_usize..10, damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let (_, mut bytes) = samples().swap_remove(kind);
        for (at, value) in damages {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(outcome) = read_bytes(&bytes) {
            let delivered: usize = outcome.packets.iter().map(|packet| packet.frame.len()).sum();
            prop_assert!(delivered <= bytes.len(), "no byte is delivered twice");
        }
    }

    #[test]
    fn compressed_noise(head in prop::sample::select(vec![vec![0x1f, 0x8b, 8, 0], vec![0x28, 0xb5, 0x2f, 0xfd]]),
                        noise in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = read_bytes(&[head, noise].concat());
    }

    /// An independent reader sees the same packets.
    #[test]
    fn as_pcap_parser_reads_it(big: bool, lengths in prop::collection::vec(0_usize..300, 0..40)) {
        let order = ORDERS[usize::from(big)];
        let mut pcap = Pcap::new(order, common::MICRO, 1);
        let mut ng = Ng::new(order).interface(1, 0, &[(2, b"eth0")]);
        for (i, &length) in lengths.iter().enumerate() {
            let (frame, longer) = (frame(i as u8, length), length as u32 + 7);
            pcap = pcap.packet(i as u32, 5, &frame, longer);
            ng = ng.enhanced_with(0, i as u64, &frame, longer, &[(1, b"x")]);
        }
        for bytes in [pcap.bytes, ng.bytes] {
            let ours: Vec<(Vec<u8>, u32)> =
                read_bytes(&bytes).unwrap().packets.into_iter().map(|packet| (packet.frame, packet.length)).collect();
            prop_assert_eq!(ours, theirs(&bytes));
        }
    }
}

fn theirs(bytes: &[u8]) -> Vec<(Vec<u8>, u32)> {
    use pcap_parser::traits::PcapNGPacketBlock;
    use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
    let mut reader = create_reader(1 << 20, bytes).unwrap();
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok((size, block)) => {
                match block {
                    PcapBlockOwned::Legacy(packet) => packets.push((packet.data.to_vec(), packet.origlen)),
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        packets.push((packet.packet_data().to_vec(), packet.origlen));
                    }
                    _ => {}
                }
                reader.consume(size);
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => unreachable!("{error:?}"),
        }
    }
}
