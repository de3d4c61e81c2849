//! Every traffic that belongs to one flow gives equal copies with one worker and with four, over a
//! tap and over a bridge; both are those of a replay of the packets that the run read. (Rejected:
//! hash values compared by hand; copies are the promise.)

mod traffic;

use crate::MIRRORC;
use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::interface::Interfaces;
use mrule_dataplane::sys::packet::Socket;
use mrule_dataplane::sys::send::{Outgoing, send};
use mrule_tests::cli::mirrorc;
use mrule_tests::frames::read;
use mrule_tests::wire::{Wire, with_wire, write_rules};
use std::path::Path;
use traffic::{Sent, is_ours};

const RULES: &str = r#"
station lake { pcapng "DIR/lake.pcapng" }
station s    { pcapng "DIR/s.pcapng" }
trigger third by flow { when flow.packets == 3                       hold flow }
trigger busy  by flow { when count(frame.len > 0) per 10m > 4        hold 10m }
rule all     { match any                                  snaplen full          to lake }
rule third   { match third and not busy                   snaplen headers       to s }
rule busy    { match busy                                 snaplen headers + 8   to s }
rule few     { match flow.packets <= 2                    snaplen headers + 16  to s }
rule start   { match stream.offset < 24                   snaplen stream 0..24  to s }
rule answers { match flow.established and flow.server.packets > 1  snaplen headers + 32  to s }
"#;

/// What is read, and how frames get there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Tap,
    Bridge,
}

/// The copies of a station, of our frames, in an order of their own.
fn copies(path: &Path) -> Vec<(Vec<u8>, u32)> {
    let ours = read(path).into_iter().filter(|copy| is_ours(&copy.bytes));
    let mut copies: Vec<_> = ours.map(|copy| (copy.bytes, copy.len)).collect();
    copies.sort();
    copies
}

fn socket(wire: &Wire, namespace: &str, link: &str) -> Socket {
    wire.inside(namespace, || {
        let socket = Socket::open().unwrap();
        socket.with_offloads().unwrap();
        let state = Interfaces::new().unwrap().get(link).unwrap();
        socket.bind_to_send(state.index).unwrap();
        socket
    })
}

/// Runs the rules over the traffic; the copies of `s`.
fn run(wire: &Wire, way: Source, workers: &str, extra: &[&str], sent: &[Sent]) -> Vec<(Vec<u8>, u32)> {
    let dir = tempfile::tempdir().unwrap();
    let rules = write_rules(dir.path(), RULES);
    let ports: &[&str] = if way == Source::Tap { &["--tap", "in0"] } else { &["--bridge", "in0:out0"] };
    let arguments = [&[rules.as_str(), "--workers", workers], ports, extra].concat();
    let run = wire.mirrorc(MIRRORC, &arguments);
    let ends = [socket(wire, &wire.left, "l0"), socket(wire, &wire.right, "r0")];
    for Sent { back, frame } in sent {
        let end = &ends[usize::from(*back && way == Source::Bridge)];
        let outgoing = [Outgoing { offload: [0; OFFLOAD], bytes: frame }];
        send(end, &outgoing, |_, error| panic!("{} bytes: {error}", frame.len()));
    }
    run.stop();
    let lake = dir.path().join("lake.pcapng");
    let whole: Vec<Vec<u8>> = copies(&lake).into_iter().map(|(bytes, _)| bytes).collect();
    let mut frames: Vec<Vec<u8>> = sent.iter().map(|sent| sent.frame.clone()).collect();
    frames.sort();
    assert!(whole == frames, "{way:?}, {workers} workers: {} of {} frames", whole.len(), frames.len());
    let live = copies(&dir.path().join("s.pcapng"));
    let replayed = dir.path().join("replayed");
    let arguments =
        ["run", &rules, "--read", lake.to_str().unwrap(), "--out", replayed.to_str().unwrap(), "--quiet"];
    let replay = mirrorc(&arguments);
    assert_eq!((replay.exit.code(), replay.stderr.as_str()), (0, ""));
    let differ = difference(&live, &copies(&replayed.join("s.pcapng")));
    assert!(differ.is_none(), "{way:?}, {workers} workers, live and its replay: {differ:?}");
    live
}

/// What two lists of copies differ in first.
fn difference(a: &[(Vec<u8>, u32)], b: &[(Vec<u8>, u32)]) -> Option<String> {
    let first = a.iter().zip(b).find(|(a, b)| a != b);
    (a != b).then(|| format!("{} and {} copies; {first:02x?}", a.len(), b.len()))
}

#[test]
fn several_workers_decide_as_one_does() {
    with_wire("several_workers_decide_as_one_does", |wire| {
        let sent = traffic::all(crate::rounds(4, 40));
        for way in [Source::Tap, Source::Bridge] {
            let one = run(wire, way, "1", &[], &sent);
            assert!(one.len() > sent.len() / 2, "{way:?}: {} copies of {}", one.len(), sent.len());
            let four = run(wire, way, "4", &[], &sent);
            let differ = difference(&one, &four);
            assert!(differ.is_none(), "{way:?}, one worker and four: {differ:?}");
        }
    });
}

#[test]
fn ports_spread_what_is_whole() {
    with_wire("ports_spread_what_is_whole", |wire| {
        let sent: Vec<Sent> = traffic::whole(6).collect();
        let one = run(wire, Source::Bridge, "1", &["--spread", "ports"], &sent);
        let four = run(wire, Source::Bridge, "4", &["--spread", "ports"], &sent);
        assert_eq!(difference(&one, &four), None);
    });
}
