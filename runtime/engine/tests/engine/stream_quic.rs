//! The server names of QUIC connections: the packets of the appendices of RFC 9001 and RFC 9369,
//! hellos in several packets, damaged packets, and how much is tried. (Rejected: packets protected
//! by the code under test; it would agree with itself.)

use crate::feed::*;
use mrule_compiler::fields::{App, Facet};
use mrule_engine::flow::Segment;

/// RFC 9001, appendix A.2.
const V1: &[u8] = include_bytes!("quic/rfc9001-a2.bin");
/// RFC 9369, appendix A.2.
const V2: &[u8] = include_bytes!("quic/rfc9369-a2.bin");
/// Written by `tests/pcap/make/quic.py`.
const CAPTURE: &[u8] = include_bytes!("../../../../tests/pcap/quic.pcap");

struct Conversation {
    feed: Feed,
    next: [i64; 2],
}

impl Conversation {
    fn new(facets: &[Facet], app: bool) -> Conversation {
        Conversation { feed: Feed::new(&program(&[], facets, app)), next: [0, 0] }
    }

    fn give(&mut self, from_client: bool, payload: &[u8]) -> FeedResult {
        let next = &mut self.next[usize::from(from_client)];
        let told = self.feed.give(&Segment { proto: UDP, ..segment(from_client, *next, payload) });
        *next += payload.len() as i64;
        told
    }

    fn names(&mut self, payload: &[u8]) -> Vec<String> {
        of(&self.give(true, payload).said, Facet::TlsServerName)
    }
}

fn of(said: &[(Facet, String)], facet: Facet) -> Vec<String> {
    said.iter().filter(|(f, _)| *f == facet).map(|(_, text)| text.clone()).collect()
}

