//! The rules for floods, scans and logins on a capture of real ones (nmap, hping3, ssh): the packet
//! from which the length changes is the one that counting over the whole history names. Headers are
//! read by etherparse. The invariant: what is expected comes from the documented meaning of windows
//! alone. (Rejected: packet numbers; a capture made anew has others.)

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use mrule_compiler::abi::{Link, Packet};
use mrule_compiler::engine::EngineKind;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{Program, TableId, Value};
use mrule_control::event::input::parse;
use mrule_dataplane::capture::Reader;
use mrule_engine::change::Change;
use mrule_tests::run::{Decided, ENGINES, compile_files, run};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

/// A frame with what this test knows of it.
struct Frame {
    bytes: Vec<u8>,
    len: u32,
    time: i64,
    /// Source, destination, destination port, SYN, ACK.
    tcp: Option<(Ipv4Addr, Ipv4Addr, u16, bool, bool)>,
    source: Option<Ipv4Addr>,
    /// Where its headers end.
    headers: u32,
}

fn frames() -> Vec<Frame> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap/attacks.pcap");
    let mut reader = Reader::open(&path).unwrap();
    let mut frames = Vec::new();
    while let Some(batch) = reader.next_batch() {
        for packet in &batch.packets {
            let (mut tcp, mut source, mut headers) = (None, None, 14);
            let sliced = LaxSlicedPacket::from_ethernet(packet.frame());
            if let Ok(LaxSlicedPacket { net: Some(LaxNetSlice::Ipv4(ip)), transport, .. }) = sliced {
                let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
                source = Some(from);
                headers += u32::from(ip.header().ihl()) * 4;
                if let Some(TransportSlice::Tcp(t)) = transport {
                    tcp = Some((from, to, t.destination_port(), t.syn(), t.ack()));
                    headers += u32::from(t.data_offset()) * 4;
                }
            }
            let bytes = packet.frame().to_vec();
            frames.push(Frame { len: packet.len, time: packet.time, bytes, tcp, source, headers });
        }
    }
    frames
}

fn packets(frames: &[Frame]) -> Vec<Packet<'_>> {
    frames.iter().map(|f| Packet::new(&f.bytes, f.len, Link::Ethernet).at(f.time)).collect()
}

fn program(rules: &str, sets: &[(&str, &str)]) -> Arc<Program> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("rules").join(rules);
    let text = std::fs::read_to_string(path).unwrap();
    let sets: Vec<_> = sets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(compile_files(&[(rules, &text)], &sets).unwrap())
}

/// What both engines, in batches of several sizes, say.
fn told(program: &Arc<Program>, environment: &Environment, frames: &[Frame]) -> Decided {
    let packets = packets(frames);
    let first = run(EngineKind::Interp, program, environment, &packets, 64).unwrap();
    for kind in ENGINES {
        for size in [1, 7, packets.len()] {
            assert!(
                run(kind, program, environment, &packets, size).unwrap() == first,
                "{kind:?}, {size} at once"
            );
        }
    }
    first
}

/// How many bytes of a frame are copied.
fn copied(told: &Decided, at: usize) -> u32 {
    told.verdicts[at].first().map_or(0, |(_, verdict)| verdict.end - verdict.start)
}

/// When a packet came, for which port, and whether it asks for a connection.
type Attempt = (i64, u16, bool);

