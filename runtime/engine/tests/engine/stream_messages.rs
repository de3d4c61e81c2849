//! Messages of HTTP, TLS and DNS: what they report, on which packet, and that the cuts make no
//! difference. The messages are as clients and servers send them. (Rejected: messages of random
//! bytes alone; they are refused at the first byte.)

use crate::feed::{DNS, Feed, FeedResult, HTTP, TLS, UDP, program, segment};
use mrule_compiler::fields::{App, Facet};
use mrule_engine::flow::Segment;
use mrule_engine::stream::StreamLimits;

/// What a conversation reports. It consists of pieces by direction (true: the client), each cut
/// into packets of this size.
fn said(facets: &[Facet], talk: &[(bool, &[u8])], size: usize) -> (Vec<(Facet, String)>, Feed) {
    let mut feed = Feed::new(&program(&[], facets, true));
    let mut next = [0, 0];
    let mut all = Vec::new();
    for (from_client, bytes) in talk {
        let next = &mut next[usize::from(*from_client)];
        for piece in bytes.chunks(size) {
            all.extend(feed.give(&segment(*from_client, *next, piece)).said);
            *next += piece.len() as i64;
        }
    }
    (all, feed)
}

/// Checks that each cut gives the same and leaves nothing in the pool. The facets of one packet
/// come by facet, so the test sorts them.
fn same_in_all_cuts(facets: &[Facet], talk: &[(bool, &[u8])]) -> Vec<(Facet, String)> {
    let sorted = |size| {
        let (mut said, mut feed) = said(facets, talk, size);
        feed.end();
        assert_eq!(feed.streams.pooled(), 0);
        said.sort();
        said
    };
    let whole = sorted(1 << 20);
    for size in [1, 2, 3, 5, 7, 11, 13, 31, 64, 100, 517] {
        assert_eq!(sorted(size), whole, "in packets of {size}");
    }
    whole
}

fn of(said: &[(Facet, String)], facet: Facet) -> Vec<&str> {
    said.iter().filter(|(f, _)| *f == facet).map(|(_, text)| text.as_str()).collect()
}

/// The end of the looked-at bytes falls anywhere in the first line: into the target, before the
/// version, into the version.
#[test]
fn http_with_targets_of_all_lengths() {
    for length in 1..200 {
        let target = format!("/{}", "a".repeat(length - 1));
        let head = format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n\r\n");
        for size in [1, 7, 1000] {
            let (said, _) = said(HTTP, &[(true, head.as_bytes())], size);
            assert_eq!(of(&said, Facet::HttpUri), [target.as_str()], "in packets of {size}");
        }
    }
}

#[test]
fn http_on_the_packet_that_completes_the_head() {
    let mut feed = Feed::new(&program(&[], HTTP, false));
    let first = feed.client(0, b"GET /index.html HTTP/1.1\r\nHost: example.org\r\n");
    assert_eq!((first.app, first.said), (App::Http, vec![]));
    let second = feed.client(45, b"Cookie:  a=b \r\nUser-Agent: curl/8\r\n\r");
    assert_eq!(second.said, []);
    let third = feed.client(45 + 36, b"\n");
    let text = |facet, text: &str| (facet, text.to_owned());
    assert_eq!(
        third.said,
        [
            text(Facet::HttpMethod, "GET"),
            text(Facet::HttpUri, "/index.html"),
            text(Facet::HttpHost, "example.org"),
            text(Facet::HttpUserAgent, "curl/8"),
            text(Facet::HttpCookie, "a=b"),
        ]
    );
    let answer = feed.server(0, b"HTTP/1.1 404 Not Found\r\ncontent-TYPE: text/html; charset=utf-8\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200");
    assert_eq!(
        answer.said,
        [text(Facet::HttpCode, "404"), text(Facet::HttpContentType, "text/html; charset=utf-8")]
    );
}

