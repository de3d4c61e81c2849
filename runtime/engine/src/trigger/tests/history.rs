//! Compares windows and holds with a list of all events.

use super::*;
use mrule_compiler::hir::MAX_WINDOW;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// The history of one key.
#[derive(Default)]
struct Key {
    /// Time, and amount or value.
    events: [Vec<(i64, u64)>; 3],
    until: Option<i64>,
    /// Packets in a row that brought an event too old for a window.
    late: u32,
}

const KINDS: [WindowKind; 3] = [WindowKind::Count, WindowKind::Sum, WindowKind::Distinct];

/// A window's value for these events.
fn tell<'a>(kind: WindowKind, events: impl Iterator<Item = &'a (i64, u64)>) -> u64 {
    let all: u64 = match kind {
        WindowKind::Count => events.count() as u64,
        WindowKind::Sum => events.fold(0, |sum: u64, (_, amount)| sum.saturating_add(*amount)),
        WindowKind::Distinct => events.map(|(_, value)| value).collect::<HashSet<_>>().len() as u64,
    };
    all.min(MAX_WINDOW)
}

/// The slice of a moment, by its definition.
fn slice(now: i64, per: i64) -> i64 {
    (i128::from(now) * 16).div_euclid(i128::from(per)) as i64
}

#[derive(Debug, Clone)]
struct Step {
    key: u64,
    step: i64,
    events: [Option<u64>; 3],
    fired: bool,
}

fn steps(per: i64, back: i64) -> impl Strategy<Value = Vec<Step>> {
    let event = || prop::option::weighted(0.7, prop_oneof![20 => 0u64..40, 1 => Just(u64::MAX)]);
    let step = prop_oneof![
        20 => 0..per / 20 + 1,
        4 => -back..=0,
        1 => 0..3 * per,
    ];
    let one = (0u64..4, step, [event(), event(), event()], prop::bool::weighted(0.1));
    prop::collection::vec(
        one.prop_map(|(key, step, events, fired)| Step { key, step, events, fired }),
        1..400,
    )
}

fn check(per: i64, start: i64, steps: Vec<Step>, exact: bool) -> Result<(), TestCaseError> {
    let hold = per / 3;
    let store = store(shape(&KINDS.map(|kind| (kind, per)), 16, Some(hold)));
    let mut keys: HashMap<u64, Key> = HashMap::new();
    let (mut now, mut latest) = (start, start);
    for step in steps {
        now = now.saturating_add(step.step);
        latest = now.max(latest);
        let key = keys.entry(step.key).or_default();
        let mut values = [0; 3];
        let active = store.observe(0, &num(step.key), now, &step.events, &mut values);
        prop_assert_eq!(active, key.until.is_some_and(|until| until >= now));
        let adds = |i: usize| step.events[i].filter(|amount| KINDS[i] != WindowKind::Sum || *amount != 0);
        let too_old = [0, 1, 2].map(|i| {
            let newest = key.events[i].iter().map(|(at, _)| slice(*at, per)).max();
            adds(i).is_some() && newest.is_some_and(|newest| slice(now, per) <= newest - 16)
        });
        if too_old.contains(&true) {
            key.late += 1;
        } else if step.events.iter().any(Option::is_some) {
            key.late = 0;
        }
        let set_back = key.late == 16;
        key.late %= 16;
        for (i, kind) in KINDS.into_iter().enumerate() {
            let events = &mut key.events[i];
            if too_old[i] && set_back {
                events.clear();
            }
            if let Some(amount) = adds(i)
                && (!too_old[i] || set_back)
            {
                events.push((now, amount));
            }
            // The latest time that the key's window has seen.
            let end = events.iter().map(|(at, _)| *at).max().unwrap_or(now).max(now);
            // By slices: exactly equal.
            if exact {
                let counts = events.iter().filter(|(at, _)| slice(*at, per) > slice(end, per) - 16);
                prop_assert_eq!(values[i], tell(kind, counts), "{:?} at {}", kind, now);
            }
            // By the promise: no event older than D, and each event younger than 15/16 D.
            let age = |at: i64| i128::from(end) - i128::from(at);
            let most = tell(kind, events.iter().filter(|(at, _)| age(*at) <= i128::from(per)));
            let least = tell(kind, events.iter().filter(|(at, _)| 16 * age(*at) < 15 * i128::from(per)));
            prop_assert!(
                (least..=most).contains(&values[i]),
                "{:?}: {} in {}..={}",
                kind,
                values[i],
                least,
                most
            );
        }
        let before = key.until.is_some_and(|until| until >= now);
        prop_assert_eq!(store.active(0, &num(step.key), now), before);
        if step.fired {
            let outcome = store.apply(0, &num(step.key), now, Fired::Raised);
            prop_assert_eq!(outcome, if before { Outcome::Extended } else { Outcome::Raised });
            let until = now.saturating_add(hold);
            key.until = Some(if before { key.until.map_or(until, |was| was.max(until)) } else { until });
            prop_assert!(store.active(0, &num(step.key), now));
        }
    }
    let active = keys.values().filter(|key| key.until.is_some_and(|until| until >= now)).count();
    prop_assert_eq!(store.list(0, now).len(), active);
    adds_up(&store, latest);
    Ok(())
}

proptest! {
    #[test]
    fn in_seconds(start in 0i64..2_000_000_000, steps in steps(5 * S, S)) {
        check(5 * S, start * S, steps, true)?;
    }

    #[test]
    fn lengths_that_16_does_not_divide(
        (per, steps) in (16i64..200).prop_flat_map(|per| (Just(per), steps(per, per / 3))),
    ) {
        check(per, -50, steps, true)?;
    }

    #[test]
    fn far_back(start in -100i64..100, steps in steps(160, 160)) {
        check(160, start, steps, true)?;
    }

    #[test]
    fn at_the_end_of_time(steps in steps(1 << 40, 1 << 38)) {
        check(1 << 40, i64::MAX - (1 << 41), steps.clone(), true)?;
        check(1 << 40, i64::MIN + (1 << 40), steps, true)?;
    }
}

#[test]
fn jumps_of_any_length_never_panic() {
    let store = store(shape(&KINDS.map(|kind| (kind, 7)), 4, Some(i64::MAX - 1)));
    let times = [0, i64::MAX, i64::MIN, 1, -1, i64::MAX, i64::MAX - 1, i64::MIN + 1, 1 << 62, -(1 << 62)];
    for a in times {
        for b in times {
            for (key, now) in [(0, a), (1, b), (a as u64, b), (b as u64, a)] {
                let mut values = [0; 3];
                store.observe(0, &num(key), now, &[Some(1), Some(u64::MAX), Some(key)], &mut values);
                store.apply(0, &num(key), now, Fired::Raised);
                store.active(0, &num(key), now);
            }
        }
    }
    adds_up(&store, i64::MAX);
}
