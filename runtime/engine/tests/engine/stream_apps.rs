//! Applications by their first bytes, as real clients and servers send them, in each cut and in
//! either order, and that other bytes are not taken for them. (Rejected: one packet for each
//! protocol; errors of recognisers show in the cuts.)

use crate::feed::{Dice, Feed, HTTP, TCP, UDP, program, segment};
use mrule_compiler::fields::App;
use mrule_engine::flow::Segment;

/// The protocol, what it runs over, what the client says first, what the server answers.
type Talk = (App, u8, &'static [u8], &'static [u8]);

const TALKS: &[Talk] = &[
    (App::Http, TCP, b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.5.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nServer: nginx\r\n"),
    (App::Http, TCP, b"PROPFIND /a/very/long/target/that/does/not/end/within/what/is/looked/at?x=1 HTTP/1.1\r\n", b"HTTP/1.0 404 Not Found\r\n"),
    (App::Http, TCP, b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 Connection established\r\n\r\n"),
    (App::Http, TCP, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
    (App::Http2, TCP, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"),
    (App::Tls, TCP, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xb5\x88\xc1\x3a\xfa\x92\x07\x63\xcd\x8e\x9c\xd8\x7a\x58\xf1\x96", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03\x11\x22\x33"),
    (App::Ssh, TCP, b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    (App::Smtp, TCP, b"EHLO client.example.org\r\n", b"220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n"),
    (App::Smtp, TCP, b"HELO x\r\n", b"220 mail.example.org ready\r\n"),
    (App::Ftp, TCP, b"USER anonymous\r\n", b"220 (vsFTPd 3.0.5)\r\n"),
    (App::Ftp, TCP, b"USER anonymous\r\n", b"220 Welcome to this server\r\n"),
    (App::Imap, TCP, b"a001 CAPABILITY\r\n", b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS] Dovecot ready.\r\n"),
    (App::Pop3, TCP, b"CAPA\r\n", b"+OK Dovecot ready.\r\n"),
    (App::Pop3, TCP, b"USER joe\r\n", b"+OK\r\n"),
    (App::Rdp, TCP, b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=hello\r\n\x01\0\x08\0\x03\0\0\0", b"\x03\0\0\x13\x0e\xd0\0\0\x124\0\x02\x1f\x08\0\x02\0\0\0"),
    (App::Smb, TCP, b"\0\0\0\x45\xffSMB\x72\0\0\0\0\x18\x01\x28", b"\0\0\0\xf4\xfeSMB\x40\0\0\0"),
    (App::Mqtt, TCP, b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", b"\x20\x02\0\0"),
    (App::Postgres, TCP, b"\0\0\0\x08\x04\xd2\x16\x2f", b"S"),
    (App::Postgres, TCP, b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0", b"R\0\0\0\x08\0\0\0\0"),
    (App::Mysql, TCP, b"\x54\0\0\x01\x8d\xa6\xff\x09\0\0\0\x01", b"\x4a\0\0\0\x0a8.0.36-0ubuntu0.22.04.1\0\x0b\0\0\0"),
    (App::Redis, TCP, b"*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n", b"$3\r\nbar\r\n"),
    (App::Redis, TCP, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
    (App::Redis, TCP, b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", b"+OK\r\n"),
    (App::Dns, TCP, b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01", b"\0\x1d\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"),
    (App::Sip, TCP, b"OPTIONS sip:carol@chicago.com SIP/2.0\r\nVia: SIP/2.0/TCP", b"SIP/2.0 200 OK\r\n"),
    (App::Bittorrent, TCP, b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05", b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05"),
    (App::Stun, TCP, b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl", b"\x01\x01\0\x0c\x21\x12\xa4\x42abcdefghijkl"),
    (App::Rtsp, TCP, b"DESCRIBE rtsp://example.com/media.mp4 RTSP/1.0\r\nCSeq: 2\r\n", b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n"),
    (App::Rtsp, TCP, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n", b"RTSP/1.0 200 OK\r\n"),
    (App::Ldap, TCP, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0"),
    (App::Ldap, TCP, b"\x30\x84\0\0\0\x2d\x02\x01\x01\x63\x84\0\0\0\x24\x04\0\x0a\x01\0", b"\x30\x84\0\0\0\x10\x02\x01\x01\x65\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0"),
    (App::Git, TCP, b"0033git-upload-pack /project.git\0host=example.org\0", b"00e17217a7c7e582c46cec22a130adf4b9d7d950fba0 HEAD\0"),
    (App::Other, TCP, b"\x05\x02\0\x01\x05\x01\0\x03\x0bexample.org\x01\xbb", b"\x05\0\x05\0\0\x01\0\0\0\0\0\0"),
    (App::Other, TCP, b"GET /some/page.html\r\n", b"<html><head><title>"),
    (App::Other, TCP, b"get foo\r\n", b"VALUE foo 0 3\r\nbar\r\nEND\r\n"),
    (App::Other, TCP, b"\x16\x03\x01\x02\x00\x05\x00\x01\xfc\x03\x03\xb5\x88\xc1\x3a\xfa\x92\x07", b"\xff\xfd\x18\xff\xfd\x20"),
    (App::Dns, UDP, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03www\x07example\x03org\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x1c\0\x01"),
    (App::Quic, UDP, b"\xc3\0\0\0\x01\x08abcdefgh\0\0\x44\x9e\x01\x02", b"\xcf\0\0\0\x01\0\x08abcdefgh\0\x40\x75"),
    (App::Quic, UDP, b"\xd3\x6b\x33\x43\xcf\x08abcdefgh\0\0\x44\x9e\x01\x02", b"\xdf\x6b\x33\x43\xcf\0\x08abcdefgh"),
    (App::Ntp, UDP, b"\x23\0\x06\xec\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe9\x01\x02\x03\x04\x05\x06\x07", b"\x24\x02\x06\xe8\0\0\x01\x0c\0\0\x02\x0c\xc0\0\x02\x01\xe9\x01\x02\x03\x04\x05\x06\x07\xe9\x01\x02\x03\x04\x05\x06\x07\xe9\x01\x02\x03\x04\x05\x06\x07\xe9\x01\x02\x03\x04\x05\x06\x07"),
    (App::Stun, UDP, b"\0\x01\0\x08\x21\x12\xa4\x42abcdefghijkl\x80\x22\0\x04test", b"\x01\x01\0\x0c\x21\x12\xa4\x42abcdefghijkl\0\x20\0\x08"),
    (App::Snmp, UDP, b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x04\x01\x02\x03\x04\x02\x01\0", b"\x30\x26\x02\x01\x01\x04\x06public\xa2\x19\x02\x04"),
    (App::Snmp, UDP, b"\x30\x3e\x02\x01\x03\x30\x11\x02\x04\x01\x02\x03\x04\x02\x03\0\xff\xe3\x04\x01\x04", b"\x30\x3e\x02\x01\x03\x30\x11\x02\x04\x01\x02\x03\x04"),
    (App::Sip, UDP, b"REGISTER sip:registrar.example.org SIP/2.0\r\nVia: SIP/2.0/UDP", b"SIP/2.0 401 Unauthorized\r\n"),
    (App::Bittorrent, UDP, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"),
    (App::Bittorrent, UDP, b"\x41\0\x12\x34\x01\x02\x03\x04\0\0\0\0\0\x10\0\0\0\x01\0\0", b"\x21\0\x12\x34\x01\x02\x03\x04\0\0\0\x10\0\x10\0\0\0\x01\0\x01"),
    (App::Bittorrent, UDP, b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04", b"\0\0\0\0\x01\x02\x03\x04"),
    (App::Other, UDP, b"hello", b"world"),
    // DNS with the reserved bit, with a response code in a query, with control bytes in labels.
    (App::Dns, UDP, b"\x12\x34\x01\x40\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01", b""),
    (App::Dns, UDP, b"\x12\x34\x01\x03\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01", b""),
    (App::Dns, UDP, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03w\0w\x07ex\nmple\0\0\x01\0\x01", b""),
    (App::Dns, TCP, b"\0\x1d\x12\x34\x01\x50\0\x01\0\0\0\0\0\0\x03w\x01w\x07example\0\0\x01\0\x01", b""),
    // Odd in more than one way: no DNS.
    (App::Other, UDP, b"\x12\x34\x01\x40\0\x02\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01", b""),
    (App::Other, UDP, b"\x12\x34\x01\x40\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x03", b""),
    // NATS.
    (App::Other, TCP, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n", b"INFO {\"server_id\":\"x\"}\r\nPONG\r\n"),
    // A NetBIOS name is no DNS name.
    (App::Other, UDP, b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x20EJFDEBFEEBFACACACACACACACACACAAA\0\0\x20\0\x01", b""),
];

fn give(feed: &mut Feed, proto: u8, from_client: bool, start: usize, payload: &[u8]) -> App {
    feed.give(&Segment { proto, is_new: false, ..segment(from_client, start as i64, payload) }).app
}

#[test]
fn all_cuts_and_orders() {
    let asks = program(&[], &[], true);
    for (app, proto, client, server) in TALKS {
        // What the client says, in packets of each size: one end alone, where that is enough, and
        // then both ends.
        for size in if *proto == TCP { 1..client.len() + 1 } else { client.len()..client.len() + 1 } {
            let mut feed = Feed::new(&asks);
            let mut last = App::Undecided;
            for (i, piece) in client.chunks(size).enumerate() {
                let now = give(&mut feed, *proto, true, i * size, piece);
                assert!(last == App::Undecided || now == last, "{app:?}: {last:?}, then {now:?}");
                last = now;
            }
            for (i, piece) in server.chunks(size).enumerate() {
                let now = give(&mut feed, *proto, false, i * size, piece);
                assert!(last == App::Undecided || now == last, "{app:?}: {last:?}, then {now:?}");
                last = now;
            }
            assert_eq!(last, *app, "in pieces of {size}: {}", client.escape_ascii());
        }
        // The sender of the first datagram is the client.
        if *proto == TCP {
            let mut feed = Feed::new(&asks);
            give(&mut feed, *proto, false, 0, server);
            assert_eq!(
                give(&mut feed, *proto, true, 0, client),
                *app,
                "the server first: {}",
                server.escape_ascii()
            );
            feed.end();
            assert_eq!(feed.streams.pooled(), 0);
        }
    }
}

#[test]
fn dhcp() {
    let mut discover = vec![1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0x80, 0];
    discover.resize(28, 0);
    discover.extend([2, 0, 0, 0, 0, 1]);
    discover.resize(236, 0);
    discover.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]);
    let mut feed = Feed::new(&program(&[], &[], true));
    assert_eq!(give(&mut feed, UDP, true, 0, &discover), App::Dhcp);
    // The capture cut the datagram.
    let mut feed = Feed::new(&program(&[], &[], true));
    let cut = Segment { proto: UDP, length: 244, ..segment(true, 0, &discover[..86]) };
    assert_eq!(feed.give(&cut).app, App::Dhcp);
}

/// Random bytes are no application, and neither is a protocol with a changed byte in its
/// characteristic bytes. Neither panics.
#[test]
fn random_bytes_are_other() {
    let asks = program(&[], &[], true);
    let mut feed = Feed::new(&asks);
    let mut dice = Dice(7);
    let mut named = 0;
    for round in 0..40_000 {
        let bytes: Vec<u8> = (0..1 + dice.roll(120)).map(|_| dice.roll(256) as u8).collect();
        let proto = [TCP, UDP][round % 2];
        let app = feed.give(&Segment { proto, is_new: true, ..segment(dice.roll(2) == 0, 0, &bytes) }).app;
        named += usize::from(!matches!(app, App::Other | App::Undecided));
    }
    assert!(named <= 2, "{named} of 40000");
    for (_, proto, client, server) in TALKS {
        for _ in 0..300 {
            let mut bytes = [*client, *server][dice.roll(2)].to_vec();
            if let Some(byte) = bytes.get_mut(dice.roll(30)) {
                *byte = dice.roll(256) as u8;
            }
            bytes.truncate(dice.roll(80));
            feed.give(&Segment { proto: *proto, is_new: true, ..segment(dice.roll(2) == 0, 0, &bytes) });
        }
    }
}

#[test]
fn other_protocols_have_no_applications() {
    let mut feed = Feed::new(&program(&[], &[], true));
    assert_eq!(give(&mut feed, 132, true, 0, b"GET / HTTP/1.1\r\n\r\n"), App::Other);
}

/// A gap in the first bytes: only the bytes before it count, and they may be enough.
#[test]
fn gap_in_the_first_bytes() {
    let mut feed = Feed::new(&program(&[], &[], true));
    let cut = Segment { length: 100, ..segment(true, 0, b"GET /") };
    assert_eq!(feed.give(&cut).app, App::Http);
    let mut feed = Feed::new(&program(&[], &[], true));
    let cut = Segment { length: 100, ..segment(false, 0, b"220 mail") };
    assert_eq!(feed.give(&cut).app, App::Undecided);
    assert_eq!(give(&mut feed, TCP, false, 100, b" ESMTP\r\n"), App::Undecided);
    assert_eq!(give(&mut feed, TCP, true, 0, b"EHLO x\r\n"), App::Smtp);
}

/// A segment of a flow in mid-stream. The flow's client is the end that was seen first.
fn midstream(from_client: bool, start: usize, payload: &[u8]) -> Segment<'_> {
    Segment { midstream: true, client_known: false, ..segment(from_client, start as i64, payload) }
}

/// Which end is the client, by content.
#[test]
fn content_shows_the_client() {
    let asks = program(&[], &[], true);
    let alike = [App::Ssh, App::Bittorrent, App::Stun, App::Smb, App::Ldap, App::Other];
    for (app, proto, client, server) in TALKS {
        if *proto != TCP {
            continue;
        }
        // The end that was seen first is taken for the client: rightly, and wrongly.
        for first in [true, false] {
            let (a, b) = if first { (client, server) } else { (server, client) };
            let mut feed = Feed::new(&asks);
            let (mut said, mut shown) = (App::Undecided, None);
            for (from_first, payload) in [(true, a), (false, b)] {
                let segment = midstream(from_first, 0, payload);
                said = feed.give(&segment).app;
                shown = shown.or(feed.streams.client(&segment));
            }
            let text = client.escape_ascii();
            assert_eq!(said, *app, "{first}: {text}");
            let right = Some(usize::from(!first));
            assert!(shown == right || shown.is_none() && alike.contains(app), "{first}, {shown:?}: {text}");
        }
    }
}

#[test]
fn one_end_alone_is_not_other() {
    let garbage = [0x80; 1000];
    let mut feed = Feed::new(&program(&[], &[], true));
    assert_eq!(feed.give(&midstream(true, 0, &garbage)).app, App::Undecided);
    assert_eq!(feed.give(&midstream(true, 1000, &garbage)).app, App::Undecided);
    // The middle of an answer, then a request.
    let told = feed.give(&midstream(false, 0, b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(told.app, App::Http);
    // Both ends have spoken.
    let mut feed = Feed::new(&program(&[], &[], true));
    feed.give(&midstream(true, 0, &garbage));
    assert_eq!(feed.give(&midstream(false, 0, &garbage)).app, App::Other);
    // A bound is passed.
    let mut feed = Feed::new(&program(&[], &[], true));
    for i in 0..16 {
        assert_eq!(feed.give(&midstream(true, i * 1000, &garbage)).app, App::Undecided);
    }
    assert_eq!(feed.give(&midstream(true, 16_000, &garbage)).app, App::Other);
    assert_eq!(feed.streams.pooled(), 0);
    // A client that a SYN has shown.
    let mut feed = Feed::new(&program(&[], &[], true));
    assert_eq!(feed.client(0, &garbage).app, App::Other);
}

/// The first byte of a direction is a keep-alive's.
#[test]
fn a_keep_alive_first() {
    for byte in [b"\0", b"x", b"G"] {
        let mut feed = Feed::new(&program(&[], HTTP, true));
        assert_eq!(feed.give(&midstream(true, 0, byte)).app, App::Undecided);
        let told = feed.give(&midstream(true, 1, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((told.app, told.said.len()), (App::Http, 3), "{byte:?}");
        let told = feed.give(&midstream(false, 0, b"HTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(told.said.len(), 1);
    }
    // A request of single bytes has such a byte, too.
    let mut feed = Feed::new(&program(&[], HTTP, true));
    let mut said = Vec::new();
    for (i, byte) in b"GET / HTTP/1.1\r\n\r\n".chunks(1).enumerate() {
        said.extend(feed.give(&midstream(true, i, byte)).said);
    }
    assert_eq!(said.len(), 2);
}
