//! Tests the reader on sound captures of each kind, and on each kind of damage.

use crate::common::{Got, MICRO, MODIFIED, NANO, Ng, ORDERS, Order, Pcap, frame, read, read_bytes, samples};
use mrule_compiler::abi::Link;
use mrule_dataplane::BreakReason;
use mrule_dataplane::Error;
use mrule_dataplane::capture::{LinkType, MAX_PACKET, Reader};
use std::io::{Cursor, Read, Write};

fn got(interface: u32, name: &str, time: i64, frame: Vec<u8>, length: u32, link: Link) -> Got {
    Got { interface, name: name.to_owned(), time, frame, length, link }
}

#[test]
fn pcap_of_every_kind() {
    for order in ORDERS {
        for (magic, tick) in [(MICRO, 1_000), (NANO, 1), (MODIFIED, 1_000)] {
            let pcap = Pcap::new(order, magic, 0x1400_0001)
                .packet(1_700_000_000, 1, &frame(1, 60), 60)
                .packet(u32::MAX, 999_999, &[], 0)
                .packet(0, u32::MAX, &frame(2, 100), 90);
            let outcome = read_bytes(&pcap.bytes).unwrap();
            assert_eq!(
                outcome.packets,
                [
                    got(0, "", 1_700_000_000_000_000_000 + tick, frame(1, 60), 60, Link::Ethernet),
                    got(0, "", 4_294_967_295_000_000_000 + 999_999 * tick, vec![], 0, Link::Ethernet),
                    got(0, "", 4_294_967_295 * tick, frame(2, 100), 100, Link::Ethernet),
                ]
            );
            assert_eq!((outcome.broken, outcome.clamped_timestamps), (None, 0));
        }
    }
}

#[test]
fn pcapng_with_everything() {
    for order in ORDERS {
        let ng = Ng::new(order)
            .block(4, &frame(0, 30))
            .interface(1, 0, &[(2, b"eth0"), (3, b"left"), (9, &[9]), (2, b"eth1")])
            .interface(276, 64, &[(2, b"any"), (9, &[0x94]), (14, &order.u64(1_600_000_000))])
            .interface(101, 0, &[(2, b"ppp\xff\0x"), (14, &order.u64((-10_i64) as u64))])
            .enhanced(0, 1_700_000_000_123_456_789, &frame(1, 61), 1500)
            .enhanced_with(1, (7 << 20) + (1 << 19), &frame(2, 4), 4, &[(1, b"hello"), (0x8001, b"?")])
            .obsolete(2, 12_000_001, &frame(3, 42), 42)
            .block(0x0bad_cafe, &frame(0, 900_000))
            .enhanced(2, 1, &frame(4, 20), 20)
            .simple(&frame(5, 45), 45);
        let outcome = read_bytes(&ng.bytes).unwrap();
        assert_eq!(
            outcome.packets,
            [
                got(0, "eth1", 1_700_000_000_123_456_789, frame(1, 61), 1500, Link::Ethernet),
                got(1, "any", 1_600_000_007_500_000_000, frame(2, 4), 4, Link::LinuxSll2),
                got(2, "ppp\u{fffd}", 2_000_001_000, frame(3, 42), 42, Link::RawIp),
                got(2, "ppp\u{fffd}", 0, frame(4, 20), 20, Link::RawIp),
                got(0, "eth1", 0, frame(5, 45), 45, Link::Ethernet),
            ]
        );
        assert_eq!((outcome.broken, outcome.clamped_timestamps, outcome.interfaces), (None, 1, 3));
    }
}

#[test]
fn simple_packets_are_cut_at_the_snapshot_length() {
    let ng = Ng::new(Order::Big).interface(1, 10, &[]).simple(&frame(1, 10), 1500);
    let outcome = read_bytes(&ng.bytes).unwrap();
    assert_eq!(outcome.packets, [got(0, "unknown", 0, frame(1, 10), 1500, Link::Ethernet)]);
}

