//! Stations that fail, in network namespaces: no route, nobody at the port, a neighbour that does
//! not answer, links that go down and vanish, paths that are too narrow. Each is told once, its
//! copies are dropped and counted, the worker never waits, and it comes back by itself. (Rejected:
//! errors made by hand; which error the kernel gives, and when, is what is tested.)

use mrule_dataplane::station::Cause;
use mrule_tests::feed::Feed;
use mrule_tests::frames::{captures, read};
use mrule_tests::netns::{with_listener, with_pair};
use std::path::PathBuf;
use std::time::Duration;

const RULES: &str = "rule all { match any  snaplen full  to s }\n";

fn capture(name: &str) -> PathBuf {
    captures().into_iter().find(|c| c.file_name().is_some_and(|n| n == name)).expect("a capture")
}

fn open(station: &str) -> Feed {
    Feed::open(&format!("station s {{ {station} }}\n{RULES}"), &capture("dns.pcap")).unwrap()
}

/// Waits for this many events, and that the last says this; a worker never waits for the station.
/// The note that a next hop is silent counts only where it is asked for: whether a neighbour takes
/// a second to answer is its own affair.
fn told(feed: &Feed, events: usize, what: &str) {
    let silent = "has not told its link-layer address";
    let told = |feed: &Feed| -> Vec<String> {
        feed.told().into_iter().filter(|told| what == silent || !told.contains(silent)).collect()
    };
    let mut longest = Duration::ZERO;
    feed.until(what, |feed| {
        longest = longest.max(feed.run());
        told(feed).len() >= events
    });
    // Time enough for a second, wrong, event.
    feed.run();
    let told = told(feed);
    assert!(told.len() == events && told.last().unwrap().contains(what), "{what}: {told:?}");
    assert!(longest < Duration::from_secs(3), "a worker waited {longest:?}");
}

#[test]
fn a_host_without_a_route_is_reached_when_there_is_one() {
    with_pair("a_host_without_a_route_is_reached_when_there_is_one", |pair| {
        pair.ip_b(&["addr", "add", "192.0.2.1/32", "dev", "b0"]);
        let _takers = pair.takers(&[4789]);
        let feed = open("vxlan 192.0.2.1 vni 7");
        told(&feed, 1, "there is no route to it");
        assert_eq!(feed.stations().counts()[0].sent, 0);
        pair.ip_a(&["route", "add", "192.0.2.1/32", "dev", "a0"]);
        told(&feed, 2, "up again");
        pair.ip_a(&["link", "set", "a0", "down"]);
        told(&feed, 3, "is down");
        pair.ip_a(&["link", "set", "a0", "up"]);
        pair.ip_a(&["route", "replace", "192.0.2.1/32", "dev", "a0"]);
        told(&feed, 4, "up again");
        // Another address to send from.
        pair.ip_a(&["addr", "add", "10.9.0.3/24", "dev", "a0"]);
        pair.ip_a(&["addr", "del", "10.9.0.1/24", "dev", "a0"]);
        pair.ip_a(&["route", "replace", "192.0.2.1/32", "dev", "a0"]);
        told(&feed, 6, "up again");
        let counts = feed.finish();
        assert!(counts[0].sent > 0 && counts[0].dropped_by(Cause::Unreachable) > 0, "{counts:?}");
    });
}

#[test]
fn a_peer_that_is_gone_is_told_and_found_again() {
    with_pair("a_peer_that_is_gone_is_told_and_found_again", |pair| {
        for host in ["10.9.0.2", "fd00:9::2"] {
            let feed = open(&format!("tzsp {host}"));
            told(&feed, 1, "it refuses the port");
            let takers = pair.takers(&[37_008]);
            told(&feed, 2, "up again");
            drop(takers);
            told(&feed, 3, "it refuses the port");
            let counts = feed.finish();
            assert!(counts[0].sent > 0 && counts[0].dropped_by(Cause::Unreachable) > 0, "{counts:?}");
        }
        // An address where nobody is: the neighbour does not answer.
        let feed = open("vxlan 10.9.0.77 vni 7");
        told(&feed, 1, "has not told its link-layer address");
        told(&feed, 1, "it or its router does not answer");
        pair.ip_b(&["addr", "add", "10.9.0.77/32", "dev", "b0"]);
        let _takers = pair.takers(&[4789]);
        told(&feed, 2, "up again");
        feed.finish();
    });
}

#[test]
fn an_interface_goes_down_vanishes_and_comes_back() {
    with_pair("an_interface_goes_down_vanishes_and_comes_back", |pair| {
        let feed = open("interface a1");
        feed.run();
        pair.ip_a(&["link", "set", "a1", "down"]);
        told(&feed, 1, "the interface `a1` is down");
        pair.ip_a(&["link", "set", "a1", "up"]);
        told(&feed, 2, "up again");
        pair.ip_a(&["link", "del", "a1"]);
        told(&feed, 3, "station s is down");
        pair.ip_a(&["link", "add", "a1", "type", "veth", "peer", "name", "c1"]);
        pair.ip_a(&["link", "set", "c1", "up"]);
        pair.ip_a(&["link", "set", "a1", "up"]);
        told(&feed, 4, "up again");
        let counts = feed.finish();
        assert!(counts[0].sent > 0 && counts[0].dropped_by(Cause::Unreachable) > 0, "{counts:?}");
        let feed = open("interface nowhere");
        told(&feed, 1, "there is no interface `nowhere`");
        assert_eq!(feed.finish()[0].sent, 0);
    });
}

