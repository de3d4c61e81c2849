//! Tests blocks as the kernel writes them, and damaged blocks.
#![allow(clippy::unwrap_used, reason = "a failed test should stop")]
use super::*;
use proptest::prelude::*;

/// Captured bytes, length, VLAN (TPID, TCI), virtio header.
type Raw<'a> = (&'a [u8], u32, Option<(u16, u16)>, Offload);

/// A block with these frames.
fn block(frames: &[Raw<'_>]) -> Vec<u8> {
    let mut block = vec![0; 48];
    block[12..16].copy_from_slice(&(frames.len() as u32).to_ne_bytes());
    block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
    for (bytes, length, tag, offload) in frames {
        let at = block.len();
        let mac = 82 + OFFLOAD;
        block.resize(at + mac, 0);
        block.extend_from_slice(bytes);
        block.resize(block.len().next_multiple_of(16), 0);
        let next = (block.len() - at) as u32;
        let status = match tag {
            Some((0, _)) => libc::TP_STATUS_VLAN_VALID,
            Some(_) => libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID,
            None => 0,
        };
        for (i, word) in [next, 7, 9, bytes.len() as u32, *length, status].into_iter().enumerate() {
            block[at + 4 * i..at + 4 * i + 4].copy_from_slice(&word.to_ne_bytes());
        }
        block[at + 24..at + 26].copy_from_slice(&(mac as u16).to_ne_bytes());
        let (tpid, tci) = tag.unwrap_or_default();
        block[at + 32..at + 34].copy_from_slice(&tci.to_ne_bytes());
        block[at + 36..at + 38].copy_from_slice(&tpid.to_ne_bytes());
        block[at + mac - OFFLOAD..at + mac].copy_from_slice(&offload.to_bytes());
    }
    block
}

fn bytes<'a>(block: &'a [u8], frame: &Frame) -> &'a [u8] {
    &block[frame.start as usize..(frame.start + frame.captured) as usize]
}

#[test]
fn frames_come_out_as_they_went_in() {
    let offload = Offload { flags: 1, kind: 0, headers: 0, segment: 0, from: 34, at: 16 };
    let (a, b) = ([7; 60], [9; 14]);
    let mut block = block(&[(&a, 60, None, offload), (&b, 9000, None, Offload::default())]);
    let mut frames = Vec::new();
    assert_eq!(read(&mut block, &mut frames), 0);
    assert_eq!(frames.len(), 2);
    assert_eq!((bytes(&block, &frames[0]), frames[0].length, frames[0].offload), (&a[..], 60, offload));
    assert_eq!((bytes(&block, &frames[1]), frames[1].length), (&b[..], 9000));
    assert_eq!(frames[0].time, 7_000_000_009);
}

#[test]
fn the_tag_is_put_back_and_what_lies_behind_it_moves() {
    let frame: Vec<u8> = (0..60).collect();
    let offload = Offload { flags: 1, kind: 1, headers: 54, segment: 1448, from: 34, at: 16 };
    for (given, tpid) in [(0x88a8, 0x88a8_u16), (0x8100, 0x8100), (0, 0x8100)] {
        let mut block = block(&[(&frame, 60, Some((given, 0x2064)), offload)]);
        let mut frames = Vec::new();
        assert_eq!(read(&mut block, &mut frames), 0);
        let wanted = [&frame[..12], &tpid.to_be_bytes(), &[0x20, 0x64], &frame[12..]].concat();
        assert_eq!((bytes(&block, &frames[0]), frames[0].length), (&wanted[..], 64));
        assert_eq!(frames[0].offload, Offload { headers: 58, from: 38, ..offload });
    }
}

#[test]
fn a_block_that_lies_is_told() {
    let good = block(&[(&[1; 60], 60, None, Offload::default()), (&[2; 60], 60, None, Offload::default())]);
    // (offset, value): count too large, first frame outside, captured too long, next within the
    // header, start outside.
    for (at, value, seen) in
        [(12, 3, 2), (16, 1 << 20, 0), (48 + 12, 1 << 20, 0), (48, 16, 1), (48, u32::MAX, 1), (48 + 24, 0, 0)]
    {
        let mut block = good.clone();
        block[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
        let mut frames = Vec::new();
        let unread = read(&mut block, &mut frames);
        let told = if at == 12 { value as usize } else { 2 };
        assert_eq!((unread as usize, frames.len()), (told - seen, seen), "{at} {value}");
    }
}

proptest! {
    #[test]
    fn anything_can_be_read(mut block in prop::collection::vec(any::<u8>(), 0..2000), small in any::<bool>()) {
        if small && block.len() >= 60 {
            block[12..20].copy_from_slice(&[9, 0, 0, 0, 48, 0, 0, 0]);
            block[48..52].copy_from_slice(&100_u32.to_ne_bytes());
        }
        let mut frames = Vec::new();
        read(&mut block, &mut frames);
        for frame in frames {
            prop_assert!(block.get(frame.start as usize..(frame.start + frame.captured) as usize).is_some());
            prop_assert!(frame.length >= frame.captured);
        }
    }
}
