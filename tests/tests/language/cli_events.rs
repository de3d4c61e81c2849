//! `mirrorc run --events` and `--events-out` on a capture of real attacks. The invariant: lines and
//! counts tell the same, and a file of events that is wrong anywhere starts nothing. (Rejected:
//! recorded lines; the capture is made anew now and then.)

use mirrorc::Exit;
use mrule_tests::cli::{Run, mirrorc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

const FLOOD: &str = "../rules/syn_flood.mrule";
const LOGINS: &str = "../rules/logins.mrule";
const ATTACKS: &str = "pcap/attacks.pcap";

/// Runs rules over the attacks with these events; what was printed, the counts, and the lines
/// written.
fn run(rules: &str, events: &str, more: &[&str]) -> (Run, Value, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let (given, out) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
    fs::write(&given, events).unwrap();
    let (given, told) = (given.to_str().unwrap(), out.to_str().unwrap());
    let mut all = vec!["run", rules, "--read", ATTACKS, "--stats", "json", "--events", given];
    all.extend(["--events-out", told]);
    if !more.contains(&"--events-extended") {
        all.extend(["--events-extended", "0s"]);
    }
    all.extend(more);
    let run = mirrorc(&all);
    let lines = fs::read_to_string(&out).unwrap_or_default();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let json = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run, json, lines)
}

