//! The ends of rows: a heap of times, the next first. A row whose end is postponed keeps its entry
//! until the old time comes; then it gets a new entry. The invariant: a row that ends has an entry
//! no later than its end. There are at most twice as many entries as rows that end (and some more),
//! so renewing a row does not fill memory. (Rejected: a timing wheel, whose slots fix how far ahead
//! an end may lie.)

use super::chunks::Chunks;

#[derive(Debug, Clone)]
pub(super) struct Expiry {
    heap: Chunks<(i64, u32), 9>,
}

impl Expiry {
    pub fn new() -> Expiry {
        Expiry { heap: Chunks::new() }
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// The next time.
    pub fn next(&self) -> Option<i64> {
        if self.heap.len() == 0 { None } else { self.heap.get(0).map(|entry| entry.0) }
    }

    pub fn push(&mut self, until: i64, row: u32) {
        self.heap.push((until, row));
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(at, parent) {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
    }

    pub fn pop(&mut self) -> Option<(i64, u32)> {
        let last = self.heap.pop()?;
        if self.heap.len() == 0 {
            return Some(last);
        }
        let first = self.heap.get_mut(0).map(|place| std::mem::replace(place, last));
        let mut at = 0;
        loop {
            let (left, right) = (at * 2 + 1, at * 2 + 2);
            let child = if right < self.heap.len() && self.less(right, left) { right } else { left };
            if child >= self.heap.len() || !self.less(child, at) {
                return first;
            }
            self.swap(at, child);
            at = child;
        }
    }

    pub fn memory(&self) -> usize {
        self.heap.memory()
    }

    fn less(&self, a: usize, b: usize) -> bool {
        matches!((self.heap.get(a), self.heap.get(b)), (Some(a), Some(b)) if a.0 < b.0)
    }

    fn swap(&mut self, a: usize, b: usize) {
        if let (Some(&x), Some(&y)) = (self.heap.get(a), self.heap.get(b)) {
            self.heap.set(a, y);
            self.heap.set(b, x);
        }
    }
}
