//! `feed RULES CAPTURE`: feeds live stations from a capture, again and again until it is killed or
//! has done so as often as a third argument says. For tests that need a process of its own: one to
//! kill, one whose standard output is a station. (Rejected: the test's own binary with a switch;
//! its harness writes to standard output.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool of tests")]

use mrule_tests::feed::Feed;
use std::path::Path;
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next();
    let (rules, capture) = (argument().expect("RULES"), argument().expect("CAPTURE"));
    let times = argument().map_or(u64::MAX, |times| times.parse().expect("a number"));
    let rules = std::fs::read_to_string(rules).expect("rules");
    let feed = Feed::open(&rules, Path::new(&capture)).unwrap_or_else(|e| {
        eprintln!("{e}");
        std::process::exit(2)
    });
    for _ in 0..times {
        feed.run();
        std::thread::sleep(Duration::from_millis(5));
    }
    for counts in feed.finish() {
        eprintln!("{counts:?}");
    }
}
