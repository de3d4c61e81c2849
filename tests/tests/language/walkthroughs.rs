//! Pages that show commands and what they print. Each command is run in a directory of its own, in
//! the order of the page, and the page must show its output. The invariant: what a reader sees is
//! what the program prints; `UPDATE=1` records it. (Rejected: outputs pasted by hand; they age.)
//!
//! A block "mrule NAME" is a file of that name. In a block "console", a line that begins with `$ `
//! is a command for `sh`; what follows is its output.

use mrule_tests::cli::assert_recorded;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a command prints; how fast it was differs each time and is not shown.
fn printed(command: &str, dir: &Path) -> String {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(dir);
    let output = shell.env("PATH", path).env("NO_COLOR", "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| match line.ends_with(" packets/s") {
        true => "... s, ... packets/s\n".to_owned(),
        false => format!("{}\n", line.trim_end()),
    };
    text.lines().map(line).collect()
}

/// The page with the outputs of now.
fn played(page: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("tests")).unwrap();
    fs::create_dir_all(dir.path().join("bin")).unwrap();
    symlink(root().join("rules"), dir.path().join("rules")).unwrap();
    symlink(root().join("tests/pcap"), dir.path().join("tests/pcap")).unwrap();
    symlink(env!("CARGO_BIN_EXE_mirrorc_live"), dir.path().join("bin/mirrorc")).unwrap();
    let mut played = String::new();
    let (mut file, mut console): (Option<(String, String)>, bool) = (None, false);
    for line in page.lines() {
        let begins = line.strip_prefix("```mrule ");
        match (&mut file, line) {
            (Some((name, text)), "```") => {
                fs::write(dir.path().join(name), text).unwrap();
                file = None;
            }
            (Some((_, text)), line) => *text = format!("{text}{line}\n"),
            (None, "```") => console = false,
            (None, "```console") => console = true,
            (None, _) => file = begins.map(|name| (name.to_owned(), String::new())),
        }
        match line.strip_prefix("$ ").filter(|_| console) {
            Some(command) => played += &format!("{line}\n{}", printed(command, dir.path())),
            // An older output.
            None if console && line != "```console" => {}
            None => played += &format!("{line}\n"),
        }
    }
    played
}

#[test]
fn pages_show_what_commands_print() {
    for page in ["docs/quickstart.md", "docs/tutorial.md"] {
        let path = root().join(page);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.matches("\n$ mirrorc").count() >= 5, "{page} shows commands");
        assert_recorded(path, &played(&text));
    }
}
