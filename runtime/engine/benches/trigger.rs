//! What the state of triggers costs a packet: ten triggers, each with its own keys, in one thread
//! and in two.
//!
//! ```text
//! cargo bench -p mrule-engine --bench trigger [-- WORD...]   # rows with a word in the name
//! ```
//!
//! Method. A store of ten triggers by address, each with one counting window of 10 s and a hold of
//! 10 s, contains all its keys before the first measurement. A packet has a key for each trigger
//! and comes 1 us after the packet before. Keys are chosen at random, evenly or so that the n-th
//! key has the frequency 1/n ("skewed"). For each packet and trigger, the bench calls `observe`
//! with an event ("all count"). In "one counts", only one trigger in ten has an event, as with
//! conditions that seldom hold. A key that all triggers share is visited once. Then it calls
//! `apply`, where one packet in a thousand fires, and `active`, which "lean" leaves out because
//! `observe` and `apply` have returned it. "Ahead" prefetches the states of all keys of some
//! packets, as deciders do. Figures are nanoseconds per packet for all ten triggers: the minimum of
//! rounds of a quarter of a second each, in processor time of the threads. "One again" is one
//! thread in the round after two threads; "gain" is how much two threads do in the time that one
//! thread needs for its part.

// The floor is measured in the same rounds, because the machine's speed varies. It takes and
// releases ten bare locks. Then, for the same ten keys, it reads two words per key in a plain
// array, which say where the key's 64 bytes are. It adds a number to one word of these bytes. This
// is a table that is never wrong, without hash, lock or window. "Flood" gives each packet ten new
// keys, in a full store.

use mrule_compiler::abi::WindowEvent;
use mrule_compiler::context::Fired;
use mrule_compiler::table::KeyValue;
use mrule_engine::trigger::{KeyHash, Moment, Outcome, TriggerShape, TriggerStore, WindowKind, WindowShape};
use std::sync::Barrier;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::{Duration, Instant};

const TRIGGERS: usize = 10;
const PACKETS: usize = 1 << 15;
const ROUNDS: usize = 8;
const S: i64 = 1_000_000_000;

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    keys: u32,
    skewed: bool,
    /// One trigger in `every` has an event.
    every: usize,
    /// The number of packets whose rows are prefetched together; 0 for none.
    ahead: usize,
    /// All triggers have the same key.
    shared: bool,
    flood: bool,
    lean: bool,
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A part of 1, evenly distributed.
fn part(state: &mut u64) -> f64 {
    (random(state) >> 11) as f64 / (1u64 << 53) as f64
}

type Keys = [u32; TRIGGERS];

fn packets(case: &Case, seed: u64) -> Vec<Keys> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let n = f64::from(case.keys);
    let mut key = || {
        let key = if case.skewed { n.powf(part(&mut state)) - 1.0 } else { n * part(&mut state) };
        // Keys of similar frequency get distant numbers.
        (key as u32).wrapping_mul(0x9e37_79b1)
    };
    (0..PACKETS)
        .map(|_| {
            let first = key();
            std::array::from_fn(|i| if case.shared || i == 0 { first } else { key() })
        })
        .collect()
}

fn store(case: &Case) -> TriggerStore {
    let shape = |i| TriggerShape {
        name: format!("t{i}"),
        keys: case.keys as usize,
        hold: Some(10 * S),
        windows: vec![WindowShape { kind: WindowKind::Count, per: 10 * S }],
        key_group: case.shared.then_some(0),
        ..TriggerShape::default()
    };
    let store = TriggerStore::new((0..TRIGGERS).map(shape).collect());
    for trigger in 0..TRIGGERS {
        for key in 0..case.keys {
            store.observe(trigger, &[KeyValue::V4(key.wrapping_mul(0x9e37_79b1))], 0, &[Some(1)], &mut [0]);
        }
    }
    store
}

/// Processor time of this thread.
fn spent() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

struct Worker<'a> {
    case: Case,
    store: &'a TriggerStore,
    packets: Vec<Keys>,
    now: i64,
    fresh: u32,
    sum: u64,
}

