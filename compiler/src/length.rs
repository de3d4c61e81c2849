//! Capture lengths: from the length in the program to a byte range of this packet, and how ranges
//! combine. Both engines are tested against these few functions. The invariant: a range lies within
//! the captured bytes, and an empty range is `(0, 0)`. (Rejected: lengths instead of ranges; a
//! length cannot express `bytes M..N`.)

use crate::abi::{Head, Packet};
use crate::hir::{Length, Num};

/// Bytes `start..end` of the frame.
pub type Range = (u32, u32);

/// The range of a length in this packet, within the captured bytes. `num` returns the value of its
/// numbers.
pub fn range(length: &Length, packet: &Packet, head: &Head, mut num: impl FnMut(&Num) -> u64) -> Range {
    let captured = packet.cap_len();
    let clip = |at: u64| u32::try_from(at).map_or(captured, |at| at.min(captured));
    match length {
        Length::None => (0, 0),
        Length::Full => (0, captured),
        Length::Bytes(n) => (0, clip(num(n))),
        Length::Percent(n) => {
            let bytes = (u128::from(packet.len) * u128::from(num(n))).div_ceil(100);
            (0, clip(u64::try_from(bytes).unwrap_or(u64::MAX)))
        }
        Length::Headers(n) => {
            let headers = u64::from(head.outer.headers_end);
            let most = headers.max(u64::from(head.outer.l3_end));
            (0, clip(headers.saturating_add(num(n)).min(most)))
        }
        Length::Slice(m, n) => nonempty((clip(num(m)), clip(num(n)))),
    }
}

/// The smallest range that covers both. An empty range asks for nothing.
pub fn cover(a: Range, b: Range) -> Range {
    match (size(a), size(b)) {
        (0, _) => nonempty(b),
        (_, 0) => a,
        _ => (a.0.min(b.0), a.1.max(b.1)),
    }
}

/// The part of `range` within `allowed`.
pub fn cut(range: Range, allowed: Range) -> Range {
    nonempty((range.0.max(allowed.0), range.1.min(allowed.1)))
}

/// The number of bytes of a range.
pub fn size(range: Range) -> u32 {
    range.1.saturating_sub(range.0)
}

fn nonempty(range: Range) -> Range {
    if size(range) == 0 { (0, 0) } else { range }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Link, Stack};
    use proptest::prelude::*;

    fn constant(num: &Num) -> u64 {
        num.max()
    }

    #[test]
    fn each_form_on_a_cut_packet() {
        let frame = [0; 60];
        let packet = Packet::new(&frame, 101, Link::Ethernet);
        let head =
            Head { outer: Stack { headers_end: 54, l3_end: 58, ..Stack::default() }, ..Head::default() };
        let of = |length| range(&length, &packet, &head, constant);
        let n = Num::constant;
        assert_eq!(of(Length::None), (0, 0));
        assert_eq!(of(Length::Full), (0, 60));
        assert_eq!(of(Length::Bytes(n(0))), (0, 0));
        assert_eq!(of(Length::Bytes(n(59))), (0, 59));
        assert_eq!(of(Length::Bytes(n(1 << 40))), (0, 60));
        assert_eq!(of(Length::Percent(n(50))), (0, 51), "50.5 rounded up");
        assert_eq!(of(Length::Percent(n(0))), (0, 0));
        assert_eq!(of(Length::Percent(n(u64::MAX))), (0, 60));
        assert_eq!(of(Length::Headers(n(0))), (0, 54));
        assert_eq!(of(Length::Headers(n(3))), (0, 57));
        assert_eq!(of(Length::Headers(n(9))), (0, 58), "padding is no payload");
        assert_eq!(of(Length::Headers(n(u64::MAX))), (0, 58));
        assert_eq!(of(Length::Slice(n(10), n(20))), (10, 20));
        assert_eq!(of(Length::Slice(n(50), n(1000))), (50, 60));
        assert_eq!(of(Length::Slice(n(20), n(10))), (0, 0));
        assert_eq!(of(Length::Slice(n(60), n(70))), (0, 0));
    }

    #[test]
    fn headers_that_were_not_captured_whole() {
        let frame = [0; 40];
        let packet = Packet::new(&frame, 100, Link::Ethernet);
        let head =
            Head { outer: Stack { headers_end: 54, l3_end: 40, ..Stack::default() }, ..Head::default() };
        assert_eq!(range(&Length::Headers(Num::constant(0)), &packet, &head, constant), (0, 40));
        assert_eq!(range(&Length::Headers(Num::constant(9)), &packet, &head, constant), (0, 40));
    }

    fn bytes(range: Range) -> std::collections::BTreeSet<u32> {
        (range.0..range.1).collect()
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_bytes(a in (0u32..20, 0u32..20), b in (0u32..20, 0u32..20)) {
            let both = cut(a, b);
            prop_assert_eq!(bytes(both), bytes(a).intersection(&bytes(b)).copied().collect());
            let all = cover(a, b);
            let union: std::collections::BTreeSet<u32> = bytes(a).union(&bytes(b)).copied().collect();
            let covered = bytes(all);
            prop_assert!(union.is_subset(&covered));
            prop_assert_eq!((covered.first(), covered.last()), (union.first(), union.last()));
            for r in [both, all] {
                prop_assert_eq!(size(r) == 0, r == (0, 0));
            }
            prop_assert_eq!(all, cover(b, a));
            prop_assert_eq!(both, cut(b, a));
        }
    }
}
