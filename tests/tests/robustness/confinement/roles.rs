//! Each target of a station with each role, by each route that can give it. (Rejected: only the
//! routes that an attack has used; the next one takes another.)

use super::{Host, TOKENS};
use mrule_tests::http::ask;
use mrule_tests::wire::with_wire;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, symlink};

#[test]
fn clients_reach_what_is_granted_and_nothing_else() {
    with_wire("clients_reach_what_is_granted_and_nothing_else", |wire| {
        let grants =
            ["--allow-interface", "m0", "--allow-network", "192.0.2.0/24", "--allow-network", "fd02::/16"];
        let host = Host::start(wire, &grants);
        let foreign =
            [("foreign", "not mirrorc's\n"), ("granted/foreign", "not mirrorc's\n"), ("granted/empty", "")];
        for (name, text) in foreign {
            std::fs::write(host.path(name), text).unwrap();
        }
        symlink(host.path(""), host.path("granted/out")).unwrap();
        symlink(host.path("foreign"), host.path("granted/link")).unwrap();
        let own = [
            "tokens",
            "key",
            "cert",
            "a.mrule",
            "state/state.sqlite",
            "state/history.sqlite",
            "own/lake.pcapng",
        ];
        let protected = own.into_iter().chain(foreign.map(|(name, _)| name));
        let before: Vec<_> = protected.map(|n| (n, std::fs::metadata(host.path(n)).unwrap().ino())).collect();
        let at = |name: &str| format!("pcapng \"{}\"", host.text(name));
        // The last one is what `lake` of `main` writes already.
        let others = before.iter().filter(|(name, _)| *name != "own/lake.pcapng");
        let mut bad: Vec<(String, &str)> = others.map(|(name, _)| (at(name), "")).collect();
        assert_eq!(host.put(wire, "acme", "acme", &at("own/lake.pcapng")).0, 403);
        bad.extend([
            (at("fresh"), "--allow-directory"),
            (at("state/new"), "--allow-directory"),
            (at("granted/../fresh"), "`..`"),
            (at("granted/out/fresh"), "symbolic link"),
            (at("granted/link"), "symbolic link"),
            ("pcapng \"../fresh\"".to_owned(), "`..`"),
            ("pcapng \"/dev/null\"".to_owned(), "--allow-directory"),
            ("pcapng \"/proc/self/fd/1\"".to_owned(), "--allow-directory"),
            ("pcapng \"%%/../fresh\"".to_owned(), "`..`"),
            (format!("pipe \"{}\"", host.text("fresh")), "--allow-directory"),
            ("pipe \"out/fresh\"".to_owned(), "symbolic link"),
            ("pipe \"foreign\"".to_owned(), "no FIFO"),
            ("pipe stdout".to_owned(), "standard output"),
            ("interface lo".to_owned(), "--allow-interface"),
            ("vxlan 203.0.113.1 vni 7".to_owned(), "--allow-network"),
            ("geneve 203.0.113.1 vni 7".to_owned(), "--allow-network"),
            ("gre 127.0.0.1".to_owned(), "--allow-network"),
            ("erspan2 203.0.113.1 session 7".to_owned(), "--allow-network"),
            ("tzsp fd01::1".to_owned(), "--allow-network"),
        ]);
        for (target, says) in &bad {
            for who in ["anna", "adam"] {
                let (status, said) = host.set(wire, who, "main", "lake", target);
                assert!(
                    matches!(status, 403 | 409) && said.contains(says),
                    "{who} {target}: {status} {said}"
                );
            }
            let (status, said) = host.put(wire, "acme", "acme", target);
            assert!(matches!(status, 403 | 409) && said.contains(says), "{target}: {status} {said}");
        }
        // Who may not change targets may not change them to what is granted either.
        for (who, role, _) in TOKENS.iter().filter(|(_, role, _)| matches!(*role, "viewer" | "operator")) {
            let (status, said) = host.set(wire, who, "main", "lake", "pcapng \"fresh\"");
            assert!(status == 403 && said.contains("author") || *role == "viewer", "{who}: {status} {said}");
            let (status, said) = host.put(wire, who, "acme", "pcapng \"fresh\"");
            assert_eq!(status, if *who == "only" { 404 } else { 403 }, "{who}: {said}");
        }
        assert_eq!(
            host.set(wire, "acme", "main", "lake", "pcapng \"fresh\"").0,
            404,
            "another policy's token"
        );
        assert!(!host.path("fresh").exists() && !host.path("granted/fresh").exists());
        for (name, inode) in before {
            assert_eq!(std::fs::metadata(host.path(name)).unwrap().ino(), inode, "{name}");
        }
        for (name, text) in foreign {
            assert_eq!(std::fs::read_to_string(host.path(name)).unwrap(), text, "{name}");
        }
        for good in [
            "pcapng \"a.pcapng\"".to_owned(),
            at("granted/deep/er/b.pcapng"),
            "pipe \"fifo\"".to_owned(),
            "interface m0".to_owned(),
            "vxlan 192.0.2.9 vni 7".to_owned(),
            "tzsp fd02::1".to_owned(),
        ] {
            let (status, said) = host.put(wire, "acme", "acme", &good);
            assert_eq!(status, 200, "{good}: {said}");
        }
        assert!(host.path("granted/a.pcapng").is_file() && host.path("granted/deep/er/b.pcapng").is_file());
        // The owner writes where the process may, by its socket.
        host.place.command(&["station", "set", "lake", &at("own/deep/other.pcapng")]);
        assert!(host.path("own/deep/other.pcapng").is_file());
        for (target, says) in
            [(at("state/new"), "directory of the state"), (at("tokens"), "the file of tokens")]
        {
            let (_, said) = host.place.refused(&["station", "set", "lake", &target]);
            assert!(said.contains(says), "{target}: {said}");
        }
        assert!(wire.pings(&["10.1.0.2"]));
        host.place.run.stop();
    });
}

