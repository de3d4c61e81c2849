//! Compares the buckets with a plain search for the longest idle flow. The clock goes forward, back
//! and far.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::super::key::Key;
use super::*;

const CLASSES: [Class; 2] = [Class::Young, Class::Settled];

/// Every flow is in exactly one list, and each list is sound in both directions.
fn members(wheel: &IdleBuckets, flows: &[Entry]) -> Vec<u32> {
    let mut all = Vec::new();
    for class in CLASSES {
        for slot in 0..SPAN {
            let node = wheel.node(class, slot);
            let mut at = node;
            loop {
                let next = wheel.next(flows, at);
                assert_eq!(wheel.prev(flows, next), at);
                at = next;
                if at == node {
                    break;
                }
                let ring = &wheel.rings[class as usize];
                assert!(ring.busy[slot / 64] >> (slot % 64) & 1 == 1 && ring.words >> (slot / 64) & 1 == 1);
                all.push(at);
            }
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn the_idlest_is_found_to_a_bucket() {
    const FLOWS: usize = 200;
    const SECOND: i64 = 1 << WIDTH;
    let mut state = 9_u64;
    let mut random = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut wheel = IdleBuckets::new(FLOWS).unwrap();
    let mut flows = vec![Entry::new(&Key::default(), 0, 0); FLOWS];
    let mut now = 5_000_000 * SECOND;
    wheel.start(now);
    for (id, flow) in flows.iter_mut().enumerate() {
        *flow = Entry::new(&Key { ports: id as u64, ..Key::default() }, 0, now);
        flow.set_last(0);
    }
    for id in 0..FLOWS as u32 {
        wheel.link(&mut flows, id, Class::Young);
    }
    for round in 0..2500 {
        now += match random(40) {
            0 => random(10_000) as i64 * SECOND,
            1 => -(random(10) as i64) * SECOND,
            2 if round > 1500 => random(1 << 22) as i64 * SECOND,
            3 if round > 1500 => -(random(1 << 21) as i64) * SECOND,
            _ => random(3) as i64 * SECOND / 2,
        };
        wheel.tick(&mut flows, now);
        for _ in 0..random(8) {
            let id = random(FLOWS as u64) as usize;
            let time = now + random(3) as i64 * SECOND;
            let after = flows[id].after(time);
            flows[id].set_last(after);
        }
        let first = wheel.idlest(&mut flows, Class::Young, usize::MAX).unwrap();
        let age = |flow: &Entry| {
            let bucket = bucket(flow.last());
            if bucket > wheel.clock + AHEAD { wheel.base } else { bucket.max(wheel.base) }
        };
        // After the clock went back, the search finds flows from the future late.
        if round < 1500 {
            let least = flows.iter().map(age).min().unwrap();
            assert_eq!(age(&flows[first as usize]), least, "round {round}");
        }
        let id = random(FLOWS as u64) as u32;
        wheel.unlink(&mut flows, id);
        wheel.link(&mut flows, id, Class::Young);
        if round % 50 == 0 {
            assert_eq!(members(&wheel, &flows), (0..FLOWS as u32).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_eviction_meets_no_more_than_it_may() {
    let mut wheel = IdleBuckets::new(100).unwrap();
    wheel.start(0);
    let mut flows = vec![Entry::new(&Key::default(), 0, 0); 100];
    for id in 0..100 {
        wheel.link(&mut flows, id, Class::Settled);
    }
    wheel.tick(&mut flows, 90 << WIDTH);
    for (i, flow) in flows.iter_mut().enumerate() {
        flow.set_last((100 - i as i64) << WIDTH);
    }
    assert_eq!(wheel.idlest(&mut flows, Class::Young, 10), None);
    assert_eq!(wheel.idlest(&mut flows, Class::Settled, 10), Some(9));
    assert_eq!(wheel.idlest(&mut flows, Class::Settled, 1000), Some(99));
    assert_eq!(members(&wheel, &flows), (0..100).collect::<Vec<_>>());
}
