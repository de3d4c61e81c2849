//! Compares patterns across packets with a slow model that keeps each byte of each stream. A packet
//! completes a match when it is the first packet with which all bytes up to the end of the match
//! are there. The tests use random cuts, reordering, losses, retransmissions and overlaps; then
//! limits, gaps, and hostile segments. (Rejected: expectations by hand for random input.)

use crate::feed::{self, Dice, Feed, contains, matches, program, segment};
use mrule_compiler::hir::StreamKind;
use mrule_engine::flow::{FlowId, Segment};
use mrule_engine::stream::StreamLimits;
use regex_automata::meta;

/// All ends of matches of a pattern in a whole stream. The function tries each end separately.
fn ends(kind: &StreamKind, stream: &[u8]) -> Vec<usize> {
    let ends = 0..=stream.len();
    match kind {
        StreamKind::Contains(needle) => ends.filter(|&end| stream[..end].ends_with(needle)).collect(),
        StreamKind::Matches(text) => {
            let syntax = mrule_compiler::pattern::syntax();
            let config = meta::Config::new().utf8_empty(false);
            let whole = format!("(?:{text})\\z");
            let regex = meta::Builder::new().syntax(syntax).configure(config).build(&whole).unwrap();
            ends.filter(|&end| regex.is_match(&stream[..end])).collect()
        }
    }
}

/// One direction of the model.
struct Model {
    stream: Vec<u8>,
    have: Vec<bool>,
    /// For each pattern, the ends of its matches.
    ends: Vec<Vec<usize>>,
    depths: Vec<u64>,
    contiguous: usize,
}

impl Model {
    fn new(stream: Vec<u8>, patterns: &[(StreamKind, u64)]) -> Model {
        Model {
            have: vec![false; stream.len()],
            ends: patterns.iter().map(|(kind, _)| ends(kind, &stream)).collect(),
            depths: patterns.iter().map(|(_, depth)| *depth).collect(),
            stream,
            contiguous: 0,
        }
    }

    /// The patterns that a packet with these bytes completes.
    fn take(&mut self, start: usize, end: usize) -> Vec<usize> {
        self.have[start..end].fill(true);
        let before = self.contiguous;
        while self.have.get(self.contiguous) == Some(&true) {
            self.contiguous += 1;
        }
        let new = |&(id, ends): &(usize, &Vec<usize>)| {
            let is_new =
                |&&end: &&usize| end > before && end <= self.contiguous && end as u64 <= self.depths[id];
            ends.iter().find(is_new).is_some()
        };
        self.ends.iter().enumerate().filter(new).map(|(id, _)| id).collect()
    }
}

fn patterns(dice: &mut Dice) -> Vec<(StreamKind, u64)> {
    let kinds = [
        contains(b"evil"),
        contains(b"abcabcabd"),
        contains(b"e"),
        contains(b"session=evil"),
        matches("^ab"),
        matches("evil.{0,3}abc"),
        matches(r"session=[a-z]+;"),
        matches("a[bc]{2,5}d"),
        matches("(?s)ev.*il"),
        matches(r"\bevil"),
    ];
    let depths = [1 << 40, 100, 37, 1, 0];
    (0..1 + dice.roll(6)).map(|_| (kinds[dice.roll(kinds.len())].clone(), depths[dice.roll(5)])).collect()
}

fn stream(dice: &mut Dice) -> Vec<u8> {
    let words: [&[u8]; 9] = [b"evil", b"abc", b"abd", b"session=", b";", b" ", b"e", b"il", b"xyzzy 0123"];
    let mut stream = Vec::new();
    for _ in 0..dice.roll(60) {
        stream.extend_from_slice(words[dice.roll(words.len())]);
    }
    stream
}

