//! Compares the table with a model that keeps everything. For each packet, the model goes through
//! the whole history of the packet's flow with absolute offsets. It unwraps nothing, packs nothing,
//! forgets nothing, and shares no code with the table.

use crate::flow::frames::*;
use crate::flow::traffic::{Pair, Random, Sent};
use mrule_compiler::abi::{FlowView, Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_engine::flow::{FlowTable, Limits};
use std::collections::HashMap;

/// The result of a history.
#[derive(Debug, Clone, Default)]
struct ModelResult {
    client: usize,
    opened: bool,
    established: bool,
    settled: bool,
    reset: bool,
    /// For each direction: the absolute offset that is 0, whether its SYN was seen, its FIN,
    /// whether it sent data, the length.
    base: [Option<i128>; 2],
    isn: [Option<u32>; 2],
    fin: [bool; 2],
    data: [bool; 2],
    len: [i128; 2],
    packets: [u64; 2],
    bytes: [u64; 2],
    /// For the last packet: its start and its length in the stream.
    place: Option<(i128, u32)>,
    candidate: Option<Candidate>,
}

/// A SYN in an open flow: who sent it, its sequence number, what it acknowledges, the length of its
/// payload, and its time.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    from: usize,
    isn: u32,
    answers: Option<u32>,
    length: u32,
    time: i64,
}

impl ModelResult {
    fn of((opening, history): &History) -> ModelResult {
        let first = &history[0];
        let mut told = ModelResult { client: first.from, ..ModelResult::default() };
        if first.is_tcp {
            // The ports are 80 and 2000 or more.
            told.client = usize::from(first.pair % 4 >= 2);
        }
        if let Some(syn) = opening {
            (told.base[syn.from], told.isn[syn.from], told.opened) = (Some(0), Some(syn.isn), true);
            told.client = if syn.answers.is_some() { 1 - syn.from } else { syn.from };
        }
        history.iter().for_each(|sent| told.add(sent));
        told
    }

    fn add(&mut self, sent: &Sent) {
        let from = sent.from;
        self.packets[from] += 1;
        self.bytes[from] += sent.frame.len() as u64;
        if !sent.is_tcp {
            self.place = Some((self.len[from], sent.length));
            self.len[from] += i128::from(sent.length);
            self.established = self.packets[0] > 0 && self.packets[1] > 0;
            return;
        }
        let flags = sent.tcp.map_or(0, |h| h.flags);
        if let Some(header) = sent.tcp.filter(|_| self.is_another(sent)) {
            let answers = (flags & ACK != 0).then_some(header.ack as u32);
            self.candidate =
                Some(Candidate { from, isn: header.isn, answers, length: sent.length, time: sent.time });
            self.place = None;
            return;
        }
        if flags & RST != 0 {
            self.reset = true;
            self.place = Some((self.base[from].map_or(0, |base| sent.at - base), 0));
            return;
        }
        if flags & SYN != 0 {
            self.isn[from] = sent.tcp.map(|h| h.isn);
            if !self.opened {
                self.client = if flags & ACK != 0 { 1 - from } else { from };
            }
            self.opened = true;
            self.reset &= self.established;
        }
        if self.base[from].is_none() {
            if sent.tcp.is_none() {
                self.place = None;
                return;
            }
            self.base[from] = Some(sent.at);
        }
        // All that was seen was an empty keep-alive.
        let silent = self.isn[from].is_none() && !self.data[from] && !self.fin[from] && self.len[from] == 0;
        if silent && sent.tcp.is_some() && self.base[from] == Some(sent.at - 1) {
            self.base[from] = Some(sent.at);
        }
        let start = sent.at - self.base[from].unwrap();
        let end = start + i128::from(sent.length);
        let meant = sent.length > 0 || !self.fin[from];
        if meant && end > self.len[from] && start - self.len[from] <= 1 << 30 {
            self.len[from] = end;
            self.reset &= sent.length == 0;
        }
        self.data[from] |= sent.length > 0;
        self.fin[from] |= flags & FIN != 0;
        let server = 1 - self.client;
        let answered = from == self.client
            && flags & ACK != 0
            && self.isn[server].is_some_and(|isn| {
                // Within half of all numbers: an acknowledgment gives the amount, not the time
                // since which it holds.
                sent.tcp.is_some_and(|h| (h.ack as u32).wrapping_sub(isn.wrapping_add(1)) < 1 << 31)
            });
        self.established |= answered || self.data == [true; 2];
        self.settled |= self.established || !self.opened && self.base.iter().all(Option::is_some);
        self.place = Some((start, sent.length));
    }

