//! The table of flows, which handles one packet after the other. Invariants: a live flow is in the
//! index and in the list of its class; a place without a flow is in neither, but on the list of
//! free places. Every created flow is active, or was counted as ended, expired or evicted. The work
//! for one packet is bounded, and its outcome does not depend on how packets are cut into batches.
//! (Rejected: a sweep per batch, whose results would depend on that.)

use super::batch;
use super::counts::FlowCounts;
use super::entry::{Entry, flag};
use super::fragments::{self, First, Fragments};
use super::idle_buckets::{Class, IdleBuckets};
use super::index::Index;
use super::key::{Kind, NOWHERE, PacketKey, Seeds};
use super::tcp::{self, Control, StreamPosition, Tcp};
use super::view::{Times, Wanted, by_volume, captured, fill, payload_length};
use super::{FlowId, Limits, Observed, Segment, Timeouts};
use crate::memory::{NoMemory, list};
use mrule_compiler::abi::{FlowView, Head, Packet, Stack, bit};

mod query;
mod restart;

pub use query::{FlowAbout, Slice};
use restart::{Belongs, Candidates};

/// Number of packets that share a clock reading and a sweep.
const TURN: u64 = 16;
/// Number of places that a sweep looks at.
const SWEPT: usize = 4;
/// Number of flows younger than their bucket that an eviction passes by.
const MEETINGS: usize = 64;

/// The flow that a packet belongs to.
#[derive(Debug, Clone, Copy)]
struct Placed {
    id: u32,
    from: usize,
    is_new: bool,
    tcp: Option<Tcp>,
    /// TCP, a fragment other than the first: the sequence number of its first byte.
    first: Option<u32>,
    /// A SYN that is no part of the flow's streams.
    aside: bool,
}

/// Flows, by their packets.
#[derive(Debug, Clone)]
pub struct FlowTable {
    flows: Vec<Entry>,
    capacity: usize,
    index: Index,
    idle_buckets: IdleBuckets,
    fragments: Fragments,
    candidates: Candidates,
    packet_keys: Vec<PacketKey>,
    seeds: Seeds,
    timeouts: Timeouts,
    /// The shortest of the timeouts.
    least: i64,
    counts: FlowCounts,
    /// Heads of the lists of free places, linked by `next`: places whose end was reported, and
    /// places whose end was not reported yet.
    told: u32,
    untold: u32,
    /// The smallest packet time of this turn, and of the turn before.
    low: [i64; 2],
    /// Where the next sweep begins.
    cursor: usize,
    wanted: Wanted,
}

impl FlowTable {
    /// An empty table. It reserves all its address space now, and takes memory as it fills. Where
    /// there is no memory, it aborts the process, as other allocations do;
    /// `try_new` returns an error.
    pub fn new(limits: &Limits) -> FlowTable {
        FlowTable::try_new(limits).unwrap_or_else(|none| none.abort())
    }

