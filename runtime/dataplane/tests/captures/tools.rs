//! Compares with independent tools, on the shipped captures of real clients and servers. tshark
//! reads the same packets from a capture as our reader, and the same from a station's file as from
//! the capture; `editcap -s` cuts to the same bytes; capinfos and tcpdump read our files. A missing
//! tool is reported on the real standard error, not in captured output.

use crate::common::programs::{any, bytes, program, real_captures, run};
use crate::common::{Got, read_bytes};
use mrule_compiler::hir::Length;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a tool. Returns `None` and prints a message when it is not installed.
fn tool(name: &str, arguments: &[&str], files: &[&Path]) -> Option<String> {
    let ran = Command::new(name).args(arguments).args(files).stdin(Stdio::null()).output();
    let Ok(output) = ran else {
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: {name} is not installed; nothing was compared with it").unwrap();
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?} {files:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// tshark's fields of each packet: time, length, captured length, interface, comment.
fn tshark(file: &Path) -> Option<Vec<Vec<String>>> {
    let fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.comment"];
    // Only the frame itself: these fields need no dissection of protocols.
    let mut arguments = vec!["-n", "-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let said = tool("tshark", &[&arguments[..], &["-r"]].concat(), &[file])?;
    Some(said.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn epoch(nanoseconds: i64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

fn seen_by_us(file: &Path) -> Vec<Got> {
    let outcome = read_bytes(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(outcome.broken, None, "{}", file.display());
    outcome.packets
}

#[test]
fn tshark_sees_what_we_see_and_what_we_write() {
    let everything = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    for capture in real_captures() {
        let name = capture.display();
        let Some(theirs) = tshark(&capture) else { return };
        let ours: Vec<Vec<String>> = seen_by_us(&capture)
            .iter()
            .map(|packet| {
                let numbers = [packet.length, packet.frame.len() as u32, packet.interface];
                [vec![epoch(packet.time)], numbers.map(|n| n.to_string()).to_vec()].concat()
            })
            .collect();
        assert_eq!(theirs.len(), ours.len(), "{name}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            // A pcap has no interfaces; tshark may show 0 or nothing.
            let same = theirs[..3] == ours[..3] && (theirs[3] == ours[3] || theirs[3].is_empty());
            assert!(same, "{name}: {theirs:?} and {ours:?}");
        }
        let out = tempfile::tempdir().unwrap();
        run(&everything, &capture, Some(out.path())).unwrap();
        let copies = tshark(&out.path().join("ids.pcapng")).unwrap();
        let expected: Vec<Vec<String>> = ours
            .into_iter()
            .filter(|packet| packet[2] != "0")
            .map(|packet| [packet, vec!["rule=all".to_owned()]].concat())
            .collect();
        assert_eq!(copies, expected, "{name}");
    }
}

#[test]
fn editcap_cuts_to_the_same_bytes() {
    for length in [1, 60, 96, 1000] {
        let cut = program(&["ids"], vec![any("all", bytes(length), 1)], vec![]);
        for capture in real_captures() {
            let out = tempfile::tempdir().unwrap();
            let theirs = out.path().join("theirs.pcapng");
            if tool("editcap", &["-F", "pcapng", "-s", &length.to_string()], &[&capture, &theirs]).is_none() {
                return;
            }
            run(&cut, &capture, Some(out.path())).unwrap();
            let ours = seen_by_us(&out.path().join("ids.pcapng"));
            let mut theirs = seen_by_us(&theirs);
            theirs.retain(|packet| !packet.frame.is_empty());
            assert_eq!(ours.len(), theirs.len(), "{}", capture.display());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(
                    (&ours.frame, ours.length, ours.link),
                    (&theirs.frame, theirs.length, theirs.link),
                    "{}",
                    capture.display()
                );
                // editcap converts from ticks to nanoseconds and back, and may lose a tick (here of
                // 2^-20 s).
                assert!((0..1000).contains(&(ours.time - theirs.time)), "{}", capture.display());
            }
        }
    }
}

#[test]
fn capinfos_and_tcpdump_read_our_files() {
    let program = program(&["ids", "idle"], vec![any("all", bytes(100), 1)], vec![]);
    for capture in real_captures() {
        let out = tempfile::tempdir().unwrap();
        let summary = run(&program, &capture, Some(out.path())).unwrap();
        for station in &summary.totals.stations {
            let file = out.path().join(format!("{}.pcapng", station.name));
            let Some(said) = tool("capinfos", &["-M", "-c", "-t"], &[&file]) else { return };
            assert!(said.contains("pcapng"), "{said}");
            let count = said.lines().find_map(|line| line.strip_prefix("Number of packets:")).unwrap();
            assert_eq!(count.trim(), station.copies.to_string(), "{}", capture.display());
        }
        // tcpdump refuses any file whose interfaces have different link types.
        let links: std::collections::BTreeSet<String> =
            seen_by_us(&capture).iter().map(|packet| format!("{:?}", packet.link)).collect();
        if links.len() == 1 {
            let Some(said) = tool("tcpdump", &["-n", "-q", "-r"], &[&out.path().join("ids.pcapng")]) else {
                return;
            };
            let packets = said.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
            assert!(packets as u64 >= summary.totals.stations[0].copies, "{}: {packets}", capture.display());
        }
    }
}
