//! Somebody else holds the name by which an interface is owned: a user who may not forward, or a
//! process that may and does not speak as a mirrorc does. Starts, ends and take-overs take no
//! longer than the documentation says, and say who is in the way. (Rejected: a second mirrorc in
//! the stranger's place; it is well-behaved.)

use super::WHOLE;
use super::ownership::refused;
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Tool, Wire, until, with_wire, write_rules};
use std::time::{Duration, Instant};

/// Holds names: how, as which user, of which indices.
const SQUATTER: &str = r#"
import os, select, socket, sys, time
mode, user, indices = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
held, clients, dripped, huge = [], [], [], b"x" * 5_000_000
for index in indices:
    name = socket.socket(socket.AF_UNIX)
    name.bind("\0mirrorc/bridge/" + index)
    if mode != "bound":
        name.listen(0 if mode == "full" else 50)
        held.append(name)
    if mode == "full":
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                client.setblocking(False)
                client.connect("\0mirrorc/bridge/" + index)
                clients.append(client)
        except BlockingIOError:
            held.pop()
            clients.append(name)
    clients.append(name)
while True:
    for name in select.select(held, [], [], 0.2)[0]:
        client = name.accept()[0]
        client.setblocking(mode == "huge")
        try:
            if mode == "garbage": client.send(b"\x1b[31mwhat\x07 is \xff this\n")
            if mode == "huge": client.sendall(huge)
            if mode == "leaves": client.close()
            if mode in ("stays", "chatters"): client.send(b"yes\n")
            if mode in ("drips", "chatters"): dripped.append(client)
        except OSError: pass
        clients.append(client)
    for client in dripped:
        try: client.send(b".")
        except OSError: pass
"#;

/// A user who is nobody here.
const NOBODY: &str = "65534";
const ROOT: &str = "0";

/// How long a start waits for a name, twice, and what a loaded machine takes to start a process.
const START: Duration = Duration::from_secs(2 * 2 + 8);

/// How long an owner may take to answer, and the same.
const ANSWER: Duration = Duration::from_secs(4 + 8);

/// The index of an interface of the machine.
fn index(wire: &Wire, link: &str) -> String {
    wire.run(&wire.here, &["cat", &format!("/sys/class/net/{link}/ifindex")]).trim().to_owned()
}

/// Whether a process holds the name of an index.
fn is_held(wire: &Wire, index: &str) -> bool {
    let sign = format!("@mirrorc/bridge/{index}");
    wire.run(&wire.here, &["cat", "/proc/net/unix"]).lines().any(|line| line.ends_with(&sign))
}

/// Starts one; it holds the names when this returns.
fn squatter(wire: &Wire, mode: &str, user: &str, indices: &[&str]) -> Tool {
    let squatter = wire.start(&wire.here, &[&["python3", "-c", SQUATTER, mode, user], indices].concat());
    until("it holds the names", || indices.iter().all(|index| is_held(wire, index)));
    squatter
}

#[test]
fn who_may_not_forward_delays_a_start_and_no_more() {
    with_wire("robust_squatters_strangers", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(dir.path(), WHOLE);
        let (first, second) = (index(wire, "in0"), index(wire, "out0"));
        for (mode, user, says) in [
            ("silent", NOBODY, "of user 65534, which may not forward, holds the sign of `in0`"),
            ("garbage", NOBODY, "of user 65534, which may not forward, holds the sign of `in0`"),
            ("bound", NOBODY, "a process that does not listen"),
            ("full", ROOT, "a process that answers nobody"),
        ] {
            let squatter = squatter(wire, mode, user, &[&first, &second]);
            if mode == "full" {
                // Its backlog is full a moment after the name is there.
                until("it answers nobody", || {
                    let said = refused_or_not(wire, &["bridge", "remove", "in0:out0"]);
                    said.contains("answers nobody")
                });
            }
            for more in [&[][..], &["--take-over"]] {
                let begun = Instant::now();
                let run = wire.mirrorc(MIRRORC, &[&[&rules, "--bridge", "in0:out0"], more].concat());
                let (took, said) = (begun.elapsed(), run.said());
                assert!(said.contains(says) && said.contains("forwards all the same"), "{mode}: {said}");
                assert!(took < START, "{mode} {more:?}: {took:?}");
                assert!(wire.pings(&["10.1.0.2"]), "{mode} {more:?}");
                let begun = Instant::now();
                run.stop();
                assert!(begun.elapsed() < START, "{mode} {more:?}: {:?}", begun.elapsed());
            }
            drop(squatter);
            until("the names are free", || !is_held(wire, &first) && !is_held(wire, &second));
        }
    });
}