#[test]
fn what_does_not_fit_the_path_is_cut_or_fragmented() {
    with_listener("what_does_not_fit_the_path_is_cut_or_fragmented", |pair| {
        let capture = capture("web.pcap");
        let originals = read(&capture);
        for (host, name, overhead) in [("10.9.0.2", "vx4", 36), ("fd00:9::2", "vx6", 56)] {
            pair.ip_b(&["link", "add", name, "type", "vxlan", "id", "7", "dstport", "4789", "local", host]);
            pair.ip_b(&["link", "set", name, "up", "mtu", "1500"]);
            for (fragment, room) in [("", 1500 - overhead), ("fragment", 65_535 - overhead)] {
                pair.ip_a(&["link", "set", "a0", "mtu", "1500"]);
                let directory = tempfile::tempdir().unwrap();
                let heard = directory.path().join("heard.pcap");
                let tcpdump = pair.listen_whole(name, &heard);
                let rules = format!("station s {{ vxlan {host} vni 7 {fragment} }}\n{RULES}");
                let feed = Feed::open(&rules, &capture).unwrap();
                feed.run();
                let counts = feed.finish();
                tcpdump.stop();
                let heard = read(&heard);
                assert_eq!(heard.len(), originals.len(), "{host} {fragment}");
                let mut cut = 0;
                for (heard, original) in heard.iter().zip(&originals) {
                    let take = original.bytes.len().min(room);
                    cut += u64::from(take < original.bytes.len());
                    assert_eq!(heard.bytes, original.bytes[..take], "{host} {fragment}");
                }
                assert_eq!(
                    (counts[0].cut, counts[0].sent),
                    (cut, originals.len() as u64),
                    "{host} {fragment}"
                );
                assert!(fragment == "fragment" || cut > 10, "{cut} copies were too long");
            }
            pair.ip_a(&["link", "set", "a0", "mtu", "9000"]);
            pair.ip_b(&["link", "del", name]);
        }
    });
}

#[test]
fn an_mtu_that_shrinks_while_copies_go_costs_no_more_than_their_ends() {
    with_pair("an_mtu_that_shrinks_while_copies_go_costs_no_more_than_their_ends", |pair| {
        let _takers = pair.takers(&[4789]);
        let rules = |station: &str| {
            format!("station s {{ {station} }}\n{RULES}limit l {{ match any  snaplen 8000 }}\n")
        };
        for station in ["vxlan 10.9.0.2 vni 7", "vxlan fd00:9::2 vni 7", "interface a1"] {
            let feed = Feed::open(&rules(station), &capture("web.pcap")).unwrap();
            feed.run();
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(feed.stations().counts()[0].cut, 0, "{station}");
            for link in ["a0", "a1"] {
                pair.ip_a(&["link", "set", link, "mtu", "1500"]);
            }
            feed.until("cut", |feed| feed.stations().counts()[0].cut > 0);
            let told = feed.told();
            let counts = feed.finish();
            assert!(told.is_empty() && counts[0].dropped_by(Cause::Unreachable) == 0, "{station}: {told:?}");
            for link in ["a0", "a1"] {
                pair.ip_a(&["link", "set", link, "mtu", "9000"]);
            }
        }
    });
}

#[test]
fn a_narrow_link_far_away_is_learnt_of() {
    with_pair("a_narrow_link_far_away_is_learnt_of", |pair| {
        let _takers = pair.host_behind("1400", &[4789]);
        let capture = capture("web.pcap");
        let originals = read(&capture);
        for (host, overhead) in [("10.10.0.2", 36), ("fd00:10::2", 56)] {
            let rules =
                format!("station s {{ vxlan {host} vni 7 }}\n{RULES}limit l {{ match any  snaplen 8000 }}\n");
            let feed = Feed::open(&rules, &capture).unwrap();
            // The first long ones are lost on the way; the router says so.
            feed.run();
            std::thread::sleep(Duration::from_millis(500));
            let first = feed.stations().counts().remove(0);
            feed.run();
            let told = feed.told();
            let last = feed.finish().remove(0);
            let lengths = originals.iter().map(|f| f.bytes.len().min(8000));
            let too_long = lengths.filter(|length| *length > 1400 - overhead).count() as u64;
            assert!(too_long > 10);
            assert_eq!(last.cut - first.cut, too_long, "{host}: {told:?} {last:?}");
            assert_eq!((last.sent, told.len()), (2 * originals.len() as u64, 0), "{host}: {told:?} {last:?}");
        }
    });
}