#[test]
fn sections_have_their_own_interfaces_and_share_the_same_ones() {
    let ng = Ng::new(Order::Little)
        .interface(1, 0, &[(2, b"a")])
        .enhanced(0, 1, &frame(1, 8), 8)
        .section(Order::Big)
        .interface(1, 0, &[(2, b"a")])
        .interface(1, 0, &[(2, b"b")])
        .enhanced(0, 2, &frame(2, 8), 8)
        .enhanced(1, 3, &frame(3, 8), 8)
        .section(Order::Little)
        .interface(113, 0, &[(2, b"a")])
        .enhanced(0, 4, &frame(4, 8), 8);
    let outcome = read_bytes(&ng.bytes).unwrap();
    let seen: Vec<(u32, &str, Link)> =
        outcome.packets.iter().map(|p| (p.interface, p.name.as_str(), p.link)).collect();
    let ethernet = Link::Ethernet;
    assert_eq!(seen, [(0, "a", ethernet), (0, "a", ethernet), (1, "b", ethernet), (2, "a", Link::LinuxSll)]);
    assert_eq!(outcome.interfaces, 3);
}

#[test]
fn packets_of_unsupported_interfaces_are_counted_and_passed_over() {
    let mut ng = Ng::new(Order::Little).interface(127, 0, &[]).interface(1, 0, &[]);
    for i in 0..1000 {
        ng = ng.enhanced(i % 2, 1, &frame(1, 8), 8);
    }
    let outcome = read_bytes(&ng.bytes).unwrap();
    assert_eq!((outcome.packets.len(), outcome.unsupported), (500, vec![(127, 500)]));
    assert_eq!(outcome.broken, None);

    let Err(error) = read_bytes(&Pcap::new(Order::Big, NANO, 127).bytes) else { panic!("must be refused") };
    assert!(matches!(error, Error::UnsupportedLink { link_type: LinkType(127), .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("127 (IEEE802_11_RADIOTAP)") && text.contains("Ethernet (1)"), "{text}");
    assert!(text.ends_with("(`airdecap-ng -b BSSID FILE`)"), "{text}");
}

#[test]
fn only_a_header_is_a_capture_without_packets() {
    for order in ORDERS {
        for bytes in [Pcap::new(order, MICRO, 1).bytes, Ng::new(order).bytes] {
            let outcome = read_bytes(&bytes).unwrap();
            assert_eq!((outcome.packets.len(), outcome.broken), (0, None));
        }
    }
}

#[test]
fn what_is_no_capture_is_refused_with_a_reason() {
    for (bytes, says) in [
        (&b"hello, world"[..], "it begins with 68 65 6c 6c 6f 2c 20 77"),
        (b"\xfd7zXZ\0", "xz -dc"),
        (b"snoop\0\0\0", "editcap"),
        (b"\x1f\x8b\x1f\x8b", ""),
    ] {
        match read_bytes(bytes) {
            Err(Error::NotACapture { found, .. }) => assert!(found.contains(says), "{found}"),
            Ok(outcome) if says.is_empty() => assert!(outcome.broken.is_some()),
            other => panic!("{other:?}"),
        }
    }
}

/// Each damage, with its reported place and reason.
#[test]
fn every_break_has_its_offset_and_reason() {
    let pcap = Pcap::new(Order::Little, MICRO, 1).packet(1, 1, &frame(1, 60), 60);
    let ng = Ng::new(Order::Little).interface(1, 0, &[]).enhanced(0, 1, &frame(1, 60), 60);
    assert_eq!((pcap.bytes.len(), ng.bytes.len()), (100, 28 + 20 + 92));
    let with = |start: &[u8], more: &[&[u8]]| [start, &more.concat()].concat();
    let le = |n: u32| n.to_le_bytes();
    let epb = |captured: u32| {
        let words = [6, 32, 0, 0, 0, captured, 0, 32];
        words.iter().flat_map(|n: &u32| n.to_le_bytes()).collect::<Vec<u8>>()
    };
    let cases: Vec<(&str, Vec<u8>, usize, u64, &str)> = vec![
        ("empty", vec![], 0, 0, "the capture is empty (0 bytes)"),
        ("two bytes", vec![0xd4, 0xc3], 0, 0, "cut short: the file header needs 24 bytes, 2 are left"),
        ("half a header", pcap.bytes[..10].to_vec(), 0, 0, "the file header needs 24 bytes, 10 are left"),
        ("pcap version", with(&le(MICRO), &[&[9, 0, 1, 0], &[0; 16]]), 0, 0, "pcap version 9.1 is not known"),
        (
            "record header",
            with(&pcap.bytes, &[&[0; 9]]),
            1,
            100,
            "a packet record needs 16 bytes, 9 are left",
        ),
        (
            "record",
            with(&pcap.bytes, &[&pcap.bytes[24..99]]),
            1,
            100,
            "a packet record needs 76 bytes, 75 are left",
        ),
        (
            "record of 4 GiB",
            with(&pcap.bytes, &[&[0; 8], &[0xff; 8], &[0; 99]]),
            1,
            100,
            "says that 4294967295 bytes were captured, no packet is longer than 1048576",
        ),
        ("block header", with(&ng.bytes, &[&[6, 0]]), 1, 140, "a block needs 12 bytes, 2 are left"),
        (
            "block of 4 GB",
            with(&ng.bytes, &[&le(6), &le(0xffff_fffc), &[0; 80]]),
            1,
            140,
            "its length is 4294967292, an enhanced packet block may have 16777216",
        ),
        (
            "unknown block of 4 GB",
            with(&ng.bytes, &[&le(77), &le(0xffff_fffc), &[0; 80]]),
            1,
            140,
            "a block needs 4294967292 bytes, 88 are left",
        ),
        (
            "short block",
            with(&ng.bytes, &[&le(6), &le(28), &[0; 80]]),
            1,
            140,
            "its length is 28, an enhanced",
        ),
        (
            "odd block",
            with(&ng.bytes, &[&le(77), &le(30), &[0; 80]]),
            1,
            140,
            "length is 30, a block has at least 12",
        ),
        (
            "packet block end",
            with(&ng.bytes, &[&ng.bytes[48..136], &le(96)]),
            1,
            140,
            "it begins with length 92 and ends with length 96",
        ),
        (
            "other block end",
            with(&ng.bytes, &[&le(77), &le(16), &le(0), &le(12)]),
            1,
            140,
            "it begins with length 16 and ends with length 12",
        ),
        (
            "no room",
            with(&ng.bytes, &[&epb(1)]),
            1,
            140,
            "says that 1 bytes were captured, but has room for 0",
        ),
        ("much no room", with(&ng.bytes, &[&epb(u32::MAX)]), 1, 140, "4294967295 bytes were captured, but"),
        (
            "interface",
            ng.clone().enhanced(1, 1, &[], 0).bytes,
            1,
            140,
            "interface 1, but the section has described 1",
        ),
        (
            "no interface",
            Ng::new(Order::Big).simple(&[], 0).bytes,
            0,
            28,
            "interface 0, but the section has described 0",
        ),
        (
            "old interfaces",
            ng.clone().section(Order::Big).enhanced(0, 1, &[], 0).bytes,
            1,
            168,
            "a packet of interface 0, but the section has described 0",
        ),
        (
            "byte order",
            with(&ng.bytes, &[&le(0x0a0d_0d0a), &le(28), &[1, 2, 3, 4], &[0; 16]]),
            1,
            140,
            "its byte-order mark is 0x04030201",
        ),
        (
            "pcapng version",
            with(&ng.bytes, &[&le(0x0a0d_0d0a), &le(28), &le(0x1a2b_3c4d), &[2, 0, 5, 0], &[0; 8], &le(28)]),
            1,
            140,
            "pcapng version 2.5 is not known",
        ),
        (
            "long packet",
            ng.clone().enhanced(0, 1, &frame(1, MAX_PACKET + 1), 1).bytes,
            1,
            140,
            "no packet is longer than 1048576",
        ),
    ];
    for (name, bytes, packets, offset, says) in cases {
        let outcome = read_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let broken = outcome.broken.unwrap_or_else(|| panic!("{name}: not broken"));
        assert_eq!((outcome.packets.len(), broken.offset), (packets, offset), "{name}: {broken}");
        assert!(broken.to_string().contains(says), "{name}: {broken}");
    }
}

#[test]
fn the_longest_packet_is_read() {
    let long = frame(3, MAX_PACKET);
    for order in ORDERS {
        let pcap = Pcap::new(order, MICRO, 1).packet(1, 1, &long, 1 << 20).packet(1, 1, &[1], 1);
        let ng = Ng::new(order).interface(1, 0, &[]).enhanced(0, 1, &long, 1 << 20).simple(&long, 1 << 20);
        for bytes in [pcap.bytes, ng.bytes] {
            let outcome = read_bytes(&bytes).unwrap();
            assert_eq!((outcome.packets.len(), outcome.broken), (2, None));
            assert_eq!(outcome.packets[0].frame, long);
        }
    }
}

/// Returns one byte at a time.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let some = out.len().min(1);
        self.0.read(&mut out[..some])
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn how_the_bytes_come_does_not_matter() {
    for (name, bytes) in samples() {
        let whole = read_bytes(&bytes).unwrap();
        assert!(whole.broken.is_none() && whole.packets.len() >= 3, "{name}");
        assert_eq!(read(Drip(Cursor::new(bytes.clone()))).unwrap(), whole, "{name}");
        assert_eq!(read_bytes(&gzip(&bytes)).unwrap(), whole, "{name}");
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        assert_eq!(read_bytes(&[gzip(head), gzip(tail)].concat()).unwrap(), whole, "{name}: two members");
        let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
        assert_eq!(read_bytes(&zstd(&bytes)).unwrap(), whole, "{name}");
        assert_eq!(read_bytes(&[zstd(head), zstd(tail)].concat()).unwrap(), whole, "{name}: two frames");
    }
}

#[test]
fn damage_in_compressed_data_is_told_by_the_offset_behind_it() {
    let mut pcap = Pcap::new(Order::Little, MICRO, 1);
    let mut random = 1_u64;
    for i in 0..2000 {
        let noise: Vec<u8> = (0..500)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) as u8
            })
            .collect();
        pcap = pcap.packet(i, 0, &noise, 500);
    }
    for (name, compressed) in
        [("gzip", gzip(&pcap.bytes)), ("zstd", zstd::stream::encode_all(&pcap.bytes[..], 1).unwrap())]
    {
        let outcome = read_bytes(&compressed[..compressed.len() / 2]).unwrap();
        let broken = outcome.broken.unwrap();
        assert!(matches!(broken.reason, BreakReason::Read(_)), "{broken}");
        assert!(broken.to_string().contains(&format!("the {name} data is cut short")), "{broken}");
        let delivered = 24 + 516 * outcome.packets.len() as u64;
        assert!(outcome.packets.len() > 500, "{name}: {}", outcome.packets.len());
        assert!((delivered..delivered + 516).contains(&broken.offset), "{name}: {delivered} {broken}");
    }
    let mut damaged = gzip(&pcap.bytes);
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let outcome = read_bytes(&damaged).unwrap();
    assert_eq!(outcome.packets.len(), 2000, "everything came before the checksum");
    assert!(outcome.broken.unwrap().to_string().contains("gzip data is damaged"));
}

#[test]
fn files_are_opened_by_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture.txt");
    let pcap = Pcap::new(Order::Little, MICRO, 1).packet(1, 1, &frame(1, 60), 60);
    std::fs::write(&path, gzip(&pcap.bytes)).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.next_batch().map(|batch| batch.packets.len()), Some(1));
    assert!(reader.next_batch().is_none());
    assert_eq!(reader.length(), Some(reader.read_so_far()));

    let fail =
        |path: &std::path::Path| Reader::open(path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(fail(directory.path()).contains("is a directory, not a capture; name its files"));
    assert!(fail(&directory.path().join("absent")).contains("absent`: No such file"));
}
