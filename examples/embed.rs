//! Decides the packets of a capture by a program, in this process:
//! `cargo run --example embed -- rules/scan.mrule tests/pcap/demo.pcapng`. The invariant: nothing
//! is written but what is printed. (Rejected: starting `mirrorc`; a library needs no process.)

use mrule_compiler::compile::compile;
use mrule_compiler::engine::EngineKind;
use mrule_dataplane::capture::Reader;
use mrule_dataplane::source::Files;
use mrule_engine::Session;
use mrule_engine::decider::Limits;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// A program, ready to decide packets. What is wrong with it, or odd, is given as text.
fn load(rules: &Path) -> Result<Session, Box<dyn Error>> {
    let compiled = compile(&[rules.display().to_string()], &mut Files::default(), &[]);
    let findings: String = compiled.diagnostics.iter().map(|d| d.render(&compiled.sources)).collect();
    if compiled.has_errors() {
        return Err(findings.into());
    }
    eprint!("{findings}");
    Ok(Session::new(compiled, EngineKind::Jit, &Limits::default())?)
}

/// Copies and their bytes, by station.
fn decide(rules: &Path, capture: &Path) -> Result<BTreeMap<String, (u64, u64)>, Box<dyn Error>> {
    let mut session = load(rules)?;
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
fn it_shows_what_is_wrong() {
    let rules = std::env::temp_dir().join(format!("embed-{}.mrule", std::process::id()));
    let written = std::fs::write(&rules, "rule web { match tcp.prt == 80  to ids }\n");
    let refused = load(&rules).err().map(|error| error.to_string()).unwrap_or_default();
    let removed = std::fs::remove_file(&rules);
    assert!(written.is_ok() && removed.is_ok());
    assert!(refused.contains("\n1 | rule web { match tcp.prt == 80  to ids }\n"), "{refused}");
}

#[test]
fn it_decides_as_mirrorc_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sums = decide(&root.join("rules/scan.mrule"), &root.join("tests/pcap/demo.pcapng"));
    assert_eq!(sums.ok(), Some(BTreeMap::from([("probes".to_owned(), (200, 13_052))])));
}
