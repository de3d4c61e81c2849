//! The control socket of a mirrorc on a bridge: policies, triggers, tables and params are changed
//! while it forwards, by the commands and by HTTP. (Rejected: a mock of the runtime; what is asked
//! is whether packets are decided otherwise.)

use crate::MIRRORC;
use mirrorc::Exit;
use mrule_tests::control::ControlledRun;
use mrule_tests::copies::labelled_copies;
use mrule_tests::wire::{until, with_wire, write_rules};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn rules(version: u64) -> String {
    let (rule, length) = if version % 2 == 1 { ("odd", 60) } else { ("even", 50) };
    format!(
        "station lake {{ pcapng \"DIR/lake.pcapng\" }}
         trigger seen by net.src {{ when icmp  hold 1h }}
         rule {rule} {{ match any  snaplen {length}  to lake }}
         rule _seen {{ match seen and flow.bytes > 100000000000  snaplen 1  to lake }}\n"
    )
}

#[test]
fn two_hundred_loads_under_load() {
    with_wire("two_hundred_loads_under_load", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, &rules(1), &["--workers", "2"]);
        assert!(wire.pings(&["10.1.0.2"]));
        let over = AtomicBool::new(false);
        let mut memory = Vec::new();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut lost = 0;
                while !over.load(Relaxed) {
                    wire.tcp("30M", &[]);
                    // Of frames that are sent while programs come and go, every one arrives.
                    lost += u64::from(!wire.pings(&["10.1.0.2"]));
                }
                lost
            });
            let begun = Instant::now();
            let (mut worst, mut pause) = (0.0_f64, 0.0_f64);
            for version in 2..=201 {
                let path = write_rules(place.dir.path(), &rules(version));
                let done = place.json(&["load", &path]);
                assert_eq!(done["version"], version, "{done}");
                worst = worst.max(done["all_ms"].as_f64().unwrap());
                pause = pause.max(done["pause_ms"].as_f64().unwrap());
                if version % 50 == 0 {
                    memory.push(place.run.memory());
                }
                let due = begun + Duration::from_millis(100) * (version as u32 - 1);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            eprintln!(
                "200 loads in {:?}, the slowest {worst} ms, the longest pause {pause} ms",
                begun.elapsed()
            );
            over.store(true, Relaxed);
            assert_eq!(load.join().unwrap(), 0, "pings that were not answered");
        });
        let (first, last) = (memory[0], *memory.last().unwrap());
        assert!(last < first + first / 4 + (8 << 20), "memory grows: {memory:?}");
        let sums = place.run.stop();
        let copies = labelled_copies(&place.dir.path().join("lake.pcapng"));
        assert_eq!(Some(copies.len() as u64), sums["stations"][0]["sent"].as_u64());
        for copy in &copies {
            let (rule, most) = if copy.version % 2 == 1 { ("odd", 60) } else { ("even", 50) };
            assert_eq!((copy.rule.as_str(), copy.captured), (rule, most.min(copy.length)), "{copy:?}");
        }
        let versions: std::collections::BTreeSet<u64> = copies.iter().map(|copy| copy.version).collect();
        assert!(versions.len() > 100, "{} versions decided something", versions.len());
        let seen = sums["triggers"].as_array().unwrap().iter().find(|t| t["name"] == "seen").unwrap();
        assert_eq!((&seen["raised"], &seen["keys"]["active"]), (&2.into(), &2.into()), "{sums}");
        assert_eq!(sums["tracked"]["flows"]["packets"], sums["packets"]);
    });
}

