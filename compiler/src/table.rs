//! Tables: what a program looks packets up in. A row's key is a tuple of numbers, addresses with a prefix length and byte
//! strings. Rows whose prefix lengths are the same share a hash map of masked keys, and the maps are tried longest
//! prefix first; a set or map of prefixes alone is answered from a sorted list of boundaries instead, whatever the
//! number of lengths. The invariant: a look-up allocates nothing, and a v4 address never meets a v6 prefix.
//! (Rejected: a trie per table, which has no answer for tuples; rebuilding an index at each change, too slow for
//! tables that are changed while they are read.)

use crate::hir::{Value, ValueTy};
use hashbrown::HashTable;
use std::net::IpAddr;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

mod prefixes;
use prefixes::Prefixes;

pub use crate::abi::MAX_KEY;

/// The most rows that a table holds unless told otherwise.
pub const DEFAULT_ROWS: usize = 1 << 22;

/// A part of a key to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValue<'a> {
    /// A number, a MAC, a flag.
    Num(u64),
    /// An IPv4 address.
    V4(u32),
    /// An IPv6 address.
    V6(u128),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

/// Why a row could not be put in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The key has another number of parts than the table's type.
    #[error("a key of {expected} parts is needed, {found} were given")]
    Arity {
        /// Parts of the table's key.
        expected: usize,
        /// Parts given.
        found: usize,
    },
    /// A part or the value has another type than the table says.
    #[error("a value of another type than the table's")]
    Type,
    /// The table holds as many rows as it may.
    #[error("the table is full: it holds at most {0} rows")]
    Full(usize),
    /// More than [`MAX_KEY`] parts.
    #[error("a key has at most {MAX_KEY} parts")]
    Wide,
}

/// A part of a row's key; host bits of an address are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Num(u64),
    V4(u32),
    V6(u128),
    Bytes(Arc<[u8]>),
}

/// What a part of a key must be to be in a map: not an address, or of a family, with so many bits to compare. Ordered
/// so that longer prefixes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    V6(std::cmp::Reverse<u8>),
    V4(std::cmp::Reverse<u8>),
    Other,
}

#[derive(Debug, Clone)]
struct Row {
    key: Box<[Part]>,
    value: Option<Value>,
}

/// The rows whose parts have these shapes.
#[derive(Debug, Clone)]
struct Group {
    shapes: Box<[Shape]>,
    rows: HashTable<Row>,
}

/// A set or map.
#[derive(Debug, Clone)]
pub struct Table {
    key: Vec<ValueTy>,
    value: Option<ValueTy>,
    limit: usize,
    len: usize,
    seed: u64,
    /// In the order in which they are tried: by the first part's prefix length, longest first, then the second's.
    groups: Vec<Group>,
    /// Which length applies where, when the key is one prefix.
    prefixes: Option<Prefixes>,
}

impl Table {
    /// An empty table of this key and value type that holds at most `limit` rows.
    pub fn new(key: &[ValueTy], value: Option<ValueTy>, limit: usize) -> Result<Table, TableError> {
        if key.len() > MAX_KEY {
            return Err(TableError::Wide);
        }
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        let prefixes = (key == [ValueTy::Cidr]).then(Prefixes::default);
        Ok(Table { key: key.to_vec(), value, limit, len: 0, seed, groups: Vec::new(), prefixes })
    }

    /// How many rows it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a row's key covers this one.
    pub fn contains(&self, key: &[KeyValue]) -> bool {
        match (&self.prefixes, key) {
            (Some(prefixes), [part]) => prefixes.longest(*part).is_some(),
            _ => self.find(key).is_some(),
        }
    }

    /// The value of the row whose key covers this one, by the longest prefix of the first part, then of the second, and so
    /// on; none in a set.
    pub fn get(&self, key: &[KeyValue]) -> Option<&Value> {
        self.find(key)?.value.as_ref()
    }

