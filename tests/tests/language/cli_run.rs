//! `mirrorc run` on real captures: what it prints, what it writes, and how it ends. That the counts
//! add up is the runtime's own test; here they are compared with the files and with `explain`,
//! which takes another way to them. (Rejected: recorded counts; the captures are made anew now and
//! then.)

use mirrorc::Exit;
use mrule_dataplane::capture::Reader;
use mrule_tests::cli::{Run, mirrorc};
use serde_json::Value;
use std::fs;
use std::path::Path;

const RULES: &str = "cli/office.mrule";
const DEMO: &str = "pcap/demo.pcapng";

fn stats(args: &[&str]) -> (Run, Value) {
    let mut all = vec!["run", RULES, "--stats", "json", "--read"];
    all.extend(args);
    let run = mirrorc(&all);
    let json = serde_json::from_str(&run.stdout).unwrap();
    (run, json)
}

/// Packets and captured bytes of a file.
fn contents(path: &Path) -> (u64, u64) {
    let mut reader = Reader::open(path).unwrap();
    let (mut packets, mut bytes) = (0, 0);
    while let Some(batch) = reader.next_batch() {
        packets += batch.packets.len() as u64;
        bytes += batch.packets.iter().map(|p| u64::from(p.cap_len())).sum::<u64>();
    }
    assert_eq!(reader.broken(), None);
    (packets, bytes)
}

#[test]
fn the_summary_tells_what_the_files_hold() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let (run, json) = stats(&[DEMO, "--out", out]);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    let (packets, captured) = contents(Path::new(DEMO));
    assert_eq!((json["packets"].as_u64(), json["captured_bytes"].as_u64()), (Some(packets), Some(captured)));
    assert_eq!(json["broken"], Value::Null);
    for (station, name) in json["stations"].as_array().unwrap().iter().zip(["ids", "lake"]) {
        let path = dir.path().join(format!("{name}.pcapng"));
        assert_eq!(station["file"].as_str(), path.to_str());
        assert_eq!(station["file_bytes"].as_u64(), Some(fs::metadata(&path).unwrap().len()));
        let counted = (station["copies"].as_u64().unwrap(), station["bytes"].as_u64().unwrap());
        assert!(counted.0 > 0, "{json}");
        assert_eq!(counted, contents(&path));
    }
}

#[test]
fn both_engines_print_the_same() {
    let (_, native) = stats(&[DEMO]);
    let (_, reference) = stats(&[DEMO, "--engine", "interp"]);
    assert_eq!(native, reference);
}

#[test]
fn explaining_every_frame_comes_to_the_same_sums() {
    let (_, json) = stats(&["pcap/odd.pcap"]);
    let (mut copies, mut bytes) = (vec![0, 0], vec![0, 0]);
    for frame in 1..=json["packets"].as_u64().unwrap() {
        let frame = frame.to_string();
        let run =
            mirrorc(&["explain", RULES, "--read", "pcap/odd.pcap", "--frame", &frame, "--format", "json"]);
        assert_eq!(run.exit, Exit::Clean, "{}", run.stderr);
        let told: Value = serde_json::from_str(&run.stdout).unwrap();
        for copy in told["copies"].as_array().unwrap() {
            let station = usize::from(copy["station"] == "lake");
            let range = &copy["range"];
            let length = range["end"].as_u64().unwrap() - range["start"].as_u64().unwrap();
            copies[station] += u64::from(length > 0);
            bytes[station] += length;
        }
    }
    for (i, station) in json["stations"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (station["copies"].as_u64(), station["bytes"].as_u64()),
            (Some(copies[i]), Some(bytes[i]))
        );
    }
}

