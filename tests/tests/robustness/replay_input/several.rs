//! Several captures as one stream, and what is wrong with one of them.

use super::{CaptureFile, datagram, header, packets, record, said};
use std::io::Write;

const RULES: &str = "station s { pcapng \"s.pcapng\" }\n\
    trigger many by net.src { when count(udp) per 1m > 40  hold 10s }\n\
    trigger third by flow { when flow.packets == 30  hold flow }\n\
    rule a { match any  snaplen headers  snaplen full when third  to s }\n\
    rule b { match many  snaplen headers + 4  to s }\n\
    rule c { match stream.offset in {100..200}  snaplen headers + 8  to s }\n";

fn records(from: u64, to: u64) -> Vec<u8> {
    (from..to).flat_map(|i| record(i * 300_000, &datagram(i % 3 == 1, &format!("packet {i}")))).collect()
}

fn capture(from: u64, to: u64) -> Vec<u8> {
    [header(1), records(from, to)].concat()
}

#[test]
fn several_captures_are_one_stream() {
    let place = CaptureFile::new(RULES);
    let whole = place.put("whole.pcap", &capture(0, 120));
    let one = place.put("1.pcap", &capture(0, 35));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&capture(35, 60)).unwrap();
    let two = place.put("2.pcap.gz", &gzip.finish().unwrap());
    let three = place.put("3.pcap.zst", &zstd::encode_all(&capture(60, 60)[..], 3).unwrap());
    let four = place.put("4.pcap", &capture(60, 120));
    let expected = place.counts(&["--read", &whole, "--out", "o"]);
    let parts = ["--read", &one, "--read", &two, "--read", &three, "--read", &four, "--out", "p"];
    let found = place.counts(&parts);
    for member in ["packets", "rules", "triggers", "mirrored"] {
        assert_eq!(found[member], expected[member], "{member}");
    }
    assert_eq!(found["captures"].as_array().unwrap().len(), 4);
    assert_eq!(found["tracked"], expected["tracked"]);
    let read = |folder: &str| mrule_tests::frames::read(&place.path(&format!("{folder}/s.pcapng")));
    let plain = |folder| read(folder).into_iter().map(|f| (f.bytes, f.len, f.time)).collect::<Vec<_>>();
    assert_eq!(plain("p"), plain("o"));
    let interfaces: Vec<u32> = read("p").iter().map(|f| f.interface).collect();
    assert!(interfaces.is_sorted() && [0, 1, 3].iter().all(|i| interfaces.contains(i)), "kept apart");
}

#[test]
fn one_of_them_may_be_standard_input_or_of_another_link_type() {
    let place = CaptureFile::new(RULES);
    let first = place.put("1.pcap", &capture(0, 20));
    let raw: Vec<u8> = (20..50_u64)
        .flat_map(|i| record(i * 300_000, &datagram(i % 3 == 1, &format!("packet {i}"))[14..]))
        .collect();
    let raw = place.put("2.pcap", &[header(101), raw].concat());
    let whole = place.put("whole.pcap", &capture(0, 70));
    let expected = place.counts(&["--read", &whole]);
    let mut command = place.command(&["--read", &first, "--read", &raw, "--read", "-", "--stats", "json"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&capture(50, 70)).unwrap();
    let output = child.wait_with_output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for member in ["packets", "triggers", "mirrored"] {
        assert_eq!(found[member], expected[member], "{member}");
    }
}

#[test]
fn a_broken_one_is_told_and_the_others_are_read() {
    let place = CaptureFile::new(RULES);
    let mut damaged = capture(10, 20);
    damaged.truncate(damaged.len() - 20);
    let names = [
        place.put("1.pcap", &capture(0, 10)),
        place.put("2.pcap", &damaged),
        place.put("3.pcap", b""),
        place.put("4.pcap", &capture(20, 30)),
    ];
    let reads: Vec<&str> = names.iter().flat_map(|name| ["--read", name]).collect();
    let output = place.run(&[&reads[..], &["--out", "o", "--stats", "json"]].concat());
    let (text, counts) =
        (said(&output), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!((&counts["packets"], packets(&place.path("o/s.pcapng"))), (&29.into(), 29));
    let broken = counts["broken_captures"].as_array().unwrap();
    assert_eq!(
        (broken.len(), &broken[0]["capture"], &broken[1]["capture"]),
        (2, &names[1].as_str().into(), &names[2].as_str().into())
    );
    assert!(
        text.contains("2.pcap` is broken at byte") && text.contains("3.pcap` is broken at byte 0"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_a_capture_is_told_before_the_first_packet() {
    let place = CaptureFile::new(RULES);
    let good = place.put("good.pcap", &capture(0, 10));
    let text = place.put("notes.txt", b"nothing");
    let folder = place.text("");
    let wifi = place.put("wifi.pcap", &header(105));
    for (reads, code, says) in [
        (vec!["--read", &good, "--read", "missing.pcap"], 2, "cannot read `missing.pcap`: no such file"),
        (
            vec!["--read", &good, "--read", &folder],
            2,
            "is a directory, not a capture; name its files, `--read FILE` for each",
        ),
        (vec!["--read", &folder], 2, "mergecap -w -"),
        (vec!["--read", &good, "--read", &text], 3, "is not a pcap or pcapng capture"),
        (vec!["--read", &good, "--read", &wifi], 3, "has link type"),
        (vec!["--read", "-", "--read", "-"], 2, "standard input can be read only once"),
        (vec!["-", "--read", "-"], 2, "standard input"),
        (
            vec![good.as_str(), "--read", &good],
            2,
            "it is a pcap capture, not text of rules or a table; give a capture with `--read FILE`",
        ),
    ] {
        let output = place.run(&[&reads[..], &["--out", "o"]].concat());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{reads:?}: {text}");
        assert!(text.contains(says), "{reads:?}: {text}");
        assert!(!place.path("o/s.pcapng").exists(), "{reads:?}");
    }
    // A file of copies is none of those that are read.
    let inside = place.put("s.pcapng", &capture(0, 3));
    let output = place.run(&["--read", &good, "--read", &inside, "--out", "."]);
    assert!(said(&output).contains("is the capture that is being read"), "{}", said(&output));
    assert_eq!(std::fs::read(&inside).unwrap(), capture(0, 3));
}

#[test]
fn explain_counts_through_all() {
    let place = CaptureFile::new(RULES);
    let one = place.put("1.pcap", &capture(0, 20));
    let two = place.put("2.pcap", &capture(20, 40));
    let explain = |frame: &str| {
        let arguments = ["explain", "a.mrule", "--read", &one, "--read", &two, "--frame", frame];
        let output = std::process::Command::new(crate::MIRRORC)
            .current_dir(place.path(""))
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output))
    };
    let (code, text) = explain("30");
    assert!(code == Some(0) && text.contains("frame 30 of 2 captures"), "{text}");
    // The flow's packets of the first file count.
    assert!(text.contains("all 51 bytes: rule a"), "{text}");
    let (code, text) = explain("41");
    assert!(
        code == Some(2) && text.contains("have no frame 41") | text.contains("has no frame 41"),
        "{text}"
    );
}
