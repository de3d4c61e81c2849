//! Compares the store with a list of all events; tests its capacity, its sums, and two threads.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;

mod capacity;
mod colocated;
mod history;
mod threads;

const S: i64 = 1_000_000_000;

fn shape(windows: &[(WindowKind, i64)], keys: usize, hold: Option<i64>) -> TriggerShape {
    let windows = windows.iter().map(|&(kind, per)| WindowShape { kind, per }).collect();
    TriggerShape { name: "t".into(), keys, hold, windows, ..TriggerShape::default() }
}

impl TriggerStore {
    /// A store that does the same whenever it is given the same.
    fn with_seed(shapes: Vec<TriggerShape>, seed: u64) -> TriggerStore {
        TriggerStore::empty(Some(seed)).renewed(shapes)
    }

    /// What a packet's `when` and `unless` said, at a moment of its own.
    fn apply(&self, trigger: usize, key: &[KeyValue], now: i64, fired: Fired) -> Outcome {
        self.apply_at(trigger, key, &self.moment(now), fired)
    }
}

fn store(shape: TriggerShape) -> TriggerStore {
    TriggerStore::with_seed(vec![shape], 1)
}

/// Adds one event to the first window. Returns the window's value.
fn event(store: &TriggerStore, key: &[KeyValue], now: i64) -> u64 {
    let mut values = [0];
    store.observe(0, key, now, &[Some(1)], &mut values);
    values[0]
}

/// The value of the first window.
fn look(store: &TriggerStore, key: &[KeyValue], now: i64) -> u64 {
    let mut values = [u64::MAX];
    store.observe(0, key, now, &[None], &mut values);
    values[0]
}

fn num(n: u64) -> [KeyValue<'static>; 1] {
    [KeyValue::Num(n)]
}

#[track_caller]
fn adds_up(store: &TriggerStore, now: i64) -> TriggerCounts {
    let c = store.counts(0, now);
    assert_eq!(c.held, c.raised + c.extended + c.vetoed + c.suppressed + c.full, "{c:?}");
    assert_eq!(c.raised + c.external, c.active + c.expired + c.cleared, "{c:?}");
    assert_eq!(c.active as usize, store.list(0, now).len(), "{c:?}");
    assert!(c.keys <= c.capacity, "{c:?}");
    c
}

#[test]
fn a_hold_ends_at_its_last_moment() {
    let store = store(shape(&[], 10, Some(10 * S)));
    let key = num(1);
    assert_eq!(store.apply(0, &key, 5, Fired::No), Outcome::Nothing);
    assert!(!store.active(0, &key, 5));
    assert_eq!(store.apply(0, &key, 5, Fired::Raised), Outcome::Raised);
    assert!(store.active(0, &key, 5) && store.active(0, &key, 5 + 10 * S));
    assert!(!store.active(0, &key, 6 + 10 * S));
    assert!(!store.active(0, &num(2), 5));
    assert_eq!(store.apply(0, &key, 5 + 10 * S, Fired::Vetoed), Outcome::Vetoed);
    assert_eq!(store.apply(0, &key, 5 + 10 * S, Fired::Raised), Outcome::Extended);
    assert_eq!(store.apply(0, &key, 5, Fired::Raised), Outcome::Extended, "late, and shortens nothing");
    let list = store.list(0, 6 + 10 * S);
    assert_eq!((list[0].since, list[0].until, list[0].raises), (5, Some(5 + 20 * S), 3));
    assert_eq!(list[0].text(), "1");
    let now = 6 + 20 * S;
    let counts = adds_up(&store, now);
    assert_eq!((counts.held, counts.raised, counts.extended, counts.vetoed), (4, 1, 2, 1));
    assert_eq!((counts.active, counts.expired), (0, 1));
    // The end was noted, but the time goes back.
    assert!(store.active(0, &key, now - 1));
    assert_eq!(store.apply(0, &key, now - 1, Fired::Raised), Outcome::Extended);
    let counts = adds_up(&store, now - 1);
    assert_eq!((counts.raised, counts.active, counts.expired), (1, 1, 0));
    assert_eq!(store.apply(0, &key, now + 100 * S, Fired::Raised), Outcome::Raised);
    assert_eq!(adds_up(&store, now + 100 * S).expired, 1);
}

