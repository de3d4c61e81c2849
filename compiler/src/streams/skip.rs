//! Skipping over bytes with which no match can begin. Four bytes in a row are of interest when the automaton, begun before
//! the first of them, ends in another state than when begun before the second, or says something else on the way: what
//! begins with the first is still alive, or was when it was complete. The invariant: as long as no four are of interest, the state is the one that the last three bytes lead to
//! from the start, and nothing is to report. It is found out from the automaton's own table, so it holds for every
//! pattern, and needs no literals. What is tested for each place are its three pairs of bytes, by one table from pairs to the
//! places that they may have in four of interest, in two buckets. (Rejected: aho-corasick's packed search, which needs
//! literal prefixes, few of them, and knows nothing of caseless ones. Rejected: memchr for the first byte; with a hundred
//! patterns every letter is one.)

use super::build::Rows;

/// How many bytes in a row are looked at.
pub(super) const GRAM: usize = 4;

/// How many places are tested between two branches.
const BLOCK: usize = 16;

/// How much work may go into finding four bytes of interest.
const BUDGET: usize = 1 << 22;

/// Where in four bytes each pair of bytes may be, when they are of interest.
#[derive(Debug)]
pub(super) struct Skip {
    /// For each pair (the second byte is the high one), a bit for each place, in two buckets of four bits.
    places: Box<[u8; 1 << 16]>,
}

/// The bits that are set before the first pair.
const FIRST: u32 = 0x11;
/// The bits that are set when all three pairs may be.
const LAST: u32 = 0x44;

impl Skip {
    pub(super) fn memory(&self) -> usize {
        self.places.len()
    }

    /// The first place from `from` on at which four bytes may be of interest, or else the one where fewer than four are left.
    #[inline(never)]
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> usize {
        let pair = |a: u8, b: u8| u32::from(self.places[usize::from(u16::from_le_bytes([a, b]))]);
        let mut i = from;
        while let Some(block) = bytes.get(i..i + BLOCK + GRAM - 1) {
            let Ok(block) = <&[u8; BLOCK + GRAM - 1]>::try_from(block) else { break };
            let mut hits = 0;
            let (mut one, mut two) = (pair(block[0], block[1]), pair(block[1], block[2]));
            for k in 0..BLOCK {
                let three = pair(block[k + 2], block[k + 3]);
                hits |= one & (two >> 1) & (three >> 2);
                (one, two) = (two, three);
            }
            if hits & FIRST != 0 {
                break;
            }
            i += BLOCK;
        }
        let mut seen = 0;
        let rest = bytes.get(i..).unwrap_or(&[]);
        for (k, two) in rest.windows(2).enumerate() {
            if let &[a, b] = two {
                seen = ((seen << 1) | FIRST) & pair(a, b);
                if seen & LAST != 0 {
                    return i + k + 2 - GRAM;
                }
            }
        }
        bytes.len().saturating_sub(GRAM - 1).max(from)
    }

    /// Finds out from an automaton what is of interest; none when that is too much to be of use.
    pub(super) fn new(rows: &Rows) -> Option<Skip> {
        (2..=GRAM).rev().find_map(|depth| {
            let mut search =
                Search { rows, depth, budget: BUDGET, masks: vec![0; rows.classes * rows.classes], any: 0 };
            search.run().then(|| search.finish())
        })
    }
}

/// The search for bytes of interest, class by class.
struct Search<'r> {
    rows: &'r Rows<'r>,
    /// How many bytes are told apart; those behind may be any.
    depth: usize,
    budget: usize,
    /// For each pair of classes, the bits of its places.
    masks: Vec<u8>,
    /// Bits of places that every pair may have.
    any: u8,
}

impl Search<'_> {
    /// False when the budget did not last.
    fn run(&mut self) -> bool {
        let middle = self.rows.middle;
        (0..self.rows.classes).all(|class| {
            let at = self.rows.next(middle, class);
            at == middle && !self.rows.says(at) || self.go(&mut vec![class], at, middle)
        })
    }

    /// `at`: the state behind these classes; `without`: the same without the first of them.
    fn go(&mut self, path: &mut Vec<usize>, at: u32, without: u32) -> bool {
        if path.len() > 1 && at == without {
            return true;
        }
        if path.len() == self.depth || self.rows.says(at) || self.rows.says(without) {
            self.mark(path);
            return true;
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

    /// Bytes of these classes, with any bytes behind them, are of interest.
    fn mark(&mut self, path: &[usize]) {
        let shift = path.first().map_or(0, |first| first % 2 * 4);
        let classes = self.rows.classes;
        for place in 0..GRAM - 1 {
            let bit = 1u8 << (place + shift);
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

    fn finish(self) -> Skip {
        let mut places = vec![0; 1 << 16].into_boxed_slice();
        for (pair, place) in places.iter_mut().enumerate() {
            let [a, b] = (pair as u16).to_le_bytes().map(|byte| self.rows.class(byte));
            *place = self.any | self.masks[a * self.rows.classes + b];
        }
        match places.try_into() {
            Ok(places) => Skip { places },
            Err(_) => Skip { places: Box::new([0xff; 1 << 16]) },
        }
    }
}
