//! Tests the decision times of streams of packets, in seconds. (Rejected: times in nanoseconds,
//! which are hard to read.)

use super::*;
use proptest::prelude::*;

const S: i64 = 1_000_000_000;

/// The times at which these packets (interface, seconds) are decided, in seconds, and the number of
/// packets that are decided at another time.
fn decided(packets: &[(u32, i64)]) -> (Vec<i64>, u64) {
    let packets: Vec<Moment> = packets.iter().map(|(interface, at)| (*interface, at * S)).collect();
    let mut timeline = Timeline::default();
    let times = packets.iter().enumerate().map(|(i, packet)| {
        let ahead: Vec<Moment> = packets.iter().skip(i + 1).take(AHEAD).copied().collect();
        timeline.take(*packet, &ahead) / S
    });
    let times = times.collect();
    (times, timeline.outlying())
}

fn of_one(times: &[i64]) -> (Vec<i64>, u64) {
    decided(&times.iter().map(|at| (0, *at)).collect::<Vec<_>>())
}

#[test]
fn ordinary_times_and_silence_are_taken_as_they_are() {
    let times = [0, 1, 0, 2, 100, 101, 100, 5000, 100_000, 100_001];
    assert_eq!(of_one(&times), (times.to_vec(), 0));
    assert_eq!(of_one(&[7, 4000]), (vec![7, 4000], 0), "silence before the last packet");
}

#[test]
fn one_packet_from_elsewhere_moves_no_other() {
    assert_eq!(of_one(&[10, 11, 3611, 12, 13]), (vec![10, 11, 11, 12, 13], 1));
    assert_eq!(of_one(&[5000, 5001, 1401, 5002]), (vec![5000, 5001, 5001, 5002], 1));
    assert_eq!(of_one(&[3610, 10, 11, 12]), (vec![10, 10, 11, 12], 1), "the first");
    assert_eq!(of_one(&[10, 3611, 3611, 7000, 11]), (vec![10, 10, 10, 10, 11], 3), "three in a row");
}

#[test]
fn a_clock_that_is_set_back_goes_on() {
    let before: Vec<i64> = (4990..=5001).collect();
    let (times, moved) = of_one(&[&before[..], &[100, 101, 102, 110]].concat());
    assert_eq!((times, moved), ([&before[..], &[5001, 5002, 5003, 5011]].concat(), 4));
}

#[test]
fn two_clocks_are_one_time() {
    let packets: Vec<(u32, i64)> = (0..40).map(|i| (i % 2, i64::from(i) + 200 * i64::from(i % 2))).collect();
    let (times, _) = decided(&packets);
    assert!(times.iter().zip(0..).all(|(time, i)| time.abs_diff(i) <= 10), "{times:?}");
    assert!(times.is_sorted_by(|a, b| a <= &(b + 2)), "{times:?}");
    // The same within one interface.
    let mixed: Vec<i64> = packets.iter().map(|(_, at)| *at).collect();
    let (times, _) = of_one(&mixed);
    assert!(times.iter().zip(0..).all(|(time, i)| time.abs_diff(i) <= 10), "{times:?}");
}

#[test]
fn the_ends_of_time_are_times() {
    let mut timeline = Timeline::default();
    for time in [0, i64::MAX, i64::MIN, 0, i64::MAX, i64::MIN, i64::MAX] {
        for ahead in [&[][..], &[(1, i64::MIN)], &[(0, i64::MAX), (2, 0)]] {
            let _ = timeline.take((3, time), ahead);
        }
    }
}

proptest! {
    /// Rising times are kept, whatever their distances.
    #[test]
    fn rising_times_stay(steps in prop::collection::vec(0_i64..4000, 1..200)) {
        let mut at = 0;
        let times: Vec<i64> = steps.iter().map(|step| { at += step; at }).collect();
        prop_assert_eq!(of_one(&times), (times, 0));
    }

    /// With any times, no packet is decided far before an earlier packet.
    #[test]
    fn never_far_back(times in prop::collection::vec((0_u32..3, 0_i64..10_000), 1..200)) {
        let (decided, _) = decided(&times);
        let mut latest = i64::MIN;
        for time in decided {
            prop_assert!(time >= latest.saturating_sub(NEAR / S));
            latest = latest.max(time);
        }
    }
}
