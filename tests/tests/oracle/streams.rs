//! Holds `stream 0..N` against tshark: what a station received of every TCP stream, put together by
//! where tshark says each segment's bytes stand, must be exactly the first N bytes of either
//! direction, and the bytes that tshark shows when it follows the stream; in every shipped capture
//! (and those in `MRULE_CAPTURES`), by the command, both engines. (Rejected: judging packet by
//! packet what is copied; bytes sent twice may be copied twice.)

use mrule_tests::frames::{Frame, captures, read};
use mrule_tests::mirrored::{ENGINES, copies};
use mrule_tests::oracle::{ask, installed, stem};
use mrule_tests::streams::{Bytes, StreamDirection, Streams, follow, offsets, originals, segments};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many bytes of each direction are asked for; the last is more than any stream here has.
const FIRST: [usize; 5] = [1, 64, 1024, 8192, 1 << 30];

/// What became of a capture.
#[derive(Default)]
struct Outcome {
    differences: Vec<String>,
    /// Directions whose bytes were compared with those that tshark follows.
    followed: usize,
    /// Directions whose bytes were compared by offset, but that have a gap or are not to be
    /// followed.
    pieced: usize,
    /// Directions of which nothing can be said: cut headers, fragments, a SYN behind data.
    aside: usize,
}

fn stations() -> Vec<String> {
    FIRST.iter().map(|n| format!("s{n}")).collect()
}

fn rules() -> String {
    let rule = |n: &usize| {
        format!(
            "station s{n} {{ pcapng \"s{n}\" }}\nrule r{n} {{ match tcp  snaplen stream 0..{n}  to s{n} }}\n"
        )
    };
    FIRST.iter().map(rule).collect()
}

/// What arrived of each direction for one station; or what must not be among its copies.
fn received(
    told: &Streams,
    (offsets, unclear): &(Vec<i64>, BTreeSet<StreamDirection>),
    frames: &[Frame],
    copies: &[Frame],
    first: usize,
) -> Result<BTreeMap<StreamDirection, Bytes>, String> {
    let by_frame: BTreeMap<usize, usize> =
        told.segments.iter().enumerate().map(|(i, s)| (s.frame, i)).collect();
    let mut received: BTreeMap<StreamDirection, Bytes> = BTreeMap::new();
    for (number, copy) in originals(frames, copies)?.into_iter().zip(copies) {
        let Some(&i) = by_frame.get(&number) else {
            // tshark shows the TCP of tunnels too, which was left out, and not that of IP without a
            // whole header
            continue;
        };
        let (segment, offset) = (&told.segments[i], offsets[i]);
        if unclear.contains(&segment.direction()) {
            continue;
        }
        let held = segment.payload.start.min(copy.bytes.len())..segment.payload.end.min(copy.bytes.len());
        if copy.bytes.len() > segment.payload.end && segment.len > 0 && !segment.payload.is_empty() {
            return Err(format!("frame {number}: {} bytes, past the payload", copy.bytes.len()));
        }
        if !held.is_empty() && offset + held.len() as i64 > first as i64 {
            let last = offset + held.len() as i64 - 1;
            return Err(format!("frame {number}: the byte with offset {last} was copied"));
        }
        received.entry(segment.direction()).or_default().put(offset, &copy.bytes[held]);
    }
    Ok(received)
}

fn judge(capture: &Path) -> Outcome {
    let (frames, told) = (read(capture), segments(capture));
    let places = offsets(&told.segments);
    let (offsets, unclear) = &places;
    let mut sent: BTreeMap<StreamDirection, Bytes> = BTreeMap::new();
    for (segment, &offset) in told.segments.iter().zip(offsets) {
        let bytes = &frames[segment.frame - 1].bytes[segment.payload.clone()];
        sent.entry(segment.direction()).or_default().put(offset, bytes);
    }
    let streams: BTreeSet<usize> = told.segments.iter().map(|s| s.stream).collect();
    let followed = follow(capture, &streams);
    let mut outcome = Outcome::default();
    // tshark against itself first: what it follows is what it says of each segment.
    for (direction, bytes) in &sent {
        if told.doubtful.contains(&direction.0) || unclear.contains(direction) {
            outcome.aside += 1;
            continue;
        }
        match (bytes.whole(), followed.get(direction)) {
            (Some(bytes), Some(followed)) if bytes == *followed => {
                outcome.followed += usize::from(!bytes.is_empty())
            }
            (Some(whole), Some(followed)) if !bytes.is_empty() => {
                let (whole, followed) = (whole.len(), followed.len());
                outcome
                    .differences
                    .push(format!("{direction:?}: {whole} bytes by offset, {followed} followed"));
            }
            _ => outcome.pieced += usize::from(!bytes.is_empty()),
        }
    }
    for engine in ENGINES {
        let stations = match copies(&rules(), capture, engine, &stations()) {
            Ok(stations) => stations,
            Err(error) => {
                outcome.differences.push(format!("{engine}: {error}"));
                continue;
            }
        };
        for (copies, first) in stations.iter().zip(FIRST) {
            let received = match received(&told, &places, &frames, copies, first) {
                Ok(received) => received,
                Err(error) => {
                    outcome.differences.push(format!("{engine}, 0..{first}: {error}"));
                    continue;
                }
            };
            for (direction, bytes) in &sent {
                if told.doubtful.contains(&direction.0) || unclear.contains(direction) {
                    continue;
                }
                let nothing = Bytes::default();
                let got = received.get(direction).unwrap_or(&nothing);
                let difference = got.difference(&bytes.first(first));
                outcome
                    .differences
                    .extend(difference.map(|d| format!("{engine}, 0..{first}, {direction:?}: {d}")));
            }
        }
    }
    outcome
}

#[test]
fn the_first_bytes_of_every_stream_are_those_that_tshark_follows() {
    if !installed("tshark") {
        return;
    }
    let captures: Vec<_> = captures().into_iter().filter(|c| !stem(c).starts_with("odd")).collect();
    let outcomes = ask(&captures, |capture| judge(capture));
    let mut lines = Vec::new();
    let (mut followed, mut pieced, mut aside) = (0, 0, 0);
    for (capture, outcome) in captures.iter().zip(outcomes) {
        let count = outcome.differences.len();
        lines.extend(outcome.differences.into_iter().take(8).map(|d| format!("{}: {d}", stem(capture))));
        if count > 8 {
            lines.push(format!("{}: and {} more", stem(capture), count - 8));
        }
        followed += outcome.followed;
        pieced += outcome.pieced;
        aside += outcome.aside;
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    println!("{followed} directions as followed, {pieced} with gaps by offset, {aside} set aside");
    assert!(followed > 400, "{followed} directions were followed");
    assert!(aside * 20 < followed, "{aside} directions were set aside, {followed} followed");
}
