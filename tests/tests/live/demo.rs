//! `mirrorc demo` from end to end: as root and as nobody it forwards whole answers, what the
//! station takes out of the tunnel is what was sent, the capture reads, nothing is left in the
//! machine's network, and it ends when told to. (Rejected: running it inside of this process, which
//! it would move to another namespace.)

use crate::MIRRORC;
use mrule_tests::netns::is_allowed;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// The first number in the line that begins like this.
fn number(said: &str, from: &str) -> u64 {
    let line =
        said.lines().find_map(|line| line.strip_prefix(from)).unwrap_or_else(|| panic!("{from}: {said}"));
    let digits: String = line.chars().take_while(|c| *c != ' ').filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{from}: {said}"))
}

/// Interfaces of this network. Named namespaces are not compared: other tests make them meanwhile.
fn around() -> String {
    fs::read_to_string("/proc/net/dev").unwrap().lines().filter_map(|l| l.split(':').next()).collect()
}

fn shows_all(mut command: Command, dir: &Path) {
    let output = command.current_dir(dir).args(["demo", "--requests", "8"]).output().unwrap();
    let (said, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}{err}");
    assert!(said.contains("the client received 1.6 MB of answers"), "{said}");
    assert!(said.contains("10.77.0.2:80 ") && said.contains("0 dropped"), "{said}{err}");
    let sent = number(&said, "ids: ");
    assert!(sent > 100, "{said}");
    let came = said.lines().find(|line| line.contains(" of ids arrived")).unwrap();
    assert_eq!(sent, number(came, ""), "{said}");
    let lake = dir.join("mirrorc-demo.pcapng");
    let copies = mrule_tests::frames::read(&lake);
    assert_eq!(copies.len() as u64, number(&said, "lake: "));
    assert!(copies.iter().all(|copy| copy.bytes.len() <= 14 + 20 + 60), "headers only");
    assert!(copies.iter().any(|copy| copy.len == 1514), "and of longer packets, too");
}

#[test]
fn it_shows_all_to_us() {
    if is_allowed("it_shows_all_to_us") {
        let (dir, before) = (tempfile::tempdir().unwrap(), around());
        shows_all(Command::new(MIRRORC), dir.path());
        // Once more, over the capture of the first one.
        shows_all(Command::new(MIRRORC), dir.path());
        assert_eq!(around(), before);
    }
}

#[test]
fn it_shows_all_to_nobody() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: it_shows_all_to_nobody: only root can become nobody");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let may = Command::new("unshare").args(["--user", "--net", "true"]).uid(NOBODY).gid(NOBODY).status();
    if !may.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: it_shows_all_to_nobody: user namespaces are not to be had here");
    }
    // Where it was built, nobody may not be allowed to look.
    let copy = dir.path().join("mirrorc");
    fs::copy(MIRRORC, &copy).unwrap();
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY);
    shows_all(command, dir.path());
}

#[test]
fn where_namespaces_are_forbidden_it_says_so() {
    if !is_allowed("where_namespaces_are_forbidden_it_says_so") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // In a user namespace that may have no others, and there without its privileges.
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && echo 0 >/proc/sys/user/max_net_namespaces && exec \"$0\" demo";
    let mut run = Command::new("unshare");
    let run = run.args(["--map-root-user", "sh", "-c", script, MIRRORC]).current_dir(dir.path());
    let output = run.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(
        err.contains("cannot create network namespaces: the system allows no more of them")
            && err.contains("sudo mirrorc demo"),
        "{err}"
    );
    assert!(!dir.path().join("mirrorc-demo.pcapng").exists());
}

#[test]
fn it_ends_when_told_to() {
    if !is_allowed("it_ends_when_told_to") {
        return;
    }
    let (dir, before) = (tempfile::tempdir().unwrap(), around());
    let child = Command::new(MIRRORC)
        .args(["demo", "--requests", "10000"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && asked.elapsed() < Duration::from_secs(20), "{said}");
    assert!(number(&said, "ids: ") > 0, "{said}");
    assert_eq!(around(), before);
}