#[test]
fn operators_change_rates_and_authors_targets() {
    with_wire("operators_change_rates_and_authors_targets", |wire| {
        let host = Host::start(wire, &[]);
        let lake = format!("pcapng \"{}\"", host.text("own/lake.pcapng"));
        let slow = format!("{lake} limit 10Mbit burst 64KiB");
        for who in ["otto", "only", "anna"] {
            let (status, said) = host.set(wire, who, "main", "lake", &slow);
            assert_eq!(status, 200, "{who}: {said}");
            let (status, said) =
                host.ask(wire, who, "POST", "/v1/policies/main/stations/lake/drain", &().into());
            assert_eq!(status, 200, "{who}: {said}");
            assert_eq!(
                host.ask(wire, who, "POST", "/v1/policies/main/stations/lake/resume", &().into()).0,
                200
            );
            let (status, said) = host.ask(wire, who, "DELETE", "/v1/policies/main/stations/lake", &().into());
            assert_eq!(status, 200, "the target stays: {who}: {said}");
        }
        assert_eq!(host.set(wire, "vera", "main", "lake", &slow).0, 403);
        // Back from another target is another target.
        assert_eq!(host.set(wire, "anna", "main", "lake", "pcapng \"x.pcapng\"").0, 200);
        let (status, said) = host.ask(wire, "otto", "DELETE", "/v1/policies/main/stations/lake", &().into());
        assert!(status == 403 && said.contains("needs author"), "{status} {said}");
        assert_eq!(host.ask(wire, "anna", "DELETE", "/v1/policies/main/stations/lake", &().into()).0, 200);
        // A dry run says the same.
        let dry = super::program(&[("s", "pcapng \"/etc/x\"")]);
        let (status, said) = host.ask(wire, "anna", "PUT", "/v1/policies/main?dry_run=true", &dry);
        assert!(status == 403 && said.contains("--allow-directory"), "{status} {said}");
        host.place.run.stop();
    });
}

/// A policy becomes binding while an author's program waits to be compiled: the author's right is
/// checked when it is loaded, too.
#[test]
fn authors_replace_no_policy_that_became_binding_meanwhile() {
    with_wire("authors_replace_no_policy_that_became_binding_meanwhile", |wire| {
        let host = Host::start(wire, &[]);
        let small = host.text("granted/s.pcapng");
        let (status, said) = host.put(wire, "anna", "site", &format!("pcapng \"{small}\""));
        assert_eq!(status, 200, "{said}");
        let mut large = String::from("limit site { match icmp  snaplen 60 }\n");
        large += &format!("station t {{ pcapng \"{}\" }}\n", host.text("own/t.pcapng"));
        for i in 0..1500 {
            large +=
                &format!("rule r{i} {{ match tcp.dstport == {}  snaplen {}  to t }}\n", i + 1, 40 + i % 900);
        }
        std::thread::scope(|scope| {
            let socket = &host.place.socket;
            let owner = scope
                .spawn(move || ask(socket, "PUT", "/v1/policies/site?binding=true", "", large.as_bytes()));
            // In each of the moments before, while and after the owner's program is compiled.
            let mut refused = false;
            while !owner.is_finished() {
                let (status, said) = host.put(wire, "anna", "site", &format!("pcapng \"{small}\""));
                assert!(status == 200 || (status == 403 && said.contains("needs admin")), "{status} {said}");
                refused |= status == 403;
            }
            assert_eq!(owner.join().unwrap().status, 200);
            let (status, said) = host.ask(wire, "anna", "DELETE", "/v1/policies/site", &json!({}));
            assert_eq!(status, 403, "{said}");
            let list = ask(&host.place.socket, "GET", "/v1/policies/site", "", b"").body;
            let is: Value = serde_json::from_str(&list).unwrap();
            assert_eq!(is["binding"], true, "refused: {refused}; {list}");
        });
        host.place.run.kill();
    });
}
