//! Which events `extended` are told: at most one a key in a stretch of time, as each packet of an
//! active key makes one. The invariants: whoever asks never waits for another who does; memory is
//! bounded; what is not told is counted, by the next one that is. (Rejected: counters in the rows
//! of triggers; every packet would pay for what only listeners want.)

use mrule_compiler::table::KeyValue;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Mutex;

/// How long a key's next event waits unless told, in nanoseconds.
pub(super) const EVERY: i64 = 1_000_000_000;

/// How many parts the keys are kept in, each with a lock of its own.
const SHARDS: usize = 64;

/// How many keys a part has at most: 24 bytes each, and the table's own.
const KEYS: usize = 4096;

/// When keys were told last.
#[derive(Debug)]
pub(super) struct Extended {
    every: i64,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// Some of the keys.
#[derive(Debug, Default)]
struct Shard {
    keys: HashMap<u64, Last>,
    /// When those that are over were taken out last; not again before [`Extended::every`] has
    /// passed.
    swept: Option<i64>,
}

/// The last event of a key.
#[derive(Debug)]
struct Last {
    time: i64,
    /// How many came since then.
    since: u64,
}

/// What is to be done with an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is told, for so many of its key.
    Told(u64),
    /// It is counted.
    Counted,
}

impl Extended {
    /// One event of a key in so many nanoseconds; 0: all.
    pub fn new(every: i64) -> Extended {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Extended { every, hasher: RandomState::new(), shards }
    }

    /// Asks about an event of a trigger's key, at the time of its packet in nanoseconds.
    pub fn ask(&self, policy: &str, trigger: &str, key: &[KeyValue<'_>], time: i64) -> Verdict {
        if self.every <= 0 {
            return Verdict::Told(1);
        }
        let mut hasher = self.hasher.build_hasher();
        (policy, trigger).hash(&mut hasher);
        for part in key {
            match part {
                KeyValue::Num(number) => (0u8, number).hash(&mut hasher),
                KeyValue::V4(address) => (1u8, address).hash(&mut hasher),
                KeyValue::V6(address) => (2u8, address).hash(&mut hasher),
                KeyValue::Bytes(bytes) => (3u8, bytes).hash(&mut hasher),
            }
        }
        let hash = hasher.finish();
        let shard = self.shards.get(hash as usize % SHARDS);
        // Another worker is at it: this one is not told, and forgotten.
        let Some(Ok(mut shard)) = shard.map(Mutex::try_lock) else { return Verdict::Counted };
        let is_over = |last: &Last| time.abs_diff(last.time) >= self.every.unsigned_abs();
        if let Some(last) = shard.keys.get_mut(&hash) {
            if !is_over(last) {
                last.since += 1;
                return Verdict::Counted;
            }
            let told = last.since + 1;
            *last = Last { time, since: 0 };
            return Verdict::Told(told);
        }
        let passed = |since: i64| time.abs_diff(since) >= self.every.unsigned_abs();
        if shard.keys.len() >= KEYS && shard.swept.is_none_or(passed) {
            shard.keys.retain(|_, last| !is_over(last));
            shard.swept = Some(time);
        }
        if shard.keys.len() >= KEYS {
            return Verdict::Counted;
        }
        shard.keys.insert(hash, Last { time, since: 0 });
        Verdict::Told(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_once_a_second_with_how_often() {
        let extended = Extended::new(EVERY);
        let ask = |key, time| extended.ask("main", "t", &[KeyValue::V4(key)], time);
        assert_eq!(ask(1, 0), Verdict::Told(1));
        assert!((1..EVERY).step_by(100_000_000).all(|time| ask(1, time) == Verdict::Counted));
        assert_eq!(ask(2, 5), Verdict::Told(1), "another key");
        assert_eq!(extended.ask("main", "u", &[KeyValue::V4(1)], 5), Verdict::Told(1), "another trigger");
        assert_eq!(ask(1, EVERY), Verdict::Told(11));
        assert_eq!(ask(1, -EVERY), Verdict::Told(1), "a clock that was set back");
        let all = Extended::new(0);
        assert!((0..9).all(|time| all.ask("main", "t", &[], time) == Verdict::Told(1)));
    }

    #[test]
    fn keys_are_bounded() {
        let extended = Extended::new(EVERY);
        let told = |time| {
            let ask = |key| extended.ask("main", "t", &[KeyValue::Num(key)], time);
            (0..600_000).filter(|key| matches!(ask(*key), Verdict::Told(_))).count()
        };
        assert_eq!(told(0), SHARDS * KEYS);
        assert_eq!(told(EVERY), SHARDS * KEYS, "the next second has room again");
    }
}