    /// Puts a row in, and gives back the value that it replaces.
    pub fn insert(&mut self, key: &[Value], value: Option<Value>) -> Result<Option<Value>, TableError> {
        let (shapes, parts) = self.row(key)?;
        let fits = match (self.value, &value) {
            (None, None) => true,
            (Some(ty), Some(value)) => fits(ty, value),
            _ => false,
        };
        if !fits {
            return Err(TableError::Type);
        }
        let hash = hash_row(self.seed, &parts);
        let at = self.groups.binary_search_by(|g| g.shapes.as_ref().cmp(&shapes));
        if let Ok(at) = at
            && let Some(row) =
                self.groups.get_mut(at).and_then(|g| g.rows.find_mut(hash, |row| row.key.as_ref() == parts))
        {
            return Ok(std::mem::replace(&mut row.value, value));
        }
        if self.len >= self.limit {
            return Err(TableError::Full(self.limit));
        }
        if let (Some(prefixes), [part], [shape]) = (&mut self.prefixes, parts.as_slice(), shapes.as_slice()) {
            prefixes.insert(part, *shape);
        }
        let at = at.unwrap_or_else(|at| {
            self.groups.insert(at, Group { shapes: shapes.into(), rows: HashTable::new() });
            at
        });
        let seed = self.seed;
        if let Some(group) = self.groups.get_mut(at) {
            let row = Row { key: parts.into(), value };
            group.rows.insert_unique(hash, row, |row| hash_row(seed, &row.key));
            self.len += 1;
        }
        Ok(None)
    }

    /// Takes a row out; whether there was one of exactly this key.
    pub fn remove(&mut self, key: &[Value]) -> Result<bool, TableError> {
        let (shapes, parts) = self.row(key)?;
        let hash = hash_row(self.seed, &parts);
        let Ok(at) = self.groups.binary_search_by(|g| g.shapes.as_ref().cmp(&shapes)) else {
            return Ok(false);
        };
        let Some(group) = self.groups.get_mut(at) else { return Ok(false) };
        let Ok(entry) = group.rows.find_entry(hash, |row| row.key.as_ref() == parts) else {
            return Ok(false);
        };
        entry.remove();
        if group.rows.is_empty() {
            self.groups.remove(at);
        }
        self.len -= 1;
        if let (Some(mut prefixes), [part], [shape]) =
            (self.prefixes.take(), parts.as_slice(), shapes.as_slice())
        {
            let shorter = self.groups.iter().find(|g| {
                g.shapes.first().is_some_and(|s| s > shape) && self.find_in(g, &[key_value(part)]).is_some()
            });
            prefixes.remove(part, *shape, shorter.and_then(|g| g.shapes.first().copied()));
            self.prefixes = Some(prefixes);
        }
        Ok(true)
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.len = 0;
        self.prefixes = self.prefixes.take().map(|_| Prefixes::default());
    }

    fn find(&self, key: &[KeyValue]) -> Option<&Row> {
        match (&self.prefixes, key) {
            (Some(prefixes), [part]) => {
                let shape = prefixes.longest(*part)?;
                let at = self.groups.binary_search_by(|g| g.shapes.as_ref().cmp(&[shape])).ok()?;
                self.find_in(self.groups.get(at)?, key)
            }
            _ => self.groups.iter().find_map(|group| self.find_in(group, key)),
        }
    }

