//! Streams of events: they end with their token, go on where they were left, and show a token of
//! one policy nothing of others. (Rejected: asking the hub; what is sent is what counts.)

use super::RemoteRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use std::time::{Duration, Instant};

#[test]
fn a_stream_ends_with_its_token() {
    with_wire("a_stream_ends_with_its_token", |wire| {
        let remote = RemoteRun::start(wire, &[("vera", "viewer", ""), ("otto", "operator", "")], &[]);
        let [mut vera, mut otto] = ["vera", "otto"].map(|name| {
            remote.events(wire, name, "?after=0", &remote.place.dir.path().join(format!("{name}.sse")))
        });
        until("both listen", || vera.said().contains("has started") && otto.said().contains("has started"));
        let tokens = std::fs::read_to_string(remote.path("tokens")).unwrap();
        let without: Vec<&str> = tokens.lines().filter(|line| !line.starts_with("vera")).collect();
        std::fs::write(remote.path("tokens"), without.join("\n")).unwrap();
        remote.place.run.hang_up();
        let asked = Instant::now();
        until("the stream is over", || vera.is_over());
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        assert!(vera.said().contains("event: end"), "{}", vera.said());
        assert!(!otto.is_over(), "it is still known");
        // The same name with another role is another token.
        let changed: String = without.join("\n").replace("otto operator", "otto viewer");
        std::fs::write(remote.path("tokens"), changed).unwrap();
        remote.place.run.hang_up();
        until("the other stream is over", || otto.is_over());
        remote.place.run.stop();
    });
}

#[test]
fn a_stream_goes_on_where_it_was_left() {
    with_wire("a_stream_goes_on_where_it_was_left", |wire| {
        let remote = RemoteRun::start(wire, &[("vera", "viewer", "")], &[]);
        let raise = |n: u32| remote.place.command(&["trigger", "raise", "attack", &format!("10.7.0.{n}")]);
        let file = |name: &str| remote.place.dir.path().join(name);
        let live = remote.events(wire, "vera", "?kind=raised", &file("live"));
        until("it listens", || {
            raise(1);
            remote.place.command(&["trigger", "clear", "attack"]);
            live.said().contains("10.7.0.1")
        });
        assert!(!live.said().contains("\"event\":\"change\"") && !live.said().contains("cleared"));
        let last =
            live.said().lines().rev().find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).unwrap();
        drop(live);
        (2..=40).for_each(|n| drop(raise(n)));
        let again = remote.events(wire, "vera", &format!("?kind=raised&after={last}"), &file("again"));
        until("it has caught up", || again.said().contains("10.7.0.40"));
        raise(41);
        until("it goes on live", || again.said().contains("10.7.0.41"));
        let said = again.said();
        let ids: Vec<u64> = said.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for n in 2..=41 {
            assert_eq!(said.matches(&format!("\"10.7.0.{n}\"")).count(), 1, "{n}: {said}");
        }
        assert!(!said.contains("event: lost"), "{said}");
        // A number of a run that is over.
        let other = remote.events(wire, "vera", "?after=99999999999999999", &file("other"));
        until("it is told", || other.said().contains("event: lost"));
        until("and gets what there is", || other.said().contains("has started"));
        assert_eq!(ask(&remote.place.socket, "get", "/v1/events?after=x", "", b"").status, 400);
        assert_eq!(ask(&remote.place.socket, "get", "/v1/events?kind=odd", "", b"").status, 400);
        remote.place.run.stop();
    });
}

#[test]
fn a_token_of_one_policy_sees_that_policy() {
    with_wire("a_token_of_one_policy_sees_that_policy", |wire| {
        let remote = RemoteRun::start(wire, &[("acme", "viewer", "acme"), ("vera", "viewer", "")], &[]);
        let text = "station own { pcapng \"DIR/own.pcapng\" }\ntrigger mine by net.src { external  hold 1h }\n\
                    rule r { match mine  snaplen 60  to own }";
        let path = remote.place.write("acme.mrule", text);
        let listener = remote.events(wire, "acme", "?after=0", &remote.place.dir.path().join("acme.sse"));
        remote.place.command(&["load", &path, "--as", "acme"]);
        remote.place.command(&["trigger", "raise", "attack", "10.6.0.1"]);
        remote.place.command(&["trigger", "raise", "mine", "10.6.0.2", "--policy", "acme"]);
        until("it hears of its own", || listener.said().contains("10.6.0.2"));
        let ask = |path: &str| remote.ask(wire, "acme", "GET", path, "");
        let mut all = listener.said();
        for path in
            ["/v1/stats", "/v1/stations", "/v1/metrics", "/v1/events/history", "/v1/policies", "/v1/flows"]
        {
            let (status, said) = ask(path);
            assert_eq!(status, 200, "{path}: {said}");
            all.push_str(&said);
        }
        for word in ["lake", "attack", "10.6.0.1", "main", "in0"] {
            assert!(!all.contains(word), "{word} is of others: {all}");
        }
        for word in ["own", "mine", "10.6.0.2", "acme"] {
            assert!(all.contains(word), "{word} is its own: {all}");
        }
        assert_eq!(ask("/v1/policies/main").0, 404);
        assert_eq!(ask("/v1/flows/top?policy=main").0, 404);
        assert!(remote.ask(wire, "vera", "GET", "/v1/stats", "").1.contains("acme/own"));
        remote.place.run.stop();
    });
}