    fn timeout(&self, is_tcp: bool) -> i64 {
        let seconds = match is_tcp {
            false if self.established => 180,
            false => 30,
            true if self.reset || self.fin == [true; 2] => 10,
            true if self.fin != [false; 2] => 120,
            true if self.settled || self.data != [false; 2] => 3600,
            true => 60,
        };
        seconds * SECOND
    }

    /// Whether the next packet begins another connection, and the SYN before it.
    fn is_left_by(&self, sent: &Sent) -> Option<Option<Candidate>> {
        let closed = self.reset || self.fin == [true; 2];
        let open = self.established || self.settled || self.data != [false; 2];
        if self.is_another(sent) && (closed || !open) {
            return Some(None);
        }
        let header = sent.tcp.filter(|h| h.flags & ACK != 0 && h.flags & RST == 0)?;
        let syn = self.candidate.filter(|syn| sent.time - syn.time <= 60 * SECOND)?;
        let is_syn = header.flags & SYN != 0;
        let behind = syn.isn.wrapping_add(1);
        let seq = header.isn.wrapping_add(u32::from(!is_syn)).wrapping_add(sent.at as u32);
        let confirmed = if sent.from == syn.from {
            self.packets[1 - syn.from] == 0 && !is_syn && seq == behind
        } else {
            (header.ack as u32).wrapping_sub(behind) <= syn.length
                && match syn.answers {
                    None => is_syn,
                    Some(next) => !is_syn && seq == next,
                }
        };
        confirmed.then_some(Some(syn))
    }

    /// Whether the next packet is a SYN of another connection.
    fn is_another(&self, sent: &Sent) -> bool {
        let Some(header) = sent.tcp.filter(|h| h.flags & SYN != 0 && h.flags & RST == 0) else {
            return false;
        };
        let (from, other) = (sent.from, 1 - sent.from);
        if let Some(isn) = self.isn[from] {
            return isn != header.isn;
        }
        if self.base[from].is_some() {
            // The traffic has no SYN behind data of the same end.
            return true;
        }
        let closed = self.reset || self.fin == [true; 2];
        header.flags & ACK == 0 && (closed || self.base[other].is_some() && self.isn[other].is_none())
    }
}

/// The SYN that was seen before the flow began, if there is one, and the flow's packets.
type History = (Option<Candidate>, Vec<Sent>);

#[derive(Default)]
struct Model {
    flows: HashMap<usize, History>,
    datagrams: HashMap<(usize, usize, u32), i64>,
    created: u64,
    ended: u64,
    expired: u64,
    orphans: u64,
}

impl Model {
    /// Whether no TCP could tell where a packet belongs, because it is half of all sequence numbers
    /// away from what was seen.
    fn is_ambiguous(&self, sent: &Sent) -> bool {
        let is_syn = sent.tcp.is_some_and(|h| h.flags & SYN != 0);
        let Some(history) = self.flows.get(&sent.pair).filter(|h| sent.is_tcp && !is_syn && !h.1.is_empty())
        else {
            return false;
        };
        let told = ModelResult::of(history);
        // The flow still has the streams of the connection before.
        let is_of_candidate = |isn| sent.tcp.is_some_and(|h| h.isn != isn) && told.is_left_by(sent).is_none();
        told.isn[sent.from].is_some_and(is_of_candidate)
            || told.base[sent.from]
                .is_some_and(|base| (sent.at - base - told.len[sent.from]).abs() >= 1 << 31)
    }

    fn see(&mut self, sent: &Sent) -> Option<Truth> {
        if let Some((id, first)) = sent.piece {
            let key = (sent.pair, sent.from, id);
            if first {
                self.datagrams.insert(key, sent.time);
            } else if self.datagrams.get(&key).is_none_or(|&time| sent.time - time > 30 * SECOND) {
                self.orphans += 1;
                return None;
            }
        }
        let flow = self.flows.entry(sent.pair).or_default();
        if let Some(last) = flow.1.last() {
            let told = ModelResult::of(flow);
            if sent.time - last.time > told.timeout(sent.is_tcp) {
                self.expired += 1;
                *flow = History::default();
            } else if let Some(opening) = told.is_left_by(sent) {
                self.ended += 1;
                *flow = (opening, Vec::new());
            }
        }
        let before = flow.1.last().map(|sent| sent.time);
        self.created += u64::from(before.is_none());
        flow.1.push(sent.clone());
        Some(view(flow, before))
    }
}

/// The bits, the view, the start and the length of a packet.
type Truth = (u64, FlowView, i128, u32);

