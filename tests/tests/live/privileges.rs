//! What a mirrorc at work may still do: little, in each of its threads, and enough for interfaces
//! that come back, stations and policies that come later, files, the control socket and SIGHUP.
//! (Rejected: trusting what it says about itself; the kernel tells in /proc.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Mirrorc, until, with_wire, write_rules};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const RULES: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen headers  to lake }\n";

/// CAP_NET_ADMIN and CAP_NET_RAW (capabilities(7)).
const ADMIN: u64 = 1 << 12;
const RAW: u64 = 1 << 13;

/// Of each thread: its effective, permitted and bounding capabilities, its users, whether it may
/// gain privileges, and how system calls are looked at.
fn threads(run: &Mirrorc) -> Vec<(u64, u64, u64, String, String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap();
    let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let of = |status: String| {
        let word = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().to_owned()
        };
        let bits = |name: &str| u64::from_str_radix(&word(name), 16).unwrap();
        (
            bits("CapEff:"),
            bits("CapPrm:"),
            bits("CapBnd:"),
            word("Uid:"),
            word("NoNewPrivs:"),
            word("Seccomp:"),
        )
    };
    status.map(of).collect()
}

/// Whether other users exist here: not so in a user namespace with one.
fn has_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().last().is_some_and(|many| many.parse::<u64>().unwrap() > 65534)
}

#[test]
fn a_bridge_keeps_two_capabilities_and_goes_on() {
    with_wire("a_bridge_keeps_two_capabilities_and_goes_on", |wire| {
        let user = if has_users() { vec!["--user", "nobody"] } else { Vec::new() };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let (path, socket) = (write_rules(dir.path(), RULES), dir.path().join("control"));
        let state = dir.path().join("state");
        let [control, state_dir] = [&socket, &state].map(|path| path.to_str().unwrap());
        let arguments = [&path[..], "--bridge", "in0:out0", "--control", control, "--state", state_dir];
        let run = wire.mirrorc(MIRRORC, &[&arguments[..], &user].concat());
        let place = ControlledRun { dir, run, socket };
        let seen = threads(&place.run);
        assert!(seen.len() > 3, "workers, stations, the API: {seen:?}");
        for (effective, permitted, bounding, uids, no_new, seccomp) in seen {
            assert_eq!((effective, permitted), (ADMIN | RAW, ADMIN | RAW));
            assert_eq!((bounding & !(ADMIN | RAW), &*no_new, &*seccomp), (0, "1", "2"));
            if !user.is_empty() {
                assert_eq!(uids, "65534\t65534\t65534\t65534");
            }
        }
        if !user.is_empty() {
            assert!(place.run.said().contains(", as nobody; Ctrl-C ends"), "{}", place.run.said());
            let file = place.dir.path().join("lake.pcapng");
            until("the station's file is nobody's", || file.metadata().is_ok_and(|file| file.uid() == 65534));
        }
        assert!(wire.pings(&["10.1.0.2"]));
        wire.replace_out0(&place.run, "1500");
        // Sockets and files of programs that come later.
        wire.ip(&wire.here, &["addr", "add", "10.2.0.1/24", "dev", "m0"]);
        wire.ip(&wire.right, &["addr", "add", "10.2.0.2/24", "dev", "mon"]);
        let text = "station ids { vxlan 10.2.0.2 vni 7 }\nstation out { interface m0 }\nstation again { pcapng \"DIR/again.pcapng\" }
                    station fifo { pipe \"DIR/fifo\" }\nrule all { match icmp  snaplen full  to ids, out, again, fifo }\n";
        let later = place.write("later.mrule", text);
        place.command(&["load", &later, "--as", "later"]);
        assert!(wire.pings(&["10.1.0.2"]));
        let sent = |stats: &serde_json::Value, name: &str| {
            let stations = stats["stations"].as_array().unwrap().clone();
            stations.iter().find(|s| s["name"] == name).map_or(0, |s| s["sent"].as_u64().unwrap())
        };
        // Nobody listens at the tunnel's port: what its host refuses is another matter.
        for (name, copies) in [("later/ids", 1), ("later/out", 6), ("later/again", 6)] {
            place.run.counts(name, |stats| sent(stats, name) >= copies);
        }
        assert!(place.dir.path().join("fifo").exists());
        place.run.hang_up();
        place.run.says("version 2 of the rules");
        place.command(&["unload", "later"]);
        place.run.stop();
        let left = wire.run(&wire.here, &["tc", "filter", "show", "dev", "in0", "ingress"]);
        assert!(left.trim().is_empty(), "redirects are taken away: {left}");
    });
}

#[test]
fn a_tap_keeps_one_and_programs_without_any_say_so() {
    with_wire("a_tap_keeps_one_and_programs_without_any_say_so", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let path = write_rules(dir.path(), RULES);
        let run = wire.mirrorc(MIRRORC, &[&path, "--tap", "in0", "--pin", "0", "--no-seccomp"]);
        for (effective, permitted, _, _, no_new, seccomp) in threads(&run) {
            assert_eq!((effective, permitted, &*no_new, &*seccomp), (RAW, RAW, "1", "0"));
        }
        // One worker, which stays where it was told to.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap();
        let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        let workers: Vec<String> = status.filter(|status| status.starts_with("Name:\tworker")).collect();
        assert!(workers.len() == 1 && workers[0].contains("Cpus_allowed_list:\t0\n"), "{workers:?}");
        run.stop();
        for (more, says) in [
            (&["--user", "no-such-user"][..], "cannot run as `no-such-user`: there is no such user"),
            (&["--pin", "1000"], "workers cannot be pinned to processor 1000; there are: 0"),
            (&["--pin", "3-1"], "write numbers and ranges, as in `0,2-3`"),
            (&["--pin", "0,0"], "processor 0 is named twice"),
        ] {
            let command = [&[MIRRORC, "run", &path, "--tap", "in0"], more].concat();
            let output = wire.try_run(&wire.here, &command);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(2) && said.contains(says), "{more:?}: {said}");
        }
        if has_users() {
            // Its directory is root's.
            let control = dir.path().join("control");
            let command = [
                MIRRORC,
                "run",
                &path,
                "--tap",
                "in0",
                "--control",
                control.to_str().unwrap(),
                "--user",
                "nobody",
            ];
            let output = wire.try_run(&wire.here, &command);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("ermission denied") && said.contains("mirrorc runs as `nobody`"), "{said}");
        }
    });
}

#[test]
fn a_terminal_shows_a_table() {
    with_wire("a_terminal_shows_a_table", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let path = write_rules(dir.path(), RULES);
        // A terminal, made by script(1).
        let run =
            format!("timeout --foreground -s INT 3 {MIRRORC} run {path} --bridge in0:out0 --interval 100ms");
        let typed = dir.path().join("typed");
        let command = ["script", "-qec", &run, typed.to_str().unwrap()];
        std::thread::scope(|scope| {
            let shown = scope.spawn(|| wire.try_run(&wire.here, &command));
            until("it forwards", || wire.pings(&["10.1.0.2"]));
            shown.join().unwrap()
        });
        let shown = std::fs::read_to_string(&typed).unwrap();
        for what in ["in0", "packets/s", "lake", "of the bytes saved", "\u{1b}[J", "main version 1"] {
            assert!(shown.contains(what), "{what}: {shown}");
        }
    });
}