#[test]
fn the_table_has_a_line_for_each_station_rule_and_limit() {
    let run = mirrorc(&["run", RULES, "--read", DEMO]);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    let firsts: Vec<&str> = run.stdout.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let named =
        ["station", "ids", "lake", "rule", "names", "record", "tagged", "web", "limit", "privacy", "silence"];
    let found: Vec<&str> = firsts.into_iter().filter(|f| named.contains(f)).collect();
    assert_eq!(found, named);
    assert!(run.stdout.lines().all(|l| l.chars().count() <= 80), "{}", run.stdout);
}

#[test]
fn a_param_can_be_set_for_a_run() {
    let bytes = |head: &str| {
        let (_, json) = stats(&[DEMO, "--set", head]);
        json["stations"][0]["bytes"].as_u64().unwrap()
    };
    assert!(bytes("head=0") < bytes("head=1KiB"));
    let run = mirrorc(&["run", RULES, "--read", DEMO, "--set", "head=1MiB"]);
    assert_eq!(run.exit, Exit::Problems);
    assert!(run.stderr.contains("error[E0213]"), "{}", run.stderr);
}

#[test]
fn a_cut_capture_is_processed_up_to_the_break() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.pcap");
    let whole = fs::read("pcap/dns.pcap").unwrap();
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let (run, json) = stats(&[cut.to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Capture);
    let (packets, _) = contents(Path::new("pcap/dns.pcap"));
    assert_eq!(json["packets"].as_u64(), Some(packets - 1));
    let offset = json["broken"]["offset"].as_u64().unwrap();
    assert!(offset > 24 && offset < whole.len() as u64, "{json}");
    assert!(
        run.stderr.contains(&format!("is broken at byte {offset}: the capture is cut short")),
        "{}",
        run.stderr
    );
    fs::write(&cut, b"").unwrap();
    let run = mirrorc(&["run", RULES, "--read", cut.to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Capture);
    assert!(run.stderr.contains("is broken at byte 0: the capture is empty"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_run_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("a.mrule");
    fs::write(
        &rules,
        "station s { interface eth1 }\nrule r { match tcp.port == \"80\"  snaplen full  to s }\n",
    )
    .unwrap();
    let out = dir.path().join("out");
    let run = mirrorc(&["run", rules.to_str().unwrap(), "--read", DEMO, "--out", out.to_str().unwrap()]);
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Problems, ""));
    assert!(
        run.stderr.contains("error[E0107]") && run.stderr.ends_with("1 error; nothing was run\n"),
        "{}",
        run.stderr
    );
    assert!(!out.exists());
    const IS_A_FOLDER: &str = "error: `pcap` is a directory, not a capture; name its files, `--read FILE` for each, \
        in their order, or pipe them: `mergecap -w - pcap/* | mirrorc ... --read -`\n";
    for (args, message) in [
        (vec!["--read", "no-such.pcap"], "error: cannot read `no-such.pcap`: no such file or directory\n"),
        (vec!["--read", "pcap"], IS_A_FOLDER),
    ] {
        let mut all = vec!["run", RULES];
        all.extend(args);
        let run = mirrorc(&all);
        assert_eq!((run.exit, run.stderr.as_str()), (Exit::Usage, message));
    }
    let run = mirrorc(&["run", RULES, "--read", RULES]);
    assert_eq!(run.exit, Exit::Capture);
    assert!(run.stderr.contains("is not a pcap or pcapng capture"), "{}", run.stderr);
}

#[test]
fn warnings_are_shown_unless_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("a.mrule");
    let text =
        "station s { interface eth1 }\nrule r { match tcp.port in {90..80, 443}  snaplen full  to s }\n";
    fs::write(&rules, text).unwrap();
    let rules = rules.to_str().unwrap();
    let run = mirrorc(&["run", rules, "--read", DEMO]);
    assert_eq!(run.exit, Exit::Clean);
    assert!(run.stderr.contains("warning[W0950]") && !run.stdout.is_empty(), "{}", run.stderr);
    let run = mirrorc(&["run", rules, "--read", DEMO, "--quiet"]);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (Exit::Clean, "", ""));
}
