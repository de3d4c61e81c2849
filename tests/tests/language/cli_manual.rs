//! Completions, manual pages and `--help` of every command: they are there, name every option, and
//! the programs that read them find nothing wrong. The invariant: which commands and options there
//! are is read from `--help`, which is what users see. (Rejected: recordings; they would change
//! with every option and say nothing about whether a shell takes them.)

use mirrorc::Exit;
use mrule_tests::cli::mirrorc;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What `--help` of a command says: its options by heading, and its commands.
pub(super) struct Help {
    pub(super) options: BTreeMap<String, Vec<String>>,
    pub(super) commands: Vec<String>,
}

pub(super) fn help(command: &[&str]) -> Help {
    let run = mirrorc(&[command, &["--help"]].concat());
    assert_eq!(run.exit, Exit::Clean, "{command:?}: {}", run.stderr);
    let mut help = Help { options: BTreeMap::new(), commands: Vec::new() };
    let mut heading = "";
    for line in run.stdout.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            heading = name;
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let word = line.split_whitespace().next().unwrap_or_default();
        // `help` is `--help` in another order of words.
        if heading == "Commands" && indent == 2 && word != "help" {
            help.commands.push(word.to_owned());
        }
        let long = line.split_whitespace().take(2).find(|word| word.starts_with("--"));
        if let Some(long) = long.filter(|_| word.starts_with('-') && (indent == 2 || indent == 6)) {
            let long = long.split('=').next().unwrap().to_owned();
            help.options.entry(heading.to_owned()).or_default().push(long);
        }
    }
    help
}

/// Every command, itself among them, as words.
pub(super) fn commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while at < all.len() {
        let words: Vec<&str> = all[at].iter().map(String::as_str).collect();
        let found: Vec<Vec<String>> =
            help(&words).commands.into_iter().map(|name| [&all[at][..], &[name]].concat()).collect();
        all.extend(found);
        at += 1;
    }
    assert!(all.len() > 25, "{all:?}");
    all
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("SKIPPED: {program} is not there, so nobody says whether it takes what is made for it");
    }
    found.status.success()
}

#[test]
fn options_stand_under_their_headings() {
    let run = help(&["run"]).options;
    let under = |heading: &str, options: &[&str]| {
        for option in options {
            assert!(run[heading].iter().any(|o| o == option), "{option} is not under {heading}: {run:?}");
        }
    };
    under("Options", &["--set", "--read", "--out", "--engine", "--stats", "--quiet", "--color", "--help"]);
    under("Interfaces", &["--tap", "--bridge", "--workers", "--control", "--state", "--interval"]);
    under(
        "Memory",
        &["--flows", "--flow-timeout", "--stream-pool", "--stream-gap-time", "--memory", "--policy-memory"],
    );
    under("Remote API", &["--listen", "--tls-cert", "--tls-key", "--tokens"]);
    under("Events", &["--events", "--events-out"]);
    under("Alarms", &["--webhook", "--webhook-secret-file", "--syslog", "--alarm-drops"]);
    for command in ["check", "explain"] {
        let help = help(&[command]).options;
        assert!(help["Options"].contains(&"--format".to_owned()), "{command}: {help:?}");
        // They tell what a run with this budget would refuse.
        let memory = ["--flows", "--flow-timeout", "--memory", "--policy-memory", "--stream-pool"];
        let gaps = ["--stream-gap-bytes", "--stream-gap-packets", "--stream-gap-time"];
        let memory = [&memory[..], &gaps].concat();
        assert_eq!(help["Memory"], memory, "{command}");
    }
}

#[test]
fn every_shell_gets_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = mirrorc(&["completions", shell]);
        assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""), "{shell}");
        for command in commands() {
            let name = command.last().map_or("mirrorc", String::as_str);
            assert!(run.stdout.contains(name), "{shell}: {command:?}");
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            for option in help(&words).options.values().flatten() {
                // fish writes them without dashes.
                let name = option.trim_start_matches('-');
                assert!(run.stdout.contains(name), "{shell}: {command:?} {option}");
            }
        }
    }
    let unknown = mirrorc(&["completions", "tcsh"]);
    assert!(unknown.exit == Exit::Usage && unknown.stderr.contains("bash"), "{}", unknown.stderr);
}

#[test]
fn shells_take_their_completions() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let path = dir.path().join(shell);
        std::fs::write(&path, mirrorc(&["completions", shell]).stdout).unwrap();
        if has(shell) {
            let read = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(read.status.success() && said.is_empty(), "{shell}: {said}");
        }
    }
    if has("bash") {
        // As bash itself asks for them.
        // As bash itself asks: what begins with `st`.
        let script = "source \"$1\"; COMP_WORDS=(mirrorc st); COMP_CWORD=1; _mirrorc mirrorc st mirrorc; \
                      echo \"${COMPREPLY[*]}\"";
        let path = dir.path().join("bash");
        let run = Command::new("bash").args(["-c", script, "bash"]).arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(said.contains("status station"), "{said}{}", String::from_utf8_lossy(&run.stderr));
    }
}

/// A page as `man` shows it. Nothing may be wrong with it.
fn formatted(page: &Path) -> String {
    let man = Command::new("man")
        .args(["--warnings", "-E", "UTF-8", "-l"])
        .arg(page)
        .env("MANWIDTH", "200")
        .output();
    let man = man.unwrap();
    let said = String::from_utf8_lossy(&man.stderr);
    assert!(man.status.success() && said.is_empty(), "{}: {said}", page.display());
    String::from_utf8_lossy(&man.stdout).into_owned()
}

#[test]
fn there_is_a_page_for_every_command_and_it_names_every_option() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("man1");
    assert_eq!(mirrorc(&["man", "--out", out.to_str().unwrap()]).exit, Exit::Clean);
    let man = has("man");
    let commands = commands();
    for command in &commands {
        let name = [&["mirrorc".to_owned()][..], command].concat().join("-");
        let page = out.join(format!("{name}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        let plain = text.replace("\\-", "-");
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        for option in help(&words).options.values().flatten() {
            assert!(plain.contains(option.as_str()), "{name}: {option}\n{text}");
        }
        if man {
            let shown = formatted(&page);
            assert!(shown.contains(&name) && shown.contains("--help"), "{name}: {shown}");
        }
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), commands.len(), "and no other pages");
    let main = mirrorc(&["man"]);
    assert_eq!(
        (main.exit, main.stdout),
        (Exit::Clean, std::fs::read_to_string(out.join("mirrorc.1")).unwrap())
    );
    // A directory that cannot be made.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = mirrorc(&["man", "--out", file.join("x").to_str().unwrap()]);
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.stderr.contains("cannot write pages to"), "{}", refused.stderr);
}