    fn find_in<'a>(&self, group: &'a Group, key: &[KeyValue]) -> Option<&'a Row> {
        if key.len() != group.shapes.len() {
            return None;
        }
        let masked = || key.iter().zip(&group.shapes).map(|(&part, &shape)| mask(part, shape));
        let hash = masked().try_fold(self.seed, |seed, part| Some(hash_part(seed, part?)))?;
        group
            .rows
            .find(hash, |row| row.key.iter().zip(masked()).all(|(mine, part)| Some(key_value(mine)) == part))
    }

    /// A row's key: checked, without host bits.
    fn row(&self, key: &[Value]) -> Result<(Vec<Shape>, Vec<Part>), TableError> {
        if key.len() != self.key.len() {
            return Err(TableError::Arity { expected: self.key.len(), found: key.len() });
        }
        let mut shapes = Vec::with_capacity(key.len());
        let mut parts = Vec::with_capacity(key.len());
        for (value, &ty) in key.iter().zip(&self.key) {
            if !fits(ty, value) {
                return Err(TableError::Type);
            }
            let shape = shape(value);
            let part = match value {
                Value::Num(n) => Part::Num(*n),
                Value::Text(text) => Part::Bytes(text.clone()),
                Value::Ip(IpAddr::V4(ip), len) => Part::V4(ip.to_bits() & mask_v4(*len)),
                Value::Ip(IpAddr::V6(ip), len) => Part::V6(ip.to_bits() & mask_v6(*len)),
            };
            shapes.push(shape);
            parts.push(part);
        }
        Ok((shapes, parts))
    }
}

/// Whether a value can stand in a table of this type.
fn fits(ty: ValueTy, value: &Value) -> bool {
    match (ty, value) {
        (ValueTy::Bool, Value::Num(n)) => *n <= 1,
        (ValueTy::Mac, Value::Num(n)) => *n < 1 << 48,
        (ValueTy::Uint | ValueTy::Size | ValueTy::Duration, Value::Num(_)) => true,
        (ValueTy::Ip, Value::Ip(ip, len)) => *len == if ip.is_ipv4() { 32 } else { 128 },
        (ValueTy::Cidr, Value::Ip(ip, len)) => *len <= if ip.is_ipv4() { 32 } else { 128 },
        (ValueTy::String, Value::Text(_)) => true,
        _ => false,
    }
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Ip(IpAddr::V4(_), len) => Shape::V4(std::cmp::Reverse(*len)),
        Value::Ip(IpAddr::V6(_), len) => Shape::V6(std::cmp::Reverse(*len)),
        Value::Num(_) | Value::Text(_) => Shape::Other,
    }
}

/// The first `len` bits of 32.
fn mask_v4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0)
}

/// The first `len` bits of 128.
fn mask_v6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

/// The part as far as a row of this shape compares it; none when the families differ.
fn mask(part: KeyValue, shape: Shape) -> Option<KeyValue> {
    match (part, shape) {
        (KeyValue::V4(ip), Shape::V4(len)) => Some(KeyValue::V4(ip & mask_v4(len.0))),
        (KeyValue::V6(ip), Shape::V6(len)) => Some(KeyValue::V6(ip & mask_v6(len.0))),
        (KeyValue::Num(_) | KeyValue::Bytes(_), Shape::Other) => Some(part),
        _ => None,
    }
}

fn key_value(part: &Part) -> KeyValue<'_> {
    match part {
        Part::Num(n) => KeyValue::Num(*n),
        Part::V4(ip) => KeyValue::V4(*ip),
        Part::V6(ip) => KeyValue::V6(*ip),
        Part::Bytes(bytes) => KeyValue::Bytes(bytes),
    }
}

fn hash_part(seed: u64, part: KeyValue) -> u64 {
    match part {
        KeyValue::Num(n) => xxh3_64_with_seed(&n.to_le_bytes(), seed),
        KeyValue::V4(ip) => xxh3_64_with_seed(&ip.to_le_bytes(), seed),
        KeyValue::V6(ip) => xxh3_64_with_seed(&ip.to_le_bytes(), seed),
        KeyValue::Bytes(bytes) => xxh3_64_with_seed(bytes, seed),
    }
}

fn hash_row(seed: u64, key: &[Part]) -> u64 {
    key.iter().fold(seed, |seed, part| hash_part(seed, key_value(part)))
}

#[cfg(test)]
mod tests;
