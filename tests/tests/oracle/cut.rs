//! Holds two simpler judges against the engines: tcpdump for what its filters can say, and editcap
//! for plain capture lengths: `editcap -s N` must leave the same bytes as `snaplen N`, in every
//! capture. (Rejected: comparing counts; frames are compared with their bytes and times.)

use mrule_compiler::abi::Link;
use mrule_tests::frames::{captures, parse, read};
use mrule_tests::oracle::{Engines, Filters, ask, installed, stem};
use mrule_tests::run::ENGINES;
use std::path::Path;
use std::process::Command;

const FILTERS: &str = include_str!("../../oracle/tcpdump.txt");

/// Where tcpdump's view of the environment suffices: no tunnels, no IPv6 extension headers before
/// ports, no fragments of those.
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

/// A filter for libpcap that looks behind as many as three VLAN tags.
fn behind_tags(filter: &str) -> String {
    (0..3).fold(format!("({filter})"), |inner, _| format!("({filter}) or (vlan and ({inner}))"))
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
    let judged = ask(&captures, |capture| {
        let ethernet = read(capture).iter().all(|f| f.link == Link::Ethernet);
        let ask = |(_, theirs): &(&str, &str)| {
            let filter = if ethernet { behind_tags(theirs) } else { (*theirs).to_owned() };
            tool("tcpdump", &["--time-stamp-precision=nano", "-r", "CAPTURE", "-w", "-", &filter], capture)
        };
        filters.iter().map(ask).collect::<Vec<_>>()
    });
    let mut lines = Vec::new();
    for (capture, told) in captures.iter().zip(judged) {
        let frames = read(capture);
        let engines = ours.selected(&frames);
        for (i, told) in told.into_iter().enumerate() {
            let wanted: Vec<_> = parse(told).into_iter().map(|f| (f.time, f.bytes)).collect();
            for (engine, selected) in ENGINES.iter().zip(&engines) {
                let got = selected[i].iter().map(|n| &frames[n - 1]).map(|f| (f.time, f.bytes.clone()));
                let got: Vec<_> = got.collect();
                if got != wanted {
                    let (name, (ours, theirs)) = (stem(capture), filters[i]);
                    let (got, wanted) = (got.len(), wanted.len());
                    lines.push(format!("{name}, {engine:?}: `{ours}` selects {got}, `{theirs}` {wanted}"));
                }
            }
        }
    }
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn snaplen_cuts_as_editcap_does() {
    const LENGTHS: &[u32] = &[1, 13, 14, 34, 60, 64, 96, 128, 200, 1000, 1514, 65535];
    if !installed("editcap") {
        return;
    }
    let rule = |n: &u32| {
        format!("station s{n} {{ pcapng \"{n}\" }}\nrule r{n} {{ match any  snaplen {n}  to s{n} }}\n")
    };
    let engines = Engines::of(&LENGTHS.iter().map(rule).collect::<String>()).unwrap();
    let captures = captures();
    let judged = ask(&captures, |capture| {
        let cut = |n: &u32| tool("editcap", &["-s", &n.to_string(), "CAPTURE", "-"], capture);
        LENGTHS.iter().map(cut).collect::<Vec<_>>()
    });
    let mut lines = Vec::new();
    for (capture, told) in captures.iter().zip(judged) {
        let frames = read(capture);
        let copies = engines.copies(&frames);
        for (n, told) in LENGTHS.iter().zip(told) {
            // An empty frame has nothing to copy: editcap keeps its record, a station gets none. No
            // times: editcap loses a tick of a resolution that is a power of two.
            let cut = parse(told);
            let wanted = cut.iter().filter(|f| !f.bytes.is_empty()).map(|f| (f.len, &f.bytes[..]));
            let wanted: Vec<_> = wanted.collect();
            for (engine, copies) in ENGINES.iter().zip(&copies) {
                let copies =
                    copies[&*format!("s{n}")].iter().map(|(number, bytes)| (&frames[number - 1], bytes));
                let got: Vec<_> =
                    copies.map(|(frame, bytes)| (frame.len, &frame.bytes[bytes.clone()])).collect();
                if got != wanted {
                    let first = got.iter().zip(&wanted).position(|(a, b)| a != b);
                    let (name, got, wanted) = (stem(capture), got.len(), wanted.len());
                    lines.push(format!(
                        "{name}, {engine:?}, {n} bytes: {got} copies, not {wanted}; first other {first:?}"
                    ));
                }
            }
        }
    }
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}
