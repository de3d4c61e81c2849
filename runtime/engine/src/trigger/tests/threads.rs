//! Tests two threads in one store: each event is counted once, and no sum is lost or reported
//! twice.

use super::*;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn nothing_is_counted_twice_or_lost() {
    // No key is evicted: each event is in its window at the end.
    let store = store(shape(&[(WindowKind::Count, 100 * S), (WindowKind::Sum, 100 * S)], 10_000, Some(S)));
    let raised = [1u64, 2].map(|seed| {
        let store = &store;
        move || {
            let (mut state, mut raised) = (seed * 0x9e37_79b9, 0);
            for i in 0..200_000 {
                let key = [KeyValue::V4((random(&mut state) % 300) as u32)];
                let mut values = [0; 2];
                store.observe(0, &key, i * 1000, &[Some(0), Some(3)], &mut values);
                assert!(values[0] > 0 && values[1] >= 3);
                if random(&mut state).is_multiple_of(8) {
                    raised += u64::from(store.apply(0, &key, i * 1000, Fired::Raised) == Outcome::Raised);
                }
                assert!(!store.active(0, &[KeyValue::V6(1)], i * 1000));
            }
            raised
        }
    });
    let raised: u64 = std::thread::scope(|scope| {
        let threads = raised.map(|run| scope.spawn(run));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let mut sums = [0; 2];
    for key in 0..300 {
        let mut values = [0; 2];
        store.observe(0, &[KeyValue::V4(key)], S, &[None, None], &mut values);
        sums = [sums[0] + values[0], sums[1] + values[1]];
    }
    assert_eq!(sums, [400_000, 1_200_000]);
    let counts = adds_up(&store, S);
    assert_eq!((counts.raised, counts.keys), (raised, 300));
}

#[test]
fn everything_at_once() {
    // Few rows for many keys, so that rows change their keys all the time.
    let kinds = [(WindowKind::Count, S), (WindowKind::Distinct, S / 100)];
    for (keys, of) in [(1, 4), (8, 20), (200, 1000), (4096, 20_000)] {
        let store = store(shape(&kinds, keys, Some(S / 1000)));
        std::thread::scope(|scope| {
            for seed in 1..=3u64 {
                let store = &store;
                scope.spawn(move || {
                    let mut state = seed * 0x9e37_79b9;
                    for i in 0..60_000i64 {
                        let now = i * 10_000 - (random(&mut state) % 50_000) as i64;
                        let key = num(random(&mut state) % of);
                        let mut values = [0; 2];
                        let event = random(&mut state).is_multiple_of(3).then_some(i as u64 % 90);
                        store.observe(0, &key, now, &[event, event], &mut values);
                        assert!(event.is_none() || values[0] > 0);
                        match random(&mut state) % 400 {
                            0..40 => {
                                let outcome = store.apply(0, &key, now, Fired::Raised);
                                assert_ne!(outcome, Outcome::Nothing);
                            }
                            40 => {
                                store.raise(0, &key, now, Some(100_000));
                            }
                            41 => {
                                store.clear(0, &key, now);
                            }
                            42 => {
                                store.apply(0, &key, now, Fired::Vetoed);
                            }
                            43 => {
                                store.suppress(0, &num(random(&mut state) % 4), now, "a test", Some(now + 9));
                            }
                            44 if keys < 1000 => {
                                store.list(0, now);
                            }
                            45 if keys < 1000 => {
                                store.counts(0, now);
                            }
                            46 if keys < 10 => {
                                store.clear_all(0, now);
                                store.set_per(0, 0, S + i);
                            }
                            _ => {
                                store.active(0, &key, now);
                            }
                        }
                    }
                });
            }
        });
        // No active key is lost: each key that is active is on the list.
        let now = 60_000 * 10_000;
        let counts = adds_up(&store, now);
        assert!(counts.keys <= counts.capacity && counts.held > 0);
        let list = store.list(0, now);
        for key in &list {
            assert!(store.active(0, &num(key.text().parse().unwrap()), now));
        }
        let active = (0..of).filter(|key| store.active(0, &num(*key), now)).count();
        assert_eq!(active, list.len());
    }
}

#[test]
fn an_active_key_survives_floods_of_two() {
    let store = store(shape(&[(WindowKind::Count, S)], 64, None));
    for key in 0..8 {
        assert_eq!(store.apply(0, &num(key), 0, Fired::Raised), Outcome::Raised);
    }
    std::thread::scope(|scope| {
        for thread in 1..=2u64 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..100_000 {
                    event(store, &num(thread << 32 | i), i as i64);
                    assert!(store.active(0, &num(i % 8), i as i64));
                }
            });
        }
    });
    let counts = adds_up(&store, S);
    assert_eq!((counts.active, counts.keys, counts.entered), (8, 64, 200_008));
}
