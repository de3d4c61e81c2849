//! The longest prefix that covers an address, by a trie with one byte a step. A node is one run of
//! words: the bytes that continue, the prefixes that end in it (numbered as in a heap), how many of
//! either lie before each word, and then a slot for each. A prefix that is alone below its byte is
//! a leaf, however long it is. The invariant: to insert or remove a row changes the nodes on one
//! path and no other row. The trie does not depend on the order of changes, so churn does not grow
//! it. (Rejected: the space cut at the prefixes' boundaries, where a short prefix among many long
//! ones changes all of them; one hash map a length; a table of 2^24 places, 64 MiB for however few
//! rows.)

use super::chunks::Chunks;

/// Words before the slots: bytes, prefixes, counts.
const HEAD: usize = 9;
const COUNTS: usize = 8;
/// The capacities that a node can have, in slots.
const ROOMS: [usize; 17] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 511];
/// A slot that leads to a node, not to a row.
const NODE: u64 = 1 << 63;
/// A leaf that covers all of its byte.
const WHOLE: u64 = 1 << 62;
/// A row that ends.
pub(super) const ENDS: u64 = 1 << 61;
/// No node, or no free run.
const NONE: u32 = u32::MAX;

/// The prefixes of lengths 0 to 5 that cover a byte, by its first five bits.
const SHORT: [u64; 32] = {
    let mut masks = [0; 32];
    let mut five = 0;
    while five < 32 {
        let mut len = 0;
        while len <= 5 {
            masks[five] |= 1 << ((1 << len) | (five >> (5 - len)));
            len += 1;
        }
        five += 1;
    }
    masks
};

/// A prefix: its address, at the left of 128 bits, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    pub address: u128,
    pub len: u8,
}

impl Net {
    fn covers(self, address: u128) -> bool {
        self.len == 0 || (self.address ^ address) >> (128 - u32::from(self.len)) == 0
    }

    /// The byte at a depth.
    fn byte(self, depth: u8) -> u8 {
        byte(self.address, depth)
    }

    /// Its number among the prefixes of a node at this depth, if it ends in that node.
    fn heap(self, depth: u8) -> Option<u8> {
        let rest = self.len.checked_sub(depth * 8).filter(|rest| *rest < 8)?;
        Some(1 << rest | (u16::from(self.byte(depth)) >> (8 - rest)) as u8)
    }
}

fn byte(address: u128, depth: u8) -> u8 {
    (address << (u32::from(depth & 15) * 8) >> 120) as u8
}

/// A slot: a row's number, its value's number, and whether the row ends.
pub(super) fn slot(row: u32, value: u32, ends: bool) -> u64 {
    u64::from(row) | u64::from(value & 0x0fff_ffff) << 32 | if ends { ENDS } else { 0 }
}

pub(super) fn row_of(slot: u64) -> u32 {
    slot as u32
}

pub(super) fn value_of(slot: u64) -> u32 {
    (slot >> 32) as u32 & 0x0fff_ffff
}

#[derive(Debug, Clone)]
pub(super) struct Prefixes {
    words: Chunks<u64, 12>,
    root: u32,
    /// For each capacity, the first free run. The first word of a free run is the next free run.
    free: [u32; ROOMS.len()],
}

impl Prefixes {
    pub fn new() -> Prefixes {
        Prefixes { words: Chunks::new(), root: NONE, free: [NONE; ROOMS.len()] }
    }