impl Worker<'_> {
    fn pass(&mut self) {
        let (case, store) = (self.case, self.store);
        let ahead = case.ahead.max(1);
        let mut hashes = vec![[KeyHash::default(); TRIGGERS]; ahead];
        for (at, batch) in self.packets.chunks(ahead).enumerate() {
            if case.ahead > 0 {
                let apart = if case.shared { 1 } else { TRIGGERS };
                for (keys, hashes) in batch.iter().zip(&mut hashes) {
                    for (trigger, (key, hash)) in keys.iter().zip(hashes).enumerate().take(apart) {
                        *hash = store.hash(&[KeyValue::V4(*key)]);
                        store.states(trigger).prefetch_bucket(hash);
                    }
                }
                for hashes in &mut hashes[..batch.len()] {
                    for (trigger, hash) in hashes.iter_mut().enumerate().take(apart) {
                        store.states(trigger).guess_row(hash);
                        store.states(trigger).prefetch_rows(hash);
                    }
                }
            }
            let moments = store.moments(batch.len());
            for ((i, keys), order) in batch.iter().enumerate().zip(moments..) {
                self.now += 1000;
                let mut moment = Moment::new(self.now, order);
                let alike = if case.shared { TRIGGERS } else { 1 };
                for first in (0..TRIGGERS).step_by(alike) {
                    let mut key = [KeyValue::V4(keys[first])];
                    if case.flood {
                        self.fresh += 1;
                        key = [KeyValue::V4(self.fresh)];
                    }
                    let mut hash = if case.ahead > 0 { hashes[i][first] } else { store.hash(&key) };
                    let mut was = [false; TRIGGERS];
                    let number = at * ahead + i;
                    let mut visit = store.visit(&mut hash, &[]);
                    for (trigger, was) in was.iter_mut().enumerate().skip(first).take(alike) {
                        let counts = u64::from((number + trigger).is_multiple_of(case.every));
                        let (events, mut values) = ([WindowEvent { counts, amount: 0 }], [0]);
                        *was = visit.observe(trigger, &mut moment, &events, &mut values);
                        self.sum += values[0];
                    }
                    drop(visit);
                    for (trigger, was) in was.iter().enumerate().skip(first).take(alike) {
                        let fired = (number + trigger).is_multiple_of(1000);
                        let fired = if fired { Fired::Raised } else { Fired::No };
                        let outcome = store.apply_at(trigger, &key, &moment, fired);
                        let active = if case.lean {
                            *was || matches!(outcome, Outcome::Raised | Outcome::Extended)
                        } else {
                            store.active(trigger, &key, self.now)
                        };
                        self.sum += u64::from(active);
                    }
                }
            }
        }
    }

    /// Nanoseconds per packet.
    fn round(&mut self) -> f64 {
        timed(|| self.pass())
    }
}

/// Tables as large as the store's tables, and nothing else.
struct Floor {
    index: Vec<Vec<u64>>,
    rows: Vec<Vec<[u64; 8]>>,
}

impl Floor {
    fn new(keys: u32) -> Floor {
        let mut state = 7;
        let mut index = |_| (0..2 * keys).map(|_| random(&mut state) % u64::from(keys)).collect();
        Floor {
            index: (0..TRIGGERS).map(&mut index).collect(),
            rows: vec![vec![[0; 8]; keys as usize]; TRIGGERS],
        }
    }

    fn pass(&mut self, packets: &[Keys]) {
        let lock = AtomicU32::new(0);
        for keys in packets {
            for (trigger, key) in keys.iter().enumerate() {
                let free = lock.load(Relaxed);
                if lock.compare_exchange(free, free | 1, Acquire, Relaxed).is_ok() {
                    lock.store(free.wrapping_add(2), Release);
                }
                let (index, rows) = (&self.index[trigger], &mut self.rows[trigger]);
                let at = (*key as usize * index.len()) >> 32;
                rows[index[at] as usize][5] += 1;
            }
        }
    }

    /// Nanoseconds per packet.
    fn round(&mut self, packets: &[Keys]) -> f64 {
        timed(|| self.pass(packets))
    }
}

/// Nanoseconds per packet.
fn timed(mut pass: impl FnMut()) -> f64 {
    let (wall, before) = (Instant::now(), spent());
    let mut count = 0;
    while wall.elapsed() < Duration::from_millis(250) {
        pass();
        count += PACKETS;
    }
    let time = before.zip(spent()).map_or_else(|| wall.elapsed(), |(before, after)| after - before);
    time.as_nanos() as f64 / count as f64
}

