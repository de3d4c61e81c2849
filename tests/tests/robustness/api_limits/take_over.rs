//! A new mirrorc takes over from one with the same arguments: remote clients wait and are not
//! refused, the control socket is there again, and the history says who took over. Where somebody
//! else has the address or the socket, nothing is taken over. (Rejected: a port above 1024; one
//! below it needs a privilege that is gone after the start.)

use super::{ADDRESS, RULES, RemoteRun};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Mirrorc, Wire, until, with_wire};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A run that is refused; what it says.
fn refused(wire: &Wire, words: &[&str]) -> String {
    let run = wire.try_run(&wire.here, &[&["timeout", "20", MIRRORC, "run"], words].concat());
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{words:?}: {said}");
    said
}

#[test]
fn a_take_over_has_the_same_address_and_socket() {
    with_wire("a_take_over_has_the_same_address_and_socket", |wire| {
        let state = tempfile::tempdir().unwrap();
        let more = ["--state", state.path().to_str().unwrap()];
        let mut remote = RemoteRun::start(wire, &[("vera", "viewer", "")], &more);
        let [rules, control] = ["a.mrule", "control"].map(|name| remote.path(name));
        let files = ["cert", "key", "tokens"].map(|name| remote.path(name));
        let [cert, key, tokens] = files.each_ref().map(String::as_str);
        let words =
            [&*rules, "--bridge", "in0:out0", "--control", &control, "--listen", ADDRESS, "--tls-cert", cert];
        let words = [&words[..], &["--tls-key", key, "--tokens", tokens, "--take-over"], &more].concat();
        let over = AtomicBool::new(false);
        let (next, pinged, answers) = std::thread::scope(|scope| {
            let ping = scope.spawn(|| {
                let command = ["ping", "-q", "-i", "0.005", "-c", "800", "-W", "1", "10.1.0.2"];
                String::from_utf8(wire.try_run(&wire.left, &command).stdout).unwrap()
            });
            let (remote, over) = (&remote, &over);
            let asking = scope.spawn(move || {
                let mut answers = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let status = remote.ask(wire, "vera", "GET", "/v1/health", "").0;
                    answers.push((Instant::now(), status));
                }
                answers
            });
            std::thread::sleep(Duration::from_millis(500));
            let next = wire.mirrorc(MIRRORC, &words);
            until("the next one answers", || remote.place.status().1["status"] == "ok");
            std::thread::sleep(Duration::from_millis(500));
            over.store(true, Ordering::SeqCst);
            (next, ping.join().unwrap(), asking.join().unwrap())
        });
        assert!(pinged.contains(" 800 received"), "{pinged}");
        let good: Vec<Instant> =
            answers.iter().filter(|(_, status)| *status == 200).map(|(at, _)| *at).collect();
        let gap = good.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        eprintln!("{} answers, the longest time without one: {} ms", good.len(), gap.as_millis());
        // One may be cut off while the old one ends; none is refused.
        assert!(answers.len() - good.len() <= 1, "{answers:?}");
        assert!(gap < Duration::from_secs(4), "{gap:?} without an answer");
        let old = std::mem::replace(&mut remote.place.run, next);
        let (code, said) = old.ended();
        assert!(code == Some(0) && said.contains("takes over the bridges"), "{code:?} {said}");
        let history = remote.place.command(&["events", "--history"]);
        let by = format!("process {} has taken over", remote.place.run.pid());
        assert!(history.contains(&by) && !history.contains("a signal ends"), "{by}: {history}");
        remote.place.run.stop();
    });
}

#[test]
fn what_somebody_else_has_is_not_taken_over() {
    with_wire("what_somebody_else_has_is_not_taken_over", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let files = RemoteRun::files(wire, dir.path(), &[("vera", "viewer", "")]);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let start = |place: ControlledRun, listen: &[&str]| -> ControlledRun {
            let (rules, control) =
                (place.dir.path().join("a.mrule"), place.socket.to_str().unwrap().to_owned());
            let words =
                [&[rules.to_str().unwrap(), "--bridge", "in0:out0", "--control", &control], listen].concat();
            ControlledRun { run: wire.mirrorc(MIRRORC, &words), ..place }
        };
        let place = ControlledRun::start_in(dir, wire, MIRRORC, RULES, &[]);
        let rules = place.dir.path().join("a.mrule");
        let again = [rules.to_str().unwrap(), "--bridge", "in0:out0", "--take-over"];
        let still_at_work = |place: &ControlledRun| {
            assert_eq!(place.status().1["status"], "ok");
            assert!(wire.pings(&["10.1.0.2"]) && !place.run.said().contains("takes over"));
        };
        let other = wire.inside(&wire.here, || TcpListener::bind(ADDRESS).unwrap());
        let said = refused(wire, &[&again[..], &["--listen", ADDRESS], &files].concat());
        assert!(said.contains("that is not the mirrorc to be replaced"), "{said}");
        assert!(said.contains("nothing was taken over") && said.contains(ADDRESS), "{said}");
        still_at_work(&place);
        // Without `--take-over` it is said, too.
        let said = refused(wire, &[&[again[0], "--tap", "m0", "--listen", ADDRESS], &files[..]].concat());
        assert!(
            said.contains("another process listens at this address") && !said.contains("os error"),
            "{said}"
        );
        drop(other);
        // The control socket of a third one.
        let third = place.dir.path().join("third").to_str().unwrap().to_owned();
        let tap = wire.mirrorc(MIRRORC, &[again[0], "--tap", "m0", "--control", &third]);
        let said = refused(wire, &[&again[..], &["--control", &third]].concat());
        let by = format!("the control socket of process {}", tap.pid());
        assert!(said.contains(&by) && said.contains("nothing was taken over"), "{said}");
        still_at_work(&place);
        tap.stop();

        // An address that is free only when the old one has ended: a port that needs a privilege
        // cannot wait for that.
        let wide = |at: &'static str| [&["--listen", at][..], &files].concat();
        let ControlledRun { dir, run, socket } = place;
        run.stop();
        let place = start(ControlledRun { dir, run: Mirrorc::none(), socket }, &wide("0.0.0.0:443"));
        let said = refused(wire, &[&again[..], &wide(ADDRESS)].concat());
        assert!(said.contains("listens at 0.0.0.0:443") && said.contains("name the same address"), "{said}");
        still_at_work(&place);
        let ControlledRun { dir, run, socket } = place;
        run.stop();
        let place = start(ControlledRun { dir, run: Mirrorc::none(), socket }, &wide("0.0.0.0:8443"));
        let next = [&["--take-over"], &wide("10.2.0.1:8443")[..]].concat();
        let ControlledRun { dir, run, socket } = place;
        let place = start(ControlledRun { dir, run: Mirrorc::none(), socket }, &next);
        assert_eq!(run.ended().0, Some(0));
        let listening = wire.run(&wire.here, &["ss", "-Hltn"]);
        assert!(listening.contains("10.2.0.1:8443") && !listening.contains("0.0.0.0:8443"), "{listening}");
        place.run.stop();
    });
}
