//! Captures that come slowly, are interrupted, damaged, several, or have outlying times. What was
//! decided is in the files. (Rejected: readers tested alone; the signal path is what lost copies.)

mod bombs;
mod flood;
mod pipes;
mod several;
mod times;

use crate::MIRRORC;
use mrule_tests::packet_text::build;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A pcap file header for Ethernet, or another link type; times in microseconds.
pub fn header(link: u32) -> Vec<u8> {
    [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 1 << 18, link].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A record, at so many microseconds.
pub fn record(micros: u64, frame: &[u8]) -> Vec<u8> {
    let (seconds, rest) = ((micros / 1_000_000) as u32, (micros % 1_000_000) as u32);
    let length = frame.len() as u32;
    let mut record: Vec<u8> =
        [seconds, rest, length, length].into_iter().flat_map(u32::to_le_bytes).collect();
    record.extend(frame);
    record
}

/// A frame by its text.
pub fn frame(text: &str) -> Vec<u8> {
    build(text).unwrap_or_else(|error| panic!("{text}: {error}")).bytes
}

/// A datagram between two hosts, from the first or back; `text` tells which.
pub fn datagram(back: bool, text: &str) -> Vec<u8> {
    let ends = if back {
        "ip(src=10.0.0.2,dst=10.0.0.1)/udp(sport=53,dport=4000)"
    } else {
        "ip(src=10.0.0.1,dst=10.0.0.2)/udp(sport=4000,dport=53)"
    };
    frame(&format!("eth/{ends}/\"{text}\""))
}

/// A directory with a rule file.
pub struct CaptureFile {
    dir: tempfile::TempDir,
}

impl CaptureFile {
    pub fn new(rules: &str) -> CaptureFile {
        let place = CaptureFile { dir: tempfile::tempdir().unwrap() };
        place.put("a.mrule", rules.as_bytes());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    /// `mirrorc run a.mrule` with these arguments, in the directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MIRRORC);
        command.current_dir(self.dir.path()).args(["run", "a.mrule"]).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, and its counts.
    pub fn counts(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--stats", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What it said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many whole packet blocks a pcapng file has; one that is not complete is none.
pub fn packets(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap_or_default();
    let (mut at, mut packets) = (0, 0);
    while let Some(head) = bytes.get(at..at + 8) {
        let kind = u32::from_le_bytes(head[..4].try_into().unwrap());
        let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
        assert!(length >= 12, "a block of {length} bytes");
        if at + length > bytes.len() {
            return 0;
        }
        packets += usize::from(kind == 6);
        at += length;
    }
    if at == bytes.len() { packets } else { 0 }
}