    /// The slot of the longest live prefix that covers an address. `net` and `lives` read rows.
    pub fn longest(
        &self,
        address: u128,
        net: impl Fn(u32) -> Option<Net>,
        lives: impl Fn(u32) -> bool,
    ) -> Option<u64> {
        let lives = |slot: u64| slot & ENDS == 0 || lives(row_of(slot));
        let (mut at, mut rest, mut best) = (self.root, address, None);
        while at != NONE {
            let node = self.words.tail(at as usize);
            let (head, slots) = node.split_first_chunk::<HEAD>()?;
            let byte = (rest >> 120) as usize;
            rest <<= 8;
            let [_, _, _, _, short, six, sevens @ .., counts] = head;
            let seven = sevens.get(byte >> 7)?;
            // From the longest to the shortest. After an expired prefix, the next shorter is tried.
            let ending = |heap: usize, lives: &dyn Fn(u64) -> bool| {
                let slot = *slots.get(prefix_rank(head, *counts, heap))?;
                lives(slot).then_some(slot)
            };
            let mut found = None;
            if seven >> (byte >> 1 & 63) & 1 != 0 {
                found = ending(128 | byte >> 1, &lives);
            }
            if found.is_none() && six >> (byte >> 2) & 1 != 0 {
                found = ending(64 | byte >> 2, &lives);
            }
            let mut covering = short & SHORT.get(byte >> 3)?;
            while found.is_none() && covering != 0 {
                let heap = 63 - covering.leading_zeros();
                found = ending(heap as usize, &lives);
                covering ^= 1 << heap;
            }
            best = found.or(best);
            let word = head.get(byte >> 6)?;
            if word >> (byte & 63) & 1 == 0 {
                break;
            }
            let slot = *slots.get(byte_rank(head, *counts, byte))?;
            if slot & NODE != 0 {
                at = slot as u32;
                continue;
            }
            let covers = slot & WHOLE != 0 || net(row_of(slot)).is_some_and(|net| net.covers(address));
            if covers && lives(slot) {
                best = Some(slot);
            }
            break;
        }
        best
    }

    /// The slot of exactly this prefix.
    pub fn find(&self, net: Net, nets: impl Fn(u32) -> Option<Net>) -> Option<u64> {
        let (mut at, mut depth) = (self.root, 0);
        while at != NONE {
            let (head, slots) = self.words.tail(at as usize).split_first_chunk::<HEAD>()?;
            if let Some(heap) = net.heap(depth) {
                return slots.get(prefix_place(head, heap)?).copied();
            }
            let slot = *slots.get(byte_place(head, net.byte(depth))?)?;
            if slot & NODE == 0 {
                return (nets(row_of(slot)) == Some(net)).then_some(slot);
            }
            at = slot as u32;
            depth += 1;
        }
        None
    }

    /// The slot of the longest prefix that covers this one and is shorter.
    pub fn covering(&self, net: Net, nets: impl Fn(u32) -> Option<Net>) -> Option<u64> {
        let (mut at, mut depth, mut best) = (self.root, 0, None);
        while at != NONE {
            let Some((head, slots)) = self.words.tail(at as usize).split_first_chunk::<HEAD>() else { break };
            for len in depth * 8..net.len.min(depth * 8 + 8) {
                if let Some(heap) = (Net { len, ..net }).heap(depth)
                    && let Some(place) = prefix_place(head, heap)
                {
                    best = slots.get(place).copied();
                }
            }
            if net.len <= depth * 8 + 8 {
                // A leaf of this node is at least as long as the byte, so it is not shorter than
                // `net`.
                break;
            }
            match byte_place(head, net.byte(depth)).and_then(|place| slots.get(place)) {
                Some(slot) if slot & NODE != 0 => at = *slot as u32,
                Some(slot) => {
                    let leaf =
                        nets(row_of(*slot)).filter(|leaf| leaf.len < net.len && leaf.covers(net.address));
                    return leaf.map(|_| *slot).or(best);
                }
                None => break,
            }
            depth += 1;
        }
        best
    }

    /// Whether a prefix lies in the first `bytes` bytes of this prefix and is longer than they are.
    pub fn below(&self, net: Net, bytes: u8, nets: impl Fn(u32) -> Option<Net>) -> bool {
        let (mut at, mut depth) = (self.root, 0);
        while at != NONE {
            let Some((head, slots)) = self.words.tail(at as usize).split_first_chunk::<HEAD>() else { break };
            if depth == bytes {
                // The first prefix of the heap has exactly this many bytes.
                return total(head) > usize::from(prefix_place(head, 1).is_some());
            }
            match byte_place(head, net.byte(depth)).and_then(|place| slots.get(place)) {
                Some(slot) if slot & NODE != 0 => at = *slot as u32,
                Some(slot) => {
                    let within = Net { len: bytes * 8, ..net };
                    return nets(row_of(*slot))
                        .is_some_and(|leaf| leaf.len > within.len && within.covers(leaf.address));
                }
                None => break,
            }
            depth += 1;
        }
        false
    }

    /// Inserts a prefix, or changes its slot.
    pub fn insert(&mut self, net: Net, slot: u64, nets: impl Fn(u32) -> Option<Net>) {
        if self.root == NONE {
            self.root = self.node();
        }
        self.root = self.insert_at(self.root, 0, net, slot, &nets);
    }