/// The datagrams of a client's port in the capture, and whether it sent them.
fn datagrams(port: u16) -> Vec<(bool, Vec<u8>)> {
    let (mut rest, mut found) = (&CAPTURE[24..], Vec::new());
    while let Some((head, behind)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        let udp = &frame[14 + if frame[12..14] == [8, 0] { 20 } else { 40 }..];
        let [from, to] = [0, 2].map(|at| u16::from_be_bytes([udp[at], udp[at + 1]]));
        if [from, to].contains(&port) {
            found.push((from == port, udp[8..].to_vec()));
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn the_packets_of_the_rfcs() {
    for (packet, version) in [(V1, "1"), (V2, "1798521807")] {
        let facets = [TLS, QUIC].concat();
        let mut conversation = Conversation::new(&facets, false);
        let told = conversation.give(true, packet);
        assert_eq!(told.app, App::Quic);
        assert_eq!(of(&told.said, Facet::TlsServerName), ["example.com"]);
        assert_eq!(of(&told.said, Facet::TlsAlpn), ["alpn"]);
        assert_eq!(of(&told.said, Facet::TlsVersion), ["771"]);
        assert_eq!(of(&told.said, Facet::QuicVersion), [version]);
        // One hello of a flow; versions go on.
        let told = conversation.give(true, packet);
        assert_eq!(told.said, [(Facet::QuicVersion, version.to_owned())]);
        let told = conversation.give(false, packet);
        assert_eq!(told.said, [(Facet::QuicVersion, version.to_owned())]);
        // A short header has no version.
        assert_eq!(conversation.give(true, &[0x40; 30]).said, []);
        assert_eq!(conversation.feed.streams.counts().messages.tls, 1);
        assert_eq!(conversation.feed.streams.pooled(), 0);
    }
}

#[test]
fn a_hello_in_packets_that_overtook_each_other() {
    let mut conversation = Conversation::new(TLS, false);
    let packets = datagrams(50003);
    assert_eq!(conversation.names(&packets[0].1), [""; 0]);
    assert!(conversation.feed.streams.pooled() > 0);
    assert_eq!(conversation.names(&packets[1].1), ["www.example"]);
    assert_eq!(conversation.feed.streams.pooled(), 0);
    // The same when the first comes twice.
    let mut conversation = Conversation::new(TLS, false);
    assert_eq!(conversation.names(&packets[0].1), [""; 0]);
    assert_eq!(conversation.names(&packets[0].1), [""; 0]);
    assert_eq!(conversation.names(&packets[1].1), ["www.example"]);
    // The end of the flow frees a half.
    let mut conversation = Conversation::new(TLS, false);
    assert_eq!(conversation.names(&packets[1].1), [""; 0]);
    conversation.feed.end();
    assert_eq!(conversation.feed.streams.pooled(), 0);
}

#[test]
fn after_a_retry_the_keys_are_others() {
    let mut conversation = Conversation::new(TLS, false);
    let mut names = Vec::new();
    for (from_client, packet) in datagrams(50004) {
        names.push(of(&conversation.give(from_client, &packet).said, Facet::TlsServerName));
    }
    assert_eq!(names, [vec![], vec![], vec!["retry.example".to_owned()]]);
    assert_eq!(conversation.feed.streams.pooled(), 0);
}

#[test]
fn a_zero_rtt_packet_behind_it() {
    let mut conversation = Conversation::new(TLS, false);
    assert_eq!(conversation.names(&datagrams(50005)[0].1), ["early.example"]);
}

#[test]
fn a_damaged_packet_says_nothing() {
    let mut dice = Dice(9001);
    for packet in [V1, V2] {
        for _ in 0..1000 {
            let mut damaged = packet.to_vec();
            match dice.roll(3) {
                0 => damaged.truncate(dice.roll(packet.len())),
                _ => damaged[dice.roll(packet.len())] ^= 1 << dice.roll(8),
            }
            let mut conversation = Conversation::new(TLS, false);
            assert_eq!(conversation.names(&damaged), [""; 0], "{damaged:02x?}");
        }
    }
}

#[test]
fn random_bytes_say_nothing_and_end() {
    let mut dice = Dice(9369);
    for _ in 0..500 {
        let mut conversation = Conversation::new(&[TLS, QUIC].concat(), false);
        for _ in 0..5 {
            let mut bytes: Vec<u8> = (0..dice.roll(400)).map(|_| dice.roll(256) as u8).collect();
            let head = [0xc0 | dice.roll(64) as u8, 0, 0, 0, 1, 8];
            bytes.splice(0..0, if dice.roll(2) == 0 { head.to_vec() } else { [&head, &[0; 8][..]].concat() });
            assert_eq!(conversation.names(&bytes), [""; 0]);
        }
        conversation.feed.end();
        assert_eq!(conversation.feed.streams.pooled(), 0);
    }
}

#[test]
fn a_flow_is_tried_a_few_times_only() {
    let packets = datagrams(50001);
    let wrong = |n: u8| {
        let mut packet = packets[0].1.clone();
        packet[6] ^= n;
        packet
    };
    // Two packets with other keys first: it is read. Three: it is not.
    for (before, names) in [(2, vec!["example.com".to_owned()]), (3, vec![])] {
        let mut conversation = Conversation::new(TLS, false);
        for n in 1..=before {
            assert_eq!(conversation.names(&wrong(n)), [""; 0]);
        }
        assert_eq!(conversation.names(&packets[0].1), names);
    }
    // A hello that never ends.
    let half = &datagrams(50003)[0].1;
    let mut conversation = Conversation::new(TLS, false);
    for _ in 0..100 {
        assert_eq!(conversation.names(half), [""; 0]);
    }
    assert_eq!(conversation.feed.streams.pooled(), 0);
    assert_eq!(conversation.feed.streams.counts().messages.malformed, 1);
}

#[test]
fn packets_stay_closed_for_programs_that_do_not_ask() {
    for (facets, app) in [(QUIC, false), (&[][..], true), (HTTP, false)] {
        let mut conversation = Conversation::new(facets, app);
        assert_eq!(of(&conversation.give(true, V1).said, Facet::TlsServerName), [""; 0]);
        assert_eq!(conversation.feed.streams.counts().messages.tls, 0);
    }
}