/// Segments of a stream in some order: cut, swapped, lost, repeated, overlapping.
fn segments(dice: &mut Dice, len: usize) -> Vec<(usize, usize)> {
    let longest = [1, 3, 20, 90][dice.roll(4)];
    let mut cut = Vec::new();
    let mut at = 0;
    while at < len {
        let end = len.min(at + 1 + dice.roll(longest));
        cut.push((at, end));
        at = end;
    }
    let losses = [0, 0, 10][dice.roll(3)];
    let mut order = Vec::new();
    for &segment in &cut {
        let place = order.len() - dice.roll(5).min(order.len());
        if dice.roll(100) >= losses {
            order.insert(place, segment);
        }
        if dice.roll(6) == 0 {
            // An earlier or a later stretch once more.
            let start = dice.roll(len);
            order.push((start, len.min(start + 1 + dice.roll(longest * 2))));
        }
    }
    order
}

#[test]
fn as_the_model() {
    for seed in 0..600 {
        let mut dice = Dice(seed);
        let patterns = patterns(&mut dice);
        // The model waits for each byte as long as it takes.
        let limits = StreamLimits { gap_packets: u64::MAX, ..StreamLimits::default() };
        let mut feed = Feed::limited(&program(&patterns, &[], false), &limits);
        let mut models = [stream(&mut dice), stream(&mut dice)].map(|stream| Model::new(stream, &patterns));
        let mut orders = [0, 1].map(|d| segments(&mut dice, models[d].stream.len()).into_iter());
        let mut ended = 0;
        while ended < 3 {
            let d = dice.roll(2);
            let Some((start, end)) = orders[d].next() else {
                ended |= d + 1;
                continue;
            };
            let payload = models[d].stream[start..end].to_vec();
            let told = feed.give(&segment(d == 0, start as i64, &payload));
            assert_eq!(told.found, models[d].take(start, end), "seed {seed}, {start}..{end}");
        }
        feed.end();
        assert_eq!((feed.streams.pooled(), feed.streams.counts().held), (0, 0));
    }
}

/// A conversation with its markers: for each direction, the offset behind which each marker is
/// complete.
#[test]
fn cuts_and_reversed_pairs() {
    let text = b"GET / HTTP/1.1\r\nCookie: session=evil; x\r\n\r\nmore evil text, and evil again";
    let patterns = [
        (contains(b"session=evil"), 1 << 20),
        (matches("evil again$|evil again"), 1 << 20),
        (matches("^get"), 1 << 20),
    ];
    let markers = |pieces: Vec<(usize, &[u8])>| {
        let mut feed = Feed::new(&program(&patterns, &[], false));
        let mut found: Vec<usize> =
            pieces.iter().flat_map(|(at, piece)| feed.client(*at as u64, piece).found).collect();
        found.sort_unstable();
        found
    };
    let cut = |size: usize| -> Vec<(usize, &[u8])> {
        text.chunks(size).enumerate().map(|(i, piece)| (i * size, piece)).collect()
    };
    let whole = markers(cut(text.len()));
    assert_eq!(whole, [0, 1, 2]);
    for size in 1..text.len() {
        assert_eq!(markers(cut(size)), whole);
        let mut pairs = cut(size);
        pairs.chunks_mut(2).for_each(|pair| pair.reverse());
        assert_eq!(markers(pairs), whole);
    }
}

#[test]
fn first_copy_counts() {
    let mut feed =
        Feed::new(&program(&[(contains(b"evil"), 1 << 20), (contains(b"good"), 1 << 20)], &[], false));
    assert!(feed.client(4, b"good").found.is_empty());
    assert!(feed.client(2, b"xxevil").found.is_empty());
    assert_eq!(feed.client(0, b"aaaaevilbb").found, [1]);
    assert!(feed.client(4, b"evil").found.is_empty());
    assert_eq!(feed.client(10, b"evil").found, [0]);
}

