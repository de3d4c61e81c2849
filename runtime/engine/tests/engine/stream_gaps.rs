//! Gaps that will not be filled are given up as soon as that is known, and each by its cause. What
//! waits is then delivered, and messages are read on. A gap that may still be filled is not given
//! up. (Rejected: captures; the moment at which a gap is given up would not show in them.)

use crate::feed::{DNS, Feed, FeedResult, HTTP, TLS, contains, program, segment};
use mrule_compiler::fields::{App, Facet};
use mrule_engine::flow::Segment;
use mrule_engine::stream::{Gaps, StreamLimits};

fn evil() -> Feed {
    Feed::new(&program(&[(contains(b"evil"), 1 << 30)], &[], false))
}

/// A packet of the server that acknowledges the client's bytes.
fn acknowledge(feed: &mut Feed, ack: u64) -> FeedResult {
    feed.give(&Segment { ack: Some(ack), ..segment(false, 0, b"") })
}

fn at(time: i64, start: u64, payload: &[u8]) -> Segment<'_> {
    Segment { time, ..segment(true, start as i64, payload) }
}

fn gaps(feed: &Feed) -> Gaps {
    feed.streams.counts().gaps
}

#[test]
fn acknowledged_bytes_do_not_come_any_more() {
    let mut feed = evil();
    feed.client(0, b"begin");
    assert_eq!(feed.client(10, b"an evil").found, []);
    assert_eq!(acknowledge(&mut feed, 17).found, []);
    // The next packet of the direction, even without payload.
    assert_eq!(feed.client(17, b"").found, [0]);
    assert_eq!(gaps(&feed), Gaps { acknowledged: 1, bytes: 5, ..Gaps::default() });
    // The missing bytes come after all. They are not searched.
    assert_eq!(feed.client(5, b"evil!").found, []);
    assert_eq!(feed.client(17, b" evil").found, [0]);
    assert_eq!(feed.streams.counts().repeated, 5);
    // Acknowledged before the bytes behind the gap were sent: they are delivered at once.
    acknowledge(&mut feed, 40);
    assert_eq!(feed.client(40, b"evil").found, [0]);
    assert_eq!(gaps(&feed).acknowledged, 2);
}

#[test]
fn an_acknowledgement_may_be_seen_before_its_bytes() {
    // The directions are swapped: each acknowledgement comes before its bytes.
    let mut feed = evil();
    acknowledge(&mut feed, 5);
    feed.client(0, b"an ev");
    acknowledge(&mut feed, 14);
    assert_eq!(feed.client(5, b"il an evi").found, [0]);
    // Two segments are swapped, too: the later one, the acknowledgement, the earlier one.
    feed.client(18, b"il");
    acknowledge(&mut feed, 20);
    assert_eq!(feed.client(14, b"l ev").found, [0]);
    assert_eq!(acknowledge(&mut feed, 20).found, []);
    assert_eq!(gaps(&feed), Gaps::default());
}

#[test]
fn only_the_acknowledged_part_is_given_up() {
    let mut feed = evil();
    feed.client(0, b"begin");
    acknowledge(&mut feed, 10);
    assert_eq!(feed.client(14, b" good").found, []);
    assert_eq!(feed.client(10, b"evil").found, [0]);
    assert_eq!(gaps(&feed), Gaps { acknowledged: 1, bytes: 5, ..Gaps::default() });
    assert_eq!(feed.streams.pooled(), 0);
}

#[test]
fn the_end_of_a_connection() {
    // A reset by either end.
    for from_client in [true, false] {
        let mut feed = evil();
        feed.client(5, b"evil");
        let reset = Segment { rst: true, ..segment(from_client, 0, b"") };
        assert_eq!(feed.give(&reset).found, [0]);
        assert_eq!(gaps(&feed).closed, 1);
    }
    // A FIN, and the other end is not seen.
    let mut feed = evil();
    feed.client(5, b"ev");
    assert_eq!(feed.give(&Segment { fin: true, ..segment(true, 7, b"il") }).found, [0]);
    assert_eq!(gaps(&feed).closed, 1);
    // A FIN, and the other end can tell: lost bytes may be repeated after the FIN.
    let mut feed = evil();
    feed.server(0, b"");
    feed.client(2, b"il");
    assert_eq!(feed.give(&Segment { fin: true, ..segment(true, 4, b" evil") }).found, []);
    assert_eq!(feed.client(0, b"ev").found, [0]);
    assert_eq!(gaps(&feed), Gaps::default());
    // The direction has no more packets, so the acknowledgement itself gives the gap up.
    let mut feed = evil();
    feed.server(0, b"");
    feed.give(&Segment { fin: true, ..segment(true, 5, b"evil") });
    assert_eq!(acknowledge(&mut feed, 10).found, [0]);
    assert_eq!(gaps(&feed).acknowledged, 1);
}

