//! Takes one packet through its direction: delivers new bytes, holds them, or fills a gap with
//! them, and reports what they complete. Invariant: each payload byte of the packet is counted
//! once. (Rejected: a queue of events between the steps; each step is a call.)

use super::detect::{self, PREFIX, Prefix, TCP_PREFIX};
use super::order::{self, Full, Next};
use super::out::{Out, ParserState};
use super::{Content, Dir, Reader, Shared, dns, http, tls};
use crate::flow::Segment;
use mrule_compiler::context::BatchContext;
use mrule_compiler::environment::Environment;
use mrule_compiler::fields::App;

pub(super) const UDP: u8 = 17;

/// The work for one packet.
pub(super) struct Job<'a, 's> {
    pub(super) environment: &'a Environment,
    pub(super) i: usize,
    pub(super) segment: &'a Segment<'s>,
    pub(super) context: &'a mut BatchContext,
    /// The current depth of the deepest pattern.
    pub(super) deepest: u64,
    pub(super) shared: &'a mut Shared,
}

/// Why a gap is given up.
#[derive(Clone, Copy)]
enum Cause {
    Full(Full),
    Truncated,
}

impl Job<'_, '_> {
    pub(super) fn take(&mut self, content: &mut Content) {
        let segment = *self.segment;
        let d = usize::from(!segment.from_client);
        let counts = &mut self.shared.counts;
        counts.segments += 1;
        counts.bytes += segment.payload.len() as u64;
        // Bytes before the start of the stream.
        let length = u64::from(segment.length).max(segment.payload.len() as u64);
        let before = u64::try_from(segment.start).map_or(segment.start.unsigned_abs(), |_| 0).min(length);
        let early = (before as usize).min(segment.payload.len());
        counts.repeated += early as u64;
        let payload = segment.payload.get(early..).unwrap_or(&[]);
        let start = u64::try_from(segment.start).unwrap_or(0);
        let end = start + (length - before);
        // The captured bytes in a range of offsets.
        let captured = |from: u64, to: u64| {
            let place = |offset: u64| ((offset - start).min(payload.len() as u64)) as usize;
            payload.get(place(from)..place(to)).unwrap_or(&[])
        };

        let dir = &mut content.dirs[d];
        if !dir.begun {
            dir.begun = true;
            dir.state = self.shared.automaton.start(!segment.midstream && !dir.late);
            if dir.late {
                dir.next = start;
            }
        }
        let mut cursor = start;
        let mut held = false;
        while cursor < end && self.wants(content, d) {
            let dir = &mut content.dirs[d];
            if cursor < dir.next {
                let to = dir.next.min(end);
                self.shared.counts.repeated += captured(cursor, to).len() as u64;
                cursor = to;
            } else if cursor == dir.next {
                let until = dir.held.first(cursor).map_or(end, |first| first.min(end));
                let bytes = captured(cursor, until);
                if !bytes.is_empty() {
                    cursor += bytes.len() as u64;
                    self.deliver(content, d, bytes);
                } else if until > cursor {
                    self.gap(content, d, until - cursor, Cause::Truncated);
                    cursor = until;
                }
                self.drain(content, d);
            } else {
                let holding = dir.held.hold(
                    &mut self.shared.pool,
                    self.shared.chunks,
                    cursor,
                    captured(cursor, end),
                    end,
                );
                let counts = &mut self.shared.counts;
                counts.held += holding.new;
                counts.repeated += holding.old;
                counts.segments_held += u64::from(!held && holding.new > 0);
                held |= holding.new > 0;
                cursor = holding.to;
                if let Some(full) = holding.full {
                    let to = dir.held.first(dir.next).map_or(cursor, |first| first.min(cursor));
                    let missing = to - dir.next;
                    self.gap(content, d, missing, Cause::Full(full));
                    self.drain(content, d);
                }
            }
        }
        self.shared.counts.unwanted += captured(cursor, end.max(cursor)).len() as u64;
        for d in 0..2 {
            if content.dirs[d].begun && !content.dirs[d].done && !self.wants(content, d) {
                let dir = &mut content.dirs[d];
                dir.done = true;
                dir.free(self.shared);
            }
        }
    }

