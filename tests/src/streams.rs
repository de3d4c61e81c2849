//! TCP streams of a capture as tshark sees them, and what a station received of them, put together
//! byte by byte. The invariant: nothing here asks the product where anything in a frame is; tshark
//! says so (tests/oracle/streams.lua), and copies are known again by time, length and bytes.
//! (Rejected: tshark on the copies; cut short, they give it other streams.)

use crate::frames::Frame;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// A TCP segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its frame, counting from 1.
    pub frame: usize,
    /// tshark's number of the stream.
    pub stream: usize,
    /// Who sends: address and port.
    pub from: String,
    /// The sequence number of its first payload byte.
    pub first: u32,
    /// Whether SYN is set.
    pub syn: bool,
    /// Length of the payload.
    pub len: u32,
    /// Where in the frame the captured part of the payload is.
    pub payload: std::ops::Range<usize>,
}

/// What tshark says of a capture's TCP.
#[derive(Debug, Default)]
pub struct Streams {
    /// All whole segments, in order.
    pub segments: Vec<Segment>,
    /// Frames of TCP that are cut in a header, or are fragments.
    pub broken: BTreeSet<usize>,
    /// Streams with such frames.
    pub doubtful: BTreeSet<usize>,
}

/// Asks tshark where every segment stands.
pub fn segments(capture: &Path) -> Streams {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/streams.lua");
    let output = Command::new("tshark")
        .args(["-n", "-q", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"])
        .args(["-X", &format!("lua_script:{}", script.display()), "-r"])
        .arg(capture)
        .output()
        .expect("tshark");
    let mut streams = Streams::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap_or_else(|_| panic!("{line}"));
        match words[0] {
            "tcp" => {
                let syn = words[6] == "1";
                let sequence = words[5].parse::<u32>().expect("a sequence number");
                let (at, held) = (words[8].parse().unwrap_or(0), number(9));
                streams.segments.push(Segment {
                    frame: number(1),
                    stream: number(2),
                    from: match words[3].contains(':') {
                        true => format!("[{}]:{}", words[3], words[4]),
                        false => format!("{}:{}", words[3], words[4]),
                    },
                    first: sequence.wrapping_add(u32::from(syn)),
                    syn,
                    len: words[7].parse().expect("a length"),
                    payload: at..at + held,
                });
            }
            "broken" => {
                streams.broken.insert(number(1));
                streams.doubtful.insert(number(2));
            }
            _ => panic!("{}: {line}", capture.display()),
        }
    }
    streams
}

/// One direction of a stream: who sends, and which stream.
pub type StreamDirection = (usize, String);

impl Segment {
    /// Its direction.
    pub fn direction(&self) -> StreamDirection {
        (self.stream, self.from.clone())
    }
}

/// For each segment, the stream offset of its first payload byte: from the SYN's sequence number,
/// or from the first segment of its direction that is no empty keep-alive; before that it is below
/// 0. And the directions in
/// which that is not to be said: where SYN comes after others that it does not fit, as when the
/// other end answers for a connection before.
pub fn offsets(segments: &[Segment]) -> (Vec<i64>, BTreeSet<StreamDirection>) {
    let (mut bases, mut unclear) = (BTreeMap::new(), BTreeSet::new());
    let offset = |s: &Segment| {
        let (base, alive) = bases.entry(s.direction()).or_insert((s.first, !s.syn));
        if *alive && s.first == base.wrapping_add(1) {
            *base = s.first;
        }
        *alive &= s.len == 0 && s.first == *base;
        let base = *base;
        if s.syn && base != s.first {
            unclear.insert(s.direction());
        }
        i64::from(s.first.wrapping_sub(base).cast_signed())
    };
    let offsets = segments.iter().map(offset).collect();
    (offsets, unclear)
}

/// The bytes of a direction, by offset: the first that came for each; none where none came.
#[derive(Debug, Clone, Default)]
pub struct Bytes(Vec<Option<u8>>, usize);

impl Bytes {
    /// Takes bytes from this offset on; those below 0 belong to nothing. How many were new.
    pub fn put(&mut self, offset: i64, bytes: &[u8]) -> usize {
        let bytes = bytes.get(usize::try_from(-offset).unwrap_or(0)..).unwrap_or(&[]);
        let at = usize::try_from(offset).unwrap_or(0);
        if !bytes.is_empty() && self.0.len() < at + bytes.len() {
            self.0.resize(at + bytes.len(), None);
        }
        let mut new = 0;
        for (place, &byte) in self.0.iter_mut().skip(at).zip(bytes) {
            new += usize::from(place.is_none());
            place.get_or_insert(byte);
        }
        new
    }

    /// The first so many of them; no gap at the end.
    #[must_use]
    pub fn first(&self, count: usize) -> Bytes {
        let mut bytes = self.0[..count.min(self.0.len())].to_vec();
        while bytes.last() == Some(&None) {
            bytes.pop();
        }
        Bytes(bytes, 0)
    }

    /// All of them, where there is no gap.
    pub fn whole(&self) -> Option<Vec<u8>> {
        self.0.iter().copied().collect()
    }

    /// How many there are before the first gap.
    pub fn edge(&mut self) -> usize {
        while self.0.get(self.1).is_some_and(Option::is_some) {
            self.1 += 1;
        }
        self.1
    }

    /// Those before the first gap.
    pub fn to_gap(&self) -> Vec<u8> {
        self.0.iter().copied().map_while(|byte| byte).collect()
    }

    /// How many offsets it reaches over.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How two differ, in a line; `None` when they do not.
    pub fn difference(&self, other: &Bytes) -> Option<String> {
        let count = |bytes: &Bytes| bytes.0.iter().flatten().count();
        let at = (0..self.0.len().max(other.0.len())).find(|&i| self.0.get(i) != other.0.get(i))?;
        let (here, there) = (count(self), count(other));
        let mut text = format!("{here} bytes, not {there}; first other at {at}");
        let _ = write!(
            text,
            " ({:?}, not {:?})",
            self.0.get(at).copied().flatten(),
            other.0.get(at).copied().flatten()
        );
        Some(text)
    }
}

/// The bytes of every direction, and for each segment how much of its direction there is without a
/// gap once it has come.
pub fn arrivals(segments: &[Segment], frames: &[Frame]) -> (BTreeMap<StreamDirection, Bytes>, Vec<usize>) {
    let mut sent: BTreeMap<StreamDirection, Bytes> = BTreeMap::new();
    let (offsets, _) = offsets(segments);
    let mut edges = Vec::new();
    for (segment, offset) in segments.iter().zip(offsets) {
        let direction = sent.entry(segment.direction()).or_default();
        direction.put(offset, &frames[segment.frame - 1].bytes[segment.payload.clone()]);
        edges.push(direction.edge());
    }
    (sent, edges)
}

/// For each frame with which an empty line, the end of a head, is complete: the text before, for
/// each such line.
pub fn heads(segments: &[Segment], frames: &[Frame]) -> BTreeMap<usize, Vec<String>> {
    /// How much of the text is given.
    const MOST: usize = 2048;
    let (sent, edges) = arrivals(segments, frames);
    let sent: BTreeMap<StreamDirection, Vec<u8>> =
        sent.iter().map(|(direction, bytes)| (direction.clone(), bytes.to_gap())).collect();
    let mut before: BTreeMap<StreamDirection, usize> = BTreeMap::new();
    let mut heads: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (segment, edge) in segments.iter().zip(edges) {
        let bytes = &sent[&segment.direction()];
        let before = before.entry(segment.direction()).or_default();
        for end in *before + 1..=edge {
            if bytes[..end].ends_with(b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&bytes[end.saturating_sub(MOST)..end]).into_owned();
                heads.entry(segment.frame).or_default().push(text);
            }
        }
        *before = edge;
    }
    heads
}

