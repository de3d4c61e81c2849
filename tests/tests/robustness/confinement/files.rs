//! One file by two ways, files that mirrorc did not make, and modes. (Rejected: comparing the texts
//! of paths.)

use super::{Host, RULES, names};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{until, with_wire, write_rules};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

#[test]
fn one_file_is_written_by_one_station_by_whatever_path() {
    with_wire("one_file_is_written_by_one_station_by_whatever_path", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let own = place.dir.path().join("own");
        let dir = place.dir.path().to_str().unwrap();
        let at = |path: &str| place.dir.path().join(path).to_str().unwrap().to_owned();
        symlink(&own, at("alias")).unwrap();
        fs::hard_link(own.join("lake.pcapng"), at("hard.pcapng")).unwrap();
        symlink(own.join("lake.pcapng"), at("soft.pcapng")).unwrap();
        let inode = fs::metadata(own.join("lake.pcapng")).unwrap().ino();
        for (path, says) in [
            ("own/lake.pcapng", "station `lake` of policy `main` writes there"),
            ("own/../own/lake.pcapng", "station `lake` of policy `main` writes there"),
            ("own//./lake.pcapng", "station `lake` of policy `main` writes there"),
            ("alias/lake.pcapng", "station `lake` of policy `main` writes there"),
            ("hard.pcapng", "station `lake` of policy `main` writes there"),
            ("soft.pcapng", "symbolic link"),
        ] {
            let text =
                format!("station s {{ pcapng \"{}\" }}\nrule r {{ match any snaplen 9 to s }}\n", at(path));
            let rules = place.write("two.mrule", &text);
            let (_, said) = place.refused(&["load", &rules, "--as", "two"]);
            assert!(said.contains(says), "{path}: {said}");
            // The same within one policy.
            let text = format!("{}station t {{ pcapng \"{}\" }}\n", RULES.replace("DIR", dir), at(path));
            let rules = place.write("both.mrule", &text);
            let (_, said) = place.refused(&["load", &rules]);
            assert!(
                said.contains("writes there")
                    || said.contains("symbolic")
                    || said.contains("two stations write"),
                "{path}: {said}"
            );
        }
        assert_eq!(fs::metadata(own.join("lake.pcapng")).unwrap().ino(), inode);
        // Another name for a station takes its file over.
        let text = RULES.replace("lake {", "pond {").replace("to lake", "to pond").replace("DIR", dir);
        place.command(&["load", &place.write("renamed.mrule", &text)]);
        assert_eq!(names(&own).len(), 2, "the old one was moved aside");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
    });
}

#[test]
fn a_ring_deletes_only_what_it_made() {
    with_wire("a_ring_deletes_only_what_it_made", |wire| {
        let ring = "pcapng \"DIR/cap/x.pcapng\" rotate 4KiB keep 1";
        let rules = format!("station s {{ {ring} }}\nrule r {{ match any  snaplen 400  to s }}\n");
        let place = ControlledRun::start(wire, MIRRORC, &rules, &[]);
        let cap = place.dir.path().join("cap");
        // Another policy's file has a name that this ring would give.
        let other = cap.join("x_00000_20260101000000.pcapng").to_str().unwrap().to_owned();
        let text = format!("station s {{ pcapng \"{other}\" }}\nrule r {{ match any  snaplen 90  to s }}\n");
        let text = place.write("other.mrule", &text);
        place.command(&["load", &text, "--as", "other"]);
        let foreign = cap.join("x_00001_20250101000000.pcapng");
        fs::write(&foreign, "foreign").unwrap();
        let twice = rules.replace("cap/x", "cap/../cap/x").replace("keep 1", "keep 2");
        let twice = place.write("twice.mrule", &twice);
        let (_, said) = place.refused(&["load", &twice, "--as", "twice"]);
        assert!(said.contains("station `s` of policy `main` writes there"), "{said}");
        let inode = fs::metadata(&other).unwrap().ino();
        let last = |names: &[String]| names.iter().filter(|name| !name.contains("_0000")).count();
        until("the ring has gone round", || {
            wire.pings(&["-s", "300", "10.1.0.2"]);
            names(&cap).iter().any(|name| name.starts_with("x_0001"))
        });
        let place = place.killed_and_started(wire, MIRRORC, &[]);
        until("the ring has gone round again", || {
            wire.pings(&["-s", "300", "10.1.0.2"]);
            names(&cap).iter().any(|name| name.starts_with("x_0002"))
        });
        let found = names(&cap);
        assert!(found.len() == 3 && last(&found) == 1, "{found:?}");
        assert_eq!(fs::metadata(&other).unwrap().ino(), inode);
        assert_eq!(fs::read(&foreign).unwrap(), b"foreign");
        place.run.stop();
    });
}

