//! Rows of the state that cannot be read are told by a warning, by status and as an event, and stay
//! in the database. (Rejected: to look at the database alone; an operator looks at status.)

use super::{WHOLE, copied, tamper, traffic};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{until, with_wire};

#[test]
fn rows_that_cannot_be_read_are_told_until_their_policy_is_resolved() {
    with_wire("rows_that_cannot_be_read_are_told_until_their_policy_is_resolved", |wire| {
        let _traffic = traffic(wire);
        let state = tempfile::tempdir().unwrap();
        let words = ["--state", state.path().to_str().unwrap()];
        let other = "station o { pcapng \"DIR/o.pcapng\" }\nrule o { match tcp  snaplen 60  to o }\n";
        let mut place = ControlledRun::start(wire, MIRRORC, WHOLE, &words);
        let path = place.write("other.mrule", other);
        for _ in 0..2 {
            place.command(&["load", &path, "--as", "other"]);
        }
        let damage = "UPDATE versions SET bundle = 'torn' WHERE policy = 'other' AND version = 1";
        for round in 0..2 {
            place.run.halt();
            if round == 0 {
                tamper(state.path(), damage);
            }
            place = place.killed_and_started(wire, MIRRORC, &words);
            let says = "policy other: 1 row of the state cannot be read and stay in `state.sqlite`";
            until("it is told", || place.run.said().contains(says));
            let (_, status) = place.status();
            let reason = &status["reasons"][0];
            assert_eq!((&reason["kind"], &reason["subject"]), (&"state_rows".into(), &"other".into()));
            let what = reason["what"].as_str().unwrap();
            assert!(what.contains("version 1: its `bundle` is none: expected ident"), "{what}");
            assert_eq!((&status["status"], &status["ready"]), (&"degraded".into(), &true.into()));
            copied(&place, 5);
        }
        until("an event tells it", || {
            place.command(&["events", "--history", "--kind", "degraded"]).contains("1 row of the state")
        });
        place.command(&["release", "other"]);
        assert_eq!(place.reasons(), [""; 0]);
        place.run.halt();
        let mut place = place.killed_and_started(wire, MIRRORC, &words);
        assert_eq!(place.reasons(), [""; 0]);
        place.run.halt();
        tamper(state.path(), "UPDATE refused_versions SET why = '' WHERE bundle = 'torn' AND version = 1");
        place.run.kill();
    });
}
