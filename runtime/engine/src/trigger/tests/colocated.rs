//! Tests triggers with the same key: co-located and in one visit, each has the same effect as
//! alone.

use super::*;
use proptest::prelude::*;

/// Four triggers with the same key, of which two have room for the same number of keys.
fn alike(key_group: Option<usize>) -> Vec<TriggerShape> {
    let windows: [&[(WindowKind, i64)]; 4] = [
        &[(WindowKind::Count, S)],
        &[(WindowKind::Sum, 2 * S)],
        &[(WindowKind::Count, S), (WindowKind::Distinct, 2 * S)],
        &[(WindowKind::Count, 3 * S)],
    ];
    let made = |(i, windows): (usize, &&[(WindowKind, i64)])| TriggerShape {
        name: format!("t{i}"),
        text: i != 1,
        key_group,
        ..shape(windows, [6, 6, 9, 2000][i], Some(S / 2))
    };
    windows.iter().enumerate().map(made).collect()
}

/// Keys of all kinds. For some of them, the hash does not contain the whole key.
fn key(n: u64) -> [KeyValue<'static>; 1] {
    [match n % 4 {
        0 => KeyValue::Num(n),
        1 => KeyValue::V6(u128::from(n) << 70),
        2 => KeyValue::Bytes(["a", "b", "c", "d"][n as usize / 4 % 4].as_bytes()),
        _ => KeyValue::Bytes(["more than 15 bytes", "others of that kind"][n as usize / 4 % 2].as_bytes()),
    }]
}

/// The operations on a packet's key: whether its state is prefetched, which triggers count it,
/// which are raised.
type Step = (u64, i64, bool, [bool; 4], Option<usize>);

fn step() -> impl Strategy<Value = Step> {
    let raised = prop::option::weighted(0.2, 0usize..4);
    (0u64..14, 0i64..S / 4, any::<bool>(), any::<[bool; 4]>(), raised)
}

fn event(counts: bool, amount: u64) -> WindowEvent {
    if counts { WindowEvent { counts: 1, amount } } else { WindowEvent::default() }
}

proptest! {
    #[test]
    fn in_one_visit_as_alone(steps in prop::collection::vec(step(), 1..250)) {
        let together = TriggerStore::with_seed(alike(Some(0)), 7);
        let alone: Vec<TriggerStore> =
            alike(None).into_iter().map(|shape| TriggerStore::with_seed(vec![shape], 7)).collect();
        let mut now = 0;
        for (n, later, sought, counts, raised) in steps {
            now += later;
            let key = key(n);
            let mut hash = together.hash(&key);
            if sought {
                together.states(0).prefetch_bucket(&hash);
                together.states(0).guess_row(&mut hash);
                together.states(0).prefetch_rows(&hash);
                together.states(3).prefetch_row(&hash);
            }
            let needed: &[KeyValue] = if hash.is_whole() { &[] } else { &key };
            let mut visit = together.visit(&mut hash, needed);
            let mut moment = together.moment(now);
            for (trigger, (alone, counts)) in alone.iter().zip(counts).enumerate() {
                let windows = if trigger == 2 { 2 } else { 1 };
                let (mut told, mut tells) = ([9; 2], [9; 2]);
                let events = [event(counts, n + 1), event(counts && n.is_multiple_of(2), n)];
                let active = visit.observe(trigger, &mut moment, &events[..windows], &mut told[..windows]);
                let given = events.map(|event| (event.counts != 0).then_some(event.amount));
                let is = alone.observe(0, &key, now, &given[..windows], &mut tells[..windows]);
                prop_assert_eq!((active, told), (is, tells), "{}", trigger);
            }
            drop(visit);
            if let Some(trigger) = raised {
                let [outcome, is] =
                    [(&together, trigger), (&alone[trigger], 0)].map(|(s, t)| s.apply(t, &key, now, Fired::Raised));
                prop_assert_eq!(outcome, is);
            }
        }
        for (trigger, alone) in alone.iter().enumerate() {
            prop_assert_eq!(together.counts(trigger, now), alone.counts(0, now));
            prop_assert_eq!(together.list(trigger, now), alone.list(0, now));
        }
    }
}

#[test]
fn those_with_as_many_keys_lie_side_by_side() {
    let store = TriggerStore::with_seed(alike(Some(0)), 7);
    assert!(
        store.colocated(0, 1) && !store.colocated(0, 2) && !store.colocated(2, 3) && !store.colocated(0, 4)
    );
    let apart = TriggerStore::with_seed(alike(None), 7);
    assert!(!apart.colocated(0, 1));
    assert_eq!(store.memory(), apart.memory());
    let many =
        (0..40).map(|i| TriggerShape { name: format!("t{i}"), key_group: Some(1), ..shape(&[], 8, None) });
    let store = TriggerStore::with_seed(many.collect(), 7);
    assert!(store.colocated(0, 15) && !store.colocated(0, 16) && store.colocated(16, 31));
}

