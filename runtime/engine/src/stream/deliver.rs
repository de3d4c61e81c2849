//! Takes one packet through its direction: delivers new bytes, holds them, or fills a gap with
//! them, and reports what they complete. Invariant: each payload byte of the packet is counted
//! once. (Rejected: a queue of events between the steps; each step is a call.)

use super::detect::{self, PREFIX, Prefix, TCP_PREFIX};
use super::gap::{Cause, Evidence};
use super::order::{self, Next};
use super::out::{Out, ParserState};
use super::{Content, Dir, Reader, Shared, dns, http, tls};
use crate::flow::Segment;
use mrule_compiler::context::BatchContext;
use mrule_compiler::environment::Environment;
use mrule_compiler::fields::App;

pub(super) const UDP: u8 = 17;
const TCP: u8 = 6;

/// In mid-stream, the number of bytes of one end without a byte of the other after which an
/// application that is still unknown is `other`.
const ONE_SIDED: u64 = 16 << 10;

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

impl Job<'_, '_> {
    pub(super) fn take(&mut self, content: &mut Content) {
        let segment = *self.segment;
        let d = segment.end & 1;
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
        // A segment without payload is no beginning, and neither is a keep-alive with one byte.
        dir.heard = true;
        let keep_alive = dir.late && length == 1;
        if !dir.begun && length > 0 && !keep_alive {
            dir.begun = true;
            dir.adrift = segment.midstream;
            dir.single = segment.midstream && length == 1;
            dir.state = self.shared.automaton.start(!segment.midstream && !dir.late);
            if dir.late {
                dir.next = start;
            }
        }
        if dir.paused && end > start && self.wants(content, d) {
            let dir = &mut content.dirs[d];
            (dir.paused, dir.next) = (false, dir.next.max(start));
        }
        let mut cursor = start;
        let mut held = false;
        while cursor < end && self.wants(content, d) {
            let dir = &mut content.dirs[d];
            if !dir.begun {
                break;
            }
            if cursor < dir.next {
                let to = dir.next.min(end);
                self.shared.counts.repeated += captured(cursor, to).len() as u64;
                cursor = to;
            } else if cursor == dir.next {
                let until = dir.held.first(cursor).map_or(end, |first| first.min(end));
                let bytes = captured(cursor, until);
                if !bytes.is_empty() {
                    let begins = cursor == start && early == 0;
                    cursor += bytes.len() as u64;
                    self.deliver(content, d, bytes, begins);
                } else if until > cursor {
                    self.gap(content, d, until - cursor, Cause::Truncated);
                    cursor = until;
                }
                self.drain(content, d);
                let dir = &mut content.dirs[d];
                if !dir.held.is_empty() {
                    dir.gap.arrive(dir.next, segment.time);
                }
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
                if !held && holding.to - cursor > holding.old {
                    dir.gap.hold(holding.new, segment.time);
                } else {
                    dir.gap.add(holding.new);
                }
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
        self.control(content, d, end);
        self.settle(content, d, end);
        self.shared.counts.unwanted += captured(cursor, end.max(cursor)).len() as u64;
        for d in 0..2 {
            if content.dirs[d].begun && !content.dirs[d].done && !self.wants(content, d) {
                let undecided = self.shared.wants_app && content.app == App::Undecided;
                let dir = &mut content.dirs[d];
                if undecided && matches!(dir.reader, Reader::Waiting) {
                    if !dir.paused {
                        dir.paused = true;
                        dir.free_held(self.shared);
                    }
                    continue;
                }
                dir.done = true;
                dir.free(self.shared);
            }
        }
    }

    /// Ends the search for the application of a flow of which one end says much, and the other
    /// nothing.
    fn settle(&mut self, content: &mut Content, d: usize, end: u64) {
        let [dir, other] = [d, 1 - d].map(|d| &content.dirs[d]);
        let waits = content.app == App::Undecided && dir.closed && matches!(dir.reader, Reader::Waiting);
        let one_sided = end > ONE_SIDED && other.part.is_empty();
        if !waits || !one_sided || self.segment.client_known || self.segment.proto != TCP {
            return;
        }
        content.app = App::Other;
        for dir in &mut content.dirs {
            dir.reader = Reader::Over;
            dir.part.clear(&mut self.shared.pool);
        }
    }

    /// Gives up the gaps that are now known to stay. `end` is the offset behind the packet.
    fn control(&mut self, content: &mut Content, d: usize, end: u64) {
        let segment = self.segment;
        if segment.fin {
            content.dirs[d].gap.finish(end);
        }
        if let Some(ack) = segment.ack {
            content.dirs[1 - d].gap.acknowledge(ack);
        }
        let (own, other) = match segment.rst {
            true => (Evidence::Reset, Evidence::Reset),
            false => (Evidence::Own, Evidence::Other),
        };
        self.give_up(content, d, own, end);
        self.give_up(content, 1 - d, other, 0);
    }

    fn give_up(&mut self, content: &mut Content, d: usize, evidence: Evidence, end: u64) {
        let answered = content.dirs[1 - d].heard;
        while !content.dirs[d].held.is_empty() && self.wants(content, d) {
            let dir = &content.dirs[d];
            let Some(first) = dir.held.first(dir.next) else { return };
            let (gap, limits) = ((dir.next, first), &self.shared.limits);
            let Some((cause, to)) =
                dir.gap.given_up(gap, evidence, (answered, end > dir.next), self.segment.time, limits)
            else {
                return;
            };
            self.gap(content, d, to - gap.0, cause);
            self.drain(content, d);
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
            Reader::Http(_) | Reader::Tls(_) | Reader::Dns(_) | Reader::Quic(_) | Reader::Lost => true,
        };
        search || messages
    }

    /// Delivers the held bytes that follow. They begin where a segment begins.
    fn drain(&mut self, content: &mut Content, d: usize) {
        if content.dirs[d].held.is_empty() {
            return;
        }
        let before = self.shared.counts.held;
        let mut begins = true;
        while !content.dirs[d].held.is_empty() && self.wants(content, d) {
            let dir = &mut content.dirs[d];
            let Some(chunk) = dir.held.take(&mut self.shared.pool, dir.next) else { break };
            loop {
                match order::next(&chunk, content.dirs[d].next) {
                    Next::Bytes(bytes) => {
                        self.shared.counts.held -= bytes.len() as u64;
                        self.deliver(content, d, bytes, begins);
                        begins = false;
                    }
                    Next::Lost(missing) => {
                        self.gap(content, d, missing, Cause::Truncated);
                        begins = true;
                    }
                    Next::Gap => break,
                }
                if !self.wants(content, d) {
                    break;
                }
            }
            content.dirs[d].held.put_back(chunk);
        }
        // Where nothing is held any more, nothing waits: not even bytes that were not captured.
        let dir = &mut content.dirs[d];
        let released = before - self.shared.counts.held;
        let released = if dir.held.is_empty() { u64::MAX } else { released };
        if released > 0 {
            dir.gap.release(released, self.segment.time);
        }
    }

    /// Gives up a gap.
    fn gap(&mut self, content: &mut Content, d: usize, missing: u64, cause: Cause) {
        self.shared.counts.gaps.count(cause, missing);
        let dir = &mut content.dirs[d];
        dir.next = dir.next.saturating_add(missing);
        dir.state = self.shared.automaton.start(false);
        self.search_ends(dir);
        let reads = match &mut content.dirs[d].reader {
            Reader::Waiting => {
                content.dirs[d].closed = true;
                self.detect(content, d, &[], false);
                false
            }
            Reader::Http(reader) => reader.gap(missing),
            Reader::Tls(_) | Reader::Lost | Reader::Over => false,
            // Over UDP, each datagram is a message.
            Reader::Dns(_) => self.segment.proto == UDP,
            Reader::Quic(_) => true,
        };
        if !reads {
            self.lose(content, d);
        }
    }

    /// Loses the place in the messages of a direction.
    fn lose(&mut self, content: &mut Content, d: usize) {
        let dir = &mut content.dirs[d];
        // Over UDP, each datagram is a message.
        let reads = matches!(dir.reader, Reader::Http(_) | Reader::Tls(_) | Reader::Dns(_));
        if !reads || self.segment.proto == UDP {
            return;
        }
        self.shared.counts.messages.gap += 1;
        dir.reader = Reader::Lost;
        dir.part.clear(&mut self.shared.pool);
        (content.torn, content.methods) = (true, http::Methods::default());
    }

    /// Takes the next bytes of a direction. `begins`: they are the first bytes of a segment.
    fn deliver(&mut self, content: &mut Content, d: usize, bytes: &[u8], begins: bool) {
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
            self.detect(content, d, bytes, begins);
        } else {
            self.read(content, d, bytes, begins, false);
        }
    }

    fn search_ends(&self, dir: &mut Dir) {
        dir.searched |= dir.next > self.deepest;
    }

    /// Tries to recognise the application by these bytes, which follow the earlier ones.
    fn detect(&mut self, content: &mut Content, d: usize, bytes: &[u8], begins: bool) {
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
        let client = (self.segment.end & 1) ^ usize::from(!self.segment.from_client);
        let closed_before = [0, 1].map(|end| if end == d { was_closed } else { content.dirs[end].closed });
        let prefix = |skip: bool, d: usize| {
            let from = usize::from(skip && content.dirs[d].single);
            let bytes = prefixes[d].get(from..lens[d]).unwrap_or(&[]);
            Prefix { bytes, closed: content.dirs[d].closed }
        };
        let ends = [client, 1 - client];
        if self.segment.proto != TCP || self.segment.client_known {
            let [client, server] = ends.map(|d| prefix(false, d));
            content.app = detect::recognise(self.segment.proto, client, server);
        } else {
            let mut found = detect::recognise_either(self.segment.proto, ends.map(|d| prefix(false, d)));
            if !detect::is_named(found.0) && content.dirs.iter().any(|dir| dir.single) {
                let behind = detect::recognise_either(self.segment.proto, ends.map(|d| prefix(true, d)));
                found = if behind.0 == App::Other { found } else { behind };
            }
            content.app = found.0;
            content.client = found.1.and_then(|place| ends.get(place).copied());
        }
        if content.app == App::Undecided {
            let dir = &mut content.dirs[d];
            if !was_closed && !dir.part.push(&mut self.shared.pool, new) {
                dir.closed = true;
            }
            return;
        }
        for ((dir, prefix), len) in content.dirs.iter_mut().zip(&prefixes).zip(lens) {
            dir.reader = self.shared.reader(content.app);
            let begins = || detect::begins_message(content.app, prefix.get(..len).unwrap_or(&[]));
            if dir.adrift && !matches!(dir.reader, Reader::Over) && !begins() {
                dir.reader = Reader::Lost;
            }
            content.torn |= dir.adrift;
        }
        // First the bytes that were kept, then the new bytes. Heads that the kept bytes complete
        // were complete in an earlier packet, so this packet does not report them.
        for (end, prefix) in prefixes.iter().enumerate() {
            let kept = content.dirs[end].part.len();
            content.dirs[end].part.clear(&mut self.shared.pool);
            if kept > 0 {
                self.read(content, end, prefix.get(..kept).unwrap_or(&[]), false, true);
            }
            if closed_before[end] {
                // The bytes behind them were not kept.
                self.lose(content, end);
            }
        }
        self.read(content, d, bytes, begins, false);
    }

    /// Reads messages in these bytes. `begins`: they are the first bytes of a segment. `late`: they
    /// came with earlier packets.
    fn read(&mut self, content: &mut Content, d: usize, bytes: &[u8], begins: bool, late: bool) {
        let Content { dirs, methods, torn, app, .. } = content;
        if matches!(dirs[d].reader, Reader::Lost) {
            if !begins || !detect::begins_message(*app, bytes) {
                if begins && *app == App::Tls && tls::is_record(bytes) {
                    dirs[d].reader = Reader::Over;
                }
                return;
            }
            dirs[d].reader = self.shared.reader(*app);
        }
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
            Reader::Quic(_) if self.segment.continues => ParserState::Continue,
            Reader::Quic(reader) => reader.take(&mut dir.part, bytes, self.segment.from_client, &mut out),
            Reader::Waiting | Reader::Lost | Reader::Over => ParserState::Continue,
        };
        let over = match going {
            ParserState::Continue => return,
            ParserState::Done => d..d + 1,
            ParserState::Tunnel => 0..2,
        };
        // Behind missing bytes, the reader may have taken the wrong bytes for a head.
        let lost = *torn && *app == App::Http;
        for dir in dirs.iter_mut().take(over.end).skip(over.start) {
            dir.reader = if lost { Reader::Lost } else { Reader::Over };
            dir.part.clear(pool);
        }
    }
}