#[test]
fn what_may_wait_is_limited() {
    // The packet that is one byte too much.
    let mut feed = evil();
    feed.client(1, b"evil");
    let filler = [b' '; 8192];
    for i in 0..7 {
        assert_eq!(feed.client(5 + i * 8192, &filler).found, []);
    }
    assert_eq!(feed.client(5 + 7 * 8192, &filler[..8188]).found, []);
    assert_eq!(feed.client(1 + 65_536, b"x").found, [0]);
    assert_eq!(gaps(&feed).too_many_bytes, 1);
    // The packet that is one too many. A retransmission does not wait.
    let mut feed = evil();
    feed.client(1, b"evil");
    for i in 0..63 {
        assert_eq!(feed.client(5 + i, b"x").found, []);
        assert_eq!(feed.client(5 + i, b"x").found, []);
    }
    assert_eq!(feed.client(68, b"x").found, [0]);
    assert_eq!(gaps(&feed).too_many_packets, 1);
    // The packet that is too late.
    const SECOND: i64 = 1_000_000_000;
    let mut feed = evil();
    feed.give(&at(7 * SECOND, 1, b"evil"));
    assert_eq!(feed.give(&at(8 * SECOND, 5, b"x")).found, []);
    assert_eq!(feed.give(&at(8 * SECOND + 1, 6, b"x")).found, [0]);
    assert_eq!(gaps(&feed).too_long, 1);
    // All three are settable.
    let limits = StreamLimits { gap_bytes: 9, gap_packets: 1, gap_time: i64::MAX, ..StreamLimits::default() };
    let mut feed = Feed::limited(&program(&[(contains(b"evil"), 1 << 30)], &[], false), &limits);
    feed.give(&at(0, 1, b"evil"));
    assert_eq!(feed.give(&at(3600 * SECOND, 6, b"x")).found, [0]);
    assert_eq!((gaps(&feed).too_many_packets, feed.streams.pooled() > 0), (1, true));
}

/// What waits behind a second gap has its own time: it is estimated by its bytes.
#[test]
fn gaps_behind_gaps() {
    let mut feed = evil();
    for i in 0..65 {
        feed.client(1 + i * 2, b"x");
    }
    assert_eq!(gaps(&feed).too_many_packets, 1);
    assert_eq!(feed.client(1 + 65 * 2, b"evil").found, []);
    assert_eq!(gaps(&feed).too_many_packets, 2);
}

fn of(told: &FeedResult, facet: Facet) -> Vec<&str> {
    told.said.iter().filter(|(f, _)| *f == facet).map(|(_, text)| text.as_str()).collect()
}

#[test]
fn http_is_read_on() {
    let mut feed = Feed::new(&program(&[], HTTP, true));
    feed.client(0, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    feed.server(0, b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nabc");
    // A request is lost, and the next one is in two segments.
    acknowledge(&mut feed, 500);
    let told = feed.client(500, b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n");
    assert_eq!((told.app, told.said), (App::Http, vec![]));
    assert_eq!(of(&feed.client(537, b"\r\nabcGET /c HTTP/1.1\r\n\r\n"), Facet::HttpUri), ["/b", "/c"]);
    assert_eq!(feed.streams.counts().messages.gap, 1);
    // The end of the body and the next heads are lost, the middle of a body comes.
    feed.give(&Segment { ack: Some(20_000), ..segment(true, 560, b"") });
    assert_eq!(feed.server(20_000, b"HTTP and more of a body\r\n\r\n").said, []);
    assert_eq!(of(&feed.server(20_027, b"HTTP/1.1 404 No\r\n\r\n"), Facet::HttpCode), ["404"]);
    assert_eq!(feed.streams.counts().messages.malformed, 0);
}

#[test]
fn http_in_a_body_that_was_taken_for_a_head() {
    let mut feed = Feed::new(&program(&[], HTTP, true));
    feed.give(&Segment { midstream: true, ..segment(true, 0, b"GET /a HTTP/1.1\r\n\r\n") });
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    let at = head.len() as u64;
    feed.give(&Segment { midstream: true, ..segment(false, 0, head) });
    // The body is longer than its head says: what follows is no head, and is passed by.
    assert_eq!(feed.server(at, b"abc\0\0\0\r\n\r\n").said, []);
    let told = feed.server(at + 10, b"HTTP/1.1 500 Oops\r\n\r\n");
    assert_eq!(of(&told, Facet::HttpCode), ["500"]);
}

#[test]
fn tls_and_dns_are_read_on() {
    let framed = |id: u8| {
        [&b"\0\x1d\x12"[..], &[id], b"\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"].concat()
    };
    let mut feed = Feed::new(&program(&[], DNS, true));
    feed.client(0, &framed(1));
    acknowledge(&mut feed, 200);
    assert_eq!(of(&feed.client(200, &framed(2)), Facet::DnsName), ["example.org"]);
    // TLS whose hello is cut by a gap: the first record of another kind ends the reading.
    let mut feed = Feed::new(&program(&[], TLS, true));
    assert_eq!(feed.client(0, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\xb5\x88\xc1").app, App::Tls);
    acknowledge(&mut feed, 517);
    assert_eq!(feed.client(517, b"\x17\x03\x03\0\x05abcde").said, []);
    feed.client(600, b"ahead");
    assert_eq!((feed.streams.pooled(), feed.streams.counts().unwanted), (0, 5));
}