#[test]
fn before_the_start() {
    let mut feed = Feed::new(&program(&[(contains(b"evil"), 1 << 20)], &[], false));
    assert!(feed.give(&segment(true, -1, b"e")).found.is_empty());
    assert!(feed.client(0, b"vil").found.is_empty());
    let mut feed = Feed::new(&program(&[(contains(b"evil"), 1 << 20)], &[], false));
    assert_eq!(feed.give(&segment(true, -2, b"xxevil")).found, [0]);
    assert!(feed.give(&segment(true, i64::MIN, b"evil")).found.is_empty());
    assert!(feed.give(&segment(true, i64::MAX, b"evil")).found.is_empty());
    // A keep-alive.
    assert!(feed.give(&segment(true, 3, b"l")).found.is_empty());
    assert_eq!(feed.client(4, b" evil").found, [0]);
}

#[test]
fn depth_is_where_a_match_ends() {
    let patterns =
        [(contains(b"evil"), 10), (contains(b"evil"), 9), (matches(r"evil\b"), 10), (contains(b"later"), 12)];
    let mut feed = Feed::new(&program(&patterns[..3], &[], false));
    assert_eq!(feed.client(0, b"012345evil").found, [0]);
    assert_eq!(feed.client(10, b" and more").found, [2]);
    let counts = feed.streams.counts();
    assert_eq!((counts.scanned, counts.delivered), (11, 19));
    // No more bytes are wanted: nothing is held.
    feed.client(1000, b"evil");
    assert_eq!((feed.streams.pooled(), feed.streams.counts().unwanted), (0, 4));
    let mut feed = Feed::new(&program(&patterns, &[], false));
    assert!(feed.client(0, b"01234567later").found.is_empty());
}

#[test]
fn a_new_flow_starts_afresh() {
    let mut feed = Feed::new(&program(&[(contains(b"evil"), 1 << 20)], &[], false));
    feed.client(0, b"ev");
    feed.client(100, b"held");
    assert!(feed.give(&Segment { is_new: true, ..segment(true, 0, b"il") }).found.is_empty());
    assert_eq!(feed.streams.counts().abandoned, 4);
    assert_eq!(feed.streams.pooled(), 0);
}

#[test]
fn gap_is_given_up_at_the_limit() {
    let limits = StreamLimits { pool: 1 << 20, held_per_direction: 3 * 2048, ..StreamLimits::default() };
    let patterns = [(contains(b"evil"), 1 << 30), (matches("(?m)^vil"), 1 << 30)];
    let mut feed = Feed::limited(&program(&patterns, &[], false), &limits);
    feed.client(0, b"e");
    // One byte is missing. Three stretches are held; the fourth exceeds the limit.
    feed.client(2, b"vil evil");
    for at in 1..3 {
        feed.client(at * 2048 + 5, b"evil");
    }
    assert_eq!(feed.streams.counts().segments_held, 3);
    let told = feed.client(3 * 2048, b"evil");
    assert_eq!(told.found, [0]);
    let counts = feed.streams.counts();
    assert_eq!((counts.gaps.direction_full, counts.gaps.bytes), (1, 1));
    // The missing bytes are not searched when they come.
    assert!(feed.client(0, b"evil evil").found.is_empty());
    assert_eq!(feed.client(10, &[b' '; 2048]).found, [0]);
}

#[test]
fn gap_is_given_up_when_the_pool_is_full() {
    let mut feed = Feed::limited(
        &program(&[(contains(b"evil"), 1 << 30)], &[], false),
        &StreamLimits { pool: 0, ..StreamLimits::default() },
    );
    assert_eq!(feed.client(5, b"evil").found, [0]);
    assert_eq!(feed.streams.counts().gaps.pool_full, 1);
    assert_eq!(feed.client(9, b"evil").found, [0]);
}

