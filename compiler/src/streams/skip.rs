//! Skips bytes at which no match can begin. Five consecutive bytes are relevant if the automaton,
//! started before the first byte, ends in another state than if it starts before the second, or
//! reports a match on the way. What begins with the first byte is then still alive, or was when it
//! was complete. The invariant: as long as no five bytes are relevant, the state is the one that
//! the last four bytes lead to from the start, and there is nothing to report. The relevant bytes
//! are computed from the automaton's own table, so the skip works for every pattern and needs no
//! literals. A table gives, for every second pair of bytes, the places that it may have in five
//! relevant bytes. The rest is looked up by a hash of all five. (Rejected: aho-corasick's packed
//! search, which needs literal prefixes, few of them, and no caseless ones. Rejected: memchr for
//! the first byte; with a hundred patterns every letter is a first byte.)

use super::product::Rows;

/// How many consecutive bytes are tested.
pub(super) const GRAM: usize = 5;

/// How many places are tested between two branches.
const BLOCK: usize = 16;

/// How much work may go into the search for relevant bytes.
const BUDGET: usize = 1 << 22;
/// How many groups of five bytes may be relevant whatever their last bytes are.
const WIDE: usize = 1 << 20;

/// Pairs are folded: upper and lower case, and the high bit, make no difference, so that the table
/// stays in the processor's cache.
const FOLD: u16 = 0x5f5f;
/// The number of entries of the table: the folded pairs, and numbers between them that do not
/// occur.
const PAIRS: usize = FOLD as usize + 1;

/// The places of a pair in five bytes: the first two, then the next two; or the second and third,
/// then the next two. Each place has a bit in every bucket. Sequences that begin with other bytes
/// are mostly in another bucket.
const PLACES: [usize; 4] = [0, 2, 1, 3];
const BUCKETS: usize = 8;
/// The bits of pairs that must be followed by another pair, in all buckets.
const STARTS: u32 = 0x5555_5555;
/// The bits of pairs that are the second and third byte.
const STARTS_EARLY: u32 = 0x4444_4444;

/// Bits of a hash of five classes.
const HASH: u32 = 18;

/// The relevant bytes of an automaton.
#[derive(Debug)]
pub(super) struct Skip {
    /// For each folded pair (the second byte is the high one), its places.
    places: Box<[u32; PAIRS]>,
    /// The class of each byte.
    classes: [u8; 256],
    /// For the hash of five classes, a bit.
    grams: Vec<u64>,
    /// For each pair of bytes, a bit if five bytes that begin with it are relevant whatever
    /// follows. Empty if there is no such pair.
    short: Vec<u64>,
}

/// The hash of five classes; the first class is in the lowest byte.
fn hash(classes: u64) -> usize {
    (classes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH)) as usize
}

fn bit(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

impl Skip {
    pub(super) fn memory(&self) -> usize {
        self.places.len() * 4 + (self.grams.len() + self.short.len()) * 8
    }

    /// The first place from `from` on at which five bytes may be relevant. If there is none: the
    /// place with fewer than five bytes left.
    #[inline(never)]
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> usize {
        let pair = |a: u8, b: u8| self.places[usize::from(u16::from_le_bytes([a, b]) & FOLD)];
        let mut i = from;
        while let Some(block) = bytes.get(i..).and_then(|rest| rest.first_chunk::<{ BLOCK + GRAM - 1 }>()) {
            let mut hits = 0;
            let mut one = pair(block[0], block[1]);
            for k in 1..=BLOCK / 2 {
                let two = pair(block[2 * k], block[2 * k + 1]);
                hits |= one & (two >> 1);
                one = two;
            }
            if hits & STARTS != 0
                && let Some(hit) = self.hit(bytes, i, from)
            {
                return hit;
            }
            i += BLOCK;
        }
        let start = i.saturating_sub(1).max(from);
        let end = bytes.len().saturating_sub(GRAM - 1).max(start);
        (start..end).find(|&at| self.is_hit(bytes, at)).unwrap_or(end)
    }

    /// The first place in the block at `i`, or just before it, at which five bytes may be relevant.
    /// The last place of the block belongs to the next block.
    fn hit(&self, bytes: &[u8], i: usize, from: usize) -> Option<usize> {
        let block = bytes.get(i..)?.first_chunk::<{ BLOCK + GRAM - 1 }>()?;
        let pair = |k: usize| self.places[usize::from(u16::from_le_bytes([block[k], block[k + 1]]) & FOLD)];
        let mut one = pair(0);
        for k in (0..BLOCK).step_by(2) {
            let two = pair(k + 2);
            let hits = one & (two >> 1);
            one = two;
            // The pair is the second and third of five bytes, or the first two.
            if hits & STARTS_EARLY != 0 && i + k > from && self.is_hit(bytes, i + k - 1) {
                return Some(i + k - 1);
            }
            if hits & STARTS & !STARTS_EARLY != 0 && self.is_hit(bytes, i + k) {
                return Some(i + k);
            }
        }
        None
    }

    /// Whether the five bytes at a place may be relevant.
    #[inline(always)]
    fn is_hit(&self, bytes: &[u8], at: usize) -> bool {
        let Some(five) = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<GRAM>()) else { return false };
        let [a, b, c, d, e] = five.map(|byte| u64::from(self.classes[usize::from(byte)]));
        bit(&self.grams, hash(a | b << 8 | c << 16 | d << 24 | e << 32))
            || !self.short.is_empty() && bit(&self.short, usize::from(u16::from_le_bytes([five[0], five[1]])))
    }

    /// Computes the relevant bytes of an automaton; `None` if there are too many to be useful.
    pub(super) fn new(rows: &Rows) -> Option<Skip> {
        (2..=GRAM).rev().find_map(|depth| {
            let pairs = rows.classes * rows.classes;
            let mut search = Search {
                rows,
                depth,
                budget: BUDGET,
                wide: WIDE,
                masks: vec![0; pairs],
                any: 0,
                grams: vec![0; (1 << HASH) / 64],
                short: vec![false; pairs],
            };
            search.run().then(|| search.finish())
        })
    }
}

