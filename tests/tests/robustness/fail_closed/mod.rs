//! Promises of privacy and ownership of bridges after restarts, crashes and missing files; health
//! that says so. (Rejected: unit tests of the start order; a restart is what loses it.)

mod binding;
mod health;
mod kills;
mod ownership;
mod persistence;
mod promises;
mod rows;
mod squatters;

use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Tool, Wire, until};
use std::path::Path;

/// Copies every ICMP packet whole.
const WHOLE: &str = "station lake { pcapng \"DIR/lake.pcapng\" }
rule whole { match icmp  snaplen full  to lake }\n";

/// Binds all: of ICMP, 60 bytes.
const SITE: &str = "station s { pcapng \"DIR/there/s.pcapng\" }
table never : set<ip> = { 192.0.2.1 }
rule r { match tcp  snaplen full  to s }
limit site { match icmp  snaplen 60 }
limit never { match net.src in never  snaplen none }\n";

/// Traffic that goes on whatever becomes of mirrorc: packets of 1,042 bytes, 200 a second.
fn traffic(wire: &Wire) -> Tool {
    wire.start(&wire.left, &["ping", "-q", "-i", "0.005", "-s", "1000", "10.1.0.2"])
}

/// Starts a mirrorc with a state, and loads the binding policy.
fn bound(wire: &Wire, state: &Path) -> ControlledRun {
    let place = ControlledRun::start(wire, crate::MIRRORC, WHOLE, &["--state", state.to_str().unwrap()]);
    std::fs::create_dir(place.dir.path().join("there")).unwrap();
    let site = place.write("site.mrule", SITE);
    place.command(&["load", &site, "--as", "site", "--binding"]);
    place
}

/// Waits until a station has got so many copies.
fn copied(place: &ControlledRun, more: u64) -> u64 {
    let sent = || {
        let counts = place.status().1["counts"].clone();
        counts["sent"].as_u64().unwrap()
    };
    let before = sent();
    until("copies come", || sent() >= before + more);
    sent()
}

/// Changes a state while nobody has it.
fn tamper(state: &Path, change: &str) {
    let connection = rusqlite::Connection::open(state.join("state.sqlite")).unwrap();
    let changed = connection.execute(change, []).unwrap();
    assert!(changed > 0, "{change}");
}