#[test]
fn limits_that_bind_every_policy() {
    with_wire("limits_that_bind_every_policy", |wire| {
        let rules =
            "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen full  to lake }\n
                     limit own { match icmp and frame.len > 1000  snaplen none }";
        let place = ControlledRun::start(wire, MIRRORC, rules, &["--workers", "2"]);
        // What was sent is read and decided some milliseconds later.
        let ping = || {
            assert!(wire.pings(&["10.1.0.2"]));
            std::thread::sleep(Duration::from_millis(200));
        };
        ping();
        let site = "param most : size = 50 in 0..100
            table spared : set<ip>
            station s { pcapng \"DIR/site.pcapng\" }
            rule some { match icmp.type == 8  snaplen full  to s }
            limit private { match icmp and net.addr not in spared  snaplen most }
            limit mine { match any  snaplen 20  to s }";
        let site = place.write("site.mrule", site);
        let (_, said) = place.refused(&[
            "load",
            &place.write("none.mrule", rules.split("limit").next().unwrap()),
            "--as",
            "none",
            "--binding",
        ]);
        assert!(said.contains("no limit of the program is without `to`"), "{said}");
        place.command(&["load", &site, "--as", "site", "--binding"]);
        ping();
        // By its own tables and params, as they are now.
        place.command(&["param", "set", "most", "0", "--policy", "site"]);
        ping();
        place.command(&["table", "add", "spared", "10.1.0.2", "--policy", "site"]);
        ping();
        assert!(place.command(&["list"]).contains("binding"));
        let listed = place.json(&["list"]);
        assert!(listed[0]["binding"] == false && listed[1]["binding"] == true, "{listed}");
        // A version that does not bind takes its place.
        place.command(&["load", &site, "--as", "site"]);
        place.command(&["table", "remove", "spared", "10.1.0.2", "--policy", "site"]);
        ping();
        let back = place.json(&["rollback", "site"]);
        assert_eq!(back["version"], 3, "{back}");
        ping();
        place.command(&["unload", "site", "--yes"]);
        assert!(wire.pings(&["-s", "1200", "10.1.0.2"]));
        let sums = place.run.stop();
        let lake = labelled_copies(&place.dir.path().join("lake.pcapng"));
        let icmp: Vec<usize> =
            lake.iter().filter(|copy| copy.length == 98).map(|copy| copy.captured).collect();
        let three = |length: usize| [length; 6];
        // In turn: alone, bound to 50, to nothing, spared, not bound, bound to nothing again.
        assert_eq!(icmp, [three(98), three(50), three(98), three(98)].concat(), "{lake:?}");
        assert_eq!((&sums["bound"], &sums["bound_withheld"]), (&6.into(), &12.into()), "{sums}");
    });
}

#[test]
fn stations_are_sent_elsewhere_and_drained() {
    with_wire("stations_are_sent_elsewhere_and_drained", |wire| {
        let rules = "station mon { interface m0 }\nstation lake { pcapng \"DIR/lake.pcapng\" }
                     rule all { match icmp  snaplen full  to mon, lake }\n";
        let state = tempfile::tempdir().unwrap();
        let place = ControlledRun::start(wire, MIRRORC, rules, &["--state", state.path().to_str().unwrap()]);
        let ping = |length: &str| {
            assert!(wire.pings(&["-s", length, "10.1.0.2"]));
            std::thread::sleep(Duration::from_millis(200));
        };
        ping("56");
        let other = format!("pcapng \"{}/other.pcapng\"", place.dir.path().display());
        let (exit, said) = place.refused(&["station", "set", "mon", "vxlan 10.2.0.2 vni 99999999"]);
        assert!(exit == Exit::Problems && said.contains("16777215"), "{said}");
        let more = "interface m0 } rule evil { match any snaplen full to mon";
        let (_, said) = place.refused(&["station", "set", "mon", more]);
        assert!(said.contains("errors") || said.contains("nothing else"), "{said}");
        let (_, said) = place.refused(&["station", "set", "mon", "interface in0"]);
        assert!(said.contains("which is read"), "{said}");
        // What a shell makes of the words, and what to write.
        let lake = place.dir.path().join("lake.pcapng");
        let right = format!("mirrorc station set lake 'pcapng \"{}\" limit 1Mbit'", lake.display());
        let (_, said) = place.refused(&["station", "set", "lake", "limit", "1Mbit"]);
        assert!(said.contains("station lake was not changed") && said.contains(&right), "{said}");
        let (_, said) = place.refused(&["station", "set", "lake", "pcapng", "new.pcapng", "keep", "3"]);
        let right = "mirrorc station set lake 'pcapng \"new.pcapng\" keep 3'";
        assert!(said.contains("in quotes") && said.contains(right), "{said}");
        let (_, said) = place.refused(&["station", "drain", "mom"]);
        assert!(said.contains("`mon`"), "{said}");
        place.command(&["station", "set", "mon", &other]);
        ping("57");
        place.command(&["station", "drain", "lake"]);
        ping("58");
        assert!(place.command(&["station", "list"]).contains("drained"));
        place.command(&["station", "resume", "lake"]);
        // A new version goes on with what was set.
        let next =
            place.write("next.mrule", &format!("{rules}rule more {{ match tcp  snaplen full  to mon }}"));
        let done = place.json(&["load", &next]);
        assert_eq!(done["plan"]["targets"]["kept"][0], "mon", "{done}");
        ping("59");
        place.command(&["station", "reset", "mon"]);
        ping("60");
        place.command(&["station", "set", "mon", &other.replace("other", "third")]);
        let ControlledRun { dir, run, socket } = place;
        let sums = run.stop();
        let dropped = |sums: &Value, at: usize| sums["stations"][at]["dropped"]["drained"].as_u64();
        assert_eq!((dropped(&sums, 0), dropped(&sums, 1)), (Some(6), Some(0)), "{sums}");
        let lengths = |name: &str| {
            let copies = labelled_copies(&dir.path().join(name));
            copies.iter().map(|copy| copy.length - 42).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(lengths("lake.pcapng"), [56, 57, 59, 60].into());
        assert_eq!(lengths("other.pcapng"), [57, 58, 59].into());
        // And so does the next run.
        let path = dir.path().join("next.mrule");
        let run = wire.mirrorc(
            MIRRORC,
            &[
                path.to_str().unwrap(),
                "--bridge",
                "in0:out0",
                "--control",
                socket.to_str().unwrap(),
                "--state",
                state.path().to_str().unwrap(),
            ],
        );
        ping("61");
        run.stop();
        assert_eq!(lengths("third.pcapng"), [61].into());
    });
}

#[test]
fn every_frame_is_sent_on_once_while_programs_change() {
    with_wire("every_frame_is_sent_on_once_while_programs_change", |wire| {
        let place =
            ControlledRun::start(wire, MIRRORC, &rules(1), &["--workers", "1", "--forward", "userspace"]);
        let arrived = place.dir.path().join("arrived.pcap");
        let listener = wire.tcpdump(&wire.right, "r0", "in", &arrived);
        let frame = |number: u32| {
            let head = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
            [&head[..], &number.to_be_bytes(), &[7; 50]].concat()
        };
        let sent: Vec<Vec<u8>> = (0..6000).map(frame).collect();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                for some in sent.chunks(50) {
                    wire.say(some);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let mut version = 2;
            while !load.is_finished() {
                let path = write_rules(place.dir.path(), &rules(version));
                place.command(&["load", &path]);
                version += 1;
            }
            assert!(version > 5, "{version} versions");
        });
        std::thread::sleep(Duration::from_millis(500));
        listener.stop();
        let arrived: Vec<Vec<u8>> =
            mrule_tests::frames::read(&arrived).into_iter().map(|f| f.bytes).collect();
        let ours: Vec<&Vec<u8>> = arrived.iter().filter(|bytes| bytes[12..14] == [0x88, 0xb5]).collect();
        assert_eq!(ours.len(), sent.len());
        assert!(ours.into_iter().eq(&sent), "each once, in order");
        let sums = place.run.stop();
        assert_eq!(sums["stations"][0]["copies"], sums["packets"]);
    });
}

#[test]
fn policies_come_and_go() {
    with_wire("policies_come_and_go", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, &rules(1), &[]);
        let site = place.write(
            "site.mrule",
            "include \"parts.mrule\"
             table bad : set<ip> from \"bad.csv\"
             station site { pcapng \"DIR/site.pcapng\" }
             rule r { match net.addr in bad and icmp  snaplen headers  to site }\n",
        );
        place.write("parts.mrule", "let unused = 1\n");
        place.write("bad.csv", "10.1.0.1\n");
        let plan = place.command(&["load", &site, "--as", "site", "--dry-run"]);
        assert!(plan.contains("would become version 1") && plan.contains("new stations: site"), "{plan}");
        assert_eq!(place.json(&["list"]).as_array().unwrap().len(), 1);
        place.command(&["load", &site, "--as", "site"]);
        assert!(wire.pings(&["10.1.0.2"]));
        until("copies by both", || {
            let stations = place.json(&["station", "list"]);
            stations.as_array().unwrap().iter().all(|s| s["sent"].as_u64() >= Some(6))
                && stations[1].is_object()
        });
        // Names are each policy's own; what one has is not another's.
        let (exit, said) = place.refused(&["table", "list", "bad"]);
        assert!(exit == Exit::Usage && said.contains("there is no table `bad`"), "{said}");
        place.write("bad.csv", "10.1.0.2\n");
        let done = place.json(&["load", &site, "--as", "site"]);
        assert_eq!(done["plan"]["stations"]["kept"], json!(["site"]));
        let diff = place.command(&["diff", "site"]);
        assert!(diff.contains("-10.1.0.1\n+10.1.0.2\n"), "{diff}");
        let done = place.json(&["rollback", "site"]);
        assert_eq!((&done["version"], &done["plan"]["rules"]["kept"]), (&3.into(), &json!(["r"])));
        assert!(place.command(&["show", "site"]).contains("10.1.0.1"));
        let (_, said) = place.refused(&["rollback", "site", "--version", "9"]);
        assert!(said.contains("there are: 1, 2, 3"), "{said}");
        // Two policies do not write one file.
        let twice = place.write(
            "twice.mrule",
            "station x { pcapng \"DIR/site.pcapng\" }\nrule r { match any  snaplen full  to x }\n",
        );
        let (_, said) = place.refused(&["load", &twice, "--as", "twice"]);
        assert!(said.contains("of policy `site` writes there"), "{said}");
        // Stations into what is read are refused as at the start.
        let echo = place
            .write("echo.mrule", "station x { interface in0 }\nrule r { match any  snaplen full  to x }\n");
        assert!(place.refused(&["load", &echo, "--as", "echo"]).1.contains("which is read"));
        place.command(&["unload", "site", "--yes"]);
        assert!(place.refused(&["unload", "site"]).1.contains("there are: main"));
        assert!(wire.pings(&["10.1.0.2"]));
        let site = place.copies("site.pcapng");
        assert!(site.len() >= 6 && site.iter().all(|copy| copy.policy == "site" && copy.rule == "r"));
        let sums = place.run.stop();
        assert_eq!(sums["stations"].as_array().unwrap().len(), 1, "{sums}");
        assert_eq!(sums["stations"][0]["copies"], sums["packets"], "{sums}");
    });
}

