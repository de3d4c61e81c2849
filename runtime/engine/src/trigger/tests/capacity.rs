//! Tests a store without room for more keys.

use super::*;
use proptest::prelude::*;

#[test]
fn the_idlest_goes() {
    let store = store(shape(&[(WindowKind::Count, 100 * S)], 3, Some(S)));
    for key in [1, 2, 3] {
        event(&store, &num(key), key as i64 * S);
    }
    assert_eq!(event(&store, &num(1), 4 * S), 2);
    look(&store, &num(2), 5 * S);
    event(&store, &num(4), 6 * S);
    assert_eq!([1, 2, 3, 4].map(|key| look(&store, &num(key), 6 * S)), [2, 0, 1, 1], "looking is no use");
    // Among keys with the same time, the order of arrival decides.
    event(&store, &num(5), 6 * S);
    event(&store, &num(6), 6 * S);
    assert_eq!([1, 3, 4, 5, 6].map(|key| look(&store, &num(key), 6 * S)), [0, 0, 1, 1, 1]);
    let counts = adds_up(&store, 6 * S);
    assert_eq!((counts.keys, counts.entered, counts.evicted, counts.capacity), (3, 6, 3, 3));
    // A key that was only read is not stored.
    look(&store, &num(7), 6 * S);
    assert_eq!(adds_up(&store, 6 * S).entered, 6);
}

#[test]
fn an_active_key_stays_until_its_hold_ends() {
    for keys in [1, 2, 100, 5000] {
        let store = store(shape(&[(WindowKind::Count, 1000 * S)], keys, Some(10 * S)));
        assert_eq!(event(&store, &num(0), 0), 1);
        assert_eq!(store.apply(0, &num(0), 0, Fired::Raised), Outcome::Raised);
        for flood in 1..20_000u64 {
            let now = flood as i64 * S / 2000;
            event(&store, &num(flood), now);
            assert!(store.active(0, &num(0), now));
        }
        assert_eq!(look(&store, &num(0), 10 * S), 1);
        let counts = adds_up(&store, 10 * S);
        assert_eq!(counts.active, 1);
        assert_eq!(counts.evicted + counts.unkept, 20_000 - counts.keys, "{counts:?}");
        assert_eq!(counts.unkept, if keys == 1 { 19_999 } else { 0 });
        for flood in 20_000..50_000 {
            event(&store, &num(flood), 10 * S + 1);
        }
        assert_eq!(look(&store, &num(0), 10 * S + 1), 0, "then it goes as others do");
        assert_eq!(adds_up(&store, 10 * S + 1).expired, 1);
    }
}

#[test]
fn full_of_active_keys() {
    let store =
        store(shape(&[(WindowKind::Count, S), (WindowKind::Sum, S), (WindowKind::Distinct, S)], 4, Some(S)));
    for key in 0..4 {
        assert_eq!(store.apply(0, &num(key), key as i64, Fired::Raised), Outcome::Raised);
    }
    assert_eq!(store.apply(0, &num(4), S, Fired::Raised), Outcome::Full);
    assert_eq!(store.raise(0, &num(4), S, None), Outcome::Full);
    let mut values = [0; 3];
    store.observe(0, &num(5), S, &[Some(9), Some(9), Some(9)], &mut values);
    assert_eq!(values, [1, 9, 1], "what this packet adds");
    store.observe(0, &num(5), S, &[None, None, Some(9)], &mut values);
    assert_eq!(values, [0, 0, 1]);
    let counts = adds_up(&store, S);
    assert_eq!((counts.full, counts.external_full, counts.unkept, counts.active), (1, 1, 2, 4));
    assert_eq!(
        store.apply(0, &num(4), S + 1, Fired::Raised),
        Outcome::Raised,
        "the hold of the first has ended"
    );
    assert!(store.clear(0, &num(2), S + 1));
    assert_eq!(store.apply(0, &num(6), S + 1, Fired::Raised), Outcome::Raised);
    assert!([1, 3, 4, 6].iter().all(|key| store.active(0, &num(*key), S + 1)));
    adds_up(&store, S + 1);
}

#[test]
fn holds_of_different_lengths() {
    // One key that stays active for ever, in front of many whose holds end.
    let store = store(shape(&[], 8, Some(10)));
    assert_eq!(store.raise(0, &num(99), 0, Some(i64::MAX)), Outcome::Raised);
    for now in 0..10_000 {
        let outcome = store.apply(0, &num(now as u64 % 50), now, Fired::Raised);
        // Seven other keys fit, each for eleven moments.
        let expected = if now % 11 < 7 { Outcome::Raised } else { Outcome::Full };
        assert_eq!(outcome, expected, "{now}");
    }
    assert!(store.active(0, &num(99), i64::MAX));
    adds_up(&store, 10_000);
}

#[test]
fn time_that_goes_back_makes_active_what_had_ended() {
    let store = store(shape(&[(WindowKind::Count, S)], 4, Some(10)));
    for key in 0..4 {
        store.apply(0, &num(key), 0, Fired::Raised);
    }
    assert_eq!(adds_up(&store, 11).expired, 4);
    assert_eq!(store.apply(0, &num(4), 10, Fired::Raised), Outcome::Full, "they are active then");
    assert_eq!(adds_up(&store, 10).active, 4);
    assert_eq!(store.apply(0, &num(4), 11, Fired::Raised), Outcome::Raised);
    adds_up(&store, 11);
}