#[test]
fn cut_by_the_capture() {
    let mut feed =
        Feed::new(&program(&[(contains(b"evil"), 1 << 30), (matches("^evil"), 1 << 30)], &[], false));
    let cut = |start, payload, length| Segment { length, ..segment(true, start, payload) };
    assert!(feed.give(&cut(0, b"ev", 10)).found.is_empty());
    assert!(feed.give(&cut(10, b"ilevil", 100)).found == [0]);
    // Ahead of the gap: the cut bytes are a gap that is known in advance.
    assert!(feed.give(&cut(210, b"evil", 100)).found.is_empty());
    assert!(feed.give(&cut(310, b"evi", 100)).found.is_empty());
    assert_eq!(feed.give(&cut(110, b"x", 100)).found, [0]);
    let counts = feed.streams.counts();
    assert_eq!((counts.held, counts.gaps.truncated, counts.gaps.bytes), (0, 5, 8 + 94 + 99 + 96 + 97));
    assert_eq!(feed.client(410, b"l evil").found, [0]);
}

#[test]
fn midstream() {
    let mut feed = Feed::new(&program(&[(matches("^evil"), 100), (matches(r"\bevil"), 100)], &[], false));
    let told = feed.give(&Segment { midstream: true, ..segment(true, 0, b"evil") });
    assert_eq!(told.found, [1]);
}

/// Any input: no panic, memory within its limits, each byte counted once.
#[test]
fn hostile() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let limits = StreamLimits {
            pool: 40 * 2700,
            held_per_direction: 8 * 2048,
            gap_bytes: 4096,
            ..StreamLimits::default()
        };
        let facets: Vec<_> = feed::HTTP.iter().chain(feed::TLS).chain(feed::DNS).copied().collect();
        let mut feed = Feed::limited(&program(&patterns(&mut dice), &facets, true), &limits);
        let text = b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nHTTP/1.1 200 OK\r\n\r\nevil\x16\x03\x01\x00\x10\x01\0\0\x0c\x03\x03";
        let mut pile: Vec<u8> = (0..3000).map(|_| dice.roll(256) as u8).collect();
        for _ in 0..40 {
            let at = dice.roll(pile.len() - text.len());
            pile[at..at + text.len()].copy_from_slice(text);
        }
        let (mut bytes, mut packets) = (0, 0);
        for _ in 0..2500 {
            let from = dice.roll(pile.len());
            let payload = &pile[from..pile.len().min(from + [0, 1, 60, 1400][dice.roll(4)])];
            let start = match dice.roll(12) {
                0 => i64::MAX - dice.roll(3000) as i64,
                1 => i64::MIN + dice.roll(3000) as i64,
                2 => -(dice.roll(100) as i64),
                3 => 1 << dice.roll(62),
                _ => dice.roll(40_000) as i64,
            };
            let length = payload.len() as u32 + [0, 0, 1, 500, u32::MAX >> 16][dice.roll(5)];
            let segment = Segment {
                flow: FlowId([0, 1, 2, 3, 999, 5000][dice.roll(6)]),
                is_new: dice.roll(60) == 0,
                from_client: dice.roll(2) == 0,
                end: dice.roll(2),
                proto: [6, 6, 6, 17, 132][dice.roll(5)],
                start,
                payload,
                length,
                midstream: dice.roll(4) == 0,
                client_known: dice.roll(2) == 0,
                continues: false,
                time: [0, 1_000_000_000, i64::MIN, i64::MAX][dice.roll(4)],
                ack: [None, Some(dice.roll(40_000) as u64), Some(u64::MAX)][dice.roll(3)],
                fin: dice.roll(20) == 0,
                rst: dice.roll(50) == 0,
            };
            feed.give(&segment);
            if segment.flow.0 < 1000 {
                bytes += payload.len() as u64;
                packets += 1;
            }
            assert!(feed.streams.pooled() <= limits.pool);
            assert!(feed.streams.memory() < 4 << 20, "{}", feed.streams.memory());
        }
        let counts = feed.streams.counts();
        assert_eq!((counts.bytes, counts.segments), (bytes, packets));
        (0..1000).for_each(|flow| feed.streams.forget(FlowId(flow)));
        assert_eq!((feed.streams.pooled(), feed.streams.counts().held), (0, 0));
    }
}