fn by_event(lines: &[Value]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line["event"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn every_event_is_a_line() {
    let (native, json, lines) = run(FLOOD, "", &[]);
    assert_eq!(native.exit, Exit::Clean, "{}", native.stderr);
    let trigger = &json["triggers"][0];
    let counts = by_event(&lines);
    assert!(counts["raised"] >= 1 && counts["extended"] >= 50, "{counts:?}");
    for event in ["raised", "extended", "vetoed", "suppressed", "full"] {
        assert_eq!(trigger[event].as_u64().unwrap(), counts.get(event).copied().unwrap_or(0), "{event}");
    }
    assert_eq!(trigger["held"].as_u64().unwrap(), lines.len() as u64);
    let first = &lines[0];
    assert_eq!((first["event"].as_str(), first["trigger"].as_str()), (Some("raised"), Some("syn_flood")));
    assert_eq!(first["key"], serde_json::json!(["10.0.0.77"]));
    assert!(first["reason"].as_str().unwrap().contains("is 201"), "{first}");
    let packets: Vec<u64> = lines.iter().map(|line| line["packet"].as_u64().unwrap()).collect();
    assert!(packets.is_sorted() && packets.last() <= json["packets"].as_u64().as_ref());
    assert!(lines.iter().all(|line| line["time"].as_str().unwrap().ends_with('Z')));
    let (_, other_json, other_lines) = run(FLOOD, "", &["--engine", "interp"]);
    assert!((other_json, other_lines) == (json, lines), "both engines tell the same");
}

#[test]
fn what_is_suppressed_is_counted_and_not_raised() {
    let events = r#"
# our own
{"time": 0, "suppress": "syn_flood", "key": "10.0.0.77", "reason": "a test of ours"}
{"time": "2999999999", "unsuppress": "syn_flood", "key": "10.0.0.77"}
"#;
    let (run, json, lines) = run(FLOOD, events, &[]);
    assert_eq!(run.exit, Exit::Clean);
    assert!(run.stderr.contains("1 of 2 events come after the last packet"), "{}", run.stderr);
    assert_eq!(json["changes"], 1);
    let (trigger, counts) = (&json["triggers"][0], by_event(&lines));
    assert_eq!((trigger["raised"].as_u64(), counts.get("raised")), (Some(0), None));
    assert!(trigger["suppressed"].as_u64() == counts.get("suppressed").copied() && counts["suppressed"] > 50);
    assert_eq!(
        (lines[0]["event"].as_str(), lines[0]["reason"].as_str()),
        (Some("suppression"), Some("a test of ours"))
    );
}

#[test]
fn what_is_raised_from_outside_is_told_and_cleared() {
    let events = r#"{"time": "1970-01-02T00:00:00Z", "raise": "reported", "key": ["10.0.0.10"], "for": "366d"}
{"time": 86401, "clear": "reported", "key": "10.0.0.10"}
{"time": 86402, "clear": "reported"}
{"time": 86402.5, "add": "users", "key": "10.0.0.101", "value": "root"}
{"time": 86403, "add": "users", "key": "10.0.0.10", "value": "root", "for": "1d"}
"#;
    let (run, json, lines) = run(LOGINS, events, &[]);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    assert_eq!(json["changes"], 5);
    assert_eq!(by_event(&lines), BTreeMap::from([("raised", 1), ("cleared", 1)]));
    let keys = &json["triggers"][0]["keys"];
    assert_eq!(
        (keys["external"].as_u64(), keys["cleared"].as_u64(), keys["active"].as_u64()),
        (Some(1), Some(1), Some(0))
    );
    let root = json["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == "root").unwrap();
    // All that the user sends, and nothing of the server, whose row has ended long ago.
    let matched = root["matched"].as_u64().unwrap();
    assert!((50..150).contains(&matched), "{root}");
}

#[test]
fn a_wrong_line_starts_nothing() {
    let good = r#"{"time": 1, "clear": "reported"}"#;
    for (line, what) in [
        ("{", "column"),
        (r#"{"time": 1}"#, "the line has no verb"),
        (r#"{"time": 1, "raise": "reported", "clear": "reported"}"#, "both `raise` and `clear`"),
        (r#"{"time": 1, "raise": "reported"}"#, "`key` must have one part: ip"),
        (r#"{"time": 1, "raise": "reported", "key": ["10.0.0.1", "10.0.0.2"]}"#, "one part"),
        (r#"{"time": 1, "raise": "reported", "key": "10.0.0"}"#, "is not of type `ip`"),
        (r#"{"time": 1, "raise": "reportet", "key": "10.0.0.1"}"#, "there is no trigger `reportet`"),
        (r#"{"time": 1, "raise": "reported", "key": "10.0.0.1", "for": "10"}"#, "`for` must be a duration"),
        (r#"{"time": 1, "raise": "reported", "key": "10.0.0.1", "value": 1}"#, "has no member `value`"),
        (r#"{"time": "noon", "clear": "reported"}"#, "`time` must be"),
        (r#"{"clear": "reported"}"#, "has no `time`"),
        (r#"{"time": -1, "clear": "reported"}"#, "`time` must be"),
        (r#"{"time": 1, "add": "users", "key": "10.0.0.1"}"#, "is a map"),
        (r#"{"time": 1, "add": "authenticated", "key": "10.0.0.1", "value": "x"}"#, "is a set"),
        (r#"{"time": 1, "add": "hosts", "key": "10.0.0.1"}"#, "there is no table `hosts`"),
        (r#"{"time": 1, "set": "head", "value": 1}"#, "there is no param `head`"),
        (r#"{"time": 1, "rise": "reported"}"#, "unknown field `rise`"),
    ] {
        let (run, _, lines) = run(LOGINS, &format!("{good}\n{line}\n{good}\n"), &[]);
        assert_eq!((run.exit, run.stdout.as_str(), lines.len()), (Exit::Usage, "", 0), "{line}");
        assert!(run.stderr.contains("line 2: ") && run.stderr.contains(what), "{line}\n{}", run.stderr);
    }
    let (run, ..) = run(FLOOD, r#"{"time": 1, "raise": "syn_flood", "key": "10.0.0.1"}"#, &[]);
    assert!(run.exit == Exit::Usage && run.stderr.contains("is not `external`"), "{}", run.stderr);
}

#[test]
fn an_extended_key_is_told_once_a_second() {
    let (_, json, all) = run(FLOOD, "", &[]);
    let (_, json_of_few, few) = run(FLOOD, "", &["--events-extended", "1s"]);
    assert_eq!(json["triggers"], json_of_few["triggers"], "what is counted is the same");
    let (all, few) =
        (by_event(&all), (few.iter().filter(|line| line["event"] == "extended"), by_event(&few)));
    let times: u64 = few.0.clone().map(|line| line["times"].as_u64().unwrap_or(1)).sum();
    let mut last = BTreeMap::new();
    for line in few.0 {
        // Of one day.
        let parts =
            line["time"].as_str().unwrap()[11..29].split(':').map(|part| part.parse::<f64>().unwrap());
        let time = parts.fold(0.0, |time, part| time * 60.0 + part);
        if let Some(before) = last.insert(line["key"].to_string(), time) {
            assert!(time - before >= 0.999_999, "{line}");
        }
    }
    assert!(few.1["extended"] < all["extended"] && times <= all["extended"], "{few:?} {all:?}", few = few.1);
    assert_eq!((few.1["raised"], few.1.get("vetoed")), (all["raised"], all.get("vetoed")));
}

#[test]
fn keys_that_are_text_are_told_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, out) = (dir.path().join("hosts.mrule"), dir.path().join("out.jsonl"));
    let text = "station s { pcapng \"s.pcapng\" }\n\
                trigger asked by http.host { when count(tcp) per 366d > 0  hold 366d }\n\
                rule r { match asked[\"10.0.0.10:2222\"] or asked  snaplen full  to s }\n";
    fs::write(&rules, text).unwrap();
    let mut told = Vec::new();
    for engine in ["jit", "interp"] {
        let (rules, out) = (rules.to_str().unwrap(), out.to_str().unwrap());
        let run = mirrorc(&[
            "run",
            rules,
            "--read",
            "pcap/apps.pcap",
            "--events-out",
            out,
            "--engine",
            engine,
            "--events-extended",
            "0s",
        ]);
        assert_eq!(run.exit, Exit::Clean, "{}", run.stderr);
        told.push(fs::read_to_string(out).unwrap());
    }
    assert_eq!(told[0], told[1]);
    let lines: Vec<Value> = told[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut keys: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in &lines {
        let (raised, extended) = keys.entry(line["key"][0].as_str().unwrap()).or_default();
        match line["event"].as_str().unwrap() {
            "raised" => *raised += 1,
            "extended" => *extended += 1,
            other => assert_eq!(other, "", "{line}"),
        }
    }
    // As many requests as tshark finds, by their hosts.
    let expected = [("10.0.0.10", (1, 1)), ("10.0.0.10:2222", (1, 10)), ("[2001:db8::10]:2222", (1, 10))];
    assert_eq!(keys, BTreeMap::from(expected));
}