fn measure(case: Case) {
    let store = store(&case);
    let mut floor = Floor::new(case.keys);
    let mut workers = [1, 2].map(|seed| Worker {
        case,
        store: &store,
        packets: packets(&case, seed),
        now: 0,
        fresh: (seed as u32) << 30,
        sum: 0,
    });
    workers.iter_mut().for_each(Worker::pass);
    let (mut one, mut again, mut two, mut low) = (f64::MAX, f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        low = low.min(floor.round(&workers[0].packets));
        one = one.min(workers[0].round());
        let (barrier, slower) = (Barrier::new(2), AtomicU32::new(0));
        let latest = workers.iter().map(|worker| worker.now).max().unwrap_or(0);
        std::thread::scope(|scope| {
            for worker in &mut workers {
                worker.now = latest;
                let (barrier, slower) = (&barrier, &slower);
                scope.spawn(move || {
                    barrier.wait();
                    slower.fetch_max((worker.round() * 100.0) as u32, Relaxed);
                });
            }
        });
        two = two.min(f64::from(slower.load(Relaxed)) / 100.0);
        workers[0].now = workers.iter().map(|worker| worker.now).max().unwrap_or(0);
        again = again.min(workers[0].round());
    }
    let name = case.name;
    let (gain, one_of_all) = (2.0 * one.min(again) / two, one.min(again) / TRIGGERS as f64);
    let memory = store.memory() >> 20;
    println!(
        "{name:<46} {one:>8.1} {again:>9.1} {one_of_all:>9.1} {two:>8.1} {gain:>6.2} {low:>9.1} {memory:>5} MiB  {:x}",
        workers[0].sum % 256
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let even = Case {
        name: "",
        keys: 10_000,
        skewed: false,
        every: 1,
        ahead: 0,
        shared: false,
        flood: false,
        lean: false,
    };
    let few = Case { keys: 100, ..even };
    let lean = Case { lean: true, ..even };
    let many = Case { keys: 100_000, ..lean };
    let one = Case { shared: true, ..many };
    let cases = [
        Case { name: "100 keys, all count", ..few },
        Case { name: "100 keys, all count, lean", lean: true, ..few },
        Case { name: "100 keys, all count, lean, ahead", lean: true, ahead: 8, ..few },
        Case { name: "100 keys, one counts, lean", every: 10, lean: true, ..few },
        Case { name: "10 x 10,000 keys, all count", ..lean },
        Case { name: "10 x 10,000 keys, all count, ahead by 1", ahead: 1, ..lean },
        Case { name: "10 x 10,000 keys, all count, ahead", ahead: 8, ..lean },
        Case { name: "10 x 10,000 keys, all count, ahead by 64", ahead: 64, ..lean },
        Case { name: "10 x 10,000 keys, one counts", every: 10, ..lean },
        Case { name: "10 x 10,000 keys, one counts, ahead", every: 10, ahead: 8, ..lean },
        Case { name: "10 x 10,000 keys, skewed, all count", skewed: true, ..lean },
        Case { name: "10 x 10,000 keys, skewed, all count, ahead", skewed: true, ahead: 8, ..lean },
        Case { name: "one key of 100,000, all count", ..one },
        Case { name: "one key of 100,000, all count, ahead by 1", ahead: 1, ..one },
        Case { name: "one key of 100,000, all count, ahead", ahead: 8, ..one },
        Case { name: "one key of 100,000, skewed, all count, ahead", ahead: 8, skewed: true, ..one },
        Case { name: "10 x 100,000 keys, all count", ..many },
        Case { name: "10 x 100,000 keys, all count, ahead by 1", ahead: 1, ..many },
        Case { name: "10 x 100,000 keys, all count, ahead", ahead: 8, ..many },
        Case { name: "10 x 100,000 keys, one counts, ahead", every: 10, ahead: 8, ..many },
        Case { name: "10 x 100,000 keys, skewed, all count, ahead", skewed: true, ahead: 8, ..many },
        Case { name: "10 x 100,000 keys, flood", flood: true, ..many },
    ];
    println!(
        "{:<46} {:>8} {:>9} {:>9} {:>8} {:>6} {:>9}",
        "ns a packet", "one", "one again", "a trigger", "two", "gain", "floor"
    );
    for case in
        cases.into_iter().filter(|c| words.is_empty() || words.iter().any(|word| c.name.contains(word)))
    {
        measure(case);
    }
}
