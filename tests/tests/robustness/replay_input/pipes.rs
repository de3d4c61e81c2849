//! Pipes: files are complete while the source is idle, and a signal ends the run with files and
//! summary whole.

use super::{CaptureFile, datagram, header, packets, record};
use mrule_tests::wire::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

const RULES: &str = "station s { pcapng \"s.pcapng\" }\n\
    trigger many by net.src { when count(udp) per 1h > 10  hold 1h }\n\
    rule a { match any  snaplen headers  snaplen full when many  to s }\n";

fn capture(from: u64, count: u64) -> Vec<u8> {
    let frames =
        (from..from + count).map(|i| record(i * 1_000_000, &datagram(false, &format!("packet {i}"))));
    frames.flatten().collect()
}

/// Feeds a part, sees it in the copies while the source is silent, feeds a packet cut in two, and
/// ends it by a signal.
fn interrupted(format: &str, mut written: impl FnMut(&[u8]) -> Vec<u8>, signal: Signal, code: i32) {
    let place = CaptureFile::new(RULES);
    let arguments = ["--read", "-", "--out", "o", "--stats", "json", "--events-out", "events"];
    let mut command = place.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut feed = |bytes: &[u8]| {
        let bytes = written(bytes);
        input.write_all(&bytes).unwrap();
        input.flush().unwrap();
    };
    let copies = place.path("o/s.pcapng");
    feed(&[header(1), capture(0, 15)].concat());
    until("15 copies", || packets(&copies) == 15);
    // A packet in two parts, with silence between.
    let next = capture(15, 6);
    feed(&next[..30]);
    feed(&next[30..]);
    until("21 copies", || packets(&copies) == 21);
    until("an event", || std::fs::read_to_string(place.path("events")).is_ok_and(|text| text.contains('\n')));
    feed(&capture(21, 1)[..40]);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let status = child.wait().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(status.code(), Some(code), "{format}: {err}");
    let counts: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{format}: {error}: {out}"));
    assert_eq!((&counts["packets"], &counts["stations"][0]["copies"]), (&21.into(), &21.into()), "{format}");
    assert_eq!((&counts["interrupted"], &counts["broken"]), (&true.into(), &Value::Null), "{format}: {err}");
    assert!(err.contains("ended by a signal"), "{format}: {err}");
    assert_eq!(packets(&copies), 21, "{format}");
    let events = std::fs::read_to_string(place.path("events")).unwrap();
    assert!(events.ends_with('\n') && events.lines().all(|line| line.starts_with('{')), "{events}");
}

#[test]
fn signals_lose_nothing_that_was_decided() {
    interrupted("pcap", <[u8]>::to_vec, Signal::INT, 130);
    interrupted("pcap", <[u8]>::to_vec, Signal::TERM, 143);
}

#[test]
fn compressed_pipes_are_complete_while_they_are_idle() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let gzipped = |bytes: &[u8]| {
        gzip.write_all(bytes).unwrap();
        gzip.flush().unwrap();
        std::mem::take(gzip.get_mut())
    };
    interrupted("gzip", gzipped, Signal::INT, 130);
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let zstd_of = |bytes: &[u8]| {
        zstd.write_all(bytes).unwrap();
        zstd.flush().unwrap();
        std::mem::take(zstd.get_mut())
    };
    interrupted("zstd", zstd_of, Signal::TERM, 143);
}

#[test]
fn a_signal_before_the_first_byte_ends_it() {
    let place = CaptureFile::new(RULES);
    let mut command = place.command(&["--read", "-", "--out", "o", "--stats", "json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take();
    let status = || std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let handled = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&line, 16).unwrap() & 1 << (2 - 1) != 0
    };
    until("it listens to signals", || handled(status()));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(130));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&counts["packets"], &counts["interrupted"]), (&0.into(), &true.into()));
}

#[test]
fn how_a_pipe_is_cut_changes_nothing() {
    let place = CaptureFile::new(RULES);
    // A jump ahead at each of the places where a read may end.
    let times = (0..600_u64).map(|i| if i % 64 == 63 { i * 1000 + 3_600_000_000 } else { i * 1000 });
    let records = times.map(|at| record(at, &datagram(at % 2 == 0, &format!("{at}"))));
    let bytes: Vec<u8> = header(1).into_iter().chain(records.flatten()).collect();
    let file = place.put("whole.pcap", &bytes);
    let whole = place.counts(&["--read", &file, "--out", "o"]);
    let copies = std::fs::read(place.path("o/s.pcapng")).unwrap();
    assert_eq!(whole["outlying_times"], 9, "{whole}");
    for size in [7, 71, 1000, 4096] {
        let mut command = place.command(&["--read", "-", "--out", "p", "--stats", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        bytes.chunks(size).for_each(|chunk| input.write_all(chunk).unwrap());
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&counts["triggers"], &counts["rules"]), (&whole["triggers"], &whole["rules"]), "{size}");
        assert!(std::fs::read(place.path("p/s.pcapng")).unwrap() == copies, "{size}");
    }
}