/// Only the answer shows that the request was HTTP. The request's packet has passed, and the
/// answer's packet does not report the request.
#[test]
fn http_that_is_known_by_its_answer_says_nothing_of_the_request() {
    let mut feed = Feed::new(&program(&[], HTTP, false));
    let request = b"GET /x HTTP/2.0\r\nHost: example.org\r\n\r\n";
    let first = feed.client(0, request);
    assert_eq!((first.app, first.said), (App::Undecided, vec![]));
    let answer = feed.server(0, b"HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((answer.app, answer.said), (App::Http, vec![(Facet::HttpCode, "505".to_owned())]));
    // The following messages are read as usual.
    let next = feed.client(request.len() as u64, b"GET /y HTTP/1.1\r\n\r\n");
    assert_eq!(of(&next.said, Facet::HttpUri), ["/y"]);
    assert!(feed.streams.counts().facets_dropped >= 3, "{:?}", feed.streams.counts());
}

/// RFC 9112, section 2.2.
#[test]
fn http_behind_empty_lines() {
    for lines in ["\r\n", "\n", "\r\n\r\n"] {
        let request = format!("{lines}GET /x HTTP/1.1\r\nHost: example.org\r\n\r\n");
        let said = same_in_all_cuts(HTTP, &[(true, request.as_bytes())]);
        assert_eq!(of(&said, Facet::HttpHost), ["example.org"], "{lines:?}");
    }
}

#[test]
fn http_keep_alive_and_pipelined() {
    let client = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /no HTTP/1.1\r\nHost: no\r\n\r\n\
        \r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\n\r\n\
        PUT /d HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;x=y\r\nGET /\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: x\r\n\r\n\
        DELETE /e HTTP/1.1\r\n\r\n";
    let server = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nHTTP\r\n0\r\n\r\n\
        HTTP/1.0 500 Oops\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let said = same_in_all_cuts(HTTP, &[(true, client), (false, server)]);
    assert_eq!(of(&said, Facet::HttpUri), ["/a", "/b", "/c", "/d", "/e"]);
    assert_eq!(of(&said, Facet::HttpCode), ["100", "200", "200", "201", "304", "500"]);
}

#[test]
fn http_tunnels_end_it() {
    let said = same_in_all_cuts(
        HTTP,
        &[
            (true, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"),
            (false, b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"),
            (true, b"CONNECT example.org:443 HTTP/1.1\r\n\r\n"),
            (false, b"HTTP/1.1 200 Connection established\r\n\r\n"),
            (true, b"GET /inside HTTP/1.1\r\n\r\n"),
            (false, b"HTTP/1.1 200 OK\r\n\r\n"),
        ],
    );
    assert_eq!(of(&said, Facet::HttpUri), ["example.org:443", "example.org:443"]);
    assert_eq!(of(&said, Facet::HttpCode), ["200", "407"]);
}

#[test]
fn http_too_large_or_wrong() {
    let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
    long.resize(70_000, b'a');
    let (said, feed) = said(HTTP, &[(true, &long)], 1400);
    assert_eq!((said.len(), feed.streams.counts().messages.too_large, feed.streams.pooled()), (0, 1, 0));
    let wrong = b"GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let (said, feed) = self::said(HTTP, &[(true, wrong)], 1400);
    assert_eq!((of(&said, Facet::HttpUri), feed.streams.counts().messages.malformed), (vec!["/"], 1));
    let many = format!("GET / HTTP/1.1\r\n{}Host: h\r\n\r\n", "A: b\r\n".repeat(500));
    assert_eq!(of(&self::said(HTTP, &[(true, many.as_bytes())], 99).0, Facet::HttpHost), ["h"]);
}

#[test]
fn http_gap_within_a_body() {
    let mut feed = Feed::new(&program(&[], HTTP, false));
    let head = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
    let at = head.len() as u64;
    feed.client(0, head);
    // The capture has only the start of the body.
    feed.give(&Segment { length: 1000, ..segment(true, at as i64, b"abc") });
    let told = feed.client(at + 1000, b"GET /after HTTP/1.1\r\n\r\n");
    assert_eq!(of(&told.said, Facet::HttpUri), ["/after"]);
    // A gap in a head ends the head.
    feed.give(&Segment { length: 500, ..segment(true, at as i64 + 1023, b"GET") });
    assert_eq!(feed.streams.counts().messages.gap, 1);
}

#[test]
fn http_without_room() {
    let mut feed =
        Feed::limited(&program(&[], HTTP, false), &StreamLimits { pool: 0, ..StreamLimits::default() });
    assert_eq!(feed.client(0, b"GET / HTTP/1.1\r\nHo").said, []);
    assert_eq!(feed.streams.counts().messages.pool_full, 1);
    let mut feed =
        Feed::limited(&program(&[], HTTP, false), &StreamLimits { pool: 0, ..StreamLimits::default() });
    assert_eq!(of(&feed.client(0, b"GET / HTTP/1.1\r\n\r\n").said, Facet::HttpMethod), ["GET"]);
}

/// A handshake message.
fn hello(kind: u8, session: &[u8], suites: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(session.len() as u8);
    body.extend(session);
    body.extend(suites);
    let mut list = Vec::new();
    for (number, data) in extensions {
        list.extend(number.to_be_bytes());
        list.extend((data.len() as u16).to_be_bytes());
        list.extend(data);
    }
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    let mut message = vec![kind, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    message
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    message.chunks(size).flat_map(record).collect()
}

#[test]
fn tls_hellos() {
    let name = b"\0\x0e\0\0\x0bexample.org".to_vec();
    let alpn = b"\0\x0c\x02h2\x08http/1.1".to_vec();
    // An unknown extension and a malformed extension stand before the others.
    let extensions = [(0x1a1a, vec![]), (13, vec![9]), (0, name), (16, alpn), (43, vec![2, 3, 4])];
    let client = hello(1, &[5; 32], b"\0\x04\x13\x01\x13\x02\x01\0", &extensions);
    let server = hello(2, &[5; 32], b"\x13\x01\0", &[(43, vec![3, 4]), (16, b"\0\x03\x02h2".to_vec())]);
    for size in [1 << 14, 100, 7, 1] {
        let retry = b"\x14\x03\x03\0\x01\x01";
        let mut to_server = [&records(&client, size)[..], retry].concat();
        to_server.extend(records(&client, 1 << 14));
        let mut to_client = records(&server, size);
        to_client.extend(b"\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x05abcde\x16\x03\x03\0\x04\x02\0\0\0");
        let said = same_in_all_cuts(TLS, &[(true, &to_server), (false, &to_client)]);
        assert_eq!(of(&said, Facet::TlsServerName), ["example.org"; 2]);
        assert_eq!(of(&said, Facet::TlsVersion), ["771"; 3]);
        assert_eq!(of(&said, Facet::TlsAlpn), ["h2", "h2", "h2", "http/1.1", "http/1.1"]);
    }
}

#[test]
fn tls_ends_after_the_hello() {
    let server = [records(&hello(2, &[], b"\x13\x01\0", &[]), 1 << 14), vec![0x17, 3, 3, 0, 200]].concat();
    let (said, mut feed) = said(TLS, &[(false, &server)], 10);
    assert_eq!(of(&said, Facet::TlsVersion), ["771"]);
    assert_eq!(feed.server(5000, b"ahead").said, []);
    assert_eq!((feed.streams.pooled(), feed.streams.counts().messages.tls), (0, 1));
    assert_eq!(feed.streams.counts().messages.malformed, 0);
}

fn question(flags: u16, names: &[(&[u8], u16)]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34];
    message.extend(flags.to_be_bytes());
    message.extend((names.len() as u16).to_be_bytes());
    message.extend([0; 6]);
    for (name, kind) in names {
        message.extend(*name);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
    }
    message
}

const EXAMPLE: &[u8] = b"\x03WWW\x07example\x03org\0";

#[test]
fn dns_datagrams() {
    let mut feed = Feed::new(&program(&[], DNS, false));
    let mut next = [0, 0];
    let mut give = |from_client, payload: Vec<u8>| {
        let next: &mut i64 = &mut next[usize::from(from_client)];
        let told = feed.give(&Segment { proto: UDP, ..segment(from_client, *next, &payload) });
        *next += payload.len() as i64;
        told
    };
    let text = |facet, text: &str| (facet, text.to_owned());
    let told: FeedResult = give(true, question(0x0100, &[(EXAMPLE, 28)]));
    assert_eq!(told.app, App::Dns);
    assert_eq!(
        told.said,
        [text(Facet::DnsName, "WWW.example.org"), text(Facet::DnsType, "28"), text(Facet::DnsResponse, "0")]
    );
    let told = give(false, question(0x8183, &[(EXAMPLE, 1)]));
    assert_eq!(of(&told.said, Facet::DnsResponse), ["1"]);
    assert_eq!(of(&told.said, Facet::DnsRcode), ["3"]);
    // The root, and names that end with a pointer back.
    let told = give(true, question(0x0100, &[(b"\0", 2), (b"\x01a\xc0\x0c", 16)]));
    assert_eq!(of(&told.said, Facet::DnsName), ["<Root>", "a"]);
    let told = give(true, question(0x0100, &[(EXAMPLE, 1), (b"\x04mail\xc0\x10", 15)]));
    assert_eq!(of(&told.said, Facet::DnsName), ["WWW.example.org", "mail.example.org"]);
    // Pointers in a circle, and names without an end.
    for name in [&b"\xc0\x0c"[..], b"\x01a\xc0\x0c", b"\x3f", b"\xc0", b"\xff\xff", b"\x80\0"] {
        assert_eq!(of(&give(true, question(0x0100, &[(name, 1)])).said, Facet::DnsName), [""; 0]);
    }
    assert_eq!(feed.streams.counts().messages.malformed, 6);
}

/// As tshark reads them: the reserved bit, a response code in a query, control bytes in a label.
#[test]
fn dns_that_receivers_pass_over() {
    for (flags, name, read) in [
        (0x0140, EXAMPLE, "WWW.example.org"),
        (0x0103, EXAMPLE, "WWW.example.org"),
        (0x0100, &b"\x03w\x01w\x02ex\0"[..], "w\u{1}w.ex"),
    ] {
        let mut feed = Feed::new(&program(&[], DNS, true));
        let message = question(flags, &[(name, 1)]);
        let told = feed.give(&Segment { proto: UDP, ..segment(true, 0, &message) });
        assert_eq!((told.app, of(&told.said, Facet::DnsName)), (App::Dns, vec![read]));
        assert_eq!(of(&told.said, Facet::DnsRcode), [""; 0]);
    }
}

#[test]
fn dns_over_tcp() {
    let framed = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    let client =
        [framed(question(0x0100, &[(EXAMPLE, 252)])), framed(question(0x0100, &[(b"\x01x\0", 6)]))].concat();
    let server = [framed(question(0x8180, &[(EXAMPLE, 252)])), framed(question(0x8185, &[]))].concat();
    let said = same_in_all_cuts(DNS, &[(true, &client), (false, &server)]);
    assert_eq!(of(&said, Facet::DnsName), ["WWW.example.org", "WWW.example.org", "x"]);
    assert_eq!(of(&said, Facet::DnsRcode), ["0", "5"]);
    assert_eq!(of(&said, Facet::DnsResponse), ["0", "0", "1", "1"]);
}

#[test]
fn only_what_is_asked_for() {
    let mut feed = Feed::new(&program(&[], &[], false));
    assert_eq!(feed.client(0, b"GET / HTTP/1.1\r\n\r\n").app, App::Undecided);
    assert_eq!(feed.streams.counts().segments, 0);
    let mut feed = Feed::new(&program(&[], TLS, false));
    let told = feed.client(0, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((told.app, told.said.len()), (App::Http, 0));
    // The application is known, and there is nothing to read: nothing is held.
    feed.client(1000, b"x");
    assert_eq!((feed.streams.pooled(), feed.streams.counts().unwanted), (0, 1));
}