    /// Removes a prefix that is in the trie.
    pub fn remove(&mut self, net: Net, nets: impl Fn(u32) -> Option<Net>) {
        if self.root == NONE {
            return;
        }
        match self.remove_at(self.root, 0, net, &nets) {
            Some(moved) => self.root = moved,
            None => {
                self.release(self.root);
                self.root = NONE;
            }
        }
    }

    pub fn memory(&self) -> usize {
        self.words.memory()
    }

    /// Recursion is as deep as an address has bytes. Returns the place of the node, which may have
    /// moved.
    fn insert_at(
        &mut self,
        at: u32,
        depth: u8,
        net: Net,
        slot: u64,
        nets: &impl Fn(u32) -> Option<Net>,
    ) -> u32 {
        if let Some(heap) = net.heap(depth) {
            return self.put(at, usize::from(heap) + 256, slot);
        }
        let byte = net.byte(depth);
        let there = self.child(at, byte);
        let child = match there {
            Some(child) if child & NODE != 0 => child as u32,
            Some(leaf) if nets(row_of(leaf)) != Some(net) => {
                let node = self.node();
                match nets(row_of(leaf)) {
                    Some(other) => self.insert_at(node, depth + 1, other, leaf & !WHOLE, nets),
                    None => node,
                }
            }
            _ => {
                let whole = if net.len == depth * 8 + 8 { WHOLE } else { 0 };
                return self.put(at, usize::from(byte), slot | whole);
            }
        };
        let moved = self.insert_at(child, depth + 1, net, slot, nets);
        if there == Some(NODE | u64::from(moved)) {
            return at;
        }
        self.put(at, usize::from(byte), NODE | u64::from(moved))
    }

    /// Returns the place of the node; `None` if nothing is left in it.
    fn remove_at(&mut self, at: u32, depth: u8, net: Net, nets: &impl Fn(u32) -> Option<Net>) -> Option<u32> {
        if let Some(heap) = net.heap(depth) {
            return self.take(at, usize::from(heap) + 256);
        }
        let byte = net.byte(depth);
        let child = match self.child(at, byte) {
            Some(child) if child & NODE != 0 => child as u32,
            _ => return self.take(at, usize::from(byte)),
        };
        let Some(moved) = self.remove_at(child, depth + 1, net, nets) else {
            self.release(child);
            return self.take(at, usize::from(byte));
        };
        // A node with a single row becomes that row's leaf.
        let left = match self.words.tail(moved as usize).split_first_chunk::<HEAD>() {
            Some((head, [only, ..])) if total(head) == 1 && only & NODE == 0 => Some(only & !WHOLE),
            _ => None,
        };
        let Some(left) = left else { return Some(self.put(at, usize::from(byte), NODE | u64::from(moved))) };
        self.release(moved);
        let whole = nets(row_of(left)).is_some_and(|net| net.len == depth * 8 + 8);
        Some(self.put(at, usize::from(byte), left | if whole { WHOLE } else { 0 }))
    }

    fn child(&self, at: u32, byte: u8) -> Option<u64> {
        let (head, slots) = self.words.tail(at as usize).split_first_chunk::<HEAD>()?;
        slots.get(byte_place(head, byte)?).copied()
    }

    /// Makes an empty node.
    fn node(&mut self) -> u32 {
        let at = self.run(0);
        for word in self.words.tail_mut(at as usize).iter_mut().take(HEAD) {
            *word = 0;
        }
        at
    }

    /// Sets the slot of a byte (below 256) or prefix (from 256 on) of a node. The node moves if it
    /// has no room.
    fn put(&mut self, at: u32, what: usize, slot: u64) -> u32 {
        let Some((head, slots)) = self.words.tail_mut(at as usize).split_first_chunk_mut::<HEAD>() else {
            return at;
        };
        let rank = rank(head, what);
        if has(head, what) {
            if let Some(place) = slots.get_mut(rank) {
                *place = slot;
            }
            return at;
        }
        let used = total(head);
        let mut at = at;
        if room(used) != room(used + 1) {
            let old: Vec<u64> = self.words.tail(at as usize).iter().take(HEAD + used).copied().collect();
            self.free_run(room(used), at);
            at = self.run(room(used + 1));
            for (place, word) in self.words.tail_mut(at as usize).iter_mut().zip(old) {
                *place = word;
            }
        }
        let Some((head, slots)) = self.words.tail_mut(at as usize).split_first_chunk_mut::<HEAD>() else {
            return at;
        };
        slots.copy_within(rank..used, rank + 1);
        if let Some(place) = slots.get_mut(rank) {
            *place = slot;
        }
        flip(head, what);
        at
    }