    /// Like [`new`](Self::new), but returns an error where there is no memory.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn try_new(limits: &Limits) -> Result<FlowTable, NoMemory> {
        let capacity = limits.flows.clamp(1, Limits::MAX_FLOWS);
        let t = &limits.timeouts;
        let tcp = [t.tcp_opening, t.tcp_established, t.tcp_closing, t.tcp_closed];
        let least = tcp.into_iter().chain([t.udp, t.udp_established, t.icmp, t.other]).min();
        Ok(FlowTable {
            flows: list(capacity)?,
            capacity,
            index: Index::new(capacity)?,
            idle_buckets: IdleBuckets::new(capacity)?,
            fragments: Fragments::new(limits.fragments)?,
            candidates: Candidates::new()?,
            packet_keys: list(256)?,
            seeds: Seeds::random(),
            timeouts: *t,
            least: least.unwrap_or(0),
            counts: FlowCounts::default(),
            told: NOWHERE,
            untold: NOWHERE,
            low: [i64::MAX; 2],
            cursor: 0,
            wanted: Wanted { numbers: true, ids: None },
        })
    }

    /// Memory of a full table with these limits, in bytes.
    pub(crate) fn memory_of(limits: &Limits) -> u64 {
        let flows = limits.flows.clamp(1, Limits::MAX_FLOWS) as u64;
        let fragments = Fragments::memory_of(limits.fragments) + Candidates::MEMORY;
        flows * (size_of::<Entry>() + 2 * size_of::<u32>()) as u64 + IdleBuckets::MEMORY as u64 + fragments
    }

    /// Chooses which optional members views have, for the program that reads them. `numbers`: a
    /// flow's counts and times. `ids`: a number that tells a flow from others; `repeatable` makes
    /// it the same for the same packets; otherwise an outsider cannot know it. A running table
    /// keeps the seeds of its ids.
    pub fn tell(&mut self, numbers: bool, ids: bool, repeatable: bool) {
        self.wanted.numbers = numbers;
        if ids && self.wanted.ids.is_none() {
            self.wanted.ids = Some(if repeatable { Seeds::KNOWN } else { Seeds::random() });
        }
    }

    /// Makes views have the same optional members as those of `other`, whose place this table
    /// takes.
    pub(crate) fn tell_as(&mut self, other: &FlowTable) {
        self.wanted.numbers = other.wanted.numbers;
        self.wanted.ids = self.wanted.ids.or(other.wanted.ids);
    }

    /// Prefetches what the packets of a batch need before they are observed. It changes no flow.
    /// The buffer for the largest batch is kept.
    pub fn prepare(&mut self, packets: &[Packet], heads: &[Head]) {
        batch::prepare(&mut self.packet_keys, packets, heads, &self.seeds, &self.index, &self.flows);
    }

    /// Updates the flow of packet `i` of the prepared batch, sets the flow's bits in `head` and
    /// fills the view. Call it for the packets in their order. Returns `None` for a packet without
    /// an IP header, and for a fragment whose datagram is not known.
    #[inline(always)]
    pub fn observe(
        &mut self,
        i: usize,
        packet: &Packet,
        head: &mut Head,
        view: &mut FlowView,
    ) -> Option<Observed> {
        self.tick(packet.time);
        let stack = &mut head.outer;
        match self.follow(i, packet, stack, view) {
            Some(observed) => Some(observed),
            None => self.observe_any(i, packet, stack, view),
        }
    }

    /// A packet's part of its stream, after the packet was observed.
    pub fn segment<'p>(
        &self,
        observed: &Observed,
        packet: &Packet<'p>,
        head: &Head,
        view: &FlowView,
    ) -> Segment<'p> {
        let Observed { flow, length, start } = *observed;
        let stack = &head.outer;
        let entry = self.flows.get(flow.index());
        let from_client = stack.bits & bit::FROM_CLIENT != 0;
        let end = entry.map_or(0, |entry| entry.client() ^ usize::from(!from_client));
        let tcp = entry.filter(|entry| entry.proto() == tcp::PROTO && stack.bits & bit::STREAM != 0);
        let tcp = tcp.and_then(|entry| Some(Tcp::read(packet, stack)?.control(entry, end)));
        let Control { ack, fin, rst } = tcp.unwrap_or_default();
        Segment {
            flow,
            is_new: view.is_new != 0,
            from_client,
            end,
            proto: entry.map_or(0, Entry::proto),
            start,
            payload: if length > 0 { captured(packet, stack) } else { &[] },
            length,
            midstream: view.midstream != 0,
            client_known: view.client_known != 0,
            continues: stack.bits & bit::FRAGMENT != 0,
            time: packet.time,
            ack,
            fin,
            rst,
        }
    }

    /// The fast path for most packets: a whole packet in mid-stream of an established flow, whose
    /// guessed place is right.
    #[inline(always)]
    fn follow(
        &mut self,
        i: usize,
        packet: &Packet,
        stack: &mut Stack,
        view: &mut FlowView,
    ) -> Option<Observed> {
        let packet_key = self.packet_keys.get(i)?;
        let flow = self.flows.get_mut(packet_key.guess as usize)?;
        let from = packet_key.from();
        if packet_key.kind != Kind::Whole || !flow.is(&packet_key.key) || !flow.has(flag::ESTABLISHED) {
            return None;
        }
        let after = flow.after(packet.time);
        let idle = after - flow.last_after();
        if idle > self.least {
            return None;
        }
        let tcp = Tcp::read(packet, stack);
        if !tcp.map_or(flow.proto() != tcp::PROTO, |tcp| tcp.is_plain(flow, from)) {
            return None;
        }
        flow.touch(after);
        flow.count(from, packet.len);
        let length = payload_length(packet, stack);
        let place = match tcp {
            Some(tcp) => tcp.follow(flow, from, length),
            None => by_volume(flow, from, length),
        };
        let times = Times { is_new: false, age: after.max(0), idle: idle.max(0) };
        stack.bits |= fill(view, flow, from, place, times, &self.wanted);
        Some(Observed { flow: FlowId(packet_key.guess), length: place.length, start: place.start })
    }

    /// The path for any packet.
    #[inline(never)]
    fn observe_any(
        &mut self,
        i: usize,
        packet: &Packet,
        stack: &mut Stack,
        view: &mut FlowView,
    ) -> Option<Observed> {
        let Placed { id, from, is_new, tcp, first, aside } = self.search(i, packet, stack)?;
        let flow = &mut self.flows[id as usize];
        let after = flow.after(packet.time);
        let times = Times { is_new, age: after.max(0), idle: (after - flow.last_after()).max(0) };
        flow.touch(after);
        flow.count(from, packet.len);
        let was_settled = flow.has(flag::SETTLED);
        let length = payload_length(packet, stack);
        let place = match (tcp, first) {
            _ if aside => StreamPosition::UNKNOWN,
            (Some(tcp), _) => tcp.update(flow, from, length),
            _ if flow.proto() != tcp::PROTO => by_volume(flow, from, length),
            (_, Some(seq)) => tcp::continuation(flow, from, seq, length),
            _ => StreamPosition::UNKNOWN,
        };
        stack.bits |= fill(view, flow, from, place, times, &self.wanted);
        if flow.has(flag::SETTLED) != was_settled {
            self.idle_buckets.unlink(&mut self.flows, id);
            self.idle_buckets.link(&mut self.flows, id, Class::Settled);
        }
        Some(Observed { flow: FlowId(id), length: place.length, start: place.start })
    }

    /// The place of any packet's flow.
    #[inline(never)]
    fn search(&mut self, i: usize, packet: &Packet, stack: &Stack) -> Option<Placed> {
        let mut packet_key = match self.packet_keys.get(i) {
            Some(packet_key) => *packet_key,
            None => PacketKey::read(packet, stack, &self.seeds),
        };
        let (mut tcp, mut first) = (None, None);
        match packet_key.kind {
            Kind::Foreign => {
                self.counts.non_ip += 1;
                return None;
            }
            Kind::Later => (packet_key, first) = self.datagram(packet, stack)?,
            Kind::Whole | Kind::First => tcp = Tcp::read(packet, stack),
        }
        if packet_key.kind == Kind::First {
            self.remember(packet, stack, &packet_key, tcp);
        }
        let from = packet_key.from();
        let found = self.index.find(packet_key.hash, |id| self.flows[id as usize].is(&packet_key.key));
        let Some(id) = found else {
            let id = self.create(&packet_key, packet.time);
            return Some(Placed { id, from, is_new: true, tcp, first, aside: false });
        };
        let flow = &self.flows[id as usize];
        let over = self.is_over(flow, packet.time);
        let belongs = match &tcp {
            _ if over => Belongs::Anew(None),
            Some(tcp) => self.belongs(id, from, tcp, packet, stack),
            None => Belongs::Here,
        };
        if let Belongs::Anew(candidate) = belongs {
            *(if over { &mut self.counts.expired } else { &mut self.counts.ended }) += 1;
            self.idle_buckets.unlink(&mut self.flows, id);
            self.begin(id, &packet_key, packet.time);
            if let Some(candidate) = candidate {
                candidate.open(&mut self.flows[id as usize]);
            }
        }
        let is_new = matches!(belongs, Belongs::Anew(_));
        Some(Placed { id, from, is_new, tcp, first, aside: belongs == Belongs::Aside })
    }

    /// A place for a new flow: a free place, a place never used, or the place of the longest idle
    /// flow.
    #[inline(never)]
    fn create(&mut self, packet_key: &PacketKey, time: i64) -> u32 {
        let id = if self.told != NOWHERE {
            let id = self.told;
            self.told = self.after(id);
            id
        } else if self.untold != NOWHERE {
            let id = self.untold;
            self.untold = self.after(id);
            id
        } else if self.flows.len() < self.capacity {
            self.flows.push(Entry::default());
            (self.flows.len() - 1) as u32
        } else {
            self.evict()
        };
        self.index.insert(packet_key.hash, id);
        self.begin(id, packet_key, time);
        self.counts.active += 1;
        id
    }

    /// The free place after this place.
    fn after(&self, id: u32) -> u32 {
        let next = self.flows[id as usize].next();
        if next == END { NOWHERE } else { next }
    }

    /// Begins a flow in a place that is in no list.
    fn begin(&mut self, id: u32, packet_key: &PacketKey, time: i64) {
        self.flows[id as usize] = Entry::new(&packet_key.key, packet_key.from(), time);
        self.idle_buckets.link(&mut self.flows, id, Class::Young);
        self.counts.created += 1;
    }

    /// Frees the place of the longest idle flow.
    fn evict(&mut self) -> u32 {
        let young = self.idle_buckets.idlest(&mut self.flows, Class::Young, MEETINGS);
        let id = match young {
            Some(id) => id,
            None => self.idle_buckets.idlest(&mut self.flows, Class::Settled, MEETINGS).unwrap_or(0),
        };
        let over = self.is_over(&self.flows[id as usize], self.low[1]);
        let count = match young {
            _ if over => &mut self.counts.expired,
            Some(_) => &mut self.counts.evicted_young,
            None => &mut self.counts.evicted_established,
        };
        *count += 1;
        self.remove(id);
        id
    }

    fn is_over(&self, flow: &Entry, time: i64) -> bool {
        let idle = flow.after(time) - flow.last_after();
        idle > self.least && idle > timeout(&self.timeouts, flow)
    }

    /// Takes a flow out of the index and its list.
    fn remove(&mut self, id: u32) {
        let hash = |id: u32| self.seeds.key(&self.flows[id as usize].key());
        self.index.remove(hash(id), id, hash);
        self.idle_buckets.unlink(&mut self.flows, id);
        self.flows[id as usize] = Entry::default();
        self.counts.active -= 1;
    }

    /// Advances the clock: the smallest packet time of the last two turns, so that no single packet
    /// can set it forward.
    #[inline(always)]
    fn tick(&mut self, time: i64) {
        self.low[0] = self.low[0].min(time);
        if self.counts.packets.is_multiple_of(TURN) {
            self.turned(time);
        }
        self.counts.packets += 1;
    }

    #[inline(never)]
    fn turned(&mut self, time: i64) {
        if self.counts.packets == 0 {
            self.idle_buckets.start(time);
        }
        let [low, before] = self.low;
        self.low = [i64::MAX, low];
        let clock = low.min(before);
        self.idle_buckets.tick(&mut self.flows, clock);
        for _ in 0..SWEPT.min(self.flows.len()) {
            self.cursor = if self.cursor + 1 < self.flows.len() { self.cursor + 1 } else { 0 };
            let id = self.cursor as u32;
            let flow = &self.flows[self.cursor];
            if flow.has(flag::ALIVE) && self.is_over(flow, clock) {
                self.counts.expired += 1;
                self.remove(id);
                self.flows[self.cursor].set_next(if self.untold == NOWHERE { END } else { self.untold });
                self.untold = id;
            }
        }
    }

    /// The key of a fragment other than the first, and the sequence number of its first byte.
    /// Returns `None` where the first fragment is not known.
    #[cold]
    fn datagram(&mut self, packet: &Packet, stack: &Stack) -> Option<(PacketKey, Option<u32>)> {
        let found = fragments::read(packet, stack).and_then(|fragment| {
            let first = self.fragments.find(&fragment.datagram, packet.time, &self.seeds)?;
            let seq = first.seq.map(|seq| seq.wrapping_add(fragment.offset));
            Some((PacketKey::later(first.key, first.from, &self.seeds), seq))
        });
        *(if found.is_some() { &mut self.counts.fragments } else { &mut self.counts.orphan_fragments }) += 1;
        found
    }

    /// Remembers a first fragment.
    #[cold]
    fn remember(&mut self, packet: &Packet, stack: &Stack, packet_key: &PacketKey, tcp: Option<Tcp>) {
        if let Some(fragment) = fragments::read(packet, stack) {
            let headers = stack.headers_end.saturating_sub(fragment.start);
            let seq = tcp.and_then(|tcp| tcp.stream()).map(|seq| seq.wrapping_sub(headers));
            let first = First { key: packet_key.key, from: packet_key.from(), seq };
            self.fragments.remember(fragment.datagram, first, packet.time, &self.seeds);
        }
    }

    fn alive(&mut self, flow: FlowId) -> Option<&mut Entry> {
        self.flows.get_mut(flow.index()).filter(|flow| flow.has(flag::ALIVE))
    }

    /// Calls `f` for the places of flows that ended since the last call and that no other flow has
    /// taken. The caller may forget what it knows about these flows. A place that another flow has
    /// taken is not reported: [`Segment::is_new`] has said so.
    pub fn drain_ended(&mut self, mut f: impl FnMut(FlowId)) {
        while self.untold != NOWHERE {
            let id = self.untold;
            self.untold = self.after(id);
            f(FlowId(id));
            self.flows[id as usize].set_next(if self.told == NOWHERE { END } else { self.told });
            self.told = id;
        }
    }

    /// The counters so far.
    pub fn counts(&self) -> FlowCounts {
        FlowCounts { forgotten_fragments: self.fragments.forgotten, ..self.counts }
    }

    /// The most memory that the table can take, in bytes.
    pub fn memory(&self) -> usize {
        let flows = self.flows.capacity() * size_of::<Entry>();
        let keys = self.packet_keys.capacity() * size_of::<PacketKey>();
        let candidates = Candidates::MEMORY as usize;
        flows + keys + candidates + self.index.memory() + self.idle_buckets.memory() + self.fragments.memory()
    }
}

/// The end of the list of free places, in 24 bits.
const END: u32 = (1 << 24) - 1;
const _: () = assert!(Limits::MAX_FLOWS + 2 * 4096 <= END as usize);

/// After how many idle nanoseconds a flow is over.
#[inline(never)]
fn timeout(timeouts: &Timeouts, flow: &Entry) -> i64 {
    const DATA: u64 = flag::DATA | flag::of(flag::DATA, 1);
    const FIN: u64 = flag::FIN | flag::of(flag::FIN, 1);
    match flow.proto() {
        tcp::PROTO if tcp::closed(flow) => timeouts.tcp_closed,
        tcp::PROTO if flow.any(FIN) => timeouts.tcp_closing,
        tcp::PROTO if flow.any(DATA | flag::SETTLED) => timeouts.tcp_established,
        tcp::PROTO => timeouts.tcp_opening,
        17 if flow.has(flag::ESTABLISHED) => timeouts.udp_established,
        17 => timeouts.udp,
        1 | 58 => timeouts.icmp,
        _ => timeouts.other,
    }
}
