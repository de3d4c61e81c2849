//! Opening that hangs: a FIFO without a reader, and a file system that never answers (a FUSE mount
//! whose device nobody reads). The control plane, the signals and forwarding go on. (Rejected: a
//! mocked file system; that a thread cannot be woken is what matters.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{until, with_wire};
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const RULES: &str = "station lake { pcapng \"DIR/lake.pcapng\" }
    rule all { match any  snaplen 60  to lake }\n";

/// A mirrorc to which `DIR/hung` is a directory of which nothing is ever answered.
fn hung_binary(dir: &Path) -> String {
    let hung = dir.join("hung");
    std::fs::create_dir(&hung).unwrap();
    let script = format!(
        "#!/bin/sh\nexec 7<>/dev/fuse\n\
         mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 hung {} || exit 9\n\
         exec {MIRRORC} \"$@\"\n",
        hung.display()
    );
    let path = dir.join("hung.sh");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Whether a process has a thread of this name.
fn has_thread(pid: u32, name: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .into_iter()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}

#[test]
fn a_fifo_that_nobody_reads_holds_nothing_up() {
    with_wire("a_fifo_that_nobody_reads_holds_nothing_up", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let fifo = place.dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let begun = Instant::now();
        let target = format!("pcapng \"{}\"", fifo.display());
        let (_, said) = place.refused(&["station", "set", "lake", &target]);
        assert!(said.contains("is a FIFO") && begun.elapsed() < Duration::from_secs(15), "{said}");
        place.command(&["station", "set", "lake", &format!("pipe \"{}\"", fifo.display())]);
        assert!(wire.pings(&["10.1.0.2"]));
        // Rules that are a FIFO: SIGHUP waits for them on a thread of its own.
        let rules = place.dir.path().join("a.mrule");
        std::fs::remove_file(&rules).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &rules, rustix::fs::Mode::RWXU).unwrap();
        place.run.hang_up();
        until("it reads them", || has_thread(place.run.pid(), "reload"));
        assert_eq!(place.status().1["policies"][0]["name"], "main");
        place.run.hang_up();
        place.run.says("the last SIGHUP is still at work");
        let begun = Instant::now();
        place.run.stop();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_file_system_that_hangs_is_waited_for_for_a_while() {
    with_wire("a_file_system_that_hangs_is_waited_for_for_a_while", |wire| {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("SKIPPED: there is no /dev/fuse");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let binary = hung_binary(dir.path());
        let place = ControlledRun::start_in(dir, wire, &binary, RULES, &[]);
        let hung = place.dir.path().join("hung/x.pcapng");
        let target = format!("pcapng \"{}\"", hung.display());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let set = scope.spawn(|| place.refused(&["station", "set", "lake", &target]).1);
            // Meanwhile others are answered, and packets are forwarded.
            let mut answered = 0;
            while !set.is_finished() {
                place.status();
                place.command(&["param", "list"]);
                answered += 1;
            }
            let said = set.join().unwrap();
            assert!(said.contains("took longer than 5 s") && said.contains("hangs"), "{said}");
            assert!(answered > 2 && begun.elapsed() < Duration::from_secs(30), "{answered}");
        });
        assert!(wire.pings(&["10.1.0.2"]));
        assert!(place.json(&["station", "list"]).to_string().contains("lake.pcapng"), "nothing has changed");
        place.command(&[
            "station",
            "set",
            "lake",
            &format!("pcapng \"{}\"", place.dir.path().join("b").display()),
        ]);
        // SIGHUP finds the same in the rules, and SIGTERM does not wait for it.
        place.write(
            "a.mrule",
            &RULES.replace("DIR/lake", "DIR/hung/lake").replace("lake ", "sea ").replace("to lake", "to sea"),
        );
        place.run.hang_up();
        until("the reload is at work", || has_thread(place.run.pid(), "to sea"));
        let begun = Instant::now();
        place.run.stop();
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_start_that_hangs_ends_by_itself_and_by_a_signal() {
    with_wire("a_start_that_hangs_ends_by_itself_and_by_a_signal", |wire| {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("SKIPPED: there is no /dev/fuse");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let binary = hung_binary(dir.path());
        let rules = mrule_tests::wire::write_rules(dir.path(), &RULES.replace("DIR/lake", "DIR/hung/lake"));
        let command = ["netns", "exec", &wire.here, &binary, "run", &rules, "--tap", "in0"];
        let start = || {
            std::process::Command::new("ip")
                .args(command)
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (begun, child) = (Instant::now(), start());
        let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        assert!(said.contains("took longer than 5 s") && begun.elapsed() < Duration::from_secs(30), "{said}");
        let child = start();
        until("it opens its station", || has_thread(child.id(), "to lake"));
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_state_that_hangs_holds_nothing_up() {
    with_wire("a_state_that_hangs_holds_nothing_up", |wire| {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("SKIPPED: there is no /dev/fuse");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let binary = hung_binary(dir.path());
        let state = dir.path().join("hung/state").to_str().unwrap().to_owned();
        let place = ControlledRun::start_in(dir, wire, &binary, RULES, &["--state", &state]);
        place.run.says("has not answered for");
        assert_eq!(place.status().1["state"]["kept"], false);
        // What it holds may bind copies: they stop, and forwarding goes on.
        let reasons = place.reasons();
        for reason in ["state", "binding_missing"] {
            assert!(reasons.iter().any(|other| other == reason), "{reasons:?}");
        }
        assert!(wire.pings(&["10.1.0.2"]));
        assert_eq!(place.status().1["counts"]["sent"], 0);
        place.command(&["release"]);
        let target = format!("pcapng \"{}\"", place.dir.path().join("b.pcapng").display());
        place.command(&["station", "set", "lake", &target]);
        assert!(wire.pings(&["10.1.0.2"]));
        until("copies go again", || place.status().1["counts"]["sent"].as_u64() > Some(0));
        place.run.stop();
        // A start that waits for the directory ends by a signal.
        let dir = place.dir;
        let rules = dir.path().join("a.mrule");
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &wire.here, &binary, "run", rules.to_str().unwrap()]);
        let mut child = command.args(["--tap", "in0", "--state", &state]).spawn().unwrap();
        until("it opens its state", || has_thread(child.id(), "state"));
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    });
}

/// A file system in a file, frozen and thawed in the mount namespace of a process.
struct Frozen {
    /// The namespace, which may outlive the process's first thread.
    namespace: std::fs::File,
    at: String,
}

impl Frozen {
    fn change(&self, how: &str) -> bool {
        let held = format!("--mount=/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd());
        let enter = [&held, "fsfreeze", how, &self.at];
        std::process::Command::new("nsenter").args(enter).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.change("-u");
    }
}

#[test]
fn a_state_that_begins_to_hang_is_given_up() {
    with_wire("a_state_that_begins_to_hang_is_given_up", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let (disk, image) = (dir.path().join("disk"), dir.path().join("image"));
        std::fs::create_dir(&disk).unwrap();
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let made = std::process::Command::new("mkfs.ext4").arg("-q").arg(&image).status();
        let probe = "mount -o loop \"$0\" \"$1\" && fsfreeze -f \"$1\" && fsfreeze -u \"$1\"";
        let mut tried = std::process::Command::new("unshare");
        tried.args(["-m", "sh", "-c", probe]).arg(&image).arg(&disk);
        let is_good = |status: std::io::Result<std::process::ExitStatus>| status.is_ok_and(|s| s.success());
        if !is_good(made) || !is_good(tried.status()) {
            eprintln!("SKIPPED: no file system can be made in a file and frozen here");
            return;
        }
        let script = format!(
            "#!/bin/sh\nmount -o loop {} {} || exit 9\nexec {MIRRORC} \"$@\"\n",
            image.display(),
            disk.display()
        );
        let binary = dir.path().join("disk.sh");
        std::fs::write(&binary, script).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
        let state = disk.join("state").to_str().unwrap().to_owned();
        let rules = format!("param head : size = 60 in 20..100\n{RULES}");
        let place =
            ControlledRun::start_in(dir, wire, binary.to_str().unwrap(), &rules, &["--state", &state]);
        place.command(&["param", "set", "head", "70"]);
        let namespace = std::fs::File::open(format!("/proc/{}/ns/mnt", place.run.pid())).unwrap();
        let frozen = Frozen { namespace, at: disk.to_str().unwrap().to_owned() };
        assert!(frozen.change("-f"), "frozen");
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let set = scope.spawn(|| place.command(&["param", "set", "head", "80"]));
            // Its answer waits for the disk; the control plane does not.
            let mut answered = 0;
            while !set.is_finished() {
                place.command(&["param", "list"]);
                place.status();
                answered += 1;
            }
            assert!(answered > 2 && begun.elapsed() > Duration::from_secs(2), "{answered}");
        });
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(place.status().1["state"]["kept"], false);
        place.run.says("changes are not kept until it does");
        let trouble = place.status().1["state"]["trouble"].to_string();
        assert!(
            trouble.contains("the state directory `") && trouble.contains("does not answer"),
            "{trouble}"
        );
        place.command(&["param", "set", "head", "90"]);
        // Loads go on, too, and the history on the same disk is said to hang.
        let other = place.write("other.mrule", "");
        let loading = Instant::now();
        place.command(&["load", &other, "--as", "other"]);
        assert!(loading.elapsed() < Duration::from_secs(3), "{:?}", loading.elapsed());
        until("both are known", || place.reasons() == ["state", "history"]);
        assert!(wire.pings(&["10.1.0.2"]));
        // Its last thread ends with the disk; the sums do not wait for it.
        kill_process(Pid::from_raw(place.run.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
        place.run.counts("the final sums", |counts| counts["final"] == true);
        drop(frozen);
        place.run.kill();
    });
}
