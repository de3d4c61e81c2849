//! What changes of many rows, stations and names cost others, and what people see of small things.
//! (Rejected: a test for each word; one process shows all of them.)

use super::RULES;
use crate::{MIRRORC, rounds};
use mrule_tests::cli::mirrorc;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire, write_rules};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The entity tag of an answer.
fn tag(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn a_load_does_not_write_all_rows_again() {
    with_wire("a_load_does_not_write_all_rows_again", |wire| {
        let rows = rounds(60_000, 500_000);
        let text = RULES.replace("set<ip>", "set<ip> { capacity 1000000 }");
        let rules = if mrule_compiles(&text) { text } else { RULES.to_owned() };
        let state = tempfile::tempdir().unwrap();
        let more = ["--state", state.path().to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, &rules, &more);
        let all: String = (0..rows)
            .map(|n| format!("{{\"key\": \"10.{}.{}.{}\"}}\n", n >> 16, n >> 8 & 255, n & 255))
            .collect();
        let path = "/v1/policies/main/tables/quiet";
        let begun = Instant::now();
        let put = ask(&place.socket, "put", path, "application/x-ndjson", all.as_bytes());
        assert_eq!((put.status, put.json()["rows"].as_u64()), (200, Some(rows.into())), "{}", put.body);
        let putting = begun.elapsed();
        // While the program is loaded again, others are answered.
        let over = AtomicBool::new(false);
        let (loading, longest) = std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while !over.load(Relaxed) {
                    let asked = Instant::now();
                    assert_eq!(ask(&place.socket, "get", "/v1/policies", "", b"").status, 200);
                    longest = longest.max(asked.elapsed());
                }
                longest
            });
            let file = write_rules(place.dir.path(), &rules.replace("snaplen head", "snaplen 50"));
            let begun = Instant::now();
            place.command(&["load", &file]);
            let loading = begun.elapsed();
            over.store(true, Relaxed);
            (loading, client.join().unwrap())
        });
        eprintln!(
            "{rows} rows: put in {putting:?}, loaded with in {loading:?}, others waited {longest:?} at most"
        );
        assert!(loading < putting.max(Duration::from_secs(2)), "{loading:?}");
        let place = place.killed_and_started(wire, MIRRORC, &more);
        let quiet = place.json(&["table", "list"]);
        assert_eq!(quiet[0]["rows"].as_u64(), Some(rows.into()), "{quiet}");
        place.run.stop();
    });
}

/// Whether a program is one.
fn mrule_compiles(text: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = write_rules(dir.path(), text);
    mirrorc(&["check", &path]).exit == mirrorc::Exit::Clean
}

#[test]
fn raises_land_while_a_station_is_set() {
    with_wire("raises_land_while_a_station_is_set", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let setter = scope.spawn(|| {
                let mut set = 0;
                while !over.load(Relaxed) {
                    let body = format!("{{\"is\": \"interface m0 limit {}Mbit\"}}", 10 + set % 7);
                    let path = "/v1/policies/main/stations/lake";
                    let answer = ask(&place.socket, "put", path, "application/json", body.as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    set += 1;
                }
                set
            });
            for n in 0..rounds(300, 3000) {
                let body = format!("{{\"key\": \"10.3.{}.{}\"}}", n / 250, n % 250);
                let path = "/v1/policies/main/triggers/attack/raise";
                let answer = ask(&place.socket, "post", path, "application/json", body.as_bytes());
                assert_eq!(answer.status, 200, "{n}: {}", answer.body);
            }
            over.store(true, Relaxed);
            assert!(setter.join().unwrap() > 5);
        });
        place.run.stop();
    });
}

#[test]
fn an_entity_tag_is_given_once() {
    with_wire("an_entity_tag_is_given_once", |wire| {
        let mut place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let mut tags = Vec::new();
        let other = "station o { pcapng \"DIR/o.pcapng\" }\nrule r { match tcp  snaplen 60  to o }";
        for _ in 0..2 {
            let text = other.replace("DIR", place.dir.path().to_str().unwrap());
            for _ in 0..2 {
                let put = ask(&place.socket, "put", "/v1/policies/acme", "text/plain", text.as_bytes());
                assert_eq!(put.status, 200, "{}", put.body);
                tags.push(tag(&place.socket, "/v1/policies/acme"));
                assert_eq!(ask(&place.socket, "delete", "/v1/policies/acme", "", b"").status, 200);
            }
            let last = tags.last().unwrap();
            place = place.killed_and_started(wire, MIRRORC, &[]);
            let kind = format!("text/plain\r\nif-match: {last}");
            let stale = ask(&place.socket, "put", "/v1/policies/acme", &kind, text.as_bytes());
            assert_eq!(stale.status, 412, "{}", stale.body);
        }
        let unique: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(unique.len(), tags.len(), "{tags:?}");
        place.run.stop();
    });
}