    /// Whether more bytes of a direction are wanted.
    fn wants(&self, content: &Content, d: usize) -> bool {
        let dir = &content.dirs[d];
        if dir.done {
            return false;
        }
        let search = self.shared.uses.streams && !dir.searched;
        let messages = match dir.reader {
            Reader::Waiting => self.shared.wants_app && content.app == App::Undecided && !dir.closed,
            Reader::Over => false,
            Reader::Http(_) | Reader::Tls(_) | Reader::Dns(_) => true,
        };
        search || messages
    }

    /// Delivers the held bytes that follow.
    fn drain(&mut self, content: &mut Content, d: usize) {
        while !content.dirs[d].held.is_empty() && self.wants(content, d) {
            let dir = &mut content.dirs[d];
            let Some(chunk) = dir.held.take(&mut self.shared.pool, dir.next) else { return };
            loop {
                match order::next(&chunk, content.dirs[d].next) {
                    Next::Bytes(bytes) => {
                        self.shared.counts.held -= bytes.len() as u64;
                        self.deliver(content, d, bytes);
                    }
                    Next::Lost(missing) => self.gap(content, d, missing, Cause::Truncated),
                    Next::Gap => break,
                }
                if !self.wants(content, d) {
                    break;
                }
            }
            content.dirs[d].held.put_back(chunk);
        }
    }

    /// Gives up a gap.
    fn gap(&mut self, content: &mut Content, d: usize, missing: u64, cause: Cause) {
        let counts = &mut self.shared.counts;
        match cause {
            Cause::Full(Full::Pool) => counts.gaps.pool_full += 1,
            Cause::Full(Full::Direction) => counts.gaps.direction_full += 1,
            Cause::Truncated => counts.gaps.truncated += 1,
        }
        counts.gaps.bytes = counts.gaps.bytes.saturating_add(missing);
        let dir = &mut content.dirs[d];
        dir.next = dir.next.saturating_add(missing);
        dir.state = self.shared.automaton.start(false);
        self.search_ends(dir);
        let reads = match &mut content.dirs[d].reader {
            Reader::Waiting => {
                content.dirs[d].closed = true;
                self.detect(content, d, &[]);
                return;
            }
            Reader::Http(reader) => reader.gap(missing),
            Reader::Tls(_) | Reader::Over => false,
            // Over UDP, each datagram is a message.
            Reader::Dns(_) => self.segment.proto == UDP,
        };
        let dir = &mut content.dirs[d];
        if !reads && !matches!(dir.reader, Reader::Over) {
            self.shared.counts.messages.gap += 1;
            dir.reader = Reader::Over;
            dir.part.clear(&mut self.shared.pool);
        }
    }

    /// Takes the next bytes of a direction.
    fn deliver(&mut self, content: &mut Content, d: usize, bytes: &[u8]) {
        self.shared.counts.delivered += bytes.len() as u64;
        let dir = &mut content.dirs[d];
        if self.shared.uses.streams && !dir.searched {
            // One more byte, for patterns that look at the byte after their match.
            let room = self.deepest.saturating_add(1).saturating_sub(dir.next);
            let searched = bytes.get(..room.min(bytes.len() as u64) as usize).unwrap_or(bytes);
            let Shared { automaton, depths, .. } = &*self.shared;
            automaton.scan(&mut dir.state, searched, dir.next, &mut |id, end| {
                if depths.get(id.index()).is_some_and(|depth| end <= depth.get(self.environment)) {
                    self.context.mark(self.i, id);
                }
            });
            self.shared.counts.scanned += searched.len() as u64;
        }
        dir.next = dir.next.saturating_add(bytes.len() as u64);
        self.search_ends(dir);
        if !self.shared.wants_app {
            return;
        }
        if content.app == App::Undecided {
            self.detect(content, d, bytes);
        } else {
            self.read(content, d, bytes, false);
        }
    }

    fn search_ends(&self, dir: &mut Dir) {
        dir.searched |= dir.next > self.deepest;
    }

