//! A receiver of GENEVE that decodes each option of the copies that mirrorc sends, by the table
//! that the language page has: rules, limits, limits of a binding policy, slices, versions.
//! (Rejected: tshark alone, which shows the options as unknown bytes.)

use crate::MIRRORC;
use mrule_dataplane::station::geneve::{LIMIT_BINDING, LIMIT_NONE, OPTION_CLASS, OPTIONS};
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Wire, with_wire};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Rules by name: 0 reply, 1 request. Limits by name: 0 large, 1 never.
const RULES: &str = "station g { geneve 127.0.0.1 vni 77 }
rule request { match icmp.type == 8  snaplen full  to g }
rule reply { match icmp.type == 0  snaplen bytes 14..90  to g }
limit never { match tcp  snaplen none }
limit large { match icmp.type == 8 and frame.len > 300  snaplen 100 }\n";

const BINDING: &str = "limit replies { match icmp.type == 0  snaplen 60 }\n";

/// A copy as it came.
#[derive(Debug)]
struct Received {
    options: BTreeMap<u8, u64>,
    bytes: Vec<u8>,
}

/// Takes a header apart (RFC 8926, section 3.4), and checks each option against the table.
fn decode(packet: &[u8]) -> Received {
    let (head, rest) = packet.split_at(8);
    assert_eq!((head[0] >> 6, head[1], &head[2..4]), (0, 0, &[0x65, 0x58][..]), "version, flags, Ethernet");
    assert_eq!(head[4..8], [0, 0, 77, 0], "the network's identifier");
    let (mut left, bytes) = rest.split_at(usize::from(head[0] & 0x3f) * 4);
    let mut options = BTreeMap::new();
    while let Some((head, rest)) = left.split_at_checked(4) {
        assert_eq!(u16::from_be_bytes([head[0], head[1]]), OPTION_CLASS);
        let (value, rest) = rest.split_at(usize::from(head[3]) * 4);
        let row = OPTIONS.iter().find(|row| row.number == head[2]).expect("a type of the table");
        assert_eq!(usize::from(row.bytes), value.len(), "{row:?}");
        let number = value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        assert_eq!(options.insert(head[2], number), None, "each type stands once");
        left = rest;
    }
    Received { options, bytes: bytes.to_vec() }
}

/// Pings with a number of bytes; what came of one request and its reply.
fn received(wire: &Wire, receiver: &UdpSocket, size: &str) -> [Received; 2] {
    let mut buffer = [0; 9000];
    receiver.set_nonblocking(true).unwrap();
    while receiver.recv(&mut buffer).is_ok() {}
    assert!(wire.pings(&["-s", size, "10.1.0.2"]));
    let until = Instant::now() + Duration::from_secs(20);
    let mut copies = Vec::new();
    while copies.len() < 6 {
        match receiver.recv(&mut buffer) {
            Ok(length) => copies.push(decode(&buffer[..length])),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < until, "{copies:?}");
    }
    let mut of_rule = |rule| {
        let at = copies.iter().position(|copy| copy.options[&2] == rule).expect("a copy by this rule");
        copies.swap_remove(at)
    };
    [of_rule(1), of_rule(0)]
}

/// The option types and the values of those that are known; the packet's number is another in each.
fn says(copy: &Received, original: u64, rule: u64, limit: u32, start: Option<u64>, version: u64) {
    let mut expected = BTreeMap::from([(1, original), (2, rule), (3, u64::from(limit)), (6, version)]);
    expected.extend(start.map(|start| (5, start)));
    let mut options = copy.options.clone();
    assert!(options.remove(&4).is_some_and(|number| number > 0), "{copy:?}");
    assert_eq!(options, expected, "{copy:?}");
}

#[test]
fn a_receiver_reads_each_option_of_geneve() {
    with_wire("a_receiver_reads_each_option_of_geneve", |wire| {
        wire.ip(&wire.here, &["link", "set", "lo", "up"]);
        let receiver = wire.inside(&wire.here, || UdpSocket::bind("127.0.0.1:6081").unwrap());
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        // 14 + 20 + 8 bytes of headers. A limit cuts the large request, none the others.
        let [request, reply] = received(wire, &receiver, "56");
        says(&request, 98, 1, LIMIT_NONE, None, 1);
        says(&reply, 98, 0, LIMIT_NONE, Some(14), 1);
        assert_eq!((request.bytes.len(), reply.bytes.len()), (98, 76));
        assert_eq!(reply.bytes[..2], [0x45, 0], "the slice begins at the IP header");
        let [request, reply] = received(wire, &receiver, "400");
        says(&request, 442, 1, 0, None, 1);
        says(&reply, 442, 0, LIMIT_NONE, Some(14), 1);
        assert_eq!((request.bytes.len(), reply.bytes.len()), (100, 76));
        // Packets of one worker are counted.
        let [next, _] = received(wire, &receiver, "400");
        assert!(next.options[&4] > request.options[&4]);
        // A limit of a binding policy cuts the slice; a limit of the policy's own is still told.
        let site = place.write("site.mrule", BINDING);
        place.command(&["load", &site, "--as", "site", "--binding"]);
        let main = place.dir.path().join("a.mrule");
        place.command(&["load", main.to_str().unwrap()]);
        let [request, reply] = received(wire, &receiver, "400");
        says(&request, 442, 1, 0, None, 2);
        says(&reply, 442, 0, LIMIT_BINDING, Some(14), 2);
        assert_eq!((request.bytes.len(), reply.bytes.len()), (100, 46));
        place.run.stop();
    });
}
