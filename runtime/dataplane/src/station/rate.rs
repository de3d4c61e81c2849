//! The `limit` of a station: a token bucket. Invariants: in any time T at most `rate * T + burst`
//! pass, and one more copy where it is longer than the burst. Such a copy passes when the bucket is
//! full, and leaves a debt. A new bucket is full. Tokens are counted in billionths, so that no rate
//! loses by rounding. (Rejected: waiting for the next token; the queue would fill with copies that
//! are late anyway.)

use mrule_compiler::hir::{Rate, RateOf};
use std::time::Instant;

const NANO: i128 = 1_000_000_000;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// The tokens, in billionths of a byte or copy.
    level: i128,
    filled: Instant,
}

impl Bucket {
    pub fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, level: i128::from(rate.burst) * NANO, filled: now }
    }

    /// Adds the tokens for the time since the last call.
    pub fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_nanos();
        self.filled = now;
        let most = i128::from(self.rate.burst) * NANO;
        let more = i128::try_from(passed).unwrap_or(i128::MAX).saturating_mul(self.rate.per_second.into());
        self.level = self.level.saturating_add(more).min(most);
    }

    /// Whether a copy of `bytes` bytes may pass now; if so, takes its tokens.
    pub fn take(&mut self, bytes: usize) -> bool {
        let tokens = match self.rate.of {
            RateOf::Bytes => bytes as i128 * NANO,
            RateOf::Copies => NANO,
        };
        let passes = self.level >= tokens.min(i128::from(self.rate.burst) * NANO);
        if passes {
            self.level -= tokens;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn copies_pass_at_the_rate_after_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 100, burst: 10, of: RateOf::Copies }, start);
        assert_eq!((0..50).filter(|_| bucket.take(1500)).count(), 10);
        let passed = |ms: u64, bucket: &mut Bucket| {
            bucket.refill(start + Duration::from_millis(ms));
            (0..50).filter(|_| bucket.take(1500)).count()
        };
        assert_eq!(passed(9, &mut bucket), 0);
        assert_eq!(passed(10, &mut bucket), 1);
        assert_eq!(passed(60, &mut bucket), 5);
        assert_eq!(passed(60_000, &mut bucket), 10, "never more than the burst");
    }

    #[test]
    fn bytes_are_paid_whole_and_nothing_is_lost_to_rounding() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 1000, burst: 100, of: RateOf::Bytes }, start);
        assert!(bucket.take(60) && !bucket.take(60) && bucket.take(40));
        // 1000 steps of 0.1 ms give 0.1 byte each.
        for step in 1..=1000 {
            bucket.refill(start + Duration::from_micros(100 * step));
        }
        assert!(bucket.take(100) && !bucket.take(1));
        // A copy longer than the burst passes when the bucket is full, on credit.
        let mut passed = 0;
        for step in 1..=100 {
            bucket.refill(start + Duration::from_millis(100 + 100 * step));
            passed += usize::from(bucket.take(1000));
        }
        assert!((9..=11).contains(&passed), "{passed} kB in 10 s");
    }
}
