//! Chooses which events `extended` are reported: at most one for each key in a period, because each
//! packet of an active key makes one. The invariants: no caller waits for another caller; memory is
//! bounded; events that are not reported are counted in the next one. (Rejected: counters in the
//! rows of triggers; every packet would pay for something that only event readers need.)

use mrule_compiler::table::KeyValue;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Mutex;

/// The default period of a key, in nanoseconds.
pub(super) const EVERY: i64 = 1_000_000_000;

/// The number of shards of the keys, each with its own lock.
const SHARDS: usize = 64;

/// The largest number of keys in a shard: 24 bytes each, and the table's own memory.
const KEYS: usize = 4096;

/// The times of the last reported events.
#[derive(Debug)]
pub(super) struct Extended {
    every: i64,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// A shard of the keys.
#[derive(Debug, Default)]
struct Shard {
    keys: HashMap<u64, Last>,
    /// The time of the last sweep of old keys; the next sweep is after [`Extended::every`] at the
    /// earliest.
    swept: Option<i64>,
}

/// The last reported event of a key.
#[derive(Debug)]
struct Last {
    time: i64,
    /// The number of events since then.
    since: u64,
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Report it, for this number of events of its key.
    Emit(u64),
    /// Only count it.
    Counted,
}

impl Extended {
    /// One event of a key in this number of nanoseconds; 0 reports all.
    pub fn new(every: i64) -> Extended {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Extended { every, hasher: RandomState::new(), shards }
    }

    /// Decides about an event of a trigger's key, at the time of its packet in nanoseconds.
    pub fn ask(&self, policy: &str, trigger: &str, key: &[KeyValue<'_>], time: i64) -> Verdict {
        if self.every <= 0 {
            return Verdict::Emit(1);
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
        // Another worker has the lock: this event is not reported, and not counted for its key.
        let Some(Ok(mut shard)) = shard.map(Mutex::try_lock) else { return Verdict::Counted };
        let is_over = |last: &Last| time.abs_diff(last.time) >= self.every.unsigned_abs();
        if let Some(last) = shard.keys.get_mut(&hash) {
            if !is_over(last) {
                last.since += 1;
                return Verdict::Counted;
            }
            let told = last.since + 1;
            *last = Last { time, since: 0 };
            return Verdict::Emit(told);
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
        Verdict::Emit(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_once_a_second_with_how_often() {
        let extended = Extended::new(EVERY);
        let ask = |key, time| extended.ask("main", "t", &[KeyValue::V4(key)], time);
        assert_eq!(ask(1, 0), Verdict::Emit(1));
        assert!((1..EVERY).step_by(100_000_000).all(|time| ask(1, time) == Verdict::Counted));
        assert_eq!(ask(2, 5), Verdict::Emit(1), "another key");
        assert_eq!(extended.ask("main", "u", &[KeyValue::V4(1)], 5), Verdict::Emit(1), "another trigger");
        assert_eq!(ask(1, EVERY), Verdict::Emit(11));
        assert_eq!(ask(1, -EVERY), Verdict::Emit(1), "a clock that was set back");
        let all = Extended::new(0);
        assert!((0..9).all(|time| all.ask("main", "t", &[], time) == Verdict::Emit(1)));
    }

    #[test]
    fn keys_are_bounded() {
        let extended = Extended::new(EVERY);
        let told = |time| {
            let ask = |key| extended.ask("main", "t", &[KeyValue::Num(key)], time);
            (0..600_000).filter(|key| matches!(ask(*key), Verdict::Emit(_))).count()
        };
        assert_eq!(told(0), SHARDS * KEYS);
        assert_eq!(told(EVERY), SHARDS * KEYS, "the next second has room again");
    }
}
