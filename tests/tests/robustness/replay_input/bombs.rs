//! Captures that want more memory than they are worth: compressed bombs, block lengths that lie,
//! and damaged captures and packets of a seed. Each is read by a process of its own whose address
//! space is bounded. (Rejected: the reader called in this process; whoever else allocates would
//! blur the bound.)

use super::{CaptureFile, datagram, header, record, said};
use mrule_tests::choices::Choices;
use std::io::Write;
use std::process::{Command, Output};

/// The address space of the process, in KiB: what it needs for a small capture, its threads and the
/// 128 MiB that a zstd frame may ask for (measured: 0.35 GB), and not 1 GiB more.
const SPACE: u32 = 1_000_000;

const RULES: &str = "station s { pcapng \"s.pcapng\" }\n\
    trigger many by net.src { when count(udp) per 1h > 10  hold 1h  keys 1000 }\n\
    trigger held by flow { when flow.packets == 3  hold flow }\n\
    rule a { match any  snaplen headers  snaplen full when many or held  to s }\n\
    rule b { match stream contains \"packet 3\" or app == dns or http.host == \"a\"  snaplen headers  to s }\n";

fn bounded(place: &CaptureFile, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.current_dir(place.path("")).args([
        "-c",
        &format!("ulimit -v {SPACE}; exec \"$0\" \"$@\""),
        crate::MIRRORC,
    ]);
    shell.args(["run", "a.mrule", "--flows", "20000"]).args(arguments).output().unwrap()
}

fn capture(packets: u64) -> Vec<u8> {
    let records = (0..packets).flat_map(|i| record(i * 1000, &datagram(i % 2 == 0, &format!("packet {i}"))));
    header(1).into_iter().chain(records).collect()
}

#[test]
fn compressed_bombs_grow_no_memory() {
    let place = CaptureFile::new(RULES);
    let megabyte = vec![0_u8; 1 << 20];
    // Records without bytes, all zeros: a packet is 16 bytes of nothing. And a block of 4 GB that
    // is no packet.
    let mut block = 77_u32.to_le_bytes().to_vec();
    block.extend(0xffff_fff0_u32.to_le_bytes());
    let section: Vec<u8> = [0x0a0d_0d0a_u32, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    for (name, head) in [("records", header(1)), ("block", [section, block].concat())] {
        // Packets are decided, one by one; a block is passed over.
        let zeros = if name == "block" { 64 } else { 4 } * crate::rounds(1, 30);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        gzip.write_all(&head).unwrap();
        zstd.write_all(&head).unwrap();
        for _ in 0..zeros {
            gzip.write_all(&megabyte).unwrap();
            zstd.write_all(&megabyte).unwrap();
        }
        for (format, bytes) in [("gz", gzip.finish().unwrap()), ("zst", zstd.finish().unwrap())] {
            let file = place.put(&format!("{name}.{format}"), &bytes);
            let output = bounded(&place, &["--read", &file, "--stats", "json"]);
            let code = output.status.code();
            let expected = if name == "records" { 0 } else { 3 };
            assert_eq!(code, Some(expected), "{name}.{format}, {} bytes: {}", bytes.len(), said(&output));
        }
    }
}

#[test]
fn a_zstd_frame_that_wants_gigabytes_is_refused() {
    let place = CaptureFile::new(RULES);
    // RFC 8878, 3.1.1: magic, a descriptor without a size, a window of 2^31 bytes (exponent 21),
    // one raw block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x21, 0, 0, 1, 2, 3, 4];
    let file = place.put("wide.zst", &frame);
    let output = bounded(&place, &["--read", &file]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("the zstd data is damaged"), "{}", said(&output));
}

#[test]
fn lengths_that_lie_and_damage_end_cleanly() {
    let place = CaptureFile::new(RULES);
    let seed = std::env::var("MRULE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(13_u64);
    println!("MRULE_SEED={seed}");
    let whole = capture(60);
    let ng = {
        let from = place.put("from.pcap", &whole);
        let copied = place.run(&["--read", &from, "--out", "made", "--quiet"]);
        assert!(copied.status.success(), "{}", said(&copied));
        std::fs::read(place.path("made/s.pcapng")).unwrap()
    };
    let zstd = zstd::encode_all(&ng[..], 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&whole).unwrap();
    let starts = [whole, ng, gzip.finish().unwrap(), zstd];
    for round in 0..u64::from(crate::rounds(30, 2000)) {
        let mut choices = Choices::of_seed((seed << 32) + round);
        let mut bytes = choices.pick(&starts).unwrap().clone();
        for _ in 0..=choices.below(4) {
            let at = choices.below(bytes.len());
            match choices.below(4) {
                0 => bytes[at] = choices.bits(8) as u8,
                1 => bytes.truncate(at.max(30)),
                2 => {
                    let word =
                        [u32::MAX, 0x8000_0000, 0xffff_fffc, 16 << 20, 0][choices.below(5)].to_le_bytes();
                    let at = at & !3;
                    let end = (at + 4).min(bytes.len());
                    bytes[at..end].copy_from_slice(&word[..end - at]);
                }
                _ => {
                    let end = (at + choices.below(60)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        let file = place.put("damaged", &bytes);
        let output = bounded(&place, &["--read", &file, "--out", "o", "--stats", "json"]);
        let code = output.status.code();
        // Done, broken, or no capture any more: never a signal, never an abort.
        assert!(matches!(code, Some(0 | 3)), "seed {seed}, round {round}: {code:?} {}", said(&output));
        if code == Some(0) {
            let counts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(counts["packets"].is_u64(), "seed {seed}, round {round}");
        }
    }
}
