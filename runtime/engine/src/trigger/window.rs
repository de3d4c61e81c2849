//! Sliding windows with 16 slices of packet time. Slice `k` of a window over D runs from `k D / 16`
//! to before `(k + 1) D / 16`. So an event 15 slices back is never older than D, and an event
//! younger than 15/16 D is never further back. A ring holds the 16 slices up to its newest, the
//! last slice with an event. Invariants: the events in the later of the present slice and the
//! ring's newest, in the 15 slices before it, and in all slices after it count. An event whose
//! slice has left the ring is not taken and changes nothing, and neither does an event that adds 0.
//! An empty ring can begin at any slice. Sums saturate. (Rejected: slices that begin with a key's
//! first event; two keys with the same events would differ. Rejected: floating-point sums.)

use super::cells::{HEAD_WORDS, get, set};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Number of slices of a window.
pub(super) const SLICES: u64 = 16;
/// Number of words of a ring.
pub(super) const RING_WORDS: usize = SLICES as usize;
/// The shortest window in nanoseconds: a slice has at least one.
pub(super) const MIN_PER: i64 = SLICES as i64;

/// An event whose slice has left the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooOld;

/// Computes the slice of a moment.
#[derive(Debug)]
pub(super) struct Clock {
    per: AtomicI64,
    /// The slice of the last packet, which is most often also the slice of the next.
    last: AtomicI64,
}

impl Clock {
    pub(super) fn new(per: i64) -> Clock {
        Clock { per: AtomicI64::new(per.max(MIN_PER)), last: AtomicI64::new(0) }
    }

    pub(super) fn set_per(&self, per: i64) {
        self.per.store(per.max(MIN_PER), Relaxed);
    }

    /// The window's length.
    #[inline(always)]
    pub(super) fn per(&self) -> i64 {
        self.per.load(Relaxed)
    }

    /// The slice of a moment.
    pub(super) fn slice_of(&self, now: i64) -> i64 {
        self.slice(self.per(), now)
    }

    /// The slice of a moment, for a window of length `per`, which must be this clock's length.
    #[inline(always)]
    pub(super) fn slice(&self, per: i64, now: i64) -> i64 {
        let last = self.last.load(Relaxed);
        let inside = (i128::from(now) << 4) - i128::from(last) * i128::from(per);
        if (0..i128::from(per)).contains(&inside) { last } else { self.another_slice(now, per) }
    }

    #[cold]
    fn another_slice(&self, now: i64, per: i64) -> i64 {
        let slice = slice_of(now, per);
        self.last.store(slice, Relaxed);
        slice
    }
}

/// The slice of a moment in a window over `per`, at least [`MIN_PER`].
pub(super) fn slice_of(now: i64, per: i64) -> i64 {
    (i128::from(now) << 4).div_euclid(i128::from(per)) as i64
}

/// The place of a slice in a ring.
#[inline(always)]
pub(super) fn slot(slice: i64) -> usize {
    (slice as u64 % SLICES) as usize
}

/// A count or a sum: its head and its ring. The head holds the newest slice, the sum of all 16
/// slices, and the content of the newest slice, for which the ring has 0. So an event in the newest
/// slice touches only the head.
pub(super) struct Sum<'a> {
    pub(super) head: [&'a AtomicU64; HEAD_WORDS],
    /// [`RING_WORDS`] words.
    pub(super) ring: &'a [AtomicU64],
}