/// The slice of a moment in a window over `per` nanoseconds; the window is this one and the 15
/// before.
fn slice(time: i64, per: i64) -> i128 {
    (i128::from(time) * 16).div_euclid(i128::from(per))
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn the_syn_after_the_last_allowed_one_is_captured_whole() {
    let frames = frames();
    let flooder = Ipv4Addr::new(10, 0, 0, 77);
    let mut raised_of = Vec::new();
    for (syns, over) in [(200, 300 * SECOND), (100, SECOND), (290, 2 * SECOND), (100_000, 60 * SECOND)] {
        let sets = [("syns", syns.to_string()), ("over", format!("{}ms", over / 1_000_000))];
        let sets = sets.each_ref().map(|(name, value)| (*name, value.as_str()));
        let program = program("syn_flood.mrule", &sets);
        let told = told(&program, &Environment::new(&program).unwrap(), &frames);
        let mut history: BTreeMap<Ipv4Addr, Vec<i128>> = BTreeMap::new();
        let mut active = BTreeSet::new();
        for (at, frame) in frames.iter().enumerate() {
            if let Some((source, _, _, syn, ack)) = frame.tcp {
                let now = slice(frame.time, over);
                let seen = history.entry(source).or_default();
                if syn && !ack {
                    seen.push(now);
                }
                if seen.iter().filter(|slice| **slice > now - 16).count() > syns {
                    active.insert(source);
                }
            }
            // ARP has no headers but its own.
            let Some(source) = frame.source else { continue };
            let whole = active.contains(&source);
            let expected = if whole { frame.bytes.len() as u32 } else { frame.headers };
            assert_eq!(copied(&told, at), expected, "packet {}, {syns} in {over} ns", at + 1);
        }
        assert!(active.iter().all(|source| *source == flooder || *source == Ipv4Addr::new(10, 0, 0, 66)));
        raised_of.push(active.contains(&flooder));
    }
    assert_eq!(raised_of, [true, true, true, false]);
}

#[test]
fn a_known_scanner_is_vetoed() {
    let frames = frames();
    let program = program("syn_flood.mrule", &[]);
    let mut environment = Environment::new(&program).unwrap();
    let flooder = Value::Ip(Ipv4Addr::new(10, 0, 0, 77).into(), 32);
    environment.table_mut(TableId(0)).unwrap().insert(&[flooder], None).unwrap();
    let told = told(&program, &environment, &frames);
    assert!(told.events.iter().any(|(_, event)| event == "syn_flood[10.0.0.77] vetoed"));
    assert!(!told.events.iter().any(|(_, event)| event == "syn_flood[10.0.0.77] raised"));
}

#[test]
fn scans_are_found_at_the_port_that_is_one_too_many() {
    let frames = frames();
    let [scanner, slow_one] = [66, 88].map(|host| Ipv4Addr::new(10, 0, 0, host));
    // The slow scan asks for 24 ports: just under the second limit, over it, over the first.
    for (fast, slow, found) in [(50, 24, false), (50, 23, true), (20, 24, true)] {
        let sets = [("fast", fast.to_string()), ("slow", slow.to_string())];
        let sets = sets.each_ref().map(|(name, value)| (*name, value.as_str()));
        let program = program("port_scan.mrule", &sets);
        let told = told(&program, &Environment::new(&program).unwrap(), &frames);
        let (minute, day) = (60 * SECOND, 86_400 * SECOND);
        let mut asked: BTreeMap<(Ipv4Addr, Ipv4Addr), Vec<Attempt>> = BTreeMap::new();
        let (mut fast_pairs, mut slow_pairs) = (BTreeSet::new(), BTreeSet::new());
        for (at, frame) in frames.iter().enumerate() {
            let Some((source, target, port, syn, ack)) = frame.tcp else { continue };
            let pair = (source, target);
            let seen = asked.entry(pair).or_default();
            seen.push((frame.time, port, syn && !ack));
            let many = |per: i64, most: usize| {
                let now = slice(frame.time, per);
                let inside: Vec<_> = seen.iter().filter(|(time, ..)| slice(*time, per) > now - 16).collect();
                let ports: BTreeSet<u16> = inside.iter().map(|(_, port, _)| *port).collect();
                ports.len() > most && inside.iter().filter(|(.., asks)| *asks).count() > most
            };
            if many(minute, fast) {
                fast_pairs.insert(pair);
            }
            if many(day, slow) {
                slow_pairs.insert(pair);
            }
            let whole = fast_pairs.contains(&pair)
                || slow_pairs.contains(&pair)
                || fast_pairs.contains(&(target, source));
            let expected = if whole { frame.bytes.len() as u32 } else { frame.headers };
            assert_eq!(copied(&told, at), expected, "packet {}, fast {fast}, slow {slow}", at + 1);
        }
        let scanned = |source| fast_pairs.iter().chain(&slow_pairs).any(|pair| pair.0 == source);
        assert!(
            scanned(scanner) && scanned(slow_one) == found && !scanned(Ipv4Addr::new(10, 0, 0, 10)),
            "fast {fast}, slow {slow}"
        );
    }
}

#[test]
fn who_has_logged_in_is_left_alone_until_reported() {
    let frames = frames();
    let user = Ipv4Addr::new(10, 0, 0, 101);
    let program = program("logins.mrule", &[]);
    let ssh: Vec<usize> = (0..frames.len())
        .filter(|at| frames[*at].tcp.is_some_and(|(source, _, port, ..)| source == user && port == 22))
        .collect();
    // Half through the first session somebody notes the login; later the host is reported, for 100
    // ms.
    let (login, report) = (frames[ssh[ssh.len() / 3]].time, frames[ssh[ssh.len() * 2 / 3]].time);
    let stamp = |time: i64| format!("\"{}.{:09}\"", time / SECOND, time % SECOND);
    let lines = format!(
        "{{\"time\": {}, \"raise\": \"reported\", \"key\": \"{user}\", \"for\": \"100ms\"}}\n\
         {{\"time\": {}, \"add\": \"authenticated\", \"key\": \"{user}\"}}\n",
        stamp(report),
        stamp(login)
    );
    let changes = parse(&lines, &program).unwrap();
    assert!(matches!(changes[0].change, Change::Add { .. }), "sorted by time");
    for kind in ENGINES {
        let told = mrule_tests::run::run_with_changes(kind, &program, &packets(&frames), &changes);
        let mut lengths = BTreeMap::new();
        for (at, frame) in frames.iter().enumerate() {
            let of_user =
                frame.source == Some(user) || frame.tcp.is_some_and(|(_, target, ..)| target == user);
            let expected = match frame.time {
                _ if !of_user => frame.headers,
                time if time >= report && time <= report + SECOND / 10 => frame.bytes.len() as u32,
                time if time >= login => 0,
                _ => frame.headers,
            };
            // ARP has no headers but its own, which end where its frame does without the padding.
            if frame.source.is_some() {
                assert_eq!(copied(&told, at), expected, "{kind:?}, packet {}", at + 1);
                *lengths.entry((of_user, expected == 0)).or_insert(0) += 1;
            }
        }
        assert!(lengths.len() == 3 && lengths.values().all(|count| *count > 10), "{lengths:?}");
    }
}