/// The modes of all files beneath a directory that are not as they should be.
fn too_open(directory: &Path, wrong: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.mode() & 0o077 != 0 && !about.file_type().is_symlink() {
            wrong.push(format!("{} {:o}", path.display(), about.mode()));
        }
        if about.is_dir() {
            too_open(&path, wrong);
        }
    }
}

#[test]
fn what_a_run_makes_is_private() {
    with_wire("what_a_run_makes_is_private", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        fs::create_dir(&made).unwrap();
        fs::set_permissions(&made, Permissions::from_mode(0o700)).unwrap();
        let at = |name: &str| made.join(name).to_str().unwrap().to_owned();
        let rules = "station a { pcapng \"DIR/made/cap/%Y/a.pcapng\" }
            station b { pcapng \"DIR/made/ring/b.pcapng\" rotate 4KiB keep 3 }
            station c { pipe \"DIR/made/deep/fifo\" }
            rule r { match any  snaplen 60  to a, b, c }\n";
        let (state, events) = (at("state"), at("events"));
        let place =
            ControlledRun::start_in(dir, wire, MIRRORC, rules, &["--state", &state, "--events-out", &events]);
        wire.pings(&["10.1.0.2"]);
        place.command(&["station", "drain", "a"]);
        until("the history is on the disk", || made.join("state/history.sqlite-wal").exists());
        let mut wrong = Vec::new();
        too_open(&made, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(made.join("state/state.sqlite-wal").exists() && made.join("events").exists());
        place.run.stop();
        // A state of an earlier mirrorc that everybody could read.
        let path = made.join("state/state.sqlite");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_replay_writes_over_its_own_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let rules =
        write_rules(dir.path(), "station s { pcapng \"s\" }\nrule r { match any  snaplen 60  to s }\n");
    let (out, events) = (dir.path().join("out"), dir.path().join("events"));
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/pcap/dns.pcap");
    let run = || {
        let mut command = std::process::Command::new(MIRRORC);
        command.args(["run", &rules, "--read", capture, "--out"]).arg(&out).arg("--events-out").arg(&events);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(run().0 && run().0, "twice is no fault");
    let copies = out.join("s.pcapng");
    for path in [&out, &copies, &events] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o077, 0, "{path:?}");
    }
    for path in [&copies, &events] {
        let kept = fs::read(path).unwrap();
        fs::write(path, "something else").unwrap();
        let (done, said) = run();
        assert!(!done && said.contains("mirrorc did not make it"), "{said}");
        assert_eq!(fs::read(path).unwrap(), b"something else");
        fs::write(path, kept).unwrap();
    }
}

#[test]
fn files_that_others_could_change_are_refused_with_the_mend() {
    with_wire("files_that_others_could_change_are_refused_with_the_mend", |wire| {
        let dir = Host::prepare(wire);
        let rules = write_rules(dir.path(), RULES);
        let options = Host::options(dir.path());
        let run = [MIRRORC, "run", &rules, "--tap", "in0"];
        let start: Vec<&str> = run.into_iter().chain(options.iter().map(String::as_str)).collect();
        for (name, mode, says) in
            [("tokens", 0o664, "chmod go-w "), ("key", 0o644, "chmod o-r "), ("key", 0o620, "chmod go-w ")]
        {
            let path = dir.path().join(name);
            let before = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let output = wire.try_run(&wire.here, &start);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(2) && said.contains(says), "{name} {mode:o}: {said}");
            assert!(said.contains(path.to_str().unwrap()), "{said}");
            fs::set_permissions(&path, before).unwrap();
        }
    });
}
