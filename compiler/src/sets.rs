//! Sets of numbers as sorted, disjoint, non-touching closed intervals: one representation for `==`,
//! `<`, ranges, CIDRs and `in`, so that constant folding, lints and the rule index are interval
//! algebra. The invariant: intervals are in order and at least one number apart. (Rejected: one
//! node kind per operator, which each engine and lint must handle.)

/// Numbers that an [`Intervals`] can hold.
pub trait Point: Copy + Ord {
    /// The least number.
    const MIN: Self;
    /// The greatest number.
    const MAX: Self;
    /// The next number, if there is one.
    fn next(self) -> Option<Self>;
    /// The number before, if there is one.
    fn previous(self) -> Option<Self>;
}

impl Point for u32 {
    const MIN: u32 = 0;
    const MAX: u32 = u32::MAX;
    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<u32> {
        self.checked_sub(1)
    }
}

impl Point for u64 {
    const MIN: u64 = 0;
    const MAX: u64 = u64::MAX;
    fn next(self) -> Option<u64> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<u64> {
        self.checked_sub(1)
    }
}

impl Point for u128 {
    const MIN: u128 = 0;
    const MAX: u128 = u128::MAX;
    fn next(self) -> Option<u128> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<u128> {
        self.checked_sub(1)
    }
}

/// A set of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intervals<T> {
    parts: Vec<(T, T)>,
}

impl<T: Point> Intervals<T> {
    /// The set of all numbers in any of the closed ranges; a range whose ends are the wrong way
    /// round is empty.
    pub fn new(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut parts: Vec<(T, T)> = ranges.into_iter().filter(|(low, high)| low <= high).collect();
        parts.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(parts.len());
        for (low, high) in parts {
            match merged.last_mut() {
                Some(last) if last.1.next().is_none_or(|next| low <= next) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Intervals { parts: merged }
    }

    /// One number.
    pub fn one(value: T) -> Self {
        Intervals { parts: vec![(value, value)] }
    }

    /// `low..=high`
    pub fn range(low: T, high: T) -> Self {
        Intervals::new([(low, high)])
    }

    /// Every number.
    pub fn all() -> Self {
        Intervals { parts: vec![(T::MIN, T::MAX)] }
    }

    /// The closed intervals, in order.
    pub fn parts(&self) -> &[(T, T)] {
        &self.parts
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it contains this number, by binary search.
    pub fn contains(&self, value: T) -> bool {
        let at = self.parts.partition_point(|&(low, _)| low <= value);
        at.checked_sub(1).and_then(|i| self.parts.get(i)).is_some_and(|&(_, high)| value <= high)
    }

    /// All numbers outside of it.
    pub fn complement(&self) -> Self {
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        let mut from = Some(T::MIN);
        for &(low, high) in &self.parts {
            if let (Some(from), Some(to)) = (from, low.previous())
                && from <= to
            {
                parts.push((from, to));
            }
            from = high.next();
        }
        if let Some(from) = from {
            parts.push((from, T::MAX));
        }
        Intervals { parts }
    }

    /// Numbers in both.
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut i, mut j, mut parts) = (0, 0, Vec::new());
        while let (Some(&(al, ah)), Some(&(bl, bh))) = (self.parts.get(i), other.parts.get(j)) {
            let (low, high) = (al.max(bl), ah.min(bh));
            if low <= high {
                parts.push((low, high));
            }
            if ah < bh { i += 1 } else { j += 1 }
        }
        Intervals { parts }
    }

    /// Numbers in either.
    pub fn union(&self, other: &Self) -> Self {
        Intervals::new(self.parts.iter().chain(&other.parts).copied())
    }

    /// Whether `other` contains all its numbers.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.intersect(other) == *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algebra_agrees_with_membership() {
        let sets = [
            Intervals::new([(3u64, 5), (9, 9)]),
            Intervals::new([(0, 3), (4, 6)]),
            Intervals::all(),
            Intervals::new([(7, 2)]),
            Intervals::new([(u64::MAX, u64::MAX), (0, 0)]),
        ];
        for a in &sets {
            for b in &sets {
                for v in (0..12).chain([u64::MAX - 1, u64::MAX]) {
                    assert_eq!(a.complement().contains(v), !a.contains(v));
                    assert_eq!(a.intersect(b).contains(v), a.contains(v) && b.contains(v));
                    assert_eq!(a.union(b).contains(v), a.contains(v) || b.contains(v));
                }
                assert_eq!(a.is_subset(b), a.intersect(&b.complement()).is_empty());
            }
        }
        assert_eq!(Intervals::new([(0u64, 3), (4, 6)]).parts(), &[(0, 6)]);
    }
}
