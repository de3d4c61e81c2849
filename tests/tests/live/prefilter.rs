//! The kernel's filter on interfaces: two mirrorcs read the same packets at once, one with it and
//! one without, and their copies are the same, byte for byte; and the numbers say what was not
//! seen. (Rejected: one run after another; no two runs see the same packets.)

use crate::MIRRORC;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_dataplane::live::{Live, MAIN, Options};
use mrule_engine::policy::Policy;
use mrule_tests::compile_text;
use mrule_tests::frames::{Frame, read};
use mrule_tests::packet_text::build;
use mrule_tests::wire::{Wire, odd_frames, until, with_wire, write_rules};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde_json::Value;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Runs rules twice over what `traffic` makes; the sums and the copies of station `lake`, with the
/// filter and without.
fn both(wire: &Wire, rules: &str, ways: &[&str], traffic: impl FnOnce()) -> [(Value, Vec<Frame>); 2] {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let options: [&[&str]; 2] = [&[], &["--no-prefilter"]];
    let runs = [0, 1].map(|i| {
        let rules =
            write_rules(dirs[i].path(), &format!("station lake {{ pcapng \"DIR/lake.pcapng\" }}\n{rules}"));
        wire.mirrorc(MIRRORC, &[&[rules.as_str()], ways, options[i]].concat())
    });
    traffic();
    let sums = runs.map(|run| run.stop());
    let mut sums = sums.into_iter();
    dirs.map(|dir| (sums.next().unwrap(), read(&dir.path().join("lake.pcapng"))))
}

/// Has tc forward between the hosts, so that taps have something to hear.
fn forward(wire: &Wire) {
    for (port, to) in [("in0", "out0"), ("out0", "in0")] {
        wire.run(&wire.here, &["tc", "qdisc", "add", "dev", port, "clsact"]);
        let redirect = format!(
            "tc filter add dev {port} ingress protocol all u32 match u8 0 0 action mirred egress redirect dev {to}"
        );
        wire.run(&wire.here, &redirect.split(' ').collect::<Vec<_>>());
    }
}

fn total(sums: &Value, name: &str) -> u64 {
    sums["ports"].as_array().unwrap().iter().map(|port| port[name].as_u64().unwrap()).sum()
}

/// Frames of every kind that a filter looks into, tags in all places among them.
fn crafted() -> Vec<Vec<u8>> {
    let inner = [
        "ip/tcp(dport=80)/\"GET\"",
        "ip(src=192.0.2.1)/udp(dport=53)/count(300)",
        "ip/icmp/count(56)",
        "ip6/tcp(dport=443,flags=S)",
        "ip6/udp(dport=53)/count(700)",
        "ip(mf=1,id=7)/udp/count(64)",
        "ip6/hopopts/tcp(dport=80)/\"x\"",
        "ip/udp/vxlan(77)/eth/ip/tcp(dport=80)/\"inner\"",
        "ip/tcp(dport=80)/count(1400)",
    ];
    let outer = ["eth", "eth/vlan(10)", "eth/vlan(10)/vlan(20)", "eth/vlan(5)/vlan(10)/vlan(20)"];
    let texts = outer.iter().flat_map(|outer| inner.iter().map(move |inner| format!("{outer}/{inner}")));
    let mut frames: Vec<Vec<u8>> = texts.map(|text| build(&text).unwrap().bytes).collect();
    frames.push(build("eth/arp(op=1) | pad=18").unwrap().bytes);
    // 802.1ad outside, and a tag type that the kernel does not take out.
    for kind in [[0x88, 0xa8], [0x91, 0x00]] {
        let mut frame = build("eth/vlan(10)/vlan(20)/ip/udp(dport=53)/count(400)").unwrap().bytes;
        frame[12..14].copy_from_slice(&kind);
        frames.push(frame);
    }
    frames.extend(odd_frames());
    frames
}

