//! The budget of memory: programs that take more are refused before anything of them is made.

use super::{mirrorc, rules, told, trigger};
use crate::MIRRORC;
use mrule_tests::choices::Choices;
use mrule_tests::control::ControlledRun;
use mrule_tests::memory::limited;
use mrule_tests::wire::with_wire;

const SMALL: &str = "station lake { pcapng \"DIR/lake.pcapng\" }
    trigger noticed by net.src { external  hold 1h  keys 5000 }
    rule all { match any  snaplen 60  to lake }
    rule more { match noticed[net.addr]  snaplen full  to lake }\n";

/// Three triggers that take some 32 GB each.
fn huge() -> String {
    let used = "rule r { match a[net.addr] or b[net.addr] or c[net.addr]  snaplen full  to s }\n";
    ["a", "b", "c"].map(|name| trigger(name, 1 << 24)).concat() + used
}

#[test]
fn a_program_over_the_budget_is_refused_and_the_old_one_goes_on() {
    with_wire("robust_budget_memory", |wire| {
        let place =
            ControlledRun::start(wire, MIRRORC, SMALL, &["--memory", "512MiB", "--policy-memory", "256MiB"]);
        let huge = rules(place.dir.path(), "huge.mrule", &huge());
        for (words, option) in [
            (&["load", &huge, "--as", "other", "--dry-run"][..], "--policy-memory"),
            (&["load", &huge, "--as", "other"], "--policy-memory"),
            (&["load", &huge], "--memory"),
        ] {
            let (_, says) = place.refused(words);
            assert!(says.contains(option), "{words:?}: {says}");
            assert!(says.contains("keys 16777216") && says.contains("huge.mrule"), "{says}");
        }
        let listed = place.command(&["list"]);
        assert!(listed.contains("main") && !listed.contains("other"), "{listed}");
        place.command(&["trigger", "raise", "noticed", "10.1.0.1"]);
        // One that fits is loaded, and once more; a third has no room beside them.
        let fits = trigger("t", 1 << 15) + "rule r { match t[net.addr]  snaplen full  to s }\n";
        let fits = |name: &str| rules(place.dir.path(), name, &fits);
        place.command(&["load", &fits("one.mrule"), "--as", "one"]);
        let (_, says) = ["two", "three", "four", "five"]
            .into_iter()
            .map(|name| {
                let to = place.socket.to_str().unwrap().to_owned();
                let run = mrule_tests::cli::mirrorc(&["load", &fits(name), "--as", name, "--to", &to]);
                (run.exit, run.stderr)
            })
            .find(|(exit, _)| *exit != mirrorc::Exit::Clean)
            .expect("not all of them fit");
        assert!(says.contains("--memory"), "{says}");
        place.run.stop();
    });
}

#[test]
fn a_run_over_the_budget_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let huge = rules(dir.path(), "huge.mrule", &huge());
    let (says, code) = told(&mirrorc(&["run", &huge, "--read", "/dev/null", "--memory", "1GiB"]));
    assert_eq!(code, 2, "{says}");
    assert!(says.contains("--memory") && says.contains("keys 16777216"), "{says}");
    assert!(says.contains("huge.mrule:"), "it says where: {says}");
    let (says, code) = told(&mirrorc(&["check", "--cost", &huge, "--memory", "1GiB"]));
    assert_eq!(code, 1, "{says}");
    assert!(says.contains("E0403") && says.contains("trigger a"), "{says}");
    // Without a budget that is too small, the same numbers and no refusal.
    let (says, code) = told(&mirrorc(&["check", "--cost", &huge, "--memory", "1TiB"]));
    assert_eq!(code, 0, "{says}");
    assert!(!says.contains("E0403"), "{says}");
}

/// What `check --cost` says there is room for is what a running mirrorc says.
#[test]
fn capacities_are_the_same_before_and_while_it_runs() {
    with_wire("robust_budget_capacity", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, SMALL, &[]);
        let path = place.dir.path().join("a.mrule");
        let (says, code) = told(&mirrorc(&["check", "--cost", path.to_str().unwrap()]));
        assert_eq!(code, 0, "{says}");
        let line = says.lines().find(|line| line.contains("trigger noticed")).unwrap();
        let listed = place.json(&["trigger", "list"]);
        let triggers = listed.as_array().unwrap();
        let capacity =
            triggers.iter().find(|t| t["name"] == "noticed").unwrap()["capacity"].as_u64().unwrap();
        let room = line.split("noticed").nth(1).unwrap().trim_start().split("  ").next().unwrap();
        let digits: String = room.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits.parse::<u64>().unwrap(), capacity, "{line}");
        assert!(capacity >= 5000);
        place.run.stop();
    });
}