#[test]
fn there_is_room_for_as_many_as_it_says() {
    for keys in [1usize, 7, 2048, 4095, 4096, 10_000, 65_536] {
        for seed in 0..if keys > 10_000 { 1 } else { 4 } {
            let store = TriggerStore::with_seed(vec![shape(&[(WindowKind::Count, S)], keys, None)], seed);
            for key in 0..keys as u64 {
                event(&store, &num(key), 0);
            }
            let counts = adds_up(&store, 0);
            assert_eq!((counts.evicted, counts.keys), (0, keys as u64));
            assert!(counts.capacity <= keys as u64 * 114 / 100, "{keys}: {}", counts.capacity);
            assert!((0..keys as u64).all(|key| look(&store, &num(key), 0) == 1));
        }
    }
}

#[test]
fn chains_are_short() {
    let keys = 50_000;
    let all: [fn(u64) -> KeyValue<'static>; 4] = [
        |i| KeyValue::V4(i as u32),
        |i| KeyValue::V4((i as u32).wrapping_mul(0x9e37_79b1)),
        |i| KeyValue::Num(i << 40),
        |i| KeyValue::V6(u128::from(i) << 64 | 1),
    ];
    for key in all {
        let store = store(shape(&[(WindowKind::Count, S)], keys, None));
        for i in 0..keys as u64 {
            event(&store, &[key(i)], 0);
        }
        let chains = store.keyed(0).unwrap().chains();
        assert_eq!(chains.iter().sum::<usize>(), keys);
        // As long as random hashing makes them: a look-up of a known key reads 1.25 rows on
        // average.
        let looked: usize = chains.iter().map(|length| length * (length + 1) / 2).sum();
        assert!(looked < keys * 13 / 10, "{looked}");
        assert!(chains.iter().max() < Some(&12));
    }
}

#[test]
fn hot_keys_survive_a_flood() {
    let store = store(shape(&[(WindowKind::Count, 100 * S)], 1000, None));
    let mut flood = 1_000_000;
    for round in 0..200i64 {
        for key in 0..500 {
            assert_eq!(event(&store, &num(key), round * S / 10), round as u64 + 1);
        }
        for _ in 0..400 {
            flood += 1;
            event(&store, &num(flood), round * S / 10 + S / 20);
        }
    }
    assert_eq!(adds_up(&store, 20 * S).keys, 1000);
}

proptest! {
    /// Few keys and arbitrary operations: the sums hold, no active key is lost, and the longest
    /// idle key is evicted.
    #[test]
    fn whatever_happens(
        steps in prop::collection::vec((0u8..8, 0u64..12, -3i64..20, 0i64..60), 1..400),
        keys in 1usize..8,
    ) {
        const MS: i64 = 1 << 20;
        let store = store(shape(&[(WindowKind::Count, 1000 * MS)], keys, Some(40 * MS)));
        // Keys with the last step at which they were seen, and their ends.
        let mut model: Vec<(u64, usize, Option<i64>)> = Vec::new();
        let (mut now, mut latest) = (0, 0);
        for (at, (what, key, step, ttl)) in steps.into_iter().enumerate() {
            now += step * MS;
            latest = now.max(latest);
            let active = |until: Option<i64>| until.is_some_and(|until| until >= now);
            let known = model.iter().position(|(k, ..)| *k == key);
            prop_assert_eq!(store.active(0, &num(key), now), known.is_some_and(|i| active(model[i].2)));
            if what == 7 {
                let was = store.clear(0, &num(key), now);
                prop_assert_eq!(was, known.is_some_and(|i| active(model[i].2)));
                if let Some(i) = known {
                    model[i].2 = None;
                }
                continue;
            }
            let mut full = false;
            let i = known.or_else(|| {
                if model.len() == keys {
                    let idle = |&i: &usize| !active(model[i].2);
                    match (0..keys).filter(idle).min_by_key(|i| model[*i].1) {
                        None => full = true,
                        Some(i) => {
                            model.swap_remove(i);
                        }
                    }
                }
                (!full).then(|| {
                    model.push((key, at, None));
                    model.len() - 1
                })
            });
            let outcome = match what {
                0..4 => {
                    event(&store, &num(key), now);
                    Outcome::Nothing
                }
                4..6 => store.apply(0, &num(key), now, Fired::Raised),
                _ => store.raise(0, &num(key), now, Some(ttl * MS)),
            };
            let Some(i) = i else {
                prop_assert!(outcome == Outcome::Full || what < 4);
                continue;
            };
            model[i].1 = at;
            if what >= 4 {
                let until = now + if what < 6 { 40 * MS } else { ttl * MS };
                let was = model[i].2.filter(|until| *until >= now);
                prop_assert_eq!(outcome, if was.is_some() { Outcome::Extended } else { Outcome::Raised });
                model[i].2 = Some(was.map_or(until, |was| was.max(until)));
            }
            adds_up(&store, latest);
        }
        let mut known: Vec<u64> = model.iter().filter(|(.., until)| until.is_some_and(|u| u >= now)).map(|m| m.0).collect();
        let mut listed: Vec<u64> = store.list(0, now).iter().map(|active| active.text().parse().unwrap()).collect();
        known.sort_unstable();
        listed.sort_unstable();
        prop_assert_eq!(known, listed);
    }
}
