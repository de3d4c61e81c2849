//! The values of a map, each stored once. Rows name them by number, so a look-up that ends in one
//! of a few values (roles, users, tenants) reads no more memory than a look-up in a set. The
//! invariant: a number belongs to a value as long as a row has that value. (Rejected: the value in
//! the row, which is one more cache line for each look-up.)

use super::chunks::Chunks;
use super::index::Index;
use crate::value::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Clone, Default)]
struct Entry {
    value: Option<Value>,
    /// The number of rows with this value. For a free number: the next free number.
    count: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Values {
    entries: Chunks<Entry, 9>,
    index: Index,
    free: Option<u32>,
    texts: usize,
}

impl Values {
    pub fn new() -> Values {
        Values { entries: Chunks::new(), index: Index::new(), free: None, texts: 0 }
    }

    pub fn get(&self, number: u32) -> Option<&Value> {
        self.entries.get(number as usize)?.value.as_ref()
    }

    /// The number of a value, for one more row.
    pub fn take(&mut self, seed: u64, value: Value) -> u32 {
        let hash = hash(seed, &value);
        let entries = &self.entries;
        let is = |n: u32| entries.get(n as usize).is_some_and(|e| e.value.as_ref() == Some(&value));
        if let Some(number) = self.index.find(hash, is) {
            if let Some(entry) = self.entries.get_mut(number as usize) {
                entry.count += 1;
            }
            return number;
        }
        let number = match self.free {
            Some(number) => {
                let next = self.entries.get(number as usize).map_or(u32::MAX, |e| e.count);
                self.free = (next != u32::MAX).then_some(next);
                number
            }
            None => {
                self.entries.push(Entry::default());
                (self.entries.len() - 1) as u32
            }
        };
        self.texts += text(&value);
        self.entries.set(number as usize, Entry { value: Some(value), count: 1 });
        self.index.insert(hash, number);
        number
    }

    /// Removes the value from one row. Returns the value.
    pub fn give_back(&mut self, seed: u64, number: u32) -> Option<Value> {
        let entry = self.entries.get_mut(number as usize)?;
        entry.count -= 1;
        if entry.count > 0 {
            return entry.value.clone();
        }
        entry.count = self.free.replace(number).unwrap_or(u32::MAX);
        let value = entry.value.take()?;
        self.texts -= text(&value);
        self.index.remove(hash(seed, &value), |n| n == number);
        Some(value)
    }

    pub fn memory(&self) -> usize {
        self.entries.memory() + self.index.memory() + self.texts
    }
}

fn text(value: &Value) -> usize {
    if let Value::Text(text) = value { text.len() + 16 } else { 0 }
}

fn hash(seed: u64, value: &Value) -> u64 {
    match value {
        Value::Num(n) => xxh3_64_with_seed(&n.to_le_bytes(), seed),
        Value::Text(text) => xxh3_64_with_seed(text, seed),
        Value::Ip(std::net::IpAddr::V4(ip), len) => xxh3_64_with_seed(&ip.octets(), seed ^ u64::from(*len)),
        Value::Ip(std::net::IpAddr::V6(ip), len) => xxh3_64_with_seed(&ip.octets(), seed ^ u64::from(*len)),
    }
}
