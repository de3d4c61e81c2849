//! A flood from millions of sources through flows, triggers with keys, and `distinct`, among a few
//! conversations that are known and good. Memory stays within what `check --cost` says, the
//! conversations keep their state, and the sums add up. (Rejected: sources of a fixed order; a
//! table that keeps the last of them would pass.)

use super::{CaptureFile, header, record};
use crate::MIRRORC;
use serde_json::Value;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

const RULES: &str = "station s { pcapng \"s.pcapng\" }\n\
    trigger pinned by flow { when tcp.port == 443 and flow.packets == 6  hold flow }\n\
    trigger scan by net.src { when distinct(net.dst) per 1m > 100  hold 10m  keys 5000 }\n\
    trigger target by net.dst { when count(tcp.flags.syn == 1) per 10s > 50  hold 1m  keys 5000 }\n\
    trigger kept by net.src { when tcp.port == 443 and count(tcp) per 10m > 3  hold 1h  keys 5000 }\n\
    rule pinned { match pinned               snaplen headers      to s }\n\
    rule kept   { match kept[net.addr]       snaplen headers + 4  to s }\n\
    rule target { match target[net.dst] and not pinned  snaplen headers + 8  to s }\n\
    rule scan   { match scan                 snaplen headers + 12  to s }\n";

/// Good clients, and the servers that they share.
const GOOD: u32 = 200;
const SERVERS: u32 = 16;

fn tcp(ends: [u32; 2], ports: [u16; 2], seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(ends.map(u32::to_be_bytes).concat());
    frame.extend(ports.map(u16::to_be_bytes).concat());
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// A packet of good conversation `i`, its `turn`-th; forth and back in turn.
fn good(i: u32, turn: u32) -> Vec<u8> {
    let (client, server) = (0x0a00_0000 + i, 0xc000_0200 + i % SERVERS);
    let (ends, ports) = ([client, server], [20_000 + i as u16, 443]);
    match turn {
        0 => tcp(ends, ports, 99, 2, &[]),
        1 => tcp([server, client], [443, ports[0]], 499, 0x12, &[]),
        _ if turn.is_multiple_of(2) => tcp(ends, ports, 100 + turn / 2 * 10, 0x18, b"a request."),
        _ => tcp([server, client], [443, ports[0]], 500 + turn / 2 * 10, 0x18, b"an answer."),
    }
}

/// Writes the flood, with a packet of a good conversation after every `every` packets; how many
/// packets in all.
fn feed(out: &mut impl Write, sources: u32, every: u32) -> u64 {
    let (mut micros, mut turns, mut packets) = (1_000_000_000_u64, 0_u32, 0_u64);
    out.write_all(&header(1)).unwrap();
    let mut say = |frame: &[u8]| {
        micros += 2;
        packets += 1;
        out.write_all(&record(micros, frame)).unwrap();
    };
    // Each is known before the flood begins.
    for turn in 0..8 {
        (0..GOOD).for_each(|i| say(&good(i, turn)));
    }
    for i in 0..sources {
        // Every source once, in an order that jumps about; its port and target with it.
        let source = i.wrapping_mul(0x9e37_79b1) | 0x4000_0000;
        let target = 0xc633_6400 + (source >> 8) % 200;
        say(&tcp([source, target], [(source >> 3) as u16, (i % 1000) as u16], i, 2, &[]));
        if i % every == 0 {
            say(&good(turns % GOOD, 8 + turns / GOOD));
            turns += 1;
        }
    }
    packets
}

#[test]
fn ten_million_sources_take_no_more_than_was_said() {
    let sources = crate::rounds(30_000, 10_000_000);
    let place = CaptureFile::new(RULES);
    let flows = ["--flows", "4000"];
    let cost = Command::new(MIRRORC)
        .current_dir(place.path(""))
        .args(["check", "a.mrule", "--cost"])
        .args(flows)
        .output()
        .unwrap();
    let cost = String::from_utf8(cost.stdout).unwrap();
    let all = cost.lines().find_map(|line| line.trim_start().strip_prefix("all ")).unwrap();
    let megabytes: f64 = all.split("MB").next().unwrap().trim().parse().unwrap();
    let child = place
        .command(&["--read", "-", "--stats", "json"])
        .args(flows)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let mut input = BufWriter::with_capacity(1 << 16, child.stdin.as_ref().unwrap());
    let packets = feed(&mut input, sources, 100);
    input.flush().unwrap();
    drop(input);
    let peak = mrule_tests::memory::of_process(child.id(), "VmHWM") as f64 / 1e6;
    let output = child.wait_with_output().unwrap();
    let rate = packets as f64 / started.elapsed().as_secs_f64();
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!(
        "{sources} sources: {rate:.0} packets/s, {peak:.0} MB at most, state {megabytes} MB by `check --cost`"
    );
    assert_eq!(counts["packets"], packets);
    let tracked = &counts["tracked"]["flows"];
    assert!(tracked["active"].as_u64() <= Some(4000), "{tracked}");
    assert!(tracked["evicted_young"].as_u64() > Some(u64::from(sources) / 2), "{tracked}");
    assert_eq!(tracked["evicted_established"], 0, "good conversations stay: {tracked}");
    // Each good conversation is pinned at its sixth packet, for good; and its client stays known.
    let named = |kind: &str, name: &str| {
        let all = counts[kind].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    let pinned = named("triggers", "pinned");
    assert_eq!(pinned["raised"], GOOD, "{pinned}");
    let of_good = packets - u64::from(sources);
    assert_eq!(named("rules", "pinned")["matched"], of_good - u64::from(GOOD) * 5, "{}", counts["rules"]);
    let kept = named("triggers", "kept");
    let known = GOOD + SERVERS;
    assert_eq!((&kept["raised"], &kept["keys"]["active"]), (&known.into(), &known.into()), "{kept}");
    // Beside the state: the program, its native code, buffers and libraries.
    assert!(peak < megabytes + 120.0, "{peak} MB, `check --cost` says {megabytes} MB");
}
