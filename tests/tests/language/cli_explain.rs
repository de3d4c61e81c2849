//! `mirrorc explain`: the exact page for a few packets, and what happens to frames that are not
//! there. (Rejected: pages of real captures; they change whenever those are made anew.)

use mirrorc::Exit;
use mrule_tests::cli::{assert_recorded, mirrorc};

const RULES: &str = "cli/office.mrule";

/// A pcap file (nanoseconds, Ethernet) with a tagged DNS query, a TLS segment and an ARP request, a
/// second apart.
fn capture() -> Vec<u8> {
    let ethernet = |tail: &[u8]| [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], tail].concat();
    let ip = |proto: u8, length: u8, source: u8| {
        vec![0x45, 0, 0, length, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, source, 10, 0, 0, 53]
    };
    let dns =
        [&[0x81, 0, 0, 20, 8, 0], &ip(17, 33, 101)[..], &[0xc0, 1, 0, 53, 0, 13, 0, 0], b"query"].concat();
    let tls = [
        &[8, 0],
        &ip(6, 48, 7)[..],
        &[0xc0, 2, 1, 0xbb, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0],
        &[0x16, 3, 1, 0, 3, 1, 2, 3],
    ]
    .concat();
    let arp = [&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat();
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (i, tail) in [dns, tls, arp].iter().enumerate() {
        let frame = ethernet(tail);
        for word in [1_700_000_000 + i as u32, 5, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

#[test]
fn pages_are_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.pcap");
    std::fs::write(&path, capture()).unwrap();
    let name = path.to_str().unwrap();
    for format in ["text", "json"] {
        let mut pages = String::new();
        for frame in ["1", "2", "3"] {
            let run = mirrorc(&["explain", RULES, "--read", name, "--frame", frame, "--format", format]);
            assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
            pages.push_str(&run.stdout.replace(name, "small.pcap"));
            pages.push('\n');
        }
        assert_recorded(format!("cli/explain.{format}"), &pages);
    }
    let run = mirrorc(&["explain", RULES, "--read", name, "--frame", "4"]);
    assert_eq!(
        (run.exit, run.stderr),
        (Exit::Usage, format!("error: `{name}` has no frame 4: its last frame is 3\n"))
    );
    let run = mirrorc(&["explain", RULES, "--read", name, "--frame", "0"]);
    assert_eq!(run.exit, Exit::Usage);
    let whole = capture();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let run = mirrorc(&["explain", RULES, "--read", name, "--frame", "3"]);
    assert_eq!(run.exit, Exit::Capture);
    assert!(run.stderr.contains("2 readable packets"), "{}", run.stderr);
}