    /// Removes a byte or prefix of a node. `None`: nothing is left.
    fn take(&mut self, at: u32, what: usize) -> Option<u32> {
        let Some((head, slots)) = self.words.tail_mut(at as usize).split_first_chunk_mut::<HEAD>() else {
            return Some(at);
        };
        if !has(head, what) {
            return Some(at);
        }
        let (rank, used) = (rank(head, what), total(head));
        slots.copy_within(rank + 1..used, rank);
        flip(head, what);
        if used == 1 {
            return None;
        }
        if room(used) == room(used - 1) {
            return Some(at);
        }
        let old: Vec<u64> = self.words.tail(at as usize).iter().take(HEAD + used - 1).copied().collect();
        self.free_run(room(used), at);
        let at = self.run(room(used - 1));
        for (place, word) in self.words.tail_mut(at as usize).iter_mut().zip(old) {
            *place = word;
        }
        Some(at)
    }

    fn release(&mut self, at: u32) {
        let used = self.words.tail(at as usize).first_chunk::<HEAD>().map_or(0, total);
        self.free_run(room(used), at);
    }

    fn free_run(&mut self, room: usize, at: u32) {
        if let Some(free) = self.free.get_mut(room) {
            self.words.set(at as usize, u64::from(*free));
            *free = at;
        }
    }

    fn run(&mut self, room: usize) -> u32 {
        if let Some(free) = self.free.get_mut(room)
            && *free != NONE
        {
            let at = *free;
            *free = self.words.get(at as usize).map_or(NONE, |next| *next as u32);
            return at;
        }
        let words = HEAD + ROOMS.get(room).copied().unwrap_or(511);
        let chunk = Chunks::<u64, 12>::CHUNK;
        let end = self.words.len();
        // A run does not extend over the end of a chunk.
        let at = if end % chunk + words > chunk { end.next_multiple_of(chunk) } else { end };
        self.words.grow(at + words);
        at as u32
    }
}

/// The index in [`ROOMS`] of the capacity for this many slots.
fn room(slots: usize) -> usize {
    ROOMS.partition_point(|&room| room < slots)
}

fn has(head: &[u64; HEAD], what: usize) -> bool {
    head.get(what >> 6).is_some_and(|word| word >> (what & 63) & 1 != 0)
}

fn rank(head: &[u64; HEAD], what: usize) -> usize {
    let [.., counts] = head;
    if what < 256 { byte_rank(head, *counts, what) } else { prefix_rank(head, *counts, what - 256) }
}

fn byte_place(head: &[u64; HEAD], byte: u8) -> Option<usize> {
    has(head, usize::from(byte)).then(|| rank(head, usize::from(byte)))
}

fn prefix_place(head: &[u64; HEAD], heap: u8) -> Option<usize> {
    has(head, usize::from(heap) + 256).then(|| rank(head, usize::from(heap) + 256))
}

/// The number of slots of bytes before this byte. `counts` has the numbers before words 1 to 7,
/// nine bits each.
fn byte_rank(head: &[u64; HEAD], counts: u64, byte: usize) -> usize {
    before(head, counts, byte)
}

/// The number of slots of all bytes and of the prefixes before this prefix.
fn prefix_rank(head: &[u64; HEAD], counts: u64, heap: usize) -> usize {
    before(head, counts, heap + 256)
}

fn before(head: &[u64; HEAD], counts: u64, what: usize) -> usize {
    let word = what >> 6;
    let below = head.get(word).map_or(0, |word| word & ((1 << (what & 63)) - 1));
    let sum = if word == 0 { 0 } else { counts >> (9 * (word - 1)) & 511 };
    sum as usize + below.count_ones() as usize
}

/// The number of used slots.
fn total(head: &[u64; HEAD]) -> usize {
    let [.., last, counts] = head;
    (counts >> (9 * 6) & 511) as usize + last.count_ones() as usize
}

fn flip(head: &mut [u64; HEAD], what: usize) {
    if let Some(word) = head.get_mut(what >> 6) {
        *word ^= 1 << (what & 63);
    }
    let (mut counts, mut sum) = (0, 0);
    for (i, word) in head.iter().take(COUNTS - 1).enumerate() {
        sum += u64::from(word.count_ones());
        counts |= sum << (9 * i);
    }
    let [.., last] = head;
    *last = counts;
}
