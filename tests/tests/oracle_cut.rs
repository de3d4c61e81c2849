//! Holds two simpler judges against the engines: tcpdump for what its filters can say, and editcap for plain capture
//! lengths: `editcap -s N` must leave the same bytes as `snaplen N`, in every capture.
//! (Rejected: comparing counts; frames are compared with their bytes and times.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use mrule_tests::frames::{captures, parse, read};
use mrule_tests::oracle::{ENGINES, Engines, Filters, complaints, installed, stem};
use std::ops::Range;
use std::path::Path;
use std::process::Command;

const FILTERS: &str = include_str!("../oracle/tcpdump.txt");

/// Where tcpdump's view of the world suffices: no tunnels, no IPv6 extension headers before ports, no fragments of those.
const CAPTURES: &[&str] = &[
    "web",
    "dns",
    "ssh",
    "tls",
    "scan",
    "options",
    "multicast",
    "bulk",
    "vlan",
    "qinq",
    "demo",
    "cooked1",
    "cooked2",
];

fn tool(name: &str, arguments: &[&str], capture: &Path) -> Vec<u8> {
    let arguments = arguments.iter().map(|&a| if a == "CAPTURE" { capture.as_os_str() } else { a.as_ref() });
    let output = Command::new(name).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {}: {said}", capture.display());
    output.stdout
}

#[test]
fn filters_select_what_tcpdump_selects() {
    if !installed("tcpdump") {
        return;
    }
    let filters: Vec<(&str, &str)> = FILTERS.lines().filter_map(|line| line.split_once(" ~~ ")).collect();
    assert!(filters.len() > 20);
    let ours = Filters::of(filters.iter().map(|f| f.0)).unwrap_or_else(|e| panic!("{e}"));
    let captures: Vec<_> = captures().into_iter().filter(|c| CAPTURES.contains(&stem(c))).collect();
    let lines = complaints(&captures, |capture| {
        let frames = read(capture);
        let engines = ours.selected(&frames);
        let ethernet = frames.iter().all(|f| f.link == mrule_compiler::abi::Link::Ethernet);
        let mut lines = Vec::new();
        for (i, (ours, theirs)) in filters.iter().enumerate() {
            let tagged = format!(
                "({theirs}) or (vlan and (({theirs}) or (vlan and (({theirs}) or (vlan and ({theirs}))))))"
            );
            let theirs = if ethernet { &tagged } else { *theirs };
            let told = tool(
                "tcpdump",
                &["--time-stamp-precision=nano", "-r", "CAPTURE", "-w", "-", theirs],
                capture,
            );
            let wanted: Vec<(i64, Vec<u8>)> = parse(told).into_iter().map(|f| (f.time, f.bytes)).collect();
            for (engine, selected) in ENGINES.iter().zip(&engines) {
                let got: Vec<_> =
                    selected[i].iter().map(|&n| (frames[n - 1].time, frames[n - 1].bytes.clone())).collect();
                if got != wanted {
                    let (got, wanted, name) = (got.len(), wanted.len(), stem(capture));
                    lines.push(format!(
                        "{name}, {engine}: `{ours}` selects {got}, tcpdump {wanted}: {theirs}"
                    ));
                }
            }
        }
        lines
    });
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn snaplen_cuts_as_editcap_does() {
    const LENGTHS: &[u32] = &[1, 13, 14, 34, 60, 64, 96, 128, 200, 1000, 1514, 65535];
    if !installed("editcap") {
        return;
    }
    let text: String = LENGTHS
        .iter()
        .map(|n| {
            format!(
                "station s{n} {{ pcapng \"{n}.pcapng\" }}\nrule r{n} {{ match any  snaplen {n}  to s{n} }}\n"
            )
        })
        .collect();
    let engines = Engines::of(&text).unwrap();
    let lines = complaints(&captures(), |capture| {
        let frames = read(capture);
        let told = engines.copies(&frames);
        let mut lines = Vec::new();
        for &n in LENGTHS {
            // An empty frame has nothing to copy: editcap keeps its record, a station gets none. No times: editcap loses a
            // tick of a resolution that is a power of two.
            let cut = parse(tool("editcap", &["-s", &n.to_string(), "CAPTURE", "-"], capture));
            let wanted: Vec<_> =
                cut.iter().filter(|f| !f.bytes.is_empty()).map(|f| (f.len, &f.bytes[..])).collect();
            for (engine, copies) in ENGINES.iter().zip(&told) {
                let cut = |(number, bytes): &(usize, Range<usize>)| {
                    let frame = &frames[number - 1];
                    (frame.len, &frame.bytes[bytes.clone()])
                };
                let got: Vec<_> = copies[&*format!("s{n}")].iter().map(cut).collect();
                if got != wanted {
                    let first = got.iter().zip(&wanted).position(|(a, b)| a != b);
                    let (got, wanted, name) = (got.len(), wanted.len(), stem(capture));
                    lines.push(format!(
                        "{name}, {engine}, {n} bytes: {got} copies, editcap {wanted}; first other: {first:?}"
                    ));
                }
            }
        }
        lines
    });
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}
