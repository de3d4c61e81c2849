//! The table of flows, one packet after the other. The invariants: a flow that lives is in the index and in the list of its
//! class, a place without one is in neither and on the list of free places; every flow that was created is active, or
//! was counted as ended, expired or evicted; the work for one packet is bounded, and what becomes of it does not
//! depend on how packets are cut into batches. (Rejected: a sweep per batch, whose results would.)

use super::batch::{Batch, NOWHERE, Prepared};
use super::entry::{Entry, flag};
use super::fragments::{self, First, Fragments};
use super::index::Index;
use super::key::{Kind, Seeds, Way};
use super::tcp::{self, Place, Tcp};
use super::view::{Times, by_volume, fill, payload};
use super::wheel::{Class, Wheel};
use super::{FlowId, Limits, Segment, Timeouts};
use mrule_compiler::abi::{FlowView, Head, Packet, Stack};
use mrule_compiler::fields::App;

/// How many packets share a clock reading and a sweep.
const TURN: u32 = 16;
/// How many places a sweep looks at.
const SWEPT: usize = 8;
/// How many flows that are younger than their bucket an eviction passes by.
const MEETINGS: usize = 64;

/// What became of packets and flows. `created = active + ended + expired + evicted_young + evicted_established`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCounts {
    /// Packets looked at.
    pub packets: u64,
    /// Of these, those without a sound IP header.
    pub foreign: u64,
    /// Flows that live; some of them may be over and not yet found to be.
    pub active: u64,
    /// Flows that began.
    pub created: u64,
    /// Flows that ended because a SYN began another one with the same key.
    pub ended: u64,
    /// Flows that were idle for too long.
    pub expired: u64,
    /// Flows of which only one end had spoken that made room for others.
    pub evicted_young: u64,
    /// Other flows that made room.
    pub evicted_established: u64,
    /// Fragments, not the first of their datagram, whose flow is known.
    pub fragments: u64,
    /// Those whose first fragment was not seen, or not remembered.
    pub orphan_fragments: u64,
    /// Datagrams that were forgotten before their time to make room.
    pub forgotten_fragments: u64,
}

/// Flows, by their packets.
#[derive(Debug, Clone)]
pub struct FlowTable {
    flows: Vec<Entry>,
    capacity: usize,
    index: Index,
    wheel: Wheel,
    fragments: Fragments,
    batch: Batch,
    seeds: Seeds,
    timeouts: Timeouts,
    /// The least of the timeouts.
    least: i64,
    counts: FlowCounts,
    /// Free places, linked by `next`: those whose end was told, and those whose end was not yet.
    told: u32,
    untold: u32,
    turn: u32,
    /// The least time of the packets of this turn, and of the turn before.
    low: [i64; 2],
    /// Where the next sweep begins.
    cursor: usize,
}

impl FlowTable {
    /// An empty table. It takes all its address space now, and memory as it fills.
    pub fn new(limits: &Limits) -> FlowTable {
        let capacity = limits.flows.clamp(1, Limits::MAX_FLOWS);
        let t = &limits.timeouts;
        let tcp = [t.tcp_opening, t.tcp_established, t.tcp_closing, t.tcp_closed];
        let least = tcp.into_iter().chain([t.udp, t.udp_established, t.icmp, t.other]).min();
        FlowTable {
            flows: Vec::with_capacity(capacity),
            capacity,
            index: Index::new(capacity),
            wheel: Wheel::new(capacity),
            fragments: Fragments::new(limits.fragments),
            batch: Batch::new(256),
            seeds: Seeds::random(),
            timeouts: *t,
            least: least.unwrap_or(0),
            counts: FlowCounts::default(),
            told: NOWHERE,
            untold: NOWHERE,
            turn: 0,
            low: [i64::MAX; 2],
            cursor: 0,
        }
    }

    /// Looks at a batch before its packets are observed, so that what they need comes from memory side by side. It
    /// changes nothing; room for the largest batch is kept.
    pub fn prepare(&mut self, packets: &[Packet], heads: &[Head]) {
        self.batch.prepare(packets, heads, &self.seeds, &self.index, &self.flows);
    }

