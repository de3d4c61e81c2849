//! Clients that are slow, silent or many: others are answered within a second meanwhile.
//! (Rejected: waiting for the bounds in time alone; that they hold others up is the fault.)

use super::{RULES, RemoteRun, begun, is_closed, silent};
use crate::{MIRRORC, rounds};
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::wire::{until, with_wire};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long an answer may take while others are slow: under a second, and what a loaded machine
/// adds.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4000 } else { 1000 });

#[test]
fn slow_bodies_on_every_route_hold_nobody_up() {
    with_wire("slow_bodies_on_every_route_hold_nobody_up", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let document = ask(&place.socket, "get", "/v1/openapi.json", "", b"").json();
        let mut held = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let path = path
                    .replace("{policy}", "main")
                    .replace("{table}", "quiet")
                    .replace("{param}", "head")
                    .replace("{trigger}", "attack")
                    .replace("{station}", "lake")
                    .replace("{flow}", "x")
                    .replace("{verb}", if path.contains("tables") { "add" } else { "raise" });
                let kind =
                    operation["requestBody"]["content"].as_object().and_then(|kinds| kinds.keys().next());
                let kind = kind.map_or("application/json", String::as_str);
                let head = format!(
                    "{} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 60000\r\n\r\n{{",
                    method.to_uppercase()
                );
                if operation["requestBody"].is_object() {
                    // More than there are threads.
                    held.extend((0..24).map(|_| begun(&place.socket, &head)));
                } else if method == "get" {
                    held.push(begun(&place.socket, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-more: ")));
                }
            }
        }
        assert!(held.len() > 150, "{}", held.len());
        let started = Instant::now();
        for path in ["/v1/health", "/v1/stats", "/v1/policies", "/v1/policies/main/tables", "/v1/flows/top"] {
            let asked = Instant::now();
            assert_eq!(ask(&place.socket, "get", path, "", b"").status, 200, "{path}");
            assert!(asked.elapsed() < SOON, "{path} took {:?}", asked.elapsed());
        }
        let raised = ask(
            &place.socket,
            "post",
            "/v1/policies/main/triggers/attack/raise",
            "application/json",
            b"{\"key\": \"10.0.0.1\"}",
        );
        assert_eq!(raised.status, 200, "{}", raised.body);
        assert!(started.elapsed() < 6 * SOON);
        drop(held);
        place.run.stop();
    });
}

#[test]
fn a_body_that_comes_too_slowly_is_refused() {
    with_wire("a_body_that_comes_too_slowly_is_refused", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        let mut answers = Vec::new();
        for path in ["/v1/policies/main/tables/quiet", "/v1/policies/slow", "/v1/policies/main/params/head"] {
            let head =
                format!("PUT {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 900\r\n\r\n");
            answers.push((path, begun(&place.socket, &head)));
        }
        let started = Instant::now();
        for (path, mut stream) in answers {
            stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
            let mut said = String::new();
            std::io::Read::read_to_string(&mut stream, &mut said).unwrap();
            assert!(said.starts_with("HTTP/1.1 408") && said.contains("too slowly"), "{path}: {said}");
        }
        assert!((4..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        place.run.stop();
    });
}

#[test]
fn silent_connections_of_one_address_leave_room_for_others() {
    with_wire("silent_connections_of_one_address_leave_room_for_others", |wire| {
        let more = ["--api-connections", "120", "--api-connections-per-address", "60"];
        let remote = RemoteRun::start(wire, &[("vera", "viewer", "")], &more);
        // From a second address, all that there is for one.
        wire.ip(&wire.right, &["addr", "add", "10.2.0.3/24", "dev", "mon"]);
        let mut connections = silent(wire, 100);
        let closed = connections
            .iter_mut()
            .filter_map(|stream| is_closed(stream, Duration::from_millis(20)).then_some(()));
        let closed = closed.count();
        assert!(closed >= 40, "{closed} of 100 were closed at once: an address has 60");
        // The owner is answered, and so is a client elsewhere.
        assert_eq!(ask(&remote.place.socket, "get", "/v1/health", "", b"").status, 200);
        let (ca, shows) = (remote.path("cert"), std::fs::read_to_string(remote.path("vera")).unwrap());
        let shows = format!("Authorization: Bearer {}", shows.trim());
        let url = format!("https://{}/v1/health", super::ADDRESS);
        let elsewhere =
            ["curl", "-s", "-m", "5", "--interface", "10.2.0.3", "--cacert", &ca, "-H", &shows, &url];
        let said = wire.run(&wire.right, &elsewhere);
        assert!(said.contains("\"status\""), "{said}");
        // A handshake has five seconds; then the address has room again.
        until("the silent ones are closed", || remote.ask(wire, "vera", "GET", "/v1/health", "").0 == 200);
        drop(connections);
        remote.place.run.stop();
    });
}

#[test]
fn all_places_taken_by_strangers_are_given_to_clients() {
    with_wire("all_places_taken_by_strangers_are_given_to_clients", |wire| {
        let more = ["--api-connections", "40", "--api-connections-per-address", "1000"];
        let remote = RemoteRun::start(wire, &[("vera", "viewer", "")], &more);
        for _ in 0..rounds(3, 20) {
            let connections = silent(wire, 120);
            let asked = Instant::now();
            assert_eq!(remote.ask(wire, "vera", "GET", "/v1/health", "").0, 200);
            assert!(asked.elapsed() < 2 * SOON, "{:?}", asked.elapsed());
            assert_eq!(ask(&remote.place.socket, "get", "/v1/health", "", b"").status, 200);
            drop(connections);
        }
        remote.place.run.stop();
    });
}

#[test]
fn bodies_have_a_budget_and_the_owner_a_part_of_it() {
    with_wire("bodies_have_a_budget_and_the_owner_a_part_of_it", |wire| {
        let remote = RemoteRun::start(wire, &[("anna", "author", "")], &["--api-body-memory", "8MiB"]);
        let before = remote.place.run.memory();
        let part = vec![b' '; 1 << 20];
        // Unfinished programs at the owner's socket fill what there is.
        let head = "PUT /v1/policies/x HTTP/1.1\r\nhost: x\r\ncontent-length: 60000000\r\n\r\n";
        let mut held = Vec::new();
        let mut refused = 0;
        for _ in 0..20 {
            let mut stream = begun(&remote.place.socket, head);
            stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            for _ in 0..2 {
                refused += usize::from(stream.write_all(&part).is_err());
            }
            held.push(stream);
        }
        until("some are refused", || {
            held.iter_mut().any(|stream| {
                stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                let mut said = [0; 512];
                let length = std::io::Read::read(stream, &mut said).unwrap_or(0);
                let said = String::from_utf8_lossy(&said[..length]).to_lowercase();
                said.contains("503") && said.contains("retry-after")
            })
        });
        let grown = remote.place.run.memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes for unfinished programs, {refused} writes failed");
        // What is short has room of what is left, and all has when they are gone.
        assert_eq!(ask(&remote.place.socket, "get", "/v1/health", "", b"").status, 200);
        drop(held);
        let program = "station s { pcapng \"DIR/acme.pcapng\" }\nrule r { match tcp  snaplen 60  to s }";
        let program = program.replace("DIR", remote.place.dir.path().to_str().unwrap());
        until("there is room again", || {
            ask(
                &remote.place.socket,
                "put",
                "/v1/policies/acme?dry_run=true",
                "text/plain",
                program.as_bytes(),
            )
            .status
                == 200
        });
        remote.place.run.stop();
    });
}
