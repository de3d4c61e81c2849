//! The rows of a shard: which are free, which are active, and which may be evicted. Two heaps over
//! the rows know each row's place, so that a row is removed without a search. A packet that sees a
//! key writes only the key's row, so a heap's number for a row can be out of date. It is never
//! later than the true number, so a row at the front that is up to date is truly first. Invariants:
//! each row is in exactly one of the three; a new key costs O(log rows), apart from corrections
//! that other packets have paid for by seeing keys. (Rejected: a list in the order of use, which
//! costs two neighbours' lines per packet; a clock hand, which searches long when most keys are
//! active.)

use crate::memory::{NoMemory, list};

/// Rows ordered by a number, the smallest first.
#[derive(Debug)]
pub(super) struct Heap {
    nodes: Vec<(i64, u32)>,
}

/// The place of each row in its heap.
#[derive(Debug)]
pub(super) struct Places(Box<[u32]>);

impl Places {
    fn set(&mut self, row: u32, at: usize) {
        if let Some(place) = self.0.get_mut(row as usize) {
            *place = at as u32;
        }
    }

    fn of(&self, row: u32) -> usize {
        self.0.get(row as usize).map_or(usize::MAX, |place| *place as usize)
    }
}

impl Heap {
    fn new(rows: usize) -> Result<Heap, NoMemory> {
        Ok(Heap { nodes: list(rows)? })
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The row with the smallest number.
    pub(super) fn first(&self) -> Option<(i64, u32)> {
        self.nodes.first().copied()
    }

    /// All rows, in no order.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(|(_, row)| *row)
    }

    pub(super) fn push(&mut self, places: &mut Places, key: i64, row: u32) {
        if self.nodes.len() < self.nodes.capacity() {
            self.nodes.push((key, row));
            self.up(places, self.nodes.len() - 1);
        }
    }

    /// Removes a row from this heap.
    pub(super) fn remove(&mut self, places: &mut Places, row: u32) {
        let at = places.of(row);
        if self.nodes.get(at).is_some_and(|(_, here)| *here == row) {
            self.nodes.swap_remove(at);
            self.settle(places, at);
        }
    }

    /// Changes a row's number.
    pub(super) fn update(&mut self, places: &mut Places, key: i64, row: u32) {
        let at = places.of(row);
        if let Some(node) = self.nodes.get_mut(at)
            && node.1 == row
        {
            node.0 = key;
            self.settle(places, at);
        }
    }

    fn settle(&mut self, places: &mut Places, at: usize) {
        if at < self.nodes.len() {
            let at = self.up(places, at);
            self.down(places, at);
        }
    }

    /// Moves a node towards the root. Returns its final place.
    fn up(&mut self, places: &mut Places, mut at: usize) -> usize {
        let node = self.nodes[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.nodes[parent].0 <= node.0 {
                break;
            }
            self.put(places, at, self.nodes[parent]);
            at = parent;
        }
        self.put(places, at, node);
        at
    }

    fn down(&mut self, places: &mut Places, mut at: usize) {
        let node = self.nodes[at];
        loop {
            let mut child = 2 * at + 1;
            match (self.nodes.get(child), self.nodes.get(child + 1)) {
                (Some(left), Some(right)) if right.0 < left.0 => child += 1,
                (None, _) => break,
                _ => {}
            }
            if self.nodes[child].0 >= node.0 {
                break;
            }
            self.put(places, at, self.nodes[child]);
            at = child;
        }
        self.put(places, at, node);
    }

    fn put(&mut self, places: &mut Places, at: usize, node: (i64, u32)) {
        self.nodes[at] = node;
        places.set(node.1, at);
    }
}

