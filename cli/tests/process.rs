//! The binary as a process: what only a process has: an exit code, streams that break, an
//! environment. Everything else is tested in place by the `tests` crate. (Rejected: starting a
//! process per case; there are hundreds of cases.)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn mirrorc(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirrorc"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn output(args: &[&str]) -> Output {
    mirrorc(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn rules(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mrule");
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (dir, name)
}

const GOOD: &str = "station lake { pcapng \"lake.pcapng\" }\nrule all { match any  snaplen full  to lake }\n";
const BAD: &str = "station lake { pcapng \"lake.pcapng\" }\nrule all { match any  snaplen 1Kib  to lake }\n";

#[test]
fn exit_codes() {
    let (_good, good) = rules(GOOD);
    let (_bad, bad) = rules(BAD);
    for (args, code) in [
        (vec!["--version"], 0),
        (vec!["--help"], 0),
        (vec!["check", &good], 0),
        (vec!["check", "--explain", "E0001"], 0),
        (vec!["check", "--explain"], 0),
        (vec!["fields", "tcp"], 0),
        (vec!["check", &bad], 1),
        (vec!["check", &bad, "--format", "json"], 1),
        (vec!["check", &bad, "--format", "sarif"], 1),
        (vec!["run", &bad, "--read", "none.pcap"], 1),
        (vec!["fields", "no such field"], 1),
        (vec![], 2),
        (vec!["check"], 2),
        (vec!["chek", &good], 2),
        (vec!["check", "no-such-file.mrule"], 2),
        (vec!["check", "--explain", "E9999"], 2),
        (vec!["check", &good, "--set", "head"], 2),
        (vec!["run", &good, "--read", "no-such-capture.pcap"], 2),
        (vec!["run", &good, "--read", &good], 3),
    ] {
        let ran = output(&args);
        assert_eq!(ran.status.code(), Some(code), "{args:?}: {}{}", text(&ran.stdout), text(&ran.stderr));
        let silent = if code == 0 { &ran.stderr } else { &ran.stdout };
        let shows_json = args.contains(&"--format");
        assert!(silent.is_empty() || shows_json, "{args:?} says on the wrong stream: {}", text(silent));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = mirrorc(&["fields"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), ""));
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran =
        mirrorc(&["fields"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert_eq!(text(&ran.stderr), "error: cannot write the output: no space left on device\n");
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let (_bad, bad) = rules(BAD);
    let coloured = |command: &mut Command| command.output().unwrap().stderr.contains(&0x1b);
    assert!(!coloured(&mut mirrorc(&["check", &bad])));
    assert!(coloured(mirrorc(&["check", &bad]).env("CLICOLOR_FORCE", "1")));
    assert!(!coloured(mirrorc(&["check", &bad]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(coloured(mirrorc(&["check", &bad, "--color", "always"]).env("NO_COLOR", "1")));
    assert!(!coloured(mirrorc(&["check", &bad, "--color", "never"]).env("CLICOLOR_FORCE", "1")));
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    let mut child = mirrorc(&["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"let   a=  {1,2}\n").unwrap();
    let ran = child.wait_with_output().unwrap();
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "let a = {1, 2}\n"));
}
