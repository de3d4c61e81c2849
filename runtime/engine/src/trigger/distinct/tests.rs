//! Compares the sketch with all values that were ever added.

use super::*;
use crate::trigger::cells::words;
use proptest::prelude::*;
use std::collections::HashMap;

struct Cells {
    head: [AtomicU64; HEAD_WORDS],
    cells: Box<[AtomicU64]>,
}

impl Cells {
    fn new() -> Cells {
        Cells { head: Default::default(), cells: words(SKETCH_WORDS).unwrap_or_default() }
    }

    fn sketch(&self) -> Sketch<'_> {
        Sketch { head: self.head.each_ref(), cells: &self.cells }
    }
}

/// The number of values that count in the 16 slices up to `slice`.
fn alive_of(seen: &HashMap<u64, i64>, slice: i64) -> u64 {
    seen.values().filter(|at| **at > slice - 16).count() as u64
}

#[test]
fn exact_up_to_64() {
    let cells = Cells::new();
    for value in 0..64 {
        for _ in 0..3 {
            assert_eq!(cells.sketch().add(7, value), Ok(()));
            assert_eq!(cells.sketch().read(7), value + 1);
        }
    }
    assert_eq!(cells.sketch().add(7, 64), Ok(()));
    assert!(cells.sketch().read(7) >= 64);
}

#[test]
fn exact_again_when_the_crowd_has_gone() {
    let cells = Cells::new();
    for value in 0..10_000 {
        assert_eq!(cells.sketch().add(0, value), Ok(()));
    }
    for value in 0..63 {
        assert_eq!(cells.sketch().add(8, value), Ok(()));
    }
    assert!(cells.sketch().read(15) > 7_000);
    assert_eq!(cells.sketch().read(16), 63);
    assert!(cells.sketch().read(15) > 7_000, "reading changes nothing");
    assert_eq!(cells.sketch().add(16, 63), Ok(()));
    assert_eq!(cells.sketch().read(16), 64);
    assert_eq!(cells.sketch().read(24), 1);
    assert_eq!(cells.sketch().read(32), 0);
}

/// The root mean square of the relative error, and its mean, over many sketches.
fn errors(count: u64, sketches: u64, spread_over: u64) -> (f64, f64) {
    let (mut squares, mut sum) = (0.0, 0.0);
    for sketch in 0..sketches {
        let cells = Cells::new();
        for value in 0..count {
            let slice = (value * spread_over / count) as i64;
            assert_eq!(cells.sketch().add(slice, sketch << 32 | value), Ok(()));
        }
        let error = cells.sketch().read(spread_over as i64 - 1) as f64 / count as f64 - 1.0;
        squares += error * error;
        sum += error;
    }
    ((squares / sketches as f64).sqrt(), sum / sketches as f64)
}

#[test]
fn the_error_is_as_stated() {
    for (count, sketches) in [(100, 500), (200, 500), (1000, 200), (10_000, 60), (100_000, 12), (500_000, 3)]
    {
        for spread_over in [1, 16] {
            let (error, bias) = errors(count, sketches, spread_over);
            // With few sketches, the error is known only with an error of 1 / sqrt(2 n), and the
            // bias with one of 1 / sqrt(n).
            let unsure = 1.0 + 3.0 / (2.0 * sketches as f64).sqrt();
            assert!(error < 0.093 * unsure, "{count} over {spread_over}: {error}");
            assert!(bias.abs() < 0.01 + 3.0 * 0.093 / (sketches as f64).sqrt(), "{count}: {bias}");
        }
    }
}

#[test]
fn beyond_the_greatest_it_stays_there() {
    let mut ranks = [0; RANKS];
    ranks[RANKS - 1] = REGISTERS as u8;
    assert_eq!(estimate(&ranks), MOST as u64);
    let mut ranks = [0; RANKS];
    ranks[0] = REGISTERS as u8;
    assert_eq!(estimate(&ranks), 64);
}

#[test]
fn what_has_left_the_window_leaves_no_trace() {
    // A thousand new values in each slice: the number follows the last 16 slices.
    let cells = Cells::new();
    let mut worst: f64 = 0.0;
    for slice in 0..200 {
        for value in 0..1000u64 {
            assert_eq!(cells.sketch().add(slice, slice as u64 * 1000 + value), Ok(()));
        }
        if slice >= 16 {
            let fresh = Cells::new();
            for value in (slice as u64 - 15) * 1000..(slice as u64 + 1) * 1000 {
                assert_eq!(fresh.sketch().add(0, value), Ok(()));
            }
            assert_eq!(cells.sketch().read(slice), fresh.sketch().read(0), "as one that never saw them");
            worst = worst.max((cells.sketch().read(slice) as f64 / 16_000.0 - 1.0).abs());
            assert!((cells.sketch().read(slice + 8) as f64 / 8000.0 - 1.0).abs() < 5.0 * 0.093);
        }
    }
    // Large deviations are too high much more often than too low.
    assert!(worst < 5.0 * 0.093, "{worst}");
}

#[test]
fn the_same_events_give_the_same_number() {
    let numbers = [0, 1].map(|_| {
        let cells = Cells::new();
        (0..5000).for_each(|value| assert_eq!(cells.sketch().add(1, value), Ok(())));
        cells.sketch().read(1)
    });
    assert_eq!(numbers[0], numbers[1]);
}

proptest! {
    #[test]
    fn as_all_values_say(
        events in prop::collection::vec((-2i64..4, 0u64..120, 0u8..60), 1..600),
    ) {
        let cells = Cells::new();
        let (mut slice, mut newest) = (0i64, 0);
        let mut seen: HashMap<u64, i64> = HashMap::new();
        for (step, value, jump) in events {
            slice += match jump { 0 => 20, 1 => -20, 2 => step, _ => 0 };
            seen.retain(|_, at| *at > newest - 16);
            if seen.is_empty() {
                newest = slice;
            }
            let taken = cells.sketch().add(slice, value);
            prop_assert_eq!(taken.is_ok(), slice > newest - 16);
            if taken.is_ok() {
                newest = newest.max(slice);
                let at = seen.entry(value).or_insert(slice);
                *at = slice.max(*at);
            }
            for ahead in [0, 1, 7, 15, 16] {
                let counts = alive_of(&seen, newest.max(slice + ahead));
                let number = cells.sketch().read(slice + ahead);
                if counts < 64 {
                    prop_assert_eq!(number, counts);
                } else {
                    prop_assert!((64..=200).contains(&number), "{} for {}", number, counts);
                }
            }
        }
    }
}