impl Sum<'_> {
    /// Takes an event in its slice. Returns the window's value for that slice.
    #[inline(always)]
    pub(super) fn add(&self, slice: i64, amount: u64) -> Result<u64, TooOld> {
        let [newest, total, open] = self.head;
        if get(newest) as i64 != slice || amount == 0 {
            return self.add_elsewhere(slice, amount);
        }
        let sum = get(total).saturating_add(amount);
        set(open, get(open).saturating_add(amount));
        set(total, sum);
        Ok(sum)
    }

    fn add_elsewhere(&self, slice: i64, amount: u64) -> Result<u64, TooOld> {
        let [newest, total, open] = self.head;
        if amount == 0 {
            return Ok(self.read(slice));
        }
        let (at, sum) = (get(newest) as i64, get(total));
        if sum == 0 || slice > at {
            if sum != 0 {
                self.advance(slice);
            }
            set(newest, slice as u64);
            set(open, amount);
        } else if slice.abs_diff(at) < SLICES {
            let cell = &self.ring[slot(slice)];
            set(cell, get(cell).saturating_add(amount));
        } else {
            return Err(TooOld);
        }
        let sum = get(total).saturating_add(amount);
        set(total, sum);
        Ok(sum)
    }

    /// Makes room in the ring for a later slice.
    fn advance(&self, slice: i64) {
        let [newest, total, open] = self.head;
        let at = get(newest) as i64;
        if slice.abs_diff(at) >= SLICES {
            self.ring.iter().for_each(|cell| set(cell, 0));
        } else {
            set(&self.ring[slot(at)], get(open));
            (at + 1..=slice).for_each(|slice| set(&self.ring[slot(slice)], 0));
        }
        set(total, self.ring.iter().fold(0, |sum, cell| sum.saturating_add(get(cell))));
    }

    /// The window's value in a slice.
    #[inline(always)]
    pub(super) fn read(&self, slice: i64) -> u64 {
        let [newest, total, _] = self.head;
        let sum = get(total);
        if sum == 0 || get(newest) as i64 >= slice { sum } else { self.read_later(slice) }
    }

    pub(super) fn read_later(&self, slice: i64) -> u64 {
        let [newest, _, open] = self.head;
        let at = get(newest) as i64;
        let gone = slice.abs_diff(at);
        if gone >= SLICES {
            return 0;
        }
        // The `gone` oldest of the ring's slices, which end with the newest, no longer count.
        (1..SLICES - gone).fold(get(open), |sum, back| {
            sum.saturating_add(get(&self.ring[slot(at.wrapping_sub(back as i64))]))
        })
    }

    /// Whether an event of this slice is too old.
    pub(super) fn is_too_old(&self, slice: i64) -> bool {
        let [newest, total, _] = self.head.map(get);
        total != 0 && slice < newest as i64 && slice.abs_diff(newest as i64) >= SLICES
    }

    /// Clears the window. Does not touch a ring that is empty.
    pub(super) fn clear(&self) {
        let [newest, total, open] = self.head;
        let sum = get(total);
        if sum != get(open) || sum == u64::MAX {
            self.ring.iter().for_each(|cell| set(cell, 0));
        }
        [newest, total, open].into_iter().for_each(|cell| set(cell, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Cells {
        head: [AtomicU64; HEAD_WORDS],
        ring: [AtomicU64; RING_WORDS],
    }

    impl Cells {
        fn sum(&self) -> Sum<'_> {
            Sum { head: self.head.each_ref(), ring: &self.ring }
        }
    }

    #[test]
    fn slices_at_the_ends_of_time() {
        for per in [1, 15, 16, 17, 1_000_000_007, i64::MAX] {
            let clock = Clock::new(per);
            for now in [i64::MIN, i64::MIN + 1, -17, -1, 0, 1, 16, i64::MAX - 1, i64::MAX, i64::MIN] {
                let slice = clock.slice_of(now);
                assert_eq!(slice, clock.slice_of(now), "the second time from what is remembered");
                let begin = i128::from(slice) * i128::from(per.max(16));
                assert!((begin..begin + i128::from(per.max(16))).contains(&(i128::from(now) * 16)));
                let cells = Cells::default();
                assert_eq!(cells.sum().add(slice, 1), Ok(1));
                let _ = cells.sum().add(clock.slice_of(i64::MAX), 1);
                let _ = cells.sum().add(clock.slice_of(i64::MIN), 1);
                assert!(cells.sum().read(slice) >= 1 || slice < clock.slice_of(i64::MAX));
            }
        }
    }

    #[test]
    fn sums_stay_at_their_greatest() {
        let cells = Cells::default();
        for slice in [5, 5, 6, 4, 9] {
            assert!(cells.sum().add(slice, u64::MAX - 1).is_ok());
        }
        assert_eq!(cells.sum().read(9), u64::MAX);
        assert_eq!(cells.sum().read(9 + 15), u64::MAX - 1, "what is left is not cut");
        assert_eq!(cells.sum().read(9 + 16), 0);
    }

    #[test]
    fn an_event_too_old_disturbs_nothing() {
        let cells = Cells::default();
        for slice in 100..116 {
            assert_eq!(cells.sum().add(slice, 1), Ok(slice as u64 - 99));
        }
        assert_eq!(cells.sum().add(99, 1), Err(TooOld));
        assert_eq!(cells.sum().add(i64::MIN, 1), Err(TooOld));
        assert_eq!(cells.sum().read(i64::MIN), 16);
        assert_eq!(cells.sum().read(115), 16);
    }

    proptest! {
        #[test]
        fn as_all_events_say(
            events in prop::collection::vec((-3i64..6, prop::option::of(0u64..4), 0u8..40), 1..200),
        ) {
            let cells = Cells::default();
            let mut slice = 0i64;
            let (mut kept, mut newest): (Vec<(i64, u64)>, i64) = (Vec::new(), 0);
            for (step, amount, jump) in events {
                slice += match jump { 0 => 40, 1 => -40, _ => step };
                if let Some(amount) = amount.filter(|amount| *amount > 0) {
                    kept.retain(|(at, _)| *at > newest - 16);
                    if kept.is_empty() {
                        newest = slice;
                    }
                    let taken = cells.sum().add(slice, amount);
                    prop_assert_eq!(taken.is_ok(), slice > newest - 16);
                    if taken.is_ok() {
                        newest = newest.max(slice);
                        kept.push((slice, amount));
                    }
                } else if amount.is_some() {
                    prop_assert_eq!(cells.sum().add(slice, 0), Ok(cells.sum().read(slice)));
                }
                let from = newest.max(slice) - 15;
                let counts: u64 = kept.iter().filter(|(at, _)| *at >= from).map(|(_, amount)| amount).sum();
                prop_assert_eq!(cells.sum().read(slice), counts);
            }
            cells.sum().clear();
            prop_assert!(cells.head.iter().chain(&cells.ring).all(|cell| get(cell) == 0));
        }
    }
}