#[test]
fn one_goes_on_without_the_others() {
    let old = TriggerStore::with_seed(alike(Some(0)), 7);
    let mut values = [0];
    old.observe(1, &num(1), 0, &[Some(5)], &mut values);
    let second = alike(Some(3)).remove(1);
    let new = old.renewed(vec![TriggerShape { name: "new".into(), ..second.clone() }, second]);
    assert!(new.shares(1, &old, 1) && !new.shares(0, &old, 1) && !new.colocated(0, 1));
    new.observe(1, &num(1), 1, &[Some(2)], &mut values);
    assert_eq!(values, [7]);
    new.observe(0, &num(1), 1, &[Some(2)], &mut values);
    assert_eq!(values, [2]);
    // The memory of co-located states is not freed before all of them are gone.
    let alone: u64 = alike(None)[1..2].iter().map(TriggerStore::memory_of).sum();
    assert_eq!(new.memory() as u64, 2 * alone + 6 * 64);
}

#[test]
fn a_row_that_is_free_is_taken_where_others_have_theirs() {
    let shapes = ["a", "b"].map(|name| TriggerShape {
        name: name.into(),
        key_group: Some(0),
        ..shape(&[(WindowKind::Count, S)], 100, None)
    });
    let store = TriggerStore::with_seed(shapes.to_vec(), 7);
    let events = [event(true, 0)];
    for n in 0..50 {
        let key = num(n);
        let (mut hash, mut moment) = (store.hash(&key), store.moment(0));
        let mut visit = store.visit(&mut hash, &[]);
        visit.observe(0, &mut moment, &events, &mut [0]);
        // The second trigger counts in another order, and not all keys: alone, it would take other
        // rows.
        if n % 3 == 1 {
            assert!(!visit.displaced());
            visit.observe(1, &mut moment, &events, &mut [0]);
        }
    }
    for n in 0..50 {
        let (mut hash, mut moment) = (store.hash(&num(n)), store.moment(0));
        let mut visit = store.visit(&mut hash, &[]);
        for trigger in 0..2 {
            visit.observe(trigger, &mut moment, &events, &mut [0]);
        }
        assert!(!visit.displaced(), "{n}");
    }
}

/// Addresses that share their halves with others.
fn mixed(n: u64) -> [KeyValue<'static>; 1] {
    [KeyValue::V6(u128::from(n / 5) << 64 | u128::from(n % 5))]
}

#[test]
fn two_workers_in_visits() {
    for (keys, of) in [(8, 20), (400, 300)] {
        let shapes = ["a", "b"].map(|name| TriggerShape {
            name: name.into(),
            key_group: Some(0),
            ..shape(&[(WindowKind::Count, 1000 * S)], keys, Some(S / 1000))
        });
        let store = TriggerStore::with_seed(shapes.to_vec(), 1);
        let rounds = if cfg!(miri) { 200 } else { 100_000 };
        std::thread::scope(|scope| {
            for seed in 1..=2u64 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..rounds {
                        let key = mixed((seed * 7919 + i).wrapping_mul(0x9e37_79b9) % of);
                        let mut hash = store.hash(&key);
                        store.states(0).guess_row(&mut hash);
                        let mut visit = store.visit(&mut hash, &[]);
                        for trigger in 0..2 {
                            let mut values = [0];
                            visit.observe(
                                trigger,
                                &mut store.moment(i as i64),
                                &[event(true, 0)],
                                &mut values,
                            );
                            assert!(values[0] > 0);
                        }
                        drop(visit);
                        if i % 64 == 0 {
                            store.apply(1, &key, i as i64, Fired::Raised);
                        }
                    }
                });
            }
        });
        for trigger in 0..2 {
            let counts = store.counts(trigger, S);
            assert!(counts.keys <= counts.capacity, "{counts:?}");
            assert_eq!(counts.held, counts.raised + counts.extended + counts.full, "{counts:?}");
            let sum: u64 = (0..of)
                .map(|n| {
                    let mut values = [0];
                    store.observe(trigger, &mixed(n), S, &[None], &mut values);
                    values[0]
                })
                .sum();
            // Where no key was evicted, no event is lost or counted twice.
            assert!(if keys as u64 > of { sum == 2 * rounds } else { sum <= 2 * rounds }, "{sum}");
        }
    }
}