#[test]
fn copies_are_the_same_with_and_without() {
    with_wire("copies_are_the_same_with_and_without", |wire| {
        forward(wire);
        let programs = [
            "rule r { match udp.port == 53 or icmp  snaplen full  to lake }",
            "rule r { match vlan.id == 10 and not tcp  snaplen full  to lake }",
            "rule r { match any  snaplen headers  to lake }",
            "rule r { match tcp  snaplen headers + 20  to lake }\n rule u { match vlan  snaplen 60  to lake }",
            "rule r { match tcp.flags.fin == 1 or tcp.flags.syn == 1  snaplen full  to lake }",
            "rule r { match inner.tcp.port == 80 or eth.type == 0x88a8  snaplen full  to lake }",
            "trigger g by net.src { when count(tcp.flags.syn == 1) per 1s > 0  hold 1m }\n\
             rule r { match g and tcp.port == 5201  snaplen headers  to lake }",
        ];
        let ways: [&[&str]; 2] =
            [&["--tap", "in0", "--tap", "out0", "--workers", "1"], &["--tap", "in0", "--workers", "2"]];
        for (i, rules) in programs.iter().enumerate() {
            let [with, without] = both(wire, rules, ways[usize::from(i == 2)], || {
                wire.say(&crafted());
                wire.pings(&["-s", "1200", "10.1.0.2"]);
                wire.tcp("1M", &[]);
                wire.tcp("300K", &["-6", "-c", "fd01::2"]);
                wire.tcp("100K", &["-u", "-b", "0"]);
            });
            for (sums, copies) in [&with, &without] {
                assert!(total(sums, "kernel_drops") == 0 && total(sums, "truncated") == 0, "{rules}: {sums}");
                assert!(!copies.is_empty() && sums["ports"][0]["unsegmented"] == 0, "{rules}: {sums}");
            }
            // Each socket has its own times, and two ports or workers may write in another order.
            let sorted = |copies: &[Frame]| {
                let mut all: Vec<_> =
                    copies.iter().map(|copy| (copy.interface, copy.len, copy.bytes.clone())).collect();
                all.sort();
                all
            };
            let (a, b) = (sorted(&with.1), sorted(&without.1));
            let differ = a.iter().zip(&b).find(|(a, b)| a != b);
            assert!(a == b, "{rules}: {} copies and {}: {differ:02x?}", a.len(), b.len());
            assert_eq!(with.0["mirrored"], without.0["mirrored"], "{rules}");
            // And it was of use.
            let spared = total(&with.0, "received") < total(&without.0, "received");
            assert!(spared || total(&with.0, "clipped") > 0, "{rules}: {}", with.0);
            assert!(with.0["ports"][0]["prefilter"] == true && without.0["ports"][0]["prefilter"] == false);
            assert_eq!(total(&without.0, "clipped"), 0);
            // Of veth each frame is one, passed over or not.
            assert!(total(&with.0, "entered") >= total(&with.0, "received"), "{}", with.0);
            assert!(total(&without.0, "entered") >= total(&without.0, "received"), "{}", without.0);
        }
    });
}

