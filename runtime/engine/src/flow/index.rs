//! From a key's hash to the place of its flow. The index uses open addressing with linear probing
//! over 32-bit slots, two for each flow. A slot holds the place and the slot's distance from its
//! home slot. The remaining bits hold a piece of the hash, so that a search skips most other flows
//! without reading their entries. Invariant: there is no empty slot between a flow's home slot and
//! its slot; removal moves followers up. (Rejected: tombstones, which need a rebuild that no packet
//! should wait for; buckets with an overflow list.)

use crate::memory::NoMemory;
use crate::memory::prefetch;

const DISTANCE: u32 = 28;
/// From this distance on, a slot does not hold its distance: the entry's own hash gives the home
/// slot.
const FAR: usize = 14;

#[derive(Debug, Clone)]
pub(super) struct Index {
    /// 0 is empty.
    slots: Vec<u32>,
    place: u32,
    tag: u32,
}

impl Index {
    /// An index for at most `flows` places.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new(flows: usize) -> Result<Index, NoMemory> {
        let bits = usize::BITS - flows.saturating_sub(1).leading_zeros();
        let place = (1 << bits) - 1;
        let tag = ((1 << DISTANCE) - 1) & !place;
        let slots = (2 * flows).max(2);
        let slots = bytemuck::try_zeroed_vec(slots).map_err(|()| NoMemory::of(slots, size_of::<u32>()))?;
        Ok(Index { slots, place, tag })
    }

    /// Memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * size_of::<u32>()
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline(always)]
    fn tag(&self, hash: u64) -> u32 {
        ((hash as u32) >> (32 - DISTANCE)) & self.tag
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// How many slots `to` lies behind `from`.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }

    /// Prefetches the home slot of a hash.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.home(hash)) {
            prefetch(slot);
        }
    }

    /// The home slot of a hash.
    #[inline(always)]
    pub(crate) fn first(&self, hash: u64) -> u32 {
        self.slots.get(self.home(hash)).copied().unwrap_or(0)
    }

    /// The first place whose hash may be `hash`, given its home slot.
    #[inline(always)]
    pub(crate) fn guess(&self, hash: u64, first: u32) -> Option<u32> {
        match first {
            0 => None,
            slot if slot & self.tag == self.tag(hash) => Some(slot & self.place),
            _ => self.find(hash, |_| true),
        }
    }

    /// The place with this hash for which `is` holds.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = self.tag(hash);
        let mut at = self.home(hash);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot & self.tag == tag && is(slot & self.place) {
                return Some(slot & self.place);
            }
            at = self.after(at);
        }
    }

    /// Adds a place. There must be room: there is, while at most `flows` places are in the index.
    pub(crate) fn insert(&mut self, hash: u64, place: u32) {
        let mut at = self.home(hash);
        let mut distance = 0;
        while let Some(&slot) = self.slots.get(at)
            && slot != 0
        {
            at = self.after(at);
            distance += 1;
        }
        let place = place & self.place | self.tag(hash);
        self.slots[at] = slot(place, distance);
    }

    /// Removes a place that was added with this hash. `hash_of` gives the hashes of other places.
    pub(crate) fn remove(&mut self, hash: u64, place: u32, hash_of: impl Fn(u32) -> u64) {
        let mut hole = self.home(hash);
        while self.slots[hole] != 0 && self.slots[hole] & self.place != place {
            hole = self.after(hole);
        }
        let mut at = hole;
        loop {
            at = self.after(at);
            let mover = self.slots[at];
            if mover == 0 || at == hole {
                break;
            }
            let distance = match (mover >> DISTANCE) as usize - 1 {
                FAR => self.distance(self.home(hash_of(mover & self.place)), at),
                near => near,
            };
            let gap = self.distance(hole, at);
            if distance >= gap {
                self.slots[hole] = slot(mover & (self.place | self.tag), distance - gap);
                hole = at;
            }
        }
        self.slots[hole] = 0;
    }
}

fn slot(low: u32, distance: usize) -> u32 {
    low | (distance.min(FAR) as u32 + 1) << DISTANCE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use std::collections::HashMap;

    /// An index whose hashes crowd together agrees with a map.
    #[test]
    fn agrees_with_a_map() {
        for crowd in [1_u64, 7, 40, 1000] {
            let flows = 100;
            let mut index = Index::new(flows).unwrap();
            let mut hashes = vec![0_u64; flows];
            let mut model: HashMap<u32, u64> = HashMap::new();
            let mut state = crowd;
            for _ in 0..20_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let place = (state >> 40) as u32 % flows as u32;
                if model.remove(&place).is_some() {
                    index.remove(hashes[place as usize], place, |p| hashes[p as usize]);
                } else {
                    let home = (state >> 20) % crowd;
                    let hash = (u64::MAX / 1000 * home) ^ (state >> 55);
                    hashes[place as usize] = hash;
                    model.insert(place, hash);
                    index.insert(hash, place);
                }
                for place in 0..flows as u32 {
                    let found = index.find(hashes[place as usize], |p| p == place);
                    assert_eq!(found, model.contains_key(&place).then_some(place));
                }
            }
        }
    }
}
