//! Where a marker is found does not depend on how a stream is cut into packets, nor on the order of
//! neighbours: a trigger by flow fires for the same flows, with the packet that completes the
//! marker, and then holds for all that follows in both directions. What is expected comes from
//! where tshark says each byte stands, by a search in whole streams. (Rejected: comparing runs with
//! each other only; all of them could be wrong alike.)

use mrule_tests::frames::{Frame, captures, read};
use mrule_tests::mirrored::{ENGINES, copies};
use mrule_tests::oracle::{Numbers, ask, installed, stem};
use mrule_tests::recut;
use mrule_tests::streams::{Bytes, StreamDirection, Streams, arrivals, originals, segments};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What streams are searched for: requests, answers, greetings, and what no stream has.
const MARKERS: &[&str] = &[
    "session=evil",
    "session=3f9a",
    "HTTP/1.1 404 Not Found",
    "If-Modified-Since",
    "SSH-2.0-OpenSSH",
    "git-upload-pack",
    "session=mqtt",
    "it is nowhere",
    "P",
];

/// How far into a stream is looked without a word about it.
const DEPTH: usize = 64 << 10;

/// Ports whose connections are left out of what is cut anew: addresses and ports used again, where
/// swapped neighbours may be of two connections.
const AGAIN: u16 = 45555;

fn stations() -> Vec<String> {
    (0..MARKERS.len()).map(|i| format!("s{i}")).collect()
}

fn rules() -> String {
    let rule = |(i, marker): (usize, &&str)| {
        format!(
            "station s{i} {{ pcapng \"s{i}\" }}\n\
             trigger t{i} by flow {{ when stream contains \"{marker}\"  hold flow }}\n\
             rule r{i} {{ match t{i}  snaplen full  to s{i} }}\n"
        )
    };
    MARKERS.iter().enumerate().map(rule).collect()
}

/// For each marker, the frames of each stream from the one on that completes it, and the streams.
fn expected(told: &Streams, frames: &[Frame]) -> Vec<(Numbers, BTreeSet<usize>)> {
    let (sent, edges) = arrivals(&told.segments, frames);
    let ends = |marker: &str| -> BTreeMap<StreamDirection, usize> {
        let marker = marker.as_bytes();
        let end = |(direction, bytes): (&StreamDirection, &Bytes)| {
            let bytes = bytes.to_gap();
            let end = bytes.windows(marker.len()).position(|w| w == marker)? + marker.len();
            assert!(end <= DEPTH, "{direction:?}: a marker that ends at {end} is not for this test");
            Some((direction.clone(), end))
        };
        sent.iter().filter_map(end).collect()
    };
    let of = |marker: &&str| {
        let (ends, mut fired, mut numbers) = (ends(marker), BTreeSet::new(), Numbers::new());
        for (segment, &edge) in told.segments.iter().zip(&edges) {
            if ends.get(&segment.direction()).is_some_and(|&end| edge >= end) {
                fired.insert(segment.stream);
            }
            if fired.contains(&segment.stream) {
                numbers.insert(segment.frame);
            }
        }
        (numbers, fired)
    };
    MARKERS.iter().map(of).collect()
}

/// Differences in a capture, and for each marker how many flows it was found in.
fn judge(name: &str, capture: &Path) -> (Vec<String>, Vec<usize>) {
    let (frames, told) = (read(capture), segments(capture));
    let expected = expected(&told, &frames);
    let known: Numbers = told.segments.iter().map(|s| s.frame).collect();
    let mut lines = Vec::new();
    for engine in ENGINES {
        let stations = match copies(&rules(), capture, engine, &stations()) {
            Ok(stations) => stations,
            Err(error) => return (vec![format!("{name}, {engine}: {error}")], Vec::new()),
        };
        for ((copies, marker), (wanted, _)) in stations.iter().zip(MARKERS).zip(&expected) {
            let got: Numbers = match originals(&frames, copies) {
                Ok(numbers) => numbers.into_iter().filter(|n| known.contains(n)).collect(),
                Err(error) => return (vec![format!("{name}, {engine}, {marker:?}: {error}")], Vec::new()),
            };
            let differ: Vec<usize> = got.symmetric_difference(wanted).copied().take(12).collect();
            if !differ.is_empty() {
                let (here, there): (Vec<usize>, Vec<usize>) =
                    differ.into_iter().partition(|n| got.contains(n));
                lines.push(format!("{name}, {engine}, {marker:?}: only here {here:?}, not here {there:?}"));
            }
        }
    }
    (lines, expected.iter().map(|e| e.1.len()).collect())
}

fn named(names: &[&str]) -> Vec<PathBuf> {
    captures().into_iter().filter(|c| names.contains(&stem(c))).collect()
}

#[test]
fn a_marker_holds_from_the_packet_that_completes_it() {
    if !installed("tshark") {
        return;
    }
    let captures = named(&["apps", "lives", "lossy", "web", "ssh", "vlan", "demo", "sessions"]);
    let lines: Vec<String> = ask(&captures, |capture| judge(stem(capture), capture).0).concat();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn neither_cuts_nor_order_change_where_a_marker_is_found() {
    if !installed("tshark") {
        return;
    }
    let outcomes = ask(&named(&["apps", "lives", "web"]), |capture| {
        let (frames, dir) = (read(capture), tempfile::tempdir().unwrap());
        let takes = |from: u16, to: u16| from != AGAIN && to != AGAIN;
        let (whole, cut) = (recut::plain(&frames, takes), recut::bytewise(&frames, takes));
        let ways = [
            ("whole", whole.clone()),
            ("whole, swapped", recut::swapped(whole)),
            ("bytewise", cut.clone()),
            ("bytewise, swapped", recut::swapped(cut)),
        ];
        let judged = ways.map(|(direction, frames)| {
            let path = dir.path().join("recut.pcap");
            recut::save(&path, frames);
            judge(&format!("{}, {direction}", stem(capture)), &path)
        });
        let mut lines: Vec<String> = judged.iter().flat_map(|j| j.0.clone()).collect();
        if judged.iter().any(|j| j.1 != judged[0].1) {
            let counts: Vec<_> = judged.iter().map(|j| &j.1).collect();
            lines.push(format!("{}: flows for each marker: {counts:?}", stem(capture)));
        }
        (lines, judged[0].1.clone())
    });
    let lines: Vec<String> = outcomes.iter().flat_map(|o| o.0.clone()).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    for (i, marker) in MARKERS.iter().enumerate() {
        let found: usize = outcomes.iter().map(|o| o.1[i]).sum();
        assert_eq!(found == 0, *marker == "it is nowhere", "{marker:?}: {found} flows");
    }
}
