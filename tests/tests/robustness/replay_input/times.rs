//! Packets with outlying times: they end no flow, no hold and no window of others, and none of
//! their own.

use super::{CaptureFile, datagram, header, record};
use serde_json::Value;

const RULES: &str = "station s { pcapng \"s.pcapng\" }\n\
    trigger held by flow { when flow.packets == 3  hold flow }\n\
    trigger busy by net.src { when count(udp) per 20s > 30  hold 10s }\n\
    trigger known by net.dst { when count(udp) per 1m == 2  hold 1m }\n\
    rule a { match held  snaplen full  to s }\n\
    rule b { match busy  snaplen headers  to s }\n\
    rule c { match known snaplen headers  to s }\n";

/// A stream of packets of one flow, a third of a second apart, in microseconds.
fn ordinary() -> Vec<(u64, Vec<u8>)> {
    (0..200)
        .map(|i| {
            ((10_000 + i / 3) * 1_000_000 + i % 3 * 300_000, datagram(i % 5 == 1, &format!("packet {i}")))
        })
        .collect()
}

fn counts(packets: &[(u64, Vec<u8>)], extra: &[&str]) -> Value {
    let place = CaptureFile::new(RULES);
    let records = packets.iter().flat_map(|(at, frame)| record(*at, frame));
    let file = place.put("a.pcap", &header(1).into_iter().chain(records).collect::<Vec<u8>>());
    place.counts(&[&["--read", &file], extra].concat())
}

/// Of each trigger: its name, how often it was raised, for how many packets its condition held.
fn triggers(counts: &Value) -> impl Iterator<Item = (String, u64, u64)> + '_ {
    let number = |value: &Value| value.as_u64().unwrap();
    let all = counts["triggers"].as_array().unwrap().iter();
    all.map(move |one| (one["name"].to_string(), number(&one["raised"]), number(&one["held"])))
}

#[test]
fn one_outlying_packet_changes_nothing_else() {
    const HOUR: i64 = 3_600_000_000;
    let ordinary = ordinary();
    let expected = counts(&ordinary, &[]);
    assert_eq!(expected["tracked"]["flows"]["created"], 1, "{expected}");
    assert_eq!(expected["outlying_times"], 0);
    for engine in [&[][..], &["--engine", "interp"]] {
        for at in [0, 1, 2, 3, 31, 100, 198] {
            for by in [-HOUR, HOUR, -5_000_000, 5_000_000, -9_900_000_000, 100 * HOUR] {
                // The first packet of all may be early: what follows came later, as far as anybody
                // can know.
                if at == 0 && by < 0 {
                    continue;
                }
                let mut packets = ordinary.clone();
                packets[at].0 = packets[at].0.saturating_add_signed(by);
                let found = counts(&packets, engine);
                assert_eq!(found["outlying_times"], 1, "packet {at} by {by}");
                assert_eq!(found["tracked"], expected["tracked"], "packet {at} by {by}");
                assert_eq!(found["rules"][0], expected["rules"][0], "packet {at} by {by}: {found}");
                // It counts in the slice of the packet before it, which may be another slice than
                // its own.
                for (trigger, as_ever) in triggers(&found).zip(triggers(&expected)) {
                    assert_eq!(
                        (&trigger.0, trigger.1),
                        (&as_ever.0, as_ever.1),
                        "packet {at} by {by}: {found}"
                    );
                    assert!(trigger.2.abs_diff(as_ever.2) <= 2, "packet {at} by {by}: {found}");
                }
            }
        }
    }
}

#[test]
fn two_clocks_do_not_tear_exchanges() {
    // Requests by one clock, answers by another, 200 s ahead or behind; each a flow of its own.
    for skew in [200_i64, -200, 35, -35] {
        let mut packets = Vec::new();
        for i in 0..150_u64 {
            let ports = format!("sport={},dport=53", 2000 + i);
            let back = format!("sport=53,dport={}", 2000 + i);
            let frame = |ends: &str, ports: &str| {
                super::frame(&format!("eth/ip({ends})/udp({ports})/\"exchange {i}\""))
            };
            let at = 1_000_000_000 + i * 500_000;
            packets.push((at, frame("src=10.0.0.1,dst=10.0.0.2", &ports)));
            packets.push((
                (at + 20_000).saturating_add_signed(skew * 1_000_000),
                frame("src=10.0.0.2,dst=10.0.0.1", &back),
            ));
        }
        let found = counts(&packets, &[]);
        assert_eq!(found["tracked"]["flows"]["created"], 150, "{skew} s: {}", found["tracked"]["flows"]);
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_windows() {
    let mut packets = ordinary();
    packets[120..].iter_mut().for_each(|(at, _)| *at -= 3_000_000_000);
    let found = counts(&packets, &[]);
    let expected = counts(&ordinary(), &[]);
    assert_eq!(found["tracked"]["flows"]["created"], 1, "{}", found["tracked"]);
    let held = |counts: &Value| counts["triggers"][1]["held"].as_u64().unwrap();
    assert!(
        held(&found).abs_diff(held(&expected)) <= 4,
        "{} and {}",
        found["triggers"],
        expected["triggers"]
    );
}

#[test]
fn silence_still_ends_flows() {
    // What looks like an outlier and is none: nothing that follows is at the old time.
    let mut packets = ordinary();
    packets[100..].iter_mut().for_each(|(at, _)| *at += 3_600_000_000);
    let found = counts(&packets, &[]);
    assert_eq!(
        (&found["tracked"]["flows"]["created"], &found["outlying_times"]),
        (&2.into(), &0.into()),
        "{found}"
    );
}