/// Rows that come later count, too.
#[test]
fn tables_grow_within_the_budget() {
    with_wire("robust_budget_tables", |wire| {
        let text = "station lake { pcapng \"DIR/lake.pcapng\" }
            table seen : set<ip> = { 10.0.0.1 }
            rule r { match net.src in seen  snaplen full  to lake }\n";
        let place =
            ControlledRun::start(wire, MIRRORC, text, &["--memory", "512MiB", "--policy-memory", "24MiB"]);
        let other = place.write("other.mrule", &text.replace("lake", "pond"));
        place.command(&["load", &other, "--as", "other"]);
        let row = |i: u32| format!("{{\"key\": [\"{}\"]}}\n", std::net::Ipv4Addr::from(i + 0x0a00_0000));
        let rows: String = (0..300_000).map(row).collect();
        let rows = place.write("rows.txt", &rows);
        let (_, says) = place.refused(&["table", "replace", "seen", &rows, "--policy", "other"]);
        assert!(says.contains("--policy-memory"), "{says}");
        place.command(&["table", "add", "seen", "10.0.0.2", "--policy", "other"]);
        place.run.stop();
    });
}

/// A set that is written into a rule is a part of the program, however few nodes it is; once, if it
/// is named by many rules.
#[test]
fn sets_in_rules_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<String> =
        (0..50_000_u32).map(|i| std::net::Ipv4Addr::from((10 << 24) + i * 331).to_string()).collect();
    let set = format!("let known = ip.src in {{ {} }}\n", all.join(", "));
    let rule = |i: u32| format!("rule r{i} {{ match known and frame.len > {i}  snaplen full  to s }}\n");
    let counted = |count: u32| {
        let text = set.clone() + &(0..count).map(rule).collect::<String>();
        let path = rules(dir.path(), "set.mrule", &text);
        let (says, code) = told(&mirrorc(&["check", "--cost", &path]));
        assert_eq!(code, 0, "{says}");
        let line = says.lines().find(|line| line.starts_with("program")).unwrap();
        let [.., bytes, unit, _] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        bytes.parse::<f64>().unwrap() * if unit == "MB" { 1e6 } else { 1e3 }
    };
    let (one, ten) = (counted(1), counted(10));
    assert!(one > 50_000.0 * 16.0, "{one} bytes");
    assert!(ten < 1.5 * one, "{one} bytes, then {ten} bytes");
}

/// A rule file that ships, with changes: numbers that are huge, parts that are there twice or not
/// at all.
fn mangled(choices: &mut Choices, texts: &[String]) -> Vec<u8> {
    let mut text = choices.pick(texts).unwrap().clone().into_bytes();
    for _ in 0..1 + choices.below(6) {
        let at = choices.below(text.len() + 1);
        let end = (at + choices.below(30)).min(text.len());
        match choices.below(4) {
            0 => drop(text.splice(at..end, [])),
            1 => {
                let part = text[at..end].repeat(1 + choices.below(200));
                text.splice(at..at, part);
            }
            2 => {
                let huge =
                    choices.word_of(&["16777216", "4294967295", "18446744073709551615", "9e99", "1TiB"]);
                let digit = text[at..].iter().position(u8::is_ascii_digit).map_or(at, |more| at + more);
                let digits = text[digit..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                text.splice(digit..digit + digits, huge.bytes());
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = choices.bits(7) as u8;
                }
            }
        }
    }
    text
}

/// Programs are counted before they are made, so whatever they say, a small process counts them.
#[test]
fn mangled_programs_are_counted_in_little_memory() {
    let seed = std::env::var("MRULE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules");
    let paths = std::fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "mrule")).collect();
    paths.sort();
    let dir = tempfile::tempdir().unwrap();
    // With what they include and what their tables are read from.
    let copied =
        std::process::Command::new("cp").args(["-r", &format!("{shipped}/.")]).arg(dir.path()).status();
    assert!(copied.unwrap().success(), "cp");
    let texts: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let path = dir.path().join("a.mrule");
    let mut codes = [0; 3];
    for round in 0..crate::rounds(40, 2000) {
        let text = mangled(&mut Choices::of_seed((seed << 32) + u64::from(round)), &texts);
        std::fs::write(&path, &text).unwrap();
        let mut check = limited(768 << 20, MIRRORC);
        check.args(["check", "--cost", "--compile-time", "10s"]).arg(&path);
        let output = check.output().unwrap();
        let about = || format!("{}\nof\n{}", told(&output).0, String::from_utf8_lossy(&text));
        let code = output.status.code().and_then(|code| codes.get_mut(code as usize));
        *code.unwrap_or_else(|| panic!("round {round}: {}: {}", output.status, about())) += 1;
    }
    println!("exit codes 0, 1, 2: {codes:?}");
    assert!(codes[0] > 0 && codes[1] > 0, "some are good, some are not: {codes:?}");
}
