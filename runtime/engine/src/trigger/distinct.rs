//! Counts the distinct values that a window has seen. It keeps the 64 values seen last, each with
//! the last slice in which it occurred; while at most 64 count, they are complete. Once more values
//! count, it also keeps 128 registers as in HyperLogLog, but with the greatest rank for each of the
//! 16 slices. So values that have left the window leave no trace. Invariants: up to 64 the number
//! is exact, apart from collisions of 60-bit hashes. Above, it is never below 64, and its standard
//! error is 9.3 % (1.05 / sqrt 128) up to some millions. The same events give the same number,
//! whatever other keys do and wherever it runs. The estimate is Ertl's, which needs no correction
//! tables at either end ("New cardinality estimation algorithms for HyperLogLog sketches", 2017,
//! algorithm 6). (Rejected: samples that grow sparser, which need less memory, but have no error
//! bound for a whole window after a crowd has gone. Rejected: a pool of sketches for several keys;
//! a client that fills the pool blinds all keys.)

use super::cells::{HEAD_WORDS, get, set};
use super::window::{SLICES, TooOld, slot};
use std::sync::atomic::AtomicU64;

/// Number of values that are kept.
const VALUES: usize = 64;
/// Number of registers; a count of registers must fit in a byte.
const REGISTERS: usize = 128;
/// Number of ranks. A slice's greatest rank takes four bits of its register.
const RANKS: usize = 16;
/// Words beside the head: the number of values and whether registers are in use; the number of
/// registers for each rank; values; registers.
pub(super) const SKETCH_WORDS: usize = 1 + 2 + VALUES + REGISTERS;

/// The flag for registers in use.
const DENSE: u64 = 1 << 32;
/// The bits of a value that hold the slot of its last slice.
const SLOT: u64 = 0xf;
/// The greatest estimate.
const MOST: f64 = 1e8;

/// A window's sketch. The head holds the newest slice, the slice for which the number was computed,
/// and the number.
pub(super) struct Sketch<'a> {
    pub(super) head: [&'a AtomicU64; HEAD_WORDS],
    /// [`SKETCH_WORDS`] words.
    pub(super) cells: &'a [AtomicU64],
}

/// Spreads a hash by a bijection, in case the input is not well distributed.
fn spread(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}

