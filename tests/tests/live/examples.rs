//! The programs in `examples/` that talk to a running mirrorc do what their heads say. The
//! invariant: what is tested is their own code. (Rejected: starting them by cargo, which builds.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{until, with_wire};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

#[path = "../../../examples/load_policy.rs"]
mod load_policy;
#[path = "../../../examples/watch_events.rs"]
mod watch_events;

const RULES: &str = "station s { interface m0 }\nrule r { match icmp  snaplen headers  to s }\n";

#[test]
fn a_policy_is_loaded_and_its_event_is_seen() {
    with_wire("a_policy_is_loaded_and_its_event_is_seen", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let (mut seen, over) = (String::new(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (socket, seen, over) = (place.socket.clone(), &mut seen, &over);
            scope.spawn(move || {
                let take = |event: &str| {
                    seen.clone_from(&event.to_owned());
                    !event.contains("\"loaded\"")
                };
                watch_events::watch(&socket, take).unwrap();
                over.store(true, Relaxed);
            });
            let name = "customer";
            // The watcher may not listen yet: load until it has seen one.
            until("the event of a load", || {
                let answer = load_policy::load(&place.socket, name, RULES).unwrap();
                assert!(answer.contains("\"version\""), "{answer}");
                std::thread::sleep(Duration::from_millis(100));
                over.load(Relaxed)
            });
        });
        assert!(seen.contains("customer"), "{seen}");
        let refused = load_policy::load(&place.socket, "customer", "rule r { match tcp.prot == 1 }");
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("tcp.prot"), "{why}");
    });
}