/// What tshark shows when it follows these streams: each sender's bytes. Where it tells of a gap,
/// there is nothing.
pub fn follow(capture: &Path, streams: &BTreeSet<usize>) -> BTreeMap<StreamDirection, Vec<u8>> {
    let mut followed = BTreeMap::new();
    let all: Vec<_> = streams.iter().collect();
    for some in all.chunks(500) {
        let taps = some.iter().flat_map(|n| ["-z".to_owned(), format!("follow,tcp,raw,{n}")]);
        let output = Command::new("tshark")
            .args(["-n", "-q"])
            .args(taps)
            .arg("-r")
            .arg(capture)
            .output()
            .expect("tshark");
        let text = String::from_utf8_lossy(&output.stdout);
        for part in text.split("Filter: tcp.stream eq ").skip(1) {
            let mut lines = part.lines();
            let stream = lines.next().and_then(|n| n.trim().parse().ok()).expect("a number");
            let mut node = |start: &str| {
                let name = lines.next().and_then(|l| l.strip_prefix(start)).expect("two ends");
                name.to_owned()
            };
            let nodes = [node("Node 0: "), node("Node 1: ")];
            let mut sent = [Vec::new(), Vec::new()];
            for line in lines.take_while(|l| !l.starts_with('=')) {
                let side = usize::from(line.starts_with('\t'));
                sent[side].extend(unhex(line.trim()));
            }
            for (node, bytes) in nodes.into_iter().zip(sent) {
                if !bytes.windows(GAP.len()).any(|w| w == GAP) {
                    followed.insert((stream, node), bytes);
                }
            }
        }
    }
    followed
}

/// The end of what tshark writes in the place of bytes that it has not.
const GAP: &[u8] = b" bytes missing in capture file]";

fn unhex(text: &str) -> impl Iterator<Item = u8> {
    text.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}

/// For each copy, the frame that it is of, counting from 1. Both are in order; a copy that is no
/// beginning of any is an error.
pub fn originals(frames: &[Frame], copies: &[Frame]) -> Result<Vec<usize>, String> {
    let mut next = 0;
    let mut found = Vec::new();
    for (i, copy) in copies.iter().enumerate() {
        let is_of = |f: &Frame| f.time == copy.time && f.len == copy.len && f.bytes.starts_with(&copy.bytes);
        let Some(at) = frames[next..].iter().position(is_of) else {
            return Err(format!("copy {} is the beginning of no frame behind {next}", i + 1));
        };
        next += at + 1;
        found.push(next);
    }
    Ok(found)
}