impl<'a> Sketch<'a> {
    fn values(&self) -> &'a [AtomicU64] {
        &self.cells[3..3 + VALUES]
    }

    fn registers(&self) -> &'a [AtomicU64] {
        &self.cells[3 + VALUES..SKETCH_WORDS]
    }

    fn len(&self) -> usize {
        (get(&self.cells[0]) as u32 as usize).min(VALUES)
    }

    fn dense(&self) -> bool {
        get(&self.cells[0]) & DENSE != 0
    }

    fn set_len(&self, len: usize, dense: bool) {
        set(&self.cells[0], len as u64 | if dense { DENSE } else { 0 });
    }

    /// Adds a value in a slice.
    pub(super) fn add(&self, slice: i64, hash: u64) -> Result<(), TooOld> {
        let [newest, computed, number] = self.head;
        let at = get(newest) as i64;
        if self.len() == 0 {
            set(newest, slice as u64);
        } else if slice > at {
            self.advance(slice);
        } else if slice.abs_diff(at) >= SLICES {
            return Err(TooOld);
        }
        let at = get(newest) as i64;
        let hash = spread(hash);
        let changed = self.put(hash & !SLOT | slot(slice) as u64, at);
        if changed || get(computed) as i64 != at {
            set(computed, at as u64);
            set(number, if self.dense() { estimate(&self.ranks()) } else { self.len() as u64 });
        }
        Ok(())
    }

    /// Puts a value among the kept values and, where they are in use, into the registers. Returns
    /// whether the number may change.
    fn put(&self, value: u64, newest: i64) -> bool {
        let (len, dense) = (self.len(), self.dense());
        let age = |value: u64| (newest as u64).wrapping_sub(value) & SLOT;
        let kept = &self.values()[..len];
        if let Some(mine) = kept.iter().find(|mine| (get(mine) ^ value) & !SLOT == 0) {
            if age(get(mine)) <= age(value) {
                return false;
            }
            set(mine, value);
            return dense && self.register(value);
        }
        if let Some(free) = self.values().get(len) {
            set(free, value);
            self.set_len(len + 1, dense);
            return !dense || self.register(value);
        }
        if !dense {
            self.registers().iter().for_each(|register| set(register, 0));
            self.set_ranks(&[REGISTERS as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            self.set_len(len, true);
            kept.iter().for_each(|mine| {
                self.register(get(mine));
            });
        }
        // All 64 values count, and each counts at least as long as the oldest. The oldest is not
        // needed while fewer than 64 values count.
        if let Some(oldest) = kept.iter().max_by_key(|mine| age(get(mine)))
            && age(get(oldest)) >= age(value)
        {
            set(oldest, value);
        }
        self.register(value) || !dense
    }

    /// Puts a value into its register. Returns whether the register's greatest rank changes.
    fn register(&self, value: u64) -> bool {
        let hash = value >> 4;
        let cell = &self.registers()[hash as usize % REGISTERS];
        // 53 bits are left. Ranks above the last rank count as the last.
        let rank = (u64::from((hash / REGISTERS as u64).leading_zeros()) - 10).min(RANKS as u64 - 1);
        let shift = (value & SLOT) * 4;
        let before = get(cell);
        if before >> shift & 0xf >= rank {
            return false;
        }
        set(cell, before & !(0xf << shift) | rank << shift);
        let (was, rank) = (greatest(before), rank as usize);
        if rank > was {
            let mut ranks = self.ranks();
            ranks[was] = ranks[was].wrapping_sub(1);
            ranks[rank] = ranks[rank].wrapping_add(1);
            self.set_ranks(&ranks);
        }
        rank > was
    }

    /// Makes a later slice the newest and drops what has left the ring.
    fn advance(&self, slice: i64) {
        let at = get(self.head[0]) as i64;
        let steps = slice.abs_diff(at);
        let mut len = 0;
        for mine in &self.values()[..self.len()] {
            let value = get(mine);
            let age = (at as u64).wrapping_sub(value) & SLOT;
            if age.saturating_add(steps) < SLICES {
                set(&self.values()[len], value);
                len += 1;
            }
        }
        let dense = self.dense() && len == VALUES;
        self.set_len(len, dense);
        set(self.head[0], slice as u64);
        if dense {
            let mask = alive(at, steps);
            self.registers().iter().for_each(|register| set(register, get(register) & mask));
            self.set_ranks(&self.count_ranks(u64::MAX));
        }
    }

    /// The number for a slice, if it is already computed.
    #[inline(always)]
    pub(super) fn peek(&self, slice: i64) -> Option<u64> {
        let [newest, computed, number] = self.head;
        if self.len() == 0 {
            return Some(0);
        }
        (get(computed) as i64 == slice.max(get(newest) as i64)).then(|| get(number))
    }

    /// The number for a slice.
    pub(super) fn read(&self, slice: i64) -> u64 {
        if let Some(number) = self.peek(slice) {
            return number;
        }
        let at = get(self.head[0]) as i64;
        let slice = slice.max(at);
        let steps = slice.abs_diff(at);
        let age = |value: u64| ((at as u64).wrapping_sub(value) & SLOT).saturating_add(steps);
        let mut number =
            self.values()[..self.len()].iter().filter(|mine| age(get(mine)) < SLICES).count() as u64;
        if self.dense() && number == VALUES as u64 {
            number = estimate(&self.count_ranks(alive(at, steps)));
        }
        set(self.head[1], slice as u64);
        set(self.head[2], number);
        number
    }

    /// Whether a value of this slice is too old.
    pub(super) fn is_too_old(&self, slice: i64) -> bool {
        let newest = get(self.head[0]) as i64;
        self.len() != 0 && slice < newest && slice.abs_diff(newest) >= SLICES
    }

    /// Forgets all values.
    pub(super) fn clear(&self) {
        self.set_len(0, false);
    }

    fn ranks(&self) -> [u8; RANKS] {
        let both = u128::from(get(&self.cells[2])) << 64 | u128::from(get(&self.cells[1]));
        both.to_le_bytes()
    }

    fn set_ranks(&self, ranks: &[u8; RANKS]) {
        let both = u128::from_le_bytes(*ranks);
        set(&self.cells[1], both as u64);
        set(&self.cells[2], (both >> 64) as u64);
    }

    /// For each rank, the number of registers with this greatest rank in the slices of the mask.
    fn count_ranks(&self, mask: u64) -> [u8; RANKS] {
        let mut ranks = [0u8; RANKS];
        for register in self.registers() {
            let rank = greatest(get(register) & mask);
            ranks[rank] = ranks[rank].wrapping_add(1);
        }
        ranks
    }
}

/// A mask of the slots that still count `steps` slices after the newest slice.
fn alive(newest: i64, steps: u64) -> u64 {
    (1..=steps.min(SLICES))
        .fold(u64::MAX, |mask, step| mask & !(0xf << (slot(newest.wrapping_add(step as i64)) * 4)))
}

/// The greatest of the four-bit numbers in a word.
fn greatest(register: u64) -> usize {
    let mut rest = register;
    let mut greatest = 0;
    while rest != 0 {
        greatest = greatest.max(rest & 0xf);
        rest >>= 4;
    }
    greatest as usize
}

/// The estimated number of values for these counts of ranks; at least 64.
fn estimate(ranks: &[u8; RANKS]) -> u64 {
    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - f64::from(ranks[RANKS - 1]) / m);
    for count in ranks[1..RANKS - 1].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(ranks[0]) / m);
    (m * m / (2.0 * std::f64::consts::LN_2 * z)).clamp(VALUES as f64, MOST).round() as u64
}

/// The correction for registers without a value.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// The correction for registers of the last rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