/// What a command says, whether it succeeds or not.
fn refused_or_not(wire: &Wire, words: &[&str]) -> String {
    let run = wire.try_run(&wire.here, &[&["timeout", "20", MIRRORC], words].concat());
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn an_owner_that_is_no_mirrorc_is_told_in_time() {
    with_wire("robust_squatters_owners", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let rules = write_rules(dir.path(), WHOLE);
        let (first, second) = (index(wire, "in0"), index(wire, "out0"));
        for (mode, says) in [
            ("silent", "it does not answer"),
            ("drips", "it does not answer"),
            ("garbage", "its answer is not that of a mirrorc"),
            ("huge", "its answer is not that of a mirrorc"),
            ("leaves", "it hung up without an answer"),
        ] {
            let squatter = squatter(wire, mode, ROOT, &[&first, &second]);
            let run = ["run", &rules, "--bridge", "in0:out0"];
            for (words, says) in
                [(&run[..], "it forwards what enters there"), (&[&run[..], &["--take-over"]].concat(), says)]
            {
                let begun = Instant::now();
                let said = refused(wire, words);
                assert!(begun.elapsed() < ANSWER, "{mode}: {:?}", begun.elapsed());
                assert!(said.contains(says) && said.contains("process "), "{mode}: {said}");
                let is_plain = said.chars().all(|c| c == '\n' || !c.is_control());
                assert!(is_plain && said.len() < 1500, "{mode}: {said:?}");
            }
            drop(squatter);
            until("the names are free", || !is_held(wire, &first) && !is_held(wire, &second));
        }
        // One that says that it gives up, and stays, is waited for as long as a mirrorc may take.
        for mode in ["stays", "chatters"].into_iter().take(crate::rounds(0, 2) as usize) {
            let squatter = squatter(wire, mode, ROOT, &[&first, &second]);
            let words = [MIRRORC, "run", &rules, "--bridge", "in0:out0", "--take-over"];
            let begun = Instant::now();
            let run = wire.try_run(&wire.here, &[&["timeout", "60"], &words[..]].concat());
            let (took, said) = (begun.elapsed(), String::from_utf8_lossy(&run.stderr));
            assert!(said.contains("has not ended after 30 s"), "{mode}: {said}");
            assert!(took > Duration::from_secs(29) && took < Duration::from_secs(50), "{mode}: {took:?}");
            drop(squatter);
            until("the names are free", || !is_held(wire, &first) && !is_held(wire, &second));
        }
    });
}

/// Puts a new interface with this index in the place of `out0`.
fn replace_out0(wire: &Wire, place: &ControlledRun, index: &str) {
    let back = |said: &str| said.matches("interface out0 is back").count();
    let before = back(&place.run.said());
    wire.ip(&wire.here, &["link", "del", "out0"]);
    let link = ["link", "add", "out0", "index", index, "type", "veth", "peer", "name", "r0", "netns"];
    wire.ip(&wire.here, &[&link[..], &[&wire.right]].concat());
    wire.ip(&wire.right, &["addr", "add", "10.1.0.2/24", "dev", "r0"]);
    wire.ip(&wire.right, &["link", "set", "r0", "up"]);
    wire.ip(&wire.here, &["link", "set", "out0", "up"]);
    until("out0 is back", || back(&place.run.said()) > before);
    wire.ip(&wire.left, &["neigh", "flush", "dev", "l0"]);
    until("it forwards", || wire.pings(&["10.1.0.2"]));
}

#[test]
fn an_interface_that_came_back_is_owned_by_its_new_index_alone() {
    with_wire("robust_squatters_indices", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, WHOLE, &[]);
        let first = index(wire, "out0");
        replace_out0(wire, &place, "7001");
        until("the new name is held", || is_held(wire, "7001"));
        until("the old name is free", || !is_held(wire, &first));
        // The same index again, which the kernel gives whom it likes.
        replace_out0(wire, &place, "7001");
        assert!(is_held(wire, "7001"));
        replace_out0(wire, &place, &first);
        until("the first name is held", || is_held(wire, &first) && !is_held(wire, "7001"));
        // A name that a stranger has: no wait, and a note who it is.
        let squatter = squatter(wire, "silent", NOBODY, &["7002"]);
        replace_out0(wire, &place, "7002");
        place.run.says("of user 65534, which may not forward, holds the sign of `out0`");
        drop(squatter);
        replace_out0(wire, &place, "7003");
        until("it is held", || is_held(wire, "7003") && !is_held(wire, "7002"));
        // Who takes over can only name the interfaces that are there.
        let ControlledRun { dir, run, socket } = place;
        let rules = dir.path().join("a.mrule");
        let words = [rules.to_str().unwrap(), "--bridge", "in0:out0", "--take-over"];
        let next = wire.mirrorc(MIRRORC, &[&words[..], &["--control", socket.to_str().unwrap()]].concat());
        let (code, said) = run.ended();
        assert!(code == Some(0) && said.contains("takes over the bridges"), "{code:?} {said}");
        assert!(next.said().contains("has handed `in0` over"), "{}", next.said());
        assert!(wire.pings(&["10.1.0.2"]));
        next.stop();
    });
}