#[test]
fn small_things_are_right() {
    with_wire("small_things_are_right", |wire| {
        let text = "table owners : map<ip, string>\ntable quiet : set<ip>\n
            trigger attack by net.dst { external  hold 1h }
            trigger pings by net.src { when count(icmp) per 1h  # all of them\n  > 2  hold 1h }
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule r { match attack[net.addr] or pings  snaplen full  to lake }
            limit q { match net.src in quiet or net.src in owners  snaplen none }\n";
        let place = ControlledRun::start(wire, MIRRORC, text, &[]);
        // A name that is not there is 404 by every verb.
        for (method, path, body) in [
            ("get", "triggers/none", ""),
            ("post", "triggers/none/raise", "{\"key\": \"10.0.0.1\"}"),
            ("post", "triggers/none/suppress", "{\"key\": \"10.0.0.1\"}"),
            ("get", "tables/none", ""),
            ("put", "tables/none", "{\"key\": \"10.0.0.1\"}"),
            ("post", "tables/none/add", "{\"key\": \"10.0.0.1\"}"),
            ("put", "params/none", "{\"value\": 1}"),
            ("delete", "params/none", ""),
        ] {
            let answer = ask(
                &place.socket,
                method,
                &format!("/v1/policies/main/{path}"),
                "application/json",
                body.as_bytes(),
            );
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
        }
        for query in ["tables/quiet?limit=", "tables/quiet?odd=1", "tables/quiet?limit=1&limit=2"] {
            assert_eq!(
                ask(&place.socket, "get", &format!("/v1/policies/main/{query}"), "", b"").status,
                400,
                "{query}"
            );
        }
        assert!(place.command(&["table", "list", "quiet"]).contains("no rows"));
        assert!(place.command(&["param", "list"]).contains("no params"));
        assert!(place.command(&["trigger", "list", "attack"]).contains("no active keys"));
        assert!(place.command(&["events", "--history", "--kind", "drops"]).contains("no events"));
        place.command(&["table", "add", "owners", "10.1.0.77", "joe"]);
        assert!(place.command(&["table", "list", "owners"]).contains("joe"));
        place.command(&["table", "add", "quiet", "10.1.0.78"]);
        let plain = ask(&place.socket, "get", "/v1/metrics", "x\r\naccept: text/plain", b"");
        assert!(plain.kind.starts_with("text/plain; version=0.0.4"), "{}", plain.kind);
        assert!(plain.body.contains("# TYPE mirrorc_packets_total counter") && !plain.body.contains("EOF"));
        // A reason has the words of the rules; the end of a suppression is told.
        assert!(wire.pings(&["10.1.0.2"]));
        place.command(&["trigger", "suppress", "attack", "10.1.0.9", "--for", "1s"]);
        let last = |kind: &str| {
            let path = format!("/v1/events/history?kind={kind}");
            ask(&place.socket, "get", &path, "", b"").json()["events"].as_array().unwrap().last().cloned()
        };
        until("the ping is told", || last("raised").is_some());
        let reason = last("raised").unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("count(icmp) per 1h > 2 (count(icmp) per 1h is 3"), "{reason}");
        until("the suppression is over", || last("suppression_ended").is_some());
        assert_eq!(last("suppression_ended").unwrap()["key"][0], "10.1.0.9");
        // A file that is named twice is loaded once.
        let part = place.write("part.mrule", text);
        let again = part.replace("part.mrule", "./part.mrule");
        place.command(&["load", &part, &again, "--dry-run"]);
        place.run.stop();
        let help = mirrorc(&["help", "run"]);
        assert!(
            help.exit == mirrorc::Exit::Clean && help.stdout.contains("--bridge"),
            "{}{}",
            help.stdout,
            help.stderr
        );
    });
}
