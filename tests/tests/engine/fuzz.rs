//! The fuzz targets for some seconds each, on bytes of a seed and on rule texts and packets with
//! changes, for toolchains without a fuzzer. `MRULE_FUZZ_SECONDS=N` tries longer, `MRULE_SEED=N`
//! others. The invariant: a target is run at least so many times, however slow the machine, in a
//! process with a limit of its memory, and each input takes no more than a stated amount.
//! (Rejected: only type-checking the targets; they would rot.)

use mrule_tests::choices::Choices;
use mrule_tests::{fuzz, mangle, memory};
use std::time::{Duration, Instant};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Rule texts and packets to start from.
fn starts(target: &str) -> Vec<Vec<u8>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    match target {
        "dissect" => mangle::pool().iter().map(|p| [&[0, 0, 0], p.bytes.as_slice()].concat()).collect(),
        "engines" => Vec::new(),
        "capture" => mrule_tests::frames::captures()
            .iter()
            .filter_map(|path| std::fs::read(path).ok().filter(|bytes| bytes.len() < 8000))
            .flat_map(|bytes| [zstd::encode_all(&bytes[..], 1).expect("zstd"), bytes])
            .collect(),
        _ => [root.join("../rules"), root.join("cases")]
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).expect("a folder"))
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|e| e == "mrule" || e == "toml"))
            .flat_map(|path| texts(&std::fs::read_to_string(path).expect("a text")))
            .collect(),
    }
}

/// A rule file, or the programs of a file of cases.
fn texts(text: &str) -> Vec<Vec<u8>> {
    let cases = text.split("rules = '''").skip(1).filter_map(|rest| rest.split_once("'''"));
    let cases: Vec<Vec<u8>> = cases.map(|(rules, _)| rules.as_bytes().to_vec()).collect();
    if cases.is_empty() { vec![text.as_bytes().to_vec()] } else { cases }
}

/// Some bytes: of the seed alone, or a start with changes.
fn input(choices: &mut Choices, starts: &[Vec<u8>]) -> Vec<u8> {
    let Some(start) = choices.pick(starts).filter(|_| !starts.is_empty()) else {
        return (0..choices.below(2000)).map(|_| choices.bits(8) as u8).collect();
    };
    let mut bytes = start.clone();
    for _ in 0..=choices.below(8) {
        let at = choices.below(bytes.len() + 1);
        let end = (at + choices.below(12)).min(bytes.len());
        match choices.below(5) {
            0 => drop(bytes.splice(at..end, [])),
            1 => {
                let other = choices.pick(starts).map_or(&[][..], Vec::as_slice);
                let from = choices.below(other.len() + 1);
                let part: Vec<u8> = other[from..].iter().copied().take(choices.below(40)).collect();
                bytes.splice(at..end, part);
            }
            2 => {
                let sign = choices.word_of(&[
                    "(", "{", "[", "\"", " not ", " and ", "..", "/", "%", "\\", "#", "0x", "\u{e9}", "::",
                ]);
                bytes.splice(at..at, sign.bytes());
            }
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = choices.bits(8) as u8;
                }
            }
        }
    }
    bytes
}

/// The address space of the process that runs a target, in bytes.
const SPACE: u64 = 1 << 30;

/// `most`: how much memory one input may take, in bytes.
fn smoke(target: &str, most: u64) {
    memory::alone(&format!("fuzz::{target}"), SPACE, || smoke_alone(target, most));
}

fn smoke_alone(target: &str, most: u64) {
    let (name, body) = fuzz::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let starts = starts(name);
    let deadline = Instant::now() + Duration::from_secs(variable("MRULE_FUZZ_SECONDS", 3));
    let last = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.input"));
    let (mut runs, mut peak) = (0u64, 0);
    while runs < 50 || Instant::now() < deadline {
        let mut choices = Choices::of_seed((variable("MRULE_SEED", 0) << 32) + runs);
        let bytes = input(&mut choices, &starts);
        // Kept for when the target panics or crashes.
        let _ = std::fs::write(&last, &bytes);
        let took = memory::peak_of(|| body(&bytes));
        assert!(took < most, "{} bytes of input take {took} bytes: {}", bytes.len(), last.display());
        peak = peak.max(took);
        runs += 1;
    }
    let _ = std::fs::remove_file(&last);
    println!("{target}: {runs} inputs, at most {} KiB for one", peak >> 10);
}

// Of rule texts, an automaton of stream patterns is the most, 16 MiB and what building it takes.

#[test]
fn parse() {
    smoke("parse", 64 << 20);
}

#[test]
fn fmt_roundtrip() {
    smoke("fmt_roundtrip", 32 << 20);
}

#[test]
fn dissect() {
    smoke("dissect", 4 << 20);
}

// What a zstd frame may refer back to, a block, and what is kept to compare.
#[test]
fn capture() {
    smoke("capture", (128 + 16 + 64) << 20);
}

#[test]
fn engines() {
    smoke("engines", 128 << 20);
}
