//! What the flow table costs: nanoseconds per packet beyond dissection, and bytes per flow.
//!
//! ```text
//! cargo bench -p mrule-engine --bench flow [-- ROUNDS]
//! ```
//!
//! Method. All frames lie in memory. They are TCP segments of 10 bytes, four of five over IPv4, the
//! others over IPv6, half of them from the server. Packets go through 64 at a time, as in a
//! decider. The bench dissects a batch, then times `prepare` and `observe` for its packets, so that
//! the frames are in the cache and the flows are not. A round is one pass over the trace; its
//! result is the median over the batches, which leaves out disturbances by other processes. A
//! figure is the median over the rounds, with the minimum and the maximum. Beside it stands the
//! mean over everything.

// - *cold*: 1,048,576 established flows, one packet of each in random order, in a table of that
//   many flows.
// - *hot*: 4096 established flows in such a table, 16,384 packets, sixteen times.
// - *first*: the packets of *cold*, into an empty table: each packet begins a flow.
// - *flood*: SYNs from always new sources, into a full table: each packet evicts a flow. The bench
//   also times the dissection of the same frames. Memory is the growth of the process's resident
//   set, divided by the number of flows.

use mrule_compiler::abi::{FlowView, Head, Link, Packet};
use mrule_compiler::dissect::dissect_into;
use mrule_engine::flow::{FlowTable, Limits};
use std::hint::black_box;
use std::time::{Duration, Instant};

const FLOWS: usize = 1 << 20;
const HOT: usize = 4096;
const BATCH: usize = 64;
const SIZE: usize = 84;
const ACK: u8 = 16;
const SYN: u8 = 2;

/// Contiguous frames, each of 64 or 84 bytes.
struct Trace {
    bytes: Vec<u8>,
    lengths: Vec<u8>,
}

impl Trace {
    fn new(flows: impl Iterator<Item = u32>, flags: u8, odd: bool) -> Trace {
        let mut trace = Trace { bytes: Vec::new(), lengths: Vec::new() };
        for flow in flows {
            let start = trace.bytes.len();
            segment(&mut trace.bytes, flow, flags, odd);
            trace.lengths.push((trace.bytes.len() - start) as u8);
            trace.bytes.resize(start + SIZE, 0);
        }
        trace
    }

    fn packet(&self, i: usize) -> Packet<'_> {
        let length = usize::from(self.lengths[i]);
        let frame = &self.bytes[i * SIZE..][..length];
        Packet::new(frame, length as u32, Link::Ethernet).at(1_700_000_000_000_000_000 + i as i64)
    }
}

/// A segment of a flow. The server sends the segments of even flows, or of odd flows.
fn segment(bytes: &mut Vec<u8>, flow: u32, flags: u8, odd: bool) {
    let mixed = flow.wrapping_mul(0x9e37_79b1);
    let [a, b, c, d] = mixed.to_be_bytes();
    let [client, server] = [[10, b, c, d], [192, 168, 0, a]];
    let ports = [1024 + (flow >> 9) as u16, 443];
    let back = flags == ACK && flow.is_multiple_of(2) != odd;
    let (hosts, ports) =
        if back { ([server, client], [ports[1], ports[0]]) } else { ([client, server], ports) };
    bytes.extend([2; 12]);
    if flow.is_multiple_of(5) {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 30, 6, 64]);
        for host in hosts {
            bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(host);
        }
    } else {
        bytes.extend([8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 6, 0, 0]);
        bytes.extend(hosts.concat());
    }
    bytes.extend(ports[0].to_be_bytes());
    bytes.extend(ports[1].to_be_bytes());
    bytes.extend(mixed.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    bytes.extend(*b"0123456789");
}

/// One pass: for each batch, the time in the table and the time of dissection.
fn pass(table: &mut FlowTable, trace: &Trace) -> [Vec<Duration>; 2] {
    let mut heads = vec![Head::default(); BATCH];
    let mut views = vec![FlowView::default(); BATCH];
    let mut times = [(); 2].map(|()| Vec::with_capacity(trace.lengths.len() / BATCH));
    let mut packets = Vec::with_capacity(BATCH);
    let count = trace.lengths.len();
    for start in (0..count).step_by(BATCH) {
        packets.clear();
        packets.extend((start..count.min(start + BATCH)).map(|i| trace.packet(i)));
        let begun = Instant::now();
        for (packet, head) in packets.iter().zip(&mut heads) {
            dissect_into(packet, head);
        }
        times[1].push(begun.elapsed());
        let begun = Instant::now();
        table.prepare(&packets, &heads);
        for (i, packet) in packets.iter().enumerate() {
            black_box(table.observe(i, packet, &mut heads[i], &mut views[i]));
        }
        times[0].push(begun.elapsed());
        black_box(&views);
    }
    times
}

fn report(name: &str, rounds: impl Iterator<Item = Vec<Duration>>) {
    let each = |d: Duration| d.as_nanos() as f64 / BATCH as f64;
    let (mut sum, mut batches) = (Duration::ZERO, 0);
    let mut medians: Vec<f64> = rounds
        .map(|mut times| {
            sum += times.iter().sum::<Duration>();
            batches += times.len() as u32;
            times.sort();
            each(times[times.len() / 2])
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let [least, median, most] = [0, medians.len() / 2, medians.len() - 1].map(|i| medians[i]);
    let mean = each(sum / batches);
    let rounds = medians.len();
    println!("{name:7} {median:6.1} ns a packet ({least:.1} to {most:.1}, {rounds} rounds; mean {mean:.1})");
}

/// The resident set, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn shuffled(n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    let mut state = 1_u64;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(15_usize);
    let limits = Limits { flows: FLOWS, ..Limits::default() };
    let cold = |odd| Trace::new(shuffled(FLOWS as u32).into_iter(), ACK, odd);
    let (there, back) = (cold(false), cold(true));

    let before = resident();
    let mut table = FlowTable::new(&limits);
    pass(&mut table, &there);
    let grown = resident().saturating_sub(before);
    println!("memory  {:6.1} bytes a flow, {} MiB", grown as f64 / FLOWS as f64, grown >> 20);

    pass(&mut table, &back);
    report("cold", (0..rounds).map(|_| pass(&mut table, &there)[0].clone()));
    let counts = table.counts();
    assert_eq!((counts.created, counts.active), (FLOWS as u64, FLOWS as u64));

    let hot = |odd| Trace::new(shuffled(4 * HOT as u32).into_iter().map(|i| i % HOT as u32), ACK, odd);
    let (near, far) = (hot(false), hot(true));
    let mut small = FlowTable::new(&limits);
    pass(&mut small, &near);
    pass(&mut small, &far);
    let again = |table: &mut FlowTable, part: usize| {
        (0..16).flat_map(|_| pass(table, &near)[part].clone()).collect::<Vec<_>>()
    };
    report("hot", (0..rounds).map(|_| again(&mut small, 0)));
    let mut plain = small.clone();
    plain.tell(false, false, false);
    report("offsets", (0..rounds).map(|_| again(&mut plain, 0)));
    report("dissect", (0..rounds).map(|_| again(&mut small, 1)));

    let few = rounds.div_ceil(3);
    report("first", (0..few).map(|_| pass(&mut FlowTable::new(&limits), &there)[0].clone()));

    let part = FLOWS as u32 / 4;
    let flood = |round: usize| Trace::new((0..part).map(|i| (round as u32 + 4) * part + i), SYN, false);
    report("flood", (0..few).map(|round| pass(&mut table, &flood(round))[0].clone()));
    let counts = table.counts();
    assert_eq!(counts.evicted_young + counts.evicted_established + counts.active, counts.created);
}