/// The search for relevant bytes, class by class.
struct Search<'r> {
    rows: &'r Rows<'r>,
    /// How many bytes are distinguished; the bytes after them may be any.
    depth: usize,
    budget: usize,
    wide: usize,
    /// For each pair of classes, the bits of its places.
    masks: Vec<u32>,
    /// Bits of the places that every pair may have.
    any: u32,
    /// A bit for the hash of five relevant classes.
    grams: Vec<u64>,
    /// For each pair of classes, whether it is relevant whatever follows.
    short: Vec<bool>,
}

impl Search<'_> {
    /// Runs the search. False if the budget is exceeded.
    fn run(&mut self) -> bool {
        let middle = self.rows.middle;
        (0..self.rows.classes).all(|class| {
            let at = self.rows.next(middle, class);
            at == middle && !self.rows.says(at) || self.go(&mut vec![class], at, middle)
        })
    }

    /// `at`: the state after these classes. `without`: the state after them without the first
    /// class.
    fn go(&mut self, path: &mut Vec<usize>, at: u32, without: u32) -> bool {
        if path.len() > 1 && at == without {
            return true;
        }
        if path.len() == self.depth || self.rows.says(at) || self.rows.says(without) {
            self.mark(path);
            return self.gram(path);
        }
        let Some(left) = self.budget.checked_sub(self.rows.classes) else { return false };
        self.budget = left;
        (0..self.rows.classes).all(|class| {
            path.push(class);
            let going = self.go(path, self.rows.next(at, class), self.rows.next(without, class));
            path.pop();
            going
        })
    }

    /// Marks the places of the pairs of these classes. Any bytes may follow the path.
    fn mark(&mut self, path: &[usize]) {
        let bucket = path.iter().take(2).fold(0, |sum, class| sum * 3 + class) % BUCKETS;
        let classes = self.rows.classes;
        for (i, place) in PLACES.into_iter().enumerate() {
            let bit = 1u32 << (bucket * PLACES.len() + i);
            match (path.get(place), path.get(place + 1)) {
                (Some(&a), Some(&b)) => self.masks[a * classes + b] |= bit,
                (Some(&a), None) => {
                    let row = self.masks.iter_mut().skip(a * classes).take(classes);
                    row.for_each(|mask| *mask |= bit);
                }
                _ => self.any |= bit,
            }
        }
    }

    /// Sets the bits of all groups of five that begin with this path. False if there are too many.
    fn gram(&mut self, path: &[usize]) -> bool {
        let classes = self.rows.classes;
        match *path {
            [a] => self.short.iter_mut().skip(a * classes).take(classes).for_each(|short| *short = true),
            [a, b] => self.short[a * classes + b] = true,
            [_, _, _, _, _] => {
                let all = path.iter().rev().fold(0, |all, &class| all << 8 | class as u64);
                set(&mut self.grams, hash(all));
            }
            _ => {
                let Some(left) = self.wide.checked_sub(classes) else { return false };
                self.wide = left;
                return (0..classes).all(|class| self.gram(&[path, &[class]].concat()));
            }
        }
        true
    }

    fn finish(self) -> Skip {
        let mut places = Box::new([0; PAIRS]);
        let mut short = vec![0; if self.short.contains(&true) { (1 << 16) / 64 } else { 0 }];
        for pair in 0..=u16::MAX {
            let [a, b] = pair.to_le_bytes().map(|byte| self.rows.class(byte));
            let classes = a * self.rows.classes + b;
            places[usize::from(pair & FOLD)] |= self.any | self.masks[classes];
            if self.short[classes] {
                set(&mut short, usize::from(pair));
            }
        }
        Skip { places, classes: *self.rows.map, grams: self.grams, short }
    }
}