    /// Updates the flow of packet `i` of the batch that was prepared, the packets in their order: sets the flow's bits in
    /// `head`, fills the view. Nothing for a packet without an IP header, and for a fragment whose datagram is not known.
    pub fn observe<'p>(
        &mut self,
        i: usize,
        packet: &Packet<'p>,
        head: &mut Head,
        view: &mut FlowView,
    ) -> Option<Segment<'p>> {
        self.tick(packet.time);
        self.counts.packets += 1;
        let stack = &mut head.outer;
        let mut prepared = self.batch.get(i, packet, stack, &self.seeds);
        let mut first = None;
        if !matches!(prepared.way.kind, Kind::Whole | Kind::First) {
            first = Some(self.datagram(packet, stack, &mut prepared)?);
        }
        let continues = first.is_some();
        let tcp = if first.is_none() { Tcp::read(packet, stack) } else { None };
        let (id, idle) = self.place(&prepared, tcp.as_ref(), packet.time);
        let is_new = idle.is_none();
        let from = prepared.way.from;
        let payload = payload(packet, stack);
        let flow = &mut self.flows[id as usize];
        flow.set_last(packet.time);
        flow.count(from, packet.len);
        let was_settled = flow.has(flag::SETTLED);
        let place = match tcp {
            Some(tcp) => tcp.update(flow, from, payload.wire),
            None if flow.proto() != tcp::PROTO => by_volume(flow, from, payload.wire),
            None => match first {
                Some((First { seq: Some(seq), .. }, at)) => {
                    tcp::continuation(flow, from, seq.wrapping_add(at), payload.wire)
                }
                _ => Place::UNKNOWN,
            },
        };
        let age = packet.time.saturating_sub(flow.first).max(0);
        let times = Times { is_new, age, idle: idle.unwrap_or(0).max(0) };
        stack.bits |= fill(view, flow, from, place, times);
        let segment = Segment {
            flow: FlowId(id),
            is_new,
            from_client: from == flow.client(),
            proto: flow.proto(),
            start: place.start,
            payload: if place.length > 0 { payload.captured } else { &[] },
            length: place.length,
            midstream: view.midstream != 0,
            continues,
        };
        if flow.has(flag::SETTLED) != was_settled {
            self.wheel.unlink(&mut self.flows, id);
            self.wheel.link(&mut self.flows, id, Class::Settled);
        }
        if prepared.way.kind == Kind::First {
            self.remember(packet, stack, &prepared.way, tcp);
        }
        Some(segment)
    }

    /// The place of a packet's flow, and for how long the flow was idle; no time if it begins with this packet.
    #[inline(always)]
    fn place(&mut self, prepared: &Prepared, tcp: Option<&Tcp>, time: i64) -> (u32, Option<i64>) {
        let key = &prepared.way.key;
        let is = |id: u32| self.flows.get(id as usize).is_some_and(|flow| flow.is(key));
        let found =
            if is(prepared.guess) { Some(prepared.guess) } else { self.index.find(prepared.hash, is) };
        let Some(id) = found else { return (self.create(prepared, time), None) };
        let flow = &self.flows[id as usize];
        let idle = time.saturating_sub(flow.last());
        let is_over = idle > self.least && idle > timeout(&self.timeouts, flow);
        if !is_over && !tcp.is_some_and(|tcp| tcp.is_another(flow, prepared.way.from)) {
            return (id, Some(idle));
        }
        *(if is_over { &mut self.counts.expired } else { &mut self.counts.ended }) += 1;
        self.wheel.unlink(&mut self.flows, id);
        self.begin(id, prepared, time);
        (id, None)
    }

    /// A place for a new flow: a free one, one never used, or that of the idlest flow.
    #[inline(never)]
    fn create(&mut self, prepared: &Prepared, time: i64) -> u32 {
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
        self.index.insert(prepared.hash, id);
        self.begin(id, prepared, time);
        self.counts.active += 1;
        id
    }

    /// The free place after this one.
    fn after(&self, id: u32) -> u32 {
        let next = self.flows[id as usize].next();
        if next == END { NOWHERE } else { next }
    }

    /// Begins a flow in a place that is in no list.
    fn begin(&mut self, id: u32, prepared: &Prepared, time: i64) {
        let mut flow = Entry::new(&prepared.way.key, prepared.way.from, time);
        flow.set_last(time);
        self.flows[id as usize] = flow;
        self.wheel.link(&mut self.flows, id, Class::Young);
        self.counts.created += 1;
    }

    /// Frees the place of the idlest flow.
    fn evict(&mut self) -> u32 {
        let young = self.wheel.idlest(&mut self.flows, Class::Young, MEETINGS);
        let id = match young {
            Some(id) => id,
            None => self.wheel.idlest(&mut self.flows, Class::Settled, MEETINGS).unwrap_or(0),
        };
        let over = self.is_over(id, self.low[1]);
        let count = match young {
            _ if over => &mut self.counts.expired,
            Some(_) => &mut self.counts.evicted_young,
            None => &mut self.counts.evicted_established,
        };
        *count += 1;
        self.remove(id);
        id
    }

    fn is_over(&self, id: u32, time: i64) -> bool {
        let flow = &self.flows[id as usize];
        let idle = time.saturating_sub(flow.last());
        idle > self.least && idle > timeout(&self.timeouts, flow)
    }

    /// Takes a flow out of the index and its list.
    fn remove(&mut self, id: u32) {
        let hash = |id: u32| self.seeds.hash(self.flows[id as usize].key().words());
        self.index.remove(hash(id), id, hash);
        self.wheel.unlink(&mut self.flows, id);
        self.flows[id as usize] = Entry::default();
        self.counts.active -= 1;
    }

    /// The clock: the least time of the last two turns, so that no single packet can set it forward.
    #[inline(always)]
    fn tick(&mut self, time: i64) {
        self.low[0] = self.low[0].min(time);
        if self.turn.is_multiple_of(TURN) {
            self.turned(time);
        }
        self.turn = self.turn.wrapping_add(1);
    }

    #[inline(never)]
    fn turned(&mut self, time: i64) {
        if self.counts.packets == 0 {
            self.wheel.start(time);
        }
        let [low, before] = self.low;
        self.low = [i64::MAX, low];
        let clock = low.min(before);
        self.wheel.tick(&mut self.flows, clock);
        for _ in 0..SWEPT.min(self.flows.len()) {
            self.cursor = if self.cursor + 1 < self.flows.len() { self.cursor + 1 } else { 0 };
            let id = self.cursor as u32;
            if self.flows[self.cursor].has(flag::ALIVE) && self.is_over(id, clock) {
                self.counts.expired += 1;
                self.remove(id);
                self.flows[self.cursor].set_next(if self.untold == NOWHERE { END } else { self.untold });
                self.untold = id;
            }
        }
    }

    /// What the first fragment of a packet's datagram said, and where in the datagram the packet's bytes are. Nothing
    /// for what has no flow.
    #[cold]
    fn datagram(&mut self, packet: &Packet, stack: &Stack, prepared: &mut Prepared) -> Option<(First, u32)> {
        if prepared.way.kind == Kind::Foreign {
            self.counts.foreign += 1;
            return None;
        }
        let first = fragments::read(packet, stack).and_then(|fragment| {
            let first = self.fragments.find(&fragment.datagram, packet.time, &self.seeds)?;
            Some((first, fragment.offset))
        });
        let Some((first, offset)) = first else {
            self.counts.orphan_fragments += 1;
            return None;
        };
        self.counts.fragments += 1;
        prepared.way = first.way(&prepared.way);
        prepared.hash = self.seeds.hash(prepared.way.key.words());
        Some((first, offset))
    }

    /// Remembers a first fragment.
    #[cold]
    fn remember(&mut self, packet: &Packet, stack: &Stack, way: &Way, tcp: Option<Tcp>) {
        if let Some(fragment) = fragments::read(packet, stack) {
            let headers = stack.headers_end.saturating_sub(fragment.start);
            let seq = tcp.and_then(|tcp| tcp.stream()).map(|seq| seq.wrapping_sub(headers));
            let first = First { key: way.key, from: way.from, seq };
            self.fragments.remember(fragment.datagram, first, packet.time, &self.seeds);
        }
    }

    /// Makes triggers active for a flow, one bit each, until it ends.
    pub fn raise(&mut self, flow: FlowId, triggers: u64) {
        if let Some(flow) = self.alive(flow) {
            flow.active |= triggers;
        }
    }

    /// Says which application a flow is.
    pub fn set_app(&mut self, flow: FlowId, app: App) {
        if let Some(flow) = self.alive(flow) {
            flow.set_app(app);
        }
    }

    /// Which application a flow is.
    pub fn app(&self, flow: FlowId) -> App {
        let number = self.flows.get(flow.index()).map_or(0, Entry::app);
        App::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    fn alive(&mut self, flow: FlowId) -> Option<&mut Entry> {
        self.flows.get_mut(flow.index()).filter(|flow| flow.has(flag::ALIVE))
    }

    /// The places of flows that ended since this was last asked and that no other flow has taken: what is known of them
    /// may be forgotten. A place that was taken is not told; [`Segment::is_new`] has said it.
    pub fn drain_ended(&mut self, mut f: impl FnMut(FlowId)) {
        while self.untold != NOWHERE {
            let id = self.untold;
            self.untold = self.after(id);
            f(FlowId(id));
            self.flows[id as usize].set_next(if self.told == NOWHERE { END } else { self.told });
            self.told = id;
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> FlowCounts {
        FlowCounts { forgotten_fragments: self.fragments.forgotten, ..self.counts }
    }

    /// The memory that the table can come to take, in bytes.
    pub fn memory(&self) -> usize {
        let flows = self.flows.capacity() * size_of::<Entry>();
        flows + self.batch.memory() + self.index.memory() + self.wheel.memory() + self.fragments.memory()
    }
}

/// The end of the list of free places, in 24 bits.
const END: u32 = (1 << 24) - 1;
const _: () = assert!(Limits::MAX_FLOWS + 2 * 4096 <= END as usize);

/// When a flow is over.
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