#[test]
fn tables_params_and_triggers_change_at_work() {
    with_wire("tables_params_and_triggers_change_at_work", |wire| {
        let text = "
            param head : size = 40 in 10..100
            table quiet : set<ip>
            table users : map<ip, string>
            trigger attack by net.dst { external  hold 1h }
            station lake { pcapng \"DIR/lake.pcapng\" }
            rule heads  { match icmp  snaplen head  to lake }
            rule attack { match attack[net.addr]  snaplen full  to lake }
            limit quiet { match net.src in quiet  snaplen none }
            limit alice { match users[net.src] == \"alice\"  snaplen 20 }\n";
        let place = ControlledRun::start(wire, MIRRORC, text, &[]);
        let ping = || {
            let before = place.copies("lake.pcapng").len() as u64;
            assert!(wire.pings(&["10.1.0.2"]));
            let last = Instant::now() + Duration::from_millis(1500);
            // Six packets; some may be withheld.
            until("copies are written", || {
                place.json(&["station", "list"])[0]["waiting"] == 0 && Instant::now() > last
            });
            let copies = place.copies("lake.pcapng");
            copies[before as usize..].iter().map(|c| c.captured).collect::<Vec<_>>()
        };
        assert_eq!(ping(), [40; 6]);
        place.command(&["param", "set", "head", "50"]);
        assert_eq!(ping(), [50; 6]);
        let (_, said) = place.refused(&["param", "set", "head", "1KiB"]);
        assert!(said.contains("must be from 10 to 100"), "{said}");
        place.command(&["trigger", "raise", "attack", "10.1.0.2", "--for", "1m"]);
        let active = place.json(&["trigger", "list", "attack"]);
        assert_eq!((&active["active"][0]["key"], &active["active"][1]), (&json!(["10.1.0.2"]), &Value::Null));
        assert_eq!(ping(), [98; 6]);
        assert!(place.command(&["trigger", "clear", "attack"]).contains("1 keys"));
        place.command(&[
            "trigger",
            "suppress",
            "attack",
            "10.1.0.2",
            "--reason",
            "a scanner of ours",
            "--for",
            "1h",
        ]);
        assert!(place.command(&["trigger", "raise", "attack", "10.1.0.2"]).contains("suppressed"));
        assert!(place.command(&["trigger", "list", "attack"]).contains("a scanner of ours"));
        place.command(&["table", "add", "users", "10.1.0.1", "--value", "alice"]);
        assert_eq!(ping(), [20, 50, 20, 50, 20, 50]);
        let (_, said) = place.refused(&["table", "add", "users", "10.1.0.1"]);
        assert!(said.contains("add the `value`"), "{said}");
        // What was changed lives on in the next version.
        let path = write_rules(place.dir.path(), &text.replace("snaplen 20", "snaplen 30"));
        let done = place.json(&["load", &path]);
        assert_eq!(done["plan"]["tables"], json!({ "kept": ["users"], "new": [], "lost": [] }));
        assert_eq!(done["plan"]["params"]["kept"], json!(["head"]));
        assert_eq!(done["plan"]["triggers"]["kept"], json!(["attack"]));
        assert_eq!(ping(), [30, 50, 30, 50, 30, 50]);
        assert!(place.command(&["trigger", "list", "attack"]).contains("a scanner of ours"));
        // All rows at once, streamed; and rows that end by themselves.
        let many: String = (0..50_000)
            .map(|i| format!("{{\"key\": \"172.{}.{}.{}\"}}\n", 16 + i / 65536, i / 256 % 256, i % 256))
            .collect();
        let rows = place.write("rows", &(many + "{\"key\": [\"10.1.0.1\"]}\n"));
        assert!(place.command(&["table", "replace", "quiet", &rows]).contains("50001 rows"));
        assert_eq!(ping(), [50; 3], "those from the left are withheld");
        let bad = place.write("bad-rows", "{\"key\": \"10.0.0.1\"}\n{\"key\": \"ten\"}\n");
        let (_, said) = place.refused(&["table", "replace", "quiet", &bad]);
        assert!(said.contains("row 2") && said.contains("not of type `ip`"), "{said}");
        assert_eq!(place.json(&["table", "list"])[0]["rows"], 50_001, "nothing changed");
        let rows = place.write("rows", "{\"key\": \"10.1.0.1\", \"for\": \"1ms\"}\n");
        place.command(&["table", "replace", "quiet", &rows]);
        until("the row ends", || place.json(&["table", "list"])[0]["rows"] == 0);
        place.command(&["param", "reset", "head"]);
        assert_eq!(ping(), [30, 40, 30, 40, 30, 40]);
        place.run.stop();
    });
}

#[test]
fn a_thousand_rules_are_soon_at_work() {
    with_wire("a_thousand_rules_are_soon_at_work", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, &rules(1), &[]);
        let rule = |i| {
            format!(
                "rule r{i} {{ match tcp.port == {} and net.src == 10.{}.0.0/16  snaplen {}  to lake }}\n",
                i + 1,
                i % 200,
                60 + i
            )
        };
        let many: String = (0..1000).map(rule).collect();
        let path = write_rules(place.dir.path(), &(rules(1) + &many));
        let done = place.json(&["load", &path]);
        let ms = |what: &str| done[what].as_f64().unwrap();
        eprintln!(
            "1,000 rules: {} ms in all, {} of them compiling, {} at a worker",
            ms("all_ms"),
            ms("compiling_ms"),
            ms("pause_ms")
        );
        assert_eq!(done["plan"]["rules"]["new"].as_array().unwrap().len(), 1000);
        // An unoptimised build checks and compiles a hundred times slower, beside other tests.
        let most = if cfg!(debug_assertions) { 60_000.0 } else { 500.0 };
        assert!(done["all_ms"].as_f64() < Some(most), "{done}");
        place.run.stop();
    });
}
