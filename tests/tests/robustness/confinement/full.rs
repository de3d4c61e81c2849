//! A file system without room for captures, state and history: what is not written is counted and
//! told, forwarding goes on, and what was complete stays complete. (Rejected: errors made by hand;
//! how much of a write a full file system takes is what matters.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::copies::labelled_copies;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A mirrorc to which `DIR/small` is a file system of this size.
fn small_binary(dir: &Path, size: &str) -> String {
    let small = dir.join("small");
    std::fs::create_dir(&small).unwrap();
    let script = format!(
        "#!/bin/sh\nmount -t tmpfs -o size={size} none {} || exit 9\nexec {MIRRORC} \"$@\"\n",
        small.display()
    );
    let path = dir.join("small.sh");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A path as the process sees it.
fn inside(place: &ControlledRun, name: &str) -> PathBuf {
    let path = place.dir.path().join(name);
    Path::new(&format!("/proc/{}/root", place.run.pid())).join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_full_disk_costs_copies_and_nothing_else() {
    with_wire("a_full_disk_costs_copies_and_nothing_else", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let binary = small_binary(dir.path(), "1m");
        let rules = "station lake { pcapng \"DIR/small/lake.pcapng\" }
            rule all { match any  snaplen full  to lake }\n";
        let place = ControlledRun::start_in(dir, wire, &binary, rules, &[]);
        wire.tcp("8M", &[]);
        place.run.says("no room for");
        assert!(wire.pings(&["10.1.0.2"]), "forwarding goes on");
        let whole = labelled_copies(&inside(&place, "small/lake.pcapng"));
        assert!(!whole.is_empty(), "whole copies are in the file");
        let list = place.json(&["station", "list"]);
        assert!(list[0]["dropped"].as_u64().unwrap() > 0, "{list}");
        let copies = whole.len();
        // There is room again.
        let ballast = inside(&place, "small/lake.pcapng");
        std::fs::remove_file(ballast).unwrap();
        until("it is up again", || {
            wire.pings(&["10.1.0.2"]);
            place.json(&["station", "list"])[0]["up"] == true
        });
        assert!(copies > 0);
        let sums = place.run.stop();
        let station = &sums["stations"][0];
        assert!(station["copies"].as_u64() > station["sent"].as_u64(), "{station}");
    });
}

#[test]
fn a_state_without_room_is_told_and_the_run_goes_on() {
    with_wire("a_state_without_room_is_told_and_the_run_goes_on", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let binary = small_binary(dir.path(), "3m");
        let state = dir.path().join("small/state").to_str().unwrap().to_owned();
        let rules = "table quiet : set<ip>
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule all { match any  snaplen 60  to lake }\n";
        let place = ControlledRun::start_in(dir, wire, &binary, rules, &["--state", &state]);
        // What is wrong when it first looks, a second after the start, is not told again.
        std::thread::sleep(std::time::Duration::from_secs(2));
        let mut ballast = std::fs::File::create(inside(&place, "small/ballast")).unwrap();
        while std::io::Write::write(&mut ballast, &[1; 4096]).is_ok() {}
        let added = 4000;
        let rows: String =
            (0..added).map(|n| format!("{{\"key\":\"10.0.{}.{}\"}}\n", n / 250, n % 250)).collect();
        let put = ask(&place.socket, "put", "/v1/policies/main/tables/quiet", "", rows.as_bytes());
        assert_eq!(put.status, 200, "{}", put.body);
        place.run.says("changes wait and are not kept yet");
        let status = place.status().1;
        assert!(status["state"]["trouble"].as_str().unwrap().contains("full"), "{status}");
        assert_eq!(place.json(&["table", "list"])[0]["rows"], added, "all are at work");
        assert!(wire.pings(&["10.1.0.2"]));
        // Without room, too, it says what is missing.
        let binding = std::fs::read_to_string(inside(&place, "small/state/binding")).unwrap();
        assert!(binding.contains("\"missing\":{\"main\":"), "{binding}");
        drop(ballast);
        std::fs::remove_file(inside(&place, "small/ballast")).unwrap();
        until("there is room again", || place.status().1["state"]["kept"] == true);
        place.run.stop();
    });
}

#[test]
fn a_limit_of_file_sizes_is_a_failed_write() {
    with_wire("a_limit_of_file_sizes_is_a_failed_write", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("limited.sh");
        // In blocks of 512 bytes.
        std::fs::write(&path, format!("#!/bin/sh\nulimit -f 100\nexec {MIRRORC} \"$@\"\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let binary = path.to_str().unwrap().to_owned();
        let rules = "station lake { pcapng \"DIR/lake.pcapng\" }
            rule all { match any  snaplen full  to lake }\n";
        let place = ControlledRun::start_in(dir, wire, &binary, rules, &[]);
        wire.tcp("1M", &[]);
        place.run.says("cannot write");
        assert!(wire.pings(&["10.1.0.2"]));
        let sums = place.run.stop();
        assert!(sums["stations"][0]["dropped"].to_string().contains("write"), "{sums}");
    });
}