#[test]
fn from_outside() {
    let store = store(shape(&[(WindowKind::Count, S)], 10, Some(10 * S)));
    let key = num(1);
    assert_eq!(store.raise(0, &key, 0, Some(5)), Outcome::Raised);
    assert_eq!(store.raise(0, &key, 0, Some(3)), Outcome::Extended);
    assert!(store.active(0, &key, 5) && !store.active(0, &key, 6));
    assert_eq!(store.raise(0, &key, 6, None), Outcome::Raised);
    assert!(store.active(0, &key, 6 + 10 * S));
    event(&store, &key, 7);
    assert!(store.clear(0, &key, 7) && !store.clear(0, &key, 7));
    assert!(!store.active(0, &key, 7));
    assert_eq!(look(&store, &key, 7), 1, "its window is left");
    assert!(store.suppress(0, &key, 7, "the printer", Some(20)));
    assert_eq!(store.raise(0, &key, 8, None), Outcome::Suppressed);
    assert_eq!(store.apply(0, &key, 20, Fired::Raised), Outcome::Suppressed);
    assert_eq!(store.suppressed(0, 20)[0].hits, 2);
    assert_eq!(store.suppressed(0, 21), vec![]);
    assert_eq!(store.apply(0, &key, 21, Fired::Raised), Outcome::Raised);
    assert!(store.suppress(0, &key, 21, "for ever", None));
    assert!(store.active(0, &key, 21), "what is active stays so");
    assert_eq!(store.apply(0, &key, i64::MAX, Fired::Raised), Outcome::Suppressed);
    assert!(store.unsuppress(0, &key) && !store.unsuppress(0, &key));
    let counts = adds_up(&store, 21);
    assert_eq!((counts.external, counts.external_extended, counts.external_suppressed), (2, 1, 1));
    assert_eq!((counts.cleared, counts.expired, counts.active, counts.suppressed), (1, 1, 1, 2));
    assert_eq!(store.apply(0, &num(2), 21, Fired::Raised), Outcome::Raised);
    assert_eq!(store.clear_all(0, 21), 2);
    assert_eq!(adds_up(&store, 21).cleared, 3);
    assert_eq!(store.list(0, 21), vec![]);
}

#[test]
fn without_a_hold_it_stays() {
    let store = store(shape(&[], 10, None));
    assert_eq!(store.apply(0, &num(1), -5, Fired::Raised), Outcome::Raised);
    assert!(store.active(0, &num(1), i64::MAX));
    assert_eq!(store.list(0, i64::MAX)[0].until, None);
    store.set_hold(0, Some(3));
    assert_eq!(store.apply(0, &num(2), 0, Fired::Raised), Outcome::Raised);
    assert!(store.active(0, &num(2), 3) && !store.active(0, &num(2), 4));
}