    /// Tries to recognise the application by these bytes, which follow the earlier ones.
    fn detect(&mut self, content: &mut Content, d: usize, bytes: &[u8]) {
        let mut prefixes = [[0; PREFIX], [0; PREFIX]];
        let mut lens = [0, 0];
        for ((dir, prefix), len) in content.dirs.iter().zip(&mut prefixes).zip(&mut lens) {
            *len = dir.part.first(prefix);
        }
        let dir = &mut content.dirs[d];
        let have = lens[d];
        // For datagrams, only the first one is looked at.
        let udp = self.segment.proto == UDP;
        let most = if udp { PREFIX } else { TCP_PREFIX };
        let new = bytes.get(..bytes.len().min(most.saturating_sub(have))).unwrap_or(bytes);
        let new = if dir.closed { &[] } else { new };
        prefixes[d][have..have + new.len()].copy_from_slice(new);
        lens[d] += new.len();
        let full = lens[d] >= most || (udp && !new.is_empty());
        let was_closed = dir.closed;
        dir.closed |= full;
        let [client, server] = [0, 1].map(|d| Prefix {
            bytes: prefixes[d].get(..lens[d]).unwrap_or(&[]),
            closed: content.dirs[d].closed,
        });
        content.app = detect::recognise(self.segment.proto, client, server);
        if content.app == App::Undecided {
            let dir = &mut content.dirs[d];
            if !was_closed && !dir.part.push(&mut self.shared.pool, new) {
                dir.closed = true;
            }
            return;
        }
        for d in 0..2 {
            let reader = match content.app {
                App::Http if self.shared.uses.http => Reader::Http(http::Reader::default()),
                App::Tls if self.shared.uses.tls => Reader::Tls(tls::Reader::default()),
                App::Dns if self.shared.uses.dns => Reader::Dns(dns::Reader::default()),
                _ => Reader::Over,
            };
            content.dirs[d].reader = reader;
        }
        // First the bytes that were kept, then the new bytes. Heads that the kept bytes complete
        // were complete in an earlier packet, so this packet does not report them.
        for (d, prefix) in prefixes.iter().enumerate() {
            let kept = content.dirs[d].part.len();
            content.dirs[d].part.clear(&mut self.shared.pool);
            if kept > 0 {
                self.read(content, d, prefix.get(..kept).unwrap_or(&[]), true);
            }
        }
        if !was_closed {
            self.read(content, d, bytes, false);
        } else if !bytes.is_empty() && !matches!(content.dirs[d].reader, Reader::Over) {
            // The bytes between the first bytes and these were not kept.
            self.shared.counts.messages.gap += 1;
            content.dirs[d].reader = Reader::Over;
        }
    }

    /// Reads messages in these bytes. `late`: the bytes came with earlier packets.
    fn read(&mut self, content: &mut Content, d: usize, bytes: &[u8], late: bool) {
        let Content { dirs, methods, .. } = content;
        let Shared { pool, counts, scratch, .. } = &mut *self.shared;
        let mut out = Out { i: self.i, context: self.context, counts, pool, scratch, late };
        let dir = &mut dirs[d];
        let going = match &mut dir.reader {
            Reader::Http(reader) => reader.take(&mut dir.part, bytes, methods, &mut out),
            Reader::Tls(reader) => reader.take(&mut dir.part, bytes, &mut out),
            Reader::Dns(_) if self.segment.proto == UDP => {
                if !self.segment.continues {
                    dns::datagram(bytes, &mut out);
                }
                ParserState::Continue
            }
            Reader::Dns(reader) => reader.take(&mut dir.part, bytes, &mut out),
            Reader::Waiting | Reader::Over => ParserState::Continue,
        };
        let over = match going {
            ParserState::Continue => return,
            ParserState::Done => d..d + 1,
            ParserState::Tunnel => 0..2,
        };
        for dir in dirs.iter_mut().take(over.end).skip(over.start) {
            dir.reader = Reader::Over;
            dir.part.clear(pool);
        }
    }
}
