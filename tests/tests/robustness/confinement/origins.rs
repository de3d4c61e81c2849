//! Who wrote a station is remembered: over loads, rollbacks, resets, signals and restarts.
//! (Rejected: to ask who loads it now; the owner's SIGHUP would free what a client wrote.)

use super::{Host, RULES, names, program};
use mrule_tests::wire::{until, with_wire};
use serde_json::Value;

#[test]
fn who_wrote_a_station_decides_whoever_loads_it_again() {
    with_wire("who_wrote_a_station_decides_whoever_loads_it_again", |wire| {
        let host = Host::start(wire, &[]);
        let granted = host.text("granted");
        let rollback = |host: &Host, who: &str, version: u64| {
            let path = format!("/v1/policies/main/rollback?version={version}");
            host.ask(wire, who, "POST", &path, &Value::Null)
        };
        // The owner's station in a client's text stays the owner's while it is as the owner wrote
        // it.
        let lake = format!("pcapng \"{}\"", host.text("own/lake.pcapng"));
        let kept = program(&[("lake", &lake), ("sea", "pcapng \"sea.pcapng\"")]);
        let (status, said) = host.ask(wire, "anna", "PUT", "/v1/policies/main", &kept);
        assert_eq!(status, 200, "{said}");
        assert!(host.path("granted/sea.pcapng").is_file());
        let moved = program(&[("lake", &lake.replace("lake.pcapng", "other.pcapng"))]);
        assert_eq!(host.ask(wire, "anna", "PUT", "/v1/policies/main", &moved).0, 403);
        let renamed = program(&[("pond", &lake)]);
        assert_eq!(host.ask(wire, "anna", "PUT", "/v1/policies/main", &renamed).0, 403);
        let elsewhere = program(&[("lake", &lake)]);
        assert_eq!(host.ask(wire, "anna", "PUT", "/v1/policies/two", &elsewhere).0, 403, "another policy");

        // What the owner's SIGHUP, rollback and restart load keeps to what clients may.
        assert_eq!(host.set(wire, "anna", "main", "lake", "pcapng \"moved.pcapng\"").0, 200);
        host.place.write("a.mrule", &RULES.replace("snaplen 60", "snaplen 61"));
        host.place.run.hang_up();
        host.place.run.says("version 3");
        assert!(host.path("granted/moved.pcapng").is_file());
        host.place.command(&["rollback", "--version", "2"]);
        assert!(
            names(&host.path("own")).iter().all(|name| name.contains("lake")),
            "{:?}",
            names(&host.path("own"))
        );
        let (status, said) = rollback(&host, "anna", 2);
        assert_eq!(status, 200, "{said}");
        let stations = || host.place.json(&["station", "list"]).to_string();
        assert!(stations().contains("moved.pcapng"));
        assert_eq!(rollback(&host, "anna", 1).0, 200, "the owner's text is the owner's");

        // Another policy of a client, and what was set, over a restart.
        assert_eq!(host.put(wire, "acme", "acme", "pcapng \"acme.pcapng\"").0, 200);
        let host = host.again(wire, &["--allow-directory", &granted]);
        let all = || host.place.json(&["station", "list"]).to_string();
        until("both are back", || all().contains("acme.pcapng") && all().contains("moved.pcapng"));
        assert_eq!(host.put(wire, "acme", "acme", "pcapng \"/srv/x.pcapng\"").0, 403);

        // Without the grant they are not, and that is told.
        let before = names(&host.path("granted"));
        let host = host.again(wire, &[]);
        host.place.run.says("clients are: none");
        let stations = host.place.json(&["station", "list"]);
        // The policy is at work without its station, for its limits.
        let acme = stations.as_array().unwrap().iter().find(|station| station["policy"] == "acme").unwrap();
        assert!(acme["up"] == false && acme["down"].as_str().unwrap().contains("not allowed"), "{acme}");
        let stations = stations.to_string();
        assert!(!stations.contains("moved.pcapng"), "{stations}");
        assert!(stations.contains("own/lake.pcapng"), "{stations}");
        assert_eq!(names(&host.path("granted")), before);
        host.place.run.stop();
    });
}