fn view(flow: &History, before: Option<i64>) -> Truth {
    let told = ModelResult::of(flow);
    let history = &flow.1;
    let sent = &history[history.len() - 1];
    let (from, client) = (sent.from, told.client);
    let (start, length) = told.place.unwrap_or((0, 0));
    let mut bits = bit::FLOW | if from == client { bit::FROM_CLIENT } else { bit::FROM_SERVER };
    let mut view = FlowView {
        isn: told.isn[from].unwrap_or(0).into(),
        is_new: before.is_none().into(),
        client_known: told.opened.into(),
        established: told.established.into(),
        packets: told.packets.iter().sum(),
        bytes: told.bytes.iter().sum(),
        client_packets: told.packets[client],
        client_bytes: told.bytes[client],
        server_packets: told.packets[1 - client],
        server_bytes: told.bytes[1 - client],
        age: (sent.time - history[0].time) as u64,
        idle: before.map_or(0, |before| sent.time - before) as u64,
        ..FlowView::default()
    };
    if told.isn[from].is_some() {
        bits |= bit::ISN;
    }
    if told.place.is_some() {
        bits |= bit::STREAM;
        view.offset = start.max(0) as u64;
        view.end = (start + i128::from(length)).max(0) as u64;
        view.lead = (0..i128::from(length)).filter(|i| start + i < 0).count() as u64;
        view.len = told.len[from] as u64;
        view.midstream = (sent.is_tcp && told.isn[from].is_none()).into();
    }
    (bits, view, start, length)
}

#[derive(Debug, Default)]
struct Coverage {
    packets: usize,
    beyond_4_gib: usize,
    before_the_start: usize,
    pieces: usize,
    known_starts: usize,
}

fn compare(seed: u64, seen: &mut Coverage) {
    let mut random = Random(seed);
    let mut sent = Vec::new();
    for number in 0..10 {
        let mut pair = Pair::new(number, 1_700_000_000 * SECOND);
        if number % 5 == 4 {
            pair.udp(&mut random, 150);
        } else {
            for _ in 0..3 {
                let segments = random.below(90) as usize;
                pair.tcp(&mut random, segments);
            }
        }
        sent.extend(pair.sent);
    }
    sent.sort_by_key(|sent| sent.time);
    let mut model = Model::default();
    let mut truths = Vec::new();
    sent.retain(|sent| {
        let clear = !model.is_ambiguous(sent);
        if clear {
            truths.push(model.see(sent));
        }
        clear
    });
    let limits = Limits { flows: 64, fragments: 4096, ..Limits::default() };
    let mut table = FlowTable::new(&limits);
    let mut rest = sent.as_slice();
    let mut truths = truths.into_iter();
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(rest.len().min(1 + random.below(64) as usize));
        rest = behind;
        let packets: Vec<Packet> = batch
            .iter()
            .map(|s| Packet::new(&s.frame[..s.captured], s.frame.len() as u32, Link::Ethernet).at(s.time))
            .collect();
        let mut heads: Vec<_> = packets.iter().map(dissect).collect();
        table.prepare(&packets, &heads);
        for (i, sent) in batch.iter().enumerate() {
            let said = observed(&mut table, i, &packets[i], &mut heads[i]);
            let truth = truths.next().unwrap();
            assert_eq!(said.is_some(), truth.is_some(), "seed {seed}: {sent:?}");
            let (Some(said), Some((bits, view, start, length))) = (said, truth) else { continue };
            assert_eq!((said.bits, said.view), (bits, view), "seed {seed}: {sent:?}");
            assert_eq!((i128::from(said.start), said.length), (start, length), "seed {seed}: {sent:?}");
            assert_eq!(said.payload, if length == 0 { &[] } else { sent.payload.as_slice() });
            seen.packets += 1;
            seen.beyond_4_gib += usize::from(view.offset > 1 << 32);
            seen.before_the_start += usize::from(view.lead > 0);
            seen.pieces += usize::from(sent.piece.is_some());
            seen.known_starts += usize::from(sent.is_tcp && view.midstream == 0);
        }
    }
    let counts = adding_up(table.counts());
    let over = counts.active as usize - model.flows.len().min(counts.active as usize);
    assert_eq!(over, 0, "more flows than the model has");
    assert_eq!((counts.created, counts.ended), (model.created, model.ended));
    assert!(counts.expired >= model.expired, "{counts:?}");
    assert_eq!(counts.orphan_fragments, model.orphans);
    assert_eq!(counts.evicted_young + counts.evicted_established + counts.forgotten_fragments, 0);
}

#[test]
fn agrees_with_the_whole_history() {
    let mut seen = Coverage::default();
    for seed in 0..60 {
        compare(seed, &mut seen);
    }
    let Coverage { packets, beyond_4_gib, before_the_start, pieces, known_starts } = seen;
    assert!(packets > 50_000 && beyond_4_gib > 2000 && pieces > 5000, "{seen:?}");
    assert!(before_the_start > 200 && known_starts > 10_000, "{seen:?}");
}