/// The hosts say nothing of themselves any more.
fn hush(wire: &Wire) {
    let off = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
    for ns in [&wire.left, &wire.right] {
        wire.run(ns, &[&["sysctl", "-qw"], &off[..]].concat());
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// A program made ready to run.
fn policy(rules: &str) -> Arc<Policy> {
    let program = Arc::new(compile_text(rules).unwrap());
    let environment = Environment::new(&program).unwrap();
    let engine = Engine::new(EngineKind::Interp, program, &environment).unwrap();
    Arc::new(Policy::new(Arc::new(engine), environment))
}

#[test]
fn a_filter_is_changed_while_it_runs() {
    with_wire("a_filter_is_changed_while_it_runs", |wire| {
        hush(wire);
        let dir = tempfile::tempdir().unwrap();
        let rules = |port: u16, file: &str| {
            let lake = dir.path().join(file).display().to_string();
            policy(&format!(
                "station s {{ pcapng {lake:?} }} rule r {{ match udp.port == {port}  snaplen full  to s }}"
            ))
        };
        let frames =
            [53, 54, 55].map(|port| build(&format!("eth/ip/udp(dport={port})/\"ask\"")).unwrap().bytes);
        let frames_read = |live: &mut Live| live.report().ports[0].frames;
        wire.inside(&wire.here, || {
            let options =
                Options { taps: vec!["in0".into()], prefilter: true, workers: 2, ..Options::default() };
            let (events, _) = sync_channel(16);
            let first = vec![(MAIN.to_owned(), rules(53, "lake.pcapng"))];
            let mut live = Live::start(first, &options, None, events).unwrap();
            let mut expected = 0;
            // What is loaded or unloaded, and how many of the three frames are then read: with two
            // policies, all.
            let second = (MAIN, Some(rules(54, "lake.pcapng")));
            let steps = [(None, 1), (Some(second), 1), (Some(("other", Some(rules(53, "o.pcapng")))), 3)];
            for (step, kept) in steps.into_iter().chain([(Some(("other", None)), 1)]) {
                let without_privileges = || {
                    let none = CapabilitySet::empty();
                    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
                    set_capabilities(None, sets).unwrap();
                    match step {
                        Some((name, Some(policy))) => drop(live.load(name, policy).unwrap()),
                        Some((name, None)) => drop(live.unload(name).unwrap()),
                        None => {}
                    }
                };
                std::thread::scope(|scope| scope.spawn(without_privileges).join().unwrap());
                wire.say(&frames);
                expected += kept;
                until("the frames", || frames_read(&mut live) == expected);
                std::thread::sleep(std::time::Duration::from_millis(250));
                assert_eq!(frames_read(&mut live), expected);
                assert_eq!(live.report().ports[0].prefilter, kept == 1);
            }
            let report = live.finish().unwrap();
            report.check().unwrap();
            assert_eq!(report.summary.mirrored, 5, "one each, and two where two policies decide");
        });
    });
}

#[test]
fn where_the_kernel_has_no_room_everything_is_read() {
    with_wire("where_the_kernel_has_no_room_everything_is_read", |wire| {
        hush(wire);
        let dir = tempfile::tempdir().unwrap();
        let text = "station lake { pcapng \"DIR/lake.pcapng\" }\n\
                    rule r { match udp.port == 53  snaplen full  to lake }\n";
        let rules = write_rules(dir.path(), text);
        wire.run(&wire.here, &["sysctl", "-qw", "net.core.optmem_max=1000"]);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0"]);
        wire.say(
            &["eth/ip/udp(dport=53)/\"ask\"", "eth/ip/udp(dport=54)/\"ask\""]
                .map(|t| build(t).unwrap().bytes),
        );
        run.counts("both frames", |counts| counts["ports"][0]["frames"] == 2);
        let sums = run.stop();
        assert_eq!((&sums["ports"][0]["prefilter"], &sums["mirrored"]), (&false.into(), &1.into()), "{sums}");
    });
}

#[test]
fn who_forwards_reads_everything() {
    with_wire("who_forwards_reads_everything", |wire| {
        hush(wire);
        let dir = tempfile::tempdir().unwrap();
        let text = "station lake { pcapng \"DIR/lake.pcapng\" }\n\
                    rule r { match udp.port == 9  snaplen full  to lake }\n";
        let rules = write_rules(dir.path(), text);
        for (forward, filtered) in [("userspace", false), ("kernel", true)] {
            let bridge = ["--bridge", "in0:out0", "--forward", forward];
            let run = wire.mirrorc(MIRRORC, &[&[rules.as_str()], &bridge[..]].concat());
            assert!(wire.pings(&["10.1.0.2"]), "{forward} forwards");
            let sums = run.stop();
            assert_eq!(sums["ports"][0]["prefilter"], filtered, "{sums}");
            assert_eq!(total(&sums, "received") == 0, filtered, "{sums}");
        }
    });
}

#[test]
fn an_interface_that_comes_back_is_filtered_again() {
    with_wire("an_interface_that_comes_back_is_filtered_again", |wire| {
        hush(wire);
        let dir = tempfile::tempdir().unwrap();
        let text = "station lake { pcapng \"DIR/lake.pcapng\" }\n\
                    rule r { match udp.port == 53  snaplen full  to lake }\n";
        let rules = write_rules(dir.path(), text);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0"]);
        wire.ip(&wire.here, &["link", "del", "in0"]);
        run.says("in0 is gone");
        wire.ip(
            &wire.left,
            &["link", "add", "l0", "type", "veth", "peer", "name", "in0", "netns", &wire.here],
        );
        wire.ip(&wire.left, &["link", "set", "l0", "addrgenmode", "none", "up"]);
        wire.ip(&wire.here, &["link", "set", "in0", "up"]);
        run.says("in0 is back");
        let frames =
            ["eth/ip/udp(dport=53)/\"ask\"", "eth/ip/udp(dport=54)/\"ask\"", "eth/arp(op=1) | pad=18"];
        wire.say(&frames.map(|text| build(text).unwrap().bytes));
        run.counts("the one frame", |counts| counts["ports"][0]["frames"] == 1);
        let sums = run.stop();
        assert_eq!((total(&sums, "received"), &sums["mirrored"]), (1, &Value::from(1)), "{sums}");
    });
}
