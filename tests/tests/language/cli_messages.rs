//! What the command line says when it cannot go on: what is wrong, where, why, and what to write.
//! The invariant: a message never shows the number of a system error, and its help names an option,
//! a command or a path. (Rejected: recordings of whole outputs; what matters is that the way out is
//! named.)

use std::path::Path;
use std::process::{Command, Output};

const MIRRORC: &str = env!("CARGO_BIN_EXE_mirrorc_live");

/// Runs it with these variables, in this directory.
fn run(dir: &Path, environment: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = Command::new(MIRRORC);
    for name in ["MIRRORC_CONTROL", "MIRRORC_TOKEN_FILE", "MIRRORC_CA", "SUDO_UID"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).args(words).current_dir(dir).output().expect("mirrorc")
}

/// What a run says that fails with this exit code; it names all of these.
fn fails(dir: &Path, environment: &[(&str, &str)], words: &[&str], code: i32, says: &[&str]) {
    let output = run(dir, environment, words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    // A help may be wrapped.
    let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in says {
        assert!(plain.contains(text), "{words:?}: `{text}` is not in: {said}");
    }
    assert!(!said.contains("os error"), "{words:?}: {said}");
}

#[test]
fn where_to_ask_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let named = ["no running mirrorc is named", "--to SOCKET", "--to https://HOST:PORT", "MIRRORC_CONTROL"];
    fails(dir, &[], &["status"], 2, &named);
    let empty = [("MIRRORC_CONTROL", ""), ("MIRRORC_TOKEN_FILE", ""), ("MIRRORC_CA", "")];
    fails(dir, &empty, &["status"], 2, &named);
    fails(dir, &[], &["trigger", "list"], 2, &named);
    let nobody = ["cannot connect to `control`: no such file or directory", "run ... --control SOCKET"];
    fails(dir, &[("MIRRORC_CONTROL", "control")], &["status"], 2, &nobody);
    let refused = ["connection refused", "--listen 127.0.0.1:9", "--tls-cert", "no firewall blocks"];
    fails(dir, &empty, &["status", "--to", "https://127.0.0.1:9"], 2, &refused);
    let clear = ["the remote API uses TLS", "https://m.example:8443", "--token-file"];
    fails(dir, &[], &["status", "--to", "http://m.example:8443"], 2, &clear);
}

#[test]
fn what_is_loaded_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("bad.mrule", "station lake { pcapng lake.pcapng }\nrule r { match any  snaplen full  to lake }\n");
    let path = ["`lake.pcapng` is not a path in quotes", "write `pcapng \"lake.pcapng\"`"];
    fails(dir.path(), &[], &["check", "bad.mrule"], 1, &path);
    let loaded = ["1 error; nothing was loaded"];
    fails(dir.path(), &[], &["load", "bad.mrule", "--to", "control"], 1, &loaded);
    fails(dir.path(), &[], &["run", "bad.mrule", "--tap", "lo"], 1, &["1 error; nothing was run"]);
    for (words, help) in [
        ("limit 1Mbit", "as in `interface eth0 limit 100Mbit`"),
        ("rotate 1GiB", "as in `pcapng \"captures/all.pcapng\" rotate 1GiB keep 10`"),
    ] {
        write(
            "bad.mrule",
            &format!("station lake {{ {words} }}\nrule r {{ match any  snaplen full  to lake }}\n"),
        );
        fails(dir.path(), &[], &["check", "bad.mrule"], 1, &[help]);
    }
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("a.mrule");
    std::fs::write(&rules, "station s { pcapng \"s.pcapng\" }\nrule r { match any  snaplen full  to s }\n")
        .unwrap();
    let missing = dir.path().join("not/there");
    let (missing, first) = (missing.to_str().unwrap(), dir.path().join("not"));
    let control = format!("{missing}/control");
    let there = format!("there is no directory `{}`", first.display());
    let made = format!("mkdir -p -m 0700 {missing}");
    fails(
        dir.path(),
        &[],
        &["run", "a.mrule", "--tap", "lo", "--user", "root", "--control", &control],
        2,
        &[&there, &made],
    );
}

#[test]
fn lists_that_are_empty_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("unshare").args(["-n", MIRRORC, "bridge", "list"]).output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if why.contains("unshare") {
        return eprintln!("SKIPPED: no network namespace may be made here");
    }
    assert!(said.contains("no bridges"), "{said}{why}");
    fails(dir.path(), &[], &["fields", "no such field"], 1, &["no field has `no such field`"]);
}
