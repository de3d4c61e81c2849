//! Decides the packets of a capture by a program, in this process:
//! `cargo run --example embed -- rules/scan.mrule tests/pcap/demo.pcapng`. The invariant: nothing
//! is written but what is printed. (Rejected: starting `mirrorc`; a library needs no process.)

use mrule_dataplane::capture::Reader;
use mrule_engine::Session;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Copies and their bytes, by station.
fn decide(rules: &Path, capture: &Path) -> Result<BTreeMap<String, (u64, u64)>, Box<dyn Error>> {
    let mut session: Session = std::fs::read_to_string(rules)?.parse()?;
    let mut reader = Reader::open(capture)?;
    let mut sums = BTreeMap::<String, (u64, u64)>::new();
    while let Some(batch) = reader.next_batch() {
        for packet in &batch.packets {
            for copy in session.decide(packet) {
                let (copies, bytes) = sums.entry(copy.station.to_owned()).or_default();
                *copies += 1;
                *bytes += copy.bytes.len() as u64;
            }
        }
    }
    Ok(sums)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, rules, capture] = arguments.as_slice() else {
        return Err("usage: embed RULES CAPTURE".into());
    };
    for (station, (copies, bytes)) in decide(rules.as_ref(), capture.as_ref())? {
        println!("{station}: {copies} copies, {bytes} bytes");
    }
    Ok(())
}

#[test]
fn it_decides_as_mirrorc_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sums = decide(&root.join("rules/scan.mrule"), &root.join("tests/pcap/demo.pcapng"));
    assert_eq!(sums.ok(), Some(BTreeMap::from([("probes".to_owned(), (200, 13_052))])));
}
