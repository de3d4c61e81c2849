//! From a row's hash to its number: open addressing. Each place is a word of 32 bits of hash and
//! the row's number plus one. A row's home follows from the stored bits, so growing, and closing
//! the gap of a removed row, read no row. The invariant: at least a quarter of the places is empty,
//! and no empty place lies between a row and its home. (Rejected: the hash table of a library,
//! which is copied whole when copies share it.)

use super::chunks::Chunks;

/// The binary logarithm of the smallest number of places.
const LEAST: u32 = 3;

#[derive(Debug, Clone)]
pub(super) struct Index {
    places: Chunks<u64, 12>,
    /// The binary logarithm of the number of places. `None`: no row was inserted yet.
    log: Option<u32>,
    used: usize,
}

impl Index {
    pub fn new() -> Index {
        Index { places: Chunks::new(), log: None, used: 0 }
    }

    /// The number of the row with this hash for which `is` holds.
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.place(hash, &mut is).map(|(_, row)| row)
    }

    /// Adds a row that is not in the index.
    pub fn insert(&mut self, hash: u64, row: u32) {
        let places = self.log.map_or(0, |log| 1 << log);
        if (self.used + 1) * 4 > places * 3 {
            let old = std::mem::replace(&mut self.places, Chunks::new());
            let log = self.log.map_or(LEAST, |log| log + 1);
            self.places.grow(1 << log);
            self.log = Some(log);
            for at in 0..places {
                if let Some(&word) = old.get(at).filter(|word| **word != 0) {
                    self.put(word);
                }
            }
        }
        self.put(hash >> 32 << 32 | u64::from(row + 1));
        self.used += 1;
    }

    /// Removes the row with this hash for which `is` holds.
    pub fn remove(&mut self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut gap, row) = self.place(hash, &mut is)?;
        let log = self.log?;
        let mask = (1 << log) - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let word = self.places.get(at).copied().unwrap_or(0);
            if word == 0 {
                break;
            }
            // A row that is no nearer to its home than the gap is moves into the gap.
            if (at.wrapping_sub(home(word, log)) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.places.set(gap, word);
                gap = at;
            }
        }
        self.places.set(gap, 0);
        self.used -= 1;
        Some(row)
    }

    pub fn memory(&self) -> usize {
        self.places.memory()
    }

    fn place(&self, hash: u64, is: &mut impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let log = self.log?;
        let mut at = home(hash, log);
        loop {
            let word = *self.places.get(at)?;
            if word == 0 {
                return None;
            }
            let row = (word as u32).wrapping_sub(1);
            if word >> 32 == hash >> 32 && is(row) {
                return Some((at, row));
            }
            at = (at + 1) & ((1 << log) - 1);
        }
    }

    fn put(&mut self, word: u64) {
        let Some(log) = self.log else { return };
        let mut at = home(word, log);
        while self.places.get(at).is_some_and(|word| *word != 0) {
            at = (at + 1) & ((1 << log) - 1);
        }
        self.places.set(at, word);
    }
}

fn home(hash: u64, log: u32) -> usize {
    (hash >> (64 - log)) as usize
}