/// A shard's rows.
#[derive(Debug)]
pub(super) struct ShardIndex {
    /// Rows without a key.
    pub(super) free: Vec<u32>,
    /// The bucket of each row, within the shard.
    pub(super) homes: Box<[u32]>,
    /// Rows of inactive keys, by when they were last seen.
    pub(super) idle: Heap,
    /// Rows of raised keys whose end was not yet noted, by when their hold ends.
    pub(super) active: Heap,
    pub(super) places: Places,
    /// Keys that were admitted.
    pub(super) entered: u64,
    /// Keys that were evicted.
    pub(super) evicted: u64,
    /// Events of keys that found no room.
    pub(super) unkept: u64,
    /// Keys that were cleared.
    pub(super) cleared: u64,
}

impl ShardIndex {
    /// A shard of `rows` free rows.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn new(rows: usize) -> Result<ShardIndex, NoMemory> {
        let (mut free, mut places, mut homes) = (list(rows)?, list(rows)?, list(rows)?);
        free.extend((0..rows as u32).rev());
        places.extend((0..rows as u32).rev());
        homes.resize(rows, 0);
        Ok(ShardIndex {
            homes: homes.into(),
            free,
            idle: Heap::new(rows)?,
            active: Heap::new(rows)?,
            places: Places(places.into()),
            entered: 0,
            evicted: 0,
            unkept: 0,
            cleared: 0,
        })
    }

    /// Takes a free row: the row `near`, if it is free.
    pub(super) fn take(&mut self, near: Option<u32>) -> Option<u32> {
        let at = near.map(|row| (row, self.places.of(row)));
        let Some((row, at)) = at.filter(|(row, at)| self.free.get(*at) == Some(row)) else {
            return self.free.pop();
        };
        self.free.swap_remove(at);
        if let Some(moved) = self.free.get(at) {
            self.places.set(*moved, at);
        }
        Some(row)
    }

    /// Memory for `rows` rows, in bytes.
    pub(super) fn memory(rows: usize) -> usize {
        rows * (3 * size_of::<u32>() + 2 * size_of::<(i64, u32)>())
    }

    /// Moves a row from idle to active.
    pub(super) fn activate(&mut self, until: i64, row: u32) {
        self.idle.remove(&mut self.places, row);
        self.active.push(&mut self.places, until, row);
    }

    /// Moves a row from active to idle.
    pub(super) fn rest(&mut self, seen: i64, row: u32) {
        self.active.remove(&mut self.places, row);
        self.idle.push(&mut self.places, seen, row);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_row_that_is_wanted_if_it_is_free() {
        let mut shard_index = ShardIndex::new(5).unwrap();
        let wanted = [Some(3), Some(3), Some(9), None, Some(4), Some(1)];
        let taken = wanted.map(|row| shard_index.take(row));
        assert_eq!(taken[0], Some(3));
        assert_eq!((taken[1], taken[4]), (Some(1), Some(4)));
        let mut rows: Vec<u32> = taken.iter().flatten().copied().collect();
        rows.sort_unstable();
        assert_eq!((rows, taken[5]), (vec![0, 1, 2, 3, 4], None));
    }

    proptest! {
        #[test]
        fn the_least_is_first(steps in prop::collection::vec((0u32..24, -9i64..9, 0u8..3), 1..300)) {
            let mut shard_index = ShardIndex::new(24).unwrap();
            let mut model: Vec<Option<i64>> = vec![None; 24];
            for (row, key, what) in steps {
                let mine = &mut model[row as usize];
                match (what, mine.is_some()) {
                    (0, true) => {
                        shard_index.idle.remove(&mut shard_index.places, row);
                        *mine = None;
                    }
                    (_, true) => {
                        shard_index.idle.update(&mut shard_index.places, key, row);
                        *mine = Some(key);
                    }
                    _ => {
                        shard_index.idle.push(&mut shard_index.places, key, row);
                        *mine = Some(key);
                    }
                }
                prop_assert_eq!(shard_index.idle.first().map(|(key, _)| key), model.iter().flatten().min().copied());
                prop_assert_eq!(shard_index.idle.len(), model.iter().flatten().count());
            }
        }
    }
}