#[test]
fn a_suppression_has_its_room() {
    let store = store(shape(&[], 2, None));
    assert!(store.suppress(0, &num(1), 0, "a", Some(5)) && store.suppress(0, &num(2), 0, "b", None));
    assert!(!store.suppress(0, &num(3), 5, "c", None));
    assert!(store.suppress(0, &num(2), 5, "again", None));
    assert!(store.suppress(0, &num(3), 6, &"ü".repeat(200), None), "the first is over");
    let list = store.suppressed(0, 6);
    assert_eq!(list.iter().map(|s| s.text()).collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!((list[0].reason.as_str(), list[1].reason.len()), ("again", MAX_REASON));
}

#[test]
fn keys_of_all_kinds() {
    let shape = TriggerShape { parts: 2, text: true, ..shape(&[(WindowKind::Count, S)], 100, Some(S)) };
    let store = store(shape);
    let long = [b'x'; 200];
    let parts = [
        KeyValue::Num(1),
        KeyValue::V4(1),
        KeyValue::V6(1),
        KeyValue::V6(0xffff_0000_0001),
        KeyValue::Bytes(b""),
        KeyValue::Bytes(b"fifteen bytes.."),
        KeyValue::Bytes(b"sixteen bytes..."),
        KeyValue::Bytes(&long[..64]),
        KeyValue::Bytes(&long[..65]),
        KeyValue::Bytes(&long),
    ];
    for (i, a) in parts.iter().enumerate() {
        for (j, b) in parts.iter().enumerate() {
            for round in 0..=(i * parts.len() + j) as u64 % 7 {
                assert_eq!(event(&store, &[*a, *b], 0), round + 1, "{a:?} {b:?}");
            }
            assert_eq!(
                store.apply(0, &[*a, *b], (i * parts.len() + j) as i64, Fired::Raised),
                Outcome::Raised
            );
        }
    }
    let list = store.list(0, 0);
    assert_eq!(list.len(), parts.len() * parts.len());
    assert_eq!(list[2].text(), "(1, ::1)");
    assert_eq!(list[16].text(), r#"(0.0.0.1, "sixteen bytes...")"#);
    assert_eq!(list[17].text(), format!("(0.0.0.1, \"{}\")", "x".repeat(64)));
    assert!(list[18].text().starts_with("(0.0.0.1, text with hash "));
    assert!(list[40].text().starts_with("(\"\", 1"));
}

#[test]
fn one_global_switch() {
    let shape = TriggerShape { parts: 0, ..shape(&[(WindowKind::Count, S)], 100, Some(S)) };
    let store = store(shape);
    assert_eq!((event(&store, &[], 0), event(&store, &[], 0)), (1, 2));
    assert_eq!(store.apply(0, &[], 0, Fired::Raised), Outcome::Raised);
    assert!(store.active(0, &[], S));
    assert_eq!(store.list(0, 0)[0].text(), "()");
    assert_eq!(adds_up(&store, 0).capacity, 1);
}

#[test]
fn what_does_not_fit_is_nothing() {
    let store = store(shape(&[(WindowKind::Count, S)], 100, Some(S)));
    let mut values = [7];
    store.observe(0, &[], 0, &[Some(1)], &mut values);
    assert_eq!(values, [0]);
    store.observe(1, &num(1), 0, &[Some(1)], &mut values);
    store.observe(0, &num(1), 0, &[], &mut values);
    assert_eq!(store.apply(1, &num(1), 0, Fired::Raised), Outcome::Nothing);
    assert_eq!(store.apply(0, &[], 0, Fired::Raised), Outcome::Nothing);
    assert_eq!(store.apply(0, &[], 0, Fired::Vetoed), Outcome::Nothing);
    assert!(!store.active(0, &[], 0) && !store.clear(0, &[], 0) && !store.suppress(0, &[], 0, "", None));
    assert_eq!(store.counts(1, 0), TriggerCounts::default());
    assert_eq!(adds_up(&store, 0).keys, 0);
}

#[test]
fn a_new_program_goes_on() {
    let old = store(shape(&[(WindowKind::Count, S)], 100, Some(S)));
    event(&old, &num(1), 0);
    old.apply(0, &num(1), 0, Fired::Raised);
    let same = shape(&[(WindowKind::Count, S)], 100, Some(2 * S));
    let other = TriggerShape { name: "u".into(), ..same.clone() };
    let longer = shape(&[(WindowKind::Count, 2 * S)], 100, Some(S));
    let new = old.renewed(vec![other, same]);
    assert_eq!((new.find("t"), new.find("u"), new.find("v")), (Some(1), Some(0), None));
    assert!(new.active(1, &num(1), S) && !new.active(0, &num(1), 0));
    assert_eq!(new.apply(1, &num(1), 0, Fired::Raised), Outcome::Extended);
    assert!(new.active(1, &num(1), 2 * S));
    assert!(!old.renewed(vec![longer.clone()]).active(0, &num(1), 0));
    old.set_per(0, 0, 2 * S);
    assert!(old.renewed(vec![longer]).active(0, &num(1), 0));
}

#[test]
fn another_length_begins_a_window_anew() {
    let store = store(shape(&[(WindowKind::Count, S), (WindowKind::Sum, S)], 5000, None));
    let mut values = [0; 2];
    for key in 0..5000 {
        store.observe(0, &num(key), 100 * S, &[Some(1), Some(10)], &mut values);
    }
    store.set_per(0, 0, 1000 * S);
    store.set_per(0, 1, S);
    for key in 0..5000 {
        store.observe(0, &num(key), 100 * S, &[None, None], &mut values);
        assert_eq!(values, [0, 10]);
        store.observe(0, &num(key), 100 * S, &[Some(1), None], &mut values);
        assert_eq!(values, [1, 10]);
    }
    store.observe(0, &num(7), 900 * S, &[None, None], &mut values);
    assert_eq!(values, [1, 0]);
}

#[test]
fn a_clock_set_back() {
    let store = store(shape(&[(WindowKind::Count, 16 * S), (WindowKind::Count, 16_000 * S)], 10, None));
    let mut values = [0; 2];
    let mut put = |now: i64| {
        store.observe(0, &num(1), now, &[Some(1), Some(1)], &mut values);
        values
    };
    for i in 1..=5 {
        assert_eq!(put(5000 * S), [i, i]);
    }
    // A few events that are far too old change nothing.
    for i in 1..=15 {
        assert_eq!(put(2000 * S), [5, 5 + i]);
    }
    assert_eq!(put(5000 * S), [6, 21]);
    // But when no other events come, the old events are right.
    for i in 1..=15 {
        assert_eq!(put(2000 * S + i as i64), [6, 21 + i]);
    }
    assert_eq!(put(2000 * S), [1, 37]);
    assert_eq!(put(2001 * S), [2, 38]);
    assert_eq!(put(5000 * S), [1, 39], "and then the others are later");
}

#[test]
fn memory_is_as_stated() {
    let small = shape(&[(WindowKind::Count, S)], 1000, None);
    let each = 64 + 128 + 16 + 44;
    assert_eq!(TriggerStore::memory_of(&small), 1000 * each + 4096 * 8 + 256);
    let default = TriggerShape { windows: small.windows.clone(), ..TriggerShape::default() };
    assert!(TriggerStore::memory_of(&default) < 65_536 * 310, "{}", TriggerStore::memory_of(&default));
    let distinct = shape(&[(WindowKind::Distinct, S)], 1000, None);
    assert!(TriggerStore::memory_of(&distinct) < 1000 * 1800);
    assert_eq!(store(distinct.clone()).memory() as u64, TriggerStore::memory_of(&distinct));
}
