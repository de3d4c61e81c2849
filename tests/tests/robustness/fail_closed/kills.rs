//! Kills while six clients write everything that can be kept: what was answered is there, and
//! binding limits hold from the first copy on. Each client has names of its own, so it knows what
//! must be there; what was not answered may or may not be. (Rejected: one writer; what is lost is
//! lost between two of them.)

use super::traffic;
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Wire, with_wire};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RULES: &str = "
    param head : size = 1000 in 10..100000
    table rows : set<ip>
    table bulk : set<ip>
    trigger raised by net.dst { external  hold 9h  keys 65536 }
    trigger quiet by net.dst { external  hold 9h  keys 65536 }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule whole { match icmp  snaplen full  to lake }
    rule rest { match raised[net.addr] or quiet[net.addr] or net.src in rows or net.src in bulk  snaplen head  to lake }\n";

/// Asks; the status, or none when mirrorc was killed first.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Option<u16> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let kind = if path.ends_with("bulk") { "application/x-ndjson" } else { "application/json" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

/// What writers have written: the number that each goes on with, of which all before were answered.
type Written = [AtomicU64; 6];

fn ip(n: u64) -> String {
    format!("172.{}.{}.{}", 16 + n / 65536, n / 256 % 256, n % 256)
}

/// Writes what comes next of one kind; the answer's status.
fn write(socket: &Path, kind: usize, n: u64) -> Option<u16> {
    let key = json!({ "key": ip(n) }).to_string();
    let main = "/v1/policies/main";
    match kind {
        0 => ask(socket, "POST", &format!("{main}/tables/rows/add"), &key),
        1 => {
            let rows: String =
                (0..20).map(|row| format!("{{\"key\": \"{}\"}}\n", ip(20 * n + row))).collect();
            ask(socket, "PUT", &format!("{main}/tables/bulk"), &rows)
        }
        2 => ask(socket, "PUT", &format!("{main}/params/head"), &json!({ "value": 100 + n }).to_string()),
        3 => ask(socket, "POST", &format!("{main}/triggers/raised/raise"), &key),
        4 => ask(socket, "POST", &format!("{main}/triggers/quiet/suppress"), &key),
        _ => {
            let text = format!("param n : uint = {n} in 0..1000000\n");
            let body = json!({ "files": { "p.mrule": text } }).to_string();
            ask(socket, "PUT", "/v1/policies/p", &body)
        }
    }
}

/// What is there must be what was answered, or one more.
fn check(place: &ControlledRun, written: &Written, round: u32) {
    let keys = |of: &Value| -> BTreeSet<String> {
        of.as_array().unwrap().iter().map(|item| item["key"][0].as_str().unwrap().to_owned()).collect()
    };
    let whole = |what: &str, there: &BTreeSet<String>, n: u64| {
        let missing = (0..n).map(ip).find(|key| !there.contains(key));
        assert!(missing.is_none(), "round {round}: {what} {missing:?} was answered and is lost, of {n}");
        assert!(there.len() as u64 <= n + 1, "round {round}: {} {what}, of {n}", there.len());
    };
    let n = |kind: usize| written[kind].load(Relaxed);
    let answer = |path: &str| mrule_tests::http::ask(&place.socket, "get", path, "", b"").json();
    let mut rows = BTreeSet::new();
    while (rows.len() as u64) < n(0) {
        let page = answer(&format!("/v1/policies/main/tables/rows?limit=10000&offset={}", rows.len()));
        let more = keys(&page["items"]);
        assert!(!more.is_empty(), "round {round}: {} rows of {}", rows.len(), n(0));
        rows.extend(more);
    }
    whole("rows", &rows, n(0));
    let bulk = keys(&answer("/v1/policies/main/tables/bulk?limit=10000")["items"]);
    let of = |n: u64| (0..20).map(|row| ip(20 * n + row)).collect::<BTreeSet<_>>();
    let is = n(1).checked_sub(1).map(of).unwrap_or_default();
    assert!(bulk == is || bulk == of(n(1)), "round {round}: a table is neither old nor new: {bulk:?}");
    let head = answer("/v1/policies/main/params")[0]["value"].as_u64().unwrap();
    let was = n(2).checked_sub(1).map_or(1000, |n| 100 + n);
    assert!(head == was || head == 100 + n(2), "round {round}: param {head}, was {was}");
    let raised = answer("/v1/policies/main/triggers/raised");
    whole("raised", &keys(&raised["active"]), n(3));
    let quiet = answer("/v1/policies/main/triggers/quiet");
    whole("suppressed", &keys(&quiet["suppressed"]), n(4));
    if n(5) > 0 {
        let text = answer("/v1/policies/p")["files"]["p.mrule"].as_str().unwrap().to_owned();
        let says = |n: u64| text.contains(&format!("= {n} in"));
        assert!(says(n(5) - 1) || says(n(5)), "round {round}: {text}, {} were answered", n(5));
    }
}

#[test]
fn kills_with_six_writers_lose_nothing_that_was_answered() {
    with_wire("kills_with_six_writers_lose_nothing_that_was_answered", kills);
}

fn kills(wire: &Wire) {
    let kept = tempfile::tempdir().unwrap();
    let state = ["--state", kept.path().to_str().unwrap()];
    let mut place = ControlledRun::start(wire, MIRRORC, RULES, &state);
    let site = place.write(
        "site.mrule",
        "station t { pcapng \"DIR/t.pcapng\" }
        rule r { match udp  snaplen full  to t }
        limit site { match any  snaplen 60 }\n",
    );
    place.command(&["load", &site, "--as", "site", "--binding"]);
    let _traffic = traffic(wire);
    let written: Written = Default::default();
    let (rounds, begun) = (crate::rounds(6, 500), Instant::now());
    let minutes = std::env::var("MRULE_ATTACK_MINUTES").ok().and_then(|m| m.parse::<u64>().ok());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut done = 0;
    for round in 0..rounds {
        if minutes.is_some_and(|minutes| begun.elapsed().as_secs() > 60 * minutes) {
            break;
        }
        // When the kill comes: by chance of a seed that is the same each time.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(50 + (seed >> 33) % 300);
        let stop = AtomicBool::new(false);
        let socket = place.socket.clone();
        std::thread::scope(|scope| {
            for (kind, next) in written.iter().enumerate() {
                let (socket, stop) = (&socket, &stop);
                scope.spawn(move || {
                    while !stop.load(Relaxed) {
                        match write(socket, kind, next.load(Relaxed)) {
                            Some(200) => drop(next.fetch_add(1, Relaxed)),
                            // Another change of the policy came between.
                            Some(409) => {}
                            Some(status) => panic!("kind {kind}: {status}"),
                            None => return,
                        }
                    }
                });
            }
            std::thread::sleep(life);
            place.run.halt();
            stop.store(true, Relaxed);
        });
        place = place.killed_and_started(wire, MIRRORC, &state);
        check(&place, &written, round);
        super::copied(&place, 3);
        let copies = place.copies("lake.pcapng");
        let whole = copies.iter().filter(|copy| copy.captured > 60).count();
        assert_eq!(whole, 0, "round {round}: of {} copies", copies.len());
        assert_eq!(place.reasons(), [""; 0], "round {round}");
        done = round + 1;
    }
    let written: Vec<u64> = written.iter().map(|n| n.load(Relaxed)).collect();
    eprintln!("{done} kills in {} s, answered: {written:?}", begun.elapsed().as_secs());
    assert!(written.iter().all(|n| *n > 0), "{written:?}");
    place.run.kill();
}
